"""Video files of any kind as upright pictures with their times, one after the other.

FFmpeg (through PyAV) reads them. Times are those of the file, not counted: telephones and screen
recorders film at a rate that varies. Nothing is kept: an hour
takes no more memory than a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avatar.errors import VideoError

LONGEST_SIDE = 1920
"""Pixels kept: a face is followed in 256 of them, and 4K only takes time."""
BAD_PACKETS_IN_A_ROW = 100
"""Damaged packets are skipped; after this many the rest is given up."""
_STILL_PICTURES = ("image2", "png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "gif")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What the header says; the pictures themselves may say otherwise."""

    width: int
    height: int
    """Pixels of the pictures as `read_pictures` gives them: upright, square, not too large."""
    about_frames: int
    """A guess, for a progress bar; at least 1."""
    has_sound: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One frame of a video."""

    time_s: float
    """When it is shown, on the clock on which the video's sound begins at 0."""
    pixels: NDArray[np.uint8]
    """[H, W, 3] sRGB, upright."""


def examine_video(path: Path) -> VideoFacts:
    """Look at the header and the first picture.

    Raises:
        VideoError: missing, not a video, without pictures.
    """
    with _opened(path) as (container, stream):
        first = next(_decoded(path, container, stream), None)
        if first is None:
            raise VideoError(f"{path}: holds no picture that can be read. Save it again as MP4.")
        pixels = _upright(first, stream)
        rate = float(stream.average_rate or 25)
        length_s = (container.duration or 0) / av.time_base
        return VideoFacts(
            width=pixels.shape[1],
            height=pixels.shape[0],
            about_frames=max(1, stream.frames or round(length_s * rate)),
            has_sound=bool(container.streams.audio),
        )


def read_pictures(path: Path) -> Iterator[Picture]:
    """Every picture in the order of their times, which rise strictly.

    Raises:
        VideoError: as `examine_video`; a video cut short simply ends.
    """
    last_s = -np.inf
    with _opened(path) as (container, stream):
        zero_s = _sound_start(container, stream)
        step_s = 1 / float(stream.average_rate or 25)
        for frame in _decoded(path, container, stream):
            time_s = float(frame.time) - zero_s if frame.time is not None else last_s + step_s
            if not np.isfinite(time_s):
                time_s = 0.0
            if time_s <= last_s:  # a stamp that goes back is a flaw of the file
                continue
            last_s = time_s
            yield Picture(time_s=time_s, pixels=_upright(frame, stream))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    if path.is_dir():
        raise VideoError(f"{path}: a folder, expected a video file.")
    try:
        # "file:" keeps a name with a colon in it from being read as a network address.
        container = av.open(f"file:{path}", metadata_errors="ignore")
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file. Name a video (MP4, MOV, WebM, ...).") from None
    except PermissionError:
        raise VideoError(f"{path}: may not be read (permission).") from None
    except (FFmpegError, OSError, ValueError) as error:
        raise VideoError(_not_video(path, error)) from error
    with container:
        # A sound file's cover is a video stream of one picture.
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            raise VideoError(
                f"{path}: has no pictures, only sound. Give a video, or use --audio for a sound."
            )
        if container.format.name in _STILL_PICTURES:
            raise VideoError(f"{path}: one picture, expected a video of a moving face.")
        stream = streams[0]
        if stream.codec_context is None:
            raise VideoError(f"{path}: its pictures are in a form that FFmpeg cannot decode.")
        stream.thread_type = "AUTO"
        yield container, stream


def _decoded(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Every picture that can be decoded; stray damaged packets are passed over."""
    bad, good = 0, 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except (FFmpegError, ValueError) as error:
            bad += 1
            if bad >= BAD_PACKETS_IN_A_ROW:
                if good:
                    return
                raise VideoError(_not_video(path, error)) from error
            continue
        for frame in frames:
            bad, good = 0, good + 1
            if isinstance(frame, VideoFrame):
                yield frame


def _upright(frame: VideoFrame, stream: VideoStream) -> NDArray[np.uint8]:
    """[H, W, 3]: square pixels, turned as the file says, at most `LONGEST_SIDE`."""
    aspect = float(stream.sample_aspect_ratio or 1) or 1.0
    width, height = frame.width * min(max(aspect, 0.25), 4.0), float(frame.height)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    size = max(round(width * scale), 2), max(round(height * scale), 2)
    same = size == (frame.width, frame.height)
    shown = frame if same else frame.reformat(width=size[0], height=size[1])
    pixels = np.asarray(shown.to_ndarray(format="rgb24"), np.uint8)
    quarter_turns = round(frame.rotation / 90) % 4  # counter-clockwise, as np.rot90 turns
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def _sound_start(container: InputContainer, stream: VideoStream) -> float:
    """Seconds on the file's clock that count as 0: the sound's first, else the pictures' first."""
    for track in (*container.streams.audio[:1], stream):
        if track.start_time is not None and track.time_base is not None:
            return float(track.start_time * track.time_base)
    return 0.0


def _not_video(path: Path, error: Exception) -> str:
    detail = getattr(error, "strerror", None) or type(error).__name__
    return (
        f"{path}: not a video that can be read ({detail}). "
        "Expected MP4, MOV, WebM, MKV, AVI or MPG."
    )
