"""`avatar.fit.similarity` and `avatar.fit.residual_losses` in torch, for automatic differentiation
on a card: the same sums over the pixels, to rounding."""

from functools import cache

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avatar.fit.residual_losses import BANDS, BANK, DIRECTIONS, GREY, POOL_PX, QUIET
from avatar.fit.similarity import C1, C2_OF_LOSS, WINDOW, WINDOW_SIGMA


def picture_loss(shown: Tensor, wanted: Tensor, weight: Tensor, share: float) -> Tensor:
    """As `PictureLoss.of`: pictures [H, W, 3], weight [H, W]."""
    apart = (1 - share) * (shown - wanted).abs()
    if share:
        apart = apart + share * (1 - _ssim(shown, wanted))
    return (weight * apart.sum(2)).sum() / 3


def _ssim(shown: Tensor, wanted: Tensor) -> Tensor:
    """[H, W, 3] Wang et al. 2004, eq. 13, with the constants of the loss."""
    maps = torch.stack([shown, wanted, shown * shown, wanted * wanted, shown * wanted])
    means = _separably(maps.permute(0, 3, 1, 2).flatten(0, 1), WINDOW, WINDOW_SIGMA)
    x, y, xx, yy, xy = means.unflatten(0, (5, 3)).permute(0, 2, 3, 1)
    c1, c2 = float(C1), float(C2_OF_LOSS)
    xy_means, squares = x * y, x * x + y * y
    above = (2 * xy_means + c1) * (2 * (xy - xy_means) + c2)
    return above / ((squares + c1) * (xx + yy - squares + c2))


def texture_loss(shown: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """As `TextureLoss.of`."""
    greys = torch.stack([shown, wanted]) @ _grey(shown.device)
    layers, bank = torch.cat([greys, weight[None]]), _bank(shown.device)
    total, quiet = torch.zeros((), device=shown.device), float(QUIET)
    for band in range(BANDS):
        pair, counts = layers.split((2, 1))
        parts = functional.conv2d(pair[None], bank, padding="same", groups=2)
        parts = parts.squeeze(0).unflatten(0, (2 * DIRECTIONS, 2))
        magnitude = (parts.square().sum(1) + quiet**2).sqrt()
        one, other = _separably(magnitude, *_smooth(POOL_PX)).unflatten(0, (2, DIRECTIONS))
        far = ((one - other).square() + quiet**2).sqrt() - quiet
        total = total + 4**band / DIRECTIONS * (counts * far).sum()
        if band < BANDS - 1:
            layers = _separably(layers, *_smooth(1.0), stride=2)
    return total


def sharpened(picture: Tensor, amount: float) -> Tensor:
    """As `avatar.fit.residual_losses.sharpened`, of a picture [H, W, 3]."""
    taps, sigma = _smooth(1.0)
    reach = taps // 2
    layers = functional.pad(picture.permute(2, 0, 1)[None], 4 * [reach], mode="reflect")[0]
    smooth = _separably(layers, taps, sigma)[:, reach:-reach, reach:-reach].permute(1, 2, 0)
    return (picture + amount * (picture - smooth)).clamp(0, 1)


def _separably(layers: Tensor, taps: int, sigma: float, stride: int = 1) -> Tensor:
    """[C, H, W] blurred along both, zero beyond the edges; every `stride`-th pixel of it.

    Layers are channels, each a group of its own: torch has a kernel for these which takes a card
    less time than cuDNN's for one channel, and never rounds to TF32.
    """
    count, reach = len(layers), taps // 2
    kernel = _gaussian(taps, sigma, layers.device).expand(count, 1, taps)
    whole = functional.conv2d(
        layers[None], kernel[..., None], stride=(stride, 1), padding=(reach, 0), groups=count
    )
    whole = functional.conv2d(
        whole, kernel[:, :, None], stride=(1, stride), padding=(0, reach), groups=count
    )
    return whole.squeeze(0)


@cache
def _gaussian(taps: int, sigma: float, device: torch.device) -> Tensor:
    kernel = cv2.getGaussianKernel(taps, sigma, cv2.CV_32F)
    return torch.tensor(kernel[:, 0], device=device)


def _smooth(sigma: float) -> tuple[int, float]:
    """Taps and sigma: OpenCV by itself goes four sigma each way where pixels are float32."""
    return 2 * round(4 * sigma) + 1, sigma


@cache
def _bank(device: torch.device) -> Tensor:
    """[4 * directions, 1, 7, 7] even and odd by turns, once for each of two pictures."""
    kernels = np.stack(2 * [kernel for pair in BANK for kernel in pair])
    return torch.tensor(kernels[:, None], device=device)


@cache
def _grey(device: torch.device) -> Tensor:
    return torch.tensor(GREY, device=device)
