import math
from dataclasses import replace

import numpy as np
import pytest

from app.attention import EYE_LIMIT_RAD, HEAD_LIMIT_RAD, NECK, Attention, angles
from app.face_sampler import FaceSampler
from avatar.types import MotionFrame

STILL = replace(
    FaceSampler().sample(1.0).motion,
    head_rotation=np.zeros(3, np.float32),
    head_translation=np.zeros(3, np.float32),
    gaze=np.zeros(2, np.float32),
)


def look(attention, viewer, seconds, motion=STILL, start_s=0.0, rate=90) -> list[MotionFrame]:
    return [
        attention.followed(motion, np.asarray(viewer, float), start_s + number / rate)
        for number in range(round(seconds * rate))
    ]


def viewer_at(yaw_degrees: float, pitch_degrees: float = 0.0, distance: float = 1.0):
    yaw, pitch = math.radians(yaw_degrees), math.radians(pitch_degrees)
    return distance * np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    )


def rotation(axis_angle):
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.asarray(axis_angle, float)).as_matrix()


def seen_direction(motion: MotionFrame) -> np.ndarray:
    """[3] where the eyes look, against the shoulders."""
    yaw, pitch = motion.gaze.astype(float)
    ahead = [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    return rotation(motion.head_rotation) @ ahead


@pytest.mark.parametrize("where", [(0, 0), (20, 0), (-35, 10), (10, -15), (50, 0)])
def test_eyes_and_head_together_meet_the_viewer(where):
    viewer = viewer_at(*where)
    motion = look(Attention(), viewer, 3.0)[-1]
    eyes = NECK + rotation(motion.head_rotation) @ -NECK
    towards = viewer - eyes
    cosine = seen_direction(motion) @ towards / np.linalg.norm(towards)
    assert math.degrees(math.acos(min(cosine, 1.0))) < 1.0


def test_the_eyes_go_first_and_the_head_follows():
    attention = Attention()
    look(attention, viewer_at(0), 1.0)
    frames = look(attention, viewer_at(30), 1.5, start_s=1.0)
    early = frames[9]  # a tenth of a second
    assert early.gaze[0] > math.radians(15)
    assert early.head_rotation[1] < math.radians(8)
    late = frames[-1]
    assert late.head_rotation[1] > math.radians(14)
    assert late.gaze[0] < early.gaze[0]


@pytest.mark.parametrize("yaw", range(-180, 181, 15))
def test_nothing_goes_further_than_people_do(yaw):
    for motion in look(Attention(), viewer_at(yaw, 40), 2.0, rate=30):
        assert np.abs(motion.gaze).max() <= EYE_LIMIT_RAD + 1e-6
        assert abs(angles(rotation(motion.head_rotation)[:, 2])[0]) <= HEAD_LIMIT_RAD + 1e-6


def test_a_viewer_behind_it_is_not_stared_after():
    motion = look(Attention(), viewer_at(170), 3.0)[-1]
    assert np.abs(motion.head_rotation).max() < 0.02


def test_it_looks_away_at_times_and_comes_back():
    frames = look(Attention(seed=3), viewer_at(0), 60.0, rate=30)
    aside = np.array([abs(motion.gaze[0]) > math.radians(4) for motion in frames])
    assert 0.03 < aside.mean() < 0.3
    assert np.count_nonzero(np.diff(aside.astype(int)) == 1) >= 4
    assert not aside[:100].any()  # not before it has looked at one


def test_its_own_small_movements_stay():
    nodding = replace(
        STILL,
        head_rotation=np.array([0.05, 0.02, 0.01], np.float32),
        gaze=np.array([-0.02, 0.05], np.float32),  # makes up for the nod
    )
    motion = look(Attention(), viewer_at(0), 1.0, nodding)[-1]
    assert motion.head_rotation == pytest.approx(nodding.head_rotation, abs=1e-4)
    asked = replace(STILL, gaze=np.array([0.2, 0.0], np.float32))
    motion = look(Attention(), viewer_at(0), 1.0, asked)[-1]
    assert motion.gaze[0] == pytest.approx(0.2, abs=0.02)


def test_the_frame_rate_does_not_matter():
    slow = look(Attention(), viewer_at(35), 1.0, rate=20)[-1]
    quick = look(Attention(), viewer_at(35), 1.0, rate=120)[-1]
    assert slow.head_rotation == pytest.approx(quick.head_rotation, abs=0.03)
