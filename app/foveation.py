"""Fewer pixels for an avatar that is not looked at: the eye sees finely only where it looks."""

import math

import numpy as np
from numpy.typing import NDArray

from app.mutual_gaze import off_rad
from render.pose import Pose

FINEST_DEGREES, SLOPE = 1 / 48, 0.022
"""Degrees that an eye resolves where it looks, and how much more for each degree beside that: the
more careful of the two slopes that Guenter et al. 2012 (Foveated 3D Graphics, sec. 5) found."""
LEAST = 0.5
"""Coarser than this an edge is seen to crawl when the head moves."""
TRACKED_SLACK_RAD = math.radians(4.0)
"""A tracker's error, and how far a look gets on before its picture is seen."""
UNTRACKED_SLACK_RAD = math.radians(25.0)
"""Where nobody knows the look: eyes turn so far before the head does."""
RADIUS_M = 0.18
"""Of the avatar's head around the middle between its eyes, life-size."""


def share_of_pixels(
    head: Pose, look: Pose | None, face: NDArray[np.float64], scale: float, pixel_rad: float
) -> float:
    """0.5..1 how finely an avatar need be drawn, of an eye's own pixels, which are `pixel_rad` wide
    each. `face` [3]: the point between its eyes, `scale` its size; `look`: where the wearer looks,
    None where nobody knows; both, and `head`, in the room."""
    slack, seen_from = (UNTRACKED_SLACK_RAD, head) if look is None else (TRACKED_SLACK_RAD, look)
    distance = max(float(np.linalg.norm(face - seen_from.position)), 1e-6)
    radius = math.atan2(RADIUS_M * scale, distance)
    beside = math.degrees(max(off_rad(seen_from, face) - radius - slack, 0.0))
    if not beside:
        return 1.0
    return min(max(math.degrees(pixel_rad) / (FINEST_DEGREES + SLOPE * beside), LEAST), 1.0)
