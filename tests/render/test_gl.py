"""The OpenGL renderer against the plain one; Mesa's llvmpipe through EGL where there is no card."""

import dataclasses
import tracemalloc
from collections.abc import Iterator

import moderngl
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.bundled import avatar_path
from app.commands.bench import head_shaped_cloud
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import DeviceError, ShaderError
from avatar.types import Gaussians
from render import gl as gl_module
from render import gl_memory
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.gl import GlRenderer
from render.gl_driver import open_context
from render.reference import ReferenceRenderer
from render.renderer import LEAST_ALPHA, LEAST_TRANSMITTANCE
from tests.render.living import Bystander, living
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

REFERENCE = ReferenceRenderer()
EXACT = 5e-5
"""Single against double precision, blended over some dozens of splats: 2.7e-5 at most in 2,600
random scenes, where a splat of a pixel's size lies hundreds of pixels from the corner."""
THRESHOLD_PIXELS = 2
"""Pixels of a small picture in which rounding may carry a splat across the 1/255 threshold; they
then differ by no more than that splat."""


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


def assert_same(
    gl: GlRenderer, gaussians: Gaussians, views: list[View], exact: float = EXACT
) -> None:
    """Colour and alpha equal the reference's; where it ended a pixel, they may differ by the light
    that it left over, as colours are at most 1."""
    fast = np.concatenate(gl.render_float(gaussians, views), -1)
    plain = np.concatenate(REFERENCE.render_float(gaussians, views), -1)
    assert fast.shape == plain.shape
    assert np.isfinite(fast).all()
    off = np.abs(fast - plain).max(axis=-1)
    ended = 1 - fast[..., 3] <= 1.01 * LEAST_TRANSMITTANCE
    limit = exact + np.where(ended, 1 - plain[..., 3], 0)
    assert (off > limit).sum() <= THRESHOLD_PIXELS
    assert (off <= LEAST_ALPHA + limit).all()


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


@settings(max_examples=40)
@given(count=st.integers(0, 60), seed=st.integers(0, 2**32 - 1), size=st.floats(0.002, 0.3))
@example(count=0, seed=0, size=0.05)
@example(count=1, seed=0, size=0.05)
def test_any_scene_from_any_camera_equals_the_reference(renderer, count, seed, size):
    assert_same(renderer, random_gaussians(count, seed, size), [random_view(seed)])
    with renderer._context as context:
        assert context.error == "GL_NO_ERROR"


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    left=st.floats(-1.2, 0.3),
    down=st.floats(-1.2, 0.3),
    wide=st.floats(0.1, 1.0),
    high=st.floats(0.1, 1.0),
)
def test_a_frustum_that_leans_aside_equals_the_reference(renderer, seed, left, down, wide, high):
    # Even one that does not hold its own axis: a part of a larger picture.
    view = View.from_eye(
        np.eye(4), left=left, right=left + wide, down=down, up=down + high, width=40, height=56
    )
    # A narrow one looks closely: pixel coordinates reach thousands.
    assert_same(renderer, random_gaussians(50, seed, 0.1, spread=1.5), [view], exact=1e-4)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_splats_that_cross_the_near_plane_equal_the_reference(renderer, seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(40, 3)) * [0.02, 0.02, 0.03] - [0, 0, 0.02]
    gaussians = dataclasses.replace(
        random_gaussians(40, seed, size=0.001), means=means.astype(np.float32)
    )
    # Pixel coordinates reach thousands there.
    assert_same(renderer, gaussians, [front_view()], exact=1e-4)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 100.0])
def test_tiny_and_huge_splats_equal_the_reference(gl, scale):
    gaussians = gaussians_of(
        [[0, 0, -2], [0.1, 0.05, -2.5], [-0.2, 0.1, -1.5]],
        scales=scale,
        opacities=[0.3, 0.9, 0.5],
        colours=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )
    assert_same(gl, gaussians, [front_view()])


@pytest.mark.parametrize("opacity", [0.0, 0.0039, 0.004, 0.5, 0.9999, 1.0])
def test_every_opacity_equals_the_reference(gl, opacity):
    gaussians = gaussians_of([[0, 0, -2.0 - 0.1 * i] for i in range(5)], opacities=opacity)
    assert_same(gl, gaussians, [front_view()])


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


def test_equal_depths_are_drawn_in_the_order_of_the_list(gl):
    rng = np.random.default_rng(5)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(80, 2)) * 0.3, np.full(80, -2.0)], colours=rng.uniform(size=(80, 3))
    )
    assert_same(gl, gaussians, [front_view()])


