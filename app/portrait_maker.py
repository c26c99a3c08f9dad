"""An avatar made of a portrait while another one talks: `visavis make` in a process of its own.

`PortraitMaker` is the frame loop's end: it starts the process, reads how far it is, and ends it.
`run_maker` is what runs there. What goes wrong there, a crash too, is one line here.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Literal

import numpy as np

from app.motion_channel import SharedRecord
from app.priority import lower_priority
from avatar.errors import VisavisError

Budget = Literal["quick", "normal", "best"]

STATUS = np.dtype(
    [
        ("fraction", np.float64),
        ("stage", "S80"),
        ("first", np.int64),  # 1 from when there is a preview to see
        ("problem", "S600"),
    ],
    align=True,
)
"""Written by the maker's process, read by the frame loop."""


@dataclass(frozen=True, slots=True)
class Making:
    """How far it is."""

    portrait: Path
    stage: str
    fraction: float
    """0..1"""
    preview: Path | None
    """A picture of the avatar, as soon as there is one."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it."""

    portrait: Path
    avatar: Path | None
    problem: str = ""
    """One line; empty where all went well."""


class PortraitMaker:
    """One portrait at a time. The frame loop's thread only."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None
        self._status: SharedRecord | None = None
        self._portrait = self._output = Path()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def is_busy(self) -> bool:
        return self._process is not None

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self, portrait: Path, output: Path, budget: Budget = "normal") -> None:
        """Begin to make `output` of `portrait`; returns at once. Not while it is busy."""
        assert self._process is None, "one at a time"
        self._portrait, self._output = portrait, output
        self._folder = tempfile.TemporaryDirectory(prefix="visavis-", ignore_cleanup_errors=True)
        self._status = SharedRecord(STATUS)
        self._status.set_text("stage", "starting")
        self._process = self._context.Process(
            target=run_maker,
            args=(str(portrait), str(output), str(self._preview), budget, self._status.name),
            name="visavis-maker",
            daemon=True,
        )
        self._process.start()

    @property
    def _preview(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "preview.png"

    def progress(self) -> Making | None:
        """How far it is; None where nothing is made."""
        status = self._status
        if self._process is None or status is None:
            return None
        preview = self._preview if status["first"] and self._preview.is_file() else None
        return Making(self._portrait, status.text("stage"), status["fraction"], preview)

    def ended(self) -> Made | None:
        """What came of it, once; None while it is made, and where nothing is."""
        process, status = self._process, self._status
        if process is None or status is None or process.is_alive():
            return None
        process.join()
        problem = status.text("problem")
        if process.exitcode and not problem:
            problem = f"making it ended with status {process.exitcode}; try another photograph."
        made = self._output if process.exitcode == 0 else None
        result = Made(self._portrait, made, problem)
        self._clear()
        return result

    def cancel(self) -> None:
        """Stop, and leave no file behind."""
        process = self._process
        if process is None:
            return
        process.terminate()
        process.join(3.0)
        if process.is_alive():
            process.kill()
            process.join()
        # The first avatar is written before it is refined; what was broken off was not wanted.
        self._output.unlink(missing_ok=True)
        for rest in self._output.parent.glob(f".{self._output.name}.*.part"):
            rest.unlink(missing_ok=True)
        self._clear()

    def close(self) -> None:
        """As `cancel`."""
        self.cancel()

    def _clear(self) -> None:
        if self._process is not None:
            self._process.close()
        if self._status is not None:
            self._status.close(unlink=True)
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._status = self._folder = None


def run_maker(portrait: str, output: str, preview: str, budget: Budget, status_name: str) -> None:
    """The maker's process: an avatar, or one line that says why not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lower_priority()
    status = SharedRecord(STATUS, status_name)
    try:
        _make(Path(portrait), Path(output), Path(preview), budget, status)
    except VisavisError as error:
        status.set_text("problem", " ".join(str(error).split()))
        sys.exit(1)
    except Exception as error:  # the outermost loop of a worker: tell, and end
        traceback.print_exc()
        status.set_text("problem", f"{portrait}: {type(error).__name__}: {error}")
        sys.exit(1)
    finally:
        status.close(unlink=False)


def _make(
    portrait: Path, output: Path, preview: Path, budget: Budget, status: SharedRecord
) -> None:
    from app.commands.make import make
    from app.settings import MakeSettings

    def tell(stage: str, fraction: float) -> None:
        status.set_text("stage", stage)
        status["fraction"] = fraction
        if preview.is_file():
            status["first"] = 1

    settings = MakeSettings(portrait=portrait, output=output, budget=budget, preview=preview)
    # What `make` tells a terminal, the panel tells in its own way.
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):
        make(settings, tell)
