"""A face at any instant lies between the generator's frames; a file and a stream agree."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bundled import SAMPLE_LINE
from app.commands.render import frame_count
from app.motion_track import interpolated, sampled, spoken
from app.sound_file import examine_sound
from avatar.types import MOTION_RATE, MotionFrame


def frame(index: int, value: float) -> MotionFrame:
    return MotionFrame(
        index=index,
        time_s=(index + 0.5) / MOTION_RATE,
        latent=np.full(4, value, np.float32),
        expression=np.full(52, value, np.float32),
        gaze=np.full(2, value, np.float32),
        head_rotation=np.full(3, value, np.float32),
        head_translation=np.full(3, value, np.float32),
    )


@given(st.floats(-1, 2), st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_an_instant_between_two_frames_lies_between_their_faces(
    part: float, first: float, second: float
) -> None:
    earlier, later = frame(0, first), frame(1, second)
    time_s = earlier.time_s + part * (later.time_s - earlier.time_s)
    face = interpolated(earlier, later, 7, time_s)
    expected = first + np.clip(part, 0, 1) * (second - first)
    assert (face.index, face.time_s) == (7, time_s)
    for values in (face.latent, face.expression, face.gaze, face.head_rotation):
        np.testing.assert_allclose(values, expected, atol=1e-5)
        assert values.dtype == np.float32


@pytest.mark.parametrize("fps", [10, 24, 25, 29.97, 50, 60, 120])
def test_a_ramp_is_sampled_at_every_frame_time_and_held_at_both_ends(fps: float) -> None:
    ramp = [frame(index, index / 100) for index in range(100)]  # 0.5 a second, from 0.01 s on
    count = int(3 * fps)
    faces = list(sampled(iter(ramp), fps, count))
    assert [face.index for face in faces] == list(range(count))
    times = np.array([face.time_s for face in faces])
    np.testing.assert_allclose(times, np.arange(count) / fps)
    values = [float(face.expression[0]) for face in faces]
    expected = np.interp(times, [f.time_s for f in ramp], [f.expression[0] for f in ramp])
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_no_motion_gives_no_faces() -> None:
    assert list(sampled(iter([]), 25, 10)) == []


@pytest.mark.parametrize(
    ("duration_s", "fps", "count"),
    [(1.0, 25, 25), (1.001, 25, 26), (0.01, 25, 1), (60, 29.97, 1799)],
)
def test_the_last_picture_begins_before_the_sound_ends(
    duration_s: float, fps: float, count: int
) -> None:
    assert frame_count(duration_s, fps) == count
    assert (count - 1) / fps < duration_s


def test_a_spoken_file_has_a_frame_for_every_fiftieth_of_a_second(tmp_path: Path) -> None:
    frames = list(spoken(SAMPLE_LINE, seed=0))
    duration_s = examine_sound(SAMPLE_LINE).duration_s
    assert len(frames) == pytest.approx(duration_s * MOTION_RATE, abs=1)
    times = np.array([f.time_s for f in frames])
    np.testing.assert_allclose(times, (np.arange(len(frames)) + 0.5) / MOTION_RATE)
    again = list(spoken(SAMPLE_LINE, seed=0))
    np.testing.assert_array_equal([f.expression for f in frames], [f.expression for f in again])
