"""HTTP and WebSocket on this machine's own address: the process that other programs talk to.

A process of its own, not a thread: what a client sends is read, judged and refused without Python's
lock of the frame loop, which gets finished commands only (`app.control_link`). Whatever happens
here, a flood, a crash, never costs the face a frame.

Only 127.0.0.1 is listened to, and three things are looked at before anything else: the Host, so
that a web page cannot come in under a name of its own (DNS rebinding); the Origin, which only a
browser sends, for whoever's page it shows; and the token, which only who may read the user's files
knows. A connection must bring a whole request in time, and there is room for so many only.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Struct

from app.control import (
    COMMANDS,
    MOST_COMMAND_BYTES,
    MOST_SOUND_BYTES,
    MOST_SOUND_S,
    Command,
    Problem,
    Speak,
    TakePicture,
    openapi_text,
    path_of,
)
from app.control_messages import LOOPBACK, PUSH_S, FromServer, ToServer
from avatar.errors import SoundError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
"""When one more comes, the longest that never showed the token has to go."""
MOST_SOCKETS = 8
REQUEST_S = 10.0
"""A connection that has not brought a whole request by then is closed: slow-loris."""
UPLOAD_S = 60.0
ANSWER_S = 10.0
"""The frame loop answers in its next frame, unless it is loading."""
COMMANDS_PER_S, COMMANDS_AT_ONCE = 100.0, 40.0
"""More than that waits its turn: two thousand a second would take a core from the face."""
WRONG_TOKEN_S = 0.25
"""Before a wrong token is answered."""


def run_server(connection: Connection, port: int, token: str) -> None:
    """The server process, until `connection` ends with the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=os.environ.get("VISAVIS_LOG", "WARNING").upper())
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # what a stranger sends is no news
    if hasattr(os, "nice"):
        os.nice(10)  # the face comes first
    with (
        contextlib.suppress(OSError, EOFError),
        tempfile.TemporaryDirectory(prefix="visavis-") as folder,
    ):
        asyncio.run(_Server(connection, token, Path(folder)).run(port))


