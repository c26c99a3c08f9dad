"""Fits the map by which a live talk waits less: `avatar.speech.foresight`.

    visavis train foresight --grid GRID -o foresight.safetensors

The encoder hears speech made here and, with `--grid`, real sentences, each through a random room.
The map is ridge regression from what it heard and said up to a frame to what it says some frames
later: two sums over the corpus, so memory does not grow with it.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from avatar.errors import VisavisError
from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.foresight import FORMAT, PAST
from avatar.training.corpus import make_corpus
from avatar.training.grid import training_clips
from avatar.training.recordings import read_sound
from avatar.training.speech_model import LIPS, OUTPUTS, LipReadout, SpeechModel, load_weights
from avatar.training.train_speech import as_heard, streams
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

_LEAD = 150
"""Frames of silence that the encoder hears before a sound: more than it remembers."""
_RIDGE = 100.0
"""In standardised inputs; from 10 to 1000 the errors are alike."""
_HELD_BACK = 8
"""Every so many-th sound is kept to measure with."""
_SENTENCES = 8
"""Of GRID, in one sound."""
_QUIET_S = 5


def train_foresight(
    weights: Path, grid: Path | None, *, frames: int, hours: float, seed: int, output: Path
) -> dict[str, object]:
    """Hear, fit, write `output`; the figures.

    Raises:
        AssetError: a synthesiser, the encoder's weights or the corpus is not there.
        VisavisError: too little was heard to measure with.
        OSError: `output` cannot be written.
    """
    model, readouts, metadata = load_weights(weights)
    model.eval()
    for readout in readouts:
        readout.eval()
    scale = _scale(metadata)
    sums, kept = Sums(), []
    for index, sound in enumerate(_sounds(grid, hours, seed)):
        known, later = pairs_of(_frames(model, readouts, scale, sound), frames)
        if index % _HELD_BACK == _HELD_BACK - 1:
            kept.append((known.astype(np.float16), later))
        else:
            sums.add(known, later)
        if index % 20 == 0:
            log.info("sound %d", index)
    if not kept:
        raise VisavisError(f"--hours {hours:g}: expected enough for {_HELD_BACK} sounds or more")
    weight, shift = sums.solve()
    known = np.concatenate([one for one, _ in kept]).astype(np.float32)
    later = np.concatenate([other for _, other in kept])
    guessed = known @ weight + shift
    agreement = [_r(guessed[:, k], later[:, k]) for k in range(later.shape[1])]
    figures: dict[str, object] = {
        "format": FORMAT,
        "frames": frames,
        "hours": hours,
        "seed": seed,
        "grid": grid is not None,
        "heard_frames": sums.count,
        "lips_r_held_back": [round(value, 4) for value in agreement[-3:]],
        "contacts_r_held_back": [round(value, 4) for value in agreement[-6:-3]],
        "articulators_r_held_back": [round(value, 4) for value in agreement[-11:-6]],
        "visemes_r_held_back": round(float(np.mean(agreement[:-11])), 4),
    }
    save_file(
        {"weight": weight.astype(np.float16), "shift": shift.astype(np.float16)},
        output,
        metadata={"visavis": json.dumps(figures)},
    )
    return figures


class Sums:
    """What ridge regression needs to know of all pairs."""

    def __init__(self) -> None:
        self.count = 0
        self._products: NDArray[np.float64] = np.zeros((0, 0))
        self._answers: NDArray[np.float64] = np.zeros((0, 0))
        self._squares: NDArray[np.float64] = np.zeros(0)

    def add(self, known: Float, later: Float) -> None:
        given = np.column_stack([known, np.ones(len(known), np.float32)])
        if not self.count:
            self._products = np.zeros((given.shape[1], given.shape[1]))
            self._answers = np.zeros((given.shape[1], later.shape[1]))
            self._squares = np.zeros(later.shape[1])
        self._products += given.T @ given
        self._answers += given.T @ later
        self._squares += (later.astype(np.float64) ** 2).sum(0)
        self.count += len(known)

    def solve(self) -> tuple[Float, Float]:
        """[K, 22] weights and [22] constants, inputs held back by their spread.

        What is guessed varies as much as what is said: the least squares alone would guess nearer
        to the mean, and lips would neither close nor open fully.
        """
        count = self.count
        mean = self._products[-1, :-1] / count
        variance = np.diag(self._products)[:-1] / count - mean**2
        held = np.append(_RIDGE * np.maximum(variance, 1e-6), 0.0)
        both = np.linalg.solve(self._products + np.diag(held), self._answers)
        answer = self._answers[-1] / count
        guessed = np.einsum("ik,ij,jk->k", both, self._products, both) / count - answer**2
        said = self._squares / count - answer**2
        gain = np.sqrt(said / np.maximum(guessed, 1e-9))
        shift = answer + gain * (both[-1] - answer)
        return (both[:-1] * gain).astype(np.float32), shift.astype(np.float32)


def _sounds(grid: Path | None, hours: float, seed: int) -> Iterator[Float]:
    """Each of about half a minute, as a microphone may hear it."""
    chance = np.random.default_rng(seed)
    for sound, _ in streams(list(make_corpus(hours, seed)), chance):
        yield as_heard(sound, chance)
        if chance.random() < 0.1:  # noise alone
            yield as_heard(np.zeros(_QUIET_S * AUDIO_RATE, np.float32), chance)
    if grid is None:
        return
    clips = training_clips(grid)
    order = chance.permutation(len(clips))
    for first in range(0, len(order), _SENTENCES):
        said = [read_sound(clips[index].sound) for index in order[first : first + _SENTENCES]]
        sound = np.concatenate(said)
        yield sound
        yield as_heard(sound, chance)


@torch.no_grad()
def _frames(
    model: SpeechModel, readouts: list[LipReadout], scale: tuple[float, float], sound: Float
) -> Float:
    """[T, W + 22] the encoder's stream, outputs and lips."""
    silence = np.zeros(_LEAD * FRAME, np.float32)
    heard = extract(np.concatenate([silence, sound]), FeatureState()).values
    stream = model.hidden(torch.from_numpy((heard - scale[0]) / scale[1])[None])
    outputs = model.leave(stream)
    said = torch.cat([stream, outputs], -1)
    lips = torch.stack([readout(said) for readout in readouts]).mean(0)
    return torch.cat([said, lips], -1)[0, _LEAD:].numpy().astype(np.float32)


def pairs_of(frames: Float, ahead: int) -> tuple[Float, Float]:
    """[T', K] what is known at a frame, and [T', 22] what is said `ahead` frames later."""
    oldest, count = max(PAST), len(frames) - max(PAST) - ahead
    known = np.concatenate([frames[oldest - ago :][:count] for ago in PAST], 1)
    return known, np.ascontiguousarray(frames[oldest + ahead :][:count, -(OUTPUTS + len(LIPS)) :])


def _scale(metadata: Mapping[str, object]) -> tuple[float, float]:
    mean, spread = metadata["mean"], metadata["spread"]
    assert isinstance(mean, float)
    assert isinstance(spread, float)
    return mean, spread


def _r(one: Float, other: Float) -> float:
    return float(np.corrcoef(one, other)[0, 1])
