"""The kernels of `shaders/cuda`, compiled for the card of this machine when they are needed.

NVIDIA's run-time compiler (NVRTC) comes as a wheel and needs neither a toolkit nor a card. What it
made is kept in the user's cache folder, under a name that changes with everything that it depends
on.

Reference: NVIDIA, "NVRTC".
"""

import ctypes
import hashlib
import importlib.util
import math
import os
import re
import sys
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from avatar.errors import DeviceError, ShaderError
from render.renderer import (
    FRUSTUM_MARGIN,
    LEAST_ALPHA,
    LEAST_TRANSMITTANCE,
    MOST_ALPHA,
    NEAR_PLANE,
    SCREEN_BLUR,
)

KERNEL_FILES = ("pose.cu", "project.cu", "sort.cu", "draw.cu")
HEADER_FILES = ("rules.cuh",)
WHEEL = "nvidia-cuda-nvrtc-cu12"
INSTALL = f'"{sys.executable}" -m pip install {WHEEL}'
"""The one command that installs the compiler."""
_PLACES = (("nvidia", "cuda_nvrtc"), ("nvidia", "cu13"))
"""Where the wheels for CUDA 12 and 13 put it; torch's builds for cards bring one of them."""
_PATTERNS = ("bin/nvrtc64_*_0.dll", "bin/x86_64/nvrtc64_*_0.dll", "lib/libnvrtc.so.1[2-9]")
_MAJOR = re.compile(r"nvrtc64_(\d\d)\d_0\.dll|libnvrtc\.so\.(\d\d)")
LEAST_MAJOR = 12
_OPTIONS = ("--std=c++17", "--restrict")

_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "nvrtcVersion": (POINTER(c_int), POINTER(c_int)),
    "nvrtcGetNumSupportedArchs": (POINTER(c_int),),
    "nvrtcGetSupportedArchs": (POINTER(c_int),),
    "nvrtcCreateProgram": (
        *(POINTER(c_void_p), c_char_p, c_char_p, c_int),
        *(POINTER(c_char_p), POINTER(c_char_p)),
    ),
    "nvrtcCompileProgram": (c_void_p, c_int, POINTER(c_char_p)),
    "nvrtcGetProgramLogSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetProgramLog": (c_void_p, c_char_p),
    "nvrtcGetCUBINSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetCUBIN": (c_void_p, c_char_p),
    "nvrtcGetPTXSize": (c_void_p, POINTER(c_size_t)),
    "nvrtcGetPTX": (c_void_p, c_char_p),
    "nvrtcDestroyProgram": (POINTER(c_void_p),),
}


def kernel_macros() -> dict[str, str]:
    """The rules' numbers as the kernels know them."""
    numbers = {
        "SCREEN_BLUR": SCREEN_BLUR,
        "NEAR_PLANE": NEAR_PLANE,
        "LEAST_ALPHA": LEAST_ALPHA,
        "LEAST_EXPONENT": math.log2(LEAST_ALPHA),
        "MOST_ALPHA": MOST_ALPHA,
        "LEAST_TRANSMITTANCE": LEAST_TRANSMITTANCE,
        "FRUSTUM_MARGIN": FRUSTUM_MARGIN,
    }
    return {name: f"{value:.9e}f" for name, value in numbers.items()}


def kernel_source() -> str:
    """The one file that is compiled: all others, included."""
    return "".join(f'#include "{name}"\n' for name in KERNEL_FILES)


def kernel_texts() -> dict[str, str]:
    """Name -> text of what `kernel_source` includes."""
    folder = files("shaders").joinpath("cuda")
    texts = {}
    for name in (*KERNEL_FILES, *HEADER_FILES):
        path = folder.joinpath(name)
        if not path.is_file():
            raise ShaderError(f"shaders/cuda/{name} is missing. Reinstall the program.")
        texts[name] = path.read_text(encoding="utf-8")
    return texts


@cache
def compiler_library(driver_major: int = LEAST_MAJOR) -> Path | None:
    """The run-time compiler that is installed beside this Python for such a driver; None for none.

    Of several the oldest: what it makes runs with more drivers, and on older cards. A driver runs
    binaries of its own major version of CUDA and older ones, not of a newer one.
    """
    found: list[Path] = []
    for package, folder in _PLACES:
        specification = importlib.util.find_spec(package)
        for root in (specification.submodule_search_locations or ()) if specification else ():
            for pattern in _PATTERNS:
                found += Path(root, folder).glob(pattern)
    usable = [path for path in found if LEAST_MAJOR <= _major(path) <= driver_major]
    return min(usable, key=_major, default=None)