def test_long_thin_diagonal_splats_equal_the_reference(gl):
    rng = np.random.default_rng(6)
    gaussians = gaussians_of(
        rng.normal(size=(30, 3)) * [0.4, 0.3, 0.2] - [0, 0, 2],
        scales=(0.5, 0.003, 0.003),
        rotations=rng.normal(size=(30, 4)),
        colours=rng.uniform(size=(30, 3)),
    )
    # The conic's terms cancel: 5 digits left.
    assert_same(gl, gaussians, [front_view()], exact=1e-4)


def test_splats_behind_the_eye_leave_the_background(gl):
    gaussians = gaussians_of([[0, 0, 1], [0, 0, 0], [0, 0, -0.005]], scales=1.0)
    assert (gl.render(gaussians, [front_view()], (0.0, 1.0, 0.0)) == [0, 255, 0]).all()


def test_no_splats_at_all_leave_the_background(gl):
    for gaussians in (gaussians_of([]), random_gaussians(30, 3), gaussians_of([])):
        picture = gl.render_with_alpha(gaussians, [front_view()], (0.2, 0.4, 0.6))
        if len(gaussians) == 0:
            assert (picture == [51, 102, 153, 0]).all()
        else:
            assert picture[..., 3].any()


def test_two_eyes_in_one_call_equal_each_eye_alone(gl):
    gaussians = random_gaussians(50, seed=7)
    eyes = [random_view(8), random_view(9)]
    together, _ = gl.render_float(gaussians, eyes)
    for index, eye in enumerate(eyes):
        alone, _ = gl.render_float(gaussians, [eye])
        assert np.array_equal(together[index], alone[0])
    assert_same(gl, gaussians, eyes)
    pictures = gl.render(gaussians, eyes)
    assert np.array_equal(pictures[1], gl.render(gaussians, eyes[1:])[0])


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -1.0]),
    field=st.sampled_from(["means", "rotations", "scales", "opacities", "colours"]),
)
def test_broken_numbers_neither_crash_nor_spoil_their_neighbours(renderer, seed, value, field):
    gaussians = random_gaussians(30, seed)
    broken = getattr(gaussians, field).copy()
    broken[::3] = value
    drawn, _ = renderer.render_float(
        dataclasses.replace(gaussians, **{field: broken}), [front_view()]
    )
    if field in ("means", "rotations", "scales"):
        assert np.isfinite(drawn).all()
    if not np.isfinite(value):
        healthy = np.arange(30) % 3 != 0
        rest = Gaussians(
            **{
                each.name: np.ascontiguousarray(getattr(gaussians, each.name)[healthy])
                for each in dataclasses.fields(Gaussians)
            }
        )
        assert np.array_equal(drawn, renderer.render_float(rest, [front_view()])[0])


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


@pytest.mark.parametrize("size", [256, 512])
def test_the_bundled_head_looks_as_on_the_processor(gl, size):
    view = orbit_view(0.3, 0.1, 1.0, width=size, height=size)
    deformer = Deformer(load_avatar(avatar_path(DEFAULT_AVATAR)))
    gaussians = deformer.gaussians(seen_from=view.position)
    fast = gl.render_with_alpha(gaussians, [view], (0.5, 0.5, 0.5))[0]
    plain = CpuRenderer().render_with_alpha(gaussians, [view], (0.5, 0.5, 0.5))[0]
    assert psnr(fast, plain) > 55
    assert np.abs(fast.astype(int) - plain).max() <= 2


def test_a_cloud_in_half_precision_is_still_close(monkeypatch):
    monkeypatch.setattr(gl_module, "PRECISIONS", (("f2", 16),))
    head = head_shaped_cloud(8000, seed=2)
    view = orbit_view(0.3, 0.0, 1.0, width=128, height=128)
    with GlRenderer() as coarse:
        assert "16-bit" in coarse.reason
        picture = coarse.render(head, [view])[0]
    assert psnr(picture, CpuRenderer().render(head, [view])[0]) > 50


def test_the_given_memory_is_filled(gl):
    out = np.zeros((1, 48, 64, 3), np.uint8)
    gaussians = random_gaussians(30, seed=3)
    assert gl.render(gaussians, [front_view()], out=out) is out
    assert np.array_equal(out, gl.render(gaussians, [front_view()]))


def test_read_only_gaussians_are_drawn_as_they_are(gl):
    gaussians = random_gaussians(30, seed=3)
    expected = gl.render(gaussians, [front_view()])
    for each in dataclasses.fields(Gaussians):
        getattr(gaussians, each.name).flags.writeable = False
    assert np.array_equal(gl.render(gaussians, [front_view()]), expected)


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
