"""Landmarks in, motion out, frame by frame: what a camera needs, and what a film begins with.

What one frame shows (`Seen`) and what the person's face means by it (`Rest`) are kept apart: a
film is measured once and then read with the rest found over its whole length, a camera reads with
the rest of its first moments.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array
from avatar.tracking.eyes import (
    EyesSeen,
    gaze_angles,
    gaze_direction,
    lid_weights,
    look_weights,
    see_eyes,
)
from avatar.tracking.face_model import INNER_LIP_PAIRS, SOLVED, FaceModel
from avatar.tracking.smooth import OneEuro, Smoothing
from avatar.tracking.solve import FrameSolver, Lens, Posed
from avatar.types import ARKIT_NAMES, Float, MotionFrame

HOLD_S = 0.25
"""A face that is lost stays as it was for so long: a hand that passes, a fast turn."""
EASE_S = 0.5
"""Then it comes to rest within this time."""
RETURN_S = 0.2
"""A face that is back after that takes so long to move again as it is seen."""
JUMP = 0.7
"""A face that moves by more eye distances between frames is another shot: nothing is carried on."""
FURTHEST_M = 0.04
"""The head goes no further from its shoulders; a person who leans or walks would stretch them."""
FURTHEST_TURN_RAD = float(np.radians(50.0))
LIPS_SHUT, LIPS_APART = 0.006, 0.018
"""Gap of the lips, as a share of the eye distance, at which they are surely shut, and surely not.
FaceMesh gives .0005 to .004 for shut lips."""
_SEAL = {
    "mouthShrugLower": 0.1,
    "mouthPressLeft": 0.12,
    "mouthPressRight": 0.12,
    "mouthRollLower": 0.18,
    "mouthRollUpper": 0.15,
}
"""What shut lips do beside meeting, so that they meet on every face: as in the spoken p, b, m
(`avatar.motion.codec`). Faces made from a smile have lips that stand apart at rest."""
_LATENT = np.zeros(0, np.float32)
"""A tracked face has no motion latent: nothing generated it."""

EXPRESSION_SMOOTHING = Smoothing(still_hz=2.5, per_speed=6.0)
ROTATION_SMOOTHING = Smoothing(still_hz=0.8, per_speed=12.0)
"""Radians: a turn of 30 degrees a second is let through at 7 Hz."""
TRANSLATION_SMOOTHING = Smoothing(
    still_hz=np.array([0.8, 0.8, 0.3]), per_speed=np.array([60.0, 60.0, 12.0])
)
"""Metres. How far the face is shows in its size alone, where 1 % of noise is 14 mm."""
GAZE_SMOOTHING = Smoothing(still_hz=1.2, per_speed=8.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What one frame shows, before it is related to the person's rest."""

    posed: Posed
    eyes: EyesSeen
    lip_gap: float
    """Between the inner lips, as a share of the eye distance."""
    error: float
    """Mean miss of the landmarks by the fitted face, as a share of the eye distance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rest:
    """What counts as nothing: this person's open eyes, and how they hold their head."""

    rotation: Array
    """[3, 3] avatar space -> camera space of the head at rest."""
    translation: Array
    """[3] metres."""
    open_m: Array
    """[2] between the lids, left, right."""
    gaze_offset: Array
    """[2] radians, what the gaze reads when it rests on the camera."""

    @classmethod
    def of(cls, seen: Seen) -> "Rest":
        """As in one frame, in which the person looks into the camera."""
        rest = cls(
            rotation=seen.posed.rotation,
            translation=seen.posed.translation,
            open_m=seen.eyes.opening_m,
            gaze_offset=np.zeros(2),
        )
        towards = gaze_angles(rest.rotation @ gaze_direction(seen.eyes.gaze))
        return cls(
            rotation=rest.rotation,
            translation=rest.translation,
            open_m=rest.open_m,
            gaze_offset=towards,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Channels:
    """A frame as numbers that may be filtered, before it becomes a `MotionFrame`."""

    expression: Array
    """[52]; blinks stand in their places."""
    gaze: Array
    """[2] radians."""
    rotation: Array
    """[3] axis-angle of the head against its rest, radians."""
    translation: Array
    """[3] metres, at the neck joint."""


class FaceTracker:
    """One person before one camera. `see` once a frame, in order; `read` makes it motion."""

    def __init__(self, model: FaceModel, lens: Lens) -> None:
        self.model, self.lens = model, lens
        self._solver = FrameSolver(model, lens)
        self._before: Posed | None = None
        self._middle: Array | None = None

    def reset(self) -> None:
        """Forget the frame before."""
        self._before = self._middle = None

    def see(self, landmarks: Float) -> Seen:
        """Measure the next frame's [478, 3] landmarks, pixels."""
        middle = landmarks[:468, :2].mean(0)
        if self._middle is not None and (
            np.linalg.norm(middle - self._middle) > JUMP * _eye_distance(landmarks)
        ):
            self.reset()
        self._middle = middle
        before = self._before
        posed = self._solver.solve(landmarks, before, before.weights if before else None)
        self._before = posed
        return self._measured(landmarks, posed)

    def see_again(self, landmarks: Float, first: Seen, expected: Array) -> Seen:
        """Measure a frame more exactly, from what was `first` seen in it; in any order.

        `expected` [E]: the weights that the frames around it speak for.
        """
        return self._measured(landmarks, self._solver.solve(landmarks, first.posed, expected))

    def _measured(self, landmarks: Float, posed: Posed) -> Seen:
        eye_px = _eye_distance(landmarks)
        miss = np.linalg.norm(self._solver.error(landmarks, posed), axis=1)
        gaps = [
            np.linalg.norm(landmarks[up, :2] - landmarks[low, :2])
            for up, low in INNER_LIP_PAIRS[:3]
        ]
        return Seen(
            posed=posed,
            eyes=see_eyes(self.model, self.lens, landmarks, posed),
            lip_gap=float(np.mean(gaps)) / eye_px,
            error=float(miss.mean()) / eye_px,
        )

    def read(self, seen: Seen, rest: Rest) -> Channels:
        """What the person does in a frame, against how they are at rest."""
        turned = rest.rotation.T @ seen.posed.rotation
        joint = self.model.neck_joint
        moved = rest.rotation.T @ (seen.posed.translation - rest.translation)
        # The head's rest pose is taken away, so the gaze gets it back: eyes that look into the
        # camera from a head held askew look at the viewer from the avatar's straight one.
        towards = rest.rotation @ turned @ gaze_direction(seen.eyes.gaze)
        angles = gaze_angles(towards) - rest.gaze_offset
        gaze = gaze_angles(turned.T @ gaze_direction(angles))
        expression = np.zeros(len(ARKIT_NAMES))
        expression[list(SOLVED)] = seen.posed.weights
        blink, wide = lid_weights(self.model.lids, seen.eyes, rest.open_m, float(gaze[1]))
        expression[[_BLINK_LEFT, _BLINK_RIGHT]] = blink
        expression[[_WIDE_LEFT, _WIDE_RIGHT]] = wide
        sealed = (LIPS_APART - seen.lip_gap) / (LIPS_APART - LIPS_SHUT)
        for name, weight in _SEAL.items():
            expression[ARKIT_NAMES.index(name)] += weight * float(np.clip(sealed, 0, 1))
        return Channels(
            expression=np.clip(expression, 0, 1),
            gaze=np.clip(gaze, -0.6, 0.6),
            rotation=Rotation.from_matrix(turned).as_rotvec(),
            translation=moved + turned @ joint - joint,
        )


def _eye_distance(landmarks: Float) -> float:
    """Pixels between the outer corners, never 0."""
    return max(float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2])), 1e-3)


