"""Bare hands as pointers: how firmly one pinches, and where it points. Metres."""

import numpy as np
from numpy.typing import ArrayLike

from render.headset import Hand
from render.pose import Pose

CLOSED_M, OPEN_M = 0.012, 0.045
"""Between the joints of thumb and index tip, which lie within the fingers: together, and well
apart."""
FACING = 0.6
"""Cosine between a palm and the way to the eyes, above which the hand is held before them."""
FIRM = 0.7
SHOULDER_M = (0.17, -0.22)
"""From the eyes: aside, and below. People point from the shoulder; a ray along the hand itself
trembles with every finger."""


def bare_hand(
    *, palm: Pose, thumb_tip: ArrayLike, index_tip: ArrayLike, head: Pose, side: int
) -> Hand:
    """A hand from its joints in the room. `side`: 0 left, 1 right. A pinch with the palm held
    before the eyes is the button of the panel, which a bare hand has not."""
    thumb, index = np.asarray(thumb_tip, np.float64), np.asarray(index_tip, np.float64)
    gap = float(np.linalg.norm(thumb - index))
    strength = min(max((OPEN_M - gap) / (OPEN_M - CLOSED_M), 0.0), 1.0)
    # The thumb's tip moves less in a pinch than the index's: the ray stays where it was aimed.
    hand = thumb
    aside, below = SHOULDER_M
    right = Pose.turned((0, 0, 0), head.yaw_rad).matrix()[:3, 0]
    shoulder = np.array(head.position) + (aside if side else -aside) * right + (0, below, 0)
    # Of OpenXR's palm +y points out of the back of the hand.
    to_eyes = np.array(head.position) - palm.position
    facing = -palm.matrix()[:3, 1] @ to_eyes / max(float(np.linalg.norm(to_eyes)), 1e-6)
    before_eyes = bool(facing > FACING)
    return Hand(
        is_tracked=True,
        is_bare=True,
        grip=palm,
        aim=looking_along(hand, hand - shoulder),
        select=0.0 if before_eyes else strength,
        panel=before_eyes and strength > FIRM,
    )


def looking_along(position: ArrayLike, direction: ArrayLike) -> Pose:
    """A pose without roll whose -z lies along `direction` [3], not zero and not vertical."""
    x, y, z = (float(part) for part in np.asarray(direction, np.float64))
    return Pose.turned(position, float(np.arctan2(-x, -z)), float(np.arctan2(y, np.hypot(x, z))))
