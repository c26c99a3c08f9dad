"""Splats laid evenly over triangles: no clumps, no pinholes, about one per square of `spacing`.

Each triangle is cut into k*k equal smaller ones and carries a splat at the centroid of each, with
the covariance of the small triangle itself, so that slivers get slivers and neighbours meet.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.types import Float, Index

_SWELL = 1.75
"""Standard deviations against the small triangle's own: neighbours overlap to a smooth sheet
(2.2 blurs lashes and brows)."""
_THINNEST = 0.12
"""Thickness against width: flat on the skin."""
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

    def select(self, keep: np.ndarray) -> "Lattice":
        """The splats named by a mask or by indices."""
        return Lattice(
            triangle=self.triangle[keep],
            barycentric=self.barycentric[keep],
            means=self.means[keep],
            rotations=self.rotations[keep],
            scales=self.scales[keep],
            normals=self.normals[keep],
        )


def count_for(vertices: Float, triangles: Index, spacing_m: Float) -> int:
    """How many splats `lay` would lay."""
    return int((_cuts(vertices, triangles, spacing_m) ** 2).sum())


def lay(vertices: Float, triangles: Index, spacing_m: Float) -> Lattice:
    """Splats over `triangles` [T, 3]; `spacing_m` [T], 0 or less leaves a triangle bare."""
    cuts = _cuts(vertices, triangles, spacing_m)
    corners = vertices[triangles].astype(np.float64)
    owner, weights = [], []
    for cut in np.unique(cuts[cuts > 0]):
        members = np.flatnonzero(cuts == cut)
        centroids = _centroids(int(cut))
        owner.append(np.repeat(members, len(centroids)))
        weights.append(np.tile(centroids, (len(members), 1)))
    triangle = np.concatenate(owner) if owner else np.zeros(0, int)
    barycentric = np.concatenate(weights) if weights else np.zeros((0, 3))

    edges = corners[:, [1, 2, 0]] - corners
    edges = edges / np.maximum(cuts, 1)[:, None, None]
    covariance = np.einsum("tki,tkj->tij", edges, edges) / 36
    variance, axes = np.linalg.eigh(covariance)
    spread = _SWELL * np.sqrt(np.maximum(variance, 0))[:, ::-1]  # widest first
    axes = axes[:, :, ::-1]
    axes = axes * np.sign(np.linalg.det(axes))[:, None, None]
    widest = np.maximum(spread[:, 0], 1e-6)
    spread[:, 1] = np.maximum(spread[:, 1], 0.3 * widest)
    spread[:, 2] = _THINNEST * spread[:, 1]
    turn = Rotation.from_matrix(axes).as_quat()[:, [3, 0, 1, 2]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return Lattice(
        triangle=triangle.astype(np.int32),
        barycentric=barycentric.astype(np.float32),
        means=np.einsum("nk,nki->ni", barycentric, corners[triangle]).astype(np.float32),
        rotations=turn[triangle].astype(np.float32),
        scales=spread[triangle].astype(np.float32),
        normals=normal[triangle].astype(np.float32),
    )


def _cuts(vertices: Float, triangles: Index, spacing_m: Float) -> np.ndarray:
    """[T] into how many parts each edge is cut; 0 for bare triangles."""
    corners = vertices[triangles].astype(np.float64)
    area = 0.5 * np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    wanted = np.sqrt(area) / np.maximum(spacing_m, 1e-6)
    cuts = np.clip(np.round(wanted), 1, _MOST_PER_EDGE).astype(int)
    return np.where((spacing_m > 0) & (area > 1e-12), cuts, 0)


def _centroids(cut: int) -> np.ndarray:
    """[cut^2, 3] barycentric centroids of the small triangles, upright and inverted."""
    i, j = np.meshgrid(np.arange(cut), np.arange(cut), indexing="ij")
    upright = np.stack([i, j], -1)[i + j < cut] + 1 / 3
    inverted = np.stack([i, j], -1)[i + j < cut - 1] + 2 / 3
    bc = np.concatenate([upright, inverted]) / cut
    return np.concatenate([1 - bc.sum(1, keepdims=True), bc], 1)
