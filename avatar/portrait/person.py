"""Which pixels belong to the person: segmentation of the part that matters, then refined."""

import cv2
import numpy as np

from avatar.portrait.arrays import Array
from avatar.portrait.landmarks import FaceFinder, FoundFace, crop_box
from avatar.types import Float

_AROUND = 1.5
"""Face sizes kept on every side: hair above, shoulders below."""
_PINHOLE = 0.002
"""A gap smaller than this share of the picture is a flaw of the segmentation."""


def person_mask(finder: FaceFinder, image: Float, face: FoundFace) -> Float:
    """[H, W] 0..1, with the soft border following the picture's own edges.

    The model sees 256x256, so it is run on the surroundings of the face only, and a guided filter
    (He, Sun, Tang 2013) lays its coarse border on the image's edges. Islands that do not touch
    the face are other people or furniture, and go.
    """
    left, top, right, bottom = crop_box(face, image.shape, _AROUND)
    part = image[top:bottom, left:right]
    coarse = finder.person(part)
    radius = max(2, round(face.size_px / 30))
    grey = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.float32)
    fine = guided_filter(grey, coarse, radius, 1e-3)
    fine = np.clip((fine - 0.25) / 0.5, 0, 1)
    fine = _connected(fine, face.landmarks[:468, :2] - (left, top))
    mask = np.zeros(image.shape[:2], np.float32)
    mask[top:bottom, left:right] = fine
    return mask


def guided_filter(guide: Float, values: Float, radius: int, epsilon: float) -> Array:
    """Edge-preserving smoothing of `values` by a grey `guide` (He et al., eq. 5-8)."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(image: Array) -> Array:
        filtered = cv2.boxFilter(image, -1, size, borderType=cv2.BORDER_REFLECT)
        return np.asarray(filtered, image.dtype)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide**2
    slope = covariance / (variance + epsilon)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def _connected(mask: Array, face_points: Float) -> Float:
    """Keep only what hangs together with the face; close pinholes inside."""
    hull = cv2.convexHull(face_points.astype(np.int32))
    face = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(face, hull, 1.0)
    _, labels = cv2.connectedComponents(np.maximum(mask > 0.5, face).astype(np.uint8))
    counts = np.bincount(labels[face > 0], minlength=2)
    counts[0] = 0
    own = labels == int(counts.argmax())
    _, gaps = cv2.connectedComponents((~own).astype(np.uint8))
    sizes = np.bincount(gaps.ravel())
    pinholes = (sizes < _PINHOLE * mask.size) & (np.arange(len(sizes)) > 0)
    hole = pinholes[gaps]
    near = cv2.dilate((own | hole).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.where(hole | (face > 0), 1, np.where(near, mask, 0)).astype(np.float32)
