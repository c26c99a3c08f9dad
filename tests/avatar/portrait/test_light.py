"""Light and albedo are told apart on surfaces whose light and albedo are known."""

import numpy as np
import pytest

from avatar.portrait.light import Light, estimate_light, even_light, evenly_spread
from avatar.shading import COEFFICIENTS, ENCODING_POWER, irradiance
from avatar.types import Float

SKIN = np.array([0.72, 0.55, 0.46])


def lamp(towards: tuple[float, float, float], strength: float, warmth: float = 0.0) -> Float:
    """[9, 3] a lamp in an evenly lit room: `strength` 0 = none."""
    coefficients = even_light().coefficients.copy()
    x, y, z = np.array(towards) / np.linalg.norm(towards)
    tint = strength * np.array([1 + warmth, 1, 1 - warmth])
    for row, share in ((1, y), (2, z), (3, x)):
        coefficients[row] += 2 * share * tint
    return coefficients


def face(count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Normals and places of the front of a ball."""
    normals = evenly_spread(2 * count)
    normals = normals[normals[:, 2] > 0.35]
    return normals, 0.08 * normals


def lit_skin(light: Float, normals: np.ndarray, noise: float = 0.0) -> np.ndarray:
    colours = SKIN * irradiance(light, normals.astype(np.float32)) ** (1 / ENCODING_POWER)
    return np.clip(colours + np.random.default_rng(0).normal(0, noise, colours.shape), 0, None)


def differing(found: Light, light: Float, normals: np.ndarray) -> float:
    """Largest relative difference of two lights, each against its own mean."""
    a, b = found.shading(normals), irradiance(light, normals.astype(np.float32))
    return float(np.abs((a / a.mean()) / (b / b.mean()) - 1).max())


@pytest.mark.parametrize("towards", [(1, 0.5, 1), (-1, 0, 1), (0, 1, 1)])
def test_a_lamp_is_found_where_it_is(towards: tuple[float, float, float]):
    normals, places = face()
    light = lamp(towards, 0.25, warmth=0.2)
    found = estimate_light(lit_skin(light, normals), normals, places, np.ones(len(normals)))
    # Light from above and a forehead that is paler than the chin look alike: the upright lamp is
    # partly taken for skin.
    assert differing(found, light, normals) < (0.2 if towards[0] == 0 else 0.12)


def test_brows_beard_and_highlights_do_not_count_as_light():
    normals, places = face()
    light = lamp((1, 0.2, 1), 0.25)
    colours = lit_skin(light, normals, noise=0.02)
    marked = colours.copy()
    marked[(places[:, 1] > 0.02) & (places[:, 1] < 0.03)] *= 0.3
    marked[places[:, 1] < -0.06] *= 0.5
    marked[np.linalg.norm(normals - [0.4, 0.3, 0.86], axis=1) < 0.15] = 1.0
    weights = np.ones(len(normals))
    plain = estimate_light(colours, normals, places, weights)
    found = estimate_light(marked, normals, places, weights)
    assert differing(found, plain.coefficients, normals) < 0.12


def test_light_from_one_side_is_measured_and_even_light_is_even():
    assert even_light().side_light == pytest.approx(1)
    strong, weak = (Light(coefficients=lamp((1, 0, 0.5), s)) for s in (0.3, 0.1))
    mirrored = Light(coefficients=lamp((-1, 0, 0.5), 0.3))
    assert strong.side_light > weak.side_light > 1.1
    assert strong.side_light == pytest.approx(mirrored.side_light, rel=1e-5)


def test_light_is_positive_from_everywhere_however_steep_the_face():
    normals, places = face()
    colours = np.where(normals[:, :1] > 0, SKIN, 0.03)
    found = estimate_light(colours, normals, places, np.ones(len(normals)))
    shading = found.shading(evenly_spread(500))
    assert shading.min() > 0.02
    seen = found.shading(normals).mean(1)
    assert np.quantile(seen, 0.98) / np.quantile(seen, 0.02) < 6


@pytest.mark.parametrize("count", [0, 5])
def test_where_no_skin_is_seen_light_is_even(count: int):
    normals, places = face()
    weights = np.zeros(len(normals))
    weights[:count] = 1
    found = estimate_light(lit_skin(lamp((1, 0, 0), 0.3), normals), normals, places, weights)
    np.testing.assert_allclose(found.shading(normals), found.shading(-normals), rtol=1e-5)
    assert found.coefficients.shape == (COEFFICIENTS, 3)


def test_a_black_and_a_white_picture_give_sound_light():
    normals, places = face()
    for tone in (0.0, 1.0):
        colours = np.full((len(normals), 3), tone)
        found = estimate_light(colours, normals, places, np.ones(len(normals)))
        assert np.isfinite(found.coefficients).all()
        assert found.side_light < 1.05
