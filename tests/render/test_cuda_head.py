"""Posing on the (fake) card against posing in plain NumPy and by the Deformer."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.head_tables import HeadPose
from render.camera import orbit_view
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card
from tests.avatar.plain_head import assert_posed_alike, lively_motion, pose_plainly, taught
from tests.render.fake_cuda import calls, fake_library
from tests.render.scenes import front_view


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path("default")))


@pytest.fixture(scope="module")
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaRenderer]:
    cache = KernelCache(tmp_path_factory.mktemp("kernels"))
    with CudaRenderer(card=Card(fake_library()), cache=cache) as renderer:
        yield renderer
    assert fake_library().fake_failure() == b""


@pytest.mark.parametrize("seed", range(3))
def test_a_pose_on_the_card_is_that_of_plain_numpy_and_of_the_deformer(cuda, deformer, seed):
    frame, viewer = lively_motion(seed), np.array([0.05, 0.0, 1.0])
    tables, pose = deformer.tables(), deformer.head_pose(frame, seen_from=viewer)
    head = cuda.keep(tables)
    head.pose(pose)
    got = head.read()
    head.release()
    assert len(head) == len(tables)
    assert_posed_alike(got, pose_plainly(tables, pose))
    assert_posed_alike(got, deformer.gaussians(frame, seen_from=viewer))


def test_residuals_are_added_on_the_card_as_by_the_deformer(cuda, deformer):
    learned = Deformer(taught(deformer.avatar))
    frame, viewer = lively_motion(4), np.array([0.05, 0.0, 1.0])
    tables, pose = learned.tables(), learned.head_pose(frame, seen_from=viewer)
    head = cuda.keep(tables)
    head.pose(learned.head_pose(lively_motion(5), seen_from=viewer))  # nothing of it may stay
    head.pose(pose)
    got = head.read()
    head.release()
    assert_posed_alike(got, pose_plainly(tables, pose), opacities=1e-6)
    assert_posed_alike(got, learned.gaussians(frame, seen_from=viewer), opacities=1e-6)


@pytest.mark.parametrize("missing", ["face_residual", "pose_residual"])
def test_one_network_of_residuals_is_enough(cuda, small_avatar, missing):
    learned = Deformer(dataclasses.replace(taught(small_avatar), **{missing: None}))
    bare = dataclasses.replace(learned.tables(), glance=np.zeros((0, 3), np.float32))
    for tables, glance in ((learned.tables(), 0.7), (bare, 0.0)):
        pose = dataclasses.replace(learned.head_pose(lively_motion(2)), glance=glance)
        head = cuda.keep(tables)
        head.pose(pose)
        got, views = head.read(), [front_view()]
        assert_posed_alike(got, pose_plainly(tables, pose), opacities=1e-6)
        assert np.array_equal(cuda.render(head, views), cuda.render(got, views))
        head.release()


def test_a_head_is_neutral_until_it_is_posed_and_keeps_nothing_of_the_pose_before(cuda, deformer):
    tables = deformer.tables()
    head = cuda.keep(tables)
    neutral = head.read()
    assert_posed_alike(neutral, deformer.gaussians())
    head.pose(deformer.head_pose(lively_motion(1)))
    assert np.abs(head.read().means - neutral.means).max() > 1e-3
    still = dataclasses.replace(
        lively_motion(1),
        expression=np.zeros(52, np.float32),
        tongue=np.zeros(3, np.float32),
        gaze=np.zeros(2, np.float32),
        head_rotation=np.zeros(3, np.float32),
        head_translation=np.zeros(3, np.float32),
    )
    head.pose(deformer.head_pose(still))
    again = head.read()
    assert np.array_equal(again.means, neutral.means)
    assert np.array_equal(again.colours, neutral.colours)
    head.release()


def test_a_kept_head_is_drawn_as_its_gaussians_are(cuda, deformer):
    head = cuda.keep(deformer.tables())
    head.pose(deformer.head_pose(lively_motion(2)))
    views = [orbit_view(0.2, 0.0, 1.0, width=160, height=144)]
    drawn = cuda.render(head, views)
    assert np.array_equal(drawn, cuda.render(head.read(), views))
    assert drawn.std() > 20
    head.release()


def test_a_pose_sends_one_small_array_and_takes_no_memory(cuda, deformer):
    head = cuda.keep(deformer.tables())
    before, pose = fake_library().fake_allocations(), deformer.head_pose(lively_motion(0))
    calls()
    head.pose(pose)
    made = calls()
    assert made.count("cuMemcpyHtoDAsync_v2") == 1
    assert made.count("cuLaunchKernel") == 4
    assert "cuStreamSynchronize" not in made
    assert fake_library().fake_allocations() == before
    head.release()


def test_an_avatar_without_glance_lips_or_shading_is_posed_too(cuda, small_avatar):
    deformer = Deformer(small_avatar)
    tables = deformer.tables()
    nothing = np.zeros(0, np.int32)
    bare = dataclasses.replace(
        tables, shaded=nothing, ring_start=np.zeros(1, np.int32), ring=np.zeros((0, 2), np.int32),
        shade_weight=np.zeros(0, np.float32), rest_light=np.zeros(0, np.float32),
        rest_area=np.zeros(0, np.float32), lit=nothing, lips=nothing,
        lip_start=np.zeros(1, np.int32), lip_near=nothing, lip_area=np.zeros(0, np.float32),
        lip_darkest=np.zeros(0, np.float32), lip_rest=np.zeros(0, np.float32),
    )  # fmt: skip
    assert not len(tables.glance)
    pose = deformer.head_pose(lively_motion(3))
    for each in (tables, bare):
        head = cuda.keep(each)
        head.pose(pose)
        assert_posed_alike(head.read(), pose_plainly(each, pose))
        head.release()


def test_a_collapsed_triangle_carries_its_splats_as_the_deformer_says(cuda, small_avatar):
    tables = Deformer(small_avatar).tables()
    flat = tables.vertices.copy()
    flat[tables.triangles[:20]] = flat[tables.triangles[:20, :1]]
    tables = dataclasses.replace(
        tables, vertices=flat, offset=np.zeros_like(tables.offset), eye=0 * tables.eye
    )
    head = cuda.keep(tables)
    got = head.read()
    head.release()
    dead = tables.triangle_of < 20
    assert dead.any()
    assert np.isfinite(got.means).all()
    assert np.array_equal(got.rotations[dead], tables.rotations[dead])
    assert cuda.render(got, [front_view()]).shape == (1, 48, 64, 3)


def test_a_renderer_that_is_released_gives_its_heads_back(tmp_path, small_avatar):
    held = fake_library().fake_held()
    cuda = CudaRenderer(card=Card(fake_library()), cache=KernelCache(tmp_path))
    head = cuda.keep(Deformer(small_avatar).tables())
    assert fake_library().fake_held() > held
    cuda.release()
    assert fake_library().fake_held() == held
    calls()
    head.release()
    cuda.release()
    assert calls() == []


def test_weights_of_another_template_are_our_own_mistake(cuda, deformer):
    head = cuda.keep(deformer.tables())
    pose = deformer.head_pose(lively_motion(0))
    few = HeadPose(
        weights=pose.weights[:9],
        gaze=pose.gaze,
        head_rotation=pose.head_rotation,
        head_translation=pose.head_translation,
        glance=0.0,
        face_features=pose.face_features,
        pose_features=pose.pose_features,
    )
    with pytest.raises(AssertionError, match="template"):
        head.pose(few)
    head.release()
