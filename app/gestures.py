"""What is laid over the face at once, without asking the generator: a blink, and eyes that go to
somebody."""

import math
from dataclasses import replace

import numpy as np

from avatar.motion.direction import GAZE_LIMIT_RAD
from avatar.types import ARKIT_NAMES, MotionFrame

CLOSING_S, SHUT_S, OPENING_S = 0.08, 0.05, 0.16
"""Of a blink that is meant: lids close about twice as fast as they open."""
_BLINK = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
SCREEN_M = 0.6
"""How far before the face the window's plane lies, for eyes that follow the cursor."""


def lids_shut(since_s: float) -> float:
    """0..1 how far a blink that began so long ago has shut the lids."""
    if not 0.0 <= since_s < CLOSING_S + SHUT_S + OPENING_S:
        return 0.0
    if since_s < CLOSING_S:
        return math.sin(0.5 * math.pi * since_s / CLOSING_S)
    if since_s < CLOSING_S + SHUT_S:
        return 1.0
    way = (since_s - CLOSING_S - SHUT_S) / OPENING_S
    return 0.5 + 0.5 * math.cos(math.pi * way)


def blinking(motion: MotionFrame, since_s: float) -> MotionFrame:
    """The same face in a blink that began so long ago."""
    shut = lids_shut(since_s)
    if shut <= 0.0:
        return motion
    expression = motion.expression.copy()
    expression[_BLINK] = np.maximum(expression[_BLINK], np.float32(shut))
    return replace(motion, expression=expression)


def gaze_to_camera(yaw_rad: float, pitch_rad: float) -> tuple[float, float]:
    """Gaze that meets a camera which stands there: yaw and pitch, rad, as far as eyes go."""
    return _within(yaw_rad), _within(pitch_rad)


def gaze_to_point(
    right: float, up: float, distance_m: float, field_of_view_rad: float
) -> tuple[float, float]:
    """Gaze that meets a point of the picture, for a camera before the face.

    `right` and `up`: from the picture's middle, of half its height. `distance_m` and
    `field_of_view_rad` (of its height): the camera's.
    """
    half_m = distance_m * math.tan(field_of_view_rad / 2)
    return (
        _within(math.atan2(right * half_m, SCREEN_M)),
        _within(math.atan2(up * half_m, SCREEN_M)),
    )


def _within(angle_rad: float) -> float:
    return min(max(angle_rad, -GAZE_LIMIT_RAD), GAZE_LIMIT_RAD)
