"""What residuals are asked for beside L1 and SSIM: which losses there are, and texture among them.

A residual that is right on average is a blur: what lies elsewhere in every frame is best predicted
by its mean. Texture says how much detail of which size and direction there is, not where to the
pixel, so it does not gain from blurring.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from avatar.types import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What a drawing is held against a frame by. 0 or False leaves a term out.

    What docs/residuals.md found to help is on.
    """

    ssim: float = 0.4
    """Share of the loss; the rest is L1."""
    robust: bool = True
    """Doubtful frames and pixels count less."""
    consistency: float = 0.3
    """Weight of views from aside, in which the full model shall look like the avatar as it came."""
    texture: float = 0.5
    """Weight of `TextureLoss`."""
    adversary: float = 0.0
    """Weight of `avatar.fit.residual_critic`."""
    sharpen: float = 0.0
    """How far the frames of the last fifth of the steps are sharpened."""
    torso: bool = False
    """What shoulders do by themselves is found in each frame (`avatar.fit.residual_torso`), not
    averaged over."""


BANDS, DIRECTIONS, _TAPS = 3, 4, 7
_WAVELENGTH_PX, _ENVELOPE_PX = 4.0, 1.6
POOL_PX = 2.0
QUIET = np.float32(0.01)
"""Magnitudes below this are grain: they count as their square."""
GREY = np.full(3, 1 / 3, np.float32)
"""Weighed as the eye does, green alone would follow, and dark hair filled with coloured grain."""


def _bank() -> list[tuple[Float, Float]]:
    """Even and odd Gabor filters, [7, 7] each, blind to a plain wall."""
    reach = _TAPS // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    envelope = np.exp(-(x * x + y * y) / (2 * _ENVELOPE_PX**2))
    bank = []
    for index in range(DIRECTIONS):
        angle = math.pi * index / DIRECTIONS
        phase = 2 * math.pi / _WAVELENGTH_PX * (x * math.cos(angle) + y * math.sin(angle))
        even, odd = envelope * np.cos(phase), envelope * np.sin(phase)
        even -= envelope * even.sum() / envelope.sum()
        scale = math.sqrt((even**2).sum())
        bank.append(((even / scale).astype(np.float32), (odd / scale).astype(np.float32)))
    return bank


BANK = _bank()


class TextureLoss:
    """How unlike two pictures are in their textures.

    The first layer of a scattering network (Bruna & Mallat 2013) stands in for the features of a
    trained one: the grey's magnitude in four directions at three sizes, pooled over a few pixels.
    Nothing in it was learned, so it knows of detail and outlines, not of eyes.
    """

    def __init__(self, wanted: Float, weight: Float) -> None:
        """`wanted` [H, W, 3] and `weight` [H, W], 0 where it does not matter."""
        self._wanted = [pooled for _, _, _, pooled in _scattered(wanted @ GREY)]
        self._weights = [weight]
        for _ in range(BANDS - 1):
            self._weights.append(_halved(self._weights[-1]))

    def of(self, shown: Float) -> tuple[float, Float]:
        """The loss of a picture [H, W, 3], and its gradient [H, W, 3]."""
        total, slopes = 0.0, [np.zeros_like(weight) for weight in self._weights]
        bands = _scattered(shown @ GREY)
        for index, (even, odd, magnitude, pooled) in enumerate(bands):
            band, direction = divmod(index, DIRECTIONS)
            weight = self._weights[band] * np.float32(4**band / DIRECTIONS)
            apart = pooled - self._wanted[index]
            far = np.sqrt(apart * apart + QUIET**2)
            total += float((weight * (far - QUIET)).sum(dtype=np.float64))
            by_magnitude = _pooled(np.asarray(weight * apart / far, np.float32)) / magnitude
            for part, kernel in zip((even, odd), BANK[direction], strict=True):
                slopes[band] += _filtered(by_magnitude * part, kernel[::-1, ::-1])
        slope = slopes[-1]
        for finer in reversed(slopes[:-1]):
            slope = finer + _doubled(slope, finer.shape)
        return total, slope[..., None] * GREY


def _scattered(grey: Float) -> list[tuple[Float, Float, Float, Float]]:
    """For each size and direction: even and odd part, their magnitude, and that pooled."""
    bands, level = [], grey
    for band in range(BANDS):
        for even_kernel, odd_kernel in BANK:
            even, odd = _filtered(level, even_kernel), _filtered(level, odd_kernel)
            magnitude = np.sqrt(even * even + odd * odd + QUIET**2)
            bands.append((even, odd, magnitude, _pooled(magnitude)))
        if band < BANDS - 1:
            level = _halved(level)
    return bands


def _filtered(image: Float, kernel: Float) -> Float:
    """Zero beyond the picture: with the kernel turned about, the filter's own transpose."""
    return np.asarray(
        cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT), np.float32
    )


def _pooled(image: Float, sigma: float = POOL_PX) -> Float:
    pooled = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(pooled, np.float32)


def _halved(image: Float) -> Float:
    return np.ascontiguousarray(_pooled(image, 1.0)[::2, ::2])


def _doubled(slope: Float, shape: tuple[int, ...]) -> Float:
    """The transpose of `_halved`."""
    wide = np.zeros(shape, np.float32)
    wide[::2, ::2] = slope
    return _pooled(wide, 1.0)


def sharpened(picture: Float, amount: float) -> Float:
    """[H, W, 3] with its finest detail drawn stronger."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    return np.clip(picture + np.float32(amount) * (picture - smooth), 0, 1).astype(np.float32)
