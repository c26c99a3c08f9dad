"""What leaves a live run: recordings, snapshots, turntables, a virtual camera."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.frame_sink import Picture, Shown, png
from app.output_file import written_beside
from app.recording import Recording, RecordingStatus
from app.turntable import Turntable
from app.virtual_camera import VirtualCamera
from avatar.errors import OutputError

log = logging.getLogger(__name__)

MOST_SNAPSHOTS = 4
"""Being written at once."""

Colour = tuple[float, float, float]


class Wishes(Protocol):
    """What of `app.panel.Wishes` is for the outputs."""

    @property
    def backdrop(self) -> Colour | None: ...
    @property
    def snapshot(self) -> "Snapshot | None": ...
    @property
    def turntable(self) -> Turntable | None: ...
    @property
    def record(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """Where and how the outputs are made."""

    folder: Path
    """For what is asked for by a button or by another program, which name no paths."""
    fps: float
    backdrop: Colour
    """Behind the head where there is no alpha, sRGB 0..1."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One picture, asked for."""

    alpha: bool = False
    deliver: Callable[[bytes], None] | None = None
    """Gets the PNG, in a thread of its own; None: it is written to the folder."""


class Outputs:
    """All outputs of a run; a `FrameSink`. The frame loop's thread calls it."""

    def __init__(
        self,
        options: OutputOptions,
        read_sound: Callable[[], NDArray[np.void]],
        camera: VirtualCamera | None = None,
    ) -> None:
        """`read_sound`: as `Recording` has it. `camera`: gets the pictures for as long as it runs;
        closed with the rest."""
        self._options, self._read_sound, self._camera = options, read_sound, camera
        self._recording: Recording | None = None
        self._snapshots: list[Snapshot] = []
        self._savers: list[threading.Thread] = []
        self._turntable: tuple[Turntable, float] | None = None  # and when it began
        self._problem = ""
        self._saved = ""
        self._named: set[str] = set()
        self._naming = threading.Lock()

    @property
    def backdrop(self) -> Colour:
        """Behind the head in what is begun from now on."""
        return self._options.backdrop

    @property
    def recording(self) -> RecordingStatus | None:
        """Of the newest recording; None before there was one."""
        return None if self._recording is None else self._recording.status

    @property
    def is_recording(self) -> bool:
        return self._recording is not None and self._recording.status.running

    @property
    def saved_name(self) -> str:
        """File name of the newest snapshot or ended recording; empty before there is one."""
        recording = self.recording
        if self._saved or recording is None or recording.running or not recording.seconds:
            return self._saved
        return recording.path.name

    @property
    def progress(self) -> str:
        """How long and how large the recording is, for the panel; empty where none runs."""
        if (recording := self.recording) is None or not recording.running:
            return ""
        minutes, seconds = divmod(int(recording.seconds), 60)
        return f"{minutes}:{seconds:02d}  {recording.size_bytes / 1e6:.1f} MB"

    @property
    def dropped(self) -> int:
        """Pictures that the newest recording had to leave out."""
        return 0 if self._recording is None else self._recording.status.dropped

    @property
    def problem(self) -> str:
        """What went wrong last, one line; empty while all is well."""
        recording = self.recording.problem if self.recording is not None else ""
        camera = self._camera.problem if self._camera is not None else ""
        return self._problem or recording or camera

    def wants(self, at_s: float) -> bool:
        sinks = (self._recording, self._camera)
        wanted = [sink is not None and sink.wants(at_s) for sink in sinks]
        return bool(self._snapshots) or any(wanted)

    def take(self, shown: Shown) -> None:
        for sink in (self._recording, self._camera):
            if sink is not None and sink.wants(shown.at_s):
                sink.take(shown)
        for snapshot in self._snapshots:
            self._save(snapshot, shown.picture.copy())
        self._snapshots.clear()

    def fulfil(self, wishes: Wishes, size: tuple[int, int]) -> None:
        """Do what is asked of the outputs. `size` of the pictures: width and height, pixels.

        Raises:
            OutputError: it is not possible now.
        """
        if wishes.backdrop is not None:
            self._options = replace(self._options, backdrop=wishes.backdrop)
        if wishes.snapshot is not None:
            self.snapshot(wishes.snapshot)
        if wishes.turntable is not None:
            self.turn(wishes.turntable, size, self.named(wishes.record or ".mp4"))
        elif wishes.record is not None:
            self.start_recording(size, self.named(wishes.record))

    def start_recording(self, size: tuple[int, int], path: Path) -> None:
        """Record to `path` from the next picture on. `size`: as `fulfil`.

        Raises:
            OutputError: one is running already.
        """
        if self._recording is not None and self._recording.status.running:
            raise OutputError(
                f"{self._recording.status.path}: is being recorded; stop that before another."
            )
        self._problem = self._saved = ""
        self._recording = Recording(
            path,
            size=(size[0] + size[0] % 2, size[1] + size[1] % 2),
            fps=self._options.fps,
            backdrop=self._options.backdrop,
            read_sound=self._read_sound,
        )

    def stop_recording(self) -> None:
        """Let the recording end, if one is running; returns at once."""
        if self._recording is not None:
            self._recording.stop()
        self._turntable = None

    def snapshot(self, snapshot: Snapshot) -> None:
        """Save or deliver the next picture.

        Raises:
            OutputError: several are being written already.
        """
        self._savers = [saver for saver in self._savers if saver.is_alive()]
        if len(self._savers) + len(self._snapshots) >= MOST_SNAPSHOTS:
            raise OutputError(f"{MOST_SNAPSHOTS} snapshots are being written; wait for one.")
        self._problem = ""
        self._snapshots.append(snapshot)

    def turn(self, turntable: Turntable, size: tuple[int, int], path: Path) -> None:
        """Record while the camera turns once. Raises: as `start_recording`."""
        self.start_recording(size, path)
        self._turntable = turntable, time.perf_counter()

    def turned_rad(self, now_s: float) -> float:
        """By how much the camera is turned aside for a turntable; ends it when it is over."""
        if self._turntable is None:
            return 0.0
        turntable, began_s = self._turntable
        if now_s - began_s < turntable.seconds:
            return turntable.yaw_rad(now_s - began_s)
        self.stop_recording()
        return 0.0

    def named(self, ending: str) -> Path:
        """A path in the folder that is not taken, by date and time."""
        stem = time.strftime("visavis-%Y%m%d-%H%M%S")
        for number in range(1, 100):
            name = f"{stem}{'' if number == 1 else f'-{number}'}{ending}"
            path = self._options.folder / name
            with self._naming:  # several snapshots look for a name at once
                if name not in self._named and not path.exists():
                    self._named.add(name)
                    return path
        raise OutputError(f"{self._options.folder}: 99 files of this second; wait for the next.")

    def close(self) -> None:
        """End everything and wait until the files are whole."""
        if self._recording is not None:
            self._recording.close()
        for saver in self._savers:
            saver.join()
        if self._camera is not None:
            self._camera.close()

    def _save(self, snapshot: Snapshot, picture: Picture) -> None:
        saver = threading.Thread(
            target=self._write_snapshot, args=(snapshot, picture), name="snapshot"
        )
        self._savers.append(saver)
        saver.start()

    def _write_snapshot(self, snapshot: Snapshot, picture: Picture) -> None:
        """In a thread of its own."""
        coded = png(picture, None if snapshot.alpha else self._options.backdrop)
        if snapshot.deliver is not None:
            snapshot.deliver(coded)
            return
        try:
            path = self.named(".png")
            with written_beside(path) as beside:
                beside.write_bytes(coded)
            self._saved = path.name
        except OutputError as error:
            self._problem = str(error)
            log.warning("%s", error)
