"""What the rest of the face follows in the voice: presence, stress, phrases."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import scipy.ndimage
import scipy.signal
from numpy.typing import NDArray

from avatar.speech.articulation import Articulation
from avatar.training.performance.signals import Curve, runs, smoothstep, sprung
from avatar.training.phones import PHONE_INDEX
from avatar.types import MOTION_RATE, TONGUE_NAMES, Float

SPEECH_NAMES: tuple[str, ...] = tuple(field.name for field in fields(Articulation))
"""Columns of `Speech.values`."""

_PAUSE_FRAMES = int(0.35 * MOTION_RATE)
"""Silence that ends a phrase; shorter ones are stops and breaths within it."""
_LEAST_PHRASE = int(0.3 * MOTION_RATE)
_QUIET = 0.02
"""Loudness (root mean square after the level control) below which a voice has no stress."""


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """The speech organs over T frames."""

    values: Float
    """[T, 9] in the order of `SPEECH_NAMES`."""

    @classmethod
    def of(cls, articulations: Sequence[Articulation]) -> "Speech":
        """From the frames that a network says."""
        rows = [[getattr(one, name) for name in SPEECH_NAMES] for one in articulations]
        return cls(np.array(rows, np.float32).reshape(-1, len(SPEECH_NAMES)))

    @classmethod
    def silent(cls, frames: int) -> "Speech":
        """Nobody speaks."""
        return cls(np.zeros((frames, len(SPEECH_NAMES)), np.float32))

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Curve:
        """[T] of one of `SPEECH_NAMES`."""
        return self.values[:, SPEECH_NAMES.index(name)].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Accent:
    """A stressed syllable."""

    frame: int
    """Where it begins to stand out."""
    size: float
    """0..1, at its peak."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """What is said between two pauses."""

    first: int
    last: int
    """The frame after its last."""


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """What is heard besides the words."""

    presence: Curve
    """[T] 0..1: in a phrase; slow to leave."""
    emphasis: Curve
    """[T] 0..1: how far this moment stands out of the last seconds' loudness."""
    loudness: Curve
    """[T] over its own mean of the last seconds; 1 = as usual, 0 = silence."""
    accents: list[Accent]
    phrases: list[Phrase]


def listen(activity: Curve, loudness: Curve) -> Voice:
    """Presence, stress and phrases of a voice, each [T] in.

    Stress is how far the fast mean of the loudness (80 ms) exceeds its slow mean over speech (2 s).
    """
    loud = np.maximum(loudness, 0) * np.clip(activity, 0, 1)
    phrases = _phrases(activity)
    inside = np.zeros(len(activity))
    for phrase in phrases:
        inside[phrase.first : phrase.last] = 1
    fast = np.asarray(scipy.signal.lfilter([0.25], [1, -0.75], loud))
    weight = (activity > 0.5).astype(np.float64)
    # a mean over 2 s of speech, and a typical voice until something has been heard
    total = scipy.signal.lfilter([0.01], [1, -0.99], weight * loudness, zi=[0.06 * 0.99])[0]
    count = scipy.signal.lfilter([0.01], [1, -0.99], weight, zi=[0.99])[0]
    usual = np.maximum(total / np.maximum(count, 1e-9), _QUIET)
    wanted = np.clip(fast / usual - 1.0, 0, 1)
    emphasis = np.asarray(scipy.signal.lfilter([0.3], [1, -0.7], wanted))
    return Voice(
        presence=smoothstep(sprung(inside, 2.0)),
        emphasis=emphasis,
        loudness=sprung(np.minimum(fast / usual, 3), 4.0),
        accents=_accents(emphasis),
        phrases=phrases,
    )


def _phrases(activity: Curve) -> list[Phrase]:
    speaking = activity > 0.5
    if not speaking.any():
        return []
    # gaps shorter than a pause belong to the phrase, lone clicks do not make one
    closed = scipy.ndimage.binary_closing(
        np.pad(speaking, _PAUSE_FRAMES), np.ones(_PAUSE_FRAMES, bool)
    )[_PAUSE_FRAMES:-_PAUSE_FRAMES]
    return [Phrase(a, b) for a, b in runs(np.asarray(closed, bool)) if b - a >= _LEAST_PHRASE]


def _accents(emphasis: Curve) -> list[Accent]:
    """One for each time that the emphasis rises through .35 after having been below .15."""
    accents = []
    for first, last in runs(emphasis > 0.15):
        stretch = emphasis[first:last]
        high = np.flatnonzero(stretch > 0.35)
        if len(high):
            accents.append(Accent(first + int(high[0]), float(stretch.max())))
    return accents


_TIP, _BACK, _FORWARD = (
    TONGUE_NAMES.index(name) for name in ("tongueTipUp", "tongueUp", "tongueForward")
)
_TONGUE_OF = np.zeros((len(PHONE_INDEX), len(TONGUE_NAMES)))
for _phone, _column, _weight in (
    ("T", _TIP, 0.9), ("D", _TIP, 0.9), ("N", _TIP, 0.9), ("L", _TIP, 1.0),
    ("S", _TIP, 0.35), ("Z", _TIP, 0.35), ("SH", _TIP, 0.3), ("ZH", _TIP, 0.3),
    ("CH", _TIP, 0.6), ("JH", _TIP, 0.6), ("R", _TIP, 0.45), ("ER", _TIP, 0.4),
    ("TH", _FORWARD, 1.0), ("DH", _FORWARD, 0.8),
    ("K", _BACK, 1.0), ("G", _BACK, 1.0), ("NG", _BACK, 1.0),
    ("Y", _BACK, 0.5), ("IY", _BACK, 0.45), ("IH", _BACK, 0.3), ("EY", _BACK, 0.3),
    ("UW", _BACK, 0.4), ("UH", _BACK, 0.3), ("OW", _BACK, 0.2), ("W", _BACK, 0.35),
):  # fmt: skip
    _TONGUE_OF[PHONE_INDEX[_phone], _column] = _weight


def tongue_of(
    starts_s: NDArray[np.float64],
    ends_s: NDArray[np.float64],
    phones: NDArray[np.int64],
    frames: int,
) -> Float:
    """[T, 3] in the order of `TONGUE_NAMES`: what the tongue does for phones of known times.

    By place of articulation (any textbook of phonetics): tip to the ridge for t d n l, between
    the teeth for th, back to the palate for k g ng; vowels raise the back a little. Each phone
    is reached within its own span and the tongue is quick (50 ms).
    """
    wanted = np.zeros((frames, len(TONGUE_NAMES)))
    for start, end, phone in zip(starts_s, ends_s, phones, strict=True):
        first = max(0, int((start - 0.02) * MOTION_RATE))
        last = min(frames, int(np.ceil(end * MOTION_RATE)))
        wanted[first:last] = np.maximum(wanted[first:last], _TONGUE_OF[phone])
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    return scipy.ndimage.convolve1d(wanted, kernel, axis=0, mode="nearest").astype(np.float32)
