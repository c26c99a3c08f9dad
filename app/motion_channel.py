"""Shared memory between the frame loop and the speech process: motion one way, status both ways.

`RecordRing`     fixed records, in order: one writer, one reader
`MotionChannel`  such a ring of motion frames
`SharedRecord`   one small record; each field has one side that writes it

The process that makes the memory (the frame loop's) also takes it away; the other attaches by
name. Neither ever waits for the other.
"""

from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.types import ARKIT_NAMES, TONGUE_NAMES, MotionFrame

SLOTS = 128
"""Records in the ring: 2.5 s at 50 frames a second."""
LATENT_CAPACITY = 128
"""The longest latent that fits a record; the record says how much of it is used."""

RECORD = np.dtype(
    [
        ("sequence", np.int64),  # the writer's count; equal to `sequence_end` in a whole record
        ("index", np.int64),
        ("time_s", np.float64),
        ("heard_s", np.float64),
        ("latent_size", np.int32),
        ("latent", np.float32, LATENT_CAPACITY),
        ("expression", np.float32, len(ARKIT_NAMES)),
        ("gaze", np.float32, 2),
        ("head_rotation", np.float32, 3),
        ("head_translation", np.float32, 3),
        ("tongue", np.float32, len(TONGUE_NAMES)),
        ("sequence_end", np.int64),
    ],
    align=True,
)
"""One motion frame. `heard_s` is the instant at which its sound entered the program, on the clock
that all processes of a machine share (`time.perf_counter`)."""

_HEADER_BYTES = 64


class RecordRing:
    """The newest records of one kind, from the process that writes to the one that reads.

    A slot is filled first and counted second, and each slot carries its number at both ends, so
    a reader never sees half a record, on processors that reorder writes too. A reader that sleeps
    for more than half of the slots loses the oldest; `missed` counts them.
    """

    def __init__(self, record: np.dtype[Any], slots: int, name: str | None = None) -> None:
        """Create the memory, or with `name` attach to memory that exists. `record` has the integer
        fields `sequence` and `sequence_end`, the ring's own, first and last."""
        self._memory = SharedMemory(
            name, create=name is None, size=_HEADER_BYTES + slots * record.itemsize
        )
        self._count: NDArray[np.int64] = np.ndarray(1, np.int64, self._memory.buf)
        self._slots: NDArray[np.void] = np.ndarray(
            slots, record, self._memory.buf, offset=_HEADER_BYTES
        )
        self._scratch = np.zeros(1, record)
        self._seen = int(self._count[0])
        self.missed = 0  # records overwritten before they were read

    @property
    def name(self) -> str:
        """What the other process attaches by."""
        return self._memory.name

    def append(self, **fields: Any) -> None:
        """Add a record of these fields; a short array fills the front of its field. Writer only."""
        count = int(self._count[0])
        scratch = self._scratch
        scratch["sequence"] = scratch["sequence_end"] = count
        for field, value in fields.items():
            room = scratch[field]
            if room.ndim == 1:
                room[0] = value
            else:
                room[0, : len(value)] = value
        slot = count % len(self._slots)
        self._slots[slot : slot + 1] = scratch
        self._count[0] = count + 1

    def read_new(self) -> NDArray[np.void]:
        """Records written since the last call, oldest first, as a copy. Reader only."""
        count, slots = int(self._count[0]), len(self._slots)
        if count == self._seen:
            return self._slots[:0].copy()
        first = max(self._seen, count - slots // 2)
        wanted = np.arange(first, count)
        records = self._slots[wanted % slots]  # a copy
        # A record that the writer lapped while it was copied has another number at one end.
        whole = (records["sequence"] == wanted) & (records["sequence_end"] == wanted)
        records = records[whole]
        self.missed += count - self._seen - len(records)
        self._seen = count
        return records

    def close(self, *, unlink: bool) -> None:
        """Let go of the memory; the process that created it also unlinks it."""
        del self._count, self._slots
        self._memory.close()
        if unlink:
            self._memory.unlink()


class MotionChannel(RecordRing):
    """Motion frames from the speech process to the frame loop."""

    def __init__(self, name: str | None = None) -> None:
        """Create the memory, or with `name` attach to memory that exists."""
        super().__init__(RECORD, SLOTS, name)

    def write(self, frame: MotionFrame, heard_s: float) -> None:
        """Append one frame. Speech process only."""
        size = len(frame.latent)
        assert size <= LATENT_CAPACITY, f"latent of {size}, room for {LATENT_CAPACITY}"
        self.append(
            index=frame.index,
            time_s=frame.time_s,
            heard_s=heard_s,
            latent_size=size,
            latent=frame.latent,
            expression=frame.expression,
            gaze=frame.gaze,
            head_rotation=frame.head_rotation,
            head_translation=frame.head_translation,
            tongue=frame.tongue,
        )


class SharedRecord:
    """One record in shared memory: numbers by field name, and short texts.

    Every field has one writing process. A number is read whole (aligned, at most 8 bytes); a text
    may be read while it is replaced, so whoever needs it exact puts a count beside it and changes
    the count last.
    """

    def __init__(self, record: np.dtype[Any], name: str | None = None) -> None:
        """Create the memory (all zero), or with `name` attach to memory that exists."""
        self._memory = SharedMemory(name, create=name is None, size=record.itemsize)
        self._record: NDArray[np.void] = np.ndarray(1, record, self._memory.buf)
        if name is None:
            self._record[:] = np.zeros(1, record)

    @property
    def name(self) -> str:
        """What the other process attaches by."""
        return self._memory.name

    def __getitem__(self, field: str) -> Any:
        value = self._record[field][0]
        return value.item() if isinstance(value, np.generic) else value.copy()

    def __setitem__(self, field: str, value: object) -> None:
        self._record[field] = value

    def text(self, field: str) -> str:
        """A bytes field as text."""
        return bytes(self[field]).decode("utf-8", errors="replace")

    def set_text(self, field: str, text: str) -> None:
        """Put text into a bytes field, cut to what fits without splitting a character."""
        room = self._record.dtype[field].itemsize
        self[field] = text.encode("utf-8")[:room].decode("utf-8", errors="ignore").encode("utf-8")

    def close(self, *, unlink: bool) -> None:
        """Let go of the memory; the process that created it also unlinks it."""
        del self._record
        self._memory.close()
        if unlink:
            self._memory.unlink()
