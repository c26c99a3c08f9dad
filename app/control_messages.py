"""What crosses the pipe between the program and its control server (MessagePack, never pickle)."""

from multiprocessing.connection import Connection

from msgspec import Struct

from app.control import Command, Speak, TakePicture

LOOPBACK = "127.0.0.1"
PUSH_S = 0.04
"""Between states: 25 a second."""


class FromServer(Struct):
    """Server process to program."""

    number: int
    """Which its answer carries; 0: none is wanted."""
    command: Command | Speak | TakePicture | None = None
    port: int = 0
    """Told once: it listens there."""
    failed: str = ""
    """Told in place of the port: why it cannot."""


class ToServer(Struct):
    """Program to server process: a state, or an answer."""

    state: bytes | None = None
    """`app.control.State` as JSON."""
    number: int = 0
    problem: str = ""
    picture: bytes = b""
    stop: bool = False
    """The program ends."""


def serve(connection: Connection, port: int, token: str) -> None:
    """What the server process runs. The libraries of the web are loaded there only."""
    from app.control_server import run_server

    run_server(connection, port, token)
