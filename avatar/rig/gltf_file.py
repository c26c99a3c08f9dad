"""glTF 2.0 in one binary file (.glb): the project's own head with its motion and its sound.

A skinned mesh with 55 morph targets (the 52 of ARKit and three of the tongue, named in
`extras.targetNames`), two eyeballs on the head joint, and one animation of the weights, the head
and the eyes: any glTF viewer plays it. The sound is in the file too (`KHR_audio_emitter`, a draft
of Khronos, MP3): viewers that do not know it play the motion alone.
"""

import json
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.head.pose import blend_weights, eye_centres, gaze_rotation
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.rig.columns import Columns
from avatar.rig.plain_head import plain_colours, vertex_normals
from avatar.shading import ENCODING_POWER
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, MotionFrame

TARGET_NAMES = (*ARKIT_NAMES, *TONGUE_NAMES)
_FLOAT, _USHORT, _UBYTE = 5126, 5123, 5121
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
_STILL_M = 1e-6
"""A morph target leaves out vertices that it moves less."""
_EYE_SHRINK = 0.985
"""Lids of a morph target go straight, not around the eyeball: a smaller one stays beneath them."""
_LASH_ALPHA = 0.5
_SKIN_MATERIAL, _EYE_MATERIAL, _LASH_MATERIAL = range(3)
_ROOT, _HEAD, _FACE, _LEFT_EYE, _RIGHT_EYE = range(5)


class GltfWriter:
    """See `avatar.motion.motion_file.MotionWriter`."""

    def __init__(self, path: Path, fps: float, timecode: str, sound: bytes | None = None) -> None:
        """`sound`: an MP3 that begins with the motion."""
        self._path, self._fps, self._timecode, self._sound = path, fps, timecode, sound
        self._columns = Columns(path.parent)
        self._last = np.zeros(8)

    def write(self, frame: MotionFrame) -> None:
        head = Rotation.from_rotvec(frame.head_rotation.astype(np.float64)).as_quat()
        eye = Rotation.from_matrix(gaze_rotation(frame.gaze)).as_quat()
        turns = np.concatenate([head, eye])
        for part in (slice(0, 4), slice(4, 8)):  # the nearer of the two quaternions of one turn
            if turns[part] @ self._last[part] < 0:
                turns[part] *= -1
        self._last = turns
        self._columns.append(
            time=np.array([self._columns.count / self._fps]),
            weights=blend_weights(frame.expression, frame.tongue),
            head=turns[:4],
            eye=turns[4:],
            place=frame.head_translation + load_template().neck_joint,
        )

    def finish(self) -> None:
        build = _Build()
        head = _add_head(build, load_template())
        columns = self._columns
        if columns.count:
            _add_animation(build, columns, self._fps)
        if self._sound is not None:
            build.view("sound", len(self._sound))
        document = _document(head, build, self._timecode, self._fps, self._sound is not None)
        with self._path.open("wb") as file:
            _write_glb(file, document, build, columns, self._sound)

    def close(self) -> None:
        self._columns.close()


