"""What a headset's eyes are shown, without a headset: by OpenGL alone."""

from collections.abc import Iterator

import moderngl
import numpy as np
import pytest

from app.eye_quality import eye_parts
from app.headset import body_of
from app.placement import Placement
from render.camera import View
from render.choose import open_renderer
from render.eye_painter import (
    FAR_M,
    NEAR_M,
    Board,
    EyePainter,
    EyePictures,
    depth_terms,
    pointer_ray,
)
from render.gl import unseen_context
from render.headset import Eye
from render.pose import Pose, middle
from tests.render.scenes import gaussians_of

SIZE = 400, 320
NONE = np.zeros((0, 7), np.float32)
PLACEMENT = Placement((0.0, 1.6, -1.0))
# A frustum as headsets have it: wider to one side, and further down than up.
EYE = Eye(Pose.turned((0.1, 1.55, 0.1), 0.15, -0.05), (-0.85, 0.65, -0.8, 0.6))


@pytest.fixture(scope="module")
def context() -> Iterator[moderngl.Context]:
    opened = unseen_context()
    with opened:
        yield opened
    opened.release()


def painted(
    context: moderngl.Context,
    place: tuple[float, float, float] = (0.0, 0.0, 0.0),
    *,
    scale: float = 1.0,
    is_encoded: bool = True,
    mask: np.ndarray | None = None,
    size: float = 0.006,
    **more,
) -> tuple[np.ndarray, np.ndarray, View]:
    """Picture [H, W, 4], depth [H, W] and the whole view of `EYE`, with one white ball."""
    depths = context.depth_texture(SIZE)
    target = context.framebuffer([context.texture(SIZE, 4)], depths)
    ball = gaussians_of([place], size, 1.0, (1.0, 1.0, 1.0))
    box = np.array([np.array(place) - 0.03, np.array(place) + 0.03])
    view = View.from_eye(
        PLACEMENT.avatar_from_eye(EYE.pose.matrix()),
        **dict(zip(("left", "right", "down", "up"), EYE.angles, strict=True)),
        width=SIZE[0],
        height=SIZE[1],
    )
    (part,) = eye_parts([view], box, scale)
    picture = open_renderer("cpu").render_with_alpha(ball, [part, part])
    pictures = EyePictures(context)
    pictures.upload(picture)
    painter = EyePainter(context, is_encoded=is_encoded)
    painter.show_only([mask, None])
    more = {"marks": NONE, **more}
    painter.paint(target, SIZE, 0, EYE, pictures.shown[0], part, body_of(PLACEMENT), **more)
    colour = np.frombuffer(target.read(components=4), np.uint8).reshape(SIZE[1], SIZE[0], 4)[::-1]
    depth = np.frombuffer(depths.read(), np.float32).reshape(*SIZE[::-1])[::-1]
    assert context.error == "GL_NO_ERROR"
    painter.release()
    pictures.release()
    return colour, depth, view


def centre(picture: np.ndarray) -> np.ndarray:
    light = np.maximum(picture[..., :3].astype(float).min(axis=2) - 80, 0)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (0.2, -0.15, 0.05), (-0.2, 0.1, -0.1)])
def test_a_leaning_frustum_puts_a_landmark_where_the_eye_sees_it(context, place, scale):
    picture, _, view = painted(context, place, scale=scale)
    assert centre(picture) == pytest.approx(view.project(np.array(place))[:2], abs=0.5)
    point = (PLACEMENT.room_from_avatar() @ [*place, 1.0])[:3]
    assert EYE.view(*SIZE).project(point)[:2] == pytest.approx(view.project(np.array(place))[:2])


def test_colours_reach_the_picture_as_they_were_drawn(context):
    # A whole area of one colour: encoded targets take its bytes, linear ones its light.
    encoded, _, view = painted(context, size=0.05)
    linear, _, _ = painted(context, size=0.05, is_encoded=False)
    x, y = view.project(np.zeros(3))[:2].astype(int)
    assert encoded[y, x, :3].astype(int) == pytest.approx((254, 254, 254), abs=2)
    wall, dark = (one[5, 5, :3].astype(float) for one in (encoded, linear))
    assert dark == pytest.approx(255 * ((wall / 255 + 0.055) / 1.055) ** 2.4, abs=1.0)
    assert (encoded[..., 3] == 255).all()


