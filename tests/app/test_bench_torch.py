"""What bench compares with draws by the same rules: else its times would say nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from app.commands.bench import head_shaped_cloud
from app.commands.bench_torch import TorchTiles
from avatar.types import Gaussians
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.reference import ReferenceRenderer
from render.renderer import LEAST_ALPHA
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

TORCH, REFERENCE = TorchTiles(), ReferenceRenderer()
EXACT = 2e-5
"""Single against double precision, blended over some dozens of splats."""
THRESHOLD_PIXELS = 2
"""In which rounding may carry a splat across the least alpha; they differ by no more than that."""


def assert_same(gaussians: Gaussians, view: View) -> None:
    for plain, exact in zip(
        TORCH.render_float(gaussians, [view]),
        REFERENCE.render_float(gaussians, [view]),
        strict=True,
    ):
        assert plain.shape == exact.shape
        off = np.abs(plain - exact).max(axis=-1)
        assert (off > EXACT).sum() <= THRESHOLD_PIXELS
        assert off.max() <= LEAST_ALPHA + EXACT


@pytest.mark.parametrize("seed", range(8))
def test_any_scene_from_any_camera_equals_the_reference(seed):
    assert_same(random_gaussians(60, seed, size=0.01 * 2**seed / 8), random_view(seed))


def test_nothing_to_draw_is_drawn():
    assert_same(gaussians_of(np.zeros((0, 3))), front_view())


def test_tiles_that_finish_in_an_early_chunk_equal_the_reference():
    rng = np.random.default_rng(0)
    deep = gaussians_of(
        np.stack([*rng.uniform(-0.1, 0.1, (2, 1500)), -np.linspace(1, 3, 1500)], 1),
        opacities=rng.uniform(0.001, 0.02, 1500),
        colours=rng.uniform(size=(1500, 3)),
        scales=0.2,
    )
    assert_same(deep, front_view(32, 32))


def test_numbers_that_are_not_finite_are_left_out():
    scene = random_gaussians(20, 3)
    means, rotations = scene.means.copy(), scene.rotations.copy()
    means[3], rotations[5] = np.nan, 0
    assert_same(dataclasses.replace(scene, means=means, rotations=rotations), front_view())


def test_a_head_is_the_same_as_on_the_processor_within_a_level():
    cloud = head_shaped_cloud(4000)
    views = [orbit_view(yaw, 0.1, 1.0, width=120, height=100) for yaw in (-0.1, 0.1)]
    threads = torch.get_num_threads()
    plain = TORCH.render_with_alpha(cloud, views, (0.2, 0.4, 0.6))
    assert torch.get_num_threads() == threads
    fast = CpuRenderer().render_with_alpha(cloud, views, (0.2, 0.4, 0.6))
    assert np.abs(plain.astype(int) - fast).max() <= 1
    assert TORCH.last_times.sort_s > 0
    assert TORCH.last_times.raster_s > 0
