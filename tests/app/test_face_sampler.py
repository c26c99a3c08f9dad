import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.face_sampler import HOLD_S, LARGEST_DELAY_S, FaceSampler, PlayoutDelay, rest_pose
from app.motion_channel import RECORD
from avatar.types import ARKIT_NAMES

JAW = ARKIT_NAMES.index("jawOpen")


def records(times_s: np.ndarray, jaw: np.ndarray, latent_size: int = 4) -> np.ndarray:
    """Motion records whose latent says the same as the jaw."""
    made = np.zeros(len(times_s), RECORD)
    made["heard_s"], made["time_s"] = times_s, times_s
    made["index"] = np.arange(len(times_s))
    made["latent_size"] = latent_size
    made["latent"][:, :latent_size] = jaw[:, None]
    made["expression"][:, JAW] = jaw
    return made


def wave(times_s: np.ndarray) -> np.ndarray:
    return 0.5 + 0.4 * np.sin(2 * np.pi * 2 * np.asarray(times_s))


def play(arrivals: list[tuple[float, np.ndarray]], frames_s: np.ndarray, **options) -> list:
    """Sample at `frames_s` while record batches arrive at their instants."""
    sampler, waiting, out = FaceSampler(), list(arrivals), []
    for now in frames_s:
        while waiting and waiting[0][0] <= now:
            sampler.add(waiting.pop(0)[1])
        out.append(sampler.sample(float(now), **options))
    return out


def stream(times_s: np.ndarray, late_s: float) -> list[tuple[float, np.ndarray]]:
    """One record at a time, each `late_s` after it was heard."""
    made = records(times_s, wave(times_s))
    return [(time_s + late_s, made[i : i + 1]) for i, time_s in enumerate(times_s)]


def test_the_face_is_the_motion_of_its_moment_between_the_frames():
    times = np.arange(0, 4, 0.02)
    faces = play(stream(times, 0.2), np.arange(0.5, 3.5, 1 / 60))
    for face in faces[60:]:
        assert not face.starved
        # At a peak of the wave a straight line between two frames is 0.008 below the curve.
        assert face.motion.expression[JAW] == pytest.approx(wave(face.heard_s), abs=0.012)
        assert face.motion.latent == pytest.approx(face.motion.expression[JAW], abs=1e-5)


def test_the_delay_settles_at_what_arrival_takes():
    times = np.arange(0, 12, 0.02)
    faces = play(stream(times, 0.2), np.arange(0.5, 11.5, 1 / 30))
    delays = [
        at - face.heard_s for at, face in zip(np.arange(0.5, 11.5, 1 / 30), faces, strict=True)
    ]
    # A record is up to 20 ms old when the next comes, and the last may be held for as long.
    assert 0.19 <= np.median(delays[100:]) <= 0.24
    assert not any(face.starved for face in faces)


@settings(max_examples=40, deadline=None)
@given(late=st.lists(st.floats(0.0, 0.15), min_size=40, max_size=40))
def test_the_face_never_jumps_however_late_frames_come(late):
    times = np.arange(40) * 0.02
    made = records(times, wave(times))
    arrivals = sorted(
        (
            (time_s + 0.1 + wait, made[i : i + 1])
            for i, (time_s, wait) in enumerate(zip(times, late, strict=True))
        ),
        key=lambda item: item[1]["heard_s"][0],
    )
    latest = 0.0
    ordered = []
    for at, batch in arrivals:  # a ring delivers in order: a late one holds up the next
        latest = max(latest, at)
        ordered.append((latest, batch))
    faces = play(ordered, np.arange(0.1, 1.6, 1 / 60))
    jaw = np.array([face.motion.expression[JAW] for face in faces])
    # The wave itself moves by 0.084 in 1/60 s; frames that were missing may double that.
    assert np.abs(np.diff(jaw)).max() < 0.26


def test_a_starved_face_comes_to_rest_and_goes_on_without_a_jump():
    times = np.concatenate([np.arange(0, 2, 0.02), np.arange(4, 6, 0.02)])
    frames = np.arange(0.5, 5.9, 1 / 60)
    faces = play(stream(times, 0.1), frames)
    jaw = np.array([face.motion.expression[JAW] for face in faces])
    starved = np.array([face.starved for face in faces])
    in_gap = (frames > 2.1 + HOLD_S + 0.05) & (frames < 4.05)
    assert starved[in_gap].all()
    assert not starved[frames < 2.05].any()
    assert not starved[frames > 4.3].any()
    assert jaw[(frames > 3.2) & (frames < 4)].max() < 0.02  # at rest
    assert np.abs(np.diff(jaw)).max() < 0.15
    after = [face for face, at in zip(faces, frames, strict=True) if at > 5]
    assert after[0].motion.expression[JAW] == pytest.approx(wave(after[0].heard_s), abs=0.02)


