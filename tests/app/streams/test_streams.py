"""Streams reach receivers that others wrote, at their rate, and nobody's absence does harm."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from app.motion_channel import MotionChannel
from app.streams.outlets import DatagramOutlet
from app.streams.sender import Streams
from app.streams.targets import Target
from app.streams.web_socket import MOST_CLIENTS, WebSocketOutlet
from avatar.errors import MotionFileError
from avatar.rig import live_link, osc
from avatar.rig.expressions import VRM0_NAMES, vrm_of
from avatar.rig.messages import arrays_of, controls_of, osc_arrays, osc_named
from avatar.rig.spelling import control_names
from avatar.types import ARKIT_NAMES, MotionFrame
from tests.avatar.rig.faces import motion

FRAME = motion(3)[2]


@contextmanager
def receiver() -> Iterator[tuple[str, socket.socket]]:
    """`host:port` of a socket on this machine, and the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        yield f"127.0.0.1:{listening.getsockname()[1]}", listening


def received(scheme: str, frame: MotionFrame = FRAME, query: str = "") -> list[bytes]:
    """All datagrams of one frame."""
    with receiver() as (address, listening):
        outlet = DatagramOutlet(Target.parse([f"{scheme}://{address}{query}"]), 60.0)
        outlet.send(frame, 7, 1.5)
        assert (outlet.sent, outlet.failed) == (1, 0)
        outlet.close()
        datagrams = [listening.recv(65536)]
        listening.setblocking(False)  # all were sent before
        with contextlib.suppress(BlockingIOError):
            while True:
                datagrams.append(listening.recv(65536))
        return datagrams


# Live Link Face.


def test_a_live_link_packet_is_read_by_an_independent_decoder():
    module = import_module("pylivelinkface")
    (datagram,) = received("livelink", query="?name=Ada")
    found, face = module.PyLiveLinkFace.decode(datagram)
    assert found
    assert (face.name, face.fps) == ("Ada", 60)
    for index, name in enumerate(ARKIT_NAMES):
        shape = module.FaceBlendShape[name[0].upper() + name[1:]]
        assert face.get_blendshape(shape) == pytest.approx(float(FRAME.expression[index]))
    head = Rotation.from_rotvec(FRAME.head_rotation).as_euler("YXZ")
    shapes = (module.FaceBlendShape.HeadYaw, module.FaceBlendShape.HeadPitch)
    assert [face.get_blendshape(one) for one in shapes] == pytest.approx(head[:2], abs=1e-6)
    yaw = face.get_blendshape(module.FaceBlendShape.LeftEyeYaw)
    assert yaw == pytest.approx(float(FRAME.gaze[0]))


def test_a_live_link_packet_comes_back_whole():
    values = np.random.default_rng(0).uniform(-1, 1, 61).astype(np.float32)
    packet = live_link.Packet("Žofie", 123456, 0.25, (30000, 1001), values)
    identity = "0" * 36
    back = live_link.decode(live_link.encode(packet, identity))
    assert back is not None
    assert (back.subject, back.frame, back.part, back.rate) == (
        "Žofie",
        123456,
        0.25,
        (30000, 1001),
    )
    np.testing.assert_array_equal(back.values, values)


def test_live_link_reads_a_packet_without_a_face_and_refuses_noise():
    data = live_link.encode(
        live_link.Packet("a", 1, 0, (60, 1), np.zeros(61, np.float32)), "0" * 36
    )
    assert live_link.decode(data[:46]) is None
    rng = np.random.default_rng(1)
    for damaged in (b"", data[:30], b"\7" + data[1:], data[:-4], rng.bytes(300)):
        with pytest.raises(MotionFileError, match="Live Link"):
            live_link.decode(damaged)


def test_the_layout_of_a_packet_is_the_documented_one():
    data = live_link.encode(
        live_link.Packet("ab", 5, 0.0, (60, 1), np.arange(61, dtype=np.float32)), "u" * 36
    )
    assert data[:4] == b"\x06\0\0\0"
    assert data[4:41] == b"$" + b"u" * 36
    assert data[41:47] == b"\0\0\0\2ab"
    assert data[47:64] == b"\0\0\0\5" + bytes(4) + b"\0\0\0\x3c" + b"\0\0\0\1" + b"\x3d"
    assert data[64:] == np.arange(61, dtype=">f4").tobytes()


