"""An expression changes the light on the skin: folds of a smile, a wrinkled brow, puckered lips.

A spot that turns gets the light of the way it then faces, skin that gathers gets less. What results
is one factor a vertex for the encoded colours of the rest head; a face at rest has factors of
exactly 1. The light's own colours are left out: they changed no picture, and tripled the cost.

The light goes with the head when the neck turns it. So do the shadows in the photograph, and hair
and clothes are not lit anew: skin that alone obeyed the room would part from them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange

from avatar.head.template import HeadTemplate, Part
from avatar.read_only import read_only
from avatar.shading import DIMMEST, ENCODING_POWER, HARMONICS
from avatar.types import ARKIT_NAMES, Float, Index

_ENCODED, _DIMMEST = np.float32(1 / ENCODING_POWER), np.float32(DIMMEST)
_LEAST, _MOST = np.float32(0.5), np.float32(1.6)
"""Bounds of what an expression makes of the light on a spot: a fit's normals are not so sure that
more could be believed."""
_FOLD = np.float32(0.35)
"""Power of how much smaller a patch of skin has become: skin that is pushed together gathers in
folds, of which the template shows none, and folds hide light: 0.7 of the area, 0.88 of it."""
_DEEPEST = np.float32(0.75)
"""Gathered skin keeps at least this share of its light."""
_LID_MOVES_M = (0.0004, 0.0014)
"""Skin that a blink moves this far is folded away while the eye is open, and what its normals are
there says nothing: lids keep their colour."""
_MOVES_M = 1e-4
"""What no expression moves further than this along any axis keeps its light."""
_LIDS = (ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight"))


SHADING_CONSTANTS = {
    "ENCODED": float(_ENCODED),
    "DIMMEST": float(_DIMMEST),
    "LEAST_RATIO": float(_LEAST),
    "MOST_RATIO": float(_MOST),
    "FOLD": float(_FOLD),
    "DEEPEST": float(_DEEPEST),
}
"""What `_shade` computes with, for others who do the same."""


@dataclass(frozen=True, slots=True, eq=False)
class ShadingTables:
    """What `_shade` reads, as `avatar.head_tables.HeadTables` explains it."""

    vertex: Index
    start: Index
    ring: Index
    weight: Float
    light: Float
    rest_light: Float
    rest_area: Float


class ExpressionShading:
    """The factors of one head. Not for use by two threads at once."""

    def __init__(
        self, template: HeadTemplate, rest: Float, neck_weights: Float, light: Float
    ) -> None:
        """`rest` [M, 3] is the neutral head, M >= V, `neck_weights` [M], `light` [9, 3] as
        `avatar.shading.irradiance` takes it."""
        count = len(template.vertices)
        lit = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
        triangles = np.ascontiguousarray(template.triangles[lit], np.int32)
        moves = np.any(np.abs(template.expression_basis) > _MOVES_M, axis=(0, 2))
        beside = np.zeros(count, bool)
        beside[triangles[np.any(moves[triangles], axis=1)]] = True
        self._vertex = np.flatnonzero(beside & (_lid_weight(template) < 1)).astype(np.int32)
        self._start, self._ring = _rings(triangles, self._vertex, count)
        # The rolled edge of a lip turns by more than a fit knows: made of a smile's lips, which
        # look down, a resting lip got a pale hem. What lips do to each other is `LipShadow`'s.
        kept = (1 - _lid_weight(template)) * (1 - np.clip(template.lip, 0, 1))
        self._weight = kept[self._vertex].astype(np.float32)
        self._neck = np.ascontiguousarray(neck_weights[self._vertex], np.float32)
        self._light = np.ascontiguousarray(light.mean(1) * HARMONICS, np.float32)
        self._rest_light = np.ones(len(self._vertex), np.float32)
        self._rest_area = np.ones(len(self._vertex), np.float32)
        self._factors = np.ones(count, np.float32)
        self._measure(rest, None)
        self._factors[:] = 1

    def changes(self, template: HeadTemplate) -> Any:
        """[F] bool: skin on which a factor may differ from 1."""
        vertex = np.zeros(len(self._factors), bool)
        vertex[self._vertex] = bool(np.any(self._light))
        skin = template.triangle_part == Part.SKIN
        return skin & np.any(vertex[template.triangles], axis=1)

    def tables(self) -> ShadingTables:
        """For a renderer that does the same where it draws."""
        return ShadingTables(
            self._vertex,
            self._start,
            self._ring,
            self._weight,
            self._light,
            self._rest_light,
            self._rest_area,
        )

    def factors(self, vertices: Float, head_rotation: Float | None = None) -> Float:
        """[V] what to multiply encoded colours of the rest head with; overwritten by the next
        call. `vertices` [M, 3] are posed, with `head_rotation` [3] (axis-angle) by the neck."""
        self._measure(vertices, head_rotation, self._factors)
        return self._factors

    @property
    def latest(self) -> Float:
        """[V] the factors of the last call; overwritten by the next."""
        return self._factors

    def _measure(
        self, vertices: Float, head_rotation: Float | None, factors: Float | None = None
    ) -> None:
        """Factors for `vertices`, or, where none are asked for, what the rest head is like."""
        rest = factors is None
        _shade(
            read_only(vertices, np.float32),
            self._vertex,
            self._start,
            self._ring,
            self._weight,
            self._neck,
            read_only(np.zeros(3) if head_rotation is None else head_rotation, np.float32),
            self._light,
            rest,
            self._rest_light,
            self._rest_area,
            self._factors if factors is None else factors,
        )


def _lid_weight(template: HeadTemplate) -> Float:
    """[V] 0..1: 1 on lid skin that folds away."""
    moved = np.linalg.norm(template.expression_basis[list(_LIDS)], axis=2).max(0)
    low, high = _LID_MOVES_M
    return np.clip((moved - low) / (high - low), 0, 1).astype(np.float32)


def _rings(triangles: Index, vertices: Index, count: int) -> tuple[Index, Index]:
    """Start [K + 1] and pairs [P, 2]: around each of `vertices` [K] its triangles' other two
    corners, counter-clockwise."""
    owner = triangles.ravel()
    others = np.stack([np.roll(triangles, -1, 1).ravel(), np.roll(triangles, -2, 1).ravel()], 1)
    place = np.full(count, -1, np.int32)
    place[vertices] = np.arange(len(vertices), dtype=np.int32)
    kept = place[owner] >= 0
    order = np.argsort(place[owner[kept]], kind="stable")
    number = place[owner[kept]][order]
    start = np.searchsorted(number, np.arange(len(vertices) + 1)).astype(np.int32)
    return start, np.ascontiguousarray(others[kept][order], np.int32)


@njit(cache=True, parallel=True, error_model="numpy")
def _shade(  # pragma: no cover
    vertices, vertex_of, start, ring, weight, neck, rotation, scaled, rest,
    rest_light, rest_area, factors,
):  # fmt: skip
    angle = np.sqrt((rotation**2).sum())
    axis = rotation / max(angle, np.float32(1e-12))
    for index in prange(len(vertex_of)):
        vertex = vertex_of[index]
        ox, oy, oz = vertices[vertex]
        nx, ny, nz = np.float32(0), np.float32(0), np.float32(0)
        for entry in range(start[index], start[index + 1]):
            b, c = ring[entry]
            ux, uy, uz = vertices[b, 0] - ox, vertices[b, 1] - oy, vertices[b, 2] - oz
            vx, vy, vz = vertices[c, 0] - ox, vertices[c, 1] - oy, vertices[c, 2] - oz
            nx += uy * vz - uz * vy
            ny += uz * vx - ux * vz
            nz += ux * vy - uy * vx
        length = max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-15))
        nx, ny, nz = nx / length, ny / length, nz / length
        if angle > 0 and neck[index] > 0:  # back into the frame of the light
            turn = -angle * neck[index]
            cosine, sine = np.cos(turn), np.sin(turn)
            along = (axis[0] * nx + axis[1] * ny + axis[2] * nz) * (1 - cosine)
            px = nx * cosine + (axis[1] * nz - axis[2] * ny) * sine + axis[0] * along
            py = ny * cosine + (axis[2] * nx - axis[0] * nz) * sine + axis[1] * along
            pz = nz * cosine + (axis[0] * ny - axis[1] * nx) * sine + axis[2] * along
            nx, ny, nz = px, py, pz
        straight = (
            scaled[0]
            + (scaled[1] * ny + scaled[2] * nz + scaled[3] * nx)
            + (scaled[4] * nx * ny + scaled[5] * ny * nz + scaled[7] * nx * nz)
            + scaled[6] * (3 * nz * nz - 1)
            + scaled[8] * (nx * nx - ny * ny)
        )
        lit = (straight + np.sqrt(straight * straight + 4 * _DIMMEST * _DIMMEST)) / 2
        if rest:
            rest_light[index], rest_area[index] = lit, length
        smaller = min(length / rest_area[index], np.float32(1))
        ratio = min(max(lit / rest_light[index], _LEAST), _MOST) * max(smaller**_FOLD, _DEEPEST)
        factors[vertex] = 1 + weight[index] * (ratio**_ENCODED - 1)
