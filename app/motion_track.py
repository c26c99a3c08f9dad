"""The face at any instant: frames of the generator's 50 Hz, read between their times."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from avatar.motion.direction import Direction
from avatar.speech.voice import Voice
from avatar.types import MotionFrame


def interpolated(
    earlier: MotionFrame, later: MotionFrame, index: int, time_s: float
) -> MotionFrame:
    """The face at `time_s`, on the straight line between two frames; held outside them.

    A head turns less than 0.02 rad between frames of the generator: there a straight line
    between two axis-angle vectors and a true rotation differ by less than 1e-5 rad.
    """
    span_s = later.time_s - earlier.time_s
    part = float(np.clip((time_s - earlier.time_s) / span_s, 0, 1)) if span_s > 0 else 0.0

    def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a + np.float32(part) * (b - a)).astype(np.float32, copy=False)

    return MotionFrame(
        index=index,
        time_s=time_s,
        latent=between(earlier.latent, later.latent),
        expression=between(earlier.expression, later.expression),
        gaze=between(earlier.gaze, later.gaze),
        head_rotation=between(earlier.head_rotation, later.head_rotation),
        head_translation=between(earlier.head_translation, later.head_translation),
        tongue=between(earlier.tongue, later.tongue),
    )


def sampled(frames: Iterable[MotionFrame], fps: float, count: int) -> Iterator[MotionFrame]:
    """Frame i = the face at i / fps, for `count` frames; the first and last faces are held."""
    source = iter(frames)
    earlier = later = next(source, None)
    if earlier is None or later is None:
        return
    for index in range(count):
        time_s = index / fps
        while later.time_s < time_s:
            following = next(source, None)
            if following is None:
                break
            earlier, later = later, following
        yield interpolated(earlier, later, index, time_s)


def spoken(
    sound: Path, seed: int, *, direction: Direction | None = None, voice: Voice | None = None
) -> Iterator[MotionFrame]:
    """The motion of a face that says `sound`, at the generator's own rate, as a stream.

    Raises:
        SoundError: the file cannot be read.
    """
    from app.sound_file import read_blocks
    from avatar.speech.generator import MotionGenerator

    generator = MotionGenerator(seed=seed, direction=direction, voice=voice)
    for block in read_blocks(sound):
        yield from generator.step(block)
    yield from generator.flush()
