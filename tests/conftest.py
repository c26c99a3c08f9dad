"""What tests share: a display and a sound server of their own, and a small avatar.

`display` and `pulse_server` are started once for the whole run and only where a test asks for
them. They stand for a desktop on a machine that has none: a window really opens, a microphone
really delivers blocks.
"""

import app  # noqa: F401  # isort: skip  # before NumPy, whose threads it keeps from spinning

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from avatar.types import Avatar

# Time is measured in tests/benchmarks, not judged here; and a gate draws the same examples each
# time, so that it says something about the change. At a desk they differ from run to run.
settings.register_profile("desk", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "desk")

# A shell that starts the tests in the background makes them deaf to Ctrl-C, and all processes that
# they start; some of these have to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


REAL_TIME = (
    *("tests/app/test_live.py", "tests/app/test_speech_process.py"),
    *("tests/app/test_live_outputs.py", "tests/app/test_control.py"),
    *("tests/app/test_live_desk.py", "tests/app/test_webcam.py"),
    *("tests/app/test_microphone.py", "tests/app/test_speaker.py"),
    *("tests/app/test_motion_channel.py", "tests/render/test_window.py"),
    *("tests/headset/test_monado.py", "tests/headset/test_faults.py"),
    *("tests/headset/test_live.py", "tests/headset/test_controllers.py"),
    *("tests/app/streams/test_streams.py", "tests/app/streams/test_live_streams.py"),
)
"""Whose tests need a window, a sound server, or processes that keep pace: one after the other."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Where several processes share the tests, a file's stay together, with what its fixtures made,
    and those of `REAL_TIME` are like one file. (xdist 3.8's own groups do nothing under pytest 9,
    which no longer looks at the name that they change.)"""

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "real time" if file in REAL_TIME else file

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the program keeps for a person goes to a folder of the tests, in children too."""
    folder = tmp_path_factory.mktemp("person")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA"):
            patch.setenv(name, str(folder / name))
        yield folder


STARTUP_S = 15.0
"""Longest wait for a server to come up; on an idle machine it takes 0.2 s."""


@dataclass(frozen=True)
class PulseServer:
    """A private PulseAudio whose default source hears what is played to its default sink."""

    socket: Path
    sink: str
    source: str

    def play(self, sound: Path) -> None:
        """Play a WAV file to the end; the default microphone hears it."""
        # Short buffers underrun on a busy machine, and then the recording has holes.
        subprocess.run(["paplay", "--latency-msec=500", str(sound)], check=True, timeout=120)


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """The name of an X display; an Xvfb is started where there is none."""
    if not sys.platform.startswith("linux"):
        pytest.skip("a private X display exists on Linux only")
    present = os.environ.get("DISPLAY")
    if present:
        yield present
        return
    server = _binary("Xvfb", "xvfb")
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        # -noreset: by itself the server starts anew when its last window closes, and a window that
        # opens meanwhile finds no display.
        [
            *(server, "-displayfd", str(write_end), "-screen", "0", "1280x800x24"),
            *("-nolisten", "tcp", "-noreset"),
        ],
        pass_fds=(write_end,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        number = pipe.readline().strip()  # Xvfb writes it when it takes clients, or dies
    assert number, "Xvfb did not start"
    os.environ["DISPLAY"] = f":{number}"
    try:
        yield f":{number}"
    finally:
        del os.environ["DISPLAY"]
        _end(process)


@pytest.fixture(scope="session")
def pulse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    """A sound server of our own; PULSE_SERVER points at it for this process and its children."""
    if not sys.platform.startswith("linux"):
        pytest.skip("a private sound server exists on Linux only")
    pulseaudio = _binary("pulseaudio", "pulseaudio")
    pactl, pacat = _binary("pactl", "pulseaudio-utils"), _binary("pacat", "pulseaudio-utils")
    folder = tmp_path_factory.mktemp("pulse")
    folder.chmod(0o700)
    socket = folder / "pulse.sock"
    private = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    private["PULSE_SERVER"] = f"unix:{socket}"
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": private,
    }
    server = subprocess.Popen(
        [
            *(pulseaudio, "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
            *("--disable-shm=yes", "-n"),
            *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"),
            *("-L", "module-null-sink sink_name=speaker rate=16000 channels=1"),
            *("-L", "module-remap-source source_name=microphone master=speaker.monitor"),
        ],
        **quiet,
    )
    patience = time.monotonic() + STARTUP_S
    while subprocess.run([pactl, "info"], **quiet, timeout=STARTUP_S).returncode != 0:
        assert server.poll() is None, "PulseAudio died at its start"
        assert time.monotonic() < patience, "PulseAudio did not answer"
        time.sleep(0.05)
    subprocess.run([pactl, "set-default-sink", "speaker"], check=True, **quiet)
    subprocess.run([pactl, "set-default-source", "microphone"], check=True, **quiet)
    # Without a client that wants small blocks a null sink wakes every 2 s, and a recorder that
    # opens in between hears nothing until then.
    keep_awake = subprocess.Popen(
        [pacat, "--latency-msec=20", "--rate=16000", "--channels=1", "/dev/zero"], **quiet
    )
    before = os.environ.get("PULSE_SERVER")
    os.environ["PULSE_SERVER"] = private["PULSE_SERVER"]
    try:
        yield PulseServer(socket=socket, sink="speaker", source="microphone")
    finally:
        if before is None:
            del os.environ["PULSE_SERVER"]
        else:
            os.environ["PULSE_SERVER"] = before
        _end(keep_awake)
        _end(server)


def _binary(name: str, package: str) -> str:
    """The path of a program that `run.py test` installs; its absence is a failure, not a skip."""
    found = shutil.which(name)
    assert found, f"{name} is missing: sudo apt-get install {package}"
    return found


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def small_avatar() -> Avatar:
    """A few thousand Gaussians on the head template itself: no portrait, no fit, quick to draw."""
    from avatar.head.template import Part, load_template

    template = load_template()
    rng = np.random.default_rng(0)
    count = 2500
    vertices = np.ascontiguousarray(template.vertices, np.float32)
    triangles = np.ascontiguousarray(template.triangles, np.int32)
    corner, second, third = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(second - corner, third - corner), axis=1) / 2
    # Over the skin in front of the ears, evenly: its triangles differ a hundredfold in size.
    shown = (template.triangle_part == Part.SKIN) & (corner[:, 2] > -0.08)
    bound = rng.choice(len(triangles), count, p=area * shown / (area * shown).sum())
    width = np.sqrt((area * shown).sum() / count / area[bound])  # of its share, in triangle sizes
    scale = (width[:, None] * np.array([0.6, 0.6, 0.1])).astype(np.float16)  # as files keep it
    skin = np.array([0.80, 0.55, 0.45])
    return Avatar(
        name="small",
        vertices=vertices,
        triangles=triangles,
        neck_weights=np.ones(len(vertices), np.float32),
        expression_gain=np.ones(52, np.float32),
        bound_triangle=bound.astype(np.int32),
        bound_position=np.tile(np.array([1 / 3, 1 / 3, 0], np.float32), (count, 1)),
        bound_rotation=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        bound_scale=scale.astype(np.float32),
        opacity=np.full(count, 0.9, np.float32),
        colour=np.clip(skin + rng.uniform(-0.2, 0.2, (count, 1)), 0, 1).astype(np.float32),
        provenance={"source": "tests"},
    )


@pytest.fixture(scope="session")
def small_avatar_file(small_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_avatar` on disk."""
    from avatar.avatar_file import save_avatar

    path = tmp_path_factory.mktemp("avatars") / "small.avatar"
    save_avatar(small_avatar, path)
    return path
