"""A silhouette is inflated: round where it is round, exact at its outline, nothing elsewhere."""

import numpy as np
import pytest

from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.relief import Relief, Surroundings, build_relief, middle_surface
from avatar.types import Float

SIDE_PX = 200
PIXELS_PER_METRE = 1000.0
RADIUS_PX = 60.0
CAMERA = PhotoCamera(
    rotation=np.eye(3, dtype=np.float32),
    translation=np.array([0, 0, -CAMERA_DISTANCE_M], np.float32),
    focal_px=PIXELS_PER_METRE * CAMERA_DISTANCE_M,
    centre_px=(SIDE_PX / 2, SIDE_PX / 2),
)


def disc(radius_px: float) -> Float:
    """[H, W] 1 within a disc in the picture's middle."""
    x, y = np.meshgrid(np.arange(SIDE_PX) + 0.5, np.arange(SIDE_PX) + 0.5)
    return (np.hypot(x - SIDE_PX / 2, y - SIDE_PX / 2) < radius_px).astype(np.float32)


def relief_of(person: Float, face: Float) -> Relief:
    """No template underneath; everything is above the chin."""
    nowhere = np.full_like(person, np.inf)
    scene = Surroundings(
        person=person,
        face=face,
        front=nowhere,
        back=-nowhere,
        middle=middle_surface(CAMERA, 0.0, SIDE_PX, SIDE_PX),
        chin_row=float(SIDE_PX),
        still_row=float(SIDE_PX),
    )
    return build_relief(scene, CAMERA)


@pytest.fixture(scope="module")
def ball() -> Relief:
    return relief_of(disc(RADIUS_PX), np.zeros((SIDE_PX, SIDE_PX), np.float32))


def from_middle_px(relief: Relief) -> Float:
    return np.linalg.norm(relief.pixel - SIDE_PX / 2, axis=1)


def test_a_disc_becomes_a_ball(ball: Relief):
    assert np.isfinite(ball.vertices).all()
    radius = RADIUS_PX / PIXELS_PER_METRE
    inner = from_middle_px(ball) < 0.8 * RADIUS_PX
    # Great heights are held back a little, and the grid is as coarse as a twelfth of the radius.
    np.testing.assert_allclose(np.linalg.norm(ball.vertices[inner], axis=1), radius, rtol=0.12)
    assert (ball.vertices[inner & ~ball.is_back, 2] > 0).all()
    assert (ball.vertices[inner & ball.is_back, 2] < 0).all()


def test_the_outline_is_the_masks(ball: Relief):
    seen = CAMERA.project(ball.vertices)[:, :2]
    np.testing.assert_allclose(seen, ball.pixel, atol=0.02)
    flat = np.abs(ball.vertices[:, 2]) < 1e-3
    at_outline = np.abs(from_middle_px(ball)[flat] - RADIUS_PX) < 1.5
    assert at_outline.all()
    turns = ball.pixel[flat][at_outline] - SIDE_PX / 2
    angles = np.sort(np.arctan2(turns[:, 1], turns[:, 0]))
    assert np.diff(angles).max() < np.radians(12), "the outline has a gap"


def test_the_rim_that_carries_the_soft_border_bends_around_the_outline(ball: Relief):
    rim = from_middle_px(ball) > RADIUS_PX + 1.5
    front, back = (ball.vertices[rim & (ball.is_back == is_back), 2] for is_back in (False, True))
    assert front.max() < -0.002, "it stands beside the outline as a flange that faces the camera"
    assert back.max() < front.min() - 0.002, "guessed hair would cover the photograph's"
    bare = relief_of(disc(RADIUS_PX), disc(RADIUS_PX - 3))
    rim = (from_middle_px(bare) > RADIUS_PX + 1.5) & ~bare.is_back
    assert bare.vertices[rim, 2].max() < -0.015, "beside skin it faces aside, and is not learned"


def test_there_is_nothing_where_there_is_no_person(ball: Relief):
    assert from_middle_px(ball).max() < RADIUS_PX + 7  # a rim of about one cell
    aside = np.roll(disc(30), (-50, 40), axis=(0, 1))
    moved = relief_of(aside, np.zeros_like(aside))
    np.testing.assert_allclose(moved.pixel.mean(0), [140, 50], atol=2)


def test_triangles_face_outwards(ball: Relief):
    a, b, c = (ball.vertices[ball.triangles[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    inner = (from_middle_px(ball)[ball.triangles] < 0.8 * RADIUS_PX).all(1)
    assert ((normals * (a + b + c)).sum(1)[inner] > 0).all()


def test_the_face_is_left_to_the_template_but_for_a_tucked_border():
    opened = relief_of(disc(RADIUS_PX), disc(40))
    front = from_middle_px(opened)[~opened.is_back]
    assert front.min() > 40 - 4 * 5  # three cells of 5 pixels run under the face
    assert from_middle_px(opened)[opened.is_back].min() < 5


def test_the_middle_surface_is_the_plane_asked_for():
    turn = np.array([[0.96, 0, 0.28], [0, 1, 0], [-0.28, 0, 0.96]], np.float32)
    camera = PhotoCamera(
        rotation=turn,
        translation=np.array([0.01, 0.02, -CAMERA_DISTANCE_M], np.float32),
        focal_px=1400.0,
        centre_px=(90.0, 110.0),
    )
    ahead = middle_surface(camera, -0.05, SIDE_PX, SIDE_PX)
    x, y = np.meshgrid(np.arange(SIDE_PX) + 0.5, np.arange(SIDE_PX) + 0.5)
    points = camera.unproject(np.stack([x, y], -1), ahead)
    np.testing.assert_allclose(points[..., 2], -0.05, atol=1e-6)
