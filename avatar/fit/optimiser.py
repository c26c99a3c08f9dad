"""Adam (Kingma & Ba 2015) on what a splat may change: colour, opacity, size, place, turn.

A splat's nine numbers are a row of `values` [N, 9] float32: red, green, blue; opacity; the
logarithm of its size along own axes x and y against the start; how far its middle moved along
these axes, in units of its width at the start; its turn about its own axis z, radians. It stays
in the plane it lay in and keeps its thickness.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from avatar.fit.rasteriser import Gradients
from avatar.types import Float, Gaussians

COLOUR, OPACITY, SIZE, PLACE, TURN = slice(0, 3), 3, slice(4, 6), slice(6, 8), 8
WIDTH = 9
_MEAN_DECAY, _SQUARE_DECAY, _EPSILON = 0.9, 0.99, 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the values are held to, each [N, 9] or [9]."""

    low: Float
    high: Float
    pull: Float
    """[9] towards the start, against the loss: per unit, as if it were a gradient."""
    rate: Float
    """[9] how far a step goes."""


class SplatOptimiser:
    """Owns N splats while they are fitted."""

    def __init__(self, start: Gaussians, limits: Limits) -> None:
        count = len(start)
        self._start = start
        self._width = np.sqrt(start.scales[:, 0] * start.scales[:, 1])
        self._limits = limits
        self.values = np.zeros((count, WIDTH), np.float32)
        self.values[:, COLOUR] = start.colours
        self.values[:, OPACITY] = start.opacities
        self._origin = self.values.copy()
        self._mean = np.zeros_like(self.values)
        self._square = np.zeros_like(self.values)
        self._steps = 0
        self.gaussians = Gaussians(
            means=start.means.copy(),
            rotations=start.rotations.copy(),
            scales=start.scales.copy(),
            opacities=start.opacities.copy(),
            colours=start.colours.copy(),
        )
        """The splats as they are now; the arrays are written to by `step`."""

    def step(self, gradients: Gradients, pace: float) -> None:
        """Go `pace` times the usual way down the gradients, then hold the limits."""
        self._steps += 1
        limits, now = self._limits, self.gaussians
        _descend(
            gradients.means,
            gradients.turns,
            gradients.scales,
            gradients.opacities,
            gradients.colours,
            now.rotations,
            now.scales,
            self._width,
            self.values,
            self._origin,
            self._mean,
            self._square,
            limits.low,
            limits.high,
            limits.pull,
            limits.rate * np.float32(pace),
            np.float32(1 / (1 - _MEAN_DECAY**self._steps)),
            np.float32(1 / (1 - _SQUARE_DECAY**self._steps)),
        )
        self._place()

    def _place(self) -> None:
        start, now = self._start, self.gaussians
        _place(
            start.means,
            start.rotations,
            start.scales,
            self._width,
            self.values,
            now.means,
            now.rotations,
            now.scales,
            now.opacities,
            now.colours,
        )


@njit(cache=True, inline="always")
def _tangents(rotations, i):  # pragma: no cover
    """A splat's own axes x and y."""
    w, x, y, z = rotations[i, 0], rotations[i, 1], rotations[i, 2], rotations[i, 3]
    n = np.float32(1) / np.sqrt(w * w + x * x + y * y + z * z)
    w, x, y, z = w * n, x * n, y * n, z * n
    one, two = np.float32(1), np.float32(2)
    return (
        one - two * (y * y + z * z),
        two * (x * y + w * z),
        two * (x * z - w * y),
        two * (x * y - w * z),
        one - two * (x * x + z * z),
        two * (y * z + w * x),
    )


@njit(cache=True, parallel=True, error_model="numpy")
def _descend(  # pragma: no cover
    d_means, d_turns, d_scales, d_opacities, d_colours, rotations, scales, width,
    values, origin, mean, square, low, high, pull, rate, mean_bias, square_bias,
):  # fmt: skip
    kept, fresh = np.float32(_MEAN_DECAY), np.float32(1 - _MEAN_DECAY)
    kept_square, fresh_square = np.float32(_SQUARE_DECAY), np.float32(1 - _SQUARE_DECAY)
    for i in prange(values.shape[0]):
        slope = np.empty(WIDTH, np.float32)
        slope[0], slope[1], slope[2] = d_colours[i, 0], d_colours[i, 1], d_colours[i, 2]
        slope[3] = d_opacities[i]
        slope[4], slope[5] = d_scales[i, 0] * scales[i, 0], d_scales[i, 1] * scales[i, 1]
        # Along the axes of the start: the turn since then is undone.
        ax, ay, az, bx, by, bz = _tangents(rotations, i)
        along = ax * d_means[i, 0] + ay * d_means[i, 1] + az * d_means[i, 2]
        across = bx * d_means[i, 0] + by * d_means[i, 1] + bz * d_means[i, 2]
        cosine, sine = np.cos(values[i, 8]), np.sin(values[i, 8])
        slope[6] = (cosine * along - sine * across) * width[i]
        slope[7] = (sine * along + cosine * across) * width[i]
        slope[8] = d_turns[i, 2]
        for k in range(WIDTH):
            g = slope[k] + pull[k] * (values[i, k] - origin[i, k])
            mean[i, k] = kept * mean[i, k] + fresh * g
            square[i, k] = kept_square * square[i, k] + fresh_square * g * g
            way = mean[i, k] * mean_bias / (np.sqrt(square[i, k] * square_bias) + _EPSILON)
            value = values[i, k] - rate[k] * way
            values[i, k] = min(max(value, low[i, k]), high[i, k])


@njit(cache=True, parallel=True, error_model="numpy")
def _place(  # pragma: no cover
    start_means, start_rotations, start_scales, width, values,
    means, rotations, scales, opacities, colours,
):  # fmt: skip
    for i in prange(values.shape[0]):
        ax, ay, az, bx, by, bz = _tangents(start_rotations, i)
        along, across = values[i, 6] * width[i], values[i, 7] * width[i]
        means[i, 0] = start_means[i, 0] + along * ax + across * bx
        means[i, 1] = start_means[i, 1] + along * ay + across * by
        means[i, 2] = start_means[i, 2] + along * az + across * bz
        half = np.float32(0.5) * values[i, 8]
        c, s = np.cos(half), np.sin(half)
        w, x, y, z = start_rotations[i]
        rotations[i, 0], rotations[i, 1] = w * c - z * s, x * c + y * s
        rotations[i, 2], rotations[i, 3] = y * c - x * s, z * c + w * s
        scales[i, 0] = start_scales[i, 0] * np.exp(values[i, 4])
        scales[i, 1] = start_scales[i, 1] * np.exp(values[i, 5])
        opacities[i] = values[i, 3]
        colours[i, 0], colours[i, 1], colours[i, 2] = values[i, 0], values[i, 1], values[i, 2]
