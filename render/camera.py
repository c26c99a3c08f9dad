"""Where an eye is and what it sees.

A `View` is a pinhole camera as OpenCV has it: x right, y down, z forward, pixel (0, 0) spans
[0, 1) x [0, 1) with its centre at (0.5, 0.5). OpenXR and OpenGL have y up and look along -z;
the converters are here, beside the type, and are tested against each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

PORTRAIT_TARGET = (0.0, -0.03, -0.06)
"""What an orbiting camera looks at, avatar space: the middle of a head with its hair and neck,
a little below the eyes (the origin) and inside the skull."""
PORTRAIT_FIELD_OF_VIEW = math.radians(25.0)
"""Vertical. At 1 m it shows 0.44 m: from below the collar to above the hair."""
FLIP_Y_AND_Z = np.diag([1.0, -1.0, -1.0, 1.0])
"""Between an OpenGL or OpenXR eye (y up, looks along -z) and an OpenCV camera. Its own inverse."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """One pinhole camera and the image that it fills."""

    camera_from_world: Matrix
    """[4, 4] rigid, metres; to OpenCV camera axes: x right, y down, z forward."""
    intrinsics: Matrix
    """[3, 3] pixels; zero skew. The centre need not be the middle of the image."""
    width: int
    height: int
    """Size of the image, pixels."""

    @classmethod
    def from_eye(
        cls,
        world_from_eye: ArrayLike,
        *,
        left: float,
        right: float,
        down: float,
        up: float,
        width: int,
        height: int,
    ) -> "View":
        """The view of an OpenXR eye: its pose (y up, looks along its own -z) and the four signed
        half-angles of its frustum, radians; `left` and `down` are negative in a usual headset.
        Headset frusta are not symmetric: nothing assumes left == -right.
        """
        l, r, d, u = np.tan([left, right, down, up])  # noqa: E741 (as in OpenXR's text)
        fx, fy = width / (r - l), height / (u - d)
        intrinsics = np.array([[fx, 0.0, -l * fx], [0.0, fy, u * fy], [0.0, 0.0, 1.0]])
        eye_from_world = _rigid_inverse(np.asarray(world_from_eye, np.float64))
        return cls(
            camera_from_world=FLIP_Y_AND_Z @ eye_from_world,
            intrinsics=intrinsics,
            width=width,
            height=height,
        )

    def world_from_eye(self) -> Matrix:
        """[4, 4] pose of the same eye as OpenXR and OpenGL have it (y up, looks along -z)."""
        return _rigid_inverse(FLIP_Y_AND_Z @ self.camera_from_world)

    @property
    def position(self) -> NDArray[np.float64]:
        """[3] where the eye is, metres."""
        return -self.camera_from_world[:3, :3].T @ self.camera_from_world[:3, 3]

    def half_angles(self) -> tuple[float, float, float, float]:
        """Signed half-angles left, right, down, up as OpenXR gives them, radians."""
        fx, fy = self.intrinsics[0, 0], self.intrinsics[1, 1]
        cx, cy = self.intrinsics[0, 2], self.intrinsics[1, 2]
        return (
            math.atan(-cx / fx),
            math.atan((self.width - cx) / fx),
            math.atan((cy - self.height) / fy),
            math.atan(cy / fy),
        )

    def clip_from_eye(self, near: float, far: float) -> Matrix:
        """[4, 4] OpenGL projection (clip z in [-w, w]); `near` and `far` in metres."""
        l, r, d, u = np.tan(self.half_angles())  # noqa: E741
        return np.array(
            [
                [2 / (r - l), 0, (r + l) / (r - l), 0],
                [0, 2 / (u - d), (u + d) / (u - d), 0],
                [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, -1, 0],
            ]
        )

    def clip_from_world(self, near: float, far: float) -> Matrix:
        """[4, 4] what a vertex shader multiplies a point of avatar space with."""
        return self.clip_from_eye(near, far) @ FLIP_Y_AND_Z @ self.camera_from_world

    def project(self, points: ArrayLike) -> NDArray[np.float64]:
        """[..., 3] points of avatar space -> [..., 3] pixel x, pixel y, depth in metres.

        Depth is not tested: a point at depth <= 0 is behind the camera and its pixel means nothing.
        """
        rotation, translation = self.camera_from_world[:3, :3], self.camera_from_world[:3, 3]
        camera = np.asarray(points, np.float64) @ rotation.T + translation
        pixels = camera @ self.intrinsics.T
        return np.concatenate([pixels[..., :2] / pixels[..., 2:], camera[..., 2:]], axis=-1)


def orbit_view(
    yaw_rad: float,
    pitch_rad: float,
    distance_m: float,
    *,
    target: tuple[float, float, float] = PORTRAIT_TARGET,
    width: int = 512,
    height: int = 512,
    field_of_view: float = PORTRAIT_FIELD_OF_VIEW,
) -> View:
    """A camera on a sphere around `target` (avatar space) that looks at it, upright.

    Yaw + takes the camera to the avatar's left (+x), pitch + takes it up; 0, 0 looks the avatar
    in the face. `field_of_view` is vertical, radians. Built from the two angles, so straight
    above (pitch 90 degrees) has a well-defined roll too.
    """
    sin_yaw, cos_yaw = math.sin(yaw_rad), math.cos(yaw_rad)
    sin_pitch, cos_pitch = math.sin(pitch_rad), math.cos(pitch_rad)
    right = np.array([cos_yaw, 0.0, -sin_yaw])
    back = np.array([sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch])
    up = np.cross(back, right)
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = np.stack([right, -up, -back])
    position = np.asarray(target, np.float64) + distance_m * back
    camera_from_world[:3, 3] = -camera_from_world[:3, :3] @ position
    focal = 0.5 * height / math.tan(0.5 * field_of_view)
    intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return View(
        camera_from_world=camera_from_world, intrinsics=intrinsics, width=width, height=height
    )


def viewer(views: Sequence[View]) -> NDArray[np.float64]:
    """[3] the middle of the eyes of one viewer: where the face is seen from (`Deformer`)."""
    return np.mean([view.position for view in views], axis=0)


def _rigid_inverse(matrix: Matrix) -> Matrix:
    inverse = np.eye(4)
    inverse[:3, :3] = matrix[:3, :3].T
    inverse[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return inverse
