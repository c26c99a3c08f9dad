"""The speech process as it runs: a real process, a real sound server, real deaths."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.microphone import Heard
from app.motion_channel import MotionChannel, SharedRecord
from app.sound_channel import SoundChannel
from app.speech_process import (
    MOST_RESTARTS,
    STATUS,
    SourceState,
    SpeechProcess,
    SpeechSettings,
    _Speech,
)
from avatar.motion.direction import Direction
from tests.app.stand_ins import JAW, SAMPLES, LoudJaw, broken_generator
from tests.app.test_microphone import speechlike, write_wav

PATIENCE_S = 30.0


@contextmanager
def running(settings: SpeechSettings) -> Iterator[SpeechProcess]:
    speech = SpeechProcess(settings)
    try:
        speech.start()
        speech.begin()
        yield speech
    finally:
        speech.close()


def until(condition: Callable[[], bool], what: str, speech: SpeechProcess | None = None) -> None:
    """Wait until `condition`, watching the process as the frame loop does."""
    end = time.perf_counter() + PATIENCE_S
    while not condition():
        assert time.perf_counter() < end, f"no {what} in {PATIENCE_S:.0f} s"
        if speech is not None:
            speech.watch(time.perf_counter())
        time.sleep(0.02)


def collect(speech: SpeechProcess, seconds: float) -> np.ndarray:
    """All motion records of some seconds."""
    got = [speech.read_motion()]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        speech.watch(time.perf_counter())
        got.append(speech.read_motion())
        time.sleep(0.02)
    return np.concatenate(got)


def wait_for_motion(speech: SpeechProcess) -> None:
    until(lambda: len(speech.read_motion()) > 0, "motion", speech)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "speech.wav", speechlike(2.0))


def test_a_file_becomes_motion_at_the_pace_of_time(wav):
    settings = SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw)
    with running(settings) as speech:
        records = []
        until(lambda: bool(len(got := speech.read_motion()) and not records.append(got)), "motion")
        began = time.perf_counter()
        records.append(collect(speech, 1.2))
        took = time.perf_counter() - began
        motion = np.concatenate(records)
        motion = motion[motion["time_s"] < 2.0]
        assert motion["index"].tolist() == list(range(motion["index"][0], motion["index"][-1] + 1))
        # As a microphone: a second takes a second, and nothing comes before it was heard.
        assert len(motion) / 50 == pytest.approx(took, abs=0.5)
        np.testing.assert_allclose(np.diff(motion["heard_s"]), 0.02, atol=5e-3)
        # The envelope of the sound, not some other motion.
        envelope = np.clip(np.sin(2 * np.pi * 4 * (motion["time_s"] + 0.01)), 0, 1)
        assert np.corrcoef(motion["expression"][:, JAW], envelope)[0, 1] > 0.8
        until(lambda: speech.report().state is SourceState.FILE_ENDED, "end of the file", speech)
        after = collect(speech, 0.4)
        assert len(after) > 5  # silence goes on: the face lives
        assert after["expression"][-1, JAW] < 0.05
        speech.play_again()
        until(lambda: speech.report().state is SourceState.HEARING, "second playing", speech)
        assert collect(speech, 0.5)["expression"][:, JAW].max() > 0.3


def test_a_file_waits_until_there_is_a_face_to_see(wav):
    speech = SpeechProcess(SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw))
    try:
        speech.start()
        assert len(collect(speech, 2.5)) == 0
        assert speech.report().state is SourceState.LOADING
        speech.begin()
        wait_for_motion(speech)
        until(lambda: speech.report().state is SourceState.HEARING, "sound", speech)
        assert speech.report().file_position_s < 1.5
    finally:
        speech.close()


def test_what_the_microphone_hears_moves_the_jaw(pulse_server, wav):
    with running(SpeechSettings(make_generator=LoudJaw)) as speech:
        until(lambda: speech.report().state is SourceState.HEARING, "microphone", speech)
        until(lambda: speech.report().blocks > 0, "block", speech)
        player = subprocess.Popen(["paplay", "--latency-msec=500", str(wav)])
        levels, speaking = [], []
        motion = []
        while player.poll() is None:
            motion.append(speech.read_motion())
            report = speech.report()
            levels.append(report.level)
            speaking.append(report.speech)
            time.sleep(0.02)
        assert player.wait(20) == 0
        jaw = np.concatenate(motion)["expression"][:, JAW]
        assert jaw.max() > 0.3
        assert np.percentile(jaw, 5) < 0.05
        assert max(levels) > 0.5
        assert any(speaking)
        heard = np.concatenate(motion)["heard_s"]
        assert (np.diff(heard) > 0).all()
        until(lambda: len(speech.report().microphones) > 1, "list of microphones", speech)
        assert speech.report().problem == ""
        assert np.isnan(speech.report().microphone_levels).all()

        def metered() -> bool:
            speech.meter_microphones()  # as a list does in each frame while it is unfolded
            return not np.isnan(speech.report().microphone_levels[1])

        until(metered, "level of the other", speech)
        until(lambda: bool(np.isnan(speech.report().microphone_levels[1])), "end of it", speech)
        name = speech.report().microphones[1]
        speech.choose_microphone(name)
        collect(speech, 0.7)  # the change and the next report
        blocks = speech.report().blocks
        until(lambda: speech.report().blocks > blocks + 20, "sound of the other", speech)
        assert speech.report().restarts == 0  # a choice is no loss
        speech.set_gain(0.0)
        time.sleep(0.2)
        speech.read_motion()
        assert collect(speech, 0.4)["expression"][:, JAW].max() == 0.0


def test_a_killed_process_is_started_again_and_the_file_goes_on(tmp_path):
    wav = write_wav(tmp_path / "long.wav", speechlike(60.0))
    settings = SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw)
    with running(settings) as speech:
        wait_for_motion(speech)
        until(lambda: speech.report().file_position_s > 0.9, "progress", speech)
        position = speech.report().file_position_s
        first = speech.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: speech.process_id not in (None, first), "new process", speech)
        assert speech.deaths == 1
        assert "started again" in speech.report().problem
        wait_for_motion(speech)
        until(lambda: speech.report().file_position_s > position, "progress", speech)
        assert speech.report().file_position_s < position + 10


def test_what_is_asked_of_the_face_reaches_it_and_survives_a_death(tmp_path):
    wav = write_wav(tmp_path / "long.wav", speechlike(60.0))
    settings = SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw)
    with running(settings) as speech:
        wait_for_motion(speech)
        assert collect(speech, 0.2)["gaze"][-1].tolist() == [0, 0]
        speech.direct(Direction(gaze=(0.25, -0.125), head=(0.25, 0.125, -0.0625)))
        until(lambda: bool((speech.read_motion()["gaze"] == (0.25, -0.125)).any()), "gaze")
        first = speech.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: speech.process_id not in (None, first), "new process", speech)
        speech.read_motion()
        again = collect(speech, 3.0)
        assert (again["gaze"] == (0.25, -0.125)).all()
        assert (again["head_rotation"] == (0.25, 0.125, -0.0625)).all()


def test_a_process_that_cannot_work_is_given_up_after_three_starts():
    settings = SpeechSettings(make_generator=broken_generator)
    with running(settings) as speech:
        until(lambda: speech.report().problem.startswith("speech process given up"), "end", speech)
        assert speech.deaths == MOST_RESTARTS + 1
        assert "ValueError: these weights are for another network" in speech.report().problem
        assert not speech.report().running
        pid_before = speech.process_id
        speech.watch(time.perf_counter())
        assert speech.process_id == pid_before  # it stays given up


def test_without_a_microphone_the_face_lives_on_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/no-server-here")
    with running(SpeechSettings(make_generator=LoudJaw)) as speech:
        until(lambda: speech.report().state is SourceState.WITHOUT_SOUND, "silence", speech)
        until(lambda: speech.report().problem != "", "reason", speech)
        speech.read_motion()
        motion = collect(speech, 1.0)
        assert 35 <= len(motion) <= 65
        assert motion["expression"][:, JAW].max() == 0.0
        assert np.ptp(motion["heard_s"] - motion["time_s"]) < 0.1


def test_a_dead_sound_server_is_found_again(tmp_path, monkeypatch):
    """Killed and frozen servers are the same to the reader: no blocks; then a new stream."""
    server = PrivateServer(tmp_path)
    monkeypatch.setenv("PULSE_SERVER", f"unix:{server.socket}")
    server.start()
    try:
        with running(SpeechSettings(make_generator=LoudJaw)) as speech:
            until(lambda: speech.report().blocks > 10, "blocks", speech)
            server.kill()
            until(lambda: speech.report().problem != "", "notice of the loss", speech)
            assert "microphone" in speech.report().problem
            silent = collect(speech, 0.5)
            assert len(silent) > 10
            blocks = speech.report().blocks
            server.start()
            until(lambda: speech.report().blocks > blocks + 10, "return", speech)
            until(lambda: speech.report().problem == "", "all-clear", speech)
            assert speech.report().restarts >= 1
            assert speech.deaths == 0
            server.signal(signal.SIGSTOP)
            until(lambda: "silent" in speech.report().problem, "notice of the freeze", speech)
            blocks = speech.report().blocks
            server.signal(signal.SIGCONT)
            until(lambda: speech.report().blocks > blocks + 50, "return from ice", speech)
            newest = collect(speech, 0.3)["heard_s"][-1]
            assert time.perf_counter() - newest < 0.5  # the backlog was dropped
    finally:
        server.kill()


class PrivateServer:
    """A PulseAudio that a test may kill; the one of the fixtures is shared."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "pulse.sock"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        private = {**os.environ, "XDG_RUNTIME_DIR": str(self._folder), "HOME": str(self._folder)}
        self._folder.chmod(0o700)
        self._process = subprocess.Popen(
            [
                *("pulseaudio", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
                *("--disable-shm=yes", "-n"),
                *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}"),
                *("-L", "module-sine-source source_name=tone rate=16000 frequency=440"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=private,
        )
        end = time.perf_counter() + PATIENCE_S
        while not self.socket.exists():
            assert time.perf_counter() < end
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


ORPHAN = """
import sys, time
from pathlib import Path
from app.speech_process import SpeechProcess, SpeechSettings
from tests.app.stand_ins import LoudJaw

if __name__ == "__main__":
    settings = SpeechSettings(audio=Path(sys.argv[1]), play_aloud=False, make_generator=LoudJaw)
    speech = SpeechProcess(settings)
    speech.start()
    speech.begin()
    while not len(speech.read_motion()):
        time.sleep(0.02)
    print(speech.process_id, flush=True)
    time.sleep(60)
"""


def test_the_process_ends_when_its_parent_is_killed(wav, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script), str(wav)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the interpreter tells of the memory that it takes back
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(PATIENCE_S)
    assert not child.is_running()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is not in the file system")
def test_closing_leaves_no_process_and_no_shared_memory(wav):
    before = set(os.listdir("/dev/shm"))
    settings = SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw)
    with running(settings) as speech:
        wait_for_motion(speech)
        process = psutil.Process(speech.process_id)
        made = set(os.listdir("/dev/shm")) - before
        assert made
    assert not process.is_running()
    assert not made & set(os.listdir("/dev/shm"))


def test_a_file_that_is_played_aloud_moves_the_lips_once(pulse_server, tmp_path):
    """The worst of rooms: the microphone hears all that the loudspeaker plays."""
    spoken = write_wav(tmp_path / "spoken.wav", speechlike(1.5))
    settings = SpeechSettings(make_generator=LoudJaw, play_aloud=True)
    with running(settings) as speech:
        until(lambda: speech.report().state is SourceState.HEARING, "microphone", speech)
        collect(speech, 0.5)
        speech.speak(spoken)
        until(lambda: speech.report().speaking, "speaking", speech)
        said: list[np.ndarray] = []

        def is_over() -> bool:
            said.append(speech.read_motion())
            return not speech.report().speaking

        until(is_over, "end of the file", speech)
        until(lambda: speech.report().state is SourceState.HEARING, "microphone again", speech)
        after = collect(speech, 1.5)
    jaws = np.concatenate(said)["expression"][:, JAW]
    assert jaws.max() > 0.3
    assert len(after) > 20
    assert after["expression"][:, JAW].max() < 0.05


def test_a_muted_microphone_moves_nothing_and_is_not_recorded(pulse_server, tmp_path):
    wav = write_wav(tmp_path / "long.wav", speechlike(12.0))
    with running(SpeechSettings(make_generator=LoudJaw)) as speech:
        until(lambda: speech.report().state is SourceState.HEARING, "microphone", speech)
        player = subprocess.Popen(["paplay", "--latency-msec=500", str(wav)])
        try:
            until(lambda: speech.report().speech, "speech", speech)
            speech.mute(True)
            collect(speech, 0.5)
            speech.read_sound()
            muted = collect(speech, 1.0)
            level = speech.report().level
            sound = speech.read_sound()
            speech.mute(False)
            collect(speech, 0.3)
            heard = collect(speech, 1.0)
        finally:
            player.kill()
            player.wait()
    assert not muted["expression"][:, JAW].any()
    assert len(sound) > 10
    assert not sound["samples"].any()
    assert level > 0.3  # what there is to be heard shows all the same
    assert heard["expression"][:, JAW].max() > 0.3


def test_a_gate_keeps_quiet_sound_from_the_face(pulse_server, tmp_path):
    wav = write_wav(tmp_path / "long.wav", speechlike(12.0))
    with running(SpeechSettings(make_generator=LoudJaw)) as speech:
        until(lambda: speech.report().state is SourceState.HEARING, "microphone", speech)
        player = subprocess.Popen(["paplay", "--latency-msec=500", str(wav)])
        try:
            until(lambda: speech.report().speech, "speech", speech)
            speech.set_gate(-5.0)  # louder than all of it
            collect(speech, 0.8)
            gated = collect(speech, 1.0)
            speech.set_gate(-60.0)
            collect(speech, 0.3)
            heard = collect(speech, 1.0)
        finally:
            player.kill()
            player.wait()
    assert not gated["expression"][:, JAW].any()
    assert heard["expression"][:, JAW].max() > 0.3


def test_a_microphones_blocks_are_brought_into_step_with_the_generator():
    """Whatever was heard before: then no stretch of motion waits for the rest of a block."""
    shared = MotionChannel(), SoundChannel(), SharedRecord(STATUS)
    speech = _Speech(SpeechSettings(make_generator=LoudJaw), *shared)
    try:
        for odd in (37, 1001):
            speech._take(Heard(np.zeros(odd, np.float32), 1.0))
            speech._in_step = False
            for block in range(1, 7):
                before = speech._status["motions"]
                speech._take(Heard(np.ones(160, np.float32), 1.0), from_microphone=True)
                came = speech._status["motions"] > before
                if block > 2:
                    assert came == (speech._fed % SAMPLES == 0)
                assert speech._fed % 160 == 0
    finally:
        for one in shared:
            one.close(unlink=True)
