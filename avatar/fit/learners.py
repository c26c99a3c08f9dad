"""What residuals are learned with: the processor, or an NVIDIA card."""

import logging
from collections.abc import Sequence

from avatar.errors import DeviceError
from avatar.fit.backends import fitting_on_card
from avatar.fit.device import Device
from avatar.fit.residual_fit import Recipe, ResidualLearner
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate
from avatar.types import Avatar

log = logging.getLogger(__name__)


def open_learner(
    avatar: Avatar,
    template: HeadTemplate,
    frames: Sequence[TeacherFrame],
    recipe: Recipe,
    device: Device,
) -> ResidualLearner:
    """The learner for `device`; "auto" takes the card where gsplat is installed and draws there,
    and goes on on the processor where it fails later.

    Raises:
        DeviceError: "cuda" where it does not work, or for what the card does not do.
    """
    card = fitting_on_card() if device != "cpu" else None
    if card is not None and card.works:
        # They load torch, for seconds.
        from avatar.fit.card_residuals import CardLearner, undone_on_card
        from avatar.fit.gsplat_rasteriser import GsplatRasteriser

        try:
            if undone := undone_on_card(recipe):
                raise DeviceError(
                    f"learning on 'cuda': only the processor has {undone}. Use --device cpu."
                )
            GsplatRasteriser("cuda").try_out()
            return CardLearner(avatar, template, frames, recipe, stays=device == "cuda")
        except DeviceError as error:
            if device == "cuda":
                raise
            log.warning("%s", error)
    elif card is not None and device == "cuda":
        raise DeviceError(f"learning on 'cuda': {card.problem}. {card.advice} Or use --device cpu.")
    return ResidualLearner(avatar, template, frames, recipe)
