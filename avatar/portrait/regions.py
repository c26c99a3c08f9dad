"""What each pixel of the person shows: skin, hair (or a hat), or clothes.

No segmentation network of hair may be shipped, but the portrait says much by itself: the face is
skin, what stands out above the fitted head is hair, what stands out below it is clothes. The
histograms of those colours, and where on the body a pixel is, tell the rest (Bayes' rule); a
guided filter lays the borders on the picture's edges.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.person import guided_filter
from avatar.types import Float

_PIXEL_M = 0.0012
"""Regions are found at this resolution: enough for an ear."""
_FEWEST = 60
"""Pixels from which a class's colours are worth learning."""
_BINS = (34, 44, 44)
_RANGE = ((0.0, 102.0), (-66.0, 66.0), (-66.0, 66.0))
"""Of CIE Lab, 3 units to a bin."""
_SPREADS = (2.5, 0.8, 0.8)
"""Bins by which the histograms are smoothed: lightness further, skin in shadow is still skin."""
_OUTLIER = 4e-6
"""Share that every class grants to any bin, so that none wins by being least wrong."""
_UNKNOWN = 1.5e-5
"""The same of a class of which nothing is known: all bins alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Three shares [H, W] of the photograph's pixels, 0..1; they sum to 1 on the person."""

    skin: Float
    hair: Float
    clothes: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """Where on the person a pixel lies; images [H, W] of the photograph's size."""

    person: Float
    """0..1"""
    face: Mask
    """The face itself: without brows, eyes, lips and beard as far as known."""
    covered: Mask
    """The fitted head and neck lie there."""
    chin_row: float
    """Of the chin; there the fitted neck begins."""
    pixels_per_metre: float


def find_regions(image: Float, clues: Clues) -> Regions:
    """Tell skin, hair and clothes apart."""
    height, width = clues.person.shape
    scale = min(1.0, 1 / (_PIXEL_M * clues.pixels_per_metre))
    size = (max(8, round(width * scale)), max(8, round(height * scale)))

    def small(values: NDArray[np.generic]) -> Array:
        resized = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.float32)

    picture = small(image)
    person = small(clues.person)
    face, covered = small(clues.face) > 0.9, small(clues.covered)
    lab = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.float32)
    rows = np.indices(person.shape)[0] / scale
    metres = clues.pixels_per_metre
    below_chin = (rows - clues.chin_row) / metres
    solid = person > 0.9
    uncovered = (covered < 0.5).astype(np.uint8)
    away = np.asarray(cv2.distanceTransform(uncovered, cv2.DIST_L2, 5), np.float32) / (
        metres * scale
    )
    seeds = (
        solid & face,
        solid & (away > 0.004) & (below_chin < -0.02),
        solid & (away > 0.02) & (below_chin > 0.03),
    )
    densities = [_density(lab, seed) for seed in seeds]
    if not seeds[1].any():
        densities[1][:] = 0  # bald, and no hat
    priors = _priors(covered, away, below_chin)
    shares = [density * prior for density, prior in zip(densities, priors, strict=True)]
    total = np.maximum(sum(shares), 1e-30)
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    radius = max(2, round(0.006 * metres * scale))
    refined = [
        np.clip(guided_filter(grey, (share / total).astype(np.float32), radius, 1e-3), 0, 1)
        for share in shares
    ]
    total = np.maximum(sum(refined), 1e-6)
    full = [cv2.resize(one / total, (width, height)).astype(np.float32) for one in refined]
    return Regions(skin=full[0], hair=full[1], clothes=full[2])


def _priors(covered: Array, away: Array, below_chin: Array) -> tuple[Array, Array, Array]:
    """How likely skin, hair and clothes are by place alone, [h, w] each."""
    head = 1 / (1 + np.exp((below_chin - 0.03) / 0.015))
    skin = np.where(covered > 0.5, 0.5, 0.35 * np.exp(-away / 0.012))
    skin = skin * (1 - 0.75 * np.clip((below_chin - 0.03) / 0.03, 0, 1))
    clothes = (1 - head) * 0.5
    hair = 0.5 * head + 0.25 * (1 - head) * np.exp(-np.maximum(below_chin, 0) / 0.15)
    return skin, hair, clothes


def _density(lab: Array, seed: Mask) -> Array:
    """[h, w] how likely each colour is among the pixels of `seed`: a smoothed histogram."""
    if seed.sum() < _FEWEST:
        return np.full(lab.shape[:2], _UNKNOWN)
    counts, _ = np.histogramdd(lab[seed], bins=_BINS, range=_RANGE)
    smooth = gaussian_filter(counts, _SPREADS)
    smooth /= smooth.sum()
    low, high = np.array(_RANGE).T
    place = np.clip(((lab - low) / (high - low) * _BINS).astype(int), 0, np.array(_BINS) - 1)
    return smooth[place[..., 0], place[..., 1], place[..., 2]] + _OUTLIER
