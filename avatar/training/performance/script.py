"""What is asked of a face over time, and what kind of person answers."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from avatar.motion.direction import EMOTION_NAMES, GAZE_LIMIT_RAD
from avatar.types import MOTION_RATE, Float

NEUTRAL = EMOTION_NAMES.index("neutral")
EMOTIONS = tuple(index for index in range(len(EMOTION_NAMES)) if index != NEUTRAL)

_NEUTRAL_SHARE = 0.35
_BLEND_SHARE = 0.2
_AHEAD_SHARE = 0.55
_NO_DISTANCE_SHARE = 0.6
_FURTHEST_M = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """What is asked, frame by frame; it changes in steps, the face takes its time."""

    emotion: Float
    """[T, 8] 0..1 in the order of `EMOTION_NAMES`; zeros = neutral."""
    gaze: Float
    """[T, 2] yaw and pitch of the main gaze direction against the viewer straight ahead, rad."""
    distance: Float
    """[T] m that the head comes nearer."""

    def __len__(self) -> int:
        return len(self.distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a person moves. The default is the middle of the population."""

    articulation: float = 1.0
    """How far the lips and the jaw go: .75 mumbles, 1.25 is very clear."""
    brows: float = 1.0
    """How far and how often the brows take part."""
    head: float = 1.0
    """How far the head moves."""
    emotion: float = 1.0
    """How far a feeling shows."""
    blinks: float = 17.0
    """A minute, at rest."""
    asymmetry: float = 0.0
    """-1..1: + = the left half of the face goes further; at 1 by a fifth."""
    aversion: float = 1.0
    """How much of the time the eyes look away."""
    side: float = 1.0
    """+1 or -1: the half that shows contempt and lifts a single brow; +1 = left."""
    smile: float = 0.045
    """Of the mouth at rest."""
    lids: float = 0.0
    """-1..1 of the eyes at rest: + = wide, - = narrow."""


def draw_style(chance: np.random.Generator) -> Style:
    """Someone."""

    def around(middle: float, ratio: float) -> float:
        """Log-normal; nine in ten within `ratio` either way."""
        return middle * float(ratio ** np.clip(chance.standard_normal() / 1.64, -1.4, 1.4))

    return Style(
        articulation=float(chance.uniform(0.75, 1.25)),
        brows=around(1.0, 1.6),
        head=around(1.0, 1.4),
        emotion=float(chance.uniform(0.85, 1.15)),
        blinks=float(np.clip(around(17.0, 1.5), 12, 28)),
        asymmetry=float(np.clip(0.4 * chance.standard_normal(), -1, 1)),
        aversion=around(1.0, 1.3),
        side=float(chance.choice([-1.0, 1.0])),
        smile=float(np.clip(0.045 + 0.03 * chance.standard_normal(), 0, 0.12)),
        lids=float(np.clip(0.4 * chance.standard_normal(), -1, 1)),
    )


def draw_script(frames: int, chance: np.random.Generator) -> Script:
    """Moods, looks and distances such as a user may ask for, in random order."""
    emotion = np.zeros((frames, len(EMOTION_NAMES)), np.float32)
    for first, last in _stretches(frames, chance, (4.0, 15.0)):
        if chance.random() < _NEUTRAL_SHARE:
            continue
        intensity = chance.uniform(0.2, 1.0)
        if chance.random() < _BLEND_SHARE:
            share = chance.uniform(0.3, 0.7)
            one, other = chance.choice(EMOTIONS, 2, replace=False)
            emotion[first:last, one] = intensity * share
            emotion[first:last, other] = intensity * (1 - share)
        else:
            emotion[first:last, chance.choice(EMOTIONS)] = intensity
    gaze = np.zeros((frames, 2), np.float32)
    for first, last in _stretches(frames, chance, (3.0, 10.0)):
        if chance.random() >= _AHEAD_SHARE:
            yaw, pitch = chance.uniform(-1, 1), np.clip(0.5 * chance.standard_normal(), -1, 1)
            gaze[first:last] = GAZE_LIMIT_RAD * np.array([yaw, pitch])
    distance = np.zeros(frames, np.float32)
    for first, last in _stretches(frames, chance, (5.0, 15.0)):
        if chance.random() >= _NO_DISTANCE_SHARE:
            distance[first:last] = chance.uniform(-_FURTHEST_M, _FURTHEST_M)
    return Script(emotion, gaze, distance)


def _stretches(
    frames: int, chance: np.random.Generator, length_s: tuple[float, float]
) -> list[tuple[int, int]]:
    """First frame and frame after the last of stretches of random lengths that fill T frames."""
    # the first stretch has begun before the stream: its rest is of any length
    edges = [0, max(1, int(chance.uniform(0.2, 1.0) * chance.uniform(*length_s) * MOTION_RATE))]
    while edges[-1] < frames:
        edges.append(edges[-1] + int(chance.uniform(*length_s) * MOTION_RATE))
    return [(a, min(b, frames)) for a, b in pairwise(edges) if a < frames]
