"""What can be said of any triangle mesh: areas, smooth normals, values between the corners."""

from typing import Any

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import cg

from avatar.portrait.arrays import Array
from avatar.types import Index


def between_corners(barycentric: Array, values: Array) -> Array:
    """[N, ...] values at points on triangles, from [N, 3, ...] values at the corners."""
    weights = barycentric.reshape(barycentric.shape + (1,) * (values.ndim - 2))
    return (weights * values).sum(1)


def area_normals(vertices: Array, triangles: Index) -> Array:
    """[T, 3] normals of the triangles, as long as twice their areas; float64."""
    corners = vertices[triangles].astype(np.float64)
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def areas(vertices: Array, triangles: Index) -> Array:
    """[T] square metres."""
    return 0.5 * np.linalg.norm(area_normals(vertices, triangles), axis=1)


def smooth_normals(vertices: Array, triangles: Index) -> Array:
    """[T, 3] unit normals, averaged over neighbours so that colours do not show the facets."""
    corners = vertices[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    smooth = _summed_at_vertices(flat, triangles, len(vertices))[triangles].sum(1)
    return smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)


def vertex_normals(normals: Array, triangles: Index, count: int) -> Array:
    """[count, 3] unit normals of vertices, from [T, 3] those of their triangles; 0 where none."""
    summed = _summed_at_vertices(normals, triangles, count)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def _summed_at_vertices(values: Array, triangles: Index, count: int) -> Array:
    """[count, C] sums of the [T, C] values of the triangles around each vertex."""
    total = np.zeros((count, values.shape[1]), values.dtype)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], values)
    return total


def graph_laplacian(vertices: Array, triangles: Index, count: int) -> Any:
    """[count, count] sum over neighbours of (x_i - x_j) / edge length, edges in decimetres.

    A `scipy.sparse.csr_matrix`, of which type checkers know too little.
    """
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges, 1), axis=0)
    length = 10 * np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    weight = 1 / np.maximum(length, 0.02)
    one_way = sparse.coo_matrix((weight, (edges[:, 0], edges[:, 1])), (count, count))
    both = (one_way + one_way.T).tocsr()
    return (sparse.diags(np.asarray(both.sum(1)).ravel()) - both).tocsr()


def diffused(vertices: Array, triangles: Index, values: Array, reach_m: float) -> Array:
    """[V, C] values [V, C] blurred along the surface, about as a Gaussian of standard deviation
    `reach_m` would: one implicit step of the heat equation. Vertices without triangles keep theirs.

    Cotangent weights and vertex areas as in Meyer et al. 2003, "Discrete differential-geometry
    operators", so that fine and coarse triangles blur alike.
    """
    count = len(vertices)
    corners = vertices[triangles].astype(np.float64)
    doubled = np.maximum(np.linalg.norm(area_normals(vertices, triangles), axis=1), 1e-12)
    rows, columns, weights = [], [], []
    for k in range(3):
        a, b = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        # Obtuse triangles have negative cotangents, with which a blur can overshoot.
        weight = np.clip(0.5 * (a * b).sum(1) / doubled, 0.02, 20)
        rows.append(triangles[:, (k + 1) % 3])
        columns.append(triangles[:, (k + 2) % 3])
        weights.append(weight)
    one_way = sparse.coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (count, count)
    )
    both = (one_way + one_way.T).tocsr()
    stiffness = sparse.diags(np.asarray(both.sum(1)).ravel()) - both
    area = np.zeros(count)
    for corner in range(3):
        np.add.at(area, triangles[:, corner], doubled / 6)
    area = np.where(area > 0, area, 1.0)
    system = (sparse.diags(area) + 0.5 * reach_m**2 * stiffness).tocsr()
    rough = sparse.diags(1 / system.diagonal())
    blurred = []
    for column in values.astype(np.float64).T:
        solution, _ = cg(system, area * column, x0=column, rtol=1e-5, maxiter=300, M=rough)
        blurred.append(solution)
    return np.stack(blurred, 1)
