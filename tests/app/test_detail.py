"""How many Gaussians are drawn for a head of some size; what it does to a picture."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundled import avatar_path
from app.detail import BACK_AT, BELOW_PX, DetailedPosing, detailed, head_height_px
from app.posing import neutral_motion
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.level_of_detail import LOST, Level, levels_of_detail
from avatar.types import ARKIT_NAMES, Gaussians, MotionFrame
from render.camera import orbit_view
from render.cpu import CpuRenderer
from render.gl import GlRenderer

SMALL, SMALLER = BELOW_PX[1][0], BELOW_PX[0][0]


SHARES = (1.0, 0.75, 0.65, 0.5, 0.4)


class Named:
    """Poses nothing, but says which level it is."""

    def __init__(self, share: float) -> None:
        self.share = share

    def gaussians(self, motion: object, *, seen_from: object) -> Any:
        return self.share


def named_levels() -> DetailedPosing:
    nobody: Any = None
    levels = zip((0.0, *LOST), SHARES, strict=True)
    return DetailedPosing([(Level(nobody, share, lost), Named(share)) for lost, share in levels])


@pytest.fixture
def posing() -> DetailedPosing:
    return named_levels()


def drawn(posing: DetailedPosing, head_px: float, most: float = 1.0) -> float:
    posing.choose(head_px, most)
    assert posing.gaussians(neutral_motion(), seen_from=np.zeros(3)) == posing.share
    return posing.share


def test_small_heads_get_fewer_gaussians_and_large_ones_all(posing):
    assert drawn(posing, 1000) == drawn(posing, SMALL) == 1.0
    assert drawn(posing, SMALL - 1) == 0.75
    assert drawn(posing, SMALLER - 1) == 0.65
    assert drawn(posing, 5) == 0.65  # never those that a person could tell from the whole
    assert drawn(posing, 1000) == 1.0


def test_a_head_at_the_border_of_a_size_does_not_change_every_frame(posing):
    assert drawn(posing, SMALL - 1) == 0.75
    for head_px in (SMALL + 5, SMALL - 5, SMALL * BACK_AT - 1):
        assert drawn(posing, head_px) == 0.75
    assert drawn(posing, SMALL * BACK_AT + 1) == 1.0
    assert drawn(posing, SMALL + 5) == 1.0


def test_a_display_that_cannot_hold_its_rate_gets_no_more_than_it_asks_for(posing):
    assert [drawn(posing, 1000, most) for most in (1.0, 0.9, 0.7, 0.5, 0.1)] == [
        *(1.0, 0.75, 0.65, 0.5),
        0.4,  # as far as it goes
    ]
    assert drawn(posing, 1000) == 1.0
    assert drawn(posing, 100, 0.9) == 0.65


@given(st.floats(1, 3000), st.floats(0, 1))
def test_more_pixels_and_more_leave_never_draw_fewer(head_px, most):
    share = drawn(named_levels(), head_px, most)
    assert drawn(named_levels(), 1.5 * head_px, most) >= share
    assert drawn(named_levels(), head_px, min(1, 1.5 * most)) >= share
    assert share <= max(most, SHARES[-1])


def test_a_heads_height_is_that_of_its_projection():
    view = orbit_view(0.3, 0.0, 1.5, width=400, height=600)
    top, bottom = view.project([[0, 0.10, -0.06], [0, -0.16, -0.06]])
    assert head_height_px(view, 1.5) == pytest.approx(bottom[1] - top[1], rel=0.02)


def lively(seed: int) -> MotionFrame:
    """A face that the order of the splats was not made from."""
    chance = np.random.default_rng(seed)
    expression = chance.random(len(ARKIT_NAMES)) * (chance.random(len(ARKIT_NAMES)) < 0.35)
    return replace(
        neutral_motion(),
        expression=expression.astype(np.float32),
        gaze=chance.normal(0, 0.2, 2).astype(np.float32),
        head_rotation=chance.normal(0, 0.15, 3).astype(np.float32),
    )


@pytest.fixture(scope="module")
def levels() -> list[Level]:
    return levels_of_detail(load_avatar(avatar_path(DEFAULT_AVATAR)))


def test_levels_are_nested_and_always_the_same(levels):
    shares = [level.share for level in levels]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert shares[1] < 0.8
    again = levels_of_detail(levels[0].avatar)
    for level, same in zip(levels, again, strict=True):
        assert np.array_equal(level.avatar.bound_position, same.avatar.bound_position)
    rows = lambda level: {row.tobytes() for row in level.avatar.bound_position}  # noqa: E731
    for larger, smaller in pairwise(levels):
        assert rows(smaller) <= rows(larger)


@pytest.mark.parametrize("head_px", [64, 128, 256])
def test_what_is_left_out_does_not_show(levels, head_px):
    posing = DetailedPosing([(level, Deformer(level.avatar)) for level in levels])
    side = round(head_px / 0.59)
    cpu = CpuRenderer()
    for seed in range(2):
        for yaw in (0.0, 0.5, -1.0):
            view = orbit_view(yaw, 0.05, 1.0, width=side, height=side)
            assert head_height_px(view, 1.0) == pytest.approx(head_px, rel=0.03)
            pictures = []
            for height in (1e4, head_px):
                posing.choose(height)
                gaussians = posing.gaussians(lively(seed), seen_from=view.position)
                assert isinstance(gaussians, Gaussians)
                pictures.append(cpu.render(gaussians, [view], (0.5, 0.5, 0.5)).astype(float))
            assert posing.share < 0.8
            assert 10 * np.log10(255**2 / np.mean((pictures[0] - pictures[1]) ** 2)) > 44


def test_a_card_keeps_all_levels_and_gives_them_back(small_avatar):
    view = orbit_view(0.0, 0.0, 1.0, width=64, height=64)
    with GlRenderer() as card:
        whole = detailed(small_avatar)
        posing = whole.posed_by(card)
        for head_px in (1e4, 50):
            for each in (whole, posing):
                each.choose(head_px)
            got = card.render(posing.gaussians(lively(1), seen_from=view.position), [view])
            plain = whole.gaussians(lively(1), seen_from=view.position)
            assert isinstance(plain, Gaussians)
            expected = CpuRenderer().render(plain, [view])
            assert np.abs(got.astype(int) - expected).mean() < 0.1
        posing.release()
        with pytest.raises(AssertionError, match="released"):
            posing.gaussians(lively(1), seen_from=view.position)
