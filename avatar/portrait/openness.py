"""How much of the light around reaches each spot of a head: little under the jaw, in nostrils."""

import numpy as np

from avatar.head.rasterise import rasterise
from avatar.portrait.arrays import Array
from avatar.types import Float, Index

_PIXELS = 176
_SLACK_M = 0.004
"""A spot this far behind the nearest surface still counts as seen: triangles sag."""
_AHEAD_M = 10.0


def openness(vertices: Array, normals: Array, triangles: Index, directions: Array) -> Float:
    """[V] 0..1: the share of the light from `directions` [D, 3] that no triangle keeps away,
    weighted by how squarely it would fall (ambient occlusion: Landis 2002).

    Each direction is one small depth map of all `triangles` [T, 3].
    """
    arrives, possible = np.zeros(len(vertices)), np.full(len(vertices), 1e-9)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - middle, axis=1).max()) + 1e-6
    scale = 0.49 * _PIXELS / radius
    for direction in directions:
        upright = (0.0, 1.0, 0.0) if abs(direction[1]) < 0.9 else (1.0, 0.0, 0.0)
        across = np.cross(upright, direction)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(direction, across), direction])
        seen = (vertices - middle) @ axes.T
        projected = np.concatenate(
            [seen[:, :2] * scale + _PIXELS / 2, _AHEAD_M - seen[:, 2:]], axis=1
        )
        depth = rasterise(projected, triangles, _PIXELS, _PIXELS).depth
        column, row = projected[:, :2].astype(int).T
        free = projected[:, 2] < depth[row, column] + _SLACK_M
        squarely = np.maximum(normals @ direction, 0)
        possible += squarely
        arrives += squarely * free
    return (arrives / possible).astype(np.float32)
