"""Curves that flesh can follow: springs, glides, drifts, single movements. T frames at once."""

from collections.abc import Sequence

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from avatar.types import MOTION_RATE

Curve = NDArray[np.float64]

STEP_S = 1.0 / MOTION_RATE


def sprung(target: Curve, frequency: float, start: float | None = None) -> Curve:
    """`target` [T] or [T, N] followed by critically damped springs: quick, without overshoot.

    The exact solution of x'' = -2 w x' - w^2 (x - target), w = 2 pi `frequency` (Hz), for targets
    that hold within a frame. The springs begin at rest at `start`; None: on the first target.
    """
    if not len(target):
        return target.astype(np.float64)
    rate = 2 * np.pi * frequency * STEP_S
    a = np.exp(-rate)
    forward = [1 - a - rate * a, a * (a - 1 + rate)]
    feedback = [1, -2 * a, a * a]
    first = np.asarray(target[:1] if start is None else np.full_like(target[:1], start), np.float64)
    state = scipy.signal.lfilter_zi(forward, feedback).reshape(-1, *[1] * (target.ndim - 1)) * first
    return scipy.signal.lfilter(forward, feedback, target, axis=0, zi=state)[0]


def smoothstep(share: Curve) -> Curve:
    """0..1 with no slope at either end."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


def least_jerk(share: Curve) -> Curve:
    """0..1 as hands, heads and eyes go from place to place (Flash and Hogan 1985)."""
    share = np.clip(share, 0, 1)
    return share * share * share * (10 - 15 * share + 6 * share * share)


def glides(frames: int, starts: Sequence[int], places: Curve, durations: Sequence[int]) -> Curve:
    """[T, N] from place to place: at frame `starts[i]` (rising) a least-jerk movement to
    `places[i]` [N] begins and lasts `durations[i]` frames, from wherever the last one has come.

    Before the first start the curve is 0.
    """
    curve = np.zeros((frames, places.shape[1]))
    here = np.zeros(places.shape[1])
    ends = [*starts[1:], frames]
    for start, end, place, duration in zip(starts, ends, places, durations, strict=True):
        first, last = max(start, 0), min(end, frames)
        if last <= first:
            continue
        share = least_jerk((np.arange(first, last) - start + 1) / max(duration, 1))
        curve[first:last] = here + share[:, None] * (place - here)
        here = curve[last - 1]
    return curve


def drift(
    frames: int,
    chance: np.random.Generator,
    spread: float,
    pause_s: tuple[float, float],
    frequency: float,
) -> Curve:
    """[T] wandering to a new place now and then, within 2.5 times `spread`, by a spring of
    `frequency` (Hz); pauses are drawn evenly from `pause_s`."""
    past = MOTION_RATE  # so that a stream does not begin at rest
    count = int((frames + past) * STEP_S / pause_s[0]) + 2
    lengths = np.maximum((chance.uniform(*pause_s, count) * MOTION_RATE).astype(int), 1)
    places = np.clip(chance.standard_normal(count), -2.5, 2.5) * spread
    return sprung(np.repeat(places, lengths)[: frames + past], frequency)[past:][:frames]


def at_tempo(curve: Curve, tempo: Curve) -> Curve:
    """`curve` [T] or [T, N] played at `tempo` [T] (1 = as it is); its end is held or left out."""
    clock = np.minimum(np.cumsum(tempo), len(curve) - 1)
    first = clock.astype(int)
    second = np.minimum(first + 1, len(curve) - 1)
    share = (clock - first).reshape(-1, *[1] * (curve.ndim - 1))
    return curve[first] * (1 - share) + curve[second] * share


def bump(rise_s: float, hold_s: float, fall_s: float) -> Curve:
    """0 to 1 and back, without corners; a muscle held for long tires a little."""
    rise, hold, fall = (max(round(part * MOTION_RATE), 1) for part in (rise_s, hold_s, fall_s))
    tired = 1 - 0.3 * min(hold_s, 1.0) * smoothstep(np.arange(hold) / hold)
    return np.concatenate(
        [
            smoothstep(np.arange(1, rise + 1) / rise),
            tired,
            tired[-1] * smoothstep(1 - np.arange(1, fall + 1) / fall),
        ]
    )


def add_at(curve: Curve, start: int, movement: Curve) -> None:
    """Add `movement` to `curve` from frame `start` on; what lies outside is left out."""
    first, last = max(start, 0), min(start + len(movement), len(curve))
    if last > first:
        curve[first:last] += movement[first - start : last - start]


def runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frame and frame after the last of each stretch that is True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
