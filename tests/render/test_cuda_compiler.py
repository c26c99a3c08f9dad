"""The kernels as NVIDIA's own compiler sees them, which needs no card; and their cache."""

import ctypes
import hashlib
import re
from pathlib import Path

import pytest

from avatar.errors import DeviceError, ShaderError
from render import cuda_compiler
from render.cuda import CudaRenderer
from render.cuda_compiler import (
    KERNEL_FILES,
    Compiler,
    KernelCache,
    cache_folder,
    compiler_library,
    kernel_texts,
)
from render.cuda_driver import Card
from render.cuda_lists import DIGITS, PART, SUM_SHARE, TILE
from render.cuda_memory import THREADS, Kernels, kernel_parameters
from tests.render.fake_cuda import calls, failing, fake_library


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler()


@pytest.mark.parametrize("arch", [75, 86, 89, 90, 120])
def test_every_kernel_compiles_for_these_cards_without_a_warning(compiler, arch):
    image = compiler.compile(arch)
    assert image[:4] == b"\x7fELF"
    for name in kernel_parameters():
        assert name.encode() in image


def test_a_card_newer_than_the_compiler_gets_text_that_its_driver_translates(compiler):
    image = compiler.compile(990)
    assert b".version" in image
    assert b".entry project" in image


def test_a_card_that_is_too_old_is_refused_with_what_is_expected(compiler):
    with pytest.raises(DeviceError, match=r"capability 3\.5, expected 5\.0 or newer"):
        compiler.compile(35)


def test_a_mistake_in_a_kernel_is_told_with_its_file_and_line(compiler, monkeypatch):
    texts = {**kernel_texts(), "sort.cu": '#include "rules.cuh"\n\nint broken('}
    monkeypatch.setattr(cuda_compiler, "kernel_texts", lambda: texts)
    with pytest.raises(ShaderError, match=r"sort\.cu\(3\)"):
        compiler.compile(86)


def test_a_warning_is_an_error(compiler, monkeypatch):
    before = kernel_texts()
    wasteful = '#include "rules.cuh"\nstatic __device__ void f() { int unused = 1; }\n'
    monkeypatch.setattr(cuda_compiler, "kernel_texts", lambda: {**before, "sort.cu": wasteful})
    with pytest.raises(ShaderError, match="warning"):
        compiler.compile(86)


def test_every_kernel_is_found_with_its_parameters():
    text = "".join(kernel_texts()[name] for name in KERNEL_FILES)
    assert len(kernel_parameters()) == text.count("__global__ void")
    # What is no address is a whole number of 32 bits: nothing else is sent.
    for parameters in kernel_parameters().values():
        for parameter in parameters.split(","):
            assert "*" in parameter or re.fullmatch(r"\s*(int|unsigned)\s+\w+\s*", parameter)


def test_numbers_that_python_and_kernels_share_are_the_same():
    texts = kernel_texts()
    text = "".join(texts.values())
    defined = dict(re.findall(r"#define (\w+) (\d+)\b", text))
    assert int(defined["TILE"]) == TILE
    assert int(defined["BLOCK"]) == THREADS == TILE * TILE
    assert int(defined["DIGITS"]) == DIGITS == THREADS
    assert int(defined["ROUNDS"]) * THREADS == PART
    assert int(defined["SUM_ITEMS"]) * THREADS == SUM_SHARE


def test_a_missing_kernel_file_is_told(monkeypatch):
    monkeypatch.setattr(cuda_compiler, "KERNEL_FILES", ("gone.cu",))
    with pytest.raises(ShaderError, match=r"shaders/cuda/gone\.cu is missing"):
        kernel_texts()


def test_without_the_compiler_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.setattr(cuda_compiler, "compiler_library", lambda _: None)
    with pytest.raises(DeviceError, match="-m pip install nvidia-cuda-nvrtc-cu12"):
        Compiler()


def test_a_compiler_that_does_not_load_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "libnvrtc.so.12"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(cuda_compiler, "compiler_library", lambda _: broken)
    with pytest.raises(DeviceError, match=r"libnvrtc\.so\.12 does not load"):
        Compiler()


class CountingCompiler(Compiler):
    """Compiles nothing, and counts."""

    def __init__(self) -> None:
        self.version, self.compiled = (12, 9), 0

    def compile(self, arch: int) -> bytes:
        self.compiled += 1
        return b"\x7fELF of %d" % arch


