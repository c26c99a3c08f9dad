"""Lips are held to what is heard: as far open, as wide, shut where they must be, and no further."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.motion.direction import EMOTION_NAMES, no_emotion
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, load_codec
from avatar.motion.lip_reading import load_lip_reading
from avatar.speech.articulation import APERTURE_FULL
from avatar.speech.lip_sync import WIDTH_FULL, LipMoods, LipSync, lips_heard
from avatar.speech.motion_network import HEARD_SIZE, TOKEN_FRAMES
from avatar.training.score import CLOSED
from avatar.types import Float

PLAIN = LipMoods(*np.zeros((4, len(EMOTION_NAMES)), np.float32))
SURPRISE = EMOTION_NAMES.index("surprise")


def hearing(
    aperture: float = 0.0, width: float = 0.0, closure: float = 0.0, teeth: float = 0.0
) -> Float:
    """[2, 23] of speech, its lips in standard deviations."""
    heard = np.zeros((TOKEN_FRAMES, HEARD_SIZE), np.float32)
    heard[:, 16], heard[:, 17] = closure, teeth
    heard[:, 19:21] = aperture, width
    return heard


def silence() -> Float:
    heard = np.zeros((TOKEN_FRAMES, HEARD_SIZE), np.float32)
    heard[:, 0] = 1
    return heard


def drawn(seed: int, spread: float = 0.7) -> Float:
    """[2, 40] a token as a generator may draw it."""
    return (spread * np.random.default_rng(seed).standard_normal((2, LATENT_SIZE))).astype(
        np.float32
    )


def lip_sync(moods: LipMoods = PLAIN) -> LipSync:
    return LipSync(load_codec(), load_lip_reading(), moods)


def seen(latents: Float) -> Float:
    """[2, 2] opening and width as a tracker reads them."""
    return load_lip_reading().of(load_codec().decode(latents).expression)


def settled(
    sync: LipSync, latents: Float, heard: Float, emotion: Float | None = None
) -> tuple[Float, Float]:
    """What the same token has become after the same sound for a second; and it as seen."""
    emotion = no_emotion() if emotion is None else emotion
    result = latents
    for _ in range(25):
        result = sync.hold(latents, heard, emotion, 1.0)
    return result, seen(result)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("aperture", [-0.3, 0.5, 1.5])
@pytest.mark.parametrize("width", [-0.6, 0.3, 0.9])
def test_lips_open_and_spread_as_heard_whatever_was_drawn(
    seed: int, aperture: float, width: float
) -> None:
    heard = hearing(aperture, width)
    wanted = lips_heard(heard) * [APERTURE_FULL, WIDTH_FULL]
    latents = drawn(seed)
    _, reads = settled(lip_sync(), latents, heard)
    # what is left over is weights that end at 0 or 1: a thirtieth of the eye distance at most
    np.testing.assert_allclose(reads, wanted, atol=0.02)
    assert np.abs(reads - wanted).mean() < 0.5 * np.abs(seen(latents) - wanted).mean() + 0.002


def test_a_closure_shuts_the_widest_mouth() -> None:
    for seed in range(5):
        _, reads = settled(lip_sync(), drawn(seed), hearing(aperture=2.0, closure=0.99))
        assert reads[:, 0].max() < CLOSED


def test_the_lower_lip_stays_near_the_teeth_that_it_touches() -> None:
    _, free = settled(lip_sync(), drawn(0), hearing(aperture=2.0))
    _, touching = settled(lip_sync(), drawn(0), hearing(aperture=2.0, teeth=0.99))
    assert touching[:, 0].max() < 0.3 * free[:, 0].max()


def test_it_goes_the_least_way_and_changes_nothing_but_the_mouth() -> None:
    latents = drawn(3)
    held, _ = settled(lip_sync(), latents, hearing(0.8, 0.4))
    assert np.array_equal(held[:, MOUTH_CODE:], latents[:, MOUTH_CODE:])
    step = held[:, :MOUTH_CODE] - latents[:, :MOUTH_CODE]
    # two things are asked of twenty numbers: all steps lie in one plane
    many = np.concatenate(
        [
            settled(lip_sync(), drawn(seed), hearing(0.8, 0.4))[0][:, :MOUTH_CODE]
            - drawn(seed)[:, :MOUTH_CODE]
            for seed in range(6)
        ]
    )
    assert np.linalg.matrix_rank(np.concatenate([step, many]), tol=1e-3) == 2


def test_in_silence_lips_that_were_drawn_ajar_close_and_the_rest_stays() -> None:
    for seed in range(5):
        latents = drawn(seed)
        held, reads = settled(lip_sync(), latents, silence())
        assert reads[:, 0].max() < CLOSED
        assert np.abs(reads[:, 1] - seen(latents)[:, 1]).max() < 0.005
        if seen(latents)[:, 0].max() < 0:  # shut already
            np.testing.assert_allclose(held, latents, atol=1e-5)


def test_a_surprised_mouth_may_stay_open_in_silence_as_far_as_surprise_does() -> None:
    moods = replace(PLAIN, silent=np.full(len(EMOTION_NAMES), 0.06, np.float32))
    wide = drawn(0)
    wide[:, :MOUTH_CODE] = 0
    wide = lip_sync().hold(wide, hearing(aperture=2.5), no_emotion(), 1.0)
    surprised = no_emotion()
    surprised[SURPRISE] = 1
    _, reads = settled(lip_sync(moods), wide, silence(), surprised)
    assert 0.03 < reads[:, 0].min() <= reads[:, 0].max() < 0.095
    _, calm = settled(lip_sync(moods), wide, silence())
    assert calm[:, 0].max() < CLOSED


def test_a_mood_keeps_its_own_opening_width_and_reach() -> None:
    table = {name: np.zeros(len(EMOTION_NAMES), np.float32) for name in LipMoods.__slots__}
    table["opening"][SURPRISE], table["width"][SURPRISE] = 0.03, 0.02
    table["reach"][SURPRISE] = -0.2
    sync, emotion = lip_sync(LipMoods(**table)), no_emotion()
    emotion[SURPRISE] = 0.5
    heard = hearing(0.8, 0.4)
    _, plain = settled(lip_sync(), drawn(1), heard)
    _, moved = settled(sync, drawn(1), heard, emotion)
    assert moved[:, 0] == pytest.approx(0.9 * plain[:, 0] + 0.015, abs=0.012)
    assert moved[:, 1] == pytest.approx((1 - 0.06) * plain[:, 1] + 0.01, abs=0.008)
    # nor does it part what a closure shuts
    _, shut = settled(lip_sync(LipMoods(**table)), drawn(1), hearing(0.8, closure=0.99), emotion)
    assert shut[:, 0].max() < CLOSED


def test_a_newly_asked_mood_comes_to_the_mouth_within_a_second_not_at_once() -> None:
    table = {name: np.zeros(len(EMOTION_NAMES), np.float32) for name in LipMoods.__slots__}
    table["width"][SURPRISE] = 0.04
    sync, emotion = lip_sync(LipMoods(**table)), no_emotion()
    heard, latents = hearing(0.5, 0.3), drawn(2)
    _, before = settled(sync, latents, heard)
    emotion[SURPRISE] = 1
    first = seen(sync.hold(latents, heard, emotion, 1.0))[0, 1]
    _, after = settled(sync, latents, heard, emotion)
    assert first - before[0, 1] < 0.25 * (after[0, 1] - before[0, 1])
    assert after[0, 1] - before[0, 1] == pytest.approx(0.04, abs=0.012)


def test_clearer_articulation_opens_further() -> None:
    heard, latents = hearing(0.8, 0.4), drawn(4)
    small, large = (
        seen(lip_sync().hold(latents, heard, no_emotion(), reach))[:, 0] for reach in (0.75, 1.25)
    )
    assert (large > 1.3 * small).all()


def test_a_short_pause_does_not_let_the_lips_go_but_a_long_one_does() -> None:
    sync, latents = lip_sync(), drawn(6)
    settled(sync, latents, hearing(0.8, 0.4))
    width_drawn, rest = seen(latents)[:, 1], 0.0
    after_s = {}
    for token in range(60):
        reads = seen(sync.hold(latents, silence(), no_emotion(), 1.0))
        after_s[round(0.04 * (token + 1), 2)] = reads[1, 1]
    assert abs(after_s[0.12] - rest) < 0.01  # still as wide as is heard: not at all
    assert abs(after_s[2.4] - width_drawn[1]) < 0.005


@given(
    seed=st.integers(0, 2**16),
    loud=st.floats(-1e3, 1e3),
    spread=st.floats(0, 50),
    articulation=st.floats(0.75, 1.25),
)
def test_nothing_that_is_heard_or_drawn_makes_what_is_no_number(
    seed: int, loud: float, spread: float, articulation: float
) -> None:
    chance = np.random.default_rng(seed)
    heard = chance.random((TOKEN_FRAMES, HEARD_SIZE)).astype(np.float32)
    heard[:, 19:22] = loud
    emotion = chance.random(len(EMOTION_NAMES)).astype(np.float32)
    sync = lip_sync()
    held = sync.hold(drawn(seed, spread), heard, emotion, articulation)
    assert held.dtype == np.float32
    assert np.isfinite(held).all()
