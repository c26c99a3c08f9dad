"""Learning on a card is learning on the processor: held against it step by step, on the processor,
with plain torch in gsplat's place. What only a card shows is marked `gpu`."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.deform import Deformer
from avatar.errors import DeviceError
from avatar.fit import learners
from avatar.fit.backends import CardFitting, fitting_on_card
from avatar.fit.card_losses import picture_loss, sharpened, texture_loss
from avatar.fit.card_residuals import CardLearner
from avatar.fit.device import Device
from avatar.fit.gsplat_rasteriser import GsplatRasteriser, SentSplats, turn_gradients
from avatar.fit.rasteriser import Gradients
from avatar.fit.residual_fit import Learned, Recipe, ResidualLearner, Seen, learn_residuals, toggled
from avatar.fit.residual_losses import Losses, TextureLoss
from avatar.fit.residual_losses import sharpened as sharpened_by_opencv
from avatar.fit.residual_views import turned_lens
from avatar.fit.similarity import PictureLoss
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate, load_template
from avatar.lip_shadow import lip_splats
from avatar.types import Avatar, Float, Index
from tests.avatar.fit.plain_torch import gsplat_parts
from tests.avatar.fit.test_residual_fit import film, frame_of, motion

SHORT = Recipe(steps=14, side=24, fine=0.3)
"""Every 6th step from aside as well; the last ones of 48 pixels."""


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def few(small_avatar: Avatar, template: HeadTemplate) -> Avatar:
    """Seventy large Gaussians, some on lips just where these meet, in light that changes with
    moved skin; with a glance, photographed from its left."""
    rng = np.random.default_rng(3)
    some = rng.choice(len(small_avatar), 70, replace=False)
    bound = small_avatar.bound_triangle[some]
    bound[:30] = meeting(small_avatar, template, 15)
    light = np.zeros((9, 3), np.float32)
    light[0], light[1], light[3] = 0.8, 0.3, 0.2
    names = ("bound_position", "bound_rotation", "opacity", "colour")
    return replace(
        small_avatar,
        bound_triangle=bound,
        **{name: getattr(small_avatar, name)[some] for name in names},
        bound_scale=6 * small_avatar.bound_scale[some],
        glance=rng.uniform(-0.2, 0.2, (len(some), 3)).astype(np.float32),
        fit={"lips_parted": [1.0]},
        light=light,
        taken_from=np.array([0.3, 0, 1.4], np.float32),
    )


def meeting(avatar: Avatar, template: HeadTemplate, count: int) -> Index:
    """[2 * count] triangles of the upper and of the lower lip which are next to the other."""
    every = np.arange(len(template.triangles), dtype=np.int32)
    upper, lower = lip_splats(template, replace(avatar, bound_triangle=every))
    places = avatar.vertices[template.triangles].mean(1)
    apart = np.linalg.norm(places[upper][:, None] - places[lower][None], axis=2)
    nearest = np.argsort(apart.min(1))[:count], np.argsort(apart.min(0))[:count]
    return np.concatenate([upper[nearest[0]], lower[nearest[1]]])


@pytest.fixture(scope="module")
def frames(few: Avatar) -> list[TeacherFrame]:
    """The same head, redder; in the first one its mouth is shut."""
    redder = few.colour + np.array([0.1, -0.05, -0.05])
    person = replace(few, colour=np.clip(redder, 0, 1).astype(np.float32))
    return [frame_of(Deformer(person), motion(0, 0.0, 0.1)), *film(person, 7)]


def standing_in(*arguments: Any, **named: Any) -> CardLearner:
    """Plain torch on the processor, in the place of gsplat and of a card."""
    return CardLearner(*arguments, **{"device": "cpu", "parts": gsplat_parts(), **named})


def assert_alike(one: Float, other: Float, relative: float, what: str = "") -> None:
    """To a share of all numbers together: a last digit may decide whether a pixel is above the
    least that is drawn, and then one Gaussian's numbers differ by more."""
    assert one.shape == other.shape, what
    error = np.linalg.norm(one - other)
    assert error <= relative * np.linalg.norm(other), f"{what}: {error / np.linalg.norm(other)}"


def heard(learner: ResidualLearner, method: str) -> list[Any]:
    """The losses of all that is learned from now on."""
    losses, learn = [], getattr(learner, method)

    def learn_aloud(*asked: Any) -> Any:
        losses.append(learn(*asked))
        return losses[-1]

    setattr(learner, method, learn_aloud)
    return losses


