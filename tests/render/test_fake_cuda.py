"""The fake card notices what it is there for: a barrier that is missing, an index that is wrong."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.render.fake_cuda import SHADERS

TRIAL = """
import sys
from pathlib import Path
import numpy as np
from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card
from render.cpu import CpuRenderer
from tests.render.fake_cuda import fake_library
from tests.render.scenes import random_gaussians, random_view

library = fake_library(Path(sys.argv[1]))
card, cache = Card(library), KernelCache(Path(sys.argv[2]))
with CudaRenderer(card=card, cache=cache) as cuda:
    gaussians, views = random_gaussians(3000, 1, size=0.03), [random_view(2), random_view(3)]
    expected = CpuRenderer().render_float(gaussians, views)[0]
    for seed in range(4):
        library.fake_seed(seed)
        drawn = cuda.render_float(gaussians, views)[0]
        off = np.abs(drawn - expected).max(-1)
        assert library.fake_failure() == b"", library.fake_failure()
        assert np.isfinite(drawn).all(), "not a number"
        assert (off > 1e-3).mean() < 1e-3, "another picture"
print("the same picture")
"""


def trial(shaders: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", TRIAL, str(shaders), str(folder / "kernels")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_kernels_as_they_are_pass_the_trial(tmp_path):
    result = trial(SHADERS, tmp_path)
    assert result.stdout == "the same picture\n", result.stderr


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        # A batch is read before all of it is there.
        ("draw.cu", "        __syncthreads();\n        int batch", "        int batch"),
        # Lanes count on before the others have read.
        (
            "sort.cu",
            "__popc(alike & ((1u << lane) - 1));\n        __syncwarp();",
            "__popc(alike & ((1u << lane) - 1));",
        ),
        # One splat too many is read.
        ("project.cu", "if (splat >= count) return;", "if (splat > count) return;"),
        # A thread leaves before a barrier that the others wait at.
        (
            "draw.cu",
            "    bool done = !inside;",
            "    if (!inside) return {};\n    bool done = 0;",
        ),
    ],
)
def test_a_mistake_in_a_kernel_does_not_pass(tmp_path, file, right, wrong):
    shaders = tmp_path / "cuda"
    shutil.copytree(SHADERS, shaders)
    text = (shaders / file).read_text(encoding="utf-8")
    assert text.count(right) == 1
    (shaders / file).write_text(text.replace(right, wrong), encoding="utf-8")
    result = trial(shaders, tmp_path)
    assert "g++" not in result.stderr
    assert "error:" not in result.stderr, result.stderr  # it compiles
    assert result.returncode != 0
