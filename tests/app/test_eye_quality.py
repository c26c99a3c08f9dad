import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.eye_quality import Quality, Thinning, bounds_of, eye_parts, height_px
from render.camera import View
from render.headset import Eye
from render.pose import Pose
from tests.render.scenes import random_gaussians

PERIOD_S = 1 / 90
BOX = np.array([[-0.2, -0.25, -0.2], [0.2, 0.15, 0.1]])


def eyes(distance: float = 1.0, width: int = 640, height: int = 480) -> list[View]:
    """Two eyes before the avatar whose frusta lean outwards, as headsets' do."""
    return [
        Eye(Pose((-0.032, 0, distance)), (-0.9, 0.6, -0.8, 0.7)).view(width, height),
        Eye(Pose((0.032, 0, distance)), (-0.6, 0.9, -0.8, 0.7)).view(width, height),
    ]


def run(quality: Quality, frames: int, cost, full_px: int = 800) -> list[tuple[float, float]]:
    """Scale and share over frames that take `cost(scale, share)` periods."""
    course = []
    for _ in range(frames):
        quality.observe(cost(quality.scale, quality.share) * PERIOD_S, PERIOD_S, full_px)
        course.append((quality.scale, quality.share))
    return course


def test_a_part_shows_the_same_points_in_the_same_pixels():
    views = eyes()
    parts = eye_parts(views, BOX, 1.0)
    assert {(part.width, part.height) for part in parts} == {(parts[0].width, parts[0].height)}
    assert parts[0].width < views[0].width / 2
    corners = np.array(np.meshgrid(*BOX.T)).reshape(3, -1).T
    for view, part in zip(views, parts, strict=True):
        shift = view.project(corners)[:, :2] - part.project(corners)[:, :2]
        assert np.ptp(shift, axis=0) == pytest.approx((0, 0), abs=1e-9)
        assert shift[0] == pytest.approx(np.round(shift[0]))  # whole pixels: nothing is resampled
        inside = part.project(corners)[:, :2]
        assert inside.min() > 0
        assert (inside < (part.width, part.height)).all()


@pytest.mark.parametrize("scale", [0.35, 0.5, 0.86])
def test_a_coarser_part_covers_the_same_area(scale):
    views = eyes()
    whole, coarse = eye_parts(views, BOX, 1.0)[0], eye_parts(views, BOX, scale)[0]
    assert coarse.half_angles() == pytest.approx(whole.half_angles())
    assert coarse.height == round(whole.height * scale)


def test_an_avatar_around_the_eye_takes_the_whole_view():
    parts = eye_parts(eyes(distance=0.1), BOX, 1.0)
    assert (parts[0].width, parts[0].height) == (640, 480)


def test_an_avatar_out_of_sight_costs_next_to_nothing():
    behind = [
        Eye(Pose.turned((0, 0, 1.0), math.pi), (-0.7, 0.7, -0.7, 0.7)).view(640, 480)
        for _ in range(2)
    ]
    far_aside = [
        Eye(Pose.turned((0, 0, 1.0), 1.2), (-0.3, 0.3, -0.3, 0.3)).view(640, 480) for _ in range(2)
    ]
    assert eye_parts(behind, BOX, 1.0)[0].width <= 640
    assert eye_parts(far_aside, BOX, 1.0)[0].width <= 8


def test_the_box_holds_all_splats():
    # As close to each other as an avatar's: a sample tells of all.
    gaussians = random_gaussians(40_000, 0, size=0.002, spread=0.01)
    means = np.clip(gaussians.means, -0.2, 0.2)
    box = bounds_of(replace(gaussians, means=means))
    assert (means > box[0]).all()
    assert (means < box[1]).all()
    assert np.abs(box).max() < 0.35
    assert height_px(eyes(), BOX) > 100


def test_a_fast_machine_draws_everything():
    assert set(run(Quality(), 500, lambda scale, share: 0.4)) == {(1.0, 1.0)}


