"""Live Link Face: what the phone app of that name sends, records, and Unreal takes.

61 numbers a frame: the 52 ARKit weights, then yaw, pitch and roll of the head and of each eye. The
app's packets have them in the order of Unreal's `EARFaceBlendShape`, its CSV has two pairs the
other way round and is read by name.

Angles are radians here, as in the app's recordings. Signs after Unreal's AppleARKitFaceSupport for
a face that is not mirrored, which negates the engine's left-handed yaw and roll: yaw + turns to
the face's own left, pitch + looks down, roll + tilts to the face's own right shoulder; turned in
the order yaw, pitch, roll. They were not checked with a phone. A MetaHuman's Live Link graph turns
its head by 50 degrees for 1.0, so there it turns by seven eighths of the way.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.errors import MotionFileError
from avatar.motion.latent import EYE_RANGE_RAD
from avatar.types import ARKIT_NAMES, Float

VERSION = 6

ANGLE_NAMES = (
    *("HeadYaw", "HeadPitch", "HeadRoll"),
    *("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    *("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
)
PACKET_NAMES: tuple[str, ...] = (
    *(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    *ANGLE_NAMES,
)
"""The 61, in the order of a packet."""
CSV_NAMES: tuple[str, ...] = tuple(
    {
        "JawLeft": "JawRight",
        "JawRight": "JawLeft",
        "MouthLeft": "MouthRight",
        "MouthRight": "MouthLeft",
    }.get(name, name)
    for name in PACKET_NAMES
)
"""The 61 columns of the app's CSV, after Timecode and BlendShapeCount."""
_IDENTITY_BYTES = 37
_RATE = struct.Struct(">IfIIB")
_VALUES = struct.Struct(">61f")


def values_of(
    expression: NDArray[np.floating],
    gaze: NDArray[np.floating],
    head_rotation: NDArray[np.floating],
) -> Float:
    """[T, 61] in the order of `PACKET_NAMES`: weights [T, 52], gaze [T, 2], head turns [T, 3]."""
    head = Rotation.from_rotvec(np.asarray(head_rotation, np.float64)).as_euler("YXZ")
    yaw, pitch = np.asarray(gaze, np.float64).T
    eye = np.stack([yaw, -pitch, np.zeros(len(yaw))], 1)
    return np.concatenate([expression, head, eye, eye], 1).astype(np.float32)


def face_of(values: NDArray[np.floating]) -> tuple[Float, Float, Float]:
    """Expression [T, 52], gaze [T, 2], head turn [T, 3] of [T, 61] in the order of `PACKET_NAMES`.

    The gaze is that of the eyeLook weights, whose signs nobody doubts; where they are all 0, that
    of the eyes' angles.
    """
    given = np.asarray(values, np.float64)
    expression = np.clip(given[:, :52], 0, 1)
    look = {name: expression[:, ARKIT_NAMES.index(f"eyeLook{name}")] for name in _LOOKS}
    yaw = look["OutLeft"] - look["InLeft"] + look["InRight"] - look["OutRight"]
    pitch = look["UpLeft"] - look["DownLeft"] + look["UpRight"] - look["DownRight"]
    gaze = np.stack([yaw, pitch], 1) * (EYE_RANGE_RAD / 2)
    if not any(weights.any() for weights in look.values()):
        left, right = given[:, 55:58], given[:, 58:61]
        gaze = np.stack([left[:, 0] + right[:, 0], -left[:, 1] - right[:, 1]], 1) / 2
    head = Rotation.from_euler("YXZ", given[:, 52:55]).as_rotvec()
    return expression.astype(np.float32), gaze.astype(np.float32), head.astype(np.float32)


_LOOKS = ("OutLeft", "InLeft", "InRight", "OutRight", "UpLeft", "DownLeft", "UpRight", "DownRight")


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One datagram."""

    subject: str
    """Under which Unreal lists the face."""
    frame: int
    """Of the timecode's clock: frames since midnight."""
    part: float
    """Of a frame, 0..1."""
    rate: tuple[int, int]
    """Frames a second: numerator, denominator."""
    values: Float
    """[61] in the order of `PACKET_NAMES`."""


def encode(packet: Packet, identity: str) -> bytes:
    """The datagram of version 6. `identity` tells one sender from another: a UUID of 36 letters."""
    name, uuid = packet.subject.encode("utf-8"), f"${identity}".encode("ascii")
    assert len(uuid) == _IDENTITY_BYTES, "identity: expected 36 letters"
    return b"".join(
        (
            struct.pack("<I", VERSION),
            uuid,
            struct.pack(">i", len(name)),
            name,
            _RATE.pack(packet.frame, packet.part, *packet.rate, len(packet.values)),
            _VALUES.pack(*packet.values.tolist()),
        )
    )


def decode(datagram: bytes) -> Packet | None:
    """What a datagram says; None for one without a face (the app sends such while it sees none).

    Raises:
        MotionFileError: not a Live Link Face datagram of version 6.
    """
    try:
        (version,) = struct.unpack_from("<I", datagram)
        (length,) = struct.unpack_from(">i", datagram, 4 + _IDENTITY_BYTES)
        end = 8 + _IDENTITY_BYTES + length
        if version != VERSION or not 0 <= length <= len(datagram):
            raise ValueError(f"version {version}, a name of {length} bytes")
        name = datagram[8 + _IDENTITY_BYTES : end].decode("utf-8")
        if len(datagram) <= end + _RATE.size:
            return None
        frame, part, numerator, denominator, count = _RATE.unpack_from(datagram, end)
        if count != len(PACKET_NAMES):
            raise ValueError(f"{count} values, expected {len(PACKET_NAMES)}")
        values = _VALUES.unpack_from(datagram, end + _RATE.size)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise MotionFileError(
            f"Live Link Face: expected a datagram of version {VERSION}, got {len(datagram)} bytes "
            f"({error})."
        ) from error
    return Packet(name, frame, part, (numerator, denominator), np.array(values, np.float32))
