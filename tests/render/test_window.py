"""A real window on a real X server (Xvfb and Mesa's llvmpipe where there is no other)."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imgui_bundle import ImVec2, imgui

import glfw  # isort: skip
from render.choose import open_renderer
from render.cpu import CpuRenderer
from render.gl import GlRenderer
from render.renderer import CardPicture
from render.window import Area, Window, display_available, fitted
from tests.render.scenes import front_view, random_gaussians


@pytest.fixture
def window(display) -> Iterator[Window]:
    with Window("a test's window", 640, 480) as window:
        yield window
        assert window._context.error == "GL_NO_ERROR"


def drawn(
    window: Window, picture: np.ndarray | CardPicture | None, *, panel: bool = False
) -> np.ndarray:
    """The window's pixels after one frame with `picture`."""
    assert window.begin_frame()
    if panel:
        imgui.set_next_window_pos(ImVec2(0, 0))
        imgui.set_next_window_size(ImVec2(200, 480))
        imgui.begin("panel")
        imgui.text("some words")
        imgui.end()
    window.draw(picture)
    pixels = window.read_pixels()
    window.present()
    return pixels


def quadrants(width: int, height: int) -> np.ndarray:
    """Opaque: red at the top left, green at the top right, blue below."""
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., 3] = 255
    picture[: height // 2, : width // 2, 0] = 255
    picture[: height // 2, width // 2 :, 1] = 255
    picture[height // 2 :, :, 2] = 255
    return picture


def test_a_picture_fills_the_window_the_right_way_up(window):
    pixels = drawn(window, quadrants(64, 48))
    assert pixels.shape == (480, 640, 3)
    assert pixels[100, 100].tolist() == [255, 0, 0]
    assert pixels[100, 500].tolist() == [0, 255, 0]
    assert pixels[400, 300].tolist() == [0, 0, 255]


def test_a_narrow_picture_stands_in_the_middle_before_a_soft_backdrop(window):
    pixels = drawn(window, quadrants(40, 80)).astype(int)
    assert pixels[100, 300].tolist() == [255, 0, 0]
    left, right = pixels[100, 40], pixels[100, 600]
    for colour in (left, right):
        assert 40 < colour.min() <= colour.max() < 180  # grey: neither black nor white
        assert np.ptp(colour) < 20
    # Soft: no two neighbours differ by more than a step or two.
    assert np.abs(np.diff(pixels[:, :180], axis=1)).max() <= 3


def test_what_is_transparent_shows_the_backdrop(window):
    clear = drawn(window, np.zeros((48, 64, 4), np.uint8)).astype(int)
    half = np.zeros((48, 64, 4), np.uint8)
    half[..., 3] = 128  # black at half strength, premultiplied
    veiled = drawn(window, half).astype(int)
    np.testing.assert_allclose(veiled, clear * (1 - 128 / 255), atol=2)


def test_a_panel_takes_its_room_and_is_drawn(window):
    window.panel_width = 200
    assert window.picture_area() == Area(200, 0, 440, 480)
    pixels = drawn(window, quadrants(44, 48), panel=True)
    panel = pixels[:, :195].astype(int)
    assert panel.max() > 180  # its words
    assert panel[400, 100].max() < 80  # its ground
    assert pixels[100, 230].tolist() == [255, 0, 0]


def test_the_last_picture_stays_until_there_is_another(window):
    before = drawn(window, quadrants(64, 48))
    np.testing.assert_array_equal(drawn(window, None), before)


def test_pictures_of_other_sizes_follow_each_other(window):
    for width, height in ((64, 48), (32, 24), (127, 96), (640, 480)):
        pixels = drawn(window, quadrants(width, height))
        assert pixels[50, 50].tolist() == [255, 0, 0]


def test_a_window_can_be_resized(window):
    glfw.set_window_size(window._handle, 800, 500)
    pixels = drawn(window, quadrants(80, 50))
    patience_s = time.perf_counter() + 5.0
    # The X server changes the size when it likes; until then the new part is not there to draw on.
    while pixels.shape != (500, 800, 3) or pixels[400, 700].tolist() != [0, 0, 255]:
        assert time.perf_counter() < patience_s, f"still {pixels.shape} after 5 s"
        time.sleep(0.02)
        pixels = drawn(window, quadrants(80, 50))


def test_a_window_can_be_closed(window):
    window.request_close()
    assert not window.begin_frame()
    imgui.end_frame()


def test_windows_can_follow_each_other(display):
    for _ in range(2):
        with Window("one of two", 480, 360) as window:
            assert drawn(window, quadrants(48, 36))[10, 10].tolist() == [255, 0, 0]
    assert display_available()


NO_DISPLAY = """
import os
for name in ("DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(name, None)
from avatar.errors import DeviceError
from render.window import Window, display_available
assert not display_available()
try:
    Window("nowhere", 320, 240)
except DeviceError as error:
    print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others always have a display")
def test_without_a_display_one_line_says_so():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", NO_DISPLAY],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stderr == ""
    assert result.stdout.startswith("no display for a window (")
    assert len(result.stdout.splitlines()) == 1


sides = st.integers(1, 3000)


@given(left=st.integers(0, 500), room=st.tuples(sides, sides), size=st.tuples(sides, sides))
def test_a_fitted_picture_lies_inside_in_the_middle(left, room, size):
    area = Area(left, 0, *room)
    fit = fitted(area, size)
    assert fit.left >= area.left
    assert fit.top >= area.top
    assert fit.left + fit.width <= area.left + area.width
    assert fit.top + fit.height <= area.top + area.height
    # It touches two opposite sides.
    assert fit.width >= area.width - 1 or fit.height >= area.height - 1


@pytest.mark.parametrize("name", ["gl", "auto"])
def test_a_renderer_draws_in_the_windows_own_context(window, name):
    gaussians, views = random_gaussians(40, seed=3, size=0.1), [front_view(64, 48)]
    expected = CpuRenderer().render_with_alpha(gaussians, views)[0]
    with_panel = drawn(window, expected, panel=True)
    renderer = open_renderer(name, context=window.context)
    assert renderer.name in ("gl", "cpu")
    for _ in range(2):
        picture = renderer.render_with_alpha(gaussians, views)[0]
        assert np.abs(picture.astype(int) - expected).max() <= 1
        shown = drawn(window, picture, panel=True)
        assert np.abs(shown.astype(int) - with_panel).mean() < 1
    if isinstance(renderer, GlRenderer):
        renderer.release()
    assert drawn(window, expected, panel=True).shape == with_panel.shape


def test_a_picture_on_the_card_is_shown_from_its_texture(window):
    gaussians, views = random_gaussians(40, seed=3, size=0.1), [front_view(64, 48)]
    expected = drawn(window, CpuRenderer().render_with_alpha(gaussians, views)[0])
    with GlRenderer(context=window.context) as renderer:
        for larger in (False, True):  # a texture that the picture fills, and one that it does not
            if larger:
                renderer.render_textures(gaussians, [front_view(90, 90)])
            [picture] = renderer.render_textures(gaussians, views)
            assert (picture.texture.size == (64, 48)) != larger
            shown = drawn(window, picture)
            # One is bytes that were rounded, and so it is enlarged.
            assert np.abs(shown.astype(int) - expected).max() <= 2
            assert np.array_equal(drawn(window, None), shown)