class _Server:
    def __init__(self, connection: Connection, token: str, folder: Path) -> None:
        self._connection, self._token, self._folder = connection, token.encode(), folder
        self._hosts: frozenset[str] = frozenset()
        self._state = b"{}"
        self._state_number = 0
        self._waiting: dict[int, asyncio.Future[ToServer]] = {}
        self._number = 0
        self._sockets = 0
        self._pace = _Pace(COMMANDS_PER_S, COMMANDS_AT_ONCE)
        self._doors = _Doors(MOST_CONNECTIONS)
        self._over = asyncio.Event()
        self._sending = threading.Lock()
        self._uploading = asyncio.Lock()
        self._uploads = 0

    async def run(self, port: int) -> None:
        """Listen and serve until the program is gone."""
        loop = asyncio.get_running_loop()
        application = web.Application(middlewares=[self._judge], client_max_size=MOST_SOUND_BYTES)
        application.add_routes(self._routes())
        runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=REQUEST_S, handle_signals=False
        )
        await runner.setup()
        assert runner.server is not None
        serve = runner.server

        def open_door() -> asyncio.Protocol:
            return _Door(serve(), self._doors)

        try:
            listening = await loop.create_server(open_door, LOOPBACK, port, backlog=64)
        except OSError as error:
            reason = error.strerror or str(error)
            self._send(FromServer(0, failed=reason))
            await runner.cleanup()
            return
        port = listening.sockets[0].getsockname()[1]
        self._hosts = frozenset(f"{name}:{port}" for name in (LOOPBACK, "localhost"))
        self._send(FromServer(0, port=port))
        threading.Thread(target=self._listen, args=(loop,), name="program", daemon=True).start()
        await self._over.wait()
        listening.close()
        await runner.shutdown()
        await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        posts = [web.post(path_of(kind), self._commanded(kind)) for kind in COMMANDS]
        return [
            web.get("/openapi.json", self._documented),
            web.get("/state", self._told),
            web.get("/snapshot.png", self._pictured),
            web.get("/socket", self._talk),
            web.post("/speak", self._spoken),
            *posts,
        ]

    @web.middleware
    async def _judge(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Who may come in; and every refusal as JSON."""
        door = _door_of(request)
        try:
            with door.busy():
                if request.headers.getall("Host", []) not in [[host] for host in self._hosts]:
                    raise _Refusal(403, "Host: expected this machine's own address.")
                own = {f"http://{host}" for host in self._hosts}
                if not set(request.headers.getall("Origin", [])) <= own:
                    raise _Refusal(403, "Origin: web pages may not steer it.")
                if request.path != "/openapi.json":
                    if not self._knows_token(request):
                        await asyncio.sleep(WRONG_TOKEN_S)
                        raise _Refusal(
                            401,
                            "Authorization: expected Bearer and the token of the control file.",
                        )
                    door.trusted = True
                await self._pace.turn()
                return await handler(request)
        except _Refusal as refusal:
            return refusal.response()
        except web.HTTPException as error:  # no such path, or not with this method
            return _Refusal(error.status, f"{error.reason}: see /openapi.json.").response(
                {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            )
        except TimeoutError:
            return _Refusal(408, "it came too slowly.").response()
        except ConnectionError:
            raise  # the client has gone
        except Exception:  # one request's outermost frame: tell, and serve the next
            log.exception("%s %s", request.method, request.path)
            return _Refusal(500, "a fault of the server.").response()

    def _knows_token(self, request: web.Request) -> bool:
        given = request.headers.getall("Authorization", [""])
        scheme, _, token = given[0].partition(" ")
        # Both are compared as bytes: a header may hold what is no text.
        right = hmac.compare_digest(token.strip().encode("utf-8", "replace"), self._token)
        return len(given) == 1 and scheme.lower() == "bearer" and right

    async def _documented(self, request: web.Request) -> web.Response:
        return web.Response(text=openapi_text(), content_type="application/json")

    async def _told(self, request: web.Request) -> web.Response:
        return web.Response(body=self._state, content_type="application/json")

    def _commanded(self, kind: type[Struct]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def post(request: web.Request) -> web.Response:
            body = await _body(request, MOST_COMMAND_BYTES)
            try:
                command = msgspec.json.decode(body or b"{}", type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise _Refusal(400, f"{error}.") from None
            await self._ask(command)
            return web.Response(body=self._state, content_type="application/json")

        return post

    async def _pictured(self, request: web.Request) -> web.Response:
        alpha = request.query.get("alpha", "0")
        if alpha not in ("0", "1"):
            raise _Refusal(400, f"alpha: expected 0 or 1, got {alpha[:20]!r}.")
        answer = await self._ask(TakePicture(alpha == "1"))
        return web.Response(body=answer.picture, content_type="image/png")

    async def _spoken(self, request: web.Request) -> web.Response:
        """Keep what was uploaded, see whether it is sound, and have it said."""
        if self._uploading.locked():
            raise _Refusal(503, "another sound is being uploaded.")
        async with self._uploading:
            body = await _body(request, MOST_SOUND_BYTES, UPLOAD_S)
            self._uploads += 1
            path = self._folder / f"spoken-{self._uploads}"
            try:
                await asyncio.to_thread(path.write_bytes, body)
                problem = await asyncio.to_thread(_sound_problem, path)
                if problem:
                    raise _Refusal(400, problem)
                await self._ask(Speak(str(path)))
            except OSError as error:
                raise _Refusal(503, f"the sound cannot be kept ({error.strerror}).") from None
            except _Refusal:
                path.unlink(missing_ok=True)
                raise
            for old in self._folder.glob("spoken-*"):
                if old != path:
                    with contextlib.suppress(OSError):  # on Windows it may still be open
                        old.unlink()
        return web.Response(body=self._state, content_type="application/json")

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        """States out, commands in, until either side ends it."""
        if self._sockets >= MOST_SOCKETS:
            raise _Refusal(503, f"{MOST_SOCKETS} WebSockets are open.")
        socket = web.WebSocketResponse(heartbeat=20.0, max_msg_size=MOST_COMMAND_BYTES)
        if not socket.can_prepare(request).ok:
            raise _Refusal(400, "expected a WebSocket's handshake.")
        self._sockets += 1
        try:
            await socket.prepare(request)
            pushing = asyncio.create_task(self._push(socket))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        await socket.close(code=1003, message=b"expected text")
                        break
                    await self._pace.turn()
                    await socket.send_str(await self._heed(message.data))
            finally:
                pushing.cancel()
        finally:
            self._sockets -= 1
        return socket

    async def _push(self, socket: web.WebSocketResponse) -> None:
        told = 0
        while not socket.closed:
            if self._state_number != told:
                told = self._state_number
                try:
                    # A client that does not read holds up its own socket only, and ends it.
                    async with asyncio.timeout(REQUEST_S):
                        await socket.send_str(f'{{"state":{self._state.decode()}}}')
                except (ConnectionError, TimeoutError):
                    await socket.close()
                    return
            await asyncio.sleep(PUSH_S)

    async def _heed(self, text: str) -> str:
        """One command of a WebSocket; its answer."""
        number: Any = None
        problem = ""
        try:
            fields = msgspec.json.decode(text)
            if isinstance(fields, dict):
                number = fields.pop("id", None)
            command = msgspec.convert(fields, Command)
            await self._ask(command)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
            problem = f"{error}."
        except _Refusal as refusal:
            problem = refusal.problem
        return msgspec.json.encode({"id": number, "problem": problem}).decode()

    async def _ask(self, command: Any) -> ToServer:
        """Have the program do it; raises what to answer where it cannot."""
        self._number += 1
        number = self._number
        future: asyncio.Future[ToServer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await asyncio.to_thread(self._send, FromServer(number, command=command))
            async with asyncio.timeout(ANSWER_S):
                answer = await future
        except (TimeoutError, OSError):
            raise _Refusal(503, "the program is busy or ends; try again.") from None
        finally:
            del self._waiting[number]
        if answer.problem:
            raise _Refusal(409, answer.problem)
        return answer

    def _send(self, message: FromServer) -> None:
        with self._sending:
            self._connection.send_bytes(msgspec.msgpack.encode(message))

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """A thread: what the program says, until it ends."""
        decoder = msgspec.msgpack.Decoder(ToServer)
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = decoder.decode(self._connection.recv_bytes())
                loop.call_soon_threadsafe(self._hear, message)
        loop.call_soon_threadsafe(self._over.set)

    def _hear(self, message: ToServer) -> None:
        if message.stop:
            self._over.set()
        elif message.state is not None:
            self._state, self._state_number = message.state, self._state_number + 1
        elif (future := self._waiting.get(message.number)) is not None and not future.done():
            future.set_result(message)


class _Refusal(Exception):  # noqa: N818 (not an error of ours)
    """Why a request is not done, and its HTTP status."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status, self.problem = status, problem

    def response(self, headers: dict[str, str] | None = None) -> web.Response:
        """As JSON; the connection ends, since more of the refused may be on its way."""
        body = msgspec.json.encode(Problem(self.problem))
        answer = web.Response(
            body=body, status=self.status, content_type="application/json", headers=headers
        )
        answer.force_close()
        return answer


class _Pace:
    """Lets so many through in a second, so many at once; the rest wait (GCRA, as in ATM)."""

    def __init__(self, per_s: float, at_once: float) -> None:
        self._step_s, self._room_s = 1 / per_s, at_once / per_s
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = asyncio.get_running_loop().time()
        self._next_s = max(self._next_s, now - self._room_s) + self._step_s
        if self._next_s > now:
            await asyncio.sleep(self._next_s - now)


class _Doors:
    """All open connections, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[_Door, None] = {}

    def admit(self, door: "_Door") -> None:
        """Take one more; where there is no room, the oldest stranger goes, or this one."""
        self._open[door] = None
        if len(self._open) > self._most:
            oldest = next((other for other in self._open if not other.trusted), door)
            oldest.abort()
            self.leave(oldest)  # now, not when its loss is told: more may come before that

    def leave(self, door: "_Door") -> None:
        """It is closed."""
        self._open.pop(door, None)


class _Door(asyncio.Protocol):
    """A connection on its way to aiohttp's own protocol, which has no patience that ends."""

    def __init__(self, inner: asyncio.Protocol, doors: _Doors) -> None:
        self._inner, self._doors = inner, doors
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None
        self.trusted = False
        """Whether a request with the token has come this way."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._doors.admit(self)
        self._inner.connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.leave(self)
        self._stop_waiting()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within the block a whole head of a request is here: nothing is waited for."""
        self._stop_waiting()
        try:
            yield
        finally:
            self._wait()

    def _wait(self) -> None:
        """For a request, or for the client to take its answer."""
        self._stop_waiting()
        if self._transport is not None and not self._transport.is_closing():
            self._patience = asyncio.get_running_loop().call_later(REQUEST_S, self.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def _door_of(request: web.Request) -> _Door:
    transport = request.transport
    door = transport.get_protocol() if isinstance(transport, asyncio.Transport) else None
    if not isinstance(door, _Door):
        raise ConnectionResetError("the client has gone")
    return door


async def _body(request: web.Request, most: int, patience_s: float = REQUEST_S) -> bytes:
    """All of it, unless it is larger than `most` bytes or takes longer than `patience_s`."""
    too_large = _Refusal(413, f"expected a body of at most {most} bytes.")
    if (request.content_length or 0) > most:
        raise too_large
    body = bytearray()
    async with asyncio.timeout(patience_s):
        async for part in request.content.iter_chunked(1 << 16):
            body += part
            if len(body) > most:
                raise too_large
    return bytes(body)


def _sound_problem(path: Path) -> str:
    """Why it cannot be said; empty where it can."""
    from app.sound_file import examine_sound

    try:
        seconds = examine_sound(path).duration_s
    except SoundError as error:
        return str(error).removeprefix(f"{path}: ")
    if seconds > MOST_SOUND_S:
        return f"{seconds:.0f} seconds of sound, expected at most {MOST_SOUND_S:.0f}."
    return ""
