"""What neck and shoulders do by themselves in each frame, so that no mean is learned of it.

A film's camera is placed by the head; how the shoulders stand below it is told by the pose of the
neck alone. People shrug, lean and breathe: in most frames collar and shoulders lie some
millimetres off, and their best average is a blur. Each frame that is learned from therefore gets a
shift and a turn of its shoulders of its own, found together with the residuals. What the head's
pose explains of them is left to the residuals of the head, and so is their mean: only what nothing
at hand explains is taken out. They are not part of the avatar.
"""

from dataclasses import replace

import numpy as np

from avatar.types import Avatar, Float, Gaussians, Index

_RATE = np.array(3 * [3e-3] + 3 * [2e-2])
_MOST = np.array(3 * [0.04] + 3 * [0.3])
"""Of the shift in metres, and of the turn in radians."""
_LEAST_SLOPE = 1.0
_KEPT, _SQUARE_KEPT = 0.5, 0.9


class TorsoShifts:
    """One for each frame that is learned from."""

    def __init__(self, avatar: Avatar, joint: Float, known: Float) -> None:
        """`joint` [3] metres: about which shoulders turn. `known` [T, K]: what the head's residuals
        know of each frame, their features."""
        corners = avatar.triangles[avatar.bound_triangle]
        share = 1 - avatar.neck_weights[corners].mean(1)
        self._shares = self._share = np.clip(share, 0, 1).astype(np.float32)[:, None]
        self._joint = joint.astype(np.float32)
        count = len(known)
        self._known = np.column_stack([np.ones(count), known])
        self.found = np.zeros((count, 18), np.float32)
        """Each frame's shift [3] in metres and turn [3] in radians, as small turns add; then the
        running means of their slope [6] and of its square, as Adam has them."""

    def carry(self, source: Index) -> None:
        """From now on Gaussians that are each a part of one of the avatar's, `source` [N]."""
        self._share = self._shares[source]

    def moved(self, posed: Gaussians, index: int) -> Gaussians:
        """The frame's Gaussians, shoulders where they are filmed."""
        shift, turn = self.found[index, :6].reshape(2, 3)
        way = shift + np.cross(turn, posed.means - self._joint)
        return replace(posed, means=np.ascontiguousarray(posed.means + self._share * way))

    def learn(self, index: int, means: Float, d_means: Float, pace: float) -> None:
        """One step of the frame's shift, down the gradient [N, 3] per metre of Gaussians whose
        `means` [N, 3] were drawn."""
        values, mean, square = self.found[index].reshape(3, 6)
        pushed = self._share * d_means
        slope = np.append(pushed.sum(0), np.cross(means - self._joint, pushed).sum(0) * 10)
        mean += (1 - _KEPT) * (slope - mean)
        square += (1 - _SQUARE_KEPT) * (slope * slope - square)
        values -= pace * _RATE * mean / (np.sqrt(square) + _LEAST_SLOPE)
        np.clip(values, -_MOST, _MOST, out=values)

    def leave_explained(self) -> None:
        """Take off the shifts what is the same in all frames or follows from the head's pose."""
        shifts = self.found[:, :6].astype(np.float64)
        ridge = 1e-2 * len(shifts) * np.eye(self._known.shape[1])
        ridge[0, 0] = 0
        normal = self._known.T @ self._known + ridge
        shifts -= self._known @ np.linalg.solve(normal, self._known.T @ shifts)
        self.found[:, :6] = shifts
