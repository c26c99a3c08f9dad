"""A window with the avatar's picture over a backdrop, and room for a panel drawn by imgui.

GLFW makes the window, moderngl draws the picture, imgui's own C++ backends draw the panel. All of
it belongs to one thread.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from imgui_bundle import imgui  # before glfw: it makes both share one GLFW library

import glfw  # isort: skip
import moderngl
from numpy.typing import NDArray

from avatar.errors import DeviceError
from render.gl_driver import COMPUTE_VERSION, LEAST_VERSION
from render.program import build_program, set_uniforms
from render.renderer import CardPicture

FONT_PX = 16.0
FONT = "assets/fonts/Roboto/Roboto-Regular.ttf"
"""Roboto (Apache-2.0) as it ships inside imgui-bundle."""
SMALLEST_WINDOW = (480, 360)
Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]
USUAL_SCENE: tuple[Colour, Colour, Colour] = (
    *((0.55, 0.56, 0.575), (0.205, 0.215, 0.235)),
    (1.0, 1.0, 1.0),
)
"""A soft grey studio wall, in plain light: what `Window.light_scene` is given at first."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the framebuffer, pixels from the top left."""

    left: int
    top: int
    width: int
    height: int


def display_available() -> bool:
    """Whether this machine can open a window: GLFW finds a display server. Not to be asked while a
    window is open.
    """
    with _quiet_glfw():
        ready = bool(glfw.init())
        if ready:
            glfw.terminate()
    return ready


