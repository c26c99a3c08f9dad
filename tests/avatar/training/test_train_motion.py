"""Training the motion generator: it learns, goes on after a kill as if never killed, and tells."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import AssetError
from avatar.head.template import load_template
from avatar.motion.latent import parse_codec
from avatar.speech.motion_network import parse_motion_network
from avatar.training import lip_moods
from avatar.training import train_motion as training
from avatar.training.motion_codec import codec_error, fit_codec, reach_of, save_codec
from avatar.training.motion_corpus import MotionCorpus, load_corpus, save_corpus
from avatar.training.motion_model import (
    INPUT_SIZE,
    TOKEN_SIZE,
    MotionModel,
    aims_of,
    flow_loss,
)
from avatar.training.performance import Speech, Style, draw_script, perform
from avatar.training.train_motion import MotionRecipe, train_motion

FRAMES = 2200


@pytest.fixture(scope="module")
def corpus() -> MotionCorpus:
    """44 s of a face that speaks now and then, and hears its own loudness."""
    chance = np.random.default_rng(0)
    script = draw_script(FRAMES, chance)
    talk = np.repeat(chance.random(FRAMES // 10) > 0.5, 10).astype(np.float32)
    speech = Speech(np.repeat(talk[:, None], 9, 1) * 0.5)
    face = perform(speech, 0.08 * talk, None, script, Style(), chance)
    heard = np.zeros((FRAMES, 23), np.float16)
    heard[:, 0], heard[:, 11] = 1 - talk, talk
    asked = np.concatenate(
        [script.emotion, script.gaze, script.distance[:, None], np.ones((FRAMES, 1))], 1
    )
    return MotionCorpus(
        heard,
        asked.astype(np.float16),
        face.expression.astype(np.float16),
        face.tongue.astype(np.float16),
        np.concatenate([face.gaze, face.head_rotation, face.head_translation], 1),
        np.arange(FRAMES) == 0,
        np.zeros(FRAMES, bool),
    )


@pytest.fixture(autouse=True)
def one_thread_and_small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(training, "_BATCH", 2)
    monkeypatch.setattr(training, "_TOKENS", 12)
    monkeypatch.setattr(training, "_SAVE_EVERY", 3)
    monkeypatch.setattr(lip_moods, "_FRAMES", 60)
    yield
    torch.set_num_threads(threads)


def recipe(steps: int = 6) -> MotionRecipe:
    return MotionRecipe(hours=0.1, passes=1, steps=steps, seed=0, grid=False)


def run(corpus: MotionCorpus, work: Path, steps: int = 6) -> dict[str, object]:
    work.mkdir(exist_ok=True)
    if not (work / "corpus.safetensors").exists():
        save_corpus(work / "corpus.safetensors", corpus, {})
    return train_motion(recipe(steps), Path("no weights"), None, work, work / "out")


def test_the_code_loses_little_of_the_corpus_and_is_near_unit_normal(
    corpus: MotionCorpus, tmp_path: Path
) -> None:
    face = corpus.face()
    codec = fit_codec(face, load_template())
    save_codec(tmp_path / "codec.safetensors", codec, {})
    read = parse_codec((tmp_path / "codec.safetensors").read_bytes())
    assert codec_error(read, face)["weight_rms"] < 0.02
    code = read.encode(face)
    assert np.abs(code[:, :32].mean(0)).max() < 0.02
    spread = code.std(0)
    assert spread.max() < 1.05
    assert spread[[0, 1, 2, 20, 22, 23, 32, 34]] == pytest.approx(1, abs=0.05)


def test_lips_and_jaw_count_for_more_than_a_nostril() -> None:
    from avatar.types import ARKIT_NAMES

    reach = dict(zip(ARKIT_NAMES, reach_of(load_template())[:52], strict=True))
    assert reach["jawOpen"] > 2 * reach["noseSneerLeft"]
    assert min(reach.values()) > 0.1


def test_a_killed_training_goes_on_as_if_it_had_not_been(
    corpus: MotionCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(corpus, tmp_path / "whole")

    class KilledError(Exception):
        pass

    def killed(self: training._Training, held_back: float) -> None:
        saved(self, held_back)
        raise KilledError

    saved = training._Training._save
    monkeypatch.setattr(training._Training, "_save", killed)
    with pytest.raises(KilledError):
        run(corpus, tmp_path / "broken")
    monkeypatch.setattr(training._Training, "_save", saved)
    figures = run(corpus, tmp_path / "broken")
    assert figures["step"] == 6
    one, other = (
        (tmp_path / name / "out" / "motion.safetensors").read_bytes()
        for name in ("whole", "broken")
    )
    assert one == other
    parse_motion_network(one)  # what ships can be read
    assert not list(tmp_path.rglob("*.part"))


def test_the_flow_learns_what_the_conditions_tell() -> None:
    torch.manual_seed(0)
    model = MotionModel()
    inputs = torch.randn(4, 8, INPUT_SIZE)
    tokens = 1.5 * inputs[..., :TOKEN_SIZE].flip(-1)  # a thing to find out
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = flow_loss(model, model.states(inputs), tokens, torch.ones(TOKEN_SIZE))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_another_recipe_does_not_go_on_in_the_same_folder(
    corpus: MotionCorpus, tmp_path: Path
) -> None:
    run(corpus, tmp_path / "work", steps=1)
    with pytest.raises(AssetError, match="another recipe"):
        run(corpus, tmp_path / "work", steps=2)


def test_a_damaged_corpus_or_checkpoint_is_told(corpus: MotionCorpus, tmp_path: Path) -> None:
    work = tmp_path / "work"
    run(corpus, work, steps=3)
    checkpoint = work / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(AssetError, match="cannot be resumed"):
        run(corpus, work, steps=3)
    shutil.copy(checkpoint, work / "corpus.safetensors")
    with pytest.raises(AssetError, match="no motion corpus"):
        load_corpus(work / "corpus.safetensors")


def test_the_aim_is_the_mean_of_the_next_second_of_the_same_stream() -> None:
    tokens = torch.zeros(60, TOKEN_SIZE)
    tokens[:, -1] = torch.arange(60)
    ends = torch.tensor([40] * 40 + [60] * 20)
    aims = aims_of(tokens, ends)[:, -1]
    assert aims[0] == pytest.approx(12)
    assert aims[30] == pytest.approx(34.5)  # the mean of 30 to 39
    assert aims[39] == 39
    assert aims[40] == pytest.approx(49.5)


def test_the_loss_is_taken_wherever_the_network_is(corpus: MotionCorpus, tmp_path: Path) -> None:
    """torch's "meta" device stands in for a card: it refuses to mix with the processor's."""
    codec = fit_codec(corpus.face(), load_template())
    meta = torch.device("meta")
    trained = training._Training(recipe(), corpus, codec, tmp_path / "checkpoint", tmp_path, meta)
    worth = torch.ones(TOKEN_SIZE, device=meta)
    loss = trained._loss(torch.Generator().manual_seed(0), 900, 0, worth)
    loss.backward()
    assert loss.device == meta
    assert all(p.grad is not None and p.grad.device == meta for p in trained._model.parameters())
