"""Painted eyeballs: pupil, iris and white lie where the rim's angle says."""

import numpy as np
import pytest

from avatar.portrait.arrays import Array
from avatar.portrait.eyes import EyeColours, eye_colours, paint_eyes
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE, FoundFace
from avatar.types import Float

BLUE = np.array([0.25, 0.4, 0.65], np.float32)
WHITE = np.full(3, 0.8, np.float32)


def at_angles(degrees: Array, turn: float = 0.0) -> Float:
    """[N, 3] directions so far from the eyeball's axis, towards `turn` (0: +x), radians."""
    angle = np.radians(degrees)
    return np.stack(
        [np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)], 1
    ).astype(np.float32)


def test_the_pupil_is_dark_the_iris_coloured_and_the_rest_white():
    colours = EyeColours(iris=BLUE, white=WHITE, iris_angle=float(np.radians(24)))
    pupil, iris, white = paint_eyes(at_angles(np.array([1.0, 16.0, 32.0]), np.pi), colours)
    assert pupil.max() < 0.1
    assert iris[2] > iris[1] > iris[0]
    assert np.abs(iris - BLUE).max() < 0.15
    np.testing.assert_allclose(white / white.max(), 1, atol=0.02)
    assert white.min() > 0.5


@pytest.mark.parametrize("rim", [21.0, 25.0, 29.0])
def test_the_iris_ends_at_its_rim(rim: float):
    colours = EyeColours(iris=BLUE, white=WHITE, iris_angle=float(np.radians(rim)))
    inside, outside = paint_eyes(at_angles(np.array([0.9 * rim, 1.1 * rim]), np.pi), colours)
    assert inside[2] > 1.3 * inside[0]
    assert abs(outside[2] - outside[0]) < 0.03


def test_a_lamp_shines_on_the_upper_half():
    colours = EyeColours(iris=BLUE, white=WHITE)
    upper = paint_eyes(at_angles(np.linspace(5, 20, 40), np.radians(128)), colours)
    lower = paint_eyes(at_angles(np.linspace(5, 20, 40), np.radians(-128)), colours)
    assert upper.min(1).max() > 0.85
    assert lower.min(1).max() < 0.7


def painted_face(radius_px: float) -> tuple[Float, FoundFace]:
    """A picture of nothing but two eyes, and their landmarks."""
    image = np.broadcast_to(WHITE, (100, 240, 3)).copy()
    landmarks = np.zeros((478, 3), np.float32)
    x, y = np.meshgrid(np.arange(240) + 0.5, np.arange(100) + 0.5)
    for middle, rim, opening in ((70, IRIS_RIGHT, RIGHT_EYE), (170, IRIS_LEFT, LEFT_EYE)):
        image[np.hypot(x - middle, y - 50) < radius_px] = BLUE
        image[np.hypot(x - middle, y - 50) < 0.35 * radius_px] = 0
        landmarks[rim[0], :2] = middle, 50
        turns = np.arange(4) * np.pi / 2
        landmarks[list(rim[1:]), 0] = middle + radius_px * np.cos(turns)
        landmarks[list(rim[1:]), 1] = 50 + radius_px * np.sin(turns)
        landmarks[opening[0], :2] = middle - 2.5 * radius_px, 50
        landmarks[opening[3], :2] = middle + 2.5 * radius_px, 50
    return image, FoundFace(landmarks)


def test_colours_and_rim_are_read_from_the_picture():
    image, face = painted_face(12.0)
    found = eye_colours(image, face, eye_radius_px=12.0 / np.sin(np.radians(25)))
    np.testing.assert_allclose(found.iris, BLUE, atol=0.02)
    np.testing.assert_allclose(found.white, WHITE, atol=0.05)
    assert np.degrees(found.iris_angle) == pytest.approx(25, abs=0.5)


def test_a_rim_that_cannot_be_is_held_within_what_eyes_have():
    image, face = painted_face(12.0)
    assert np.degrees(eye_colours(image, face, 14.0).iris_angle) == pytest.approx(29)
    assert np.degrees(eye_colours(image, face, 80.0).iris_angle) == pytest.approx(21)