def test_pixels_give_way_before_splats():
    course = run(Quality(), 400, lambda scale, share: 0.2 + 1.2 * scale**2)
    scale, share = course[-1]
    assert share == 1.0
    assert 0.5 < scale < 0.85
    assert 0.2 + 1.2 * scale**2 <= Quality.TIGHT
    assert len(set(course[-100:])) == 1  # and stays


def test_splats_give_way_where_pixels_do_not_help():
    course = run(Quality(), 600, lambda scale, share: 1.6 * share)
    scale, share = course[-1]
    assert scale == Quality.LEAST_SCALE
    assert 1.6 * share <= Quality.TIGHT
    coarse_first = [scale for scale, share in course if share == 1.0]
    assert coarse_first[-1] == Quality.LEAST_SCALE


def test_small_pictures_are_not_made_smaller():
    course = run(Quality(), 600, lambda scale, share: 1.6 * share, full_px=100)
    assert {scale for scale, _ in course} == {1.0}


def test_what_was_taken_comes_back_splats_first():
    quality = Quality()
    run(quality, 600, lambda scale, share: 3 * share)
    assert (quality.scale, quality.share) == (Quality.LEAST_SCALE, Quality.LEAST_SHARE)
    course = run(quality, 3000, lambda scale, share: 0.1)
    assert course[-1] == (1.0, 1.0)
    first_finer = next(at for at, (scale, _) in enumerate(course) if scale > Quality.LEAST_SCALE)
    assert course[first_finer][1] == 1.0


def test_a_step_up_that_does_not_hold_is_tried_less_and_less():
    def cost(scale: float, share: float) -> float:
        return 1.2 if scale > 0.9 else 0.5  # a cliff: half full is roomy, full is too much

    course = run(Quality(), 6000, cost)
    full = np.array([scale > 0.9 for scale, _ in course])
    assert full[3000:].mean() < 0.02


def test_one_late_frame_changes_nothing():
    quality = Quality()
    for frame in range(200):
        quality.observe((9.0 if frame % 20 == 0 else 0.5) * PERIOD_S, PERIOD_S, 800)
    assert (quality.scale, quality.share) == (1.0, 1.0)


@given(times=st.lists(st.floats(0.0, 5.0), max_size=300), full=st.integers(1, 3000))
def test_limits_hold_for_any_times(times, full):
    quality = Quality()
    for used in times:
        quality.observe(used * PERIOD_S, PERIOD_S, full)
        assert Quality.LEAST_SCALE <= quality.scale <= 1.0
        assert Quality.LEAST_SHARE <= quality.share <= 1.0


def test_a_first_frame_says_where_to_begin():
    quality = Quality()
    quality.expect(4 * PERIOD_S, PERIOD_S, 800)
    assert quality.scale == pytest.approx(math.sqrt(Quality.TIGHT / 4))
    calm = Quality(adapts=False)
    calm.expect(4 * PERIOD_S, PERIOD_S, 800)
    run(calm, 100, lambda scale, share: 5.0)
    assert (calm.scale, calm.share) == (1.0, 1.0)


def test_thinned_splats_are_always_the_same_and_cover_as_much():
    gaussians = random_gaussians(1000, 0)
    thinning = Thinning(1000)
    half = thinning.thinned(gaussians, 0.5)
    assert len(half) == 500
    area, all_area = (half.scales**2).sum(), (gaussians.scales**2).sum()
    assert area == pytest.approx(all_area, rel=0.15)
    again = thinning.thinned(gaussians, 0.5)
    assert np.array_equal(half.means, again.means)
    fewer = thinning.thinned(gaussians, 0.4)
    kept = {tuple(mean) for mean in half.means.tolist()}
    assert all(tuple(mean) in kept for mean in fewer.means.tolist())
    assert thinning.thinned(gaussians, 1.0) is gaussians
