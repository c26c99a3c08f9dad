"""Recordings as they come out: decoded again, with a flash and a click that must meet."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.error import InvalidDataError
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app import recording as recording_module
from app.frame_sink import Shown, fitted_into, over_backdrop, png, straight
from app.outputs import MOST_SNAPSHOTS, OutputOptions, Outputs, Snapshot
from app.recording import MOST_WAITING, Recording, check_recording, unfinished
from app.sound_channel import SoundChannel
from app.turntable import Turntable
from avatar.errors import OutputError
from avatar.types import AUDIO_RATE

GREY = (0.5, 0.5, 0.5)
SIZE = (64, 48)
FLASHES_S = (0.6, 1.3, 2.1)
FLASH_S = 0.1


@contextmanager
def sound_channel() -> Iterator[SoundChannel]:
    channel = SoundChannel()
    try:
        yield channel
    finally:
        channel.close(unlink=True)


class DiskUsage(NamedTuple):
    total: int
    used: int
    free: int


def opened_picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def picture(bright: bool, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Opaque in the middle, nothing at its rim."""
    shown = np.zeros((size[1], size[0], 4), np.uint8)
    shown[4:-4, 4:-4] = (255, 255, 255, 255) if bright else (20, 20, 20, 255)
    return shown


def flashing(instant_s: float) -> bool:
    return any(begin <= instant_s < begin + FLASH_S for begin in FLASHES_S)


def record(
    path: Path,
    channel: SoundChannel,
    *,
    seconds: float = 3.0,
    live_fps: Callable[[float], float] = lambda _: 60.0,
    delay_s: Callable[[float], float] = lambda _: 0.19,
    size: Callable[[float], tuple[int, int]] = lambda _: SIZE,
    pace: float = 0.0,
) -> Recording:
    """A live run on a clock of its own: sound enters, its face is shown `delay_s` later."""
    recording = Recording(path, size=SIZE, fps=30.0, backdrop=GREY, read_sound=channel.read_new)
    begin_s = 1000.0
    now_s, sounded_s = begin_s, begin_s - 0.5
    while now_s < begin_s + seconds:
        while sounded_s < now_s:  # blocks of 20 ms, as a microphone delivers them
            block = np.zeros(320, np.float32)
            instants = sounded_s - begin_s + np.arange(320) / AUDIO_RATE
            for flash_s in FLASHES_S:
                block[(instants >= flash_s) & (instants < flash_s + FLASH_S)] = 0.5
            block *= np.where(np.arange(320) % 16 < 8, 1, -1)  # 1 kHz
            sounded_s += 0.02
            channel.write(block, sounded_s, AUDIO_RATE)
        heard_s = now_s - delay_s(now_s - begin_s)
        if recording.wants(now_s):
            shown = picture(flashing(heard_s - begin_s), size(now_s - begin_s))
            recording.take(Shown(shown, now_s, heard_s))
        now_s += 1.0 / live_fps(now_s - begin_s)
        time.sleep(pace)
        while (
            recording.status.running and len(recording._waiting) >= MOST_WAITING
        ):  # this clock runs faster than real time
            time.sleep(0.001)
    recording.close()
    return recording


def pictures_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times [T] and [T, H, W, 4] what is shown; alpha is 255 where the file has none."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if path.suffix == ".webm":  # FFmpeg's own VP9 passes the alpha over
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = []
        for packet in container.demux(stream):
            for frame in decoder.decode(packet) if packet.size else decoder.decode(None):
                assert isinstance(frame, VideoFrame)
                assert frame.pts is not None
                assert stream.time_base is not None
                frames.append(
                    (float(frame.pts * stream.time_base), frame.to_ndarray(format="rgba"))
                )
    return np.array([time_s for time_s, _ in frames]), np.stack([shown for _, shown in frames])


def clicks_of(path: Path, level: float = 0.2) -> list[float]:
    """When sound begins after 100 ms of silence, seconds on the film's clock."""
    times, samples = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            assert isinstance(frame, AudioFrame)
            assert frame.time is not None
            block = frame.to_ndarray().astype(np.float32)
            samples.append(block[0] / (32768 if frame.format.name.startswith("s16") else 1))
            times.append(frame.time + np.arange(frame.samples) / frame.sample_rate)
    loud = np.concatenate(times)[np.abs(np.concatenate(samples)) > level]
    return loud[np.diff(loud, prepend=-1.0) > 0.1].tolist()


