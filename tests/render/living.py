"""OpenGL's own word on which objects there are: what leaks shows here, whoever forgot it."""

import ctypes
from ctypes.util import find_library

import moderngl

KINDS = ("Texture", "Buffer", "Framebuffer", "VertexArray", "Program", "Shader", "Query")


def living(context: moderngl.Context) -> dict[str, int]:
    """How many OpenGL objects of each kind there are in the current context, of the first names."""
    library = ctypes.CDLL(find_library("EGL") or "libEGL.so.1")
    library.eglGetProcAddress.restype = ctypes.c_void_p
    asks = ctypes.CFUNCTYPE(ctypes.c_ubyte, ctypes.c_uint)
    counts = {}
    for kind in KINDS:
        exists = asks(library.eglGetProcAddress(f"glIs{kind}".encode()))
        counts[kind] = sum(exists(name) for name in range(1, 1000))
    return counts


class Bystander:
    """Programs of somebody else in a context: a program that is deleted lives on until another one
    is in use; in Mesa, too, one that was used after a compute shader, until another one is."""

    def __init__(self, context: moderngl.Context) -> None:
        context.simple_framebuffer((1, 1)).use()
        self._compute = context.compute_shader(
            "#version 430\nlayout(local_size_x = 1) in; void main() {}"
        )
        self._program = context.program(
            vertex_shader="#version 330\nout float x; void main() { x = 1.0; }", varyings=("x",)
        )
        self._out = context.buffer(reserve=4)
        self._triangle = context.vertex_array(self._program, [])
        self.draw()

    def draw(self) -> None:
        self._compute.run(1)
        self._triangle.transform(self._out, vertices=1)
