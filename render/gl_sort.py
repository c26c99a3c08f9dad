"""The order of distance, found on the graphics card: what `DistanceOrder.nearest_first` does, where
there are compute shaders (OpenGL 4.3).

A stable radix sort of 32-bit keys, eight bits at a time from the last on, so that equal distances
keep the order of their numbers. How many splats are to be drawn never leaves the card: the last
step writes it where an indirect draw reads it.
"""

import struct

import moderngl
import numpy as np
from numpy.typing import NDArray

from render.camera import View
from render.program import build_compute, set_uniforms
from render.renderer import LEAST_ALPHA, NEAR_PLANE

GROUP = 256
"""Invocations of a work group; radix sorting counts on as many as a digit has values."""
BLOCK = 2048
"""Keys that one work group sorts by one digit: 35 blocks for 70,000 splats."""
DIGIT_BITS, KEY_BITS = 8, 32
DRAW_BYTES = 20
"""Of a command for an indirect draw, as moderngl spaces them."""


class CardOrder:
    """Numbers of splats, nearest first for one view at a time. Buffers grow only, and keep their
    names when they do."""

    def __init__(self, context: moderngl.Context, texture_width: int) -> None:
        """`texture_width`: texels in a row of the splats' textures.

        Raises:
            ShaderError: the driver refuses a shader.
        """
        self._context = context
        built: list[moderngl.ComputeShader] = []
        try:
            for name, defines in (
                (
                    "distance_keys.comp",
                    {
                        "GROUP": GROUP,
                        "TEXTURE_WIDTH": texture_width,
                        "NEAR_PLANE": NEAR_PLANE,
                        "LEAST_ALPHA": LEAST_ALPHA,
                    },
                ),
                ("radix_count.comp", {"BLOCK": BLOCK}),
                ("radix_begin.comp", {}),
                ("radix_move.comp", {"BLOCK": BLOCK}),
            ):
                built.append(build_compute(context, name, **defines))
        except Exception:
            for each in built:
                each.release()
            raise
        self._keys_program, self._count, self._begin, self._move = built
        set_uniforms(self._keys_program, splats=0)
        self._capacity = 0
        self._keys = tuple(context.buffer(reserve=4) for _ in range(2))
        self._places = tuple(context.buffer(reserve=4) for _ in range(2))
        self._counts = context.buffer(reserve=4)
        self.draw = context.buffer(struct.pack("<5I", 4, 0, 0, 0, 0))
        """The command of an indirect draw: a rectangle for each splat that can be seen."""

    @property
    def order(self) -> moderngl.Buffer:
        """32-bit numbers of splats, nearest first; as many as `draw` says mean something."""
        return self._places[0]

    def sort(self, splats: moderngl.Texture, count: int, view: View) -> None:
        """Order the first `count`, at least one, of `splats` as this eye meets them."""
        self._make_room(count)
        barrier = self._context.memory_barrier
        # The last draw may still read its order.
        barrier(moderngl.Context.SHADER_STORAGE_BARRIER_BIT)
        self._keys[0].bind_to_storage_buffer(0)
        self._places[0].bind_to_storage_buffer(1)
        splats.use(0)
        axis, eye = tuple(view.camera_from_world[2]), tuple(view.position)
        set_uniforms(self._keys_program, depth_axis=axis, eye=eye, count=count)
        self._keys_program.run(_whole(count, GROUP))
        blocks = _whole(count, BLOCK)
        self._counts.bind_to_storage_buffer(4)
        self.draw.bind_to_storage_buffer(5)
        set_uniforms(self._begin, blocks=blocks)
        for turn in range(KEY_BITS // DIGIT_BITS):
            now, after = turn % 2, 1 - turn % 2
            for binding, buffers in enumerate((self._keys, self._places)):
                buffers[now].bind_to_storage_buffer(binding)
                buffers[after].bind_to_storage_buffer(binding + 2)
            for program in (self._count, self._move):
                set_uniforms(program, count=count, shift=DIGIT_BITS * turn)
            barrier(moderngl.Context.SHADER_STORAGE_BARRIER_BIT)
            self._count.run(blocks)
            barrier(moderngl.Context.SHADER_STORAGE_BARRIER_BIT)
            self._begin.run(1)
            barrier(moderngl.Context.SHADER_STORAGE_BARRIER_BIT)
            self._move.run(blocks)
        barrier(
            moderngl.Context.VERTEX_ATTRIB_ARRAY_BARRIER_BIT
            | moderngl.Context.COMMAND_BARRIER_BIT
            | moderngl.Context.BUFFER_UPDATE_BARRIER_BIT
        )

    def read(self) -> NDArray[np.uint32]:
        """The order that was found last, copied back; for tests."""
        drawn = np.frombuffer(self.draw.read(), np.uint32)[1]
        return np.frombuffer(self.order.read(), np.uint32)[:drawn]

    def release(self) -> None:
        """Give all of it back."""
        for each in (
            *(*self._keys, *self._places, self._counts, self.draw),
            *(self._keys_program, self._count, self._begin, self._move),
        ):
            each.release()

    def _make_room(self, count: int) -> None:
        if count <= self._capacity:
            return
        self._capacity = BLOCK * _whole(count, BLOCK)
        for each in (*self._keys, *self._places):
            each.orphan(4 * self._capacity)
        self._counts.orphan(4 * 256 * (self._capacity // BLOCK))


def _whole(count: int, portion: int) -> int:
    """How many portions hold `count`."""
    return -(-count // portion)
