"""The part of the photograph that an avatar is held against while it is fitted."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from avatar.fit.backends import FitRasteriser
from avatar.fit.photograph import LIKENESS_SIDE, background, closed, matte, presence, shrunk
from avatar.fit.rasteriser import Lens, over
from avatar.portrait.arrays import Mask
from avatar.portrait.colour import sample
from avatar.portrait.openings import eye_openings, mouth_opening
from avatar.types import Float, Gaussians, Index, Portrait

AS_MEASURED = 0
"""A side for `Target.scaled`: as large as the avatar is where likeness is measured."""
SSIM_SHARE = 0.4
"""Of the loss, see `PictureLoss`."""
TONES = (0.0, 1.0, 0.5)
"""Greys before which the person is seen by turns: before one wall, a splat at the outline could
take the wall's colour and shine before any other."""
_SPLIT_PIXELS = 3.0
"""Footprint from which a splat is seen singly."""
LEAST_SHOWN = 0.003
"""Pixels' worth of the picture that a splat must be to be drawn while fitting."""
_MARGIN = 0.03
"""Of the box around the avatar, added on each side."""
_RULED = (0.08, 0.3)
"""Share of splats painted by rule in a pixel's colour from which the photograph counts less, and
not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the drawing shall look like, and through which lens."""

    lens: Lens
    wanted: Float
    """[H, W, 3] the photograph, with eyes and mouth as they are painted by rule."""
    behind: Float
    """[H, W, 3] its background without the person."""
    person: Float
    """[H, W] 0..1 how surely a pixel belongs to the person."""
    there: Float
    """[H, W] 0..1 how solid the avatar shall be where the person is: its shoulders dissolve."""
    weight: Float
    """[H, W] 0..1 how much a pixel counts."""
    as_measured: float
    """Size against the photograph's at which likeness is measured."""

    def over(self, tone: float) -> Float:
        """[H, W, 3] the photograph with the person before a grey wall of that `tone`."""
        person, there = self.person[..., None], self.there[..., None]
        own = there * (self.wanted - (1 - person) * self.behind)
        return np.clip(own + (1 - there * person) * tone, 0, 1).astype(np.float32)

    def outline(self, splats: Gaussians) -> Float:
        """[N] 0..1 which splats reach over the person's outline."""
        camera = splats.means @ self.lens.pose[:, :3].T + self.lens.pose[:, 3]
        ahead = np.maximum(camera[:, 2:], 1e-3)
        pixels = camera[:, :2] / ahead * self.lens.intrinsics[:2] + self.lens.intrinsics[2:]
        reach = splats.scales[:, :2].max(1) * self.lens.intrinsics[0] / ahead[:, 0]
        inside = cv2.distanceTransform((self.person > 0.9).astype(np.uint8), cv2.DIST_L2, 5)
        depth = sample(np.asarray(inside, np.float32)[..., None], pixels)[:, 0]
        return np.clip(2 - depth / np.maximum(reach, 0.5), 0, 1).astype(np.float32)

    def scaled(self, side: int) -> "Target":
        """The same with a longer side of `side` pixels, but no larger than it is."""
        scale = min(1.0, side / max(self.lens.width, self.lens.height))
        if side == AS_MEASURED:
            scale = self.as_measured
        size = (round(self.lens.width * scale), round(self.lens.height * scale))
        return Target(
            lens=self.lens.scaled(*size),
            wanted=shrunk(self.wanted, size),
            behind=shrunk(self.behind, size),
            person=shrunk(self.person, size),
            there=shrunk(self.there, size),
            as_measured=1.0,
            weight=shrunk(self.weight, size),
        )


