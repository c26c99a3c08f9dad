"""Which renderer this machine gets, and why."""

from avatar.errors import DeviceError
from render.cpu import CpuRenderer
from render.reference import ReferenceRenderer
from render.renderer import Renderer

RENDERER_NAMES = ("auto", "cpu", "reference")


def open_renderer(name: str = "auto", *, threads: int | None = None) -> Renderer:
    """The renderer called `name`; "auto" takes the fastest that this machine can run.

    `threads` bounds the processor cores that "cpu" uses; None means all of them.

    Raises: DeviceError for a name that no renderer has.
    """
    if name == "auto":
        return CpuRenderer(
            threads=threads,
            reason="chosen by itself: runs on every processor and needs no graphics card",
        )
    if name == "cpu":
        return CpuRenderer(threads=threads)
    if name == "reference":
        return ReferenceRenderer()
    raise DeviceError(
        f"renderer {name!r}: expected one of {', '.join(RENDERER_NAMES)}. Choose one of these."
    )
