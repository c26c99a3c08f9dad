"""The CUDA renderer as a window uses it, for `visavis bench`: its finished pictures stay on the
card and are waited for in textures of OpenGL."""

from collections.abc import Sequence

import moderngl

from avatar.errors import DeviceError
from avatar.head_tables import HeadTables
from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu import StageTimes
from render.cuda import CudaRenderer
from render.cuda_head import CudaHead
from render.gl_driver import open_context
from render.renderer import ByteRenderer, CardHead, Image


class IntoTextures(ByteRenderer):
    """`Renderer` whose pictures nobody reads: what it is given to fill stays as it is."""

    name = "cuda-gl"
    poses = True

    def __init__(self) -> None:
        """
        Raises:
            DeviceError: no OpenGL, or whatever `CudaRenderer` raises.
        """
        try:
            self._context: moderngl.Context = open_context()
        except Exception as error:  # moderngl raises no narrower class
            raise DeviceError(
                f"{self.name!r}: no OpenGL 3.3 here: {' '.join(str(error).split())}. Measure "
                "'cuda' alone."
            ) from error
        with self._context:
            self._cuda = CudaRenderer(context=self._context)

    @property
    def reason(self) -> str:
        """Where pictures go through the computer's memory after all, it is told here."""
        return self._cuda.reason

    @property
    def card_name(self) -> str:
        """The card's."""
        return self._cuda.card_name

    @property
    def card_bytes(self) -> int:
        """Held on the card."""
        return self._cuda.card_bytes

    @property
    def last_times(self) -> StageTimes:
        """Of the latest call."""
        return self._cuda.last_times

    @property
    def last_pose_s(self) -> float:
        """Of the latest call."""
        return self._cuda.last_pose_s

    def keep(self, tables: HeadTables) -> CudaHead:
        """The avatar on the card."""
        return self._cuda.keep(tables)

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """As the CUDA renderer."""
        return self._cuda.render_float(gaussians, views)

    def warm_up(self) -> float:
        """As the CUDA renderer."""
        return self._cuda.warm_up()

    def release(self) -> None:
        """Give back the card's memory and the context."""
        with self._context:
            self._cuda.release()
        self._context.release()

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        with self._context:
            self._cuda.render_textures(gaussians, views, background)
            self._context.finish()
