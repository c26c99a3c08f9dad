"""Finer polygons where a face is looked at: one step of Catmull and Clark on chosen polygons.

The rules are Catmull & Clark 1978. They shrink what is convex, which would part closed lips and
step down at the rim of the chosen region; so the old vertices are first pushed out by what the
rules will take from them (one step of Jacobi's iteration towards an interpolating surface).
Vertices on the rim stay where they are and rim edges are split in their middle: the neighbours
only get new corners, and no gap opens. All is linear: new positions = operator @ old positions.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, slots=True)
class Refined:
    """The finer mesh: old vertices first (those used), then edge points, then face points."""

    operator: sparse.csr_matrix
    """[V', V] new from old positions (or offsets); rows sum to 1."""
    polygons: list[list[int]]
    """Corners of the new polygons: quadrilaterals, and neighbours with extra corners."""
    parent: NDArray[np.int64]
    """[polygons] the old polygon that each came from."""


def refine(polygons: list[list[int]], vertices: int, chosen: NDArray[np.bool_]) -> Refined:
    """Divides the chosen polygons into quadrilaterals."""
    at_edge: dict[tuple[int, int], list[int]] = defaultdict(list)
    at_vertex: dict[int, list[int]] = defaultdict(list)
    for index, polygon in enumerate(polygons):
        for corner, vertex in enumerate(polygon):
            at_vertex[vertex].append(index)
            at_edge[_edge(vertex, polygon[corner - 1])].append(index)

    rows: list[dict[int, float]] = [{vertex: 1.0} for vertex in range(vertices)]
    face_point: dict[int, int] = {}
    for index in np.flatnonzero(chosen):
        polygon = polygons[index]
        face_point[int(index)] = len(rows)
        rows.append(dict.fromkeys(polygon, 1 / len(polygon)))
    edge_point: dict[tuple[int, int], int] = {}
    for edge, faces in at_edge.items():
        fine = [face for face in faces if face in face_point]
        if not fine:
            continue
        row = {edge[0]: 0.5, edge[1]: 0.5}
        if len(fine) == 2:
            row = _mixed(
                [({edge[0]: 0.5, edge[1]: 0.5}, 0.5)] + [(rows[face_point[f]], 0.25) for f in fine]
            )
        edge_point[edge] = len(rows)
        rows.append(row)
    moved = {}
    for vertex, faces in at_vertex.items():
        edges = [edge for edge in _edges_around(vertex, faces, polygons)]
        closed = len(edges) == len(faces)
        if closed and all(face in face_point for face in faces):
            moved[vertex] = _vertex_point(vertex, faces, edges, rows, face_point)
    for vertex, row in moved.items():
        rows[vertex] = row
    return _assembled(polygons, vertices, rows, face_point, edge_point)


def _edge(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _edges_around(vertex: int, faces: list[int], polygons: list[list[int]]) -> set[tuple[int, int]]:
    edges = set()
    for face in faces:
        polygon = polygons[face]
        corner = polygon.index(vertex)
        edges.add(_edge(vertex, polygon[corner - 1]))
        edges.add(_edge(vertex, polygon[(corner + 1) % len(polygon)]))
    return edges


def _mixed(terms: list[tuple[dict[int, float], float]]) -> dict[int, float]:
    total: dict[int, float] = defaultdict(float)
    for row, weight in terms:
        for vertex, share in row.items():
            total[vertex] += weight * share
    return dict(total)


def _vertex_point(
    vertex: int,
    faces: list[int],
    edges: list[tuple[int, int]],
    rows: list[dict[int, float]],
    face_point: dict[int, int],
) -> dict[int, float]:
    """(F + 2R + (n - 3)P) / n: mean face point, mean edge middle, the vertex itself."""
    n = len(faces)
    terms = [(rows[face_point[face]], 1 / n**2) for face in faces]
    terms += [({edge[0]: 0.5, edge[1]: 0.5}, 2 / n**2) for edge in edges]
    terms.append(({vertex: 1.0}, (n - 3) / n))
    return _mixed(terms)


def _assembled(
    polygons: list[list[int]],
    vertices: int,
    rows: list[dict[int, float]],
    face_point: dict[int, int],
    edge_point: dict[tuple[int, int], int],
) -> Refined:
    fine: list[list[int]] = []
    parent: list[int] = []
    for index, polygon in enumerate(polygons):
        middles = [
            edge_point.get(_edge(vertex, polygon[(corner + 1) % len(polygon)]))
            for corner, vertex in enumerate(polygon)
        ]
        if index in face_point:
            for corner, vertex in enumerate(polygon):
                after, before = middles[corner], middles[corner - 1]
                assert after is not None
                assert before is not None
                fine.append([vertex, after, face_point[index], before])
                parent.append(index)
            continue
        outline: list[int] = []
        for vertex, middle in zip(polygon, middles, strict=True):
            outline += [vertex] if middle is None else [vertex, middle]
        # Start at a split edge's middle: a fan from there makes no triangle without area.
        first = next((i for i, v in enumerate(outline) if v >= vertices), 0)
        fine.append(outline[first:] + outline[:first])
        parent.append(index)
    entries = [(r, c, w) for r, row in enumerate(rows) for c, w in row.items()]
    r, c, w = (np.array(column) for column in zip(*entries, strict=True))
    smooth = sparse.csr_matrix((w, (r, c)), shape=(len(rows), vertices))
    pushed = 2 * sparse.identity(vertices, format="csr") - smooth[:vertices]
    return Refined(_pruned(sparse.csr_matrix(smooth @ pushed)), fine, np.array(parent))


def _pruned(operator: sparse.csr_matrix) -> sparse.csr_matrix:
    """Without weights too small to be seen (a hundredth of a neighbour's way); rows sum to 1."""
    operator.data[np.abs(operator.data) < 5e-3] = 0
    operator.eliminate_zeros()
    total = np.asarray(operator.sum(1)).ravel()
    return sparse.csr_matrix(sparse.diags(1 / total) @ operator)