# OSC and VMC.


def parsed(datagrams: list[bytes]) -> list[tuple[str, list]]:
    packet = import_module("pythonosc.osc_packet")
    messages = [one.message for data in datagrams for one in packet.OscPacket(data).messages]
    return [(message.address, list(message)) for message in messages]


def test_osc_arrays_are_one_datagram_that_an_independent_decoder_reads():
    datagrams = received("osc")
    assert len(datagrams) == 1
    assert len(datagrams[0]) <= osc.LARGEST_BYTES
    got = dict(parsed(datagrams))
    assert got["/visavis/frame"] == [7, 1.5]
    expected = {
        "arkit": FRAME.expression, "metahuman": controls_of(FRAME), "tongue": FRAME.tongue,
        "gaze": FRAME.gaze, "head/rotation": FRAME.head_rotation,
        "head/translation": FRAME.head_translation,
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(got[f"/visavis/{name}"], values, atol=1e-7)
    own = arrays_of(datagrams[0])
    np.testing.assert_allclose(own["metahuman"], expected["metahuman"], atol=1e-7)


def test_named_osc_has_a_message_for_each_control():
    datagrams = received("osc", query="?form=named")
    assert max(map(len, datagrams)) <= osc.LARGEST_BYTES
    got = dict(parsed(datagrams))
    for name, value in zip(control_names("unreal"), controls_of(FRAME), strict=True):
        assert got[f"/visavis/metahuman/{name}"] == [pytest.approx(float(value), abs=1e-6)]
    jaw = float(FRAME.expression[ARKIT_NAMES.index("jawOpen")])
    assert got["/visavis/arkit/jawOpen"] == [pytest.approx(jaw, abs=1e-6)]


def test_vmc_tells_expressions_applies_them_and_turns_the_bones_in_unitys_axes():
    messages = parsed(received("vmc"))
    assert messages[-1] == ("/VMC/Ext/Blend/Apply", [])
    values = dict(v for address, v in messages if address == "/VMC/Ext/Blend/Val")
    shown = vrm_of(FRAME.expression[None], FRAME.gaze[None])[0]
    looks = [name for name in VRM0_NAMES if name.startswith("Look")]
    assert set(values) == set(VRM0_NAMES) - set(looks)
    for name, value in zip(VRM0_NAMES, shown, strict=True):
        if name in values:
            assert values[name] == pytest.approx(float(value), abs=1e-6)
    bones = {v[0]: v[1:] for address, v in messages if address == "/VMC/Ext/Bone/Pos"}
    assert set(bones) == {"Head", "LeftEye", "RightEye"}
    # Mirrored in x: the axis' y and z change their signs, as does nothing else.
    turn = Rotation.from_quat(bones["Head"][3:]).as_rotvec()
    expected = FRAME.head_rotation * np.array([1, -1, -1])
    np.testing.assert_allclose(turn, expected, atol=1e-6)


def test_vmc_has_the_52_of_arkit_where_the_avatar_has_them():
    messages = parsed(received("vmc", query="?names=arkit"))
    values = dict(v for address, v in messages if address == "/VMC/Ext/Blend/Val")
    assert len(values) == 52
    jaw = float(FRAME.expression[ARKIT_NAMES.index("jawOpen")])
    assert values["JawOpen"] == pytest.approx(jaw, abs=1e-6)


def test_osc_comes_back_and_noise_is_refused():
    one = osc.message("/a/b", 3, 0.5, "text", "")
    assert osc.parse(one) == [("/a/b", (3, 0.5, "text", ""))]
    assert osc.parse(osc.bundle([one, osc.message("/c")])) == [*osc.parse(one), ("/c", ())]
    rng = np.random.default_rng(0)
    blob = b"/a\0\0,b\0\0" + bytes(4)
    for damaged in (b"", b"abcd", one[:-2], osc.bundle([one])[:-3], blob, rng.bytes(64)):
        with pytest.raises(MotionFileError, match="OSC"):
            osc.parse(damaged)
    with pytest.raises(MotionFileError, match="OSC"):
        arrays_of(osc.message("/visavis/metahuman", 1.0))
    with pytest.raises(MotionFileError, match="OSC"):
        arrays_of(osc.message("/other", 1.0))


def test_bundles_hold_every_message_once_and_none_is_too_long():
    datagrams = osc_named(FRAME, 0, 0.0)
    addresses = [address for data in datagrams for address, _ in osc.parse(data)]
    assert len(addresses) == len(set(addresses)) == 4 + 52 + 3 + 174
    assert len(osc_arrays(FRAME, 2**31 - 1, 1e6)) == 1


# Browsers.


@contextmanager
def web_socket(query: str = "") -> Iterator[tuple[WebSocketOutlet, str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    outlet = WebSocketOutlet(Target.parse([f"ws://127.0.0.1:{port}{query}"]))
    try:
        yield outlet, f"ws://127.0.0.1:{port}", port
    finally:
        outlet.close()


def pumped(outlet: WebSocketOutlet, work: Callable[[], object]) -> object:
    """What `work` gives, while frames go out."""
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    for count in range(2000):
        outlet.send(FRAME, count, count / 50)
        time.sleep(0.005)
        if not thread.is_alive():
            break
    thread.join()
    assert done, "the client failed"
    return done[0]


def test_a_browsers_socket_gets_the_names_and_then_frames():
    sync = import_module("websockets.sync.client")
    with web_socket() as (outlet, address, _):

        def listen() -> list[dict]:
            with sync.connect(address, origin="http://localhost:8080") as client:
                pong = client.ping()
                messages = [json.loads(client.recv(timeout=5)) for _ in range(4)]
                assert pong.wait(5)
                return messages

        names, *frames = pumped(outlet, listen)  # pyright: ignore[reportGeneralTypeIssues]
        assert names["metahuman"] == list(control_names("unreal"))
        assert [frame["type"] for frame in frames] == ["frame"] * 3
        assert frames[1]["frame"] == frames[0]["frame"] + 1
        np.testing.assert_allclose(frames[0]["metahuman"], controls_of(FRAME), atol=6e-5)
        np.testing.assert_allclose(frames[0]["arkit"], FRAME.expression, atol=6e-5)
        for _ in range(400):  # it hung up, and that is noticed
            outlet.send(FRAME, 0, 0)
            if not outlet.clients:
                break
            time.sleep(0.005)
        assert outlet.clients == 0


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"POST / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", b"400"),
        (
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: a\r\nOrigin: https://evil.example\r\n\r\n",
            b"403",
        ),
    ],
)
def test_who_may_not_listen_or_asks_wrongly_is_told_so(request_text, status):
    with web_socket() as (outlet, _, port):

        def ask() -> bytes:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(request_text)
                return client.recv(4096)

        answer = pumped(outlet, ask)
        assert isinstance(answer, bytes)
        assert answer.split()[1] == status
        assert outlet.clients == 0


