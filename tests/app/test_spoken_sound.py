"""The MP3 that goes into a .glb."""

import io
from pathlib import Path

import av
import numpy as np
import pytest

from app.spoken_sound import RATE, compressed
from avatar.errors import SoundError
from tests.app.test_microphone import write_wav


def test_a_click_is_where_it_was_and_the_sound_as_long(tmp_path: Path) -> None:
    samples = np.zeros(16000, np.float32)
    samples[8000:8010] = 0.9
    write_wav(tmp_path / "click.wav", samples, 16000)
    with av.open(io.BytesIO(compressed(tmp_path / "click.wav")), "r") as container:
        heard = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert abs(np.argmax(np.abs(heard)) / RATE - 0.5003) < 0.002
    assert len(heard) / RATE == pytest.approx(1, abs=0.05)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("hello")
    with pytest.raises(SoundError, match=r"x\.wav"):
        compressed(tmp_path / "x.wav")
