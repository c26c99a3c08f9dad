"""The panel as a board in the wearer's room: where it hangs, and where a hand points on it."""

import math
from dataclasses import dataclass

import numpy as np

from render.pose import Pose

SIZE_M = (0.30, 0.76)
"""Width and height. A unit of its layout is 1 mm: capitals stand 1 degree high at 60 cm, twice
what reads with ease."""
AWAY_M = 0.62
ASIDE_RAD = math.radians(30.0)
"""To the wearer's left, beside the avatar's face."""
BELOW_M = 0.10
"""Its middle under the eyes: the rest position of the gaze."""
FURTHEST_M = 3.0


@dataclass(frozen=True, slots=True)
class PanelPlace:
    """Where it hangs."""

    pose: Pose
    """Of its middle; it faces along +z."""
    size: tuple[float, float] = SIZE_M

    @classmethod
    def beside(cls, head: Pose) -> "PanelPlace":
        """At arm's length of a wearer, turned to them."""
        yaw = head.yaw_rad + ASIDE_RAD
        ahead = Pose.turned((0, 0, 0), yaw).forward
        place = np.array(head.position) + AWAY_M * ahead - (0.0, BELOW_M, 0.0)
        pitch = -math.atan2(BELOW_M, AWAY_M)  # leans back, to face the eyes
        return cls(Pose.turned(place, yaw, pitch))

    def pointed_at(self, aim: Pose) -> tuple[float, float] | None:
        """Where a ray meets it, 0..1 from its top left; None where it does not, or from behind."""
        board_from_room = np.linalg.inv(self.pose.matrix())
        start = board_from_room[:3, :3] @ aim.position + board_from_room[:3, 3]
        along = board_from_room[:3, :3] @ aim.forward
        if start[2] <= 0 or along[2] >= -1e-6:
            return None
        reach = -start[2] / along[2]
        if reach > FURTHEST_M:
            return None
        across, up = start[0] + reach * along[0], start[1] + reach * along[1]
        right, down = across / self.size[0] + 0.5, 0.5 - up / self.size[1]
        if not (0 <= right <= 1 and 0 <= down <= 1):
            return None
        return float(right), float(down)

    def point(self, place: tuple[float, float]) -> np.ndarray:
        """[3] in the room: the way back of `pointed_at`."""
        across = (place[0] - 0.5) * self.size[0]
        up = (0.5 - place[1]) * self.size[1]
        return (self.pose.matrix() @ (across, up, 0.0, 1.0))[:3]
