"""Sound of the recordings that training and scoring read."""

from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.resampler import AudioResampler

from avatar.errors import SoundError
from avatar.types import AUDIO_RATE, Float


def read_sound(path: Path) -> Float:
    """[n] mono at 16 kHz, -1..1, from its first sample, of a sound or a video file.

    Raises:
        SoundError: the file holds no sound that can be decoded.
    """
    try:
        with av.open(str(path)) as container:
            resampler = AudioResampler("flt", "mono", AUDIO_RATE)
            blocks = []
            for frame in [*container.decode(audio=0), None]:
                blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
    except (OSError, IndexError, av.error.FFmpegError) as error:
        raise SoundError(
            f"{path.name}: no sound could be read ({error}). Expected speech"
        ) from error
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
