"""Where the avatar stands in the wearer's room, and how hands move it. No OpenXR here."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.room_panel import PanelPlace
from render.headset import Hand
from render.pose import Matrix, Pose

DISTANCE_M = 1.0
"""Where people stand who talk with each other: the near end of Hall's social distance, 1.2 m, and
the far end of the personal one, .76 m (Hall 1966)."""
NEAREST_M, FURTHEST_M = 0.35, 4.0
"""From the wearer's eyes, along the floor."""
LOWEST_M, HIGHEST_M = 0.2, 2.6
"""Of the avatar's eyes over the floor."""
LEAST_SCALE, MOST_SCALE = 0.25, 2.0
HELD, LET_GO = 0.6, 0.4
"""A trigger or grip counts as pulled from the first, as let go from the second: no trembling."""
STICK_REST = 0.25
TURN_RATE, NEAR_RATE = math.radians(90.0), 0.8
"""rad/s and m/s with the stick all the way."""
LONG_PRESS_S = 0.8
REACH_M = 0.22
"""Around the middle of the avatar's head, life-size: a ray that comes so near points at it."""
HEAD_MIDDLE = np.array([0.0, -0.03, -0.07])
"""Of the avatar's head, avatar space."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The avatar's place: the point between its eyes, where it faces, and its size."""

    position: tuple[float, float, float]
    """In the room, metres."""
    yaw_rad: float = 0.0
    """0 faces along +z; + turns to its own left (about +y)."""
    scale: float = 1.0

    def room_from_avatar(self) -> Matrix:
        """[4, 4] with the scale in it."""
        matrix = Pose.turned(self.position, self.yaw_rad).matrix()
        matrix[:3, :3] *= self.scale
        return matrix

    def avatar_from_eye(self, room_from_eye: Matrix) -> Matrix:
        """[4, 4] rigid pose of an eye in avatar space, whose metres are `scale` of the room's: a
        pinhole sees the same of a small thing near by and of a large one far off."""
        upright = Pose.turned((0, 0, 0), self.yaw_rad).matrix()[:3, :3]
        pose = np.eye(4)
        pose[:3, :3] = upright.T @ room_from_eye[:3, :3]
        pose[:3, 3] = upright.T @ (room_from_eye[:3, 3] - self.position) / self.scale
        return pose

    def in_avatar(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """[3] a point of the room in avatar space."""
        upright = Pose.turned((0, 0, 0), self.yaw_rad).matrix()[:3, :3]
        return upright.T @ (point - self.position) / self.scale


@dataclass(frozen=True, slots=True)
class Relation:
    """A placement as seen from the wearer: what is worth remembering, as rooms change."""

    ahead_m: float = DISTANCE_M
    right_m: float = 0.0
    up_m: float = 0.0
    """Of the avatar's eyes over the wearer's."""
    turn_rad: float = 0.0
    """How far it is turned away from the wearer's own direction."""
    scale: float = 1.0

    def placed(self, head: Pose) -> Placement:
        """Before a wearer whose head is there; pitch and roll of the head do not count."""
        yaw = head.yaw_rad
        right, _, back = Pose.turned((0, 0, 0), yaw).matrix()[:3, :3].T
        place = np.array(head.position) + self.right_m * right - self.ahead_m * back
        x, y, z = place.tolist()
        height = min(max(y + self.up_m, LOWEST_M), HIGHEST_M)
        return Placement((x, height, z), _wrapped(yaw + self.turn_rad), self.scale)

    @classmethod
    def of(cls, placement: Placement, head: Pose) -> "Relation":
        """The way back of `placed`."""
        right, _, back = Pose.turned((0, 0, 0), head.yaw_rad).matrix()[:3, :3].T
        away = np.array(placement.position) - head.position
        return cls(
            ahead_m=float(-away @ back),
            right_m=float(away @ right),
            up_m=float(away[1]),
            turn_rad=_wrapped(placement.yaw_rad - head.yaw_rad),
            scale=placement.scale,
        )


@dataclass(slots=True)
class Handled:
    """What the hands did in one frame."""

    placement: Placement
    changed: bool = False
    """Whether a movement has just come to its end: worth remembering."""
    ticks: tuple[int, ...] = ()
    """Hands that are to feel a tick."""
    toggle_panel: bool = False
    talking: bool = False


class _Press:
    """A button that means one thing when pressed shortly and another when held."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._was_long = False

    def update(self, down: bool, now_s: float) -> tuple[bool, bool, bool]:
        """Whether it was pressed just now, let go after a short press, and held long just now."""
        pressed = down and self._since_s is None
        short = not down and self._since_s is not None and not self._was_long
        long = False
        if pressed:
            self._since_s, self._was_long = now_s, False
        elif down and not self._was_long and self._since_s is not None:
            long = self._was_long = now_s - self._since_s >= LONG_PRESS_S
        elif not down:
            self._since_s = None
        return pressed, short, long


class Handling:
    """Grabs, sticks and buttons of both hands, frame by frame."""

    def __init__(self) -> None:
        self._holding = [False, False]
        self._pulled = [False, False]
        self._last: list[Hand | None] = [None, None]
        self._panel, self._recenter = _Press(), _Press()
        self._was_moving = False

    @property
    def holding(self) -> tuple[bool, bool]:
        """Which hands hold the avatar."""
        return self._holding[0], self._holding[1]

    def update(
        self,
        placement: Placement,
        hands: tuple[Hand, Hand],
        head: Pose,
        panel: PanelPlace | None,
        now_s: float,
        seconds: float,
        busy: tuple[bool, bool] = (False, False),
    ) -> Handled:
        """`seconds` since the last frame; `panel` where it is shown: a hand that points at it does
        not grab with its trigger. `busy`: hands that hold the panel."""
        ticks = []
        for side, hand in enumerate(hands):
            if busy[side]:
                self._holding[side] = False
            elif self._grips(side, hand, placement, panel):
                ticks.append(side)
        placed = self._dragged(placement, hands)
        placed = self._pushed(placed, hands, head, panel, seconds)
        pressed, _, long = self._recenter.update(any(hand.recenter for hand in hands), now_s)
        _, short, panel_long = self._panel.update(any(hand.panel for hand in hands), now_s)
        if pressed or panel_long:
            placed = Relation(scale=placed.scale).placed(head)
        if long:
            placed = Relation().placed(head)
        if pressed or long or panel_long or short:
            ticks += [side for side, hand in enumerate(hands) if hand.is_tracked]
        placed = limited(placed, head)
        moving = any(self._holding) or placed != placement
        changed, self._was_moving = self._was_moving and not moving, moving
        self._last = [hand if hand.is_tracked else None for hand in hands]
        return Handled(
            placement=placed,
            changed=changed,
            ticks=tuple(sorted(set(ticks))),
            toggle_panel=short,
            talking=any(hand.talk for hand in hands),
        )

    def _grips(self, side: int, hand: Hand, placement: Placement, panel: PanelPlace | None) -> bool:
        """Take hold or let go; whether the hand has just taken hold."""
        if not hand.is_tracked:
            self._holding[side] = self._pulled[side] = False
            return False
        limit = LET_GO if self._pulled[side] else HELD
        pulls = hand.select > limit
        began, self._pulled[side] = pulls and not self._pulled[side], pulls
        if self._holding[side]:
            self._holding[side] = max(hand.squeeze, hand.select) > LET_GO
            return False
        squeezes = hand.squeeze > HELD
        # A second pinch anywhere joins in: two hands that scale need not both aim.
        other_holds = self._holding[1 - side]
        at_panel = panel is not None and panel.pointed_at(hand.aim) is not None
        takes = began and not at_panel and (other_holds or points_at(hand, placement))
        self._holding[side] = squeezes or takes
        return self._holding[side]

    def _dragged(self, placement: Placement, hands: tuple[Hand, Hand]) -> Placement:
        held = [
            (np.array(last.grip.position), np.array(hand.grip.position), last, hand)
            for last, hand, holds in zip(self._last, hands, self._holding, strict=True)
            if holds and last is not None
        ]
        if len(held) == 1:
            before, now, last, hand = held[0]
            turn = _wrapped(hand.grip.yaw_rad - last.grip.yaw_rad)
            return _moved(placement, now - before, turn, 1.0)
        if len(held) == 2:
            (left_before, left, _, _), (right_before, right, _, _) = held
            span_before, span = right_before - left_before, right - left
            turn = _wrapped(_heading(span) - _heading(span_before))
            factor = float(np.linalg.norm(span)) / max(float(np.linalg.norm(span_before)), 0.02)
            shift = (left + right - left_before - right_before) / 2
            return _moved(placement, shift, turn, factor)
        return placement

    def _pushed(
        self,
        placement: Placement,
        hands: tuple[Hand, Hand],
        head: Pose,
        panel: PanelPlace | None,
        seconds: float,
    ) -> Placement:
        for hand in hands:
            if not hand.is_tracked or (panel is not None and panel.pointed_at(hand.aim)):
                continue  # its stick turns the panel's pages
            right, forward = (_beyond_rest(part) for part in hand.stick)
            if not right and not forward:
                continue
            away = np.array(placement.position) - head.position
            away[1] = 0.0
            along = away / max(float(np.linalg.norm(away)), 1e-6)
            # Pushed forward it goes away, as what one pushes does.
            shift = forward * NEAR_RATE * seconds * along
            placement = _moved(placement, shift, right * TURN_RATE * seconds, 1.0)
        return placement


def points_at(hand: Hand, placement: Placement) -> bool:
    """Whether a hand's ray, or the hand itself, touches the avatar's head."""
    middle = np.array(placement.position) + placement.scale * (
        Pose.turned((0, 0, 0), placement.yaw_rad).matrix()[:3, :3] @ HEAD_MIDDLE
    )
    reach = REACH_M * placement.scale
    if np.linalg.norm(middle - hand.grip.position) < reach:
        return True
    away, along = middle - hand.aim.position, hand.aim.forward
    ahead = float(away @ along)
    return ahead > 0 and float(np.linalg.norm(away - ahead * along)) < reach


def limited(placement: Placement, head: Pose) -> Placement:
    """The nearest placement that a wearer can have before them."""
    away = np.array(placement.position) - head.position
    flat = math.hypot(away[0], away[2])
    kept = min(max(flat, NEAREST_M), FURTHEST_M)
    if kept == flat:
        x, z = placement.position[0], placement.position[2]
    else:
        toward = head.forward if flat < 1e-6 else away
        factor = kept / max(math.hypot(toward[0], toward[2]), 1e-6)
        x, z = head.position[0] + factor * toward[0], head.position[2] + factor * toward[2]
    height = min(max(placement.position[1], LOWEST_M), HIGHEST_M)
    scale = min(max(placement.scale, LEAST_SCALE), MOST_SCALE)
    return replace(placement, position=(float(x), height, float(z)), scale=scale)


def _moved(
    placement: Placement, shift: NDArray[np.float64], turn_rad: float, factor: float
) -> Placement:
    x, y, z = (np.array(placement.position) + shift).tolist()
    scale = min(max(placement.scale * factor, LEAST_SCALE), MOST_SCALE)
    return Placement((x, y, z), _wrapped(placement.yaw_rad + turn_rad), scale)


def _heading(span: NDArray[np.float64]) -> float:
    """Turn of a line along the floor, about +y."""
    return math.atan2(-span[2], span[0])


def _beyond_rest(stick: float) -> float:
    beyond = max(abs(stick) - STICK_REST, 0.0) / (1 - STICK_REST)
    return math.copysign(min(beyond, 1.0), stick)


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
