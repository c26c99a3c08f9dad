"""Carries the head: takes the tremble out of what was generated, and scales how much head and
brows move about where they have been lately."""

from math import exp

import numpy as np

from avatar.motion.latent import Face
from avatar.types import ARKIT_NAMES, MOTION_RATE, Float

_MEMORY_S = 8.0
_SHARE = 1 - exp(-1 / (MOTION_RATE * _MEMORY_S))
_INERTIA_S = 0.045
"""Of each of two low passes in a row: a head is heavy. What is drawn 40 ms at a time trembles by
some hundredths of a degree, which heads do not; the head comes 90 ms later for it."""
_FOLLOW = 1 - exp(-1 / (MOTION_RATE * _INERTIA_S))
_BROWS = np.array([i for i, name in enumerate(ARKIT_NAMES) if name.startswith("brow")])


class Poise:
    """Frames in, frames out, in order.

    A mood's brows and a head that was turned to somebody are mean, not motion, so they stay however
    still the rest is held. The eyes make up for each turn of the head that is taken away or added:
    what they look at stays the same.
    """

    def __init__(self) -> None:
        self._mean: Float | None = None
        self._passes: Float | None = None
        """[2, 6] the head's pose after the first and the second low pass."""

    def apply(self, face: Face, amount: float) -> Face:
        """`amount` 0 holds head and brows still, 1 leaves them their motion."""
        moving = _moving(face)
        means = np.empty_like(moving)
        for index, row in enumerate(moving):
            row[:6] = self._carried(row[:6])
            self._mean = row.copy() if self._mean is None else self._mean
            self._mean = self._mean + np.float32(_SHARE) * (row - self._mean)
            means[index] = self._mean
        expression = face.expression
        if amount != 1:
            moving = (means + np.float32(amount) * (moving - means)).astype(np.float32)
            expression = expression.copy()
            expression[:, _BROWS] = np.clip(moving[:, 6:], 0, 1)
        turned = moving[:, :3] - face.head_rotation
        gaze = face.gaze.copy()
        gaze[:, 0] -= turned[:, 1]
        gaze[:, 1] += turned[:, 0]  # a head turned about +x looks down
        return Face(expression, face.tongue, gaze, moving[:, :3], moving[:, 3:6])

    def _carried(self, pose: Float) -> Float:
        passes = np.stack([pose, pose]) if self._passes is None else self._passes
        first = passes[0] + np.float32(_FOLLOW) * (pose - passes[0])
        second = passes[1] + np.float32(_FOLLOW) * (first - passes[1])
        self._passes = np.stack([first, second]).astype(np.float32)
        return self._passes[1]


def _moving(face: Face) -> Float:
    """[T, 11] head rotation and translation, brows; a copy."""
    return np.concatenate(
        [face.head_rotation, face.head_translation, face.expression[:, _BROWS]], 1
    )
