"""Monado as the tests use it: its service, and the remote control of its simulated headset."""

import json
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.get_monado import Monado, NoMonadoError, get_monado

INSIDE = "VISAVIS_TESTS_ON_MONADO"
"""Set where tests run on Monado's libraries."""
STARTUP_S = 30.0


def monado_here() -> Monado:
    """Monado, fetched where it is not there yet; its absence is a failure."""
    try:
        return get_monado()
    except NoMonadoError as problem:
        pytest.fail(f"Monado cannot be had: {problem}", pytrace=False)


def inside_environment(monado: Monado) -> dict[str, str]:
    """What a process needs besides the launcher."""
    return {
        **monado.driver_environment(),
        INSIDE: "1",
        "XR_RUNTIME_JSON": str(monado.runtime_manifest),
        "XRT_DEBUG_GUI": "0",
    }


class Service:
    """Monado's service in a folder of its own; `environment` leads clients to it."""

    def __init__(self, monado: Monado, folder: Path) -> None:
        self.monado, self._folder = monado, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "service.log"
        self.port = _free_port()
        settings = folder / "config" / "monado"
        settings.mkdir(parents=True)
        (folder / "run").mkdir(mode=0o700)
        (settings / "config_v0.json").write_text(
            json.dumps(
                {"active": "remote", "remote": {"version": 0, "port": self.port, "view_count": 2}}
            )
        )
        self.environment = {
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }

    @staticmethod
    def launcher() -> list[str]:
        """What starts a program on Monado's libraries."""
        return monado_here().launcher

    def start(self, **more: str) -> None:
        """Start it and wait until it takes clients. `more`: variables of its environment."""
        environment = {
            **os.environ,
            **inside_environment(self.monado),
            **self.environment,
            "XRT_NO_STDIN": "1",
            "XRT_COMPOSITOR_NULL": "1",
            "P_OVERRIDE_ACTIVE_CONFIG": "remote",
            **more,
        }
        shutil.rmtree(self._folder / "run")
        (self._folder / "run").mkdir(mode=0o700)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self.monado.launcher, str(self.monado.service)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + STARTUP_S
        while "service has started" not in self.log.read_text(errors="replace"):
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < end, self.log.read_text(errors="replace")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None and self.is_running:
            os.kill(self._process.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


_HEAD = "4f7fI" * 2 + "7f?3x"
_CONTROLLER = "7f3f3f5f" + "fff" + "2f" + "f" + "2f" + "16?"
_RECORD = struct.Struct("<8s" + _HEAD + _CONTROLLER + _CONTROLLER)
"""`struct r_remote_data` of Monado 25.0, src/xrt/drivers/remote/r_interface.h."""
_SWITCHES = (
    *("hand_tracking_active", "active", "system_click", "system_touch", "a_click", "a_touch"),
    *("b_click", "b_touch", "trigger_click", "trigger_touch", "thumbstick_click"),
    *("thumbstick_touch", "trackpad_touch", "_0", "_1", "_2"),
)


@dataclass
class Controller:
    """One simulated controller of the Index kind, and the hand around it."""

    position: tuple[float, float, float]
    """In the room, metres."""
    yaw: float = 0.0
    pitch: float = 0.0
    """Radians; 0, 0 points along -z."""
    trigger: float = 0.0
    squeeze: float = 0.0
    stick: tuple[float, float] = (0.0, 0.0)
    curl: float = 0.0
    pressed: set[str] = field(default_factory=set)
    """Of `a_click`, `b_click`, `thumbstick_click`, ..."""
    active: bool = True
    hand_tracking: bool = False

    def values(self) -> list[float | bool]:
        on = self.pressed | ({"active"} if self.active else set())
        on |= {"hand_tracking_active"} if self.hand_tracking else set()
        return [
            *_quaternion(self.yaw, self.pitch),
            *self.position,
            *([0.0] * 6),
            *([self.curl] * 5),
            *(self.trigger, self.squeeze, 0.0),
            *self.stick,
            *(0.0, 0.0, 0.0),
            *(name in on for name in _SWITCHES),
        ]


class Remote:
    """Moves the simulated headset and its controllers; nothing happens before `send`."""

    def __init__(self, service: Service) -> None:
        end = time.monotonic() + STARTUP_S
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", service.port), 2)
                break
            except OSError:
                assert time.monotonic() < end, "the remote control does not answer"
                time.sleep(0.05)
        for _ in range(2):  # the service tells where everything is
            self._receive()
        self.position = (0.0, 1.6, 0.0)
        self.yaw = self.pitch = 0.0
        self.left = Controller((-0.2, 1.3, -0.3))
        self.right = Controller((0.2, 1.3, -0.3))
        self.send()

    def send(self) -> None:
        eyes: list[float] = [0.0] * 11 + [0]
        record = _RECORD.pack(
            b"mndrmt3\0",
            *eyes,
            *eyes,
            *_quaternion(self.yaw, self.pitch),
            *self.position,
            False,
            *self.left.values(),
            *self.right.values(),
        )
        self._socket.sendall(record)

    def hands_away(self) -> None:
        """No controllers: nothing is in the picture but the avatar."""
        self.left.active = self.right.active = False
        self.send()

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        wanted = _RECORD.size
        while wanted:
            wanted -= len(self._socket.recv(wanted))


def _quaternion(yaw: float, pitch: float) -> tuple[float, float, float, float]:
    """x, y, z, w: turned about +y, then raised."""
    cy, sy, cp, sp = (
        *(math.cos(yaw / 2), math.sin(yaw / 2)),
        *(math.cos(pitch / 2), math.sin(pitch / 2)),
    )
    return cy * sp, sy * cp, -sy * sp, cy * cp
