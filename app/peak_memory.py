"""How much memory this process takes, and took at most since it was last asked."""

import ctypes
import gc
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
"""Writing 5 to it sets the peak back to what is taken now (proc(5), since Linux 4.0)."""


class PeakMemory:
    """Resident memory of this process, MB (10^6 bytes). Linux tells; elsewhere all is None."""

    def __init__(self) -> None:
        self._settled_mb: float | None = 0.0
        self._restarted = False

    def now_mb(self) -> float | None:
        """What the whole process takes now."""
        return _told("VmRSS")

    def settle(self) -> None:
        """From now on count only what comes on top: programs and libraries are loaded."""
        _give_back()
        self._settled_mb = self.now_mb()

    def restart(self) -> None:
        """Forget the peak up to now."""
        _give_back()
        try:
            _CLEAR.write_text("5", encoding="ascii")
            self._restarted = True
        except OSError:  # another system, or a container that does not let it
            self._restarted = False

    def peak_mb(self) -> float | None:
        """The most since `restart`, on top of what there was at `settle`."""
        peak_mb = _told("VmHWM") if self._restarted else None
        if peak_mb is None or self._settled_mb is None:
            return None
        return max(peak_mb - self._settled_mb, 0.0)


def _give_back() -> None:
    """What was freed, to the system: the allocator keeps some, and whoever came next would seem to
    take less, or more."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def _told(name: str) -> float | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.M)
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None
