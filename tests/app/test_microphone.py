"""A real sound server, a real stream: what is played is what arrives."""

import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from app.level_meter import LevelMeter
from app.microphone import (
    Heard,
    Microphone,
    MicrophoneChoice,
    SampleClock,
    find_microphone,
    list_microphones,
)
from app.resampler import Resampler
from avatar.errors import DeviceError


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def speechlike(seconds: float, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """Noise in syllables: easy to find again by correlation."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * rate)) / rate
    envelope = np.clip(np.sin(2 * np.pi * 4 * time_s), 0, 1)
    smooth = np.convolve(rng.normal(size=len(time_s)), np.ones(8) / 8, "same")
    return (0.25 * envelope * smooth / smooth.std()).astype(np.float32)


def listen(microphone: Microphone, seconds: float) -> list[Heard]:
    heard = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        block = microphone.read()
        if block is not None:
            heard.append(block)
        time.sleep(0.01)
    return heard


def wait_for_sound(microphone: Microphone, patience_s: float = 15.0) -> None:
    end = time.perf_counter() + patience_s
    while time.perf_counter() < end:
        if microphone.read() is not None:
            return
        time.sleep(0.02)
    raise AssertionError(f"no sound in {patience_s} s: {microphone.problem or 'open, but silent'}")


def test_what_is_played_arrives_sample_for_sample(pulse_server, tmp_path):
    sent = speechlike(1.5)
    wav = write_wav(tmp_path / "speech.wav", sent)
    microphone = Microphone()
    try:
        wait_for_sound(microphone)
        player = subprocess.Popen(["paplay", "--latency-msec=500", str(wav)])
        heard = listen(microphone, 3.0)
        assert player.wait(20) == 0
    finally:
        microphone.close()
    got = np.concatenate([block.samples for block in heard])
    length = len(got) + len(sent)
    correlation = np.fft.irfft(
        np.fft.rfft(got, length) * np.conj(np.fft.rfft(sent, length)), length
    )
    start = int(np.argmax(correlation[: len(got)]))
    part = got[start : start + len(sent)]
    assert len(part) == len(sent)
    assert np.corrcoef(part, sent)[0, 1] > 0.95  # 1 without a hole; a busy machine makes small ones


def test_blocks_carry_the_time_at_which_they_sounded(pulse_server):
    microphone = Microphone()
    try:
        wait_for_sound(microphone)
        heard = listen(microphone, 1.0)
        now = time.perf_counter()
    finally:
        microphone.close()
    ends = np.array([block.end_s for block in heard])
    assert (np.diff(ends) > 0).all()
    assert now - 0.6 < ends[-1] <= now
    total = sum(len(block.samples) for block in heard[1:]) / 16_000
    assert ends[-1] - ends[0] == pytest.approx(total, abs=0.05)


def test_the_list_names_the_servers_microphones_but_no_loopbacks(pulse_server):
    choices = list_microphones()
    assert choices[0] == MicrophoneChoice("default", None)
    assert any(choice.pulse_source == pulse_server.source for choice in choices)
    assert not any((choice.pulse_source or "").endswith(".monitor") for choice in choices)
    by_name = find_microphone(pulse_server.source.upper(), choices)
    assert by_name.pulse_source == pulse_server.source


def pactl(*words: str) -> str:
    return subprocess.run(
        ["pactl", *words], capture_output=True, text=True, check=True, timeout=20
    ).stdout


@pytest.fixture
def desk_microphones(pulse_server) -> Iterator[tuple[str, str]]:
    """Two more microphones: names of one into which somebody speaks, and of a silent one."""
    modules = []
    for name in ("loud", "silent"):
        sink, master = f"sink_name={name}_sink", f"master={name}_sink.monitor"
        modules.append(pactl("load-module", "module-null-sink", sink, "rate=16000", "channels=1"))
        modules.append(pactl("load-module", "module-remap-source", f"source_name={name}", master))
    speaker = subprocess.Popen(
        [
            *("pacat", "--device=loud_sink", "--latency-msec=20", "--rate=16000", "--channels=1"),
            "/dev/urandom",
        ]
    )
    try:
        yield "loud", "silent"
    finally:
        speaker.kill()
        speaker.wait()
        for module in reversed(modules):
            pactl("unload-module", module.strip())


def test_other_microphones_are_metered_only_while_somebody_looks(desk_microphones):
    def recorders() -> list[str]:
        return [line.split()[1] for line in pactl("list", "short", "source-outputs").splitlines()]

    def until(condition: Callable[[], bool]) -> None:
        end = time.perf_counter() + 15
        while not condition():
            assert time.perf_counter() < end, (microphone.levels, recorders())
            microphone.read()
            time.sleep(0.05)

    def levels() -> dict[str | None, float]:
        choices = [choice.pulse_source for choice in microphone.choices]
        return dict(zip(choices, microphone.levels, strict=False))

    loud, silent = desk_microphones
    microphone = Microphone()
    try:
        wait_for_sound(microphone)
        alone = len(recorders())
        microphone.meter(True)
        until(lambda: levels().get(loud, 0.0) > 0.8)
        assert len(recorders()) >= alone + 2
        assert not levels().get(silent, 0.0) > 0.1
        assert np.isnan(levels()[None])  # the default one, which is heard, has its own meter
        blocks = microphone.blocks
        microphone.meter(False)
        until(lambda: len(recorders()) == alone)
        assert microphone.levels == ()
        assert microphone.blocks > blocks  # it was heard all the time
        assert microphone.restarts == 0
    finally:
        microphone.close()


def test_an_unknown_name_is_refused_with_the_names_there_are():
    choices = [MicrophoneChoice("default", None), MicrophoneChoice("USB Audio", 3)]
    assert find_microphone("usb", choices).device == 3
    assert find_microphone(None, choices).device is None
    with pytest.raises(DeviceError, match=r"'Bob' not found.*'USB Audio'"):
        find_microphone("Bob", choices)
    with pytest.raises(DeviceError, match="no microphone found"):
        find_microphone(None, [])


@settings(max_examples=30, deadline=None)
@given(
    rate=st.sampled_from([8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000]),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
)
def test_any_block_sizes_resample_to_the_same_samples(rate, sizes):
    sound = np.random.default_rng(1).normal(size=sum(sizes)).astype(np.float32)
    whole = Resampler(rate, 16_000).step(sound)
    parts, stream = [], Resampler(rate, 16_000)
    for block in np.split(sound, np.cumsum(sizes)[:-1]):
        parts.append(stream.step(block))
    joined = np.concatenate(parts)
    np.testing.assert_allclose(joined, whole, atol=1e-5)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_keeps_its_height_loudness_and_place(rate):
    time_in = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 1000 * time_in).astype(np.float32)
    resampler = Resampler(rate, 16_000)
    out = resampler.step(tone)
    assert len(out) == pytest.approx(16_000 - resampler.delay_s * 16_000, abs=2)
    middle = slice(1000, 14_000)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / 16_000)
    np.testing.assert_allclose(out[middle], wanted[middle], atol=0.005)


def test_what_16_khz_cannot_hold_is_filtered_away():
    time_in = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 12_000 * time_in).astype(np.float32)
    out = Resampler(48_000, 16_000).step(tone)[500:-500]
    assert np.abs(out).max() < 1e-3


def test_resampling_agrees_with_scipy():
    sound = speechlike(0.5, 44_100)
    ours = Resampler(44_100, 16_000).step(sound)
    theirs = resample_poly(sound, 160, 441, window=("kaiser", 7.0))[: len(ours)]
    assert np.corrcoef(ours[400:-400], theirs[400:-400])[0, 1] > 0.999


@given(late=st.lists(st.floats(0, 0.1), min_size=40, max_size=80))
def test_the_sample_clock_trusts_the_promptest_block(late):
    late = [*late, 0.0]
    clock = SampleClock(16_000)
    for index, delay in enumerate(late, start=1):
        clock.observe(320.0 * index, 100.0 + 0.02 * index + delay)
    end = 320.0 * len(late)
    assert clock.time_of(end) == pytest.approx(100.0 + 0.02 * len(late), abs=1e-3)


def test_the_sample_clock_follows_a_delay_that_stays():
    clock = SampleClock(16_000)
    for index in range(1, 200):
        jump = 0.4 if index > 100 else 0.0
        clock.observe(320.0 * index, 0.02 * index + jump)
    assert clock.time_of(320.0 * 200) == pytest.approx(0.02 * 200 + 0.4, abs=0.01)


def test_the_sample_clock_believes_an_age_that_most_blocks_tell():
    """A driver's first ages are too large, as PulseAudio's are, and some later ones too."""
    clock = SampleClock(16_000)
    for index in range(1, 400):
        age = 0.075 if index < 100 or index % 9 == 0 else 0.005
        clock.observe(160.0 * index, 0.01 * index, age)
        if index in (50, 399):
            wanted = 0.01 * index - (0.005 if index > 50 else 0.0)
            assert clock.time_of(160.0 * index) == pytest.approx(wanted, abs=0.001)


def test_the_meter_tells_speech_from_a_hum_and_from_silence():
    meter = LevelMeter()
    time_s = np.arange(320) / 16_000
    for _ in range(250):
        meter.step((0.01 * np.sin(2 * np.pi * 100 * time_s)).astype(np.float32))
    assert not meter.speech  # a steady hum becomes the floor
    speech = speechlike(1.0)
    for block in speech[:3200].reshape(-1, 320):
        meter.step(block)
    assert meter.speech
    assert meter.level > 0.5
    for _ in range(100):
        meter.step(np.zeros(320, np.float32))
    assert not meter.speech
    assert meter.level == 0.0
