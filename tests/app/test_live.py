"""`visavis live` as a person starts it: a process of its own, looked at from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.app.test_microphone import speechlike, write_wav

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
"""The first start of a machine compiles the renderer."""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals and xdotool are those of a Unix desktop"
)


@contextmanager
def live(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`visavis live ARGUMENTS`; killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "app", "live", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VISAVIS_LOG": "INFO", **environment},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str]) -> str:
    """What it wrote to standard error; its exit status must be 0."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "resource_tracker" not in errors
    return errors


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "speech.wav", speechlike(30.0))


def test_a_run_without_a_window_measures_itself(small_avatar_file, wav, tmp_path):
    stats = tmp_path / "stats.json"
    with live(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--seconds", "6", "--stats", str(stats), "--size", "128"),
    ) as process:
        errors = finished(process)
    result = json.loads(stats.read_text())
    assert set(result) >= {
        *("frames", "seconds", "fps", "frame_ms", "sound_to_sight_ms", "audio", "generator"),
        "backend",
    }
    assert set(result["frame_ms"]) == {"p50", "p95", "p99"}
    assert set(result["sound_to_sight_ms"]) == {"p50", "p95"}
    assert set(result["audio"]) == {"blocks", "dropped", "restarts"}
    assert set(result["generator"]) == {"rtf", "starved"}
    assert result["seconds"] == pytest.approx(6, abs=1.5)
    assert result["frames"] > 6
    assert result["fps"] == pytest.approx(result["frames"] / result["seconds"], rel=0.01)
    assert result["audio"]["blocks"] > 10
    assert result["audio"]["dropped"] == result["audio"]["restarts"] == 0
    assert result["generator"]["rtf"] > 0
    # A face that appeared before the network could have heard its look-ahead would be a lie.
    assert result["sound_to_sight_ms"]["p50"] > 100
    assert result["backend"] == "cpu"
    assert "fps" in errors  # the digest of each 5 s


def test_a_short_file_ends_a_run_that_nobody_sees(small_avatar_file, tmp_path):
    wav = write_wav(tmp_path / "short.wav", speechlike(0.5))
    with live(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "64"),
    ) as process:
        finished(process)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--avatar", "nobody-of-this-name"), "nobody-of-this-name"),
        (("--audio", "no-such-file.wav"), "no-such-file.wav: no such file"),
        (("--display", "none", "--stats", "no/such/folder/s.json"), "there is no folder"),
        (("--display", "none", "--stats", "stats.txt"), "expected the ending .json"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(arguments, message):
    with live(*arguments, VISAVIS_LOG="WARNING") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_a_damaged_avatar_is_refused_and_nothing_stays_behind(tmp_path):
    damaged = tmp_path / "damaged.avatar"
    damaged.write_bytes(b"not an avatar at all" * 20)
    with live("--avatar", str(damaged), "--display", "none", "--seconds", "1") as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "damaged.avatar" in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_terminal_ends_it_quickly(small_avatar_file, wav, tmp_path, number):
    stats = tmp_path / "stats.json"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "app", "live", "--avatar", str(small_avatar_file)),
            *("--audio", str(wav), "--display", "none", "--size", "64", "--stats", str(stats)),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        children = wait_for_speech(process.pid)
        os.killpg(process.pid, number)  # as a terminal does: the speech process gets it too
        began = time.perf_counter()
        _, errors = process.communicate(timeout=PATIENCE_S)
        took = time.perf_counter() - began
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert process.returncode == 0, errors
    assert errors == ""
    assert took < 10  # 2 s on a machine that does nothing else
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert json.loads(stats.read_text())["frames"] > 0


def wait_for_speech(pid: int) -> list[psutil.Process]:
    """All processes of a run, once it draws and hears: its speech process uses the processor."""
    parent = psutil.Process(pid)
    end = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < end:
        children = parent.children(recursive=True)
        if any("spawn_main" in " ".join(child.cmdline()) for child in children):
            break
        time.sleep(0.05)
    # Long enough that the loop runs; that it did is in the statistics.
    time.sleep(4.0)
    return parent.children(recursive=True)


class Desktop:
    """The X server as another program sees it."""

    def find(self, title: str) -> str:
        end = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < end:
            found = self.do("search", "--onlyvisible", "--name", title)
            if found:
                return found.split()[0]
            time.sleep(0.1)
        raise AssertionError(f"no window {title!r} in {PATIENCE_S:.0f} s")

    def do(self, *words: str) -> str:
        result = subprocess.run(["xdotool", *words], capture_output=True, text=True, timeout=20)
        return result.stdout.strip()

    def picture(self, window: str) -> np.ndarray:
        """[H, W, 3] what the window shows."""
        shot = subprocess.run(
            ["import", "-window", window, "png:-"], capture_output=True, timeout=20, check=True
        )
        return np.asarray(Image.open(BytesIO(shot.stdout)).convert("RGB")).astype(int)


def face_is_drawn(picture: np.ndarray) -> bool:
    """Whether the middle beside the panel is coloured as no grey backdrop is."""
    height, width = picture.shape[:2]
    middle = picture[height // 3 : 2 * height // 3, 300 + (width - 300) // 3 : -(width - 300) // 3]
    return bool((np.ptp(middle, axis=2) > 40).mean() > 0.2)


def test_a_window_shows_face_and_panel_follows_the_mouse_and_closes(
    display, small_avatar_file, wav
):
    desktop = Desktop()
    with live("--avatar", str(small_avatar_file), "--audio", str(wav), "--size", "256") as process:
        window = desktop.find("^visavis$")
        end = time.perf_counter() + PATIENCE_S
        while not face_is_drawn(front := desktop.picture(window)):
            assert time.perf_counter() < end, "no face"
            assert process.poll() is None, "it ended"
            time.sleep(0.2)
        panel = front[:, :300]
        assert np.median(panel) < 60  # a dark ground,
        assert (panel.min(axis=2) > 150).sum() > 300  # bright words,
        corner = front[10, -10]
        assert np.ptp(corner) < 20  # and a grey backdrop that is not black
        assert corner.min() > 30
        desktop.do("mousemove", "--window", window, "740", "380")
        desktop.do("mousedown", "1")
        for step in range(1, 11):
            desktop.do("mousemove", "--window", window, str(740 + 14 * step), "380")
        desktop.do("mouseup", "1")
        time.sleep(1.0)
        turned = desktop.picture(window)
        face = np.s_[100:660, 450:1030]
        assert np.abs(turned[face] - front[face]).mean() > 4  # turned by 48 degrees
        desktop.do("key", "--window", window, "h")
        time.sleep(1.0)
        hidden = desktop.picture(window)
        assert np.median(hidden[:, :100]) > 60  # no panel: the backdrop is there
        desktop.do("key", "--window", window, "Escape")
        finished(process)
