"""Small facts of triangles and polygons, against what is known of them."""

import numpy as np
from skimage.measure import points_in_poly

from avatar.portrait.mesh import (
    areas,
    between_corners,
    diffused,
    graph_laplacian,
    smooth_normals,
    vertex_normals,
)
from avatar.portrait.sitter import in_polygon

OCTAHEDRON = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32
)
FACES = np.array(
    [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]],
    np.int32,
)


def test_areas_and_normals_of_an_octahedron():
    np.testing.assert_allclose(areas(OCTAHEDRON, FACES), np.sqrt(3) / 2, rtol=1e-6)
    outward = OCTAHEDRON[FACES].mean(1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    normals = smooth_normals(OCTAHEDRON, FACES)
    np.testing.assert_allclose(normals, outward, atol=1e-6)
    np.testing.assert_allclose(vertex_normals(normals, FACES, 6), OCTAHEDRON, atol=1e-6)


def test_between_corners_values_mix_by_weight():
    weights = np.array([[1, 0, 0], [0.5, 0.25, 0.25]])
    one = np.array([[1.0, 2, 3], [4, 8, 12]])
    np.testing.assert_allclose(between_corners(weights, one), [1, 7])
    several = np.stack([one, 10 * one], -1)
    np.testing.assert_allclose(between_corners(weights, several), [[1, 10], [7, 70]])


def test_the_laplacian_of_a_constant_is_nothing_and_a_linear_field_balances_inside():
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0))
    vertices = 0.1 * np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    a = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + 6], 1), np.stack([a, a + 6, a + 5], 1)])
    laplacian = graph_laplacian(vertices, triangles.astype(np.int32), 25)
    np.testing.assert_allclose(laplacian @ np.ones(25), 0, atol=1e-12)
    np.testing.assert_allclose(laplacian[0, 1], -1)  # an edge of a decimetre
    np.testing.assert_allclose(laplacian[0, 6], -np.sqrt(0.5))
    inner = (laplacian @ vertices[:, 0]).reshape(5, 5)[1:-1, 1:-1]
    np.testing.assert_allclose(inner, 0, atol=1e-12)


def test_points_in_a_polygon_are_those_that_scikit_image_finds():
    rng = np.random.default_rng(3)
    turn = np.sort(rng.uniform(0, 2 * np.pi, 30))
    radius = rng.uniform(0.4, 1, 30)[:, None]
    polygon = radius * np.stack([np.cos(turn), np.sin(turn)], 1)
    points = rng.uniform(-1, 1, (5000, 2))
    np.testing.assert_array_equal(in_polygon(points, polygon), points_in_poly(points, polygon))
    level = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    assert in_polygon(np.array([[0.5, 0.5], [1.5, 0.5], [0.5, 1.5]]), level).tolist() == [1, 0, 0]


def test_a_blur_over_the_surface_keeps_the_sum_and_reaches_as_far_as_asked():
    x, y = np.meshgrid(np.linspace(-0.05, 0.05, 61), np.linspace(-0.05, 0.05, 61))
    vertices = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    a = (np.arange(60)[:, None] * 61 + np.arange(60)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + 62], 1), np.stack([a, a + 62, a + 61], 1)])
    spike = np.zeros((61 * 61, 1))
    spike[30 * 61 + 30] = 1
    blurred = diffused(vertices, triangles.astype(np.int32), spike, 0.006)
    np.testing.assert_allclose(blurred.sum(), 1, rtol=1e-3)
    assert blurred.min() > -1e-6
    spread = np.sqrt((blurred[:, 0] * vertices[:, 0] ** 2).sum())
    np.testing.assert_allclose(spread, 0.006, rtol=0.1)


def test_a_blur_leaves_a_constant_and_what_has_no_triangles():
    values = np.concatenate([np.full((6, 2), 3.0), [[5.0, 7.0]]])
    vertices = np.concatenate([OCTAHEDRON, [[9.0, 9, 9]]])
    np.testing.assert_allclose(diffused(vertices, FACES, values, 0.5), values, atol=1e-4)
