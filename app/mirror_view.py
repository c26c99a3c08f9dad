"""What the window shows of a headset: one of its eyes, or a camera beside the two who talk."""

import math
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from app.placement import Placement
from avatar.types import Float
from render.headset import Eye, Hand
from render.pose import Pose


class MirrorShows(Enum):
    """The choices, as the panel names them."""

    LEFT = "left eye"
    RIGHT = "right eye"
    THIRD = "third person"

    @property
    def next(self) -> "MirrorShows":
        """The one that the key goes on to."""
        every = list(MirrorShows)
        return every[(every.index(self) + 1) % len(every)]


MIRROR_RAD = math.radians(62.0)
"""How much the window shows, from top to bottom."""
BEHIND_RAD = math.radians(28.0)
"""The camera beside stands so far towards the wearer's back: the avatar is not in mere profile."""
ROOM_AROUND_M = 0.75
"""Farther from the middle between the two than they are from each other, so both fit."""
ABOVE_M, BELOW_M = 0.12, 0.10
"""The camera over their eyes; what it looks at, under them."""
HEAD_TINT, VISOR_TINT, HAND_TINT = (0.62, 0.65, 0.70), (0.16, 0.17, 0.20), (0.55, 0.62, 0.70)
LIGHT = np.array([0.35, 0.85, 0.40])


def framed(pose: Pose, size: tuple[int, int]) -> Eye:
    """An eye without the edges of a lens, in the shape of a window of so many pixels."""
    up = MIRROR_RAD / 2
    across = math.atan(math.tan(up) * size[0] / size[1])
    return Eye(pose, (-across, across, -up, up))


def camera_beside(head: Pose, placement: Placement) -> Pose:
    """To the wearer's right, where it sees wearer and avatar; the panel hangs to their left."""
    wearer, avatar = np.array(head.position), np.array(placement.position)
    away = avatar - wearer
    distance = math.hypot(away[0], away[2])
    yaw = math.atan2(-away[0], -away[2]) if distance > 1e-3 else head.yaw_rad
    middle = (wearer + avatar) / 2
    aside = yaw + math.pi / 2 + BEHIND_RAD  # which way it looks: across the two
    back = -Pose.turned((0, 0, 0), aside).forward
    off = 0.75 * distance + ROOM_AROUND_M
    place = middle + off * back + (0.0, ABOVE_M, 0.0)
    return Pose.turned(place, aside, -math.atan2(ABOVE_M + BELOW_M, off))


def wearer_marks(head: Pose, hands: tuple[Hand, Hand]) -> Float:
    """[N * 3, 7] triangles in the room, as `EyePainter.paint` takes them: a head with a visor, and
    the hands that are tracked."""
    shapes = [
        _solid(head, _BALL * (0.085, 0.125, 0.105) + (0.0, -0.02, 0.09), HEAD_TINT),
        _solid(head, _BOX * (0.085, 0.045, 0.035) + (0.0, 0.0, -0.02), VISOR_TINT),
    ]
    shapes += [
        _solid(hand.grip, _BALL * (0.025, 0.03, 0.05), HAND_TINT)
        for hand in hands
        if hand.is_tracked
    ]
    return np.concatenate(shapes)


def _solid(pose: Pose, triangles: NDArray[np.float64], tint: tuple[float, float, float]) -> Float:
    """[T * 3, 7] of triangles [T, 3, 3] in the pose's own axes, each of one shade."""
    matrix = pose.matrix()
    corners = triangles @ matrix[:3, :3].T + matrix[:3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    # Wrapped around: what faces away from the light is dim, not black.
    light = 0.62 + 0.38 * (normals @ (LIGHT / np.linalg.norm(LIGHT)))
    rows = np.ones((len(corners), 3, 7), np.float32)
    rows[..., :3] = corners
    rows[..., 3:6] = (light[:, None] * tint)[:, None]
    return rows.reshape(-1, 7)


def _ball() -> NDArray[np.float64]:
    """[128, 3, 3] a ball of radius 1: an octahedron, each face cut in four twice."""
    signs = [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    faces = []
    for x, y, z in signs:
        corners = [(x, 0, 0), (0, y, 0), (0, 0, z)]
        faces.append(corners if x * y * z > 0 else corners[::-1])
    triangles = np.array(faces, np.float64)
    for _ in range(2):
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(part, 1) for part in parts])
        triangles /= np.linalg.norm(triangles, axis=2, keepdims=True)
    return triangles


def _box() -> NDArray[np.float64]:
    """[12, 3, 3] from -1 to 1, seen from outside."""
    triangles = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            square = np.full((4, 3), sign)
            square[:, (axis + 1) % 3] = (-1, 1, 1, -1)
            square[:, (axis + 2) % 3] = (-1, -1, 1, 1)
            square = square if sign > 0 else square[::-1]
            triangles += [square[[0, 1, 2]], square[[0, 2, 3]]]
    return np.array(triangles)


_BALL, _BOX = _ball(), _box()