def test_waiting_for_the_first_motion_does_not_count_as_lateness():
    sampler = FaceSampler()
    for now in np.arange(0, 5, 1 / 60):
        sampler.sample(float(now))
    sampler.add(records(np.array([4.7, 4.72]), np.array([0.1, 0.2])))
    sampler.sample(5.0)
    assert sampler.delay_s == pytest.approx(0.28)


def test_a_loudspeaker_sets_the_delay():
    times = np.arange(0, 3, 0.02)
    frames = np.arange(0.5, 2.5, 1 / 60)
    faces = play(stream(times, 0.1), frames, fixed_delay_s=0.35)
    for at, face in zip(frames[10:], faces[10:], strict=True):
        assert face.heard_s == pytest.approx(at - 0.35)


def test_without_any_motion_the_face_breathes_and_blinks():
    sampler = FaceSampler()
    faces = [sampler.sample(at) for at in np.arange(0, 8, 1 / 30)]
    assert not any(face.starved for face in faces)  # nothing was promised yet
    assert all(face.heard_s is None for face in faces)
    pitch = [face.motion.head_rotation[0] for face in faces]
    blink = [face.motion.expression[ARKIT_NAMES.index("eyeBlinkLeft")] for face in faces]
    assert np.ptp(pitch) > 0.005
    assert max(blink) > 0.8
    assert np.mean(np.array(blink) > 0.1) < 0.15


def test_another_generators_latent_may_have_another_size():
    sampler = FaceSampler()
    sampler.add(records(np.array([1.0, 1.02]), np.array([0.1, 0.2]), latent_size=4))
    assert len(sampler.sample(1.1).motion.latent) == 4
    sampler.add(records(np.array([1.2, 1.22]), np.array([0.1, 0.2]), latent_size=9))
    assert len(sampler.sample(1.3).motion.latent) == 9


@given(needs=st.lists(st.floats(-0.2, 3.0), min_size=1, max_size=200))
def test_the_delay_is_never_negative_nor_longer_than_a_second(needs):
    delay = PlayoutDelay()
    for need in needs:
        delay.observe(need)
        delay.advance(1 / 60)
        assert 0 <= delay.value_s <= LARGEST_DELAY_S


def settled(needs_s: list[float]) -> list[float]:
    """The delay after each of some frames, 1/50 s apart."""
    delay, values = PlayoutDelay(), []
    for need in needs_s:
        delay.observe(need)
        delay.advance(0.02)
        values.append(delay.value_s)
    return values


def test_one_interruption_does_not_make_the_face_late():
    values = settled([0.2] * 100 + [0.9] * 20 + [0.2] * 400)
    assert values[99] == pytest.approx(0.2)
    assert max(values) == pytest.approx(0.2)


def test_motion_that_is_always_late_is_played_late():
    values = settled([0.2] * 100 + [0.8] * 600)
    assert values[-1] == pytest.approx(0.8)


def test_a_burst_of_lateness_is_forgotten_in_seconds():
    values = settled([0.2] * 100 + [0.4] * 100 + [0.2] * 500)
    assert values[199] == pytest.approx(0.4)
    assert values[-1] == pytest.approx(0.2)


def test_a_slow_start_is_made_good_within_seconds_and_without_a_jump():
    """The first motion comes a second late, all that follows in time."""
    times = np.arange(0, 8, 0.02)
    made = records(times, wave(times))
    arrivals = [(max(time_s + 0.1, 1.2), made[i : i + 1]) for i, time_s in enumerate(times)]
    sampler = FaceSampler()
    sampler.add(made[:10])  # seen at 1.2 s: a second old
    frames = np.arange(1.2, 7.9, 1 / 60)
    out, waiting = [sampler.sample(1.2)], arrivals[10:]
    for now in frames[1:]:
        while waiting and waiting[0][0] <= now:
            sampler.add(waiting.pop(0)[1])
        out.append(sampler.sample(float(now)))
    heard = np.array([face.heard_s for face in out], float)
    delays = frames - heard
    assert delays[0] > 0.9
    assert delays[frames > 6].max() < 0.16
    jaw = np.array([face.motion.expression[JAW] for face in out])
    assert np.abs(np.diff(jaw)).max() < 0.15


def test_rest_is_a_closed_mouth():
    for at in np.linspace(0, 30, 200):
        pose = rest_pose(float(at))
        assert pose[JAW] == 0
        assert np.abs(pose).max() <= 1.0


def test_what_came_late_while_all_started_is_forgotten_at_once():
    times = np.arange(0, 2, 0.02)
    arrivals = stream(times, 0.08)
    arrivals[:8] = [(0.32, record) for _, record in arrivals[:8]]  # the last of them heard at 0.14
    arrivals[8:13] = [(0.335, record) for _, record in arrivals[8:13]]
    frames = np.arange(0.2, 1.2, 1 / 60)
    faces = play(arrivals, frames)
    delays = [at - face.heard_s for at, face in zip(frames, faces, strict=True) if face.heard_s]
    assert delays[0] > 0.15
    assert delays[36] < 0.11
