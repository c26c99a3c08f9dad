"""Symbols to phones, phones to what the lips do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.training.phones import (
    ARTICULATORS,
    PHONE_CLASSES,
    PHONE_INDEX,
    PHONE_NAMES,
    PHONES,
    SILENCE,
    Targets,
    phone_from_arpabet,
    phone_from_ipa,
    phone_from_italian,
    phone_from_sampa,
    targets_of,
)


def spoken(*phones: tuple[str, float], frames: int | None = None) -> Targets:
    """Targets of phones, each with its seconds, one after the other."""
    ends = np.cumsum([seconds for _, seconds in phones])
    starts = ends - [seconds for _, seconds in phones]
    indices = np.array([PHONE_INDEX[name] for name, _ in phones])
    return targets_of(starts, ends, indices, frames or round(ends[-1] * 50))


@pytest.mark.parametrize(
    ("name", "arpabet", "ipa"),
    [
        ("P", "p", "p"), ("AA", "aa1", "ˈɑː"), ("CH", "ch", "tʃ"), ("AY", "AY2", "aɪ"),
        ("sil", "pau", "_:"), ("NG", "ng", "ŋ"), ("UW", "uw", "uː"), ("F", "f", "f"),
    ],
)  # fmt: skip
def test_symbol_sets_agree(name: str, arpabet: str, ipa: str) -> None:
    assert PHONE_NAMES[phone_from_arpabet(arpabet) or 0] == name
    assert PHONE_NAMES[phone_from_ipa(ipa) or 0] == name


def test_unknown_symbols_are_none_and_silence_is_silence() -> None:
    assert phone_from_arpabet("xyz") is None
    assert phone_from_ipa("ʔ") is None
    assert phone_from_italian("?") is None
    assert phone_from_sampa("??") is None
    assert phone_from_ipa("") == phone_from_italian("#") == phone_from_sampa("") == SILENCE
    assert phone_from_arpabet("sil") == SILENCE == 0


def test_the_table_is_in_range() -> None:
    for name, phone in PHONES.items():
        assert 0 <= phone.viseme < len(PHONE_CLASSES), name
        for articulator in ARTICULATORS:
            low = -1 if articulator == "width" else 0
            assert low <= getattr(phone, articulator) <= 1, (name, articulator)


def test_lips_close_in_the_middle_of_a_b_between_vowels() -> None:
    targets = spoken(("AA", 0.2), ("B", 0.08), ("AA", 0.2))
    aperture = targets.articulators[:, ARTICULATORS.index("aperture")]
    closure = targets.articulators[:, ARTICULATORS.index("closure")]
    assert aperture[5] > 0.6
    assert aperture[11:13].max() < 0.15
    assert closure[11:13].min() == 1
    assert closure[5] == closure[19] == 0
    assert targets.viseme[12] == PHONE_CLASSES.index("bilabial")


def test_an_alveolar_gives_way_to_a_rounded_neighbour() -> None:
    width = ARTICULATORS.index("width")
    alone = spoken(("T", 0.3)).articulators[7, width]
    between = spoken(("UW", 0.15), ("T", 0.06), ("UW", 0.15)).articulators[9, width]
    assert alone > 0
    assert between < -0.5


def test_a_short_gap_inside_speech_does_not_close_the_mouth() -> None:
    aperture = ARTICULATORS.index("aperture")
    gap = spoken(("AA", 0.2), ("sil", 0.06), ("AA", 0.2)).articulators[11, aperture]
    pause = spoken(("AA", 0.2), ("sil", 0.6), ("AA", 0.2)).articulators[25, aperture]
    assert gap > 0.25
    assert pause < 0.06


@given(
    st.lists(st.tuples(st.sampled_from(PHONE_NAMES), st.floats(0.02, 0.4)), min_size=1, max_size=12)
)
def test_targets_stay_between_those_of_the_phones(phones: list[tuple[str, float]]) -> None:
    targets = spoken(*phones, frames=max(1, round(sum(s for _, s in phones) * 50)))
    table = np.array([[getattr(PHONES[name], a) for a in ARTICULATORS] for name, _ in phones])
    low, high = np.minimum(table.min(0), 0), np.maximum(table.max(0), 0)
    assert (targets.articulators >= low - 1e-5).all()
    assert (targets.articulators <= high + 1e-5).all()
