"""Real speech with tracked lips: GRID, and what its speakers' lips teach the network.

GRID audiovisual sentence corpus: Cooke, Barker, Cunningham, Shao 2006, doi 10.5281/zenodo.3625687,
CC BY 4.0. The folder holds `clips.csv` (clip, speaker, ...), `tracks_*.npz` (FaceMesh landmarks of
each clip at 25 fps, eighths of a pixel, stored as byte planes of differences) and `audio/*.flac`.

Half an hour of one speaker with a small grammar teaches how far and how early real lips move, and
soon after that its own sentences. So each step mixes it with synthetic speech; the steps are few.
"""

import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import scipy.signal
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avatar.errors import AssetError
from avatar.speech.articulation import LIP_SCALES
from avatar.speech.features import BANDS, FRAME, FeatureState, extract
from avatar.speech.network import WEIGHTS_FORMAT
from avatar.tracking.lips import lips_of
from avatar.training.corpus import make_corpus
from avatar.training.phones import ARTICULATORS
from avatar.training.recordings import read_sound
from avatar.training.speech_model import (
    LIPS,
    LOOK_AHEAD,
    LipReadout,
    SpeechModel,
    load_weights,
    run_both,
    save_weights,
)
from avatar.training.train_speech import (
    WARM_UP,
    Examples,
    as_heard,
    crops,
    examples_of,
    measure,
    speech_loss,
    vary_features,
)
from avatar.types import AUDIO_RATE, MOTION_RATE, Float

log = logging.getLogger(__name__)

TRACK_RATE = 25.0
PICTURE_LATE_S = 0.02
"""A track sampled at video time t lines up with the sound at t + this."""
TRAINING_SPEAKER = "s1"
"""All other speakers stay out of training: they are the check."""
_HELD_BACK = 39
_LEAST_CLIPS = 2
_LEAD = 50
"""Frames of silence before each clip, in which the level control and the network settle."""


@dataclass(frozen=True, slots=True)
class GridClip:
    """One sentence."""

    name: str
    speaker: str
    sound: Path
    landmarks: Float
    """[T, 478, 3] pixels, nan where no face was found."""


@dataclass(frozen=True, slots=True)
class LipExample:
    """One clip as the network hears it, and what the speaker's lips did."""

    features: Float
    """[LEAD + F + LOOK_AHEAD, 160]"""
    lips: Float
    """[F, 3] `LIPS` in standard deviations, nan where unknown."""


def grid_clips(folder: Path, speaker: str | None = None) -> Iterator[GridClip]:
    """The clips of one speaker (None: of all).

    Raises:
        AssetError: the folder does not hold what it should.
    """
    try:
        with (folder / "clips.csv").open(encoding="utf8") as file:
            speakers = {row["clip"]: row["speaker"] for row in csv.DictReader(file)}
        for path in sorted(folder.glob("tracks_*.npz")):
            with np.load(path) as tracks:
                for name in tracks.files:
                    if speaker in (None, speakers[name]):
                        sound = folder / "audio" / f"{name}.flac"
                        yield GridClip(name, speakers[name], sound, _landmarks(tracks[name]))
    except (OSError, KeyError, ValueError) as error:
        raise AssetError(
            f"{folder}: expected GRID with its tracks (clips.csv, tracks_*.npz, audio): {error}"
        ) from error


def training_clips(folder: Path) -> list[GridClip]:
    """The clips to learn from: of GRID one speaker's; of a user's own films all.

    Raises:
        AssetError: the folder does not hold what it should, or too few clips.
    """
    clips = list(grid_clips(folder))
    own = [clip for clip in clips if clip.speaker == TRAINING_SPEAKER] or clips
    if len(own) < _LEAST_CLIPS:
        raise AssetError(
            f"{folder}: {len(own)} clips, expected {_LEAST_CLIPS} or more. Track more films with: "
            "visavis train videos"
        )
    return own


def _landmarks(planes: NDArray[np.uint8]) -> Float:
    """Undo the byte planes and the differences along time."""
    differences = np.ascontiguousarray(planes.transpose(1, 2, 3, 0)).view(np.int16)[..., 0]
    points = np.cumsum(differences.transpose(2, 0, 1).astype(np.int32), axis=0)
    pixels: Float = points.astype(np.int16).astype(np.float32)
    pixels[pixels <= -16000] = np.nan
    return pixels / np.float32(8)


