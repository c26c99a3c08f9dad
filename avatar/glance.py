"""The photograph's own view: how near a viewer stands to the place from which it was taken.

What a photograph shows at a grazing angle, or shines only towards it, is true for that place alone:
from the side it would be a patch on the cheek. An avatar keeps it as an offset of each splat's
colour, its *glance*, and it is mixed in by one weight for the whole head: all of it for a viewer
who looks at the head as the photograph did, none for one at its side. Spherical harmonics do so by
splat (Kerbl et al. 2023, sec. 5); one photograph tells of one direction only.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

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
    photograph, viewer = (np.asarray(place, np.float64) for place in (taken_from, seen_from))
    if head_rotation is not None and np.any(head_rotation):
        joint = np.asarray(neck_joint, np.float64)
        moved = viewer - joint
        if head_translation is not None:
            moved = moved - head_translation
        viewer = Rotation.from_rotvec(head_rotation).inv().apply(moved) + joint
    elif head_translation is not None:
        viewer = viewer - head_translation
    lengths = np.linalg.norm(photograph) * np.linalg.norm(viewer)
    if not np.isfinite(lengths) or lengths < 1e-9:
        return 0.0
    angle = np.degrees(np.arccos(np.clip(photograph @ viewer / lengths, -1, 1)))
    share = np.clip((NONE_DEGREES - angle) / (NONE_DEGREES - FULL_DEGREES), 0, 1)
    return float(share * share * (3 - 2 * share))


@njit(cache=True, parallel=True, error_model="numpy")
def mix_in(colours, glance, weight, out):  # pragma: no cover
    """`out` [N, 3] = `colours` + `weight` * `glance`, held to 0..1 where that is not 0."""
    low, high = np.float32(0), np.float32(1)
    for splat in prange(len(colours)):
        for channel in range(3):
            offset = weight * glance[splat, channel]
            value = colours[splat, channel]
            if offset != low:
                value = min(max(value + offset, low), high)
            out[splat, channel] = value
