"""Looks that meet, with made looks: no headset here tells where its wearer looks."""

import math

import numpy as np
import pytest

from app.attention import AWAY_RAD, Attention
from app.foveation import LEAST, share_of_pixels
from app.mutual_gaze import HELD_S, LEAVES_RAD, MEETS_RAD, NOTICES_S, MutualGaze
from render.pose import Pose
from tests.app.test_attention import STILL, seen_direction

EYES = np.array([0.0, 1.6, -1.0])


def looking(beside_rad: float) -> Pose:
    return Pose.turned((0.0, 1.6, 0.0), beside_rad)


def noticed(looks, gaze=None, rate=90):
    gaze = gaze or MutualGaze()
    return [gaze.update(look, EYES, number / rate) for number, look in enumerate(looks)]


def test_a_look_is_noticed_after_a_moment_and_a_passing_one_is_not():
    held = noticed([looking(0.02)] * 90)
    assert held.index(True) / 90 == pytest.approx(NOTICES_S, abs=0.02)
    assert all(held[held.index(True) :])
    sweep = [looking(0.6 - 0.02 * number) for number in range(60)]
    assert not any(noticed(sweep))


def test_a_trembling_look_holds_and_a_lost_or_gone_one_ends():
    gaze = MutualGaze()
    middle = (MEETS_RAD + LEAVES_RAD) / 2
    assert noticed([looking(0.0)] * 60 + [looking(middle)] * 30, gaze)[-1]
    assert not gaze.update(looking(LEAVES_RAD * 1.1), EYES, 2.0)
    assert not gaze.update(looking(middle), EYES, 2.1)
    assert not any(noticed([looking(middle)] * 90))
    assert not noticed([looking(0.0)] * 60 + [None])[-1]


def test_who_looks_aside_looks_back_when_looked_at_and_away_again_in_time():
    """The same avatar, with and without a look into its eyes at the moment when it looks aside."""
    viewer, rate = np.array([0.0, 0.0, 1.0]), 60

    def beside(attention, is_met, at_s):
        motion = attention.followed(STILL, viewer, at_s, is_met=is_met)
        return math.acos(min(float(seen_direction(motion)[2]), 1.0))

    for seed in range(4):
        alone, met, aside_s = Attention(seed), Attention(seed), None
        course = []
        for number in range(20 * rate):
            at_s = number / rate
            off = beside(alone, False, at_s)
            if aside_s is None and off > AWAY_RAD[0] * 0.9:
                aside_s = at_s
            course.append((at_s, beside(met, aside_s is not None, at_s)))
        assert aside_s is not None
        back = [off for at_s, off in course if aside_s + 0.4 < at_s < aside_s + HELD_S[0]]
        assert max(back) < math.radians(3.0)
        later = [off for at_s, off in course if at_s < aside_s + HELD_S[1] + 1.6]
        assert max(later[round(rate * (aside_s + HELD_S[0])) :]) > AWAY_RAD[0] * 0.9


@pytest.mark.parametrize("look", [looking(0.0), None])
def test_an_avatar_that_may_be_looked_at_is_drawn_in_full(look):
    assert share_of_pixels(looking(0.3), look, EYES, 1.0, math.radians(1 / 20)) == 1.0


def test_beside_the_look_it_is_drawn_more_coarsely_and_beside_the_head_much_further_out():
    pixel = math.radians(1 / 20)
    straight = looking(0.0)
    tracked = [
        share_of_pixels(straight, looking(a), EYES, 1.0, pixel) for a in (0.2, 0.3, 0.35, 0.9)
    ]
    assert tracked == sorted(tracked, reverse=True)
    assert tracked[-1] == LEAST
    untracked = [share_of_pixels(looking(a), None, EYES, 1.0, pixel) for a in (0.5, 0.6, 1.2)]
    assert untracked[0] == 1.0
    assert untracked[-1] == LEAST
    # A headset whose pixels are coarse already loses nothing that it has.
    assert share_of_pixels(straight, looking(0.35), EYES, 1.0, math.radians(1 / 4)) == 1.0
