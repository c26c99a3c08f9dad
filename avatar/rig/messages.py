"""One frame of motion as messages of the protocols that live receivers speak.

OSC under `/visavis`, in one bundle a frame (docs/rig.md has the table):
`frame` (i count, f seconds), `arkit` (52 f), `metahuman` (174 f), `tongue` (3 f), `gaze` (2 f,
rad), `head/rotation` (3 f, axis-angle, rad), `head/translation` (3 f, m). In the named form each
weight and control has a message of its own: `arkit/jawOpen`, `metahuman/CTRL_C_jaw.ty`.

VMC (Virtual Motion Capture protocol, protocol.vmc.info): `/VMC/Ext/Blend/Val` for each expression,
`/VMC/Ext/Blend/Apply`, `/VMC/Ext/Bone/Pos` for head and eyes. Its axes are Unity's, left-handed
with x to the face's own right: x is mirrored.
"""

import json

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.errors import MotionFileError
from avatar.head.pose import gaze_rotation
from avatar.rig import osc
from avatar.rig.expressions import VRM0_NAMES, VRM_NAMES, vrm_of
from avatar.rig.metahuman import METAHUMAN_NAMES, from_face
from avatar.rig.spelling import control_names
from avatar.rig.stream_names import VmcNames
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

PREFIX = "/visavis"
_UNREAL = control_names("unreal")


def controls_of(frame: MotionFrame) -> Float:
    """[174] MetaHuman's controls."""
    return from_face(
        frame.expression[None], frame.gaze[None], frame.head_rotation[None], frame.tongue[None]
    )[0]


def osc_arrays(frame: MotionFrame, count: int, time_s: float) -> list[bytes]:
    """The datagram of a frame: whole arrays, in the order of their names."""
    return osc.bundles([*_osc_place(frame, count, time_s), *_osc_faces(frame)])


def osc_named(frame: MotionFrame, count: int, time_s: float) -> list[bytes]:
    """The datagrams of a frame: a message a weight."""
    weights = zip(ARKIT_NAMES, frame.expression.tolist(), strict=True)
    tongue = zip(TONGUE_NAMES, frame.tongue.tolist(), strict=True)
    controls = zip(_UNREAL, controls_of(frame).tolist(), strict=True)
    messages = _osc_place(frame, count, time_s)
    messages += [osc.message(f"{PREFIX}/arkit/{name}", value) for name, value in weights]
    messages += [osc.message(f"{PREFIX}/tongue/{name}", value) for name, value in tongue]
    messages += [osc.message(f"{PREFIX}/metahuman/{name}", value) for name, value in controls]
    return osc.bundles(messages)


def _osc_place(frame: MotionFrame, count: int, time_s: float) -> list[bytes]:
    return [
        osc.message(f"{PREFIX}/frame", count, time_s),
        osc.floats(f"{PREFIX}/gaze", frame.gaze.tolist()),
        osc.floats(f"{PREFIX}/head/rotation", frame.head_rotation.tolist()),
        osc.floats(f"{PREFIX}/head/translation", frame.head_translation.tolist()),
    ]


def _osc_faces(frame: MotionFrame) -> list[bytes]:
    return [
        osc.floats(f"{PREFIX}/arkit", frame.expression.tolist()),
        osc.floats(f"{PREFIX}/tongue", frame.tongue.tolist()),
        osc.floats(f"{PREFIX}/metahuman", controls_of(frame).tolist()),
    ]


def arrays_of(datagram: bytes) -> dict[str, Float]:
    """What `osc_arrays` put into a datagram: name after `/visavis/` -> numbers.

    Raises:
        MotionFileError: not such a datagram.
    """
    found: dict[str, Float] = {}
    for address, arguments in osc.parse(datagram):
        if not address.startswith(f"{PREFIX}/") or any(isinstance(a, str) for a in arguments):
            raise MotionFileError(f"OSC: expected numbers under {PREFIX}, got {address!r}.")
        found[address.removeprefix(f"{PREFIX}/")] = np.array(arguments, np.float32)
    if found.get("metahuman", np.zeros(0)).shape != (len(METAHUMAN_NAMES),):
        raise MotionFileError(f"OSC: expected {len(METAHUMAN_NAMES)} numbers as metahuman.")
    return found


def vmc(frame: MotionFrame, time_s: float, names: VmcNames) -> list[bytes]:
    """The datagrams of a frame for VMC receivers. `names`: which expressions the avatar there has:
    those of VRM 0.x or 1.0, or the 52 of ARKit ("perfect sync")."""
    head = Rotation.from_rotvec(frame.head_rotation.astype(np.float64)).as_quat()
    eye = Rotation.from_matrix(gaze_rotation(frame.gaze)).as_quat()
    messages = [osc.message("/VMC/Ext/OK", 1), osc.message("/VMC/Ext/T", time_s)]
    messages += [_bone(name, turn) for name, turn in (("Head", head), ("LeftEye", eye),
                                                      ("RightEye", eye))]  # fmt: skip
    messages += [
        osc.message("/VMC/Ext/Blend/Val", name, value)
        for name, value in vmc_expressions(frame, names).items()
    ]
    return osc.bundles([*messages, osc.message("/VMC/Ext/Blend/Apply")])


def vmc_expressions(frame: MotionFrame, names: VmcNames) -> dict[str, float]:
    """Name -> weight 0..1. Where the eyes look is told by their bones."""
    if names == "arkit":
        pairs = zip(ARKIT_NAMES, frame.expression.tolist(), strict=True)
        return {f"{name[0].upper()}{name[1:]}": weight for name, weight in pairs}
    weights = vrm_of(frame.expression[None], frame.gaze[None])[0].tolist()
    spelled = VRM0_NAMES if names == "vrm0" else VRM_NAMES
    return {
        name: weight for name, weight in zip(spelled, weights, strict=True)
        if not name.lower().startswith("look")
    }  # fmt: skip


def _bone(name: str, quaternion: Float) -> bytes:
    """A bone's turn against its rest, x y z w; mirrored in x for Unity."""
    x, y, z, w = quaternion.tolist()
    return osc.message("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, x, -y, -z, w)


def json_names() -> str:
    """The first message of a JSON stream: what the numbers of the others mean."""
    return json.dumps(
        {
            "type": "names",
            "arkit": ARKIT_NAMES,
            "tongue": TONGUE_NAMES,
            "metahuman": _UNREAL,
            "vrm": VRM_NAMES,
            "gaze": ["yaw", "pitch"],
            "units": "weights and controls without, angles in radians, metres, seconds",
        }
    )


def json_frame(frame: MotionFrame, count: int, time_s: float) -> str:
    """A frame of a JSON stream."""

    def digits(values: Float, places: int = 4) -> list[float]:
        return [round(value, places) for value in values.tolist()]

    return json.dumps(
        {
            "type": "frame",
            "frame": count,
            "time_s": round(time_s, 4),
            "arkit": digits(frame.expression),
            "tongue": digits(frame.tongue),
            "metahuman": digits(controls_of(frame)),
            "vrm": digits(vrm_of(frame.expression[None], frame.gaze[None])[0]),
            "gaze": digits(frame.gaze, 5),
            "head_rotation": digits(frame.head_rotation, 5),
            "head_translation": digits(frame.head_translation, 5),
        },
        separators=(",", ":"),
    )
