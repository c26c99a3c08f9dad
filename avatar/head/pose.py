"""Puts a head into a pose: expression, eyes, lids kept off the eyeballs, then the neck.

Compiled and parallel over vertices; `tests/avatar/head/test_pose.py` holds the same in plain
NumPy. Sources: linear blend shapes as in FLAME (Li et al. 2017, eq. 2); the neck blends the
angle of one rotation by vertex weight, so that a turned neck keeps its girth, which averaging
rotated positions would not ("candy wrapper").
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from avatar.head.template import HeadTemplate, Part
from avatar.read_only import read_only
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, Index

LID_CLEARANCE = 1.015
"""Lids stay outside this many eyeball radii: their thickness, and the sag of flat triangles."""
_LID_REACH = 1.7
"""Skin within this many radii of an eye's centre may touch it when lids move."""
_TONGUE_OUT = ARKIT_NAMES.index("tongueOut")
_FORWARD = TONGUE_NAMES.index("tongueForward")
_TIP_UP = TONGUE_NAMES.index("tongueTipUp")
_LIFTED = np.float32(0.22)
"""tongueTipUp half way to tongueForward."""
_OVER_TEETH = ((0.0, 0.12, 0.3, 1.0), (0.0, 0.9, 0.75, 0.0))
"""tongueForward that goes with so much of tongueOut."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseTables:
    """The template's expressions and the tongue's by vertex, and what belongs to which eye."""

    start: Index
    """[V + 1] where each vertex's entries begin."""
    expression: NDArray[np.uint8]
    """[entries] which of the 52 moves it, or from 52 on which of the tongue's."""
    offset: Float
    """[entries, 3] metres at weight 1."""
    eye: NDArray[np.int8]
    """[V] the eyeball a vertex belongs to (1 left, 2 right), -1/-2: may touch it as a lid; 0."""
    equator: tuple[NDArray[np.int64], NDArray[np.int64]]
    """The vertices 90 degrees from the axis of the left and the right eyeball."""


@lru_cache(maxsize=4)
def pose_tables(template: HeadTemplate) -> PoseTables:
    """What `pose` needs of a template, found once."""
    both = np.concatenate([template.expression_basis, template.tongue_basis])
    basis = both.transpose(1, 0, 2)
    vertex, expression = np.nonzero(np.any(basis != 0, axis=2))
    start = np.searchsorted(vertex, np.arange(len(basis) + 1)).astype(np.int32)
    eye = np.zeros(len(basis), np.int8)
    equators = []
    skin = np.isin(template.vertex_part, (Part.SKIN, Part.LASHES))
    for number, part in ((1, Part.EYE_LEFT), (2, Part.EYE_RIGHT)):
        own = template.vertex_part == part
        equator = np.flatnonzero(own & (np.abs(template.eye_angle - np.pi / 2) < 1e-3))
        centre, radius = _sphere(template.vertices, equator)
        distance = np.linalg.norm(template.vertices - centre, axis=1)
        eye[skin & (distance < _LID_REACH * radius)] = -number
        eye[own] = number
        equators.append(equator)
    return PoseTables(
        start,
        expression.astype(np.uint8),
        np.ascontiguousarray(basis[vertex, expression]),
        eye,
        (equators[0], equators[1]),
    )


