"""The processor renderer against the plain one."""

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.commands.bench import head_shaped_cloud
from avatar.types import Gaussians
from render import cpu_kernels
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.reference import ReferenceRenderer
from render.renderer import LEAST_ALPHA
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

REFERENCE = ReferenceRenderer()
CPU = CpuRenderer()

EXACT = 3e-5
"""Single against double precision, blended over some dozens of splats: 1.9e-5 at most was seen, in
a scene (seed 1177792826) of splats of a pixel's size hundreds of pixels from the corner."""
THRESHOLD_PIXELS = 2
"""Pixels of a small picture in which rounding may carry a splat across the 1/255 threshold; they
then differ by no more than that splat."""


def assert_same(gaussians: Gaussians, views: list[View], exact: float = EXACT) -> None:
    """Colour and alpha equal the reference's."""
    for fast, plain in zip(
        CPU.render_float(gaussians, views), REFERENCE.render_float(gaussians, views), strict=True
    ):
        assert fast.shape == plain.shape
        assert np.isfinite(fast).all()
        off = np.abs(fast - plain).max(axis=-1)
        assert (off > exact).sum() <= THRESHOLD_PIXELS
        assert off.max() <= LEAST_ALPHA + exact


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 2**32 - 1), size=st.floats(0.002, 0.3))
@example(count=0, seed=0, size=0.05)
@example(count=1, seed=0, size=0.05)
def test_any_scene_from_any_camera_equals_the_reference(count, seed, size):
    assert_same(random_gaussians(count, seed, size), [random_view(seed)])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_splats_that_cross_the_near_plane_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(40, 3)) * [0.02, 0.02, 0.03] - [0, 0, 0.02]
    gaussians = dataclasses.replace(
        random_gaussians(40, seed, size=0.001), means=means.astype(np.float32)
    )
    assert_same(gaussians, [front_view()], exact=1e-4)  # pixel coordinates reach thousands there


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 100.0])
def test_tiny_and_huge_splats_equal_the_reference(scale):
    gaussians = gaussians_of(
        [[0, 0, -2], [0.1, 0.05, -2.5], [-0.2, 0.1, -1.5]],
        scales=scale,
        opacities=[0.3, 0.9, 0.5],
        colours=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )
    assert_same(gaussians, [front_view()])


@pytest.mark.parametrize("opacity", [0.0, 0.0039, 0.004, 0.5, 0.9999, 1.0])
def test_every_opacity_equals_the_reference(opacity):
    gaussians = gaussians_of([[0, 0, -2.0 - 0.1 * i] for i in range(5)], opacities=opacity)
    assert_same(gaussians, [front_view()])


def test_a_stack_of_opaque_splats_stops_where_the_reference_stops():
    rng = np.random.default_rng(4)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(200, 2)) * 0.1, rng.uniform(-3, -1, 200)],
        opacities=rng.uniform(0.5, 1, 200),
        colours=rng.uniform(size=(200, 3)),
    )
    assert_same(gaussians, [front_view()])


def test_equal_depths_are_drawn_in_the_order_of_the_list():
    rng = np.random.default_rng(5)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(80, 2)) * 0.3, np.full(80, -2.0)], colours=rng.uniform(size=(80, 3))
    )
    assert_same(gaussians, [front_view()])


def test_long_thin_diagonal_splats_equal_the_reference():
    rng = np.random.default_rng(6)
    gaussians = gaussians_of(
        rng.normal(size=(30, 3)) * [0.4, 0.3, 0.2] - [0, 0, 2],
        scales=(0.5, 0.003, 0.003),
        rotations=rng.normal(size=(30, 4)),
        colours=rng.uniform(size=(30, 3)),
    )
    assert_same(gaussians, [front_view()], exact=1e-4)  # the conic's terms cancel: 5 digits left


