"""USD text: one UsdSkelAnimation with blend-shape weights and joints, and MetaHuman's curves on it.

`/Face` is a SkelRoot with a skeleton of a head and two eyes, `/Face/Animation` its animation:
`blendShapeWeights` (52 of ARKit and three of the tongue, by name), `rotations` and `translations`
of the joints, and as custom properties `custom:mh_curveNames` and `custom:mh_curveValues`. Bind a
mesh of your own with blend shapes of these names, or read the animation alone. Metres, y up, the
face looks along +z; one time code is one frame.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.pose import eye_centres, gaze_rotation
from avatar.head.template import load_template
from avatar.rig.columns import Columns
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

JOINTS = ("Root", "Root/Head", "Root/Head/LeftEye", "Root/Head/RightEye")


class UsdWriter:
    """See `avatar.motion.motion_file.MotionWriter`."""

    def __init__(
        self,
        path: Path,
        fps: float,
        names: Sequence[str],
        values: Callable[[MotionFrame], Float],
        timecode: str,
    ) -> None:
        """`names` and `values`: MetaHuman's curves; `timecode` of the first frame."""
        self._path, self._fps, self._names, self._values = path, fps, names, values
        self._timecode = timecode
        self._columns = Columns(path.parent)

    def write(self, frame: MotionFrame) -> None:
        head = Rotation.from_rotvec(frame.head_rotation.astype(np.float64)).as_quat()
        eye = Rotation.from_matrix(gaze_rotation(frame.gaze)).as_quat()
        self._columns.append(
            weights=np.concatenate([frame.expression, frame.tongue]),
            turns=np.concatenate([head[[3, 0, 1, 2]], eye[[3, 0, 1, 2]]]),
            places=frame.head_translation,
            curves=self._values(frame),
        )

    def finish(self) -> None:
        template = load_template()
        joint = template.neck_joint
        centres, _ = eye_centres(template, template.vertices)
        places = [np.zeros(3), joint, centres[0] - joint, centres[1] - joint]
        bind = [np.zeros(3), joint, centres[0], centres[1]]
        with self._path.open("w", encoding="utf-8", newline="\n") as file:
            file.write(
                _HEAD.format(
                    last=max(self._columns.count - 1, 0),
                    fps=f"{self._fps:g}",
                    timecode=self._timecode,
                    joints=_tokens(JOINTS),
                    rest=", ".join(_matrix(place) for place in places),
                    bind=", ".join(_matrix(place) for place in bind),
                    shapes=_tokens((*ARKIT_NAMES, *TONGUE_NAMES)),
                    curves=_tokens(self._names),
                    scales=", ".join(["(1, 1, 1)"] * len(JOINTS)),
                )
            )
            self._samples(file, "float[] blendShapeWeights", "weights", _numbers)
            self._samples(file, "quatf[] rotations", "turns", _turns)
            self._samples(file, "float3[] translations", "places", lambda row: _places(places, row))
            self._samples(file, "custom float[] custom:mh_curveValues", "curves", _numbers)
            file.write("    }\n}\n")

    def close(self) -> None:
        self._columns.close()

    def _samples(
        self, file: IO[str], attribute: str, column: str, text: Callable[[Float], str]
    ) -> None:
        file.write(f"        {attribute}.timeSamples = {{\n")
        rows: Iterator[Float] = self._columns.rows(column) if self._columns.count else iter(())
        for index, row in enumerate(rows):
            file.write(f"            {index}: [{text(row)}],\n")
        file.write("        }\n")


_HEAD = """#usda 1.0
(
    defaultPrim = "Face"
    doc = "Motion of a face, written by visavis"
    customLayerData = {{
        string timecode = "{timecode}"
    }}
    startTimeCode = 0
    endTimeCode = {last}
    timeCodesPerSecond = {fps}
    framesPerSecond = {fps}
    metersPerUnit = 1
    upAxis = "Y"
)

def SkelRoot "Face" (
    prepend apiSchemas = ["SkelBindingAPI"]
)
{{
    rel skel:animationSource = </Face/Animation>
    rel skel:skeleton = </Face/Skeleton>

    def Skeleton "Skeleton" (
        prepend apiSchemas = ["SkelBindingAPI"]
    )
    {{
        uniform token[] joints = [{joints}]
        uniform matrix4d[] restTransforms = [{rest}]
        uniform matrix4d[] bindTransforms = [{bind}]
        rel skel:animationSource = </Face/Animation>
    }}

    def SkelAnimation "Animation"
    {{
        uniform token[] blendShapes = [{shapes}]
        uniform token[] joints = [{joints}]
        half3[] scales = [{scales}]
        custom uniform token[] custom:mh_curveNames = [{curves}]
"""


def _tokens(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _numbers(values: Float) -> str:
    return ", ".join(f"{value:.6g}" for value in values.tolist())


def _vector(values: Float) -> str:
    return f"({', '.join(f'{float(value):.7g}' for value in values)})"


def _matrix(place: Float) -> str:
    x, y, z = (f"{float(value):.7g}" for value in place)
    return f"((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), ({x}, {y}, {z}, 1))"


def _turns(row: Float) -> str:
    head, eye = row[:4], row[4:]
    return ", ".join(["(1, 0, 0, 0)", _vector(head), _vector(eye), _vector(eye)])


def _places(rest: Sequence[Float], row: Float) -> str:
    return ", ".join([_vector(rest[0]), _vector(rest[1] + row), _vector(rest[2]), _vector(rest[3])])
