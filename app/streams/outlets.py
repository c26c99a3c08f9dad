"""Datagrams to one receiver. Never waits: what the network does not take at once is lost."""

import socket
import time
import uuid
from typing import Protocol

import numpy as np

from app.streams.targets import Target
from avatar.errors import DeviceError
from avatar.rig import live_link
from avatar.rig.messages import osc_arrays, osc_named, vmc
from avatar.rig.stream_names import VMC_NAMES, VmcNames
from avatar.rig.timecode import rate_fraction
from avatar.types import MotionFrame


class Outlet(Protocol):
    """One stream, used by one thread."""

    target: Target
    sent: int
    """Frames that went out."""
    failed: int
    """Frames that did not."""

    def send(self, frame: MotionFrame, count: int, time_s: float) -> None:
        """Frame number `count`, `time_s` seconds after the stream began."""
        ...

    def close(self) -> None: ...


class DatagramOutlet:
    """Live Link, VMC or OSC over UDP."""

    def __init__(self, target: Target, fps: float) -> None:
        """Looks the host's name up, once.

        Raises:
            DeviceError: nobody knows the name.
        """
        self.target, self.sent, self.failed = target, 0, 0
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise DeviceError(
                f"--stream {target}: the host {target.host!r} is not known ({error}). Expected a "
                "name that this network knows, or an address such as 192.168.1.20."
            ) from error
        family, kind, protocol, _, self._address = found[0]
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._rate = rate_fraction(fps)
        self._fps = fps
        self._subject = target.option("name", "visavis")
        # The same face keeps its identity while it lives, and two programs on one machine differ.
        self._identity = str(uuid.uuid4()).upper()
        now = time.localtime()
        self._midnight_s = 3600 * now.tm_hour + 60 * now.tm_min + now.tm_sec + time.time() % 1

    def send(self, frame: MotionFrame, count: int, time_s: float) -> None:
        try:
            for datagram in self._datagrams(frame, count, time_s):
                self._socket.sendto(datagram, self._address)
            self.sent += 1
        except OSError:  # full, unreachable, refused: the next frame tries again
            self.failed += 1

    def close(self) -> None:
        self._socket.close()

    def _datagrams(self, frame: MotionFrame, count: int, time_s: float) -> list[bytes]:
        match self.target.scheme:
            case "livelink":
                return [self._live_link(frame, time_s)]
            case "vmc":
                wanted = self.target.option("names", "vrm0")
                names: VmcNames = next(name for name in VMC_NAMES if name == wanted)
                return vmc(frame, time_s, names)
            case _:
                named = self.target.option("form", "arrays") == "named"
                return (osc_named if named else osc_arrays)(frame, count, time_s)

    def _live_link(self, frame: MotionFrame, time_s: float) -> bytes:
        whole, part = divmod((self._midnight_s + time_s) * self._fps, 1)
        values = live_link.values_of(
            frame.expression[None], frame.gaze[None], frame.head_rotation[None]
        )[0]
        packet = live_link.Packet(
            subject=self._subject,
            frame=int(whole),
            part=part,
            rate=(self._rate.numerator, self._rate.denominator),
            values=np.ascontiguousarray(values),
        )
        return live_link.encode(packet, self._identity)
