"""Training: the corpus where its programs are installed, causality, and that it learns."""

import random
import sys
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import AssetError, OutputError, SoundError
from avatar.speech.features import FEATURES
from avatar.training import corpus
from avatar.training.corpus import Utterance, check_packages, make_corpus
from avatar.training.phones import ARTICULATORS, PHONE_CLASSES, PHONE_INDEX, SILENCE
from avatar.training.recordings import read_sound
from avatar.training.score import score_synthetic
from avatar.training.speech_model import (
    LIPS,
    LOOK_AHEAD,
    LipReadout,
    SpeechModel,
    load_weights,
    run_both,
    save_weights,
)
from avatar.training.train_speech import as_heard, crops, examples_of, speech_loss, streams
from avatar.types import AUDIO_RATE

synthesisers = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the corpus is made of Debian's synthesisers"
)


def hum(phones: str, seconds: float = 0.15) -> Utterance:
    """An utterance whose phones all sound alike."""
    names = phones.split()
    ends = np.cumsum(np.full(len(names), seconds))
    time = np.arange(int(ends[-1] * AUDIO_RATE)) / AUDIO_RATE
    return Utterance(
        "test/hum",
        (0.5 * np.sin(2 * np.pi * 150 * time)).astype(np.float32),
        ends - seconds,
        ends,
        np.array([PHONE_INDEX[name] for name in names]),
    )


@synthesisers
def test_every_synthesiser_speaks_and_its_phones_fill_the_sound() -> None:
    utterances = list(make_corpus(0.004, seed=1))
    assert {one.voice.split("/")[0] for one in utterances} == {"flite", "espeak", "festival"}
    for one in utterances:
        duration = len(one.samples) / AUDIO_RATE
        assert np.abs(one.samples).max() == pytest.approx(0.7, abs=1e-3)
        assert (one.ends_s >= one.starts_s - 1e-6).all()
        assert one.starts_s[0] >= -1e-6
        assert one.ends_s[-1] == pytest.approx(duration, abs=0.1)
        spoken = one.phones != SILENCE
        assert spoken.mean() > 0.6
        # where a phone sounds, there is sound; where silence is labelled there is little
        energy = np.convolve(one.samples**2, np.ones(320) / 320, "same")
        middles = ((one.starts_s + one.ends_s) / 2 * AUDIO_RATE).astype(int)
        levels = energy[np.minimum(middles, len(energy) - 1)]
        if not spoken.all():
            assert np.median(levels[spoken]) > 5 * np.median(levels[~spoken])


@synthesisers
def test_the_same_seed_makes_the_same_corpus() -> None:
    one, other = (list(islice(make_corpus(0.01, seed=5), 5)) for _ in range(2))
    for a, b in zip(one, other, strict=True):
        assert a.voice == b.voice
        assert np.array_equal(a.phones, b.phones)
        if not a.voice.startswith("espeak"):  # whose breath noise runs on within a process
            assert np.allclose(a.starts_s, b.starts_s)
            assert np.array_equal(a.samples, b.samples)


def test_a_missing_synthesiser_is_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(corpus.shutil, "which", lambda name: None if name == "flite" else name)
    with pytest.raises(AssetError, match=r"flite.*apt-get install"):
        check_packages()


def test_streams_keep_phones_in_step_with_the_sound() -> None:
    utterances = [hum("AA B AA IY"), hum("M OW S T")] * 20
    seen = 0
    for sound, segments in streams(utterances, np.random.default_rng(0)):
        for (_, end, _), (start, _, _) in pairwise(segments):
            assert start == pytest.approx(end, abs=1e-3)
        assert segments[-1][1] == pytest.approx(len(sound) / AUDIO_RATE, abs=1e-3)
        for start, end, phone in segments:
            block = sound[int(start * AUDIO_RATE) + 8 : int(end * AUDIO_RATE) - 8]
            assert (np.abs(block).max() > 0.1) == (phone != SILENCE)
            seen += phone != SILENCE
    assert seen == 160


