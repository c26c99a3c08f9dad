"""The light of a photograph, told by the skin that it falls on.

Where the surface and its colours are known, light and albedo can be told apart: light changes with
the way the skin faces, albedo does not. What is fitted is in `avatar.shading`; here it is
estimated, robustly, for a face has brows, a beard, highlights and a painter.
"""

from dataclasses import dataclass

import numpy as np

from avatar.portrait.arrays import Array
from avatar.shading import COEFFICIENTS, ENCODING_POWER, harmonics, irradiance
from avatar.types import Float

_ORDER = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2])
_SPREAD = np.array([0.5, 0.45, 0.2])
"""Prior standard deviation of irradiance's coefficients by order, against the constant one: the
lobe of the cosine passes 2/3 and 1/4 of a light's variation (Ramamoorthi & Hanrahan 2001, eq. 8);
a room lights a face from many sides."""
_TINT_SPREAD = np.array([0.2, 0.15, 0.05])
"""The same for how one colour's light differs from the mean of the three."""
_UNSEEN, _UNSEEN_SPREAD = 0.65, 0.15
"""What light is expected from where no skin tells of it, against the usual, and how surely."""
_NOISE = 0.12
"""Of skin's brightness about albedo times irradiance: pores, freckles, errors of the normals."""
_FREE_PLACES = 60.0
"""That many of the skin's samples are independent; neighbours err alike."""
_OUTLIER = 0.12
"""Relative error at which a sample counts half (Cauchy's weights): highlights, brows, stubble."""
_ROUNDS = 12
_ALBEDO_SPREAD = 0.12
"""How far the smooth albedo of a face may rise or fall from middle to rim, as a logarithm."""
_LEAST_SKIN = 0.15
"""Share of the face's skin that must be usable; on less, light counts as even."""
_STEEPEST = 5.0
"""Brightest against dimmest among what faces the photographer: more is paint or an error."""
_TOLD = np.cos(np.radians(40.0))
"""Within this of a normal of the skin, light is told by the skin."""
_CORNER = np.radians(50.0)
"""The turn of the cheeks against the nose's direction, for the comparison of both sides."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Light:
    """Light on a head, 1 = about what its face gets. Avatar space."""

    coefficients: Float
    """[9, 3] as `avatar.shading.irradiance` takes them."""

    def shading(self, normals: Array) -> Float:
        """[N, 3] linear light on surfaces that face along [N, 3] unit normals."""
        return irradiance(self.coefficients, normals.astype(np.float32))

    @property
    def side_light(self) -> float:
        """How much more light one cheek gets than the other: 1 = even, 2 = twice as much."""
        x, z = np.sin(_CORNER), np.cos(_CORNER)
        left, right = self.shading(np.array([[x, 0, z], [-x, 0, z]])).mean(1)
        return float(max(left, right) / min(left, right))


def even_light() -> Light:
    """The same from everywhere."""
    coefficients = np.zeros((COEFFICIENTS, 3), np.float32)
    coefficients[0] = 1 / harmonics(np.array([[0, 0, 1]], np.float32))[0, 0]
    return Light(coefficients=coefficients)


def estimate_light(colours: Array, normals: Array, places: Array, weights: Array) -> Light:
    """The light that explains the colours of skin.

    Args:
        colours: [N, 3] of the photograph, encoded.
        normals: [N, 3] unit normals there, of the head as photographed; smooth.
        places: [N, 3] on the neutral head, metres: albedo may vary with them, slowly, the same on
            both halves of the face.
        weights: [N] usable skin, square metres or anything in proportion to them; 0 = none.

    Falls back to even light where there is too little skin or nothing to tell by.
    """
    usable = weights > 0
    if usable.sum() < COEFFICIENTS or weights.sum() <= 0:
        return even_light()
    linear = np.maximum(colours[usable].astype(np.float64), 0.02) ** ENCODING_POWER
    share = weights[usable] / weights[usable].sum()
    normal = normals[usable].astype(np.float64)
    basis = harmonics(normal.astype(np.float32)).astype(np.float64)
    slow = _slow_albedo(places[usable].astype(np.float64))
    tone = np.array([_weighted_median(linear[:, c], share) for c in range(3)])
    relative = linear / tone

    unseen = evenly_spread(96)
    unseen = unseen[(unseen @ normal.T).max(1) < _TOLD]
    beyond = harmonics(unseen.astype(np.float32)).astype(np.float64)
    grey = np.zeros(COEFFICIENTS)
    grey[0] = 1 / basis[0, 0]
    colour = np.tile(grey[:, None], (1, 3))
    albedo = np.zeros((slow.shape[1], 3))
    for _ in range(_ROUNDS):
        lit = np.maximum(basis @ colour, 0.15)
        even = relative / np.exp(slow @ albedo)
        error = (even / lit - 1).mean(1)
        trust = share / (1 + (error / _OUTLIER) ** 2)
        trust = _FREE_PLACES * trust / (trust.sum() * _NOISE**2)
        per_light = trust / lit.mean(1) ** 2
        grey = _ridge(basis, even.mean(1), per_light, beyond, _UNSEEN, _SPREAD[_ORDER] * grey[0])
        for c in range(3):
            rest = even[:, c] - basis @ grey
            own = _ridge(basis, rest, per_light, beyond, 0.0, _TINT_SPREAD[_ORDER] * grey[0], 0.0)
            colour[:, c] = grey + own
        lit = np.maximum(basis @ colour, 0.15)
        remaining = np.log(relative / lit)
        pull = np.eye(slow.shape[1]) / _ALBEDO_SPREAD**2
        albedo = np.linalg.solve(
            (slow.T * trust) @ slow + pull, (slow.T * trust) @ np.clip(remaining, -0.5, 0.5)
        )
    return Light(coefficients=_bounded(colour, basis, share))


def _bounded(colour: Array, basis: Array, share: Array) -> Float:
    """[9, 3] scaled to 1 in the mean over the samples, and no steeper than light can be."""
    mean = share @ (basis @ colour)
    colour = colour / np.maximum(mean, 1e-3)
    lit = basis @ colour
    low, high = (np.quantile(lit.mean(1), q) for q in (0.02, 0.98))
    # Between an even light (0) and what was found (1) lies the steepest that is believed.
    rise, fall = high - 1, 1 - low
    allowed = (_STEEPEST - 1) / max(rise + _STEEPEST * fall, 1e-6)
    even = even_light().coefficients.astype(np.float64)
    return (even + min(1.0, allowed) * (colour - even)).astype(np.float32)


def _ridge(
    basis: Array,
    values: Array,
    weights: Array,
    beyond: Array,
    expected: float,
    spread: Array,
    middle: float | None = None,
) -> Array:
    """[9] coefficients that explain `values` [N], drawn to `expected` at the directions `beyond`,
    and to nothing with the spread [9]; the constant one is free, or drawn to `middle`."""
    pull = 1 / np.maximum(spread, 1e-6) ** 2
    if middle is None:
        pull[0] = 0
    doubt = 1 / (_UNSEEN_SPREAD**2 * max(len(beyond), 1))
    left = (basis.T * weights) @ basis + doubt * beyond.T @ beyond + np.diag(pull)
    right = (basis.T * weights) @ values + doubt * expected * beyond.sum(0)
    return np.linalg.solve(left, right)


def _slow_albedo(places: Array) -> Array:
    """[N, 4] ways in which skin may slowly change from place to place, alike on both halves."""
    across, up = places[:, 0] / 0.06, places[:, 1] / 0.08
    slow = np.stack([across**2, up, up**2, across**2 * up], 1)
    return np.clip(slow - slow.mean(0), -2, 2)


def _weighted_median(values: Array, share: Array) -> float:
    order = np.argsort(values)
    return float(values[order[np.searchsorted(np.cumsum(share[order]), 0.5 * share.sum())]])


def evenly_spread(count: int) -> Array:
    """[count, 3] directions all over the sphere (Fibonacci's lattice)."""
    index = np.arange(count) + 0.5
    y, angle = 1 - 2 * index / count, index * np.pi * (3 - np.sqrt(5))
    return np.stack([np.sqrt(1 - y**2) * np.cos(angle), y, np.sqrt(1 - y**2) * np.sin(angle)], 1)
