"""`visavis live` with a headset, as a person starts it: processes looked at from outside."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.bundled import SAMPLE_LINE
from app.commands.live import headset_of
from app.settings import LiveSettings
from tests.headset.monado import Service
from tests.headset.worn import PATIENCE_S, avatar_centre

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.monado


@contextmanager
def started(service: Service, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """`visavis live ARGUMENTS` on Monado's libraries; killed if it outlives the block."""
    process = subprocess.Popen(
        [*Service.launcher(), sys.executable, "-m", "app", "live", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **service.environment, "VISAVIS_LOG": "INFO", **more},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], words: str) -> list[str]:
    """Read its log until a line has `words`."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"ended with {process.wait()} before {words!r}:\n{''.join(lines)}")


def test_a_connected_headset_is_taken_up_and_measured(service, remote, tmp_path, small_avatar_file):
    stats = tmp_path / "stats.json"
    with started(
        service,
        *("--xr", "on", "--display", "none", "--seconds", "6", "--stats", str(stats)),
        *("--audio", str(SAMPLE_LINE), "--avatar", str(small_avatar_file)),
    ) as process:
        _, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    for state in ("READY", "SYNCHRONIZED", "VISIBLE", "FOCUSED", "STOPPING", "EXITING"):
        assert f"headset: {state}" in errors
    assert errors.index("ready after") < errors.index("headset: READY")  # warm before it is shown
    xr = json.loads(stats.read_text())["xr"]
    assert xr["frames"] > 5
    assert xr["missed"] >= 0
    assert xr["eye_size"] == [[320, 240], [320, 240]]
    assert set(xr["stage_ms"]) >= {"wait", "pose", "draw", "paint", "submit"}
    assert 0 < xr["work_ms"]["p50"] < 1000
    # What is heard ahead, and the time until the light of its picture.
    assert 90 < xr["sound_to_sight_ms"]["p50"] < 1000


def test_the_window_mirrors_an_eye_and_goes_on_when_the_service_dies(
    service, remote, display, tmp_path, small_avatar_file
):
    remote.hands_away()

    def looks() -> np.ndarray:
        shot = tmp_path / "shot.png"
        subprocess.run(["import", "-window", "root", str(shot)], check=True, timeout=30)
        return np.asarray(Image.open(shot).convert("RGB"))

    with started(
        service, "--audio", str(SAMPLE_LINE), "--avatar", str(small_avatar_file), "--seconds", "60"
    ) as process:  # nothing is asked for: --xr is auto
        wait_for(process, "headset: FOCUSED")
        time.sleep(2.0)
        mirrored = looks()
        service.kill()
        said = wait_for(process, "lost")
        assert "Traceback" not in "".join(said)
        time.sleep(2.0)
        alone = looks()
        service.start()
        wait_for(process, "headset: FOCUSED")
        process.terminate()
        _, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in errors
    panel, room = mirrored[:, :280], mirrored[50:700, 310:1160]
    assert panel.std() > 10  # the panel of the window is there at the same time
    assert np.median(room) < 60  # the dark room
    avatar_centre(room)
    assert np.median(alone[50:700, 310:1160]) > 80  # the window's own grey wall


@pytest.mark.parametrize("xr", ["off", "auto"])
def test_no_headset_is_looked_for_where_none_is_wanted_or_nobody_looks(xr):
    """Without a window only who asks for a headset gets one."""
    with ExitStack() as opened:
        assert headset_of(LiveSettings(xr=xr, display="none"), None, opened) is None


def test_without_a_runtime_the_program_says_why_in_one_line_and_goes_on(
    service, tmp_path, small_avatar_file
):
    with started(
        service,
        *("--xr", "on", "--display", "none", "--seconds", "2"),
        *("--audio", str(SAMPLE_LINE), "--avatar", str(small_avatar_file)),
        XR_RUNTIME_JSON=str(tmp_path / "none.json"),
    ) as process:
        _, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, errors
    said = [line for line in errors.splitlines() if "no headset" in line]
    assert len(said) == 1
    assert "no OpenXR runtime is installed" in said[0]
    assert "Traceback" not in errors
