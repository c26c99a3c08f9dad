"""Gaussians at rest -> posed, and the way back, in torch: what `avatar.residual`, `avatar.deform`
and `avatar.fit.residual_kernels` compute on the processor, for a card."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.deform import Deformer
from avatar.fit.card_frames import SentPose
from avatar.fit.gsplat_rasteriser import SentSplats
from avatar.fit.residual_kernels import LEAST_SLOPE, SQUARE_DECAY, STATIC_WIDTH
from avatar.lip_shadow import LIP_CONSTANTS
from avatar.residual import COLOUR, MOST_LOG_SIZE, OPACITY, PLACE, SIZE, TURN, WIDTH
from avatar.types import Avatar, Float, Index

_ACROSS_SIGNS = (-1.0, 1.0, -1.0, 1.0)
"""A turn by an angle h about its own z takes a quaternion q to cos(h / 2) q + sin(h / 2) p, where p
has q's numbers from last to first, with these signs."""
_PRODUCT = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
"""Hamilton's product is a matrix of the left one's numbers, with these signs, times the right."""
_PRODUCT_SIGNS = ((1, -1, -1, -1), (1, 1, -1, 1), (1, 1, 1, -1), (1, -1, 1, 1))


class Rest(NamedTuple):
    """Gaussians at rest on the device, as the fields of `Avatar` have them."""

    positions: Tensor
    rotations: Tensor
    scales: Tensor
    opacities: Tensor
    colours: Tensor
    glance: Tensor

    @classmethod
    def of(cls, avatar: Avatar, device: torch.device) -> "Rest":
        """Of an avatar with a glance."""
        fields = (avatar.bound_position, avatar.bound_rotation, avatar.bound_scale)
        fields += (avatar.opacity, avatar.colour, avatar.glance)
        return cls(*(_sent(values, device) for values in fields))

    def some(self, which: Tensor) -> "Rest":
        """Those of some Gaussians."""
        return Rest(*(values[which] for values in self))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """Posed Gaussians, and what gradients need of how they came there."""

    splats: SentSplats
    edges: Tensor
    """[N, 2, 3] of each one's triangle, from A to B and to C."""
    normals: Tensor
    """[N, 3]"""
    sizes: Tensor
    """[N, 1] metres."""
    factors: Tensor
    """[N, 1] what colours were multiplied with."""


class CardHead:
    """How the triangles of one set of Gaussians carry and light them."""

    def __init__(self, deformer: Deformer, came: Avatar, device: torch.device) -> None:
        """Poses tell of the triangles of the avatar as it `came`."""
        avatar, tables = deformer.avatar, deformer.tables()
        used = np.unique(came.bound_triangle)
        self._corners = _index(avatar.triangles[avatar.bound_triangle], device)
        self._triangle = _index(np.searchsorted(used, avatar.bound_triangle), device)
        self._lit = _index(tables.lit, device)
        self._lit_corners = self._corners[self._lit]
        self._lips = _index(tables.lips, device)
        self._lip_entries = _index(np.searchsorted(tables.lit, tables.lips), device)
        pairs = np.diff(tables.lip_start)
        self._lip_of = _index(np.repeat(np.arange(len(pairs)), pairs), device)
        self._near = _index(tables.lip_near, device)
        self._near_area = _sent(tables.lip_area, device)[self._near]
        self._darkest, self._lip_rest = (
            _sent(values, device) for values in (tables.lip_darkest, tables.lip_rest)
        )
        self._product = _index(np.array(_PRODUCT), device)
        self._signs = _sent(np.array(_PRODUCT_SIGNS), device)

    def carried(self, rest: Rest, still: Tensor, pose: SentPose) -> Carried:
        """As `Deformer.gaussians`; `still` [N, 3] are the positions less what the motion does to
        them: light is looked up there."""
        corners, frames = pose.vertices[self._corners], pose.frames[self._triangle]
        turns, normals, sizes = frames[:, :4], frames[:, 4:7], frames[:, 7:]
        edges, places = corners[:, 1:] - corners[:, :1], rest.positions
        means = corners[:, 0] + (places[:, :2, None] * edges).sum(1)
        means = means + places[:, 2:] * sizes * normals
        matrices = turns[:, self._product] * self._signs
        factors = self._light(pose.light, still, means)
        lit = rest.colours[self._lit] * factors
        return Carried(
            splats=SentSplats(
                means=means,
                rotations=(matrices * rest.rotations[:, None]).sum(2),
                scales=rest.scales * sizes,
                opacities=rest.opacities,
                colours=rest.colours.index_copy(0, self._lit, lit.clamp(max=1)),
            ),
            edges=edges,
            normals=normals,
            sizes=sizes,
            factors=torch.ones_like(sizes).index_copy(0, self._lit, factors),
        )

    def _light(self, light: Tensor, still: Tensor, means: Tensor) -> Tensor:
        """[L, 1] factors of what is lit: moved skin's (`avatar.deform`), and lips'
        (`avatar.lip_shadow`)."""
        if not len(self._lit):
            return means.new_ones((0, 1))
        places = still[self._lit, :2].clamp(0, 1)
        along_b = places[:, 0]
        along_c = torch.minimum(places[:, 1], 1 - along_b)
        a, b, c = (light[self._lit_corners] - 1).unbind(1)
        factors = 1 + (1 - along_b - along_c) * a + along_b * b + along_c * c
        if len(self._lips):
            where = means[self._lips]
            apart = where[self._near] - where[self._lip_of]
            left = (1 - apart.square().sum(1) * LIP_CONSTANTS["LIP_SQUARE"]).clamp(min=0)
            near = torch.zeros_like(self._darkest)
            near.index_add_(0, self._lip_of, self._near_area * left * left)
            kept = 1 - self._darkest * (near * LIP_CONSTANTS["LIP_SCALE"]).clamp(max=1)
            dimmed = factors[self._lip_entries] * (kept / self._lip_rest).clamp(max=1)
            factors = factors.index_copy(0, self._lip_entries, dimmed)
        return factors[:, None]


