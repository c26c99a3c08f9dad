"""Skin that stands out of the person is drawn in to the outline; the face stays as fitted."""

import cv2
import numpy as np
import pytest

from avatar.head.rasterise import rasterise
from avatar.head.template import load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.fit import FaceFit
from avatar.portrait.outline import within_outline
from avatar.types import Float, Portrait

SIDE = 300
CAMERA = PhotoCamera(
    rotation=np.eye(3, dtype=np.float32),
    translation=np.array([0, 0, -CAMERA_DISTANCE_M], np.float32),
    focal_px=800 * CAMERA_DISTANCE_M,
    centre_px=(SIDE / 2, SIDE / 2),
)
TEMPLATE = load_template()
FIT = FaceFit(
    camera=CAMERA,
    identity=np.zeros(len(TEMPLATE.identity_names), np.float32),
    expression=np.zeros(52, np.float32),
    gaze=np.zeros(2, np.float32),
    neutral=TEMPLATE.vertices,
    landmark_error=0.0,
)


def silhouette(vertices: Float) -> Float:
    depth = rasterise(CAMERA.project(vertices), TEMPLATE.triangles, SIDE, SIDE).depth
    return np.isfinite(depth).astype(np.float32)


def portrait(person: Float) -> Portrait:
    return Portrait(
        image=np.zeros((SIDE, SIDE, 3), np.float32),
        landmarks=np.zeros((478, 3), np.float32),
        person=person,
        faces_found=1,
    )


@pytest.fixture(scope="module")
def slim() -> Float:
    """A person four pixels (5 mm) slimmer all around than the template."""
    eroded = cv2.erode(silhouette(TEMPLATE.vertices), np.ones((9, 9), np.uint8))
    return np.asarray(eroded, np.float32)


def test_the_jaw_is_drawn_in_to_a_slimmer_outline(slim: Float):
    rows = slice(170, 225)  # from under the eyes to the neck
    before = ((silhouette(TEMPLATE.vertices) > 0) & (slim == 0))[rows].sum()
    drawn = within_outline(TEMPLATE, FIT, portrait(slim)).neutral
    after = ((silhouette(drawn) > 0) & (slim == 0))[rows].sum()
    assert after < 0.2 * before
    still = ((silhouette(drawn) == 0) & (slim > 0))[rows].sum()
    assert still < 0.25 * before, "not drawn in further than the outline"


def test_the_middle_of_the_face_stays(slim: Float):
    drawn = within_outline(TEMPLATE, FIT, portrait(slim)).neutral
    moved = np.linalg.norm(drawn - TEMPLATE.vertices, axis=1)
    x, y, z = TEMPLATE.vertices.T
    middle = (np.abs(x) < 0.03) & (np.abs(y) < 0.07) & (z > 0)
    assert moved[middle].max() < 0.0015
    assert moved.max() < 0.015


def test_a_head_inside_the_outline_is_left_alone():
    wide = cv2.dilate(silhouette(TEMPLATE.vertices), np.ones((15, 15), np.uint8))
    person = np.asarray(wide, np.float32)
    assert within_outline(TEMPLATE, FIT, portrait(person)) is FIT


def test_a_mask_that_misses_the_head_moves_little():
    drawn = within_outline(TEMPLATE, FIT, portrait(np.zeros((SIDE, SIDE), np.float32))).neutral
    assert np.isfinite(drawn).all()
    assert np.linalg.norm(drawn - TEMPLATE.vertices, axis=1).max() < 0.03
