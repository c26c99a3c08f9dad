"""The microphone: which there are, the sound of one as 16 kHz mono, and its return after a loss.

The only file that imports sounddevice, and only when sound is wanted: the import starts PortAudio,
freezes its list of devices, and fails where PortAudio is not installed.

Three parties: PortAudio's callback copies blocks into a ring and does nothing else; the reader
(`Microphone.read`) mixes, resamples and measures; the keeper, a thread, opens the device, notices
when blocks stop, and opens it again. The keeper exists because opening blocks, for as long as a
frozen sound server likes.
"""

import ctypes
import json
import logging
import math
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np

from app.handoff import SampleRing
from app.level_meter import LevelMeter
from app.resampler import Resampler
from avatar.errors import DeviceError
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

DEFAULT = "default"
"""What the list calls the one that the system would take: a second name for one of the others."""
STALLED_S = 2.5
"""No block for so long means that the device is lost. PulseAudio's idle null sink wakes every 2 s;
a shorter watch would reopen it without end."""
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.25, 8.0
LONGEST_WAIT_S = 0.5
"""More sound than this waiting means that the machine slept or the sound server froze: the old part
is dropped, since a face that answers half a second late is worse than one that missed a word."""
KEPT_AFTER_WAIT_S = 0.04
LARGEST_AGE_S = 0.08
"""A driver that says a block is older than this is not believed."""
BELIEVED_AFTER_S = 1.5
"""And none before: through PulseAudio the first second's are 5 to 460 ms too large (measured)."""
RING_S = 2.0
STAMPS = 64
BLOCK_S = 0.01
"""The face waits for the end of a block: 20 ms gave 10 more of delay, 5 twice the callbacks."""


@dataclass(frozen=True, slots=True)
class MicrophoneChoice:
    """One microphone as a person picks it and as it is opened."""

    name: str
    """What the list shows and `--microphone` takes."""
    device: int | None
    """PortAudio's index; None is the system's default."""
    pulse_source: str | None = None
    """The PulseAudio or PipeWire source behind PortAudio's device."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of sound and when it sounded."""

    samples: Float
    """[n] 16 kHz mono."""
    end_s: float
    """When the sound after the last sample was heard, `time.perf_counter()`."""


def load_portaudio() -> ModuleType:
    """The sounddevice module, PortAudio started.

    Raises: DeviceError where PortAudio is not installed, with the package to install.
    """
    _silence_alsa()
    try:
        import sounddevice
    except OSError as error:
        raise DeviceError(
            "PortAudio is missing, so there is no sound in or out. Install it: "
            "libportaudio2 with libasound2-plugins (Debian, Ubuntu), portaudio (Fedora, Homebrew)."
        ) from error
    return sounddevice


_ALSA_HANDLER = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
)
_ignore_alsa = _ALSA_HANDLER(lambda file, line, function, error, text: None)
"""Lives as long as the process: ALSA keeps its address."""


def _silence_alsa() -> None:
    """ALSA's library writes to standard error about each device that it looks for in vain and each
    late block; what matters of that comes as an error or a count."""
    if not sys.platform.startswith("linux"):
        return
    try:
        alsa = ctypes.CDLL("libasound.so.2")
    except OSError:
        return
    alsa.snd_lib_error_set_handler(_ignore_alsa)


def restart_portaudio() -> None:
    """Look at the machine's devices afresh; stops every open stream.

    PortAudio reads the list of devices once, and after a sound server came back it opens nothing
    until it is started again (measured; about 30 ms, or as long as the server is frozen).
    """
    sound = load_portaudio()
    sound._terminate()
    sound._initialize()


def list_microphones() -> list[MicrophoneChoice]:
    """Every microphone, the default first. May take a second: never call it in the frame loop.

    Raises: DeviceError where PortAudio is missing.
    """
    sound = load_portaudio()
    try:
        devices = cast("list[dict[str, Any]]", list(sound.query_devices()))
    except sound.PortAudioError:  # a sound server died while it was asked
        devices = []
    default = MicrophoneChoice(DEFAULT, None)
    pulse = next((i for i, device in enumerate(devices) if device["name"] == "pulse"), None)
    if pulse is not None:
        # All of a desktop's microphones hide behind one ALSA device; the server names them.
        sources = _pulse_sources()
        if sources:
            return [default] + [MicrophoneChoice(label, pulse, name) for name, label in sources]
    inputs = [
        MicrophoneChoice(device["name"], index)
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]
    return [default, *_with_unique_names(inputs)] if inputs else []


