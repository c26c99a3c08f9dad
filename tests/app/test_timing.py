import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.timing import Distribution, HeadsetTiming, Timing
from render.headset import Turn
from tests.app.stand_ins import NOTHING_HEARD

REPORT = replace(
    NOTHING_HEARD,
    level=0.5,
    speech=True,
    blocks=100,
    dropped=2,
    restarts=1,
    real_time_factor=0.25,
)


@given(
    values=st.lists(st.floats(-400, 2900), min_size=1, max_size=200),
    percent=st.sampled_from([1, 50, 95, 99, 100]),
)
def test_percentiles_are_those_of_the_values_within_a_bin(values, percent):
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    exact = np.percentile(values, percent, method="inverted_cdf")
    assert distribution.percentile(percent) == pytest.approx(exact, abs=Distribution.BIN_MS)


def test_what_lies_outside_counts_at_the_edge():
    distribution = Distribution()
    distribution.add(1e9)
    distribution.add(-1e9)
    assert distribution.percentile(50) == pytest.approx(-500, abs=0.1)
    assert distribution.percentile(100) == pytest.approx(3000, abs=0.1)


def test_nothing_measured_is_null():
    assert Distribution().percentile(50) is None
    statistics = Timing().statistics(REPORT, "cpu")
    assert statistics["frame_ms"] == {"p50": None, "p95": None, "p99": None}
    assert statistics["frames"] == 0


def test_the_statistics_count_what_was_shown():
    timing = Timing()
    for index in range(100):
        timing.add_frame(0.020 + 0.0001 * index, 0.250, None if index % 2 else 0.004)
    timing.starved += 3
    statistics = timing.statistics(REPORT, "cpu")
    assert statistics["frames"] == 100
    assert statistics["frame_ms"]["p50"] == pytest.approx(24.9, abs=0.2)
    assert statistics["sound_to_sight_ms"]["p95"] == pytest.approx(250, abs=0.2)
    assert statistics["lips_behind_sound_ms"]["p50"] == pytest.approx(4, abs=0.2)
    assert statistics["audio"] == {"blocks": 100, "dropped": 2, "restarts": 1}
    assert statistics["generator"] == {"rtf": 0.25, "starved": 3}
    assert timing.frame_history_ms[-1] == pytest.approx(29.9, abs=0.01)


def test_turns_of_a_headset_that_got_no_picture_are_counted_missed():
    timing = HeadsetTiming()
    assert timing.statistics() == {"frames": 0, "missed": 0}
    timing.session_began("a headset", [(100, 100)])

    def turn(display_s: float, period_s: float = 0.01) -> None:
        timing.wait()
        timing.begin(Turn(display_s, period_s, 0, True))
        time.sleep(0.002)
        timing.lap("draw")
        timing.end(0.005, 0.8, 1.0)

    for display_s in (1.00, 1.01, 1.02):
        turn(display_s)
    assert timing.missed == 0
    turn(1.05)
    assert timing.missed == 2
    # A runtime that slows the program down does not make the display slower.
    turn(1.10, period_s=0.05)
    assert timing.missed == 6
    timing.paused()  # taken off for a while
    turn(9.0)
    assert timing.missed == 6
    result = timing.statistics()
    assert result["frames"] == 6
    assert result["display_hz"] == pytest.approx(100, rel=0.02)
    assert 2 <= result["stage_ms"]["draw"]["p50"] < 500
    assert result["cpu_ms"]["draw"]["p50"] < 2  # it slept


def test_a_display_that_becomes_slower_is_believed_after_a_while():
    timing = HeadsetTiming()
    timing.session_began("a headset", [(100, 100)])
    for number in range(400):
        timing.begin(Turn(number / 90, 1 / 90, 0, True))
    for number in range(400):
        timing.begin(Turn(5 + number / 72, 1 / 72, 0, True))
    before = timing.missed
    for number in range(400):
        timing.begin(Turn(20 + number / 72, 1 / 72, 0, True))
    assert timing.missed - before < 1500  # of the jump alone
    assert timing.period_s == pytest.approx(1 / 72)


def test_a_single_period_that_is_too_short_is_not_the_displays():
    timing = HeadsetTiming()
    timing.session_began("a headset", [(100, 100)])
    for number in range(100):
        timing.begin(Turn(number / 20, 0.0175 if number % 17 == 5 else 0.05, 0, True))
    assert timing.period_s == 0.05
    assert timing.missed <= 4
