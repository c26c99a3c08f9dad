"""A real portrait in a real process of its own."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from app.portrait_maker import Made, Making, PortraitMaker
from avatar.avatar_file import load_avatar

PATIENCE_S = 120.0


@pytest.fixture
def maker() -> Iterator[PortraitMaker]:
    maker = PortraitMaker()
    yield maker
    maker.close()


@pytest.fixture
def portrait(tmp_path: Path) -> Path:
    path = tmp_path / "Me & you.png"
    Image.fromarray(np.asarray(data.astronaut())).save(path)
    return path


def made(maker: PortraitMaker) -> tuple[Made, list[Making]]:
    """What came of it, and what was told on the way."""
    told: list[Making] = []
    end = time.perf_counter() + PATIENCE_S
    while (result := maker.ended()) is None:
        assert time.perf_counter() < end, told
        progress = maker.progress()
        if progress is not None and (not told or progress != told[-1]):
            told.append(progress)
        time.sleep(0.02)
    return result, told


def test_a_portrait_becomes_an_avatar_and_tells_how_far_it_is(maker, portrait, tmp_path):
    output = tmp_path / "me.avatar"
    maker.start(portrait, output, "quick")
    assert maker.is_busy
    result, told = made(maker)
    assert result == Made(portrait, output)
    assert load_avatar(output).thumbnail.shape == (128, 128, 3)
    fractions = [making.fraction for making in told]
    assert fractions == sorted(fractions)
    assert len({making.stage for making in told}) > 3
    assert not maker.is_busy
    assert maker.progress() is None
    assert maker.ended() is None


def test_an_animal_is_refused_in_one_line(maker, tmp_path):
    path = tmp_path / "pet.png"
    Image.fromarray(np.asarray(data.chelsea())).save(path)
    maker.start(path, tmp_path / "pet.avatar", "quick")
    result, _ = made(maker)
    assert result.avatar is None
    assert "pet.png" in result.problem
    assert "face" in result.problem
    assert len(result.problem.splitlines()) == 1
    assert not (tmp_path / "pet.avatar").exists()


def test_cancelling_leaves_nothing_behind(maker, portrait, tmp_path):
    folder = tmp_path / "avatars"
    folder.mkdir()
    maker.start(portrait, folder / "me.avatar", "best")
    end = time.perf_counter() + PATIENCE_S
    while (progress := maker.progress()) is None or progress.preview is None:
        assert time.perf_counter() < end
        assert maker.ended() is None
        time.sleep(0.05)
    with Image.open(progress.preview) as preview:
        assert preview.size == (512, 512)
    began = time.perf_counter()
    maker.cancel()
    assert time.perf_counter() - began < 5.0
    assert list(folder.iterdir()) == []
    assert not progress.preview.exists()
    assert not maker.is_busy


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_crash_of_the_maker_is_told(maker, portrait, tmp_path):
    maker.start(portrait, tmp_path / "me.avatar")
    assert maker.process_id is not None
    os.kill(maker.process_id, signal.SIGKILL)
    result, _ = made(maker)
    assert result.avatar is None
    assert "status -9" in result.problem
