"""Where a photograph shows what lies between lips or lids, which must not be painted on skin."""

import cv2
import numpy as np
from scipy.spatial import KDTree

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.splats import Lattice
from avatar.types import Float

INNER_LIPS = (
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
)  # fmt: skip
"""FaceMesh's points once around the opening between the lips."""
RIGHT_LIDS = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_LIDS = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""The same around the openings of the eyes."""
_PARTED = 0.05
"""Height of the opening between the lips against its width, below which the mouth is closed."""
_LIP_EDGE, _LID_EDGE = 0.016, 0.03
"""How far beside its place an edge may lie, of the width of the opening."""
_NEAREST = 12
"""Splats that lend their mean colour."""


def mouth_opening(landmarks: Float, height: int, width: int) -> Float:
    """[height, width] 0..1: where a photograph with these landmarks [478, 3] shows what is between
    the lips, or may show it, for their edges are not known exactly. Nowhere if they are shut."""
    if not lips_parted(landmarks):
        return np.zeros((height, width), np.float32)
    return _grown(landmarks[list(INNER_LIPS), :2], height, width, _LIP_EDGE)


def eye_openings(landmarks: Float, height: int, width: int) -> Float:
    """The same between the lids of both eyes."""
    both = [
        _grown(landmarks[list(ring), :2], height, width, _LID_EDGE)
        for ring in (RIGHT_LIDS, LEFT_LIDS)
    ]
    return np.maximum(*both)


def lips_parted(landmarks: Float) -> bool:
    """Whether a photograph with these landmarks [478, 3] shows what is between the lips."""
    return parted(landmarks) >= _PARTED


def parted(landmarks: Float) -> float:
    """Height of the opening between the lips over its width."""
    upper, lower = landmarks[[13, 14], :2]
    corners = landmarks[[INNER_LIPS[0], INNER_LIPS[10]], :2]
    width = float(np.linalg.norm(corners[1] - corners[0]))
    return float(np.linalg.norm(upper - lower)) / max(width, 1e-3)


def from_beside(own: Lattice, colour: Array, sound: Mask) -> Float:
    """[N, 3] mean colours of the nearest of the `sound` [N] splats, or `colour` where there are
    too few of them."""
    if sound.sum() < _NEAREST:
        return colour.astype(np.float32)
    _, nearest = KDTree(own.means[sound]).query(own.means, k=_NEAREST)
    return colour[sound][nearest].mean(1).astype(np.float32)


def _grown(ring: Array, height: int, width: int, edge: float) -> Float:
    """[height, width] the inside of a ring of pixels, grown and blurred by `edge` of its width."""
    opening = np.zeros((height, width), np.float32)
    cv2.fillPoly(opening, [np.round(ring).astype(np.int32)], 1.0)
    reach = max(1.0, edge * float(np.ptp(ring[:, 0])))
    size = 2 * round(reach) + 1
    grown = cv2.dilate(opening, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), reach / 2), np.float32)
