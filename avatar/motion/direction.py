"""What a person may ask of the face besides its words: mood, where it looks, how near it comes."""

from dataclasses import dataclass, field

import numpy as np

from avatar.types import Float

EMOTION_NAMES: tuple[str, ...] = (
    "anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise",
)  # fmt: skip
"""The emotions of VASA-1's offset, in the order of `Direction.emotion`."""

GAZE_LIMIT_RAD = 0.45
"""Furthest main gaze direction either way: about 25 degrees, as far as people turn their eyes in
company before they turn the head."""
DISTANCE_LIMIT_M = 0.06
"""Furthest that the head comes nearer or draws back."""
STILLNESS_MOST = 1.5


def no_emotion() -> Float:
    """[8] zeros: a neutral face."""
    return np.zeros(len(EMOTION_NAMES), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """What is asked of the face from now on. The lips follow the voice whatever is asked."""

    emotion: Float = field(default_factory=no_emotion)
    """[8] intensities 0..1 in the order of `EMOTION_NAMES`; neutral's own entry says nothing."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Yaw (+ = the avatar's left) and pitch (+ = up) of the main gaze direction, rad; (0, 0) is a
    viewer straight ahead."""
    distance: float = 0.0
    """m that the head comes nearer to the viewer; negative draws back."""
    stillness: float = 1.0
    """Scales the motion of head and brows: 0 holds them still, 1 is as generated, at most 1.5."""
