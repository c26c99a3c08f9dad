"""Where something is and how it is turned, as OpenXR has it: metres, y up, -z forward."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """A rigid pose: the axes of what is posed, seen from the space that it is posed in."""

    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Metres."""
    orientation: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Unit quaternion (w, x, y, z)."""

    def matrix(self) -> Matrix:
        """[4, 4] from its own axes to the space that it is posed in."""
        w, x, y, z = self.orientation
        matrix = np.eye(4)
        matrix[:3, :3] = (
            (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
        matrix[:3, 3] = self.position
        return matrix

    @classmethod
    def turned(cls, position: ArrayLike, yaw_rad: float, pitch_rad: float = 0.0) -> Self:
        """Upright at `position`, looking along -z turned by `yaw_rad` to its own left (about +y),
        then raised by `pitch_rad`."""
        half_yaw, half_pitch = yaw_rad / 2, pitch_rad / 2
        cos_yaw, sin_yaw = math.cos(half_yaw), math.sin(half_yaw)
        cos_pitch, sin_pitch = math.cos(half_pitch), math.sin(half_pitch)
        x, y, z = (float(part) for part in np.asarray(position, np.float64))
        orientation = (
            cos_yaw * cos_pitch,
            cos_yaw * sin_pitch,
            sin_yaw * cos_pitch,
            -sin_yaw * sin_pitch,
        )
        return cls((x, y, z), orientation)

    @property
    def forward(self) -> NDArray[np.float64]:
        """[3] unit vector along its own -z."""
        return -self.matrix()[:3, 2]

    @property
    def yaw_rad(self) -> float:
        """Which way it looks along the floor, about +y: 0 is -z, + is to the left (-x). Looking
        straight up or down, its head's top or bottom says where."""
        forward, up = self.forward, self.matrix()[:3, 1]
        if abs(forward[1]) > 0.99:
            forward = -math.copysign(1.0, forward[1]) * up
        return math.atan2(-forward[0], -forward[2])


def middle(one: Pose, other: Pose) -> Pose:
    """Halfway between two poses that are turned alike, such as the eyes of a head."""
    position = (np.array(one.position) + other.position) / 2
    first, second = np.array(one.orientation), np.array(other.orientation)
    if first @ second < 0:
        second = -second
    orientation = first + second
    orientation /= np.linalg.norm(orientation)
    x, y, z = position.tolist()
    w, i, j, k = orientation.tolist()
    return Pose((x, y, z), (w, i, j, k))
