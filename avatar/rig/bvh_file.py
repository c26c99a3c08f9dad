"""BVH: the head and both eyes as joints, for programs that know skeletons only.

`Neck` (root, at rest) -> `Head` (place and turn) -> `LeftEye`, `RightEye` (turn). Centimetres, as
usual in BVH; y up, the face looks along +z. Turns are degrees in the order Z, X, Y: the rotation
is Rz Rx Ry applied to a column, the reading of Biovision's format by every importer.
"""

from pathlib import Path
from typing import IO

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.pose import eye_centres, gaze_rotation
from avatar.head.template import load_template
from avatar.rig.columns import Columns
from avatar.types import Float, MotionFrame

_CM = 100.0
_ROTATIONS = "Zrotation Xrotation Yrotation"


class BvhWriter:
    """See `avatar.motion.motion_file.MotionWriter`."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._columns = Columns(path.parent)
        self._joint = load_template().neck_joint

    def write(self, frame: MotionFrame) -> None:
        head = Rotation.from_rotvec(frame.head_rotation.astype(np.float64))
        eye = Rotation.from_matrix(gaze_rotation(frame.gaze)).as_euler("ZXY", degrees=True)
        place = _CM * (frame.head_translation + self._joint)
        turns = [head.as_euler("ZXY", degrees=True), eye, eye]
        self._columns.append(row=np.concatenate([place, *turns]))

    def finish(self) -> None:
        template = load_template()
        centres, _ = eye_centres(template, template.vertices)
        with self._path.open("w", encoding="ascii", newline="\n") as file:
            _write_hierarchy(file, self._joint, centres)
            file.write(f"MOTION\nFrames: {self._columns.count}\nFrame Time: {1 / self._fps:.8f}\n")
            still = "0.0 0.0 0.0 0.0 0.0 0.0"
            for row in self._columns.rows("row") if self._columns.count else ():
                file.write(f"{still} {' '.join(f'{value:.5f}' for value in row)}\n")

    def close(self) -> None:
        self._columns.close()


def _write_hierarchy(file: IO[str], joint: Float, centres: Float) -> None:
    def offset(values: Float) -> str:
        return "OFFSET " + " ".join(f"{_CM * float(value):.5f}" for value in values)

    file.write(f"""HIERARCHY
ROOT Neck
{{
  OFFSET 0.0 0.0 0.0
  CHANNELS 6 Xposition Yposition Zposition {_ROTATIONS}
  JOINT Head
  {{
    {offset(joint)}
    CHANNELS 6 Xposition Yposition Zposition {_ROTATIONS}
""")
    for name, centre in zip(("LeftEye", "RightEye"), centres, strict=True):
        file.write(f"""    JOINT {name}
    {{
      {offset(centre - joint)}
      CHANNELS 3 {_ROTATIONS}
      End Site
      {{
        OFFSET 0.0 0.0 5.0
      }}
    }}
""")
    file.write("  }\n}\n")
