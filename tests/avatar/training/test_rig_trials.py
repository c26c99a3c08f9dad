"""The measures of the rig say what they are meant to."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.rig.metahuman import METAHUMAN_NAMES, control_table
from avatar.training.rig_trials import (
    as_filmed,
    jerk,
    largest_step_60,
    living,
    plain,
    resampled,
    separation,
    soundness,
    spread,
    spread_together,
)
from avatar.training.takes import take_of
from tests.avatar.rig.faces import motion

TABLE = control_table()


def clips(offset: float, seed: int, count: int = 4) -> list[np.ndarray]:
    """Noise about rest, with brows and mouth held."""
    rng = np.random.default_rng(seed)
    made = [TABLE.rest + 0.1 * rng.standard_normal((300, 174)) for _ in range(count)]
    held = [index for index, region in enumerate(TABLE.regions) if region in ("brow", "mouth")]
    for clip in made:
        clip[:, held] += offset
    return [clip.astype(np.float32) for clip in made]


def test_moods_that_differ_are_told_apart_and_those_that_do_not_are_not():
    apart = separation({"calm": clips(0.0, 0), "angry": clips(0.5, 1)})
    assert apart.accuracy == 1
    assert apart.confusion == [[1, 0], [0, 1]]
    assert apart.clips == 16  # four sounds of two clips of three seconds, in two moods
    same = separation({name: clips(0.0, seed, 12) for seed, name in enumerate("abcd")})
    assert same.accuracy < 0.5  # chance is a quarter


def test_spread_is_that_of_a_region_within_clips_and_over_all_of_them():
    still = [np.tile(TABLE.rest, (50, 1)) for _ in range(2)]
    brows = [index for index, region in enumerate(TABLE.regions) if region == "brow"]
    still[1][:, brows] += 1
    assert spread(still).brows == 0
    assert spread_together(still).brows == pytest.approx(0.5)
    assert spread_together(still).nose == 0
    still[0][::2, brows] += 1
    assert spread(still).brows == pytest.approx(0.25)


def test_jerk_is_the_third_derivative_whatever_the_rate():
    def wave(fps: float) -> np.ndarray:
        times = np.arange(int(4 * fps)) / fps
        controls = np.tile(TABLE.rest, (len(times), 1)).astype(np.float32)
        controls[:, METAHUMAN_NAMES.index("CTRL_L_nose-translateX")] = 0.5 * np.sin(6 * times)
        return controls

    for fps in (25.0, 50.0):
        found = jerk([(wave(fps), fps)])
        assert found["nose"][1] == pytest.approx(0.5 * 6**3, rel=0.05)
        assert found["brows"][1] == pytest.approx(0, abs=1e-3)
        assert found["all but the tongue"] == found["nose"]
    assert jerk([]) == {}


def test_a_take_as_filmed_is_calmer_keeps_its_way_and_shows_no_tongue():
    frames = [  # slow, and trembling 12.5 times a second
        replace(one, expression=0.3 + 0.1 * one.expression + 0.01 * (one.index // 2 % 2))
        for one in motion(150, 50.0)
    ]
    take = take_of(frames)
    filmed, exported = as_filmed(take), living(take)
    calm, raw = jerk([(filmed, 25.0)]), jerk([(exported, 50.0)])
    assert all(calm[name][0] < 0.7 * raw[name][0] for name in ("brows", "mouth", "jaw"))
    tip = METAHUMAN_NAMES.index("CTRL_C_tongue_tip-translateY")
    assert np.ptp(filmed[:, tip]) == 0 < np.ptp(exported[:, tip])
    jaw = METAHUMAN_NAMES.index("CTRL_C_jaw-translateY")
    assert np.corrcoef(filmed[:, jaw], exported[::2, jaw][: len(filmed)])[0, 1] > 0.95


def test_a_take_is_sampled_between_its_frames():
    take = take_of(motion(50, 50.0))
    controls = living(take)
    at_100 = resampled(controls, 50, 100)
    assert len(at_100) == 99
    np.testing.assert_allclose(at_100[::2], controls, atol=1e-6)
    np.testing.assert_allclose(at_100[1], (controls[0] + controls[1]) / 2, atol=1e-6)
    steps = np.abs(np.diff(controls, axis=0)).max()
    assert 0.5 * steps < largest_step_60([take]) < steps


def test_soundness_counts_what_a_rig_may_not_be_given():
    take = take_of(motion(50, 50.0))
    sound = soundness([take, take])
    assert (sound.outside, sound.not_finite, sound.seconds) == (0, 0, 2.0)
    assert 40 < sound.still < 100
    assert sound.by_latent > 0.1, "these latents are zeros, these faces are not"
    assert np.count_nonzero(plain(take).std(0)) < np.count_nonzero(living(take).std(0))
