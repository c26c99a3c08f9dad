"""What leaves a live run: real sound, real processes, a real window; the films decoded again."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from app.frame_loop import FrameLoop, LiveOptions, Loader, MemoryDisplay, Scene
from app.outputs import OutputOptions, Outputs
from app.speech_process import SourceState, SpeechProcess, SpeechSettings
from avatar.types import AUDIO_RATE, Gaussians, MotionFrame
from tests.app.stand_ins import JAW, LoudJaw
from tests.app.test_live import (
    PATIENCE_S,
    Desktop,
    face_is_drawn,
    finished,
    started,
    wait_until_ready,
)
from tests.app.test_microphone import speechlike, write_wav
from tests.app.test_recording import clicks_of, flashes_of, pictures_of, played

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals and xdotool are those of a Unix desktop"
)

IN_STEP_S = 0.04
BURSTS_S = (0.8, 1.6, 2.7)


def bursts() -> np.ndarray:
    """4 s of silence with three bursts of 0.2 s."""
    samples = np.zeros(4 * AUDIO_RATE, np.float32)
    for burst_s in BURSTS_S:
        first = round(burst_s * AUDIO_RATE)
        samples[first : first + AUDIO_RATE // 5 : 1] = 0.6 * np.sign(
            np.sin(np.arange(AUDIO_RATE // 5) * 0.4)
        )
    return samples


class JawAsLight:
    """Stands for an avatar and its renderer: the picture is as bright as the jaw is open."""

    name, reason = "light", "a stand-in"

    def __init__(self) -> None:
        self.jaw = 0.0

    def gaussians(self, motion: MotionFrame, *, seen_from: ArrayLike) -> Gaussians:
        self.jaw = float(motion.expression[JAW])
        return Gaussians.__new__(Gaussians)

    def render_with_alpha(self, gaussians: Gaussians, views: Any, *, out: np.ndarray) -> None:
        out[..., :3] = round(255 * min(self.jaw, 1.0))
        out[..., 3] = 255


def run_recorded(
    path: Path, speech: SpeechProcess, wav: Path, told: "Callable[[FrameLoop], None] | None" = None
) -> None:
    """The frame loop itself with the stand-in, until the file `wav` is over; or, where the sound
    comes otherwise, until `told` returns, which runs beside it."""
    light: Any = JawAsLight()
    loader = Loader(lambda avatar, renderer: Scene(avatar, light, light))
    outputs = Outputs(
        OutputOptions(folder=path.parent, fps=30.0, backdrop=(0, 0, 0)), speech.read_sound
    )
    options = LiveOptions(
        avatar="light",
        avatars=("light",),
        sound_file=wav if told is None else None,
        adapts=False,
        record=path,
    )
    loop = FrameLoop(MemoryDisplay(64, 64), speech, loader, options, outputs=outputs)

    def tell(told: Callable[[FrameLoop], None]) -> None:
        told(loop)
        time.sleep(0.7)  # the face comes after its sound
        loop.stop()

    if told is not None:
        threading.Thread(target=tell, args=(told,), daemon=True).start()
    try:
        loop.run()
    finally:
        loader.close()
        outputs.close()
    assert outputs.problem == ""


def assert_in_step(path: Path) -> None:
    """Each burst that the face showed lies at its sound. A busy machine may starve one of them."""
    clicks, (times, shown) = clicks_of(path), pictures_of(path)
    flashes = flashes_of(times, shown)
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=2e-3)
    np.testing.assert_allclose(np.diff(clicks[:3]), np.diff(BURSTS_S), atol=0.03)
    assert len(flashes) >= 2
    for flash_s in flashes:
        assert min(abs(flash_s - click_s) for click_s in clicks) < IN_STEP_S


def test_a_file_and_its_face_are_in_step_in_the_recording(tmp_path):
    wav = write_wav(tmp_path / "bursts.wav", bursts())
    settings = SpeechSettings(audio=wav, play_aloud=False, make_generator=LoudJaw)
    speech, path = SpeechProcess(settings), tmp_path / "film.mp4"
    try:
        speech.start()
        run_recorded(path, speech, wav)
    finally:
        speech.close()
    assert_in_step(path)


def test_a_file_played_aloud_is_in_step_too(pulse_server, tmp_path):
    wav = write_wav(tmp_path / "bursts.wav", bursts())
    settings = SpeechSettings(audio=wav, play_aloud=True, make_generator=LoudJaw)
    speech, path = SpeechProcess(settings), tmp_path / "film.webm"
    try:
        speech.start()
        run_recorded(path, speech, wav)
        assert speech.report().speaker_delay_s > 0.1  # it was: the face waited for the loudspeaker
    finally:
        speech.close()
    assert_in_step(path)


def test_a_microphone_and_the_face_are_in_step_in_the_recording(pulse_server, tmp_path):
    wav = write_wav(tmp_path / "bursts.wav", bursts())
    speech, path = SpeechProcess(SpeechSettings(make_generator=LoudJaw)), tmp_path / "film.mp4"

    def play(loop: FrameLoop) -> None:
        while loop.report.state is not SourceState.HEARING or loop.report.blocks < 20:
            time.sleep(0.05)
        pulse_server.play(wav)

    try:
        speech.start()
        run_recorded(path, speech, wav, play)
    finally:
        speech.close()
    assert_in_step(path)


def test_a_spoken_file_takes_the_microphones_place_and_gives_it_back(pulse_server, tmp_path):
    wav = write_wav(tmp_path / "bursts.wav", bursts())
    speech, path = SpeechProcess(SpeechSettings(make_generator=LoudJaw)), tmp_path / "film.mp4"
    spoken = []

    def say(loop: FrameLoop) -> None:
        while loop.report.state is not SourceState.HEARING:
            time.sleep(0.05)
        speech.speak(wav)
        for wanted in (True, False):
            while loop.report.speaking is not wanted:
                time.sleep(0.02)
            spoken.append(time.perf_counter())

    try:
        speech.start()
        run_recorded(path, speech, wav, say)
        assert speech.report().state is SourceState.HEARING  # the microphone again
        assert speech.report().speaker_delay_s == 0
    finally:
        speech.close()
    # Four seconds of file, and what is left in the loudspeaker.
    assert spoken[1] - spoken[0] == pytest.approx(4.4, abs=0.8)
    # The sound server's microphone hears the loudspeaker, but not what the file replaced.
    assert_in_step(path)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "speech.wav", speechlike(30.0))


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_killed_program_leaves_a_film_that_plays(small_avatar_file, wav, tmp_path, ending):
    path = tmp_path / f"film{ending}"
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "128", "--backend", "cpu", "--record", str(path)),
    ) as process:
        wait_until_ready(process)
        time.sleep(4.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    assert not path.exists()
    left = tmp_path / f"film.unfinished{ending}"
    assert played(left) > 30  # all but the last second or two
    times, shown = pictures_of(left)
    assert np.ptp(shown[len(times) // 2], axis=(0, 1))[:3].min() > 20  # a face, not one colour


def test_ctrl_c_ends_the_film_well(small_avatar_file, wav, tmp_path):
    path = tmp_path / "film.mp4"
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--display", "none"),
        *("--size", "128", "--backend", "cpu", "--record", str(path), "--backdrop", "00ff00"),
    ) as process:
        wait_until_ready(process)
        time.sleep(3.0)
        os.killpg(process.pid, signal.SIGINT)
        finished(process)
    times, shown = pictures_of(path)
    assert times[-1] > 1.5
    assert shown[0][2, 2, 1] > 200  # the backdrop that was asked for
    assert shown[0][2, 2, 0] < 60
    assert os.listdir(tmp_path).count("film.mp4") == 1
    assert not (tmp_path / "film.unfinished.mp4").exists()


def test_a_window_records_what_it_shows_and_says_so(
    display, pulse_server, small_avatar_file, wav, tmp_path
):
    path, desktop = tmp_path / "film.mp4", Desktop()
    with started(
        *("--avatar", str(small_avatar_file), "--audio", str(wav), "--size", "256"),
        # OpenGL's renderer shares the window's context.
        *("--display", "window", "--backend", "gl", "--record", str(path)),
    ) as process:
        wait_until_ready(process)
        window = desktop.find("^visavis$")
        end = time.perf_counter() + PATIENCE_S
        while not face_is_drawn(desktop.picture(window)):
            assert time.perf_counter() < end, "no face"
            time.sleep(0.1)
        time.sleep(3.0)
        panel = desktop.picture(window)[:, :300]
        red = (panel[..., 0] > 130) & (panel[..., 1] < 70) & (panel[..., 2] < 70)
        assert red.sum() > 800  # the button that stops it
        desktop.do("key", "--window", window, "Escape")
        finished(process)
    times, shown = pictures_of(path)
    assert times[-1] > 2
    assert shown.shape[2] > shown.shape[1] * 0.9  # the window's room beside the panel
    assert max(shown.shape[1:3]) == 256
    middle = shown[-1][80:160, 80:160, :3].astype(int)
    assert (np.ptp(middle, axis=2) > 40).mean() > 0.2  # a face, not the grey backdrop
    assert max(np.abs(sound_of(path))) > 0.05


def sound_of(path: Path) -> np.ndarray:
    import av

    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
