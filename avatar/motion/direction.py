"""What a person may ask of the face besides its words: mood, where it looks, how near it comes."""

from dataclasses import dataclass, field
from math import atan2, cos, degrees, hypot, isfinite, radians, sin

import numpy as np

from avatar.types import Float

EMOTION_NAMES: tuple[str, ...] = (
    "anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise",
)  # fmt: skip
"""The emotions of VASA-1's offset, in the order of `Direction.emotion`."""

GAZE_LIMIT_RAD = 0.45
"""Furthest main gaze direction either way: about 25 degrees, as far as people turn their eyes in
company before they turn the head."""
HEAD_LIMIT_RAD = 0.35
"""Furthest that the head is held turned, raised or tilted: about 20 degrees, from where the eyes
still reach a viewer straight ahead with ease."""
DISTANCE_LIMIT_M = 0.06
"""Furthest that the head comes nearer or draws back."""
STILLNESS_MOST = 1.5
LEAST_ARTICULATION, MOST_ARTICULATION = 0.75, 1.25


def no_emotion() -> Float:
    """[8] zeros: a neutral face."""
    return np.zeros(len(EMOTION_NAMES), np.float32)


def wide_eyed(emotion: Float) -> float:
    """0..1 how far an emotion, [8] intensities, opens the eyes."""
    open_eyes = sum(float(emotion[EMOTION_NAMES.index(name)]) for name in ("fear", "surprise"))
    return min(max(open_eyes, 0.0), 1.0)


CIRCUMPLEX_DEGREES: dict[str, float] = {
    "happiness": 8, "surprise": 70, "anger": 99, "fear": 116, "disgust": 141, "contempt": 165,
    "sadness": 208,
}  # fmt: skip
"""Direction of each emotion in the plane of valence (0 degrees) and arousal (90 degrees), after the
circle of Russell 1980 (pleasure 0, excitement 45, arousal 90, distress 135, displeasure 180,
depression 225 degrees). The degrees of single emotions are placed by hand, not taken from a table;
disgust and contempt are not on his circle at all."""
_WIDEST_DEGREES = 70.0
"""An emotion is felt no further than this from its own direction: between happiness and sadness,
below, lies calm, which this face shows as neutral."""


def emotion_of(valence: float, arousal: float) -> Float:
    """[8] weights in the order of `EMOTION_NAMES` for a place in the plane of valence (-1 bad ..
    1 good) and arousal (-1 asleep .. 1 excited).

    The two emotions nearest in direction share the intensity, which is the distance from the
    middle, at most 1; what is left is neutral. Continuous everywhere.

    Raises: ValueError for what is not a finite number.
    """
    if not (isfinite(valence) and isfinite(arousal)):
        raise ValueError(f"valence and arousal: expected numbers -1..1, got {valence}, {arousal}")
    weights = no_emotion()
    intensity = min(hypot(valence, arousal), 1.0)
    angle = degrees(atan2(arousal, valence)) % 360
    around = sorted(CIRCUMPLEX_DEGREES.items(), key=lambda item: item[1])
    for place, (name, own) in enumerate(around):
        # Each for itself, not as the pair between which the angle lies: an angle that is an
        # emotion's own but for its last bit lies between none.
        beyond = (angle - own + 180) % 360 - 180
        near = around[(place + (1 if beyond > 0 else -1)) % len(around)][1]
        reach = min(abs((near - own + 180) % 360 - 180), _WIDEST_DEGREES)
        weights[EMOTION_NAMES.index(name)] = intensity * max(1 - abs(beyond) / reach, 0)
    weights[EMOTION_NAMES.index("neutral")] = 1 - weights.sum()
    return weights


def place_of(emotion: Float) -> tuple[float, float]:
    """Valence and arousal (-1..1) of weights in the order of `EMOTION_NAMES`.

    The way back of `emotion_of` for all that it gives (of the places that mean the same, one of
    them). What it does not give, such as happiness with sadness, lies at the sum of its parts.
    """
    weights = dict(zip(EMOTION_NAMES, np.asarray(emotion, np.float64).tolist(), strict=True))
    felt = {name: weights[name] for name in CIRCUMPLEX_DEGREES if weights[name] > 0}
    around = sorted(CIRCUMPLEX_DEGREES.items(), key=lambda item: item[1])
    for (one, begin), (other, end) in zip(around, [*around[1:], around[0]], strict=True):
        gap = (end - begin) % 360
        if felt and felt.keys() <= {one, other} and gap <= _WIDEST_DEGREES:
            share = felt.get(other, 0.0) / sum(felt.values())
            angle, intensity = radians(begin + gap * share), min(sum(felt.values()), 1.0)
            return intensity * cos(angle), intensity * sin(angle)
    angles = {name: radians(CIRCUMPLEX_DEGREES[name]) for name in felt}
    valence = sum(felt[name] * cos(angle) for name, angle in angles.items())
    arousal = sum(felt[name] * sin(angle) for name, angle in angles.items())
    beyond = max(hypot(valence, arousal), 1.0)
    return valence / beyond, arousal / beyond


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """What is asked of the face from now on. The lips follow the voice whatever is asked."""

    emotion: Float = field(default_factory=no_emotion)
    """[8] intensities 0..1 in the order of `EMOTION_NAMES`; neutral's own entry says nothing."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Yaw (+ = the avatar's left) and pitch (+ = up) of the main gaze direction, rad; (0, 0) is a
    viewer straight ahead."""
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Yaw (+ = the avatar's left), pitch (+ = up) and roll (+ = tilted to the avatar's left
    shoulder) by which the head is held besides its motion, rad. The eyes stay where they look."""
    distance: float = 0.0
    """m that the head comes nearer to the viewer; negative draws back."""
    articulation: float = 1.0
    """How far lips and jaw go: .75 mumbles, 1.25 is very clear."""
    stillness: float = 1.0
    """Scales the motion of head and brows: 0 holds them still, 1 is as generated, at most 1.5."""
