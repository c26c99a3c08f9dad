"""The performance of a living face: its words kept, its statistics those of people."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest

from avatar.head.template import load_template
from avatar.motion.direction import DISTANCE_LIMIT_M, EMOTION_NAMES, GAZE_LIMIT_RAD
from avatar.speech.articulation import Articulation
from avatar.training.performance import (
    SPEECH_NAMES,
    Performance,
    Script,
    Speech,
    Style,
    draw_script,
    draw_style,
    perform,
    tongue_of,
)
from avatar.training.performance.emotions import LOWER, MANNERS, PARTED, UPPER
from avatar.training.performance.signals import drift, glides, sprung
from avatar.training.performance.voice import listen
from avatar.training.phones import PHONE_INDEX, targets_of
from avatar.types import ARKIT_NAMES, MOTION_RATE, TONGUE_NAMES

EMOTIONS = [name for name in EMOTION_NAMES if name != "neutral"]


def spoken(seconds: float, seed: int = 0, pause_s: float = 0.8) -> tuple[Speech, np.ndarray]:
    """Sentences of random phones with pauses, as the rule hears them, and their loudness."""
    chance = np.random.default_rng(seed)
    frames = int(seconds * MOTION_RATE)
    names = [name for name in PHONE_INDEX if name != "sil"]
    starts, ends, phones = [], [], []
    clock = 0.0
    while clock < seconds:
        for name in [*chance.choice(names, 30), "sil"]:
            length = pause_s * chance.uniform(0.5, 1.5) if name == "sil" else 0.09
            starts.append(clock)
            clock += length
            ends.append(clock)
            phones.append(PHONE_INDEX[name])
    targets = targets_of(np.array(starts), np.array(ends), np.array(phones), frames)
    activity = (targets.viseme != 0).astype(np.float32)
    syllables = 0.06 + 0.07 * chance.random(frames // 10 + 1).repeat(10)[:frames]
    syllables *= chance.choice([0.6, 1.0, 2.2], frames // 10 + 1).repeat(10)[:frames]
    values = np.concatenate([targets.articulators, activity[:, None]], 1)
    return Speech(values), (syllables * activity).astype(np.float32)


def asks(
    frames: int, emotion: str | None = None, level: float = 1.0, gaze: tuple = (0.0, 0.0)
) -> Script:
    felt = np.zeros((frames, len(EMOTION_NAMES)), np.float32)
    if emotion is not None:
        felt[:, EMOTION_NAMES.index(emotion)] = level
    return Script(
        felt, np.tile(np.array(gaze, np.float32), (frames, 1)), np.zeros(frames, np.float32)
    )


def played(
    speech: Speech, loudness: np.ndarray, script: Script, seed: int = 0, style: Style | None = None
) -> Performance:
    style = Style() if style is None else style
    return perform(speech, loudness, None, script, style, np.random.default_rng(seed))


def at_rest(seconds: float, script: Script | None = None, seed: int = 0) -> Performance:
    frames = int(seconds * MOTION_RATE)
    script = asks(frames) if script is None else script
    return played(Speech.silent(frames), np.zeros(frames, np.float32), script, seed)


@cache
def four_minutes(seed: int = 0) -> Performance:
    """Of talk with a neutral face; for all who only look at it."""
    return played(*spoken(240, seed), asks(240 * MOTION_RATE), seed)


def weight(performance: Performance, name: str) -> np.ndarray:
    return performance.expression[:, ARKIT_NAMES.index(name)]


def lip_gap(expression: np.ndarray) -> np.ndarray:
    """[T] height of the opening between the inner lips of the template, m; negative: pressed."""
    template = load_template()
    rows = [(13, 14), (82, 87), (312, 317)]
    corners = template.triangles[template.landmark_triangle]
    weights = template.landmark_barycentric[..., None]
    points = (template.vertices[corners] * weights).sum(1)
    basis = (template.expression_basis[:52, corners] * weights).sum(2)
    rest = np.mean([points[a, 1] - points[b, 1] for a, b in rows])
    gain = np.mean([basis[:, a, 1] - basis[:, b, 1] for a, b in rows], axis=0)
    return rest + expression @ gain


def blinks_in(performance: Performance) -> int:
    lids = weight(performance, "eyeBlinkLeft")
    return int(((lids[:-1] < 0.5) & (lids[1:] >= 0.5)).sum())


def head_speed(performance: Performance) -> np.ndarray:
    """Degrees between neighbouring frames at 25 a second: dP of VASA-1."""
    return np.degrees(np.linalg.norm(np.diff(performance.head_rotation[::2], axis=0), axis=1))


def seen(performance: Performance) -> np.ndarray:
    """[T, 2] where the eyes look in the room, rad."""
    head = performance.head_rotation
    return performance.gaze + np.stack([head[:, 1], -head[:, 0]], 1)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_lips_that_must_touch_touch_in_every_mood(emotion: str) -> None:
    speech, loudness = spoken(20)
    plain = played(speech, loudness, asks(len(speech)))
    moved = played(speech, loudness, asks(len(speech), emotion))
    sealed = speech.column("closure") > 0.7
    assert sealed.sum() > 20
    # no wider than with a neutral face, and no wider than lips at rest
    rest = lip_gap(np.zeros((1, 52)))[0]
    assert lip_gap(plain.expression)[sealed].max() < rest
    assert lip_gap(moved.expression)[sealed].max() < rest
    teeth = speech.column("lip_teeth") > 0.95
    limit = lip_gap(plain.expression)[teeth].max() + 0.0005
    assert lip_gap(moved.expression)[teeth].max() < limit


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_words_still_open_the_mouth_in_every_mood(emotion: str) -> None:
    speech, loudness = spoken(20)
    spoken_now = speech.column("activity") > 0.5
    plain, moved = (
        lip_gap(played(speech, loudness, asks(len(speech), mood)).expression)[spoken_now]
        for mood in (None, emotion)
    )
    assert np.corrcoef(plain, moved)[0, 1] > 0.9
    assert moved.std() > 0.6 * plain.std()


def test_lips_are_sealed_in_silence_and_parted_a_little_by_surprise() -> None:
    rest = lip_gap(np.zeros((1, 52)))[0]
    neutral = lip_gap(at_rest(20).expression)
    surprised = lip_gap(at_rest(20, asks(1000, "surprise")).expression)
    assert neutral.max() < rest + 0.0015
    assert 0.003 < np.median(surprised) < 0.02


def test_a_clear_speaker_opens_wider_than_one_who_mumbles() -> None:
    speech, loudness = spoken(10)
    clear, dull = (
        lip_gap(played(speech, loudness, asks(500), style=Style(articulation=a)).expression)
        for a in (1.25, 0.75)
    )
    assert clear.std() > 1.3 * dull.std()


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_mood_shows_its_own_muscles(emotion: str) -> None:
    calm = at_rest(20).expression[200:].mean(0)
    moved = at_rest(20, asks(1000, emotion, 0.8)).expression[200:].mean(0)
    named = {**UPPER[emotion], **LOWER[emotion], **PARTED.get(emotion, {})}
    for name, amount in named.items():
        if amount >= 0.3:
            columns = [i for i, arkit in enumerate(ARKIT_NAMES) if arkit.startswith(name)]
            assert (moved - calm)[columns].mean() > 0.3 * amount, name
    assert np.abs(moved - calm).max() > 0.3


def test_contempt_is_one_sided_and_the_person_decides_the_side() -> None:
    for side, near, far in ((1.0, "Left", "Right"), (-1.0, "Right", "Left")):
        silent = Speech.silent(500), np.zeros(500, np.float32)
        face = played(*silent, asks(500, "contempt"), style=Style(side=side))
        dimple = {end: weight(face, f"mouthDimple{end}")[200:].mean() for end in (near, far)}
        assert dimple[near] > 2.5 * dimple[far]


def test_a_mood_that_is_asked_for_comes_within_a_second_and_never_before() -> None:
    frames = 500
    script = asks(frames)
    script.emotion[250:, EMOTION_NAMES.index("happiness")] = 1
    smile, plain = (weight(at_rest(10, one), "mouthSmileLeft") for one in (script, asks(frames)))
    assert np.abs(smile - plain)[:250].max() < 0.02
    final = np.median(smile[350:])
    assert final > 0.5
    assert smile[265] < 0.7 * final
    assert smile[300] > 0.7 * final
    assert np.abs(np.diff(smile)).max() < 0.08


@pytest.mark.parametrize("seed", [0, 1])
def test_people_blink_12_to_30_times_a_minute_and_more_in_talk(seed: int) -> None:
    rest, talk = at_rest(240, seed=seed), four_minutes(seed)
    assert 12 <= blinks_in(rest) / 4 <= 24
    assert blinks_in(rest) < blinks_in(talk)
    assert blinks_in(talk) / 4 <= 30


def test_a_blink_closes_faster_than_it_opens_whatever_the_mood() -> None:
    lids = weight(at_rest(60, asks(3000, "fear")), "eyeBlinkLeft")
    wide = weight(at_rest(60, asks(3000, "fear")), "eyeWideLeft")
    peaks = [i for i in range(20, 2980) if lids[i] > 0.9 and lids[i] == lids[i - 15 : i + 15].max()]
    assert len(peaks) > 5
    for peak in peaks:
        assert wide[peak] < 0.15
    before = np.mean([lids[peak - 4] for peak in peaks])
    after = np.mean([lids[peak + 4] for peak in peaks])
    assert before < after


def test_eyes_lead_and_the_head_follows_while_they_turn_back() -> None:
    asked = 0.4
    lags, final = [], []
    for seed in range(6):
        script = asks(400)
        script.gaze[200:, 0] = asked
        plain, turned = at_rest(8, seed=seed), at_rest(8, script, seed)
        eye = seen(turned)[:, 0]
        # before anything is asked nothing happens
        np.testing.assert_allclose(turned.gaze[:200], plain.gaze[:200], atol=1e-6)
        arrived = 200 + int(np.argmax(np.abs(eye[200:] - asked) < 0.07))
        assert arrived <= 206  # 120 ms: the saccade
        head = turned.head_rotation[:, 1] - turned.head_rotation[200, 1]
        begun = 200 + int(np.argmax(np.abs(head[200:]) > 0.025))
        lags.append(begun - 200)
        assert begun > arrived
        # the eyes stay on target until the next look away while the head turns
        assert np.abs(eye[arrived : 200 + 38] - asked).max() < 0.09
        assert turned.gaze[206, 0] > turned.gaze[238, 0]
        final.append(head[240:280].mean() / asked)
    assert 5 <= np.mean(lags) <= 18
    assert 0.2 < np.mean(final) < 0.6


def test_the_eyes_are_mostly_on_the_other_and_less_so_in_talk() -> None:
    held = []
    for performance in (at_rest(240), four_minutes()):
        off = np.degrees(np.hypot(*seen(performance).T))
        held.append((off < 4).mean())
    assert 0.67 < held[0] < 0.87
    assert 0.45 < held[1] < 0.67


def test_the_head_is_lively_in_talk_calm_in_silence_and_never_jitters() -> None:
    talk, rest = four_minutes(), at_rest(120)
    assert 0.25 < head_speed(talk).mean() < 0.5
    assert 0.08 < head_speed(rest).mean() < 0.2
    for performance in (talk, rest):
        turned = np.degrees(performance.head_rotation)
        assert np.percentile(np.abs(turned), 98) < 12
        speed = np.diff(performance.head_rotation, axis=0)
        power = np.abs(np.fft.rfft(speed * np.hanning(len(speed))[:, None], axis=0)) ** 2
        fast = np.fft.rfftfreq(len(speed), 1 / MOTION_RATE) > 4
        assert power[fast].sum() < 0.03 * power.sum()
        assert (np.abs(speed).max(1) > 1e-6).all()  # never frozen


def test_stress_nods_the_head_and_moves_the_brows() -> None:
    speech, loudness = spoken(120)
    voice = listen(speech.column("activity"), loudness.astype(np.float64))
    assert len(voice.accents) > 60
    stressed = played(speech, loudness, asks(len(speech)))
    even = played(speech, 0.1 * speech.column("activity").astype(np.float32), asks(len(speech)))
    for measure in (lambda p: head_speed(p).mean(), lambda p: weight(p, "browInnerUp").std()):
        assert measure(stressed) > 1.1 * measure(even)


def test_sadness_looks_down_and_slows_fear_darts() -> None:
    sad, calm, afraid = (at_rest(120, asks(6000, mood)) for mood in ("sadness", None, "fear"))
    assert seen(sad)[:, 1].mean() < seen(calm)[:, 1].mean() - 0.01
    assert sad.head_rotation[:, 0].mean() > calm.head_rotation[:, 0].mean() + 0.03
    said = spoken(60)
    slow, usual = (head_speed(played(*said, asks(3000, mood))).mean() for mood in ("sadness", None))
    assert slow < 0.8 * usual

    def saccades(performance: Performance) -> int:
        return int((np.abs(np.diff(seen(performance), axis=0)).max(1) > np.radians(0.5)).sum())

    assert saccades(afraid) > 1.3 * saccades(calm)


def test_the_head_comes_as_near_as_asked() -> None:
    script = asks(400)
    script.distance[200:] = 0.05
    near = at_rest(8, script).head_translation[:, 2]
    assert near[300:].mean() - near[:200].mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("seed", range(3))
def test_anything_that_may_be_asked_gives_sound_numbers(seed: int) -> None:
    chance = np.random.default_rng(seed)
    speech, loudness = spoken(40, seed)
    script, style = draw_script(len(speech), chance), draw_style(chance)
    one = perform(speech, loudness, None, script, style, np.random.default_rng(seed))
    same = perform(speech, loudness, None, script, style, np.random.default_rng(seed))
    other = perform(speech, loudness, None, script, style, np.random.default_rng(seed + 1))
    for field in fields(Performance):
        values = getattr(one, field.name)
        assert np.isfinite(values).all()
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, getattr(same, field.name))
    assert not np.array_equal(one.expression, other.expression)
    assert one.expression.min() >= 0
    assert one.expression.max() <= 1
    jaw, close = weight(one, "jawOpen"), weight(one, "mouthClose")
    assert (close <= jaw + 1e-6).all()
    assert np.degrees(np.abs(one.gaze).max()) <= 35
    assert np.degrees(np.abs(one.head_rotation).max()) <= 22
    assert np.abs(one.head_translation).max() < 0.1


def test_a_few_frames_or_none_are_performed_as_well() -> None:
    for frames in (0, 1, 2, 7):
        silent = Speech.silent(frames)
        script = draw_script(frames, np.random.default_rng(0))
        face = played(silent, np.zeros(frames, np.float32), script)
        assert face.expression.shape == (frames, 52)
        assert face.head_rotation.shape == (frames, 3)


def test_articulations_are_taken_as_they_come_from_the_network() -> None:
    said = [Articulation(0.5, 0.5, 0.1, 0, 0.7, 0, 0, 0, 1.0)] * 50
    values = Speech.of(said).values
    assert values.shape == (50, len(SPEECH_NAMES))
    loudness = np.full(50, 0.1, np.float32)
    one = perform(said, loudness, None, asks(50), Style(), np.random.default_rng(0))
    other = played(Speech(values), loudness, asks(50))
    np.testing.assert_array_equal(one.expression, other.expression)
    assert one.tongue[:, 0] == pytest.approx(0.7)


def test_the_tongue_goes_where_each_phone_is_made() -> None:
    names = ["T", "AA", "K", "AA", "TH", "AA"]
    starts = np.arange(len(names), dtype=np.float64) * 0.1
    phones = np.array([PHONE_INDEX[name] for name in names])
    tongue = tongue_of(starts, starts + 0.1, phones, 30)
    tip, back, forward = (
        tongue[:, TONGUE_NAMES.index(n)] for n in ("tongueTipUp", "tongueUp", "tongueForward")
    )
    assert tip[2] > 0.8
    assert back[12] > 0.8
    assert forward[22] > 0.8
    assert max(tip[7], back[7], forward[7], tip[12], forward[12], back[22]) < 0.2


def test_scripts_ask_for_everything_in_steps() -> None:
    chance = np.random.default_rng(0)
    scripts = [draw_script(2000, chance) for _ in range(150)]
    emotion = np.concatenate([script.emotion for script in scripts])
    neutral = emotion.sum(1) == 0
    assert 0.25 < neutral.mean() < 0.45
    assert emotion.sum(1).max() <= 1
    assert emotion.sum(1)[~neutral].min() >= 0.19
    for name in EMOTIONS:
        assert (emotion[:, EMOTION_NAMES.index(name)] > 0.1).mean() > 0.04
    assert (emotion[:, EMOTION_NAMES.index("neutral")] == 0).all()
    gaze = np.concatenate([script.gaze for script in scripts])
    assert 0.45 < (gaze == 0).all(1).mean() < 0.65
    assert 0.9 * GAZE_LIMIT_RAD < np.abs(gaze).max() <= GAZE_LIMIT_RAD
    distance = np.concatenate([script.distance for script in scripts])
    assert 0.4 < (distance == 0).mean() < 0.75
    assert 0.04 < np.abs(distance).max() <= DISTANCE_LIMIT_M
    changes = [np.count_nonzero(np.any(np.diff(s.emotion, axis=0), axis=1)) for s in scripts]
    assert 1.5 < np.mean(changes) < 8  # of 40 seconds


def test_every_emotion_has_a_pose_and_a_manner() -> None:
    assert set(UPPER) == set(LOWER) == set(MANNERS) == set(EMOTIONS)


def test_a_spring_is_the_exact_solution() -> None:
    frequency, time = 1.3, np.arange(1, 101) / MOTION_RATE
    rate = 2 * np.pi * frequency
    curve = sprung(np.concatenate([np.zeros(10), np.ones(100)]), frequency)
    assert np.abs(curve[:10]).max() < 1e-12
    expected = 1 - (1 + rate * time) * np.exp(-rate * time)
    np.testing.assert_allclose(curve[10:], expected, atol=1e-9)


def test_glides_arrive_and_drifts_stay_near() -> None:
    path = glides(100, [0, 50], np.array([[1.0], [-1.0]]), [20, 20])
    assert path[19, 0] == pytest.approx(1)
    assert path[49, 0] == pytest.approx(1)
    assert path[69, 0] == pytest.approx(-1)
    wander = drift(20_000, np.random.default_rng(0), 0.1, (0.5, 2.0), 0.5)
    assert np.abs(wander).max() < 0.25
    assert 0.05 < wander.std() < 0.11
