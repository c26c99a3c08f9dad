"""The application in a real window: keys and clicks change what it shows and what it keeps."""

import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage import data

from app.preferences import FILE, Theme, read_preferences
from tests.app.drag_and_drop import drop
from tests.app.test_live import (
    PATIENCE_S,
    Desktop,
    face_is_drawn,
    finished,
    started,
    wait_until_ready,
)
from tests.app.test_microphone import speechlike, write_wav

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="xdotool is of a Unix desktop")


def press_until(desktop: Desktop, window: str, keys: str, wanted) -> None:
    """Press keys, again after a while, until the window looks as wanted."""
    end = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end:
        held, pressed = keys.split("+")
        desktop.do("keydown", "--window", window, held)
        time.sleep(0.3)
        desktop.do("key", "--window", window, pressed)
        time.sleep(0.3)
        desktop.do("keyup", "--window", window, held)
        again = time.perf_counter() + 10.0
        while time.perf_counter() < again:
            if wanted(desktop.picture(window)):
                return
    raise AssertionError(f"{keys} did nothing")


def wait_for_picture(desktop: Desktop, window: str, wanted) -> np.ndarray:
    """The first picture of the window that is as wanted."""
    end = time.perf_counter() + PATIENCE_S
    while not wanted(picture := desktop.picture(window)):
        assert time.perf_counter() < end, "it never looked as wanted"
        time.sleep(0.2)
    return picture


TOAST = np.s_[15:22, 320:720]
"""The dark ground, above its words, on which the window tells what is wrong."""


def test_what_a_person_does_changes_the_window_and_is_remembered(
    display, pulse_server, small_avatar_file, tmp_path
):
    folder = tmp_path / "visavis"
    folder.mkdir()
    (folder / FILE).write_text("no TOML [")
    wav = write_wav(tmp_path / "speech.wav", speechlike(60.0))
    desktop = Desktop()
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--size", "200"),
        *("--display", "window", "--backend", "cpu"),
        settings=tmp_path,
    ) as process:
        wait_until_ready(process)
        window = desktop.find("^visavis$")
        front = wait_for_picture(desktop, window, face_is_drawn)
        assert (folder / f"{FILE}.damaged").read_text() == "no TOML ["  # set aside, not fatal
        panel = front[:, :300]
        assert np.median(panel) < 60  # a dark ground,
        assert (panel.min(axis=2) > 150).sum() > 300  # bright words,
        corner = front[-10, -10]
        assert np.ptp(corner) < 20  # and a grey backdrop that is not black
        assert corner.min() > 30
        turn_the_head(desktop, window, front)
        drop_files(desktop, window, process.pid, tmp_path)
        choose_light_and_backdrop(desktop, window)
        desktop.do("key", "--window", window, "F1")
        wait_for_picture(desktop, window, lambda seen: np.median(seen[:, :100]) < 150)
        desktop.do("key", "--window", window, "Escape")
        finished(process)
    read = read_preferences(folder)
    assert read.problem == ""
    kept = read.preferences
    assert (kept.theme, kept.panel, kept.look.backdrop) == (Theme.LIGHT, False, "Dusk")
    assert Path(kept.avatar) == small_avatar_file


def turn_the_head(desktop: Desktop, window: str, front: np.ndarray) -> None:
    """By a drag of 48 degrees."""
    desktop.do("mousemove", "--window", window, "740", "380")
    desktop.do("mousedown", "1")
    for step in range(1, 11):
        desktop.do("mousemove", "--window", window, str(740 + 14 * step), "380")
    desktop.do("mouseup", "1")
    face = np.s_[100:660, 450:1030]
    wait_for_picture(desktop, window, lambda seen: np.abs(seen[face] - front[face]).mean() > 4)


def drop_files(desktop: Desktop, window: str, process_id: int, tmp_path: Path) -> None:
    """From another program: a portrait is made an avatar, and what is none is told."""

    def children() -> int:
        return len(psutil.Process(process_id).children(recursive=True))

    def tells(seen: np.ndarray) -> bool:
        return bool(seen[TOAST].max() < 70)

    assert tells(desktop.picture(window))  # of the settings file
    before = children()
    portrait = tmp_path / "Ms. Ümlaut & co.png"
    Image.fromarray(np.asarray(data.astronaut())).save(portrait)
    drop(int(window), portrait)
    wait_for_picture(desktop, window, lambda seen: not tells(seen))
    wrong = tmp_path / "holiday letter.docx"
    wrong.write_bytes(b"PK")
    drop(int(window), wrong)
    wait_for_picture(desktop, window, tells)
    assert children() == before + 1  # which makes the portrait (tests/app/test_portrait_maker.py)


def choose_light_and_backdrop(desktop: Desktop, window: str) -> None:
    desktop.do("mousemove", "--window", window, "900", "700")
    desktop.do("key", "--window", window, "t")
    wait_for_picture(desktop, window, lambda seen: np.median(seen[:, :280]) > 200)
    desktop.do("mousemove", "--window", window, "150", "27", "click", "1")  # Scene
    time.sleep(1.0)
    desktop.do("mousemove", "--window", window, "180", "100", "click", "1")  # Dusk
    wait_for_picture(desktop, window, is_dusk)
    desktop.do("mousemove", "--window", window, "900", "700")
    # A busy machine may draw no frame between press and release; then nobody pressed.
    press_until(desktop, window, "ctrl+z", lambda seen: np.ptp(seen[60, -60]) < 20)
    press_until(desktop, window, "ctrl+y", is_dusk)


def is_dusk(seen: np.ndarray) -> bool:
    return bool(seen[60, -60, 2] > seen[60, -60, 0] + 15)
