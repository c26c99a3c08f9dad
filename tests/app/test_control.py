"""The control server under friends and strangers: real sockets, the real process."""

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import control
from app.control import COMMANDS, State, openapi_text, path_of
from app.control_link import ControlLink, Request, new_token, write_control_file
from app.control_server import MOST_CONNECTIONS, REQUEST_S
from avatar.errors import DeviceError, OutputError
from tests.app.test_live import finished, started, wait_until_ready
from tests.app.test_microphone import speechlike, write_wav

ROOT = Path(__file__).parents[2]
TOKEN = "a token of the tests, 32 letters".replace(" ", "-").replace(",", "")
STATE = State(
    **{"avatar": "default", "avatars": ["default"], "loading": "", "sound_file": ""},
    **{"sound_file_ended": False, "microphone": "default", "microphones": [], "hearing": True},
    **{"level": 0.5, "speech": True, "speaking": False, "controls": control.Controls()},
    **{"fps": 30.0, "frame_ms": 10.0, "sound_to_sight_ms": None, "picture": [64, 64]},
    **{"backend": "cpu", "recording": None, "saved": "", "problems": [], "notes": []},
)


class Program(threading.Thread):
    """Stands for the frame loop: answers every command and remembers it."""

    def __init__(self, link: ControlLink) -> None:
        super().__init__(daemon=True)
        self.link, self.heard = link, []
        self.problem = ""
        self.answers = True
        self.over = False
        self.start()

    def run(self) -> None:
        while not self.over:
            for asked in self.link.take():
                self.heard.append(asked)
                if self.answers:
                    self.answer(asked)
            now_s = time.perf_counter()
            if self.link.wants_state(now_s):
                self.link.tell(STATE, now_s)
            time.sleep(0.01)

    def answer(self, asked: Request) -> None:
        picture = b"\x89PNG" if isinstance(asked.command, control.TakePicture) else b""
        self.link.answer(asked.number, self.problem, picture)


@contextlib.contextmanager
def served() -> Iterator[Program]:
    link = ControlLink(0, TOKEN)
    try:
        link.wait_until_ready()
        program = Program(link)
        end = time.perf_counter() + 10
        while call(program, "GET", "/state")[1] in (b"{}",):
            assert time.perf_counter() < end, "no state arrives"
        yield program
        program.over = True
        program.join()
    finally:
        link.close()


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with served() as program:
        yield program


@pytest.fixture(autouse=True)
def at_first(request: pytest.FixtureRequest) -> None:
    if "program" in request.fixturenames:
        program = request.getfixturevalue("program")
        program.heard.clear()
        program.problem, program.answers = "", True


def port_of(program: Program) -> int:
    return int(program.link.url.rpartition(":")[2])


