import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.speech_process import SourceState, SpeechReport
from app.timing import Distribution, Timing

REPORT = SpeechReport(
    state=SourceState.HEARING,
    running=True,
    level=0.5,
    speech=True,
    blocks=100,
    dropped=2,
    restarts=1,
    real_time_factor=0.25,
    speaker_delay_s=0.0,
    speaker_late_s=0.0,
    file_position_s=0.0,
    speaking=False,
    microphones=(),
    problem="",
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
