"""Splats lie evenly on their triangles and cover them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from avatar.portrait.mesh import areas
from avatar.portrait.splats import count_for, joined, lay, scatter, unblurred

SQUARE = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


@given(st.floats(0.002, 0.05))
def test_there_are_as_many_as_announced_about_one_per_square(spacing: float):
    wanted = np.full(2, spacing)
    lattice = lay(SQUARE, HALVES, wanted)
    assert len(lattice) == count_for(areas(SQUARE, HALVES), wanted)
    cuts = max(1, round(np.sqrt(0.005) / spacing))
    assert len(lattice) == 2 * min(cuts, 40) ** 2


def test_each_lies_on_its_own_triangle_where_its_weights_say():
    lattice = lay(SQUARE, HALVES, np.array([0.01, 0.02]))
    assert (lattice.barycentric > 0).all()
    np.testing.assert_allclose(lattice.barycentric.sum(1), 1, atol=1e-6)
    where = (lattice.barycentric[..., None] * SQUARE[HALVES[lattice.triangle]]).sum(1)
    np.testing.assert_allclose(lattice.means, where, atol=1e-6)
    np.testing.assert_allclose(lattice.normals, [[0, 0, 1]] * len(lattice), atol=1e-6)


def test_they_cover_the_surface_without_gaps():
    """At every point the Gaussians together weigh at least what makes skin opaque."""
    lattice = lay(SQUARE, HALVES, np.full(2, 0.01))
    x, y = np.meshgrid(np.linspace(0.02, 0.08, 50), np.linspace(0.02, 0.08, 50))
    offset = np.stack([x, y, np.zeros_like(x)], -1)[..., None, :] - lattice.means
    turn = Rotation.from_quat(lattice.rotations[:, [1, 2, 3, 0]]).as_matrix()
    along = np.einsum("hwni,nik->hwnk", offset, turn) / lattice.scales
    weight = np.exp(-0.5 * (along**2).sum(-1))
    transmitted = np.prod(1 - 0.96 * np.minimum(weight, 1), axis=-1)
    assert transmitted.max() < 0.25


def test_a_triangle_without_spacing_or_area_stays_bare():
    flat = np.array([[0, 1, 1]], np.int32)
    half = count_for(areas(SQUARE, HALVES[1:]), np.array([0.01]))
    assert len(lay(SQUARE, HALVES, np.array([0.0, 0.01]))) == half
    assert len(lay(SQUARE, flat, np.array([0.01]))) == 0


def test_scattered_splats_take_their_share_of_the_surface_whatever_its_triangles():
    corners = np.linspace(0, 0.1, 41)
    x, y = np.meshgrid(corners, corners)
    fine = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32)
    a = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + 42], 1), np.stack([a, a + 42, a + 41], 1)])
    scattered = scatter(fine, triangles.astype(np.int32), np.full(3200, 0.01))
    assert abs(len(scattered) - 100) <= 1
    np.testing.assert_allclose(scattered.normals, [[0, 0, 1]] * len(scattered), atol=1e-6)
    assert len(scatter(fine, triangles.astype(np.int32), np.zeros(3200))) == 0


def test_joined_lattices_keep_every_splat():
    one, two = lay(SQUARE, HALVES, np.full(2, 0.02)), scatter(SQUARE, HALVES, np.full(2, 0.05))
    both = joined([one, two])
    assert len(both) == len(one) + len(two)
    np.testing.assert_array_equal(both.means[len(one) :], two.means)


def test_unblurring_brings_back_what_blending_takes():
    lattice = lay(SQUARE, HALVES, np.full(2, 0.004))
    stripes = (0.5 + 0.4 * np.sin(lattice.means[:, :1] * 300)) * np.ones((1, 3))
    sharp = unblurred(lattice, stripes.astype(np.float32))
    assert np.ptp(sharp) > np.ptp(stripes)
    flat = np.full((len(lattice), 3), 0.3, np.float32)
    np.testing.assert_allclose(unblurred(lattice, flat), flat, atol=1e-6)


def test_a_large_triangle_gets_as_many_scattered_splats_as_fit_and_evenly():
    scattered = scatter(SQUARE, HALVES, np.full(2, 0.01))
    assert abs(len(scattered) - 100) <= 1
    np.testing.assert_allclose(scattered.barycentric.sum(1), 1, atol=1e-6)
    assert scattered.barycentric.min() >= -1e-6
    quarters = np.histogram2d(*scattered.means[:, :2].T, bins=2, range=[[0, 0.1], [0, 0.1]])[0]
    assert quarters.min() >= 18
    assert quarters.max() <= 32
    lone = scatter(SQUARE, HALVES, np.full(2, 0.07))
    np.testing.assert_allclose(lone.barycentric, 1 / 3, atol=1e-6)
