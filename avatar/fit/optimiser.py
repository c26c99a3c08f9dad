"""Adam (Kingma & Ba 2015) on what a splat may change: colour, opacity, size, place, turn.

A splat's nine numbers are a row of `values` [N, 9] float32: red, green, blue; opacity; the
logarithm of its size along own axes x and y against the start; how far its middle moved along
these axes, in units of its width at the start; its turn about its own axis z, radians. It stays
in the plane it lay in and keeps its thickness.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from avatar.fit.rasteriser import Gradients
from avatar.read_only import read_only
from avatar.types import Float, Gaussians, Index

COLOUR, OPACITY, SIZE, PLACE, TURN = slice(0, 3), 3, slice(4, 6), slice(6, 8), 8
WIDTH = 9
SPLIT_APART, SPLIT_SIZE = 0.5, 0.7
"""Of a split splat's length: how far its halves lie from its middle, and their own length."""
_MOST_LENGTH = np.float32(np.log(4))
"""Logarithm of length against breadth; a longer splat would show as a thorn from the side."""
_MEAN_DECAY, _SQUARE_DECAY = 0.9, 0.99
_LEAST_SLOPE = 0.03
"""Added to a slope's size (Adam's epsilon): a splat of which less than this many pixels' worth
shows must not run as fast as the others after nothing but noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the values are held to, each [N, 9] or [9]."""

    low: Float
    high: Float
    pull: Float
    """[9] towards the start, against the loss: per unit, as if it were a gradient."""
    tint_pull: float
    """The same of what changes a colour's tint, beyond its lightness."""
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
        self.source = np.arange(count, dtype=np.int32)
        """[N] which of the splats at the start each one is, or is a part of."""
        self.gaussians = Gaussians(
            means=start.means.copy(),
            rotations=start.rotations.copy(),
            scales=start.scales.copy(),
            opacities=start.opacities.copy(),
            colours=start.colours.copy(),
        )
        """The splats as they are now; the arrays are written to by `step`."""

    def __len__(self) -> int:
        return len(self.values)

    def split(self, which: Index) -> None:
        """Put two splats in the place of each of `which` [K], side by side along its longer axis.

        One takes its place in the row, the others follow at the end in the same order.
        """
        size = self._start.scales[which, :2] * np.exp(self.values[which, SIZE])
        longer = np.argmax(size, axis=1)
        turn = self.values[which, TURN] + longer * (np.pi / 2)
        way = np.stack([np.cos(turn), np.sin(turn)], 1)
        shift = way * (SPLIT_APART * size.max(1) / self._width[which])[:, None]
        narrower = np.where(np.arange(2) == longer[:, None], np.log(SPLIT_SIZE), 0)
        limits = self._limits
        low = limits.low.copy()
        low[which, SIZE] += narrower
        self._limits = replace(limits, low=_twice(low, which), high=_twice(limits.high, which))
        self.values[which, SIZE] += narrower
        values = _twice(self.values, which)
        values[which, PLACE] -= shift
        values[len(self) :, PLACE] += shift
        self.values = values
        self._start, self.gaussians = (
            Gaussians(
                means=_twice(splats.means, which),
                rotations=_twice(splats.rotations, which),
                scales=_twice(splats.scales, which),
                opacities=_twice(splats.opacities, which),
                colours=_twice(splats.colours, which),
            )
            for splats in (self._start, self.gaussians)
        )
        self._width = _twice(self._width, which)
        self._origin = _twice(self._origin, which)
        self._mean, self._square = _twice(self._mean, which), _twice(self._square, which)
        self.source = _twice(self.source, which)
        self._place()

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
            read_only(self._start.scales, np.float32),
            self.values,
            self._origin,
            self._mean,
            self._square,
            limits.low,
            limits.high,
            limits.pull,
            np.float32(limits.tint_pull),
            limits.rate * np.float32(pace),
            np.float32(1 / (1 - _MEAN_DECAY**self._steps)),
            np.float32(1 / (1 - _SQUARE_DECAY**self._steps)),
        )
        self._place()

    def _place(self) -> None:
        start, now = self._start, self.gaussians
        _place(
            read_only(start.means, np.float32),
            read_only(start.rotations, np.float32),
            read_only(start.scales, np.float32),
            self._width,
            self.values,
            now.means,
            now.rotations,
            now.scales,
            now.opacities,
            now.colours,
        )


def _twice(rows: NDArray[Any], which: Index) -> NDArray[Any]:
    """`rows` [N, ...] and, behind them, those of `which` once more."""
    return np.concatenate([rows, rows[which]]).astype(rows.dtype, copy=False)


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
    start_scales, values, origin, mean, square, low, high, pull, tint_pull, rate,
    mean_bias, square_bias,
):  # fmt: skip
    least = np.float32(_LEAST_SLOPE)
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
        # A splat may become lighter or darker sooner than take another tint.
        lighter = np.float32(0)
        for k in range(3):
            lighter += (values[i, k] - origin[i, k]) / np.float32(3)
        for k in range(3):
            slope[k] += tint_pull * (values[i, k] - origin[i, k] - lighter)
        for k in range(WIDTH):
            g = slope[k] + pull[k] * (values[i, k] - origin[i, k])
            mean[i, k] = kept * mean[i, k] + fresh * g
            square[i, k] = kept_square * square[i, k] + fresh_square * g * g
            way = mean[i, k] * mean_bias / (np.sqrt(square[i, k] * square_bias) + least)
            value = values[i, k] - rate[k] * way
            values[i, k] = min(max(value, low[i, k]), high[i, k])
        # What grew too long for its breadth is cut short.
        start = np.log(start_scales[i, 0] / start_scales[i, 1])
        most = max(_MOST_LENGTH, abs(start))
        length = start + values[i, 4] - values[i, 5]
        values[i, 4] -= max(length - most, np.float32(0))
        values[i, 5] -= max(-length - most, np.float32(0))


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
