"""The application in a real window: keys and clicks change what it shows and what it keeps."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app.preferences import FILE, Theme, read_preferences
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


def test_keys_and_clicks_change_the_window_and_are_remembered(display, small_avatar_file, tmp_path):
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
        assert np.median(front[:, :280]) < 60
        desktop.do("mousemove", "--window", window, "900", "700")
        desktop.do("key", "--window", window, "t")
        wait_for_picture(desktop, window, lambda seen: np.median(seen[:, :280]) > 200)
        desktop.do("mousemove", "--window", window, "150", "27", "click", "1")  # Scene
        time.sleep(1.0)
        desktop.do("mousemove", "--window", window, "180", "100", "click", "1")  # Dusk
        dusk = wait_for_picture(
            desktop, window, lambda seen: seen[60, -60, 2] > seen[60, -60, 0] + 15
        )
        assert face_is_drawn(dusk)
        desktop.do("mousemove", "--window", window, "900", "700")
        # A busy machine may draw no frame between press and release; then nobody pressed.
        press_until(desktop, window, "ctrl+z", lambda seen: np.ptp(seen[60, -60]) < 20)
        press_until(
            desktop, window, "ctrl+y", lambda seen: seen[60, -60, 2] > seen[60, -60, 0] + 15
        )
        desktop.do("key", "--window", window, "F1")
        wait_for_picture(desktop, window, lambda seen: np.median(seen[:, :100]) < 150)
        desktop.do("key", "--window", window, "Escape")
        finished(process)
    read = read_preferences(folder)
    assert read.problem == ""
    kept = read.preferences
    assert (kept.theme, kept.panel, kept.look.backdrop) == (Theme.LIGHT, False, "Dusk")
    assert Path(kept.avatar) == small_avatar_file