def test_rooms_and_microphones_leave_finite_sound_of_the_same_length() -> None:
    sound = hum("AA B AA IY OW").samples
    heard = [as_heard(sound, np.random.default_rng(seed)) for seed in range(12)]
    for one in heard:
        assert one.shape == sound.shape
        assert one.dtype == np.float32
        assert np.isfinite(one).all()
    assert len({float(one[100]) for one in heard}) == 12


def test_the_network_hears_no_future() -> None:
    torch.manual_seed(0)
    model, readouts = SpeechModel(width=16).eval(), [LipReadout(16, width=8).eval()]
    features = torch.randn(1, 60, FEATURES)
    changed = features.clone()
    changed[:, 40:] += 1
    for one, other in zip(
        run_both(model, readouts, features), run_both(model, readouts, changed), strict=True
    ):
        assert torch.equal(one[:, :40], other[:, :40])
        assert not torch.equal(one[:, 40], other[:, 40])


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, readouts = SpeechModel(width=16), [LipReadout(16), LipReadout(16, width=8)]
    path = tmp_path / "new" / "weights.safetensors"
    save_weights(path, model, readouts, {"format": 2, "seed": 3})
    again, readouts_again, metadata = load_weights(path)
    assert metadata == {"format": 2, "seed": 3}
    pairs = [(model, again), *zip(readouts, readouts_again, strict=True)]
    for written, read in pairs:
        for name, tensor in written.state_dict().items():
            torch.testing.assert_close(read.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    save_weights(path, model, (), {"format": 2})
    assert load_weights(path)[1] == []


def test_files_that_are_no_weights_or_no_sound_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.wav"
    text.write_text("hello")
    with pytest.raises(AssetError, match="no speech weights"):
        load_weights(text)
    with pytest.raises(SoundError, match="no sound"):
        read_sound(text)
    with pytest.raises(AssetError, match="no speech weights"):
        load_weights(tmp_path / "missing.safetensors")


def test_weights_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(tmp_path / "file" / "w.safetensors", SpeechModel(width=8), (), {})


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    random.seed(0)
    utterances = [hum("sil AA B AA sil"), hum("M OW S T AA")] * 6
    examples = examples_of(utterances, np.random.default_rng(0), passes=1, clean=False)
    model = SpeechModel(width=24)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        features, viseme, articulators = crops(examples, draw, batch=4)
        assert features.shape[1] == viseme.shape[1] == articulators.shape[1] == 250
        outputs = model((features + 4.5) / 3.5)
        assert outputs.shape[-1] == len(PHONE_CLASSES) + len(ARTICULATORS)
        loss = speech_loss(outputs, viseme, articulators)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:2])


def test_outputs_are_compared_with_the_frame_that_they_describe() -> None:
    frames = 120
    viseme = torch.randint(0, len(PHONE_CLASSES), (1, frames))
    articulators = torch.zeros(1, frames, len(ARTICULATORS))
    outputs = torch.full((1, frames, len(PHONE_CLASSES) + len(ARTICULATORS)), -8.0)
    outputs[..., len(PHONE_CLASSES) : len(PHONE_CLASSES) + 5] = 0
    late = outputs.clone()
    delayed = viseme[0, : frames - LOOK_AHEAD]
    late[0, torch.arange(LOOK_AHEAD, frames), delayed] = 8.0
    early = outputs.clone()
    early[0, torch.arange(frames), viseme[0]] = 8.0
    assert speech_loss(late, viseme, articulators) < 1.5
    assert speech_loss(early, viseme, articulators) > 3
    assert set(LIPS) <= set(ARTICULATORS)


@synthesisers
def test_the_lips_of_the_shipped_network_close_on_new_synthetic_sentences():
    counts = score_synthetic(islice(make_corpus(0.02, 7), 12))
    assert counts["bilabials"] > 5
    assert counts["closed"] > 0.7 * counts["bilabials"]
    assert counts["vowels_closed"] < 0.2 * counts["vowels"]
