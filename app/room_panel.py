"""The panel as a board in the wearer's room: where it hangs, and where a hand points on it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render.headset import Hand
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
PRESSED, RELEASED = 0.55, 0.35
"""A trigger or pinch clicks above the first and lets go below the second."""


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

    def point(self, place: tuple[float, float]) -> NDArray[np.float64]:
        """[3] in the room: the way back of `pointed_at`."""
        across = (place[0] - 0.5) * self.size[0]
        up = (0.5 - place[1]) * self.size[1]
        return (self.pose.matrix() @ (across, up, 0.0, 1.0))[:3]


@dataclass(frozen=True, slots=True)
class Pointed:
    """Which hand means the panel, and what it does there."""

    side: int
    place: tuple[float, float] | None
    """0..1 from the top left; None beside it."""
    is_pressed: bool = False
    began: bool = False
    """Pressed just now."""
    scroll: float = 0.0
    """Steps of a wheel, + is up."""


class Pointer:
    """One pointer of two hands: the last one that pulled its trigger there, or that alone points
    there. Who drags a slider keeps it, beyond the edge too."""

    SCROLL = 0.25
    """Steps in a frame with the stick all the way."""

    def __init__(self) -> None:
        self._side = 1
        self._is_pressed = False
        self._pulled = [True, True]  # a trigger that was pulled before it came here clicks nothing

    def update(self, panel: PanelPlace, hands: tuple[Hand, Hand]) -> Pointed:
        """What the hands of this frame say."""
        places = [panel.pointed_at(hand.aim) if hand.is_tracked else None for hand in hands]
        began = [False, False]
        for side, hand in enumerate(hands):
            limit = RELEASED if self._pulled[side] else PRESSED
            pulls = hand.is_tracked and hand.select > limit
            began[side] = pulls and not self._pulled[side] and places[side] is not None
            self._pulled[side] = pulls
        if not self._is_pressed:
            clicking = [side for side in (1, 0) if began[side]]
            pointing = [side for side in (self._side, 1 - self._side) if places[side] is not None]
            self._side = (*clicking, *pointing, self._side)[0]
        side = self._side
        self._is_pressed = self._pulled[side] and (self._is_pressed or began[side])
        scroll = self.SCROLL * hands[side].stick[1] if places[side] is not None else 0.0
        return Pointed(side, places[side], self._is_pressed, began[side], scroll)
