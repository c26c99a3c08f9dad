"""The ears: level control and log-mels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.speech.features import BANDS, FEATURES, FRAME, FeatureState, extract, mel_bank
from avatar.types import AUDIO_RATE, Float
from tests.avatar.speech.sounds import syllables


def plain_log_mels(levelled: Float) -> Float:
    """[n, 80] at 10 ms, written as the definition reads; window i ends with hop i."""
    padded = np.concatenate([np.zeros(240), levelled])
    hops = len(levelled) // 160
    window = np.hanning(400)
    bank = mel_bank().astype(np.float64)
    rows = []
    for hop in range(hops):
        spectrum = np.abs(np.fft.rfft(padded[hop * 160 : hop * 160 + 400] * window, 512)) ** 2
        rows.append(np.log(spectrum @ bank + 1e-5))
    return np.array(rows, np.float32)


def test_features_of_a_tone_at_target_level_are_its_plain_log_mels() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * AUDIO_RATE) / AUDIO_RATE).astype(np.float32)
    tone *= 0.0794328 * np.sqrt(2)  # -22 dBFS, which the level control leaves alone once settled
    state = FeatureState()
    state.level, state.gain = 0.0794328, 1.0
    values = extract(tone, state).values.reshape(-1, BANDS)
    # single against double precision in the power spectrum; the logarithm magnifies the floor
    np.testing.assert_allclose(values, plain_log_mels(tone), atol=0.02)


def test_loudness_after_the_level_control_is_about_the_target_for_any_microphone() -> None:
    sound = syllables(8)
    for gain in (0.03, 0.3, 3.0):
        loud = extract(gain * sound, FeatureState()).loudness[200:]
        assert 0.04 < np.percentile(loud, 90) < 0.16


def test_silence_is_not_blown_up_to_speech() -> None:
    hiss = (1e-4 * np.random.default_rng(0).standard_normal(60 * AUDIO_RATE)).astype(np.float32)
    assert extract(hiss, FeatureState()).loudness[-50:].max() < 0.012


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000), min_size=1, max_size=12))
def test_any_blocks_give_the_same_features_to_the_bit(cuts: list[int]) -> None:
    sound = syllables(0.5)
    whole = extract(sound, FeatureState())
    state = FeatureState()
    edges = sorted({0, len(sound), *(min(c, len(sound)) for c in cuts)})
    parts = [extract(sound[a:b], state) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate([p.values for p in parts]), whole.values)
    assert np.array_equal(np.concatenate([p.loudness for p in parts]), whole.loudness)


def test_later_sound_changes_no_earlier_frame() -> None:
    sound = syllables(1)
    changed = sound.copy()
    changed[20 * FRAME :] = 0.5
    before = extract(sound, FeatureState()).values
    after = extract(changed, FeatureState()).values
    assert np.array_equal(before[:20], after[:20])
    assert not np.array_equal(before[20], after[20])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_samples_that_are_no_sound_give_finite_features(bad: float) -> None:
    sound = syllables(0.4)
    sound[1000:1500] = bad
    values = extract(sound, FeatureState()).values
    assert values.shape == (20, FEATURES)
    assert np.isfinite(values).all()


def test_the_state_stays_small() -> None:
    state = FeatureState()
    for _ in range(50):
        extract(syllables(0.33), state)
    assert len(state.pending) < FRAME
    assert len(state.tail) == 240
