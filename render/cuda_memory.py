"""What stays on the card from frame to frame: arrays that only grow, and kernels ready to start."""

import ctypes
import re
from typing import Any

from numpy.typing import NDArray

from render.cuda_compiler import KERNEL_FILES, Compiler, KernelCache, kernel_texts
from render.cuda_driver import Card, CudaError

THREADS = 256
"""Of a block, in every kernel: `BLOCK` in shaders/cuda/rules.cuh."""
_KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\(BLOCK\) (\w+)\(([^)]*)\)')


class CardArray:
    """Memory on a card that is made anew, and loses what it held, where more is asked for."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._size = 0
        self.address = 0

    def room(self, size: int) -> int:
        """The address of `size` bytes."""
        if size > self._size:
            self.release()
            self.address = self._card.allocate(size)
            self._size = size
        return self.address

    def take(self, values: NDArray[Any]) -> int:
        """The address of a copy of `values`, which need not stay as they are."""
        address = self.room(values.nbytes) if values.nbytes else self.address
        self._card.write(address, values)
        return address

    def release(self) -> None:
        """Give it back; `room` begins anew."""
        if self._size:
            self._card.free(self.address)
        self.address = self._size = 0


class Kernel:
    """One kernel, and room for its arguments: addresses and 32-bit whole numbers."""

    def __init__(self, card: Card, address: int, parameters: str) -> None:
        """`parameters` as they stand in the source: those with a star are addresses."""
        self._card, self._address = card, address
        self._values = [
            ctypes.c_void_p() if "*" in parameter else ctypes.c_int()
            for parameter in parameters.split(",")
        ]
        pointers = [ctypes.addressof(value) for value in self._values]
        self._arguments = (ctypes.c_void_p * len(pointers))(*pointers)

    def __call__(self, blocks: int | tuple[int, int, int], *arguments: int) -> None:
        """Start it. The driver copies the arguments before it returns."""
        for value, argument in zip(self._values, arguments, strict=True):
            value.value = argument
        grid = (blocks, 1, 1) if isinstance(blocks, int) else blocks
        self._card.launch(self._address, grid, THREADS, self._arguments)


class Kernels:
    """All kernels of `shaders/cuda` on one card, by name."""

    def __init__(self, card: Card, cache: KernelCache) -> None:
        """
        Raises:
            DeviceError: no compiler, or the card refuses what it makes.
            ShaderError: the compiler refuses a kernel.
        """
        self._card = card
        compiler = Compiler(card.driver_version // 1000)
        key = compiler, card.arch, card.driver_version
        try:
            self._module = card.load(cache.get(*key))
        except CudaError:  # kept by a driver that has changed under the same version, or damaged
            cache.forget(*key)
            self._module = card.load(cache.get(*key))
        self._kernels = {
            name: Kernel(card, card.kernel(self._module, name), parameters)
            for name, parameters in kernel_parameters().items()
        }

    def __getattr__(self, name: str) -> Kernel:
        try:
            return self._kernels[name]
        except KeyError:
            raise AttributeError(name) from None

    def release(self) -> None:
        """Give the module back."""
        self._card.unload(self._module)


def kernel_parameters() -> dict[str, str]:
    """Name -> parameters of each kernel, as they stand in the source."""
    texts = kernel_texts()
    return {name: text for file in KERNEL_FILES for name, text in _KERNEL.findall(texts[file])}
