"""The panel as a board in the wearer's room: where it hangs, where a hand points on it, and how a
hand carries it elsewhere."""

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
GRIPPED, LET_GO = 0.6, 0.4
"""The same of the grip button, which carries the panel."""
NEAREST_HELD_M, FURTHEST_HELD_M = 0.3, 2.0
"""From the wearer's eyes: where a carried panel may go."""
IN_SIGHT_RAD, IN_SIGHT_M = math.radians(40.0), 2.2
"""A panel that is so far off the wearer's own direction, or so far away, is out of sight."""


@dataclass(frozen=True, slots=True)
class PanelPlace:
    """Where it hangs."""

    pose: Pose
    """Of its middle; it faces along +z."""
    size: tuple[float, float] = SIZE_M

    @classmethod
    def beside(cls, head: Pose) -> "PanelPlace":
        """At arm's length of a wearer, turned to them."""
        return PanelRelation().placed(head)

    @classmethod
    def facing(cls, place: NDArray[np.float64], head: Pose) -> "PanelPlace":
        """At `place` [3], upright, turned to the eyes of a wearer."""
        away = place - head.position
        yaw = math.atan2(-away[0], -away[2])
        return cls(Pose.turned(place, yaw, math.atan2(away[1], math.hypot(away[0], away[2]))))

    def is_in_sight(self, head: Pose) -> bool:
        """Whether a wearer has it before them, from its front."""
        away = np.array(self.pose.position) - head.position
        distance = max(float(np.linalg.norm(away)), 1e-9)
        off = math.acos(min(max(float(away @ head.forward) / distance, -1.0), 1.0))
        is_before_it = float(self.pose.matrix()[:3, 2] @ away) < 0
        return off < IN_SIGHT_RAD and distance < IN_SIGHT_M and is_before_it

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
class PanelRelation:
    """A place of the panel as seen from the wearer: what is worth remembering, as rooms change."""

    ahead_m: float = AWAY_M * math.cos(ASIDE_RAD)
    right_m: float = -AWAY_M * math.sin(ASIDE_RAD)
    up_m: float = -BELOW_M
    """Of its middle over the wearer's eyes."""

    def placed(self, head: Pose) -> PanelPlace:
        """Before a wearer whose head is there; pitch and roll of the head do not count."""
        right, _, back = Pose.turned((0, 0, 0), head.yaw_rad).matrix()[:3, :3].T
        place = np.array(head.position) + self.right_m * right - self.ahead_m * back
        place[1] += self.up_m
        return PanelPlace.facing(place, head)

    @classmethod
    def of(cls, panel: PanelPlace, head: Pose) -> "PanelRelation":
        """The way back of `placed`."""
        right, _, back = Pose.turned((0, 0, 0), head.yaw_rad).matrix()[:3, :3].T
        away = np.array(panel.pose.position) - head.position
        return cls(float(-away @ back), float(away @ right), float(away[1]))


def shown_again(last: PanelPlace | None, kept: PanelRelation, head: Pose) -> PanelPlace:
    """Where a panel comes back: where it hung, if the wearer has that in sight; else before them,
    where they like it; else where it usually is."""
    for place in (last, kept.placed(head)):
        if place is not None and place.is_in_sight(head):
            return place
    return PanelPlace.beside(head)


class PanelHold:
    """A hand that grips while it points at the panel carries it, as on the end of its ray; the
    panel goes on facing the wearer."""

    def __init__(self) -> None:
        self._gripped = [True, True]  # a grip from before takes hold of nothing
        self._side: int | None = None
        self._along = np.zeros(3)  # from the hand to the panel's middle, the hand's own axes
        self.dropped = False
        """Whether it was let go in the last frame: worth remembering where."""

    @property
    def holding(self) -> tuple[bool, bool]:
        """Which hand holds the panel."""
        return self._side == 0, self._side == 1

    def update(
        self, panel: PanelPlace, hands: tuple[Hand, Hand], head: Pose, busy: tuple[bool, bool]
    ) -> tuple[PanelPlace, tuple[int, ...]]:
        """Where the panel is now, and the hands that have just taken hold of it. `busy`: hands that
        hold something else."""
        took = None
        self.dropped = False
        for side, hand in enumerate(hands):
            limit = LET_GO if self._gripped[side] else GRIPPED
            grips = hand.is_tracked and hand.squeeze > limit
            began, self._gripped[side] = grips and not self._gripped[side], grips
            if self._side == side and not grips:
                self._side, self.dropped = None, True
            elif began and self._side is None and not busy[side] and panel.pointed_at(hand.aim):
                took = self._side = side
                hand_from_room = np.linalg.inv(hand.aim.matrix())
                self._along = (hand_from_room @ (*panel.pose.position, 1.0))[:3]
        if self._side is None:
            return panel, ()
        place = (hands[self._side].aim.matrix() @ (*self._along, 1.0))[:3]
        away = place - head.position
        distance = max(float(np.linalg.norm(away)), 1e-6)
        kept = min(max(distance, NEAREST_HELD_M), FURTHEST_HELD_M)
        place = head.position + kept / distance * away
        return PanelPlace.facing(place, head), () if took is None else (took,)


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
