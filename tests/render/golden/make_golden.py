"""Draws the golden pictures of this folder anew: `python -m tests.render.golden.make_golden`.

They are drawn by the plain renderer, so they hold the convention itself, not one fast renderer's
habits. Look at them before they are committed.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from avatar.types import Gaussians
from render.camera import View, orbit_view
from render.reference import ReferenceRenderer
from tests.render.scenes import gaussians_of

FOLDER = Path(__file__).parent
SIZE = 256
BACKGROUND = (0.9, 0.92, 0.95)
VIEWS = {
    "front": orbit_view(0.0, 0.0, 1.0, width=SIZE, height=SIZE),
    "left_and_above": orbit_view(0.6, 0.3, 1.0, width=SIZE, height=SIZE),
}


def toy_face() -> Gaussians:
    """A face of a few large splats in avatar space, without symmetry: its own left (+x) eye is
    green and its right one blue, so that a mirrored or swapped picture is seen at once; a
    slanted red mouth, a nose towards the viewer, and a half-transparent veil before one cheek."""
    tilted = (np.cos(0.15), 0.0, 0.0, np.sin(0.15))
    upright = (1.0, 0.0, 0.0, 0.0)
    splats = [
        # centre, standard deviations, opacity, colour, rotation
        ((0.0, -0.03, -0.08), (0.05, 0.07, 0.05), 1.0, (0.8, 0.6, 0.5), upright),
        ((0.0, 0.06, -0.11), (0.05, 0.03, 0.05), 1.0, (0.25, 0.15, 0.1), upright),
        ((0.032, 0.0, 0.02), (0.010, 0.006, 0.004), 0.95, (0.1, 0.6, 0.2), upright),
        ((-0.032, 0.0, 0.02), (0.010, 0.006, 0.004), 0.95, (0.1, 0.2, 0.7), upright),
        ((0.0, -0.03, 0.05), (0.006, 0.014, 0.012), 0.9, (0.9, 0.7, 0.6), upright),
        ((0.0, -0.075, 0.03), (0.024, 0.005, 0.004), 0.95, (0.75, 0.1, 0.15), tilted),
        ((-0.04, -0.04, 0.08), (0.02, 0.02, 0.001), 0.5, (1.0, 0.9, 0.2), upright),
        ((0.0, -0.16, -0.09), (0.028, 0.03, 0.028), 0.95, (0.7, 0.5, 0.4), upright),
    ]
    means, scales, opacities, colours, rotations = zip(*splats, strict=True)
    return gaussians_of(means, scales, opacities, colours, rotations)


def draw(view: View) -> np.ndarray:
    """[256, 256, 3] the picture that is kept."""
    return ReferenceRenderer().render(toy_face(), [view], BACKGROUND)[0]


def main() -> None:
    for name, view in VIEWS.items():
        Image.fromarray(draw(view)).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
