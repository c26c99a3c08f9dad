"""The plain head shows what a stream says, and nothing else."""

import socket
from dataclasses import replace

import numpy as np
import pytest

from app.frame_loop import MemoryDisplay
from app.rig_view import BesideDisplay, RigHead, motion_of
from avatar.errors import MotionFileError
from avatar.rig.messages import osc_arrays
from avatar.rig.plain_avatar import plain_avatar
from avatar.types import ARKIT_NAMES, MotionFrame
from tests.avatar.rig.faces import face, motion

SIZE = (96, 120)
FRONT = (0.0, 0.0, 0.8)


def sent(frame: MotionFrame) -> bytes:
    (datagram,) = osc_arrays(frame, 0, 0.0)
    return datagram


def test_the_face_of_a_datagram_is_the_face_that_was_sent():
    frame = motion(5)[4]
    seen = motion_of(sent(frame))
    np.testing.assert_allclose(seen.expression, frame.expression, atol=3e-4)
    np.testing.assert_allclose(seen.gaze, frame.gaze, atol=1e-4)
    np.testing.assert_allclose(seen.tongue, frame.tongue, atol=1e-4)
    np.testing.assert_array_equal(seen.head_rotation, frame.head_rotation)


def test_it_is_moved_by_the_controls_and_not_by_the_arkit_weights_beside_them():
    open_mouth, shut = sent(face(jawOpen=0.8)), sent(face())
    place = open_mouth.index(b"/visavis/metahuman")
    mixed = shut[: shut.index(b"/visavis/metahuman")] + open_mouth[place:]
    assert motion_of(mixed).expression[ARKIT_NAMES.index("jawOpen")] == pytest.approx(0.8, abs=1e-4)


def test_noise_is_refused():
    with pytest.raises(MotionFileError):
        motion_of(b"hello there")


def test_the_plain_head_is_drawn_whole_and_opens_its_mouth():
    head = RigHead()
    head.take(sent(face()))
    rest = head.picture(*SIZE, FRONT).astype(int)
    assert rest.shape == (120, 96, 4)
    middle = rest[30:75, 35:61, 3]
    assert middle.min() > 250, "no hole in the face"
    assert rest[:5, :, 3].max() < 30, "nothing above it"
    for changed, rows in (
        (face(jawOpen=0.9), slice(60, 100)), (face(browInnerUp=1, browOuterUp=1), slice(25, 50)),
        (face(eyeBlink=1), slice(35, 60)), (face(noseSneer=1), slice(40, 75)),
    ):  # fmt: skip
        head.take(sent(changed))
        moved = np.abs(head.picture(*SIZE, FRONT).astype(int) - rest)[..., :3]
        assert moved[rows].max() > 25
        assert moved[rows].sum() > 0.7 * moved.sum(), "it moves there"


def test_the_plain_head_is_made_of_few_enough_splats_of_sane_size():
    avatar = plain_avatar()
    assert 20_000 < len(avatar) < 90_000
    assert np.isfinite(avatar.colour).all()
    assert avatar.colour.min() >= 0
    assert avatar.colour.max() <= 1


def test_a_picture_of_a_film_lies_over_the_background():
    picture = RigHead().film_picture(motion(1)[0], SIZE, FRONT, (0.0, 0.0, 1.0))
    assert picture.shape == (120, 96, 3)
    np.testing.assert_array_equal(picture[0, 0], [0, 0, 255])


def test_beside_the_avatar_stands_the_head_that_listens_to_its_own_stream():
    memory = MemoryDisplay(200, 100)
    beside = BesideDisplay(memory)
    try:
        assert beside.room() == (100, 100)
        picture = np.zeros((100, 100, 4), np.uint8)
        picture[..., 1] = 200
        beside.show(picture)
        assert memory.last is not None
        assert memory.last.shape == (100, 200, 4)
        np.testing.assert_array_equal(memory.last[:, :100], picture)
        np.testing.assert_array_equal(beside.whole(picture), memory.last)
        assert beside.across == 2
        still = memory.last[:, 100:].astype(int)
        assert still[..., 3].max() > 250
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for frame in (face(), replace(face(jawOpen=0.9), index=1)):  # the newest counts
                sender.sendto(sent(frame), (beside.target.host, beside.target.port))
        beside.show(picture)
        moved = memory.last[:, 100:].astype(int)
        assert np.abs(moved - still).max() > 25
        beside.view = (0.6, 0.0, 1.0)  # a turntable goes around both
        beside.show(picture)
        assert np.abs(memory.last[:, 100:].astype(int) - moved).max() > 60
        beside.show(None)
        assert beside.begin_frame()
    finally:
        beside.close()
