"""Array types of this package, beside those of `avatar.types`: fitting needs float64. And the curve
by which one thing goes over into another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""float32 or float64: whichever the numbers that go in are."""
Mask = NDArray[np.bool_]


def smooth_step(value: Array, low: float, high: float) -> Array:
    """From 0 at `low` to 1 at `high`, level at both ends."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
