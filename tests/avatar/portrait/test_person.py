"""The person's mask: one connected shape around the face, without pinholes."""

import numpy as np
import pytest

from avatar.portrait.landmarks import FoundFace
from avatar.portrait.person import person_mask
from avatar.types import Float

FACE_MIDDLE, FACE_RADIUS = (150.0, 120.0), 40.0


class Segmented:
    """A tracker whose segmentation is given: what `person_mask` is told is `mask`'s own part."""

    def __init__(self, mask: Float) -> None:
        self.mask = mask

    def faces(self, image: Float) -> list[FoundFace]:
        raise AssertionError("the mask needs no second look for faces")

    def look_again(self, image: Float, face: FoundFace) -> FoundFace:
        raise AssertionError("the mask needs no second look for faces")

    def human(self, image: Float, face: FoundFace) -> bool:
        return True

    def person(self, image: Float) -> Float:
        assert image.shape[:2] == self.mask.shape
        return self.mask


@pytest.fixture
def face() -> FoundFace:
    turn = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:, 0] = FACE_MIDDLE[0] + FACE_RADIUS * np.cos(turn)
    landmarks[:, 1] = FACE_MIDDLE[1] + FACE_RADIUS * np.sin(turn)
    return FoundFace(landmarks)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(300) + 0.5, np.arange(260) + 0.5)
    return np.hypot(columns - x, rows - y) < radius


def picture_of(mask: np.ndarray) -> Float:
    return np.where(mask[..., None], (0.8, 0.6, 0.5), (0.2, 0.3, 0.4)).astype(np.float32)


def test_islands_go_and_pinholes_close(face: FoundFace):
    head, island, hole = disc(150, 120, 80), disc(275, 230, 20), disc(150, 185, 5)
    drawn = (head & ~hole) | island
    mask = person_mask(Segmented(drawn.astype(np.float32)), picture_of(drawn), face)
    assert mask[island].max() == 0
    assert mask[hole].min() > 0.9
    assert mask[disc(150, 120, 70)].min() > 0.9
    assert mask[~disc(150, 120, 90)].max() == 0


def test_a_large_gap_stays_open(face: FoundFace):
    raised_arms = disc(150, 120, 110) & ~disc(150, 120, 90)
    drawn = disc(150, 120, 60) | raised_arms
    drawn[110:130, 50:150] = True  # a shoulder joins them to the head
    mask = person_mask(Segmented(drawn.astype(np.float32)), picture_of(drawn), face)
    assert mask[disc(150, 195, 8)].max() < 0.1


def test_the_face_belongs_to_the_person_even_where_segmentation_fails(face: FoundFace):
    nothing = np.zeros((260, 300), np.float32)
    mask = person_mask(Segmented(nothing), picture_of(nothing > 0), face)
    assert mask[disc(*FACE_MIDDLE, FACE_RADIUS - 2)].min() == 1
    assert mask[~disc(*FACE_MIDDLE, FACE_RADIUS + 3)].max() == 0
