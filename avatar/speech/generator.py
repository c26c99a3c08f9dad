"""Sound in, motion out, 50 frames a second: the one place where both meet.

    generator = MotionGenerator(seed=0, direction=Direction(emotion=...))
    for block in sound:
        frames += generator.step(block)
    frames += generator.flush()

The encoder (`avatar.speech.network`) hears; the motion network draws the next 40 ms of a living
face from what was heard, what is asked and what the face just did; the lips are held to the voice
(`avatar.speech.lip_sync`); the codec makes a face of that.
The same code serves a file and a microphone. Later sound never changes an earlier frame, and the
blocks in which sound comes do not matter.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatar.motion.direction import (
    DISTANCE_LIMIT_M,
    EMOTION_NAMES,
    GAZE_LIMIT_RAD,
    LEAST_ARTICULATION,
    MOST_ARTICULATION,
    Direction,
    wide_eyed,
)
from avatar.motion.latent import load_codec
from avatar.motion.lip_reading import load_lip_reading
from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.foresight import (
    Foresight,
    ForesightState,
    check_foresight,
    foresee,
    load_foresight,
)
from avatar.speech.hearing import heard_of
from avatar.speech.lip_sync import LipSync
from avatar.speech.motion_network import (
    ASKED_CENTRE,
    ASKED_SCALE,
    ASKED_SIZE,
    TOKEN_FRAMES,
    first_state,
    load_motion_network,
    noise_of,
)
from avatar.speech.motion_network import advance as advance_motion
from avatar.speech.network import (
    LOOK_AHEAD_FRAMES,
    NetworkState,
    SpeechNetwork,
    advance,
    initial_state,
    load_network,
)
from avatar.speech.poise import Poise
from avatar.speech.voice import Voice, VoiceState, adapt
from avatar.types import ARKIT_NAMES, MOTION_RATE, Float, MotionFrame

_SILENCE_BEFORE = 150
"""Frames of silence that every voice begins after: more than the encoder remembers (138)."""
_LIFE_BEFORE = 25
"""Tokens of life in silence before the first frame: the face begins in the middle of living."""
_BLINK_AWAITED, _LONGEST_BLINK = 12, 24
"""Tokens for which it lives on in case a blink is near, which then is over, and at most: a film
that begins with eyes that close looks as if its first frames were wrong. More would be surer, and
take longer (4 ms a token)."""
_LIDS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
_SHUT, _OPEN = 0.5, 0.1
"""Of a blink's weight."""


LOOK_AHEAD_S = (LOOK_AHEAD_FRAMES + TOKEN_FRAMES - 0.5) / MOTION_RATE
"""A frame's instant to the last sample that it needs, where nothing is guessed."""


