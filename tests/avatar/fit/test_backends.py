"""Gradients of every fitting backend against automatic differentiation of the plain rules in double
precision, and what stands between gsplat and the fit."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.errors import DeviceError
from avatar.fit import backends
from avatar.fit.backends import CardFitting, FitRasteriser, fitting_on_card, open_rasteriser
from avatar.fit.gsplat_rasteriser import GsplatRasteriser, turn_gradients
from avatar.fit.kernels import LEAST_ALPHA, NEAR_PLANE, SCREEN_BLUR
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.types import Gaussians
from tests.avatar.fit.plain_torch import blended, gsplat_parts, projected
from tests.render.scenes import gaussians_of

FIELDS = ("means", "turns", "scales", "opacities", "colours")
ALIKE = 1e-4
"""Relative, of all splats' gradients of a kind together; single against double precision."""
BEHIND = np.array([0.2, 0.5, 0.7], np.float32)


def scene(kind: str, seed: int) -> tuple[Gaussians, Lens]:
    """Two dozen splats before a small picture whose camera looks aside, as a headset's does."""
    rng = np.random.default_rng(seed)
    count = 24
    depth = rng.permutation(np.linspace(1.7, 2.3, count))
    means = np.column_stack([rng.normal(size=(count, 2)) * [0.15, 0.12], -depth])
    scales, opacities = 0.10, rng.uniform(0.2, 0.6, count)
    if kind == "beyond the edges":  # of the picture, and of where the projection is held
        means[:, :2] = rng.normal(size=(count, 2)) * [0.9, 0.7]
        scales = 0.3
    elif kind == "opaque":  # at the cap, and pixels that end before the last splat
        opacities = rng.choice([0.999, 1.0, 0.9], count)
    elif kind == "faint":
        opacities = rng.uniform(0.003, 0.01, count)
    elif kind == "small":  # a pixel's size and less
        scales = 0.01
    elif kind == "on top of each other":
        means[:, :2] *= 0.1
    splats = gaussians_of(
        means,
        scales=scales * np.exp(0.5 * rng.normal(size=(count, 3))),
        opacities=opacities,
        colours=rng.uniform(size=(count, 3)),
        rotations=rng.normal(size=(count, 4)) * rng.uniform(0.5, 2, (count, 1)),
    )
    pose = np.diag([1.0, -1.0, -1.0, 1.0])[:3].astype(np.float32)
    pose[:, 3] = rng.normal(size=3) * 0.05
    intrinsics = np.array([40, 47, 9, 19], np.float32)
    return splats, Lens(pose=pose, intrinsics=intrinsics, width=30, height=26)


KINDS = ("plain", "beyond the edges", "opaque", "faint", "small", "on top of each other")
TILTS = ((0.0, 0.0), (0.7, -0.5))


