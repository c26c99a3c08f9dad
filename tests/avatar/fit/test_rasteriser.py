"""The fit's rasteriser against the renderer's, and its gradients against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.deform import Deformer, multiply_quaternions
from avatar.fit.rasteriser import Gradients, Lens, Rasteriser, over
from avatar.types import Avatar, Gaussians
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from render.reference import ReferenceRenderer
from tests.render.scenes import gaussians_of, random_gaussians, random_view


def lens_of(view: View) -> Lens:
    return Lens(
        pose=view.camera_from_world[:3].astype(np.float32),
        intrinsics=view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float32),
        width=view.width,
        height=view.height,
    )


@pytest.mark.parametrize("seed", range(4))
def test_it_draws_what_the_reference_draws(seed: int):
    splats, view = random_gaussians(60, seed), random_view(seed)
    colour, through = Rasteriser().draw(splats, lens_of(view))
    wanted, alpha = ReferenceRenderer().render_float(splats, [view])
    np.testing.assert_allclose(colour, wanted[0], atol=2e-5)
    np.testing.assert_allclose(1 - through, alpha[0, :, :, 0], atol=2e-5)


def test_a_head_is_drawn_as_the_renderer_draws_it(small_avatar: Avatar):
    splats = Deformer(small_avatar).gaussians()
    view = orbit_view(0.4, 0.1, 1.0, width=200, height=180)
    colour, through = Rasteriser().draw(splats, lens_of(view))
    wanted, alpha = CpuRenderer().render_float(splats, [view])
    assert colour.max() > 0.5
    np.testing.assert_allclose(colour, wanted[0], atol=2e-5)
    np.testing.assert_allclose(1 - through, alpha[0, :, :, 0], atol=2e-5)


def test_a_crop_is_the_same_picture():
    splats, lens = small_scene(1)
    whole, _ = Rasteriser().draw(splats, lens)
    part, _ = Rasteriser().draw(splats, lens.crop(3, 2, 20, 18))
    assert np.ptp(part) > 0.1
    np.testing.assert_allclose(part, whole[2:20, 3:23], atol=1e-5)


def small_scene(seed: int, size: float = 0.10) -> tuple[Gaussians, Lens]:
    """A dozen soft splats before a small picture; `size` metres, 20 pixels to one."""
    rng = np.random.default_rng(seed)
    depth = rng.permutation(np.linspace(1.7, 2.3, 12))  # so far apart that none overtakes another
    means = np.column_stack([rng.normal(size=(12, 2)) * [0.15, 0.12], -depth])
    splats = gaussians_of(
        means,
        scales=size * np.exp(0.25 * rng.normal(size=(12, 3))),
        opacities=rng.uniform(0.2, 0.6, 12),
        colours=rng.uniform(size=(12, 3)),
        rotations=rng.normal(size=(12, 4)),
    )
    pose = np.diag([1.0, -1.0, -1.0, 1.0])[:3].astype(np.float32)
    intrinsics = np.array([40, 42, 14, 13], np.float32)
    return splats, Lens(pose=pose, intrinsics=intrinsics, width=28, height=26)


def moved(splats: Gaussians, field: str, index: tuple[int, int], by: float) -> Gaussians:
    """`splats` with one number changed: of a turn the splat is turned about its own axis."""
    splat, axis = index
    if field == "turns":
        turn = Rotation.from_rotvec(by * np.eye(3)[axis]).as_quat()[[3, 0, 1, 2]]
        rotations = splats.rotations.astype(np.float64)
        rotations[splat] = multiply_quaternions(rotations[splat], turn)
        return replace(splats, rotations=rotations.astype(np.float32))
    values = getattr(splats, field).copy()
    values.reshape(len(splats), -1)[splat, axis] += by
    return replace(splats, **{field: values})


@pytest.mark.parametrize(
    ("field", "step"),
    [("colours", 1e-1), ("opacities", 1e-2), ("means", 1e-2), ("scales", 1e-2), ("turns", 1e-2)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_those_of_finite_differences(field: str, step: float, seed: int):
    # So large that all edges, where the opacity jumps from its least to nothing, lie outside.
    splats, lens = small_scene(seed, size=0.8)
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=(lens.height, lens.width, 3)).astype(np.float32)
    background = np.array([0.2, 0.5, 0.7], np.float32)
    rasteriser = Rasteriser()

    def shown(scene: Gaussians) -> np.ndarray:
        return over(*rasteriser.draw(scene, lens), background)

    def loss(scene: Gaussians) -> float:
        return float((shown(scene).astype(np.float64) * slope).sum())

    gradients: Gradients = rasteriser.backward(shown(splats), slope)
    found = getattr(gradients, field).reshape(len(splats), -1).copy()
    measured = np.zeros_like(found, np.float64)
    for splat in range(len(splats)):
        for axis in range(found.shape[1]):
            ahead, back = (moved(splats, field, (splat, axis), s * step) for s in (1, -1))
            measured[splat, axis] = (loss(ahead) - loss(back)) / (2 * step)
    error = np.linalg.norm(found - measured) / np.linalg.norm(measured)
    assert error < 1e-3, f"{field}: {error:.1e}"


def test_gradients_do_not_depend_on_the_number_of_threads():
    import numba

    splats, lens = random_gaussians(300, 3), lens_of(random_view(3))
    slope = np.random.default_rng(0).normal(size=(lens.height, lens.width, 3)).astype(np.float32)
    results = []
    before = numba.get_num_threads()
    for threads in {1, before}:
        numba.set_num_threads(threads)
        rasteriser = Rasteriser()
        colour, _ = rasteriser.draw(splats, lens)
        results.append(rasteriser.backward(colour, slope).means.copy())
    numba.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[-1])


def test_a_lone_splats_footprint_is_what_it_covers():
    splats, lens = small_scene(0)
    rasteriser = Rasteriser()
    alone = Gaussians(
        **{field: getattr(splats, field)[:1].copy() for field in Gaussians.__dataclass_fields__}
    )
    _, through = rasteriser.draw(alone, lens)
    # The faint rim that is not drawn is a few percent.
    assert rasteriser.footprints()[0] == pytest.approx((1 - through).sum(), rel=0.05)


def test_nothing_is_drawn_where_there_is_nothing():
    splats, lens = small_scene(0)
    behind = replace(splats, means=splats.means + np.array([0, 0, 9], np.float32))
    rasteriser = Rasteriser()
    colour, through = rasteriser.draw(behind, lens)
    assert not colour.any()
    assert (through == 1).all()
    gradients = rasteriser.backward(colour, np.ones_like(colour))
    assert not gradients.means.any()
