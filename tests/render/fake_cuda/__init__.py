"""A fake NVIDIA card: the program's own kernels, compiled by g++, behind a fake of the driver's
library. What it can show and what not stands in emulator.h, beside this file."""

import ctypes
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from render.cuda_compiler import KERNEL_FILES, kernel_macros
from render.cuda_memory import kernel_parameters

FOLDER = Path(__file__).parent
SHADERS = Path(__file__).parents[3] / "shaders" / "cuda"
CHECKS = (
    # What is wrong ends the process at once: an index beyond shared or local arrays, a float that
    # fits no whole number, a shift that is too far.
    "-fsanitize=bounds,float-cast-overflow,shift,integer-divide-by-zero,alignment",
    "-fsanitize-undefined-trap-on-error",
    "-U_FORTIFY_SOURCE",  # it takes a jump between fibers for an attack
)


@cache
def fake_library(shaders: Path = SHADERS) -> ctypes.CDLL:
    """The fake driver with the kernels of a folder, compiled once a process."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the fake card is made of Linux' own memory calls")
    specification = importlib.util.find_spec("nvidia")
    roots = list(specification.submodule_search_locations or ()) if specification else []
    headers = [path for root in roots for path in [Path(root, "cuda_runtime/include")]]
    found = [path for path in headers if (path / "cuda.h").is_file()]
    assert found, "cuda.h is missing: pip install nvidia-cuda-runtime-cu12"
    with TemporaryDirectory() as folder:
        kernels, names = Path(folder, "kernels.h"), Path(folder, "names.h")
        kernels.write_text("".join(f'#include "{name}"\n' for name in KERNEL_FILES))
        names.write_text("".join(f"KERNEL({name})\n" for name in kernel_parameters()))
        library = Path(folder, "fake_cuda.so")
        command = [
            *("g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-ffp-contract=off", *CHECKS),
            *("-Wall", "-Wextra", "-Werror", "-Wno-unused-function"),
            *(f"-D{name}={value}" for name, value in kernel_macros().items()),
            *(f'-DKERNEL_FILE="{kernels}"', f'-DKERNEL_LIST="{names}"'),
            *("-I", str(found[0]), "-I", str(shaders), "-I", str(FOLDER)),
            *(str(FOLDER / "fake_driver.cpp"), "-o", str(library)),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        fake = ctypes.CDLL(str(library))
    for name in ("fake_calls", "fake_failure"):
        getattr(fake, name).restype = ctypes.c_char_p
    for name in ("fake_allocations", "fake_held"):
        getattr(fake, name).restype = ctypes.c_size_t
    fake.fake_fail.argtypes = (ctypes.c_char_p, ctypes.c_int)
    return fake


def calls() -> list[str]:
    """The driver's functions that were called since the last time this was."""
    fake = fake_library()
    names = fake.fake_calls().decode().split()
    fake.fake_forget_calls()
    return names


@contextmanager
def failing(function: str, status: int) -> Iterator[None]:
    """Within the block this function of the driver refuses."""
    fake_library().fake_fail(function.encode(), status)
    try:
        yield
    finally:
        fake_library().fake_fail(function.encode(), 0)
