"""Renderers for one display, opened by name while it shows, and given back."""

from dataclasses import dataclass

import moderngl

from render.choose import open_renderer, openable_renderers
from render.renderer import Renderer, TextureRenderer


@dataclass(frozen=True, slots=True)
class Opened:
    """A renderer, and whether its first frame would still wait for a compiler."""

    renderer: Renderer
    is_warm: bool


class Renderers:
    """Those of a window's context, for its thread."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._open: list[Renderer] = []
        self.names = openable_renderers(context)
        """What can be chosen here, "auto" first."""

    def open(self, name: str) -> Opened:
        """The renderer of this name. One that draws in the window's context is warm; others can
        be warmed up, and are slow to, in any thread.

        Raises:
            VisavisError: it does not run here.
        """
        renderer = open_renderer(name, context=self._context)
        self._open.append(renderer)
        # In the window's own context: under X11 a thread cannot leave it for another and come back.
        is_warm = isinstance(renderer, TextureRenderer)
        if is_warm:
            renderer.warm_up()
        return Opened(renderer, is_warm)

    def give_back(self, renderer: Renderer) -> None:
        """Release one that draws no more."""
        self._open = [each for each in self._open if each is not renderer]
        renderer.release()

    def close(self) -> None:
        """Release all that are open."""
        for renderer in list(self._open):
            self.give_back(renderer)
