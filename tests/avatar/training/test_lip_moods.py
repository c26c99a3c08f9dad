"""What moods do to lips is measured where somebody speaks and where nobody does, and only there."""

import numpy as np
import pytest

from avatar.motion.direction import EMOTION_NAMES
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, load_codec
from avatar.motion.lip_reading import load_lip_reading
from avatar.speech.lip_sync import LipSync
from avatar.speech.motion_network import HEARD_SIZE, MotionNetwork, load_motion_network
from avatar.training import lip_moods
from avatar.training.lip_moods import fit_lip_moods
from avatar.training.motion_corpus import MotionCorpus
from avatar.types import Float

FRAMES = 300
SURPRISE, HAPPINESS = EMOTION_NAMES.index("surprise"), EMOTION_NAMES.index("happiness")


@pytest.fixture(scope="module")
def corpus() -> MotionCorpus:
    """Two streams of 6 s: half speech, then silence."""
    heard = np.zeros((2 * FRAMES, HEARD_SIZE), np.float16)
    heard[:, 19] = np.tile(np.sin(np.arange(FRAMES) * 0.6), 2)
    quiet = np.tile(np.arange(FRAMES) >= FRAMES // 2, 2)
    heard[quiet, 0] = 1
    nothing = np.zeros((2 * FRAMES, 1), np.float16)
    begins = np.tile(np.arange(FRAMES) == 0, 2)
    pose = np.zeros((2 * FRAMES, 8), np.float32)
    asked, expression, tongue = (nothing.repeat(width, 1) for width in (12, 52, 3))
    return MotionCorpus(heard, asked, expression, tongue, pose, begins, begins)


def test_what_a_mood_adds_is_found_again(
    corpus: MotionCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the generator: lips as heard, and of a mood what is known."""
    codec, reading = load_codec(), load_lip_reading()
    sync = LipSync(codec, reading, lip_moods.LipMoods(*np.zeros((4, 8), np.float32)))

    def advance(network: object, heard: Float, asked: Float, noise: Float, state: object) -> Float:
        speaking = heard[0, 0] < 0.5
        wide, open_lips = 0.03 * asked[HAPPINESS], 0.05 * asked[SURPRISE] * (not speaking)
        goal = np.column_stack([0.04 + 0.02 * heard[:, 19], 0 * heard[:, 19]])
        goal = goal * speaking + [open_lips, wide]
        codes = np.zeros((2, MOUTH_CODE), np.float32)
        for _ in range(8):
            codes += (goal - sync._seen(codes)) @ sync._step
        return np.concatenate([codes, np.zeros((2, LATENT_SIZE - MOUTH_CODE), np.float32)], 1)

    monkeypatch.setattr(lip_moods, "advance", advance)
    moods = fit_lip_moods(load_motion_network(), codec, reading, corpus, 0)
    assert moods.width[HAPPINESS] == pytest.approx(0.03, abs=0.003)
    assert moods.silent[SURPRISE] == pytest.approx(0.05, abs=0.005)
    for part in (moods.opening, moods.reach):
        assert np.abs(part).max() < 0.02
    assert np.abs(np.delete(moods.silent, SURPRISE)).max() < 0.003


def test_where_nobody_speaks_nothing_is_said_of_speech(
    corpus: MotionCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lip_moods, "_STREAMS", 1)
    heard = corpus.heard.copy()
    heard[:] = 0
    heard[:, 0] = 1
    mute = MotionCorpus(
        heard, corpus.asked, corpus.expression, corpus.tongue, corpus.pose, corpus.begins,
        corpus.tracked,
    )  # fmt: skip
    network: MotionNetwork = load_motion_network()
    moods = fit_lip_moods(network, load_codec(), load_lip_reading(), mute, 0)
    assert not moods.opening.any()
    assert not moods.width.any()
    assert not moods.reach.any()
    assert moods.silent[SURPRISE] > 0.02  # the shipped generator's surprise drops the jaw