def call(
    program: Program, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes]:
    """Status and body. Headers with _ for -; an empty one is left out."""
    given = {"Authorization": f"Bearer {TOKEN}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection = http.client.HTTPConnection("127.0.0.1", port_of(program), timeout=20)
    try:
        connection.request(
            method, path, body, {name: value for name, value in given.items() if value}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def problem_of(answer: tuple[int, bytes]) -> str:
    problem = json.loads(answer[1])["problem"]
    assert problem
    assert len(problem.splitlines()) == 1
    return problem


def test_the_state_and_every_command_have_their_path(program):
    status, body = call(program, "GET", "/state")
    assert status == 200
    assert msgspec.json.decode(body, type=State) == STATE
    bodies = {"avatar": b'{"name": "default"}', "microphone": b'{"name": "USB"}'}
    for kind in COMMANDS:
        path = path_of(kind)
        status, body = call(program, "POST", path, bodies.get(path[1:]))
        assert status == 200, (path, body)
        assert type(program.heard[-1].command) is kind
        assert json.loads(body)["avatar"] == "default"
    assert len(program.heard) == len(COMMANDS)


def test_controls_arrive_as_they_were_sent(program):
    sent = {"gaze": {"yaw": -20, "pitch": 3.5}, "emotion": {"happiness": 0.7}, "gain": 2}
    assert call(program, "POST", "/controls", json.dumps(sent).encode())[0] == 200
    command = program.heard[-1].command
    assert command.gaze == control.Gaze(-20.0, 3.5)
    assert command.emotion == {"happiness": 0.7}
    assert command.gain == 2.0
    assert command.head is msgspec.UNSET


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/controls", b'{"gaze": {"yaw": 90}}', "<= 25"),
        ("/controls", b'{"mouth": 1}', "unknown field `mouth`"),
        ("/controls", b'{"emotion": {"joy": 1}}', "'joy'"),
        ("/controls", b'{"gain": 1e999}', "out of range"),
        ("/controls", b'{"gain": NaN}', "malformed"),
        ("/controls", b'{"gain": "2"}', "got `str`"),
        ("/controls", b"[" * 50_000, ""),
        ("/controls", b'{"backdrop": "red"}', "regex"),
        ("/controls", b"\xff\xfe\x00", "malformed"),
        ("/controls", b"\x00" * 60_000, "malformed"),
        ("/turntable", b'{"seconds": 1e9}', "<= 120"),
        ("/start-recording", b'{"kind": "../../etc/passwd"}', "kind"),
        ("/avatar", b"{}", "missing required field `name`"),
        ("/avatar", b'{"command": "controls", "name": "x"}', "command"),
        ("/speak", b"no sound at all", "not a sound file"),
        ("/speak", b"", "not a sound file"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason_and_never_reaches_the_program(
    program, path, body, why
):
    answer = call(program, "POST", path, body)
    assert answer[0] == 400
    assert why in problem_of(answer)
    assert program.heard == []


def test_what_the_program_cannot_do_is_told(program):
    program.problem = "film.mp4: is being recorded; stop that before another."
    answer = call(program, "POST", "/start-recording")
    assert answer[0] == 409
    assert problem_of(answer) == program.problem


def test_a_picture_comes_as_png(program):
    assert call(program, "GET", "/snapshot.png?alpha=1") == (200, b"\x89PNG")
    assert program.heard[-1].command == control.TakePicture(alpha=True)
    assert call(program, "GET", "/snapshot.png?alpha=yes")[0] == 400


def test_a_sound_is_kept_for_the_program_and_the_one_before_is_removed(program, tmp_path):
    sound = write_wav(tmp_path / "one.wav", speechlike(0.5)).read_bytes()
    paths = []
    for _ in range(2):
        assert call(program, "POST", "/speak", sound)[0] == 200
        paths.append(Path(program.heard[-1].command.path))
    assert paths[1].read_bytes() == sound
    assert not paths[0].exists()
    if os.name == "posix":
        assert stat.S_IMODE(paths[1].parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("token", ["", "Bearer wrong", "Bearer ", TOKEN, f"Basic {TOKEN}"])
@pytest.mark.parametrize("path", ["/state", "/snapshot.png", "/socket", "/no-such-path"])
def test_without_the_token_nothing_is_told(program, token, path):
    answer = call(program, "GET", path, Authorization=token)
    assert answer[0] == 401
    assert "token of the control file" in problem_of(answer)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8470"},
        {"Host": "127.0.0.1"},  # another port's page
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
)
def test_web_pages_are_refused_whatever_name_they_come_under(program, headers):
    for method, path in (("GET", "/state"), ("POST", "/controls"), ("GET", "/openapi.json")):
        assert call(program, method, path, **headers)[0] == 403
    preflight = call(program, "OPTIONS", "/controls", **headers)
    assert preflight[0] == 403
    assert program.heard == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read(program):
    claimed = control.MOST_SOUND_BYTES + 1
    request = (
        f"POST /speak HTTP/1.1\r\nHost: 127.0.0.1:{port_of(program)}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {claimed}\r\n\r\n"
    )
    assert b" 413 " in spoken_to(program, request.encode())
    assert call(program, "POST", "/controls", b" " * (control.MOST_COMMAND_BYTES + 1))[0] == 413
    chunked = iter([b" " * 60_000] * 10)  # no length is told
    connection = http.client.HTTPConnection("127.0.0.1", port_of(program), timeout=20)
    with contextlib.suppress(ConnectionError):  # it may be gone before all is sent
        connection.request("POST", "/controls", chunked, {"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 413
    connection.close()
    assert call(program, "GET", "/state")[0] == 200


def spoken_to(program: Program, data: bytes, patience_s: float = 5.0) -> bytes:
    """What comes back for raw bytes until the server closes or says no more."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port_of(program)), timeout=patience_s) as client,
        contextlib.suppress(OSError),
    ):
        client.sendall(data)
        while part := client.recv(1 << 16):
            answer += part
            if b"\r\n\r\n" in answer:
                break
    return answer


def test_two_hundred_connections_and_a_slow_loris_keep_nobody_out(program):
    """Meanwhile the program does not answer a command: that is told in the end."""
    program.answers = False
    told: list[tuple[int, bytes]] = []
    unanswered = threading.Thread(
        target=lambda: told.append(call(program, "POST", "/controls", b"{}")), daemon=True
    )
    unanswered.start()
    end = time.perf_counter() + 10
    while not program.heard:  # who comes after it is not let in before it
        assert time.perf_counter() < end
        time.sleep(0.01)
    crowd = []
    for number in range(200):
        client = socket.create_connection(("127.0.0.1", port_of(program)), timeout=5)
        client.sendall(b"GET /state HTTP/1.1\r\nHost: x" if number % 2 else b"G")
        crowd.append(client)
    began = time.perf_counter()
    assert call(program, "GET", "/state")[0] == 200
    assert time.perf_counter() - began < 3
    server = psutil.Process(program.link.process_id)
    kept = [one for one in server.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]
    assert len(kept) <= MOST_CONNECTIONS
    end = time.perf_counter() + REQUEST_S + 5
    while time.perf_counter() < end:  # a byte a second each, as a slow-loris sends them
        for client in crowd:
            with contextlib.suppress(OSError):
                client.send(b"a")
        if not any(one.status == psutil.CONN_ESTABLISHED for one in server.net_connections("tcp")):
            break
        time.sleep(1)
    else:
        raise AssertionError("it still waits for requests that never end")
    for client in crowd:
        client.close()
    assert call(program, "GET", "/state")[0] == 200
    unanswered.join(20)
    assert told[0][0] == 503
    assert "busy" in problem_of(told[0])


class WebSocket:
    """A client as small as it can be (RFC 6455): text frames of up to 64 KiB."""

    def __init__(self, program: Program, **headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port_of(program)), timeout=10)
        given = {
            "Host": f"127.0.0.1:{port_of(program)}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Authorization": f"Bearer {TOKEN}",
        } | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
        self.socket.sendall(f"GET /socket HTTP/1.1\r\n{lines}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, data: bytes, opcode: int = 1) -> None:
        mask = os.urandom(4)
        head = bytes([0x80 | opcode, 0xFE]) + len(data).to_bytes(2, "big") + mask
        self.socket.sendall(head + bytes(b ^ mask[k % 4] for k, b in enumerate(data)))

    def receive(self) -> Any:
        """The next text as JSON; None when it was closed."""
        while True:
            head = self.file.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return None
            length = head[1] & 127
            if length == 126:
                length = int.from_bytes(self.file.read(2), "big")
            data = self.file.read(length)
            if head[0] & 15 == 1:
                return json.loads(data)

    def answer_to(self, number: Any) -> Any:
        while (told := self.receive()) is not None:
            if "id" in told and told["id"] == number:
                return told
        return None

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_a_websocket_tells_the_state_25_times_a_second_and_takes_commands(program):
    client = WebSocket(program)
    assert client.status == 101
    assert client.receive()["state"]["avatar"] == "default"
    began, count = time.perf_counter(), 0
    while time.perf_counter() < began + 2:
        count += "state" in client.receive()
    assert 25 < count <= 56
    client.send(b'{"command": "controls", "id": 7, "gain": 4}')
    assert client.answer_to(7) == {"id": 7, "problem": ""}
    assert program.heard[-1].command.gain == 4
    for number, wrong in enumerate(
        [b"{", b"[]", b'{"id": 2}', b'{"id": 3, "command": "controls", "gain": 99}', b"7", b'"x"']
    ):
        client.send(wrong)
        told = client.answer_to(number if b'"id"' in wrong else None)
        assert told["problem"]
    program.problem = "not now"
    client.send(b'{"command": "snapshot", "id": "x"}')
    assert client.answer_to("x") == {"id": "x", "problem": "not now"}
    client.send(b"\x00\x01", opcode=2)
    while client.receive() is not None:
        pass
    client.close()
    for headers, status in (
        ({"Authorization": ""}, 401),
        ({"Origin": "http://evil.example"}, 403),
        ({"Upgrade": ""}, 400),
    ):
        stranger = WebSocket(program, **headers)
        assert stranger.status == status
        stranger.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *sorted({name for kind in COMMANDS for name in kind.__struct_fields__}),
                    *("command", "yaw", "pitch", "roll", "valence", "happiness"),
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    path=st.sampled_from([path_of(kind) for kind in COMMANDS]),
    value=JSON,
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE"]),
)
def test_no_json_breaks_it_and_what_it_takes_is_within_its_limits(program, path, value, method):
    program.heard.clear()
    status, body = call(program, method, path, json.dumps(value).encode())
    assert status in (200, 400, 405), body
    assert (status == 200) == (len(program.heard) == 1)
    for asked in program.heard:  # what came through is valid by the same table, said anew
        again = msgspec.json.encode(asked.command)
        assert msgspec.json.decode(again, type=type(asked.command)) == asked.command
    msgspec.json.decode(body)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    noise=st.binary(max_size=300),
    cut=st.integers(0, 200),
    place=st.integers(0, 200),
)
def test_no_bytes_break_it(program, noise, cut, place):
    request = (
        f"POST /controls HTTP/1.1\r\nHost: 127.0.0.1:{port_of(program)}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: 2\r\n\r\n{{}}"
    ).encode()
    damaged = request[:place] + noise + request[place + cut :]
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port_of(program)), timeout=5) as client,
        contextlib.suppress(OSError),
    ):
        client.sendall(damaged)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(1 << 16)
    assert b" 500 " not in answer.split(b"\r\n")[0]
    assert call(program, "GET", "/state")[0] == 200


FUZZED = """
generation.deterministic = true
generation.max-examples = 2
generation.no-shrink = true

[checks]
enabled = true
ignored_auth.enabled = false  # waits long for each answer; it is tested above

[phases]
stateful.enabled = false
coverage.unexpected-methods = ["PUT", "DELETE"]

[[operations]]  # what makes bytes a sound, and a request a handshake, no schema says
include-path = ["/speak", "/socket"]
checks.positive_data_acceptance.enabled = false
"""


def test_the_server_keeps_to_its_document_whatever_schemathesis_sends(program, tmp_path):
    """Each path, with what the document allows and what it forbids: the status is one of those it
    names, the body as it says; without the token nothing is done; no other method is taken."""
    (tmp_path / "schemathesis.toml").write_text(FUZZED)
    fuzzed = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{program.link.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert f"Tested: {len(json.loads(openapi_text())['paths'])}" in fuzzed.stdout
    assert {type(asked.command) for asked in program.heard} >= set(COMMANDS)


def test_a_flood_of_commands_waits_its_turn(program):
    sent, stop = [0] * 8, time.perf_counter() + 2.0

    def hammer(place: int) -> None:
        while time.perf_counter() < stop:
            sent[place] += call(program, "POST", "/controls", b'{"gain": 1}')[0] == 200

    clients = [threading.Thread(target=hammer, args=(place,)) for place in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert 20 < sum(sent) <= 40 + 100 * 2.5 + 8
    assert len(program.heard) == sum(sent)


def test_the_document_is_what_the_server_checks_with():
    assert (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8") == openapi_text(), (
        "write it anew: python -m app.control docs/openapi.json"
    )
    document = json.loads(openapi_text())
    names = set(document["components"]["schemas"])
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in names
    gaze = document["components"]["schemas"]["Gaze"]["properties"]["yaw"]
    assert (gaze["minimum"], gaze["maximum"]) == (-25, 25)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from [value["$ref"]] if "$ref" in value else []
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_the_document_is_served_without_a_token_but_not_to_web_pages(program):
    status, body = call(program, "GET", "/openapi.json", Authorization="")
    assert (status, body.decode()) == (200, openapi_text())


def test_a_taken_port_is_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        link = ControlLink(port, TOKEN)
        try:
            with pytest.raises(DeviceError, match=f"port {port} of 127.0.0.1") as caught:
                link.wait_until_ready()
            assert len(str(caught.value).splitlines()) == 1
        finally:
            link.close()


def test_a_server_that_dies_is_started_again_on_the_same_port():
    with served() as program:
        before = port_of(program)
        process = psutil.Process(program.link.process_id)
        program.over = True
        program.join()  # processes are started by the main thread, as the frame loop is
        process.kill()
        answered = threading.Event()

        def ask() -> None:
            while not answered.is_set():
                with contextlib.suppress(OSError):
                    if call(program, "POST", "/controls", b"{}")[0] == 200:
                        answered.set()
                time.sleep(0.1)

        threading.Thread(target=ask, daemon=True).start()
        end = time.perf_counter() + 20
        while not answered.is_set():
            assert time.perf_counter() < end, "it did not come back"
            for asked in program.link.take():
                program.answer(asked)
            time.sleep(0.01)
        assert port_of(program) == before
        assert program.link.process_id != process.pid


def test_a_server_ends_when_its_program_is_gone():
    with served() as program:
        server = psutil.Process(program.link.process_id)
    server.wait(5)


def test_the_token_is_random_or_chosen_and_never_a_weak_one(monkeypatch):
    assert new_token() != new_token()
    assert len(new_token()) >= 32
    monkeypatch.setenv("VISAVIS_CONTROL_TOKEN", "x" * 20)
    assert new_token() == "x" * 20
    for weak in ("", "short", "with a space in it somewhere", "ümläute-in-a-token-xx"):
        monkeypatch.setenv("VISAVIS_CONTROL_TOKEN", weak)
        with pytest.raises(DeviceError, match="VISAVIS_CONTROL_TOKEN: expected at least 16"):
            new_token()


def test_only_the_user_reads_the_control_file(tmp_path, program):
    path = tmp_path / "new" / "control.json"
    path.parent.mkdir()
    path.write_text("an older one, for everybody")
    path.chmod(0o666)
    assert write_control_file(path, program.link, TOKEN) == path
    told = json.loads(path.read_text())
    assert told == {"url": program.link.url, "token": TOKEN, "pid": os.getpid()}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError, match="--control-file"):
        write_control_file(path / "below-a-file" / "c.json", program.link, TOKEN)


def listening(process: psutil.Process) -> list[Any]:
    """Everything that can be connected to, of a process and all that it started."""
    family = [process, *process.children(recursive=True)]
    return [
        one
        for member in family
        for one in member.net_connections("inet")
        if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
    ]


@pytest.mark.skipif(os.name != "posix", reason="signals are those of a Unix desktop")
def test_a_live_run_is_steered_and_listens_on_this_machine_only(small_avatar_file, tmp_path):
    wav = write_wav(tmp_path / "speech.wav", speechlike(60.0))
    file = tmp_path / "control.json"
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "96", "--backend", "cpu", "--save-to", str(tmp_path)),
        *("--control", "0", "--control-file", str(file)),
    ) as process:
        wait_until_ready(process)
        told = json.loads(file.read_text())
        (open_port,) = listening(psutil.Process(process.pid))
        assert open_port.laddr == ("127.0.0.1", int(told["url"].rpartition(":")[2]))

        def ask(method: str, path: str, body: Any = None) -> Any:
            connection = http.client.HTTPConnection(*open_port.laddr, timeout=30)
            try:
                connection.request(
                    method,
                    path,
                    body if body is None or isinstance(body, bytes) else json.dumps(body),
                    {"Authorization": f"Bearer {told['token']}"},
                )
                answer = connection.getresponse()
                content = answer.read()
                return content if answer.status != 200 or path != "/state" else json.loads(content)
            finally:
                connection.close()

        wanted = {"gaze": {"yaw": 10, "pitch": -5}, "emotion": {"sadness": 0.5}, "gain": 2}
        after = json.loads(ask("POST", "/controls", {**wanted, "camera": {"yaw": 40}}))
        assert after["controls"]["gaze"] == wanted["gaze"]
        assert after["controls"]["emotion"] == wanted["emotion"]
        assert after["controls"]["gain"] == 2
        time.sleep(1)
        assert ask("GET", "/state")["controls"]["camera"]["yaw"] == pytest.approx(40, abs=0.5)
        assert ask("GET", "/snapshot.png?alpha=1")[:4] == b"\x89PNG"
        assert json.loads(ask("POST", "/start-recording", {"kind": "mp4"}))["recording"]["running"]
        assert b"is being recorded" in ask("POST", "/turntable", {"seconds": 2})
        ask("POST", "/speak", write_wav(tmp_path / "say.wav", speechlike(1.0)).read_bytes())
        end = time.perf_counter() + 20
        while not ask("GET", "/state")["speaking"]:
            assert time.perf_counter() < end, "it does not speak"
        while ask("GET", "/state")["speaking"]:
            assert time.perf_counter() < end, "it does not stop to speak"
        ask("POST", "/stop-recording")
        while (recording := ask("GET", "/state")["recording"])["running"]:
            assert time.perf_counter() < end, "it does not stop to record"
        assert (tmp_path / recording["file"]).stat().st_size == recording["bytes"]
        assert b"expected one of" in ask("POST", "/avatar", {"name": "/etc/passwd"})
        assert b"no microphone to choose" in ask("POST", "/microphone", {"name": "x"})
        os.killpg(process.pid, signal.SIGINT)
        finished_steered(process)
    assert not file.exists()


def finished_steered(process: Any) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    complaints = [line for line in errors.splitlines() if not line.startswith("INFO:")]
    assert len(complaints) <= 1  # where it is steered at, unless that was read before
    assert all("visavis: steered at http://127.0.0.1:" in line for line in complaints)


@pytest.mark.skipif(os.name != "posix", reason="signals are those of a Unix desktop")
def test_without_being_asked_it_opens_no_port_at_all(small_avatar_file, tmp_path):
    wav = write_wav(tmp_path / "speech.wav", speechlike(30.0))
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "96", "--backend", "cpu", "--record", str(tmp_path / "film.mp4")),
    ) as process:
        wait_until_ready(process)
        for _ in range(10):
            assert listening(psutil.Process(process.pid)) == []
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        finished(process)
