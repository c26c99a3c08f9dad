"""An Avatar as one file: safetensors with the JSON facts in its metadata. Never pickle.

Layout: the tensors of `Avatar` under their field names, and in the metadata `format` (what this
is), `version`, `name`, `template` (which head template its vertices continue), `fit` and
`provenance` as JSON. Everything is checked before it is believed: the file may come from anyone.
"""

import json
import os
import struct
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from avatar.errors import AvatarFileError, OutputError
from avatar.residual import FACE_CODE, HEAD_CODE, WIDTH
from avatar.types import Avatar, ResidualPart

FORMAT = "visavis-avatar"
VERSION = 1
"""Raised when a file of an older program can no longer be read as it is."""

LARGEST_HEADER_BYTES = 1 << 20
LARGEST_FILE_BYTES = 2 << 30
LARGEST_COUNT = 5_000_000
"""Splats or vertices: far above any head, far below what would exhaust memory."""

_FLOAT = (np.float32, np.float16)
_LAYOUT: dict[str, tuple[tuple[str | int, ...], tuple[type, ...]]] = {
    "vertices": (("M", 3), _FLOAT),
    "triangles": (("T", 3), (np.int32,)),
    "neck_weights": (("M",), _FLOAT),
    "expression_gain": ((52,), _FLOAT),
    "bound_triangle": (("N",), (np.int32,)),
    "bound_position": (("N", 3), _FLOAT),
    "bound_rotation": (("N", 4), _FLOAT),
    "bound_scale": (("N", 3), _FLOAT),
    "opacity": (("N",), _FLOAT),
    "colour": (("N", 3), _FLOAT),
    "glance": (("G", 3), _FLOAT),
    "taken_from": ((3,), _FLOAT),
    "light": ((9, 3), _FLOAT),
    "thumbnail": (("H", "W", 3), (np.uint8,)),
}
_PARTS = {"face_residual": FACE_CODE, "pose_residual": HEAD_CODE}
"""Residual networks, with the numbers of the motion code that each is asked with."""
_PART_FIELDS = ("mean", "whiten", "reach", "mix", "shift", "splats", "bases")
for _name, _code in _PARTS.items():
    _rows, _features = f"R of {_name}", f"K of {_name}"
    _LAYOUT |= {
        f"{_name}.mean": ((_code,), _FLOAT),
        f"{_name}.whiten": ((_code, _code), _FLOAT),
        f"{_name}.reach": ((1,), _FLOAT),
        f"{_name}.mix": ((_code, _features), _FLOAT),
        f"{_name}.shift": ((_features,), _FLOAT),
        f"{_name}.splats": ((_rows,), (np.int32,)),
        f"{_name}.bases": ((_rows, _features, WIDTH), _FLOAT),
    }
_IN_PARTS = tuple(f"{part}.{field}" for part in _PARTS for field in _PART_FIELDS)
_OPTIONAL = ("glance", "taken_from", "light", "thumbnail", *_IN_PARTS)
"""Not in the files of older programs, which can read newer files without them."""
RESIDUAL_VERSION = 1
"""Of the residual networks alone: programs that know none read such files, and show the avatar
without."""
_MOST_FEATURES = 64
_LARGEST_WEIGHT = 1e4
_LARGEST_BASE = 50.0
"""Far above what is learned, in units of a triangle or less; a file may come from anyone."""
_STRONGEST_LIGHT = 100.0
"""Coefficients of a light are about 1 to 5."""
_FARTHEST_CAMERA_M = 1000.0
_LARGEST_THUMBNAIL = 512
"""Pixels of a side."""
_STORED_SMALL = ("bound_position", "bound_rotation", "bound_scale", "opacity", "colour", "glance",
                 "face_residual.bases", "pose_residual.bases")  # fmt: skip
"""Kept as float16: errors of 1/2000 of a triangle of about 5 mm, or of 1/8 of a colour step."""


def save_avatar(avatar: Avatar, path: Path) -> None:
    """Write `avatar` to `path`, whole or not at all; the same avatar gives the same bytes.

    Raises:
        OutputError: the folder is missing or not writable, or the disk is full.
    """
    tensors = {}
    for field in _LAYOUT:
        values = _value(avatar, field)
        if values is None:
            continue
        stored = values.astype(np.float16) if field in _STORED_SMALL else values
        tensors[field] = np.ascontiguousarray(stored)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "name": avatar.name,
        "fit": json.dumps(avatar.fit),
        "provenance": json.dumps(avatar.provenance),
    }
    if any(getattr(avatar, part) is not None for part in _PARTS):
        metadata["residual"] = str(RESIDUAL_VERSION)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it, or name another.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(_in_order(save(tensors, metadata)))
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        detail = error.strerror if isinstance(error, OSError) else str(error)
        raise OutputError(f"{path}: cannot be written ({detail or error}).") from error
    finally:
        beside.unlink(missing_ok=True)


def _value(avatar: Avatar, field: str) -> np.ndarray | None:
    """What a tensor of the file holds; None where the avatar has nothing of the kind."""
    part, _, inner = field.partition(".")
    value = getattr(avatar, part)
    if not inner or value is None:
        return value
    values = getattr(value, inner)
    return np.array([values], np.float32) if isinstance(values, float) else values


