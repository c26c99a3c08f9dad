"""Splats laid evenly over triangles: no clumps, no pinholes, about one per square of `spacing`.

Each triangle is cut into k*k equal smaller ones and carries a splat at the centroid of each, with
the covariance of the small triangle itself, so that slivers get slivers and neighbours meet.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.mesh import area_normals
from avatar.types import Float, Index

SWELL = 1.9
"""Standard deviations against the small triangle's own: neighbours overlap to a smooth sheet."""
SWELL_ALONE = 2.3
"""The same for a sheet that nothing lines from behind: no light may come through its lattice."""
SWELL_BORDER = 1.45
"""The same along an outline, which wide splats would scallop."""
_NARROWEST = 0.3
"""Width against length: a sliver's splat would show as a line."""
_THINNEST = 0.12
"""Thickness against width: flat on the skin."""
_ROUND = 0.75
"""Standard deviation against the spacing of scattered splats, which lie less evenly."""
_NEIGHBOURS = 14
_MOST_PER_EDGE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """N splats on triangles, colourless."""

    triangle: Index
    """[N]"""
    barycentric: Float
    """[N, 3] weights of the corners A, B, C."""
    means: Float
    """[N, 3] metres."""
    rotations: Float
    """[N, 4] quaternions (w, x, y, z); the third axis is the surface's normal."""
    scales: Float
    """[N, 3] metres."""
    normals: Float
    """[N, 3] outwards."""

    def __len__(self) -> int:
        return len(self.triangle)

    def select(self, keep: Mask) -> "Lattice":
        """The splats for which `keep` [N] holds."""
        return Lattice(
            triangle=self.triangle[keep],
            barycentric=self.barycentric[keep],
            means=self.means[keep],
            rotations=self.rotations[keep],
            scales=self.scales[keep],
            normals=self.normals[keep],
        )


def count_for(area: Array, spacing_m: Array) -> int:
    """How many splats `lay` would lay on triangles of these areas [T], square metres."""
    return int((_cuts(area, spacing_m) ** 2).sum())


def lay(
    vertices: Array, triangles: Index, spacing_m: Array, swell: float | Array = SWELL
) -> Lattice:
    """Splats over `triangles` [T, 3]; `spacing_m` [T], 0 or less leaves a triangle bare.

    `swell` (one, or [T]) widens them against the small triangle's own spread.
    """
    normal = area_normals(vertices, triangles)
    doubled = np.linalg.norm(normal, axis=1, keepdims=True)
    cuts = _cuts(0.5 * doubled[:, 0], spacing_m)
    corners = vertices[triangles].astype(np.float64)
    owner, weights = [], []
    for cut in np.unique(cuts[cuts > 0]):
        members = np.flatnonzero(cuts == cut)
        centroids = _centroids(int(cut))
        owner.append(np.repeat(members, len(centroids)))
        weights.append(np.tile(centroids, (len(members), 1)))
    triangle = np.concatenate(owner) if owner else np.zeros(0, int)
    barycentric = np.concatenate(weights) if weights else np.zeros((0, 3))
    spread, turn = _spreads(corners, np.maximum(cuts, 1), swell)
    normal /= np.maximum(doubled, 1e-12)
    return Lattice(
        triangle=triangle.astype(np.int32),
        barycentric=barycentric.astype(np.float32),
        means=np.einsum("nk,nki->ni", barycentric, corners[triangle]).astype(np.float32),
        rotations=turn[triangle].astype(np.float32),
        scales=spread[triangle].astype(np.float32),
        normals=normal[triangle].astype(np.float32),
    )


def _spreads(corners: Array, cuts: Index, swell: float | Array) -> tuple[Array, Array]:
    """Standard deviations [T, 3] and quaternions [T, 4] of a triangle's splats.

    A triangle's own covariance is the sum of its edges' outer products over 36.
    """
    edges = (corners[:, [1, 2, 0]] - corners) / cuts[:, None, None]
    variance, axes = np.linalg.eigh(np.einsum("tki,tkj->tij", edges, edges) / 36)
    widening = np.broadcast_to(swell, len(corners))[:, None]
    spread = widening * np.sqrt(np.maximum(variance, 0))[:, ::-1]  # widest first
    axes = axes[:, :, ::-1]
    axes = axes * np.sign(np.linalg.det(axes))[:, None, None]
    widest = np.maximum(spread[:, 0], 1e-6)
    spread[:, 1] = np.maximum(spread[:, 1], _NARROWEST * widest)
    spread[:, 2] = _THINNEST * spread[:, 1]
    return spread, Rotation.from_matrix(axes).as_quat()[:, [3, 0, 1, 2]]


