"""SSIM against scikit-image, and the loss' gradient against finite differences."""

from typing import Any

import numpy as np
from skimage.metrics import structural_similarity as reference

from avatar.fit.similarity import PictureLoss, structural_similarity
from avatar.types import Float


def pictures(seed: int = 0) -> tuple[Float, Float]:
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(0.1, 0.9, (24, 30, 3))
    return (wanted + rng.normal(0, 0.1, wanted.shape)).astype(np.float32), wanted.astype(np.float32)


def test_ssim_is_scikit_images_away_from_the_border():
    shown, wanted = pictures()
    other: Any = reference(
        shown,
        wanted,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1]
    inside = (slice(5, -5), slice(5, -5))
    found = structural_similarity(shown, wanted)
    np.testing.assert_allclose(found[inside], other[inside], atol=1e-4)


def test_ssim_of_a_picture_with_itself_is_one():
    shown, _ = pictures()
    np.testing.assert_allclose(structural_similarity(shown, shown), 1, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    shown, wanted = pictures()
    weight = np.random.default_rng(1).uniform(0, 1, shown.shape[:2]).astype(np.float32)
    loss = PictureLoss(wanted, weight, 0.4)
    _, slope = loss.of(shown)
    way = np.random.default_rng(2).normal(size=shown.shape).astype(np.float32)
    # So small a step crosses no kink of |x|; many numbers at once rise above the rounding.
    step = np.float32(2e-5)
    ahead, back = ((shown + s * step * way).astype(np.float32) for s in (1, -1))
    measured = (loss.of(ahead)[0] - loss.of(back)[0]) / (2 * step)
    assert abs((slope * way).sum() - measured) < 0.01 * np.abs(slope * way).sum()


def test_pixels_without_weight_do_not_count():
    shown, wanted = pictures()
    weight = np.zeros(shown.shape[:2], np.float32)
    weight[:, :10] = 1
    spoilt = shown.copy()
    spoilt[:, 20:] = 0
    loss = PictureLoss(wanted, weight, 0.3)
    assert loss.of(shown)[0] == loss.of(spoilt)[0]
    assert not loss.of(shown)[1][:, 16:].any()