def _in_order(serialised: bytes) -> bytes:
    """The same safetensors file with its header's keys sorted: the library shuffles the metadata
    at every call, and then two makings of one avatar could not be compared."""
    (length,) = struct.unpack("<Q", serialised[:8])
    facts = json.loads(serialised[8 : 8 + length])
    header = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8
    return struct.pack("<Q", len(header)) + header + serialised[8 + length :]


def load_avatar(path: Path) -> Avatar:
    """Read and check an avatar.

    Raises:
        AvatarFileError: missing, not an avatar, damaged, of a newer version, or its numbers lie.
    """
    check_avatar_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            _check_identity(path, metadata)
            names = set(file.keys())
            _check_residual_version(path, metadata, names)
            missing = sorted(set(_LAYOUT) - set(_OPTIONAL) - names)
            if missing:
                raise AvatarFileError(
                    f"{path}: damaged avatar, it lacks {', '.join(missing)}. Make it again."
                )
            arrays = {field: file.get_tensor(field) for field in _LAYOUT if field in names}
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if isinstance(error, AvatarFileError):
            raise
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AvatarFileError(
            f"{path}: damaged or cut short ({detail}). Copy the file, or make the avatar, again."
        ) from error
    _check_arrays(path, arrays)
    return Avatar(
        name=metadata.get("name", path.stem),
        fit=_json_object(path, metadata, "fit"),
        provenance=_json_object(path, metadata, "provenance"),
        **{field: _as_used(values) for field, values in arrays.items() if field not in _IN_PARTS},
        face_residual=_part(arrays, "face_residual"),
        pose_residual=_part(arrays, "pose_residual"),
    )