class _Build:
    """Buffer views and accessors as they are added; small arrays at once, columns by name."""

    def __init__(self) -> None:
        self.parts: list[bytes | str] = []
        """What the binary chunk is made of: bytes, or the name of a column or of the sound."""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self.animation: dict[str, Any] | None = None
        self.length = 0

    def view(self, part: bytes | str, size: int, target: int | None = None) -> int:
        """A buffer view of so many bytes, at a multiple of four."""
        pad = -self.length % 4
        if pad:
            self.parts.append(bytes(pad))
            self.length += pad
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self.length, "byteLength": size}
        if target is not None:
            view["target"] = target
        self.parts.append(part)
        self.length += size
        self.views.append(view)
        return len(self.views) - 1

    def array(
        self,
        values: NDArray[Any],
        kind: str,
        component: int,
        target: int | None = None,
        *,
        bounds: bool = False,
        normalised: bool = False,
    ) -> int:
        """An accessor of these values."""
        data = np.ascontiguousarray(values)
        accessor: dict[str, Any] = {
            "bufferView": self.view(data.tobytes(), data.nbytes, target),
            "componentType": component,
            "count": len(data),
            "type": kind,
        }
        if bounds:
            accessor["min"] = data.min(0).tolist()
            accessor["max"] = data.max(0).tolist()
        if normalised:
            accessor["normalized"] = True
        return self._added(accessor)

    def sparse(self, values: Float, moved: NDArray[np.intp], *, bounds: bool) -> int:
        """[V, 3] zeros but for `moved`."""
        accessor: dict[str, Any] = {"componentType": _FLOAT, "count": len(values), "type": "VEC3"}
        if len(moved):
            indices = moved.astype("<u2")
            kept = np.ascontiguousarray(values[moved], "<f4")
            accessor["sparse"] = {
                "count": len(moved),
                "indices": {
                    "bufferView": self.view(indices.tobytes(), indices.nbytes),
                    "componentType": _USHORT,
                },
                "values": {"bufferView": self.view(kept.tobytes(), kept.nbytes)},
            }
        if bounds:
            shown = np.zeros_like(values)
            shown[moved] = values[moved]
            accessor["min"], accessor["max"] = shown.min(0).tolist(), shown.max(0).tolist()
        return self._added(accessor)

    def column(self, columns: Columns, name: str, kind: str, count: int) -> int:
        """An accessor of a column on disk."""
        return self._added(
            {
                "bufferView": self.view(name, columns.bytes_of(name)),
                "componentType": _FLOAT,
                "count": count,
                "type": kind,
            }
        )

    def _added(self, accessor: dict[str, Any]) -> int:
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _add_head(build: _Build, template: HeadTemplate) -> dict[str, Any]:
    """Meshes, skin and nodes of the head at rest."""
    colours = plain_colours(template) ** ENCODING_POWER  # glTF's are linear
    centres, _ = eye_centres(template, template.vertices)
    eyes = (Part.EYE_LEFT, Part.EYE_RIGHT)
    solid = ~np.isin(template.triangle_part, (*eyes, Part.LASHES))
    lash = template.triangle_part == Part.LASHES
    faces = (template.triangles[solid], template.triangles[lash])
    meshes = [_face_mesh(build, template, faces, colours)]
    for part, centre in zip(eyes, centres, strict=True):
        meshes.append(_eye_mesh(build, template, part, centre, colours))
    joint = template.neck_joint.astype(np.float64)
    bind = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    bind[1, 3, :3] = -joint  # columns first, as glTF has them
    nodes = [
        {"name": "Root", "children": [_HEAD]},
        {"name": "Head", "translation": joint.tolist(), "children": [_LEFT_EYE, _RIGHT_EYE]},
        {"name": "Face", "mesh": 0, "skin": 0},
    ]
    for name, mesh, centre in zip(("LeftEye", "RightEye"), (1, 2), centres, strict=True):
        nodes.append({"name": name, "mesh": mesh, "translation": (centre - joint).tolist()})
    return {
        "meshes": meshes,
        "nodes": nodes,
        "skins": [
            {
                "joints": [_ROOT, _HEAD],
                "inverseBindMatrices": build.array(bind.reshape(2, 16), "MAT4", _FLOAT),
                "skeleton": _ROOT,
            }
        ],
        "materials": [_material("Skin", 0.62), _material("Eye", 0.12), _lash_material()],
    }


def _face_mesh(
    build: _Build,
    template: HeadTemplate,
    triangles: tuple[NDArray[np.int32], NDArray[np.int32]],
    colours: Float,
) -> dict[str, Any]:
    """One mesh of two primitives, skin and lashes, which share their vertices and targets."""
    used = np.unique(np.concatenate(triangles))
    place = np.full(len(template.vertices), -1, np.int64)
    place[used] = np.arange(len(used))
    faces = place[np.concatenate(triangles)]
    vertices = template.vertices[used].astype("<f4")
    normals = vertex_normals(vertices, faces)
    head = template.neck_weights[used, None].astype("<f4")
    joints = np.tile(np.array([0, 1, 0, 0], np.uint8), (len(used), 1))
    joints[head[:, 0] <= 0, 1] = 0
    joints[head[:, 0] >= 1, :2] = 1
    weights = np.concatenate([1 - head, head, np.zeros((len(used), 2), "<f4")], 1)
    single = (head[:, 0] <= 0) | (head[:, 0] >= 1)
    weights[single] = (1, 0, 0, 0)
    joints[single, 1] = 0
    targets = []
    basis = np.concatenate([template.expression_basis, template.tongue_basis])[:, used]
    for offsets in basis:
        moved = np.flatnonzero(np.abs(offsets).max(1) > _STILL_M)
        turned = vertex_normals(vertices + offsets, faces) - normals
        bent = np.flatnonzero(np.abs(turned).max(1) > 1e-3)
        targets.append(
            {
                "POSITION": build.sparse(offsets, moved, bounds=True),
                "NORMAL": build.sparse(turned, bent, bounds=False),
            }
        )
    attributes = {
        "POSITION": build.array(vertices, "VEC3", _FLOAT, _ARRAY_BUFFER, bounds=True),
        "NORMAL": build.array(normals, "VEC3", _FLOAT, _ARRAY_BUFFER),
        "COLOR_0": build.array(colours[used].astype("<f4"), "VEC3", _FLOAT, _ARRAY_BUFFER),
        "JOINTS_0": build.array(joints, "VEC4", _UBYTE, _ARRAY_BUFFER),
        "WEIGHTS_0": build.array(weights, "VEC4", _FLOAT, _ARRAY_BUFFER),
    }
    primitives = []
    for part, material in zip(triangles, (_SKIN_MATERIAL, _LASH_MATERIAL), strict=True):
        corners = place[part].astype("<u2").reshape(-1)
        primitives.append(
            {
                "attributes": attributes,
                "indices": build.array(corners, "SCALAR", _USHORT, _ELEMENT_BUFFER),
                "material": material,
                "targets": targets,
            }
        )
    return {
        "name": "Face",
        "primitives": primitives,
        "weights": [0.0] * len(TARGET_NAMES),
        "extras": {"targetNames": list(TARGET_NAMES)},
    }


