"""NVIDIA's driver library, called from Python: memory on the card, kernels, textures of OpenGL.

By ctypes and not by a binding package: the driver brings its library along, so nothing has to be
installed, and it is the same for every version of CUDA from 12 on. Only what the program uses is
declared here, each function under the name that the vendor's header gives its newest form
(`cuMemAlloc` is `cuMemAlloc_v2`); the tests' fake driver is compiled against that header.

Reference: NVIDIA, "CUDA Driver API".
"""

import ctypes
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_void_p
from functools import cache
from typing import Any

from numpy.typing import NDArray

from avatar.errors import DeviceError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
LEAST_VERSION = 12000
"""Of the driver: CUDA 12 (R525, end of 2022) is the first whose binaries our compiler makes."""
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR."""
_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: does not wait for what others do in the default stream."""
_GL_TEXTURE_2D, _WRITE_DISCARD = 0x0DE1, 2
"""CU_GRAPHICS_REGISTER_FLAGS_WRITE_DISCARD: all of the texture is written each time."""
_ALL_DEVICES = 1
"""CU_GL_DEVICE_LIST_ALL."""
_DEVICE_MEMORY, _ARRAY_MEMORY = 2, 3
"""CU_MEMORYTYPE_DEVICE, CU_MEMORYTYPE_ARRAY."""


class _Copy2D(ctypes.Structure):
    """CUDA_MEMCPY2D."""

    _fields_ = (
        ("source_x", c_size_t),
        ("source_y", c_size_t),
        ("source_type", c_int),
        ("source_host", c_void_p),
        ("source_device", c_void_p),
        ("source_array", c_void_p),
        ("source_pitch", c_size_t),
        ("to_x", c_size_t),
        ("to_y", c_size_t),
        ("to_type", c_int),
        ("to_host", c_void_p),
        ("to_device", c_void_p),
        ("to_array", c_void_p),
        ("to_pitch", c_size_t),
        ("width_bytes", c_size_t),
        ("height", c_size_t),
    )


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuMemAlloc_v2": (POINTER(c_void_p), c_size_t),
    "cuMemFree_v2": (c_void_p,),
    "cuMemAllocHost_v2": (POINTER(c_void_p), c_size_t),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_void_p, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_void_p, c_size_t, c_void_p),
    "cuMemsetD32Async": (c_void_p, c_uint, c_size_t, c_void_p),
    "cuMemcpy2DAsync_v2": (POINTER(_Copy2D), c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuLaunchKernel": (
        *(c_void_p, *[c_uint] * 7, c_void_p),
        *(POINTER(c_void_p), POINTER(c_void_p)),
    ),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cuEventDestroy_v2": (c_void_p,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuGLGetDevices_v2": (POINTER(c_uint), POINTER(c_int), c_uint, c_int),
    "cuGraphicsGLRegisterImage": (POINTER(c_void_p), c_uint, c_uint, c_uint),
    "cuGraphicsUnregisterResource": (c_void_p,),
    "cuGraphicsMapResources": (c_uint, POINTER(c_void_p), c_void_p),
    "cuGraphicsUnmapResources": (c_uint, POINTER(c_void_p), c_void_p),
    "cuGraphicsSubResourceGetMappedArray": (POINTER(c_void_p), c_void_p, c_uint, c_uint),
}
"""The parameters of each; all return a CUresult."""


class CudaError(DeviceError):
    """The driver refused a call. `status` is its CUresult."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@cache
def driver_library() -> ctypes.CDLL | None:
    """The driver's library, or None where no NVIDIA driver is installed. Starts nothing."""
    try:
        return ctypes.WinDLL(LIBRARY) if sys.platform == "win32" else ctypes.CDLL(LIBRARY)
    except OSError:
        return None


