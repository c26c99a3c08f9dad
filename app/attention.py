"""The avatar looks at the wearer: eyes first, the head a little later, and away at times.

Angles are the avatar's own: yaw + to its left, pitch + up, radians.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.mutual_gaze import HELD_S
from avatar.types import MotionFrame

EYE_LIMIT_RAD = math.radians(25.0)
"""Of the eyes against the head: people turn the head rather than go further."""
HEAD_LIMIT_RAD = math.radians(40.0)
HEAD_SHARE = 0.7
"""How much of a look the head makes in the end; the eyes make up for the rest."""
HEAD_REST_RAD = math.radians(6.0)
"""A look so near does not move the head at all."""
HEAD_PITCH_LIMIT_RAD = math.radians(25.0)
EYE_S, HEAD_S = 0.035, 0.32
"""Time constants: a saccade is over within a tenth of a second, the head begins when it is done."""
NECK = np.array([0.0, -0.11, -0.09])
"""What the head turns about, avatar space, near enough for where the eyes get to."""
CONTACT_S, AWAY_S = (4.0, 9.0), (0.6, 1.5)
"""How long it looks at the wearer, and aside: listeners look 3 to 10 s at a time (Argyle & Cook
1976)."""
AWAY_RAD = (math.radians(7.0), math.radians(16.0))
LOST_RAD = math.radians(110.0)
"""A wearer further round than this is behind it; it looks ahead again."""


class Attention:
    """Where one avatar looks. Called with the moment of each frame, in order."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._at_s: float | None = None
        self._head = np.zeros(2)
        self._head_speed = np.zeros(2)
        self._target = np.zeros(2)  # of the eyes, against the shoulders, without looks aside
        self._aside = np.zeros(2)
        self._looks_aside = False
        self._until_s: float | None = None
        self._was_met = False

    def followed(
        self,
        motion: MotionFrame,
        viewer: NDArray[np.float64],
        at_s: float,
        *,
        is_met: bool = False,
    ) -> MotionFrame:
        """`motion` with gaze and head towards `viewer` [3], avatar space. What the motion does
        besides stays: its own small movements, and a gaze asked for counts from the viewer.
        `is_met`: the viewer is known to look into the avatar's eyes (`app.mutual_gaze`)."""
        seconds = 0.0 if self._at_s is None else min(max(at_s - self._at_s, 0.0), 0.1)
        self._at_s = at_s
        if self._until_s is None:
            self._until_s = at_s + self._random.uniform(*CONTACT_S)
        wanted = angles(viewer)
        if abs(wanted[0]) > LOST_RAD:
            wanted = np.zeros(2)
        self._turn_head(wanted, seconds)
        self._meet(is_met, at_s)
        self._look_about(at_s)
        before = _rotation(motion.head_rotation.astype(np.float64))
        head = before @ _toward(self._head)
        eyes = NECK + head @ -NECK + motion.head_translation
        contact = angles(viewer - eyes) if wanted.any() else wanted
        share = 1 - math.exp(-seconds / EYE_S)
        goal = contact + self._aside
        self._target += share * (goal - self._target)
        # What the motion's gaze says beyond making up for the motion's own turn of the head.
        own = motion.gaze + _turn_of(before)
        gaze = np.clip(_in_head(self._target, head) + own, -EYE_LIMIT_RAD, EYE_LIMIT_RAD)
        return replace(
            motion,
            gaze=gaze.astype(np.float32),
            head_rotation=_axis_angle(head).astype(np.float32),
        )

    @property
    def head_rad(self) -> tuple[float, float]:
        """Yaw and pitch that the head makes towards the viewer."""
        return float(self._head[0]), float(self._head[1])

    def _turn_head(self, wanted: NDArray[np.float64], seconds: float) -> None:
        """Critically damped towards its share of the look; all that the eyes cannot make."""
        size = float(np.hypot(*wanted))
        share = HEAD_SHARE * max(size - HEAD_REST_RAD, 0.0) / max(size, 1e-9)
        goal = share * wanted
        short = np.abs(wanted) - EYE_LIMIT_RAD
        goal = np.where(np.abs(goal) < short, np.copysign(short, wanted), goal)
        limits = np.array([HEAD_LIMIT_RAD, HEAD_PITCH_LIMIT_RAD])
        goal = np.clip(goal, -limits, limits)
        stiffness = 1 / (HEAD_S / 2)
        # The closed form, so that it behaves alike at any frame rate.
        away, decay = self._head - goal, math.exp(-stiffness * seconds)
        speed = self._head_speed + stiffness * away
        self._head = goal + (away + speed * seconds) * decay
        self._head_speed = (self._head_speed - stiffness * speed * seconds) * decay
        self._head = np.clip(self._head, -limits, limits)

    def _meet(self, is_met: bool, at_s: float) -> None:
        """Look back at who has just looked into these eyes, as long as it is comfortable."""
        began, self._was_met = is_met and not self._was_met, is_met
        if began:
            self._looks_aside, self._aside = False, np.zeros(2)
            self._until_s = at_s + self._random.uniform(*HELD_S)

    def _look_about(self, at_s: float) -> None:
        assert self._until_s is not None
        if at_s < self._until_s:
            return
        self._looks_aside = not self._looks_aside
        spans = AWAY_S if self._looks_aside else CONTACT_S
        self._until_s = at_s + self._random.uniform(*spans)
        self._aside = np.zeros(2)
        if self._looks_aside:
            across = self._random.uniform(*AWAY_RAD) * self._random.choice([-1.0, 1.0])
            self._aside = np.array([across, self._random.uniform(-0.5, 0.15) * abs(across)])


def angles(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2] yaw and pitch of a direction [3], avatar space, ahead is +z."""
    x, y, z = direction.tolist()
    return np.array([math.atan2(x, z), math.atan2(y, math.hypot(x, z))])


def _toward(look: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] turns ahead to yaw and pitch, without roll."""
    yaw, pitch = look.tolist()
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return about_y @ about_x


def _in_head(look: NDArray[np.float64], head: NDArray[np.float64]) -> NDArray[np.float64]:
    """Yaw and pitch against the head of a look against the shoulders."""
    return angles(head.T @ _toward(look)[:, 2])


def _turn_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Yaw and pitch of where a turned head faces."""
    return angles(rotation[:, 2])


def _rotation(axis_angle: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = (axis_angle / angle).tolist()
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _axis_angle(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    cosine = min(max((float(np.trace(rotation)) - 1) / 2, -1.0), 1.0)
    angle = math.acos(cosine)
    if angle < 1e-9:
        return np.zeros(3)
    axis = np.array(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    return axis * angle / (2 * math.sin(angle))  # a head never turns half around
