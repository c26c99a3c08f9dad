"""The wearer's own room behind the avatar, where a headset can show it.

Three ways, in order of choice: the display blends by alpha (Varjo), a layer of XR_FB_passthrough
lies under ours (Meta, on a PC in developer mode), or the display adds light, so that black is seen
through (glasses).
"""

import logging
from collections.abc import Sequence
from typing import Any

from render.xr_runtime import xr

log = logging.getLogger(__name__)

EXTENSION = "XR_FB_passthrough"


class Passthrough:
    """Off until it is switched on, where it is offered at all."""

    def __init__(self, session: Any, modes: Sequence[Any], *, has_layer: bool) -> None:
        """`modes`: the runtime's environment blend modes, its own favourite first. `has_layer`:
        whether XR_FB_passthrough is on and this headset has it."""
        self._session = session
        self._plain, self._through = blend_modes(modes)
        self._has_layer = has_layer and self._through is not xr.EnvironmentBlendMode.ALPHA_BLEND
        if self._has_layer:
            self._through = self._plain
        self._feature: Any = None
        self._layer: Any = None
        # Glasses that cannot hide the room show it from the beginning.
        self.is_on = self._plain is not xr.EnvironmentBlendMode.OPAQUE
        """Whether pictures are to leave the room out."""

    @property
    def is_offered(self) -> bool:
        """Whether this headset can show the wearer's room."""
        return self._has_layer or self._through is not None

    @property
    def blend(self) -> Any:
        """What `xr.FrameEndInfo` is to say."""
        return self._through if self.is_on and self._through is not None else self._plain

    def switch(self, wanted: bool) -> None:
        """On or off; nothing happens where it is not offered."""
        if not self.is_offered or wanted == self.is_on:
            return
        if self._has_layer:
            if self._feature is None:
                self._make()
            if self._has_layer:
                change = xr.passthrough_start_fb if wanted else xr.passthrough_pause_fb
                change(self._feature)
        self.is_on = wanted and self.is_offered

    def layers(self) -> list[Any]:
        """What lies under our own layers in this frame."""
        if not self.is_on or self._layer is None:
            return []
        return [
            xr.CompositionLayerPassthroughFB(
                flags=xr.CompositionLayerFlags.BLEND_TEXTURE_SOURCE_ALPHA_BIT,
                layer_handle=self._layer,
            )
        ]

    def release(self) -> None:
        """Give the layer back to a runtime that still lives."""
        if self._layer is not None:
            xr.destroy_passthrough_layer_fb(self._layer)
        if self._feature is not None:
            xr.destroy_passthrough_fb(self._feature)
        self._layer = self._feature = None

    def _make(self) -> None:
        """A person may have forbidden it, or a runtime may want its developer mode for it."""
        try:
            self._feature = xr.create_passthrough_fb(self._session, xr.PassthroughCreateInfoFB())
            self._layer = xr.create_passthrough_layer_fb(
                self._session,
                xr.PassthroughLayerCreateInfoFB(
                    passthrough=self._feature,
                    flags=xr.PassthroughFlagsFB.IS_RUNNING_AT_CREATION_BIT,
                    purpose=xr.PassthroughLayerPurposeFB.RECONSTRUCTION,
                ),
            )
        except xr.exception.XrException as error:
            log.warning("no passthrough: the headset refuses it (%s)", type(error).__name__)
            self.release()
            self._has_layer = False


def blend_modes(modes: Sequence[Any]) -> tuple[Any, Any]:
    """The mode that hides the wearer's room, and the one that shows it, None where there is none.
    Glasses that only add light have no other than theirs: there both are the same."""
    kinds = xr.EnvironmentBlendMode
    offered = [kinds(mode) for mode in modes]
    plain = kinds.OPAQUE if kinds.OPAQUE in offered else offered[0]
    through = next((kind for kind in (kinds.ALPHA_BLEND, kinds.ADDITIVE) if kind in offered), None)
    return plain, through
