"""The OpenGL renderer against the plain one; Mesa's llvmpipe through EGL where there is no card."""

import tracemalloc
from collections.abc import Iterator

import moderngl
import numpy as np
import pytest

from app.commands.bench import head_shaped_cloud
from avatar.errors import DeviceError, ShaderError
from render import gl as gl_module
from render import gl_memory
from render.camera import orbit_view
from render.cpu import CpuRenderer
from render.gl import GlRenderer
from render.gl_driver import open_context
from render.renderer import LEAST_TRANSMITTANCE
from tests.render.agreement import assert_same, psnr
from tests.render.living import Bystander, living
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view


@pytest.fixture(scope="module", params=["card", "processor"])
def renderer(request) -> Iterator[GlRenderer]:
    """One that poses and sorts on the card, as OpenGL 4.3 can, and one that has the processor do
    it, as OpenGL 3.3 must."""
    with GlRenderer(computes=request.param == "card") as renderer:
        assert renderer.poses == (request.param == "card")
        yield renderer


@pytest.fixture(scope="module")
def card() -> Iterator[GlRenderer]:
    with GlRenderer() as renderer:
        yield renderer


@pytest.fixture
def gl(renderer) -> Iterator[GlRenderer]:
    """The renderer; no error is left in its context."""
    yield renderer
    with renderer._context as context:
        assert context.error == "GL_NO_ERROR"


def test_where_the_exact_rules_end_a_pixel_no_more_than_its_last_light_differs(gl):
    rng = np.random.default_rng(4)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(200, 2)) * 0.1, rng.uniform(-3, -1, 200)],
        opacities=rng.uniform(0.5, 1, 200),
        colours=rng.uniform(size=(200, 3)),
    )
    assert_same(gl, gaussians, [front_view()])
    _, alpha = gl.render_float(gaussians, [front_view()])
    assert (1 - alpha < LEAST_TRANSMITTANCE).any()  # some pixels were ended


def test_a_picture_lies_behind_and_rounds_as_the_other_renderers_do(gl):
    rng = np.random.default_rng(11)
    behind = rng.uniform(size=(48, 64, 3)).astype(np.float32)
    gaussians = random_gaussians(60, seed=12)
    for background in (behind, (0.3, 0.6, 0.9), (-1.0, 0.5, 2.0)):
        picture = gl.render_with_alpha(gaussians, [front_view()], background)
        colour, alpha = gl.render_float(gaussians, [front_view()])
        over = colour + (1 - alpha) * np.asarray(background, np.float32)
        over = np.concatenate([over, alpha], -1)
        expected = np.floor(np.clip(over, 0, 1) * 255 + 0.5)
        # One step where the sum lies within a rounding error of the border between two bytes.
        wrong = picture != expected
        assert wrong.mean() < 1e-3
        assert np.abs(picture - expected).max() <= 1
        assert np.array_equal(picture[..., :3], gl.render(gaussians, [front_view()], background))


def test_every_byte_is_met_exactly(gl):
    # A background alone: i / 255 is byte i, and half a step less goes up, as on the processor.
    steps = np.arange(256, dtype=np.float32)
    behind = np.stack([steps / 255, (steps - 0.49) / 255, (steps + 0.49) / 255], -1)
    behind = np.broadcast_to(behind, (2, 256, 3))
    view = front_view(256, 2)
    picture = gl.render(gaussians_of([]), [view], behind)[0]
    assert (picture == np.arange(256)[None, :, None]).all()
    assert np.array_equal(picture, CpuRenderer().render(gaussians_of([]), [view], behind)[0])


def test_a_cloud_in_half_precision_is_still_close(monkeypatch):
    monkeypatch.setattr(gl_module, "PRECISIONS", (("f2", 16),))
    head = head_shaped_cloud(8000, seed=2)
    view = orbit_view(0.3, 0.0, 1.0, width=128, height=128)
    with GlRenderer() as coarse:
        assert "16-bit" in coarse.reason
        picture = coarse.render(head, [view])[0]
    assert psnr(picture, CpuRenderer().render(head, [view])[0]) > 50


