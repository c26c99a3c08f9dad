"""What `visavis evaluate motion` is given: voices, films of people talking, labelled sentences."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.bundled import SAMPLE_LINE
from app.commands.motion_evaluation import MotionEvaluation
from app.seen_face import face_in_film
from app.sound_file import examine_sound, read_blocks
from avatar.errors import SoundError, VideoError, VisavisError
from avatar.head.template import HeadTemplate, load_template
from avatar.training.grid import lips_of
from avatar.training.lip_trials import Clip, Sentence, read_sentences
from avatar.training.score import RealLips
from avatar.training.takes import Sound, Takes
from avatar.types import AUDIO_RATE, Float

SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".mp4", ".mov", ".webm", ".mkv", ".mpg")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg")
_QUICK_SOUNDS, _QUICK_S = 2, 4.0
_LONG_TAKE_S, _QUICK_TAKE_S = 15.0, 7.6
"""Of what is said while the face is asked to look elsewhere, or to stay still."""
_PAUSE_S = 0.4
_LEAST_LEVEL = 1e-4
_FURTHEST_OFFSET_S = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """What all parts work with."""

    task: MotionEvaluation
    sounds: list[Sound]
    clips: list[Clip]
    sentences: list[Sentence]
    takes: Takes
    template: HeadTemplate

    @property
    def long(self) -> Sound:
        """The sounds one after the other, over and over, to a length that shows slow things."""
        pause = np.zeros(round(_PAUSE_S * AUDIO_RATE), np.float32)
        joined = np.concatenate([part for one in self.sounds for part in (one.samples, pause)])
        seconds = _QUICK_TAKE_S if self.task.quick else _LONG_TAKE_S
        return Sound("all", np.resize(joined, round(seconds * AUDIO_RATE)))


def read_material(task: MotionEvaluation) -> Material:
    """Read everything that the parts asked for need, and follow the faces of the films.

    Raises:
        VisavisError: a folder, a sound or a film cannot be used.
    """
    sentences, clips = _sentences(task), _clips(task)
    return Material(
        task=task,
        sounds=_sounds(task, clips, sentences),
        clips=clips,
        sentences=sentences,
        takes=Takes(seed=task.seed),
        template=load_template(),
    )


def _files(folder: Path, endings: tuple[str, ...], flag: str) -> list[Path]:
    if not folder.exists():
        raise VisavisError(f"{folder}: no such file or folder. Name one with {flag}.")
    if not folder.is_dir():
        return [folder]
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not found:
        raise VisavisError(f"{folder}: the folder holds none of {', '.join(endings)} ({flag}).")
    return found


def _samples(path: Path) -> Float:
    examine_sound(path)
    samples = np.concatenate([np.zeros(0, np.float32), *read_blocks(path)])
    if not np.abs(samples).max(initial=0) > _LEAST_LEVEL:
        raise SoundError(f"{path}: holds only silence. Give a file in which somebody speaks.")
    return samples


def _sounds(task: MotionEvaluation, clips: list[Clip], sentences: list[Sentence]) -> list[Sound]:
    if task.sounds is not None:
        paths = _files(task.sounds, SOUNDS, "--sounds")
        if task.quick:
            paths = paths[:_QUICK_SOUNDS]
        found = [Sound(path.name, _samples(path)) for path in paths]
    else:
        found = [*(clip.sound for clip in clips), *(one.sound for one in sentences)]
        found = found or [Sound(SAMPLE_LINE.name, _samples(SAMPLE_LINE))]
    if not task.quick:
        return found
    return [one.first(_QUICK_S) for one in found[:_QUICK_SOUNDS]]


def _sentences(task: MotionEvaluation) -> list[Sentence]:
    if task.labelled is None:
        return []

    if not task.labelled.is_dir():
        raise VisavisError(f"{task.labelled}: no such folder. Name one with --labelled.")
    sentences = read_sentences(task.labelled)
    if task.quick:
        sentences = [one.first(_QUICK_S) for one in sentences[:_QUICK_SOUNDS]]
    return sentences


def _clips(task: MotionEvaluation) -> list[Clip]:
    """The films whose face can be followed; one that cannot is told of and passed over."""
    needed = {"lips", "control", "rig"} & set(task.parts) or task.sounds is None
    if task.talking is None or not needed:
        return []

    videos = _files(task.talking, VIDEOS, "--talking")
    offsets = _offsets(task.talking)
    seconds = _QUICK_S if task.quick else float("inf")
    clips = []
    for video in videos[:_QUICK_SOUNDS] if task.quick else videos:
        try:
            seen, samples = face_in_film(video, seconds), _samples(video)
        except (VideoError, SoundError) as error:
            if len(videos) == 1:
                raise
            print(f"passed over: {error}", file=sys.stderr)
            continue
        lips = lips_of(seen.landmarks)
        real = RealLips(video.name, samples, seen.fps, lips, offsets.get(video.name, 0.0))
        clip = Clip(sound=Sound(video.name, samples), real=real)
        clips.append(clip.first(seconds) if task.quick else clip)
    if not clips:
        raise VideoError(f"{task.talking}: none of its films shows a face that can be followed.")
    return clips


def _offsets(folder: Path) -> dict[str, float]:
    path = (folder if folder.is_dir() else folder.parent) / "offsets.json"
    if not path.exists():
        print(f"{path}: missing, sound and picture count as in step", file=sys.stderr)
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        offsets = {str(name): float(offset) for name, offset in read.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise VideoError(
            f'{path}: expected {{"NAME.mp4": seconds, ...}}, got something else ({error}).'
        ) from error
    if not all(abs(offset) < _FURTHEST_OFFSET_S for offset in offsets.values()):
        raise VideoError(f"{path}: offsets of 10 s and more. Expected seconds, such as 0.04.")
    return offsets