def test_two_eyes_in_one_call_equal_each_eye_alone():
    gaussians = random_gaussians(50, seed=7)
    eyes = [random_view(8), random_view(9)]
    together, _ = CPU.render_float(gaussians, eyes)
    for index, eye in enumerate(eyes):
        alone, _ = CPU.render_float(gaussians, [eye])
        assert np.array_equal(together[index], alone[0])
    assert_same(gaussians, eyes)
    pictures = CPU.render(gaussians, eyes)
    assert np.array_equal(pictures[1], CPU.render(gaussians, eyes[1:])[0])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -1.0]),
    field=st.sampled_from(["means", "rotations", "scales", "opacities", "colours"]),
)
def test_broken_numbers_neither_crash_nor_spoil_their_neighbours(seed, value, field):
    gaussians = random_gaussians(30, seed)
    broken = getattr(gaussians, field).copy()
    broken[::3] = value
    spoilt = dataclasses.replace(gaussians, **{field: broken})
    if np.isfinite(value):
        CPU.render_float(spoilt, [front_view()])
    else:
        healthy = np.arange(30) % 3 != 0
        rest = Gaussians(
            **{
                each.name: np.ascontiguousarray(getattr(gaussians, each.name)[healthy])
                for each in dataclasses.fields(Gaussians)
            }
        )
        assert_same(rest, [front_view()])
        drawn = CPU.render_float(spoilt, [front_view()])
        if not (field == "opacities" and value == np.inf):
            assert np.array_equal(drawn[0], CPU.render_float(rest, [front_view()])[0])
    assert CPU.render(spoilt, [front_view()]).shape == (1, 48, 64, 3)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (130, 7)])
def test_any_picture_size_equals_the_reference(size):
    assert_same(random_gaussians(40, seed=11), [random_view(12, *size)])


@pytest.mark.parametrize(
    ("count", "size", "corner"),
    [(300, 512, (0, 0)), (10_000, 96, (130, 200))],
    ids=["whole", "part"],
)
def test_bytes_of_a_head_differ_from_the_reference_by_less_than_rounding_shows(count, size, corner):
    # The reference draws every splat at every pixel: so few splats in the whole of a film's
    # picture, and thousands in a part of it, across the edge of the head.
    head = head_shaped_cloud(count, seed=1)
    whole = orbit_view(0.3, 0.1, 1.0, width=512, height=512)
    intrinsics = whole.intrinsics.copy()
    intrinsics[:2, 2] -= corner
    view = dataclasses.replace(whole, intrinsics=intrinsics, width=size, height=size)
    background = (0.25, 0.5, 0.75)
    fast, plain = CPU.render(head, [view], background), REFERENCE.render(head, [view], background)
    assert plain.std() > 20  # head and background are both in the picture
    assert psnr(fast, plain) > 55
    assert np.abs(fast.astype(int) - plain).max() <= 2


def test_bytes_lie_over_a_colour_or_a_picture():
    gaussians = random_gaussians(40, seed=13)
    view = random_view(14)
    picture = np.random.default_rng(0).uniform(size=(view.height, view.width, 3))
    for background in ((0.2, 0.4, 0.6), picture.astype(np.float32)):
        fast = CPU.render_with_alpha(gaussians, [view], background)
        plain = REFERENCE.render_with_alpha(gaussians, [view], background)
        assert psnr(fast, plain) > 55
        assert np.array_equal(fast[..., :3], CPU.render(gaussians, [view], background))


def test_an_empty_scene_is_the_background_alone():
    picture = CPU.render_with_alpha(gaussians_of(np.zeros((0, 3))), [front_view()], (1, 0, 0.5))
    assert (picture == np.array([255, 0, 128, 0], np.uint8)).all()


def test_a_later_call_leaves_earlier_pictures_alone():
    first = CPU.render(random_gaussians(30, seed=1), [front_view()])
    before = first.copy()
    CPU.render(random_gaussians(50, seed=2), [front_view()])
    assert np.array_equal(first, before)


def test_the_given_memory_is_filled():
    out = np.zeros((1, 48, 64, 3), np.uint8)
    gaussians = random_gaussians(30, seed=3)
    assert CPU.render(gaussians, [front_view()], out=out) is out
    assert np.array_equal(out, CPU.render(gaussians, [front_view()]))


