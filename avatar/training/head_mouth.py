"""The mouth of the head template: which skin is its inside, where the lips are red, and teeth.

The source's teeth are two smooth bands. They are cut into fourteen teeth each, at the widths that
anatomy gives (Wheeler's Dental Anatomy, mesiodistal crown widths), with gums above. A tooth's
vertices are weighted means of the band's vertices plus a fixed offset, so morphs still apply.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from avatar.head.rasterise import rasterise

Double = NDArray[np.float64]
Polygons = NDArray[np.int64]

_LIP_LINING = 0.095
"""Decimetres of skin behind the line where the lips meet that still has the lips' red."""
_UPPER_WIDTHS_MM = (8.5, 6.5, 7.5, 7.0, 7.0, 10.0, 9.0)
_LOWER_WIDTHS_MM = (5.3, 5.7, 7.0, 7.0, 7.0, 11.0, 10.5)
_ACROSS = (0.0, 0.1, 0.35, 0.65, 0.9)
"""Columns of vertices across a tooth, as fractions of its width; the next tooth closes it."""
_CROWN = (0.0, 0.35, 0.7)
"""Rows between the band's gum row (0) and its cutting edge (1) where gum and crown begin."""
_SHORTER = (0.0, 0.007, 0.001, 0.007, 0.009, 0.013, 0.016)
"""Decimetres that a tooth ends above the middle ones: eye-teeth reach as far, their neighbours do
not, and the row rises towards the molars."""
_FORWARD = 0.026
"""The source's teeth stand 8 mm behind the lips, which rest on the teeth of a living mouth."""
_ROW_SHADE = {0.0: 0.4, 0.35: 0.88, 0.7: 1.0, 1.0: 1.0, 2.0: 0.2}
"""Light on the rows of a tooth from the gum over its edge to the inner side: the lips shade it."""


