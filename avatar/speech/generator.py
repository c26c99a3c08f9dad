"""Sound in, motion out, 50 frames a second: the one place where both meet.

    generator = MotionGenerator(seed=0)
    for block in sound:
        frames += generator.step(block)
    frames += generator.flush()

The same code serves a file and a microphone. Later sound never changes an earlier frame, and the
blocks in which sound comes do not matter.
"""

from collections import deque
from functools import lru_cache

import numpy as np

from avatar.motion.codec import LATENT_INDEX, LATENT_SIZE, decode
from avatar.motion.direction import Direction
from avatar.motion.idle import IdleLife, Life
from avatar.speech.articulation import Articulation, articulate, smoothed
from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.network import (
    LOOK_AHEAD_FRAMES,
    NetworkState,
    SpeechNetwork,
    advance,
    initial_state,
    load_network,
)
from avatar.speech.voice import Voice, VoiceState, adapt
from avatar.types import MOTION_RATE, Float, MotionFrame

_FRAMES_AHEAD = LOOK_AHEAD_FRAMES + 1
"""Of sound that a frame needs beyond its own: the network's, and one to smooth with."""
_SILENCE_BEFORE = 150
"""Frames of silence that every voice begins after: more than the network remembers (138)."""


class MotionGenerator:
    """Streams sound to motion frames. Not for more than one thread at a time."""

    look_ahead_s: float = (_FRAMES_AHEAD + 0.5) / MOTION_RATE
    """A frame's instant to the last sample that it needs: sound must run this far ahead."""

    def __init__(
        self, *, seed: int = 0, direction: Direction | None = None, voice: Voice | None = None
    ) -> None:
        """`seed` decides blinks, glances and sway; the lips follow the sound alone.

        `direction` is what is asked of the face; nothing follows it yet. `voice` is who speaks.

        Raises:
            AssetError: the speech weights are missing or damaged.
        """
        self._seed = seed
        self._direction = direction or Direction()
        self._voice = voice
        self._network = load_network()
        self.reset()

    def direct(self, direction: Direction) -> None:
        """Ask something else of the face from the next frame on."""
        self._direction = direction

    def reset(self) -> None:
        """Forget all sound and start again at frame 0, as if new."""
        feature_state, network_state = _rested(self._network)
        self._features = FeatureState(
            feature_state.level,
            feature_state.gain,
            feature_state.pending.copy(),
            feature_state.tail.copy(),
        )
        self._state = network_state.copy()
        self._life = IdleLife(self._seed)
        self._voice_state = VoiceState()
        self._loudness: deque[float] = deque(maxlen=_FRAMES_AHEAD + 1)
        self._speech: deque[Articulation] = deque(maxlen=3)
        self._next = 0
        self._samples = 0
        self._ended = False

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
        missing = (wanted + _FRAMES_AHEAD) * FRAME - self._samples if wanted else 0
        return self._advance(np.zeros(missing, np.float32))

    def _advance(self, samples: Float) -> list[MotionFrame]:
        heard = extract(samples, self._features)
        frames = []
        for values, loudness in zip(heard.values, heard.loudness.tolist(), strict=True):
            outputs, lips = advance(self._network, values, self._state)
            if self._voice is not None and lips is not None:
                lips = adapt(self._voice, outputs, lips, self._voice_state)
            self._loudness.append(loudness)
            self._speech.append(articulate(outputs, lips))
            if len(self._loudness) > _FRAMES_AHEAD:
                frames.append(self._frame(smoothed(*self._speech)))
        return frames

    def _frame(self, speech: Articulation) -> MotionFrame:
        life = self._life.step(speech.activity, self._loudness[0])
        latent = latent_of(speech, life)
        face = decode(latent)
        index = self._next
        self._next += 1
        return MotionFrame(
            index=index,
            time_s=(index + 0.5) / MOTION_RATE,
            latent=latent,
            expression=face.expression,
            gaze=face.gaze,
            head_rotation=face.head_rotation,
            head_translation=face.head_translation,
            tongue=face.tongue,
        )


def latent_of(speech: Articulation, life: Life) -> Float:
    """[L] the latent of a mouth that speaks in a face that lives."""
    latent = np.zeros(LATENT_SIZE, np.float32)
    for name in ("aperture", "jaw", "width", "funnel", "tongue", "closure", "lip_teeth"):
        latent[LATENT_INDEX[name]] = getattr(speech, name)
    latent[LATENT_INDEX["sibilant"]] = speech.sibilant
    latent[LATENT_INDEX["activity"]] = speech.activity
    for name in ("emphasis", "blink", "brows", "smile", "gaze_yaw", "gaze_pitch"):
        latent[LATENT_INDEX[name]] = getattr(life, name)
    first = LATENT_INDEX["head_x"]
    latent[first : first + 3] = life.head
    latent[first + 3 : first + 6] = life.move
    return latent


@lru_cache(maxsize=2)
def _rested(network: SpeechNetwork) -> tuple[FeatureState, NetworkState]:
    """The states after a long silence, never to be changed: copy them."""
    features, state = FeatureState(), initial_state(network)
    silence = np.zeros(_SILENCE_BEFORE * FRAME, np.float32)
    for values in extract(silence, features).values:
        advance(network, values, state)
    return features, state
