"""A recording of the live pictures and of the sound that is heard, made in a thread of its own.

Both lie on one clock: the instant at which a sound entered the program. A face is shown some 190 ms
after the sound that it belongs to; in the film it stands where that sound is, so they are in step
however late the live picture was.
"""

import contextlib
import logging
import shutil
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.frame_sink import Picture, Shown
from app.output_file import check_folder_of, check_output
from app.recording_file import RecordingFile, open_recording_file
from avatar.errors import OutputError
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

ENDINGS = (".mp4", ".webm")
MOST_WAITING = 8
"""Pictures that may wait for the coder; further ones are left out, and counted."""
USUAL_DELAY_S = 0.19
"""From a sound to its face, until it is known."""
SOUND_SLACK = round(0.015 * AUDIO_RATE)
"""Samples by which blocks of sound may miss each other without a gap between them."""
MOST_PENDING = 200
"""Blocks of sound kept while no picture has come yet, some seconds."""
SOUND_PATIENCE_S = 1.0
"""Sound that is later than this is taken to be silence."""
LEAST_FREE_BYTES = 64 << 20
"""With less on the disk a recording ends by itself: to end well takes room too."""
SPACE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingStatus:
    """How a recording stands."""

    path: Path
    """Where it will be, or is."""
    running: bool
    seconds: float
    size_bytes: int
    dropped: int
    """Pictures left out because the coder was busy; the one before is shown longer instead."""
    problem: str
    """Why it ended or never began, one line; empty while all is well."""


def check_recording(path: Path) -> None:
    """Find out before anything starts whether a recording can be made at `path`.

    Raises:
        OutputError: another ending, no such folder, no permission.
    """
    if path.suffix:
        check_output(path, ENDINGS)
    elif path.exists():
        raise OutputError(f"{path}: exists already; name a new folder for the pictures.")
    else:
        check_folder_of(path)


def unfinished(path: Path) -> Path:
    """Where a recording is kept until it ends: beside `path`, in sight, since a killed program
    leaves it there to be played. Never one that exists."""
    for number in range(1, 1000):
        name = f"{path.stem}.unfinished{'' if number == 1 else f'-{number}'}{path.suffix}"
        if not (beside := path.with_name(name)).exists():
            return beside
    raise OutputError(f"{path.parent}: holds 999 unfinished recordings of {path.stem}; tidy up.")


