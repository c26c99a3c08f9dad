"""Which renderer this machine gets, and why."""

import moderngl

from avatar.errors import DeviceError, VisavisError
from render import cuda_probe, gl_driver
from render.cpu import CpuRenderer
from render.cuda import CudaRenderer
from render.gl import GlRenderer
from render.gl_driver import Driver, driver_of
from render.reference import ReferenceRenderer
from render.renderer import Renderer

RENDERER_NAMES = ("auto", "cpu", "cuda", "gl", "reference")


def open_renderer(
    name: str = "auto", *, threads: int | None = None, context: moderngl.Context | None = None
) -> Renderer:
    """The renderer called `name`; "auto" takes the fastest that this machine can run.

    `threads` bounds the processor cores that "cpu" uses; None means all of them. `context` is what
    "gl" draws in and "cuda" hands pictures to, a window's, current now and at every call; None: one
    of its own, or pictures in the computer's memory alone.

    Raises: DeviceError for a name that no renderer has, for "gl" where there is no OpenGL 3.3, or
    for "cuda" where there is no NVIDIA card, driver or run-time compiler.
    """
    if name == "auto":
        driver = None if context is None else driver_of(context)
        chosen, reason = fastest_renderer(driver)
        if chosen == "cuda":
            try:
                return CudaRenderer(context=context, reason=reason)
            except VisavisError as error:
                chosen, reason = _without_cuda(driver)
                reason = f"{reason}; CUDA failed: {error}"
        if chosen == "gl":
            try:
                return GlRenderer(context=context, reason=reason)
            except VisavisError as error:
                reason = f"chosen by itself: the graphics card failed ({error})"
        return CpuRenderer(threads=threads, reason=reason)
    if name == "cpu":
        return CpuRenderer(threads=threads)
    if name == "cuda":
        return CudaRenderer(context=context)
    if name == "gl":
        return GlRenderer(context=context)
    if name == "reference":
        return ReferenceRenderer()
    raise DeviceError(
        f"renderer {name!r}: expected one of {', '.join(RENDERER_NAMES)}. Choose one of these."
    )


def openable_renderers(context: moderngl.Context) -> tuple[str, ...]:
    """Names for `open_renderer` that will open beside or in this context, a window's, for a person
    to choose from: all but the slow one."""
    cuda = ["cuda"] if cuda_probe.probe_cuda().card else []
    return ("auto", "cpu", *cuda, *(["gl"] if context.version_code >= 330 else []))


def fastest_renderer(driver: Driver | None = None) -> tuple[str, str]:
    """What "auto" means on this machine, "cuda", "gl" or "cpu", and why, for a person to read.

    `driver`: that of an OpenGL context which is open already. Without one the machine is looked at;
    a driver is asked only where there may be a graphics card.
    """
    if cuda_probe.has_nvidia_driver():
        probe = cuda_probe.probe_cuda()
        if probe.card:
            return "cuda", "chosen by itself: there is an NVIDIA card"
        name, reason = _without_cuda(driver)
        return name, f"{reason}; without CUDA: {probe.problem}"
    return _without_cuda(driver)


def _without_cuda(driver: Driver | None) -> tuple[str, str]:
    if driver is None:
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