class Window:
    """One window. Use it as a context: it gives everything back at the end.

    A frame is: `begin_frame` (events, a new imgui frame), imgui calls, `draw`, `present`.
    """

    def __init__(self, title: str, width: int, height: int) -> None:
        """`width` and `height` in the units of the desktop, which may hold several pixels each.

        Raises:
            DeviceError: no display, or no OpenGL 3.3 on it.
        """
        with _quiet_glfw():
            if not glfw.init():
                raise DeviceError(_problem("no display for a window"))
            self._handle = _open(title, width, height)
            if not self._handle:
                problem = _problem("no window with OpenGL 3.3")
                glfw.terminate()
                raise DeviceError(problem)
        glfw.make_context_current(self._handle)
        glfw.swap_interval(1)
        self._waits = True
        glfw.set_window_size_limits(self._handle, *SMALLEST_WINDOW, glfw.DONT_CARE, glfw.DONT_CARE)
        self.panel_width = 0.0
        """Room kept free of the picture on the left, desktop units."""
        self._context = moderngl.create_context(require=330)
        self._program = build_program(self._context, "picture.vert", "picture.frag")
        self._triangle = self._context.vertex_array(self._program, [])
        self._texture = self._context.texture((1, 1), 4, data=bytes(4))
        self._shown: CardPicture | None = None
        self._images: dict[str, moderngl.Texture] = {}
        self._dropped: list[Path] = []
        self._windowed: tuple[int, int, int, int] | None = None
        self._reset_status = _reset_status()
        self.light_scene(*USUAL_SCENE)
        # Typed as C has it (window, count, paths); called without the count.
        glfw.set_drop_callback(self._handle, cast("Any", self._on_drop))
        self._start_imgui()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def refresh_s(self) -> float:
        """One frame of the monitor, seconds; 1/60 where it is not known."""
        monitor = glfw.get_primary_monitor()
        mode = glfw.get_video_mode(monitor) if monitor else None
        rate = mode.refresh_rate if mode is not None else 0
        return 1.0 / rate if rate > 0 else 1.0 / 60.0

    @property
    def context(self) -> moderngl.Context:
        """What it draws in, for who draws in it too: current in the window's thread, and to be left
        with the framebuffer as it was."""
        return self._context

    @property
    def description(self) -> str:
        """The graphics driver, for a report."""
        info = self._context.info
        return f"{info['GL_RENDERER']}, OpenGL {info['GL_VERSION']}"

    def begin_frame(self) -> bool:
        """Take the events and open an imgui frame; False when the window is to be closed."""
        glfw.poll_events()
        imgui.backends.opengl3_new_frame()
        imgui.backends.glfw_new_frame()
        imgui.new_frame()
        return not glfw.window_should_close(self._handle)

    @property
    def full_screen(self) -> bool:
        """Whether it fills a monitor. Set it to change that."""
        return self._windowed is not None

    @full_screen.setter
    def full_screen(self, wanted: bool) -> None:
        if wanted == self.full_screen:
            return
        if self._windowed is not None:
            left, top, width, height = self._windowed
            self._windowed = None
            nowhere = cast("Any", None)
            glfw.set_window_monitor(self._handle, nowhere, left, top, width, height, glfw.DONT_CARE)
            return
        monitor = glfw.get_primary_monitor()
        mode = glfw.get_video_mode(monitor) if monitor else None
        if mode is None:
            return
        with _quiet_glfw():  # under Wayland no window knows where it is
            place = glfw.get_window_pos(self._handle)
        self._windowed = (*place, *glfw.get_window_size(self._handle))
        glfw.set_window_monitor(
            self._handle, monitor, 0, 0, mode.size.width, mode.size.height, mode.refresh_rate
        )

    def take_dropped(self) -> list[Path]:
        """Files that were dropped onto it since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def light_scene(self, near: Colour, far: Colour, gains: Colour) -> None:
        """Colours of the wall behind, sRGB 0..1: where its light falls and far from there; and what
        red, green and blue of pictures are multiplied by."""
        set_uniforms(self._program, wall_near=near, wall_far=far, light=gains)

    def image(self, name: str, pixels: Picture) -> int:
        """OpenGL's number of a texture that holds `pixels` [H, W, 3], for imgui to draw; the one of
        this name before it is given up. It lives as long as the window."""
        height, width, channels = pixels.shape
        texture = self._images.get(name)
        if texture is None or texture.size != (width, height):
            if texture is not None:
                texture.release()
            texture = self._images[name] = self._context.texture((width, height), channels)
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        texture.write(np.ascontiguousarray(pixels), alignment=1)
        return texture.glo

    def _on_drop(self, handle: Any, paths: list[str]) -> None:
        self._dropped += map(Path, paths)

    def request_close(self) -> None:
        """The next `begin_frame` says False."""
        glfw.set_window_should_close(self._handle, True)

    def picture_area(self) -> Area:
        """What the picture fills: the window without the panel."""
        width, height = glfw.get_framebuffer_size(self._handle)
        units, _ = glfw.get_window_size(self._handle)
        left = round(self.panel_width * width / max(units, 1))
        left = min(left, max(0, width - 64))
        return Area(left, 0, max(1, width - left), max(1, height))

    def draw(self, picture: Picture | CardPicture | None) -> None:
        """Draw `picture` and the panel. It is [H, W, 4], sRGB premultiplied by its alpha, row 0 on
        top, of any size, or lies in a texture of this window's `context`; it is enlarged until it
        fits into `picture_area`. None: the last one again, which must still be there.
        """
        if isinstance(picture, CardPicture):
            picture.texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            self._shown = picture
        elif picture is not None:
            self._shown = self._uploaded(picture)
        if self._shown is None:
            self._draw(CardPicture(self._texture, 1, 1), is_upright=True, strength=0.0)
        else:
            self._draw(self._shown, is_upright=True, strength=1.0)

    def draw_texture(self, texture: moderngl.Texture) -> None:
        """Draw a texture of this context as `draw` draws a picture: sRGB premultiplied, but row 0
        at the bottom, as OpenGL draws into it."""
        self._draw(CardPicture(texture, *texture.size), is_upright=False, strength=1.0)

    def wait_for_monitor(self, waits: bool) -> None:
        """Whether `present` waits: not where something else sets the pace."""
        if waits != self._waits:
            self._waits = waits
            glfw.swap_interval(1 if waits else 0)

    def _draw(self, shown: CardPicture, *, is_upright: bool, strength: float) -> None:
        imgui.render()
        width, height = glfw.get_framebuffer_size(self._handle)
        self._context.screen.use()
        self._context.viewport = (0, 0, width, height)
        self._context.disable(moderngl.BLEND | moderngl.CULL_FACE | moderngl.DEPTH_TEST)
        area = fitted(self.picture_area(), (shown.width, shown.height))
        set_uniforms(
            self._program,
            window_size=(float(width), float(height)),
            area=(float(area.left), float(area.top), area.width, area.height),
            picture_size=(float(shown.width), float(shown.height)),
            strength=strength,
            upright=1 if is_upright else 0,
        )
        shown.texture.use(0)
        self._triangle.render(moderngl.TRIANGLES, vertices=3)
        imgui.backends.opengl3_render_draw_data(imgui.get_draw_data())

    def read_pixels(self) -> Picture:
        """[H, W, 3] what `draw` drew, row 0 on top; between `draw` and `present` only."""
        width, height = glfw.get_framebuffer_size(self._handle)
        assert self._context.error == "GL_NO_ERROR"
        data = self._context.screen.read((0, 0, width, height), components=3, alignment=1)
        # moderngl 5.13 asks a window for a colour attachment, which it has not; the pixels come
        # from the back buffer all the same, and asking for the error takes it away.
        assert self._context.error in ("GL_NO_ERROR", "GL_INVALID_OPERATION")
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)[::-1].copy()

    def present(self) -> None:
        """Show what was drawn; waits for the monitor where the driver does.

        Raises:
            DeviceError: the graphics driver was reset, and all that lay on the card is gone.
        """
        glfw.swap_buffers(self._handle)
        if self._reset_status():
            raise DeviceError(
                "the graphics driver was reset (a crash, or the card was taken away): the window "
                "cannot go on. What was set is kept; start it again."
            )

    def close(self) -> None:
        """Give the window back."""
        if self._closed:
            return
        self._closed = True
        imgui.backends.opengl3_shutdown()
        imgui.backends.glfw_shutdown()
        imgui.destroy_context()
        for texture in (self._texture, *self._images.values()):
            texture.release()
        self._triangle.release()
        self._program.release()
        self._context.release()
        glfw.destroy_window(self._handle)
        glfw.terminate()

    def forget_picture(self) -> None:
        """Show none until there is another: the texture of the last one goes away."""
        self._shown = None

    def _uploaded(self, picture: Picture) -> CardPicture:
        height, width, channels = picture.shape
        assert channels == 4, f"premultiplied RGBA expected, got {channels} channels"
        if self._texture.size != (width, height):
            self._texture.release()
            self._texture = self._context.texture((width, height), 4)
            self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            self._texture.repeat_x = self._texture.repeat_y = False
        self._texture.write(np.ascontiguousarray(picture))
        return CardPicture(self._texture, width, height)

    def _start_imgui(self) -> None:
        imgui.create_context()
        io = imgui.get_io()
        io.set_ini_filename("")  # no file of window places in the user's folder
        io.config_flags |= imgui.ConfigFlags_.nav_enable_keyboard.value
        font = files("imgui_bundle").joinpath(FONT)
        with as_file(font) as path:
            if path.is_file():
                io.fonts.add_font_from_file_ttf(str(path), FONT_PX)
        # macOS counts in points and scales by itself; X11 and Windows count in pixels.
        scale = 1.0 if sys.platform == "darwin" else glfw.get_window_content_scale(self._handle)[0]
        style = imgui.get_style()
        style.scale_all_sizes(scale)
        style.font_scale_dpi = scale
        self.interface_scale = scale
        """Desktop units for one unit of the panel's layout."""
        address = _address(self._handle)
        imgui.backends.glfw_init_for_opengl(address, True)
        imgui.backends.opengl3_init("#version 330")