def test_once_warm_a_frame_takes_no_new_memory_that_grows_with_the_scene():
    head = head_shaped_cloud(20000, seed=1)
    out = np.empty((1, 256, 256, 3), np.uint8)
    views = [orbit_view(0.2, 0.0, 1.0, width=256, height=256)]
    CPU.render(head, views, out=out)
    tracemalloc.start()
    CPU.render(head, views, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000  # one row of splats alone would be 80 kB


def test_read_only_gaussians_are_drawn_as_they_are():
    gaussians = random_gaussians(30, seed=3)
    expected = CPU.render(gaussians, [front_view()])
    for each in dataclasses.fields(Gaussians):
        getattr(gaussians, each.name).flags.writeable = False
    assert np.array_equal(CPU.render(gaussians, [front_view()]), expected)


def test_the_number_of_threads_changes_nothing_but_time():
    # Several chunks of splats, so that each thread projects some.
    gaussians = random_gaussians(3 * cpu_kernels.CHUNK, seed=15, size=0.01)
    views = [random_view(16)]
    alone = CpuRenderer(threads=1)
    assert alone.threads == 1
    assert np.array_equal(alone.render(gaussians, views), CPU.render(gaussians, views))
    assert CpuRenderer(threads=10**6).threads == CPU.threads


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 5000), near=st.booleans())
def test_the_sort_is_by_depth_then_by_index(seed, count, near):
    rng = np.random.default_rng(seed)
    depths = rng.uniform(0.9, 1.1, count) if near else np.exp(rng.uniform(-4, 80, count))
    # Repeated depths and splats that are left out, both.
    depths = depths[rng.integers(0, max(count, 1), count)].astype(np.float32)
    # As the projection leaves them: those that can be seen at the front of each chunk.
    keys = rng.integers(0, 2**32, count, np.uint32)
    chunks = -(-count // cpu_kernels.CHUNK)
    seen = np.array(
        [rng.integers(0, min(cpu_kernels.CHUNK, count - i * cpu_kernels.CHUNK) + 1)
         for i in range(chunks)], np.int32
    )  # fmt: skip
    places = [i * cpu_kernels.CHUNK + np.arange(n) for i, n in enumerate(seen)]
    expected = np.concatenate([np.zeros(0, int), *places])
    keys[expected] = depths.view(np.uint32)[expected]
    order, spare_order = np.zeros((2, count), np.int32)
    sorted_keys, spare_keys = np.zeros((2, count), np.uint32)
    counts = np.zeros(cpu_kernels.RADIX, np.int32)
    visible = cpu_kernels.sort_by_depth(
        keys, seen, order, spare_order, sorted_keys, spare_keys, counts
    )
    expected = expected[np.argsort(depths[expected], kind="stable")]
    assert order[:visible].tolist() == expected.tolist()


def test_a_slowly_turning_head_does_not_jump():
    # One order for all pixels of a splat must swap now and then; no swap may be seen as a jump.
    head = head_shaped_cloud(8000, seed=2)
    frames = [
        CPU.render(head, [orbit_view(np.radians(0.2 * i), 0.0, 1.0, width=128, height=128)])[0]
        for i in range(12)
    ]
    steps = [np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(frames)]
    assert max(steps) < 2 * np.median(steps)


def test_warming_up_compiles_everything_that_a_frame_needs():
    renderer = CpuRenderer(threads=1)
    assert renderer.warm_up() >= 0
    compiled = {
        kernel: len(getattr(cpu_kernels, kernel).signatures)
        for kernel in ("project", "sort_by_depth", "draw_bytes", "draw_floats")
    }
    renderer.render(random_gaussians(10, 1), [front_view()], np.zeros((48, 64, 3)))
    renderer.render_with_alpha(random_gaussians(10, 1), [front_view()])
    renderer.render_float(random_gaussians(10, 1), [front_view()])
    for kernel, signatures in compiled.items():
        assert len(getattr(cpu_kernels, kernel).signatures) == signatures, kernel
