"""Array types of this package, beside those of `avatar.types`: fitting needs float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""float32 or float64: whichever the numbers that go in are."""
Mask = NDArray[np.bool_]
