"""A sound file at the pace of time, as a microphone would hear it."""

import time
from pathlib import Path

import numpy as np

from app.microphone import Heard
from app.sound_file import read_blocks
from app.speaker import Speaker
from avatar.errors import DeviceError, SoundError
from avatar.types import AUDIO_RATE

BLOCK = 160
"""Samples, 10 ms. Whole ones, from the file's beginning on, so that every other ends with a frame
of the generator: one that overlaps into the next block would wait for it, up to 10 ms."""


class PacedFile:
    """A sound file at the pace of time, as a microphone would hear it, and to the loudspeaker."""

    def __init__(self, path: Path, *, aloud: bool, look_ahead_s: float, from_s: float) -> None:
        self._path = path
        self.ended = False
        self.ended_s = 0.0
        """When it ended, `time.perf_counter()`; its last sample is heard `speaker_delay_s` on."""
        self.problem = ""
        self.blocks = 0
        self.speaker: Speaker | None = None
        if aloud:
            try:
                self.speaker = Speaker()
            except DeviceError as error:
                self.problem = str(error)
        # Heard this long after it entered the program: time for the generator to look ahead and
        # work, and for the device to take its samples early.
        self.speaker_delay_s = 0.0
        if self.speaker is not None:
            self.speaker_delay_s = max(look_ahead_s + 0.14, self.speaker.latency_s + 0.1)
        self._rest = np.zeros(0, np.float32)
        self._begin(from_s)

    def _begin(self, from_s: float) -> None:
        self._blocks = iter(read_blocks(self._path))
        self._skipping = int(from_s * AUDIO_RATE)
        self._given = 0  # samples handed out, silence after the end included
        self._played = 0  # samples of the file
        self._from_s = from_s
        self._start_s: float | None = None  # when sample 0 (after the skip) enters the program

    @property
    def position_s(self) -> float:
        """How far into the file it is."""
        return self._from_s + self._played / AUDIO_RATE

    def read(self) -> Heard | None:
        """What sounded since the last call, or None. The file is followed by silence."""
        if self._start_s is None:
            self._fill(1)  # opens the file, and skips to the place
            self._start_s = time.perf_counter()
            if self.speaker is not None:
                self.speaker.play_from(self._start_s + self.speaker_delay_s)
        due = int((time.perf_counter() - self._start_s) * AUDIO_RATE) - self._given
        due -= due % BLOCK
        if due <= 0:
            return None
        due = min(due, 4 * AUDIO_RATE // 10)  # after a pause catch up in steps
        if not self.ended:
            self._fill(due)
            self.blocks += 1
        samples, self._rest = self._rest[:due], self._rest[due:]
        if self.speaker is not None:
            self.speaker.write(samples)
        self._played += len(samples)
        if len(samples) < due:
            if not self.ended:
                self.ended, self.ended_s = True, time.perf_counter()
            samples = np.concatenate([samples, np.zeros(due - len(samples), np.float32)])
        self._given += due
        return Heard(samples, self._start_s + self._given / AUDIO_RATE)

    def _fill(self, count: int) -> None:
        """At least `count` samples in `_rest`, unless the file ends before."""
        parts, have = [self._rest], len(self._rest)
        while have < count:
            try:
                block = next(self._blocks, None)
            except SoundError as error:  # damaged further on: what came before was played
                self.problem, block = str(error), None
            if block is None:
                break
            skip = min(self._skipping, len(block))
            self._skipping -= skip
            parts.append(block[skip:])
            have += len(block) - skip
        self._rest = np.concatenate(parts) if len(parts) > 1 else self._rest

    def close(self) -> None:
        if self.speaker is not None:
            self.speaker.close()
