"""Sound files of any kind as a stream: 16 kHz mono for the speech network, or as they are.

Everything is decoded block by block, so three hours of sound take no more memory than three
seconds. FFmpeg (through PyAV) reads the files: WAV, FLAC, MP3, M4A, Ogg, or a video's sound.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from avatar.errors import SoundError
from avatar.types import AUDIO_RATE, Float

EXACT_LENGTH = {"wav", "w64", "flac", "aiff", "mov,mp4,m4a,3gp,3g2,mj2"}
"""Containers that state their length; others (MP3 without an index) only let FFmpeg guess it."""
MISSING_S, MISSING_PART = 0.5, 0.02
"""Less sound than promised is damage beyond both: encoders round lengths by a block or two."""
UNKNOWN_LENGTH_BYTES = 0x7FFF_0000
"""A WAV that was piped out of a program claims this size or more: it means "until the end"."""
WAV_PACKETS = {"max_size": "65536"}
"""Bytes that FFmpeg reads of a WAV at a time: 64 ms, its own choice, would cost ten times as much
in calls. Other containers do not know the option and pass it over."""
BAD_PACKETS_IN_A_ROW = 50
"""A stray tag or a lost packet is skipped; this many are not sound at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFacts:
    """What a sound file holds, counted, not believed."""

    duration_s: float
    rate: int
    """Samples a second as stored."""
    channels: int


def examine_sound(path: Path) -> SoundFacts:
    """Decode the file once, keeping nothing (two seconds for an hour): its length is then sure.

    Raises:
        SoundError: missing, not sound, without a sound track, empty, or cut short.
    """
    samples, rate, channels = 0, 0, 0
    with _opened(path) as (container, stream):
        promised_s = _promised_length(path, container, stream)
        for frame in _decoded(path, container, stream):
            samples += frame.samples
            rate, channels = frame.sample_rate, frame.layout.nb_channels
    if not samples:
        raise SoundError(f"{path}: holds no sound (0 samples). Give a file with something to hear.")
    duration_s = samples / rate
    missing_s = promised_s - duration_s
    if missing_s > MISSING_S and missing_s > MISSING_PART * promised_s:
        raise SoundError(
            f"{path}: cut short, it promises {promised_s:.1f} s and holds {duration_s:.1f} s. "
            "Copy it again, or save it anew from a sound editor to use what is there."
        )
    return SoundFacts(duration_s=duration_s, rate=rate, channels=channels)


def read_blocks(path: Path) -> Iterator[Float]:
    """The sound as float32 mono blocks at `AUDIO_RATE`, within -1..1; the first sample is time 0.

    Raises:
        SoundError: as `examine_sound`, except that a file cut short simply ends.
    """
    for frame in resampled_frames(path, rate=AUDIO_RATE, channels=1):
        yield np.clip(frame.to_ndarray()[0], -1.0, 1.0)


def resampled_frames(
    path: Path, *, rate: int, channels: int, frame_size: int | None = None
) -> Iterator[AudioFrame]:
    """The sound as planar float frames at `rate`, numbered from sample 0 (`pts`).

    `channels` is 1 or 2; more in the file become one. `frame_size` samples each, the last one
    shorter; None leaves the size to the decoder.
    """
    layout = "mono" if channels == 1 else "stereo"
    resampler: AudioResampler | None = None
    position = 0
    source: tuple[str, int] | None = None
    with _opened(path) as (container, stream):
        for decoded in _decoded(path, container, stream):
            frame = _planar_float(decoded, channels if decoded.layout.nb_channels == 2 else 1)
            if source != (frame.layout.name, frame.sample_rate):  # a chained stream may change
                source = (frame.layout.name, frame.sample_rate)
                resampler = AudioResampler("fltp", layout, rate, frame_size)
            frame.pts = None
            assert resampler is not None
            for block in resampler.resample(frame):
                block.pts = position
                position += block.samples
                yield block
        for block in resampler.resample(None) if resampler else ():
            block.pts = position
            position += block.samples
            yield block


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    if path.is_dir():
        raise SoundError(f"{path}: a folder, expected a sound file.")
    try:
        # "file:" keeps a name with a colon in it from being read as a network address.
        container = av.open(f"file:{path}", metadata_errors="ignore", options=WAV_PACKETS)
    except FileNotFoundError:
        raise SoundError(f"{path}: no such file.") from None
    except PermissionError:
        raise SoundError(f"{path}: may not be read (permission).") from None
    except (FFmpegError, OSError, ValueError) as error:
        raise SoundError(_not_sound(path, error)) from error
    with container:
        if not container.streams.audio:
            raise SoundError(f"{path}: has no sound track. Give a file with sound in it.")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise SoundError(f"{path}: its sound is in a form that FFmpeg cannot decode.")
        yield container, stream


def _decoded(path: Path, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    """Every frame that can be decoded; stray damaged packets are passed over."""
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
            if bad >= BAD_PACKETS_IN_A_ROW or not good:
                raise SoundError(_not_sound(path, error)) from error
            continue
        for frame in frames:
            bad, good = 0, good + 1
            if isinstance(frame, AudioFrame) and frame.samples:
                yield frame


def _promised_length(path: Path, container: InputContainer, stream: AudioStream) -> float:
    """Seconds that the header states, 0 where it states none that can be trusted."""
    if container.format.name not in EXACT_LENGTH or not stream.duration or not stream.time_base:
        return 0.0
    promised_s = float(stream.duration * stream.time_base)
    byte_rate = (stream.bit_rate or 0) / 8
    if promised_s * byte_rate >= UNKNOWN_LENGTH_BYTES > path.stat().st_size:
        return 0.0
    return promised_s


def _planar_float(frame: AudioFrame, channels: int) -> AudioFrame:
    """The frame as planar float32 with one channel (the mean of all) or as many as it has.

    NaN and infinity become silence: one NaN would spread through the resampler's filter. The mean
    is ours because FFmpeg mixes integers and floats to different loudness, and refuses channels
    whose places (left, right, ...) the file does not name.
    """
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind == "u":  # 8 bit, silence at 128
        samples = (samples.astype(np.float32) - 128.0) / 128.0
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / 2.0 ** (8 * samples.itemsize - 1)
    else:
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    if channels == 1 and len(samples) > 1:
        samples = samples.mean(0, keepdims=True)
    layout = "mono" if channels == 1 else frame.layout.name
    clean = AudioFrame.from_ndarray(
        np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout
    )
    clean.sample_rate = frame.sample_rate
    return clean


def _not_sound(path: Path, error: Exception) -> str:
    detail = getattr(error, "strerror", None) or type(error).__name__
    return (
        f"{path}: not a sound file that can be read ({detail}). "
        "Expected WAV, FLAC, MP3, M4A, Ogg, or a video with sound."
    )
