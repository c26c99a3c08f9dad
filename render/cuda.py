"""Gaussians to pixels on an NVIDIA card, by kernels of our own.

Every view has its own projection and its own order of distance; all views of a call go through each
step together: project, sort by distance, list what each tile may show (in that order), sort the
list by tile, blend tile by tile. An avatar that was given to `keep` is posed on the card, too, and
then a frame sends a few hundred bytes there. Memory on the card only grows; everything goes through
one stream, and is waited for once, at the end of a call.

None of it has run on a card yet: the kernels are compiled for cards, and run on the processor, by
the tests (docs/rendering.md says what that shows and what it does not).
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import moderngl
import numpy as np
from numpy.typing import ArrayLike

from avatar.head_tables import HeadTables
from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu import StageTimes
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card
from render.cuda_head import CudaHead
from render.cuda_lists import SplatAddresses, TileLists
from render.cuda_memory import CardArray, Kernels
from render.interop import CardTextures
from render.renderer import (
    BLACK,
    ByteRenderer,
    CardHead,
    CardPicture,
    Image,
    background_picture,
    image_size,
    plain_gaussians,
)


class CudaRenderer(ByteRenderer):
    """`Renderer` in CUDA. Use one object from one thread at a time; `release` it when done."""

    name = "cuda"
    poses = True

    def __init__(
        self,
        *,
        context: moderngl.Context | None = None,
        card: Card | None = None,
        cache: KernelCache | None = None,
        reason: str = "asked for by name: draws on the NVIDIA card",
    ) -> None:
        """`context`: a window's, current at every call of `render_textures`. `card` becomes this
        renderer's own.

        Raises:
            DeviceError: no driver, card or compiler; the text says what to do.
            ShaderError: the compiler refuses a kernel.
        """
        self._card = Card(for_opengl=context is not None) if card is None else card
        with ExitStack() as undo:
            undo.callback(self._card.release)
            self._kernels = Kernels(self._card, KernelCache() if cache is None else cache)
            undo.pop_all()
        self._textures = None if context is None else CardTextures(self._card, context)
        self._asked = f"{reason} ({self._card.name})"
        self.last_times = StageTimes()
        self.last_pose_s = math.nan
        """What the card took to pose what it drew last; NaN where the processor did."""
        self._heads: list[CudaHead] = []
        self._released = False
        self._lists = TileLists(self._card, self._kernels)
        self._sent = [CardArray(self._card) for _ in range(5)]
        self._background = CardArray(self._card)
        self._light, self._pictures = CardArray(self._card), CardArray(self._card)
        self._marks = [self._card.event() for _ in range(3)]

    @property
    def reason(self) -> str:
        """Why this one was chosen, and where its pictures do not go straight to OpenGL."""
        problem = self._textures.problem if self._textures is not None else ""
        return f"{self._asked}; {problem}" if problem else self._asked

    def keep(self, tables: HeadTables) -> CudaHead:
        """The avatar on the card, neutral; to be drawn by this renderer in place of Gaussians."""
        self._card.use()
        head = CudaHead(self._card, self._kernels, tables)
        self._heads = [*(each for each in self._heads if not each.released), head]
        return head

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1], by the exact rules."""
        width, height = image_size(views)
        light = np.empty((len(views), height, width, 4), np.float32)
        self._card.use()
        address = self._light.room(light.nbytes)
        self._draw(
            gaussians,
            views,
            lambda: self._kernels.draw_floats(
                self._lists.grid, *self._lists.addresses, width, height, address
            ),
            lambda: self._card.read(address, light),
        )
        return np.ascontiguousarray(light[..., :3]), np.ascontiguousarray(light[..., 3:])

    def render_textures(
        self, gaussians: Gaussians | CardHead, views: Sequence[View], background: ArrayLike = BLACK
    ) -> list[CardPicture]:
        """Finished pictures, one for each view, in textures of the context that it was opened with,
        valid until the next call."""
        assert self._textures is not None, "opened without a context of OpenGL"
        width, height = image_size(views)
        behind = background_picture(background, width, height)
        address = self._drawn_on_card(gaussians, views, behind, 4, None)
        return self._textures.write(address, len(views), width, height)

    def warm_up(self) -> float:
        """The kernels were compiled or loaded before; the first frame, and the seconds it took."""
        started = time.perf_counter()
        one, view = _one_splat()
        self.render(one, [view])
        self.render_float(one, [view])
        return time.perf_counter() - started

    @property
    def card_name(self) -> str:
        """As its driver calls it."""
        return self._card.name

    @property
    def card_bytes(self) -> int:
        """What it holds on the card, heads and all."""
        return self._card.held_bytes

    def draws_rightly(self) -> bool:
        """Whether two half-transparent splats, one behind the other, look as they must."""
        one, view = _one_splat()
        two = Gaussians(
            means=np.concatenate([one.means, one.means + np.float32(0.001)]),
            rotations=np.tile(one.rotations, (2, 1)),
            scales=np.tile(one.scales, (2, 1)),
            opacities=np.tile(one.opacities, 2),
            colours=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32),
        )
        colour, alpha = self.render_float(two, [view])
        seen = [*colour[0, 4, 4], alpha[0, 4, 4, 0]]
        return bool(np.allclose(seen, [0.5, 0.25, 0.0, 0.75], atol=1e-3))

    def release(self) -> None:
        """Give back what is kept on the card, heads and textures too. Nothing can be drawn
        afterwards."""
        if self._released:
            return
        self._released = True
        self._card.use()
        for head in self._heads:
            head.release()
        if self._textures is not None:
            self._textures.release()
        self._lists.release()
        for each in (*self._sent, self._background, self._light, self._pictures):
            each.release()
        for mark in self._marks:
            self._card.free_event(mark)
        self._kernels.release()
        self._card.release()

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        self._drawn_on_card(gaussians, views, background, pictures.shape[-1], pictures)

    def _drawn_on_card(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        channels: int,
        out: Image | None,
    ) -> int:
        """Where on the card the finished pictures [C, H, W, channels] lie; they are copied to `out`
        too, where there is one."""
        width, height = image_size(views)
        pictured = int(background.shape[:2] != (1, 1))
        self._card.use()
        self._background.take(background)
        pictures = self._pictures.room(len(views) * height * width * channels)
        self._draw(
            gaussians,
            views,
            lambda: self._kernels.draw_bytes(
                self._lists.grid,
                *self._lists.addresses,
                *(width, height, self._background.address, pictured, channels, pictures),
            ),
            lambda: None if out is None else self._card.read(pictures, out),
        )
        return pictures

    def _draw(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        draw: Callable[[], None],
        fetch: Callable[[], None],
    ) -> None:
        """List the splats, `draw` and `fetch`, again where there was too little room for the lists;
        afterwards the card is done."""
        head = gaussians if isinstance(gaussians, CudaHead) else None
        splats = head.splats if head is not None else self._copied(plain_gaussians(gaussians))
        begun, sorted_, drawn = self._marks
        self._card.mark(begun)
        self._lists.project(splats, views)
        while True:
            self._lists.list_pairs()
            self._card.mark(sorted_)
            draw()
            self._card.mark(drawn)
            fetch()
            self._lists.ask()
            self._card.wait()
            if self._lists.complete():
                break
        self.last_pose_s = math.nan if head is None else head.pose_s
        self.last_times = StageTimes(
            sort_s=self._card.seconds(begun, sorted_), raster_s=self._card.seconds(sorted_, drawn)
        )

    def _copied(self, gaussians: Gaussians) -> SplatAddresses:
        """Sent to the card."""
        values = (
            *(gaussians.means, gaussians.rotations, gaussians.scales),
            *(gaussians.opacities, gaussians.colours),
        )
        return SplatAddresses(
            len(gaussians),
            *(
                array.take(np.ascontiguousarray(each, np.float32))
                for array, each in zip(self._sent, values, strict=True)
            ),
        )


def _one_splat() -> tuple[Gaussians, View]:
    """White, half-transparent; a view of it in which its centre is that of pixel (4, 4)."""
    one = Gaussians(
        means=np.array([[0.0, 0.0, 1.0]], np.float32),
        rotations=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
        scales=np.full((1, 3), 0.1, np.float32),
        opacities=np.full(1, 0.5, np.float32),
        colours=np.ones((1, 3), np.float32),
    )
    lens = np.array([[16.0, 0.0, 4.5], [0.0, 16.0, 4.5], [0.0, 0.0, 1.0]])
    return one, View(camera_from_world=np.eye(4), intrinsics=lens, width=9, height=9)