class MotionGenerator:
    """Streams sound to motion frames. Not for more than one thread at a time."""

    def __init__(
        self,
        *,
        seed: int = 0,
        direction: Direction | None = None,
        voice: Voice | None = None,
        prompt: bool = False,
    ) -> None:
        """`seed` decides blinks, glances and sway; `direction` is what is asked of the face;
        `voice` corrects the lips for who speaks. `prompt`: guess part of the look-ahead
        (`avatar.speech.foresight`), for talk in which waiting is worse than lips that follow a
        little less well.

        Raises:
            AssetError: the weights are missing or damaged.
        """
        self._seed = seed
        self._encoder = load_network()
        self._foresight = load_foresight() if prompt else None
        if self._foresight is not None:
            check_foresight(self._foresight, self._encoder)
        self._look_ahead = LOOK_AHEAD_FRAMES - (self._foresight.frames if self._foresight else 0)
        self._network = load_motion_network()
        self._codec = load_codec()
        self._direction = direction or Direction()
        self._voice = voice
        self.reset()

    @property
    def look_ahead_s(self) -> float:
        """A frame's instant to the last sample that it needs: sound must run this far ahead."""
        return (self._look_ahead + TOKEN_FRAMES - 0.5) / MOTION_RATE

    def direct(self, direction: Direction) -> None:
        """Ask something else of the face from the next token on."""
        self._direction = direction

    def reset(self) -> None:
        """Forget all sound and start again at frame 0, as if new."""
        rested = _rested(self._encoder, self._foresight)
        self._features = rested.features.copy()
        self._heard_state = rested.encoder.copy()
        self._foreseen = rested.foreseen.copy()
        self._voice_state = VoiceState()
        self._chance = np.random.default_rng(self._seed)
        self._state = first_state(self._network)
        self._poise = Poise()
        moods = self._network.lip_moods
        self._lips = None if moods is None else LipSync(self._codec, load_lip_reading(), moods)
        self._live(np.repeat(rested.heard[None], TOKEN_FRAMES, 0))
        self._loudness: deque[float] = deque(maxlen=self._look_ahead + 1)
        self._heard: list[Float] = []
        self._next = 0
        self._samples = 0
        self._ended = False

    def _live(self, silence: Float) -> None:
        """Some life before the first frame, hearing `silence` [2, 23]; until after a blink, where
        one comes soon."""
        blinked = False
        for token in range(_LIFE_BEFORE + _LONGEST_BLINK):
            face = self._codec.decode(self._token(silence))
            self._poise.apply(face, 1.0, self._direction.head)
            shut = float(face.expression[-1, _LIDS].mean())
            blinked |= token >= _LIFE_BEFORE and shut > _SHUT
            if shut < _OPEN and (blinked or token >= _LIFE_BEFORE + _BLINK_AWAITED):
                break

    def step(self, samples: Float) -> list[MotionFrame]:
        """The frames that `samples` complete: mono at 16 kHz, -1..1, any number of them, 0 too."""
        assert not self._ended, "the sound has ended: call reset() before new sound"
        self._samples += np.size(samples)
        return self._advance(samples)

    def flush(self) -> list[MotionFrame]:
        """The sound has ended: the frames up to its end. Call `reset` before new sound."""
        assert not self._ended, "the sound has ended already: call reset()"
        self._ended = True
        wanted = -(-self._samples // FRAME)
        whole = -(-wanted // TOKEN_FRAMES) * TOKEN_FRAMES
        missing = (whole + self._look_ahead) * FRAME - self._samples if wanted else 0
        already = self._next
        return self._advance(np.zeros(missing, np.float32))[: wanted - already]

    def _advance(self, samples: Float) -> list[MotionFrame]:
        new = extract(samples, self._features)
        frames: list[MotionFrame] = []
        for values, loudness in zip(new.values, new.loudness.tolist(), strict=True):
            outputs, lips = _hear(
                self._encoder, self._foresight, values, self._heard_state, self._foreseen
            )
            if self._voice is not None:
                lips = adapt(self._voice, outputs, lips, self._voice_state)
            self._loudness.append(loudness)
            if len(self._loudness) <= self._look_ahead:
                continue  # what was said now describes a frame before the first
            self._heard.append(heard_of(outputs, lips, np.float32(self._loudness[0])))
            if len(self._heard) == TOKEN_FRAMES:
                latents = self._token(np.stack(self._heard))
                self._heard.clear()
                frames += self._frames(latents)
        return frames

    def _token(self, heard: Float) -> Float:
        """[2, 40]"""
        asked = _within(self._direction)
        noise = noise_of(self._chance, wide_eyed(asked[:8]))
        given = (asked - ASKED_CENTRE) * ASKED_SCALE
        drawn = advance_motion(self._network, heard, given, noise, self._state)
        if self._lips is None:
            return drawn
        return self._lips.hold(drawn, heard, asked[:8], float(asked[11]))

    def _frames(self, latents: Float) -> list[MotionFrame]:
        asked = self._direction
        face = self._poise.apply(self._codec.decode(latents), asked.stillness, asked.head)
        frames = []
        for row, latent in enumerate(latents):
            index = self._next
            self._next += 1
            frames.append(
                MotionFrame(
                    index=index,
                    time_s=(index + 0.5) / MOTION_RATE,
                    latent=latent,
                    expression=face.expression[row],
                    gaze=face.gaze[row],
                    head_rotation=face.head_rotation[row],
                    head_translation=face.head_translation[row],
                    tongue=face.tongue[row],
                )
            )
        return frames


def _within(direction: Direction) -> Float:
    """[12] emotion, gaze, distance and articulation, held within what was trained on."""
    asked = np.zeros(ASKED_SIZE, np.float32)
    asked[:8] = np.clip(direction.emotion, 0, 1)
    asked[EMOTION_NAMES.index("neutral")] = 0
    asked[8:10] = np.clip(direction.gaze, -GAZE_LIMIT_RAD, GAZE_LIMIT_RAD)
    asked[10] = np.clip(direction.distance, -DISTANCE_LIMIT_M, DISTANCE_LIMIT_M)
    asked[11] = np.clip(direction.articulation, LEAST_ARTICULATION, MOST_ARTICULATION)
    return asked


def _hear(
    encoder: SpeechNetwork,
    foresight: Foresight | None,
    features: Float,
    state: NetworkState,
    foreseen: ForesightState,
) -> tuple[Float, Float]:
    """[19] outputs and [3] lips, the encoder's own or, sooner, guessed ones."""
    outputs, lips = advance(encoder, features, state)
    assert lips is not None, "the encoder that ships has a readout"
    if foresight is None:
        return outputs, lips
    return foresee(foresight, state.stream, outputs, lips, foreseen)


@dataclass(frozen=True, slots=True)
class _Rested:
    """What hears, after a long silence. Never to be changed: copy it."""

    features: FeatureState
    encoder: NetworkState
    foreseen: ForesightState
    heard: Float
    """[23] what silence sounds like."""


@lru_cache(maxsize=4)
def _rested(encoder: SpeechNetwork, foresight: Foresight | None) -> _Rested:
    features, state, foreseen = FeatureState(), initial_state(encoder), ForesightState()
    silence = np.zeros(_SILENCE_BEFORE * FRAME, np.float32)
    new = extract(silence, features)
    heard = np.zeros(0, np.float32)
    for values, loudness in zip(new.values, new.loudness.tolist(), strict=True):
        outputs, lips = _hear(encoder, foresight, values, state, foreseen)
        heard = heard_of(outputs, lips, np.float32(loudness))
    return _Rested(features, state, foreseen, heard)