def flashes_of(times: np.ndarray, shown: np.ndarray) -> list[float]:
    """When the middle becomes bright."""
    bright = shown[:, shown.shape[1] // 2, shown.shape[2] // 2, 1] > 128
    return times[1:][bright[1:] & ~bright[:-1]].tolist()


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_picture_and_sound_are_in_step_at_a_constant_rate(tmp_path, ending):
    path = tmp_path / f"film{ending}"
    with sound_channel() as channel:
        recording = record(path, channel)
    times, shown = pictures_of(path)
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=2e-3)  # WebM counts milliseconds
    assert len(times) == pytest.approx(90, abs=1)
    flashes, clicks = flashes_of(times, shown), clicks_of(path)
    assert len(flashes) == len(clicks) == 3
    np.testing.assert_allclose(flashes, clicks, atol=0.02)
    # The film begins where the first picture's sound is: 190 ms before it was shown.
    np.testing.assert_allclose(clicks, np.array(FLASHES_S) + 0.19, atol=0.02)
    assert recording.status.dropped == 0
    assert not recording.status.running
    assert recording.status.problem == ""
    assert recording.status.size_bytes == path.stat().st_size
    assert os.listdir(tmp_path) == [path.name]


def test_a_live_rate_that_varies_and_a_delay_that_wanders_leave_them_in_step(tmp_path):
    path = tmp_path / "film.mp4"
    with sound_channel() as channel:
        record(
            path,
            channel,
            live_fps=lambda t: 18.0 + 40.0 * (np.sin(5 * t) > 0),
            delay_s=lambda t: 0.2 + 0.05 * np.sin(2 * t),
        )
    times, shown = pictures_of(path)
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-3)
    np.testing.assert_allclose(flashes_of(times, shown), clicks_of(path), atol=0.04)


def test_a_mp4_lies_over_the_backdrop_and_a_webm_is_transparent(tmp_path):
    shown = {}
    for ending in (".mp4", ".webm"):
        with sound_channel() as channel:
            record(tmp_path / f"film{ending}", channel, seconds=0.5)
        _, pictures = pictures_of(tmp_path / f"film{ending}")
        shown[ending] = pictures[5].astype(int)
    assert np.abs(shown[".mp4"][1, 1, :3] - 128).max() <= 3  # the backdrop at the rim
    assert np.abs(shown[".mp4"][24, 32, :3] - 20).max() <= 4
    assert shown[".webm"][1, 1, 3] <= 3  # nothing at the rim
    assert shown[".webm"][24, 32, 3] >= 252
    assert np.abs(shown[".webm"][24, 32, :3] - 20).max() <= 4


def test_a_folder_gets_numbered_pictures_with_alpha_and_the_sound(tmp_path):
    path = tmp_path / "pictures"
    with sound_channel() as channel:
        recording = record(path, channel)
    names = sorted(path.glob("*.png"))
    assert [name.name for name in names] == [
        f"picture_{k:06d}.png" for k in range(1, len(names) + 1)
    ]
    assert len(names) == pytest.approx(90, abs=1)
    shown = np.stack([opened_picture(name) for name in names])
    assert shown.shape[1:] == (48, 64, 4)
    assert (shown[:, 0, 0, 3] == 0).all()
    flashes = flashes_of(np.arange(len(shown)) / 30, shown)
    np.testing.assert_allclose(flashes, clicks_of(path / "sound.wav"), atol=0.02)
    assert recording.status.size_bytes == pytest.approx(
        sum(file.stat().st_size for file in path.iterdir()), abs=100
    )
    assert os.listdir(tmp_path) == ["pictures"]