def _eye_mesh(
    build: _Build, template: HeadTemplate, part: Part, centre: Float, colours: Float
) -> dict[str, Any]:
    span = template.eye_vertices(part)
    faces = template.triangles[template.triangle_part == part] - span.start
    vertices = ((template.vertices[span] - centre) * np.float32(_EYE_SHRINK)).astype("<f4")
    return {
        "name": "LeftEye" if part == Part.EYE_LEFT else "RightEye",
        "primitives": [
            {
                "attributes": {
                    "POSITION": build.array(vertices, "VEC3", _FLOAT, _ARRAY_BUFFER, bounds=True),
                    "NORMAL": build.array(
                        vertex_normals(vertices, faces), "VEC3", _FLOAT, _ARRAY_BUFFER
                    ),
                    "COLOR_0": build.array(
                        colours[span].astype("<f4"), "VEC3", _FLOAT, _ARRAY_BUFFER
                    ),
                },
                "indices": build.array(
                    faces.astype("<u2").reshape(-1), "SCALAR", _USHORT, _ELEMENT_BUFFER
                ),
                "material": _EYE_MATERIAL,
            }
        ],
    }


def _material(name: str, roughness: float) -> dict[str, Any]:
    return {
        "name": name,
        "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": roughness},
    }


def _lash_material() -> dict[str, Any]:
    """The template's lashes are whole strips: half of what lies behind them is let through."""
    material = _material("Lash", 0.8)
    material["pbrMetallicRoughness"]["baseColorFactor"] = [0.5, 0.5, 0.5, _LASH_ALPHA]
    return {**material, "alphaMode": "BLEND", "doubleSided": True}


def _add_animation(build: _Build, columns: Columns, fps: float) -> None:
    count = columns.count
    times = build.column(columns, "time", "SCALAR", count)
    last = np.float32((count - 1) / fps)
    build.accessors[times] |= {"min": [0.0], "max": [float(last)]}
    outputs = [
        build.column(columns, "weights", "SCALAR", count * len(TARGET_NAMES)),
        build.column(columns, "head", "VEC4", count),
        build.column(columns, "place", "VEC3", count),
        build.column(columns, "eye", "VEC4", count),
    ]
    paths = [
        (0, _FACE, "weights"), (1, _HEAD, "rotation"), (2, _HEAD, "translation"),
        (3, _LEFT_EYE, "rotation"), (3, _RIGHT_EYE, "rotation"),
    ]  # fmt: skip
    build.animation = {
        "name": "Speech",
        "samplers": [
            {"input": times, "output": output, "interpolation": "LINEAR"} for output in outputs
        ],
        "channels": [
            {"sampler": sampler, "target": {"node": node, "path": path}}
            for sampler, node, path in paths
        ],
    }


def _document(
    head: dict[str, Any], build: _Build, timecode: str, fps: float, with_sound: bool
) -> dict[str, Any]:
    scene: dict[str, Any] = {"name": "Face", "nodes": [_ROOT, _FACE]}
    document: dict[str, Any] = {
        "asset": {
            "version": "2.0",
            "generator": "visavis",
            "copyright": "Head: CC0, see assets/head/PROVENANCE.md of visavis",
            "extras": {"fps": fps, "timecode": timecode},
        },
        "scene": 0,
        "scenes": [scene],
        **head,
        "accessors": build.accessors,
        "bufferViews": build.views,
        "buffers": [{"byteLength": build.length}],
    }
    if build.animation is not None:
        document["animations"] = [build.animation]
    if with_sound:
        document["extensionsUsed"] = ["KHR_audio_emitter"]
        document["extensions"] = {
            "KHR_audio_emitter": {
                "audio": [{"mimeType": "audio/mpeg", "bufferView": len(build.views) - 1}],
                "sources": [
                    {"name": "Speech", "audio": 0, "gain": 1.0, "autoPlay": True, "loop": False}
                ],
                "emitters": [{"name": "Voice", "type": "global", "gain": 1.0, "sources": [0]}],
            }
        }
        scene["extensions"] = {"KHR_audio_emitter": {"emitters": [0]}}
    return document


def _write_glb(
    file: IO[bytes],
    document: dict[str, Any],
    build: _Build,
    columns: Columns,
    sound: bytes | None,
) -> None:
    text = json.dumps(document, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    pad = -build.length % 4
    total = 12 + 8 + len(text) + 8 + build.length + pad
    file.write(struct.pack("<4sII", b"glTF", 2, total))
    file.write(struct.pack("<I4s", len(text), b"JSON") + text)
    file.write(struct.pack("<I4s", build.length + pad, b"BIN\0"))
    for part in build.parts:
        if isinstance(part, bytes):
            file.write(part)
        elif part == "sound":
            file.write(sound or b"")
        else:
            columns.copy(part, file)
    file.write(bytes(pad))
