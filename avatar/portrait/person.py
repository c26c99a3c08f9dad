"""Which pixels belong to the person, finely: segmentation on the part that matters, then refined."""

import cv2
import numpy as np

from avatar.portrait.landmarks import FaceFinder, FoundFace, crop_box
from avatar.types import Float

_AROUND = 1.5
"""Face sizes kept on every side: hair above, shoulders below."""


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
    fine = _guided_filter(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), coarse, radius, 1e-3)
    fine = np.clip((fine - 0.25) / 0.5, 0, 1)
    fine = _connected(fine, face.landmarks[:468, :2] - (left, top))
    mask = np.zeros(image.shape[:2], np.float32)
    mask[top:bottom, left:right] = fine
    return mask


def _guided_filter(guide: Float, values: Float, radius: int, epsilon: float) -> Float:
    """Edge-preserving smoothing of `values` by a grey `guide` (He et al., eq. 5-8)."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(image: Float) -> Float:
        return cv2.boxFilter(image, -1, size, borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide**2
    slope = covariance / (variance + epsilon)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def _connected(mask: Float, face_points: Float) -> Float:
    """Keep only what hangs together with the face; close pinholes inside."""
    solid = (mask > 0.5).astype(np.uint8)
    hull = cv2.convexHull(face_points.astype(np.int32))
    cv2.fillConvexPoly(solid, hull, 1)
    _, labels = cv2.connectedComponents(solid)
    counts = np.bincount(labels[tuple(_inside(hull, mask.shape))], minlength=2)
    counts[0] = 0
    own = labels == int(counts.argmax())
    _, holes = cv2.connectedComponents((~own).astype(np.uint8))
    sizes = np.bincount(holes.ravel())
    small = (sizes < 0.002 * mask.size) & (np.arange(len(sizes)) > 0)
    filled = own | small[holes]
    near = cv2.dilate(filled.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    result = np.where(near, mask, 0)
    result[small[holes]] = 1
    cv2.fillConvexPoly(result, hull, 1.0)
    return result.astype(np.float32)


def _inside(hull: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    area = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(area, hull, 1)
    rows, columns = np.nonzero(area)
    return rows, columns
