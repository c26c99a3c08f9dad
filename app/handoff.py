"""How values cross threads. Nothing else in the program shares mutable state between threads.

`SampleRing`  every sample matters, in order   (audio callback -> generator, feeder -> speaker)
`Latest`      only the newest value matters    (loader -> frame loop)
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from avatar.types import Float

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stamped(Generic[T]):
    """A value and the moment it was published."""

    value: T
    time_s: float
    """`time.perf_counter()` at publication."""
    sequence: int
    """Starts at 1 and rises by 1 per publication, so a reader can count what it skipped."""


class Latest(Generic[T]):
    """One writer, many readers; a reader never waits and never sees half a value.

    Rebinding one attribute to an immutable object is atomic in CPython (with or without the
    GIL), so no lock is needed. The value must be immutable: a reader may hold it for as long as
    it likes.
    """

    def __init__(self) -> None:
        self._current: Stamped[T] | None = None

    def publish(self, value: T, time_s: float) -> None:
        """Replace the current value. Only the owning thread may call this."""
        before = self._current
        self._current = Stamped(value, time_s, 1 if before is None else before.sequence + 1)

    def read(self) -> Stamped[T] | None:
        """The newest value, or None before the first publication."""
        return self._current


class SampleRing:
    """Samples from one writer thread to one reader thread.

    `write` and `read_into` are safe in an audio callback: they take no lock, allocate no buffers
    and never block. When the reader falls behind, new samples are dropped and counted; the reader
    decides what a gap means. Channels, where there are several, lie interleaved.
    """

    def __init__(self, capacity: int) -> None:
        """`capacity` is in samples and must be a power of two."""
        if capacity <= 0 or capacity & (capacity - 1):
            raise ValueError(f"capacity must be a power of two, got {capacity}")
        self._buffer = np.zeros(capacity, np.float32)
        self._mask = capacity - 1
        self._written = 0  # samples ever written; only the writer assigns it
        self._read = 0  # samples ever read; only the reader assigns it
        self.dropped = 0  # samples lost to overrun; only the writer assigns it

    @property
    def capacity(self) -> int:
        """The most samples that can wait."""
        return len(self._buffer)

    @property
    def available(self) -> int:
        """Samples ready to read."""
        return self._written - self._read

    def write(self, samples: Float) -> bool:
        """Append samples [n], or drop the whole block (and return False) if it does not fit."""
        count = len(samples)
        if count > len(self._buffer) - self.available:
            self.dropped += count
            return False
        start = self._written & self._mask
        head = min(count, len(self._buffer) - start)
        self._buffer[start : start + head] = samples[:head]
        self._buffer[: count - head] = samples[head:]
        self._written += count  # published last: the reader trusts this count
        return True

    def read_into(self, out: Float) -> bool:
        """Fill `out` [n] with the oldest samples; False (and `out` untouched) if too few wait."""
        count = len(out)
        if self.available < count:
            return False
        start = self._read & self._mask
        head = min(count, len(self._buffer) - start)
        out[:head] = self._buffer[start : start + head]
        out[head:] = self._buffer[: count - head]
        self._read += count  # released last: the writer may now reuse this space
        return True

    def skip(self, count: int) -> int:
        """Throw away up to `count` of the oldest samples; how many it were. Reader only."""
        count = max(0, min(count, self.available))
        self._read += count
        return count
