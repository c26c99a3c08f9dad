"""Painted eyeballs: pupil, iris and white lie where the rim's angle says; the iris is the
photograph's where that shows it."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.portrait.arrays import Array
from avatar.portrait.eyes import (
    EyeColours,
    _evenly_lit,
    _pupil,
    eye_colours,
    paint_eyes,
    photographed_eyes,
    unwrapped_iris,
)
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE, FoundFace
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.portrait.seen_eye import front, seen_eyes
from avatar.portrait.sitter import Sitter
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
    np.testing.assert_allclose(white / white.max(), 1, atol=0.05)  # a little red is wanted
    assert white.min() > 0.5


@pytest.mark.parametrize("rim", [21.0, 25.0, 29.0])
def test_the_iris_ends_at_its_rim(rim: float):
    colours = EyeColours(iris=BLUE, white=WHITE, iris_angle=float(np.radians(rim)))
    inside, outside = paint_eyes(at_angles(np.array([0.9 * rim, 1.1 * rim]), np.pi), colours)
    assert inside[2] > 1.3 * inside[0]
    assert abs(outside[2] - outside[0]) < 0.03


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
    sunken_px = 12.0 / np.sin(np.radians(25))
    found = eye_colours(image, face, eye_radius_px=sunken_px / 0.955)
    np.testing.assert_allclose(found.iris, BLUE, atol=0.02)
    np.testing.assert_allclose(found.white, WHITE, atol=0.05)
    assert np.degrees(found.iris_angle) == pytest.approx(25, abs=0.5)


def test_a_rim_that_cannot_be_is_held_within_what_eyes_have():
    image, face = painted_face(12.0)
    assert np.degrees(eye_colours(image, face, 14.0).iris_angle) == pytest.approx(29)
    assert np.degrees(eye_colours(image, face, 80.0).iris_angle) == pytest.approx(21)


def spoked_face(radius_px: float, glint: bool) -> tuple[Float, FoundFace]:
    """Wide open eyes whose irises are brighter towards the nose, and a highlight on the left."""
    image, face = painted_face(radius_px)
    x, y = np.meshgrid(np.arange(240) + 0.5, np.arange(100) + 0.5)
    for middle, rim, ring, inwards in (
        (70, IRIS_RIGHT, RIGHT_LIDS, 1),
        (170, IRIS_LEFT, LEFT_LIDS, -1),
    ):
        away = np.hypot(x - middle, y - 50)
        nasal = np.clip(inwards * (x - middle) / np.maximum(away, 1e-6), -1, 1)
        iris = (away < radius_px) & (away > 0.35 * radius_px)
        image[iris] = (BLUE * (1 + 0.3 * nasal[..., None]))[iris]
        turns = np.linspace(0, 2 * np.pi, len(ring), endpoint=False)
        face.landmarks[list(ring), 0] = middle + 2.2 * radius_px * np.cos(turns)
        face.landmarks[list(ring), 1] = 50 + 1.5 * radius_px * np.sin(turns)
        if glint and rim is IRIS_LEFT:
            lamp = np.hypot(x - middle + 0.5 * radius_px, y - 50 + 0.4 * radius_px)
            image[lamp < 0.2 * radius_px] = 1
    return image.astype(np.float32), face


def test_the_iris_is_unwrapped_and_both_eyes_agree_on_it():
    texture, seen = unwrapped_iris(*spoked_face(16.0, glint=False))
    assert seen > 0.9
    ring = texture[4, :, 2] / BLUE[2]  # the left eye's angles: 0 away from the nose, half at it
    assert ring[0] == pytest.approx(0.7, abs=0.06)
    assert ring[len(ring) // 2] == pytest.approx(1.3, abs=0.06)


def test_a_highlight_on_one_eye_is_taken_from_the_other():
    clean, _ = unwrapped_iris(*spoked_face(16.0, glint=False))
    repaired, _ = unwrapped_iris(*spoked_face(16.0, glint=True))
    assert np.quantile(np.abs(repaired - clean), 0.97) < 0.08


def test_irises_of_few_pixels_are_drawn_and_large_ones_shown():
    assert eye_colours(*spoked_face(4.5, glint=False), eye_radius_px=11.0).fine == 0
    assert eye_colours(*spoked_face(16.0, glint=False), eye_radius_px=38.0).fine > 0.8


def test_the_two_eyes_are_mirror_images():
    colours = eye_colours(*spoked_face(16.0, glint=False), eye_radius_px=38.0)
    outward = at_angles(np.full(24, 15.0))
    turns = np.linspace(0, 2 * np.pi, 24)
    outward[:, 0], outward[:, 1] = 0.26 * np.cos(turns), 0.26 * np.sin(turns)
    left, right = paint_eyes(outward, colours, 1), paint_eyes(outward * (-1, 1, 1), colours, -1)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_the_white_is_what_the_photograph_shows(astronaut_sitter: Sitter):
    colours = photographed_eyes(astronaut_sitter)
    seen = []
    for eye in seen_eyes(astronaut_sitter):
        head = front(0.03, (1.1, 0.6))
        beside = np.arccos(head @ eye.looking[:, 2]) > 1.2 * colours.iris_angle
        seen.append(eye.colours(head[beside & (eye.within_m(head) > 0)]).mean(1))
    brightness = np.concatenate(seen)
    assert np.quantile(brightness, 0.5) < colours.white.mean() < np.quantile(brightness, 0.99)


def test_the_pupil_is_as_wide_as_in_the_picture(astronaut_sitter: Sitter):
    """A brown iris with a pupil of half its width, drawn over the photograph's."""
    image = astronaut_sitter.portrait.image.copy()
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    eyes = seen_eyes(astronaut_sitter)
    for eye in eyes:
        away = np.hypot(x - eye.iris[0], y - eye.iris[1]) / 12
        image[away < 1] = (0.45, 0.3, 0.2)
        image[away < 0.5] = 0.05
    wide = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], 1)
    shown = tuple(
        replace(eye, image=image, iris_px=12.0, opening=eye.iris + 30 * wide) for eye in eyes
    )
    share, colour = _pupil((shown[0], shown[1]), np.array([0.45, 0.3, 0.2], np.float32))
    assert share == pytest.approx(0.5, abs=0.08)
    assert colour.max() < 0.12


def test_an_irises_shade_from_the_lid_does_not_turn_with_it():
    angle = np.arange(48) * 2 * np.pi / 48
    shares = np.linspace(0.38, 0.97, 10)
    shaded = np.exp(-0.8 * shares[:, None] * np.sin(angle))[..., None] * np.ones(3)
    even = _evenly_lit(shaded.astype(np.float32))
    assert np.ptp(even.mean(2)) < 0.1 * np.ptp(shaded.mean(2))
