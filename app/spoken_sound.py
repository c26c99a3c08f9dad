"""A sound as a small MP3, to go into another file."""

import io
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from app.sound_file import resampled_frames
from avatar.errors import SoundError

RATE = 48_000
"""A decoder that does not read the encoder's delay is late by 1105 samples: 23 ms, at 16 kHz 69."""
BITS_A_SECOND = 64_000


def compressed(path: Path) -> bytes:
    """The sound of any file as MP3, one channel.

    Raises:
        SoundError: it cannot be read, or this build of FFmpeg has no MP3 encoder.
    """
    result = io.BytesIO()
    try:
        with av.open(result, "w", format="mp3") as container:
            stream = container.add_stream("libmp3lame", rate=RATE)
            stream.bit_rate = BITS_A_SECOND
            stream.layout = "mono"
            for block in resampled_frames(path, rate=RATE, channels=1):
                samples = np.clip(block.to_ndarray() * 32767, -32768, 32767).astype(np.int16)
                frame = AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
                frame.sample_rate, frame.pts = RATE, block.pts
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except FFmpegError as error:
        raise SoundError(f"{path}: cannot be written as MP3 ({error}).") from error
    return result.getvalue()
