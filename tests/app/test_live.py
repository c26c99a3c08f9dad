"""`visavis live` as a person starts it: a process of its own, looked at from outside."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from app.commands.live import live, load_scene, wants_window
from app.face_sampler import FaceSampler
from app.frame_loop import Scene
from app.settings import LiveSettings
from avatar.avatar_file import save_avatar
from avatar.errors import DeviceError, VisavisError
from render.camera import orbit_view
from render.choose import open_renderer
from render.gl import GlRenderer
from tests.app.test_microphone import speechlike, write_wav

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
"""The first start of a machine compiles the renderer."""

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals and xdotool are those of a Unix desktop"
)


@contextmanager
def started(*arguments: str, settings: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """`visavis live ARGUMENTS` with a process group of its own; killed if it outlives the block.
    `settings`: where it keeps what was set; None: it finds nothing of any other run."""
    with tempfile.TemporaryDirectory() as fresh:
        yield from _started(arguments, str(settings or fresh))


def _started(arguments: tuple[str, ...], settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "app", "live", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VISAVIS_LOG": "INFO", "XDG_CONFIG_HOME": settings},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str]) -> str:
    """What it still wrote to standard error; it must end with status 0 and without complaint."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    complaints = [line for line in errors.splitlines() if not line.startswith("INFO:")]
    assert not complaints
    return errors


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    """Until it says that it draws."""
    assert process.stderr is not None
    for line in process.stderr:
        if "ready after" in line:
            return
    raise AssertionError(f"it ended with status {process.wait()}")


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "speech.wav", speechlike(30.0))


def test_a_run_without_a_window_measures_itself_and_ends_with_its_file(small_avatar_file, tmp_path):
    stats, wav = tmp_path / "stats.json", write_wav(tmp_path / "short.wav", speechlike(6.0))
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--stats", str(stats), "--size", "128", "--backend", "cpu"),
    ) as process:
        errors = finished(process)
    result = json.loads(stats.read_text())
    assert set(result) == {
        *("frames", "seconds", "fps", "frame_ms", "sound_to_sight_ms", "audio", "generator"),
        *("backend", "backend_reason", "posing", "sorting", "xr"),
    }
    assert result["xr"] == {"frames": 0, "missed": 0}
    assert set(result["frame_ms"]) == {"p50", "p95", "p99"}
    assert set(result["sound_to_sight_ms"]) == {"p50", "p95"}
    assert set(result["audio"]) == {"blocks", "dropped", "restarts"}
    assert set(result["generator"]) == {"rtf", "starved"}
    assert result["frames"] > 10
    assert result["fps"] == pytest.approx(result["frames"] / result["seconds"], rel=0.01)
    assert result["audio"]["blocks"] > 10
    assert result["audio"]["dropped"] == result["audio"]["restarts"] == 0
    assert result["generator"]["rtf"] > 0
    # A face that appeared before the network could have heard its look-ahead would be a lie.
    assert result["sound_to_sight_ms"]["p50"] > 90
    assert result["backend"] == "cpu"
    assert "asked for" in result["backend_reason"]
    assert result["posing"] == result["sorting"] == "processor"
    assert "fps, frame p50" in errors  # the digest of each 5 s


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"avatar": "nobody-of-this-name"}, "nobody-of-this-name: no such file"),
        ({"audio": Path("no-such-file.wav")}, "no-such-file.wav: no such file"),
        ({"stats": Path("no/such/folder/s.json")}, "there is no folder"),
        ({"stats": Path("stats.txt")}, "expected the ending .json"),
        ({"webcam": "no/such/device"}, "camera 'no/such/device': expected a number"),
        ({"webcam": "0"}, "--webcam wants a window"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_starts(wrong, message):
    children = psutil.Process().children()
    with pytest.raises(VisavisError, match=message) as caught:
        live(LiveSettings(**{"display": "none", "seconds": 1.0, **wrong}))
    assert len(str(caught.value).splitlines()) == 1
    assert psutil.Process().children() == children


def test_a_damaged_avatar_is_refused_and_nothing_stays_behind(tmp_path):
    damaged = tmp_path / "damaged.avatar"
    damaged.write_bytes(b"not an avatar at all" * 20)
    with pytest.raises(VisavisError, match=r"damaged\.avatar"):
        live(LiveSettings(avatar=str(damaged), display="none", seconds=1.0))
    names = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert not any("spawn_main" in name for name in names)


def test_without_a_display_an_endless_run_is_refused(monkeypatch):
    monkeypatch.setattr("app.commands.live.display_available", lambda: False)
    assert not wants_window(LiveSettings(seconds=3.0))
    assert not wants_window(LiveSettings(audio=Path("speech.wav")))
    with pytest.raises(DeviceError, match="no display for a window"):
        wants_window(LiveSettings())


def test_avatars_of_different_sizes_follow_each_other_on_one_renderer(
    small_avatar, small_avatar_file, tmp_path
):
    bound = ("bound_triangle", "bound_position", "bound_rotation", "bound_scale")
    fields = {name: getattr(small_avatar, name)[:1600] for name in (*bound, "opacity", "colour")}
    smaller = tmp_path / "smaller.avatar"
    save_avatar(replace(small_avatar, **fields), smaller)
    first = load_scene(str(small_avatar_file), None)
    second = load_scene(str(smaller), first.renderer)
    assert second.renderer is first.renderer
    rest = FaceSampler().sample(0.0).motion
    view = orbit_view(0.0, 0.0, 1.0, width=64, height=64)
    shares = [
        np.mean(
            first.renderer.render_with_alpha(
                scene.deformer.gaussians(rest, seen_from=view.position), [view]
            )[..., 3]
        )
        for scene in (first, second, first)
    ]
    assert shares[0] == shares[2]
    assert 20 < shares[1] < shares[0] < 235  # a head: neither nothing nor everything


def test_a_card_without_a_window_draws_in_another_thread_than_opened_it(small_avatar_file):
    scenes = []
    load = partial(load_scene, str(small_avatar_file), None, opening=partial(open_renderer, "gl"))
    opening = threading.Thread(target=lambda: scenes.append(load()))
    opening.start()
    opening.join()
    scene: Scene = scenes[0]
    view = orbit_view(0.0, 0.0, 1.0, width=64, height=64)
    rest = FaceSampler().sample(0.0).motion
    gaussians = scene.deformer.gaussians(rest, seen_from=view.position)
    drawn = scene.renderer.render_with_alpha(gaussians, [view])
    expected = open_renderer("cpu").render_with_alpha(gaussians, [view])
    assert np.abs(drawn.astype(int) - expected).max() <= 2
    assert isinstance(scene.renderer, GlRenderer)
    scene.renderer.release()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_terminal_ends_it_quickly(small_avatar_file, wav, tmp_path, number):
    stats = tmp_path / "stats.json"
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "64", "--stats", str(stats)),
    ) as process:
        wait_until_ready(process)
        time.sleep(0.5)
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("spawn_main" in " ".join(child.cmdline()) for child in children)
        os.killpg(process.pid, number)  # as a terminal does: the speech process gets it too
        began = time.perf_counter()
        finished(process)
        took = time.perf_counter() - began
    assert took < 10  # 2 s on a machine that does nothing else
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert json.loads(stats.read_text())["frames"] > 0


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
