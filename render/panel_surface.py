"""An imgui panel on a picture instead of in a window: for a board in a headset's room.

It has an imgui context of its own beside the window's, and leaves the window's current.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import moderngl
from imgui_bundle import imgui

from render.gl_memory import state_put_back
from render.window import FONT, FONT_PX


class PanelSurface:
    """A picture that is a panel. One OpenGL context, current at every call."""

    def __init__(self, context: moderngl.Context, width: int, height: int, scale: float) -> None:
        """`width` and `height` in pixels, of which `scale` are one unit of the panel's layout."""
        self._context, self._pixels = context, (width, height)
        self.scale = scale
        self._texture = context.texture((width, height), 4)
        self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._framebuffer = context.framebuffer([self._texture])
        before = imgui.get_current_context()
        self._imgui = imgui.create_context()
        imgui.set_current_context(self._imgui)
        try:
            io = imgui.get_io()
            io.set_ini_filename("")
            io.display_size = imgui.ImVec2(width, height)
            io.mouse_draw_cursor = False
            font = files("imgui_bundle").joinpath(FONT)
            with as_file(font) as path:
                if path.is_file():
                    io.fonts.add_font_from_file_ttf(str(path), FONT_PX)
            style = imgui.get_style()
            style.scale_all_sizes(scale)
            style.font_scale_dpi = scale
            with state_put_back(context):
                imgui.backends.opengl3_init("#version 330")
        finally:
            _back_to(before)

    @property
    def texture(self) -> moderngl.Texture:
        """What was drawn last; sRGB premultiplied, row 0 at the bottom."""
        return self._texture

    @contextmanager
    def within(self) -> Iterator[None]:
        """Within the block imgui's calls mean this panel, outside of any frame of it."""
        before = imgui.get_current_context()
        imgui.set_current_context(self._imgui)
        try:
            yield
        finally:
            _back_to(before)

    @contextmanager
    def frame(
        self, seconds: float, pointer: tuple[float, float] | None, pressed: bool, scroll: float
    ) -> Iterator[None]:
        """Within the block imgui's calls draw this panel; afterwards it is in `texture`. `seconds`
        since the last one; `pointer`: where it is pointed at, 0..1 from the top left; `scroll`:
        steps of a wheel."""
        width, height = self._pixels
        with self.within():
            io = imgui.get_io()
            io.delta_time = max(seconds, 1e-4)
            if pointer is None:
                lowest = -3.4028235e38  # imgui's own word for nowhere
                io.add_mouse_pos_event(lowest, lowest)
            else:
                io.add_mouse_pos_event(pointer[0] * width, pointer[1] * height)
            io.add_mouse_button_event(0, pressed)
            if scroll:
                io.add_mouse_wheel_event(0.0, scroll)
            imgui.backends.opengl3_new_frame()
            imgui.new_frame()
            try:
                yield
                if pointer is not None:
                    self._draw_dot(pointer)
            finally:
                imgui.render()
            with state_put_back(self._context):
                self._framebuffer.use()
                self._framebuffer.clear(0.0, 0.0, 0.0, 0.0)
                imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def copy_into(self, target: moderngl.Framebuffer) -> None:
        """The last picture into a framebuffer of the same size."""
        with state_put_back(self._context):
            self._context.copy_framebuffer(target, self._framebuffer)

    def release(self) -> None:
        """Give it back."""
        with self.within(), state_put_back(self._context):
            imgui.backends.opengl3_shutdown()
        imgui.destroy_context(self._imgui)  # where it was the current one, none is afterwards
        self._framebuffer.release()
        self._texture.release()

    def _draw_dot(self, pointer: tuple[float, float]) -> None:
        """Where the hand points, over everything."""
        width, height = self._pixels
        place = imgui.ImVec2(pointer[0] * width, pointer[1] * height)
        painter = imgui.get_foreground_draw_list()
        painter.add_circle_filled(place, 5 * self.scale, imgui.IM_COL32(255, 255, 255, 230))
        painter.add_circle(place, 6 * self.scale, imgui.IM_COL32(20, 22, 26, 200), 0, self.scale)


def _back_to(context: imgui.internal.Context | None) -> None:
    """Make the window's current again; where there is no window, ours stays."""
    if context is not None:
        imgui.set_current_context(context)
