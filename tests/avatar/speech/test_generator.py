"""The laws of the generator: causal, streaming equals offline, reset forgets, chance is seeded."""

from collections.abc import Sequence

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.head.template import load_template
from avatar.motion.direction import EMOTION_NAMES, Direction, no_emotion
from avatar.motion.latent import LATENT_SIZE
from avatar.speech.features import FRAME
from avatar.speech.generator import LOOK_AHEAD_S, MotionGenerator
from avatar.speech.motion_network import TOKEN_FRAMES
from avatar.training.score import template_lips
from avatar.types import ARKIT_NAMES, AUDIO_RATE, MOTION_RATE, Float, MotionFrame
from tests.avatar.speech.sounds import syllables

BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
_performed: dict[tuple[bytes, int, str, bool], list[MotionFrame]] = {}


def all_frames(
    sound: Float, seed: int = 0, direction: Direction | None = None, *, prompt: bool = False
) -> list[MotionFrame]:
    """What a generator of its own makes of `sound` in one go; made once for all who ask for it."""
    asked = (sound.tobytes(), seed, repr(direction or Direction()), prompt)
    if asked not in _performed:
        generator = MotionGenerator(seed=seed, direction=direction, prompt=prompt)
        _performed[asked] = [*generator.step(sound), *generator.flush()]
    return _performed[asked]


def opening(frames: Sequence[MotionFrame]) -> Float:
    """[T] of the inner lips on the template, over the distance of the outer eye corners."""
    return template_lips(frames, load_template())[:, 0].astype(np.float32)


def weight(frames: Sequence[MotionFrame], name: str) -> Float:
    return np.array([frame.expression[ARKIT_NAMES.index(name)] for frame in frames], np.float32)


def mood(name: str, intensity: float) -> Direction:
    emotion = no_emotion()
    emotion[EMOTION_NAMES.index(name)] = intensity
    return Direction(emotion=emotion)


def latents(frames: Sequence[MotionFrame]) -> Float:
    return np.stack([frame.latent for frame in frames])


def everything(frames: Sequence[MotionFrame]) -> Float:
    return np.stack(
        [
            np.concatenate([f.latent, f.expression, f.gaze, f.head_rotation, f.head_translation])
            for f in frames
        ]
    )


@settings(max_examples=12, deadline=None)
@given(
    blocks=st.lists(st.integers(0, 2500), min_size=1, max_size=10),
    seed=st.integers(0, 3),
    prompt=st.booleans(),
)
def test_any_blocks_give_the_same_motion_to_the_bit(
    blocks: list[int], seed: int, prompt: bool
) -> None:
    sound = syllables(0.6)
    generator = MotionGenerator(seed=seed, prompt=prompt)
    frames, start = [], 0
    for block in blocks:
        frames += generator.step(sound[start : start + block])
        start = min(start + block, len(sound))
    frames += [*generator.step(sound[start:]), *generator.flush()]
    assert np.array_equal(everything(frames), everything(all_frames(sound, seed, prompt=prompt)))


@pytest.mark.parametrize("prompt", [False, True])
def test_later_sound_never_changes_an_earlier_frame(prompt: bool) -> None:
    sound = syllables(2)
    changed = sound.copy()
    cut = 60 * FRAME
    changed[cut:] = syllables(2, seed=1)[cut:][::-1]
    one, other = (all_frames(each, prompt=prompt) for each in (sound, changed))
    look_ahead_s = MotionGenerator(prompt=prompt).look_ahead_s
    for before, after in zip(one, other, strict=True):
        if (before.time_s + look_ahead_s) * AUDIO_RATE <= cut + 1e-6:
            assert np.array_equal(before.latent, after.latent)
    assert not np.array_equal(one[60].latent, other[60].latent)


@pytest.mark.parametrize("prompt", [False, True])
def test_a_token_of_frames_comes_as_soon_as_its_look_ahead_is_heard(prompt: bool) -> None:
    generator = MotionGenerator(prompt=prompt)
    sound = syllables(1)
    heard, frames = 0, []
    while heard < len(sound):
        heard += FRAME
        frames += generator.step(sound[heard - FRAME : heard])
        ready = heard / AUDIO_RATE - generator.look_ahead_s
        tokens = max(0, int((ready * MOTION_RATE + 0.5 + 1e-6) / TOKEN_FRAMES + 0.5))
        assert len(frames) == TOKEN_FRAMES * tokens
    assert 0 < generator.look_ahead_s <= (0.07 if prompt else LOOK_AHEAD_S)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 5000, 16000])