def find_microphone(name: str | None, choices: list[MicrophoneChoice]) -> MicrophoneChoice:
    """The microphone called `name`, or the first whose name holds it, in any letter case.

    Raises: DeviceError when there is none, with the names that there are.
    """
    if not choices:
        raise DeviceError("no microphone found. Connect one, or give a sound file with --audio.")
    if name is None:
        return choices[0]
    wanted = name.casefold()
    for exact in (True, False):
        for choice in choices:
            label, source = choice.name.casefold(), (choice.pulse_source or "").casefold()
            if wanted in (label, source) if exact else wanted in label or wanted in source:
                return choice
    names = ", ".join(repr(choice.name) for choice in choices)
    raise DeviceError(f"microphone {name!r} not found. Choose one of {names}.")


class Microphone:
    """The sound of one microphone, kept alive: a lost one is looked for until it is back."""

    def __init__(self, name: str | None = None) -> None:
        """Starts to open the microphone called `name` (None: the default) and returns at once."""
        self.restarts = 0
        """How often the device was opened again after a loss."""
        self.dropped_blocks = 0
        """Blocks that came too late or found no room."""
        self.blocks = 0
        """Blocks delivered by the device."""
        self.problem = ""
        """Why there is no sound, one line; empty while there is."""
        self.choices: tuple[MicrophoneChoice, ...] = ()
        """What can be chosen; replaced whole at each look."""
        self.levels: tuple[float, ...] = ()
        """How loud each of `choices` is while that is asked for (`meter`), 0..1; not a number where
        nobody knows. Replaced whole."""
        self._name = name
        self._metered = False
        self._opened = ""  # the name of what is heard
        self._meters: dict[str, tuple[_Capture, LevelMeter] | None] = {}  # None: does not open
        self._capture: _Capture | None = None
        self._reading: _Capture | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._look_again = True
        # A daemon: PortAudio may hang in a frozen sound server, and must not hold up the exit.
        self._keeper = threading.Thread(target=self._keep, name="microphone", daemon=True)
        self._keeper.start()

    @property
    def is_open(self) -> bool:
        """Whether a device is delivering sound."""
        return self._capture is not None

    def choose(self, name: str | None) -> None:
        """Change to another microphone."""
        self._name = name
        self._look_again = True
        self._wake.set()

    def look_again(self) -> None:
        """List the microphones again and reopen: a new one was connected."""
        self._look_again = True
        self._wake.set()

    def meter(self, wanted: bool) -> None:
        """Whether to tell how loud the others are, too, which opens them all. Only while somebody
        looks: an open microphone shows as one in use, a Bluetooth headset changes to its telephone
        profile and plays music like one, and a camera's light may go on."""
        self._metered = wanted

    def read(self) -> Heard | None:
        """All sound since the last call as 16 kHz mono; None where there is none."""
        capture = self._capture
        if capture is not self._reading:
            self._reading = capture
        if capture is None:
            return None
        heard, late = capture.read()
        self.dropped_blocks += late
        return heard

    def close(self) -> None:
        """Stop listening. Waits at most a second for a device that does not answer."""
        self._stop.set()
        self._wake.set()
        self._keeper.join(1.0)

    def _keep(self) -> None:
        """Keeper thread: open, watch, close, and again."""
        back_off, opened_before = FIRST_BACK_OFF_S, False
        while not self._stop.is_set():
            self._wake.clear()
            try:
                capture = self._open(restart=opened_before or bool(self.problem))
            except DeviceError as error:
                self._fail(str(error))
            except Exception as error:  # PortAudio's own, of many kinds; the keeper outlives all
                self._fail(f"the microphone does not open ({_first_line(error)}); trying again.")
            else:
                # A problem after the first opening is a loss; a change of the choice is none.
                if opened_before and self.problem:
                    self.restarts += 1
                opened_before, self.problem = True, ""
                self._capture = capture
                if self._watch(capture):
                    back_off = FIRST_BACK_OFF_S
                self._capture = None
                self._close_meters()  # before PortAudio may be started again, which frees them
                capture.close()
                continue_at_once = self._wake.is_set()
                if continue_at_once:
                    continue
            self._wake.wait(back_off)
            back_off = min(LONGEST_BACK_OFF_S, back_off * 2)

    def _open(self, *, restart: bool) -> "_Capture":
        if restart:
            restart_portaudio()
        if self._look_again or restart or not self.choices:
            self.choices = tuple(list_microphones())
            self._look_again = False
        choice = find_microphone(self._name, list(self.choices))
        self._opened = choice.name
        return _Capture(choice, self._count_block)

    def _watch(self, capture: "_Capture") -> bool:
        """Until the device is lost or another is wanted; whether it delivered anything."""
        while not self._wake.wait(0.1):
            if capture.ended:
                self._fail("the microphone was lost (its device ended); looking for it.")
                break
            if time.perf_counter() - capture.last_block_s > STALLED_S:
                self._fail("the microphone fell silent (no blocks arrive); opening it again.")
                break
            if self._metered:
                self._read_meters()
            elif self.levels:
                self._close_meters()
        return capture.blocks > 0

    def _read_meters(self) -> None:
        """Open one more of those that are not open yet, and see how loud the open ones are."""
        others = [c for c in self.choices if c.name not in (self._opened, DEFAULT)]
        closed = next((choice for choice in others if choice.name not in self._meters), None)
        if closed is not None:
            try:
                self._meters[closed.name] = _Capture(closed, lambda: None), LevelMeter()
            except Exception as error:  # in use by another, unplugged: it has no meter
                log.info("%s: no meter (%s)", closed.name, _first_line(error))
                self._meters[closed.name] = None
        for capture, meter in filter(None, self._meters.values()):
            heard, _ = capture.read()
            if heard is not None:
                meter.step(heard.samples)
        known = {name: pair[1].level for name, pair in self._meters.items() if pair is not None}
        self.levels = tuple(known.get(choice.name, math.nan) for choice in self.choices)

    def _close_meters(self) -> None:
        for capture, _ in filter(None, self._meters.values()):
            capture.close()
        self._meters, self.levels = {}, ()

    def _count_block(self) -> None:
        self.blocks += 1

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