def test_a_window_that_changes_its_shape_stays_whole_in_the_film(tmp_path):
    path = tmp_path / "film.mp4"
    with sound_channel() as channel:
        record(path, channel, seconds=1.0, size=lambda t: SIZE if t < 0.5 else (32, 48))
    _, shown = pictures_of(path)
    assert shown.shape[1:] == (48, 64, 4)
    assert np.abs(shown[-1][24, 4, :3].astype(int) - 128).max() <= 3  # backdrop beside it now
    assert np.abs(shown[0][24, 6, :3].astype(int) - 20).max() <= 6


def test_a_coder_that_is_too_slow_costs_pictures_but_neither_time_nor_the_frame_loop(
    tmp_path, monkeypatch
):
    opened = recording_module.open_recording_file

    def slow(*args, **options):
        file = opened(*args, **options)
        write = file.write_picture

        def write_slowly(picture):
            time.sleep(0.06 if picture is not None else 0)
            write(picture)

        file.write_picture = write_slowly
        return file

    monkeypatch.setattr(recording_module, "open_recording_file", slow)
    path, longest_s = tmp_path / "film.mp4", 0.0
    with sound_channel() as channel:
        recording = Recording(path, size=SIZE, fps=30.0, backdrop=GREY, read_sound=channel.read_new)
        begin_s = time.perf_counter()
        while (now_s := time.perf_counter()) < begin_s + 2.0:
            if recording.wants(now_s):
                recording.take(Shown(picture(False), now_s, now_s - 0.1))
            longest_s = max(longest_s, time.perf_counter() - now_s)
            time.sleep(1 / 60)
        recording.close()
    assert longest_s < 0.05  # coding one picture takes longer
    assert recording.status.dropped > 10
    times, _ = pictures_of(path)
    assert times[-1] == pytest.approx(2.0, abs=0.35)  # what waits at the end is the last


def test_without_any_sound_the_film_is_silent_and_as_long_as_its_pictures(tmp_path):
    path = tmp_path / "film.mp4"
    recording = Recording(
        path, size=SIZE, fps=30.0, backdrop=GREY, read_sound=lambda: np.zeros(0, np.void)
    )
    for number in range(90):
        recording.take(Shown(picture(False), 50 + number / 30, None))
        time.sleep(0.002)
        while recording.status.running and len(recording._waiting) >= MOST_WAITING:
            time.sleep(0.001)
    recording.close()
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(3e6, abs=0.1e6)
    assert clicks_of(path) == []


def test_an_almost_full_disk_ends_it_well_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "film.mp4"
    free = iter([10**9, *[10**6] * 100])
    monkeypatch.setattr(recording_module, "SPACE_EVERY_S", 0.3)
    monkeypatch.setattr(
        recording_module.shutil, "disk_usage", lambda _: DiskUsage(0, 0, next(free))
    )
    with sound_channel() as channel:
        recording = record(path, channel, seconds=3.0, pace=0.01)
    problem = recording.status.problem
    assert "film.mp4: the disk is full (1 MB left)" in problem
    assert "are kept" in problem
    assert len(problem.splitlines()) == 1
    times, _ = pictures_of(path)
    assert 0.1 < times[-1] < 2.9


FULL_DISK = """
    import resource, sys, time
    from pathlib import Path
    import numpy as np
    from app import recording as module
    from app.frame_sink import Shown
    module.LEAST_FREE_BYTES = 0
    if sys.argv[2] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
    recording = module.Recording(Path(sys.argv[1]), size=(320, 320), fps=30.0,
                                 backdrop=(0, 0, 0), read_sound=lambda: np.zeros(0, np.void))
    noise = np.random.default_rng(0).integers(0, 255, (30, 320, 320, 4)).astype(np.uint8)
    noise[..., 3] = 255
    number = 0
    while recording.status.running and number < 900:
        if recording.wants(number / 30):
            recording.take(Shown(noise[number % 30], number / 30, number / 30))
            number += 1
        time.sleep(0.004)
        while recording.status.running and len(recording._waiting) > 6:
            time.sleep(0.002)
    recording.close()
    print(recording.status.problem)
"""
"""Real writes to where there is no room. Noise, so that it is soon full."""


def played(path: Path) -> int:
    """How many pictures a player gets of a file that was cut short."""
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        try:
            for _ in container.decode(stream):
                count += 1
        except InvalidDataError:  # the last, torn fragment
            pass
    return count