def assert_same_steps(ours: ResidualLearner, card: CardLearner, steps: int, alike: float) -> None:
    ours_heard, card_heard = heard(ours, "learn"), heard(card, "learn_there")
    for step in range(steps):
        ours.step()
        card.step()
        assert np.abs(ours.gradient).max() > 0
        assert_alike(card.gradient_there, ours.gradient, alike, f"gradient {step}")
        state, there = ours.state, card.state
        for name in state:
            assert_alike(there[name], state[name], alike, f"{name} {step}")
    assert len(ours_heard) > steps
    np.testing.assert_allclose([float(loss) for loss in card_heard], ours_heard, rtol=alike)


@pytest.fixture
def learned_something(
    few: Avatar, frames: list[TeacherFrame], template: HeadTemplate
) -> tuple[ResidualLearner, CardLearner]:
    """The processor's and a card's learner, both with much found, at the ends of ranges too."""
    rng = np.random.default_rng(4)
    ours = ResidualLearner(few, template, frames, SHORT)
    state = ours.state
    for name, most in (("static", 0.6), ("face", 0.3), ("pose", 0.3)):
        state[name] = rng.uniform(-most, most, state[name].shape).astype(np.float32)
    state["static"][:, 6:9] *= 0.1  # of a triangle
    state["squares"] = rng.uniform(0, 1e-3, state["squares"].shape).astype(np.float32)
    state["counts"] = np.array([5, 6], np.float32)
    card = standing_in(few, template, frames, SHORT)
    ours.resume(state)
    card.resume(state)
    return ours, card


@pytest.mark.parametrize("aside", [0.0, 0.7])
def test_gaussians_are_carried_and_lit_as_by_the_deformer(
    few: Avatar,
    frames: list[TeacherFrame],
    learned_something: tuple[ResidualLearner, CardLearner],
    aside: float,
):
    (ours, card), darkest, brightest = learned_something, 1.0, 1.0
    for index in (3, 0):
        lens = turned_lens(frames[index].lens, aside)
        for deformer, found in (
            (Deformer(few), card.came_there(index, lens)),
            (ours.deformer, card.posed_there(index, lens).splats),
        ):
            posed = deformer.gaussians(frames[index].motion, seen_from=lens.position)
            for field in SentSplats._fields:
                wanted, values = getattr(posed, field), getattr(found, field).numpy()
                np.testing.assert_allclose(values, wanted, atol=2e-6, err_msg=field)
        factors = ours.deformer.state().factors
        darkest, brightest = min(darkest, factors.min()), max(brightest, factors.max())
    assert darkest < 0.9, "no lip is dark"
    assert brightest > 1.001, "nothing is lit anew"


@pytest.mark.parametrize("aside", [0.0, 0.7])
def test_gradients_at_rest_and_the_descent_are_the_compiled_loops(
    learned_something: tuple[ResidualLearner, CardLearner],
    frames: list[TeacherFrame],
    monkeypatch: pytest.MonkeyPatch,
    aside: float,
):
    """Of any slopes of the posed Gaussians, which a rasteriser that draws nothing gives here."""
    ours, card = learned_something
    rng, frame, lens = np.random.default_rng(5), frames[3], turned_lens(frames[3].lens, aside)
    posed = ours.deformer.gaussians(frame.motion, seen_from=lens.position)
    # To the last digit, which decides whether a number is at the end of its range.
    same = (torch.from_numpy(getattr(posed, field).copy()) for field in SentSplats._fields)
    carried = replace(card.posed_there(3, lens), splats=SentSplats(*same))
    slopes = SentSplats(*(torch.tensor(_normal(rng, each.shape)) for each in carried.splats))
    turns = turn_gradients(carried.splats.rotations, slopes.rotations)
    given = Gradients(
        means=slopes.means.numpy(),
        turns=turns.numpy(),
        scales=slopes.scales.numpy(),
        opacities=slopes.opacities.numpy(),
        colours=slopes.colours.numpy(),
    )
    blind = SimpleNamespace(
        draw=lambda *_: (np.zeros((4, 4, 3), np.float32), np.ones((4, 4), np.float32)),
        backward=lambda *_: given,
    )
    monkeypatch.setattr(ours, "_rasteriser", blind)
    nothing = np.zeros((4, 4, 3), np.float32)
    ours.learn(frame, Seen(lens=lens, wanted=nothing, weight=nothing[..., 0], tone=0.0), 0.7)
    card.descend_there(3, lens, torch.from_numpy(lens.position), slopes, carried, 0.7)
    np.testing.assert_allclose(card.gradient_there, ours.gradient, rtol=1e-4, atol=1e-5)
    assert (ours.gradient[:, :4] == 0).any(), "nothing is at the end of its range"
    glanced = np.abs(ours.gradient[:, 10:]).max(1) > 0
    assert 0 < glanced.sum() < len(glanced) or aside
    for name, values in ours.state.items():
        np.testing.assert_allclose(card.state[name], values, rtol=1e-4, atol=2e-6, err_msg=name)


