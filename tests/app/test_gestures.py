import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.face_sampler import FaceSampler
from app.gestures import blinking, gaze_to_camera, gaze_to_point, lids_shut
from app.noise_gate import NoiseGate
from avatar.motion.direction import GAZE_LIMIT_RAD
from avatar.types import ARKIT_NAMES

BLINK = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]


def test_a_blink_shuts_the_lids_and_opens_them_without_a_jump():
    times = np.linspace(-0.1, 0.5, 601)
    shut = np.array([lids_shut(time) for time in times])
    assert shut.max() == 1.0
    assert shut[times < 0].max() == shut[times > 0.3].max() == 0.0
    assert np.abs(np.diff(shut)).max() < 0.03  # a millisecond apart
    closing = times[shut.argmax()]
    assert closing < 0.1


def test_only_the_lids_blink():
    motion = FaceSampler().sample(1.0).motion
    shut = blinking(motion, 0.1)
    assert shut.expression[BLINK].tolist() == [1.0, 1.0]
    others = np.delete(np.arange(52), BLINK)
    assert np.array_equal(shut.expression[others], motion.expression[others])
    assert blinking(motion, 5.0) is motion


@given(right=st.floats(-3, 3), up=st.floats(-3, 3), distance=st.floats(0.35, 3.0))
def test_eyes_go_towards_the_cursor_and_no_further_than_eyes_go(right, up, distance):
    yaw, pitch = gaze_to_point(right, up, distance, 0.4)
    assert abs(yaw) <= GAZE_LIMIT_RAD
    assert abs(pitch) <= GAZE_LIMIT_RAD
    # The avatar's left is at the right of the picture, where yaw is positive.
    assert yaw * right >= 0
    assert pitch * up >= 0


def test_eyes_meet_a_camera_that_stands_aside():
    assert gaze_to_camera(0.2, -0.1) == (0.2, -0.1)
    assert gaze_to_camera(1.3, 0.0) == (GAZE_LIMIT_RAD, 0.0)


def test_the_gate_silences_what_is_quiet_and_lets_words_end():
    gate = NoiseGate()
    loud = np.full(320, 0.1, np.float32)  # -20 dB
    quiet = np.full(320, 0.001, np.float32)  # -60 dB
    assert np.array_equal(gate.step(loud, -40.0), loud)
    assert np.array_equal(gate.step(quiet, -40.0), quiet)  # just after a word
    for _ in range(30):
        gate.step(quiet, -40.0)
    assert not gate.step(quiet, -40.0).any()
    opened = gate.step(loud, -40.0)
    assert opened[-1] == pytest.approx(0.1)
    assert 0 < opened[0] < 0.01  # no click
    assert (np.diff(opened) >= 0).all()


def test_a_gate_that_is_off_passes_all():
    gate, quiet = NoiseGate(), np.full(320, 1e-5, np.float32)
    for _ in range(40):
        assert np.array_equal(gate.step(quiet, -np.inf), quiet)
