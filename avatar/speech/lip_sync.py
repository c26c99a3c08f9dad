"""Holds the drawn lips to the voice: as far open and as wide as was heard.

The generator draws lips among everything else: chance, the head and the mood all have their say.
How far the mouth opens and how wide it is are what people see of speech, and the encoder knows both
better than the drawing does. So each drawn mouth code is moved to where the face reads as was heard
(`avatar.motion.lip_reading`), by the least way in the code: its numbers are near N(0, 1), so of all
mouths that open and spread as heard it is the most likely one near the one drawn. What else the
mouth does, tongue, teeth, press and chin, stays as drawn.

A mood's own mouth stays as well: how much it opens and spreads while speaking was measured when the
generator was trained (`LipMoods`), and is added to what is heard.
"""

from dataclasses import dataclass
from math import exp

import numpy as np

from avatar.motion.direction import EMOTION_NAMES
from avatar.motion.latent import MOUTH_CODE, MOUTH_INDEX, LatentCodec
from avatar.motion.lip_reading import LipReading
from avatar.speech.articulation import (
    APERTURE_FULL,
    LIP_SCALES,
    contacts_in,
    seal_of,
    speech_gate,
)
from avatar.types import ARKIT_NAMES, MOTION_RATE, Float

WIDTH_FULL = 0.1
"""Change of the mouth's width that a width of 1 asks for, over the eye distance. With it the drawn
sample avatar's corners move nearly as far as tracked speakers' (.025 for .028, standard deviations
over nine films); the rule's own .07 is lost among what a moving head does to a reading."""
_WIDEST = 1.3
"""Aperture that lips may be driven to by somebody's own `Voice`; ordinary speech stays below 1."""
_SPREAD_WITH_REACH = 0.6
"""How much of a clearer articulation goes into the width: shapes tell the vowels apart."""
_RELEASE_S = 0.6
"""The lips are still held so long after the last sound: through the pauses between words, where a
mood (surprise) would drop the jaw for half a second."""
_HELD = 0.6
"""Presence above which they are held in full."""
_MOOD_S = 0.3
"""By then 63 % of a newly asked mood has come to the mouth: about as fast as it is drawn."""
_AJAR = 1.5
"""In silence lips part as far as the mood's do on average, times this: no further, by chance."""
_ROUNDS = 3
"""Of moving the code: weights end at 0 and 1, which the first round does not know of."""
_TOO_THIN = 1e-12
_OPENING, _WIDTH = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class LipMoods:
    """What the moods do to the lips of one generator; each [8] in the order of `EMOTION_NAMES`, for
    an intensity of 1, over the eye distance."""

    opening: Float
    """By which the lips part further while speaking."""
    width: Float
    """By which the mouth is wider while speaking; neutral's entry is the neutral mouth's own."""
    silent: Float
    """How far the lips part while nobody speaks."""
    reach: Float
    """By how much of its size the lips' motion grows or shrinks while speaking."""


