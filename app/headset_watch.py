"""Looks for a headset while the window already runs: a runtime may take seconds to answer."""

import importlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from app.handoff import Latest
from avatar.errors import HeadsetError

if TYPE_CHECKING:
    from render.xr_runtime import Runtime

log = logging.getLogger(__name__)

AGAIN_S = 3.0
"""Between two looks."""


class HeadsetWatch:
    """A thread that finds a runtime with a headset, and rests once it has."""

    def __init__(self, level: int = logging.INFO) -> None:
        """`level`: at which the log says why there is none."""
        self._level = level
        self.problem = ""
        """Why there is none so far, one line."""
        self._found: Latest[Runtime] = Latest()
        self._taken = 0
        self._wanted = threading.Event()
        self._wanted.set()
        self._stop = threading.Event()
        self._not_before_s = 0.0
        # A daemon: who leaves does not wait for a runtime that hangs.
        self._thread = threading.Thread(target=self._work, name="headset watch", daemon=True)
        self._thread.start()

    def found(self) -> "Runtime | None":
        """A runtime whose headset is connected; each is given once, and is the caller's to close.
        The watch rests until `look_again`."""
        found = self._found.read()
        if found is None or found.sequence == self._taken:
            return None
        self._taken = found.sequence
        return found.value

    def look_again(self, after_s: float = AGAIN_S) -> None:
        """What was found is lost. Not at once: what was refused would be refused again."""
        self._not_before_s = time.perf_counter() + after_s
        self._wanted.set()

    def close(self) -> None:
        """Stop looking; a runtime that nobody took is closed."""
        self._stop.set()
        self._wanted.set()
        self._thread.join(timeout=1.0)
        found = self.found()
        if found is not None:
            found.close()

    def _work(self) -> None:
        try:
            module: Any = importlib.import_module("render.xr_runtime")
        except HeadsetError as error:  # no loader: that does not change while we run
            self._tell(error)
            return
        runtime: Any = None
        while not self._stop.is_set():
            self._wanted.wait()
            if self._stop.wait(max(0.0, self._not_before_s - time.perf_counter())):
                break
            try:
                if runtime is None:
                    runtime = module.Runtime()
                runtime.find_headset()
            except HeadsetError as error:
                self._tell(error)
                if isinstance(error, module.RuntimeLostError) and runtime is not None:
                    runtime.close()
                    runtime = None
                self._stop.wait(AGAIN_S)
                continue
            self.problem = ""
            self._wanted.clear()
            self._found.publish(runtime, time.perf_counter())
            runtime = None
        if runtime is not None:
            runtime.close()

    def _tell(self, error: HeadsetError) -> None:
        if str(error) != self.problem:
            log.log(self._level, "%s", error)
        self.problem = str(error)
