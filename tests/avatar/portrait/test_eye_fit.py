"""Lids and eyeballs of the fit lie where the photograph shows them, and blinks still close them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.head.eyeball import eyeball_rotation
from avatar.head.pose import eye_centres, gaze_rotation, pose
from avatar.head.rasterise import rasterise
from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.eye_fit import blink_gain, lid_margins, with_eyes_fitted
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.portrait.sitter import Sitter
from avatar.types import ARKIT_NAMES, Avatar, Float

BOTH = ((Part.EYE_LEFT, LEFT_LIDS, IRIS_LEFT), (Part.EYE_RIGHT, RIGHT_LIDS, IRIS_RIGHT))


def opening_drawn(sitter: Sitter, neutral: Float, part: Part) -> Mask:
    """[H, W] where the photograph's camera would see an eyeball."""
    template = sitter.template
    posed = pose(template, neutral, expression=sitter.fit.expression)
    solid = template.triangle_part != Part.LASHES
    height, width = sitter.portrait.image.shape[:2]
    projected = sitter.fit.camera.project(posed) * (4, 4, 1)
    seen = rasterise(projected, template.triangles[solid], 4 * width, 4 * height).triangle
    return (template.triangle_part[solid][seen] == part) & (seen >= 0)


def overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_the_openings_are_those_of_the_picture(astronaut_sitter: Sitter):
    height, width = astronaut_sitter.portrait.image.shape[:2]
    for part, ring, _ in BOTH:
        points = astronaut_sitter.face.landmarks[list(ring), :2].astype(np.float64)
        wanted = np.zeros((4 * height, 4 * width), np.uint8)
        polygon = lid_margins(points, astronaut_sitter.portrait.image)
        cv2.fillPoly(wanted, [np.round(4 * polygon).astype(np.int32)], 1.0)
        found = opening_drawn(astronaut_sitter, astronaut_sitter.fit.neutral, part)
        assert overlap(found, wanted > 0) > 0.85


def test_each_iris_is_where_the_picture_shows_it(astronaut_sitter: Sitter):
    fit, template = astronaut_sitter.fit, astronaut_sitter.template
    centres, radii = eye_centres(template, fit.neutral)
    for number, (part, _, iris) in enumerate(BOTH):
        ball = fit.neutral[template.eye_vertices(part)] - centres[number]
        axis = (gaze_rotation(fit.gaze) @ eyeball_rotation(ball))[:, 2]
        pixel = fit.camera.project(centres[number] + radii[number] * axis)[:2]
        assert np.linalg.norm(pixel - astronaut_sitter.face.landmarks[iris[0], :2]) < 0.3


def test_a_fitted_eye_stays_as_it_is(astronaut_sitter: Sitter):
    sitter = astronaut_sitter
    again = with_eyes_fitted(sitter.template, sitter.fit, sitter.face, sitter.portrait.image)
    assert np.abs(again.neutral - sitter.fit.neutral).max() < 0.001


def test_lids_slide_along_the_eyeball_and_nothing_else_moves(astronaut_sitter: Sitter):
    """Raised by a tenth of its width, an opening takes its lids along, not brow or nose."""
    sitter, template = astronaut_sitter, astronaut_sitter.template
    face = replace(sitter.face, landmarks=sitter.face.landmarks.copy())
    upper = list(LEFT_LIDS[9:])
    width = np.linalg.norm(face.landmarks[263, :2] - face.landmarks[362, :2])
    face.landmarks[upper, 1] -= 0.1 * width
    moved = with_eyes_fitted(template, sitter.fit, face, sitter.portrait.image).neutral
    skin = template.vertex_part == Part.SKIN
    change = np.linalg.norm(moved - sitter.fit.neutral, axis=1)
    assert 0.001 < change[skin].max() < 0.006
    centres, radii = eye_centres(template, sitter.fit.neutral)
    far = np.linalg.norm(sitter.fit.neutral - centres[0], axis=1) > 2 * radii[0]
    left = sitter.fit.neutral[:, 0] > 0
    assert change[far & left & skin].max() == 0
    lids = skin & (change > 0.001)
    before, after = (
        np.linalg.norm(head - centres[0], axis=1)[lids] for head in (sitter.fit.neutral, moved)
    )
    assert np.abs(after - before).max() < 0.001


def lid_picture(edge_row: float) -> tuple[Float, Array]:
    """Skin over an eye whose upper lid ends, in a dark line, at `edge_row`; its 16 landmarks."""
    rows = np.arange(120)[:, None] + 0.5
    image = np.full((120, 200), 0.7)
    image[:] = np.where(rows > edge_row, 0.6, 0.7)
    image[:] = np.where(np.abs(rows - edge_row + 2) < 2.5, 0.15, image)
    ring = np.zeros((16, 2))
    ring[:9, 0], ring[9:, 0] = np.linspace(40, 160, 9), np.linspace(145, 55, 7)
    ring[:9, 1], ring[9:, 1] = 75, 60
    ring[[0, 8], 1] = 66
    return np.repeat(image[..., None], 3, 2).astype(np.float32), ring


@pytest.mark.parametrize("above", [0.0, 3.0, 6.0])
def test_the_upper_lid_is_raised_to_the_edge_that_shows(above: float):
    image, ring = lid_picture(60 - above)
    found = lid_margins(ring, image)
    assert found[12, 1] == pytest.approx(60 - above, abs=3)
    np.testing.assert_array_equal(found[:9], ring[:9])


def test_without_an_edge_the_landmarks_are_believed():
    _, ring = lid_picture(60)
    np.testing.assert_array_equal(lid_margins(ring, np.full((120, 200, 3), 0.5, np.float32)), ring)


def test_a_blink_of_one_closes_the_lids_and_no_further(astronaut_sitter: Sitter):
    template, neutral = astronaut_sitter.template, astronaut_sitter.fit.neutral
    gain = blink_gain(template, neutral)
    blinks = [ARKIT_NAMES.index("eyeBlink" + side) for side in ("Left", "Right")]
    assert (np.delete(gain, blinks) == 1).all()

    def open_pixels(weight: float) -> int:
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[blinks] = weight * gain[blinks]
        posed = pose(template, neutral, expression=expression)
        view = posed * (3000, -3000, -1) + (256, 64, 1)
        solid = template.triangle_part != Part.LASHES
        seen = rasterise(view, template.triangles[solid], 512, 128).triangle
        eyes = np.isin(template.triangle_part[solid][seen], (Part.EYE_LEFT, Part.EYE_RIGHT))
        return int((eyes & (seen >= 0)).sum())

    assert open_pixels(1.0) <= 0.003 * open_pixels(0.0)
    assert open_pixels(0.85) > 0.003 * open_pixels(0.0)


def test_the_photographs_expression_survives_the_gain(
    first_astronaut: Avatar, astronaut_sitter: Sitter
):
    weights = np.array(first_astronaut.fit["expression"]) * first_astronaut.expression_gain
    np.testing.assert_allclose(weights, astronaut_sitter.fit.expression, atol=1e-6)
