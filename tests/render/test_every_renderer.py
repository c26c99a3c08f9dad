"""The laws that every renderer obeys, whatever it runs on: its picture is the plain one's.

CUDA's is tried on a fake card: the kernels themselves, compiled for the processor, behind a fake of
the driver's library (tests/render/fake_cuda).
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.bundled import avatar_path
from app.commands.bench import head_shaped_cloud
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import Gaussians
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card
from render.gl import GlRenderer
from render.renderer import Renderer
from tests.render.agreement import COARSE, REFERENCE, assert_same, psnr
from tests.render.fake_cuda import fake_library
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

BACKENDS = ("cpu", "gl, posed by the card", "gl, posed by the processor", "cuda on a fake card")
EXAMPLES = settings(max_examples=20, deadline=None)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    """One of each kind. Nothing may be left behind: memory of a card, an error of OpenGL."""
    if request.param == "cpu":
        yield CpuRenderer()
    elif request.param.startswith("gl"):
        computes = request.param == BACKENDS[1]
        with GlRenderer(computes=computes) as renderer:
            assert renderer.poses == computes
            yield renderer
            with renderer._context as context:
                assert context.error == "GL_NO_ERROR"
    else:
        held = fake_library().fake_held()
        cache = KernelCache(tmp_path_factory.mktemp("kernels"))
        with CudaRenderer(card=Card(fake_library()), cache=cache) as renderer:
            # Lists begin small: the fake starts blocks for all of their room.
            renderer._lists._capacity = 2048
            yield renderer
        assert fake_library().fake_held() == held
        assert fake_library().fake_failure() == b""


@EXAMPLES
@given(count=st.integers(0, 60), seed=st.integers(0, 2**32 - 1), size=st.floats(0.002, 0.3))
@example(count=0, seed=0, size=0.05)
@example(count=1, seed=0, size=0.05)
def test_any_scene_from_any_camera_equals_the_reference(backend, count, seed, size):
    assert_same(backend, random_gaussians(count, seed, size), [random_view(seed)])


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    left=st.floats(-1.2, 0.3),
    down=st.floats(-1.2, 0.3),
    wide=st.floats(0.1, 1.0),
    high=st.floats(0.1, 1.0),
)
def test_a_frustum_that_leans_aside_equals_the_reference(backend, seed, left, down, wide, high):
    # Even one that does not hold its own axis: a part of a larger picture.
    view = View.from_eye(
        np.eye(4), left=left, right=left + wide, down=down, up=down + high, width=40, height=56
    )
    assert_same(backend, random_gaussians(50, seed, 0.1, spread=1.5), [view], exact=COARSE)


@settings(EXAMPLES, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_splats_that_cross_the_near_plane_equal_the_reference(backend, seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(40, 3)) * [0.02, 0.02, 0.03] - [0, 0, 0.02]
    gaussians = dataclasses.replace(
        random_gaussians(40, seed, size=0.001), means=means.astype(np.float32)
    )
    assert_same(backend, gaussians, [front_view()], exact=COARSE)


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 100.0])
def test_tiny_and_huge_splats_equal_the_reference(backend, scale):
    gaussians = gaussians_of(
        [[0, 0, -2], [0.1, 0.05, -2.5], [-0.2, 0.1, -1.5]],
        scales=scale,
        opacities=[0.3, 0.9, 0.5],
        colours=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )
    assert_same(backend, gaussians, [front_view()])


@pytest.mark.parametrize("opacity", [0.0, 0.0039, 0.004, 0.5, 0.9999, 1.0])
def test_every_opacity_equals_the_reference(backend, opacity):
    gaussians = gaussians_of([[0, 0, -2.0 - 0.1 * i] for i in range(5)], opacities=opacity)
    assert_same(backend, gaussians, [front_view()])


def test_a_stack_of_opaque_splats_stops_where_the_reference_stops(backend):
    rng = np.random.default_rng(4)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(200, 2)) * 0.1, rng.uniform(-3, -1, 200)],
        opacities=rng.uniform(0.5, 1, 200),
        colours=rng.uniform(size=(200, 3)),
    )
    assert_same(backend, gaussians, [front_view()])


def test_equal_distances_are_drawn_in_the_order_of_the_list(backend):
    rng = np.random.default_rng(5)
    places = rng.normal(size=(20, 3)) * [0.3, 0.3, 0.1] - [0, 0, 2]
    gaussians = gaussians_of(np.tile(places, (4, 1)), colours=rng.uniform(size=(80, 3)))
    assert_same(backend, gaussians, [front_view()])


@pytest.mark.parametrize("turn", [-0.5, 0.0, 0.5])
def test_what_is_nearer_to_the_eye_stays_in_front_however_the_eye_looks(backend, turn):
    """By depth, the green would come before the red wherever one looks to the right of both."""
    red, green = [0.45, 0.0, -2.0], [-0.45, 0.0, -2.05]
    gaussians = gaussians_of(
        [green, red], scales=0.4, opacities=0.99, colours=[(0, 1, 0), (1, 0, 0)]
    )
    ahead = (float(np.sin(turn)), 0.0, -float(np.cos(turn)))
    view = orbit_view(-turn, 0.0, 1.0, target=ahead, width=64, height=64, field_of_view=1.5)
    assert_same(backend, gaussians, [view])
    across, _, depth = (view.camera_from_world @ [0, 0, -2, 1])[:3]
    column = int(view.intrinsics[0, 0] * across / depth + view.intrinsics[0, 2])
    colour, _ = backend.render_float(gaussians, [view])
    assert colour[0, 32, column, 0] > colour[0, 32, column, 1]


def test_long_thin_diagonal_splats_equal_the_reference(backend):
    rng = np.random.default_rng(6)
    gaussians = gaussians_of(
        rng.normal(size=(30, 3)) * [0.4, 0.3, 0.2] - [0, 0, 2],
        scales=(0.5, 0.003, 0.003),
        rotations=rng.normal(size=(30, 4)),
        colours=rng.uniform(size=(30, 3)),
    )
    assert_same(backend, gaussians, [front_view()], exact=COARSE)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (130, 7)])
def test_any_picture_size_equals_the_reference(backend, size):
    assert_same(backend, random_gaussians(40, seed=11), [random_view(12, *size)])


def test_two_eyes_in_one_call_equal_each_eye_alone(backend):
    gaussians = random_gaussians(50, seed=7)
    eyes = [random_view(8), random_view(9)]
    together, _ = backend.render_float(gaussians, eyes)
    for index, eye in enumerate(eyes):
        alone, _ = backend.render_float(gaussians, [eye])
        assert np.array_equal(together[index], alone[0])
    assert_same(backend, gaussians, eyes)
    pictures = backend.render(gaussians, eyes)
    assert np.array_equal(pictures[1], backend.render(gaussians, eyes[1:])[0])


@EXAMPLES
@given(
    seed=st.integers(0, 2**32 - 1),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -1.0]),
    field=st.sampled_from(["means", "rotations", "scales", "opacities", "colours"]),
)
def test_broken_numbers_neither_crash_nor_spoil_their_neighbours(backend, seed, value, field):
    gaussians = random_gaussians(30, seed)
    broken = getattr(gaussians, field).copy()
    broken[::3] = value
    spoilt = dataclasses.replace(gaussians, **{field: broken})
    drawn, _ = backend.render_float(spoilt, [front_view()])
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
        assert np.array_equal(drawn, backend.render_float(rest, [front_view()])[0])
    assert backend.render(spoilt, [front_view()]).shape == (1, 48, 64, 3)


def test_splats_behind_the_eye_leave_the_background(backend):
    gaussians = gaussians_of([[0, 0, 2], [0, 0, 0], [0, 0, 0.001], [0, 0, -0.005]], scales=1.0)
    assert (backend.render(gaussians, [front_view()], (0.0, 1.0, 0.0)) == [0, 255, 0]).all()
    assert not backend.render_float(gaussians, [front_view()])[1].any()


def test_no_splats_at_all_leave_the_background(backend):
    for gaussians in (gaussians_of([]), random_gaussians(30, 3), gaussians_of([])):
        picture = backend.render_with_alpha(gaussians, [front_view()], (0.2, 0.4, 0.6))
        if len(gaussians) == 0:
            assert (picture == [51, 102, 153, 0]).all()
        else:
            assert picture[..., 3].any()


def test_bytes_lie_over_a_colour_or_a_picture(backend):
    gaussians = random_gaussians(40, seed=13)
    view = random_view(14)
    picture = np.random.default_rng(0).uniform(size=(view.height, view.width, 3))
    for background in ((0.2, 0.4, 0.6), picture.astype(np.float32)):
        fast = backend.render_with_alpha(gaussians, [view], background)
        plain = REFERENCE.render_with_alpha(gaussians, [view], background)
        assert np.abs(fast.astype(int) - plain).max() <= 2
        assert psnr(fast, plain) > 55
        assert np.array_equal(fast[..., :3], backend.render(gaussians, [view], background))


def test_a_part_of_a_head_differs_from_the_reference_by_less_than_rounding_shows(backend):
    # The reference draws every splat at every pixel: so thousands, but in a part of a picture,
    # across the edge of the head.
    head = head_shaped_cloud(10_000, seed=1)
    whole = orbit_view(0.3, 0.1, 1.0, width=512, height=512)
    intrinsics = whole.intrinsics.copy()
    intrinsics[:2, 2] -= (130, 200)
    view = dataclasses.replace(whole, intrinsics=intrinsics, width=96, height=96)
    background = (0.25, 0.5, 0.75)
    fast = backend.render(head, [view], background)
    plain = REFERENCE.render(head, [view], background)
    assert plain.std() > 20  # head and background are both in the picture
    assert psnr(fast, plain) > 55
    assert np.abs(fast.astype(int) - plain).max() <= 2


def test_the_avatar_at_512_pixels_for_two_eyes_is_the_processors_picture(backend):
    head = Deformer(load_avatar(avatar_path("default"))).gaussians()
    views = [orbit_view(yaw, 0.05, 1.0, width=512, height=512) for yaw in (0.3, 0.36)]
    behind = (0.5, 0.5, 0.5)
    fast, known = (each.render(head, views, behind) for each in (backend, CpuRenderer()))
    assert known.std() > 20
    for ours, theirs in zip(fast, known, strict=True):
        assert psnr(ours, theirs) > 55
        # Where two splats are equally far but for rounding, either may be in front.
        assert (np.abs(ours.astype(int) - theirs).max(-1) > 2).mean() < 2e-4


def test_a_later_call_leaves_earlier_pictures_alone(backend):
    first = backend.render(random_gaussians(30, seed=1), [front_view()])
    before = first.copy()
    backend.render(random_gaussians(50, seed=2), [front_view()])
    assert np.array_equal(first, before)


def test_the_given_memory_is_filled(backend):
    out = np.zeros((1, 48, 64, 3), np.uint8)
    gaussians = random_gaussians(30, seed=3)
    assert backend.render(gaussians, [front_view()], out=out) is out
    assert np.array_equal(out, backend.render(gaussians, [front_view()]))


def test_read_only_gaussians_are_drawn_as_they_are(backend):
    gaussians = random_gaussians(30, seed=3)
    expected = backend.render(gaussians, [front_view()])
    for each in dataclasses.fields(Gaussians):
        getattr(gaussians, each.name).flags.writeable = False
    assert np.array_equal(backend.render(gaussians, [front_view()]), expected)