def _normal(rng: np.random.Generator, shape: torch.Size) -> Float:
    return rng.normal(size=shape).astype(np.float32)


def test_a_step_on_a_card_is_one_on_the_processor(
    few: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
):
    """From the front and from aside, coarse and fine, across a split of Gaussians; what was learned
    on either goes on on the other."""
    monkeypatch.setattr("avatar.fit.residual_fit.GROWN_AT", (0.3,))  # each takes a second
    recipe = replace(SHORT, steps=8, densify=True, losses=Losses(sharpen=0.5))
    # Where a colour comes to the end of its range, a last digit decides whether it goes on.
    few = replace(few, colour=0.8 * few.colour)
    ours = ResidualLearner(few, template, frames, recipe)
    card = standing_in(few, template, frames, recipe)
    for base in (True, False):
        assert card.psnr(frames, base=base) == pytest.approx(ours.psnr(frames, base=base), abs=1e-3)
    assert_same_steps(ours, card, 8, 2e-3)
    assert len(ours.avatar) != len(few)
    assert np.abs(ours.static[:, 10:]).max() > 0.01, "the glance learned nothing"
    assert card.psnr(frames) == pytest.approx(ours.psnr(frames), abs=1e-3)
    again = ResidualLearner(few, template, frames, recipe)
    again.resume(card.state)
    back = standing_in(few, template, frames, recipe)
    back.resume(ours.state)
    again.step()
    back.step()
    for name, values in again.state.items():
        assert_alike(back.state[name], values, 2e-3, name)


def blind_parts() -> SimpleNamespace:
    """In gsplat's place, where it does not matter what is drawn: everything is grey."""

    def fully_fused_projection(means: Tensor, *_: Any, **__: Any) -> tuple[Any, ...]:
        return torch.ones(1, len(means), 2), means[None, :, :2], None, means[None], None

    def rasterize_to_pixels(*given: Any) -> tuple[Tensor, Tensor]:
        nothing, (width, height) = 0 * sum(values.sum() for values in given[:4]), given[4:6]
        return nothing + torch.ones(1, height, width, 3), nothing + torch.ones(1, height, width, 1)

    return SimpleNamespace(
        fully_fused_projection=fully_fused_projection,
        isect_tiles=lambda *_: 3 * (None,),
        isect_offset_encode=lambda *_: None,
        rasterize_to_pixels=rasterize_to_pixels,
    )


