"""Small real parts for tests of processes: a generator that needs no weights."""

import numpy as np

from app.speech_process import SourceState, SpeechReport
from avatar.motion.direction import Direction
from avatar.types import ARKIT_NAMES, AUDIO_RATE, MOTION_RATE, Float, MotionFrame

JAW = ARKIT_NAMES.index("jawOpen")
SAMPLES = AUDIO_RATE // MOTION_RATE


class LoudJaw:
    """Opens the jaw with loudness, frame by frame of 20 ms."""

    look_ahead_s = 0.0

    def __init__(self) -> None:
        self.direction = Direction()
        self.reset()

    def reset(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._index = 0

    def direct(self, direction: Direction) -> None:
        self.direction = direction

    def step(self, samples: Float) -> list[MotionFrame]:
        self._rest = np.concatenate([self._rest, samples])
        frames = []
        while len(self._rest) >= SAMPLES:
            block, self._rest = self._rest[:SAMPLES], self._rest[SAMPLES:]
            expression = np.zeros(52, np.float32)
            expression[JAW] = min(1.0, 4 * float(np.sqrt(np.mean(block**2))))
            frames.append(
                MotionFrame(
                    index=self._index,
                    time_s=self._index / MOTION_RATE,
                    latent=expression[:4],
                    expression=expression,
                    gaze=np.array(self.direction.gaze, np.float32),
                    head_rotation=np.array(self.direction.head, np.float32),
                    head_translation=np.zeros(3, np.float32),
                )
            )
            self._index += 1
        return frames


def broken_generator() -> LoudJaw:
    """Weights that cannot be read."""
    raise ValueError("these weights are for another network")


NOTHING_HEARD = SpeechReport(
    state=SourceState.HEARING,
    running=True,
    level=0.0,
    speech=False,
    blocks=0,
    dropped=0,
    restarts=0,
    real_time_factor=0.0,
    speaker_delay_s=0.0,
    speaker_late_s=0.0,
    file_position_s=0.0,
    speaking=False,
    microphones=(),
    microphone_levels=(),
    problem="",
)
"""Of a speech process with an open microphone, in silence."""
