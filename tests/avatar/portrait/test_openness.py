"""How much light reaches a surface, on shapes where that is known."""

import numpy as np

from avatar.portrait.light import evenly_spread
from avatar.portrait.openness import openness


def floor(size: float, height: float, up: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, normals and triangles of a level square of 21 x 21 vertices."""
    x, y = np.meshgrid(np.linspace(-size, size, 21), np.linspace(-size, size, 21))
    vertices = np.stack([x, 0 * x + height, y], -1).reshape(-1, 3)
    a = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + 22], 1), np.stack([a, a + 22, a + 21], 1)])
    return vertices, np.tile([0.0, up, 0.0], (441, 1)), triangles.astype(np.int32)


def test_an_open_floor_gets_all_the_light():
    vertices, normals, triangles = floor(0.1, 0.0, 1.0)
    share = openness(vertices, normals, triangles, evenly_spread(48))
    np.testing.assert_allclose(share, 1, atol=0.05)  # grazing light meets the next pixel


def test_under_a_roof_the_middle_of_the_floor_gets_less_than_its_rim():
    low, up, triangles = floor(0.1, 0.0, 1.0)
    high, down, _ = floor(0.1, 0.05, -1.0)
    share = openness(
        np.concatenate([low, high]),
        np.concatenate([up, down]),
        np.concatenate([triangles, triangles + 441]),
        evenly_spread(96),
    )
    middle, rim = share[220], share[:21].mean()
    # A disc of the same width hides r^2 / (r^2 + h^2) of the sky's light.
    assert middle < 0.3
    assert rim > middle + 0.2
