"""What stands still is calmed, what moves is let go, and nothing comes late."""

import numpy as np
import pytest

from avatar.tracking.smooth import OneEuro, Smoothing, smoothed_both_ways

SMOOTHING = Smoothing(still_hz=1.0, per_speed=10.0)
TIME_S = np.arange(100) / 25


def test_noise_on_a_still_channel_is_calmed():
    noise = np.random.default_rng(0).normal(0, 0.01, (100, 3))
    smooth = smoothed_both_ways(noise, TIME_S, SMOOTHING)
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.3 * np.abs(np.diff(noise, axis=0)).mean()


def test_a_step_stays_in_its_place_in_time():
    step = np.where(TIME_S < 2.0, 0.0, 1.0)[:, None]
    smooth = smoothed_both_ways(step, TIME_S, SMOOTHING)[:, 0]
    crossing_s = float(np.interp(0.5, smooth, TIME_S))
    assert crossing_s == pytest.approx(1.98, abs=0.021)
    assert smooth[46] < 0.1
    assert smooth[54] > 0.9


def test_time_turned_round_gives_the_same():
    wave = np.sin(TIME_S * 3)[:, None] + np.random.default_rng(1).normal(0, 0.05, (100, 1))
    there = smoothed_both_ways(wave, TIME_S, SMOOTHING)
    back = smoothed_both_ways(wave[::-1], TIME_S, SMOOTHING)[::-1]
    np.testing.assert_allclose(there, back)


def test_the_causal_filter_forgets_when_told():
    filter_ = OneEuro(SMOOTHING)
    for _ in range(20):
        filter_.step(np.zeros(1), 0.04)
    assert filter_.step(np.full(1, 0.01), 0.04)[0] < 0.01
    filter_.reset()
    assert filter_.step(np.ones(1), 0.04)[0] == 1


def test_one_frame_is_itself():
    one = np.array([[0.3, 0.7]])
    np.testing.assert_array_equal(smoothed_both_ways(one, np.zeros(1), SMOOTHING), one)
