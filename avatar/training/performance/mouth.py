"""Lips, jaw, cheeks and tongue: the words first, the mood around them."""

import numpy as np
import scipy.ndimage

from avatar.motion.direction import EMOTION_NAMES
from avatar.speech.articulation import seal_of
from avatar.training.performance.decoding import add
from avatar.training.performance.emotions import LOWER, PARTED, Mood, contempt, poses
from avatar.training.performance.mouth_rule import decode_mouth
from avatar.training.performance.script import Style
from avatar.training.performance.signals import Curve, add_at, bump, drift, smoothstep
from avatar.training.performance.voice import SPEECH_NAMES, Speech, Voice
from avatar.types import ARKIT_NAMES

_WHILE_SPEAKING = 0.5
"""How much of an emotion's mouth is left while the mouth has words to form."""
_PARTED_WHILE_SPEAKING = 0.1
_SMILE_WHILE_SPEAKING = 0.4
"""How much of the smile that comes and goes is left: it moves the corners, which the words move."""

_OPENING = np.array(
    [
        name.startswith(("jawOpen", "mouthFunnel", "mouthShrugUpper", "mouthLowerDown"))
        or name.startswith(("mouthUpperUp", "mouthStretch", "mouthDimple", "noseSneer"))
        for name in ARKIT_NAMES
    ]
)
"""[52] the weights that part the lips of the head template, if only a little."""
_CLOSING = np.array(
    [name.startswith(("mouthPress", "mouthRoll", "mouthShrugLower")) for name in ARKIT_NAMES]
)
"""[52] those that press them together, which would take the vowels away."""


def speaking_mouth(
    speech: Speech, voice: Voice, mood: Mood, style: Style, chance: np.random.Generator
) -> Curve:
    """[T, 52] what mouth, cheeks and jaw do, unclipped."""
    frames = len(speech)
    value = {name: speech.column(name) for name in SPEECH_NAMES}
    presence = voice.presence
    contact = _contact(value["closure"], value["lip_teeth"])
    reach = style.articulation * mood.manner["articulation"]
    # no wider for a louder voice: what is heard as lips has that in it (with more of it the drawn
    # lips agreed less with real ones, .65 for .67 on nine clips)
    for name in ("aperture", "jaw"):
        # what a network says in silence hovers above 0, but the lips of a person at rest touch
        value[name] = np.clip(value[name] * reach, 0, 1.1) * smoothstep(presence / 0.5)
    reach = 1 + 0.6 * (reach - 1)  # the lips' shapes are what tells the vowels apart
    value["width"] = np.clip(value["width"] * reach, -1.1, 1.1)
    value["funnel"] = np.clip(value["funnel"] * reach, 0, 1)
    value["emphasis"] = voice.emphasis
    value["smile"] = np.zeros(frames)
    weights = decode_mouth(value)
    resting = 1 - presence
    add(weights, "mouthRollLower", 0.05 * resting)
    add(weights, "mouthShrugLower", 0.05 * resting)
    return weights + _held_back(
        _mood(mood, resting, style) + _small_things(frames, resting, style, chance),
        contact,
        presence,
    )


def tongue_tip(speech: Speech) -> Curve:
    """[T, 3] of `TONGUE_NAMES` where no phones are known: only that the tongue is at work."""
    tip = np.clip(speech.column("tongue"), 0, 1)
    return np.stack([tip, np.zeros_like(tip), np.zeros_like(tip)], 1)


def _contact(closure: Curve, lip_teeth: Curve) -> Curve:
    """[T] 0..1: the lips touch or will within a frame; nothing may part them then."""
    contact = np.maximum(seal_of(closure), np.clip(lip_teeth, 0, 1))
    near = scipy.ndimage.maximum_filter1d(contact, 3)
    # the ramps are smoothed, the contact itself is not weakened
    return np.maximum(scipy.ndimage.convolve1d(near, [0.25, 0.5, 0.25]), contact)


def _held_back(mood: Curve, contact: Curve, presence: Curve) -> Curve:
    """What is left of a mood's mouth [T, 52] where the words need the lips."""
    mood[:, _OPENING] *= (1 - contact)[:, None]
    mood[:, _CLOSING] *= (1 - 0.5 * presence)[:, None]
    return mood


def _mood(mood: Mood, resting: Curve, style: Style) -> Curve:
    left = _WHILE_SPEAKING + (1 - _WHILE_SPEAKING) * resting
    parted = _PARTED_WHILE_SPEAKING + (1 - _PARTED_WHILE_SPEAKING) * resting
    side = contempt(mood.lower[:, EMOTION_NAMES.index("contempt")], style.side)
    return (
        left[:, None] * (poses(LOWER, mood.lower) + side)
        + parted[:, None] * poses(PARTED, mood.lower**2)
    )  # fmt: skip


def _small_things(frames: int, resting: Curve, style: Style, chance: np.random.Generator) -> Curve:
    """A trace of a smile that comes and goes; in pauses lips that press, purse or shift."""
    weights = np.zeros((frames, len(ARKIT_NAMES)))
    passing = drift(frames, chance, 0.06, (1.5, 5.0), 0.5)
    passing *= _SMILE_WHILE_SPEAKING + (1 - _SMILE_WHILE_SPEAKING) * resting
    smile = np.maximum(style.smile + passing, 0)
    add(weights, "mouthSmile", smile)
    add(weights, "cheekSquint", 0.3 * smile)
    for name, size, every_s in (
        ("mouthPress", 0.35, 12.0), ("mouthShrugLower", 0.25, 15.0), ("mouthLeft", 0.15, 25.0),
        ("mouthRight", 0.15, 25.0), ("mouthDimple", 0.3, 15.0), ("mouthPucker", 0.25, 25.0),
        ("mouthRollLower", 0.4, 20.0), ("mouthFrown", 0.2, 20.0),
    ):  # fmt: skip
        curve = np.zeros(frames)
        at = 0
        while (at := at + int(50 * chance.exponential(every_s))) < frames:
            shape = bump(chance.uniform(0.15, 0.3), chance.uniform(0.1, 0.9), 0.35)
            add_at(curve, at, size * chance.uniform(0.4, 1.0) * shape)
            at += len(shape)
        add(weights, name, curve * resting)
    shift = drift(frames, chance, 0.02, (1.0, 4.0), 0.5)
    add(weights, "jawLeft", np.maximum(shift, 0))
    add(weights, "jawRight", np.maximum(-shift, 0))
    return weights
