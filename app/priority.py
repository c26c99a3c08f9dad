"""Which of the program's processes comes first, where the system lets a person say so."""

import contextlib
import ctypes
import os
import sys

MORE, LESS = -5, 10
"""Niceness, on systems that count so."""
_ABOVE_NORMAL, _BELOW_NORMAL = 0x8000, 0x4000
"""ABOVE_NORMAL_PRIORITY_CLASS and BELOW_NORMAL_PRIORITY_CLASS of Windows."""


def raise_priority() -> None:
    """This process is waited for: a face that comes late is seen to. Where the system refuses, as
    Unix does unless it was told otherwise, all stays as it is."""
    if sys.platform == "win32":
        _windows(_ABOVE_NORMAL)
    else:
        with contextlib.suppress(OSError):
            os.nice(MORE)


def lower_priority() -> None:
    """The work of this process comes after that of those that somebody watches."""
    if sys.platform == "win32":
        _windows(_BELOW_NORMAL)
    else:
        os.nice(LESS)


def _windows(kind: int) -> None:
    kernel = ctypes.WinDLL("kernel32")  # pyright: ignore[reportAttributeAccessIssue]
    kernel.SetPriorityClass(ctypes.c_void_p(kernel.GetCurrentProcess()), kind)
