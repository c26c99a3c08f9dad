"""Do the lips say what is heard: against real people's lips, and where a phone must close them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from avatar.errors import SoundError
from avatar.head.template import HeadTemplate
from avatar.motion.direction import Direction
from avatar.training.motion_measures import CLOSED_SHARE, Series, frame_times, opening, wide
from avatar.training.phones import PHONE_NAMES, PHONES
from avatar.training.recordings import read_sound
from avatar.training.score import CLOSED, RealLips, agreement, labelled_sentence, template_lips
from avatar.training.takes import NEUTRAL, Sound, Takes
from avatar.types import MOTION_RATE

OPEN_VOWELS = ("AA", "AE", "AO", "AW", "AY")
"""The vowels that drop the jaw."""
_BEFORE_S = 0.02
"""A closure may come so much before or after its label: hand labels are no truer."""
_BILABIAL = 1
LONG_S = 5.0
"""A clip of ordinary speech; shorter ones are sentences of a corpus."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """A real person's lips, and the sound that they made."""

    sound: Sound
    real: RealLips

    def first(self, seconds: float) -> "Clip":
        """Its beginning."""
        sound = self.sound.first(seconds)
        lips = self.real.lips[: max(1, round(seconds * self.real.rate))]
        return Clip(sound=sound, real=replace(self.real, sound=sound.samples, lips=lips))


@dataclass(frozen=True, slots=True, kw_only=True)
class LipScore:
    """One clip's lips against the real ones; nan where either does not move."""

    aperture_r: float
    width_r: float
    jaw_r: float
    best_r: float
    """Of the aperture, at the best lag."""
    lag_ms: float
    """Of the best r; positive: ours are late."""
    spread_ratio: float
    """Our aperture's 5th-to-95th percentile over theirs."""


def lip_score(real: RealLips, lips: Series, times_s: Series) -> LipScore:
    """`lips` [F, 3] opening, width, jaw at `times_s` [F] of the sound."""
    aperture = agreement(real, 0, lips[:, 0], times_s)
    return LipScore(
        aperture_r=aperture.r,
        width_r=agreement(real, 1, lips[:, 1], times_s).r,
        jaw_r=agreement(real, 2, lips[:, 2], times_s).r,
        best_r=aperture.best_r,
        lag_ms=aperture.lag_ms,
        spread_ratio=aperture.spread_ratio,
    )


def score_clip(
    clip: Clip, takes: Takes, template: HeadTemplate, direction: Direction = NEUTRAL
) -> LipScore:
    """The head template's lips, moved by the generator that hears the clip."""
    take = takes.of(clip.sound, direction=direction)
    lips = template_lips(take.frames, template)
    return lip_score(clip.real, lips, frame_times(len(lips)))


def mean_score(scores: Sequence[LipScore]) -> LipScore:
    """Of each figure over the clips that have it."""
    names = LipScore.__slots__
    values = np.array([[getattr(score, name) for name in names] for score in scores])
    known = np.isfinite(values)
    sums = np.where(known, values, 0).sum(0)
    means = np.where(known.any(0), sums / np.maximum(known.sum(0), 1), np.nan)
    return LipScore(**dict(zip(names, means.tolist(), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentence:
    """Speech whose phones someone has marked by hand."""

    sound: Sound
    phones: tuple[tuple[float, float, int | None], ...]
    """Start, end (s) and index in `PHONE_NAMES`, None for a label that is not known."""

    def first(self, seconds: float) -> "Sentence":
        """Its beginning, with the phones that end in it."""
        known = tuple(phone for phone in self.phones if phone[1] <= seconds)
        return Sentence(sound=self.sound.first(seconds), phones=known)


def read_sentences(folder: Path) -> list[Sentence]:
    """The sounds of a folder that have a Praat TextGrid of the same name beside them.

    Raises:
        SoundError: there is none, a grid has no tier of phones, or no sound belongs to it.
    """
    grids = sorted(folder.glob("*.TextGrid"))
    if not grids:
        raise SoundError(
            f"{folder}: holds no Praat TextGrid. Expected NAME.wav and NAME.TextGrid with a tier "
            "of phones."
        )
    sentences = []
    for grid in grids:
        sounds = [
            path for path in (grid.with_suffix(end) for end in (".wav", ".flac")) if path.exists()
        ]
        if not sounds:
            raise SoundError(f"{grid}: no sound of this name beside it. Add {grid.stem}.wav.")
        phones = labelled_sentence(grid)
        if not phones:
            raise SoundError(
                f"{grid}: no phones found. Expected an interval tier named Phonetic, phone or "
                "phones, saved as text."
            )
        samples = read_sound(sounds[0])
        if not len(samples):
            raise SoundError(f"{sounds[0]}: holds no sound (0 samples). Save it again.")
        sentences.append(Sentence(sound=Sound(grid.stem, samples), phones=tuple(phones)))
    return sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """What the lips do in the phones that close them and in those that open them, counted."""

    bilabials: int
    """p, b and m."""
    closed: int
    """Of them with lips within 15 % of closed: of the opening that 5 % of the frames reach."""
    shut: int
    """Of them with lips at most 1.2 % of the eye distance apart: none sees through."""
    vowels: int
    """Open ones, `OPEN_VOWELS`."""
    vowels_closed: int
    """Of them closed in their middle."""
    vowel_openings: tuple[float, ...]
    """Of each in its middle, over the opening that 5 % of the frames reach."""

    @property
    def recall(self) -> float:
        return self.closed / self.bilabials if self.bilabials else float("nan")

    @property
    def shut_recall(self) -> float:
        return self.shut / self.bilabials if self.bilabials else float("nan")

    @property
    def vowel_opening(self) -> float:
        """Median; nan without a vowel."""
        return float(np.median(self.vowel_openings)) if self.vowel_openings else float("nan")

    def __add__(self, other: "Closure") -> "Closure":
        return Closure(
            **{name: getattr(self, name) + getattr(other, name) for name in Closure.__slots__}
        )


def score_closure(
    sentence: Sentence, takes: Takes, template: HeadTemplate, direction: Direction = NEUTRAL
) -> Closure:
    """One sentence, spoken by the head template."""
    lips = opening(takes.of(sentence.sound, direction=direction), template)
    most = max(wide(lips), 1e-6)
    bilabials = closed = shut = vowels_closed = 0
    vowel_openings = []
    for start_s, end_s, phone in sentence.phones:
        if phone is None or int(start_s * MOTION_RATE) >= len(lips):
            continue
        name = PHONE_NAMES[phone]
        if PHONES[name].viseme == _BILABIAL:
            first = max(0, int((start_s - _BEFORE_S) * MOTION_RATE))
            least = lips[first : int((end_s + _BEFORE_S) * MOTION_RATE) + 1].min()
            bilabials += 1
            closed += int(least <= CLOSED_SHARE * most)
            shut += int(least <= CLOSED)
        elif name in OPEN_VOWELS:
            middle = lips[min(int((start_s + end_s) / 2 * MOTION_RATE), len(lips) - 1)]
            vowels_closed += int(middle <= CLOSED_SHARE * most)
            vowel_openings.append(float(middle / most))
    return Closure(
        bilabials=bilabials,
        closed=closed,
        shut=shut,
        vowels=len(vowel_openings),
        vowels_closed=vowels_closed,
        vowel_openings=tuple(vowel_openings),
    )
