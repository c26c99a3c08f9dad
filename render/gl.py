"""Gaussians to pixels on a graphics card, by OpenGL 3.3 and up.

With compute shaders (OpenGL 4.3) the card does everything: it poses the heads that it keeps, sorts
their splats once for each view, and a frame sends it about a hundred numbers. Without them the
processor poses, packs the splats of a frame and sorts them. Then the card projects them, draws each
as a rectangle, and lays the result over what is behind it. Blending goes front to back,
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

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

import moderngl
import numpy as np
from numpy.typing import ArrayLike

from avatar.errors import DeviceError, ShaderError
from avatar.head_tables import HeadTables
from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu import StageTimes
from render.distance_order import DistanceOrder
from render.gl_driver import COMPUTE_VERSION, driver_of, open_context
from render.gl_head import GlHead, HeadPrograms
from render.gl_memory import TEXTURE_WIDTH, CardMemory, state_put_back
from render.gl_sort import CardOrder
from render.renderer import (
    BLACK,
    ByteRenderer,
    CardHead,
    CardPicture,
    Image,
    background_picture,
    image_size,
)

PRECISIONS = (("f4", 32), ("f2", 16))
"""What splats can be blended in, moderngl's name and bits, the finest first."""
GL_FRAMEBUFFER_SRGB = 0x8DB9


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
        computes: bool = True,
    ) -> None:
        """`context`: one to draw in, such as a window's, which the caller keeps and makes current
        for every call; None for one of our own. How fine it blends, and who poses and sorts, is
        added to `reason`. `computes`: pose and sort on the card where it can; False leaves both to
        the processor.

        Raises:
            DeviceError: there is no OpenGL 3.3, or it cannot blend floats.
            ShaderError: the driver refuses a shader.
        """
        self._owns_context = context is None
        self._context = unseen_context() if context is None else context
        self._released = False
        self._distance_order = DistanceOrder()
        self.last_times = StageTimes()
        with ExitStack() as undo:
            if self._owns_context:
                undo.callback(self._context.release)
            with self._current():
                self.driver = driver_of(self._context)
                """Who draws."""
                self._memory, bits = self._finest_memory()
                undo.callback(self._memory.release)
                self._card, where = self._compute() if computes else (None, "as was asked for")
            undo.pop_all()
        self._heads: list[GlHead] = []
        who = (
            "the card poses and sorts" if self.poses else f"the processor poses and sorts, {where}"
        )
        self.reason = f"{reason} ({self.driver.renderer}, {bits}-bit floats; {who})"

    @property
    def poses(self) -> bool:
        """Whether the card poses and sorts: it has compute shaders, and they work."""
        return self._card is not None

    def keep(self, tables: HeadTables) -> GlHead:
        """Upload an avatar, to be posed on the card. Only where `poses`."""
        assert self._card is not None, "without compute shaders the processor poses"
        with self._current():
            head = GlHead(self._context, self._current, self._card[1], TEXTURE_WIDTH, tables)
        self._heads = [*(each for each in self._heads if not each.released), head]
        return head

    def render_textures(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
    ) -> list[CardPicture]:
        """Finished pictures in textures of this context, one for each view, valid until the next
        call; nothing is read back and nothing waited for."""
        width, height = image_size(views)
        behind = background_picture(background, width, height)
        with self._current():
            self._take(gaussians)
            self._memory.write_background(behind)
            pictures = []
            for number, view in enumerate(views):
                self._draw(gaussians, view)
                texture = self._memory.show(view, number)
                pictures.append(CardPicture(texture, width, height))
        return pictures

    def render_into(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        framebuffers: Sequence[moderngl.Framebuffer],
        background: ArrayLike | None = None,
    ) -> None:
        """Finished pictures into framebuffers of this context, one for each view: into their lower
        left, the right way up as OpenGL has it, over `background` or over what is there.

        Depth is neither tested nor written. Colours are written and blended as they are,
        sRGB-encoded: a target of an sRGB format gets the right bytes, for encoding by the driver is
        switched off here.
        """
        width, height = image_size(views)
        behind = background_picture(BLACK if background is None else background, width, height)
        with self._current():
            self._take(gaussians)
            self._memory.write_background(behind)
            self._context.disable_direct(GL_FRAMEBUFFER_SRGB)
            for view, framebuffer in zip(views, framebuffers, strict=True):
                self._draw(gaussians, view)
                self._memory.show_in(view, framebuffer, blends=background is None)

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1], by all rules but that of
        `LEAST_TRANSMITTANCE` (see the file's beginning)."""
        width, height = image_size(views)
        light = np.empty((len(views), height, width, 4), np.float32)
        with self._current():
            self._take(gaussians)
            for view, picture in zip(views, light, strict=True):
                self._draw(gaussians, view)
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
        for head in self._heads:
            head.release()
        with self._current():
            for each in (self._memory, *(self._card or ())):
                each.release()
        self._released = True
        if self._owns_context:
            self._context.release()

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        started = time.perf_counter()
        with self._current():
            sort_s = self._take(gaussians)
            self._memory.write_background(background)
            for view, picture in zip(views, pictures, strict=True):
                sort_s += self._draw(gaussians, view)
                self._memory.finish(view)
                self._memory.finished.read_into(picture, "u1")
        raster_s = time.perf_counter() - started - sort_s
        self.last_times = StageTimes(sort_s, math.nan if self.poses else raster_s)

    def _take(self, gaussians: Gaussians | CardHead) -> float:
        """Make these the splats to draw; the seconds that the processor took to pack them."""
        started = time.perf_counter()
        if isinstance(gaussians, Gaussians):
            packed = self._distance_order.pack(gaussians)
            seconds = time.perf_counter() - started
            self._memory.write_splats(packed)
            return seconds
        assert isinstance(gaussians, GlHead), "a head that another renderer keeps"
        assert gaussians in self._heads, "a head that another renderer keeps"
        assert not gaussians.released, "released already"
        self._memory.splats = gaussians.splats
        return 0.0

    def _draw(self, gaussians: Gaussians | CardHead, view: View) -> float:
        """The splats, nearest first, into the memory's `light`; the seconds that the processor took
        to sort, nan where it does not know."""
        if self._card is not None:
            self._memory.draw_sorted(self._card[0], len(gaussians), view)
            return math.nan
        started = time.perf_counter()
        order = self._distance_order.nearest_first(view)
        seconds = time.perf_counter() - started
        self._memory.draw(order, view)
        return seconds

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Within the block our own context is the thread's; another's is so already. Afterwards it
        is as it was."""
        assert not self._released, "released already"
        context = self._context if self._owns_context else nullcontext()
        with context, state_put_back(self._context):
            yield

    def _compute(self) -> tuple[tuple[CardOrder, HeadPrograms] | None, str]:
        """What sorts and poses on the card, or None and why."""
        if self._context.version_code < COMPUTE_VERSION:
            return None, "for want of OpenGL 4.3"
        try:
            with ExitStack() as undo:
                order = CardOrder(self._context, TEXTURE_WIDTH)
                undo.callback(order.release)
                programs = HeadPrograms(self._context, TEXTURE_WIDTH)
                undo.callback(programs.release)
                if not _sorts(self._memory, order):
                    return None, "for the card's compute shaders fail a test"
                self._memory.sort_by(order)
                undo.pop_all()
                return (order, programs), ""
        except ShaderError as error:
            return None, f"for the driver refuses a shader: {error}"

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
    memory.write_splats(DistanceOrder().pack(one))
    memory.draw(np.zeros(2, np.uint32), view)
    memory.light.read_into(light, "f4")
    return bool(np.allclose(light[4, 4], [0.75, 0.75, 0.75, 0.25], atol=1e-3))


def _sorts(memory: CardMemory, order: CardOrder) -> bool:
    """Whether the card finds the order of a few thousand splats, some equally far, as the
    processor does: what a driver compiles need not be what was written."""
    chance = np.random.default_rng(0)
    count = 5000
    cloud = Gaussians(
        means=(chance.integers(-900, 900, (count, 3)) / 512).astype(np.float32),
        rotations=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        scales=np.full((count, 3), 0.1, np.float32),
        opacities=chance.choice(np.array([0, 0.5, 1], np.float32), count),
        colours=np.ones((count, 3), np.float32),
    )
    _, view = _one_splat()
    expected = DistanceOrder()
    memory.write_splats(expected.pack(cloud))
    order.sort(memory.splats, count, view)
    return bool(np.array_equal(order.read(), expected.nearest_first(view)))


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