class _Capture:
    """One open stream: written by PortAudio's callback, read by the reader."""

    def __init__(self, choice: MicrophoneChoice, count_block: Callable[[], None]) -> None:
        sound = load_portaudio()
        if sys.platform.startswith("linux"):
            # How libpulse is told which source a new stream takes; it reads this at each opening.
            if choice.pulse_source:
                os.environ["PULSE_SOURCE"] = choice.pulse_source
            else:
                os.environ.pop("PULSE_SOURCE", None)
        information = cast("dict[str, Any]", sound.query_devices(choice.device, "input"))
        self._channels = max(1, min(2, int(information["max_input_channels"])))
        self._rate = _capture_rate(sound, choice.device, self._channels, information)
        self._resampler = Resampler(self._rate, AUDIO_RATE)
        wanted = int(RING_S * self._rate * self._channels)
        self._ring = SampleRing(1 << (wanted - 1).bit_length())
        self._stamps = np.zeros((STAMPS, 3))  # frames captured so far, when they came, their age
        self._stamp_count = 0
        self._stamps_seen = 0
        self._frames_captured = 0  # by the device, dropped ones included; the callback's
        self._frames_taken = 0  # read or given up; the reader's
        self._drops_seen = 0
        self._clock = SampleClock(self._rate)
        self._count_block = count_block
        self.blocks = 0
        self.ended = False
        self.last_block_s = time.perf_counter()
        self._stream: Any = sound.InputStream(
            samplerate=self._rate,
            channels=self._channels,
            device=choice.device,
            dtype="float32",
            blocksize=round(BLOCK_S * self._rate),
            latency="low",
            callback=self._on_block,
            finished_callback=self._on_end,
        )
        self._stream.start()

    def _on_block(self, block: Float, frames: int, time_info: Any, status: Any) -> None:
        """PortAudio's thread: copy, stamp, count. Allocates no arrays, waits for nothing."""
        now = time.perf_counter()
        self.last_block_s = now
        self.blocks += 1
        self._count_block()
        self._frames_captured += frames
        if not self._ring.write(block.reshape(-1)):
            return
        # How long ago the last frame of this block passed the microphone. Not every driver knows: 0
        # or hours.
        age = time_info.currentTime - time_info.inputBufferAdcTime - frames / self._rate
        stamp = self._stamps[self._stamp_count % STAMPS]
        stamp[0] = self._frames_captured
        stamp[1] = now
        stamp[2] = age if 0.0 < age < LARGEST_AGE_S else 0.0
        self._stamp_count += 1

    def _on_end(self) -> None:
        self.ended = True

    def read(self) -> tuple[Heard | None, int]:
        """All that waits, and how many blocks were lost since the last call."""
        frames = self._ring.available // self._channels
        per_block = max(1, round(BLOCK_S * self._rate))
        lost_samples = self._ring.dropped - self._drops_seen
        self._drops_seen += lost_samples
        lost = lost_samples // self._channels
        if frames == 0:
            return None, lost // per_block
        if frames > LONGEST_WAIT_S * self._rate:
            late = frames - round(KEPT_AFTER_WAIT_S * self._rate)
            lost += self._ring.skip(late * self._channels) // self._channels
            frames -= late
        if lost:
            self._resampler.reset()
            self._clock.reset()
        block = np.empty(frames * self._channels, np.float32)
        self._ring.read_into(block)
        self._frames_taken += frames + lost
        self._take_stamps()
        mono = block.reshape(frames, self._channels).mean(axis=1, dtype=np.float32)
        samples = self._resampler.step(np.nan_to_num(mono, nan=0.0, posinf=1.0, neginf=-1.0))
        end_s = self._clock.time_of(self._frames_taken) - self._resampler.delay_s
        return (Heard(samples, end_s) if len(samples) else None), lost // per_block

    def _take_stamps(self) -> None:
        count = self._stamp_count
        for index in range(max(self._stamps_seen, count - STAMPS // 2), count):
            self._clock.observe(*self._stamps[index % STAMPS].tolist())
        self._stamps_seen = count

    def close(self) -> None:
        """Give the device back."""
        self._stream.close(ignore_errors=True)


class SampleClock:
    """When each sample sounded, from when blocks arrived.

    A block arrives on time or late, never early, so the least delay seen is the truest; it may grow
    a little with time, since two clocks never agree (200 parts in a million covers sound cards).
    How old a block is when it arrives, the driver says: what most of the last blocks say counts,
    not the most that one ever said, which put the clock wrong by up to 80 ms for a whole run.
    """

    DRIFT = 200e-6
    JUMP_S = 0.15
    """A delay larger by this for `JUMP_STAMPS` blocks in a row is a new delay, not a late block."""
    JUMP_STAMPS = 25

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """Forget: the next stamp is believed as it is."""
        self._start_s: float | None = None  # the instant of sample 0
        self._last_s = 0.0
        self._late_stamps = 0
        self._ages = deque([0.0], maxlen=STAMPS)

    def observe(self, samples: float, instant_s: float, age_s: float = 0.0) -> None:
        """`samples` had sounded `age_s` before `instant_s`, or a little sooner."""
        self._ages.append(age_s if samples > BELIEVED_AFTER_S * self._rate else 0.0)
        start_s = instant_s - samples / self._rate
        if self._start_s is None:
            self._start_s, self._last_s = start_s, instant_s
            return
        drifted = self._start_s + self.DRIFT * max(0.0, instant_s - self._last_s)
        self._last_s = instant_s
        self._late_stamps = self._late_stamps + 1 if start_s > drifted + self.JUMP_S else 0
        if self._late_stamps >= self.JUMP_STAMPS:
            self._start_s, self._late_stamps = start_s, 0
        else:
            self._start_s = min(start_s, drifted)

    def time_of(self, samples: float) -> float:
        """When sample number `samples` sounded, `time.perf_counter()`."""
        start_s = time.perf_counter() - samples / self._rate
        start_s = start_s if self._start_s is None else self._start_s
        return samples / self._rate + start_s - statistics.median(self._ages)


def _capture_rate(
    sound: ModuleType, device: int | None, channels: int, information: dict[str, Any]
) -> int:
    """The rate to open at: 16 kHz where the device has it, else its own."""
    own = round(float(information["default_samplerate"]))
    for rate in (AUDIO_RATE, own, 48_000, 44_100):
        try:
            sound.check_input_settings(
                device=device, channels=channels, dtype="float32", samplerate=rate
            )
        except (sound.PortAudioError, ValueError):
            continue
        if 8_000 <= rate <= 192_000:
            return rate
    raise DeviceError(
        f"microphone {information['name']!r} offers no rate from 8 to 192 kHz. Choose another."
    )


def _pulse_sources() -> list[tuple[str, str]]:
    """Name and label of each source of the PulseAudio or PipeWire server, without loopbacks."""
    program = shutil.which("pactl")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "-f", "json", "list", "sources"],
            capture_output=True,
            timeout=2.0,
            check=True,
        )
        sources = json.loads(answer.stdout.decode("utf-8", errors="replace"))
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError):
        return []
    found = [
        (str(source["name"]), str(source.get("description") or source["name"]))
        for source in sources
        if not str(source["name"]).endswith(".monitor")
    ]
    labels = [label for _, label in found]
    return [(name, label if labels.count(label) == 1 else name) for name, label in found]


def _with_unique_names(choices: list[MicrophoneChoice]) -> list[MicrophoneChoice]:
    """A name that several devices share (one for each Windows host API) is kept once."""
    unique: dict[str, MicrophoneChoice] = {}
    for choice in choices:
        unique.setdefault(choice.name, choice)
    return list(unique.values())


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