def with_glance(rest: Rest, glance: float) -> Rest:
    """As `avatar.glance.mix_in`."""
    if not glance > 0:
        return rest
    mixed = (rest.colours + glance * rest.glance).clamp(0, 1)
    return rest._replace(colours=torch.where(rest.glance != 0, mixed, rest.colours))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentDescent:
    """`avatar.fit.residual_fit.Descent` on the device, at pace 1."""

    static_rate: Tensor
    static_pull: Tensor
    low: Tensor
    high: Tensor
    bases_rate: Tensor
    face_pull: Tensor
    pose_pull: Tensor
    bases_most: Tensor


class CardModel:
    """What is learned, on the device, and how it changes. U Gaussians learn."""

    def __init__(
        self,
        origin: Avatar,
        splats: Index,
        rows: tuple[Index, Index],
        units: Float,
        square: Float,
        device: torch.device,
    ) -> None:
        """`origin` before anything is learned; `splats` [U] of it learn, which stand among those of
        face and pose in `rows`, each [U], or -1; `units` [U, 13], `square` [U, 2] as in
        `rest_gradients`."""
        self._splats = _index(splats, device)
        self._origin = Rest.of(origin, device)
        self._own = self._origin.some(self._splats)
        self._at = tuple(_index(np.flatnonzero(row >= 0), device) for row in rows)
        self._units = _sent(units, device)
        low, high = _sent(square, device).split(1, 1)
        self._square_low, self._square_width = low, high - low
        self._signs = torch.tensor(_ACROSS_SIGNS, device=device)
        self.static = torch.zeros_like(self._units)
        """[U, 13]"""
        self.squares = torch.zeros_like(self._units)
        """[U, 13] the running means of slopes' squares."""
        self.gradient = torch.zeros_like(self._units)
        """[U, 13] of the latest step, in the units."""
        self.bases = [torch.zeros((0, len(at), WIDTH), device=device) for at in self._at]
        """Face and pose, each [K, R, 10]: `ResidualPart.bases` with the features first."""

    def take(self, static: Float, squares: Float, bases: tuple[Float, Float]) -> None:
        """What the processor has."""
        self.static.copy_(torch.from_numpy(static))
        self.squares.copy_(torch.from_numpy(squares))
        self.bases = [_sent(part.transpose(1, 0, 2), self.static.device) for part in bases]

    def fetched(self) -> tuple[Float, Float, tuple[Float, Float]]:
        """The same, for the processor."""
        face, pose = (part.permute(1, 0, 2).cpu().numpy() for part in self.bases)
        return self.static.cpu().numpy(), self.squares.cpu().numpy(), (face, pose)

    def at_rest(self, features: tuple[Tensor, Tensor], glance: float) -> tuple[Rest, Tensor]:
        """The Gaussians with what was learned, as `write_static` and `add_residuals` make them, and
        their positions [N, 3] without what the motion does."""
        own, static, moved = self._own, self.static, self._moved(features)
        colours = (own.colours + static[:, COLOUR]).clamp(0, 1) + moved[:, COLOUR]
        if glance > 0:
            colours = colours + glance * (own.glance + static[:, WIDTH:]).clamp(-1, 1)
        still = own.positions + static[:, PLACE]
        opacities = (own.opacities + static[:, OPACITY]).clamp(0, 1) + moved[:, OPACITY]
        grown = (static[:, SIZE] + moved[:, SIZE].clamp(-MOST_LOG_SIZE, MOST_LOG_SIZE)).exp()
        half = 0.5 * (static[:, TURN : TURN + 1] + moved[:, TURN : TURN + 1])
        rows = (
            still + moved[:, PLACE],
            own.rotations * half.cos() + own.rotations.flip(1) * (self._signs * half.sin()),
            torch.cat([own.scales[:, :2] * grown, own.scales[:, 2:]], 1),
            opacities.clamp(0, 1),
            colours.clamp(0, 1),
        )
        origin = with_glance(self._origin, glance)
        copied = (
            values.index_copy(0, self._splats, some)
            for values, some in zip(origin, rows, strict=False)
        )
        stay = origin.positions.index_copy(0, self._splats, still)
        return Rest(*copied, glance=origin.glance), stay

    def _moved(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """[U, 10] what the motion adds."""
        moved = torch.zeros_like(self.static[:, :WIDTH])
        for values, bases, at in zip(features, self.bases, self._at, strict=True):
            if len(values) and len(at):
                moved.index_add_(0, at, (values @ bases.flatten(1)).view(-1, WIDTH))
        return moved

    def find_gradient(
        self, slopes: SentSplats, carried: Carried, eye: Tensor, glance: float
    ) -> None:
        """`gradient` from the `slopes` of the posed Gaussians, as `rest_gradients` finds it."""
        which, splats = self._splats, carried.splats
        d_means, d_rotations, d_scales, d_opacities, d_colours = (one[which] for one in slopes)
        colours, opacities = splats.colours[which], splats.opacities[which]
        d_colours = d_colours * carried.factors[which]
        # At the end of its range only the way back is open.
        ended = ((colours <= 0) & (d_colours > 0)) | ((colours >= 1) & (d_colours < 0))
        d_colours = d_colours.masked_fill(ended, 0)
        d_opacities = d_opacities.masked_fill((opacities >= 1) & (d_opacities < 0), 0)
        normals, way = carried.normals[which], eye - splats.means[which]
        cosine = (way * normals).sum(1, keepdim=True).abs() / way.norm(dim=1, keepdim=True)
        squarely = ((cosine - self._square_low) / self._square_width).clamp(0, 1)
        across = splats.rotations[which].flip(1) * self._signs
        shares = (
            squarely * d_colours,
            squarely * d_opacities[:, None],
            squarely * d_scales[:, :2] * splats.scales[which][:, :2],
            squarely * (carried.edges[which] * d_means[:, None]).sum(2),
            (normals * d_means).sum(1, keepdim=True) * carried.sizes[which],
            squarely * 0.5 * (across * d_rotations).sum(1, keepdim=True),
            (1 - squarely) * glance * d_colours,
        )
        torch.mul(torch.cat(shares, 1), self._units, out=self.gradient)

    def descend(
        self, features: tuple[Tensor, Tensor], how: SentDescent, pace: float, learned: int
    ) -> None:
        """The `learned`-th step, down `gradient`: see `avatar.fit.residual_kernels.descend`."""
        gradient, units = self.gradient, self._units
        self.squares.mul_(SQUARE_DECAY).addcmul_(gradient, gradient, value=1 - SQUARE_DECAY)
        bias = 1 / (1 - SQUARE_DECAY**learned)
        steady = 1 / ((self.squares * bias).sqrt_() + LEAST_SLOPE)
        value = self.static / units
        way = (gradient + how.static_pull * value) * steady
        value = value - pace * how.static_rate * way
        torch.mul(value.clamp(how.low, how.high), units, out=self.static)
        step = pace * how.bases_rate * steady[:, :WIDTH]
        way = step * gradient[:, :WIDTH] * units[:, :WIDTH]
        most = how.bases_most * units[:, :WIDTH]
        pulls = how.face_pull, how.pose_pull
        for values, bases, at, pull in zip(features, self.bases, self._at, pulls, strict=True):
            if len(values) and len(at):
                bases.addcmul_(values[:, None, None], way[at], value=-1)
                bases.mul_(1 / (1 + (step * pull)[at]))
                bound = most[at]
                bases.clamp_(-bound, bound)


assert STATIC_WIDTH == WIDTH + 3


def _sent(values: Float, device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values, np.float32), device=device)


def _index(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values, np.int64), device=device)