def write_until_full(path: Path, how: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path), how],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert "Traceback" not in result.stderr, result.stderr
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are Unix's")
@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_a_write_that_fails_leaves_a_file_that_plays_and_one_line(tmp_path, name):
    path = tmp_path / name
    problem = write_until_full(path, "limit")
    assert f"{name}: cannot be written (File too large)" in problem
    assert "are kept" in problem
    assert len(problem.splitlines()) == 1
    assert path.stat().st_size <= 600_000
    assert played(path) > 5


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "pictures"])
def test_a_disk_that_is_really_full_leaves_what_plays(tmp_path, name):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only root of a Linux may mount a disk of 1 MB")
    try:
        problem = write_until_full(disk / name, "disk")
        assert "No space left on device" in problem
        if name == "pictures":
            names = sorted((disk / name).glob("*.png"))
            assert len(names) > 1
            assert opened_picture(names[0]).shape == (320, 320, 4)
        else:
            assert played(disk / name) > 5
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_cannot_be_recorded_is_said_before_anything_starts(tmp_path):
    (tmp_path / "there").mkdir()
    for path, message in [
        (tmp_path / "film.avi", "expected the ending .mp4 or .webm, got .avi"),
        (tmp_path / "no" / "film.mp4", "there is no folder"),
        (tmp_path / "no" / "pictures", "there is no folder"),
        (tmp_path / "there", "exists already"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_recording(path)
    check_recording(tmp_path / "film.webm")
    check_recording(tmp_path / "pictures")


def test_a_folder_that_vanishes_is_told_and_a_recording_of_before_survives(tmp_path):
    gone = tmp_path / "gone"
    recording = Recording(
        gone / "film.mp4",
        size=SIZE,
        fps=30.0,
        backdrop=GREY,
        read_sound=lambda: np.zeros(0, np.void),
    )
    recording.close()
    assert "No such file or directory" in recording.status.problem
    before = tmp_path / "film.mp4"
    before.write_bytes(b"of before")
    assert unfinished(before).name == "film.unfinished.mp4"
    unfinished(before).write_bytes(b"left by a kill")
    assert unfinished(before).name == "film.unfinished-2.mp4"
    nothing = Recording(
        before, size=SIZE, fps=30.0, backdrop=GREY, read_sound=lambda: np.zeros(0, np.void)
    )
    nothing.close()  # no picture ever came
    assert before.read_bytes() == b"of before"
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "film.unfinished.mp4"]


premultiplied = st.integers(0, 255).flatmap(
    lambda alpha: st.tuples(*[st.integers(0, alpha)] * 3, st.just(alpha))
)


@given(
    pixel=premultiplied,
    backdrop=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_a_backdrop_shows_through_as_far_as_alpha_lets_it(pixel, backdrop):
    shown = np.full((2, 2, 4), pixel, np.uint8)
    over = over_backdrop(shown, backdrop)[0, 0]
    exact = np.array(pixel[:3]) + (255 - pixel[3]) * np.array(backdrop)
    assert np.abs(over - np.minimum(exact, 255)).max() <= 0.5 + 1e-6
    opaque = straight(shown)[0, 0]
    assert opaque[3] == pixel[3]
    if pixel[3]:
        back = opaque[:3].astype(float) * pixel[3] / 255
        assert np.abs(back - pixel[:3]).max() <= 0.5 * pixel[3] / 255 + 0.01


@given(room=st.tuples(st.integers(2, 90), st.integers(2, 90)), side=st.integers(2, 60))
def test_a_picture_fits_into_any_room_in_the_middle(room, side):
    fitted = fitted_into(np.full((side, 2 * side, 4), 255, np.uint8), *room)
    assert fitted.shape == (room[1], room[0], 4)
    filled = np.argwhere(fitted[..., 3] > 128)
    first, last = filled.min(0), filled.max(0)
    assert np.abs(first - (np.array(fitted.shape[:2]) - 1 - last)).max() <= 1  # as far on each side
    assert (last - first + 1 == fitted.shape[:2]).any()  # and as large as it can be


def outputs_into(folder: Path) -> Outputs:
    options = OutputOptions(folder=folder, fps=30.0, backdrop=GREY)
    return Outputs(options, lambda: np.zeros(0, np.void))


def test_nothing_is_wanted_while_nobody_asks(tmp_path):
    outputs = outputs_into(tmp_path)
    assert not outputs.wants(1.0)
    outputs.snapshot(Snapshot())
    assert outputs.wants(1.0)
    outputs.take(Shown(picture(True), 1.0, None))
    assert not outputs.wants(2.0)
    outputs.close()


def test_snapshots_are_saved_or_delivered_with_or_without_alpha(tmp_path):
    outputs, delivered = outputs_into(tmp_path), []
    outputs.snapshot(Snapshot(alpha=False))
    outputs.snapshot(Snapshot(alpha=True))
    outputs.snapshot(Snapshot(alpha=True, deliver=delivered.append))
    shown = picture(True)
    outputs.take(Shown(shown, 1.0, None))
    shown[:] = 0  # the frame loop draws on at once
    outputs.close()
    saved = sorted(tmp_path.glob("visavis-*.png"))
    kinds = {opened_picture(path).shape[2]: opened_picture(path) for path in saved}
    assert set(kinds) == {3, 4}
    assert kinds[3][0, 0].tolist() == [128, 128, 128]
    assert kinds[4][0, 0, 3] == 0
    assert kinds[4][24, 32].tolist() == [255, 255, 255, 255]
    assert delivered[0] == png(picture(True), None)
    assert outputs.saved_name in [path.name for path in saved]


def test_more_snapshots_than_can_be_written_are_refused(tmp_path):
    outputs = outputs_into(tmp_path)
    for _ in range(MOST_SNAPSHOTS):
        outputs.snapshot(Snapshot())
    with pytest.raises(OutputError, match="snapshots are being written"):
        outputs.snapshot(Snapshot())
    outputs.close()


def test_a_snapshot_that_cannot_be_saved_is_told(tmp_path):
    outputs = outputs_into(tmp_path / "nowhere")
    outputs.snapshot(Snapshot())
    outputs.take(Shown(picture(True), 1.0, None))
    outputs.close()
    assert "No such file or directory" in outputs.problem


def test_a_turntable_goes_around_once_while_it_is_recorded(tmp_path):
    outputs = outputs_into(tmp_path)
    outputs.turn(Turntable(seconds=1.0), SIZE, tmp_path / "turn.mp4")
    yaws, begin_s = [], time.perf_counter()
    while (now_s := time.perf_counter()) < begin_s + 1.3:
        yaws.append(outputs.turned_rad(now_s))
        if outputs.wants(now_s):
            outputs.take(Shown(picture(False), now_s, None))
        time.sleep(0.01)
    with (
        pytest.raises(OutputError, match="is being recorded")
        if outputs.is_recording
        else (pytest.raises(AssertionError))
    ):
        outputs.start_recording(SIZE, tmp_path / "other.mp4")
        raise AssertionError("it has ended, so another may begin")
    outputs.close()
    turning = np.array([yaw for yaw in yaws if yaw])
    assert (np.diff(turning) > 0).all()
    assert turning[-1] > 2 * np.pi * 0.9
    assert yaws[-1] == 0
    times, _ = pictures_of(tmp_path / "turn.mp4")
    assert times[-1] == pytest.approx(1.0, abs=0.15)


def test_less_than_a_turn_swings_to_both_sides_and_comes_back():
    swing = Turntable(seconds=4.0, degrees=30.0)
    yaws = [swing.yaw_rad(k / 10) for k in range(41)]
    assert max(yaws) == pytest.approx(np.radians(30), rel=0.02)
    assert min(yaws) == pytest.approx(-np.radians(30), rel=0.02)
    assert yaws[0] == pytest.approx(yaws[-1], abs=1e-9)


def test_one_recording_at_a_time(tmp_path):
    outputs = outputs_into(tmp_path)
    outputs.start_recording(SIZE, tmp_path / "one.mp4")
    with pytest.raises(OutputError, match=r"one\.mp4: is being recorded"):
        outputs.start_recording(SIZE, tmp_path / "two.mp4")
    outputs.close()
