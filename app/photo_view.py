"""Draws what a photograph's camera sees: the pictures of known heads that fits are tried on."""

import numpy as np

from avatar.portrait.camera import PhotoCamera
from avatar.portrait.known_heads import Draw
from avatar.types import Float, Gaussians
from render.camera import FLIP_Y_AND_Z, View
from render.cpu import CpuRenderer


def photo_view(camera: PhotoCamera, size: tuple[int, int], full: tuple[int, int]) -> View:
    """The photograph's own camera as a renderer takes it, for a picture of `size` (width,
    height) made from one of `full`."""
    across, down = size[0] / full[0], size[1] / full[1]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = camera.rotation, camera.translation
    x, y = camera.centre_px
    focal = camera.focal_px
    return View(
        camera_from_world=FLIP_Y_AND_Z @ pose,
        intrinsics=np.array(
            [[focal * across, 0, x * across], [0, focal * down, y * down], [0, 0, 1]]
        ),
        width=size[0],
        height=size[1],
    )


def drawer(threads: int | None = None) -> Draw:
    """A function that draws Gaussians as a camera sees them, on the processor."""
    renderer = CpuRenderer() if threads is None else CpuRenderer(threads=threads)

    def draw(gaussians: Gaussians, camera: PhotoCamera, side: int, background: Float) -> Float:
        view = photo_view(camera, (side, side), (side, side))
        red, green, blue = (float(value) for value in background)
        image = renderer.render(gaussians, [view], (red, green, blue))[0]
        return image.astype(np.float32) / 255

    return draw