class Card:
    """One NVIDIA card: its primary context, which other libraries share, and a stream of our own.

    Any thread may use it, one at a time, after `use`.
    """

    def __init__(self, library: ctypes.CDLL | None = None, *, for_opengl: bool = False) -> None:
        """`library`: another one than the system's driver, for tests. `for_opengl`: the card that
        the current OpenGL context draws on, if it is one of ours; else the driver's first.

        Raises:
            DeviceError: no driver, too old a driver, or no card.
        """
        library = driver_library() if library is None else library
        if library is None:
            raise DeviceError(
                f"renderer 'cuda': no NVIDIA driver here ({LIBRARY} is missing). Install the "
                "driver, or use --backend auto."
            )
        self._library = library
        self._sizes: dict[int, int] = {}
        for name, parameters in _FUNCTIONS.items():
            try:
                function = getattr(library, name)
            except AttributeError:
                raise DeviceError(
                    f"renderer 'cuda': the NVIDIA driver is too old, it has no {name}. Install one "
                    "for CUDA 12 or newer (525 and up), or use --backend auto."
                ) from None
            function.argtypes, function.restype = parameters, c_int
        self._call("cuInit", 0)
        self.driver_version = self._number("cuDriverGetVersion")
        """Of CUDA that the driver knows, 1000 * major + 10 * minor."""
        if self.driver_version < LEAST_VERSION:
            raise DeviceError(
                f"renderer 'cuda': the NVIDIA driver is for CUDA {self.driver_version // 1000}, "
                "expected 12 or newer. Install driver 525 or newer, or use --backend auto."
            )
        if self._number("cuDeviceGetCount") == 0:
            raise DeviceError(
                "renderer 'cuda': there is an NVIDIA driver but no card that it can use "
                "(CUDA_VISIBLE_DEVICES hides cards, too). Use --backend auto."
            )
        self._device = (self._opengl_device() if for_opengl else None) or self._number(
            "cuDeviceGet", 0
        )
        name = ctypes.create_string_buffer(128)
        self._call("cuDeviceGetName", name, len(name), self._device)
        self.name = name.value.decode(errors="replace")
        self.arch = 10 * self._number("cuDeviceGetAttribute", _MAJOR, self._device) + self._number(
            "cuDeviceGetAttribute", _MINOR, self._device
        )
        """Compute capability: 86 is 8.6."""
        self._context = self._handle("cuDevicePrimaryCtxRetain", self._device)
        self.use()
        self._stream = self._handle("cuStreamCreate", _NON_BLOCKING)

    def use(self) -> None:
        """Make it the calling thread's card."""
        self._call("cuCtxSetCurrent", self._context)

    def release(self) -> None:
        """Give back the stream and the context. What was allocated is to be freed before."""
        self._call("cuStreamDestroy_v2", self._stream)
        self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def wait(self) -> None:
        """Until the card has done all that it was asked for.

        Raises:
            CudaError: something of it failed; the card's memory may be lost with it.
        """
        self._call("cuStreamSynchronize", self._stream)

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the card, more than none."""
        address = self._handle("cuMemAlloc_v2", size)
        self._sizes[address] = size
        return address

    def free(self, address: int) -> None:
        """What `allocate` gave."""
        del self._sizes[address]
        self._call("cuMemFree_v2", address)

    @property
    def held_bytes(self) -> int:
        """Allocated on the card and not yet freed."""
        return sum(self._sizes.values())

    def allocate_pinned(self, size: int) -> int:
        """Address of `size` bytes of the computer's memory that the card copies to and from by
        itself."""
        return self._handle("cuMemAllocHost_v2", size)

    def free_pinned(self, address: int) -> None:
        """What `allocate_pinned` gave."""
        self._call("cuMemFreeHost", address)

    def write(self, address: int, values: NDArray[Any]) -> None:
        """Copy to the card. `values`, C-contiguous, may change as soon as this returns, if they are
        not pinned memory: the driver copies others before it returns."""
        assert values.flags.c_contiguous, "expected memory in one piece"
        if values.nbytes:
            self._call(
                "cuMemcpyHtoDAsync_v2", address, values.ctypes.data, values.nbytes, self._stream
            )

    def read(self, address: int, values: NDArray[Any]) -> None:
        """Copy from the card into `values`, C-contiguous; they are there after `wait`."""
        assert values.flags.c_contiguous, "expected memory in one piece"
        assert values.flags.writeable, "expected memory that may be written to"
        if values.nbytes:
            self._call(
                "cuMemcpyDtoHAsync_v2", values.ctypes.data, address, values.nbytes, self._stream
            )

    def fill(self, address: int, value: int, count: int) -> None:
        """`count` words of 32 bits."""
        if count:
            self._call("cuMemsetD32Async", address, value, count, self._stream)

    def load(self, image: bytes) -> int:
        """A module of compiled kernels, or of PTX text.

        Raises:
            CudaError: the driver cannot use it.
        """
        return self._handle("cuModuleLoadData", image)

    def unload(self, module: int) -> None:
        """What `load` gave."""
        self._call("cuModuleUnload", module)

    def kernel(self, module: int, name: str) -> int:
        """The address of a kernel of a module."""
        return self._handle("cuModuleGetFunction", module, name.encode())

    def launch(self, kernel: int, grid: tuple[int, int, int], threads: int, arguments: Any) -> None:
        """Start blocks of `threads`; `arguments` is a ctypes array of pointers to them."""
        self._call("cuLaunchKernel", kernel, *grid, threads, 1, 1, 0, self._stream, arguments, None)

    def event(self) -> int:
        """A mark in the order of work, for `mark` and `seconds`."""
        return self._handle("cuEventCreate", 0)

    def mark(self, event: int) -> None:
        """Note the time when the card has come here."""
        self._call("cuEventRecord", event, self._stream)

    def seconds(self, first: int, last: int) -> float:
        """Between two marks, after `wait`."""
        milliseconds = c_float()
        self._call("cuEventElapsedTime", ctypes.byref(milliseconds), first, last)
        return milliseconds.value / 1000

    def free_event(self, event: int) -> None:
        """What `event` gave."""
        self._call("cuEventDestroy_v2", event)

    def register_texture(self, texture: int) -> int:
        """A texture of the current OpenGL context, 2D, four channels, that we may write to.

        Raises:
            CudaError: OpenGL draws on something else than this card, or has no such texture.
        """
        return self._handle("cuGraphicsGLRegisterImage", texture, _GL_TEXTURE_2D, _WRITE_DISCARD)

    def forget_texture(self, resource: int) -> None:
        """What `register_texture` gave."""
        self._call("cuGraphicsUnregisterResource", resource)

    def write_texture(self, resource: int, address: int, row_bytes: int, rows: int) -> None:
        """Copy rows that lie behind each other on the card into a registered texture; OpenGL, when
        it reads the texture afterwards, waits for the copy."""
        handles = (c_void_p * 1)(resource)
        self._call("cuGraphicsMapResources", 1, handles, self._stream)
        try:
            copy = _Copy2D(
                source_type=_DEVICE_MEMORY,
                source_device=address,
                source_pitch=row_bytes,
                to_type=_ARRAY_MEMORY,
                to_array=self._handle("cuGraphicsSubResourceGetMappedArray", resource, 0, 0),
                width_bytes=row_bytes,
                height=rows,
            )
            self._call("cuMemcpy2DAsync_v2", ctypes.byref(copy), self._stream)
        finally:
            self._call("cuGraphicsUnmapResources", 1, handles, self._stream)

    def _opengl_device(self) -> int | None:
        """Of several cards the one that the current OpenGL context draws on; None for none."""
        count, device = c_uint(), c_int()
        try:
            self._call(
                "cuGLGetDevices_v2", ctypes.byref(count), ctypes.byref(device), 1, _ALL_DEVICES
            )
        except CudaError:  # OpenGL draws on something else
            return None
        return device.value if count.value else None

    def _number(self, name: str, *arguments: int) -> int:
        """What a function writes to its first parameter, a whole number."""
        value = c_int()
        self._call(name, ctypes.byref(value), *arguments)
        return value.value

    def _handle(self, name: str, *arguments: Any) -> int:
        """What a function writes to its first parameter, an address."""
        value = c_void_p()
        self._call(name, ctypes.byref(value), *arguments)
        if value.value is None:  # success, with nothing: seen of registrations
            raise CudaError(f"renderer 'cuda': {name} gave nothing.", 0)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise CudaError(self._told(name, status), status)

    def _told(self, name: str, status: int) -> str:
        texts = []
        for function in (self._library.cuGetErrorName, self._library.cuGetErrorString):
            text = c_char_p()
            if function(status, ctypes.byref(text)) == 0 and text.value:
                texts.append(text.value.decode(errors="replace"))
        told = ", ".join(texts) or "unknown"
        return f"renderer 'cuda': the NVIDIA driver refused {name}: {status} ({told})."