def test_what_was_compiled_is_found_again_unless_anything_changed(tmp_path, monkeypatch):
    compiler, cache = CountingCompiler(), KernelCache(tmp_path / "new")
    assert cache.get(compiler, 86, 12090) == cache.get(compiler, 86, 12090) == b"\x7fELF of 86"
    assert compiler.compiled == 1
    cache.get(compiler, 89, 12090)
    cache.get(compiler, 86, 13000)
    assert compiler.compiled == 3
    compiler.version = (13, 0)
    cache.get(compiler, 86, 12090)
    assert compiler.compiled == 4
    texts = {**kernel_texts(), "draw.cu": "// another"}
    monkeypatch.setattr(cuda_compiler, "kernel_texts", lambda: texts)
    cache.get(compiler, 86, 12090)
    assert compiler.compiled == 5
    assert len(list((tmp_path / "new").iterdir())) == 5  # and nothing half-written beside them


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    compiler, cache = CountingCompiler(), KernelCache(tmp_path)
    good = cache.get(compiler, 86, 12090)
    path = cache.path(compiler, 86, 12090)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x" if damage is None else damage)
    assert cache.get(compiler, 86, 12090) == good
    assert compiler.compiled == 2
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    compiler, cache = CountingCompiler(), KernelCache(tmp_path / "file" / "below")
    assert cache.get(compiler, 86, 12090) == cache.get(compiler, 86, 12090)
    assert compiler.compiled == 2


def test_kernels_that_the_driver_refuses_are_made_again_once(tmp_path):
    card, cache = Card(fake_library()), KernelCache(tmp_path)
    compiler = Compiler()
    Kernels(card, cache).release()
    path = cache.path(compiler, card.arch, card.driver_version)
    whole = path.read_bytes()
    bad = b"whole on disk, but no kernels"
    path.write_bytes(hashlib.sha256(bad).digest() + bad)
    Kernels(card, cache).release()
    assert path.read_bytes() == whole
    calls()
    with failing("cuModuleLoadData", 200), pytest.raises(DeviceError, match="cuModuleLoadData"):
        CudaRenderer(card=card, cache=cache)
    made = calls()
    assert made.count("cuModuleLoadData") == 2
    assert made[-1] == "cuDevicePrimaryCtxRelease_v2"


def test_the_cache_lies_in_the_users_own_folder_for_it(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "visavis"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert cache_folder() == tmp_path / "Local" / "visavis"


@pytest.mark.parametrize(
    ("there", "driver_major", "taken"),
    [
        ((), 13, None),
        (("cuda_nvrtc/lib/libnvrtc.so.12",), 12, "libnvrtc.so.12"),
        (("cuda_nvrtc/lib/libnvrtc.so.12", "cu13/lib/libnvrtc.so.13"), 13, "libnvrtc.so.12"),
        (("cu13/lib/libnvrtc.so.13",), 13, "libnvrtc.so.13"),
        (("cu13/lib/libnvrtc.so.13",), 12, None),
        (("cuda_nvrtc/bin/nvrtc64_120_0.dll",), 12, "nvrtc64_120_0.dll"),
        (
            ("cuda_nvrtc/bin/nvrtc64_120_0.alt.dll", "cu13/bin/x86_64/nvrtc64_130_0.dll"),
            13,
            "nvrtc64_130_0.dll",
        ),
        (("cuda_nvrtc/lib/libnvrtc-builtins.so.12.9", "cuda_nvrtc/lib/libnvrtc.so.11"), 12, None),
    ],
)
def test_of_several_compilers_the_oldest_is_taken_that_the_driver_follows(
    monkeypatch, tmp_path, there, driver_major, taken
):
    for name in there:
        path = tmp_path / "nvidia" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    class Namespace:
        submodule_search_locations = (str(tmp_path / "nvidia"), str(tmp_path / "gone"))

    monkeypatch.setattr(cuda_compiler.importlib.util, "find_spec", lambda name: Namespace)
    found = compiler_library.__wrapped__(driver_major)
    assert (found.name if found else None) == taken


def test_the_compiler_is_found_beside_this_python():
    path = compiler_library()
    assert path is not None
    assert path.is_absolute()
    assert isinstance(path, Path)
    ctypes.CDLL(str(path))
