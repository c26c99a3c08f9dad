"""The project's own head as other programs see it: the CC0 template in plain colours.

It has no texture, so skin, lips, brows, teeth and eyes are told apart by colour alone; brows are
painted where FaceMesh sees them, because a face without brows does not read.
"""

import numpy as np
from numpy.typing import NDArray

from avatar.head.eyeball import IRIS_ANGLE, PUPIL_ANGLE
from avatar.head.template import HeadTemplate, Part
from avatar.types import Float

_COLOURS = {
    Part.SKIN: (0.83, 0.66, 0.57),
    Part.MOUTH: (0.45, 0.16, 0.15),
    Part.TEETH_UPPER: (0.93, 0.90, 0.84),
    Part.TEETH_LOWER: (0.93, 0.90, 0.84),
    Part.TONGUE: (0.74, 0.40, 0.40),
    Part.LASHES: (0.36, 0.27, 0.23),
    Part.EYE_LEFT: (0.94, 0.93, 0.91),
    Part.EYE_RIGHT: (0.94, 0.93, 0.91),
}
_LIPS = np.array((0.69, 0.39, 0.37))
BROW_COLOUR = np.array((0.36, 0.26, 0.21))
_IRIS, _PUPIL = (0.29, 0.42, 0.52), (0.05, 0.05, 0.06)
_BROW_LANDMARKS = (
    ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    ((300, 293, 334, 296, 336), (276, 283, 282, 295, 285)),
)
"""FaceMesh's upper and lower edge of each brow, from the temple inwards."""
_BROW_EDGE_M = 0.005
"""Over which brows fade into skin."""


def plain_colours(template: HeadTemplate, *, brows: bool = True) -> Float:
    """[V, 3] sRGB-encoded, without light but dark where none reaches (`HeadTemplate.shade`)."""
    colours = np.array([_COLOURS[Part(part)] for part in template.vertex_part.tolist()])
    lip = np.clip(template.lip, 0, 1)[:, None]
    colours += lip * (_LIPS - colours) * (template.vertex_part == Part.SKIN)[:, None]
    if brows:
        brow = brow_weight(template, template.vertices)
        brow = np.where(template.vertex_part == Part.SKIN, brow, 0)[:, None]
        colours += brow * (BROW_COLOUR - colours)
    angle = np.nan_to_num(template.eye_angle, nan=np.pi)
    colours[angle < IRIS_ANGLE + 1e-3] = _IRIS
    colours[angle < PUPIL_ANGLE + 1e-3] = _PUPIL
    shade = np.where(np.isnan(template.eye_angle), template.shade, 1)
    return np.ascontiguousarray(colours * shade[:, None], np.float32)


def brow_weight(template: HeadTemplate, points: NDArray[np.floating]) -> Float:
    """[P] 0..1: how much points [P, 3] of the rest head, metres, lie in a brow."""
    corners = template.vertices[template.triangles[template.landmark_triangle]]
    landmarks = np.einsum("lk,lki->li", template.landmark_barycentric, corners)
    weight = np.zeros(len(points))
    for upper, lower in _BROW_LANDMARKS:
        middle = (landmarks[list(upper)] + landmarks[list(lower)]) / 2
        half = np.linalg.norm(landmarks[list(upper)] - landmarks[list(lower)], axis=1) / 2
        half *= (0.45, 0.75, 0.85, 0.85, 0.7)  # thin towards the temple
        for index in range(len(middle) - 1):
            start, along = middle[index], middle[index + 1] - middle[index]
            part = np.clip((points - start) @ along / (along @ along), 0, 1)
            near = start + part[:, None] * along
            wide = half[index] + part * (half[index + 1] - half[index])
            away = np.linalg.norm(points - near, axis=1) - wide
            weight = np.maximum(weight, np.clip(0.5 - away / _BROW_EDGE_M, 0, 1))
    return weight.astype(np.float32)


def vertex_normals(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Float:
    """[V, 3] unit normals, weighted by area; up where a vertex has no triangle."""
    corners = np.asarray(vertices, np.float64)[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                triangles[:, corner], faces[:, axis], minlength=len(vertices)
            )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 1e-14, normals / np.maximum(length, 1e-14), (0.0, 1.0, 0.0))
    return normals.astype(np.float32)
