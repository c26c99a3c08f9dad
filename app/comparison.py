"""How alike two pictures of a person are: the measures that the field quotes."""

from dataclasses import dataclass
from typing import Any

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
    )


def landmark_error(shown: Float, wanted: FoundFace) -> float:
    """Mean distance of FaceMesh's 468 points [468, >=2] as a share of the wanted eye distance."""
    apart = np.linalg.norm(shown[:468, :2] - wanted.landmarks[:468, :2], axis=1)
    return float(apart.mean() / max(wanted.eye_distance_px, 1e-3))


def as_numbers(picture: NDArray[np.uint8]) -> Float:
    """[H, W, 3] bytes -> 0..1."""
    return np.divide(picture, 255, dtype=np.float32)
