"""What an avatar is fitted with: the processor's rasteriser, or gsplat on an NVIDIA card."""

import importlib.util
import logging
from dataclasses import dataclass
from typing import Protocol

from avatar.errors import DeviceError
from avatar.fit.device import Device
from avatar.fit.rasteriser import Gradients, Lens, Rasteriser
from avatar.types import Float, Gaussians

log = logging.getLogger(__name__)

INSTALL_GSPLAT = "pip install 'visavis[fit-cuda]'"


class FitRasteriser(Protocol):
    """Draws one lens and finds gradients of the latest drawing. Not for two threads at once."""

    def draw(
        self, gaussians: Gaussians, lens: Lens, tilt: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Float, Float]:
        """Premultiplied colour [H, W, 3] and the light that is left [H, W].

        `tilt`: in the order of distance that splats have when the head is turned by angles of these
        tangents (across, down), but where they are seen from here.
        """
        ...

    def backward(self, picture: Float, slope: Float) -> Gradients:
        """Gradients of the latest drawing's splats, valid until the next call: `picture` [H, W, 3]
        is what was shown, the drawn colour and through it the background; `slope` [H, W, 3] the
        loss' gradient with respect to it."""
        ...

    def footprints(self) -> Float:
        """[N] how many pixels each splat of the latest drawing would add up to, seen alone; 0 where
        it is not seen."""
        ...


@dataclass(frozen=True, slots=True)
class CardFitting:
    """Whether avatars can be fitted on an NVIDIA card here."""

    works: bool
    problem: str = ""
    """Why they cannot."""
    advice: str = ""
    """What would change that."""


def fitting_on_card() -> CardFitting:
    """Looks for gsplat before torch is loaded, which takes seconds. That gsplat's own kernels
    compile is seen when it draws first."""
    if importlib.util.find_spec("gsplat") is None:
        return CardFitting(
            False, "gsplat is not installed", f"Fitting on the card: {INSTALL_GSPLAT}"
        )
    import torch

    if not torch.cuda.is_available():
        advice = "Fitting on the card: install torch for CUDA (pytorch.org)."
        return CardFitting(False, "torch sees no NVIDIA card", advice)
    return CardFitting(True)


def open_rasteriser(device: Device = "auto") -> FitRasteriser:
    """The rasteriser for `device`; "auto" takes the card where gsplat is installed and draws there.

    The first time on a machine gsplat compiles its kernels, for minutes.

    Raises:
        DeviceError: "cuda" where it does not work; the text says what would enable it.
    """
    if device == "cpu":
        return Rasteriser()
    card = fitting_on_card()
    if card.works:
        from avatar.fit.gsplat_rasteriser import GsplatRasteriser

        try:
            rasteriser = GsplatRasteriser("cuda")
            rasteriser.try_out()
            return rasteriser
        except DeviceError as error:
            if device == "cuda":
                raise
            log.warning("%s", error)
    elif device == "cuda":
        raise DeviceError(f"fitting on 'cuda': {card.problem}. {card.advice} Or use --device cpu.")
    return Rasteriser()
