"""The live picture as a camera that video calls can choose, through pyvirtualcam.

pyvirtualcam is under GPL-2 and this program is not: it is no part of the program, is installed by
who wants it, and is imported only when a virtual camera is asked for.
"""

import importlib
import importlib.util
import logging
import sys
import threading
import time
from typing import Any

import numpy as np

from app.frame_sink import Picture, Shown, fitted_into, over_backdrop
from avatar.errors import DeviceError

log = logging.getLogger(__name__)

PACKAGE = "pyvirtualcam"
DRIVER_ADVICE = {
    "linux": "Load v4l2loopback: sudo apt-get install v4l2loopback-dkms, then "
    "sudo modprobe v4l2loopback exclusive_caps=1 card_label=visavis",
    "win32": "Install OBS Studio, which brings its Virtual Camera, and start that once",
    "darwin": "Install OBS Studio, and start and stop its Virtual Camera once",
}


class VirtualCamera:
    """A `FrameSink` that shows the newest picture at a constant rate, from a thread of its own."""

    def __init__(
        self,
        name: str,
        *,
        size: tuple[int, int],
        fps: float,
        backdrop: tuple[float, float, float],
    ) -> None:
        """Open the device called `name` (empty: the first that there is). `size` is width and
        height in pixels, even.

        Raises:
            DeviceError: pyvirtualcam is not installed, or there is no such device.
        """
        self._size, self._fps, self._backdrop = size, fps, backdrop
        self._device = _opened(name, size, fps)
        self.description: str = f"{self._device.device}, {size[0]} x {size[1]}, {fps:g} fps"
        self.problem = ""
        self._newest: Picture | None = None
        self._sent = True  # whether the newest picture was taken by the thread
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="virtual camera")
        self._thread.start()

    def wants(self, at_s: float) -> bool:
        return self._sent and not self._stop.is_set()

    def take(self, shown: Shown) -> None:
        self._newest = shown.picture.copy()
        self._sent = False

    def close(self) -> None:
        """Give the device back."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        width, height = self._size
        nothing = np.zeros((height, width, 4), np.uint8)
        picture = over_backdrop(nothing, self._backdrop)
        next_s = time.perf_counter()
        with self._device:
            while not self._stop.is_set():
                if not self._sent and self._newest is not None:
                    newest, self._sent = self._newest, True
                    picture = over_backdrop(fitted_into(newest, width, height), self._backdrop)
                try:
                    self._device.send(picture)
                except (RuntimeError, OSError) as error:
                    self.problem = f"the virtual camera was lost ({error})."
                    log.warning("%s", self.problem)
                    self._stop.set()
                next_s = max(next_s + 1 / self._fps, time.perf_counter())
                self._stop.wait(next_s - time.perf_counter())


def _opened(name: str, size: tuple[int, int], fps: float) -> Any:
    if importlib.util.find_spec(PACKAGE) is None:
        raise DeviceError(
            f"--virtual-camera: {PACKAGE} is not installed (it is under GPL-2, so it does not come "
            f"along). Install it: {sys.executable} -m pip install {PACKAGE}"
        )
    camera = importlib.import_module(PACKAGE)
    try:
        return camera.Camera(
            width=size[0],
            height=size[1],
            fps=fps,
            fmt=camera.PixelFormat.RGB,
            device=name or None,
        )
    except (RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DeviceError(
            f"--virtual-camera: {f'no camera {name!r}' if name else 'no virtual camera'} can be "
            f"opened ({reason}). {DRIVER_ADVICE.get(sys.platform, DRIVER_ADVICE['linux'])}."
        ) from error
