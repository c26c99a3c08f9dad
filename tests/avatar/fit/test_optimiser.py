"""What a splat may become while it is fitted, and what its halves are after a split."""

import numpy as np
import pytest

from avatar.fit.optimiser import COLOUR, PLACE, SIZE, TURN, WIDTH, Limits, SplatOptimiser
from avatar.fit.rasteriser import Gradients, Lens, Rasteriser
from avatar.types import Gaussians
from tests.render.scenes import gaussians_of


def splats() -> Gaussians:
    """Three before a camera that looks along -z, flat towards it; the second is long."""
    return gaussians_of(
        [[-0.2, 0, -2], [0, 0, -2], [0.2, 0.1, -2]],
        scales=[[0.03, 0.03, 0.003], [0.08, 0.03, 0.003], [0.02, 0.04, 0.003]],
        opacities=0.9,
        colours=[[0.5, 0.5, 0.5], [0.8, 0.2, 0.1], [0.1, 0.6, 0.3]],
    )


def lens() -> Lens:
    return Lens(
        pose=np.diag([1.0, -1.0, -1.0, 1.0])[:3].astype(np.float32),
        intrinsics=np.array([200, 200, 40, 30], np.float32),
        width=80,
        height=60,
    )


def limits(count: int = 3, tint_pull: float = 0.0) -> Limits:
    wide = np.full((count, WIDTH), 9.0, np.float32)
    return Limits(
        low=-wide,
        high=wide,
        pull=np.zeros(WIDTH, np.float32),
        tint_pull=tint_pull,
        rate=np.full(WIDTH, 0.05, np.float32),
    )


def slopes(count: int = 3, **given: np.ndarray) -> Gradients:
    """All 0 but those given; as the rasteriser gives them, columns of one array."""
    row = np.zeros((count, 13), np.float32)
    gradients = Gradients(
        means=row[:, 0:3],
        turns=row[:, 3:6],
        scales=row[:, 6:9],
        opacities=row[:, 9],
        colours=row[:, 10:13],
    )
    for name, values in given.items():
        getattr(gradients, name)[:] = values
    return gradients


def test_a_step_goes_down_the_slope_and_nowhere_else():
    optimiser = SplatOptimiser(splats(), limits())
    slope = np.zeros((3, 3), np.float32)
    slope[1, 0] = 5.0
    optimiser.step(slopes(colours=slope), 1.0)
    moved = optimiser.gaussians.colours - splats().colours
    assert moved[1, 0] == pytest.approx(-0.05, rel=0.05)
    moved[1, 0] = 0
    assert not moved.any()
    np.testing.assert_array_equal(optimiser.gaussians.means, splats().means)


def test_limits_hold():
    narrow = limits()
    narrow.low[:, COLOUR] = 0.45
    optimiser = SplatOptimiser(splats(), narrow)
    for _ in range(30):
        optimiser.step(slopes(colours=np.ones((3, 3), np.float32)), 1.0)
    assert optimiser.gaussians.colours.min() == pytest.approx(0.45)


def test_a_splat_stays_in_its_plane_and_keeps_its_thickness():
    optimiser = SplatOptimiser(splats(), limits())
    everywhere = np.ones((3, 3), np.float32)
    for _ in range(5):
        optimiser.step(slopes(means=9 * everywhere, turns=everywhere, scales=everywhere), 1.0)
    now = optimiser.gaussians
    np.testing.assert_allclose(now.means[:, 2], -2)
    np.testing.assert_array_equal(now.scales[:, 2], splats().scales[:, 2])
    np.testing.assert_allclose(now.rotations[:, 1:3], 0)
    assert (now.means[:, :2] < splats().means[:, :2]).all()


def test_no_splat_grows_four_times_as_long_as_broad():
    optimiser = SplatOptimiser(splats(), limits())
    longer = np.tile(np.array([-9, 9, 0], np.float32), (3, 1))
    for _ in range(60):
        optimiser.step(slopes(scales=99 * longer), 1.0)
    ratio = optimiser.gaussians.scales[:, 0] / optimiser.gaussians.scales[:, 1]
    np.testing.assert_allclose(ratio, 4, rtol=1e-3)


def test_a_tint_is_pulled_back_and_lightness_is_not():
    results = []
    for pull in (0.0, 1.0):
        optimiser = SplatOptimiser(splats(), limits(tint_pull=pull))
        optimiser.values[:, COLOUR] += np.array([0.3, 0.0, 0.0], np.float32)
        optimiser.values[2, COLOUR] = splats().colours[2] + 0.3
        for _ in range(20):
            optimiser.step(slopes(), 1.0)
        results.append(optimiser.values[:, COLOUR] - splats().colours)
    assert np.ptp(results[0][0]) == pytest.approx(0.3, abs=1e-6)
    assert np.ptp(results[1][0]) < 0.15
    np.testing.assert_allclose(results[1][2], 0.3, atol=1e-5)


def test_two_halves_cover_what_the_whole_did():
    whole = SplatOptimiser(splats(), limits())
    whole.values[1, TURN], whole.values[1, SIZE] = 0.6, [0.2, -0.1]
    whole.step(slopes(), 1.0)
    before = Gaussians(**{f: getattr(whole.gaussians, f).copy() for f in gaussian_fields()})
    whole.split(np.array([1], np.int32))
    assert len(whole) == 4
    np.testing.assert_array_equal(whole.source, [0, 1, 2, 1])
    colour, through = Rasteriser().draw(before, lens())
    halved, halved_through = Rasteriser().draw(whole.gaussians, lens())
    assert (1 - halved_through).sum() == pytest.approx((1 - through).sum(), rel=0.15)
    at = [np.average(np.indices(t.shape).reshape(2, -1), 1, 1 - t.ravel())
          for t in (through, halved_through)]  # fmt: skip
    np.testing.assert_allclose(at[0], at[1], atol=0.3)
    assert np.abs(halved - colour).max() < 0.4
    np.testing.assert_allclose(whole.values[[1, 3], PLACE].mean(0), 0, atol=1e-6)


def test_halves_go_their_own_ways():
    optimiser = SplatOptimiser(splats(), limits())
    optimiser.split(np.array([1], np.int32))
    slope = np.zeros((4, 3), np.float32)
    slope[3] = 1
    optimiser.step(slopes(4, colours=slope), 1.0)
    assert (optimiser.gaussians.colours[3] < optimiser.gaussians.colours[1]).all()


def gaussian_fields() -> list[str]:
    return list(Gaussians.__dataclass_fields__)
