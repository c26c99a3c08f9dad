"""A voice file keeps what it holds, refuses what it should, and never waits for later sound."""

import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import VoiceFileError
from avatar.head.template import load_template
from avatar.speech.generator import MotionGenerator
from avatar.speech.network import load_network
from avatar.speech.voice import (
    INPUTS,
    TAPS,
    Voice,
    VoiceState,
    adapt,
    adapt_all,
    inputs_of,
    load_voice,
    network_mark,
    save_voice,
    voice_text,
)
from avatar.training.score import template_lips
from avatar.types import Float, MotionFrame
from tests.avatar.speech.sounds import syllables
from tests.avatar.speech.speakers import speaker


def voice_of(seed: int = 0, size: float = 0.05) -> Voice:
    chance = np.random.default_rng(seed)
    return Voice(
        weights=(size * chance.standard_normal((TAPS * INPUTS, 3))).astype(np.float32),
        shift=np.array([0.3, -0.2, 0.1], np.float32),
        gains=(1.2, 0.8, 1.0),
        delays_ms=(0, 20, 0),
        seconds=41.5,
        network=network_mark(load_network()),
    )


def expressions(frames: list[MotionFrame]) -> Float:
    return np.stack([frame.expression for frame in frames])


def test_any_blocks_give_the_same_lips_to_the_bit() -> None:
    sound = syllables(1.0)
    whole = MotionGenerator(seed=0, voice=voice_of())
    expected = expressions([*whole.step(sound), *whole.flush()])
    pieces = MotionGenerator(seed=0, voice=voice_of())
    frames = []
    for start in range(0, len(sound), 777):
        frames += pieces.step(sound[start : start + 777])
    assert np.array_equal(expressions([*frames, *pieces.flush()]), expected)
    pieces.reset()
    assert np.array_equal(expressions([*pieces.step(sound), *pieces.flush()]), expected)
    shipped = MotionGenerator(seed=0)
    assert not np.array_equal(expressions([*shipped.step(sound), *shipped.flush()]), expected)


def test_a_voice_that_opens_wider_opens_the_mouth_wider() -> None:
    weights = np.zeros((TAPS * INPUTS, 3), np.float32)
    weights[INPUTS - 3, 0] = 0.6  # the opening, 1.6 times
    wide = dataclasses.replace(voice_of(), weights=weights, shift=np.zeros(3, np.float32))
    sound = syllables(2.0)

    def opening(voice: Voice | None) -> float:
        generator = MotionGenerator(seed=0, voice=voice)
        frames = [*generator.step(sound), *generator.flush()]
        return float(template_lips(frames, load_template())[:, 0].std())

    assert opening(wide) > 1.2 * opening(None)


def test_later_frames_never_change_earlier_ones_and_past_ones_are_remembered() -> None:
    heard, voice = speaker(2.0), voice_of()
    moved = adapt_all(voice, heard.outputs, heard.lips)
    cut = 60
    other = heard.lips.copy()
    other[cut:] += 1
    changed = adapt_all(voice, heard.outputs, other)
    assert np.array_equal(moved[:cut], changed[:cut])
    other = heard.lips.copy()
    other[cut] += 1
    changed = adapt_all(voice, heard.outputs, other)
    touched = np.flatnonzero((moved != changed).any(1))
    assert touched.min() == cut
    assert touched.max() == cut + TAPS - 1


def test_silence_is_left_alone() -> None:
    heard = speaker(1.0)
    heard.outputs[:, 0] = 60.0
    assert np.allclose(inputs_of(heard.outputs, heard.lips)[:, 0], 1)
    moved = adapt_all(voice_of(size=1.0), heard.outputs, heard.lips)
    assert np.allclose(moved, heard.lips, atol=1e-5)


def test_whatever_the_encoder_says_lips_stay_within_bounds() -> None:
    state = VoiceState()
    for outputs in (np.full(19, 1e30), np.full(19, -1e30), np.zeros(19)):
        lips = adapt(voice_of(), outputs.astype(np.float32), np.full(3, 1e6, np.float32), state)
        assert np.isfinite(lips).all()
        assert np.abs(lips).max() <= 4


def test_a_file_gives_the_same_voice_and_a_process_gets_it_whole(tmp_path: Path) -> None:
    voice, path = voice_of(), tmp_path / "me.voice"
    save_voice(voice, path)
    read = load_voice(path, load_network())
    assert np.allclose(read.weights, voice.weights, rtol=1e-5)
    assert np.allclose(read.shift, voice.shift, rtol=1e-5)
    assert (read.gains, read.delays_ms, read.seconds) == (voice.gains, voice.delays_ms, 41.5)
    sent = pickle.loads(pickle.dumps(read))
    assert np.array_equal(sent.weights, read.weights)


def hostile() -> dict[str, bytes]:
    good = json.loads(voice_text(voice_of()))

    def with_(**changes: object) -> bytes:
        return json.dumps({**good, **changes}).encode()

    return {
        "empty": b"",
        "words": b"hello",
        "bytes": bytes(range(256)),
        "a list": b"[]",
        "deep": b"[" * 100_000,
        "another kind": with_(visavis="motion"),
        "a later format": with_(format=2),
        "no shift": json.dumps({k: v for k, v in good.items() if k != "shift"}).encode(),
        "few weights": with_(weights=good["weights"][:-1]),
        "ragged weights": with_(weights=[*good["weights"][:-1], [1.0]]),
        "weights in words": with_(weights=[["a", "b", "c"]] * (TAPS * INPUTS)),
        "huge weights": with_(weights=[[1e30] * 3] * (TAPS * INPUTS)),
        "infinite": with_(shift=[float("inf"), 0, 0]),
        "no number": with_(shift=[float("nan"), 0, 0]),
        "no number of seconds": with_(seconds=float("nan")),
        "gains as a list": with_(gains=[1, 1, 1]),
        "cut short": voice_text(voice_of()).encode()[:500],
        "too large": b" " * (1 << 21),
    }


@pytest.mark.parametrize("name", list(hostile()))
def test_what_is_no_voice_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.voice"
    path.write_bytes(hostile()[name])
    with pytest.raises(VoiceFileError) as caught:
        load_voice(path, load_network())
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_a_missing_file_a_folder_and_one_for_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VoiceFileError, match="no such file"):
        load_voice(tmp_path / "none.voice", load_network())
    with pytest.raises(VoiceFileError, match="a folder"):
        load_voice(tmp_path, load_network())
    save_voice(dataclasses.replace(voice_of(), network="0123456789abcdef"), tmp_path / "old.voice")
    with pytest.raises(VoiceFileError, match="other speech weights"):
        load_voice(tmp_path / "old.voice", load_network())