def find_target(
    posed: Gaussians,
    free: Float,
    ruled: Mask,
    portrait: Portrait,
    whole: Lens,
    box: tuple[int, int, int, int],
    learning: tuple[float, float],
    rasteriser: FitRasteriser,
    eyes: bool = False,
) -> Target:
    """The part of the portrait in which the avatar is; where the shoulders dissolve does not count.

    The photograph counts only as far as the splats in a pixel are `free` [N]: not at all below the
    first of `learning`, fully from the second. Where those may learn little, their freer neighbours
    would make up for it, as white rims on a cheek.

    What is `ruled` [N], painted by rule, and what the portrait shows between lips and lids, shall
    stay as it is drawn at the start: left out of account, eyes would be grown over by their lids.
    With `eyes` the photograph counts between the lids too.
    """
    left, top, width, height = box
    part = (slice(top, top + height), slice(left, left + width))
    behind = background(portrait)
    lens = whole.crop(*box)
    colours = np.stack([ruled, free, np.zeros(len(free))], 1).astype(np.float32)
    shares, through = rasteriser.draw(replace(posed, colours=colours), lens)
    counts = 1 - np.clip((shares[..., 0] - _RULED[0]) / (_RULED[1] - _RULED[0]), 0, 1)
    low, high = learning
    counts *= np.clip((shares[..., 1] - low) / (high - low), 0, 1)
    size = portrait.person.shape
    counts *= 1 - mouth_opening(portrait.landmarks, *size)[part]
    if not eyes:
        counts *= 1 - eye_openings(portrait.landmarks, *size)[part]
    start = over(*rasteriser.draw(posed, lens), behind[part])
    wanted = start + counts[..., None] * (portrait.image[part] - start)
    return Target(
        lens=lens,
        wanted=np.ascontiguousarray(wanted, np.float32),
        behind=np.ascontiguousarray(behind[part]),
        person=np.ascontiguousarray(matte(portrait, behind)[part]),
        there=closed(through),
        weight=presence(through, portrait.person[part]),
        as_measured=LIKENESS_SIDE / max(whole.width, whole.height),
    )


def box_around(posed: Gaussians, lens: Lens) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of the picture's pixels around the avatar; None where it is not."""
    camera = posed.means @ lens.pose[:, :3].T + lens.pose[:, 3]
    ahead = camera[:, 2] > 0.1
    fx, fy, cx, cy = lens.intrinsics
    across = fx * camera[ahead, 0] / camera[ahead, 2] + cx
    down = fy * camera[ahead, 1] / camera[ahead, 2] + cy
    inside = (across > 0) & (across < lens.width) & (down > 0) & (down < lens.height)
    if not inside.any():
        return None
    across, down = across[inside], down[inside]
    margin = _MARGIN * max(np.ptp(across), np.ptp(down))
    left, top = max(0, int(across.min() - margin)), max(0, int(down.min() - margin))
    right = min(lens.width, math.ceil(across.max() + margin))
    bottom = min(lens.height, math.ceil(down.max() + margin))
    return left, top, right - left, bottom - top


def chosen(splats: Gaussians, which: Index) -> Gaussians:
    """Those of `which` [K]."""
    return Gaussians(
        means=splats.means[which],
        rotations=splats.rotations[which],
        scales=splats.scales[which],
        opacities=splats.opacities[which],
        colours=splats.colours[which],
    )


def worst(
    splats: Gaussians, target: Target, able: Mask, most: int, rasteriser: FitRasteriser
) -> Index:
    """[K] at most `most` of the splats that are `able` [N], where the drawing differs most from
    the photograph and they are large enough to be seen singly."""
    share = misdrawn(splats, target.lens, target.over(0.5), target.weight, rasteriser)
    return first(np.where(able, share, 0), most)


def misdrawn(
    splats: Gaussians, lens: Lens, wanted: Float, weight: Float, rasteriser: FitRasteriser
) -> Float:
    """[N] how much of what a drawing before a wall of .5 differs from `wanted` [H, W, 3], each
    pixel by its `weight` [H, W], lies on each of the splats; 0 of those too small to be seen
    singly."""
    shown = over(*rasteriser.draw(splats, lens), 0.5)
    error = np.abs(shown - wanted).mean(2) * weight
    share = rasteriser.backward(shown, np.repeat(error[..., None], 3, 2)).colours[:, 0]
    return np.where(rasteriser.footprints() > _SPLIT_PIXELS, share, 0).astype(np.float32)


def first(share: Float, most: int) -> Index:
    """[K] at most `most` of those with the largest `share` [N], none without any; ascending."""
    order = np.argsort(-share, kind="stable")[:most]
    return np.sort(order[share[order] > 0]).astype(np.int32)
