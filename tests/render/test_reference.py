"""The plain renderer against pixels worked out by hand."""

import numpy as np
import pytest

from render.camera import View
from render.reference import ReferenceRenderer
from render.renderer import SCREEN_BLUR
from tests.render.scenes import front_view, gaussians_of

REFERENCE = ReferenceRenderer()


def middle_pixel_view() -> View:
    """33 x 33 pixels; the middle of pixel (16, 16) looks straight along -z."""
    return front_view(33, 33, focal=40.0)


def test_one_splat_is_a_gaussian_bell_of_its_projected_size_plus_the_blur():
    scale, depth = 0.1, 2.0
    colour, alpha = REFERENCE.render_float(
        gaussians_of([0, 0, -depth], scales=scale, opacities=0.8, colours=(1, 0.5, 0)),
        [middle_pixel_view()],
    )
    variance = (40.0 * scale / depth) ** 2 + SCREEN_BLUR
    for offset in range(5):
        expected = 0.8 * np.exp(-0.5 * offset**2 / variance)
        assert alpha[0, 16, 16 + offset, 0] == pytest.approx(expected, rel=1e-6)
        assert alpha[0, 16 + offset, 16, 0] == pytest.approx(expected, rel=1e-6)
        assert np.allclose(colour[0, 16, 16 + offset], expected * np.array([1, 0.5, 0]))


def test_a_splats_long_axis_turns_with_its_rotation():
    quarter = np.sqrt(0.5)  # 90 degrees about z: the long x axis becomes y
    _, alpha = REFERENCE.render_float(
        gaussians_of([0, 0, -2.0], scales=(0.2, 0.02, 0.02), rotations=(quarter, 0, 0, quarter)),
        [middle_pixel_view()],
    )
    assert alpha[0, 20, 16, 0] > 0.3
    assert alpha[0, 16, 20, 0] == 0


def test_the_nearer_splat_covers_the_farther_whatever_their_order_in_the_list():
    near, far = [0, 0, -1.0], [0, 0, -3.0]
    view = middle_pixel_view()
    for means, colours in (
        ([near, far], [[1, 0, 0], [0, 1, 0]]),
        ([far, near], [[0, 1, 0], [1, 0, 0]]),
    ):
        colour, alpha = REFERENCE.render_float(
            gaussians_of(means, opacities=0.6, colours=colours), [view]
        )
        assert np.allclose(colour[0, 16, 16], [0.6, 0.4 * 0.6, 0])
        assert alpha[0, 16, 16, 0] == pytest.approx(1 - 0.4 * 0.4)


def test_alpha_is_capped_and_the_last_light_is_not_drawn():
    # Opacity 1 counts as 0.999; the second would leave 1e-6 of the light, so it is not drawn.
    colour, alpha = REFERENCE.render_float(
        gaussians_of([[0, 0, -1.0], [0, 0, -2.0]], opacities=1.0, colours=[[1, 0, 0], [0, 1, 0]]),
        [middle_pixel_view()],
    )
    assert np.allclose(colour[0, 16, 16], [0.999, 0, 0])
    assert alpha[0, 16, 16, 0] == pytest.approx(0.999)


def test_less_than_a_255th_is_nothing():
    _, alpha = REFERENCE.render_float(
        gaussians_of([0, 0, -1.0], opacities=0.0039), [middle_pixel_view()]
    )
    assert alpha.max() == 0


def test_what_is_behind_or_too_near_is_not_drawn():
    _, alpha = REFERENCE.render_float(
        gaussians_of([[0, 0, 1.0], [0, 0, -0.005]]), [middle_pixel_view()]
    )
    assert alpha.max() == 0


def test_bytes_lie_over_the_background():
    gaussians = gaussians_of([0, 0, -2.0], opacities=0.5, colours=(1, 1, 1))
    picture = REFERENCE.render_with_alpha(gaussians, [middle_pixel_view()], (0.2, 0.4, 0.6))
    assert picture.dtype == np.uint8
    assert picture[0, 0, 0].tolist() == [51, 102, 153, 0]
    assert picture[0, 16, 16].tolist() == [153, 179, 204, 128]
