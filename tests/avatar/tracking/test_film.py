"""Motion put into landmarks comes out again: expressions, lids, gaze, head, and what is missing."""

from collections.abc import Sequence

import numpy as np
import pytest

from avatar.head.template import HeadTemplate, load_template
from avatar.portrait.landmarks import FoundFace
from avatar.tracking.calibrate import calm_frames, find_person, neutral_offset
from avatar.tracking.face_model import FaceModel, face_model
from avatar.tracking.film import FilmTrack, presence, track_film
from avatar.tracking.tracker import FURTHEST_M, LiveTracker
from avatar.types import ARKIT_NAMES, Float, MotionFrame
from tests.avatar.tracking.heads import LENS, SIZE, landmarks, weights

FPS = 25.0
COUNT = 50


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def model(template: HeadTemplate) -> FaceModel:
    plain = face_model(template, template.vertices)
    return plain.with_rest(neutral_offset(plain, LENS, [FoundFace(landmarks(template))]))


def wave(period: int, peak: float = 1.0) -> Float:
    """[COUNT] from 0 to `peak` and back, every `period` frames, 0 for the first ten."""
    phase = np.maximum(np.arange(COUNT) - 10, 0) / period
    return (peak * 0.5 * (1 - np.cos(2 * np.pi * phase))).astype(np.float32)


def tracked(model: FaceModel, frames: Sequence[Float | None]) -> FilmTrack:
    faces = [None if points is None else FoundFace(points) for points in frames]
    return track_film(model, LENS, np.arange(len(frames)) / FPS, faces)


def of(frames: list[MotionFrame], name: str) -> Float:
    return np.array([frame.expression[ARKIT_NAMES.index(name)] for frame in frames])


@pytest.mark.parametrize(
    ("name", "peak"),
    [("jawOpen", 0.4), ("mouthSmile", 0.8), ("mouthPucker", 0.7), ("browInnerUp", 0.8)],
)
def test_an_expression_comes_back(template: HeadTemplate, model: FaceModel, name: str, peak: float):
    done = wave(20, peak)
    frames = [
        landmarks(template, expression=weights(**{name: w}), noise_px=0.2, seed=i)
        for i, w in enumerate(done)
    ]
    motion = tracked(model, frames).frames()
    read = of(motion, name if name in ARKIT_NAMES else name + "Left")
    assert np.corrcoef(read, done)[0, 1] > 0.97
    assert 0.6 * peak < read.max() < 1.25 * peak
    others = np.array([m.expression for m in motion[:8]])
    sealed = 0.22  # what shut lips are given beside what was seen
    assert others.max() < sealed


def test_lips_that_meet_for_one_frame_meet(template: HeadTemplate, model: FaceModel):
    jaw = np.full(COUNT, 0.3, np.float32)
    jaw[:6] = 0
    jaw[[20, 31, 32]] = 0
    frames = [
        landmarks(template, expression=weights(jawOpen=float(w)), noise_px=0.2, seed=i)
        for i, w in enumerate(jaw)
    ]
    motion = tracked(model, frames).frames()
    open_by = of(motion, "jawOpen") - of(motion, "mouthClose")
    assert open_by[[20, 31, 32]].max() < 0.05
    assert open_by[[25, 40]].min() > 0.2


def test_a_blink_shuts_the_eyes_and_nothing_else_does(template: HeadTemplate, model: FaceModel):
    shut = np.zeros(COUNT, np.float32)
    shut[20:24] = (0.3, 0.75, 0.75, 0.3)
    frames = [
        landmarks(template, expression=weights(eyeBlink=float(w)), noise_px=0.3, seed=i)
        for i, w in enumerate(shut)
    ]
    motion = tracked(model, frames).frames()
    blink = of(motion, "eyeBlinkLeft")
    assert blink[21:23].min() > 0.7
    assert blink[:17].max() < 0.1
    assert blink[28:].max() < 0.1


def test_one_eye_may_wink(template: HeadTemplate, model: FaceModel):
    frames = [
        landmarks(template, expression=weights(eyeBlinkLeft=0.75 if i in (30, 31, 32) else 0.0))
        for i in range(COUNT)
    ]
    motion = tracked(model, frames).frames()
    assert of(motion, "eyeBlinkLeft")[31] > 0.7
    assert of(motion, "eyeBlinkRight")[31] < 0.2


def test_gaze_and_a_turning_head_are_told_apart(template: HeadTemplate, model: FaceModel):
    yaw, look = wave(20, 15.0), wave(13, 0.25)
    frames = [
        landmarks(template, turn=(y, -0.4 * y, 0.3 * y), gaze=(look[i], -0.5 * look[i]))
        for i, y in enumerate(yaw)
    ]
    track = tracked(model, frames)
    turned = np.array([frame.head_rotation for frame in track.frames()])
    gaze = np.array([frame.gaze for frame in track.frames()])
    expected = np.radians(yaw - np.median(yaw))
    assert np.abs(turned[:, 1] - expected).max() < np.radians(2.0)
    assert np.corrcoef(gaze[:, 0], look)[0, 1] > 0.95
    assert np.corrcoef(gaze[:, 1], -look)[0, 1] > 0.9
    moved = np.array([frame.head_translation for frame in track.frames()])
    assert np.abs(moved).max() < 0.008  # it turns about the neck, and goes nowhere


