"""Sound files that tests make for themselves."""

from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from scipy.io import wavfile


def tone(seconds: float, rate: int, hertz: float = 440.0) -> NDArray[np.float32]:
    """[n] a sine of amplitude 0.5."""
    time_s = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)


def clicks(seconds: float, rate: int, at_s: tuple[float, ...]) -> NDArray[np.float32]:
    """[n] silence with a burst of 1 kHz, 50 ms long, from each instant on."""
    sound = np.zeros(round(seconds * rate), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(rate // 20) / rate)
    for instant_s in at_s:
        start = round(instant_s * rate)
        sound[start : start + len(burst)] = burst
    return sound


def write_wav(path: Path, rate: int, samples: NDArray) -> Path:
    """Samples [n] or [n, channels], in their own type: float32, int16, int32 or uint8."""
    wavfile.write(path, rate, samples)
    return path


def write_coded(path: Path, codec: str, rate: int, samples: NDArray[np.float32]) -> Path:
    """Mono samples through an encoder of FFmpeg, such as "libmp3lame"."""
    with av.open(str(path), "w") as container:
        stream = cast(AudioStream, container.add_stream(codec, rate=rate, layout="mono"))
        frame = AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format.name, "mono", rate, stream.frame_size or 1024)
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path
