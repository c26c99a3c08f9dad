"""How much memory was taken at most, and only since it was asked to look."""

import sys

import numpy as np
import pytest

from app import peak_memory as module
from app.peak_memory import PeakMemory

LARGE_MB = 80


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_peak_is_what_was_taken_on_top_and_is_forgotten():
    memory = PeakMemory()
    memory.settle()
    memory.restart()
    taken = np.ones(LARGE_MB * 1_000_000, np.uint8)
    del taken
    assert memory.peak_mb() == pytest.approx(LARGE_MB, abs=8)
    memory.restart()
    peak_mb = memory.peak_mb()
    assert peak_mb is not None
    assert peak_mb < 8
    assert (memory.now_mb() or 0) > 20


def test_where_the_system_does_not_tell_it_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(module, "_CLEAR", tmp_path / "no" / "none")
    memory = PeakMemory()
    assert memory.peak_mb() is None
    memory.settle()
    memory.restart()
    assert (memory.now_mb(), memory.peak_mb()) == (None, None)
