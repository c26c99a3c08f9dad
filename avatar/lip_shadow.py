"""Lips take each other's light where they meet: the line of a shut mouth.

The line belongs to where lips touch now, not to a spot of their skin: it opens with them, and
rolled or pressed lips meet further out. A spot is as dark as much of the other lip is within a
millimetre or two of it. Without it lips rolled for a p, b or m have no line between them, and look,
to people and to a landmark detector, like one pink opening.
"""

from typing import Any

import numpy as np
from numba import njit, prange
from scipy.spatial import KDTree

from avatar.head.template import HeadTemplate, Part
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians, Index

PARTED = "lips_parted"
"""Key of `Avatar.fit`: 1 where the photographed lips were apart, and their colours know no line."""
_LIP = 0.3
"""Of `HeadTemplate.lip`: from here on skin counts as lip."""
_REACH_M = 0.0020
"""Skin of the other lip further than this takes no light."""
_MEETS_M = 0.0048
"""Spots further apart than this at rest never meet: rolled lips meet 3 mm outside their line."""
_DARKEST = np.float32(0.68)
"""Of its light that a spot loses where lips touch (by eye: the line in photographs at rest)."""
_CORNERS = (78, 308)
"""FaceMesh's points where the inner lips end: right, left."""
_CORNER_M = 0.006
"""From them on inwards the line comes up to its full darkness."""
_SURROUNDED = np.float32(0.24)
"""The kernel's integral at which lips touch: a flat sheet at no distance gives 1/3."""


_SQUARE = 1 / (_REACH_M * _REACH_M)
_SCALE = 1 / (np.pi * _REACH_M * _REACH_M * _SURROUNDED)
LIP_CONSTANTS = {"LIP_SQUARE": float(_SQUARE), "LIP_SCALE": float(_SCALE)}
"""What `_touch` computes with, for others who do the same."""


class LipShadow:
    """The factors of one avatar's lips. Not for use by two threads at once."""

    def __init__(self, template: HeadTemplate, avatar: Avatar, rest: Gaussians) -> None:
        """`rest` are the avatar's Gaussians with a neutral face."""
        upper, lower = lip_splats(template, avatar)
        one, other = (KDTree(rest.means[side]) for side in (upper, lower))
        self.splats: Index = np.concatenate([upper, lower]).astype(np.int32)
        """[n] which of the avatar's Gaussians lie on a lip."""
        below = [
            np.array(near, np.int32) + len(upper) for near in one.query_ball_tree(other, _MEETS_M)
        ]
        above = [np.array(near, np.int32) for near in other.query_ball_tree(one, _MEETS_M)]
        near = below + above
        self.start: Index = np.cumsum([0, *(len(each) for each in near)]).astype(np.int32)
        self.near = np.concatenate([*near, np.zeros(0)]).astype(np.int32)
        # A splat stands for its share of its triangle.
        triangle = avatar.bound_triangle[self.splats]
        corners = avatar.vertices[avatar.triangles[triangle]]
        doubled = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        alike = np.bincount(avatar.bound_triangle, minlength=len(avatar.triangles))[triangle]
        self.area = (0.5 * np.linalg.norm(doubled, axis=1) / alike).astype(np.float32)
        self.darkest = _DARKEST * self._from_corners(template, avatar, rest.means[self.splats])
        self._places = np.empty((len(self.splats), 3), np.float32)
        self._factors = np.ones(len(self.splats), np.float32)
        self.rest = np.ones(len(self.splats), np.float32)
        if not avatar.fit.get(PARTED, [0.0])[0]:
            # The photograph's own line is among the colours.
            self.rest = self.factors(rest.means).copy()

    def factors(self, means: Float) -> Float:
        """[n] what to multiply encoded colours with; overwritten by the next call. `means` [N, 3]
        of all of the avatar's Gaussians."""
        np.take(means, self.splats, axis=0, out=self._places)
        _touch(
            self._places,
            self.start,
            self.near,
            self.area,
            self.darkest,
            self.rest,
            self._factors,
        )
        return self._factors

    @staticmethod
    def _from_corners(template: HeadTemplate, avatar: Avatar, places: Float) -> Float:
        """[n] 0..1: 0 at the corners of the mouth, where lips run into each other."""
        corners = template.triangles[template.landmark_triangle[list(_CORNERS)]]
        weights = template.landmark_barycentric[list(_CORNERS), :, None]
        right, left = (avatar.vertices[corners] * weights).sum(1)[:, 0]
        inwards = np.minimum(places[:, 0] - right, left - places[:, 0])
        return np.clip(inwards / _CORNER_M, 0, 1).astype(np.float32)


def lip_splats(template: HeadTemplate, avatar: Avatar) -> tuple[Index, Index]:
    """Which Gaussians lie on the upper and on the lower lip."""
    on_head = np.flatnonzero(avatar.bound_triangle < len(template.triangles))
    corners = template.triangles[avatar.bound_triangle[on_head]]
    part = template.triangle_part[avatar.bound_triangle[on_head]]
    lip = (template.lip[corners].mean(1) > _LIP) & np.isin(part, (Part.SKIN, Part.MOUTH))
    lower = lower_lip(template)[corners].mean(1) > 0.5
    return (
        on_head[lip & ~lower].astype(np.int32),
        on_head[lip & lower].astype(np.int32),
    )


def lower_lip(template: HeadTemplate) -> Any:
    """[V] bool: moved more by mouthLowerDown than by mouthUpperUp; on lips and around them."""
    moved = [
        sum(
            np.linalg.norm(template.expression_basis[ARKIT_NAMES.index(name + side)], axis=1)
            for side in ("Left", "Right")
        )
        for name in ("mouthLowerDown", "mouthUpperUp")
    ]
    return moved[0] > moved[1]


@njit(cache=True, parallel=True, error_model="numpy")
def _touch(places, start, near, area, darkest, rest, out):  # pragma: no cover
    """A factor from how much of the other lip is near: the integral of (1 - d^2 / reach^2)^2."""
    square, scale = np.float32(_SQUARE), np.float32(_SCALE)
    for index in prange(len(places)):
        x, y, z = places[index]
        total = np.float32(0)
        for entry in range(start[index], start[index + 1]):
            other = near[entry]
            dx, dy, dz = places[other, 0] - x, places[other, 1] - y, places[other, 2] - z
            left = 1 - (dx * dx + dy * dy + dz * dz) * square
            if left > 0:
                total += area[other] * left * left
        kept = np.float32(1 - darkest[index] * min(total * scale, np.float32(1)))
        out[index] = min(kept / rest[index], np.float32(1))
