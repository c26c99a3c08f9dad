"""The head template: one neutral average head and the directions in which heads differ and move.

A head is ``vertices + identity . identity_basis + expression . expression_basis`` in avatar space,
metres. The file is made by `avatar.training.head_template`; its sources stand in
`assets/head/PROVENANCE.md`.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy import sparse

from avatar.errors import AssetError
from avatar.head.eyeball import unit_eyeball
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, Index

FORMAT = 1
TEMPLATE_PATH = Path(__file__).parents[2] / "assets" / "head" / "head_template.safetensors"
LANDMARKS = 478
_DARK = 0.7
"""Of the light outside; skin with less lies inside the mouth."""


class Part(IntEnum):
    """What a triangle or vertex belongs to."""

    SKIN = 0
    MOUTH = 1
    """The inside of lips and cheeks and the throat: dark."""
    TEETH_UPPER = 2
    TEETH_LOWER = 3
    TONGUE = 4
    LASHES = 5
    EYE_LEFT = 6
    EYE_RIGHT = 7
    GUMS = 8
    """Triangles only; their vertices are called teeth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadTemplate:
    """V vertices, F triangles, I identity directions. Never written to after loading."""

    vertices: Float
    """[V, 3] the average head at rest."""
    triangles: Index
    """[F, 3] counter-clockwise seen from outside."""
    triangle_part: NDArray[np.uint8]
    """[F] a `Part`."""
    vertex_part: NDArray[np.uint8]
    """[V] a `Part`; a vertex shared by skin and mouth counts as skin."""
    identity_names: tuple[str, ...]
    identity_basis: Float
    """[I, V, 3] metres per unit of weight; eyeballs included (centre and radius)."""
    identity_lower: Float
    """[I] the lowest sensible weight."""
    identity_upper: Float
    """[I] the highest sensible weight."""
    identity_sigma: Float
    """[I] the spread among people: the standard deviation of a prior around 0."""
    expression_basis: Float
    """[52, V, 3] metres at weight 1, in the order of `ARKIT_NAMES`; 0 for eyeballs (they turn)."""
    tongue_basis: Float
    """[3, V, 3] the same for `TONGUE_NAMES`; nothing but the tongue moves."""
    shade: Float
    """[V] how much light reaches it, 0..1: 1 outside, dark inside the mouth and between teeth."""
    lip: Float
    """[V] 0..1: how red, 1 on the lips and on their lining inside the mouth."""
    neck_weights: Float
    """[V] 0 = stays with the shoulders, 1 = turns with the head."""
    neck_joint: Float
    """[3] the point about which the head turns."""
    eye_angle: Float
    """[V] angle of an eyeball's vertex from its optical axis, rad; nan elsewhere."""
    mirror: Index
    """[V] the vertex on the other side of the face."""
    landmark_triangle: Index
    """[478] the triangle under each FaceMesh landmark; -1 = not on the skin."""
    landmark_barycentric: Float
    """[478, 3] where on it."""
    landmark_spread: Float
    """[478] how well the place is known, metres: 0.001 is sharp, 0.01 slides along a contour."""
    digest: str
    """SHA-256 of what avatars depend on, triangles and parts: they record it, for their triangles
    mean nothing on another template. Better landmarks or expressions leave it as it is."""

    @property
    def cavity(self) -> NDArray[np.bool_]:
        """[F] the lining of the mouth: `Part.MOUTH`, and the palate, which counts as skin by part
        but lies in the dark."""
        dark = self.shade[self.triangles].mean(1) < _DARK
        return (self.triangle_part == Part.MOUTH) | ((self.triangle_part == Part.SKIN) & dark)

    def eye_vertices(self, part: Part) -> slice:
        """The vertices of one eyeball; they follow each other, front pole first."""
        members = np.flatnonzero(self.vertex_part == part)
        return slice(int(members[0]), int(members[-1]) + 1)


