"""How far lips open and spread, from a face tracker's landmarks."""

import numpy as np
from numpy.typing import NDArray

from avatar.types import Float


def lips_of(landmarks: Float) -> NDArray[np.float64]:
    """[T, 3] inner-lip opening, mouth width, nose to chin; over the outer-eye-corner distance.

    `landmarks` [T, 478, 3] of FaceMesh in pixels; nan where they are.
    """

    def distance(a: int, b: int) -> NDArray[np.float64]:
        return np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=1)

    opening = (distance(13, 14) + distance(82, 87) + distance(312, 317)) / 3
    return np.stack([opening, distance(61, 291), distance(2, 152)], 1) / distance(33, 263)[:, None]
