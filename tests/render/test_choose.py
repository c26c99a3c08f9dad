"""Which renderer a name opens."""

import numpy as np
import pytest

from avatar.errors import DeviceError
from render.choose import RENDERER_NAMES, open_renderer
from tests.render.scenes import front_view, random_gaussians


def test_auto_takes_the_processor_and_says_why():
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert "graphics card" in renderer.reason


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_a_name_opens_that_renderer(name):
    renderer = open_renderer(name)
    assert renderer.name == name
    assert "by name" in renderer.reason


@pytest.mark.parametrize("name", ["gl", "CPU", ""])
def test_an_unknown_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(DeviceError, match="auto, cpu, reference") as refused:
        open_renderer(name)
    assert repr(name) in str(refused.value)


@pytest.mark.parametrize("name", RENDERER_NAMES)
def test_every_renderer_does_everything_that_the_interface_says(name):
    renderer = open_renderer(name, threads=1)
    gaussians, views = random_gaussians(20, seed=1), [front_view(), front_view()]
    assert renderer.warm_up() >= 0
    picture = renderer.render(gaussians, views, (1, 1, 1))
    assert picture.shape == (2, 48, 64, 3)
    assert picture.dtype == np.uint8
    assert renderer.render_with_alpha(gaussians, views).shape == (2, 48, 64, 4)
    out = np.zeros((2, 48, 64, 4), np.uint8)
    assert renderer.render_with_alpha(gaussians, views, out=out) is out
    colour, alpha = renderer.render_float(gaussians, views)
    assert colour.shape == (2, 48, 64, 3)
    assert alpha.shape == (2, 48, 64, 1)
    assert (colour <= alpha + 1e-5).all()  # premultiplied


def test_views_of_different_sizes_in_one_call_are_our_own_mistake():
    with pytest.raises(AssertionError, match="share a size"):
        open_renderer().render(random_gaussians(3, seed=1), [front_view(), front_view(32, 32)])


def test_a_background_of_another_size_is_our_own_mistake():
    with pytest.raises(AssertionError, match="background"):
        open_renderer().render(random_gaussians(3, seed=1), [front_view()], np.zeros((9, 9, 3)))