def _sphere(vertices: Float, equator: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    ring = vertices[equator].astype(np.float64)
    centre = ring.mean(0)
    return centre, float(np.linalg.norm(ring - centre, axis=1).mean())


def eye_centres(template: HeadTemplate, vertices: Float) -> tuple[Float, Float]:
    """Centres [2, 3] and radii [2] of the left and the right eyeball of a rest head, metres."""
    spheres = [_sphere(vertices, equator) for equator in pose_tables(template).equator]
    return (
        np.array([centre for centre, _ in spheres], np.float32),
        np.array([radius for _, radius in spheres], np.float32),
    )


def identity_shape(template: HeadTemplate, identity: Float) -> Float:
    """[V, 3] the neutral head of the identity weights [I]."""
    return template.vertices + np.tensordot(
        np.asarray(identity, np.float32), template.identity_basis, 1
    )


def gaze_rotation(gaze: Float | NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 3] turns +z towards yaw (positive to +x) and pitch (positive up), radians."""
    yaw, pitch = float(gaze[0]), float(gaze[1])
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return about_y @ about_x


def pose(
    template: HeadTemplate,
    vertices: Float,
    *,
    expression: Float | None = None,
    tongue: Float | None = None,
    gaze: Float | None = None,
    head_rotation: Float | None = None,
    head_translation: Float | None = None,
    neck_weights: Float | None = None,
    expression_gain: Float | None = None,
    eyes: tuple[Float, Float] | None = None,
    out: Float | None = None,
) -> Float:
    """[M, 3] the rest head `vertices` [M, 3], M >= V, in a pose; None = neutral.

    `expression` [52] weights, times `expression_gain` [52]; `tongue` [3] weights; `gaze` [2] yaw,
    pitch; `head_rotation` [3] axis-angle about the template's neck joint; `head_translation` [3];
    `neck_weights` [M] (needed where M > V); `eyes` what `eye_centres` gives, where it is known.
    Vertices from V on follow the neck only. `out` takes the result.
    """
    tables = pose_tables(template)
    count = len(template.vertices)
    if len(vertices) < count or (neck_weights is None and len(vertices) != count):
        raise ValueError(f"{len(vertices)} vertices, expected {count} or more with neck weights")
    weights = blend_weights(expression, tongue, expression_gain)
    centres, radii = eye_centres(template, vertices) if eyes is None else eyes
    result = np.empty((len(vertices), 3), np.float32) if out is None else out
    _pose(
        read_only(vertices, np.float32),
        weights,
        tables.start,
        tables.expression,
        tables.offset,
        tables.eye,
        centres,
        radii * np.float32(LID_CLEARANCE),
        gaze_rotation(np.zeros(2) if gaze is None else gaze).astype(np.float32),
        read_only(np.zeros(3) if head_rotation is None else head_rotation, np.float32),
        read_only(np.zeros(3) if head_translation is None else head_translation, np.float32),
        template.neck_joint,
        read_only(template.neck_weights if neck_weights is None else neck_weights, np.float32),
        result,
    )
    return result


def blend_weights(
    expression: Float | None, tongue: Float | None, expression_gain: Float | None = None
) -> Float:
    """[52 + 3] weights of the template's expressions and of the tongue's, as they are applied."""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    if expression is not None:
        weights[:] = expression
    if expression_gain is not None:
        weights *= expression_gain
    return np.concatenate([weights, _tongue_weights(weights, tongue)])


def _tongue_weights(expression: Float, tongue: Float | None) -> Float:
    """[3] with what a tongue on its way out needs to pass over the lower teeth: a straight way from
    behind them to the lip would lead through."""
    weights = np.zeros(len(TONGUE_NAMES), np.float32)
    if tongue is not None:
        weights[:] = tongue
    out = expression[_TONGUE_OUT]
    over = np.float32(np.interp(out, *_OVER_TEETH))
    if out <= _OVER_TEETH[0][1]:  # still behind the teeth, or between them
        way = max(weights[_FORWARD], over)
        weights[_TIP_UP] += _LIFTED * (4 * way * (1 - way)) ** 2
    weights[_FORWARD] = max(weights[_FORWARD], over)
    return weights


@njit(cache=True)
def _turn(x: Any, y: Any, z: Any, axis: Any, cosine: Any, sine: Any):  # pragma: no cover
    """Rodrigues' formula: a vector turned about a unit axis."""
    along = (axis[0] * x + axis[1] * y + axis[2] * z) * (1 - cosine)
    return (
        x * cosine + (axis[1] * z - axis[2] * y) * sine + axis[0] * along,
        y * cosine + (axis[2] * x - axis[0] * z) * sine + axis[1] * along,
        z * cosine + (axis[0] * y - axis[1] * x) * sine + axis[2] * along,
    )


@njit(cache=True, parallel=True, error_model="numpy")
def _pose(  # pragma: no cover
    rest, weights, start, expression, offset, eye, centres, clearances, gaze,
    rotation, translation, joint, neck, result,
):  # fmt: skip
    template_count = len(start) - 1
    angle = np.sqrt((rotation**2).sum())
    axis = rotation / max(angle, np.float32(1e-12))
    full_cosine, full_sine = np.cos(angle), np.sin(angle)
    moves_head = angle > 0 or np.any(translation != 0)
    for vertex in prange(len(rest)):
        x, y, z = rest[vertex]
        if vertex < template_count:
            for entry in range(start[vertex], start[vertex + 1]):
                weight = weights[expression[entry]]
                if weight != 0:
                    x += weight * offset[entry, 0]
                    y += weight * offset[entry, 1]
                    z += weight * offset[entry, 2]
            kind = eye[vertex]
            if kind != 0:
                centre = centres[abs(kind) - 1]
                dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
                if kind > 0:
                    x = centre[0] + gaze[0, 0] * dx + gaze[0, 1] * dy + gaze[0, 2] * dz
                    y = centre[1] + gaze[1, 0] * dx + gaze[1, 1] * dy + gaze[1, 2] * dz
                    z = centre[2] + gaze[2, 0] * dx + gaze[2, 1] * dy + gaze[2, 2] * dz
                else:
                    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
                    rx, ry, rz = rest[vertex] - centre
                    # Never deeper than it lies at rest, so that the rest head stays as it is.
                    allowed = min(clearances[-kind - 1], np.sqrt(rx * rx + ry * ry + rz * rz))
                    if distance < allowed:
                        out = allowed / max(distance, np.float32(1e-6))
                        x, y, z = centre[0] + dx * out, centre[1] + dy * out, centre[2] + dz * out
        share = neck[vertex]
        if moves_head and share > 0:
            cosine, sine = full_cosine, full_sine
            if share < 1:
                cosine, sine = np.cos(angle * share), np.sin(angle * share)
            tx, ty, tz = _turn(x - joint[0], y - joint[1], z - joint[2], axis, cosine, sine)
            x = tx + joint[0] + share * translation[0]
            y = ty + joint[1] + share * translation[1]
            z = tz + joint[2] + share * translation[2]
        result[vertex, 0] = x
        result[vertex, 1] = y
        result[vertex, 2] = z
