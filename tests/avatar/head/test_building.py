"""The parts of the template's making that hold for any mesh."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.training.head_subdivision import refine
from avatar.training.landmark_correspondence import closest_on_triangles, symmetrise


def sheet(columns: int, rows: int) -> tuple[np.ndarray, list[list[int]]]:
    """A flat sheet of squares."""
    x, y = np.meshgrid(np.arange(columns + 1.0), np.arange(rows + 1.0))
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    corner = (np.add.outer(np.arange(rows) * (columns + 1), np.arange(columns))).ravel()
    return vertices, [[c, c + 1, c + columns + 2, c + columns + 1] for c in corner.tolist()]


def fan(polygons: list[list[int]]) -> np.ndarray:
    return np.array([[p[0], p[k], p[k + 1]] for p in polygons for k in range(1, len(p) - 1)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_a_refined_sheet_stays_flat_whole_and_of_the_same_area(seed: int):
    vertices, polygons = sheet(5, 4)
    chosen = np.random.default_rng(seed).random(len(polygons)) < 0.5
    fine = refine(polygons, len(vertices), chosen)
    np.testing.assert_allclose(np.asarray(fine.operator.sum(1)).ravel(), 1)
    places = fine.operator @ vertices
    np.testing.assert_allclose(places[:, 2], 0, atol=1e-12)
    a, b, c = (places[fan(fine.polygons)[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)[:, 2] / 2
    assert (area > 1e-9).all()
    np.testing.assert_allclose(area.sum(), 20)
    edges = np.sort(
        np.concatenate([fan(fine.polygons)[:, [k, (k + 1) % 3]] for k in range(3)]), axis=1
    )
    border = 2 * (5 + 4)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2  # no edge with a crack beside it but the outer ones
    assert border <= (counts == 1).sum() <= 2 * border


def test_refining_nothing_changes_nothing():
    vertices, polygons = sheet(3, 2)
    fine = refine(polygons, len(vertices), np.zeros(len(polygons), bool))
    assert fine.polygons == polygons
    np.testing.assert_array_equal(fine.operator @ vertices, vertices)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_closest_point_beats_every_other_point_of_the_triangle(seed: int):
    generator = np.random.default_rng(seed)
    corners = generator.normal(size=(6, 3, 3))
    point = generator.normal(size=3) * 2
    found, weights = closest_on_triangles(point, corners)
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights.min() >= -1e-9
    others = generator.dirichlet((0.5, 0.5, 0.5), 300)
    rivals = np.einsum("mk,nkc->nmc", others, corners)
    nearest = np.linalg.norm(rivals - point, axis=2).min(1)
    assert (np.linalg.norm(found - point, axis=1) <= nearest + 1e-9).all()


def test_symmetrise_averages_mirror_partners_and_leaves_the_rest():
    right = np.array([[-0.030, 0.01, 0.0], [-0.020, -0.03, 0.01]])
    left = right * [-1, 1, 1] + [0.001, 0, 0]
    lonely = np.array([[0.05, 0.2, 0.0]])
    moved, distance = symmetrise(np.concatenate([right, left, lonely]))
    np.testing.assert_allclose(moved[:2] * [-1, 1, 1], moved[2:4])
    np.testing.assert_allclose(distance[:4], 0.0005)
    np.testing.assert_array_equal(moved[4], lonely[0])
