"""`visavis live --stream --rig` as a person starts it, heard from outside."""

import json
import socket
import sys
import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from app.video_file import read_pictures
from avatar.rig.live_link import PACKET_NAMES, decode
from avatar.rig.messages import arrays_of
from tests.app.test_live import PATIENCE_S, started
from tests.app.test_microphone import speechlike, write_wav

HEAD_PITCH = PACKET_NAMES.index("HeadPitch")


@pytest.mark.skipif(sys.platform == "win32", reason="starts it as a Unix desktop does")
def test_two_receivers_hear_the_face_and_its_film_has_the_rigs_head_beside_it(
    small_avatar_file, tmp_path
):
    stats, film = tmp_path / "stats.json", tmp_path / "both.mp4"
    wav = write_wav(tmp_path / "short.wav", speechlike(4.0))
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
            *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
            *("--stats", str(stats), "--size", "128", "--backend", "cpu", "--rig"),
            *("--stream", f"livelink://127.0.0.1:{ports[0]}?name=Ada", "--stream-fps", "50"),
            *("--stream", f"osc://127.0.0.1:{ports[1]}", "--stream", "vmc://127.0.0.1:9"),
            *("--stream", "vmc://no-such-host.invalid", "--record", str(film)),
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
            _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, "a stream that was asked for is missing"
    last = errors.splitlines()[-1]
    assert "no-such-host.invalid" in last
    assert "is not known" in last
    faces = [decode(packet) for packet in packets]
    assert len(faces) > 100
    assert {face.subject for face in faces if face} == {"Ada"}
    # Whether the mouth speaks depends on how busy the machine is, that the head breathes does not.
    heard = np.array([face.values[HEAD_PITCH] for face in faces if face])
    turns = [arrays_of(datagram)["head/rotation"] for datagram in datagrams]
    streamed = Rotation.from_rotvec(np.stack(turns)).as_euler("YXZ")[:, 1]
    assert heard.std() > 1e-3
    assert np.percentile(streamed, [10, 90]) == pytest.approx(
        np.percentile(heard, [10, 90]), abs=1e-3
    )
    told = json.loads(stats.read_text())["streams"]
    assert len(told) == 5  # the four that were asked for, and that of the rig's head
    assert all(one["sent"] > 100 for one in (*told[:2], told[4]))
    assert [bool(one["problem"]) for one in told] == [False, False, False, True, False]
    *_, picture = read_pictures(film)
    assert picture.pixels.shape == (128, 128, 3), "two of 64 beside each other"
    for half in (picture.pixels[:, :64], picture.pixels[:, 64:]):
        assert np.ptp(half[40:90, 20:44].astype(int)) > 60, "a face in each"
