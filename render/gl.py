"""Gaussians to pixels on a graphics card, by OpenGL 3.3 and up.

The processor packs the splats of a frame and sorts them once for each view; the card projects them,
draws each as a rectangle, and lays the result over what is behind it. Blending goes front to back,
"under": the target keeps the colour so far and the light that is left over, which is what the last
pass needs and what tells where the exact rules end a pixel. In 32-bit floats back to front would do
as well. In 16 bits it would lose less colour (the sample avatar comes to 50 dB against the
processor's picture, in 32 bits to 70), but they are only for drivers that cannot do what OpenGL 3.3
asks of them.

Blending cannot end a pixel, so the rule that one is finished when less than `LEAST_TRANSMITTANCE`
of its light is left is not kept: splats that the exact rules leave out there are drawn. Such a
pixel differs by at most the light that the exact rules left over, `1 - alpha`: most often less
than 1e-3, and never more than `LEAST_TRANSMITTANCE / (1 - MOST_ALPHA)`, 0.1, where it was the most
opaque of all splats that was left out. The pictures of the processor renderer do without the rule
too.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Self

import moderngl
import numpy as np
from numpy.typing import ArrayLike

from avatar.errors import DeviceError
from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu import StageTimes
from render.depth_order import DepthOrder
from render.gl_driver import driver_of, open_context
from render.gl_memory import CardMemory, state_put_back
from render.renderer import ByteRenderer, Image, background_picture, image_size

PRECISIONS = (("f4", 32), ("f2", 16))
"""What splats can be blended in, moderngl's name and bits, the finest first."""


class GlRenderer(ByteRenderer):
    """`Renderer` in OpenGL. Use one object from one thread at a time. With a context of its own
    that may be any thread in which no other is current, such as a window's: that one is to be given
    instead. `release` it when done, or let the end of the process do it."""

    name = "gl"

    def __init__(
        self,
        *,
        context: moderngl.Context | None = None,
        reason: str = "asked for by name: draws with OpenGL",
    ) -> None:
        """`context`: one to draw in, such as a window's, which the caller keeps and makes current
        for every call; None for one of our own. How fine it blends is added to `reason`.

        Raises:
            DeviceError: there is no OpenGL 3.3, or it cannot blend floats.
            ShaderError: the driver refuses a shader.
        """
        self._owns_context = context is None
        self._context = unseen_context() if context is None else context
        self._released = False
        self._depth_order = DepthOrder()
        self.last_times = StageTimes()
        with ExitStack() as undo:
            if self._owns_context:
                undo.callback(self._context.release)
            with self._current():
                self.driver = driver_of(self._context)
                """Who draws."""
                self._memory, bits = self._finest_memory()
            undo.pop_all()
        self.reason = f"{reason} ({self.driver.renderer}, {bits}-bit floats)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def render_float(self, gaussians: Gaussians, views: Sequence[View]) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1], by all rules but that of
        `LEAST_TRANSMITTANCE` (see the file's beginning)."""
        width, height = image_size(views)
        light = np.empty((len(views), height, width, 4), np.float32)
        with self._current():
            self._memory.write_splats(self._depth_order.pack(gaussians))
            for view, picture in zip(views, light, strict=True):
                self._memory.draw(self._depth_order.nearest_first(view), view)
                self._memory.light.read_into(picture, "f4")
        return np.ascontiguousarray(light[..., :3]), 1 - light[..., 3:]

    def warm_up(self) -> float:
        """Compile and load what the first frame would wait for; the seconds that it took."""
        started = time.perf_counter()
        one, view = _one_splat()
        self.render(one, [view])
        self.render_float(one, [view])
        return time.perf_counter() - started

    def release(self) -> None:
        """Give back what is kept on the card. Nothing can be drawn afterwards."""
        if self._released:
            return
        with self._current():
            self._memory.release()
        self._released = True
        if self._owns_context:
            self._context.release()

    def _render_bytes(
        self,
        gaussians: Gaussians,
        views: Sequence[View],
        background: ArrayLike,
        channels: int,
        out: Image | None,
    ) -> Image:
        width, height = image_size(views)
        shape = (len(views), height, width, channels)
        pictures = np.empty(shape, np.uint8) if out is None else out
        assert pictures.shape == shape, f"out: expected {shape}, got {pictures.shape}"
        behind = background_picture(background, width, height)
        started = time.perf_counter()
        packed = self._depth_order.pack(gaussians)
        sort_s = time.perf_counter() - started
        with self._current():
            self._memory.write_splats(packed)
            self._memory.write_background(behind)
            for view, picture in zip(views, pictures, strict=True):
                sorting = time.perf_counter()
                order = self._depth_order.nearest_first(view)
                sort_s += time.perf_counter() - sorting
                self._memory.draw(order, view)
                self._memory.finish(view)
                self._memory.finished.read_into(picture, "u1")
        self.last_times = StageTimes(sort_s=sort_s, raster_s=time.perf_counter() - started - sort_s)
        return pictures

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Within the block our own context is the thread's; another's is so already. Afterwards it
        is as it was."""
        assert not self._released, "released already"
        context = self._context if self._owns_context else nullcontext()
        with context, state_put_back(self._context):
            yield

    def _finest_memory(self) -> tuple[CardMemory, int]:
        """Memory on the card that blends in the finest numbers that the driver can, and their
        bits."""
        for dtype, bits in PRECISIONS:
            try:
                memory = CardMemory(self._context, dtype)
            except moderngl.Error:
                continue
            with state_put_back(self._context):
                blends = _blends(memory)
            if blends:
                return memory, bits
            memory.release()
        raise DeviceError(
            f"renderer 'gl': {self.driver.renderer} cannot blend floats. Install a newer graphics "
            "driver, or use --backend cpu."
        )


def unseen_context() -> moderngl.Context:
    """A context without a window; current in no thread.

    Raises:
        DeviceError: there is no OpenGL 3.3.
    """
    try:
        return open_context()
    except Exception as error:  # moderngl raises no narrower class
        problem = " ".join(str(error).split())
        raise DeviceError(
            f"renderer 'gl': no OpenGL 3.3 here: {problem}. Install the graphics driver, or use "
            "--backend cpu."
        ) from error


def _blends(memory: CardMemory) -> bool:
    """Whether two half-transparent splats on top of each other leave a quarter of the light."""
    one, view = _one_splat()
    light = np.empty((view.height, view.width, 4), np.float32)
    memory.write_splats(DepthOrder().pack(one))
    memory.draw(np.zeros(2, np.uint32), view)
    memory.light.read_into(light, "f4")
    return bool(np.allclose(light[4, 4], [0.75, 0.75, 0.75, 0.25], atol=1e-3))


def _one_splat() -> tuple[Gaussians, View]:
    """A white, half-transparent splat, and a view of it: its centre is that of pixel (4, 4)."""
    one = Gaussians(
        means=np.array([[0.0, 0.0, 1.0]], np.float32),
        rotations=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
        scales=np.full((1, 3), 0.1, np.float32),
        opacities=np.full(1, 0.5, np.float32),
        colours=np.ones((1, 3), np.float32),
    )
    intrinsics = np.array([[16.0, 0.0, 4.5], [0.0, 16.0, 4.5], [0.0, 0.0, 1.0]])
    return one, View(camera_from_world=np.eye(4), intrinsics=intrinsics, width=9, height=9)
