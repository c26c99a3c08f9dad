"""What only a card can show: run with `python -m pytest -m gpu` on a machine that has one.

The driver, the compiler for cards, threads that really run at once, and textures that OpenGL and
CUDA share. The same comparisons as on the fake card, so that a difference is the card's.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import DeviceError
from render.camera import orbit_view
from render.cpu import CpuRenderer
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache, compiler_library
from render.cuda_driver import driver_library
from render.cuda_probe import has_nvidia_driver, probe_cuda
from render.gl_driver import open_context
from tests.avatar.plain_head import assert_posed_alike, lively_motion, pose_plainly, taught
from tests.render.agreement import assert_same, psnr
from tests.render.scenes import gaussians_of, random_gaussians, random_view
from tests.render.test_interop import pixels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        driver_library() is None or compiler_library() is None,
        reason="needs an NVIDIA card, its driver, and pip install 'visavis[cuda]'",
    ),
]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaRenderer]:
    with CudaRenderer(cache=KernelCache(tmp_path_factory.mktemp("kernels"))) as renderer:
        yield renderer


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path("default")))


def test_the_probe_finds_the_card():
    assert has_nvidia_driver()
    probe_cuda.cache_clear()
    probe = probe_cuda()
    assert probe.problem == ""
    assert probe.card != ""


@pytest.mark.parametrize("seed", range(20))
def test_scenes_on_the_card_equal_the_reference(card, seed):
    gaussians = random_gaussians(60, seed, size=0.01 * 1.2**seed)
    assert_same(card, gaussians, [random_view(seed), random_view(seed + 100)])


def test_equal_distances_on_the_card_are_drawn_in_the_order_of_the_list(card):
    rng = np.random.default_rng(5)
    gaussians = gaussians_of(
        np.tile(rng.normal(size=(5000, 3)) * [0.5, 0.5, 0.1] - [0, 0, 2], (4, 1)),
        scales=0.005,
        colours=rng.uniform(size=(20_000, 3)),
    )
    view = random_view(3)
    expected = CpuRenderer().render_float(gaussians, [view])[0]
    assert np.abs(card.render_float(gaussians, [view])[0] - expected).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_heads_posed_on_the_card_are_those_of_plain_numpy_and_drawn_as_by_the_processor(
    card, deformer, seed
):
    tables = deformer.tables()
    pose = deformer.head_pose(lively_motion(seed), seen_from=np.array([0.05, 0.0, 1.0]))
    head = card.keep(tables)
    head.pose(pose)
    assert_posed_alike(head.read(), pose_plainly(tables, pose))
    views = [orbit_view(yaw, 0.05, 1.0, width=512, height=512) for yaw in (0.3, 0.36)]
    fast, known = card.render(head, views), CpuRenderer().render(head.read(), views)
    head.release()
    assert psnr(fast[0], known[0]) > 55
    assert psnr(fast[1], known[1]) > 55


@pytest.mark.parametrize("seed", [3, 4])
def test_residuals_are_added_on_the_card_as_by_the_deformer(card, deformer, seed):
    learned = Deformer(taught(deformer.avatar, seed))
    frame, viewer = lively_motion(seed), np.array([0.05, 0.0, 1.0])
    tables, pose = learned.tables(), learned.head_pose(frame, seen_from=viewer)
    assert pose.glance > 0.1
    head = card.keep(tables)
    head.pose(pose)
    got, views = head.read(), [orbit_view(0.2, 0.0, 1.0, width=512, height=512)]
    fast, known = card.render(head, views), CpuRenderer().render(got, views)
    head.release()
    assert_posed_alike(got, pose_plainly(tables, pose), opacities=1e-5)
    assert_posed_alike(got, learned.gaussians(frame, seen_from=viewer), opacities=1e-5)
    assert psnr(fast[0], known[0]) > 55


def test_a_thousand_frames_are_the_same_picture_to_the_byte(card, deformer):
    # A race would show as a byte that changes now and then.
    head = card.keep(deformer.tables())
    head.pose(deformer.head_pose(lively_motion(1)))
    views = [orbit_view(yaw, 0.0, 1.0, width=640, height=480) for yaw in (-0.03, 0.03)]
    first = card.render(head, views)
    out, held = np.empty_like(first), card.card_bytes
    for _ in range(1000):
        assert np.array_equal(card.render(head, views, out=out), first)
    assert card.card_bytes == held
    head.release()


def test_lists_that_outgrow_their_room_are_drawn_whole(card):
    gaussians = random_gaussians(3000, seed=2, size=0.5)
    view = random_view(4, 1200, 900)
    expected = CpuRenderer().render_float(gaussians, [view])[0]
    assert np.abs(card.render_float(gaussians, [view])[0] - expected).mean() < 1e-4


def test_pictures_reach_textures_of_opengl_shared_or_told(deformer, tmp_path):
    with ExitStack() as opened:
        context = open_context()
        opened.callback(context.release)
        opened.enter_context(context)
        cuda = opened.enter_context(
            CudaRenderer(context=context, cache=KernelCache(tmp_path / "kernels"))
        )
        head = cuda.keep(deformer.tables())
        views = [orbit_view(yaw, 0.0, 1.0, width=600, height=500) for yaw in (-0.03, 0.03)]
        for seed in range(5):
            head.pose(deformer.head_pose(lively_motion(seed)))
            shown = cuda.render_textures(head, views)
            context.finish()
            for picture, expected in zip(shown, cuda.render_with_alpha(head, views), strict=True):
                assert np.array_equal(pixels(picture), expected)
        hardware = "NVIDIA" in context.info["GL_RENDERER"]
        assert ("through the computer's memory" in cuda.reason) == (not hardware), cuda.reason


def test_a_second_start_finds_its_kernels_on_disk(tmp_path):
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        CudaRenderer(cache=KernelCache(tmp_path)).release()
        seconds.append(time.perf_counter() - started)
    assert len(list(tmp_path.iterdir())) == 1
    assert seconds[1] < seconds[0]


def test_more_than_the_card_holds_is_told_and_drawing_goes_on(card):
    with pytest.raises(DeviceError, match="OUT_OF_MEMORY"):
        card._card.allocate(1 << 50)
    assert_same(card, random_gaussians(20, seed=1), [random_view(1)])