_BLINK_LEFT, _BLINK_RIGHT = ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")
_WIDE_LEFT, _WIDE_RIGHT = ARKIT_NAMES.index("eyeWideLeft"), ARKIT_NAMES.index("eyeWideRight")
LIDS = [_BLINK_LEFT, _BLINK_RIGHT, _WIDE_LEFT, _WIDE_RIGHT]


def motion_frame(channels: Channels, index: int, time_s: float) -> MotionFrame:
    """The frame that an avatar is given: limits kept, eyeLook weights added."""
    expression = channels.expression.copy()
    for name, weight in look_weights(channels.gaze).items():
        expression[ARKIT_NAMES.index(name)] = weight
    return MotionFrame(
        index=index,
        time_s=time_s,
        latent=_LATENT,
        expression=np.clip(expression, 0, 1).astype(np.float32),
        gaze=channels.gaze.astype(np.float32),
        head_rotation=limited(channels.rotation, FURTHEST_TURN_RAD).astype(np.float32),
        head_translation=limited(channels.translation, FURTHEST_M).astype(np.float32),
    )


def limited(vector: Array, most: float) -> Array:
    """The vector, bent smoothly so that it is never longer than `most`; short ones stay."""
    length = float(np.linalg.norm(vector))
    free = 0.6 * most
    if length <= free:
        return vector
    return vector * ((free + (most - free) * np.tanh((length - free) / (most - free))) / length)


