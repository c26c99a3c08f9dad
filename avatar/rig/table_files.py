"""Motion as tables: the CSV of Live Link Face and of Unreal's rig mapper, and reading any of them.

* Live Link Face: `Timecode, BlendShapeCount`, then 61 named columns, a row a frame
  (`avatar.rig.live_link`). Translation of the head and the tongue's own weights have no column.
* Rig mapper (Unreal 5.8): `curve_name, frame_number, value`, a row for each curve of each frame.
* Our own: `time_s`, the 52 ARKit names, gaze, head, tongue, then the 174 controls.

Read are all three, by the names in their first line: recordings of a phone, tables that a
spreadsheet wrote with semicolons and decimal commas, and animation of a MetaHuman's face board.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import MotionFileError
from avatar.motion.motion_file import POSE_NAMES, MotionTrack, checked_track
from avatar.rig.live_link import CSV_NAMES, PACKET_NAMES, face_of, values_of
from avatar.rig.metahuman import control_table, to_arkit
from avatar.rig.spelling import control_index
from avatar.rig.timecode import DAY_S, Timecode
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

RIG_MAPPER_NAMES = ("curve_name", "frame_number", "value")
MOST_ROWS = 20_000_000
"""Of a table that is read: four days at 60 frames a second."""
MOST_FRAMES = 4_000_000
_APP_FPS = 60
"""What the phone app records at unless told otherwise."""
_TO_CSV = [PACKET_NAMES.index(name) for name in CSV_NAMES]


class LiveLinkCsvWriter:
    """As the phone app records. See `avatar.motion.motion_file.MotionWriter`."""

    def __init__(self, path: Path, fps: float, start: Timecode) -> None:
        self._fps, self._start, self._count = fps, start, 0
        self._file = path.open("w", newline="", encoding="utf-8")
        self._table = csv.writer(self._file, lineterminator="\n")
        self._table.writerow(["Timecode", "BlendShapeCount", *CSV_NAMES])

    def write(self, frame: MotionFrame) -> None:
        values = values_of(frame.expression[None], frame.gaze[None], frame.head_rotation[None])[0]
        label = f"{self._start.after(self._count, self._fps)}.000"
        numbers = [f"{value:.8f}" for value in values[_TO_CSV].tolist()]
        self._table.writerow([label, str(len(CSV_NAMES)), *numbers])
        self._count += 1

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class RigMapperCsvWriter:
    """As Unreal's rig mapper imports. See `avatar.motion.motion_file.MotionWriter`."""

    def __init__(
        self, path: Path, names: Sequence[str], values: Callable[[MotionFrame], Float]
    ) -> None:
        self._names, self._values, self._count = names, values, 0
        self._file = path.open("w", newline="", encoding="utf-8")
        self._file.write(",".join(RIG_MAPPER_NAMES) + "\n")

    def write(self, frame: MotionFrame) -> None:
        pairs = zip(self._names, self._values(frame).tolist(), strict=True)
        self._file.writelines(f"{name},{self._count},{value:.6f}\n" for name, value in pairs)
        self._count += 1

    def finish(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_table(path: Path, fps: float) -> MotionTrack:
    """A table of any of the three kinds, told by its first line; `fps` where it names no times.

    Raises:
        MotionFileError: missing, no such table, or its numbers make no sense; says in which line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline(1 << 16)
            separator = ";" if first.count(";") > first.count(",") else ","
            header = [
                word.strip().strip('"')
                for word in next(csv.reader([first], delimiter=separator), [])
            ]
            rows = _rows(path, file, separator, len(header))
            known = {name.lower(): index for index, name in enumerate(header)}
            if len(known) != len(header):
                twice = next(name for name in header if header.count(name) > 1)
                raise MotionFileError(f"{path}: the column {twice!r} is there twice.")
            if set(RIG_MAPPER_NAMES) <= set(known):
                return _read_rig_mapper(path, rows, known, fps)
            if "timecode" in known and "blendshapecount" in known:
                return _read_live_link(path, rows, known)
            if "time_s" in known:
                return _read_own(path, rows, known)
    except FileNotFoundError:
        raise MotionFileError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MotionFileError(f"{path}: not a table of motion ({error}).") from error
    raise MotionFileError(
        f"{path}: expected a first line with Timecode and BlendShapeCount (Live Link Face), "
        f"curve_name, frame_number and value (rig mapper), or time_s; got {first.strip()[:60]!r}."
    )


def _rows(
    path: Path, file: Iterator[str], separator: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells; a decimal comma becomes a point where commas do not separate."""
    for number, line in enumerate(file, 2):
        if not line.strip():
            continue
        if number > MOST_ROWS:
            raise MotionFileError(f"{path}: more than {MOST_ROWS:,} lines; cut it in parts.")
        cells = line.rstrip("\r\n").split(separator)
        if len(cells) != width:
            commas = "; decimal commas?" if len(cells) > width and separator == "," else ""
            raise MotionFileError(
                f"{path}, line {number}: {len(cells)} values, expected {width} as the first line "
                f"has{commas or '; is it cut off?'} Write decimals with a point, or separate the "
                "columns by semicolons."
            )
        if separator == ";":
            cells = [cell.replace(",", ".") for cell in cells]
        yield number, cells


def _columns(path: Path, known: dict[str, int], wanted: Sequence[str], what: str) -> list[int]:
    missing = [name for name in wanted if name.lower() not in known]
    if missing:
        named = ", ".join(missing[:4]) + (", ..." if len(missing) > 4 else "")
        raise MotionFileError(
            f"{path}: lacks {len(missing)} of the {len(wanted)} columns of {what} ({named})."
        )
    return [known[name.lower()] for name in wanted]


def _numbers(path: Path, number: int, cells: Sequence[str]) -> NDArray[np.float64]:
    try:
        values = np.array(cells, np.float64)
    except ValueError:
        bad = next(cell for cell in cells if not _is_number(cell))
        raise MotionFileError(f"{path}, line {number}: {bad!r} is not a number.") from None
    if not np.isfinite(values).all():
        raise MotionFileError(f"{path}, line {number}: holds something that is not finite.")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _collected(path: Path, rows: Iterator[tuple[int, list[str]]], columns: list[int]) -> Float:
    """[T, columns] of all rows, in blocks, so that a long table is no list of lists."""
    blocks: list[Float] = []
    block: list[NDArray[np.float64]] = []
    for number, cells in rows:
        block.append(_numbers(path, number, [cells[column] for column in columns]))
        if len(block) == _BLOCK:
            blocks.append(np.array(block, np.float32))
            block = []
    if block:
        blocks.append(np.array(block, np.float32))
    if not blocks:
        raise MotionFileError(f"{path}: names its columns and holds no frame.")
    return np.concatenate(blocks)


_BLOCK = 4096


def _read_live_link(
    path: Path, rows: Iterator[tuple[int, list[str]]], known: dict[str, int]
) -> MotionTrack:
    faces = _columns(path, known, PACKET_NAMES[: len(ARKIT_NAMES)], "Live Link Face")
    angles = [known.get(name.lower()) for name in PACKET_NAMES[len(ARKIT_NAMES) :]]
    labels: list[Timecode] = []

    def labelled() -> Iterator[tuple[int, list[str]]]:
        for number, cells in rows:
            try:
                labels.append(Timecode.parse([cells[known["timecode"]]]))
            except ValueError as error:
                raise MotionFileError(f"{path}, line {number}: {error}.") from None
            yield number, [*cells, "0"]  # an angle that is not there

    values = _collected(path, labelled(), [*faces, *(-1 if a is None else a for a in angles)])
    fps = _counted_rate(labels)
    times = _rising(path, labels, fps)
    expression, gaze, head = face_of(values)
    return checked_track(
        path,
        {"time_s": times, "arkit": expression, "gaze": gaze, "head_rotation": head,
         "fps": np.array(float(fps))},
    )  # fmt: skip


def _counted_rate(labels: Sequence[Timecode]) -> int:
    """Frames that a second of these labels has: known where one second follows another."""
    if labels[0].seconds == labels[-1].seconds:
        return max(_APP_FPS, max(label.frame for label in labels) + 1)
    return max(label.frame for label in labels) + 1


def _rising(path: Path, labels: Sequence[Timecode], fps: int) -> NDArray[np.float64]:
    """[T] seconds from the first label on. Past midnight they go on; two frames with one label,
    which a phone writes when it is busy, are set a quarter of a frame apart."""
    times = np.array([label.in_seconds(fps) for label in labels])
    times += DAY_S * np.cumsum(np.concatenate([[0], np.diff(times) < -DAY_S / 2]))
    for index in range(1, len(times)):
        if times[index] <= times[index - 1]:
            if times[index - 1] - times[index] > 1:
                raise MotionFileError(
                    f"{path}, line {index + 2}: its timecode {labels[index]} is before that of the "
                    "line above. Expected one recording, in order."
                )
            times[index] = times[index - 1] + 0.25 / fps
    return times - times[0]


def _read_own(
    path: Path, rows: Iterator[tuple[int, list[str]]], known: dict[str, int]
) -> MotionTrack:
    columns = _columns(path, known, ("time_s", *ARKIT_NAMES), "a motion table")
    extra = [name for name in (*POSE_NAMES, *TONGUE_NAMES) if name.lower() in known]
    columns += [known[name.lower()] for name in extra]
    values = _collected(path, rows, columns)
    named = dict(zip(extra, values[:, 1 + len(ARKIT_NAMES) :].T, strict=True))
    missing = np.zeros(len(values), np.float32)

    def several(names: Sequence[str]) -> Float:
        return np.stack([named.get(name, missing) for name in names], 1)

    times = values[:, 0].astype(np.float64)
    steps = np.diff(times)
    fps = 1 / float(np.median(steps)) if len(steps) and np.median(steps) > 0 else 25.0
    return checked_track(
        path,
        {
            "time_s": times,
            "arkit": values[:, 1 : 1 + len(ARKIT_NAMES)],
            "gaze": several(POSE_NAMES[:2]),
            "head_rotation": several(POSE_NAMES[2:5]),
            "head_translation": several(POSE_NAMES[5:]),
            "tongue": several(TONGUE_NAMES),
            "fps": np.array(round(fps, 3)),
        },
    )


def _read_rig_mapper(
    path: Path, rows: Iterator[tuple[int, list[str]]], known: dict[str, int], fps: float
) -> MotionTrack:
    name_at, frame_at, value_at = (known[name] for name in RIG_MAPPER_NAMES)
    entries: list[tuple[int, int, float]] = []
    for number, cells in rows:
        column = control_index(cells[name_at].strip())
        if column is None:
            continue  # a curve of something else
        frame, value = _numbers(path, number, [cells[frame_at], cells[value_at]]).tolist()
        if frame != math.floor(frame) or not 0 <= frame < MOST_FRAMES:
            raise MotionFileError(
                f"{path}, line {number}: frame {cells[frame_at]!r}, expected a whole number from 0 "
                f"to {MOST_FRAMES:,}."
            )
        entries.append((int(frame), column, value))
    if not entries:
        raise MotionFileError(f"{path}: names none of the 174 controls of a MetaHuman's face.")
    table = np.array(entries)
    first = int(table[:, 0].min())
    frames = table[:, 0].astype(int) - first
    controls = np.full((int(frames.max()) + 1, len(control_table().rest)), np.nan, np.float32)
    controls[frames, table[:, 1].astype(int)] = table[:, 2]
    _held(controls)
    face = to_arkit(controls)
    return checked_track(
        path,
        {
            "time_s": np.arange(len(controls)) / fps,
            "arkit": face.expression,
            "gaze": face.gaze,
            "tongue": face.tongue,
            "fps": np.array(float(fps)),
        },
    )


def _held(controls: Float) -> None:
    """A curve without a key at a frame keeps its last value; before its first it is at rest."""
    controls[0] = np.where(np.isnan(controls[0]), control_table().rest, controls[0])
    for before, row in pairwise(controls):
        np.copyto(row, before, where=np.isnan(row))
