"""What the network's numbers mean to a mouth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.speech.articulation import LIP_SCALES, articulate, smoothed
from avatar.speech.network import PHONE_CLASSES
from avatar.training.phones import ARTICULATORS
from avatar.training.speech_model import LIPS
from avatar.types import Float


def outputs(viseme: int, sureness: float = 8.0, **articulators: float) -> Float:
    vector = np.zeros(PHONE_CLASSES + len(ARTICULATORS), np.float32)
    vector[viseme] = sureness
    for name, value in articulators.items():
        vector[PHONE_CLASSES + ARTICULATORS.index(name)] = value
    return vector


def test_silence_rests_whatever_the_regressions_murmur() -> None:
    rest = articulate(outputs(0, aperture=0.08, jaw=0.1, width=0.2, closure=2.0), None)
    assert rest.activity < 0.01
    assert max(rest.aperture, rest.jaw, abs(rest.width), rest.closure) < 0.01


def test_speech_passes_through() -> None:
    vowel = articulate(outputs(8, aperture=0.7, jaw=0.6, width=-0.3, closure=-6), None)
    assert vowel.activity > 0.99
    assert (vowel.aperture, vowel.jaw, vowel.width) == pytest.approx((0.7, 0.6, -0.3), abs=1e-5)
    assert vowel.closure < 0.01
    assert articulate(outputs(1, closure=5), None).closure > 0.95


def test_the_readout_of_real_lips_moves_aperture_width_and_jaw_and_no_more() -> None:
    assert tuple(LIP_SCALES) == LIPS
    plain = articulate(outputs(8, aperture=0.5, jaw=0.5, funnel=0.4), None)
    wide = np.array([2.0, 1.0, 2.0], np.float32)
    real = articulate(outputs(8, aperture=0.5, jaw=0.5, funnel=0.4), wide)
    assert real.aperture > plain.aperture
    assert real.width > plain.width
    assert real.jaw > plain.jaw
    assert real.funnel == plain.funnel


def test_smoothing_halves_what_lasts_one_frame_and_leaves_what_lasts() -> None:
    still, jump = articulate(outputs(8, aperture=0.2), None), articulate(outputs(8), None)
    assert smoothed(still, still, still) == still
    assert smoothed(jump, still, jump).aperture == pytest.approx(0.1)
    assert smoothed(still, still, jump).aperture == pytest.approx(0.15)


@given(
    st.lists(st.floats(-40, 40, width=32), min_size=19, max_size=19),
    st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3),
)
def test_articulators_stay_in_range(values: list[float], lips: list[float]) -> None:
    said = articulate(np.array(values, np.float32), np.array(lips, np.float32))
    for name in said.__slots__:
        low = -1 if name == "width" else 0
        assert low <= getattr(said, name) <= 1, name