@cache
def load_template(path: Path = TEMPLATE_PATH) -> HeadTemplate:
    """The template that ships with the program (or another one of the same format).

    Raises: `AssetError` where the file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise AssetError(
            f"{path.name}: cannot be read as a head template ({error}); reinstall the program"
        ) from error
    try:
        return _assemble(tensors, metadata)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise AssetError(
            f"{path.name}: not a sound head template ({error}); reinstall the program"
        ) from error


def _assemble(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> HeadTemplate:
    about = json.loads(metadata["template"])
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, this build reads {FORMAT}")
    vertices = _checked(tensors["vertices"], (None, 3))
    count = len(vertices)
    names = tuple(about["identity_names"])
    limits = _checked(tensors["identity_limits"], (len(names), 3))
    triangles = tensors["triangles"].astype(np.int32)
    faces = len(_checked(triangles, (None, 3)))
    if triangles.min() < 0 or triangles.max() >= count:
        raise ValueError(f"a triangle names a vertex outside 0..{count - 1}")
    landmark_triangle = _checked(
        tensors.get("landmark_triangle", np.full(LANDMARKS, -1, np.int32)), (LANDMARKS,)
    )
    if landmark_triangle.max() >= faces:
        raise ValueError(f"a landmark names a triangle outside 0..{faces - 1}")
    parts = _checked(tensors["vertex_part"], (count,))
    identity_basis, expression_basis, tongue_basis = _bases(tensors, len(names), parts)
    return HeadTemplate(
        vertices=vertices,
        triangles=triangles,
        triangle_part=_checked(tensors["triangle_part"], (faces,)),
        vertex_part=parts,
        identity_names=names,
        identity_basis=identity_basis,
        identity_lower=np.ascontiguousarray(limits[:, 0]),
        identity_upper=np.ascontiguousarray(limits[:, 1]),
        identity_sigma=np.ascontiguousarray(limits[:, 2]),
        expression_basis=expression_basis,
        tongue_basis=tongue_basis,
        shade=_checked(tensors["shade"], (count,)),
        lip=_checked(tensors["lip"], (count,)),
        neck_weights=_checked(tensors["neck_weights"], (count,)),
        neck_joint=_checked(tensors["neck_joint"], (3,)),
        eye_angle=_checked(tensors["eye_angle"], (count,), nan_allowed=True),
        mirror=_checked(tensors["mirror"], (count,)).astype(np.int32),
        landmark_triangle=landmark_triangle,
        landmark_barycentric=_checked(
            tensors.get("landmark_barycentric", np.zeros((LANDMARKS, 3), np.float32)),
            (LANDMARKS, 3),
        ),
        landmark_spread=_checked(
            tensors.get("landmark_spread", np.ones(LANDMARKS, np.float32)), (LANDMARKS,)
        ),
        digest=hashlib.sha256(
            b"".join(t.tobytes() for t in (triangles, tensors["triangle_part"], parts))
        ).hexdigest(),
    )


def _checked(
    tensor: NDArray[Any], shape: tuple[int | None, ...], nan_allowed: bool = False
) -> NDArray[Any]:
    """The tensor, read-only, if its shape is as expected (None = any) and its numbers finite."""
    fits = len(tensor.shape) == len(shape) and all(
        want in (None, have) for want, have in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"a tensor of shape {tensor.shape}, expected {shape}")
    if not nan_allowed and tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise ValueError("a tensor with infinite or undefined numbers")
    tensor.flags.writeable = False
    return tensor


def _source_basis(tensors: dict[str, NDArray[Any]], prefix: str, rows: int) -> Float:
    """[N, rows * 3] offsets of the N source vertices, from lists of those that move."""
    start = _checked(tensors[f"{prefix}_start"], (rows + 1,))
    vertex = _checked(tensors[f"{prefix}_vertex"], (int(start[-1]),))
    offset = _checked(tensors[f"{prefix}_offset"], (int(start[-1]), 3))
    count = int(tensors["operator_source"].max()) + 1
    basis = np.zeros((count, rows, 3), np.float32)
    basis[vertex, np.repeat(np.arange(rows), np.diff(start))] = offset
    return basis.reshape(count, rows * 3)


def _bases(
    tensors: dict[str, NDArray[Any]], identities: int, parts: NDArray[np.uint8]
) -> tuple[Float, Float, Float]:
    """Identity [I, V, 3], expression [52, V, 3] and tongue [3, V, 3] basis.

    The file holds offsets of the source's coarse vertices and the linear operator that makes the
    template's own out of them; eyeballs are spheres, of which it holds centre and radius.
    """
    count = len(parts)
    start = _checked(tensors["operator_start"], (None,))
    operator = sparse.csr_matrix(
        (tensors["operator_weight"], tensors["operator_source"].astype(np.int32), start)
    )
    eyes = _checked(tensors["identity_eyes"], (identities, 2, 4))
    bases = []
    for prefix, rows in (
        ("identity", identities),
        ("expression", len(ARKIT_NAMES)),
        ("tongue", len(TONGUE_NAMES)),
    ):
        basis = np.zeros((rows, count, 3), np.float32)
        solid = operator @ _source_basis(tensors, prefix, rows)
        basis[:, : len(solid)] = solid.reshape(-1, rows, 3).transpose(1, 0, 2)
        bases.append(basis)
    ball, _, _ = unit_eyeball()
    for side, part in enumerate((Part.EYE_LEFT, Part.EYE_RIGHT)):
        centre, radius = eyes[:, side, None, :3], eyes[:, side, None, 3:]
        bases[0][:, parts == part] = centre + radius * ball
    for basis in bases:
        basis.flags.writeable = False
    return bases[0], bases[1], bases[2]
