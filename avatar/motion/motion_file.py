"""Motion as a file: .npz with everything, .csv and .json with what is named.

Other programs' forms are written by `avatar.rig.motion_files`, which chooses by the ending.

`.npz` (NumPy, no pickle): `time_s [T]`, `latent [T, L]`, `arkit [T, 52]`, `arkit_names`,
`metahuman [T, 174]`, `metahuman_names`, `gaze [T, 2]` yaw and pitch in radians,
`head_rotation [T, 3]` axis-angle in radians, `head_translation [T, 3]` metres, `fps`, and
`timecode`, the label of the first frame. Axes are
those of `avatar.types`. All three are written frame by frame: memory does not grow with length.
"""

import csv
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from avatar.errors import MotionFileError
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

ENDINGS = (".npz", ".csv", ".json")
POSE_NAMES = (
    *("gazeYaw", "gazePitch"),
    *("headRotationX", "headRotationY", "headRotationZ"),
    *("headX", "headY", "headZ"),
)
"""Columns after the expressions: radians, radians (axis-angle), metres."""
LARGEST_ARRAY_BYTES = 2 << 30
"""Of one array in a file that we read: 80 hours of expressions at 25 frames a second."""

ToControls = Callable[[MotionFrame], Float]
"""One frame -> the controls of another rig, such as MetaHuman's 174."""


class MotionWriter(Protocol):
    """An open motion file. `finish` completes it; without it the file is worthless."""

    def write(self, frame: MotionFrame) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Another rig's controls."""

    names: Sequence[str]
    of_frame: ToControls


def open_motion_writer(
    path: Path, fps: float, controls: Controls | None = None, timecode: str = "00:00:00:00"
) -> MotionWriter:
    """The writer for the ending of `path`; `controls` go into `.npz` as `metahuman`, into the
    others as columns after the rest.

    Raises:
        MotionFileError: an ending that no form has.
    """
    ending = path.suffix.lower()
    if ending == ".npz":
        return _NpzWriter(path, fps, controls, timecode)
    if ending == ".csv":
        return _CsvWriter(path, controls)
    if ending == ".json":
        return _JsonWriter(path, fps, controls, timecode)
    raise MotionFileError(f"{path}: expected the ending {', '.join(ENDINGS)}, got {ending!r}.")


class _NpzWriter:
    """Rows go to one temporary file each, which become entries of the archive at the end."""

    def __init__(self, path: Path, fps: float, controls: Controls | None, timecode: str) -> None:
        self._path, self._fps, self._controls = path, fps, controls
        self._timecode = timecode
        self._rows: dict[str, tuple[IO[bytes], int, np.dtype]] = {}
        self._count = 0

    def write(self, frame: MotionFrame) -> None:
        self._row("time_s", np.array([frame.time_s], np.float64))
        self._row("latent", frame.latent)
        self._row("arkit", frame.expression)
        if self._controls is not None:
            self._row("metahuman", self._controls.of_frame(frame))
        self._row("gaze", frame.gaze)
        self._row("head_rotation", frame.head_rotation)
        self._row("head_translation", frame.head_translation)
        self._row("tongue", frame.tongue)
        self._count += 1

    def finish(self) -> None:
        names = {
            "arkit_names": np.array(ARKIT_NAMES),
            "tongue_names": np.array(TONGUE_NAMES),
            "fps": np.array(self._fps),
            "timecode": np.array(self._timecode),
        }
        if self._controls is not None:
            names["metahuman_names"] = np.array(list(self._controls.names))
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, (rows, width, kind) in self._rows.items():
                shape = (self._count,) if name == "time_s" else (self._count, width)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array_header_1_0(
                        entry,
                        {
                            "descr": np.lib.format.dtype_to_descr(kind),
                            "fortran_order": False,
                            "shape": shape,
                        },
                    )
                    rows.seek(0)
                    shutil.copyfileobj(rows, entry, 1 << 20)
            for name, values in names.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, values, allow_pickle=False)

    def close(self) -> None:
        for rows, _, _ in self._rows.values():
            rows.close()

    def _row(self, name: str, values: NDArray) -> None:
        if name not in self._rows:
            beside = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115 (close)
            self._rows[name] = (beside, len(values), values.dtype)
        rows, width, kind = self._rows[name]
        assert (len(values), values.dtype) == (width, kind), f"{name} changed its shape"
        rows.write(values.tobytes())


