"""The motion corpus: what a face does to what is heard, fifty times a second.

Speech with known phone times (`avatar.training.corpus`) and sentences of GRID with tracked lips
(`avatar.training.grid`) are laid into streams with pauses, some of them long: then the face
listens. The encoder hears each stream through a random room. What the lips should do is the rule
of the phones' exact times, mixed with what the encoder's readout of real lips says of the clean
sound, or GRID's own tracked lips. What the rest of the face does is a performance
(`avatar.training.performance`), drawn anew each time a stream is used.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from avatar.errors import AssetError
from avatar.motion.latent import Face
from avatar.speech.articulation import (
    LIP_SCALES,
    REAL_LIPS_SHARE,
    contacts_of,
    speech_gate,
)
from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.hearing import heard_of
from avatar.training.corpus import Utterance, make_corpus
from avatar.training.grid import PICTURE_LATE_S, TRACK_RATE, standard_lips, training_clips
from avatar.training.performance import (
    SPEECH_NAMES,
    Speech,
    draw_script,
    draw_style,
    perform,
    tongue_of,
)
from avatar.training.phones import ARTICULATORS, PHONE_CLASSES, SILENCE, targets_of
from avatar.training.recordings import read_sound
from avatar.training.speech_model import LOOK_AHEAD, LipReadout, SpeechModel, run_both
from avatar.training.train_speech import as_heard
from avatar.types import AUDIO_RATE, MOTION_RATE, Float

log = logging.getLogger(__name__)

_STREAM_S = 45.0
_LONG_PAUSE = 0.10
"""Share of pauses in which the face listens for 4 to 14 s."""
_LEAD = 150
"""Frames of silence that the encoder hears before a stream: more than it remembers."""
_CONTACTS = ARTICULATORS.index("closure")


Encoder = tuple[SpeechModel, Sequence[LipReadout]]


@dataclass(frozen=True, slots=True)
class Stream:
    """Some 45 s of sound, and what the mouth does to it."""

    sound: Float
    """[n] at 16 kHz."""
    segments: list[tuple[float, float, int]]
    """Start s, end s, phone; empty where the phones are not known."""
    lips: Float | None
    """[F, 3] aperture, width, jaw as articulators, nan where unknown; None without tracks."""


@dataclass(frozen=True, slots=True)
class MotionCorpus:
    """F frames of streams laid end to end; a stream begins where `begins` is set."""

    heard: NDArray[np.float16]
    """[F, 23] `avatar.speech.hearing`."""
    asked: NDArray[np.float16]
    """[F, 12] emotion, gaze (rad), distance (m), articulation."""
    expression: NDArray[np.float16]
    """[F, 52]"""
    tongue: NDArray[np.float16]
    pose: NDArray[np.float32]
    """[F, 8] gaze, head rotation (rad), head translation (m)."""
    begins: NDArray[np.bool_]
    tracked: NDArray[np.bool_]
    """[F] whether the lips are those of a tracked face, not made by rule."""

    def face(self) -> Face:
        """All of it as faces."""
        return Face(
            self.expression.astype(np.float32),
            self.tongue.astype(np.float32),
            self.pose[:, :2],
            self.pose[:, 2:5],
            self.pose[:, 5:],
        )


def synthetic_streams(
    utterances: Sequence[Utterance], chance: np.random.Generator
) -> Iterator[Stream]:
    """Utterances in random order with pauses between."""
    sound: list[Float] = []
    segments: list[tuple[float, float, int]] = []
    clock = 0.0
    for index in chance.permutation(len(utterances)):
        utterance = utterances[index]
        pause = _pause(chance)
        sound.append(np.zeros(int(pause * AUDIO_RATE), np.float32))
        segments.append((clock, clock + pause, SILENCE))
        clock += len(sound[-1]) / AUDIO_RATE
        sound.append(utterance.samples * 10 ** np.float32(chance.uniform(-8, 0) / 20))
        segments += [
            (clock + a, clock + b, int(p))
            for a, b, p in zip(utterance.starts_s, utterance.ends_s, utterance.phones, strict=True)
        ]
        clock += len(utterance.samples) / AUDIO_RATE
        if clock > _STREAM_S:
            yield Stream(np.concatenate(sound), segments, None)
            sound, segments, clock = [], [], 0.0


def _pause(chance: np.random.Generator) -> float:
    long = chance.random() < _LONG_PAUSE
    return float(chance.uniform(4, 14) if long else chance.uniform(0.1, 1.5))


def grid_streams(folder: Path, chance: np.random.Generator) -> Iterator[Stream]:
    """GRID's training speaker, or the speakers of a user's own films, clip after clip with pauses,
    with what their lips did.

    Raises:
        AssetError: the folder does not hold clips with their tracks, or too few.
    """
    clips = training_clips(folder)
    tracks = standard_lips(clips)
    sounds: list[Float] = []
    lips: list[Float] = []
    frames = 0
    for index in chance.permutation(len(clips)):
        standard = tracks[index]
        sound = read_sound(clips[index].sound)
        count = len(sound) // FRAME
        times = (np.arange(count) + 0.5) / MOTION_RATE - PICTURE_LATE_S
        video = np.arange(len(standard)) / TRACK_RATE
        moved = [np.interp(times, video, c, left=np.nan, right=np.nan) for c in standard.T]
        scaled = [
            centre + size * column
            for (centre, size), column in zip(LIP_SCALES.values(), moved, strict=True)
        ]
        pause = int(_pause(chance) * MOTION_RATE)
        sounds += [np.zeros(pause * FRAME, np.float32), sound[: count * FRAME]]
        lips += [np.full((pause, 3), np.nan, np.float32), np.stack(scaled, 1).astype(np.float32)]
        frames += pause + count
        if frames > _STREAM_S * MOTION_RATE:
            yield Stream(np.concatenate(sounds), [], np.concatenate(lips))
            sounds, lips, frames = [], [], 0


@torch.no_grad()
def encode(
    encoder: Encoder, scale: tuple[float, float], sound: Float
) -> tuple[Float, Float, Float]:
    """[F, 19] outputs, [F, 3] lips and [F] loudness of the frames of `sound`, look-ahead undone."""
    frames = len(sound) // FRAME
    silence = np.zeros(_LEAD * FRAME, np.float32)
    after = np.zeros(LOOK_AHEAD * FRAME, np.float32)
    heard = extract(np.concatenate([silence, sound[: frames * FRAME], after]), FeatureState())
    values = torch.from_numpy((heard.values - scale[0]) / scale[1])[None]
    outputs, lips = run_both(*encoder, values)
    said = slice(_LEAD + LOOK_AHEAD, _LEAD + LOOK_AHEAD + frames)
    return (
        outputs[0, said].numpy(),
        lips[0, said].numpy(),
        heard.loudness[_LEAD : _LEAD + frames],
    )


def mouth_of(stream: Stream, outputs: Float, lips: Float) -> tuple[Speech, Float | None]:
    """What the organs of speech do, from exact phones or tracked lips, else from clean sound.

    Also the tongue's shapes, [F, 3], where the phones are known.
    """
    frames = len(outputs)
    classes = len(PHONE_CLASSES)
    odds = np.exp(outputs[:, :classes] - outputs[:, :classes].max(1, keepdims=True))
    activity = 1 - odds[:, 0] / odds.sum(1)
    organs = outputs[:, classes:].copy()
    organs[:, _CONTACTS:] = contacts_of(outputs)
    tongue = None
    if stream.segments:
        starts, ends, phones = (np.array(column) for column in zip(*stream.segments, strict=True))
        targets = targets_of(starts, ends, phones, frames)
        organs = targets.articulators.copy()
        tongue = tongue_of(starts, ends, phones, frames)
        activity = _softened((targets.viseme > 0).astype(np.float32), 5)
    real = np.stack(
        [
            mean + spread * column
            for (mean, spread), column in zip(LIP_SCALES.values(), lips.T, strict=True)
        ],
        1,
    )
    share = np.full((frames, 3), REAL_LIPS_SHARE, np.float32)
    if stream.lips is not None:
        known = np.isfinite(stream.lips[:frames])
        real = np.where(known, np.nan_to_num(stream.lips[:frames]), real)
        share = np.where(known, 1.0, share)
    columns = [ARTICULATORS.index(name) for name in LIP_SCALES]
    organs[:, columns] += share * (real - organs[:, columns])
    lowest = np.where(np.array(ARTICULATORS) == "width", -1, 0)
    organs = np.clip(organs, lowest, 1) * speech_gate(activity)[:, None]
    organs = organs.astype(np.float32)
    organs[:, :_CONTACTS] = _softened(organs[:, :_CONTACTS], 3)
    named = {name: organs[:, i] for i, name in enumerate(ARTICULATORS)} | {"activity": activity}
    values = np.stack([named[name] for name in SPEECH_NAMES], 1).astype(np.float32)
    return Speech(values), tongue


def make_motion_corpus(
    hours: float,
    grid: Path | None,
    encoder: Encoder,
    scale: tuple[float, float],
    seed: int,
    passes: int,
) -> MotionCorpus:
    """`hours` of synthetic speech and all of GRID, `passes` times with other rooms and lives.

    Raises:
        AssetError: a synthesiser, a text or GRID is not there.
    """
    chance = np.random.default_rng(seed)
    utterances = list(make_corpus(hours, seed))
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for number in range(passes):
        pool = list(synthetic_streams(utterances, chance))
        if grid is not None:
            pool += list(grid_streams(grid, chance))
        for stream in track(pool, f"performing, pass {number + 1} of {passes}"):
            parts.append(_performed(stream, encoder, scale, chance))
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return MotionCorpus(*columns)  # pyright: ignore


def _performed(
    stream: Stream,
    encoder: Encoder,
    scale: tuple[float, float],
    chance: np.random.Generator,
) -> tuple[NDArray[np.generic], ...]:
    outputs, lips, loudness = encode(encoder, scale, stream.sound)
    speech, tongue = mouth_of(stream, outputs, lips)
    clean_loudness = loudness
    if chance.random() < 0.85:
        outputs, lips, loudness = encode(encoder, scale, as_heard(stream.sound, chance))
    frames = len(outputs)
    script = draw_script(frames, chance)
    style = draw_style(chance)
    performance = perform(speech, clean_loudness, tongue, script, style, chance)
    clarity = np.full((frames, 1), style.articulation, np.float32)
    begins = np.zeros(frames, bool)
    begins[0] = True
    return (
        heard_of(outputs, lips, loudness).astype(np.float16),
        np.concatenate([script.emotion, script.gaze, script.distance[:, None], clarity], 1).astype(
            np.float16
        ),
        performance.expression.astype(np.float16),
        performance.tongue.astype(np.float16),
        np.concatenate(
            [performance.gaze, performance.head_rotation, performance.head_translation], 1
        ).astype(np.float32),
        begins,
        np.full(frames, stream.lips is not None),
    )


_FIELDS = ("heard", "asked", "expression", "tongue", "pose", "begins", "tracked")


def save_corpus(path: Path, corpus: MotionCorpus, recipe: dict[str, object]) -> None:
    """Write beside `path`, then rename."""
    beside = path.with_suffix(".part")
    save_file(
        {name: np.ascontiguousarray(getattr(corpus, name)) for name in _FIELDS},
        beside,
        metadata={"visavis": json.dumps(recipe, sort_keys=True)},
    )
    beside.replace(path)


def load_corpus(path: Path) -> MotionCorpus:
    """What `save_corpus` wrote.

    Raises:
        AssetError: it cannot be read.
    """
    try:
        tensors = load_file(path)
        return MotionCorpus(**{name: tensors[name] for name in _FIELDS})  # pyright: ignore
    except (OSError, SafetensorError, KeyError) as error:
        raise AssetError(
            f"{path}: no motion corpus ({error}). Delete it and start again"
        ) from error


def _softened(values: NDArray[np.float32], frames: int) -> Float:
    """Averaged over an odd number of frames with a triangle, edges held."""
    kernel = np.convolve(np.ones((frames + 1) // 2), np.ones((frames + 1) // 2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    half = len(kernel) // 2
    flat = values[:, None] if values.ndim == 1 else values
    padded = np.pad(flat.astype(np.float32), ((half, half), (0, 0)), "edge")
    soft = sum(k * padded[i : i + len(flat)] for i, k in enumerate(kernel))
    soft = np.asarray(soft, np.float32)
    return soft[:, 0] if values.ndim == 1 else soft