class LipSync:
    """Tokens of one face in order: latents in, latents out. Not for more than one stream."""

    def __init__(self, codec: LatentCodec, reading: LipReading, moods: LipMoods) -> None:
        weights = np.zeros((len(MOUTH_INDEX), 2), np.float32)
        of_tongue = np.isin(MOUTH_INDEX, np.arange(len(ARKIT_NAMES)), invert=True)  # read by nobody
        lips = MOUTH_INDEX[~of_tongue]
        weights[~of_tongue] = np.stack([reading.opening[lips], reading.width[lips]], 1)
        self._codec = codec
        self._read = weights
        by_code = codec.mouth.to_weights @ weights  # [20, 2]
        # the least step in the code that gives a step of both: the right inverse
        floor = _TOO_THIN * np.eye(2)
        self._step = np.linalg.solve(by_code.T @ by_code + floor, by_code.T).astype(np.float32)
        self._moods = moods
        self._mood: Float | None = None
        self._before: Float | None = None
        self._presence = 0.0

    def hold(self, latents: Float, heard: Float, emotion: Float, articulation: float) -> Float:
        """[F, 40] the same frames with lips as in `heard` [F, 23] (`avatar.speech.hearing`).

        `emotion` [8] and `articulation` as in `Direction`.
        """
        mood = emotion if self._mood is None else self._mood
        share = 1 - exp(-len(latents) / (MOTION_RATE * _MOOD_S))
        self._mood = (mood + share * (emotion - mood)).astype(np.float32)
        wanted, limit = self._wanted(heard, self._mood, articulation)
        held = self._held(heard)
        codes = latents[:, :MOUTH_CODE].copy()
        drawn = self._seen(codes)
        calm = np.column_stack([np.minimum(drawn[:, _OPENING], limit), drawn[:, _WIDTH]])
        goal = calm + held[:, None] * (wanted - calm)
        for _ in range(_ROUNDS):
            codes += (goal - drawn) @ self._step
            drawn = self._seen(codes)
        result = latents.copy()
        result[:, :MOUTH_CODE] = codes
        return result

    def _wanted(self, heard: Float, mood: Float, articulation: float) -> tuple[Float, float]:
        """[F, 2] opening and width as heard, and how far lips may part in silence."""
        moods = self._moods
        mood = mood.copy()
        mood[_NEUTRAL] = 0
        reach = articulation * max(1 + float(mood @ moods.reach), 0.3)
        lips = lips_heard(heard)
        before = lips[:1] if self._before is None else self._before
        self._before = lips[-1:]
        lips = _softened(np.concatenate([before, lips]))
        contacts = contacts_in(heard) * speech_gate(1 - heard[:, :1])
        sealed, teeth = seal_of(contacts[:, 0]), contacts[:, 1]
        opening = APERTURE_FULL * reach * lips[:, _OPENING] + float(mood @ moods.opening)
        opening = np.minimum(opening, APERTURE_FULL * (1 - 0.8 * teeth))
        spread = WIDTH_FULL * (1 + _SPREAD_WITH_REACH * (reach - 1)) * lips[:, _WIDTH]
        width = spread + moods.width[_NEUTRAL] + float(mood @ moods.width)
        wanted = np.column_stack([np.maximum(opening, 0) * (1 - sealed), width])
        return wanted.astype(np.float32), _AJAR * max(float(mood @ moods.silent), 0.0)

    def _held(self, heard: Float) -> Float:
        """[F] how much the voice holds the lips: at once where there is one, leaving slowly."""
        held = np.empty(len(heard), np.float32)
        for row, gate in enumerate(speech_gate(1 - heard[:, 0]).tolist()):
            self._presence = max(gate, self._presence * exp(-1 / (MOTION_RATE * _RELEASE_S)))
            held[row] = min(self._presence / _HELD, 1)
        return (held * held * (3 - 2 * held)).astype(np.float32)

    def _seen(self, codes: Float) -> Float:
        """[F, 2] opening and width of the faces of mouth codes [F, 20]."""
        block = self._codec.mouth
        weights = np.clip(block.mean + codes @ block.to_weights, 0, 1)
        return (weights @ self._read).astype(np.float32)


_NEUTRAL = EMOTION_NAMES.index("neutral")


def lips_heard(heard: Float) -> Float:
    """[F, 2] aperture from 0 on and width -1..1 of `heard` [F, 23]; 0 in silence."""
    said = heard[:, -4:-1]
    (aperture, by_aperture), (width, by_width) = LIP_SCALES["aperture"], LIP_SCALES["width"]
    gate = speech_gate(1 - heard[:, 0])
    opened = np.clip(aperture + by_aperture * said[:, 0], 0, _WIDEST)
    spread = np.clip(width + by_width * said[:, 1], -1, 1)
    return (gate[:, None] * np.column_stack([opened, spread])).astype(np.float32)


def _softened(lips: Float) -> Float:
    """[F, 2] of the frame before and F: each a little like its neighbours, where they are known."""
    after = np.concatenate([lips[2:], lips[-1:]])
    return ((lips[:-1] + 2 * lips[1:] + after) / 4).astype(np.float32)
