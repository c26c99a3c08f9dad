"""The avatar notices that the wearer looks into its eyes, where a headset tells where they look.

A look is met after as long as people take to see it, held as long as people like to hold it, and
then let go.
"""

import math

import numpy as np
from numpy.typing import NDArray

from render.pose import Pose

MEETS_RAD, LEAVES_RAD = math.radians(4.0), math.radians(6.5)
"""Between the wearer's look and the point between the avatar's eyes. The eyes lie 3.6 degrees apart
at 1 m, trackers err by 1 to 2 degrees, and people take a look at the bridge of the nose or beside
an eye for one into the eyes (Gamer & Hecht 2007: a cone 8 to 9 degrees wide). Left only well
outside: no trembling."""
NOTICES_S = 0.3
"""A look shorter than a fixation meets nobody: it passes by."""
HELD_S = (2.6, 4.0)
"""How long a mutual look is comfortable: 3.3 s with a deviation of 0.7 (Binetti et al. 2016)."""


class MutualGaze:
    """Whether two look at each other. Called with the moment of each frame, in order."""

    def __init__(self) -> None:
        self._met_at_s: float | None = None
        self._is_within = False

    def update(self, look: Pose | None, eyes: NDArray[np.float64], at_s: float) -> bool:
        """Whether the avatar has noticed a look into its eyes. `look`: from where and along which
        -z the wearer looks; None: nobody knows. `eyes` [3]: the point between the avatar's; both
        in the room."""
        if look is None:
            self._is_within, self._met_at_s = False, None
            return False
        limit = LEAVES_RAD if self._is_within else MEETS_RAD
        self._is_within = off_rad(look, eyes) < limit
        if not self._is_within:
            self._met_at_s = None
            return False
        if self._met_at_s is None:
            self._met_at_s = at_s
        return at_s - self._met_at_s >= NOTICES_S


def off_rad(look: Pose, point: NDArray[np.float64]) -> float:
    """How far a look passes beside a point [3], radians."""
    away = point - look.position
    cosine = float(away @ look.forward) / max(float(np.linalg.norm(away)), 1e-9)
    return math.acos(min(max(cosine, -1.0), 1.0))