def fitted(area: Area, size: tuple[int, int]) -> Area:
    """The largest rectangle of the shape of `size` in the middle of `area`; all of `area` where the
    shapes differ by rounding only."""
    width, height = size
    if abs(area.width * height - area.height * width) <= 0.01 * area.width * height:
        return area
    scale = min(area.width / width, area.height / height)
    fit_width, fit_height = round(width * scale), round(height * scale)
    return Area(
        area.left + (area.width - fit_width) // 2,
        area.top + (area.height - fit_height) // 2,
        fit_width,
        fit_height,
    )


def _reset_status() -> Callable[[], int]:
    """Says 0 while the current context is whole (ARB_robustness, in OpenGL from 4.5)."""
    for name in ("glGetGraphicsResetStatus", "glGetGraphicsResetStatusARB"):
        address = glfw.get_proc_address(name)
        where = ctypes.cast(address, ctypes.c_void_p).value if address else None
        supported = glfw.extension_supported("GL_ARB_robustness")
        if where and supported:
            kind = ctypes.WINFUNCTYPE if sys.platform == "win32" else ctypes.CFUNCTYPE
            return kind(ctypes.c_uint)(where)
    return lambda: 0


def _open(title: str, width: int, height: int) -> Any:
    hints = {
        glfw.OPENGL_PROFILE: glfw.OPENGL_CORE_PROFILE,
        glfw.OPENGL_FORWARD_COMPAT: glfw.TRUE,  # macOS gives no core profile without
        glfw.SCALE_TO_MONITOR: glfw.TRUE,
        glfw.DEPTH_BITS: 0,
        glfw.STENCIL_BITS: 0,
    }
    for hint, value in hints.items():
        glfw.window_hint(hint, value)
    # Some drivers, NVIDIA's among them, give just what is asked for: first one that computes. And
    # not all can tell of their resets.
    for version, robustness in (
        (COMPUTE_VERSION, glfw.LOSE_CONTEXT_ON_RESET),
        (COMPUTE_VERSION, glfw.NO_ROBUSTNESS),
        (LEAST_VERSION, glfw.NO_ROBUSTNESS),
    ):
        glfw.window_hint(glfw.CONTEXT_ROBUSTNESS, robustness)
        glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, version // 100)
        glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, version // 10 % 10)
        handle = glfw.create_window(width, height, title, None, None)
        if handle:
            return handle
    return None


@contextmanager
def _quiet_glfw() -> Iterator[None]:
    """Within the block GLFW keeps its problems for `_problem` and prints no warnings."""
    before = glfw.ERROR_REPORTING
    glfw.ERROR_REPORTING = "ignore"
    try:
        yield
    finally:
        glfw.ERROR_REPORTING = before


def _problem(what: str) -> str:
    """One line with GLFW's own reason and what to do."""
    _, description = glfw.get_error()
    # Typed as text, given as bytes.
    reason = str(description, "utf-8") if isinstance(description, bytes) else str(description)
    return (
        f"{what} ({reason}). Start it on a desktop, or use `visavis render` for a film, "
        "or --display none."
    )


def _address(handle: Any) -> int:
    """The C pointer behind GLFW's handle."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
