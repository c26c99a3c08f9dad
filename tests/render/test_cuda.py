"""The CUDA renderer against the plain one, on a fake card: the kernels themselves, compiled for the
processor, behind a fake of the driver's library (tests/render/fake_cuda)."""

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
from avatar.errors import DeviceError
from avatar.types import Gaussians
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card, CudaError
from render.cuda_lists import TileLists, _packed
from render.reference import ReferenceRenderer
from render.renderer import LEAST_ALPHA
from tests.render.fake_cuda import calls, failing, fake_library
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

REFERENCE = ReferenceRenderer()
EXACT = 3e-5
"""As of the processor renderer: single against double precision."""
THRESHOLD_PIXELS = 2
"""As there: pixels in which rounding may carry a splat across the 1/255 threshold."""


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


def assert_same(
    cuda: CudaRenderer, gaussians: Gaussians, views: list[View], exact: float = EXACT
) -> None:
    """Colour and alpha equal the reference's."""
    for fast, plain in zip(
        cuda.render_float(gaussians, views), REFERENCE.render_float(gaussians, views), strict=True
    ):
        assert fast.shape == plain.shape
        assert np.isfinite(fast).all()
        off = np.abs(fast - plain).max(axis=-1)
        assert (off > exact).sum() <= THRESHOLD_PIXELS
        assert off.max() <= LEAST_ALPHA + exact


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 60), seed=st.integers(0, 2**32 - 1), size=st.floats(0.002, 0.3))
@example(count=0, seed=0, size=0.05)
@example(count=1, seed=0, size=0.05)
def test_any_scene_from_any_camera_equals_the_reference(cuda, count, seed, size):
    assert_same(cuda, random_gaussians(count, seed, size), [random_view(seed)])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_splats_that_cross_the_near_plane_equal_the_reference(cuda, seed):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(40, 3)) * [0.02, 0.02, 0.03] - [0, 0, 0.02]
    gaussians = dataclasses.replace(
        random_gaussians(40, seed, size=0.001), means=means.astype(np.float32)
    )
    assert_same(cuda, gaussians, [front_view()], exact=1e-4)  # pixel coordinates reach thousands


@pytest.mark.parametrize("scale", [1e-7, 1e-3, 1.0, 100.0])
def test_tiny_and_huge_splats_equal_the_reference(cuda, scale):
    gaussians = gaussians_of(
        [[0, 0, -2], [0.1, 0.05, -2.5], [-0.2, 0.1, -1.5]],
        scales=scale,
        opacities=[0.3, 0.9, 0.5],
        colours=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    )
    assert_same(cuda, gaussians, [front_view()])


@pytest.mark.parametrize("opacity", [0.0, 0.0039, 0.004, 0.5, 0.9999, 1.0])
def test_every_opacity_equals_the_reference(cuda, opacity):
    gaussians = gaussians_of([[0, 0, -2.0 - 0.1 * i] for i in range(5)], opacities=opacity)
    assert_same(cuda, gaussians, [front_view()])


def test_a_stack_of_opaque_splats_stops_where_the_reference_stops(cuda):
    # More than a batch of them in a tile, too.
    rng = np.random.default_rng(4)
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(700, 2)) * 0.05, rng.uniform(-3, -1, 700)],
        opacities=rng.uniform(0.005, 1, 700) ** 4,
        colours=rng.uniform(size=(700, 3)),
    )
    assert_same(cuda, gaussians, [front_view()])


def test_equal_depths_are_drawn_in_the_order_of_the_list(cuda):
    # So many that several blocks sort them, none before its turn.
    rng = np.random.default_rng(5)
    count = 6000
    gaussians = gaussians_of(
        np.c_[rng.normal(size=(count, 2)) * 0.5, np.full(count, -2.0)],
        scales=0.01,
        colours=rng.uniform(size=(count, 3)),
    )
    assert_same(cuda, gaussians, [front_view()])


def test_long_thin_diagonal_splats_equal_the_reference(cuda):
    rng = np.random.default_rng(6)
    gaussians = gaussians_of(
        rng.normal(size=(30, 3)) * [0.4, 0.3, 0.2] - [0, 0, 2],
        scales=(0.5, 0.003, 0.003),
        rotations=rng.normal(size=(30, 4)),
        colours=rng.uniform(size=(30, 3)),
    )
    assert_same(cuda, gaussians, [front_view()], exact=1e-4)  # the conic's terms cancel


