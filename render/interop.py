"""Pictures on an NVIDIA card into textures of OpenGL, without a way through the computer's memory.

OpenGL and CUDA share a texture where both draw on the same card. Where they do not (a laptop whose
window belongs to another card, Windows' own driver under WSL, OpenGL in software), the driver
refuses to register a texture, and pictures are copied through pinned memory, more slowly; `problem`
says so.
"""

import ctypes

import moderngl
import numpy as np

from render.cuda_driver import Card, CudaError
from render.renderer import CardPicture


class CardTextures:
    """Textures of one OpenGL context that a card writes to; all calls with that context current."""

    def __init__(self, card: Card, context: moderngl.Context) -> None:
        self._card, self._context = card, context
        self._textures: list[moderngl.Texture] = []
        self._resources: list[int] = []
        self._pinned, self._pinned_size = 0, 0
        self.problem = ""
        """Why pictures go through the computer's memory, for a person; empty where they do not."""

    def write(self, address: int, views: int, width: int, height: int) -> list[CardPicture]:
        """The pictures [views, height, width, 4], bytes, that lie at `address` on the card, in
        textures, row 0 first; valid until the next call. Textures grow only: to register one
        anew takes longer than to draw."""
        have_width, have_height = self._textures[0].size if self._textures else (0, 0)
        if len(self._textures) < views or have_width < width or have_height < height:
            number = max(views, len(self._textures))
            self._make(number, max(width, have_width), max(height, have_height))
        size = 4 * width * height
        shown = self._textures[:views]
        if self._resources:
            for index, resource in enumerate(self._resources[:views]):
                self._card.write_texture(resource, address + index * size, 4 * width, height)
        else:
            pictures = self._pinned_memory(views * size)
            self._card.read(address, pictures)
            self._card.wait()
            for texture, picture in zip(shown, pictures.reshape(views, size), strict=True):
                texture.write(picture, (0, 0, width, height))
        return [CardPicture(texture, width, height) for texture in shown]

    def release(self) -> None:
        """Give textures and memory back."""
        self._drop_textures()
        if self._pinned_size:
            self._card.free_pinned(self._pinned)
        self._pinned_size = 0

    def _make(self, views: int, width: int, height: int) -> None:
        """Textures of that size, registered with the card if it can be done."""
        self._drop_textures()
        for _ in range(views):
            texture = self._context.texture((width, height), 4)
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            texture.repeat_x = texture.repeat_y = False
            self._textures.append(texture)
        if self.problem:
            return
        try:
            for texture in self._textures:
                self._resources.append(self._card.register_texture(texture.glo))
        except CudaError as error:
            self._forget_resources()
            self.problem = (
                "pictures go to OpenGL through the computer's memory, as CUDA and OpenGL do not "
                f"share a card here ({error.status})"
            )

    def _drop_textures(self) -> None:
        self._forget_resources()
        for texture in self._textures:
            texture.release()
        self._textures = []

    def _forget_resources(self) -> None:
        for resource in self._resources:
            self._card.forget_texture(resource)
        self._resources = []

    def _pinned_memory(self, size: int) -> np.ndarray:
        if size > self._pinned_size:
            if self._pinned_size:
                self._card.free_pinned(self._pinned)
            self._pinned_size = 0
            self._pinned = self._card.allocate_pinned(size)
            self._pinned_size = size
        memory = (ctypes.c_uint8 * size).from_address(self._pinned)
        return np.ctypeslib.as_array(memory)