class _CsvWriter:
    """A header, then one line a frame: time in seconds, face, gaze, head, tongue, controls."""

    def __init__(self, path: Path, controls: Controls | None) -> None:
        self._controls = controls
        self._file = path.open("w", newline="", encoding="utf-8")
        self._table = csv.writer(self._file)
        self._table.writerow(["time_s", *_names(controls)])

    def write(self, frame: MotionFrame) -> None:
        values = _named_values(frame, self._controls)
        self._table.writerow([f"{frame.time_s:.6f}", *(f"{value:.5f}" for value in values)])

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _JsonWriter:
    """`{"fps", "timecode", "names", "frames": [{"time_s", "values"}]}`, values in the order of
    names."""

    def __init__(self, path: Path, fps: float, controls: Controls | None, timecode: str) -> None:
        self._controls = controls
        self._file = path.open("w", encoding="utf-8")
        names = json.dumps(_names(controls))
        self._file.write(
            f'{{"fps": {fps:g}, "timecode": "{timecode}", "names": {names}, "frames": ['
        )
        self._separator = "\n"

    def write(self, frame: MotionFrame) -> None:
        values = ", ".join(f"{value:.5f}" for value in _named_values(frame, self._controls))
        self._file.write(f'{self._separator}{{"time_s": {frame.time_s:.6f}, "values": [{values}]}}')
        self._separator = ",\n"

    def finish(self) -> None:
        self._file.write("\n]}\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _names(controls: Controls | None) -> list[str]:
    own = [*ARKIT_NAMES, *POSE_NAMES, *TONGUE_NAMES]
    return own if controls is None else [*own, *controls.names]


def _named_values(frame: MotionFrame, controls: Controls | None) -> list[float]:
    """In the order of `_names`."""
    parts = [
        frame.expression, frame.gaze, frame.head_rotation, frame.head_translation, frame.tongue,
    ]  # fmt: skip
    if controls is not None:
        parts.append(controls.of_frame(frame))
    return np.concatenate(parts).tolist()


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionTrack:
    """The arrays of a motion file, checked."""

    time_s: NDArray[np.float64]
    """[T] rising."""
    latent: Float
    """[T, L]"""
    arkit: Float
    """[T, 52] 0..1 in the order of `ARKIT_NAMES`."""
    gaze: Float
    """[T, 2] radians."""
    head_rotation: Float
    """[T, 3] radians."""
    head_translation: Float
    """[T, 3] metres."""
    tongue: Float
    """[T, 3] 0..1 in the order of `TONGUE_NAMES`."""
    fps: float

    @property
    def duration_s(self) -> float:
        """Until the end of the last frame, which lasts as long as the rate says."""
        return float(self.time_s[-1]) + 1 / self.fps

    def __len__(self) -> int:
        return len(self.time_s)

    def frames(self) -> Iterator[MotionFrame]:
        for index in range(len(self)):
            yield MotionFrame(
                index=index,
                time_s=float(self.time_s[index]),
                latent=self.latent[index],
                expression=self.arkit[index],
                gaze=self.gaze[index],
                head_rotation=self.head_rotation[index],
                head_translation=self.head_translation[index],
                tongue=self.tongue[index],
            )


def read_motion(path: Path) -> MotionTrack:
    """Read a `.npz` as `visavis motion` writes it; what may be missing counts as zero.

    Needed: `time_s` and `arkit`. The file may come from anyone, so shapes are checked before
    memory is taken, and nothing is unpickled.

    Raises:
        MotionFileError: missing, not a motion file, damaged, or its numbers make no sense.
    """
    if path.is_dir():
        raise MotionFileError(f"{path}: a folder, expected a .npz written by visavis motion.")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                name: array
                for name in ("time_s", "latent", "arkit", "arkit_names", "fps", *_POSE_SHAPES)
                if (array := _read_array(path, archive, name)) is not None
            }
    except FileNotFoundError:
        raise MotionFileError(f"{path}: no such file.") from None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, OSError) as error:
        raise MotionFileError(
            f"{path}: not a motion file, or damaged ({error}). "
            "Expected a .npz written by visavis motion."
        ) from error
    return checked_track(path, arrays)


_POSE_SHAPES = {
    "gaze": 2, "head_rotation": 3, "head_translation": 3, "tongue": len(TONGUE_NAMES),
}  # fmt: skip


def _read_array(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray | None:
    try:
        entry = archive.getinfo(f"{name}.npy")
    except KeyError:
        return None
    if entry.file_size > LARGEST_ARRAY_BYTES:
        raise MotionFileError(f"{path}: {name} claims {entry.file_size:,} bytes; it is damaged.")
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has array format {version}")
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
        if kind.hasobject or int(np.prod(shape, dtype=object)) * kind.itemsize > entry.file_size:
            raise ValueError(f"{name} claims the shape {shape} of {kind}")
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def checked_track(path: Path, arrays: dict[str, NDArray]) -> MotionTrack:
    """The arrays of a file `path`, by the names of `.npz`, as a track.

    Raises:
        MotionFileError: something needed is missing, or the numbers make no sense.
    """
    for name in ("time_s", "arkit"):
        if name not in arrays:
            raise MotionFileError(f"{path}: lacks {name}; expected a file of visavis motion.")
    names = arrays.pop("arkit_names", None)
    if names is not None and tuple(names.reshape(-1).tolist()) != ARKIT_NAMES:
        raise MotionFileError(f"{path}: its arkit_names are not the 52 of ARKit in their order.")
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise MotionFileError(f"{path}: {name} holds something that is not a finite number.")
    time_s = arrays["time_s"].astype(np.float64)
    count = time_s.size
    if time_s.ndim != 1 or not count or (count > 1 and np.diff(time_s).min() <= 0):
        raise MotionFileError(f"{path}: time_s must be a list of rising times, at least one.")
    widths = {"arkit": len(ARKIT_NAMES), **_POSE_SHAPES}
    for name, width in widths.items():
        values = arrays.setdefault(name, np.zeros((count, width), np.float32))
        if values.shape != (count, width):
            raise MotionFileError(
                f"{path}: {name} has the shape {list(values.shape)}, expected [{count}, {width}]."
            )
    latent = arrays.get("latent", np.zeros((count, 0), np.float32))
    if latent.ndim != 2 or len(latent) != count:
        raise MotionFileError(f"{path}: latent has the shape {list(latent.shape)}.")
    fps = float(arrays["fps"]) if arrays.get("fps", np.zeros(2)).size == 1 else 25.0
    if not 0.1 <= fps <= 1000:
        raise MotionFileError(f"{path}: fps is {fps:g}, expected 0.1 to 1000.")
    return MotionTrack(
        time_s=time_s,
        latent=latent.astype(np.float32),
        arkit=np.clip(arrays["arkit"].astype(np.float32), 0, 1),
        **{name: arrays[name].astype(np.float32) for name in _POSE_SHAPES},
        fps=fps,
    )
