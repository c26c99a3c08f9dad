"""The photograph's own view: how near a viewer stands to the place from which it was taken.

What a photograph shows at a grazing angle, or shines only towards it, is true for that place alone:
from the side it would be a patch on the cheek. An avatar keeps it as an offset of each splat's
colour, its *glance*, and it is mixed in by one weight for the whole head: all of it for a viewer
who looks at the head as the photograph did, none for one at its side. Spherical harmonics do so by
splat (Kerbl et al. 2023, sec. 5); one photograph tells of one direction only.
"""

import math

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from avatar.types import Float

FULL_DEGREES, NONE_DEGREES = 4.0, 22.0
"""Angles at the head between the viewer and the photograph's camera, up to which all of the glance
is seen, and from which none."""


def glance_weight(
    taken_from: Float,
    seen_from: ArrayLike,
    neck_joint: Float,
    head_rotation: Float | None = None,
    head_translation: Float | None = None,
) -> float:
    """0..1, smooth in the angle.

    `taken_from` [3] is `Avatar.taken_from`, `seen_from` [3] where the viewer stands, avatar space;
    the head's pose is that of `MotionFrame`: a head that turns away is seen from its side by a
    viewer who stays. Only the direction counts, not how far away. 0 where a place is unknown or
    says nothing (nan, or the head's own middle).
    """
    viewer = [float(value) for value in np.asarray(seen_from)]
    if head_translation is not None:
        viewer = [
            value - float(shift) for value, shift in zip(viewer, head_translation, strict=True)
        ]
    if head_rotation is not None:
        viewer = _turned_back(viewer, head_rotation, neck_joint)
    photograph = [float(value) for value in taken_from]
    lengths = math.hypot(*photograph) * math.hypot(*viewer)
    if not math.isfinite(lengths) or lengths < 1e-9:
        return 0.0
    cosine = sum(one * other for one, other in zip(photograph, viewer, strict=True)) / lengths
    angle = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    share = min(max((NONE_DEGREES - angle) / (NONE_DEGREES - FULL_DEGREES), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _turned_back(place: list[float], rotation: ArrayLike, joint: ArrayLike) -> list[float]:
    """A place [3] about `joint` against the axis-angle `rotation`: Rodrigues' formula. In plain
    numbers, for SciPy's rotations take ten times as long for a single place."""
    x, y, z = (float(value) for value in np.asarray(rotation))
    angle = math.hypot(x, y, z)
    if not angle > 0:
        return place
    x, y, z = x / angle, y / angle, z / angle
    a, b, c = (float(value) for value in np.asarray(joint))
    p, q, r = place[0] - a, place[1] - b, place[2] - c
    cosine, sine = math.cos(angle), -math.sin(angle)
    along = (x * p + y * q + z * r) * (1 - cosine)
    return [
        p * cosine + (y * r - z * q) * sine + x * along + a,
        q * cosine + (z * p - x * r) * sine + y * along + b,
        r * cosine + (x * q - y * p) * sine + z * along + c,
    ]


@njit(cache=True, parallel=True, error_model="numpy")
def mix_in(colours, glance, weight, out, lit, out_lit):  # pragma: no cover
    """`out` [N, 3] = `colours` + `weight` * `glance`, held to 0..1 where that is not 0;
    `out_lit` [K, 3] are those of the splats `lit` [K]."""
    low, high = np.float32(0), np.float32(1)
    for splat in prange(len(colours)):
        for channel in range(3):
            offset = weight * glance[splat, channel]
            value = colours[splat, channel]
            if offset != low:
                value = min(max(value + offset, low), high)
            out[splat, channel] = value
    for index in prange(len(lit)):
        for channel in range(3):
            out_lit[index, channel] = out[lit[index], channel]