def plain_gradients(
    splats: Gaussians, lens: Lens, tilt: tuple[float, float], slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Colour, light left and gradients, in double precision by automatic differentiation; turns
    by differentiating through a turn about own axes, without any formula of ours."""
    double = lambda values: torch.tensor(np.asarray(values, np.float64))  # noqa: E731
    leaves = {
        name: double(getattr(splats, name)).requires_grad_()
        for name in ("means", "scales", "opacities", "colours")
    }
    leaves["turns"] = torch.zeros(len(splats), 3, dtype=torch.float64, requires_grad=True)
    w, x, y, z = double(splats.rotations).unbind(-1)
    i, j, k = (0.5 * leaves["turns"]).unbind(-1)  # to first order the turn's quaternion
    turned = torch.stack(
        [
            *(w - x * i - y * j - z * k, w * i + x + y * k - z * j),
            *(w * j - x * k + y + z * i, w * k + x * j - y * i + z),
        ],
        -1,
    )
    pose = double(lens.pose)
    centres, _, conics, depth = projected(
        *(leaves["means"], turned, leaves["scales"], pose, double(lens.intrinsics)),
        *(lens.width, lens.height, SCREEN_BLUR),
    )
    key = (leaves["means"] @ pose[:, :3].T + pose[:, 3]).norm(dim=-1)
    key = key + leaves["means"] @ (double(tilt) @ pose[:2, :3])
    order = key.detach().argsort(stable=True)
    drawn = (depth > NEAR_PLANE) & (leaves["opacities"] >= np.float32(LEAST_ALPHA))
    colour, alpha = blended(
        *(centres, conics, leaves["opacities"], leaves["colours"], order[drawn[order]]),
        *(lens.width, lens.height),
    )
    shown = colour + (1 - alpha)[..., None] * double(BEHIND)
    found = torch.autograd.grad((shown * double(slope)).sum(), [leaves[name] for name in FIELDS])
    gradients = {name: value.numpy() for name, value in zip(FIELDS, found, strict=True)}
    return colour.detach().numpy(), (1 - alpha).detach().numpy(), gradients


def assert_gradients_are_plain(
    rasteriser: FitRasteriser, splats: Gaussians, lens: Lens, tilt: tuple[float, float]
) -> None:
    slope = np.random.default_rng(9).normal(size=(lens.height, lens.width, 3)).astype(np.float32)
    colour, through, expected = plain_gradients(splats, lens, tilt, slope)
    drawing = rasteriser.draw(splats, lens, tilt)
    np.testing.assert_allclose(drawing[0], colour, atol=2e-5)
    np.testing.assert_allclose(drawing[1], through, atol=2e-5)
    found = rasteriser.backward(over(*drawing, BEHIND), slope)
    for name in FIELDS:
        error = np.linalg.norm(getattr(found, name) - expected[name])
        assert error < ALIKE * np.linalg.norm(expected[name]), name


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_processors_gradients_are_those_of_the_plain_rules(kind, seed, tilt):
    assert_gradients_are_plain(Rasteriser(), *scene(kind, seed), tilt)


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_converted_for_gsplat_and_back_is_that_of_the_plain_rules(kind, tilt):
    standing_in = GsplatRasteriser("cpu", gsplat_parts())
    assert_gradients_are_plain(standing_in, *scene(kind, 2), tilt)


@pytest.mark.gpu
@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("kind", KINDS)
def test_gsplats_gradients_on_the_card_are_those_of_the_plain_rules(kind, tilt):
    if not fitting_on_card().works:
        pytest.skip(fitting_on_card().problem)
    assert_gradients_are_plain(GsplatRasteriser("cuda"), *scene(kind, 2), tilt)


def test_an_order_by_tilt_is_another_picture():
    # What the tests above would not see if `tilt` did nothing anywhere.
    splats, lens = scene("on top of each other", 0)
    one, other = (Rasteriser().draw(splats, lens, tilt)[0] for tilt in ((0.0, 0.0), (3.0, -2.0)))
    assert np.abs(one - other).max() > 0.01


def test_footprints_of_both_are_alike():
    splats, lens = scene("beyond the edges", 3)
    ours, theirs = Rasteriser(), GsplatRasteriser("cpu", gsplat_parts())
    for rasteriser in (ours, theirs):
        rasteriser.draw(splats, lens)
    seen = ours.footprints() > 0
    assert 0 < seen.sum() < len(splats)
    np.testing.assert_allclose(theirs.footprints()[seen], ours.footprints()[seen], rtol=1e-3)


def test_nothing_in_sight_is_nothing_drawn_and_no_gradient():
    splats, lens = scene("plain", 0)
    behind = replace(splats, means=splats.means + np.array([0, 0, 9], np.float32))
    rasteriser = GsplatRasteriser("cpu", gsplat_parts())
    for tilt in TILTS:
        colour, through = rasteriser.draw(behind, lens, tilt)
        assert not colour.any()
        assert (through == 1).all()
        assert not rasteriser.backward(colour, np.ones_like(colour)).means.any()
    assert not rasteriser.footprints().any()


def test_a_quaternions_gradient_becomes_one_per_turn_about_own_axes():
    rng = np.random.default_rng(0)
    rotations = torch.tensor(rng.normal(size=(5, 4)))
    slopes = torch.tensor(rng.normal(size=(5, 4)))
    found = turn_gradients(rotations, slopes)
    w, x, y, z = rotations.numpy().T
    # About x alone: q times (1, h / 2, 0, 0).
    moved = np.stack([-x, w, z, -y], -1) / 2
    np.testing.assert_allclose(found[:, 0], (moved * slopes.numpy()).sum(1))
    # Along the quaternion itself nothing turns.
    assert torch.allclose(turn_gradients(rotations, rotations), torch.zeros(5, 3).double())


def test_without_gsplat_the_processor_fits_and_by_name_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert fitting_on_card().problem == "gsplat is not installed"
    assert isinstance(open_rasteriser("auto"), Rasteriser)
    assert isinstance(open_rasteriser("cpu"), Rasteriser)
    with pytest.raises(DeviceError, match=r"gsplat is not installed.*visavis\[fit-cuda\]"):
        open_rasteriser("cuda")


def test_gsplat_without_a_card_for_torch_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="torch sees no NVIDIA card"):
        open_rasteriser("cuda")


def test_where_the_card_works_auto_takes_it(monkeypatch):
    monkeypatch.setattr(backends, "fitting_on_card", lambda: CardFitting(True))
    asked = []

    def standing_in(device: str) -> GsplatRasteriser:
        asked.append(device)
        return GsplatRasteriser("cpu", gsplat_parts())

    monkeypatch.setattr("avatar.fit.gsplat_rasteriser.GsplatRasteriser", standing_in)
    assert isinstance(open_rasteriser("cpu"), Rasteriser)
    assert asked == []
    for device in ("auto", "cuda"):
        assert isinstance(open_rasteriser(device), GsplatRasteriser)
    assert asked == ["cuda", "cuda"]


@pytest.mark.parametrize("fault", ["raises", "draws nothing"])
def test_gsplat_that_fails_its_trial_leaves_auto_the_processor(monkeypatch, caplog, fault):
    parts = gsplat_parts()

    def broken(*arguments: torch.Tensor, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
        if fault == "raises":
            raise RuntimeError("no kernel image")
        nothing = 0 * arguments[2].sum()
        return torch.zeros(1, 16, 16, 3) + nothing, torch.zeros(1, 16, 16, 1) + nothing

    parts.rasterize_to_pixels = broken
    monkeypatch.setattr(backends, "fitting_on_card", lambda: CardFitting(True))
    monkeypatch.setattr(
        "avatar.fit.gsplat_rasteriser.GsplatRasteriser",
        lambda device: GsplatRasteriser("cpu", parts),
    )
    assert isinstance(open_rasteriser("auto"), Rasteriser)
    assert "fitting on 'cuda'" in caplog.text
    with pytest.raises(DeviceError, match=r"no kernel image|draws nothing"):
        open_rasteriser("cuda")


def test_gsplat_that_cannot_compile_its_kernels_is_told_in_one_line():
    parts = gsplat_parts()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Error building extension\n'gsplat_cuda': nvcc not found")

    parts.fully_fused_projection = fail
    splats, lens = scene("plain", 0)
    with pytest.raises(DeviceError, match=r"cannot draw .*nvcc not found") as told:
        GsplatRasteriser("cpu", parts).draw(splats, lens)
    assert "\n" not in str(told.value)
