"""Residuals learned on an NVIDIA card: torch and gsplat in the place of numba.

All that a step needs lies on the card, and what it finds stays there; the processor only says what
is to be done next. gsplat itself waits for the card once a drawing, to know how long its list of
splats by tile is. It has never run on a card for us: tests hold a step against the processor's,
with plain torch in gsplat's place.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatar.errors import DeviceError
from avatar.fit.card_frames import CardFrames
from avatar.fit.card_losses import picture_loss, sharpened, texture_loss
from avatar.fit.card_splats import CardHead, CardModel, Carried, Rest, SentDescent, with_glance
from avatar.fit.gsplat_rasteriser import SentLens, SentSplats, draw_sent, load_gsplat
from avatar.fit.rasteriser import Lens
from avatar.fit.residual_fit import Coming, Recipe, ResidualLearner
from avatar.fit.residual_growth import Lineage
from avatar.fit.residual_state import Arrays
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate
from avatar.types import Avatar, Float

log = logging.getLogger(__name__)


def undone_on_card(recipe: Recipe) -> str:
    """What of a recipe only the processor does; "" where the card does all of it."""
    terms = {"shoulders by frame": recipe.losses.torso, "patch adversary": recipe.losses.adversary}
    return ", ".join(name for name, on in terms.items() if on)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentSeen:
    """`avatar.fit.residual_fit.Seen` on the device."""

    lens: Lens
    sent_lens: SentLens
    wanted: Tensor
    """[S, S, 3]"""
    weight: Tensor
    """[S, S]"""
    tone: float
    filmed: bool


class CardLearner(ResidualLearner):
    """Owns an avatar while its residuals are learned on a card.

    The processor's arrays are those of the latest check, which is what learning goes on from, on
    the processor, where a card fails and that is allowed.
    """

    def __init__(
        self,
        avatar: Avatar,
        template: HeadTemplate,
        frames: Sequence[TeacherFrame],
        recipe: Recipe,
        *,
        device: str = "cuda",
        parts: Any = None,
        stays: bool = True,
    ) -> None:
        """`parts`: another module with gsplat's functions, for tests; `stays`: an error of the card
        ends learning, which else goes on on the processor.

        Raises:
            DeviceError: gsplat does not load, or the card has no room for all frames.
        """
        assert not undone_on_card(recipe)
        self._parts = load_gsplat() if parts is None else parts
        self._there, self._stays = torch.device(device), stays
        self._model: CardModel | None = None
        super().__init__(avatar, template, frames, recipe)
        self._judged: tuple[Sequence[TeacherFrame], CardFrames, list[Tensor]] | None = None
        self._kept = (0, 0)
        try:
            sides = (recipe.side, recipe.finest_side)
            self._sent = CardFrames(frames, self._base, self._layers, sides, self._there)
            self._came_head = CardHead(self._base, self._came, self._there)
            self._came_rest = Rest.of(self._came, self._there)
            self._how = SentDescent(**_tensors(self._descent(1.0), self._there))
            self._lay_out()
        except RuntimeError as error:
            raise _failed(error) from error
        log.info("%d frames take %.0f MB of the card", len(frames), self._sent.bytes / 1e6)

    def _begin(self, lineage: Lineage) -> None:
        super()._begin(lineage)
        if self._model is not None:
            self._lay_out()

    def _lay_out(self) -> None:
        """The Gaussians that there are now, on the card; nothing is learned of them."""
        self._head_now = CardHead(self.deformer, self._came, self._there)
        self._model = CardModel(
            self._origin, self.splats, self._residual.rows, self.units, self._square, self._there
        )
        self._send()

    def _send(self) -> None:
        """What the processor has, to the card."""
        if self._model is not None:
            self._model.take(self.static, self._squares, (self._face.bases, self._pose.bases))
            self._kept = self.done, self._learned

    def _fetch(self) -> None:
        """What the card has, to the processor.

        Raises: RuntimeError where the card does not answer; nothing has changed then.
        """
        if self._model is None:
            return
        static, squares, (face, pose) = self._model.fetched()
        self.static[...], self._squares[...] = static, squares
        self._face.bases[...], self._pose.bases[...] = face, pose
        self.write_static()
        self._kept = self.done, self._learned

    def step(self) -> None:
        """Learn from one frame; nothing is waited for."""
        if self._model is None:
            super().step()
            return
        try:
            with torch.no_grad(), _whole_numbers():
                self._step(self._coming())
        except (RuntimeError, ImportError, OSError) as error:
            self._leave(error)
            super().step()

    def _step(self, coming: Coming) -> None:
        recipe = self._recipe
        if coming.aside is not None:
            self.learn_there(
                coming.index, self._seen_aside(coming.index, *coming.aside), coming.pace
            )
        target = self._sent.target(coming.index, coming.side)
        wanted = target.picture
        if coming.sharpen:
            wanted = sharpened(wanted, coming.sharpen)
        seen = SentSeen(
            lens=target.lens,
            sent_lens=target.sent_lens,
            wanted=target.before(coming.tone, wanted),
            weight=target.weight(recipe.losses.robust),
            tone=coming.tone,
            filmed=True,
        )
        self.learn_there(coming.index, seen, coming.pace)
        self.done += 1

    def _seen_aside(self, index: int, lens: Lens, tone: float) -> SentSeen:
        """What the avatar as it came looks like from there."""
        sent = SentLens.of(lens, self._there)
        wanted = draw_sent(self._parts, self.came_there(index, lens), sent).over(tone)
        weight = torch.full_like(wanted[..., 0], self._recipe.losses.consistency)
        return SentSeen(
            lens=lens, sent_lens=sent, wanted=wanted, weight=weight, tone=tone, filmed=False
        )

    def came_there(self, index: int, lens: Lens, frames: CardFrames | None = None) -> SentSplats:
        """The avatar as it came in the motion of a frame, seen through a lens."""
        pose = (frames or self._sent).pose(index)
        rest = with_glance(self._came_rest, self._base.glance_seen(pose.motion, lens.position))
        return self._came_head.carried(rest, rest.positions, pose).splats

    def posed_there(self, index: int, lens: Lens, frames: CardFrames | None = None) -> Carried:
        """The avatar as it is now, likewise; `frames` other than those that are learned from."""
        model, frames = self._model, frames or self._sent
        assert model is not None
        pose = frames.pose(index)
        glance = self.deformer.glance_seen(pose.motion, lens.position)
        return self._head_now.carried(*model.at_rest(frames.features(index), glance), pose)

    def learn_there(self, index: int, seen: SentSeen, pace: float) -> Tensor:
        """One step towards what is wanted of a frame; the loss by pixel, on the device."""
        losses, carried = self._recipe.losses, self.posed_there(index, seen.lens)
        with torch.enable_grad():
            leaves = SentSplats(*(each.detach().requires_grad_() for each in carried.splats))
            shown = draw_sent(self._parts, leaves, seen.sent_lens).over(seen.tone)
            loss = picture_loss(shown, seen.wanted, seen.weight, losses.ssim)
            if losses.texture and seen.filmed:
                loss = loss + losses.texture * texture_loss(shown, seen.wanted, seen.weight)
            slopes = SentSplats(*torch.autograd.grad(loss, leaves, materialize_grads=True))
        self.descend_there(index, seen.lens, seen.sent_lens.position, slopes, carried, pace)
        return loss.detach() / seen.weight.sum().clamp(min=1e-6)

    def descend_there(
        self,
        index: int,
        lens: Lens,
        eye: Tensor,
        slopes: SentSplats,
        carried: Carried,
        pace: float,
    ) -> None:
        """One step down the slopes of a frame's posed Gaussians, seen from `eye` [3]."""
        model = self._model
        assert model is not None
        glance = self.deformer.glance_seen(self._sent.pose(index).motion, lens.position)
        model.find_gradient(slopes, carried, eye, glance)
        self._learned += 1
        model.descend(self._sent.features(index), self._how, pace, self._learned)

    def _grow(self) -> None:
        self._fetch()
        super()._grow()
        self._send()

    @property
    def gradient_there(self) -> Float:
        """`gradient` of the latest step, fetched."""
        assert self._model is not None
        return self._model.gradient.cpu().numpy()

    @property
    def found(self) -> Arrays:
        """See `ResidualLearner`."""
        self._fetch_or_leave()
        return super().found

    @property
    def state(self) -> Arrays:
        """See `ResidualLearner`."""
        self._fetch_or_leave()
        return super().state

    def take(self, found: Arrays) -> None:
        """See `ResidualLearner`."""
        super().take(found)
        self._send()

    def resume(self, state: Arrays) -> None:
        """See `ResidualLearner`."""
        super().resume(state)
        self._send()

    def finished(self) -> Avatar:
        """See `ResidualLearner`."""
        self._fetch_or_leave()
        return super().finished()

    def _fetch_or_leave(self) -> None:
        try:
            self._fetch()
        except RuntimeError as error:
            self._leave(error)

    def psnr(self, frames: Sequence[TeacherFrame], *, base: bool = False) -> float:
        """See `ResidualLearner`; waits for the card."""
        if self._model is not None:
            try:
                with torch.no_grad():
                    value = self._psnr_there(frames, base)
                self._fetch()
                return value
            except (RuntimeError, ImportError, OSError) as error:
                self._leave(error)
        return super().psnr(frames, base=base)

    def _psnr_there(self, frames: Sequence[TeacherFrame], base: bool) -> float:
        side, errors = self._recipe.finest_side, []
        if self._judged is None or self._judged[0] is not frames:
            sent = CardFrames(frames, self._base, self._layers, (side,), self._there)
            self._judged = frames, sent, [self._inside(sent, at) for at in range(len(frames))]
        _, sent, inside = self._judged
        for index, counts in enumerate(inside):
            target = sent.target(index, side)
            if base:
                splats = self.came_there(index, target.lens, sent)
            else:
                splats = self.posed_there(index, target.lens, sent).splats
            shown = draw_sent(self._parts, splats, target.sent_lens).over(0.5)
            square = (shown - target.over(0.5)).square().sum(2) * counts
            errors.append(square.sum() / (3 * counts.sum()))  # nan where nothing counts
        decibels = [
            -10 * math.log10(max(error, 1e-10))
            for error in torch.stack(errors).tolist()
            if not math.isnan(error)
        ]
        return float(np.mean(decibels)) if decibels else float("nan")

    def _inside(self, sent: CardFrames, index: int) -> Tensor:
        """[S, S] 1 where a frame shows the head, else 0; see `ResidualLearner.psnr`."""
        target = sent.target(index, self._recipe.finest_side)
        splats = self.came_there(index, target.lens, sent)
        turns = torch.from_numpy(self._turns).to(self._there)
        share = turns[:, None].repeat(1, 3)
        drawing = draw_sent(self._parts, splats._replace(colours=share), target.sent_lens)
        head = drawing.colour[..., 0] >= 0.5 * drawing.alpha
        return (head & (target.person > 0.5) & (target.known > 0)).float()

    def _leave(self, error: Exception) -> None:
        """Go on on the processor, from the latest check or what can be had of the card.

        Raises: DeviceError where that is not wanted.
        """
        if self._stays:
            raise error if isinstance(error, DeviceError) else _failed(error) from error
        with suppress(RuntimeError):
            self._fetch()
        self._model = None
        self.done, self._learned = self._kept
        self._judged = None
        del self._sent, self._came_head, self._came_rest, self._head_now
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
        log.warning(
            "learning on 'cuda': the card fails (%s). The processor goes on from step %d of %d.",
            _reason(error),
            self.done,
            self._recipe.steps,
        )


def _failed(error: Exception) -> DeviceError:
    reason = _reason(error)
    return DeviceError(f"learning on 'cuda': the card fails ({reason}). Use --device cpu.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _tensors(record: Any, device: torch.device) -> dict[str, Tensor]:
    """Each field of a record of arrays."""
    return {
        field.name: torch.tensor(getattr(record, field.name), device=device)
        for field in fields(record)
    }


@contextmanager
def _whole_numbers() -> Iterator[None]:
    """Convolutions in full float32: cards' shorter one (TF32) leaves nothing of the variance of a
    flat patch, which is a difference of squares."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
