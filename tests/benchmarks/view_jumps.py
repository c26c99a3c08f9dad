"""Does the picture pop while the view turns slowly?

    python -m tests.benchmarks.view_jumps [--avatar A]

The view turns by .2 degrees a frame about a head that keeps still. Where splats change places in
the order of depth, pixels jump. Each pixel's step from frame to frame is compared with the same
step of a supersampled picture (4 x 4 pixels for one, the splats blurred as much less), in which
what moves moves the same way: what a step exceeds that by is no motion. Levels of 255.

What the changed order does by itself is told too: views all around the front are drawn in their own
order of depth and in that of the neighbouring view.
"""

from dataclasses import replace

import numpy as np
import tyro
from scipy.ndimage import maximum_filter

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.fit.rasteriser import Lens, Rasteriser
from render.camera import View, orbit_view
from render.choose import open_renderer

SIDE, FINER, STEP_DEGREES, FRAMES = 512, 4, 0.2, 40
VIEWS_DEGREES = range(-40, 41, 5)
_NEAR = 3
"""Pixels about one in which the finer picture may have moved as far."""


def finer(view: View) -> View:
    """The same view in `FINER` times as many pixels each way."""
    lens = view.intrinsics.copy()
    lens[:2] *= FINER
    return replace(view, intrinsics=lens, width=FINER * SIDE, height=FINER * SIDE)


def order_alone(deformer: Deformer) -> np.ndarray:
    """[V, H, W] by how many levels a pixel differs where splats lie over one another as they will
    after a turn of `STEP_DEGREES`."""
    rasteriser, turned = Rasteriser(), float(np.tan(np.radians(STEP_DEGREES)))
    differences = []
    for degrees in VIEWS_DEGREES:
        view = orbit_view(float(np.radians(degrees)), 0.0, 1.0, width=SIDE, height=SIDE)
        lens = Lens(
            pose=view.camera_from_world[:3].astype(np.float32),
            intrinsics=view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float32),
            width=SIDE,
            height=SIDE,
        )
        gaussians = deformer.gaussians(seen_from=view.position)
        own = rasteriser.draw(gaussians, lens)[0].copy()
        differences.append(np.abs(rasteriser.draw(gaussians, lens, (turned, 0.0))[0] - own).max(2))
    return 255 * np.stack(differences)


def main(avatar: str = "default", start_degrees: float = -4.0) -> None:
    """Print how far pixels step, and how far they jump."""
    deformer, renderer = Deformer(load_avatar(avatar_path(avatar))), open_renderer("cpu")
    steps, excess = [], []
    before: tuple[np.ndarray, np.ndarray] | None = None
    for frame in range(FRAMES):
        yaw = np.radians(start_degrees + STEP_DEGREES * frame)
        view = orbit_view(float(yaw), 0.0, 1.0, width=SIDE, height=SIDE)
        gaussians = deformer.gaussians(seen_from=view.position)
        colour, _ = renderer.render_float(gaussians, [view])
        fine, _ = renderer.render_float(gaussians, [finer(view)])
        mean = fine[0].reshape(SIDE, FINER, SIDE, FINER, 3).mean((1, 3))
        now = 255 * colour[0], 255 * mean
        if before is not None:
            ours, theirs = (np.abs(a - b).max(2) for a, b in zip(now, before, strict=True))
            steps.append(ours)
            excess.append(np.maximum(ours - maximum_filter(theirs, _NEAR), 0))
        before = now
    moved, jumped = np.stack(steps), np.stack(excess)
    for title, values in (("step", moved), ("beyond the finer picture's", jumped)):
        levels = np.percentile(values, (50, 99, 99.9, 99.99))
        told = ", ".join(f"{level:.1f}" for level in levels)
        print(f"{title}: p50, p99, p99.9, p99.99: {told}; most {values.max():.1f}")
    print(f"pixels that jump by more than 8 levels: {(jumped > 8).mean() * 1e6:.0f} in a million")
    alone = order_alone(deformer)
    levels = np.percentile(alone, (99, 99.9, 99.99))
    told = ", ".join(f"{level:.1f}" for level in levels)
    print(f"the order alone: p99, p99.9, p99.99: {told}; most {alone.max():.1f}")
    print(f"pixels that it changes by more than 8: {(alone > 8).mean() * 1e6:.0f} in a million")


if __name__ == "__main__":
    tyro.cli(main)