def scatter(vertices: Array, triangles: Index, spacing_m: Array) -> Lattice:
    """Round splats, one for each `spacing_m`^2 of surface, however large its triangles.

    Systematic sampling: walking along the triangles, one is taken whenever another square is
    full, so that any stretch of the surface gets its share; nothing is random. A triangle that is
    taken once carries its splat in the middle.
    """
    corners = vertices[triangles].astype(np.float64)
    flat = area_normals(vertices, triangles)
    doubled = np.linalg.norm(flat, axis=1)
    squares = np.where(spacing_m > 0, 0.5 * doubled / np.maximum(spacing_m, 1e-6) ** 2, 0)
    filled = np.floor(np.cumsum(squares) + 0.5)
    taken = np.diff(filled, prepend=0).astype(int)
    chosen = np.repeat(np.arange(len(triangles)), taken)
    normal = flat[chosen] / np.maximum(doubled[chosen, None], 1e-12)
    upright = np.where(np.abs(normal[:, 1:2]) < 0.9, [[0.0, 1, 0]], [[1.0, 0, 0]])
    first = np.cross(upright, normal)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    axes = np.stack([first, np.cross(normal, first), normal], -1)
    width = _ROUND * np.asarray(spacing_m)[chosen]
    barycentric = _spread_within(taken)
    return Lattice(
        triangle=chosen.astype(np.int32),
        barycentric=barycentric.astype(np.float32),
        means=np.einsum("nk,nki->ni", barycentric, corners[chosen]).astype(np.float32),
        rotations=Rotation.from_matrix(axes).as_quat()[:, [3, 0, 1, 2]].astype(np.float32)
        if len(chosen)
        else np.zeros((0, 4), np.float32),
        scales=np.stack([width, width, _THINNEST * width], 1).astype(np.float32),
        normals=normal.astype(np.float32),
    )


def _spread_within(counts: Index) -> Array:
    """[sum of counts, 3] barycentrics of so many places in each triangle: the middle of what is
    taken once, else a lattice of irrational steps (Roberts 2018, "R2"), folded into the triangle.
    """
    first = np.cumsum(counts) - counts
    number = np.arange(counts.sum()) - np.repeat(first, counts)
    steps = 1 / 1.32471795724474602596 ** np.array([1, 2])
    place = (0.5 + (number[:, None] + 1) * steps) % 1
    place = np.where(place.sum(1, keepdims=True) > 1, 1 - place, place)
    place = np.where(np.repeat(counts, counts)[:, None] > 1, place, 1 / 3)
    return np.concatenate([1 - place.sum(1, keepdims=True), place], 1)


def joined(parts: list[Lattice]) -> Lattice:
    """Several lattices over the same triangles as one."""
    return Lattice(
        **{
            field: np.concatenate([getattr(part, field) for part in parts])
            for field in ("triangle", "barycentric", "means", "rotations", "scales", "normals")
        }
    )


def unblurred(lattice: Lattice, wanted: Array, rounds: int = 4) -> Float:
    """[N, 3] colours that, once blended with their neighbours', show about `wanted` [N, 3].

    A splat is drawn over its neighbours, so a surface shows local means of its splats' colours.
    Van Cittert's iteration (1931) undoes that: c += wanted - blend(c), with the blend taken as
    the Gaussian weights between splats on the surface.
    """
    if len(lattice) < 2:
        return wanted.astype(np.float32)
    near = min(_NEIGHBOURS, len(lattice))
    distance, other = KDTree(lattice.means).query(lattice.means, k=near)
    width = np.sqrt(lattice.scales[:, 0] * lattice.scales[:, 1])
    # Two sheets that touch, as closed lips do, do not blend: only what faces the same way does.
    alike = np.einsum("ni,nki->nk", lattice.normals, lattice.normals[other])
    weight = np.exp(-0.5 * (distance / width[other]) ** 2) * np.maximum(alike, 0) ** 4
    weight /= weight.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(lattice)), near)
    shape = (len(lattice), len(lattice))
    blend = sparse.coo_matrix((weight.ravel(), (rows, other.ravel())), shape).tocsr()
    colour = wanted.astype(np.float64)
    for _ in range(rounds):
        colour = np.clip(colour + wanted - blend @ colour, 0, 1)
    return colour.astype(np.float32)


def _cuts(area: Array, spacing_m: Array) -> Index:
    """[T] into how many parts each edge is cut; 0 for bare triangles."""
    wanted = np.sqrt(area) / np.maximum(spacing_m, 1e-6)
    cuts = np.clip(np.round(wanted), 1, _MOST_PER_EDGE).astype(np.int32)
    return np.where((spacing_m > 0) & (area > 1e-12), cuts, 0)


def _centroids(cut: int) -> Array:
    """[cut^2, 3] barycentric centroids of the small triangles, upright and inverted."""
    i, j = np.meshgrid(np.arange(cut), np.arange(cut), indexing="ij")
    upright = np.stack([i, j], -1)[i + j < cut] + 1 / 3
    inverted = np.stack([i, j], -1)[i + j < cut - 1] + 2 / 3
    bc = np.concatenate([upright, inverted]) / cut
    return np.concatenate([1 - bc.sum(1, keepdims=True), bc], 1)
