"""Fits a `Voice` to a film of one person: what the encoder heard, against what their lips did.

Everything is decided on speech that it was not fitted to: whether lips come later than heard, how
strongly the map is held back. With little speech, or where the
map gains nothing, what ships stays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.network import (
    LOOK_AHEAD_FRAMES,
    PHONE_CLASSES,
    SpeechNetwork,
    advance,
    initial_state,
)
from avatar.speech.voice import INPUTS, LIPS, TAPS, Voice, adapt_all, inputs_of, network_mark
from avatar.types import MOTION_RATE, Float

Series = NDArray[np.float64]

REFERENCE = np.array([[0.034, 0.045], [0.0, 0.06], [0.0, 0.047]])
"""[3, 2] opening, width and jaw (over the eye distance) that the readout's 0 gives a drawn face, as
a tracker sees it, and how much its 1 adds: the lips that are asked for (`LIP_SCALES`), of which a
tracker reads .62 of the opening; the jaw as measured through the generator. Width and jaw have no
level: the head's pose shifts them."""
LARGEST_OFFSET_S = 0.2
"""Between sound and picture: beyond, a film is out of step and viewers notice."""
_FURTHEST_S = 3.0
_LEAST_R = 0.2
_LEAST_FRAMES = 75
_POSE_S = 4.0
"""Width and jaw are taken against their mean over so long: slower is the head, not speech."""
_SILENCE_BEFORE = 150
_HOLDS = (300.0, 1000.0, 3000.0)
"""Strengths that hold the map back, tried on held-out quarters. In frames: a second has 50."""
_SHORT_S = 20.0
"""A recording of this length is held back twice as much, one of half the length five times: what
is learned of ten seconds of a film is often true of these ten seconds alone."""
_FOLDS = 4
_DELAYS = range(TAPS)
_WORTH_R = 0.01
"""A map or a delay must gain as much on held-out speech, else there is none of it."""
_LITTLE_S = 5.0
"""With so much speech, gains go half the way."""
_GAINS = (0.5, 2.0)
_FLOOR = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What the encoder said of a sound. F frames, 50 a second."""

    outputs: Float
    """[F, 19]"""
    lips: Float
    """[F, 3]"""

    @property
    def speaking(self) -> Float:
        """[F] 0..1 how surely there is speech."""
        return 1 - inputs_of(self.outputs, self.lips)[:, 0]


@dataclass(frozen=True, slots=True)
class Offset:
    """How sound and picture of a film fit together."""

    seconds: float
    """Video time + this = time of the sound. Found within `LARGEST_OFFSET_S`."""
    r: float
    """Of the opening seen and heard, at that offset; nan where one of them does not move."""
    chance: float
    """r that wrong offsets reach: their mean and three standard deviations."""
    elsewhere_s: float
    """The best offset of all, up to a second; equal to `seconds` where all is well."""

    @property
    def agrees(self) -> bool:
        """Whether these lips speak this sound."""
        return self.r >= max(_LEAST_R, self.chance) and self.elsewhere_s == self.seconds


@dataclass(frozen=True, slots=True)
class LipScore:
    """One of the lips' measures, heard against seen."""

    r: float
    spread: float
    """5th to 95th percentile heard over that seen."""
    error: float
    """Root mean square, over the eye distance; mean difference taken out of width and jaw."""


@dataclass(frozen=True, slots=True)
class Gained:
    """What a voice changes on speech that it was not fitted to: opening, width, jaw."""

    before: tuple[LipScore, ...]
    after: tuple[LipScore, ...]