def _as_used(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def _part(arrays: dict[str, np.ndarray], part: str) -> ResidualPart | None:
    if f"{part}.bases" not in arrays:
        return None
    fields = {field: _as_used(arrays[f"{part}.{field}"]) for field in _PART_FIELDS}
    return ResidualPart(**{**fields, "reach": float(fields["reach"][0])})


def read_thumbnail(path: Path) -> np.ndarray | None:
    """[H, W, 3] the picture of itself that an avatar's file carries; None where it has none. Reads
    no more of the file than that.

    Raises:
        AvatarFileError: missing, not an avatar, damaged.
    """
    check_avatar_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            _check_identity(path, file.metadata() or {})
            has_one = "thumbnail" in set(file.keys())
            picture = file.get_tensor("thumbnail") if has_one else None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if isinstance(error, AvatarFileError):
            raise
        raise AvatarFileError(f"{path}: damaged or cut short. Make the avatar again.") from error
    if picture is None or picture.size == 0:
        return None
    if (
        picture.dtype != np.uint8
        or picture.shape[2:] != (3,)
        or max(picture.shape) > _LARGEST_THUMBNAIL
    ):
        raise AvatarFileError(
            f"{path}: damaged avatar, its thumbnail is no picture. Make it again."
        )
    return picture


def check_avatar_file(path: Path) -> None:
    """Refuse what is not a safetensors file of sane size before any library reads it: quick, so
    that a program can tell before it starts.

    Raises:
        AvatarFileError: missing, or not an avatar by its first bytes.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise AvatarFileError(f"{path}: a folder, not an avatar. Name the .avatar file in it.")
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise AvatarFileError(
            f"{path}: no such avatar. Make one with: visavis make PORTRAIT -o {path.name}"
        ) from None
    except OSError as error:
        raise AvatarFileError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if size > LARGEST_FILE_BYTES:
        raise AvatarFileError(
            f"{path}: {size / 2**30:.1f} GB, an avatar has at most "
            f"{LARGEST_FILE_BYTES / 2**30:.0f} GB. This is not an avatar made by visavis."
        )
    if start[:4] in (b"ply\n", b"ply\r"):
        raise AvatarFileError(
            f"{path}: Gaussians that stand still (.ply), expected an .avatar, which can move. Draw "
            "it with visavis still, or name the .avatar that it was exported from."
        )
    if len(start) < 9 or start[8:9] != b"{":
        raise AvatarFileError(
            f"{path}: not an avatar (expected a .avatar file made by visavis make)."
        )
    (header,) = struct.unpack("<Q", start[:8])
    if header > LARGEST_HEADER_BYTES or header + 8 > size:
        raise AvatarFileError(
            f"{path}: its header claims {header:,} bytes, the file has {size:,} and a header at "
            f"most {LARGEST_HEADER_BYTES:,}. It is damaged or not an avatar; make it again."
        )


def _check_identity(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise AvatarFileError(
            f"{path}: a safetensors file, but not an avatar (expected format {FORMAT}, got "
            f"{metadata.get('format', 'none')!r:.40}). Name a file made by visavis make."
        )
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise AvatarFileError(
            f"{path}: format {version!r:.20}, this build reads {VERSION}. "
            "Update the program, or make the avatar again."
        )


def _check_residual_version(path: Path, metadata: dict[str, str], names: set[str]) -> None:
    for part in _PARTS:
        held = [field for field in _PART_FIELDS if f"{part}.{field}" in names]
        if held and len(held) < len(_PART_FIELDS):
            missing = sorted(set(_PART_FIELDS) - set(held))
            raise AvatarFileError(
                f"{path}: damaged avatar, its {part} lacks {', '.join(missing)}. Make it again."
            )
    version = metadata.get("residual", str(RESIDUAL_VERSION))
    if version != str(RESIDUAL_VERSION):
        raise AvatarFileError(
            f"{path}: its residual networks are of format {version!r:.20}, this build reads "
            f"{RESIDUAL_VERSION}. Update the program, or make the avatar again."
        )


def _json_object(path: Path, metadata: dict[str, str], key: str) -> dict:
    try:
        value = json.loads(metadata.get(key, "{}"))
    except (json.JSONDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise AvatarFileError(f"{path}: damaged avatar, its {key} is not a JSON object.")
    return value


def _check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    sizes: dict[str, int] = {}
    for field, values in arrays.items():
        shape, kinds = _LAYOUT[field]
        if values.dtype.type not in kinds or values.ndim != len(shape):
            raise AvatarFileError(
                f"{path}: damaged avatar, {field} is {values.dtype}{list(values.shape)}, "
                f"expected {kinds[0].__name__}[{', '.join(map(str, shape))}]. Make it again."
            )
        for expected, got in zip(shape, values.shape, strict=True):
            wanted = sizes.setdefault(expected, got) if isinstance(expected, str) else expected
            if wanted != got or got > LARGEST_COUNT:
                raise AvatarFileError(
                    f"{path}: damaged avatar, {field} has {got} rows where {wanted} were "
                    "expected. Make it again."
                )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise AvatarFileError(f"{path}: damaged avatar, {field} holds NaN or infinity.")
    if not sizes["N"] or not sizes["T"]:
        raise AvatarFileError(f"{path}: an avatar without Gaussians. Make it again.")
    for field, limit in (("triangles", sizes["M"]), ("bound_triangle", sizes["T"])):
        low, high = int(arrays[field].min()), int(arrays[field].max())
        if low < 0 or high >= limit:
            raise AvatarFileError(
                f"{path}: damaged avatar, {field} points at {high if high >= limit else low}, "
                f"there are {limit}. Make it again."
            )
    for field in ("opacity", "neck_weights"):
        if arrays[field].min() < -1e-3 or arrays[field].max() > 1.001:
            raise AvatarFileError(f"{path}: damaged avatar, {field} is not within 0..1.")
    if "light" in arrays and np.abs(arrays["light"]).max() > _STRONGEST_LIGHT:
        raise AvatarFileError(
            f"{path}: damaged avatar, light is not within {_STRONGEST_LIGHT:.0f}. Make it again."
        )
    if sizes.get("G", 0) not in (0, sizes["N"]):
        raise AvatarFileError(
            f"{path}: damaged avatar, glance has {sizes['G']} rows where {sizes['N']} were "
            "expected. Make it again."
        )
    for field, limit in (("glance", 1.001), ("taken_from", _FARTHEST_CAMERA_M)):
        if field in arrays and np.abs(arrays[field]).max(initial=0) > limit:
            raise AvatarFileError(
                f"{path}: damaged avatar, {field} is not within {limit:.0f}. Make it again."
            )
    for part in _PARTS:
        if f"{part}.bases" in arrays:
            _check_part(path, part, {f: arrays[f"{part}.{f}"] for f in _PART_FIELDS}, sizes["N"])
    if max(sizes.get("H", 0), sizes.get("W", 0)) > _LARGEST_THUMBNAIL:
        raise AvatarFileError(
            f"{path}: damaged avatar, thumbnail is larger than {_LARGEST_THUMBNAIL} pixels. "
            "Make it again."
        )
    if arrays["bound_scale"].min() < 0:
        raise AvatarFileError(f"{path}: damaged avatar, bound_scale is negative.")


def _check_part(path: Path, name: str, part: dict[str, np.ndarray], splats: int) -> None:
    which = part["splats"]
    if len(which) and (which[0] < 0 or which[-1] >= splats or (np.diff(which) <= 0).any()):
        raise AvatarFileError(
            f"{path}: damaged avatar, {name}.splats does not rise within the avatar's {splats}. "
            "Make it again."
        )
    if part["bases"].shape[1] > _MOST_FEATURES or part["reach"][0] <= 0:
        raise AvatarFileError(
            f"{path}: damaged avatar, {name} has {part['bases'].shape[1]} features and a reach of "
            f"{part['reach'][0]:.3g}, expected at most {_MOST_FEATURES} and more than 0."
        )
    for field, limit in (
        *((field, _LARGEST_WEIGHT) for field in ("mean", "whiten", "mix", "shift", "reach")),
        ("bases", _LARGEST_BASE),
    ):
        if np.abs(part[field]).max(initial=0) > limit:
            raise AvatarFileError(
                f"{path}: damaged avatar, {name}.{field} is not within {limit:.0f}. Make it again."
            )
