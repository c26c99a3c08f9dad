"""Where a point of avatar space lands on the picture, by both conventions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from render.camera import FLIP_Y_AND_Z, PORTRAIT_TARGET, View, orbit_view

angle = st.floats(0.1, 1.1)
coordinate = st.floats(-1, 1)
turn = st.floats(-3.1, 3.1)
TARGET = np.array(PORTRAIT_TARGET)


def pose(yaw: float, pitch: float, x: float, y: float, z: float) -> np.ndarray:
    """[4, 4] world_from_eye: pitched, then yawed, then moved."""
    around_y = np.array(
        [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
    )
    around_x = np.array(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = around_y @ around_x
    matrix[:3, 3] = x, y, z
    return matrix


def gl_pixel(view: View, point: np.ndarray) -> np.ndarray:
    """Pixel x, y where OpenGL draws the point; its rows count from the bottom."""
    clip = view.clip_from_world(0.05, 100.0) @ np.append(point, 1.0)
    x, y = clip[:2] / clip[3]
    return np.array([(x + 1) / 2 * view.width, (1 - y) / 2 * view.height])


@given(
    left=angle, right=angle, down=angle, up=angle,
    yaw=turn, pitch=turn, x=coordinate, y=coordinate, depth=st.floats(0.1, 5),
)  # fmt: skip
def test_opengl_and_opencv_cameras_hit_the_same_pixel(
    left, right, down, up, yaw, pitch, x, y, depth
):
    world_from_eye = pose(yaw, pitch, 0.3, -0.2, 0.9)
    view = View.from_eye(
        world_from_eye, left=-left, right=right, down=-down, up=up, width=640, height=480
    )
    point = (world_from_eye @ [x, y, -depth, 1.0])[:3]
    pixel = view.project(point)
    assert np.allclose(gl_pixel(view, point), pixel[:2], atol=1e-6)
    assert pixel[2] == pytest.approx(depth)


@given(left=angle, right=angle, down=angle, up=angle, yaw=turn, pitch=turn)
def test_an_eye_comes_back_as_it_was_given(left, right, down, up, yaw, pitch):
    world_from_eye = pose(yaw, pitch, 1.0, 2.0, 3.0)
    view = View.from_eye(
        world_from_eye, left=-left, right=right, down=-down, up=up, width=800, height=900
    )
    assert np.allclose(view.half_angles(), [-left, right, -down, up])
    assert np.allclose(view.world_from_eye(), world_from_eye)


def test_the_edges_of_a_headset_view_are_the_edges_of_its_image():
    left, right, down, up = -0.94, 0.70, -0.87, 0.75
    view = View.from_eye(
        np.eye(4), left=left, right=right, down=down, up=up, width=1832, height=1920
    )
    top_left = view.project([math.tan(left), math.tan(up), -1.0])
    bottom_right = view.project([math.tan(right), math.tan(down), -1.0])
    assert np.allclose(top_left, [0, 0, 1], atol=1e-9)
    assert np.allclose(bottom_right, [1832, 1920, 1])


def test_near_and_far_are_the_ends_of_clip_space():
    view = orbit_view(0, 0, 1.0)
    for depth, end in ((0.05, -1.0), (100.0, 1.0)):
        clip = view.clip_from_eye(0.05, 100.0) @ [0, 0, -depth, 1.0]
        assert clip[2] / clip[3] == pytest.approx(end)


@given(yaw=turn, pitch=st.floats(-1.5, 1.5), distance=st.floats(0.2, 10))
def test_an_orbiting_camera_keeps_its_target_in_the_middle(yaw, pitch, distance):
    view = orbit_view(yaw, pitch, distance, width=300, height=200)
    assert np.allclose(view.project(PORTRAIT_TARGET), [150, 100, distance])
    rotation = view.camera_from_world[:3, :3]
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)


def test_yaw_takes_the_camera_to_the_left_of_the_avatar_and_pitch_up():
    left = orbit_view(0.5, 0.0, 2.0).world_from_eye()[:3, 3]
    above = orbit_view(0.0, 0.5, 2.0).world_from_eye()[:3, 3]
    front = orbit_view(0.0, 0.0, 2.0).world_from_eye()[:3, 3]
    assert left[0] > 0.5
    assert above[1] > front[1] + 0.5
    assert np.allclose(front, TARGET + np.array([0, 0, 2.0]))


def test_the_picture_is_upright_and_not_mirrored():
    view = orbit_view(0.0, 0.0, 1.0)
    middle = view.project(PORTRAIT_TARGET)
    up = view.project(TARGET + np.array([0, 0.1, 0]))
    # The avatar faces the viewer, so its own left is on the picture's right.
    avatars_left = view.project(TARGET + np.array([0.1, 0, 0]))
    assert up[1] < middle[1]
    assert avatars_left[0] > middle[0]


def test_straight_above_is_a_view_like_any_other():
    view = orbit_view(0.3, math.pi / 2, 1.0)
    assert np.isfinite(view.camera_from_world).all()
    assert np.allclose(view.project(PORTRAIT_TARGET), [256, 256, 1.0])


def test_at_one_metre_a_head_with_hair_and_neck_fills_the_frame():
    # An adult head in avatar space: crown 0.13 above the eyes, collar 0.2 below, 0.16 wide.
    view = orbit_view(0.0, 0.0, 1.0, width=512, height=512)
    crown, collar = view.project([0, 0.13, -0.08]), view.project([0, -0.2, -0.08])
    assert 20 < crown[1] < 110
    assert 400 < collar[1] < 500


def test_the_two_conventions_differ_by_a_half_turn_about_x():
    assert np.allclose(FLIP_Y_AND_Z @ FLIP_Y_AND_Z, np.eye(4))
    assert np.linalg.det(FLIP_Y_AND_Z) == pytest.approx(1.0)
