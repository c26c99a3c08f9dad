"""Small scenes that the renderers are tried on."""

import numpy as np

from avatar.types import Gaussians
from render.camera import View


def gaussians_of(
    means: object,
    scales: object = 0.05,
    opacities: object = 0.8,
    colours: object = (0.9, 0.5, 0.2),
    rotations: object = (1, 0, 0, 0),
) -> Gaussians:
    """Gaussians from what is given, the rest repeated for each."""
    means = np.asarray(means, np.float32).reshape(-1, 3)
    count = len(means)

    def each(values: object, *shape: int) -> np.ndarray:
        return np.ascontiguousarray(
            np.broadcast_to(np.asarray(values, np.float32), (count, *shape))
        )

    return Gaussians(
        means=means,
        rotations=each(rotations, 4),
        scales=each(scales, 3),
        opacities=each(opacities),
        colours=each(colours, 3),
    )


def random_gaussians(count: int, seed: int, size: float = 0.05, spread: float = 0.7) -> Gaussians:
    """A cloud around z = -2 that reaches behind the camera at the origin and out of its sight;
    opacities from 0 to 1, both included."""
    rng = np.random.default_rng(seed)
    opacities = rng.uniform(-0.1, 1.1, count).clip(0, 1)
    return gaussians_of(
        rng.normal(size=(count, 3)) * [spread, spread, 1.0] - [0, 0, 2],
        scales=size * np.exp(0.7 * rng.normal(size=(count, 3))),
        opacities=opacities,
        colours=rng.uniform(size=(count, 3)),
        rotations=rng.normal(size=(count, 4)),
    )


def front_view(width: int = 64, height: int = 48, focal: float = 58.0) -> View:
    """A camera at the origin that looks along -z, y up."""
    return View.from_eye(
        np.eye(4),
        left=-np.arctan(width / 2 / focal),
        right=np.arctan(width / 2 / focal),
        down=-np.arctan(height / 2 / focal),
        up=np.arctan(height / 2 / focal),
        width=width,
        height=height,
    )


def random_view(seed: int, width: int = 72, height: int = 53) -> View:
    """A camera somewhere near the origin, turned anyhow, with a lopsided frustum as a headset
    has; the image is no whole number of tiles."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose[:3, :3] = turn * np.sign(np.linalg.det(turn))
    # Looks, from 2 m away and beside it, about at the middle of `random_gaussians`.
    pose[:3, 3] = [0, 0, -2] + pose[:3, :3] @ [0, 0, 2] + rng.normal(size=3) * 0.2
    left, right, down, up = rng.uniform(0.15, 0.9, 4)
    return View.from_eye(
        pose, left=-left, right=right, down=-down, up=up, width=width, height=height
    )
