"""One type for what a compiled function only reads."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)


def read_only(array: ArrayLike, dtype: type[_Scalar]) -> NDArray[_Scalar]:
    """The same memory, or a copy in `dtype` and in one piece, under one type for numba, whether or
    not the caller may write to it: a second type would compile everything a second time."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view
