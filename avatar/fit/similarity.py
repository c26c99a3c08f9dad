"""How alike two pictures are, and how to make them more so: L1 and SSIM with their gradients."""

import cv2
import numpy as np
from numba import njit, prange

from avatar.types import Float

WINDOW_SIGMA, WINDOW = 1.5, 11
"""Pixels: the window of Wang et al. 2004."""
C1, _C2 = np.float32(0.01**2), np.float32(0.03**2)
"""Of the measure, as published."""
C2_OF_LOSS = np.float32(0.045**2)
"""Of the loss: as published, the faintest grain of a dark coat counts as much as a face, and splats
that are larger than the grain are drawn out into worms to follow some of it."""


def structural_similarity(shown: Float, wanted: Float) -> Float:
    """[H, W, 3] SSIM of each pixel and channel (Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13)."""
    return _ssim_maps(shown, wanted, _blur(wanted), _blur(wanted * wanted), _C2)[0]


class PictureLoss:
    """Weighted sum over the pixels of (1 - `share`) * L1 + `share` * (1 - SSIM).

    A sum, not a mean: a splat's gradient then does not depend on the picture's size.
    """

    def __init__(self, wanted: Float, weight: Float, share: float) -> None:
        """`wanted` [H, W, 3] and `weight` [H, W], 0 where it does not matter."""
        self._wanted = np.ascontiguousarray(wanted, np.float32)
        self._weight = np.ascontiguousarray(weight, np.float32)
        self._share = share
        self._mean = _blur(self._wanted)
        self._mean_square = _blur(self._wanted * self._wanted)

    def of(self, shown: Float) -> tuple[float, Float]:
        """The loss of a picture [H, W, 3], and its gradient [H, W, 3]."""
        ssim, d_mean, d_square, d_product = _ssim_maps(
            shown, self._wanted, self._mean, self._mean_square, C2_OF_LOSS
        )
        weight = self._share * self._weight[..., None]
        slope = np.empty_like(shown)
        _join_slopes(
            shown,
            self._wanted,
            self._weight,
            np.float32(1 - self._share),
            _blur(weight * d_mean),
            _blur(weight * d_square),
            _blur(weight * d_product),
            slope,
        )
        apart = (1 - self._share) * np.abs(shown - self._wanted).sum(2, dtype=np.float64)
        unlike = self._share * (1 - ssim).sum(2, dtype=np.float64)
        return float((self._weight * (apart + unlike)).sum() / 3), slope


def _blur(image: Float) -> Float:
    """Zero beyond the picture, so that the filter is its own transpose, as gradients need it."""
    blurred = cv2.GaussianBlur(
        image, (WINDOW, WINDOW), WINDOW_SIGMA, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(blurred, np.float32)


def _ssim_maps(
    shown: Float, wanted: Float, mean: Float, mean_square: Float, c2: np.float32
) -> tuple[Float, Float, Float, Float]:
    """SSIM [H, W, 3] and its derivatives by the windows' means of x, of x² and of x y, where x is
    what is shown and y what is wanted."""
    ssim, d_mean, d_square, d_product = (np.empty_like(shown) for _ in range(4))
    means = _blur(shown), _blur(shown * shown), _blur(shown * wanted)
    _ssim(*means, mean, mean_square, c2, ssim, d_mean, d_square, d_product)
    return ssim, d_mean, d_square, d_product


@njit(cache=True, parallel=True, error_model="numpy")
def _ssim(  # pragma: no cover
    mean_x, mean_xx, mean_xy, mean_y, mean_yy, c2, ssim, d_mean, d_square, d_product
):
    height, width, channels = mean_x.shape
    two = np.float32(2)
    for row in prange(height):
        for column in range(width):
            for c in range(channels):
                mx, my = mean_x[row, column, c], mean_y[row, column, c]
                a1 = two * mx * my + C1
                a2 = two * (mean_xy[row, column, c] - mx * my) + c2
                b1 = mx * mx + my * my + C1
                b2 = (mean_xx[row, column, c] - mx * mx) + (mean_yy[row, column, c] - my * my) + c2
                value = a1 * a2 / (b1 * b2)
                ssim[row, column, c] = value
                d_product[row, column, c] = two * a1 / (b1 * b2)
                d_square[row, column, c] = -value / b2
                d_mean[row, column, c] = (
                    two * my * (a2 - a1) / (b1 * b2) - two * mx * value / b1 + two * mx * value / b2
                )


@njit(cache=True, parallel=True, error_model="numpy")
def _join_slopes(  # pragma: no cover
    shown, wanted, weight, l1_share, by_mean, by_square, by_product, slope
):
    height, width, channels = shown.shape
    third = np.float32(1 / 3)
    for row in prange(height):
        for column in range(width):
            for c in range(channels):
                x, y = shown[row, column, c], wanted[row, column, c]
                ssim = (
                    by_mean[row, column, c]
                    + np.float32(2) * x * by_square[row, column, c]
                    + y * by_product[row, column, c]
                )
                apart = weight[row, column] * l1_share * np.sign(x - y)
                slope[row, column, c] = third * (apart - ssim)
