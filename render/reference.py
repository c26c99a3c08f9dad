"""The plain renderer: every splat at every pixel, in double precision.

Slow on purpose and short enough to check by eye. It is what every fast renderer is compared
with; nothing in it is clever. Memory and time grow with splats times pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.types import Float, Gaussians
from render.camera import View
from render.renderer import (
    FRUSTUM_MARGIN,
    LEAST_ALPHA,
    LEAST_TRANSMITTANCE,
    MOST_ALPHA,
    NEAR_PLANE,
    SCREEN_BLUR,
    ByteRenderer,
    CardHead,
    Image,
    image_size,
    plain_gaussians,
)

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReferenceRenderer(ByteRenderer):
    """`Renderer` by brute force."""

    reason: str = "asked for by name: the slow, plain renderer that the others are tested against"

    @property
    def name(self) -> str:
        return "reference"

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        colour, alpha = self.render_float(gaussians, views)
        drawn = np.concatenate([colour + (1 - alpha) * background, alpha], axis=-1)
        levels = np.clip(drawn[..., : pictures.shape[-1]], 0, 1) * 255
        pictures[...] = np.floor(levels + 0.5).astype(np.uint8)

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1]."""
        image_size(views)
        drawn = [_draw(plain_gaussians(gaussians), view) for view in views]
        colour = np.stack([colour for colour, _ in drawn]).astype(np.float32)
        alpha = np.stack([alpha for _, alpha in drawn]).astype(np.float32)
        return colour, alpha

    def warm_up(self) -> float:
        """Nothing to compile: 0."""
        return 0.0


def _rotation_matrices(quaternions: Double) -> Double:
    """[N, 4] (w, x, y, z) of any length -> [N, 3, 3]. A zero quaternion gives NaN."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        axis=1,
    )


def screen_splats(
    gaussians: Gaussians, view: View
) -> tuple[Double, Double, Double, NDArray[np.intp]]:
    """Centres [N, 2] px, covariances [N, 2, 2] px² and depths [N] m on the screen, and the
    indices of those to draw, nearest first.

    Screen covariance: Kerbl et al. 2023, eq. 5 (Zwicker et al. 2001), J W Σ Wᵀ Jᵀ.
    """
    rotation, translation = view.camera_from_world[:3, :3], view.camera_from_world[:3, 3]
    fx, fy = view.intrinsics[0, 0], view.intrinsics[1, 1]
    cx, cy = view.intrinsics[0, 2], view.intrinsics[1, 2]
    with np.errstate(all="ignore"):  # splats that are left out may divide by zero before
        camera = gaussians.means.astype(np.float64) @ rotation.T + translation
        x, y, depth = camera.T
        across, down = x / depth, y / depth
        margin_x, margin_y = FRUSTUM_MARGIN * view.width / fx, FRUSTUM_MARGIN * view.height / fy
        held_x = np.clip(across, -cx / fx - margin_x, (view.width - cx) / fx + margin_x)
        held_y = np.clip(down, -cy / fy - margin_y, (view.height - cy) / fy + margin_y)
        zero = np.zeros_like(depth)
        jacobian = np.stack(
            [
                np.stack([fx / depth, zero, -fx * held_x / depth], -1),
                np.stack([zero, fy / depth, -fy * held_y / depth], -1),
            ],
            axis=1,
        )
        axes = _rotation_matrices(gaussians.rotations.astype(np.float64))
        axes = axes * gaussians.scales.astype(np.float64)[:, None, :]
        half = jacobian @ rotation @ axes
        covariance = half @ half.transpose(0, 2, 1) + SCREEN_BLUR * np.eye(2)
        centre = np.stack([fx * across + cx, fy * down + cy], -1)
    finite = (
        np.isfinite(centre).all(1)
        & np.isfinite(covariance).all((1, 2))
        & np.isfinite(gaussians.opacities)
        & np.isfinite(gaussians.colours).all(1)
    )
    drawn = np.flatnonzero(
        finite & (depth > NEAR_PLANE) & (gaussians.opacities >= np.float32(LEAST_ALPHA))
    )
    # As coarse as the fast renderers' keys: what is equal there falls back to the index too.
    squares = (camera[drawn] ** 2).sum(1).astype(np.float32)
    order = drawn[np.argsort(squares.view(np.uint32) >> 1, kind="stable")]
    return centre, covariance, depth, order


def _draw(gaussians: Gaussians, view: View) -> tuple[Double, Double]:
    """Premultiplied colour [H, W, 3] and alpha [H, W, 1] of one view."""
    centre, covariance, _, order = screen_splats(gaussians, view)
    column = np.arange(view.width)[None, :] + 0.5
    row = np.arange(view.height)[:, None] + 0.5
    colour = np.zeros((view.height, view.width, 3))
    transmittance = np.ones((view.height, view.width))
    finished = np.zeros((view.height, view.width), bool)
    for index in order:
        dx, dy = centre[index, 0] - column, centre[index, 1] - row
        (a, b), (_, c) = covariance[index]
        exponent = 0.5 * (c * dx * dx - 2 * b * dx * dy + a * dy * dy) / (a * c - b * b)
        alpha = np.minimum(MOST_ALPHA, float(gaussians.opacities[index]) * np.exp(-exponent))
        alpha = np.where((alpha < LEAST_ALPHA) | finished, 0.0, alpha)
        left = transmittance * (1 - alpha)
        # The splat that would take a pixel's last light is not drawn, and ends the pixel.
        finished |= left <= LEAST_TRANSMITTANCE
        alpha = np.where(finished, 0.0, alpha)
        colour += (alpha * transmittance)[..., None] * gaussians.colours[index]
        transmittance = transmittance * (1 - alpha)
    return colour, 1.0 - transmittance[..., None]
