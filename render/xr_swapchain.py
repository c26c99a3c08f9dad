"""Pictures that belong to the OpenXR runtime, as framebuffers to draw into."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import moderngl
import OpenGL

from render.xr_runtime import libraries_kept_apart, xr

OpenGL.ERROR_CHECKING = False  # an error that another left behind would be raised here
with libraries_kept_apart():
    from OpenGL import GL

SRGB = int(GL.GL_SRGB8_ALPHA8)
COLOUR_FORMATS = (SRGB, GL.GL_RGBA8)
"""In order of choice. What we draw is sRGB-encoded already. Into the first it is written as it is,
with GL_FRAMEBUFFER_SRGB off, and the compositor decodes it. The second holds linear light by
OpenXR's rules, and is written so."""
DEPTH_FORMATS = (GL.GL_DEPTH_COMPONENT32F, GL.GL_DEPTH_COMPONENT24, GL.GL_DEPTH_COMPONENT16)
WAIT_NS = 1_000_000_000
"""For the compositor to be done with a picture; longer means that it hangs."""


class Swapchain:
    """A few pictures of one size that take turns; one is ours between acquire and release."""

    def __init__(self, session: Any, kind: int, width: int, height: int, *, depth: bool) -> None:
        usage = (
            xr.SwapchainUsageFlags.DEPTH_STENCIL_ATTACHMENT_BIT
            if depth
            else xr.SwapchainUsageFlags.COLOR_ATTACHMENT_BIT
        )
        self.size = width, height
        self.handle = xr.create_swapchain(
            session,
            xr.SwapchainCreateInfo(
                usage_flags=usage | xr.SwapchainUsageFlags.SAMPLED_BIT,
                format=kind,
                sample_count=1,
                width=width,
                height=height,
                face_count=1,
                array_size=1,
                mip_count=1,
            ),
        )
        images = xr.enumerate_swapchain_images(self.handle, xr.SwapchainImageOpenGLKHR)
        self.textures = [int(image.image) for image in images]
        """OpenGL names of the pictures."""

    def acquire(self) -> int:
        """The number of the picture that is ours now; waits until the compositor lets it go."""
        index = xr.acquire_swapchain_image(self.handle)
        xr.wait_swapchain_image(self.handle, xr.SwapchainImageWaitInfo(timeout=WAIT_NS))
        return index

    def give_back(self) -> None:
        """The picture is drawn."""
        xr.release_swapchain_image(self.handle)

    def sub_image(self) -> Any:
        """All of it, for a layer."""
        width, height = self.size
        return xr.SwapchainSubImage(
            swapchain=self.handle,
            image_rect=xr.Rect2Di(xr.Offset2Di(0, 0), xr.Extent2Di(width, height)),
        )

    def destroy(self) -> None:
        xr.destroy_swapchain(self.handle)


class Target:
    """Colour, and depth that the compositor may see, of one eye or of the panel."""

    def __init__(
        self,
        context: moderngl.Context,
        session: Any,
        size: tuple[int, int],
        *,
        colour_format: int,
        depth_format: int | None,
    ) -> None:
        self._context = context
        width, height = size
        self.size = size
        self.colour = Swapchain(session, colour_format, width, height, depth=False)
        self.depth: Swapchain | None = None
        if depth_format is not None:
            self.depth = Swapchain(session, depth_format, width, height, depth=True)
        self._own_depth = 0
        if self.depth is None:
            self._own_depth = _new("glGenRenderbuffers")
            GL.glBindRenderbuffer(GL.GL_RENDERBUFFER, self._own_depth)
            GL.glRenderbufferStorage(GL.GL_RENDERBUFFER, GL.GL_DEPTH_COMPONENT24, width, height)
            GL.glBindRenderbuffer(GL.GL_RENDERBUFFER, 0)
        self._framebuffers: dict[tuple[int, int], moderngl.Framebuffer] = {}

    @contextmanager
    def drawn(self) -> Iterator[moderngl.Framebuffer]:
        """Within the block the next pictures are ours, as the framebuffer that is given."""
        colour = self.colour.acquire()
        try:
            depth = -1 if self.depth is None else self.depth.acquire()
            try:
                yield self._framebuffer(colour, depth)
            finally:
                if self.depth is not None:
                    self.depth.give_back()
        finally:
            self.colour.give_back()

    def release(self) -> None:
        """Give our framebuffers back; the pictures are the runtime's."""
        for framebuffer in self._framebuffers.values():
            GL.glDeleteFramebuffers(1, [framebuffer.glo])
        self._framebuffers.clear()
        if self._own_depth:
            GL.glDeleteRenderbuffers(1, [self._own_depth])

    def destroy(self) -> None:
        """Give the pictures back to a runtime that still lives."""
        self.colour.destroy()
        if self.depth is not None:
            self.depth.destroy()

    def _framebuffer(self, colour: int, depth: int) -> moderngl.Framebuffer:
        known = self._framebuffers.get((colour, depth))
        if known is not None:
            return known
        name = _new("glGenFramebuffers")
        before = GL.glGetIntegerv(GL.GL_DRAW_FRAMEBUFFER_BINDING)
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, name)
        GL.glFramebufferTexture2D(
            GL.GL_FRAMEBUFFER,
            GL.GL_COLOR_ATTACHMENT0,
            GL.GL_TEXTURE_2D,
            self.colour.textures[colour],
            0,
        )
        if self.depth is not None:
            GL.glFramebufferTexture2D(
                GL.GL_FRAMEBUFFER,
                GL.GL_DEPTH_ATTACHMENT,
                GL.GL_TEXTURE_2D,
                self.depth.textures[depth],
                0,
            )
        else:
            GL.glFramebufferRenderbuffer(
                GL.GL_FRAMEBUFFER, GL.GL_DEPTH_ATTACHMENT, GL.GL_RENDERBUFFER, self._own_depth
            )
        GL.glBindFramebuffer(GL.GL_FRAMEBUFFER, int(before))
        made = self._context.detect_framebuffer(name)
        self._framebuffers[colour, depth] = made
        return made


def formats(session: Any, wants_depth: bool) -> tuple[int, int | None]:
    """The colour format, and the depth format or None, that the runtime and we know best."""
    offered = list(xr.enumerate_swapchain_formats(session))
    colour = next((kind for kind in COLOUR_FORMATS if kind in offered), offered[0])
    depth = next((kind for kind in DEPTH_FORMATS if kind in offered), None)
    return int(colour), int(depth) if depth is not None and wants_depth else None


def _new(generate: str) -> int:
    name = ctypes.c_uint(0)
    getattr(GL, generate)(1, name)
    return int(name.value)