def test_a_still_face_is_still(template: HeadTemplate, model: FaceModel):
    frames = [landmarks(template, noise_px=0.5, seed=i) for i in range(COUNT)]
    motion = tracked(model, frames).frames()
    weight = np.array([frame.expression for frame in motion])
    turn = np.degrees([frame.head_rotation for frame in motion])
    assert np.abs(np.diff(weight, axis=0)).mean(0).max() < 0.03
    assert np.abs(np.diff(turn, axis=0)).mean() < 0.05


def test_who_walks_away_does_not_stretch_the_neck(template: HeadTemplate, model: FaceModel):
    frames = [landmarks(template, moved=(0.008 * i, 0, 0.01 * i)) for i in range(COUNT)]
    for frame in tracked(model, frames).frames():
        assert np.linalg.norm(frame.head_translation) <= FURTHEST_M + 1e-6


def test_a_lost_face_is_held_then_comes_to_rest(template: HeadTemplate, model: FaceModel):
    smile = landmarks(template, expression=weights(mouthSmile=0.8))
    calm: list[Float | None] = [landmarks(template)] * 15
    gone: list[Float | None] = [None] * 30
    track = tracked(model, [*calm, *[smile] * 10, *gone, *[smile] * 10])
    read = of(track.frames(), "mouthSmileLeft")
    assert track.lost == 30
    assert abs(read[28] - read[24]) < 0.1
    assert read[50:55].max() < 0.02
    assert read[56] < read[64]
    assert read[64] > 0.4


def test_a_short_gap_is_bridged(template: HeadTemplate, model: FaceModel):
    done = wave(20, 0.4)
    frames: list[Float | None] = [landmarks(template, expression=weights(jawOpen=w)) for w in done]
    frames[25] = frames[26] = None
    read = of(tracked(model, frames).frames(), "jawOpen")
    between = (read[24] + read[27]) / 2
    assert abs(read[[25, 26]].mean() - between) < 0.1


def test_presence_falls_and_rises():
    found = np.array([True] * 5 + [False] * 40 + [True] * 10)
    present = presence(np.arange(55) / 25, found)
    assert present[:5].min() == 1
    assert present[8] == 1  # held
    assert present[30] == 0
    assert present[-1] == 1
    assert np.all(np.abs(np.diff(present)) < 0.4)


def test_the_calmest_frame_has_shut_lips_and_open_eyes(template: HeadTemplate):
    shown = [weights(jawOpen=0.3), weights(eyeBlink=0.7), weights(), weights(jawOpen=0.1)]
    faces = [FoundFace(landmarks(template, expression=e)) for e in shown] * 3
    assert calm_frames([None, *faces])[0] - 1 in (2, 6, 10)
    assert calm_frames([None, None]) == []


def test_a_persons_own_neutral_is_nothing(template: HeadTemplate):
    """Someone whose resting face is what others would call a frown."""
    worn = weights(mouthFrown=0.4, browDown=0.5)
    frames = [
        landmarks(template, expression=np.clip(worn + weights(jawOpen=w), 0, 1), noise_px=0.2)
        for w in wave(20, 0.3)
    ]
    faces = [FoundFace(points) for points in frames]
    person = find_person(template, faces, SIZE)
    track = track_film(person.model, person.lens, np.arange(COUNT) / FPS, faces)
    motion = track.frames()
    assert of(motion, "mouthFrownLeft")[:8].max() < 0.12
    assert of(motion, "browDownLeft")[:8].max() < 0.12
    assert np.corrcoef(of(motion, "jawOpen"), wave(20))[0, 1] > 0.95


def test_the_live_way_gives_the_same_film_a_moment_later(template: HeadTemplate, model: FaceModel):
    done = wave(20, 0.4)
    frames = [landmarks(template, expression=weights(jawOpen=w)) for w in done]
    live = LiveTracker(model, LENS)
    motion = [live.step(points, i / FPS) for i, points in enumerate(frames)]
    assert [frame.index for frame in motion] == list(range(COUNT))
    read = of(motion, "jawOpen")
    assert max(np.corrcoef(read[d:], done[: COUNT - d])[0, 1] for d in (0, 1)) > 0.97
    early = LiveTracker(model, LENS)
    again = [early.step(points, i / FPS) for i, points in enumerate(frames[:30])]
    for one, other in zip(motion, again, strict=False):  # later frames change no earlier one
        np.testing.assert_array_equal(one.expression, other.expression)
    gone = [live.step(None, (COUNT + index) / FPS) for index in range(40)]
    assert live.lost == 40
    assert gone[-1].expression.max() < 0.01
