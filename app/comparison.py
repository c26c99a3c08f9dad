"""How alike two pictures of a person are: the measures that the field quotes."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from avatar.portrait.landmarks import FoundFace
from avatar.types import Float

PERSON = 0.5
"""A pixel belongs to the person from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Of one picture."""

    psnr: float
    """dB, over the person's pixels."""
    ssim: float
    """Mean over the person's pixels (Wang et al. 2004: Gaussian window of 1.5 pixels)."""
    sharpness: float
    """Energy of the shown picture's gradients over that of the wanted one's, within the person,
    the outline left out: PSNR and SSIM forgive a blur, this does not. Noise raises it, too."""


def likeness(shown: Float, wanted: Float, person: Float) -> Likeness:
    """Compare [H, W, 3] pictures, 0..1, inside the mask [H, W], which is not empty."""
    inside = person > PERSON
    error = float(np.mean((shown[inside] - wanted[inside]) ** 2))
    compared: Any = structural_similarity(  # its type depends on `full`, which hides from checkers
        shown,
        wanted,
        channel_axis=2,
        data_range=1.0,
        full=True,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return Likeness(
        psnr=float(-10 * np.log10(max(error, 1e-10))),
        ssim=float(np.asarray(compared[1])[inside].mean()),
        sharpness=_energy(shown, inside) / max(_energy(wanted, inside), 1e-9),
    )


def _energy(picture: Float, inside: NDArray[np.bool_]) -> float:
    """Sum of squared Sobel gradients of the grey, two pixels within the mask [H, W]."""
    grey = picture.mean(2, dtype=np.float32)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))
    core = cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return float((across**2 + down**2)[core].sum())


def landmark_error(shown: Float, wanted: FoundFace) -> float:
    """Mean distance of FaceMesh's 468 points [468, >=2] as a share of the wanted eye distance."""
    apart = np.linalg.norm(shown[:468, :2] - wanted.landmarks[:468, :2], axis=1)
    return float(apart.mean() / max(wanted.eye_distance_px, 1e-3))


def as_numbers(picture: NDArray[np.uint8]) -> Float:
    """[H, W, 3] bytes -> 0..1."""
    return np.divide(picture, 255, dtype=np.float32)