def test_a_step_waits_for_nothing(
    few: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
):
    """Asks for no number that a card still computes."""

    def asked(*_: object) -> None:
        raise AssertionError("asked for a number")

    recipe = replace(SHORT, losses=Losses(sharpen=0.5))
    card = standing_in(few, template, frames, recipe, parts=blind_parts())
    for name in ("item", "tolist", "cpu", "numpy", "nonzero", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(Tensor, name, asked)
    for card.done in (1, 12):  # the first from aside as well, the second fine and sharpened
        card.step()
    assert card.done == 13
    with pytest.raises(AssertionError, match="asked for a number"):
        card.psnr(frames)


def test_learning_on_a_card_gains_what_it_gains_on_the_processor(
    few: Avatar, frames: list[TeacherFrame], template: HeadTemplate, opened_on_card: None
):
    devices: tuple[Device, Device] = ("cpu", "auto")
    ours, card = (learn_residuals(few, template, frames, SHORT, device=each) for each in devices)
    assert ours.after > ours.before + 6
    assert card.after == pytest.approx(ours.after, abs=0.05)
    assert card.before == pytest.approx(ours.before, abs=0.01)
    assert card.steps == ours.steps
    # A colour that touches the end of its range a step sooner may end elsewhere.
    assert np.percentile(np.abs(card.avatar.colour - ours.avatar.colour), 99) < 0.01


@pytest.fixture
def opened_on_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were a card that gsplat draws on."""
    open_with(monkeypatch, gsplat_parts())


def open_with(monkeypatch: pytest.MonkeyPatch, parts: Any) -> None:
    monkeypatch.setattr(learners, "fitting_on_card", lambda: CardFitting(True))
    monkeypatch.setattr(
        "avatar.fit.gsplat_rasteriser.GsplatRasteriser",
        lambda device: GsplatRasteriser("cpu", gsplat_parts()),
    )
    monkeypatch.setattr(
        "avatar.fit.card_residuals.CardLearner", partial(CardLearner, device="cpu", parts=parts)
    )


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_card_that_fails_on_the_way_leaves_auto_the_processor(
    few: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    device: Device,
):
    parts, drawn = gsplat_parts(), []
    project = parts.fully_fused_projection

    def failing(*arguments: Any, **named: Any) -> Any:
        drawn.append(1)
        if len(drawn) > 12:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 MiB")
        return project(*arguments, **named)

    parts.fully_fused_projection = failing
    open_with(monkeypatch, parts)

    def learn() -> Learned:
        return learn_residuals(few, template, frames, SHORT, device=device)

    if device == "cuda":
        with pytest.raises(DeviceError, match=r"the card fails \(CUDA out of memory. Tried"):
            learn()
        return
    learned = learn()
    assert len(drawn) == 13
    (line,) = caplog.messages
    assert "out of memory" in line
    assert "The processor goes on from step" in line
    assert learned.after > learned.before + 6


def test_what_a_card_does_not_do_is_done_by_the_processor_and_by_name_refused(
    few: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    opened_on_card: None,
    caplog: pytest.LogCaptureFixture,
):
    recipe = toggled(toggled(SHORT, "torso"), "adversary")
    opened = learners.open_learner(few, template, frames, recipe, "auto")
    assert type(opened) is ResidualLearner
    (line,) = caplog.messages
    assert "only the processor has shoulders by frame, patch adversary" in line
    with pytest.raises(DeviceError, match="only the processor has"):
        learners.open_learner(few, template, frames, recipe, "cuda")


def test_without_a_card_auto_learns_on_the_processor_and_by_name_the_way_is_told(
    few: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
):
    missing = CardFitting(False, "gsplat is not installed", "Get it.")
    monkeypatch.setattr(learners, "fitting_on_card", lambda: missing)
    assert type(learners.open_learner(few, template, frames, SHORT, "auto")) is ResidualLearner
    with pytest.raises(DeviceError, match=r"gsplat is not installed. Get it. Or use --device cpu"):
        learners.open_learner(few, template, frames, SHORT, "cuda")


@pytest.mark.parametrize("side", [37, 48])
def test_losses_and_their_slopes_are_the_processors(side: int):
    rng = np.random.default_rng(side)
    shown, wanted = (rng.uniform(size=(side, side, 3)).astype(np.float32) for _ in range(2))
    weight = rng.uniform(size=(side, side)).astype(np.float32)
    sent = torch.from_numpy(wanted), torch.from_numpy(weight)
    leaf = torch.from_numpy(shown).requires_grad_()
    for expected, found in (
        (PictureLoss(wanted, weight, 0.0).of(shown), picture_loss(leaf, *sent, 0.0)),
        (PictureLoss(wanted, weight, 0.4).of(shown), picture_loss(leaf, *sent, 0.4)),
        (TextureLoss(wanted, weight).of(shown), texture_loss(leaf, *sent)),
    ):
        assert float(found.detach()) == pytest.approx(expected[0], rel=1e-5)
        (slope,) = torch.autograd.grad(found, leaf)
        assert_alike(slope.numpy(), expected[1], 1e-5)
    np.testing.assert_allclose(
        sharpened(sent[0], 0.5).numpy(), sharpened_by_opencv(wanted, 0.5), atol=1e-6
    )


@pytest.mark.gpu
def test_a_step_on_a_real_card_is_one_on_the_processor(
    few: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    if not fitting_on_card().works:
        pytest.skip(fitting_on_card().problem)
    ours = ResidualLearner(few, template, frames, SHORT)
    card = CardLearner(few, template, frames, SHORT)
    assert card.psnr(frames) == pytest.approx(ours.psnr(frames), abs=0.01)
    assert_same_steps(ours, card, 3, 1e-2)
    gained = learn_residuals(few, template, frames, SHORT, device="cuda")
    assert gained.after > gained.before + 6
