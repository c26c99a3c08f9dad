"""Emotions: which muscles show them, how they come, wax and wane, and how they make people move.

Poses after EMFACS (Friesen and Ekman 1983; action units as in Ekman, Friesen and Hager 2002) in
ARKit's terms: AU1 browInnerUp, AU2 browOuterUp, AU4 browDown, AU5 eyeWide, AU6 cheekSquint, AU7
eyeSquint, AU9 noseSneer, AU10 mouthUpperUp, AU12 mouthSmile, AU14 mouthDimple, AU15 mouthFrown,
AU16 mouthLowerDown, AU17 mouthShrugLower, AU20 mouthStretch, AU23 and 24 mouthPress and mouthRoll,
AU26 jawOpen. How strongly each takes part was set by eye on rendered heads.
"""

from dataclasses import dataclass, fields
from math import radians

import numpy as np

from avatar.motion.direction import EMOTION_NAMES
from avatar.training.performance.decoding import add
from avatar.training.performance.script import NEUTRAL, Style
from avatar.training.performance.signals import Curve, add_at, bump, drift, sprung
from avatar.training.performance.voice import Voice
from avatar.types import ARKIT_NAMES, Float

UPPER: dict[str, dict[str, float]] = {
    "happiness": {"cheekSquint": 0.9, "eyeSquint": 0.4, "browOuterUp": 0.12, "noseSneer": 0.1},
    "sadness": {"browInnerUp": 1.0, "browDown": 0.2, "eyeSquint": 0.2, "eyeBlink": 0.1,
                "cheekSquint": 0.15},
    "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 1.0},
    "fear": {"browInnerUp": 1.0, "browOuterUp": 0.35, "browDown": 0.2, "eyeWide": 1.0},
    "anger": {"browDown": 1.1, "eyeWide": 0.2, "eyeSquint": 0.6, "noseSneer": 0.5},
    "disgust": {"noseSneer": 1.1, "browDown": 0.6, "eyeSquint": 0.55, "cheekSquint": 0.5},
    "contempt": {"eyeSquint": 0.3, "eyeBlink": 0.1, "browDown": 0.15},
}  # fmt: skip
"""Brows, eyes, nose and cheeks at intensity 1; a name without a side means both."""

LOWER: dict[str, dict[str, float]] = {
    "happiness": {"mouthSmile": 1.0, "mouthDimple": 0.12},
    "sadness": {"mouthFrown": 1.0, "mouthShrugLower": 0.45, "mouthRollLower": 0.08},
    "surprise": {"mouthFunnel": 0.08},
    "fear": {"mouthStretch": 1.0, "mouthFrown": 0.4},
    "anger": {"mouthPress": 0.7, "mouthRollLower": 0.35, "mouthRollUpper": 0.3,
              "mouthFrown": 0.4, "mouthShrugLower": 0.2},
    "disgust": {"mouthUpperUp": 0.7, "mouthFrown": 0.55, "mouthLowerDown": 0.15,
                "mouthShrugLower": 0.4},
    "contempt": {},
}  # fmt: skip
"""The mouth at intensity 1. Weakened while speaking."""

ONE_SIDED: dict[str, float] = {
    "mouthSmile": 0.6, "mouthDimple": 0.7, "mouthPress": 0.3, "cheekSquint": 0.35,
}  # fmt: skip
"""Contempt's half of the face, and a seventh of it on the other."""

PARTED: dict[str, dict[str, float]] = {
    "happiness": {"mouthUpperUp": 0.45, "mouthLowerDown": 0.35, "jawOpen": 0.08},
    "surprise": {"jawOpen": 0.45},
    "fear": {"jawOpen": 0.14, "mouthLowerDown": 0.45, "mouthUpperUp": 0.15},
}  # fmt: skip
"""What parts the lips in silence at intensity 1, in proportion to the square of the intensity."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a person moves in a mood of intensity 1."""

    nod: float = 0.0
    """rad the head hangs (+) or rises (-)."""
    roll: float = 0.0
    """rad the head leans to the person's own side."""
    back_m: float = 0.0
    """m the head draws back."""
    look_down: float = 0.0
    """rad that looks away go down."""
    aversion: float = 1.0
    """Factor on the time spent looking away."""
    fixation: float = 1.0
    """Factor on the length of fixations."""
    blinks: float = 1.0
    """Factor on their rate."""
    tempo: float = 1.0
    """Factor on the speed of head and drift."""
    motion: float = 1.0
    """Factor on the size of the head's motion."""
    articulation: float = 1.0
    """Factor on how far the mouth goes in speech."""