def _major(path: Path) -> int:
    """Of the CUDA that a compiler belongs to; 0 where its name does not tell."""
    match = _MAJOR.fullmatch(path.name)
    return int(match[1] or match[2]) if match else 0


class Compiler:
    """NVRTC."""

    def __init__(self, driver_major: int = LEAST_MAJOR) -> None:
        """One whose binaries a driver for this CUDA runs.

        Raises:
            DeviceError: it is not installed, or does not load.
        """
        path = compiler_library(driver_major)
        if path is None:
            raise DeviceError(
                "renderer 'cuda': NVIDIA's run-time compiler is missing. This installs it: "
                f"{INSTALL}"
            )
        if sys.platform == "win32":
            # It loads a second library, which lies beside it, by its name alone.
            os.add_dll_directory(str(path.parent))
            os.environ["PATH"] = f"{path.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise DeviceError(
                f"renderer 'cuda': {path.name} does not load ({error}). This installs it again: "
                f"{INSTALL} --force-reinstall"
            ) from error
        for name, parameters in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = parameters, c_int
        self._library.nvrtcGetErrorString.argtypes = (c_int,)
        self._library.nvrtcGetErrorString.restype = c_char_p
        major, minor = c_int(), c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)
        count = c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        archs = (c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", archs)
        self.archs = tuple(sorted(archs))
        """Compute capabilities that it compiles for: 86 is 8.6."""

    def compile(self, arch: int) -> bytes:
        """All kernels for a card of this compute capability: its binary, or PTX text, which the
        driver translates, for a card that is newer than the compiler.

        Raises:
            DeviceError: the card is older than any that the compiler knows.
            ShaderError: it refuses a kernel or warns of one; its log is in the message.
        """
        if arch < min(self.archs):
            raise DeviceError(
                f"renderer 'cuda': the card is of compute capability {arch / 10:.1f}, expected "
                f"{min(self.archs) / 10:.1f} or newer. Use --backend gl or cpu."
            )
        known = arch in self.archs
        target = f"sm_{arch}" if known else f"compute_{max(a for a in self.archs if a < arch)}"
        texts = kernel_texts()
        program = c_void_p()
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            kernel_source().encode(),
            b"kernels.cu",
            len(texts),
            (c_char_p * len(texts))(*(text.encode() for text in texts.values())),
            (c_char_p * len(texts))(*(name.encode() for name in texts)),
        )
        try:
            options = [f"--gpu-architecture={target}", *_OPTIONS]
            options += [f"-D{name}={value}" for name, value in kernel_macros().items()]
            array = (c_char_p * len(options))(*(option.encode() for option in options))
            status = self._library.nvrtcCompileProgram(program, len(options), array)
            log = self._text(program, "nvrtcGetProgramLog").strip(b"\0 \n").decode(errors="replace")
            if status or log:
                raise ShaderError(f"shaders/cuda, for {target}: {' '.join(log.split()) or status}")
            return self._text(program, "nvrtcGetCUBIN" if known else "nvrtcGetPTX")
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _text(self, program: c_void_p, name: str) -> bytes:
        size = c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(max(size.value, 1))
        self._call(name, program, text)
        return text.raw[: size.value]

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            told = self._library.nvrtcGetErrorString(status).decode()
            raise DeviceError(
                f"renderer 'cuda': NVIDIA's run-time compiler refused {name}: {told}."
            )


class KernelCache:
    """Compiled kernels on disk."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = cache_folder() if folder is None else folder

    def get(self, compiler: Compiler, arch: int, driver_version: int) -> bytes:
        """The kernels for a card, from disk where they are there and whole.

        A folder that cannot be written to costs the time to compile, each time, and no more.
        """
        path = self.path(compiler, arch, driver_version)
        try:
            stored = path.read_bytes()
        except OSError:
            stored = b""
        digest, image = stored[:32], stored[32:]
        if image and hashlib.sha256(image).digest() == digest:
            return image
        image = compiler.compile(arch)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(image).digest() + image)
            beside.replace(path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
        return image

    def forget(self, compiler: Compiler, arch: int, driver_version: int) -> None:
        """Remove what the driver would not take."""
        with suppress(OSError):
            self.path(compiler, arch, driver_version).unlink()

    def path(self, compiler: Compiler, arch: int, driver_version: int) -> Path:
        """Where they lie: named after all that they depend on."""
        digest = hashlib.sha256()
        parts = (kernel_source(), *kernel_texts().values(), *_OPTIONS, str(kernel_macros()))
        for part in (*parts, str(compiler.version), str(arch), str(driver_version)):
            digest.update(part.encode() + b"\0")
        return self._folder / f"kernels-sm{arch}-{digest.hexdigest()[:24]}.bin"


def cache_folder() -> Path:
    """The user's folder for what can be made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "visavis"
