"""Performances of the generator, kept whole to be measured: sound, seed, direction -> a take."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from zlib import crc32

import numpy as np

from avatar.motion.direction import Direction
from avatar.speech.generator import MotionGenerator
from avatar.types import AUDIO_RATE, Float, MotionFrame

NEUTRAL = Direction()
_SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """What is spoken to the generator."""

    name: str
    samples: Float
    """[n] mono at 16 kHz, -1..1."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / AUDIO_RATE

    def first(self, seconds: float) -> "Sound":
        """Its beginning."""
        return Sound(self.name, self.samples[: round(seconds * AUDIO_RATE)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Take:
    """What the face did to one sound: T frames, 50 a second."""

    frames: tuple[MotionFrame, ...]
    expression: Float
    """[T, 52]"""
    gaze: Float
    """[T, 2] against the head, rad."""
    rotation: Float
    """[T, 3] axis-angle, rad."""
    translation: Float
    """[T, 3] m."""
    tongue: Float
    """[T, 3]"""
    elapsed_s: float
    """That the generator took, on the clock on the wall."""
    processor_s: float
    """The same in time of the processor, all threads together."""

    @property
    def everything(self) -> Float:
        """[T, 62] all that moves, side by side."""
        parts = (self.expression, self.gaze, self.rotation, self.translation, self.tongue)
        return np.concatenate(parts, axis=1)


def take_of(
    frames: Sequence[MotionFrame], elapsed_s: float = 0.0, processor_s: float = 0.0
) -> Take:
    """The frames, at least one, as arrays."""
    return Take(
        frames=tuple(frames),
        expression=np.stack([frame.expression for frame in frames]),
        gaze=np.stack([frame.gaze for frame in frames]),
        rotation=np.stack([frame.head_rotation for frame in frames]),
        translation=np.stack([frame.head_translation for frame in frames]),
        tongue=np.stack([frame.tongue for frame in frames]),
        elapsed_s=elapsed_s,
        processor_s=processor_s,
    )


def perform(samples: Float, *, seed: int = 0, direction: Direction = NEUTRAL) -> Take:
    """The whole sound at once; it holds at least one sample."""
    return directed(samples, [(0.0, direction)], seed=seed)[0]


def directed(
    samples: Float, directions: Sequence[tuple[float, Direction]], *, seed: int
) -> tuple[Take, tuple[int, ...]]:
    """The same under directions that change: (seconds of sound before it, direction), rising.

    The first one holds from the start. Also the first frame that each of them can have changed:
    what a generator looks ahead, it is late.
    """
    clock, processor = time.perf_counter(), time.process_time()
    generator = MotionGenerator(seed=seed, direction=directions[0][1])
    starts = [0, *(round(at_s * AUDIO_RATE) for at_s, _ in directions[1:]), len(samples)]
    frames: list[MotionFrame] = []
    changes: list[int] = []
    for (start, end), (_, direction) in zip(pairwise(starts), directions, strict=True):
        changes.append(len(frames))
        if start:
            generator.direct(direction)
        frames += generator.step(samples[start:end])
    frames += generator.flush()
    take = take_of(frames, time.perf_counter() - clock, time.process_time() - processor)
    return take, tuple(changes)


@dataclass(frozen=True, slots=True, eq=False)
class Takes:
    """Takes given so far, each made once however many measures ask for it."""

    seed: int = 0
    """Of all takes, with what each sound adds to it: under one chance for all of them, short sounds
    would all blink in the same places, and a dozen of them say no more than one."""
    _known: dict[tuple[int, int, int], tuple[Sound, Direction, Take]] = field(default_factory=dict)
    """By the identities of sound and direction, which are kept alive here, and the seed."""

    def seed_of(self, sound: Sound) -> int:
        """Of its first take."""
        return self.seed + crc32(sound.name.encode()) % _SEEDS

    def of(self, sound: Sound, *, more: int = 0, direction: Direction = NEUTRAL) -> Take:
        """The take of this sound: of the same object, that is, not of one like it.

        `more` is added to the seed, for another take of it.
        """
        seed = self.seed_of(sound) + more
        key = (id(sound), seed, id(direction))
        if key not in self._known:
            take = perform(sound.samples, seed=seed, direction=direction)
            self._known[key] = (sound, direction, take)
        return self._known[key][2]