class Recording:
    """One recording: a `FrameSink`. It becomes `path` when it ends, for whatever reason."""

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: float,
        backdrop: tuple[float, float, float],
        read_sound: Callable[[], NDArray[np.void]],
    ) -> None:
        """Starts its thread and returns at once; `status` tells what became of it.

        `size`: width and height of the film, pixels, even. `read_sound` gives what is new of the
        sound (`app.sound_channel.RECORD`); called in the thread.
        """
        self._path, self._size, self._fps = path, size, fps
        self._backdrop, self._read_sound = backdrop, read_sound
        # The frame loop's:
        self._begin_s: float | None = None  # of the film, on the clock of the sound
        self._delay_s = USUAL_DELAY_S
        self._newest = -1  # number of the newest picture given
        self._dropped = 0
        # Between both:
        self._waiting: deque[tuple[int, Picture]] = deque()
        self._spare: deque[Picture] = deque()
        self._wake = threading.Event()
        self._stopping = False
        # The thread's:
        self._pictures = self._samples = 0  # written
        self._pending: deque[tuple[float, Float]] = deque()  # instant of its end, samples
        self._space_checked_s = 0.0
        self._size_bytes = 0
        self._problem = ""
        self._running = True
        self._thread = threading.Thread(target=self._work, name="recording")
        self._thread.start()

    @property
    def status(self) -> RecordingStatus:
        return RecordingStatus(
            path=self._path,
            running=self._running,
            seconds=self._pictures / self._fps,
            size_bytes=self._size_bytes,
            dropped=self._dropped,
            problem=self._problem,
        )

    def wants(self, at_s: float) -> bool:
        if self._stopping or not self._running:
            return False
        number = self._number(at_s - self._delay_s)
        if number <= self._newest:
            return False
        if len(self._waiting) >= MOST_WAITING:
            self._newest = number
            self._dropped += 1
            return False
        return True

    def take(self, shown: Shown) -> None:
        if shown.heard_s is not None:
            self._delay_s = shown.at_s - shown.heard_s
        instant_s = shown.at_s - self._delay_s
        if self._begin_s is None:
            self._begin_s = instant_s
        number = self._number(instant_s)
        if number <= self._newest:
            return
        self._newest = number
        kept = self._spare.pop() if self._spare else shown.picture.copy()
        if kept.shape != shown.picture.shape:
            kept = shown.picture.copy()
        else:
            np.copyto(kept, shown.picture)
        self._waiting.append((number, kept))
        self._wake.set()

    def stop(self) -> None:
        """Let it end; returns at once."""
        self._stopping = True
        self._wake.set()

    def close(self) -> None:
        """Let it end and wait until the file is whole."""
        self.stop()
        self._thread.join()

    def _number(self, instant_s: float) -> int:
        """Of the picture of the film that shows an instant on the clock of the sound."""
        if self._begin_s is None:
            return 0
        return int(np.floor((instant_s - self._begin_s) * self._fps + 0.5))

    # Below: in the thread.

    def _work(self) -> None:
        try:
            self._record()
        except Exception as error:  # a worker's outermost frame: tell, and end
            log.error("%s", traceback.format_exc())
            self._end(OutputError(f"{self._path}: {type(error).__name__}: {error}"))

    def _record(self) -> None:
        try:
            beside = unfinished(self._path)
            file = open_recording_file(
                beside, size=self._size, fps=self._fps, backdrop=self._backdrop
            )
        except OutputError as error:
            self._end(error)
            return
        problem: OutputError | None = None
        try:
            while self._write_news(file, beside):
                self._wake.wait(0.02)
                self._wake.clear()
            self._write_sound(file, self._pictures, to_the_end=True)
        except OutputError as error:
            problem = error
        try:
            file.close()
        except OutputError as error:
            problem = problem or error
        self._size_bytes = file.size_bytes()
        with contextlib.suppress(OSError):
            if not self._pictures:
                _remove(beside)
            else:
                beside.replace(self._path)
        self._end(problem)

    def _end(self, problem: OutputError | None) -> None:
        if problem is not None:
            kept = f"; the first {self._pictures / self._fps:.1f} s are kept" * bool(self._pictures)
            reason = str(problem).replace(".unfinished", "").rstrip(".")
            self._problem = f"recording ended: {reason}{kept}."
            log.warning("%s", self._problem)
        self._running = False

    def _write_news(self, file: RecordingFile, beside: Path) -> bool:
        """Write what has come; False when it was the last."""
        last = self._stopping  # before looking: what came until then is still written
        self._hear()
        while self._waiting:
            number, picture = self._waiting.popleft()
            self._hear()  # a busy coder comes out of this loop seldom
            gap = number - self._pictures
            # Between two pictures each instant gets the nearer one.
            before = gap // 2 if self._pictures else 0
            for shown in (*[None] * before, picture, *[None] * (gap - before)):
                file.write_picture(shown)
                self._pictures += 1
                self._write_sound(file, self._pictures)
            if len(self._spare) < MOST_WAITING:
                self._spare.append(picture)
        self._check_space(file, beside)
        return not last

    def _hear(self) -> None:
        for record in self._read_sound():
            self._pending.append((float(record["end_s"]), record["samples"][: record["size"]]))
        while self._begin_s is None and len(self._pending) > MOST_PENDING:
            self._pending.popleft()

    def _write_sound(self, file: RecordingFile, pictures: int, *, to_the_end: bool = False) -> None:
        """The sound up to the end of so many pictures, each block at its time."""
        until = round(pictures / self._fps * AUDIO_RATE)
        while self._pending and self._begin_s is not None:
            end_s, samples = self._pending[0]
            first = round((end_s - self._begin_s) * AUDIO_RATE) - len(samples)
            if abs(first - self._samples) <= SOUND_SLACK and self._samples:
                first = self._samples
            if first + len(samples) > until:
                break
            self._pending.popleft()
            late = self._samples - first
            if late < 0:
                self._add_sound(file, np.zeros(-late, np.float32))
            self._add_sound(file, samples[max(late, 0) :])
        patience = 0 if to_the_end else round(SOUND_PATIENCE_S * AUDIO_RATE)
        if (missing := until - patience - self._samples) > 0:
            self._add_sound(file, np.zeros(missing, np.float32))

    def _add_sound(self, file: RecordingFile, samples: Float) -> None:
        if len(samples):
            file.write_sound(samples)
            self._samples += len(samples)

    def _check_space(self, file: RecordingFile, beside: Path) -> None:
        now = time.perf_counter()
        if now - self._space_checked_s < SPACE_EVERY_S:
            return
        self._space_checked_s = now
        self._size_bytes = file.size_bytes()
        try:
            free = shutil.disk_usage(beside.parent).free
        except OSError as error:
            raise OutputError(f"{self._path}: its folder is gone ({error.strerror})") from error
        if free < LEAST_FREE_BYTES:
            raise OutputError(
                f"{self._path}: the disk is full ({free / 1e6:.0f} MB left). Make room for more"
            )


def _remove(path: Path) -> None:
    """A recording in which there is nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
