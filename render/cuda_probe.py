"""Whether the CUDA renderer works on this machine, found out where it does no harm.

`python render/cuda_probe.py` opens it, draws one splat and prints what it found as JSON: a driver
in trouble may crash, hang or write to the terminal, and `probe_cuda` lets that happen in a process
of its own.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

PROBE_LIMIT_S = 30.0
"""A sound driver answers within two seconds, the first compilation included."""
_DEVICE_NODES = ("/dev/nvidiactl", "/dev/dxg")
"""What Linux has there for NVIDIA's driver; the second is Windows' own under WSL."""


@dataclass(frozen=True, slots=True)
class CudaProbe:
    """What was found."""

    card: str
    """The card's name; empty where the renderer does not work."""
    problem: str
    """Why it does not work, one sentence; empty where it does."""


def has_nvidia_driver() -> bool:
    """Whether there may be one. Asks no driver, loads nothing and takes no time."""
    if sys.platform == "win32":
        root = os.environ.get("SYSTEMROOT", r"C:\Windows")
        return Path(root, "System32", "nvcuda.dll").is_file()
    return any(Path(node).exists() for node in _DEVICE_NODES)


@cache
def probe_cuda() -> CudaProbe:
    """Asked once: nothing where there is no driver, else one or two seconds in another process."""
    if not has_nvidia_driver():
        return CudaProbe("", "there is no NVIDIA driver")
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
        if result.returncode == 0:
            return CudaProbe(**json.loads(last))
        return CudaProbe("", f"the NVIDIA driver failed (status {result.returncode})")
    except (OSError, subprocess.TimeoutExpired, ValueError, TypeError):
        return CudaProbe("", "the NVIDIA driver failed")


def _look() -> CudaProbe:
    """Open the renderer and have it draw."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from avatar.errors import VisavisError
    from render.cuda import CudaRenderer

    try:
        with CudaRenderer() as renderer:
            if not renderer.draws_rightly():
                return CudaProbe("", f"{renderer.card_name} draws wrongly")
            return CudaProbe(renderer.card_name, "")
    except VisavisError as error:
        return CudaProbe("", str(error).removeprefix("renderer 'cuda': "))


if __name__ == "__main__":
    print(json.dumps(asdict(_look())))
