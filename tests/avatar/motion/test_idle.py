"""Life without words: rates, limits, smoothness, chance."""

from itertools import pairwise
from math import degrees, radians

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.motion.idle import Blinks, IdleLife, Life, Spring
from avatar.types import MOTION_RATE

MINUTE = 60 * MOTION_RATE


def live(seconds: float, seed: int = 0, talking: bool = False) -> list[Life]:
    life = IdleLife(seed)
    frames = []
    for frame in range(int(seconds * MOTION_RATE)):
        beat = talking and frame % 20 < 8  # syllables, 2.5 a second
        frames.append(life.step(0.95 if talking else 0.02, 0.14 if beat else 0.01))
    return frames


def column(frames: list[Life], name: str) -> np.ndarray:
    return np.array([getattr(frame, name) for frame in frames])


def blinks_in(frames: list[Life]) -> int:
    return sum(a < 0.5 <= b for a, b in pairwise(column(frames, "blink").tolist()))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_people_blink_15_to_20_times_a_minute_at_rest_and_more_in_talk(seed: int) -> None:
    rest, talk = live(360, seed), live(360, seed, talking=True)
    assert 13 <= blinks_in(rest) / 6 <= 22
    assert 15 <= blinks_in(talk) / 6 <= 28


def test_a_blink_closes_faster_than_it_opens_and_shuts_the_eye() -> None:
    blinks = Blinks(np.random.default_rng(0))
    lids = np.array([blinks.step(0.0, 0.0) for _ in range(20 * MOTION_RATE)])
    starts = np.flatnonzero((lids[:-1] == 0) & (lids[1:] > 0)) + 1
    one = lids[starts[0] : starts[0] + 15]
    peak = int(one.argmax())
    assert one.max() > 0.9
    assert peak <= 4
    assert np.count_nonzero(one[peak:] > 0.02) >= 8


@pytest.mark.parametrize("talking", [False, True])
def test_everything_stays_within_human_limits(talking: bool) -> None:
    frames = live(240, 5, talking)
    head = np.degrees(column(frames, "head"))
    assert np.abs(head).max() <= 9
    assert 0.3 < head[:, 1].std() < 4
    assert np.abs(column(frames, "move")).max() < 0.01
    for name in ("gaze_yaw", "gaze_pitch"):
        assert np.abs(column(frames, name)).max() <= radians(20)
    for name in ("blink", "emphasis", "smile"):
        assert 0 <= column(frames, name).min() <= column(frames, name).max() <= 1
    assert np.abs(column(frames, "brows")).max() <= 1


def test_only_lids_and_saccades_are_fast() -> None:
    frames = live(120, 2, talking=True)
    head_speed = np.abs(np.diff(np.degrees(column(frames, "head")), axis=0)) * MOTION_RATE
    assert head_speed.max() < 40  # degrees a second; a brisk nod is 100
    head_jerk = np.abs(np.diff(np.degrees(column(frames, "head")), n=2, axis=0))
    assert head_jerk.max() < 0.25
    gaze_speed = np.abs(np.diff(np.degrees(column(frames, "gaze_yaw")))) * MOTION_RATE
    assert gaze_speed.max() < 600  # the peak of a large saccade
    assert np.abs(np.diff(column(frames, "brows"))).max() < 0.08
    assert np.abs(np.diff(column(frames, "smile"))).max() < 0.01


def test_the_eyes_are_mostly_on_the_viewer_and_stay_there_while_the_head_turns() -> None:
    frames = live(300, 1)
    # gaze in the room = gaze against the head + the head's own turn
    yaw = column(frames, "gaze_yaw") + column(frames, "head")[:, 1]
    pitch = column(frames, "gaze_pitch") - column(frames, "head")[:, 0]
    at_viewer = np.hypot(np.degrees(yaw), np.degrees(pitch)) < 4
    assert 0.75 < at_viewer.mean() < 0.99
    saccades = (np.abs(np.diff(np.degrees(yaw))) > 0.4).sum()
    assert saccades > 60


def test_the_face_is_never_frozen() -> None:
    for talking in (False, True):
        frames = live(60, 3, talking)
        head = np.abs(np.diff(column(frames, "head"), axis=0)).max(1)
        assert (head > radians(0.001)).mean() > 0.99
        halves = np.split(np.degrees(column(frames, "head")), 12)
        assert min(half.std(0).max() for half in halves) > 0.05


def test_a_stressed_voice_nods_and_lifts_the_brows() -> None:
    calm, talking = live(120, 4), live(120, 4, talking=True)
    assert column(talking, "emphasis").mean() > 0.1 > column(calm, "emphasis").mean()
    nod = column(talking, "head")[:, 0] - column(calm, "head")[:, 0]
    assert degrees(nod.std()) > 0.1
    assert column(talking, "brows").max() > column(calm, "brows").max() + 0.05


def test_the_seed_decides_and_repeats() -> None:
    assert live(20, 7, True) == live(20, 7, True)
    assert live(20, 7) != live(20, 8)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_a_spring_never_leaves_the_range_of_its_targets_by_much(targets: list[float]) -> None:
    spring = Spring(frequency=2)
    for target in targets:
        value = spring.step(target)
        assert abs(value) <= 1.3
    value = [spring.step(targets[-1]) for _ in range(200)][-1]
    assert value == pytest.approx(targets[-1], abs=1e-4)
