"""The measures say what they are said to say."""

import numpy as np
import pytest

from app.comparison import landmark_error, likeness
from app.photo_view import photo_view
from app.reenactment import Square
from avatar.portrait.camera import PhotoCamera
from avatar.portrait.landmarks import FoundFace


def test_only_the_person_counts():
    rng = np.random.default_rng(0)
    wanted = rng.uniform(0, 1, (48, 48, 3)).astype(np.float32)
    person = np.zeros((48, 48), np.float32)
    person[12:36, 12:36] = 1
    beside = wanted.copy()
    beside[:4] = 1 - beside[:4]
    same = likeness(beside, wanted, person)
    assert same.psnr > 90
    assert same.ssim == pytest.approx(1, abs=1e-6)
    off = likeness(np.clip(wanted * 0 + 0.5, 0, 1), wanted, person)
    error = float(np.mean((0.5 - wanted[12:36, 12:36]) ** 2))
    assert off.psnr == pytest.approx(-10 * np.log10(error), abs=1e-4)
    assert off.ssim < 0.2
    assert same.sharpness == pytest.approx(1)
    assert off.sharpness == 0


def test_landmarks_are_measured_in_eye_distances():
    points = np.random.default_rng(1).uniform(0, 100, (478, 3)).astype(np.float32)
    face = FoundFace(points)
    assert landmark_error(points, face) == 0
    moved = points + np.array([3, 4, 0], np.float32)
    assert landmark_error(moved, face) == pytest.approx(5 / face.eye_distance_px, rel=1e-4)


@pytest.mark.parametrize("side", [40, 160])
def test_the_square_cuts_picture_and_landmarks_alike(side: int):
    """A bright dot stands at its landmark, whatever the scale and wherever the square lies."""
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[116:124, 156:164] = 255
    square = Square(left=100.5, top=90.25, side=80.0)
    part, inside = square.cut(picture, side)
    points = np.zeros((478, 3), np.float32)
    points[0, :2] = (160, 120)
    there = square.face(FoundFace(points), side).landmarks[0, :2]
    light = part[..., 0].astype(float)
    rows, columns = np.mgrid[0:side, 0:side] + 0.5
    middle = (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
    np.testing.assert_allclose(middle, there, atol=0.35 * side / 80 + 0.1)
    assert inside.all()
    _, beyond = Square(left=-40, top=0, side=80).cut(picture, 20)
    assert not beyond[:, :10].any()
    assert beyond[:, 10:].all()


def test_the_photographs_camera_is_the_renderers():
    rng = np.random.default_rng(2)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    camera = PhotoCamera(
        rotation=(turn * np.sign(np.linalg.det(turn))).astype(np.float32),
        translation=np.array([0.02, 0.01, -1.4], np.float32),
        focal_px=900.0,
        centre_px=(320.0, 240.0),
    )
    points = rng.normal(0, 0.1, (10, 3))
    view = photo_view(camera, (320, 240), (640, 480))
    np.testing.assert_allclose(
        view.project(points)[:, :2], camera.project(points)[:, :2] / 2, atol=1e-3
    )
