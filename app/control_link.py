"""The frame loop's end of the control server: commands in, states out, without waiting for it."""

import json
import logging
import multiprocessing
import os
import secrets
import signal
import sys
import threading
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec

from app.control import State
from app.control_messages import LOOPBACK, PUSH_S, FromServer, ToServer, serve
from app.speech_process import signal_ignored
from avatar.errors import DeviceError, OutputError

log = logging.getLogger(__name__)

START_S = 30.0
"""Longest wait for the server; a second on a machine that does nothing else."""
MOST_WAITING = 32
"""Commands that may wait for the frame loop; it takes them all in its next frame."""
MOST_RESTARTS = 3
LEAST_TOKEN = 16
"""Characters of a token that somebody chose."""
TOKEN_VARIABLE = "VISAVIS_CONTROL_TOKEN"


@dataclass(frozen=True, slots=True)
class Request:
    """A command from another program; it is to be answered by `ControlLink.answer`."""

    number: int
    command: Any
    """One of `app.control.Command`, `Speak` or `TakePicture`."""


class ControlLink:
    """Starts the server process, and lets it speak with the frame loop."""

    def __init__(self, port: int, token: str) -> None:
        """Starts the process and returns at once. `port` 0 is any free one."""
        self._port, self._token = port, token
        self._context = multiprocessing.get_context("spawn")
        self._requests: deque[Request] = deque()
        self._outbox: deque[ToServer] = deque()
        self._send = threading.Event()
        self._ready = threading.Event()
        self._failed = ""
        self._lost = False
        self._closing = False
        self._restarts = 0
        self._told_s = 0.0
        self.problem = ""
        """One line for the panel; empty while all is well."""
        self._start()

    @property
    def process_id(self) -> int | None:
        """Of the server process."""
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it listens, once it does."""
        return f"http://{LOOPBACK}:{self._port}"

    def wait_until_ready(self) -> None:
        """Until it listens.

        Raises:
            DeviceError: the port is taken, or the process does not start.
        """
        if not self._ready.wait(START_S):
            self._failed = f"the server did not start within {START_S:.0f} s"
        if self._failed:
            raise DeviceError(
                f"--control: port {self._port} of {LOOPBACK} cannot be listened to "
                f"({self._failed}). Name another, or 0 for any free one."
            )

    def take(self) -> list[Request]:
        """What was asked for since the last call. Frame loop only."""
        if self._lost and not self._closing:
            self._restart()
        taken = []
        while self._requests:
            taken.append(self._requests.popleft())
        return taken

    def answer(self, number: int, problem: str = "", picture: bytes = b"") -> None:
        """The command is done, or why it is not. Any thread."""
        self._post(ToServer(number=number, problem=problem, picture=picture))

    def wants_state(self, now_s: float) -> bool:
        """Whether the last state that was told is old enough for another. Frame loop only."""
        return now_s - self._told_s >= PUSH_S

    def tell(self, state: State, now_s: float) -> None:
        """How things stand. Frame loop only."""
        self._told_s = now_s
        if len(self._outbox) < MOST_WAITING:  # a server that does not read gets no more
            self._post(ToServer(state=msgspec.json.encode(state)))

    def close(self, patience_s: float = 3.0) -> None:
        """End the server and its connections."""
        self._closing = True
        self._post(ToServer(stop=True))
        self._process.join(patience_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        self._process: SpawnProcess = self._context.Process(
            target=serve,
            args=(theirs, self._port, self._token),
            name="visavis-control",
            daemon=True,
        )
        with signal_ignored(signal.SIGINT):  # as the speech process: it ends when it is told to
            self._process.start()
        theirs.close()  # else its end would never be seen
        self._lost, ended = False, threading.Event()
        for work in (self._read, self._write):
            threading.Thread(target=work, args=(ours, ended), name="control", daemon=True).start()

    def _restart(self) -> None:
        self._process.join(1.0)
        status = self._process.exitcode
        if self._restarts == MOST_RESTARTS:
            self._closing = True
            self.problem = f"the control server is given up: it ended with status {status}."
            log.error("%s", self.problem)
            return
        self._restarts += 1
        log.error("the control server ended with status %s; started again", status)
        self._outbox.clear()
        self._start()

    def _post(self, message: ToServer) -> None:
        self._outbox.append(message)
        self._send.set()

    def _read(self, connection: Connection, ended: threading.Event) -> None:
        """A thread: what the server asks for, until it ends."""
        decoder = msgspec.msgpack.Decoder(FromServer)
        try:
            while True:
                message = decoder.decode(connection.recv_bytes())
                if message.command is None:
                    self._port = message.port or self._port
                    self._failed = message.failed
                    self._closing = self._closing or bool(message.failed)
                    self._ready.set()
                elif len(self._requests) < MOST_WAITING:
                    self._requests.append(Request(message.number, message.command))
                else:
                    self.answer(message.number, "too many commands wait; send fewer.")
        except (EOFError, OSError):
            self._lost = True
            ended.set()
            self._send.set()

    def _write(self, connection: Connection, ended: threading.Event) -> None:
        """A thread: states and answers; the pipe may be full, and the frame loop must not wait."""
        with connection:
            while not ended.is_set():
                self._send.wait()
                self._send.clear()
                try:
                    while self._outbox:
                        connection.send_bytes(msgspec.msgpack.encode(self._outbox.popleft()))
                except OSError:
                    return


def new_token() -> str:
    """The one of the environment, or a random one.

    Raises:
        DeviceError: that of the environment is too short or cannot stand in a header.
    """
    chosen = os.environ.get(TOKEN_VARIABLE)
    if chosen is None:
        return secrets.token_urlsafe(24)
    if len(chosen) < LEAST_TOKEN or not all("!" <= character <= "~" for character in chosen):
        raise DeviceError(
            f"{TOKEN_VARIABLE}: expected at least {LEAST_TOKEN} letters, digits and signs without "
            f"spaces, got {len(chosen)} characters. Choose another, or leave it unset."
        )
    return chosen


def write_control_file(path: Path | None, link: ControlLink, token: str) -> Path:
    """Tell address and token to programs that may read this user's files; where that is written.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None:
        path = _own_folder() / f"control-{link.url.rpartition(':')[2]}.json"
    text = json.dumps({"url": link.url, "token": token, "pid": os.getpid()}, indent=2) + "\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Made anew, so that it never was anybody else's, and for its owner alone from the start.
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror}). Name another with --control-file."
        ) from error
    return path


def _own_folder() -> Path:
    """A folder that other users of the machine do not read."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "visavis"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) if runtime else Path.home() / ".cache") / "visavis"
