"""The fit finds the turn of heads that are drawn, looked at by FaceMesh, and of known pose."""

from collections.abc import Iterator

import numpy as np
import pytest

from app.bundled import avatar_path
from app.photo_view import drawer, photo_view
from avatar.avatar_file import load_avatar
from avatar.head.pose import identity_shape
from avatar.head.template import load_template
from avatar.portrait.known_heads import Shot, expressed, random_identity, reshaped
from avatar.portrait.landmarks import MediapipeFaceFinder
from avatar.portrait.pose_check import Tried, shots, summary, try_poses
from avatar.types import Avatar

COUNT = 8


@pytest.fixture(scope="module")
def astronaut() -> Avatar:
    return load_avatar(avatar_path("default"))


@pytest.fixture(scope="module")
def tried(astronaut: Avatar) -> Iterator[list[Tried]]:
    with MediapipeFaceFinder() as finder:
        yield try_poses({"astronaut": astronaut}, drawer(), finder, count=COUNT, seed=2)


def test_the_turn_of_a_head_of_known_pose_is_found(tried: list[Tried]):
    turn = np.abs([one.turn for one in tried])
    assert turn.shape == (COUNT, 3)
    # Of these eight the means are 1.4, 2.3 and 0.6 degrees, the worst 4.7: on the looks that the
    # correction was learnt from. On sixty of five other people they are 1.7, 3.0, 0.6 and 11.7.
    assert np.all(turn.mean(0) < (2.0, 3.0, 0.9))
    assert turn.max() < 7


def test_the_summary_counts_what_was_missed(tried: list[Tried]):
    lost = Tried(
        head="lost",
        shot=tried[0].shot,
        turn=np.full(3, np.nan, np.float32),
        gaze=np.full(2, np.nan, np.float32),
    )
    figures = summary([*tried, lost])
    assert figures["pictures"] == COUNT + 1
    assert figures["missed"] == 1
    assert figures["yaw"] == summary(tried)["yaw"]


def test_shots_cover_the_range_with_every_expression_and_distance():
    taken = shots(60, seed=0)
    angles = np.degrees([(shot.yaw, shot.pitch, shot.roll) for shot in taken])
    assert np.all(np.abs(angles).max(0) > (33, 18, 28))
    assert np.all(np.abs(angles).max(0) <= (35, 20, 30))
    assert len({shot.distance_m for shot in taken}) == 3
    assert len({shot.expression.tobytes() for shot in taken}) == 6


def test_the_camera_of_a_shot_and_the_renderers_view_see_the_same_pixels():
    shot = Shot(
        yaw=0.4,
        pitch=-0.2,
        roll=0.3,
        distance_m=0.8,
        expression=expressed(),
        gaze=np.zeros(2, np.float32),
        beside=(0.1, -0.05),
    )
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 3))
    size = shot.side_px, shot.side_px
    view = photo_view(shot.camera, size, size)
    np.testing.assert_allclose(view.project(points), shot.camera.project(points), atol=1e-3)
    middle = shot.camera.project(np.array([[0.0, -0.035, 0.03]]))[0]
    np.testing.assert_allclose(middle, (0.6 * 384, 0.45 * 384, 0.8), atol=1e-3)


def test_a_reshaped_head_is_of_the_morphs_alone_and_carries_its_hair_along(astronaut: Avatar):
    template = load_template()
    identity = random_identity(template, np.random.default_rng(1), 0.6)
    head = reshaped(astronaut, template, identity)
    count = len(template.vertices)
    np.testing.assert_allclose(head.vertices[:count], identity_shape(template, identity), atol=1e-6)
    moved = np.linalg.norm(head.vertices[count:] - astronaut.vertices[count:], axis=1)
    assert 0.0005 < np.median(moved) < 0.05
