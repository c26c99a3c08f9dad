"""A film holds the pictures at their times, the sound in step with them, and is whole or absent."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from app.film import film
from app.sound_file import examine_sound
from avatar.errors import OutputError, SoundError
from tests.app.sounds import clicks, tone, write_wav

SKIN = (200, 120, 90)
LONGEST_OFFSET_S = 0.005
"""Far inside the 40 ms at which lips and sound seem apart: the film adds no offset of its own."""


def pictures_of(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [(frame.time or 0.0, frame.to_ndarray(format="rgb24")) for frame in frames]


def sound_of(path: Path) -> tuple[float, int, np.ndarray]:
    """The time of the first sample, samples a second, and the samples."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return frames[0].time or 0.0, frames[0].sample_rate, samples


def onsets_of(path: Path) -> list[float]:
    """Seconds at which sound begins after silence, on the film's clock."""
    start_s, rate, samples = sound_of(path)
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    firsts = [loud[0]] + [after for before, after in pairwise(loud) if after - before > rate // 10]
    return [start_s + first / rate for first in firsts]


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 96000])
def test_bursts_are_heard_when_their_picture_is_shown_for_a_whole_minute(
    tmp_path: Path, rate: int
) -> None:
    instants = (0.0, 1.0, 30.0, 59.0)
    path = write_wav(tmp_path / "bursts.wav", rate, clicks(60, rate, instants))
    target = tmp_path / "film.mp4"
    flash = np.full((32, 32, 3), 255, np.uint8)
    dark = np.zeros((32, 32, 3), np.uint8)
    with film(target, width=32, height=32, fps=25, sound=(path, examine_sound(path))) as writer:
        for index in range(60 * 25):
            writer.write(flash if index / 25 in instants else dark)
    pictures = pictures_of(target)
    assert [time for time, _ in pictures] == pytest.approx([i / 25 for i in range(1500)])
    seen = [time for time, picture in pictures if picture.mean() > 128]
    assert seen == pytest.approx(instants)
    assert onsets_of(target) == pytest.approx(instants, abs=LONGEST_OFFSET_S)


@pytest.mark.parametrize("fps", [10.0, 23.976, 29.97, 30.0, 60.0])
def test_each_picture_begins_at_its_number_divided_by_the_rate(tmp_path: Path, fps: float) -> None:
    target = tmp_path / "film.mp4"
    with film(target, width=32, height=32, fps=fps) as writer:
        for _ in range(100):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    times = [time for time, _ in pictures_of(target)]
    np.testing.assert_allclose(times, np.arange(100) / fps, atol=1e-4)  # the file's clock ticks


def test_colours_come_back_and_name_their_matrix(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    with film(target, width=64, height=48, fps=25) as writer:
        writer.write(np.full((48, 64, 3), SKIN, np.uint8))
    ((_, picture),) = pictures_of(target)
    assert picture.shape == (48, 64, 3)
    np.testing.assert_allclose(picture.reshape(-1, 3).mean(0), SKIN, atol=3)  # 8-bit YCbCr
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)  # 709


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    sides = np.stack([tone(1, 44100), np.zeros(44100, np.float32)], axis=1)
    path = write_wav(tmp_path / "stereo.wav", 44100, sides)
    target = tmp_path / "film.mp4"
    with film(target, width=32, height=32, fps=25, sound=(path, examine_sound(path))) as writer:
        for _ in range(25):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    with av.open(str(target)) as container:
        frames = list(container.decode(audio=0))
    left, right = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    assert np.sqrt(np.mean(left**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert np.sqrt(np.mean(right**2)) < 0.01


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SystemExit, SoundError])
def test_what_breaks_off_leaves_no_file_and_keeps_the_old_one(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    target = tmp_path / "film.mp4"
    target.write_bytes(b"the film of yesterday")

    def begin_and_break_off() -> None:
        with film(target, width=32, height=32, fps=25) as writer:
            writer.write(np.zeros((32, 32, 3), np.uint8))
            raise reason("in the middle")

    with pytest.raises(reason):
        begin_and_break_off()
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    assert target.read_bytes() == b"the film of yesterday"


def test_a_folder_that_went_away_is_told_in_one_line(tmp_path: Path) -> None:
    def write_into_nowhere() -> None:
        with film(tmp_path / "gone" / "film.mp4", width=32, height=32, fps=25) as writer:
            for _ in range(100):
                writer.write(np.zeros((32, 32, 3), np.uint8))

    with pytest.raises(OutputError, match=r"film\.mp4: cannot be written \(No such file"):
        write_into_nowhere()
