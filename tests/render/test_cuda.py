"""The CUDA renderer against the plain one, on a fake card: the kernels themselves, compiled for the
processor, behind a fake of the driver's library (tests/render/fake_cuda)."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import DeviceError
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card, CudaError
from render.cuda_lists import TileLists, _packed
from tests.render.agreement import assert_same
from tests.render.fake_cuda import calls, failing, fake_library
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaRenderer]:
    held = fake_library().fake_held()
    cache = KernelCache(tmp_path_factory.mktemp("kernels"))
    with CudaRenderer(card=Card(fake_library()), cache=cache) as renderer:
        yield renderer
    assert fake_library().fake_held() == held  # all memory was given back
    assert fake_library().fake_failure() == b""


@pytest.fixture(autouse=True)
def _little_room(cuda: CudaRenderer) -> None:
    """Lists begin small in each test: the fake starts blocks for all of their room."""
    cuda._lists._capacity = 2048


def test_more_splats_in_a_tile_than_a_batch_equal_the_reference(cuda):
    rng = np.random.default_rng(4)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(700, 2)) * 0.05, rng.uniform(-3, -1, 700)],
        opacities=rng.uniform(0.005, 1, 700) ** 4,
        colours=rng.uniform(size=(700, 3)),
    )
    assert_same(cuda, gaussians, [front_view()])


def test_equal_distances_sorted_by_several_blocks_keep_the_order_of_the_list(cuda):
    rng = np.random.default_rng(5)
    count = 6000
    gaussians = gaussians_of(
        np.tile(rng.normal(size=(count // 3, 3)) * [0.5, 0.5, 0.1] - [0, 0, 2], (3, 1)),
        scales=0.01,
        colours=rng.uniform(size=(count, 3)),
    )
    assert_same(cuda, gaussians, [front_view()])


def test_no_picture_depends_on_the_order_in_which_threads_run(cuda):
    gaussians, views = random_gaussians(3000, seed=15, size=0.02), [random_view(16), random_view(3)]
    pictures = []
    for seed in (1, 2, 3):
        fake_library().fake_seed(seed)
        pictures.append(np.concatenate(cuda.render_float(gaussians, views), -1))
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])


def test_once_warm_a_frame_takes_no_memory_on_the_card_and_waits_for_it_at_the_end(cuda):
    gaussians, views = random_gaussians(500, seed=1), [random_view(2), random_view(3)]
    cuda.render(gaussians, views)
    before = fake_library().fake_allocations()
    calls()
    cuda.render(gaussians, views)
    made = calls()
    assert fake_library().fake_allocations() == before
    assert not {"cuMemAlloc_v2", "cuMemFree_v2"} & set(made)
    launches = [index for index, name in enumerate(made) if name == "cuLaunchKernel"]
    assert "cuStreamSynchronize" not in made[: launches[-1]]


def test_lists_that_find_no_room_are_made_again_with_more(cuda, monkeypatch, tmp_path):
    gaussians, views = random_gaussians(200, seed=5, size=0.2), [random_view(6)]
    expected = cuda.render_float(gaussians, views)
    monkeypatch.setattr("render.cuda_lists.FIRST_CAPACITY", 100)
    with CudaRenderer(card=Card(fake_library()), cache=KernelCache(tmp_path)) as small:
        calls()
        got = small.render_float(gaussians, views)
        assert calls().count("cuStreamSynchronize") == 2  # too small, and again
        assert np.array_equal(got[0], expected[0])
        small.render_float(gaussians, views)
        assert calls().count("cuStreamSynchronize") == 1


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5000), bits=st.integers(1, 32))
def test_the_sort_is_by_key_then_by_place(cuda, seed, count, bits):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**bits, count, np.uint32)
    keys = keys[rng.integers(0, count, count)]  # many alike
    lists = TileLists(cuda._card, cuda._kernels)
    lists._numbers.room(12)
    cuda._card.fill(lists._numbers.address, count, 1)
    lists._keys[0].take(keys)
    lists._places[0].take(np.arange(count, dtype=np.uint32))
    lists._sort(lists._keys, lists._places, 0, count, bits)
    places = np.empty(count, np.uint32)
    cuda._card.read(lists._places[0].address, places)
    cuda._card.wait()
    lists.release()
    assert np.array_equal(places, np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 300_000])
def test_sums_are_those_of_all_before(cuda, count):
    values = np.random.default_rng(count).integers(0, 9, count).astype(np.uint32)
    lists = TileLists(cuda._card, cuda._kernels)
    lists._numbers.room(12)
    lists._starts.take(values)
    lists._sum(lists._starts, count, 4)
    sums, total = np.empty(count, np.uint32), np.empty(1, np.uint32)
    cuda._card.read(lists._starts.address, sums)
    cuda._card.read(lists._numbers.address + 4, total)
    cuda._card.wait()
    lists.release()
    assert np.array_equal(sums, np.cumsum(values) - values)
    assert total[0] == values.sum()


def test_views_are_packed_as_the_kernels_read_them():
    view = random_view(3)
    packed = _packed([view])[0]
    point = np.array([0.1, -0.2, -2.0])
    camera = packed[:12].reshape(3, 4) @ [*point, 1]
    seen = camera[:2] / camera[2] * packed[12:14] + packed[14:]
    assert seen == pytest.approx(view.project(point)[:2], rel=1e-4)


def test_a_card_out_of_memory_is_told_in_one_line(cuda):
    many = random_gaussians(90_000, seed=1)
    with failing("cuMemAlloc_v2", 2), pytest.raises(CudaError, match="OUT_OF_MEMORY") as told:
        cuda.render(many, [front_view()])
    assert "\n" not in str(told.value)
    assert_same(cuda, random_gaussians(20, seed=1), [front_view()])  # and goes on


def test_the_probe_knows_right_drawing_from_wrong(cuda, monkeypatch):
    assert cuda.draws_rightly()
    monkeypatch.setitem(cuda._kernels._kernels, "find_ranges", lambda *_: None)
    assert not cuda.draws_rightly()


@pytest.mark.parametrize(
    ("function", "expected"),
    [("cuInit", "cuInit"), ("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRetain")],
)
def test_a_driver_that_refuses_is_a_device_error(function, expected):
    with failing(function, 100), pytest.raises(DeviceError, match=expected):
        Card(fake_library())