def test_smaller_pictures_and_scenes_after_larger_ones_are_drawn_right(gl):
    large = random_gaussians(3000, seed=13, size=0.01)
    gl.render(large, [front_view(200, 100)], np.ones((100, 200, 3)))
    gaussians, views = random_gaussians(40, seed=14), [random_view(14)]
    assert_same(gl, gaussians, views)
    first = gl.render(gaussians, views, np.full((53, 72, 3), 0.25))
    gl.render(large, [front_view(50, 300)], np.ones((300, 50, 3)))
    assert np.array_equal(gl.render(gaussians, views, (0.25, 0.25, 0.25)), first)


def test_once_warm_a_frame_takes_no_new_memory_that_grows_with_the_scene(gl):
    head = head_shaped_cloud(20000, seed=1)
    out = np.empty((1, 256, 256, 3), np.uint8)
    views = [orbit_view(0.2, 0.0, 1.0, width=256, height=256)]
    gl.render(head, views, out=out)
    tracemalloc.start()
    gl.render(head, views, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000  # the depths alone would be 80 kB


def test_the_time_of_a_call_is_told_by_stage(gl):
    gl.render(random_gaussians(100, seed=1), [front_view()])
    if gl.poses:  # the card has not told
        assert np.isnan(gl.last_times.sort_s)
        assert np.isnan(gl.last_times.raster_s)
    else:
        assert gl.last_times.sort_s > 0
        assert gl.last_times.raster_s > 0
    assert gl.warm_up() < 10


@pytest.mark.parametrize("computes", [True, False])
def test_changing_sizes_leak_nothing_and_release_gives_all_back(computes):
    with open_context() as context:
        bystander = Bystander(context)
        before = living(context)
        renderer = GlRenderer(context=context, computes=computes)
        renderer.warm_up()
        renderer.render_textures(gaussians_of([]), [front_view()] * 2)
        warm = living(context)
        assert warm["Texture"] > before["Texture"]
        for index in range(6):
            view = front_view(20 + 15 * index, 90 - 14 * index)
            behind = np.zeros((view.height, view.width, 3))
            gaussians = random_gaussians(5000 * (index % 3), seed=index, size=0.001)
            renderer.render(gaussians, [view], behind)
            renderer.render_float(gaussians, [view])
            renderer.render_textures(gaussians, [view, view])
        assert living(context) == warm
        renderer.release()
        renderer.release()
        bystander.draw()
        assert living(context) == before
        assert context.error == "GL_NO_ERROR"
        with pytest.raises(AssertionError, match="released"):
            renderer.render(random_gaussians(3, seed=1), [front_view()])
    context.release()


def test_a_context_that_is_shared_keeps_its_framebuffer():
    with open_context() as context:
        texture = context.texture((8, 8), 4)
        framebuffer = context.framebuffer([texture])
        framebuffer.clear(1.0, 0.0, 0.0, 1.0)
        framebuffer.use()
        with GlRenderer(context=context) as renderer:
            renderer.render(random_gaussians(30, seed=1), [front_view()])
            assert context.detect_framebuffer().glo == framebuffer.glo
            context.clear(0.0, 1.0, 0.0, 1.0)
        assert framebuffer.read(components=3)[:3] == b"\x00\xff\x00"
        assert context.error == "GL_NO_ERROR"
    context.release()


def test_without_opengl_one_clear_line_says_so(monkeypatch):
    def fail(**_: object) -> moderngl.Context:
        raise Exception("(detect) cannot\n  find libEGL")

    monkeypatch.setattr(moderngl, "create_context", fail)
    with pytest.raises(
        DeviceError, match=r"no OpenGL 3.3 here: .*find libEGL.*--backend cpu"
    ) as no:
        GlRenderer()
    assert "\n" not in str(no.value)


def test_a_shader_that_is_refused_leaves_no_context_open(monkeypatch):
    released = []
    context = open_context()
    monkeypatch.setattr(context, "release", lambda: released.append(context))
    monkeypatch.setattr(gl_module, "open_context", lambda: context)
    monkeypatch.setattr(gl_memory, "FRUSTUM_MARGIN", "no number")
    with pytest.raises(ShaderError, match=r"splat.vert line \d+"):
        GlRenderer()
    assert released == [context]
    monkeypatch.undo()
    context.release()


def test_a_driver_that_cannot_blend_floats_is_refused(monkeypatch):
    monkeypatch.setattr(gl_memory, "UNDER", (moderngl.ONE, moderngl.ZERO) * 2)
    with pytest.raises(DeviceError, match="cannot blend floats"):
        GlRenderer()
