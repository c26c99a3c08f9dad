"""Films of people who talk, sorted into stretches to learn lips from, and stored as GRID is.

What is kept is cut into pieces of 2.5 to 3.5 s, where the voice is weakest, and brought into step:
the pictures of each stand 25 a second, `PICTURE_LATE_S` before their sound, as
`avatar.training.grid` reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from avatar.speech.voice_fit import Heard, Series, seen_at
from avatar.training.grid import PICTURE_LATE_S, TRACK_RATE
from avatar.types import AUDIO_RATE, MOTION_RATE, Float

REASONS = (
    "no face",
    "face too small",
    "turned too far",
    "between bad ones",
    "nobody speaks",
    "lips do not agree",
)
SHORTEST_EYES_PX = 24.0
PIECE_S, LONGEST_PIECE_S = 2.5, 3.5
_CUT_JUMP, _CUT_SIZE = 0.7, 1.3
"""A face that moves by more eye distances, or grows by more, from picture to picture is another
shot's."""
_GAP_S = 0.15
_LEAST_SPEECH = 0.2
"""Of a piece."""
_AGREEMENT_S = 9.0
"""Lips and voice are compared over about so long: three seconds could agree with anybody's."""
_LEAST_R = 0.2


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch to learn from."""

    first_sample: int
    samples: int
    landmarks: Float
    """[T, 478, 3] pixels, 25 a second."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """What became of one film."""

    pieces: list[Piece]
    rejected_s: dict[str, float]
    """Seconds for each of `REASONS` that applies."""

    @property
    def kept_s(self) -> float:
        return sum(piece.samples for piece in self.pieces) / AUDIO_RATE


def sort_film(
    time_s: Series,
    landmarks: Float,
    turned: NDArray[np.bool_],
    lips: Series,
    heard: Heard,
    offset_s: float,
) -> Sorted:
    """Sort T pictures at `time_s` [T]: `landmarks` [T, 478, 3] (nan without a face), `turned` [T],
    `lips` [T, 3], what was heard, and video time + `offset_s` = time of the sound."""
    rejected: dict[str, float] = {reason: 0.0 for reason in REASONS}
    step_s = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.04
    reasons = picture_reasons(landmarks, turned)
    for reason in reasons:
        if reason is not None:
            rejected[reason] += step_s
    sound_s = len(heard.lips) / MOTION_RATE
    spans = []
    for first, end in _runs(time_s, landmarks, reasons):
        begin_s = max(time_s[first] + offset_s - PICTURE_LATE_S, 0.0)
        finish_s = min(time_s[end - 1] + offset_s, sound_s)
        if finish_s - begin_s < PIECE_S:
            rejected["between bad ones"] += (end - first) * step_s
            continue
        cuts = _cuts(begin_s, finish_s, heard.speaking)
        rejected["between bad ones"] += max(finish_s - cuts[-1], 0.0)
        spans += list(pairwise(cuts))
    spoken = []
    for begin_s, finish_s in spans:
        part = slice(int(begin_s * MOTION_RATE), int(finish_s * MOTION_RATE))
        if (heard.speaking[part] > 0.5).mean() < _LEAST_SPEECH:
            rejected["nobody speaks"] += finish_s - begin_s
        else:
            spoken.append((begin_s, finish_s))
    agreeing = _agreeing(spoken, seen_at(time_s, lips, offset_s, len(heard.lips))[:, 0], heard)
    rejected["lips do not agree"] += sum(b - a for a, b in spoken if (a, b) not in agreeing)
    pieces = [_piece(span, time_s + offset_s, landmarks) for span in agreeing]
    return Sorted(pieces, {reason: s for reason, s in rejected.items() if s > 0})


def picture_reasons(landmarks: Float, turned: NDArray[np.bool_]) -> list[str | None]:
    """[T] why a picture cannot be used; None where it can."""
    eyes = np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1)
    reasons: list[str | None] = []
    for away, distance in zip(turned, eyes, strict=True):
        if away:
            reasons.append("turned too far")
        elif not np.isfinite(distance):
            reasons.append("no face")
        else:
            reasons.append("face too small" if distance < SHORTEST_EYES_PX else None)
    return reasons


def _runs(time_s: Series, landmarks: Float, reasons: Sequence[str | None]) -> list[tuple[int, int]]:
    """First and end of each run of good pictures of one shot."""
    middle = landmarks[:, :468, :2].mean(1)
    eyes = np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1)
    runs, first = [], None
    for index, reason in enumerate(reasons):
        if first is not None:
            jump = np.linalg.norm(middle[index] - middle[index - 1]) / eyes[index - 1]
            size = max(eyes[index] / eyes[index - 1], eyes[index - 1] / eyes[index])
            late = time_s[index] - time_s[index - 1] > _GAP_S
            if reason is not None or jump > _CUT_JUMP or size > _CUT_SIZE or late:
                runs.append((first, index))
                first = None
        if first is None and reason is None:
            first = index
    if first is not None:
        runs.append((first, len(reasons)))
    return runs


def _cuts(begin_s: float, finish_s: float, speaking: Float) -> list[float]:
    """Where to cut a run: its beginning, then every 2.5 to 3.5 s where the voice is weakest."""
    cuts = [begin_s]
    while finish_s - cuts[-1] >= PIECE_S:
        low = round((cuts[-1] + PIECE_S) * MOTION_RATE)
        high = round(min(cuts[-1] + LONGEST_PIECE_S, finish_s) * MOTION_RATE)
        weakest = low + int(np.argmin(speaking[low : high + 1])) if low < len(speaking) else low
        cuts.append(min(weakest / MOTION_RATE, finish_s))
    return cuts


def _agreeing(
    spans: list[tuple[float, float]], opening: Series, heard: Heard
) -> list[tuple[float, float]]:
    """Those in whose surroundings the opening seen follows the one heard, in speech."""
    kept = []
    ours = heard.lips[:, 0].astype(np.float64)
    for begin_s, finish_s in spans:
        more = max(0.0, (_AGREEMENT_S - (finish_s - begin_s)) / 2)
        part = slice(
            max(0, round((begin_s - more) * MOTION_RATE)), round((finish_s + more) * MOTION_RATE)
        )
        both = (heard.speaking[part] > 0.5) & np.isfinite(opening[part])
        a, b = opening[part][both], ours[part][both]
        if len(a) < MOTION_RATE // 2 or min(a.std(), b.std()) < 1e-6:
            continue
        if np.corrcoef(a, b)[0, 1] >= _LEAST_R:
            kept.append((begin_s, finish_s))
    return kept


def _piece(span: tuple[float, float], sound_time_s: Series, landmarks: Float) -> Piece:
    begin_s, finish_s = span
    first_sample = round(begin_s * AUDIO_RATE)
    count = int((finish_s - begin_s) * TRACK_RATE)
    at = first_sample / AUDIO_RATE + np.arange(count) / TRACK_RATE + PICTURE_LATE_S
    after = np.clip(np.searchsorted(sound_time_s, at), 1, len(sound_time_s) - 1)
    before = after - 1
    share = (at - sound_time_s[before]) / (sound_time_s[after] - sound_time_s[before])
    share = np.clip(share, 0, 1)[:, None, None]
    points = (1 - share) * landmarks[before] + share * landmarks[after]
    # at an edge of the run one of the two neighbours is of another
    known = np.where(np.isfinite(points), points, np.where(share < 0.5, *_sides(landmarks, before)))
    return Piece(first_sample, round(count / TRACK_RATE * AUDIO_RATE), known.astype(np.float32))


def _sides(landmarks: Float, before: NDArray[np.int64]) -> tuple[Float, Float]:
    return landmarks[before], landmarks[before + 1]


def as_planes(landmarks: Float) -> NDArray[np.uint8]:
    """[2, 478, 3, T] landmarks as GRID's tracks hold them: eighths of a pixel, differences along
    time, low bytes and high bytes apart."""
    steps = np.where(np.isfinite(landmarks), np.round(landmarks * 8), -16000)
    eighths = np.clip(steps, -16000, 32767).astype(np.int16)
    differences = np.diff(eighths, axis=0, prepend=np.zeros_like(eighths[:1]))
    planes = np.ascontiguousarray(differences.transpose(1, 2, 0)).view(np.uint8)
    return planes.reshape(*landmarks.shape[1:], len(landmarks), 2).transpose(3, 0, 1, 2)
