"""Any sound becomes 16 kHz mono, as a stream; what is no sound is refused in one line."""

import wave
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from app.bundled import SAMPLE_LINE
from app.sound_file import examine_sound, read_blocks, resampled_frames
from avatar.errors import SoundError
from avatar.types import AUDIO_RATE
from tests.app.sounds import tone, write_coded, write_wav


def whole(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path)))


def loudest_hertz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * AUDIO_RATE / len(samples))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_a_tone_of_any_rate_keeps_its_pitch_length_and_loudness(tmp_path: Path, rate: int) -> None:
    path = write_wav(tmp_path / "tone.wav", rate, tone(1.0, rate))
    samples = whole(path)
    assert examine_sound(path).duration_s == pytest.approx(1.0)
    assert len(samples) == pytest.approx(AUDIO_RATE, abs=2)
    assert loudest_hertz(samples) == pytest.approx(440, abs=1.5)
    assert np.abs(samples[2000:-2000]).max() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2, 6, 16])
def test_every_sample_type_and_channel_count_sounds_the_same(
    tmp_path: Path, kind: type, channels: int
) -> None:
    sound = tone(0.5, AUDIO_RATE).astype(np.float64)
    if kind is np.uint8:
        stored = np.round(128 + 127 * sound).astype(kind)
    elif np.issubdtype(kind, np.integer):
        stored = np.round(sound * np.iinfo(kind).max).astype(kind)
    else:
        stored = sound.astype(kind)
    samples = np.repeat(stored[:, None], channels, axis=1)
    path = write_wav(tmp_path / "sound.wav", AUDIO_RATE, samples)
    assert examine_sound(path).channels == channels
    np.testing.assert_allclose(whole(path), sound, atol=0.01)  # 8 bit: steps of 1/128


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.flac", "flac"),
        ("a.ogg", "libopus"),
        ("a.mkv", "aac"),
    ],
)
def test_coded_sounds_are_read(tmp_path: Path, name: str, codec: str) -> None:
    path = write_coded(tmp_path / name, codec, 48000, tone(1.0, 48000))
    samples = whole(path)
    assert len(samples) == pytest.approx(AUDIO_RATE, abs=0.05 * AUDIO_RATE)
    assert loudest_hertz(samples) == pytest.approx(440, abs=2)


def test_the_bundled_line_is_a_sound() -> None:
    facts = examine_sound(SAMPLE_LINE)
    assert (facts.rate, facts.channels) == (16000, 1)
    assert facts.duration_s == pytest.approx(7.255)


def test_numbers_that_are_not_finite_count_as_silence(tmp_path: Path) -> None:
    samples = tone(0.5, AUDIO_RATE)
    samples[1000:1010] = np.nan
    samples[2000] = np.inf
    samples[3000] = 1e30
    heard = whole(write_wav(tmp_path / "odd.wav", AUDIO_RATE, samples))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1.0
    np.testing.assert_allclose(heard[1000:1010], 0.0)
    np.testing.assert_allclose(heard[4000:], samples[4000:], atol=1e-4)


def test_frames_for_a_film_are_numbered_from_the_first_sample(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "tone.wav", 22050, tone(0.5, 22050))
    frames = list(resampled_frames(path, rate=48000, channels=2, frame_size=1024))
    assert [frame.pts for frame in frames] == [1024 * i for i in range(len(frames))]
    assert {frame.samples for frame in frames[:-1]} == {1024}
    assert sum(frame.samples for frame in frames) == pytest.approx(24000, abs=3)


def test_three_hours_of_sound_take_no_more_memory_than_a_second(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    seconds, rate = 3 * 3600, 2000  # a low rate, for a quick test
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.setnframes(seconds * rate)
        file.writeframes(b"")
        minute = (tone(60, rate) * 32767).astype("<i2").tobytes()
        for _ in range(seconds // 60):
            file.writeframesraw(minute)
    process = psutil.Process()
    whole(write_wav(tmp_path / "short.wav", rate, tone(1, rate)))  # loads FFmpeg
    before = process.memory_info().rss
    most, count = before, 0
    for block in read_blocks(path):
        count += len(block)
        if count % 512_000 < len(block):
            most = max(most, process.memory_info().rss)
    assert count == pytest.approx(seconds * AUDIO_RATE, abs=2)
    assert (most - before) / 2**20 < 30  # the samples are 690 MB


def test_what_is_no_sound_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("this is a text file, whatever it is called\n" * 100)
    picture = tmp_path / "picture.mp3"
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    noise = tmp_path / "noise.mp3"
    noise.write_bytes(np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes())
    empty = tmp_path / "empty.wav"
    empty.touch()
    silent = write_wav(tmp_path / "silent.wav", 16000, np.zeros(0, np.float32))
    cases = {
        text: "not a sound file",
        picture: "no sound track",
        noise: "noise.mp3",
        empty: "not a sound file",
        silent: "0 samples",
        tmp_path: "a folder",
        tmp_path / "missing.wav": "no such file",
    }
    for path, reason in cases.items():
        with pytest.raises(SoundError, match=reason) as caught:
            examine_sound(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.m4a"])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    if name == "a.wav":
        path = write_wav(tmp_path / name, 16000, tone(5, 16000))
    else:
        path = write_coded(
            tmp_path / name, "flac" if name == "a.flac" else "aac", 48000, tone(5, 48000)
        )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SoundError, match=r"cut short|not a sound file"):
        examine_sound(path)


def test_a_wav_piped_out_of_a_program_is_not_taken_for_one_cut_short(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "piped.wav", 16000, (tone(1, 16000) * 32767).astype(np.int16))
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = (0x7FFF_F000).to_bytes(4, "little")  # as espeak-ng --stdout
    path.write_bytes(data)
    assert examine_sound(path).duration_s == pytest.approx(1.0)