def test_two_eyes_in_one_call_equal_each_eye_alone(cuda):
    gaussians = random_gaussians(50, seed=7)
    eyes = [random_view(8), random_view(9)]
    together, _ = cuda.render_float(gaussians, eyes)
    for index, eye in enumerate(eyes):
        alone, _ = cuda.render_float(gaussians, [eye])
        assert np.array_equal(together[index], alone[0])
    assert_same(cuda, gaussians, eyes)
    pictures = cuda.render(gaussians, eyes)
    assert np.array_equal(pictures[1], cuda.render(gaussians, eyes[1:])[0])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    value=st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0.0, -1.0]),
    field=st.sampled_from(["means", "rotations", "scales", "opacities", "colours"]),
)
def test_broken_numbers_neither_crash_nor_spoil_their_neighbours(cuda, seed, value, field):
    gaussians = random_gaussians(30, seed)
    broken = getattr(gaussians, field).copy()
    broken[::3] = value
    spoilt = dataclasses.replace(gaussians, **{field: broken})
    drawn = cuda.render_float(spoilt, [front_view()])
    if not np.isfinite(value):
        healthy = np.arange(30) % 3 != 0
        rest = Gaussians(
            **{
                each.name: np.ascontiguousarray(getattr(gaussians, each.name)[healthy])
                for each in dataclasses.fields(Gaussians)
            }
        )
        assert np.array_equal(drawn[0], cuda.render_float(rest, [front_view()])[0])
    assert cuda.render(spoilt, [front_view()]).shape == (1, 48, 64, 3)


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 31), (130, 7)])
def test_any_picture_size_equals_the_reference(cuda, size):
    assert_same(cuda, random_gaussians(40, seed=11), [random_view(12, *size)])


def test_a_part_of_a_head_differs_from_the_reference_by_less_than_rounding_shows(cuda):
    head = head_shaped_cloud(10_000, seed=1)
    whole = orbit_view(0.3, 0.1, 1.0, width=512, height=512)
    intrinsics = whole.intrinsics.copy()
    intrinsics[:2, 2] -= (130, 200)
    view = dataclasses.replace(whole, intrinsics=intrinsics, width=96, height=96)
    background = (0.25, 0.5, 0.75)
    fast, plain = cuda.render(head, [view], background), REFERENCE.render(head, [view], background)
    assert plain.std() > 20
    assert psnr(fast, plain) > 55
    assert np.abs(fast.astype(int) - plain).max() <= 2


def test_the_avatar_at_512_pixels_for_two_eyes_is_the_processors_picture(cuda):
    head = Deformer(load_avatar(avatar_path("default"))).gaussians()
    views = [orbit_view(yaw, 0.05, 1.0, width=512, height=512) for yaw in (0.3, 0.36)]
    fast, known = cuda.render(head, views), CpuRenderer().render(head, views)
    assert known.std() > 20
    assert psnr(fast[0], known[0]) > 55
    assert psnr(fast[1], known[1]) > 55
    light, alpha = cuda.render_float(head, views[:1])
    expected, opaque = CpuRenderer().render_float(head, views[:1])
    assert np.abs(light - expected).mean() < 1e-5
    assert np.abs(alpha - opaque).mean() < 1e-5


def test_bytes_lie_over_a_colour_or_a_picture(cuda):
    gaussians = random_gaussians(40, seed=13)
    view = random_view(14)
    picture = np.random.default_rng(0).uniform(size=(view.height, view.width, 3))
    for background in ((0.2, 0.4, 0.6), picture.astype(np.float32)):
        fast = cuda.render_with_alpha(gaussians, [view], background)
        plain = REFERENCE.render_with_alpha(gaussians, [view], background)
        assert np.abs(fast.astype(int) - plain).max() <= 2
        assert psnr(fast, plain) > 55
        assert np.array_equal(fast[..., :3], cuda.render(gaussians, [view], background))


def test_an_empty_scene_is_the_background_alone(cuda):
    picture = cuda.render_with_alpha(gaussians_of(np.zeros((0, 3))), [front_view()], (1, 0, 0.5))
    assert (picture == np.array([255, 0, 128, 0], np.uint8)).all()


def test_splats_behind_the_eye_are_not_seen(cuda):
    gaussians = gaussians_of([[0, 0, 2], [0, 0, 0.001]])
    assert not cuda.render_float(gaussians, [front_view()])[1].any()


def test_a_later_call_leaves_earlier_pictures_alone(cuda):
    first = cuda.render(random_gaussians(30, seed=1), [front_view()])
    before = first.copy()
    cuda.render(random_gaussians(50, seed=2), [front_view()])
    assert np.array_equal(first, before)


def test_the_given_memory_is_filled(cuda):
    out = np.zeros((1, 48, 64, 3), np.uint8)
    gaussians = random_gaussians(30, seed=3)
    assert cuda.render(gaussians, [front_view()], out=out) is out
    assert np.array_equal(out, cuda.render(gaussians, [front_view()]))


def test_read_only_gaussians_are_drawn_as_they_are(cuda):
    gaussians = random_gaussians(30, seed=3)
    expected = cuda.render(gaussians, [front_view()])
    for each in dataclasses.fields(Gaussians):
        getattr(gaussians, each.name).flags.writeable = False
    assert np.array_equal(cuda.render(gaussians, [front_view()]), expected)


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