def test_there_is_a_frame_for_every_started_fiftieth_of_a_second(samples: int) -> None:
    frames = all_frames(syllables(1.1)[:samples])
    assert len(frames) == -(-samples // FRAME)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    for frame in frames:
        assert frame.time_s == pytest.approx((frame.index + 0.5) / MOTION_RATE, abs=1e-9)
        assert frame.latent.shape == (LATENT_SIZE,)
        assert frame.expression.shape == (52,)


def test_reset_leaves_nothing_of_the_past() -> None:
    sound = syllables(1)
    generator = MotionGenerator(seed=4)
    generator.step(syllables(2.3, seed=7) * 5)
    generator.flush()
    generator.reset()
    again = [*generator.step(sound), *generator.flush()]
    assert np.array_equal(everything(again), everything(all_frames(sound, 4)))


def test_two_generators_do_not_disturb_each_other() -> None:
    sound = syllables(0.8)
    first, second = MotionGenerator(), MotionGenerator()
    a, b = [], []
    for start in range(0, len(sound), 400):
        a += first.step(sound[start : start + 400])
        b += second.step(sound[::-1][start : start + 400])
    assert np.array_equal(everything(a), everything(all_frames(sound)[: len(a)]))


def test_the_seed_moves_lids_eyes_and_head_and_hardly_the_lips() -> None:
    sound = syllables(12)
    one, other = all_frames(sound, 1), all_frames(sound, 2)
    same = MotionGenerator(seed=1).step(sound[: 3 * AUDIO_RATE])
    assert np.array_equal(everything(same), everything(one[: len(same)]))
    assert np.corrcoef(opening(one), opening(other))[0, 1] > 0.9
    assert abs(np.corrcoef(weight(one, "eyeBlinkLeft"), weight(other, "eyeBlinkLeft"))[0, 1]) < 0.6
    heads = [np.stack([frame.head_rotation for frame in frames]) for frames in (one, other)]
    assert np.abs(heads[0] - heads[1]).mean() > 0.01


def test_a_face_begins_with_its_eyes_open() -> None:
    """It lives before its first frame: a blink that was near is over by then."""
    shut = [
        [frame.expression[BLINK] for frame in MotionGenerator(seed=seed).step(syllables(0.6))]
        for seed in range(6)
    ]
    assert np.max([frames[0] for frames in shut]) < 0.2
    assert np.sum(np.max(shut, axis=1) > 0.5) <= 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda s: np.where(np.arange(len(s)) % 7 == 0, np.nan, s), id="not numbers"),
        pytest.param(lambda s: np.where(np.arange(len(s)) % 900 < 90, np.inf, s), id="infinite"),
        pytest.param(lambda s: np.sign(s), id="clipped"),
        pytest.param(lambda s: s * 1e6, id="far too loud"),
        pytest.param(lambda s: s * 0, id="silent"),
        pytest.param(lambda s: np.random.default_rng(0).uniform(-1, 1, len(s)), id="noise"),
        pytest.param(lambda s: np.ones_like(s), id="constant"),
    ],
)
def test_no_sound_breaks_the_face(spoil) -> None:  # pyright: ignore[reportMissingParameterType]
    frames = all_frames(spoil(syllables(3)).astype(np.float32))
    values = everything(frames)
    assert np.isfinite(values).all()
    expressions = np.stack([frame.expression for frame in frames])
    assert expressions.min() >= 0
    assert expressions.max() <= 1
    assert np.abs(np.stack([f.head_rotation for f in frames])).max() < 0.5


def test_silence_closes_the_mouth_and_does_not_freeze_the_face() -> None:
    frames = all_frames(np.zeros(12 * AUDIO_RATE, np.float32))
    assert np.percentile(opening(frames), 95) < 0.012
    moves = np.abs(np.diff(everything(frames), axis=0)).max(1)
    assert moves.min() > 1e-6
    assert weight(frames, "eyeBlinkLeft").max() > 0.7


@pytest.mark.parametrize("kind", ["hiss", "hum", "faint hiss"])
def test_steady_noise_is_not_taken_for_speech(kind: str) -> None:
    time = np.arange(6 * AUDIO_RATE) / AUDIO_RATE
    hiss = np.random.default_rng(0).standard_normal(len(time))
    hum = np.sign(np.sin(2 * np.pi * 50 * time))
    noise = {"hiss": 0.1 * hiss, "hum": 0.1 * hum, "faint hiss": 3e-4 * hiss}[kind]
    assert np.percentile(opening(all_frames(noise.astype(np.float32)))[100:], 95) < 0.03


def test_voice_opens_the_mouth_in_its_own_rhythm() -> None:
    aperture = opening(all_frames(syllables(8)))[50:]
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * (np.arange(400) + 0.5) / 50) + 0.4, 0, 1)
    assert aperture.max() > 0.05
    assert np.corrcoef(aperture, envelope[50:])[0, 1] > 0.5


def test_a_minute_of_silence_neither_drift_nor_grow() -> None:
    generator = MotionGenerator(seed=3)
    part = np.zeros(15 * AUDIO_RATE, np.float32)
    first = generator.step(part)
    process = psutil.Process()
    before = process.memory_info().rss
    last = [generator.step(part) for _ in range(3)][-1]
    assert process.memory_info().rss - before < 30e6
    assert np.isfinite(everything(last)).all()
    assert np.percentile(opening(last), 95) < 0.012
    for frames in (first, last):
        assert np.abs(np.mean([frame.head_rotation for frame in frames], 0)).max() < 0.12
    assert last[-1].time_s == pytest.approx(60 - 0.01 - 0.08, abs=0.021)


