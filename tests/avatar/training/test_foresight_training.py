"""The fit finds a future that follows from the past, and pairs the right frames."""

import numpy as np

from avatar.speech.foresight import PAST
from avatar.training.foresight import Sums, pairs_of
from avatar.training.speech_model import LIPS, OUTPUTS

SAID = OUTPUTS + len(LIPS)


def test_pairs_are_what_was_known_and_what_was_said_later():
    frames = np.arange(40, dtype=np.float32)[:, None] + np.zeros((1, 5 + SAID), np.float32)
    known, later = pairs_of(frames, 3)
    assert known.shape == (40 - max(PAST) - 3, len(PAST) * (5 + SAID))
    assert later.shape == (len(known), SAID)
    newest = known[:, 0]
    for place, ago in enumerate(PAST):
        assert np.array_equal(known[:, place * (5 + SAID)], newest - ago)
    assert np.array_equal(later[:, 0], newest + 3)


def test_what_follows_linearly_is_found():
    chance = np.random.default_rng(0)
    truth, constant = chance.normal(size=(6, 2)), np.array([3.0, -1.0])
    sums = Sums()
    for _ in range(4):  # part by part, as sounds come
        known = chance.normal(2, 1, (5000, 6)).astype(np.float32)
        noise = chance.normal(0, 0.1, (5000, 2))
        sums.add(known, (known @ truth + constant + noise).astype(np.float32))
    weight, shift = sums.solve()
    assert sums.count == 20000
    # The ridge takes half a percent off, and gives it to the constant.
    np.testing.assert_allclose(weight, truth, atol=0.03)
    np.testing.assert_allclose(shift, constant, atol=0.1)
