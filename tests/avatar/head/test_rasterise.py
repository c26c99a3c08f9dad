"""The z-buffer against a plain per-pixel search, and the laws of its weights."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.head.rasterise import interpolate, rasterise


def plain(points: np.ndarray, triangles: np.ndarray, width: int, height: int) -> np.ndarray:
    """[H, W] the nearest depth under each pixel, by testing every triangle at every pixel."""
    depth = np.full((height, width), np.inf)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    for triangle in triangles:
        (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = points[triangle].astype(np.float64)
        system = np.array([[x0, x1, x2], [y0, y1, y2], [1, 1, 1]])
        if abs(np.linalg.det(system)) < 1e-9:
            continue
        place = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
        weights = np.linalg.solve(system, place)
        here = 1 / (weights / np.array([[z0], [z1], [z2]])).sum(0)
        here = np.where((weights >= 0).all(0), here, np.inf).reshape(height, width)
        depth = np.minimum(depth, here)
    return depth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_depth_equals_the_plain_search(seed: int):
    generator = np.random.default_rng(seed)
    points = generator.uniform((-5, -5, 0.5), (45, 40, 3.0), (30, 3)).astype(np.float32)
    triangles = generator.integers(0, 30, (12, 3)).astype(np.int32)
    image = rasterise(points, triangles, 40, 33)
    expected = plain(points, triangles, 40, 33)
    # Pixels within a rounding error of an edge may differ: allow a few of them.
    same = np.isclose(image.depth, expected, rtol=1e-4) | (
        np.isinf(image.depth) & np.isinf(expected)
    )
    assert same.mean() > 0.995


def test_weights_find_the_point_in_space_again():
    generator = np.random.default_rng(3)
    eye = np.column_stack(
        [generator.uniform(-1, 1, (40, 2)), generator.uniform(1, 4, 40)]
    )  # x, y, depth
    screen = 64 + 50 * eye[:, :2] / eye[:, 2:]
    points = np.column_stack([screen, eye[:, 2]])
    triangles = generator.integers(0, 40, (20, 3)).astype(np.int32)
    image = rasterise(points, triangles, 128, 128)
    assert image.covered.sum() > 1000
    place = interpolate(image, triangles, eye)[image.covered]
    rows, columns = np.nonzero(image.covered)
    np.testing.assert_allclose(64 + 50 * place[:, 0] / place[:, 2], columns + 0.5, atol=0.02)
    np.testing.assert_allclose(64 + 50 * place[:, 1] / place[:, 2], rows + 0.5, atol=0.02)
    np.testing.assert_allclose(place[:, 2], image.depth[image.covered], rtol=1e-4)
    np.testing.assert_allclose(image.barycentric[image.covered].sum(1), 1, atol=1e-5)


def test_neighbouring_triangles_leave_no_pixel_between_them():
    grid = np.stack(np.meshgrid(np.linspace(2.3, 61.7, 9), np.linspace(1.1, 60.2, 9)), -1)
    points = np.column_stack([grid.reshape(-1, 2), np.ones(81)])
    corner = np.add.outer(np.arange(8) * 9, np.arange(8)).ravel()
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + 10], 1),
            np.stack([corner, corner + 10, corner + 9], 1),
        ]
    ).astype(np.int32)
    image = rasterise(points, triangles, 64, 64)
    assert image.covered[2:59, 3:61].all()


def test_a_triangle_behind_the_camera_or_without_area_draws_nothing():
    points = np.array([[0, 0, 1], [30, 0, -1], [0, 30, 1], [10, 10, 1], [20, 20, 1]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 3, 4], [2, 2, 2]], np.int32)
    assert not rasterise(points, triangles, 32, 32).covered.any()


def test_a_triangle_far_larger_than_the_picture_covers_it():
    points = np.array([[-1e4, -1e4, 2], [3e4, -1e4, 2], [-1e4, 3e4, 2]], np.float32)
    image = rasterise(points, np.array([[0, 1, 2]], np.int32), 50, 20)
    assert image.covered.all()
    np.testing.assert_allclose(image.depth, 2, rtol=1e-4)
