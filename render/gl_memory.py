"""What the OpenGL renderer keeps on the graphics card, and the passes that use it.

Everything here wants the context to be current. Textures and buffers grow only: once warm, a frame
makes nothing new.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import moderngl
import numpy as np
from numpy.typing import NDArray

from avatar.types import Float
from render.camera import View
from render.distance_order import PACK, SPLAT_WIDTH
from render.gl_sort import CardOrder
from render.program import build_program, set_uniforms
from render.renderer import FRUSTUM_MARGIN, LEAST_ALPHA, MOST_ALPHA, SCREEN_BLUR

TEXTURE_WIDTH = PACK * SPLAT_WIDTH // 4
"""Texels, four floats each, in a row of the texture that holds the splats: one PACK."""

UNDER = (moderngl.DST_ALPHA, moderngl.ONE, moderngl.ZERO, moderngl.ONE_MINUS_SRC_ALPHA)
"""Factors of new and old colour, then of new and old alpha."""


class Canvas:
    """A texture to draw into, at least as large as all that was drawn into it."""

    def __init__(self, context: moderngl.Context, dtype: str) -> None:
        """`dtype`: moderngl's name of the numbers in a texel, of which there are four.

        Raises:
            moderngl.Error: the driver cannot draw into such a texture.
        """
        self._context, self._dtype = context, dtype
        self._make(1, 1)
        self._width = self._height = 1

    def use(self, width: int, height: int) -> None:
        """Draw into its first `width` x `height` pixels from now on."""
        have_width, have_height = self.texture.size
        outgrown = None
        if width > have_width or height > have_height:
            outgrown = self._framebuffer, self.texture
            self._make(max(width, have_width), max(height, have_height))
        self._width, self._height = width, height
        self._framebuffer.viewport = (0, 0, width, height)
        self._framebuffer.use()
        # Only now: what is bound must not go away, as moderngl binds it again after making another.
        for each in outgrown or ():
            each.release()

    def clear(self, red: float, green: float, blue: float, alpha: float) -> None:
        """One colour for what is drawn into."""
        area = (0, 0, self._width, self._height)
        self._framebuffer.clear(red, green, blue, alpha, viewport=area)

    def read_into(self, picture: NDArray[np.generic], dtype: str) -> None:
        """Fill `picture` [H, W, channels], C-contiguous, with what was drawn."""
        assert picture.flags.c_contiguous, "out: expected memory in one piece"
        self._framebuffer.read_into(
            picture,
            viewport=(0, 0, self._width, self._height),
            components=picture.shape[-1],
            dtype=dtype,
        )

    def release(self) -> None:
        self._framebuffer.release()
        self.texture.release()

    def _make(self, width: int, height: int) -> None:
        self.texture = _texture(self._context, width, height, 4, self._dtype)
        try:
            self._framebuffer = self._context.framebuffer([self.texture])
        except moderngl.Error:
            self.texture.release()
            raise


class CardMemory:
    """Programs, splats, their order and canvases of one renderer."""

    def __init__(self, context: moderngl.Context, light_dtype: str) -> None:
        """`light_dtype`: what splats are blended in, "f4" or "f2".

        Raises:
            moderngl.Error: the driver cannot draw into such numbers.
        """
        self._context = context
        self.light = Canvas(context, light_dtype)
        """Premultiplied colour, and the light that is left over."""
        self.finished = Canvas(context, "u1")
        """Bytes of red, green, blue and alpha."""
        self._shown: list[Canvas] = []
        self._splat_program = build_program(
            context,
            "splat.vert",
            "splat.frag",
            TEXTURE_WIDTH=TEXTURE_WIDTH,
            SCREEN_BLUR=SCREEN_BLUR,
            FRUSTUM_MARGIN=FRUSTUM_MARGIN,
            LEAST_ALPHA=LEAST_ALPHA,
            MOST_ALPHA=MOST_ALPHA,
        )
        self._finish_program = build_program(context, "picture.vert", "splat_finish.frag")
        self._written = _texture(context, TEXTURE_WIDTH, 1, 4, "f4")
        self.splats = self._written
        """What is drawn: those written last, or another texture like it."""
        self._behind = _texture(context, 1, 1, 3, "f4")
        self._pictured = False
        self._order = context.buffer(reserve=4, dynamic=True)
        self._rectangles = context.vertex_array(
            self._splat_program, [(self._order, "1u /i", "splat")]
        )
        self._sorted: moderngl.VertexArray | None = None
        self._show_program = build_program(context, "picture.vert", "splat_show.frag")
        self._finish_triangle, self._show_triangle = (
            context.vertex_array(program, [])
            for program in (self._finish_program, self._show_program)
        )
        for program in (self._finish_program, self._show_program):
            set_uniforms(program, drawn=0, behind=1)

    def write_splats(self, packed: Float) -> None:
        """[M, SPLAT_WIDTH], M a whole number of PACKs, as `DistanceOrder.pack` gives them."""
        rows = len(packed) // PACK
        if rows > self._written.height:
            self._written.release()
            self._written = _texture(self._context, TEXTURE_WIDTH, rows, 4, "f4")
        if rows:
            self._written.write(packed, (0, 0, TEXTURE_WIDTH, rows))
        self.splats = self._written

    def write_background(self, picture: Float) -> None:
        """[1, 1, 3] or [H, W, 3], as `background_picture` gives it."""
        height, width, _ = picture.shape
        have_width, have_height = self._behind.size
        if width > have_width or height > have_height:
            self._behind.release()
            size = max(width, have_width), max(height, have_height)
            self._behind = _texture(self._context, *size, 3, "f4")
        self._behind.write(picture, (0, 0, width, height))
        self._pictured = (width, height) != (1, 1)

    def draw(self, order: NDArray[np.uint32], view: View) -> None:
        """The splats of `order`, nearest first, as `view` sees them, into `light`."""
        self._begin(view)
        if len(order):
            # A new store each time: the driver need not wait for the last frame to be done with it.
            self._order.orphan(max(self._order.size, order.nbytes))
            self._order.write(order)
            self._blend(view)
            self._rectangles.render(moderngl.TRIANGLE_STRIP, vertices=4, instances=len(order))

    def sort_by(self, order: CardOrder) -> None:
        """What `draw_sorted` is to ask from now on."""
        self._sorted = self._context.vertex_array(
            self._splat_program, [(order.order, "1u /i", "splat")]
        )

    def draw_sorted(self, order: CardOrder, count: int, view: View) -> None:
        """As `draw`, the first `count` splats in an order that the card finds (`sort_by`'s)."""
        assert self._sorted is not None, "sort_by comes first"
        if count:
            order.sort(self.splats, count, view)
        self._begin(view)
        if count:
            self._blend(view)
            self._sorted.render_indirect(order.draw, moderngl.TRIANGLE_STRIP, count=1)

    def _begin(self, view: View) -> None:
        self.light.use(view.width, view.height)
        self.light.clear(0.0, 0.0, 0.0, 1.0)

    def _blend(self, view: View) -> None:
        """All that drawing wants but the order."""
        context = self._context
        context.enable_only(moderngl.BLEND)
        context.blend_equation = moderngl.FUNC_ADD, moderngl.FUNC_ADD
        # Under what is there: the colour counts by the light left over, which then shrinks.
        context.blend_func = UNDER  # pyright: ignore[reportAttributeAccessIssue] (two or four)
        pose = view.camera_from_world
        set_uniforms(
            self._splat_program,
            camera_from_world=tuple(pose[:3, :3].T.ravel()),  # column by column
            world_in_camera=tuple(pose[:3, 3]),
            lens=tuple(view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]),
            image_size=(view.width, view.height),
        )
        self.splats.use(0)

    def finish(self, view: View) -> None:
        """`light` over the background, into `finished`."""
        self.finished.use(view.width, view.height)
        self._put_over(self._finish_program, self._finish_triangle)

    def show(self, view: View, number: int) -> moderngl.Texture:
        """`light` over the background in a texture of its own, the `number`-th."""
        while len(self._shown) <= number:
            self._shown.append(Canvas(self._context, "f1"))
        self._shown[number].use(view.width, view.height)
        set_uniforms(self._show_program, turned_over=0)
        self._put_over(self._show_program, self._show_triangle)
        return self._shown[number].texture

    def show_in(self, view: View, framebuffer: moderngl.Framebuffer, *, blends: bool) -> None:
        """`light` over the background, or over what is there, in the lower left of `framebuffer`,
        the right way up there: OpenGL's row 0 is the bottom."""
        framebuffer.viewport = (0, 0, view.width, view.height)
        framebuffer.use()
        set_uniforms(self._show_program, turned_over=view.height)
        self._put_over(self._show_program, self._show_triangle, blends=blends)

    def _put_over(
        self, program: moderngl.Program, triangle: moderngl.VertexArray, *, blends: bool = False
    ) -> None:
        self._context.enable_only(moderngl.BLEND if blends else moderngl.NOTHING)
        if blends:
            self._context.blend_equation = moderngl.FUNC_ADD, moderngl.FUNC_ADD
            self._context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        set_uniforms(program, pictured=int(self._pictured))
        self.light.texture.use(0)
        self._behind.use(1)
        triangle.render(moderngl.TRIANGLES, vertices=3)

    def release(self) -> None:
        """Give all of it back."""
        for each in (
            *(self._rectangles, self._finish_triangle, self._show_triangle, self._order),
            *(self._written, self._behind, self.light, self.finished, *self._shown),
            *(self._splat_program, self._finish_program, self._show_program),
        ):
            each.release()
        if self._sorted is not None:
            self._sorted.release()


@contextmanager
def state_put_back(context: moderngl.Context) -> Iterator[None]:
    """After the block the framebuffer is bound that was before, none of ours, and nothing blends: a
    window whose context is shared finds what it left."""
    before = context.detect_framebuffer()
    try:
        yield
    finally:
        context.enable_only(moderngl.NOTHING)
        before.use()


def _texture(
    context: moderngl.Context, width: int, height: int, components: int, dtype: str
) -> moderngl.Texture:
    texture = context.texture((width, height), components, dtype=dtype)
    texture.filter = (moderngl.NEAREST, moderngl.NEAREST)  # the usual filter wants mipmaps
    return texture
