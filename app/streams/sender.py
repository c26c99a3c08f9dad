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
from avatar.errors import DeviceError

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

        A host that is not known or an address that cannot be listened on is told in `problems`;
        the others are sent to all the same.
        """
        self._ended = ""
        self._targets = tuple(dict.fromkeys(targets))
        self._outlets: dict[Target, Outlet] = {}
        self._refused: dict[Target, str] = {}
        self._fps, self._speaker_delay = fps, speaker_delay
        self._stop = threading.Event()
        for target in self._targets:
            try:
                self._outlets[target] = (
                    WebSocketOutlet(target) if target.scheme == "ws"
                    else DatagramOutlet(target, fps)
                )  # fmt: skip
            except DeviceError as error:
                log.error("%s", error)
                self._refused[target] = str(error)
        try:
            self._channel = MotionChannel(channel_name)
        except Exception:
            self._close_outlets()
            raise
        self._thread = threading.Thread(target=self._work, name="streams", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each stream that is not sent, and for the thread if it ended by itself."""
        return (*self._refused.values(), *filter(None, [self._ended]))

    def statistics(self) -> list[dict[str, object]]:
        """Of each stream: where, how many frames went out and did not, and why it is not sent."""
        told: list[dict[str, object]] = []
        for target in self._targets:
            one = self._outlets.get(target)
            told.append(
                {
                    "target": str(target),
                    "sent": 0 if one is None else one.sent,
                    "failed": 0 if one is None else one.failed,
                    "problem": self._refused.get(target, self._ended),
                }
            )
        return told

    def close(self) -> None:
        """End the thread and let go of sockets and memory."""
        self._stop.set()
        self._thread.join(2.0)
        self._close_outlets()
        self._channel.close(unlink=False)

    def _close_outlets(self) -> None:
        for outlet in self._outlets.values():
            outlet.close()

    def _work(self) -> None:
        try:
            self._send_until_stopped()
        except Exception as error:  # a worker's outermost loop: tell, and end
            log.error("%s", traceback.format_exc())
            self._ended = f"streams ended: {type(error).__name__}: {error}"

    def _send_until_stopped(self) -> None:
        sampler, count, step_s = FaceSampler(), 0, 1.0 / self._fps
        began_s = next_s = time.perf_counter()
        while not self._stop.is_set():
            now_s = time.perf_counter()
            sampler.add(self._channel.read_new())
            frame = sampler.sample(now_s, self._speaker_delay()).motion
            for outlet in self._outlets.values():
                outlet.send(frame, count, now_s - began_s)
            count += 1
            next_s += step_s
            if time.perf_counter() - next_s > _LATE_S:
                next_s = time.perf_counter()
            self._stop.wait(max(next_s - time.perf_counter(), 0))