def lip_examples(clips: Sequence[GridClip], generator: np.random.Generator) -> list[LipExample]:
    """Each clip three times: as it is, and twice as another voice in another room."""
    examples = []
    for clip, standard in zip(clips, standard_lips(clips), strict=True):
        sound = read_sound(clip.sound)
        for version in range(3):
            speed = float(generator.uniform(0.85, 1.22)) if version else 1.0
            examples.append(_lip_example(sound, standard, speed, generator if version else None))
    return examples


def standard_lips(clips: Sequence[GridClip]) -> list[NDArray[np.float64]]:
    """[T, 3] of each clip, in standard deviations of its speaker about the speaker's mean."""
    tracks = [lips_of(clip.landmarks) for clip in clips]
    scales = {}
    for speaker in sorted({clip.speaker for clip in clips}):
        pairs = zip(clips, tracks, strict=True)
        everything = np.concatenate([track for clip, track in pairs if clip.speaker == speaker])
        scales[speaker] = np.nanmean(everything, 0), np.nanstd(everything, 0)
    standardised = []
    for clip, track in zip(clips, tracks, strict=True):
        mean, spread = scales[clip.speaker]
        standard = (track - mean) / spread
        # the head's pose shifts width and jaw from clip to clip; a closed mouth is always closed
        standard[:, 1:] -= np.nanmean(standard[:, 1:], 0)
        standardised.append(standard)
    return standardised


