"""Which OpenGL this machine has, and a context in which nothing is shown.

`python render/gl_driver.py` prints the driver as JSON: a driver in trouble may crash, hang or write
to the terminal, and `probe_driver` lets that happen in a process of its own. So this file imports
nothing of ours.
"""

import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import moderngl

LEAST_VERSION = 330
"""OpenGL 3.3, without which nothing is drawn, as moderngl counts."""
COMPUTE_VERSION = 430
"""OpenGL 4.3, the first with compute shaders."""
PROBE_LIMIT_S = 20.0
"""A sound driver answers within a second; one that starts a sleeping card, in a few."""
SOFTWARE = (
    *("llvmpipe", "softpipe", "swrast", "swr ", "software rasterizer", "lavapipe", "swiftshader"),
    *("microsoft basic render", "gdi generic", "apple software renderer"),
)
"""Parts of the names, in lower case, of drivers that draw on the processor: Mesa's, Google's,
Microsoft's and Apple's."""
DEVICES = Path("/dev")
CARD_NODES = ("dri/renderD*", "dri/card*", "nvidiactl", "nvidia0", "dxg", "mali*", "kgsl-3d0")
"""What Linux has there for a graphics card; dxg is Windows' own under WSL."""


@dataclass(frozen=True, slots=True)
class Driver:
    """An OpenGL driver, as it names itself."""

    renderer: str
    """GL_RENDERER: the card, or the program that draws in its place."""
    version: str
    """GL_VERSION."""

    @property
    def is_hardware(self) -> bool:
        """Whether a graphics card draws, and not the processor."""
        name = self.renderer.lower()
        return bool(name) and not any(part in name for part in SOFTWARE)

    @property
    def computes(self) -> bool:
        """Whether it says that it has compute shaders."""
        number = re.match(r"(\d+)\.(\d+)", self.version)
        return number is not None and 100 * int(number[1]) + 10 * int(number[2]) >= COMPUTE_VERSION


def open_context() -> moderngl.Context:
    """A context of OpenGL 3.3 or newer without a window; it is current in no thread.

    Raises whatever moderngl raises where there is none: of all kinds, a bare `Exception` too.
    """
    try:
        # Some drivers, NVIDIA's among them, give just what is asked for.
        context = _context_of(COMPUTE_VERSION)
    except Exception:  # moderngl raises no narrower class
        context = _context_of(LEAST_VERSION)
    with context:  # leaving it makes current what was so before, or nothing
        pass
    return context


def _context_of(version: int) -> moderngl.Context:
    """One of this version or newer. Raises as `open_context`."""
    if not sys.platform.startswith("linux"):
        return moderngl.create_context(require=version, standalone=True)
    # EGL needs no display; where it fails, an X server may still give a context. Of several cards
    # it takes the driver's first; glcontext reads GLCONTEXT_DEVICE_INDEX for another.
    try:
        return moderngl.create_context(require=version, standalone=True, backend="egl")  # pyright: ignore[reportArgumentType]
    except Exception as without_display:  # moderngl raises no narrower class
        try:
            return moderngl.create_context(require=version, standalone=True)
        except Exception as with_display:
            raise OSError(f"EGL: {without_display}; X11: {with_display}") from without_display


def driver_of(context: moderngl.Context) -> Driver:
    """The driver of a current context."""
    return Driver(context.info["GL_RENDERER"], context.info["GL_VERSION"])


def has_card() -> bool:
    """Whether a graphics card may be there at all. Asks no driver and takes no time; where the
    system has no list to look in, yes."""
    if not sys.platform.startswith("linux"):
        return True
    return any(next(DEVICES.glob(pattern), None) is not None for pattern in CARD_NODES)


@cache
def probe_driver() -> Driver | None:
    """The driver that a context without a window gets; None where there is none or it fails.

    Asked once: some tenths of a second, in another process.
    """
    try:
        result = subprocess.run(
            [sys.executable, "-P", __file__],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
        # The last line: drivers have been seen to greet.
        last = result.stdout.strip().rpartition("\n")[2]
        return Driver(**json.loads(last)) if result.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return None


if __name__ == "__main__":
    opened = open_context()
    with opened:
        print(json.dumps(asdict(driver_of(opened))))
