"""Trains the speech network on synthetic speech: corpus, sound as microphones hear it, targets."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from avatar.speech.features import BANDS, FeatureState, extract
from avatar.speech.network import WEIGHTS_FORMAT
from avatar.training.corpus import Utterance, make_corpus
from avatar.training.phones import ARTICULATORS, PHONE_CLASSES, SILENCE, targets_of
from avatar.training.speech_model import LOOK_AHEAD, SpeechModel, save_weights
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

WARM_UP = 30
"""Frames at the start of a crop that count for no loss: the network has no past there."""
_CROP = 250
_BATCH = 24
_STREAM_S = 40.0
_CLASS_WEIGHTS = torch.tensor([0.7, 1.5, 1.5, 0.8, 1.3, 1, 1.1, 1.2, 1, 1, 1])
_BLENDED = 5
"""Articulators before this index are regressed; from it on they are contacts, classified."""
_CONTACT_WEIGHTS = torch.tensor([3.0, 2.5, 1.5])
"""How much more a missed closure, lip-on-teeth contact or sibilant costs than a false one."""


@dataclass(frozen=True, slots=True)
class Examples:
    """T frames of streams laid end to end."""

    features: NDArray[np.float16]
    """[T, 160]"""
    viseme: NDArray[np.int8]
    """[T]"""
    articulators: NDArray[np.float16]
    """[T, 8]"""

    def __len__(self) -> int:
        return len(self.viseme)


def as_heard(sound: Float, generator: np.random.Generator) -> Float:
    """`sound` through a room, a microphone and noise, all at random."""
    if generator.random() < 0.5:
        length = int(generator.uniform(0.08, 0.5) * AUDIO_RATE)
        room = generator.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        room *= 10 ** generator.uniform(-1.6, -0.5) / np.sqrt((room**2).sum())
        room[0] += 1
        sound = scipy.signal.fftconvolve(sound, room)[: len(sound)]
    if generator.random() < 0.8:  # a smooth equaliser of 6 knots, +-9 dB
        grid = np.linspace(0, 1, 129)
        gains = 10 ** (np.interp(grid, np.linspace(0, 1, 6), generator.uniform(-9, 9, 6)) / 20)
        sound = scipy.signal.fftconvolve(sound, scipy.signal.firwin2(129, grid, gains), "same")
    if generator.random() < 0.15:
        edge = generator.uniform(3000, 5000)
        low = scipy.signal.butter(4, edge, "low", fs=AUDIO_RATE, output="sos")
        sound = np.asarray(scipy.signal.sosfilt(low, sound), np.float32)
    if generator.random() < 0.2:
        edge = generator.uniform(100, 350)
        high = scipy.signal.butter(2, edge, "high", fs=AUDIO_RATE, output="sos")
        sound = np.asarray(scipy.signal.sosfilt(high, sound), np.float32)
    sound = np.asarray(sound, np.float32)
    level = np.sqrt(np.mean(sound**2)) + 1e-4
    if generator.random() < 0.85:
        noise = generator.standard_normal(len(sound)).astype(np.float32)
        noise = np.asarray(scipy.signal.lfilter([1], [1, generator.uniform(-0.98, 0.3)], noise))
        noise *= level / np.sqrt(np.mean(noise**2)) * 10 ** (-generator.uniform(8, 45) / 20)
        sound = sound + noise
    return (sound / level * 10 ** (generator.uniform(-36, -14) / 20)).astype(np.float32)


def streams(
    utterances: Sequence[Utterance], generator: np.random.Generator
) -> Iterator[tuple[Float, list[tuple[float, float, int]]]]:
    """Utterances in random order with pauses between: sound of about 40 s and its segments."""
    order = generator.permutation(len(utterances))
    sound: list[Float] = []
    segments: list[tuple[float, float, int]] = []
    clock = 0.0
    for index in order:
        pause = (
            generator.uniform(3, 7) if generator.random() < 0.06 else generator.uniform(0.1, 1.2)
        )
        silence = int(pause * AUDIO_RATE)
        sound.append(np.zeros(silence, np.float32))
        segments.append((clock, clock + silence / AUDIO_RATE, SILENCE))
        clock += silence / AUDIO_RATE
        utterance = utterances[index]
        sound.append(utterance.samples * 10 ** np.float32(generator.uniform(-8, 0) / 20))
        segments += [
            (clock + a, clock + b, int(p))
            for a, b, p in zip(utterance.starts_s, utterance.ends_s, utterance.phones, strict=True)
        ]
        clock += len(utterance.samples) / AUDIO_RATE
        if clock > _STREAM_S:
            yield np.concatenate(sound), segments
            sound, segments, clock = [], [], 0.0
    if sound:
        yield np.concatenate(sound), segments


def examples_of(
    utterances: Sequence[Utterance], generator: np.random.Generator, passes: int, clean: bool
) -> Examples:
    """Features and targets of all utterances, heard `passes` times through different rooms."""
    features, visemes, articulators = [], [], []
    for _ in range(passes):
        for sound, segments in streams(utterances, generator):
            heard = sound if clean else as_heard(sound, generator)
            values = extract(heard, FeatureState()).values
            starts, ends, phones = (np.array(column) for column in zip(*segments, strict=True))
            targets = targets_of(starts, ends, phones, len(values))
            features.append(values.astype(np.float16))
            visemes.append(targets.viseme.astype(np.int8))
            articulators.append(targets.articulators.astype(np.float16))
            if not clean and generator.random() < 0.05:  # noise alone: the face must rest
                noise = as_heard(np.zeros(5 * AUDIO_RATE, np.float32), generator)
                features.append(extract(noise, FeatureState()).values.astype(np.float16))
                rest = targets_of(np.zeros(1), np.full(1, 5.0), np.zeros(1, int), 250)
                visemes.append(rest.viseme.astype(np.int8))
                articulators.append(rest.articulators.astype(np.float16))
    return Examples(np.concatenate(features), np.concatenate(visemes), np.concatenate(articulators))


def vary_features(features: Tensor, generator: torch.Generator) -> Tensor:
    """Level, tilt, noise floor and missing bands on [B, T, 160] log-mels."""
    batch = len(features)

    def uniform() -> Tensor:
        return torch.rand(batch, 1, 1, generator=generator) - 0.5

    slope = torch.linspace(-1, 1, BANDS).repeat(2)
    features = features + 2.0 * uniform() + 2.0 * uniform() * slope
    floor = -8.5 + 7 * uniform() + 4 * uniform() * slope
    noise = torch.randn(features.shape, generator=generator)
    features = torch.logaddexp(features, floor + 0.6 * noise)
    for index in range(batch):
        if torch.rand(1, generator=generator) < 0.3:
            low = int(torch.randint(0, 70, (1,), generator=generator))
            high = low + int(torch.randint(2, 10, (1,), generator=generator))
            mean = features[index].mean()
            features[index, :, low:high] = mean
            features[index, :, BANDS + low : BANDS + high] = mean
    return features


def speech_loss(outputs: Tensor, viseme: Tensor, articulators: Tensor) -> Tensor:
    """The loss of [B, T, 19] outputs against [B, T] classes and [B, T, 8] articulators."""
    classes = len(PHONE_CLASSES)
    said = outputs[:, LOOK_AHEAD + WARM_UP :]
    frames = said.shape[1]
    viseme = viseme[:, WARM_UP : WARM_UP + frames]
    articulators = articulators[:, WARM_UP : WARM_UP + frames]
    classified = functional.cross_entropy(
        said[..., :classes].reshape(-1, classes),
        viseme.reshape(-1),
        weight=_CLASS_WEIGHTS,
        label_smoothing=0.05,
    )
    blended = said[..., classes : classes + _BLENDED]
    regressed = functional.mse_loss(blended, articulators[..., :_BLENDED])
    contacts = functional.binary_cross_entropy_with_logits(
        said[..., classes + _BLENDED :],
        articulators[..., _BLENDED:],
        pos_weight=_CONTACT_WEIGHTS,
    )
    return classified + 10 * regressed + 1.5 * contacts


def crops(
    examples: Examples, generator: torch.Generator, batch: int = _BATCH
) -> tuple[Tensor, Tensor, Tensor]:
    """[B, 250, 160] features, [B, 250] classes and [B, 250, 8] articulators at random places."""
    starts = torch.randint(0, len(examples) - _CROP, (batch,), generator=generator).tolist()
    rows = [slice(start, start + _CROP) for start in starts]
    return (
        torch.from_numpy(np.stack([examples.features[r] for r in rows]).astype(np.float32)),
        torch.from_numpy(np.stack([examples.viseme[r] for r in rows]).astype(np.int64)),
        torch.from_numpy(np.stack([examples.articulators[r] for r in rows]).astype(np.float32)),
    )


@torch.no_grad()
def measure(model: SpeechModel, examples: Examples, mean: float, spread: float) -> dict[str, float]:
    """Accuracy on frames of speech, r of aperture, recall and precision of closure."""
    length = min(1500, len(examples))
    count = len(examples) // length
    features = torch.from_numpy(examples.features[: count * length].astype(np.float32))
    model.eval()
    outputs = model((features.view(count, length, -1) - mean) / spread)
    model.train()
    said = outputs[:, 150 + LOOK_AHEAD :].numpy()
    frames = slice(150, length - LOOK_AHEAD)
    viseme = examples.viseme[: count * length].reshape(count, length)[:, frames]
    truth = examples.articulators[: count * length].reshape(count, length, -1)[:, frames]
    classes = len(PHONE_CLASSES)
    guess = said[..., :classes].argmax(-1)
    spoken = viseme > 0
    closed = said[..., classes + ARTICULATORS.index("closure")] > 0
    lips = viseme == 1
    return {
        "accuracy": float((guess == viseme)[spoken].mean()),
        "aperture_r": float(
            np.corrcoef(said[..., classes].ravel(), truth[..., 0].ravel().astype(float))[0, 1]
        ),
        "closure_recall": float(closed[lips].mean()),
        "closure_precision": float(lips[closed].mean()) if closed.any() else 0.0,
    }


def train_speech(
    hours: float, minutes: float, steps: int | None, seed: int, output: Path
) -> dict[str, object]:
    """Make the corpus, train, write `output`; returns the metadata written with it.

    The learning rate falls along a cosine over `steps`, or over `minutes` where `steps` is None.

    Raises:
        AssetError: a synthesiser is not installed.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    rooms = np.random.default_rng(seed)
    utterances = list(make_corpus(hours, seed))
    rooms.shuffle(utterances)  # pyright: ignore[reportArgumentType]
    held_back = max(8, len(utterances) // 60)
    log.info("corpus: %d utterances", len(utterances))
    training = examples_of(utterances[held_back:], rooms, passes=2, clean=False)
    check = examples_of(utterances[:held_back], rooms, passes=1, clean=False)
    sample = training.features[::50].astype(np.float32)
    mean, spread = float(sample.mean()), float(sample.std())
    log.info("features: %.2f h, mean %.2f, spread %.2f", len(training) / 180_000, mean, spread)
    model = SpeechModel()
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.02)
    start = time.monotonic()
    step, running = 0, 0.0
    metadata: dict[str, object] = {}
    while True:
        elapsed = (time.monotonic() - start) / 60
        done = step / steps if steps else elapsed / minutes
        if step % 250 == 0 or done >= 1:
            metadata = {
                "format": WEIGHTS_FORMAT,
                "mean": mean,
                "spread": spread,
                "hours": hours,
                "seed": seed,
                "steps": step,
                "synthetic": measure(model, check, mean, spread),
            }
            save_weights(output, model, (), metadata)
            log.info("step %d, %.1f min, loss %.3f, %s", step, elapsed, running, metadata)
        if done >= 1:
            return metadata
        rate = 1.3e-3 * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        features, viseme, articulators = crops(training, draw)
        heard = (vary_features(features, draw) - mean) / spread
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = model(heard)
        loss = speech_loss(outputs.float(), viseme, articulators)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        step += 1
