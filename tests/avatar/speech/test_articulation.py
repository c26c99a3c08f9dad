"""What the network's numbers mean to a mouth."""

import numpy as np
import pytest

from avatar.speech.articulation import LIP_SCALES, contacts_of, speech_gate
from avatar.speech.network import PHONE_CLASSES
from avatar.training.phones import ARTICULATORS
from avatar.training.speech_model import LIPS


def test_silence_rests_and_speech_passes_through() -> None:
    gate = speech_gate(np.array([0.0, 0.05, 0.12, 0.3, 1.0]))
    assert gate[0] == gate[1] == 0
    assert 0 < gate[2] < 1
    assert gate[3] == gate[4] == 1


def test_the_readout_of_real_lips_stands_for_aperture_width_and_jaw() -> None:
    assert tuple(LIP_SCALES) == LIPS
    assert all(name in ARTICULATORS for name in LIP_SCALES)


def test_contacts_are_odds_with_the_price_of_a_miss_taken_back() -> None:
    outputs = np.zeros((2, PHONE_CLASSES + len(ARTICULATORS)), np.float32)
    outputs[1, -3:] = 40
    odds = contacts_of(outputs)
    assert odds[0] == pytest.approx([1 / 4, 1 / 3.5, 1 / 2.5], abs=1e-6)
    assert odds[1] == pytest.approx(1, abs=1e-6)
