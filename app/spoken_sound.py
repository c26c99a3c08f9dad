"""A sound as a small MP3, to go into another file."""

import io
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from app.sound_file import read_blocks
from avatar.errors import SoundError
from avatar.types import AUDIO_RATE

BITS_A_SECOND = 64_000
"""Speech at 16 kHz, one channel: no more is to be heard."""


def compressed(path: Path) -> bytes:
    """The sound of any file as MP3, mono at 16 kHz.

    Raises:
        SoundError: it cannot be read, or this build of FFmpeg has no MP3 encoder.
    """
    result = io.BytesIO()
    try:
        with av.open(result, "w", format="mp3") as container:
            stream = container.add_stream("libmp3lame", rate=AUDIO_RATE)
            stream.bit_rate = BITS_A_SECOND
            stream.layout = "mono"
            written = 0
            for block in read_blocks(path):
                samples = np.clip(block[None] * 32767, -32768, 32767).astype(np.int16)
                frame = AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
                frame.sample_rate, frame.pts = AUDIO_RATE, written
                written += samples.shape[1]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except FFmpegError as error:
        raise SoundError(f"{path}: cannot be written as MP3 ({error}).") from error
    return result.getvalue()