def test_the_room_is_calm_and_dark_with_a_floor_that_is_lit_below_the_avatar(context):
    picture, _, _ = painted(context, size=0.001)
    grey = picture[..., :3].astype(float).mean(axis=2)
    assert np.median(grey) < 45
    far_ahead = EYE.view(*SIZE).project(np.array([0.0, 1.55, -50.0]))
    horizon = grey[far_ahead.astype(int)[1]]
    assert grey[-1].max() > 1.4 * np.median(horizon)
    assert np.abs(np.diff(grey[:100].mean(axis=1))).max() < 1.5  # nothing to look at above


def test_without_the_room_only_the_avatar_is_there(context):
    picture, _, view = painted(context, size=0.03, room=0.0)
    x, y = view.project(np.zeros(3))[:2].astype(int)
    assert picture[y, x, 3] > 250
    assert (picture[5, 5] == 0).all()


def test_depth_is_the_avatars_head_and_the_floor(context):
    _, depth, view = painted(context, size=0.05)
    a, b = depth_terms(NEAR_M, FAR_M)
    metres = b / (depth - a)
    x, y, away = view.project(np.zeros(3))
    # The ball that stands for the head reaches a few centimetres before the point between its eyes.
    assert metres[int(y), int(x)] == pytest.approx(away - 0.05, abs=0.05)
    floor = np.array([0.3, 0.0, -1.5])
    column, row, far = EYE.view(*SIZE).project(floor)
    if 0 <= row < SIZE[1]:
        assert metres[int(row), int(column)] == pytest.approx(far, rel=0.02)
    near, far = (a + b / distance for distance in (NEAR_M, FAR_M))
    assert (near, far) == pytest.approx((0.0, 1.0))


def test_what_the_lens_hides_is_not_drawn(context):
    left, right, down, up = np.tan(EYE.angles)
    triangle = np.array([[left, down], [right, down], [left, up]], np.float32)
    picture, _, _ = painted(context, mask=triangle)
    assert (picture[5, SIZE[0] - 5] == 0).all()
    assert picture[SIZE[1] - 5, 5, 3] == 255


def test_rays_and_boards_lie_where_they_are_in_the_room(context):
    start, end = np.array([0.2, 1.3, -0.3]), np.array([-0.1, 1.5, -0.9])
    tint = np.array([1.0, 0.0, 0.0, 1.0], np.float32)
    texture = context.texture((2, 2), 4, np.tile(np.array([0, 255, 0, 255], np.uint8), 4).tobytes())
    board = Board(texture, Pose((0.3, 1.7, -1.2)), (0.1, 0.2))
    picture, _, _ = painted(
        context, size=0.001, marks=pointer_ray(start, end, EYE, tint), boards=(board,)
    )
    view = EYE.view(*SIZE)
    x, y = view.project(start + 0.02 * (end - start))[:2]
    around = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].astype(int)
    assert around[..., 0].max() > 180
    green = (picture[..., 1].astype(int) - picture[..., 0]) > 150
    rows, columns = np.nonzero(green)
    corners = view.project(np.array([[0.25, 1.8, -1.2], [0.35, 1.6, -1.2]]))[:, :2]
    found = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    assert found == pytest.approx(corners, abs=6)  # it is turned against the eye a little
    texture.release()


def test_poses_and_their_matrices_agree():
    pose = Pose.turned((1.0, 2.0, 3.0), 0.7, 0.3)
    matrix = pose.matrix()
    assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3))
    assert pose.forward == pytest.approx(
        [-np.sin(0.7) * np.cos(0.3), np.sin(0.3), -np.cos(0.7) * np.cos(0.3)]
    )
    assert pose.yaw_rad == pytest.approx(0.7)
    for pitch in (1.56, -1.56):  # straight up and down the direction is not lost
        assert Pose.turned((0, 0, 0), 0.7, pitch).yaw_rad == pytest.approx(0.7, abs=1e-6)
    half = middle(Pose.turned((0, 0, 0), 0.2), Pose.turned((2, 0, 0), 0.4))
    assert half.position == (1, 0, 0)
    assert half.yaw_rad == pytest.approx(0.3)
