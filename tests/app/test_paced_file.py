"""A sound file at the pace of time."""

from types import SimpleNamespace

import numpy as np
import pytest

from app import paced_file
from app.paced_file import BLOCK, PacedFile
from avatar.types import AUDIO_RATE
from tests.app.sounds import write_wav


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(paced_file, "time", SimpleNamespace(perf_counter=lambda: now.s))
    return now


def test_sound_comes_in_whole_blocks_that_begin_with_the_file(tmp_path, clock):
    sound = np.linspace(-0.5, 0.5, AUDIO_RATE // 2, dtype=np.float32)
    file = PacedFile(
        write_wav(tmp_path / "ramp.wav", AUDIO_RATE, sound),
        aloud=False,
        look_ahead_s=0.1,
        from_s=0.0,
    )
    assert file.read() is None  # nothing has sounded yet
    pauses = np.random.default_rng(0).uniform(0.001, 0.02, 40)
    parts = []
    for pause in pauses:
        clock.s += pause
        heard = file.read()
        if heard is not None:
            parts.append(heard.samples)
            given = sum(map(len, parts))
            assert len(heard.samples) % BLOCK == 0
            assert heard.end_s == pytest.approx(100.0 + given / AUDIO_RATE)
        # No more than a block is kept back.
        waits = (clock.s - 100.0) * AUDIO_RATE - sum(map(len, parts))
        assert 0 <= waits < BLOCK + 1
    together = np.concatenate(parts)
    assert together == pytest.approx(sound[: len(together)], abs=1e-4)
    file.close()


def test_after_its_end_a_file_is_silent(tmp_path, clock):
    path = write_wav(tmp_path / "short.wav", AUDIO_RATE, np.full(200, 0.5, np.float32))
    file = PacedFile(path, aloud=False, look_ahead_s=0.1, from_s=0.0)
    file.read()
    clock.s += 0.1005
    heard = file.read()
    assert heard is not None
    assert len(heard.samples) == 1600
    assert (heard.samples[200:] == 0).all()
    assert file.ended
    file.close()