def hear(
    sound: Float, network: SpeechNetwork, tell: Callable[[int], None] = lambda frames: None
) -> Heard:
    """All that the encoder says of a sound, [n] at 16 kHz; `tell` is given frames as they come.

    The network must have a readout.
    """
    count = -(-len(sound) // FRAME)
    features, state = FeatureState(), initial_state(network)
    before = np.zeros(_SILENCE_BEFORE * FRAME, np.float32)
    after = np.zeros((count + LOOK_AHEAD_FRAMES) * FRAME - len(sound), np.float32)
    skipped = _SILENCE_BEFORE + LOOK_AHEAD_FRAMES
    outputs, lips = [], []
    for index, values in enumerate(
        extract(np.concatenate([before, sound, after]), features).values
    ):
        said, moved = advance(network, values, state)
        assert moved is not None, "the encoder that ships has a readout"
        if index >= skipped:
            outputs.append(said)
            lips.append(moved)
            tell(1)
    if not outputs:
        return Heard(np.zeros((0, PHONE_CLASSES + 8), np.float32), np.zeros((0, 3), np.float32))
    return Heard(np.stack(outputs), np.stack(lips))


def seen_at(time_s: Series, seen: Series, offset_s: float, frames: int) -> Series:
    """[F, 3] lips seen at `time_s` [T], at the F frames of the sound; nan where unknown."""
    at = (np.arange(frames) + 0.5) / MOTION_RATE
    columns = [np.interp(at, time_s + offset_s, one, left=np.nan, right=np.nan) for one in seen.T]
    gap = np.diff(time_s, append=np.inf, prepend=-np.inf)
    after = np.searchsorted(time_s + offset_s, at)
    table = np.stack(columns, 1)
    table[gap[after] > 0.15] = np.nan  # no picture for so long
    return table


def find_offset(time_s: Series, opening: Series, heard: Heard) -> Offset:
    """Where the opening seen at `time_s` [T], [T], follows the opening heard best, in speech.

    With ten seconds it is sure within 20 ms; three seconds of speech can agree with anybody's.
    """
    # lips that only rest when the voice does, as dubbed ones do, shall not count as agreeing
    ours = np.where(heard.speaking > 0.5, heard.lips[:, 0].astype(np.float64), np.nan)
    length_s = min(len(ours) / MOTION_RATE, float(np.ptp(time_s)) if len(time_s) else 0.0)
    furthest_s = min(_FURTHEST_S, length_s / 3)
    steps = int(furthest_s * 100)
    lags_s = np.arange(-steps, steps + 1) / 100

    def r_at(lag_s: float) -> float:
        table = seen_at(time_s, opening[:, None], lag_s, len(ours))
        return _r(table[:, 0], ours)

    nothing = Offset(0.0, float("nan"), float("nan"), 0.0)
    if len(time_s) < 2 or len(lags_s) < 2 * 100 * LARGEST_OFFSET_S:
        return nothing
    scores = np.array([r_at(lag_s) for lag_s in lags_s])
    near = np.where(np.abs(lags_s) <= LARGEST_OFFSET_S + 1e-9, scores, np.nan)
    if np.isnan(near).all():
        return nothing
    best = int(np.nanargmax(near))
    far = scores[(np.abs(lags_s - lags_s[best]) > 0.5) & np.isfinite(scores)]
    chance = float(far.mean() + 3 * far.std()) if len(far) else float("nan")
    within = np.where(np.abs(lags_s) <= 1.0, scores, np.nan)
    overall = int(np.nanargmax(within))
    elsewhere = overall if scores[overall] > scores[best] + 0.1 else best
    return Offset(float(lags_s[best]), float(scores[best]), chance, float(lags_s[elsewhere]))


def in_reference(seen: Series) -> Series:
    """[F, 3] lips seen (over the eye distance) in the readout's unit, the head's pose taken out."""
    known = np.isfinite(seen)
    size = max(3, int(_POSE_S * MOTION_RATE))
    total = uniform_filter1d(np.where(known, seen, 0.0), size, axis=0, mode="nearest")
    count = uniform_filter1d(known.astype(np.float64), size, axis=0, mode="nearest")
    slow = total / np.maximum(count, 1e-6)
    slow[:, 0] = 0.0  # a closed mouth is always closed
    return (seen - slow - REFERENCE[:, 0]) / REFERENCE[:, 1]


def fit_voice(heard: Heard, seen: Series, network: SpeechNetwork) -> Voice:
    """The voice of who spoke: `seen` [F, 3] from `in_reference`, nan where it is not to count."""
    design = _Design.of(heard, seen)
    rows = np.flatnonzero(design.known)
    columns = [_fit_column(design, column, rows) for column in range(len(LIPS))]
    return Voice(
        weights=np.stack([one.weights for one in columns], 1).astype(np.float32),
        shift=np.array([one.shift for one in columns], np.float32),
        gains=(columns[0].gain, columns[1].gain, columns[2].gain),
        delays_ms=(columns[0].delay_ms, columns[1].delay_ms, columns[2].delay_ms),
        seconds=_speech_s(heard, design.known),
        network=network_mark(network),
    )


def gained(heard: Heard, seen: Series, network: SpeechNetwork, parts: int = 3) -> Gained:
    """Each of `parts` stretches of the recording, by a voice fitted to the others."""
    known = np.flatnonzero(np.isfinite(seen).all(1))
    before, after = [], []
    for held in np.array_split(known, parts):
        others = seen.copy()
        others[held[0] : held[-1] + 1] = np.nan
        voice = fit_voice(heard, others, network)
        adapted = adapt_all(voice, heard.outputs, heard.lips)
        before.append(lip_scores(heard.lips[held], seen[held]))
        after.append(lip_scores(adapted[held], seen[held]))
    return Gained(_mean_scores(before), _mean_scores(after))


def lip_scores(lips: Float, seen: Series) -> tuple[LipScore, ...]:
    """Opening, width, jaw of [F, 3] lips against [F, 3] seen, both in the readout's unit."""
    scores = []
    for column in range(len(LIPS)):
        ours, theirs = lips[:, column].astype(np.float64), seen[:, column]
        miss = ours - theirs - (0 if column == 0 else np.mean(ours - theirs))
        scores.append(
            LipScore(
                r=_r(theirs, ours),
                spread=spread_of(ours) / max(spread_of(theirs), 1e-6),
                error=float(np.sqrt(np.mean(miss**2)) * REFERENCE[column, 1]),
            )
        )
    return tuple(scores)


def _mean_scores(rows: list[tuple[LipScore, ...]]) -> tuple[LipScore, ...]:
    def mean(values: list[float]) -> float:
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    return tuple(
        LipScore(
            mean([row[column].r for row in rows]),
            mean([row[column].spread for row in rows]),
            mean([row[column].error for row in rows]),
        )
        for column in range(len(LIPS))
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Design:
    """The regression's numbers, F frames."""

    inputs: Series
    """[F, TAPS * INPUTS] as `adapt` sees them."""
    speaking: Series
    """[F]"""
    seen: Series
    """[F, 3]"""
    known: NDArray[np.bool_]
    """[F]"""

    @classmethod
    def of(cls, heard: Heard, seen: Series) -> "_Design":
        now = inputs_of(heard.outputs, heard.lips).astype(np.float64)
        past = [
            np.concatenate([np.repeat(now[:1], tap, 0), now])[: len(now)] for tap in range(TAPS)
        ]
        known = np.asarray(np.isfinite(seen).all(1), np.bool_)
        return cls(np.concatenate(past, 1), 1 - now[:, 0], seen, known)

    def said(self, column: int, delay: int) -> Series:
        """[F] one of the encoder's lips, `delay` frames late."""
        return self.inputs[:, _place(column, delay)]


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    weights: Series
    shift: float
    gain: float
    delay_ms: int


def _place(column: int, tap: int) -> int:
    return tap * INPUTS + INPUTS - len(LIPS) + column


def _fit_column(design: _Design, column: int, rows: NDArray[np.int64]) -> _Column:
    nothing = _Column(np.zeros(TAPS * INPUTS), 0.0, 1.0, 0)
    if len(rows) < _LEAST_FRAMES:
        return nothing
    truth = design.seen[rows, column]
    folds = np.array_split(rows, _FOLDS)

    def held_out_r(values: list[Series]) -> Series:
        scores = [
            _r(design.seen[fold, column], one) for fold, one in zip(folds, values, strict=True)
        ]
        return np.nan_to_num(np.array(scores), nan=0.0)

    delay, delay_r = 0, held_out_r([design.said(column, 0)[fold] for fold in folds])
    first_r = delay_r
    for later in _DELAYS:
        late_r = held_out_r([design.said(column, later)[fold] for fold in folds])
        if _is_worth(late_r, first_r) and late_r.mean() > delay_r.mean():
            delay, delay_r = later, late_r
    moved = [design.said(column, delay)[fold] for fold in folds]
    hold, hold_r = None, delay_r
    solver = _Ridge(design, column, delay, folds)
    seconds = len(rows) / MOTION_RATE
    for strength in (hold * (1 + (_SHORT_S / seconds) ** 2) for hold in _HOLDS):
        tried = [solver.held_out(index, strength) for index in range(_FOLDS)]
        tried_r = held_out_r(tried)
        if _is_worth(tried_r, delay_r) and tried_r.mean() > hold_r.mean():
            hold, hold_r, moved = strength, tried_r, tried
    spread = spread_of(np.concatenate(moved))
    if spread < 1e-3 or spread_of(truth) < 1e-3:
        return nothing
    weights, shift = solver.whole(hold)
    trusted = 1 - _LITTLE_S / (_LITTLE_S + len(rows) / MOTION_RATE)
    gain = float(np.clip((spread_of(truth) / spread) ** trusted, *_GAINS))
    shipped_spread = spread_of(design.said(column, 0)[rows])
    weights[_place(column, delay)] += 1
    middle = float((design.inputs[rows] @ weights + shift).mean())
    shipped = float(design.said(column, 0)[rows].mean())
    # only the opening has a level of its own: of width and jaw the pose took it away
    wanted = shipped + trusted * (float(truth.mean()) - shipped) if column == 0 else shipped
    weights *= gain
    told = spread_of(design.inputs[rows] @ weights) / max(shipped_spread, 1e-3)
    weights[_place(column, 0)] -= 1
    return _Column(weights, wanted - gain * (middle - shift), told, 1000 * delay // MOTION_RATE)


def _is_worth(tried_r: Series, before_r: Series) -> bool:
    """Better on average, and not by one lucky stretch."""
    gains = tried_r - before_r
    return bool(gains.mean() > _WORTH_R and (gains > 0).sum() >= _FOLDS - 1)


class _Ridge:
    """What is left of the lips seen after those heard, from all that was heard."""

    def __init__(
        self, design: _Design, column: int, delay: int, folds: list[NDArray[np.int64]]
    ) -> None:
        self._folds = folds
        rows = np.concatenate(folds)
        self._mean = design.inputs[rows].mean(0)
        self._spread = design.inputs[rows].std(0) + _FLOOR
        standard = (design.inputs - self._mean) / self._spread
        self._table = np.concatenate([standard, np.ones((len(standard), 1))], 1)
        self._table *= design.speaking[:, None]
        self._base = design.said(column, delay)
        rest = design.seen[:, column] - self._base
        self._squares = [self._table[fold].T @ self._table[fold] for fold in folds]
        self._products = [self._table[fold].T @ rest[fold] for fold in folds]

    def _solved(self, hold: float, without: int | None) -> Series:
        used = [index for index in range(len(self._folds)) if index != without]
        square = sum(self._squares[index] for index in used) + np.diag(
            np.full(self._table.shape[1], hold)
        )
        square[-1, -1] += 1 - hold  # the level is free
        return np.linalg.solve(square, sum(self._products[index] for index in used))

    def held_out(self, fold: int, hold: float) -> Series:
        """The lips in one fold, by a map fitted to the others."""
        rows = self._folds[fold]
        return self._base[rows] + self._table[rows] @ self._solved(hold, fold)

    def whole(self, hold: float | None) -> tuple[Series, float]:
        """[TAPS * INPUTS] weights and shift of the map fitted to all; nothing for None."""
        if hold is None:
            return np.zeros(TAPS * INPUTS), 0.0
        solved = self._solved(hold, None)
        weights = solved[:-1] / self._spread
        return weights, float(solved[-1] - self._mean @ weights)


def _speech_s(heard: Heard, known: NDArray[np.bool_]) -> float:
    return float((known & (heard.speaking > 0.5)).sum() / MOTION_RATE)


def spread_of(values: Series) -> float:
    """5th to 95th percentile of what is known; nan where nothing is."""
    low, high = np.nanpercentile(values, [5, 95]) if np.isfinite(values).any() else (0.0, np.nan)
    return float(high - low)


def _r(seen: Series, heard: Series) -> float:
    """Correlation where both are known; nan for few frames, or where one does not move."""
    both = np.isfinite(seen) & np.isfinite(heard)
    if both.sum() < _LEAST_FRAMES // 3:
        return float("nan")
    a, b = seen[both], heard[both]
    if min(a.std(), b.std()) < 1e-6:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
