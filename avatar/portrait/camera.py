"""The camera that took the photograph, in avatar space: pixels from points and back."""

from dataclasses import dataclass

import numpy as np

from avatar.portrait.arrays import Array
from avatar.types import Float

CAMERA_DISTANCE_M = 1.4
"""One picture cannot tell a near face from a wide lens. Portraits are taken from 1 to 2 m."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoCamera:
    """A pinhole: x_px = centre + focal * X / -Z in camera space (y up, -z ahead)."""

    rotation: Float
    """[3, 3] avatar space -> camera space."""
    translation: Float
    """[3] metres."""
    focal_px: float
    centre_px: tuple[float, float]

    def to_camera(self, points: Array) -> Array:
        """[..., 3] avatar space -> camera space, metres."""
        return points @ self.rotation.T + self.translation

    def from_camera(self, points: Array) -> Array:
        """[..., 3] camera space -> avatar space, metres."""
        return (points - self.translation) @ self.rotation

    def project(self, points: Array) -> Array:
        """[..., 3] avatar space -> [..., 3] pixel x, y and distance ahead of the camera (m)."""
        camera = self.to_camera(points)
        ahead = np.maximum(-camera[..., 2], 1e-3)
        x = self.centre_px[0] + self.focal_px * camera[..., 0] / ahead
        y = self.centre_px[1] - self.focal_px * camera[..., 1] / ahead
        return np.stack([x, y, ahead], -1)

    def unproject(self, pixels: Array, ahead_m: Array) -> Array:
        """[..., 2] pixels at [...] metres ahead -> [..., 3] avatar space."""
        x = (pixels[..., 0] - self.centre_px[0]) * ahead_m / self.focal_px
        y = -(pixels[..., 1] - self.centre_px[1]) * ahead_m / self.focal_px
        return self.from_camera(np.stack([x, y, -ahead_m], -1))

    @property
    def position(self) -> Float:
        """[3] where the camera stands, avatar space."""
        return -self.rotation.T @ self.translation

    @property
    def pixels_per_metre(self) -> float:
        """At the face's distance."""
        return self.focal_px / CAMERA_DISTANCE_M
