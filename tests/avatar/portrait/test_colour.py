"""Colours are taken where the photograph shows them and filled where it does not."""

import numpy as np
import pytest

from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.colour import (
    PhotoColours,
    fill_in,
    like_skin,
    sample,
    squareness,
    unoccluded,
)

SKIN = np.array([0.85, 0.65, 0.55], np.float32)
FACING = PhotoCamera(
    rotation=np.eye(3, dtype=np.float32),
    translation=np.array([0, 0, -CAMERA_DISTANCE_M], np.float32),
    focal_px=CAMERA_DISTANCE_M * 100,
    centre_px=(20.0, 20.0),
)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).random((height, width, 3)).astype(np.float32)


def test_a_sample_at_a_pixels_centre_is_that_pixel():
    image = noise(7, 11)
    x, y = np.meshgrid(np.arange(11) + 0.5, np.arange(7) + 0.5)
    pixels = np.stack([x, y], -1).reshape(-1, 2)
    np.testing.assert_allclose(sample(image, pixels), image.reshape(-1, 3), atol=1e-6)


def test_between_two_pixels_lies_their_mean_and_beyond_the_border_its_colour():
    image = noise(4, 4)
    np.testing.assert_allclose(
        sample(image, np.array([[2.0, 1.5]])), [(image[1, 1] + image[1, 2]) / 2], atol=1e-6
    )
    np.testing.assert_allclose(sample(image, np.array([[-9.0, 2.5]])), [image[2, 0]], atol=1e-6)


def test_more_pixels_than_a_row_of_opencv_can_hold_are_sampled():
    pixels = np.random.default_rng(0).uniform(0, 8, (40_000, 2))
    found = sample(noise(8, 8), pixels)
    assert found.shape == (40_000, 3)
    np.testing.assert_array_equal(found[-5:], sample(noise(8, 8), pixels[-5:]))


def test_the_background_does_not_bleed_into_the_person():
    image = np.full((40, 40, 3), (0.0, 0.0, 1.0), np.float32)
    image[:, 10:30] = SKIN
    person = np.zeros((40, 40), np.float32)
    person[:, 10:30] = 1
    photo = PhotoColours(image, person, pixels_per_metre=1000.0)
    at_border = np.array([[9.0, 20.0], [10.0, 20.0], [30.5, 20.0]])
    np.testing.assert_allclose(photo.at(at_border, 0.001), np.tile(SKIN, (3, 1)), atol=1e-5)
    np.testing.assert_allclose(photo.person_at(np.array([[20.0, 20.0], [20.0, 90.0]])), [1, 0])


def test_what_is_seen_squarely_counts_and_what_is_seen_edge_on_does_not():
    normals = np.array([[0, 0, 1], [1, 0, 0], [0, 0, -1]], np.float32)
    np.testing.assert_allclose(squareness(normals, np.zeros((3, 3)), FACING), [1, 0, 0])


def test_what_lies_behind_the_head_is_occluded():
    depth = np.full((40, 40), np.inf, np.float32)
    depth[:, :20] = CAMERA_DISTANCE_M
    points = np.array([[-0.1, 0, 0.0], [-0.1, 0, -0.05], [0.1, 0, -0.05]])
    assert unoccluded(points, FACING, depth).tolist() == [True, False, True]


@pytest.fixture(scope="module")
def strip() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and mirror of a strip of 2 x 21 vertices about x = 0."""
    x = np.linspace(-0.1, 0.1, 21)
    vertices = np.concatenate([np.stack([x, 0 * x + y, 0 * x], 1) for y in (0.0, 0.01)])
    a = np.arange(20)
    lower, upper = np.stack([a, a + 1, a + 22], 1), np.stack([a, a + 22, a + 21], 1)
    mirror = np.concatenate([np.arange(20, -1, -1), 21 + np.arange(20, -1, -1)])
    return (
        vertices.astype(np.float32),
        np.concatenate([lower, upper]).astype(np.int32),
        mirror.astype(np.int32),
    )


def plain_fill(vertices: np.ndarray, **given: np.ndarray) -> dict[str, np.ndarray]:
    """Arguments of `fill_in` that lend nothing and tend faintly to black, but for `given`."""
    count = len(vertices)
    usual = {
        "seen": np.zeros((count, 3)),
        "trust": np.zeros(count),
        "twin": np.zeros((count, 3)),
        "lent": np.zeros(count),
        "likely": np.zeros((count, 3)),
        "pull": np.full(count, 1e-6),
    }
    return usual | given


def test_what_is_seen_stays_and_the_other_half_takes_its_changes_without_a_seam(strip):
    vertices, triangles, mirror = strip
    right = vertices[:, 0] < -0.001
    marked = SKIN * (1 + np.where(vertices[:, :1] < -0.05, 0.3, 0))
    seen = np.where(right[:, None], marked, (0.0, 1.0, 0.0))
    left = 1.0 * (vertices[:, 0] > 0.001)
    # Seen from the other half all is darker: only its changes may come over.
    filled = fill_in(
        vertices,
        triangles,
        **plain_fill(vertices, seen=seen, trust=1.0 * right, twin=0.7 * seen[mirror], lent=left),
    )
    np.testing.assert_allclose(filled[right], seen[right], atol=0.03)
    steps = np.abs(np.diff(filled[:21], axis=0)).max(1)
    assert steps[9:11].max() < 0.03, "a seam where the halves meet"
    spot = filled[np.argmax(vertices[:, 0])] - filled[13]
    np.testing.assert_allclose(spot, 0.7 * 0.3 * SKIN, atol=0.05)


def test_what_no_half_shows_is_filled_from_around_and_else_with_what_is_likely(strip):
    vertices, triangles, _ = strip
    middle = np.abs(vertices[:, 0]) < 0.025
    seen = np.where(middle[:, None], (0.0, 1.0, 0.0), SKIN)
    likely = np.tile([0.2, 0.3, 0.4], (len(vertices), 1))
    around = fill_in(
        vertices, triangles, **plain_fill(vertices, seen=seen, trust=1.0 * ~middle, likely=likely)
    )
    np.testing.assert_allclose(around, np.tile(SKIN, (len(vertices), 1)), atol=1e-3)
    nothing = fill_in(vertices, triangles, **plain_fill(vertices, likely=likely))
    np.testing.assert_allclose(nothing, likely, atol=1e-4)


def test_skin_in_the_shade_is_like_skin_and_hair_and_grass_are_not():
    colours = np.array([SKIN, 0.8 * SKIN, (0.1, 0.07, 0.05), (0.2, 0.7, 0.2)], np.float32)
    alike = like_skin(colours, SKIN)
    assert (alike[:2] > 0.9).all()
    assert (alike[2:] < 0.1).all()
