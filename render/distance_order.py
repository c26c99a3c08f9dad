"""Splats packed for a graphics card, and the order in which one eye meets them.

What the processor does for a renderer that projects on the card: it puts the numbers of each splat
together, once a frame for all views, and sorts by distance, once for each view. Memory is kept
between frames and grows only.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from avatar.read_only import read_only
from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu_kernels import CHUNK, RADIX, sort_by_distance
from render.renderer import LEAST_ALPHA, NEAR_PLANE

PACK = 1024
"""Room is made for so many packed splats at a time: a row of a texture that holds them."""
SPLAT_WIDTH = 16
"""Floats of a packed splat: its mean, m, and opacity; its rotation, a unit quaternion w, x, y, z;
its scales, m, and an unused number; its colour and an unused number."""

_LEAST_ALPHA = np.float32(LEAST_ALPHA)
_NEAR = np.float32(NEAR_PLANE)
_INFINITE = np.float32(np.inf)


class DistanceOrder:
    """The splats of a frame. `pack` them, then ask for the order of each view."""

    def __init__(self) -> None:
        self._count = 0
        self._make_room(0)

    def pack(self, gaussians: Gaussians) -> Float:
        """[M, SPLAT_WIDTH], to be read before the next call; M is N filled up to whole PACKs. A
        splat with a number that is not finite has opacity 0."""
        self._count = len(gaussians)
        if self._count > len(self._packed):
            self._make_room(_whole(self._count, PACK))
        _pack(
            read_only(gaussians.means, np.float32),
            read_only(gaussians.rotations, np.float32),
            read_only(gaussians.scales, np.float32),
            read_only(gaussians.opacities, np.float32),
            read_only(gaussians.colours, np.float32),
            self._packed,
        )
        return self._packed[: _whole(self._count, PACK)]

    def nearest_first(self, view: View) -> NDArray[np.uint32]:
        """Indices of the packed splats that lie before this eye and can be seen at all, equal
        distances by index; to be read before the next call."""
        axis = view.camera_from_world[2].astype(np.float32)
        eye = view.position.astype(np.float32)
        _find_keys(self._packed, self._count, axis, eye, self._keys, self._indices, self._seen)
        visible = sort_by_distance(
            self._keys,
            self._seen[: _whole(self._count, CHUNK) // CHUNK],
            self._order,
            self._spare_order,
            self._sorted_keys,
            self._spare_keys,
            self._counts,
        )
        _look_up(self._indices, self._order, visible, self._drawn)
        return self._drawn[:visible]

    def _make_room(self, count: int) -> None:
        self._packed = np.zeros((count, SPLAT_WIDTH), np.float32)
        self._keys, self._sorted_keys, self._spare_keys = np.zeros((3, count), np.uint32)
        self._indices, self._drawn = np.zeros((2, count), np.uint32)
        self._order, self._spare_order = np.zeros((2, count), np.int32)
        self._seen = np.zeros(_whole(count, CHUNK) // CHUNK, np.int32)
        self._counts = np.zeros(RADIX, np.int32)


def _whole(count: int, portion: int) -> int:
    """`count` or a little more: a multiple of `portion`."""
    return -(-count // portion) * portion


@njit(cache=True, error_model="numpy")
def _pack(means, rotations, scales, opacities, colours, packed):
    for i in range(means.shape[0]):
        w, x, y, z = rotations[i, 0], rotations[i, 1], rotations[i, 2], rotations[i, 3]
        length = np.sqrt(w * w + x * x + y * y + z * z)
        w, x, y, z = w / length, x / length, y / length, z / length
        opacity = opacities[i]
        total = w + x + y + z + opacity
        for axis in range(3):
            packed[i, axis] = means[i, axis]
            packed[i, 8 + axis] = scales[i, axis]
            packed[i, 12 + axis] = colours[i, axis]
            total += means[i, axis] + scales[i, axis] + colours[i, axis]
        # Written so that NaN fails the test.
        packed[i, 3] = opacity if abs(total) < _INFINITE else np.float32(0)
        packed[i, 4], packed[i, 5], packed[i, 6], packed[i, 7] = w, x, y, z


@njit(cache=True, error_model="numpy")
def _find_keys(packed, count, axis, eye, keys, indices, seen):
    """Fill `keys` and `indices` from the beginning of each chunk of CHUNK on with the splats to
    draw; `seen` [chunks] says how many they are (as `sort_by_distance` wants it).

    `axis` [4]: the third row of camera_from_world; `eye` [3]: where the camera is.
    """
    for chunk in range((count + CHUNK - 1) // CHUNK):
        first = chunk * CHUNK
        at = first
        for i in range(first, min(first + CHUNK, count)):
            depth = axis[0] * packed[i, 0] + axis[1] * packed[i, 1] + axis[2] * packed[i, 2]
            depth += axis[3]
            if depth > _NEAR and depth < _INFINITE and packed[i, 3] >= _LEAST_ALPHA:
                x, y, z = packed[i, 0] - eye[0], packed[i, 1] - eye[1], packed[i, 2] - eye[2]
                keys[at] = np.float32(x * x + y * y + z * z).view(np.uint32) >> np.uint32(1)
                indices[at] = i
                at += 1
        seen[chunk] = at - first


@njit(cache=True)
def _look_up(indices, places, count, found):
    """What np.take does, but that makes a copy of `places` in 64 bits first."""
    for i in range(count):
        found[i] = indices[places[i]]
