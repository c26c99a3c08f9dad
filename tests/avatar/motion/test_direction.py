"""Valence and arousal become emotions."""

from math import cos, radians, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.motion.direction import (
    CIRCUMPLEX_DEGREES,
    EMOTION_NAMES,
    emotion_of,
    no_emotion,
    place_of,
)

UNIT = st.floats(-1, 1)
NEUTRAL = EMOTION_NAMES.index("neutral")


@given(UNIT, UNIT)
def test_weights_are_shares_of_one_whole_and_at_most_two_are_felt(v: float, a: float) -> None:
    weights = emotion_of(v, a)
    assert weights.shape == (8,)
    assert weights.min() >= -1e-6
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert np.count_nonzero(np.delete(weights, NEUTRAL) > 1e-6) <= 2
    assert np.delete(weights, NEUTRAL).sum() <= min(np.hypot(v, a), 1) + 1e-5


@given(st.floats(0, 360), st.floats(0.1, 1))
def test_a_small_step_in_the_plane_is_a_small_step_in_feeling(angle: float, radius: float) -> None:
    def at(degrees: float) -> np.ndarray:
        return emotion_of(radius * cos(radians(degrees)), radius * sin(radians(degrees)))

    assert np.abs(at(angle) - at(angle + 0.1)).max() < 0.012


@pytest.mark.parametrize("name", list(CIRCUMPLEX_DEGREES))
def test_each_emotion_stands_alone_in_its_own_direction(name: str) -> None:
    angle = radians(CIRCUMPLEX_DEGREES[name])
    weights = emotion_of(0.6 * cos(angle), 0.6 * sin(angle))
    assert weights[EMOTION_NAMES.index(name)] == pytest.approx(0.6, abs=1e-4)
    assert weights[NEUTRAL] == pytest.approx(0.4, abs=1e-4)


def test_the_middle_and_a_pleasant_calm_are_neutral_or_a_faint_smile() -> None:
    assert emotion_of(0, 0)[NEUTRAL] == 1
    calm = emotion_of(0.5, -0.5)
    assert calm[EMOTION_NAMES.index("happiness")] < 0.35
    assert np.argmax(calm) == NEUTRAL


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="expected numbers"):
        emotion_of(float("nan"), 0)


@given(UNIT, UNIT)
def test_the_place_of_a_mood_means_that_mood(v: float, a: float) -> None:
    weights = emotion_of(v, a)
    np.testing.assert_allclose(emotion_of(*place_of(weights)), weights, atol=2e-6)


@given(st.floats(8, 208), st.floats(0.05, 1))
def test_a_place_between_two_emotions_is_found_again(angle: float, radius: float) -> None:
    place = radius * cos(radians(angle)), radius * sin(radians(angle))
    assert place_of(emotion_of(*place)) == pytest.approx(place, abs=1e-5)


def test_emotions_that_no_place_means_lie_between_and_never_outside() -> None:
    def mixed(**weights: float) -> tuple[float, float]:
        emotion = no_emotion()
        for name, intensity in weights.items():
            emotion[EMOTION_NAMES.index(name)] = intensity
        return place_of(emotion)

    assert mixed() == mixed(neutral=1.0) == (0, 0)
    assert np.hypot(*mixed(happiness=0.5, sadness=0.5)) < 0.2  # they nearly cancel
    assert np.hypot(*mixed(**{name: 1.0 for name in CIRCUMPLEX_DEGREES})) == pytest.approx(1)
    assert np.hypot(*mixed(fear=1.0, anger=1.0)) == pytest.approx(1)
