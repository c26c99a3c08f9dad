"""Pictures and a sound become an MP4 film: H.264 and AAC, in step from the first sample.

x264 works in threads of its own, outside Python's lock, so the next picture is drawn while the
last ones are coded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from app.output_file import written_beside
from app.sound_file import SoundFacts, resampled_frames
from avatar.errors import OutputError

QUALITY_CRF = 18
"""x264's constant quality: 18 is near what the eye calls lossless."""
SPEED_PRESET = "veryfast"
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""Samples a second that every AAC player takes; other sounds are brought to the last."""
AAC_FRAME = 1024
AAC_BITS_PER_CHANNEL = 96_000


@contextmanager
def film(
    path: Path, *, width: int, height: int, fps: float, sound: tuple[Path, SoundFacts] | None = None
) -> Iterator["Film"]:
    """A film that becomes `path` when the block ends well, and nothing when it does not.

    Width and height are even (4:2:0 colour). `sound` is a file and what `examine_sound` said.

    Raises:
        OutputError: the disk is full, or the file cannot be made.
        SoundError: the sound file cannot be read.
    """
    with written_beside(path) as beside:
        try:
            with Film(beside, width=width, height=height, fps=fps, sound=sound) as writer:
                yield writer
        except FFmpegError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error


class Film:
    """The open film; take it from `film`. One thread at a time."""

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: float,
        sound: tuple[Path, SoundFacts] | None,
    ) -> None:
        assert (width % 2, height % 2) == (0, 0), "4:2:0 colour needs even sides"
        self._container: OutputContainer = av.open(
            f"file:{path}", "w", format="mp4", options={"movflags": "faststart"}
        )
        self._rate = Fraction(fps).limit_denominator(1001)
        self._written = 0
        self._size = (width, height)
        self._video = self._video_stream(width, height)
        self._to_yuv = VideoReformatter()
        self._audio: AudioStream | None = None
        self._sound: Iterator[AudioFrame] = iter(())
        if sound is not None:
            self._audio, self._sound = self._audio_stream(*sound)
        self._next_sound = next(self._sound, None)

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add one sRGB picture [H, W, 3]; the n-th is shown from n / fps on."""
        assert picture.shape == (self._size[1], self._size[0], 3), picture.shape
        frame = self._to_yuv.reformat(
            VideoFrame.from_ndarray(picture, format="rgb24"),
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts = self._written
        frame.time_base = 1 / self._rate
        self._written += 1
        self._container.mux(self._video.encode(frame))
        self._write_sound(until_s=float(self._written / self._rate))

    def __enter__(self) -> "Film":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._write_sound(until_s=float("inf"))
                self._container.mux(self._video.encode(None))
                if self._audio is not None:
                    self._container.mux(self._audio.encode(None))
        finally:
            self._container.close()

    def _video_stream(self, width: int, height: int) -> VideoStream:
        stream = self._container.add_stream(
            "libx264",
            rate=self._rate,
            width=width,
            height=height,
            pix_fmt="yuv420p",
            options={"preset": SPEED_PRESET, "crf": str(QUALITY_CRF)},
        )
        # Untagged films are shown in either of two matrices: skin turns greenish in the wrong one.
        context = stream.codec_context
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        context.time_base = 1 / self._rate
        return stream

    def _audio_stream(
        self, path: Path, facts: SoundFacts
    ) -> tuple[AudioStream, Iterator[AudioFrame]]:
        rate = facts.rate if facts.rate in AAC_RATES else AAC_RATES[-1]
        channels = 2 if facts.channels == 2 else 1
        stream = self._container.add_stream(
            "aac",
            rate=rate,
            layout="stereo" if channels == 2 else "mono",
            bit_rate=min(AAC_BITS_PER_CHANNEL, 6 * rate) * channels,
        )
        sound = resampled_frames(path, rate=rate, channels=channels, frame_size=AAC_FRAME)
        return stream, sound

    def _write_sound(self, until_s: float) -> None:
        """Code the sound up to here, so that players find both streams close together."""
        while self._audio is not None and self._next_sound is not None:
            frame = self._next_sound
            if frame.pts is None or frame.pts >= until_s * frame.sample_rate:
                return
            self._container.mux(self._audio.encode(frame))
            self._next_sound = next(self._sound, None)
