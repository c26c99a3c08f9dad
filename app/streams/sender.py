"""The thread that streams: it reads the motion itself, at its own rate, and sends it everywhere.

It is a second reader of the speech process's channel, so the frame loop has nothing to hand over
and never waits for it, and a slow picture does not make a slow stream.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence

from app.face_sampler import FaceSampler
from app.motion_channel import MotionChannel
from app.streams.outlets import DatagramOutlet, Outlet
from app.streams.targets import Target
from app.streams.web_socket import WebSocketOutlet

log = logging.getLogger(__name__)

_LATE_S = 0.25
"""A thread that wakes so much too late goes on from there: nobody wants old frames in a burst."""


class Streams:
    """Some streams of one live face. Starts at once; `close` ends them."""

    def __init__(
        self,
        targets: Sequence[Target],
        fps: float,
        channel_name: str,
        speaker_delay: Callable[[], float | None],
    ) -> None:
        """`channel_name`: of the motion channel; `speaker_delay()` says how late motion is played
        where a loudspeaker decides it, else None, and is called from the thread.

        Raises:
            DeviceError: a host is not known or an address cannot be listened on.
        """
        self.problem = ""
        """Why the thread ended, if it did."""
        self._outlets: list[Outlet] = []
        self._fps, self._speaker_delay = fps, speaker_delay
        self._stop = threading.Event()
        try:
            for target in targets:
                self._outlets.append(
                    WebSocketOutlet(target) if target.scheme == "ws"
                    else DatagramOutlet(target, fps)
                )  # fmt: skip
            self._channel = MotionChannel(channel_name)
        except Exception:
            self._close_outlets()
            raise
        self._thread = threading.Thread(target=self._work, name="streams", daemon=True)
        self._thread.start()

    def statistics(self) -> list[dict[str, object]]:
        """Of each stream: where, and how many frames went out and did not."""
        return [
            {"target": str(one.target), "sent": one.sent, "failed": one.failed}
            for one in self._outlets
        ]

    def close(self) -> None:
        """End the thread and let go of sockets and memory."""
        self._stop.set()
        self._thread.join(2.0)
        self._close_outlets()
        self._channel.close(unlink=False)

    def _close_outlets(self) -> None:
        for outlet in self._outlets:
            outlet.close()

    def _work(self) -> None:
        try:
            self._send_until_stopped()
        except Exception as error:  # a worker's outermost loop: tell, and end
            log.error("%s", traceback.format_exc())
            self.problem = f"streams ended: {type(error).__name__}: {error}"

    def _send_until_stopped(self) -> None:
        sampler, count, step_s = FaceSampler(), 0, 1.0 / self._fps
        began_s = next_s = time.perf_counter()
        while not self._stop.is_set():
            now_s = time.perf_counter()
            sampler.add(self._channel.read_new())
            frame = sampler.sample(now_s, self._speaker_delay()).motion
            for outlet in self._outlets:
                outlet.send(frame, count, now_s - began_s)
            count += 1
            next_s += step_s
            if time.perf_counter() - next_s > _LATE_S:
                next_s = time.perf_counter()
            self._stop.wait(max(next_s - time.perf_counter(), 0))
