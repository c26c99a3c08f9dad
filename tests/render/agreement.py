"""How near a renderer's picture must be to the plain one's."""

import numpy as np

from avatar.types import Gaussians
from render.camera import View
from render.gl import GlRenderer
from render.reference import ReferenceRenderer
from render.renderer import LEAST_ALPHA, LEAST_TRANSMITTANCE, Renderer

REFERENCE = ReferenceRenderer()
EXACT = 3e-5
"""Single against double precision, blended over some dozens of splats: 1.9e-5 at most was seen, in
a scene (seed 1177792826) of splats of a pixel's size hundreds of pixels from the corner."""
EXACT_GL = 5e-5
"""As above: 2.7e-5 at most in 2,600 random scenes."""
COARSE = 1e-4
"""Where pixel coordinates reach thousands, or the conic's terms cancel: 5 digits are left."""
THRESHOLD_PIXELS = 2
"""Pixels of a small picture in which rounding may carry a splat across the 1/255 threshold; they
then differ by no more than that splat."""


def assert_same(
    renderer: Renderer, gaussians: Gaussians, views: list[View], exact: float | None = None
) -> None:
    """Colour and alpha equal the reference's. Where it ended a pixel, OpenGL's, which cannot, may
    differ by the light that was left over, as colours are at most 1."""
    fast = np.concatenate(renderer.render_float(gaussians, views), -1)
    plain = np.concatenate(REFERENCE.render_float(gaussians, views), -1)
    assert fast.shape == plain.shape
    assert np.isfinite(fast).all()
    off = np.abs(fast - plain).max(axis=-1)
    blends_on = isinstance(renderer, GlRenderer)
    limit = np.full(off.shape, exact or (EXACT_GL if blends_on else EXACT))
    if blends_on:
        ended = 1 - fast[..., 3] <= 1.01 * LEAST_TRANSMITTANCE
        limit += np.where(ended, 1 - plain[..., 3], 0)
    assert (off > limit).sum() <= THRESHOLD_PIXELS
    assert (off <= LEAST_ALPHA + limit).all()


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Decibels of levels of 255."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))