def _lip_example(
    sound: Float, track: NDArray[np.float64], speed: float, generator: np.random.Generator | None
) -> LipExample:
    """`speed` plays the sound faster: pitch, formants and tempo rise together."""
    rate = round(AUDIO_RATE / speed / 100) * 100
    divisor = gcd(rate, AUDIO_RATE)
    if rate != AUDIO_RATE:
        sound = scipy.signal.resample_poly(sound, rate // divisor, AUDIO_RATE // divisor)
    speed = AUDIO_RATE / rate
    frames = len(sound) // FRAME
    lead, tail = np.zeros(_LEAD * FRAME, np.float32), np.zeros(LOOK_AHEAD * FRAME, np.float32)
    heard: Float = np.concatenate([lead, sound, tail], dtype=np.float32)
    if generator is not None:
        heard = as_heard(heard, generator)
    features = extract(heard, FeatureState()).values[: _LEAD + frames + LOOK_AHEAD]
    times = (np.arange(frames) + 0.5) / MOTION_RATE * speed - PICTURE_LATE_S
    video = np.arange(len(track)) / TRACK_RATE
    lips = np.stack(
        [np.interp(times, video, column, left=np.nan, right=np.nan) for column in track.T], 1
    )
    return LipExample(features, lips.astype(np.float32))


def rule_lips(articulators: Tensor) -> Tensor:
    """[B, T, 3] what the phone rule says, in the readout's unit."""
    columns = []
    for name in LIPS:
        mean, spread = LIP_SCALES[name]
        columns.append((articulators[..., ARTICULATORS.index(name)] - mean) / spread)
    return torch.stack(columns, -1)


def lip_loss(said: Tensor, truth: Tensor) -> Tensor:
    """Half the squared error, and 1 - r of each clip (how far lips go is each speaker's own)."""
    known = torch.isfinite(truth)
    truth = torch.nan_to_num(truth)
    count = known.sum(1, keepdim=True).clamp(min=1)
    squared = ((said - truth).pow(2) * known).sum() / known.sum().clamp(min=1)
    a = (said - (said * known).sum(1, keepdim=True) / count) * known
    b = (truth - (truth * known).sum(1, keepdim=True) / count) * known
    r = (a * b).sum(1) / (a.pow(2).sum(1).sqrt() * b.pow(2).sum(1).sqrt() + 1e-6)
    return 0.5 * squared + (1 - r).mean()


@dataclass(frozen=True, slots=True)
class LipTasks:
    """How long the stages of `fit_lips` take, in steps."""

    readout: int = 250
    """A readout alone, on the frozen network."""
    tuning: int = 200
    """Both together."""
    more_readouts: int = 2
    """Number of further readouts, on the network that came of this."""
    more_steps: int = 160
    """Of each of them."""


def fit_lips(
    weights: Path, grid: Path, hours: float, tasks: LipTasks, seed: int, output: Path
) -> dict[str, object]:
    """Fit a readout to GRID on the frozen network, tune both, add more readouts; write `output`.

    `hours` of synthetic speech are mixed in, half of every batch of the first two stages. Readouts
    that the weights bring along stay where `tasks.readout` is 0. Returns the metadata written.

    Raises:
        AssetError: a file of weights, the corpus' programs or GRID are not there.
    """
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    chance = np.random.default_rng(seed)
    model, readouts, metadata = load_weights(weights)
    mean, spread = float(metadata["mean"]), float(metadata["spread"])  # pyright: ignore
    clips = training_clips(grid)
    chance.shuffle(clips)  # pyright: ignore[reportArgumentType]
    held = min(_HELD_BACK, max(1, len(clips) // 4))
    training = lip_examples(clips[held:], chance)
    check = lip_examples(clips[:held], chance)[::3]  # as recorded
    done: dict[str, object] = {"lips": metadata.get("lips", {}), **metadata}

    def keep(**figures: object) -> dict[str, object]:
        done.update(
            format=WEIGHTS_FORMAT,
            grid_held_back=lip_scores(model, readouts, check, mean, spread),
            **figures,
        )
        save_weights(output, model, readouts, done)
        return done

    if tasks.readout or tasks.tuning:
        synthetic = examples_of(list(make_corpus(hours, seed + 1)), chance, passes=1, clean=False)
        cut = len(synthetic) * 19 // 20
        held_back = _part(synthetic, slice(cut, None))
        synthetic = _part(synthetic, slice(cut))
        if tasks.readout or not readouts:
            readouts = [LipReadout(model.width)]

        def mixed() -> Tensor:
            return _mixed_loss(model, readouts, training, synthetic, (mean, spread), draw)

        for rate, steps, tuned in ((2e-3, tasks.readout, False), (2.5e-4, tasks.tuning, True)):
            model.requires_grad_(tuned)
            parameters = [*readouts[0].parameters(), *(model.parameters() if tuned else ())]
            for step, loss in _descend(parameters, rate, steps, mixed):
                lips = {"tuning" if tuned else "readout": step, "seed": seed}
                figures = keep(
                    lips={**_as_dict(done["lips"]), **lips},
                    synthetic=measure(model, held_back, mean, spread),
                )
                log.info("step %d, loss %.3f: %s", step, loss, figures)
    _add_readouts(model, readouts, training[::3], tasks, (mean, spread), draw)
    if tasks.more_readouts:
        more = {"more_readouts": tasks.more_readouts, "more_steps": tasks.more_steps}
        keep(lips={**_as_dict(done["lips"]), **more})
    return keep()


def _as_dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value  # pyright: ignore[reportUnknownVariableType]


def _part(examples: Examples, rows: slice) -> Examples:
    return Examples(examples.features[rows], examples.viseme[rows], examples.articulators[rows])


def _descend(
    parameters: list[nn.Parameter], rate: float, steps: int, loss_of: Callable[[], Tensor]
) -> Iterator[tuple[int, float]]:
    """AdamW, warm start, cosine; every 50 steps and at the end, the step and its loss."""
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=0.02)
    for step in range(1, steps + 1):
        share = min(1.0, step / 20) * 0.5 * (1 + np.cos(np.pi * step / (steps + 1)))
        for group in optimiser.param_groups:
            group["lr"] = rate * share
        loss = loss_of()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 50 == 0 or step == steps:
            yield step, loss.item()


def _add_readouts(
    model: SpeechModel,
    readouts: list[LipReadout],
    clean: Sequence[LipExample],
    tasks: LipTasks,
    scale: tuple[float, float],
    draw: torch.Generator,
) -> None:
    """Further readouts, each on its own: the mean of several follows strangers' lips better.

    They hear the sentences as recorded, lose much of what they hear to dropout, and stop early:
    longer training, or other voices and rooms, followed strangers' lips less well.
    """
    if not tasks.more_readouts:
        return
    model.requires_grad_(False)
    heard = [_activations(model, one, scale) for one in clean]
    for index in range(tasks.more_readouts):
        readout = LipReadout(model.width, input_dropout=0.3, dropout=0.2)

        def loss_of(readout: LipReadout = readout) -> Tensor:
            chosen = torch.randint(len(clean), (12,), generator=draw).tolist()
            frames = min(len(clean[i].lips) for i in chosen)
            values = torch.stack([heard[i][: _LEAD + LOOK_AHEAD + frames] for i in chosen])
            lips = torch.from_numpy(np.stack([clean[i].lips[:frames] for i in chosen]))
            return lip_loss(readout(values)[:, _LEAD + LOOK_AHEAD :], lips)

        for step, loss in _descend(list(readout.parameters()), 2e-3, tasks.more_steps, loss_of):
            log.info("readout %d more, step %d, loss %.3f", index + 1, step, loss)
        readouts.append(readout)


@torch.no_grad()
def _activations(model: SpeechModel, one: LipExample, scale: tuple[float, float]) -> Tensor:
    """[T, width + 19] what a readout hears of a clip."""
    mean, spread = scale
    hidden = model.hidden(torch.from_numpy((one.features[None] - mean) / spread))
    return torch.cat([hidden, model.leave(hidden)], -1)[0]


def _mixed_loss(
    model: SpeechModel,
    readouts: Sequence[LipReadout],
    training: Sequence[LipExample],
    synthetic: Examples,
    scale: tuple[float, float],
    draw: torch.Generator,
) -> Tensor:
    """Real lips for the readout; synthetic speech for both, so that neither forgets."""
    mean, spread = scale
    chosen = [training[i] for i in torch.randint(len(training), (16,), generator=draw).tolist()]
    frames = min(len(one.lips) for one in chosen)
    values = torch.from_numpy(
        np.stack([one.features[: _LEAD + frames + LOOK_AHEAD] for one in chosen])
    )
    lips = torch.from_numpy(np.stack([one.lips[:frames] for one in chosen]))
    values = (_shift_bands(vary_features(values, draw), draw) - mean) / spread
    features, viseme, articulators = crops(synthetic, draw, batch=16)
    heard = (vary_features(features, draw) - mean) / spread
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, said = run_both(model, readouts, values)
        outputs, ruled = run_both(model, readouts, heard)
    real = lip_loss(said.float()[:, _LEAD + LOOK_AHEAD :], lips)
    kept = ruled.float()[:, LOOK_AHEAD + WARM_UP :]
    wanted = rule_lips(articulators)[:, WARM_UP : WARM_UP + kept.shape[1]]
    return (
        real
        + 0.5 * (kept - wanted).pow(2).mean()
        + 0.5 * speech_loss(outputs.float(), viseme, articulators)
    )


def _shift_bands(features: Tensor, draw: torch.Generator) -> Tensor:
    """All bands up or down by up to 4: a crude change of the vocal tract's length."""
    shift = int(torch.randint(-4, 5, (1,), generator=draw))
    parts = features.split(BANDS, -1)
    return torch.cat([torch.roll(part, shift, -1) for part in parts], -1)


@torch.no_grad()
def lip_scores(
    model: SpeechModel,
    readouts: Sequence[LipReadout],
    examples: Sequence[LipExample],
    mean: float,
    spread: float,
) -> dict[str, float]:
    """Mean r of each of `LIPS` over clips."""
    parts = (model, *readouts)
    for part in parts:
        part.eval()
    rows = []
    for one in examples:
        values = torch.from_numpy((one.features[None] - mean) / spread)
        said = run_both(model, readouts, values)[1][0, _LEAD + LOOK_AHEAD :].numpy()
        known = np.isfinite(one.lips).all(1)
        rows.append(
            [np.corrcoef(said[known, i], one.lips[known, i])[0, 1] for i in range(len(LIPS))]
        )
    for part in parts:
        part.train()
    return dict(zip(LIPS, np.nanmean(rows, 0).round(3).tolist(), strict=True))
