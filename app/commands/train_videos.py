"""`visavis train videos`: films of people who talk become tracked speech to train on."""

import csv
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import av
import numpy as np
import tyro
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from rich.console import Console

from app.output_file import written_beside
from app.score_table import ScoreTable, number
from app.sound_file import examine_sound
from app.talking_face import TalkingFace, disagreement, watch
from avatar.errors import OutputError, SoundError, VideoError
from avatar.speech.network import SpeechNetwork, load_network
from avatar.types import AUDIO_RATE, Float

VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg")
_DONE = "done"
_COLUMNS = ("clip", "speaker", "words")


@dataclass(frozen=True, kw_only=True)
class VideoTracking:
    """Track the faces of your own films, so that lips and motion can be trained on them.

    Each film is of one person; those of one person may lie in a folder of that person's. Stretches
    without a face, with a small or turned one, with cuts, or with lips that do not speak the sound
    are left out. What is written is read by `train lips --grid` and `train motion --grid`. Films
    that were done are passed over when it is started again.

    For example:
      visavis train videos films -o tracked
    """

    videos: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DIR")]
    """The folder of films."""
    output: Annotated[Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="TRACKED")]
    """The folder to write: clips.csv, tracks_*.npz, audio/*.flac. It holds no pictures."""


def track_videos(task: VideoTracking) -> Mapping[str, object]:
    """Track all films, with a table at the end; gives the figures.

    Raises:
        VideoError: the folder holds no film, or nothing of any film can be used.
        OutputError: the folder cannot be written to.
    """
    films = _films(task.videos)
    try:
        (task.output / "audio").mkdir(parents=True, exist_ok=True)
        (task.output / _DONE).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{task.output}: cannot be made ({error.strerror or error}).") from error
    network = load_network()
    for number_of, film in enumerate(films, 1):
        told = task.output / _DONE / f"{film_name(film, task.videos)}.json"
        if _is_done(told, film):
            print(f"{film}: done before", file=sys.stderr)
            continue
        print(f"{film} ({number_of} of {len(films)})", file=sys.stderr)
        _track(film, task, network, told)
    done = _ledgers(task.output, [film_name(film, task.videos) for film in films])
    _table(done).show(Console(stderr=True))
    kept_s = sum(float(one["kept_s"]) for one in done.values())
    if not kept_s:
        raise VideoError(
            f"{task.videos}: nothing of its films can be used. Use films, as they were recorded, "
            "of one person each, who talks towards the camera."
        )
    return {"films": len(done), "kept_s": round(kept_s, 1), "by_film": done}


