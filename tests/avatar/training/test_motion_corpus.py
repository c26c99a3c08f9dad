"""The motion corpus: the mouth does what the phones say, and the sound stays in step."""

from pathlib import Path

import numpy as np
import pytest

from avatar.motion.latent import Face
from avatar.speech.features import FRAME
from avatar.speech.network import PHONE_CLASSES
from avatar.training.corpus import Utterance
from avatar.training.motion_corpus import (
    MotionCorpus,
    Stream,
    load_corpus,
    mouth_of,
    save_corpus,
    synthetic_streams,
)
from avatar.training.phones import PHONE_INDEX, SILENCE
from avatar.types import AUDIO_RATE, TONGUE_NAMES, Float


def utterance(number: int) -> Utterance:
    """A second of tone that says its number in its level."""
    tone = np.sin(np.arange(AUDIO_RATE) * 0.3).astype(np.float32) * 0.1 * (1 + number % 5)
    starts = np.array([0.0, 0.4])
    phones = np.array([PHONE_INDEX["AA"], PHONE_INDEX["M"]])
    return Utterance("tone", tone, starts, np.array([0.4, 1.0]), phones)


def outputs_of(frames: int) -> tuple[Float, Float]:
    """An encoder that says nothing in particular, and lips of an average opening."""
    outputs = np.zeros((frames, PHONE_CLASSES + 8), np.float32)
    return outputs, np.zeros((frames, 3), np.float32)


def test_streams_lay_sound_and_phones_in_step() -> None:
    chance = np.random.default_rng(0)
    streams = list(synthetic_streams([utterance(i) for i in range(80)], chance))
    assert len(streams) >= 2
    for stream in streams:
        length = len(stream.sound) / AUDIO_RATE
        assert length < 65
        ends = [end for _, end, _ in stream.segments]
        assert ends[-1] == pytest.approx(length, abs=0.05)
        for start, end, phone in stream.segments:
            middle = int((start + end) / 2 * AUDIO_RATE)
            loud = np.abs(stream.sound[middle - 50 : middle + 50]).max() > 1e-3
            assert loud == (phone != SILENCE)
    pauses = [b - a for s in streams for a, b, phone in s.segments if phone == SILENCE]
    assert max(pauses) > 4  # the face listens now and then


def test_exact_phones_close_the_lips_and_raise_the_tongue() -> None:
    names = ("sil", "AA", "M", "AA", "L", "AA", "K", "AA", "sil")
    edges = np.linspace(0, 1.8, len(names) + 1)
    segments = [
        (float(a), float(b), PHONE_INDEX[name])
        for a, b, name in zip(edges[:-1], edges[1:], names, strict=True)
    ]
    frames = 90
    outputs, lips = outputs_of(frames)
    speech, tongue = mouth_of(Stream(np.zeros(frames * FRAME, np.float32), segments, None),
                              outputs, lips)  # fmt: skip
    assert tongue is not None
    middle = {name: int((edges[i] + edges[i + 1]) / 2 * 50) for i, name in enumerate(names)}
    assert speech.column("closure")[middle["M"]] > 0.9
    assert speech.column("closure")[middle["K"]] < 0.1
    tip, back = (TONGUE_NAMES.index(name) for name in ("tongueTipUp", "tongueUp"))
    assert tongue[middle["L"], tip] > 0.5 > tongue[middle["K"], tip]
    assert tongue[middle["K"], back] > 0.5 > tongue[middle["L"], back]
    assert speech.column("aperture")[:3].max() < 0.05  # at rest
    assert speech.column("aperture")[middle["L"]] > 0.1


def test_tracked_lips_are_what_the_mouth_does() -> None:
    frames = 60
    outputs, lips = outputs_of(frames)
    outputs[:, 0] = -9  # surely no silence
    tracked = np.full((frames, 3), np.nan, np.float32)
    tracked[20:40] = (0.6, -0.4, 0.5)
    stream = Stream(np.zeros(frames * FRAME, np.float32), [], tracked)
    speech, tongue = mouth_of(stream, outputs, lips)
    assert tongue is None
    assert speech.column("aperture")[30] == pytest.approx(0.6, abs=1e-3)
    assert speech.column("width")[30] == pytest.approx(-0.4, abs=1e-3)
    assert speech.column("aperture")[10] != pytest.approx(0.6, abs=0.1)


def test_a_corpus_survives_its_file(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return chance.random(shape).astype(np.float16)

    pose = chance.random((5, 8)).astype(np.float32)
    corpus = MotionCorpus(
        some(5, 23), some(5, 12), some(5, 52), some(5, 3), pose, np.arange(5) == 0, pose[:, 0] > 0.5
    )
    save_corpus(tmp_path / "corpus.safetensors", corpus, {"seed": 1})
    read = load_corpus(tmp_path / "corpus.safetensors")
    for name in ("heard", "asked", "expression", "tongue", "pose", "begins", "tracked"):
        assert np.array_equal(getattr(read, name), getattr(corpus, name))
    face = read.face()
    assert isinstance(face, Face)
    assert np.array_equal(face.head_rotation, pose[:, 2:5])
    assert not list(tmp_path.glob("*.part"))
