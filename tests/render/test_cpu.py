"""The processor renderer against the plain one."""

import itertools
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.commands.bench import head_shaped_cloud
from render import cpu_kernels
from render.camera import orbit_view
from render.cpu import CpuRenderer
from tests.render.scenes import front_view, random_gaussians, random_view

CPU = CpuRenderer()


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
def test_the_sort_is_by_distance_then_by_index(seed, count, near):
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
    visible = cpu_kernels.sort_by_distance(
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
        for kernel in ("project", "sort_by_distance", "draw_bytes", "draw_floats")
    }
    renderer.render(random_gaussians(10, 1), [front_view()], np.zeros((48, 64, 3)))
    renderer.render_with_alpha(random_gaussians(10, 1), [front_view()])
    renderer.render_float(random_gaussians(10, 1), [front_view()])
    for kernel, signatures in compiled.items():
        assert len(getattr(cpu_kernels, kernel).signatures) == signatures, kernel