AT_REST = Channels(
    expression=np.zeros(len(ARKIT_NAMES)),
    gaze=np.zeros(2),
    rotation=np.zeros(3),
    translation=np.zeros(3),
)


def eased(channels: Channels, absent_s: float) -> Channels:
    """The last seen frame after the face was lost: held, then brought to rest."""
    way = float(np.clip((absent_s - HOLD_S) / EASE_S, 0, 1))
    left = 1 - way * way * (3 - 2 * way)
    return Channels(
        expression=left * channels.expression,
        gaze=left * channels.gaze,
        rotation=left * channels.rotation,
        translation=left * channels.translation,
    )


class LiveTracker:
    """The causal way: one frame of landmarks in, one `MotionFrame` out, all memory in here.

    The rest is that of the first frame, unless one is given.
    """

    def __init__(self, model: FaceModel, lens: Lens, rest: Rest | None = None) -> None:
        self._tracker = FaceTracker(model, lens)
        self._rest = rest
        self._filters = (
            OneEuro(EXPRESSION_SMOOTHING),
            OneEuro(GAZE_SMOOTHING),
            OneEuro(ROTATION_SMOOTHING),
            OneEuro(TRANSLATION_SMOOTHING),
        )
        self._last, self._last_s = AT_REST, 0.0
        self._seen_s: float | None = None
        self._index = 0
        self.lost = 0
        """Frames without a face so far."""

    def step(self, landmarks: Float | None, time_s: float) -> MotionFrame:
        """The face at `time_s`; `landmarks` [478, 3] pixels, None where no face was found."""
        index = self._index
        self._index += 1
        if landmarks is None:
            self.lost += 1
            self._tracker.reset()
            for some in self._filters:
                some.reset()
            absent_s = time_s - self._seen_s if self._seen_s is not None else np.inf
            return motion_frame(eased(self._last, absent_s), index, time_s)
        seen = self._tracker.see(landmarks)
        if self._rest is None:
            self._rest = Rest.of(seen)
        raw = self._tracker.read(seen, self._rest)
        step_s = time_s - self._last_s
        expression, gaze, rotation, translation = (
            some.step(value, step_s)
            for some, value in zip(
                self._filters,
                (raw.expression, raw.gaze, raw.rotation, raw.translation),
                strict=True,
            )
        )
        self._last = Channels(
            expression=expression, gaze=gaze, rotation=rotation, translation=translation
        )
        self._last_s = self._seen_s = time_s
        return motion_frame(self._last, index, time_s)
