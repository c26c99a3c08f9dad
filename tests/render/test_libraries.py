"""Each library uses the OpenGL that it came with."""

import subprocess
import sys

import pytest

LENT = """
import ctypes
import render.xr_runtime, render.xr_swapchain
from render.window import Window
assert render.xr_swapchain.GL.glGetString
print(hasattr(ctypes.CDLL(None), "glGetString"))
"""
UNGUARDED = """
import ctypes
import xr, OpenGL.GL
print(hasattr(ctypes.CDLL(None), "glGetString"))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere libraries lend nothing")
@pytest.mark.parametrize(("program", "lends"), [(LENT, "False"), (UNGUARDED, "True")])
def test_a_headset_lends_no_opengl_to_the_tracker(program, lends):
    """mediapipe would call it, where none of its contexts is current, and crash."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == lends