def test_a_page_of_another_host_may_listen_where_it_was_let_in():
    sync = import_module("websockets.sync.client")
    with web_socket("?origin=https://my.page") as (outlet, address, _):

        def listen() -> str:
            with sync.connect(address, origin="https://my.page") as client:
                return client.recv(timeout=5)

        assert "names" in str(pumped(outlet, listen))


def test_a_client_that_takes_nothing_costs_no_time_and_is_let_go(monkeypatch):
    monkeypatch.setattr("app.streams.web_socket._PATIENCE_S", 0.3)
    with web_socket() as (outlet, _, port), socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(
            b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: abc\r\n\r\n"
        )
        slowest, began = 0.0, time.monotonic()
        greeted = False
        while time.monotonic() - began < 20:
            before = time.monotonic()
            outlet.send(FRAME, 0, 0.0)
            slowest = max(slowest, time.monotonic() - before)
            greeted = greeted or outlet.clients == 1
            if greeted and not outlet.clients:
                break
        assert greeted
        assert outlet.clients == 0
        assert outlet.failed > 0
        assert slowest < 0.2


def test_more_clients_than_allowed_are_turned_away():
    with web_socket() as (outlet, _, port):
        waiting = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(MOST_CLIENTS)]
        outlet.send(FRAME, 0, 0.0)
        with socket.create_connection(("127.0.0.1", port), 5) as one_more:
            outlet.send(FRAME, 1, 0.0)
            assert one_more.recv(10) == b""
        for client in waiting:
            client.close()


