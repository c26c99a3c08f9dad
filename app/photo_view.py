"""Draws what a photograph's camera sees: the pictures of known heads that fits are tried on."""

import numpy as np

from avatar.portrait.camera import PhotoCamera
from avatar.portrait.known_heads import Draw
from avatar.types import Float, Gaussians
from render.camera import FLIP_Y_AND_Z, View
from render.cpu import CpuRenderer


def photo_view(camera: PhotoCamera, width: int, height: int) -> View:
    """The renderer's view of a photograph's camera."""
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = camera.rotation
    camera_from_world[:3, 3] = camera.translation
    x, y = camera.centre_px
    return View(
        camera_from_world=FLIP_Y_AND_Z @ camera_from_world,
        intrinsics=np.array([[camera.focal_px, 0, x], [0, camera.focal_px, y], [0, 0, 1]]),
        width=width,
        height=height,
    )


def drawer(threads: int | None = None) -> Draw:
    """A function that draws Gaussians as a camera sees them, on the processor."""
    renderer = CpuRenderer() if threads is None else CpuRenderer(threads=threads)

    def draw(gaussians: Gaussians, camera: PhotoCamera, side: int, background: Float) -> Float:
        view = photo_view(camera, side, side)
        red, green, blue = (float(value) for value in background)
        image = renderer.render(gaussians, [view], (red, green, blue))[0]
        return image.astype(np.float32) / 255

    return draw
