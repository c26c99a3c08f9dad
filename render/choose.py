"""Which renderer this machine gets, and why."""

from avatar.errors import DeviceError, VisavisError
from render import gl_driver
from render.cpu import CpuRenderer
from render.gl import GlRenderer
from render.reference import ReferenceRenderer
from render.renderer import Renderer

RENDERER_NAMES = ("auto", "cpu", "gl", "reference")


def open_renderer(name: str = "auto", *, threads: int | None = None) -> Renderer:
    """The renderer called `name`; "auto" takes the fastest that this machine can run.

    `threads` bounds the processor cores that "cpu" uses; None means all of them.

    Raises: DeviceError for a name that no renderer has, or for "gl" where there is no OpenGL 3.3.
    """
    if name == "auto":
        chosen, reason = fastest_renderer()
        if chosen == "gl":
            try:
                return GlRenderer(reason=reason)
            except VisavisError as error:
                reason = f"chosen by itself: the graphics card failed ({error})"
        return CpuRenderer(threads=threads, reason=reason)
    if name == "cpu":
        return CpuRenderer(threads=threads)
    if name == "gl":
        return GlRenderer()
    if name == "reference":
        return ReferenceRenderer()
    raise DeviceError(
        f"renderer {name!r}: expected one of {', '.join(RENDERER_NAMES)}. Choose one of these."
    )


def fastest_renderer() -> tuple[str, str]:
    """What "auto" means on this machine, "gl" or "cpu", and why, for a person to read."""
    if not gl_driver.has_card():
        return "cpu", "chosen by itself: runs on every processor, and there is no graphics card"
    driver = gl_driver.probe_driver()
    if driver is None:
        return "cpu", "chosen by itself: the graphics card has no driver for OpenGL 3.3"
    if not driver.is_hardware:
        return (
            "cpu",
            "chosen by itself: OpenGL is drawn by software here, not by a graphics card "
            f"({driver.renderer})",
        )
    return "gl", "chosen by itself: there is a graphics card"
