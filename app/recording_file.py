"""The files of a recording: written as it goes on, so that what is there can be played at any time.

`.mp4`    H.264 and AAC, over the backdrop: fragments of a second, which the end turns into a usual
          MP4 (FFmpeg's "hybrid fragmented", as OBS Studio has it)
`.webm`   VP9 with alpha and Opus: clusters of a second
a folder  PNG pictures with alpha, and sound.wav
"""

from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from app.frame_sink import Picture, fitted_into, over_backdrop, png, straight
from avatar.errors import OutputError
from avatar.types import AUDIO_RATE, Float

FRAGMENT_S = 1.0
"""At most so much is lost by a kill."""
MP4_OPTIONS = {
    # delay_moov: the list that cuts off AAC's 64 ms of priming is written in the fragments too.
    "movflags": "hybrid_fragmented+frag_keyframe+delay_moov",
    "frag_duration": str(round(1e6 * FRAGMENT_S)),
    "flush_packets": "1",
}
WEBM_OPTIONS = {"cluster_time_limit": str(round(1e3 * FRAGMENT_S)), "flush_packets": "1"}
X264_OPTIONS = {"preset": "superfast", "crf": "20", "bf": "0"}
"""A face is drawn on the same cores; and no frames out of order, so that a kill tears no hole."""
VP9_OPTIONS = {
    **{"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "20", "b": "0"},
    # Frames that are not shown would have no alpha beside them.
    **{"auto-alt-ref": "0", "lag-in-frames": "0"},
}
AAC_BIT_RATE, OPUS_BIT_RATE = 96_000, 64_000
OPUS_RATE = 48_000


class RecordingFile(Protocol):
    """One open recording. Pictures and sound come in order; one thread."""

    def write_picture(self, picture: Picture | None) -> None:
        """The next picture, [H, W, 4] premultiplied, of any size; None: the last one again.

        Raises:
            OutputError: the disk is full, or the file is gone.
        """
        ...

    def write_sound(self, samples: Float) -> None:
        """The next samples [n] at `AUDIO_RATE`. Raises: as `write_picture`."""
        ...

    def close(self) -> None:
        """Bring it to a good end. Raises: as `write_picture`; what was written can be played all
        the same."""
        ...

    def size_bytes(self) -> int:
        """What it takes on the disk so far."""
        ...


def open_recording_file(
    path: Path,
    *,
    size: tuple[int, int],
    fps: float,
    backdrop: tuple[float, float, float],
) -> RecordingFile:
    """By the ending of `path`: `.mp4`, `.webm`, or a folder where it has none.

    `size` is width and height in pixels, both even. `backdrop` (sRGB, 0..1) lies behind an MP4.

    Raises:
        OutputError: it cannot be made there.
    """
    if path.suffix.lower() in (".mp4", ".webm"):
        return _FilmFile(path, size=size, fps=fps, backdrop=backdrop)
    return _PictureFolder(path, size=size)


class _FilmFile:
    """MP4, or WebM with alpha."""

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: float,
        backdrop: tuple[float, float, float],
    ) -> None:
        self._path, self._size, self._backdrop = path, size, backdrop
        self._alpha = path.suffix.lower() == ".webm"
        self._rate = Fraction(fps).limit_denominator(1001)
        self._to_yuv = VideoReformatter()
        self._last: VideoFrame | None = None
        self._pictures = self._samples = 0
        self._broken = False
        kind, options = ("webm", WEBM_OPTIONS) if self._alpha else ("mp4", MP4_OPTIONS)
        try:
            self._container: OutputContainer = av.open(
                f"file:{path}", "w", format=kind, options=options
            )
            self._video = self._video_stream()
            self._audio = self._audio_stream()
        except (FFmpegError, OSError) as error:
            raise _failed(path, error) from error
        # Both coders take blocks of their own size, and Opus none of 16 kHz.
        rate = OPUS_RATE if self._alpha else AUDIO_RATE
        self._resampler = AudioResampler("flt" if self._alpha else "fltp", "mono", rate)

    def write_picture(self, picture: Picture | None) -> None:
        if picture is not None:
            self._last = self._coded(picture)
        frame = self._last
        assert frame is not None, "there is no last picture"
        frame.pts, frame.time_base = self._pictures, 1 / self._rate
        self._pictures += 1
        self._mux(self._video, frame)

    def write_sound(self, samples: Float) -> None:
        block = np.ascontiguousarray(samples, np.float32)[None]
        frame = AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate = AUDIO_RATE
        frame.pts, frame.time_base = self._samples, Fraction(1, AUDIO_RATE)
        self._samples += len(samples)
        for ready in self._resampler.resample(frame):
            self._mux(self._audio, ready)

    def close(self) -> None:
        try:
            if not self._broken:
                for ready in self._resampler.resample(None) if self._samples else ():
                    self._mux(self._audio, ready)
                self._mux(self._video, None)
                self._mux(self._audio, None)
        finally:
            try:
                self._container.close()
            except (FFmpegError, OSError) as error:
                if not self._broken:  # else it was told already
                    raise _failed(self._path, error) from error

    def size_bytes(self) -> int:
        return _size_of(self._path)

    def _mux(self, stream: Any, frame: VideoFrame | AudioFrame | None) -> None:
        try:
            self._container.mux(stream.encode(frame))
        except (FFmpegError, OSError) as error:
            self._broken = True
            raise _failed(self._path, error) from error

    def _coded(self, picture: Picture) -> VideoFrame:
        picture = fitted_into(picture, *self._size)
        if self._alpha:
            frame = VideoFrame.from_ndarray(straight(picture), format="rgba")
        else:
            frame = VideoFrame.from_ndarray(over_backdrop(picture, self._backdrop), format="rgb24")
        return self._to_yuv.reformat(
            frame,
            format="yuva420p" if self._alpha else "yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )

    def _video_stream(self) -> VideoStream:
        width, height = self._size
        keyframes = {"g": str(max(1, round(2 * self._rate)))}
        stream = self._container.add_stream(
            "libvpx-vp9" if self._alpha else "libx264",
            rate=self._rate,
            width=width,
            height=height,
            pix_fmt="yuva420p" if self._alpha else "yuv420p",
            options={**(VP9_OPTIONS if self._alpha else X264_OPTIONS), **keyframes},
        )
        context = stream.codec_context
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        context.time_base = 1 / self._rate
        return stream

    def _audio_stream(self) -> AudioStream:
        if self._alpha:
            codec, rate, bits = "libopus", OPUS_RATE, OPUS_BIT_RATE
        else:
            codec, rate, bits = "aac", AUDIO_RATE, AAC_BIT_RATE
        stream = self._container.add_stream(codec, rate=rate, layout="mono", bit_rate=bits)
        return cast("AudioStream", stream)


class _PictureFolder:
    """picture_000001.png and so on, and sound.wav."""

    def __init__(self, path: Path, *, size: tuple[int, int]) -> None:
        self._path, self._size = path, size
        self._pictures, self._bytes = 0, 0
        self._last = b""
        try:
            path.mkdir()
            self._wav = (path / "sound.wav").open("wb")
        except OSError as error:
            raise _failed(path, error) from error
        self._samples = 0
        self._write_header()

    def write_picture(self, picture: Picture | None) -> None:
        if picture is not None:
            self._last = png(fitted_into(picture, *self._size), None)
        self._pictures += 1
        self._bytes += len(self._last)
        try:
            (self._path / f"picture_{self._pictures:06d}.png").write_bytes(self._last)
        except OSError as error:
            raise _failed(self._path, error) from error

    def write_sound(self, samples: Float) -> None:
        before = self._samples
        self._samples += len(samples)
        try:
            self._wav.write(np.round(32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
            if before // AUDIO_RATE != self._samples // AUDIO_RATE:
                self._write_header()
        except OSError as error:
            raise _failed(self._path, error) from error

    def close(self) -> None:
        try:
            self._write_header()
            self._wav.close()
        except OSError as error:
            raise _failed(self._path, error) from error

    def size_bytes(self) -> int:
        return self._bytes + 2 * self._samples

    def _write_header(self) -> None:
        """The length stands at the beginning of a WAV: brought up to date each second."""
        size = min(2 * self._samples, 0xFFFF_FFFF - 36)  # 37 hours
        fields = [b"RIFF", 36 + size, b"WAVEfmt ", 16, 1, 1, AUDIO_RATE, 2 * AUDIO_RATE, 2, 16]
        widths = [0, 4, 0, 4, 2, 2, 4, 4, 2, 2]
        header = b"".join(
            field if isinstance(field, bytes) else field.to_bytes(width, "little")
            for field, width in zip(fields, widths, strict=True)
        )
        self._wav.seek(0)
        self._wav.write(header + b"data" + size.to_bytes(4, "little"))
        self._wav.seek(0, 2)
        self._wav.flush()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _failed(path: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error)
    return OutputError(f"{path}: cannot be written ({reason}).")
