"""Smoothing that is strong on what stands still and lets go of what moves.

The One-Euro filter (Casiez, Roussel, Vogel 2012): a low-pass whose cutoff rises with the speed of
the signal. Run forwards it is causal, for a camera; run both ways over a film its delay cancels.
"""

from dataclasses import dataclass

import numpy as np

from avatar.portrait.arrays import Array

_SPEED_CUTOFF_HZ = 1.5
"""Of the low-pass on the speed itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """How much; both may be one number or one for each channel."""

    still_hz: float | Array
    """Cutoff while nothing moves: lower is calmer."""
    per_speed: float | Array
    """Hz of cutoff gained for each unit a second."""


class OneEuro:
    """The filter's state between frames, for a vector of channels."""

    def __init__(self, smoothing: Smoothing) -> None:
        self._smoothing = smoothing
        self._value: Array | None = None
        self._speed: Array | None = None

    def reset(self) -> None:
        """Forget the past: the next value is taken as it is."""
        self._value = self._speed = None

    def step(self, value: Array, step_s: float) -> Array:
        """The smoothed `value`, `step_s` seconds after the last one."""
        if self._value is None or self._speed is None or step_s <= 0:
            self._value, self._speed = value.copy(), np.zeros_like(value)
            return value
        speed = (value - self._value) / step_s
        self._speed = self._speed + _share(_SPEED_CUTOFF_HZ, step_s) * (speed - self._speed)
        cutoff = self._smoothing.still_hz + self._smoothing.per_speed * np.abs(self._speed)
        self._value = self._value + _share(cutoff, step_s) * (value - self._value)
        return self._value


def _share(cutoff_hz: float | Array, step_s: float) -> float | Array:
    """How far an exponential low-pass goes towards its input in one step."""
    angle = 2 * np.pi * cutoff_hz * step_s
    return angle / (1 + angle)


def smoothed_both_ways(values: Array, time_s: Array, smoothing: Smoothing) -> Array:
    """[T, C] the mean of the filter run forwards and run backwards: without delay."""
    forwards = _run(values, np.diff(time_s), smoothing)
    backwards = _run(values[::-1], np.diff(time_s)[::-1], smoothing)[::-1]
    return 0.5 * (forwards + backwards)


def _run(values: Array, steps_s: Array, smoothing: Smoothing) -> Array:
    euro = OneEuro(smoothing)
    steps = np.concatenate([[0.0], steps_s])
    return np.stack([euro.step(v, float(s)) for v, s in zip(values, steps, strict=True)])
