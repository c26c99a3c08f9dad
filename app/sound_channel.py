"""Shared memory from the speech process to a recording: the sound that is heard, with its times."""

from typing import Any

import numpy as np

from app.motion_channel import RecordRing
from avatar.types import Float

PIECE = 640
"""Samples in a record, 40 ms: usual blocks have 160 or 320."""
SLOTS = 512
"""Half of them can wait: 2.5 s in blocks of 160."""

RECORD: np.dtype[Any] = np.dtype(
    [
        ("sequence", np.int64),
        ("end_s", np.float64),
        ("size", np.int64),
        ("samples", np.float32, PIECE),
        ("sequence_end", np.int64),
    ],
    align=True,
)
"""Up to `PIECE` samples at `AUDIO_RATE`. `end_s` is the instant at which the sound after the last
of them entered the program, `time.perf_counter()`: the clock of `app.motion_channel`."""


class SoundChannel(RecordRing):
    """All sound that the face hears, 16 kHz mono, before the gain."""

    def __init__(self, name: str | None = None) -> None:
        """Create the memory, or with `name` attach to memory that exists."""
        super().__init__(RECORD, SLOTS, name)

    def write(self, samples: Float, end_s: float, rate: int) -> None:
        """Append samples [n]; the sound after the last one entered at `end_s`. Speech process
        only."""
        for start in range(0, len(samples), PIECE):
            piece = samples[start : start + PIECE]
            after = len(samples) - start - len(piece)
            self.append(end_s=end_s - after / rate, size=len(piece), samples=piece)
