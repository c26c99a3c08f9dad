"""A WebSocket server for browsers (RFC 6455), small: JSON goes out, nothing is taken in.

It listens on loopback unless told otherwise, and answers browsers only on pages of this machine:
any web page may otherwise open a socket to 127.0.0.1 and read along. `?origin=https://my.page` lets
one more in, `?origin=*` all.
"""

import base64
import contextlib
import hashlib
import socket
import struct
import time
from urllib.parse import urlsplit

from app.streams.targets import Target
from avatar.errors import DeviceError
from avatar.rig.messages import json_frame, json_names
from avatar.types import MotionFrame

MOST_CLIENTS = 16
_LONGEST_REQUEST = 8192
_PATIENCE_S = 5.0
"""A client that has not asked properly by then, or takes nothing for so long, is let go."""
_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""That RFC 6455 (1.3) has every server add to the client's."""
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x9, 0x8A
_OWN_HOSTS = ("localhost", "127.0.0.1", "::1")


class WebSocketOutlet:
    """See `app.streams.outlets.Outlet`."""

    def __init__(self, target: Target) -> None:
        """Raises: DeviceError where the address cannot be listened on."""
        self.target, self.sent, self.failed = target, 0, 0
        self._clients: list[_Client] = []
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            family, address = found[0][0], found[0][4]
            self._listener = socket.create_server(address[:2], family=family, backlog=MOST_CLIENTS)
        except (OSError, UnicodeError) as error:
            raise DeviceError(
                f"--stream {target}: cannot listen there ({error}). Expected an address of this "
                "machine and a free port, such as ws://127.0.0.1:8766."
            ) from error
        self._listener.setblocking(False)

    @property
    def clients(self) -> int:
        """How many listen."""
        return sum(client.greeted for client in self._clients)

    def send(self, frame: MotionFrame, count: int, time_s: float) -> None:
        now_s = time.monotonic()
        self._accept(now_s)
        text: bytes | None = None
        for client in self._clients:
            client.take(self._allowed, now_s)
            if not client.greeted:
                continue
            if client.waiting:  # it is slow: it gets the newest when it has taken the last
                self.failed += 1
                client.push(b"", now_s)
                continue
            if text is None:
                text = _framed(json_frame(frame, count, time_s).encode("utf-8"))
            client.push(text, now_s)
            self.sent += 1
        for client in self._clients:
            if client.gone:
                client.close()
        self._clients = [client for client in self._clients if not client.gone]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._listener.close()

    def _accept(self, now_s: float) -> None:
        with contextlib.suppress(OSError):  # nobody waits
            while True:
                connection, _ = self._listener.accept()
                if len(self._clients) >= MOST_CLIENTS:
                    connection.close()
                    continue
                self._clients.append(_Client(connection, now_s))

    def _allowed(self, origin: str | None) -> bool:
        """Whether a browser with a page from there may listen; None is no browser."""
        wanted = self.target.option("origin", "")
        if origin is None or wanted in ("*", origin):
            return True
        try:
            return urlsplit(origin).hostname in _OWN_HOSTS
        except ValueError:
            return False


class _Client:
    """One connection."""

    def __init__(self, connection: socket.socket, now_s: float) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._in, self._out = b"", b""
        self._busy_since_s = now_s
        self.greeted = False
        self.gone = False

    @property
    def waiting(self) -> bool:
        """Whether it has not taken the last frame yet."""
        return bool(self._out)

    def take(self, allowed, now_s: float) -> None:
        """Read what it says: first its request, later pings and its farewell."""
        try:
            while data := self._connection.recv(4096):
                self._in += data
                if len(self._in) > _LONGEST_REQUEST:
                    self.gone = True
                    return
            self.gone = True  # an empty read: it hung up
        except BlockingIOError:
            pass
        except OSError:
            self.gone = True
        if self.gone:
            return
        if self.greeted:
            self._answer(now_s)
        elif b"\r\n\r\n" in self._in:
            request, _, self._in = self._in.partition(b"\r\n\r\n")
            self._greet(request, allowed, now_s)
        elif now_s - self._busy_since_s > _PATIENCE_S:
            self.gone = True

    def push(self, data: bytes, now_s: float) -> None:
        """Send, or keep what does not go yet."""
        if not self._out:
            self._busy_since_s = now_s
        self._out += data
        try:
            while self._out:
                self._out = self._out[self._connection.send(self._out) :]
        except BlockingIOError:
            self.gone = self.gone or now_s - self._busy_since_s > _PATIENCE_S
        except OSError:
            self.gone = True

    def close(self) -> None:
        if self.greeted:
            with contextlib.suppress(OSError):
                self._connection.send(struct.pack(">BBH", _CLOSE, 2, 1001))  # going away
        self._connection.close()

    def _greet(self, request: bytes, allowed, now_s: float) -> None:
        lines = request.decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        key = headers.get("sec-websocket-key", "")
        if not lines[0].startswith("GET ") or "websocket" not in headers.get("upgrade", "").lower():
            self._refuse("426 Upgrade Required", "This is a WebSocket: connect with ws://", now_s)
        elif not key or headers.get("sec-websocket-version") != "13":
            self._refuse("400 Bad Request", "Expected a WebSocket request of version 13", now_s)
        elif not allowed(headers.get("origin")):
            self._refuse("403 Forbidden", "Pages of other hosts: start with ?origin=...", now_s)
        else:
            digest = hashlib.sha1((key + _KEY).encode("latin-1"), usedforsecurity=False).digest()
            answer = (
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n"
            )
            self.greeted = True
            self.push(answer.encode("latin-1") + _framed(json_names().encode("utf-8")), now_s)

    def _refuse(self, status: str, reason: str, now_s: float) -> None:
        body = reason.encode("latin-1")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.push(head.encode("latin-1") + body, now_s)
        self.gone = True

    def _answer(self, now_s: float) -> None:
        """Frames of a client: a ping gets its pong, a farewell ends it, the rest is not read."""
        while len(self._in) >= 2:
            kind, length, place = self._in[0] & 0xF, self._in[1] & 0x7F, 2
            if length == 126:
                if len(self._in) < 4:
                    return
                (length,) = struct.unpack_from(">H", self._in, 2)
                place = 4
            elif length == 127 or not self._in[1] & 0x80:  # too long, or not masked as it must be
                self.gone = True
                return
            if len(self._in) < place + 4 + length:
                return
            mask = self._in[place : place + 4]
            payload = self._in[place + 4 : place + 4 + length]
            self._in = self._in[place + 4 + length :]
            if kind == _CLOSE & 0xF:
                self.gone = True
                return
            if kind == _PING and length < 126:
                plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
                self.push(bytes([_PONG, len(plain)]) + plain, now_s)


def _framed(payload: bytes) -> bytes:
    """One unmasked text frame (RFC 6455, 5.2)."""
    if len(payload) < 126:
        return bytes([_TEXT, len(payload)]) + payload
    if len(payload) < 1 << 16:
        return struct.pack(">BBH", _TEXT, 126, len(payload)) + payload
    return struct.pack(">BBQ", _TEXT, 127, len(payload)) + payload
