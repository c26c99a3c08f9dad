"""A whole performance: what a living person's face does besides, and through, the words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.speech.articulation import Articulation
from avatar.training.performance.brows import living_brows
from avatar.training.performance.decoding import add, decode_eyes
from avatar.training.performance.emotions import UPPER, felt, poses
from avatar.training.performance.eyes import blinks, gaze_against_head, look
from avatar.training.performance.head import head_motion
from avatar.training.performance.mouth import speaking_mouth, tongue_tip
from avatar.training.performance.script import Script, Style
from avatar.training.performance.signals import Curve, drift
from avatar.training.performance.voice import Speech, listen
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """A face and a head over T frames, 50 a second."""

    expression: Float
    """[T, 52] 0..1 in the order of `ARKIT_NAMES`."""
    tongue: Float
    """[T, 3] 0..1 in the order of `TONGUE_NAMES`."""
    gaze: Float
    """[T, 2] yaw and pitch of both eyes against the head, rad."""
    head_rotation: Float
    """[T, 3] axis-angle about the neck joint, rad."""
    head_translation: Float
    """[T, 3] m."""

    def __len__(self) -> int:
        return len(self.expression)


def perform(
    speech: Speech | Sequence[Articulation],
    loudness: Float,
    tongue: Float | None,
    script: Script,
    style: Style,
    chance: np.random.Generator,
) -> Performance:
    """The face of someone who says `speech` as `script` asks.

    `loudness` [T]: root mean square of each frame after the level control
    (`avatar.speech.features`). `tongue` [T, 3] from phones (`voice.tongue_of`); None: from the
    articulators, which know only that the tip is at work. The same `chance` gives the same face.
    """
    if not isinstance(speech, Speech):
        speech = Speech.of(speech)
    frames = len(speech)
    assert len(script) == frames == len(loudness), (frames, len(script), len(loudness))
    assert tongue is None or tongue.shape == (frames, len(TONGUE_NAMES)), np.shape(tongue)
    if frames == 0:
        return Performance(*(np.zeros((0, n), np.float32) for n in (len(ARKIT_NAMES), 3, 2, 3, 3)))
    # one stream of chance for each part, so that a change in one leaves the others as they were
    of_mood, of_look, of_head, of_lids, of_mouth, of_brows, of_sides = chance.spawn(7)
    voice = listen(speech.column("activity"), loudness.astype(np.float64))
    mood = felt(script.emotion, voice, style, of_mood)
    looking = look(script, voice, mood, style, of_look)
    rotation, translation = head_motion(script, voice, mood, style, looking.turn, of_head)
    gaze = gaze_against_head(looking.target, rotation)
    weights = speaking_mouth(speech, voice, mood, style, of_mouth)
    weights += poses(UPPER, mood.upper)
    weights += living_brows(frames, voice, style, of_brows)
    blink = blinks(looking, voice, mood, style, of_lids)
    weights += _lids(gaze, blink, style, of_lids)
    weights[:, _WIDE] *= (1 - blink)[:, None]  # the widest eye blinks as well
    weights = _uneven(weights, style, of_sides)
    weights[:, _SOFT] = _soft_limit(weights[:, _SOFT])
    tongue = tongue_tip(speech).astype(np.float32) if tongue is None else tongue
    return Performance(
        expression=np.clip(weights, 0, 1).astype(np.float32),
        tongue=np.clip(tongue, 0, 1).astype(np.float32),
        gaze=gaze.astype(np.float32),
        head_rotation=rotation.astype(np.float32),
        head_translation=translation.astype(np.float32),
    )


def _lids(gaze: Curve, blink: Curve, style: Style, chance: np.random.Generator) -> Curve:
    """[T, 52] lids that follow the eyes, blink, and are a little narrower or wider at times."""
    frames = len(gaze)
    still = np.zeros(frames)
    weights = decode_eyes(
        {
            "gaze_yaw": gaze[:, 0],
            "gaze_pitch": gaze[:, 1],
            "blink": blink,
            "brows": still,
            "smile": still,
        }
    )
    level = 0.06 * style.lids + drift(frames, chance, 0.08, (1.0, 4.0), 0.6)
    add(weights, "eyeWide", np.maximum(level, 0))
    add(weights, "eyeSquint", np.maximum(-level, 0))
    return weights


_SOFT = [
    index
    for index, name in enumerate(ARKIT_NAMES)
    if name.startswith(("brow", "cheek", "nose", "eyeWide", "eyeSquint"))
    or name.startswith(("mouthSmile", "mouthFrown", "mouthStretch", "mouthPress", "mouthDimple"))
]
"""Weights of muscles that go slower towards their end; seals, lids and looks go all the way."""
_SOFT_FROM = 0.8


def _soft_limit(weights: Curve) -> Curve:
    """The same below `_SOFT_FROM`, ever slower towards 1 above."""
    room = 1 - _SOFT_FROM
    beyond = np.maximum(weights - _SOFT_FROM, 0)
    return np.minimum(weights, _SOFT_FROM) + room * np.tanh(beyond / room)


_WIDE = [ARKIT_NAMES.index(name) for name in ("eyeWideLeft", "eyeWideRight")]

_SIDES = np.array(
    [
        0.0 if name.startswith(("eyeLook", "eyeBlink")) or name in ("mouthLeft", "mouthRight")
        or name in ("jawLeft", "jawRight")
        else float(name.endswith("Left")) - float(name.endswith("Right"))
        for name in ARKIT_NAMES
    ]
)  # fmt: skip
"""[52] +1 left half, -1 right half, 0 where both must go together."""


def _uneven(weights: Curve, style: Style, chance: np.random.Generator) -> Curve:
    """No face is even: a lasting difference of its halves, and one that wanders."""
    tilt = 0.2 * style.asymmetry + drift(len(weights), chance, 0.06, (1.0, 4.0), 0.5)
    return weights * (1 + tilt[:, None] * _SIDES)