def _films(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise VideoError(f"{folder}: no such folder. Name a folder of films.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)
    if not found:
        raise VideoError(f"{folder}: holds none of {', '.join(VIDEOS)}.")
    return found


def film_name(film: Path, folder: Path) -> str:
    """A name for its clips: letters, digits, dots and minus, no two films' the same."""
    parts = film.relative_to(folder).parts
    return "-".join(re.sub(r"[^\w.]", lambda c: f"%{ord(c[0]):x}", part) for part in parts)


def _is_done(told: Path, film: Path) -> bool:
    try:
        return json.loads(told.read_text(encoding="utf-8"))["bytes"] == film.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _track(film: Path, task: VideoTracking, network: SpeechNetwork, told: Path) -> None:
    """One film. Its ledger comes last: without it the film is done again."""
    from avatar.training.own_videos import Sorted, as_planes, sort_film

    name = film_name(film, task.videos)
    folder = film.parent.relative_to(task.videos)
    speaker = folder.as_posix() if folder.parts else name
    face: TalkingFace | None = None
    refusal = ""
    result = Sorted([], {})
    offset_s = float("nan")
    try:
        face = watch(film, network)
        offset = face.offset()
        if not offset.agrees:
            raise disagreement(film, offset)
        offset_s = offset.seconds
        result = sort_film(
            face.time_s, face.landmarks, face.turned, face.lips, face.heard, offset_s
        )
    except (VideoError, SoundError) as error:
        refusal = str(error)
        print(f"left out: {refusal}", file=sys.stderr)
    clips = [f"{name}_{index:03d}" for index in range(len(result.pieces))]
    for clip, piece in zip(clips, result.pieces, strict=True):
        assert face is not None
        with written_beside(task.output / "audio" / f"{clip}.flac") as beside:
            end = piece.first_sample + piece.samples
            write_flac(beside, face.samples[piece.first_sample : end])
    seconds = len(face.samples) / AUDIO_RATE if face is not None else _length_s(film)
    ledger = {
        "bytes": film.stat().st_size,
        "clips": {clip: speaker for clip in clips},
        "seconds": round(seconds, 2),
        "kept_s": round(result.kept_s, 2),
        "offset_s": None if np.isnan(offset_s) else offset_s,
        "rejected_s": {reason: round(s, 2) for reason, s in result.rejected_s.items()},
        "refused": refusal,
    }
    _write_clips(task.output, {**_ledgers(task.output), name: ledger})
    tracks = task.output / f"tracks_{name}.npz"
    if clips:
        planes = [as_planes(piece.landmarks) for piece in result.pieces]
        with written_beside(tracks) as beside:
            np.savez_compressed(beside, **dict(zip(clips, planes, strict=True)))  # pyright: ignore
    else:
        tracks.unlink(missing_ok=True)
    with written_beside(told) as beside:
        beside.write_text(json.dumps(ledger, indent=1), encoding="utf-8")


def _length_s(film: Path) -> float:
    try:
        return examine_sound(film).duration_s
    except SoundError:
        return 0.0


def write_flac(path: Path, samples: Float) -> None:
    """16 kHz mono, 16 bits."""
    with av.open(str(path), "w", format="flac") as container:
        stream = cast(AudioStream, container.add_stream("flac", rate=AUDIO_RATE, layout="mono"))
        stream.format = "s16"
        whole = np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
        for start in range(0, len(whole), 4096):
            block = np.ascontiguousarray(whole[None, start : start + 4096])
            frame = AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = AUDIO_RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _ledgers(output: Path, names: list[str] | None = None) -> dict[str, dict]:
    """What was told of each film done, by name."""
    found = {}
    for path in sorted((output / _DONE).glob("*.json")):
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
            if names is None or path.stem in names:
                found[path.stem] = {**read, "clips": dict(read["clips"])}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half-written by nobody of ours: the film is done again
    return found


def _write_clips(output: Path, ledgers: Mapping[str, dict]) -> None:
    with (
        written_beside(output / "clips.csv") as beside,
        beside.open("w", newline="", encoding="utf8") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for ledger in ledgers.values():
            rows.writerows((clip, speaker, "") for clip, speaker in ledger["clips"].items())


def _table(done: Mapping[str, dict]) -> ScoreTable:
    def left_out(one: dict) -> str:
        if one["refused"]:
            return "all of it, see above"
        return ", ".join(f"{reason} {s:.1f}" for reason, s in one["rejected_s"].items())

    rows = [
        (
            name,
            number(one["seconds"], 1),
            number(one["kept_s"], 1),
            "–" if one["offset_s"] is None else number(1000 * one["offset_s"], 0, signed=True),
            left_out(one),
        )
        for name, one in done.items()
    ]
    all_s, kept_s = (
        sum(float(one[what]) for one in done.values()) for what in ("seconds", "kept_s")
    )
    rows.append(("all", number(all_s, 1), number(kept_s, 1), "", ""))
    return ScoreTable(
        name="videos",
        title="Films tracked",
        columns=("film", "s", "kept", "offset ms", "left out, s"),
        rows=tuple(rows),
        note="offset: sound after picture. between bad ones: less than 2.5 s up to the next "
        "picture that cannot be used, or cut.",
    )
