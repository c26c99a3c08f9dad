"""Carries the head: takes the tremble out of what was generated, scales how much head and brows
move about where they have been lately, and holds the head turned as it is asked to."""

from math import exp

import numpy as np

from avatar.motion.direction import HEAD_LIMIT_RAD
from avatar.motion.latent import EYE_RANGE_RAD, LOOK_INDEX, Face, looks_of
from avatar.types import ARKIT_NAMES, MOTION_RATE, Float

_MEMORY_S = 8.0
_SHARE = 1 - exp(-1 / (MOTION_RATE * _MEMORY_S))
_INERTIA_S = 0.045
"""Of each of two low passes in a row: a head is heavy. What is drawn 40 ms at a time trembles by
some hundredths of a degree, which heads do not; the head comes 90 ms later for it."""
_FOLLOW = 1 - exp(-1 / (MOTION_RATE * _INERTIA_S))
_TURN_RATE = 13.0
"""1/s of the critically damped spring that turns the head to where it is newly held: nine tenths of
the way in .3 s, at most 95 degrees a second for 20 degrees, as people turn."""
_THERE_RAD = 1e-6
_BROWS = np.array([i for i, name in enumerate(ARKIT_NAMES) if name.startswith("brow")])


class Poise:
    """Frames in, frames out, in order.

    A mood's brows and a head that was turned to somebody are mean, not motion, so they stay however
    still the rest is held. The eyes make up for each turn of the head that is taken away or added,
    as far as eyes turn: what they look at stays the same, and the lids go with them.
    """

    def __init__(self) -> None:
        self._mean: Float | None = None
        self._passes: Float | None = None
        """[2, 6] the head's pose after the first and the second low pass."""
        self._held: np.ndarray | None = None
        """[2, 3] the offset that is held now, axis-angle in rad, and its speed in rad/s."""

    def apply(
        self, face: Face, amount: float, head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> Face:
        """`amount` 0 holds head and brows still, 1 leaves them their motion; `head` is
        `Direction.head`, there at once in the first call and approached from then on.

        Axis-angles are added, which for an offset of 20 degrees and motion of 5 is half a degree
        off the turn of a turned head.
        """
        moving = _moving(face)
        means = np.empty_like(moving)
        for index, row in enumerate(moving):
            row[:6] = self._carried(row[:6])
            self._mean = row.copy() if self._mean is None else self._mean
            self._mean = self._mean + np.float32(_SHARE) * (row - self._mean)
            means[index] = self._mean
        expression = face.expression.copy()
        if amount != 1:
            moving = (means + np.float32(amount) * (moving - means)).astype(np.float32)
            expression[:, _BROWS] = np.clip(moving[:, 6:], 0, 1)
        wanted = _axis_angle(head)
        for row in moving:
            row[:3] += self._turned_to(wanted)
        rotation = moving[:, :3]
        gaze = _turned_gaze(face.gaze, face.head_rotation, rotation)
        expression[:, LOOK_INDEX] = looks_of(gaze)
        return Face(expression, face.tongue, gaze, rotation, moving[:, 3:6])

    def _carried(self, pose: Float) -> Float:
        passes = np.stack([pose, pose]) if self._passes is None else self._passes
        first = passes[0] + np.float32(_FOLLOW) * (pose - passes[0])
        second = passes[1] + np.float32(_FOLLOW) * (first - passes[1])
        self._passes = np.stack([first, second]).astype(np.float32)
        return self._passes[1]

    def _turned_to(self, wanted: np.ndarray) -> Float:
        """[3] the offset of the next frame: the exact step of a critically damped spring."""
        if self._held is None:
            self._held = np.stack([wanted, np.zeros(3)])
        away, speed = self._held[0] - wanted, self._held[1]
        if max(np.abs(away).max(), np.abs(speed).max() / _TURN_RATE) < _THERE_RAD:
            self._held = np.stack([wanted, np.zeros(3)])
        else:
            fading, pull = exp(-_TURN_RATE / MOTION_RATE), speed + _TURN_RATE * away
            self._held = np.stack(
                [
                    wanted + (away + pull / MOTION_RATE) * fading,
                    (speed - pull * _TURN_RATE / MOTION_RATE) * fading,
                ]
            )
        return self._held[0].astype(np.float32)


def _axis_angle(head: tuple[float, float, float]) -> np.ndarray:
    """[3] the turn of `Direction.head`, within the limit. About +x the head looks down, about +y to
    its left, about +z it tilts to its right shoulder."""
    yaw, pitch, roll = np.clip(head, -HEAD_LIMIT_RAD, HEAD_LIMIT_RAD).tolist()
    return np.array([-pitch, yaw, -roll])


def _turned_gaze(gaze: Float, before: Float, after: Float) -> Float:
    """[T, 2] the gaze that looks, in heads turned by `after` [T, 3], where `gaze` looks in heads
    turned by `before`; held within the eyes' range."""
    yaw, pitch = gaze[:, 0].astype(np.float64), gaze[:, 1].astype(np.float64)
    ahead = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1)
    x, y, z = _turned(_turned(ahead, before), -after).T
    angles = np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], 1)
    return np.clip(angles, -EYE_RANGE_RAD, EYE_RANGE_RAD).astype(np.float32)


def _turned(directions: np.ndarray, rotations: Float) -> np.ndarray:
    """[T, 3] directions turned by axis-angles [T, 3]: Rodrigues' formula."""
    angle = np.linalg.norm(rotations.astype(np.float64), axis=1, keepdims=True)
    axis = rotations / np.maximum(angle, 1e-12)
    along = (axis * directions).sum(1, keepdims=True) * axis
    return (
        directions * np.cos(angle)
        + np.cross(axis, directions) * np.sin(angle)
        + along * (1 - np.cos(angle))
    )


def _moving(face: Face) -> Float:
    """[T, 11] head rotation and translation, brows; a copy."""
    return np.concatenate(
        [face.head_rotation, face.head_translation, face.expression[:, _BROWS]], 1
    )