def test_random_bytes_of_a_client_do_not_end_the_stream():
    rng = np.random.default_rng(0)
    with web_socket() as (outlet, _, port):
        for size in (1, 5, 200, 4000, 20000):
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(
                    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: abc\r\n\r\n" + rng.bytes(size)
                )
                for _ in range(4):
                    outlet.send(FRAME, 0, 0.0)


# The thread.


def test_a_stream_keeps_its_rate_and_carries_the_motion_of_the_channel():
    channel = MotionChannel()
    frames = motion(60, 50.0)
    try:
        with receiver() as (address, listening):
            targets = [Target.parse([f"osc://{address}"]), Target.parse(["osc://127.0.0.1:9"])]
            streams = Streams(targets, 40.0, channel.name, lambda: None)
            times, jaws = [], []
            began = time.perf_counter()
            for index, frame in enumerate(frames):
                channel.write(frame, began + index / 50)
                wanted = began + (index + 1) / 50
                while time.perf_counter() < wanted:
                    arrays = arrays_of(listening.recv(65536))
                    times.append(arrays["frame"][1])
                    jaws.append(arrays["arkit"][ARKIT_NAMES.index("jawOpen")])
            streams.close()
            assert streams.problems == ()
        assert len(times) > 20
        assert np.median(np.diff(times)) == pytest.approx(1 / 40, rel=0.2)
        sent = np.array([frame.expression[ARKIT_NAMES.index("jawOpen")] for frame in frames])
        assert np.std(jaws) > 0.3 * np.std(sent)
        told = streams.statistics()
        assert told[0]["target"] == f"osc://{address}"
        assert all(isinstance(one["sent"], int) and one["sent"] >= len(times) for one in told[:1])
    finally:
        channel.close(unlink=True)


def test_a_stream_that_cannot_be_is_told_of_and_the_others_are_sent(monkeypatch):
    channel = MotionChannel()
    with receiver() as (address, listening), socket.create_server(("127.0.0.1", 0)) as taken:
        names = [
            "osc://no-such-host.invalid",
            f"ws://127.0.0.1:{taken.getsockname()[1]}",
            *[f"osc://{address}"] * 2,
        ]
        targets = [Target.parse([name]) for name in names]
        streams = Streams(targets, 60, channel.name, lambda: None)
        try:
            assert arrays_of(listening.recv(65536))["metahuman"].shape == (174,)
            unknown, unheard = streams.problems
            assert "is not known" in unknown
            assert "cannot listen there" in unheard
            assert "\n" not in unknown + unheard
            told = streams.statistics()
            assert [one["problem"] for one in told] == [unknown, unheard, ""], "one named twice"

            def fails(self: MotionChannel) -> None:
                raise ValueError("the memory is gone")

            monkeypatch.setattr(MotionChannel, "read_new", fails)
            streams._thread.join(5)
            assert streams.problems[2:] == ("streams ended: ValueError: the memory is gone",)
            assert streams.statistics()[2]["problem"] == streams.problems[2]
        finally:
            streams.close()
            channel.close(unlink=True)


def test_an_address_that_cannot_be_reached_is_counted_and_does_not_raise(monkeypatch):
    outlet = DatagramOutlet(Target.parse(["osc://127.0.0.1:9"]), 60.0)

    class Unreachable:
        def sendto(self, data: bytes, address: object) -> int:
            raise OSError("unreachable")

        def close(self) -> None: ...

    outlet._socket.close()
    monkeypatch.setattr(outlet, "_socket", Unreachable())
    outlet.send(FRAME, 0, 0.0)
    assert (outlet.sent, outlet.failed) == (0, 1)
    outlet.close()
