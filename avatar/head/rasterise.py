"""Which triangle covers which pixel: a small z-buffer, for visibility and for reading a photo.

It draws no light and knows no camera: the caller projects. Depth is any positive distance along
the view direction, the smaller the nearer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from avatar.read_only import read_only
from avatar.types import Float, Index

_ROWS_PER_BAND = 32
"""Each thread owns bands of image rows, so no two threads ever write the same pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriangleMap:
    """What lies under each pixel centre. Row 0 on top."""

    triangle: Index
    """[H, W] index of the nearest triangle, -1 where there is none."""
    barycentric: Float
    """[H, W, 3] weights of its three corners in space (not on the screen); they sum to 1."""
    depth: Float
    """[H, W] depth of the surface there; infinity where there is none."""

    @property
    def covered(self) -> NDArray[np.bool_]:
        """[H, W] whether any triangle lies under the pixel."""
        return self.triangle >= 0


def rasterise(
    points: Float | NDArray[np.float64], triangles: Index, width: int, height: int
) -> TriangleMap:
    """The nearest triangle under every pixel centre, both sides of triangles alike.

    `points` [V, 3] are x, y in pixels (the centre of the first pixel is 0.5, 0.5) and the depth,
    > 0. The weights are perspective-correct: linear in weight/depth on the screen (Blinn 1992).
    A triangle with a corner at depth <= 0 is left out, not clipped.
    """
    triangle = np.full((height, width), -1, np.int32)
    barycentric = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    _fill(
        read_only(points, np.float32),
        read_only(triangles, np.int32),
        triangle,
        barycentric,
        depth,
    )
    return TriangleMap(triangle=triangle, barycentric=barycentric, depth=depth)


def interpolate(image: TriangleMap, triangles: Index, values: NDArray[Any]) -> Float:
    """[H, W, C] of per-vertex `values` [V, C] seen through the map; zero where nothing is."""
    corners = triangles[np.maximum(image.triangle, 0)]
    result = np.einsum("hwk,hwkc->hwc", image.barycentric, values[corners])
    return np.where(image.covered[..., None], result, 0).astype(np.float32)


@njit(cache=True, parallel=True, error_model="numpy")
def _fill(points, triangles, triangle, barycentric, depth):  # pragma: no cover
    height, width = triangle.shape
    bands = (height + _ROWS_PER_BAND - 1) // _ROWS_PER_BAND
    for band in prange(bands):
        row_from = band * _ROWS_PER_BAND
        row_to = min(height, row_from + _ROWS_PER_BAND)
        for index in range(len(triangles)):
            i0, i1, i2 = triangles[index]
            x0, y0, z0 = points[i0, 0], points[i0, 1], points[i0, 2]
            x1, y1, z1 = points[i1, 0], points[i1, 1], points[i1, 2]
            x2, y2, z2 = points[i2, 0], points[i2, 1], points[i2, 2]
            low = min(y0, min(y1, y2))
            high = max(y0, max(y1, y2))
            if high < row_from or low > row_to or not (z0 > 0 and z1 > 0 and z2 > 0):
                continue
            area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
            if not abs(area) > 1e-12:
                continue
            left = max(0.0, min(x0, min(x1, x2)))
            right = min(float(width), max(x0, max(x1, x2)))
            first_row = max(row_from, int(np.ceil(max(low, 0.0) - 0.5)))
            last_row = min(row_to - 1, int(np.floor(high - 0.5)))
            first_column = int(np.ceil(left - 0.5))
            last_column = min(width - 1, int(np.floor(right - 0.5)))
            for row in range(first_row, last_row + 1):
                y = row + 0.5
                for column in range(first_column, last_column + 1):
                    x = column + 0.5
                    w0 = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
                    w1 = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
                    w2 = 1.0 - w0 - w1
                    # A pixel exactly on a shared edge may be claimed by both sides; never by none.
                    if w0 < -1e-6 or w1 < -1e-6 or w2 < -1e-6:
                        continue
                    inverse = w0 / z0 + w1 / z1 + w2 / z2
                    here = 1.0 / inverse
                    if here < depth[row, column]:
                        depth[row, column] = here
                        triangle[row, column] = index
                        barycentric[row, column, 0] = w0 / z0 * here
                        barycentric[row, column, 1] = w1 / z1 * here
                        barycentric[row, column, 2] = w2 / z2 * here