def seen_from_outside(
    vertices: Double, triangles: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """[F] twice: whether a triangle shows from any of 45 sides of the front (parallel rays), and
    whether its outer side does: through the open neck one sees the palate's inner side."""
    seen, outer = np.zeros((2, len(triangles)), bool)
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middle = vertices.mean(0)
    size = 1200
    for yaw in np.radians(np.arange(-80, 81, 20)):
        for pitch in np.radians(np.arange(-60, 61, 30)):
            right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
            towards = np.array(
                [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
            )
            arm = vertices - middle
            x, y, near = arm @ right, arm @ np.cross(towards, right), arm @ towards
            # 5.2 dm across the picture: more than the head with its shoulders.
            points = np.stack([(x / 5.2 + 0.5) * size, (0.5 - y / 5.2) * size, 10 - near], 1)
            index = rasterise(points, triangles.astype(np.int32), size, size).triangle
            shown = np.unique(index[index >= 0])
            seen[shown] = True
            outer[shown] |= normals[shown] @ towards > 0
    return seen, outer


@dataclass(frozen=True, slots=True)
class Mouth:
    """The skin of the mouth's inside among Q polygons and N vertices."""

    part: NDArray[np.bool_]
    """[Q] what is called `Part.MOUTH`: lower half and cheeks, less the lining of the lips."""
    depth: Double
    """[N] behind the line where the lips meet, along the skin, dm; 0 for all that lies outside.
    Unlike `part` it knows the palate too: avatars depend on the parts, which therefore stay."""


def mouth_inside(
    vertices: Double, polygons: Polygons, box: tuple[Double, Double], bag: tuple[Double, Double]
) -> Mouth:
    """The inside is the largest connected piece of skin that nobody sees from outside.

    `part` is sought within `box` among what does not show at all, `depth` within `bag` among what
    does not show its outer side.
    """
    triangles = np.concatenate([polygons[:, [0, 1, 2]], polygons[:, [0, 2, 3]]])
    seen, outer = (each.reshape(2, -1) for each in seen_from_outside(vertices, triangles))
    seen, outer = seen[0] | seen[1], outer[0] | outer[1]
    part = _hidden(vertices, polygons, ~seen, box)
    lining = _depth(vertices, polygons, part)[polygons].mean(1) <= _LIP_LINING
    inside = _hidden(vertices, polygons, ~outer, bag)
    return Mouth(part & ~lining, _depth(vertices, polygons, inside))


def _hidden(
    vertices: Double, polygons: Polygons, unseen: NDArray[np.bool_], box: tuple[Double, Double]
) -> NDArray[np.bool_]:
    """[Q] the largest connected piece of what is `unseen` [Q] in the box."""
    centres = vertices[polygons].mean(1)
    return largest_piece(polygons, unseen & ((centres > box[0]) & (centres < box[1])).all(1))


def _depth(vertices: Double, polygons: Polygons, inside: NDArray[np.bool_]) -> Double:
    """[N] way along the skin to the border of the polygons `inside` [Q], dm; 0 elsewhere."""
    edges = np.concatenate([polygons[:, [k, (k + 1) % 4]] for k in range(4)])
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = sparse.csr_matrix((length, edges.T), shape=(len(vertices), len(vertices)))
    graph = graph.maximum(graph.T)
    within = np.unique(polygons[inside])
    rim = np.intersect1d(np.unique(polygons[~inside]), within)
    depth = dijkstra(graph, directed=False, indices=rim, min_only=True)
    return np.where(np.isin(np.arange(len(vertices)), within), depth, 0.0)


def lip_weight(vertices: Double, depth: Double) -> Double:
    """[N] how red a vertex is, drawn by eye on the average head (from between the eyes, dm).

    The lips meet along a line that falls a little towards the corners; the red reaches 11 mm
    above and 12 mm below it in the middle and narrows towards the corners.
    """
    x = np.abs(vertices[:, 0])
    above = vertices[:, 1] - np.interp(x, [0.0, 0.12, 0.245], [-0.671, -0.668, -0.682])
    upper = np.interp(x, [0.0, 0.06, 0.16, 0.22, 0.25], [0.103, 0.112, 0.072, 0.03, 0.0])
    lower = np.interp(x, [0.0, 0.08, 0.16, 0.22, 0.25], [0.122, 0.115, 0.078, 0.035, 0.0])
    height = np.where(above > 0, upper, lower)
    front = (vertices[:, 2] > 0.1) & (x < 0.25)
    outer = np.clip((height - np.abs(above)) / 0.012 + 0.5, 0, 1) * front * (depth == 0)
    lining = np.clip(1.5 - depth / _LIP_LINING / 1.5, 0, 1) * (depth > 0)
    return np.maximum(outer, lining)


def largest_piece(polygons: NDArray[Any], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which polygons belong to the largest connected piece of those marked."""
    label = np.arange(polygons.max() + 1)
    chosen = polygons[among]
    while True:
        before = label.copy()
        np.minimum.at(label, chosen.ravel(), np.repeat(label[chosen].min(1), polygons.shape[1]))
        label = label[label]
        if (label == before).all():
            break
    names, counts = np.unique(label[chosen[:, 0]], return_counts=True)
    return among & (label[polygons[:, 0]] == names[counts.argmax()])


@dataclass(frozen=True, slots=True)
class Teeth:
    """One row of fourteen teeth with its gum."""

    operator: sparse.csr_matrix
    """[K, N] their vertices as weighted means of the raw ones."""
    offset: Double
    """[K, 3] added to positions (not to offsets), dm."""
    triangles: NDArray[np.int32]
    """[..., 3] into these K vertices."""
    is_gum: NDArray[np.bool_]
    """[triangles]"""
    shade: Double
    """[K] 1 = full light, darker between teeth and towards the back."""


def teeth(vertices: Double, polygons: Polygons, upper: bool) -> Teeth:
    """Fourteen teeth out of a band of 16 x 3 polygons in the raw mesh `vertices` [N, 3], dm."""
    grid = _grid(polygons)
    if vertices[grid[0], 0].mean() > vertices[grid[-1], 0].mean():
        grid = grid[::-1]
    # Rows run from the gum over the front to the cutting edge and back on the inner side.
    if abs(vertices[grid[:, -1], 0]).mean() > abs(vertices[grid[:, 0], 0]).mean():
        grid = grid[:, ::-1]
    widths = np.array(_UPPER_WIDTHS_MM if upper else _LOWER_WIDTHS_MM)
    edge_row = vertices[grid[:, 2]]
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(edge_row, axis=0), axis=1)))
    along -= along[len(along) // 2]
    borders = np.append(0, np.cumsum(widths)) * (along[-1] / widths.sum())
    places, across = _columns(borders)
    weights = _interpolation(along, places)
    rows = (*_CROWN, 1.0, 2.0)
    operator, offset, shade = [], [], []
    towards_gum = 1.0 if upper else -1.0
    gap = np.minimum(across, 1 - across)
    bulge = np.interp(gap, [0, 0.1, 0.35, 0.5], [-0.014, -0.001, 0.004, 0.005])
    notch = np.interp(gap, [0, 0.1, 0.35], [0.013, 0.004, 0.0])
    papilla = np.interp(gap, [0, 0.1, 0.35], [0.018, 0.009, 0.0])
    back = np.abs(places) / borders[-1]
    tooth = np.clip(np.searchsorted(borders, np.abs(places), side="right") - 1, 0, 6)
    shorter = np.array(_SHORTER)[tooth] * (1.0 if upper else 0.4)
    outward = _outward(vertices[grid[:, 2]], weights)
    for row in rows:
        operator.append(_row(grid, weights, row, len(vertices)))
        moved = (
            outward * (bulge * np.interp(row, [0, 0.2, 0.6, 1, 2], [0, 0.4, 1, 0.7, 0]))[:, None]
        )
        moved[:, 1] += towards_gum * (notch * (1 - back) + shorter) * (row == 1.0)
        moved[:, 1] -= towards_gum * papilla * (1 - back) * (row == _CROWN[1])
        # Behind the lip, out of sight; the chin's skin is near the lower gums.
        moved[:, 1] += towards_gum * (0.04 if upper else 0.0) * (row == 0.0)
        # The source's teeth meet edge to edge, hidden by the upper lip even in an open mouth.
        # An overbite of 2.5 mm, and 3 mm of upper teeth below the lip, are usual.
        moved += (0, -0.046, 0.004) if upper else (0, -0.020, -0.018)
        moved[:, 2] += _FORWARD * (1 - back) ** 1.5 * (0.3 if row == 0.0 else 1.0)
        # Narrower than the source's, which fills the corners of the mouth: 59 mm at the molars.
        moved[:, 0] -= 0.12 * (operator[-1] @ vertices)[:, 0]
        offset.append(moved)
        shade.append(
            (np.interp(gap, [0, 0.1, 0.35], [0.45, 0.92, 1.0]) if row < 2 else 0.7)
            * np.interp(back, [0, 0.25, 0.55, 1], [1.0, 0.9, 0.45, 0.12])
            * _ROW_SHADE[row]
        )
    count = len(places)
    triangles, gum = _strips(len(rows), count)
    corner = np.concatenate([m @ vertices for m in operator]) + np.concatenate(offset)
    if _faces_inwards(corner, triangles):
        triangles = triangles[:, ::-1]
    return Teeth(
        sparse.csr_matrix(sparse.vstack(operator)),
        np.concatenate(offset),
        np.ascontiguousarray(triangles, np.int32),
        gum,
        np.concatenate(shade),
    )


def _columns(borders: Double) -> tuple[Double, Double]:
    """Places [C] along the arch, left to right, and each one's fraction across its tooth."""
    edges = np.concatenate([-borders[:0:-1], borders])
    places, across = [], []
    for left, right in pairwise(edges):
        places += [left + f * (right - left) for f in _ACROSS]
        across += _ACROSS
    return np.array([*places, edges[-1]]), np.array([*across, 0.0])


def _interpolation(along: Double, places: Double) -> Double:
    """[C, 17] linear interpolation weights of the band's columns."""
    return np.stack([np.interp(places, along, unit) for unit in np.eye(len(along))], 1)


def _row(grid: Polygons, weights: Double, row: float, count: int) -> sparse.csr_matrix:
    """[C, N] weights of a row between the band's: 0 gum, 1 cutting edge, 2 inner side."""
    # The band has rows at gum, half crown, edge, inner side.
    position = row * 2 if row <= 1 else row + 1
    low = min(int(position), 2)
    matrix = sparse.lil_matrix((len(weights), count))
    for band_row, share in ((low, 1 - (position - low)), (low + 1, position - low)):
        for column in range(len(grid)):
            matrix[:, grid[column, band_row]] += share * weights[:, [column]]
    return sparse.csr_matrix(matrix)


def _outward(edge_row: Double, weights: Double) -> Double:
    """[C, 3] horizontal directions away from the mouth's middle, across the arch."""
    tangent = np.gradient(weights @ edge_row, axis=0)
    outward = np.stack([-tangent[:, 2], np.zeros(len(tangent)), tangent[:, 0]], 1)
    return outward / np.linalg.norm(outward, axis=1, keepdims=True)


def _strips(rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    triangles, gum = [], []
    for row in range(rows - 1):
        for column in range(columns - 1):
            a, b = row * columns + column, row * columns + column + 1
            triangles += [[a, b, b + columns], [a, b + columns, a + columns]]
            gum += [row == 0] * 2
    return np.array(triangles), np.array(gum)


def _faces_inwards(vertices: Double, triangles: NDArray[Any]) -> bool:
    front = vertices[triangles[len(triangles) // 8 - 2 : len(triangles) // 8 + 2]]
    return bool(np.cross(front[:, 1] - front[:, 0], front[:, 2] - front[:, 0])[:, 2].mean() < 0)


def _grid(polygons: Polygons) -> Polygons:
    """[17, 4] the vertices of a band of quadrilaterals, put in their rows and columns."""
    place = dict(zip(polygons[0].tolist(), [(0, 0), (1, 0), (1, 1), (0, 1)], strict=True))
    by_edge: dict[frozenset[int], list[int]] = defaultdict(list)
    for index, polygon in enumerate(polygons.tolist()):
        for corner in range(4):
            by_edge[frozenset((polygon[corner - 1], polygon[corner]))].append(index)
    waiting, done = [0], {0}
    while waiting:
        polygon = polygons[waiting.pop()].tolist()
        for corner in range(4):
            p, q = polygon[corner - 1], polygon[corner]
            inner = polygon[corner - 2]  # the corner before p: points back into this polygon
            step = (place[p][0] - place[inner][0], place[p][1] - place[inner][1])
            for other in by_edge[frozenset((p, q))]:
                if other in done:
                    continue
                ring = polygons[other].tolist()
                at = ring.index(q)
                beyond_q = ring[(at - 1) % 4] if ring[(at + 1) % 4] == p else ring[(at + 1) % 4]
                beyond_p = next(v for v in ring if v not in (p, q, beyond_q))
                place[beyond_q] = (place[q][0] + step[0], place[q][1] + step[1])
                place[beyond_p] = (place[p][0] + step[0], place[p][1] + step[1])
                done.add(other)
                waiting.append(other)
    names = np.array(list(place))
    at = np.array(list(place.values()))
    at -= at.min(0)
    if at[:, 0].max() < at[:, 1].max():
        at = at[:, ::-1]
    grid = np.full(at.max(0) + 1, -1)
    grid[at[:, 0], at[:, 1]] = names
    return grid
