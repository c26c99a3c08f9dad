"""From where an avatar that learns from frames is looked at, and which Gaussians are seen there."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from avatar.deform import Deformer
from avatar.fit.asked_motion import teaching_motion
from avatar.fit.rasteriser import Lens, Rasteriser
from avatar.fit.teacher import TeacherFrame
from avatar.types import ARKIT_NAMES, Float, MotionFrame

_FRAMES = 12
_TURNS, _TILTS = 12, (0.0, 50.0, -50.0)
"""Views around the head, and degrees from above."""
_ASIDE = (-0.7, 0.0, 0.7)
"""Radians, of views before the face."""
_OPENED = (
    ("jawOpen", "eyeWide"),
    ("jawOpen", "mouthSmile", "mouthStretch", "eyeWide"),
    ("mouthUpperUp", "mouthLowerDown", "mouthSmile"),
    ("jawOpen", "mouthUpperUp", "mouthLowerDown", "eyeWide"),
    ("jawOpen", "tongueOut"),
)
"""How expressions' names begin."""
_LOOKING = ((0.6, 0.0), (-0.6, 0.0), (0.0, 0.4), (0.0, -0.4), (0.0, 0.0))
_MIDDLE = np.array([0, 0, -0.06])
"""Metres: of the head."""


def turned_lens(lens: Lens, turn_rad: float, tilt_rad: float = 0.0) -> Lens:
    """The same camera, carried around the head's vertical axis, then over it."""
    cosine, sine = math.cos(turn_rad), math.sin(turn_rad)
    about_y = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    up, over = math.cos(tilt_rad), math.sin(tilt_rad)
    about_x = np.array([[1, 0, 0], [0, up, -over], [0, over, up]])
    rotation = lens.pose[:, :3] @ about_x @ about_y
    translation = lens.pose[:, 3] + (lens.pose[:, :3] - rotation) @ _MIDDLE
    pose = np.column_stack([rotation, translation]).astype(np.float32)
    return replace(lens, pose=pose)


def seen_in_frames(deformer: Deformer, frames: Sequence[TeacherFrame], side: int) -> Float:
    """[N] pixels' worth of each splat, at most over a dozen of the frames."""
    some = frames[:: max(1, len(frames) // _FRAMES)]
    return _seen(deformer, ((frame.motion, frame.scaled(side).lens) for frame in some))


def seen_from_all_around(deformer: Deformer, frame: TeacherFrame, side: int) -> Float:
    """[N] the same over views from all sides, above and below, and into open mouths and eyes."""
    lens, turns = frame.scaled(side).lens, np.arange(_TURNS) * 2 * math.pi / _TURNS
    around = [(turn, math.radians(tilt)) for tilt in _TILTS for turn in turns]
    before = [(turn, tilt) for turn in _ASIDE for tilt in _ASIDE]
    views = [(teaching_motion(n), turned_lens(lens, *view)) for n, view in enumerate(around)]
    views += [(face, turned_lens(lens, *view)) for face in _opened_wide() for view in before]
    return _seen(deformer, views)


def _opened_wide() -> list[MotionFrame]:
    """Mouth and eyes as far open as they go: what no such face shows is seen by nobody."""
    faces = []
    for names, gaze in zip(_OPENED, _LOOKING, strict=True):
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[[index for index, name in enumerate(ARKIT_NAMES) if name.startswith(names)]] = 1
        look = np.array(gaze, np.float32)
        faces.append(replace(teaching_motion(0), expression=expression, gaze=look))
    return faces


def _seen(deformer: Deformer, views: Iterable[tuple[MotionFrame, Lens]]) -> Float:
    rasteriser, most = Rasteriser(), np.zeros(len(deformer.avatar), np.float32)
    for motion, lens in views:
        colour, _ = rasteriser.draw(deformer.gaussians(motion, seen_from=lens.position), lens)
        most = np.maximum(most, rasteriser.backward(colour, np.ones_like(colour)).colours[:, 0])
    return most
