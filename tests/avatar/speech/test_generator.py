"""The laws of the generator: causal, streaming equals offline, reset forgets, chance is seeded."""

from collections.abc import Sequence

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.motion.codec import LATENT_INDEX, LATENT_SIZE
from avatar.speech.features import FRAME
from avatar.speech.generator import MotionGenerator
from avatar.types import AUDIO_RATE, MOTION_RATE, Float, MotionFrame
from tests.avatar.speech.sounds import syllables


def all_frames(sound: Float, seed: int = 0) -> list[MotionFrame]:
    generator = MotionGenerator(seed=seed)
    return [*generator.step(sound), *generator.flush()]


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
@given(blocks=st.lists(st.integers(0, 2500), min_size=1, max_size=10), seed=st.integers(0, 3))
def test_any_blocks_give_the_same_motion_to_the_bit(blocks: list[int], seed: int) -> None:
    sound = syllables(0.6)
    generator = MotionGenerator(seed=seed)
    frames, start = [], 0
    for block in blocks:
        frames += generator.step(sound[start : start + block])
        start = min(start + block, len(sound))
    frames += [*generator.step(sound[start:]), *generator.flush()]
    assert np.array_equal(everything(frames), everything(all_frames(sound, seed)))


def test_later_sound_never_changes_an_earlier_frame() -> None:
    sound = syllables(2)
    changed = sound.copy()
    cut = 60 * FRAME
    changed[cut:] = syllables(2, seed=1)[cut:][::-1]
    one, other = all_frames(sound), all_frames(changed)
    for before, after in zip(one, other, strict=True):
        if (before.time_s + MotionGenerator.look_ahead_s) * AUDIO_RATE <= cut + 1e-6:
            assert np.array_equal(before.latent, after.latent)
    assert not np.array_equal(one[60].latent, other[60].latent)


def test_a_frame_comes_as_soon_as_its_look_ahead_is_heard() -> None:
    generator = MotionGenerator()
    sound = syllables(1)
    heard, frames = 0, []
    while heard < len(sound):
        heard += FRAME
        frames += generator.step(sound[heard - FRAME : heard])
        ready = heard / AUDIO_RATE - MotionGenerator.look_ahead_s
        expected = max(0, int(ready * MOTION_RATE + 0.5 + 1e-6))
        assert len(frames) == expected
    assert 0 < MotionGenerator.look_ahead_s <= 0.16


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


def test_the_seed_moves_lids_eyes_and_head_but_not_the_lips() -> None:
    sound = syllables(12)
    one, same, other = all_frames(sound, 1), all_frames(sound, 1), all_frames(sound, 2)
    assert np.array_equal(everything(one), everything(same))
    lips = slice(LATENT_INDEX["aperture"], LATENT_INDEX["activity"] + 1)
    assert np.array_equal(latents(one)[:, lips], latents(other)[:, lips])
    for name in ("blink", "gaze_yaw", "head_y"):
        assert not np.array_equal(
            latents(one)[:, LATENT_INDEX[name]], latents(other)[:, LATENT_INDEX[name]]
        )


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
    assert np.abs(np.stack([f.head_rotation for f in frames])).max() < 0.3


def test_silence_closes_the_mouth_and_does_not_freeze_the_face() -> None:
    frames = all_frames(np.zeros(8 * AUDIO_RATE, np.float32))
    values = latents(frames)
    assert values[50:, LATENT_INDEX["aperture"]].max() < 0.05
    assert values[50:, LATENT_INDEX["jaw"]].max() < 0.05
    moves = np.abs(np.diff(everything(frames), axis=0)).max(1)
    assert moves.min() > 1e-6
    assert values[:, LATENT_INDEX["blink"]].max() > 0.9


@pytest.mark.parametrize("kind", ["hiss", "hum", "faint hiss"])
def test_steady_noise_is_not_taken_for_speech(kind: str) -> None:
    time = np.arange(6 * AUDIO_RATE) / AUDIO_RATE
    hiss = np.random.default_rng(0).standard_normal(len(time))
    hum = np.sign(np.sin(2 * np.pi * 50 * time))
    noise = {"hiss": 0.1 * hiss, "hum": 0.1 * hum, "faint hiss": 3e-4 * hiss}[kind]
    aperture = latents(all_frames(noise.astype(np.float32)))[100:, LATENT_INDEX["aperture"]]
    assert np.percentile(aperture, 95) < 0.1


def test_voice_opens_the_mouth_in_its_own_rhythm() -> None:
    values = latents(all_frames(syllables(8)))
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * (np.arange(400) + 0.5) / 50) + 0.4, 0, 1)
    aperture = values[50:, LATENT_INDEX["aperture"]]
    assert aperture.max() > 0.2
    assert np.corrcoef(aperture, envelope[50:])[0, 1] > 0.5


def test_minutes_of_silence_neither_drift_nor_grow() -> None:
    generator = MotionGenerator(seed=3)
    minute = np.zeros(40 * AUDIO_RATE, np.float32)  # two thirds of one
    first = generator.step(minute)
    process = psutil.Process()
    before = process.memory_info().rss
    last = [generator.step(minute) for _ in range(2)][-1]
    assert process.memory_info().rss - before < 30e6
    lips = slice(LATENT_INDEX["aperture"], LATENT_INDEX["activity"] + 1)
    assert np.abs(latents(last)[:, lips] - latents(first)[-1, lips]).max() < 1e-5
    head = slice(LATENT_INDEX["gaze_yaw"], LATENT_SIZE)
    assert np.abs(latents(last)[:, head].mean(0)).max() < 0.05
    assert last[-1].time_s == pytest.approx(120 - 0.01 - 0.10, abs=1e-9)


def test_sound_after_the_end_needs_a_reset() -> None:
    generator = MotionGenerator()
    generator.flush()
    with pytest.raises(AssertionError, match="reset"):
        generator.step(np.zeros(10, np.float32))
