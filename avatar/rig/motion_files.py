"""Every file that motion is written to and read from, by the ending of its name.

.npz holds everything (`avatar.motion.motion_file`), .csv and .json what has names, .usda an
animation for USD, .glb the project's own head that moves, .bvh the head alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from avatar.errors import MotionFileError
from avatar.motion.motion_file import (
    LARGEST_ARRAY_BYTES,
    POSE_NAMES,
    Controls,
    MotionTrack,
    MotionWriter,
    checked_track,
    open_motion_writer,
    read_motion,
)
from avatar.rig.bvh_file import BvhWriter
from avatar.rig.gltf_file import GltfWriter
from avatar.rig.metahuman import from_face
from avatar.rig.spelling import Rig, Spelling, control_names, raw_values
from avatar.rig.table_files import LiveLinkCsvWriter, RigMapperCsvWriter, read_table
from avatar.rig.timecode import Timecode
from avatar.rig.usd_file import UsdWriter
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

Layout = Literal["own", "livelink", "rigmapper"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
ENDINGS = (".npz", ".csv", ".json", ".usda", ".glb", ".bvh")
READ_ENDINGS = (".npz", ".csv", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm:
    """What a file's ending leaves open."""

    layout: Layout = "own"
    """Of a .csv."""
    spelling: Spelling | None = None
    """Of MetaHuman's controls; None: as the format usually has them."""
    rig: Rig = "old"
    """Names of the tongue's controls."""
    start: Timecode = field(default_factory=Timecode)
    """Of the first frame."""


def open_motion_file(
    path: Path, fps: float, form: FileForm | None = None, sound: bytes | None = None
) -> MotionWriter:
    """The writer for the ending of `path`; `sound`, an MP3, goes into a .glb.

    Raises:
        MotionFileError: an ending that no form has.
    """
    form = FileForm() if form is None else form
    ending = path.suffix.lower()
    if ending == ".glb":
        return GltfWriter(path, fps, str(form.start), sound)
    if ending == ".bvh":
        return BvhWriter(path, fps)
    if ending == ".usda":
        controls = metahuman_controls(form.spelling or "unreal", form.rig)
        return UsdWriter(path, fps, controls.names, controls.of_frame, str(form.start))
    if ending == ".csv" and form.layout == "livelink":
        return LiveLinkCsvWriter(path, fps, form.start)
    if ending == ".csv" and form.layout == "rigmapper":
        controls = metahuman_controls(form.spelling or "unreal", form.rig)
        return RigMapperCsvWriter(path, controls.names, controls.of_frame)
    if ending not in (".npz", ".csv", ".json"):
        raise MotionFileError(f"{path}: expected the ending {', '.join(ENDINGS)}, got {ending!r}.")
    controls = metahuman_controls(form.spelling or "published", form.rig)
    return open_motion_writer(path, fps, controls, str(form.start))


def metahuman_controls(spelling: Spelling = "published", rig: Rig = "old") -> Controls:
    """MetaHuman's 174 controls of a frame, or the raw expressions, under these names."""

    def of_frame(frame: MotionFrame) -> Float:
        controls = from_face(
            frame.expression[None], frame.gaze[None], frame.head_rotation[None], frame.tongue[None]
        )
        return (raw_values(controls) if spelling == "raw" else controls)[0]

    return Controls(names=control_names(spelling, rig), of_frame=of_frame)


def read_motion_file(path: Path, fps: float) -> MotionTrack:
    """A motion file of any of `READ_ENDINGS`; `fps` for a table that tells no times.

    Raises:
        MotionFileError: missing, of another kind, damaged, or its numbers make no sense.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return read_table(path, fps)
    if ending == ".json":
        return _read_json(path)
    return read_motion(path)


def _read_json(path: Path) -> MotionTrack:
    try:
        if path.stat().st_size > LARGEST_ARRAY_BYTES:
            raise MotionFileError(f"{path}: larger than {LARGEST_ARRAY_BYTES:,} bytes.")
        stored = json.loads(path.read_text(encoding="utf-8"))
        names = [str(name) for name in stored["names"]]
        times = np.array([frame["time_s"] for frame in stored["frames"]], np.float64)
        values = np.array([frame["values"] for frame in stored["frames"]], np.float32)
        fps = float(stored["fps"])
    except FileNotFoundError:
        raise MotionFileError(f"{path}: no such file.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise MotionFileError(
            f"{path}: not a motion file, or damaged ({type(error).__name__}: {error}). Expected a "
            ".json written by visavis motion."
        ) from error
    if values.ndim != 2 or values.shape[1] != len(names):
        raise MotionFileError(
            f"{path}: its frames have {list(values.shape)} values, expected {len(names)} each."
        )
    missing = [name for name in ARKIT_NAMES if name not in names]
    if missing:
        raise MotionFileError(f"{path}: lacks {len(missing)} of ARKit's names ({missing[0]}, ...).")

    def several(wanted: tuple[str, ...]) -> Float:
        return np.stack(
            [
                values[:, names.index(name)] if name in names else np.zeros(len(values), np.float32)
                for name in wanted
            ],
            1,
        )

    return checked_track(
        path,
        {
            "time_s": times,
            "arkit": several(ARKIT_NAMES),
            "gaze": several(POSE_NAMES[:2]),
            "head_rotation": several(POSE_NAMES[2:5]),
            "head_translation": several(POSE_NAMES[5:]),
            "tongue": several(TONGUE_NAMES),
            "fps": np.array(fps),
        },
    )