MANNERS: dict[str, Manner] = {
    "anger": Manner(nod=radians(4), back_m=-0.008, aversion=0.5, fixation=1.4, blinks=0.75,
                    tempo=1.25, motion=1.2, articulation=1.15),
    "contempt": Manner(nod=radians(-4), roll=radians(3), look_down=radians(3), aversion=1.2,
                       tempo=0.85, motion=0.8, articulation=0.92),
    "disgust": Manner(nod=radians(-2), roll=radians(-2), back_m=0.012, look_down=radians(3),
                      aversion=1.5, blinks=1.2, articulation=0.95),
    "fear": Manner(nod=radians(1), back_m=0.012, aversion=1.4, fixation=0.5, blinks=1.4,
                   tempo=1.5, motion=0.8, articulation=0.95),
    "happiness": Manner(nod=radians(-1.5), roll=radians(2), back_m=-0.004, aversion=0.8,
                        blinks=1.15, tempo=1.15, motion=1.25, articulation=1.05),
    "sadness": Manner(nod=radians(5.5), roll=radians(2.5), back_m=0.004, look_down=radians(9),
                      aversion=1.7, fixation=1.6, blinks=0.9, tempo=0.65, motion=0.6,
                      articulation=0.82),
    "surprise": Manner(nod=radians(-3), back_m=0.008, aversion=0.5, fixation=1.3, blinks=0.7,
                       tempo=1.2, articulation=1.1),
}  # fmt: skip

_FACTORS = ("aversion", "fixation", "blinks", "tempo", "motion", "articulation")


@dataclass(frozen=True, slots=True, eq=False)
class Mood:
    """The feeling of T frames, as it shows."""

    upper: Curve
    """[T, 8] intensity around the eyes, which is the quicker half of the face."""
    lower: Curve
    """[T, 8] intensity about the mouth."""
    manner: dict[str, Curve]
    """[T] each field of `Manner`."""


def felt(emotion: Float, voice: Voice, style: Style, chance: np.random.Generator) -> Mood:
    """Ease into what is asked [T, 8], and let it wax and wane about that.

    A step is half done after a quarter to half a second. A strong feeling shows more on stressed
    words and in bursts of its own.
    """
    frames = len(emotion)
    asked = emotion.astype(np.float64)
    asked[:, NEUTRAL] = 0
    live = 0.88 + drift(frames, chance, 0.16, (0.7, 2.5), 0.6) + 0.2 * voice.emphasis
    bursts = np.zeros(frames)
    at = 0
    while (at := at + int(50 * chance.uniform(1.5, 6.0))) < frames:
        add_at(bursts, at, chance.uniform(0.05, 0.3) * bump(0.3, chance.uniform(0.1, 1.0), 0.7))
    live = np.clip((live + bursts) * style.emotion, 0.4, 1.3)[:, None]
    upper = sprung(asked, float(chance.uniform(0.75, 1.1))) * live
    lower = sprung(asked, float(chance.uniform(0.55, 0.85))) * sprung(live, 1.5)
    manner = {}
    slow = np.clip(sprung(asked, 0.5), 0, 1)
    for field in fields(Manner):
        each = np.array(
            [getattr(MANNERS.get(name, Manner()), field.name) for name in EMOTION_NAMES]
        )
        if field.name in _FACTORS:
            manner[field.name] = np.exp(slow @ np.log(each))
        else:
            manner[field.name] = slow @ each
    return Mood(np.clip(upper, 0, 1.15), np.clip(lower, 0, 1.15), manner)


def poses(table: dict[str, dict[str, float]], intensity: Curve) -> Curve:
    """[T, 52] the poses of `table` at intensities [T, 8], added up."""
    matrix = np.zeros((len(EMOTION_NAMES), len(ARKIT_NAMES)))
    for emotion, pose in table.items():
        for name, weight in pose.items():
            row = EMOTION_NAMES.index(emotion)
            add(matrix[row : row + 1], name, weight)
    return intensity @ matrix


def contempt(intensity: Curve, side: float) -> Curve:
    """[T, 52] the one-sided pose at intensities [T]; `side` +1 = left."""
    near, far = ("Left", "Right") if side > 0 else ("Right", "Left")
    weights = np.zeros((len(intensity), len(ARKIT_NAMES)))
    for name, weight in ONE_SIDED.items():
        add(weights, f"{name}{near}", weight * intensity)
        add(weights, f"{name}{far}", 0.15 * weight * intensity)
    add(weights, f"browOuterUp{near}", 0.35 * intensity)
    add(weights, f"mouth{near}", 0.12 * intensity)
    return weights