def test_a_mood_shows_and_leaves_the_lips_to_the_voice() -> None:
    sound = syllables(8)
    neutral, happy = all_frames(sound), all_frames(sound, direction=mood("happiness", 0.8))
    assert weight(happy, "mouthSmileLeft").mean() > weight(neutral, "mouthSmileLeft").mean() + 0.1
    assert np.corrcoef(opening(neutral)[50:], opening(happy)[50:])[0, 1] > 0.85
    surprised = all_frames(sound, direction=mood("surprise", 0.8))
    assert weight(surprised, "browInnerUp").mean() > weight(neutral, "browInnerUp").mean() + 0.15


def test_a_mood_can_be_asked_for_while_it_speaks() -> None:
    generator = MotionGenerator()
    sound = syllables(6)
    before = generator.step(sound[: 3 * AUDIO_RATE])
    generator.direct(mood("happiness", 0.9))
    after = generator.step(sound[3 * AUDIO_RATE :])
    assert weight(after[-50:], "mouthSmileLeft").mean() > weight(before, "mouthSmileLeft").mean()
    join = np.abs(after[0].expression - before[-1].expression).max()
    assert join < 0.3  # nothing snaps


def test_the_eyes_go_where_they_are_asked_to_look() -> None:
    def looked(yaw: float) -> float:
        """Eyes look away now and then: the middle of two performances."""
        asked = Direction(gaze=(yaw, 0.0))
        both = [all_frames(syllables(6), seed, asked)[100:] for seed in (0, 1)]
        looks = [f.gaze[0] + f.head_rotation[1] for frames in both for f in frames]
        return float(np.median(looks))

    left, ahead, right = looked(0.35), looked(0.0), looked(-0.35)
    assert abs(ahead) < 0.12
    assert left - ahead > 0.15
    assert ahead - right > 0.15


def test_stillness_holds_head_and_brows_and_nothing_else() -> None:
    sound = syllables(6)
    usual, still, lively = (
        all_frames(sound, direction=Direction(stillness=amount)) for amount in (1.0, 0.0, 1.5)
    )

    def moved(frames: Sequence[MotionFrame]) -> float:
        return float(np.abs(np.diff([f.head_rotation for f in frames], axis=0)).mean())

    assert moved(still) < 0.1 * moved(usual)
    assert moved(lively) > 1.3 * moved(usual)
    for name in ("jawOpen", "eyeBlinkLeft"):
        assert np.array_equal(weight(still, name), weight(usual, name))


def test_a_held_head_leaves_the_lips_as_they_are_to_the_bit() -> None:
    sound = syllables(3)
    asked = Direction(head=(0.3, -0.2, 0.1))
    free, held = all_frames(sound), all_frames(sound, direction=asked)
    looks = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")]
    for one, other in zip(free, held, strict=True):
        assert np.array_equal(one.latent, other.latent)
        assert np.array_equal(one.tongue, other.tongue)
        assert np.array_equal(np.delete(one.expression, looks), np.delete(other.expression, looks))
        turned = other.head_rotation - one.head_rotation
        np.testing.assert_allclose(turned, [0.2, 0.3, -0.1], atol=1e-6)
    steps, start = MotionGenerator(direction=asked), 0
    streamed: list[MotionFrame] = []
    for block in (1, 700, 319, 5000, 12000, len(sound)):
        streamed += steps.step(sound[start : start + block])
        start += block
    assert np.array_equal(everything([*streamed, *steps.flush()]), everything(held))


def test_a_head_can_be_turned_while_it_speaks_and_a_reset_finds_it_turned() -> None:
    generator, usual = MotionGenerator(), all_frames(syllables(4))
    sound = syllables(4)
    frames = generator.step(sound[: 2 * AUDIO_RATE])
    before = len(frames)
    generator.direct(Direction(head=(0.3, 0.0, 0.0)))
    frames += [*generator.step(sound[2 * AUDIO_RATE :]), *generator.flush()]
    way = np.array([f.head_rotation[1] for f in frames])
    way -= [frame.head_rotation[1] for frame in usual]
    assert not way[:before].any()
    assert 0 < way[before] < 0.03
    assert way[before + 25] > 0.28
    generator.reset()
    again = generator.step(sound)
    assert again[0].head_rotation[1] - usual[0].head_rotation[1] == pytest.approx(0.3, abs=1e-6)


def test_sound_after_the_end_needs_a_reset() -> None:
    generator = MotionGenerator()
    generator.flush()
    with pytest.raises(AssertionError, match="reset"):
        generator.step(np.zeros(10, np.float32))
