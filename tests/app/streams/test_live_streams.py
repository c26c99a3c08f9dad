"""`visavis live --stream --rig` as a person starts it, heard from outside."""

import json
import socket
import sys
import time

import numpy as np
import pytest

from app.bundled import SAMPLE_LINE
from avatar.rig.live_link import PACKET_NAMES, decode
from avatar.rig.messages import arrays_of
from tests.app.test_live import finished, started

HEAD_PITCH = PACKET_NAMES.index("HeadPitch")


@pytest.mark.skipif(sys.platform == "win32", reason="starts it as a Unix desktop does")
def test_two_receivers_hear_the_face_that_a_run_without_a_window_draws(small_avatar_file, tmp_path):
    stats = tmp_path / "stats.json"
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rig,
    ):
        for receiver in (phone, rig):
            receiver.bind(("127.0.0.1", 0))
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            receiver.setblocking(False)
        ports = [receiver.getsockname()[1] for receiver in (phone, rig)]
        with started(
            *("--avatar", str(small_avatar_file), "--audio", str(SAMPLE_LINE), "--display", "none"),
            *("--stats", str(stats), "--size", "128", "--backend", "cpu", "--rig"),
            *("--stream", f"livelink://127.0.0.1:{ports[0]}?name=Ada", "--stream-fps", "50"),
            *("--stream", f"osc://127.0.0.1:{ports[1]}", "--stream", "vmc://127.0.0.1:9"),
        ) as process:
            packets, datagrams = [], []
            while process.poll() is None:
                time.sleep(0.05)
                for receiver, kept in ((phone, packets), (rig, datagrams)):
                    try:
                        while True:
                            kept.append(receiver.recv(4096))
                    except BlockingIOError:
                        pass
            finished(process)
    faces = [decode(packet) for packet in packets]
    assert len(faces) > 100
    assert {face.subject for face in faces if face} == {"Ada"}
    # Whether the mouth speaks depends on how busy the machine is, that the head breathes does not.
    heard = np.array([face.values[HEAD_PITCH] for face in faces if face])
    streamed = np.array([arrays_of(datagram)["head/rotation"][0] for datagram in datagrams])
    assert heard.std() > 1e-3
    assert np.percentile(streamed, [10, 90]) == pytest.approx(
        np.percentile(heard, [10, 90]), abs=2e-3
    )
    told = json.loads(stats.read_text())["streams"]
    assert len(told) == 4  # the three that were asked for, and that of the rig's head
    assert all(one["sent"] > 100 for one in told[:2])
