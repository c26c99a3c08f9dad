"""More Gaussians where frames show more than those there can, fewer where nothing shows them.

Densifying and pruning as in Kerbl et al. 2023 (sec. 5.2), for a head that has its Gaussians all
over from the start. Split is what frames differ most from, not what moves most: places are bounded
here, and a splat that pulls at its bound is not too large. What is split off lives on the same
triangle, with the same residuals. What frames do not show stays: it is the head's other side.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatar.deform import Deformer, bind, multiply_quaternions
from avatar.fit.optimiser import SPLIT_APART, SPLIT_SIZE
from avatar.fit.rasteriser import Rasteriser
from avatar.fit.residual_views import seen_from_all_around, seen_in_frames
from avatar.fit.target import LEAST_SHOWN, first, misdrawn
from avatar.fit.teacher import TeacherFrame
from avatar.portrait.arrays import Mask
from avatar.residual import OPACITY
from avatar.types import Avatar, Float, Index, ResidualPart

GROWN_AT = (0.2, 0.4)
"""Shares of the steps after which it happens: late enough that what is only recoloured is not
split, early enough that halves learn what to be."""
_FRAMES = 24
_MOST_SPLIT = 0.15
"""Share of those that learn which is split at once: each is learned more slowly, and costs time."""
_FAINT = 0.01
"""Opacity of a Gaussian that no motion shows: its step in a picture is two levels of 255."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lineage:
    """Which Gaussians there are, before anything is learned of them."""

    source: Index
    """[N] which of the avatar's as it came each one is, or is a part of."""
    position: Float
    """[N, 3] as `Avatar.bound_position`."""
    scale: Float
    """[N, 3] as `Avatar.bound_scale`."""

    @classmethod
    def of(cls, avatar: Avatar) -> "Lineage":
        """All of the avatar's, whole."""
        return cls(
            source=np.arange(len(avatar), dtype=np.int32),
            position=avatar.bound_position,
            scale=avatar.bound_scale,
        )

    def avatar(self, came: Avatar) -> Avatar:
        """These Gaussians, in all else as they `came`; `came` has a glance."""
        fields = ("bound_triangle", "bound_rotation", "opacity", "colour", "glance")
        return replace(
            came,
            bound_position=self.position,
            bound_scale=self.scale,
            **{name: getattr(came, name)[self.source] for name in fields},
        )

    def same(self, other: "Lineage") -> bool:
        """Whether both are the same Gaussians."""
        return np.array_equal(self.source, other.source) and np.array_equal(
            self.position, other.position
        )

    def after(self, deformer: Deformer, split: Index, gone: Mask) -> tuple["Lineage", Index]:
        """Two halves in the place of each of `split` [K], side by side along its longer axis as it
        is now, and none of those `gone` [N]; and which of the Gaussians before each one was.

        One half takes its place in the row, the others follow at the end in the same order.
        """
        longer, shift = _halves(deformer, split)
        position, scale = self.position.copy(), self.scale.copy()
        scale[split, longer] *= np.float32(SPLIT_SIZE)
        position[split] -= shift
        parent = np.concatenate([np.flatnonzero(~gone), split]).astype(np.int32)
        position = position[parent]
        position[len(parent) - len(split) :] += 2 * shift
        source = self.source[parent]
        return Lineage(source=source, position=position, scale=scale[parent]), parent


def _halves(deformer: Deformer, split: Index) -> tuple[Index, Float]:
    """[K] 0 or 1: along which axis each is longer, and [K, 3] the way of a half from its middle,
    as `Avatar.bound_position` has it."""
    avatar, now = deformer.avatar, deformer.gaussians()
    turn, means, scales = now.rotations[split], now.means[split], now.scales[split]
    longer = np.argmax(scales[:, :2], axis=1)
    axis = np.zeros((len(split), 4), np.float32)
    axis[np.arange(len(split)), 1 + longer] = 1
    inverse = turn * np.array([1, -1, -1, -1], np.float32)
    way = multiply_quaternions(multiply_quaternions(turn, axis), inverse)[:, 1:]
    way *= SPLIT_APART * scales.max(1, keepdims=True)

    def place(middles: Float) -> Float:
        triangle = avatar.bound_triangle[split]
        return bind(deformer.vertices, avatar.triangles, triangle, middles, turn, scales)[0]

    return longer, place(means + way) - place(means)


def wanting(
    deformer: Deformer, frames: Sequence[TeacherFrame], side: int, learns: Mask, room: int
) -> Index:
    """[K] which of the Gaussians that learn [N] shall be split, at most `room`: those on which the
    most lies of what frames differ from the avatar, in the mean of two dozen."""
    some, rasteriser = frames[:: max(1, len(frames) // _FRAMES)], Rasteriser()
    share = np.zeros(len(deformer.avatar), np.float32)
    for frame in some:
        target = frame.scaled(side)
        posed = deformer.gaussians(frame.motion, seen_from=target.lens.position)
        wanted, weight = target.over(0.5), target.weight(True)
        share += misdrawn(posed, target.lens, wanted, weight, rasteriser)
    return first(np.where(learns, share, 0), min(room, round(_MOST_SPLIT * learns.sum())))


def needless(
    deformer: Deformer,
    frames: Sequence[TeacherFrame],
    side: int,
    parts: Sequence[ResidualPart],
    folds: Mask,
) -> Mask:
    """[N] which Gaussians nothing shows: too faint in any motion, or hidden both in the frames and
    from all around, such as the back of an eyeball. Not those on what `folds` [N], as lids do."""
    most = deformer.avatar.opacity.copy()
    for part in parts:
        most[part.splats] += np.abs(part.bases[..., OPACITY]).sum(1)
    seen = np.maximum(
        seen_in_frames(deformer, frames, side), seen_from_all_around(deformer, frames[0], side)
    )
    return (most < _FAINT) | (~folds & (seen < LEAST_SHOWN))
