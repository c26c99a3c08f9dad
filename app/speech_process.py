"""Sound to motion in a process of its own, with the microphone or the sound file inside it.

A process, not a thread: a speech network in a thread of the frame loop's process took most of its
frames (76 of 360 drawn in time), in a process none. `SpeechProcess` is the frame loop's end: it
starts the process, watches it, starts it again after a death (at most `MOST_RESTARTS` a minute),
and ends it. `run_speech` is what runs there.
"""

import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.level_meter import LevelMeter
from app.microphone import BLOCK_S, Heard, Microphone
from app.motion_channel import MotionChannel, SharedRecord
from app.noise_gate import NoiseGate
from app.paced_file import PacedFile
from app.priority import raise_priority
from app.sound_channel import SoundChannel
from avatar.errors import VisavisError
from avatar.motion.direction import EMOTION_NAMES, Direction
from avatar.speech.voice import Voice
from avatar.types import AUDIO_RATE, Float, MotionFrame

log = logging.getLogger(__name__)

MOST_RESTARTS = 3
RESTART_WINDOW_S = 60.0
FROZEN_S = 10.0
"""A process that gives no sign for so long is ended and started again; loading takes longer, so
this counts from its first sign."""
POLL_S = 0.002
"""How often sound is asked for: well below a block of 20 ms."""
SILENT_AFTER_S = 0.15
"""Without a microphone the generator hears silence from then on, so that the face stays alive."""
SILENT_BLOCK_S = 0.02
BLOCK = round(BLOCK_S * AUDIO_RATE)
ECHO_S = 0.3
"""A microphone opens so long after a file left the loudspeaker: what still sounds in the room, and
in the sound server's buffers, must not move the lips again."""
MOST_MICROPHONES = 16
METERED_S = 0.5
"""Meters of other microphones stay open so long after somebody looked at them: a frame may be slow,
and who looks says so in each."""


class SourceState(IntEnum):
    """What the speech process is doing."""

    LOADING = 0
    HEARING = 1
    """A microphone delivers, or a file plays."""
    WITHOUT_SOUND = 2
    """No microphone: silence stands in for it."""
    FILE_ENDED = 3


STATUS = np.dtype(
    [
        # Written by the frame loop:
        ("stop", np.int64),
        ("begin", np.int64),  # 1 from when there is a face to see
        ("gain", np.float64),
        ("gate_db", np.float64),
        ("muted", np.int64),
        ("microphone_choice", np.int64),  # raised after `microphone` was written
        ("look_again", np.int64),
        ("meter_until_s", np.float64),  # until then the other microphones are metered, too
        ("play_again", np.int64),
        ("speak", np.int64),  # raised after `spoken_file` was written
        ("emotion", np.float64, len(EMOTION_NAMES)),  # and what else `Direction` asks for
        ("gaze", np.float64, 2),
        ("head", np.float64, 3),
        ("distance", np.float64),
        ("articulation", np.float64),
        ("stillness", np.float64),
        ("direction", np.int64),  # raised after these six were written
        ("microphone", "S256"),
        ("spoken_file", "S1024"),  # empty: be silent again
        # Written by the speech process:
        ("sign_of_life_s", np.float64),
        ("state", np.int64),
        ("level", np.float64),
        ("speech", np.int64),
        ("blocks", np.int64),
        ("dropped", np.int64),
        ("restarts", np.int64),
        ("busy_s", np.float64),
        ("sound_s", np.float64),
        ("look_ahead_s", np.float64),
        ("speaker_delay_s", np.float64),  # from entering the program to being heard; 0: no speaker
        ("speaker_late_s", np.float64),
        ("file_position_s", np.float64),
        ("motions", np.int64),  # raised after motion was written
        ("speaking", np.int64),  # 1 while `spoken_file` plays
        ("microphone_count", np.int64),
        ("microphones", "S128", MOST_MICROPHONES),
        ("microphones_change", np.int64),  # raised after the list was written
        ("microphone_levels", np.float64, MOST_MICROPHONES),  # not a number: not known
        ("problem", "S400"),
    ],
    align=True,
)
"""The small block that both sides share; each field has one writer."""


class Generator(Protocol):
    """What makes motion of sound (`avatar.speech.generator.MotionGenerator`)."""

    @property
    def look_ahead_s(self) -> float:
        """How much sound after an instant its face waits for."""
        ...

    def reset(self) -> None: ...

    def step(self, samples: Float) -> list[MotionFrame]: ...

    def direct(self, direction: Direction) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSettings:
    """What the speech process is to do; crosses to it by pickling, so plain values only."""

    audio: Path | None = None
    """Play this file in place of a microphone."""
    microphone: str | None = None
    """Part of a microphone's name; None is the default one."""
    play_aloud: bool = True
    """Send `audio` to the loudspeaker too."""
    voice: Voice | None = None
    """Whose lips speak; None: those of the speakers in training."""
    make_generator: "Callable[[], Generator] | None" = None
    """Makes the generator inside the process; None: the trained one."""


def trained_generator(voice: Voice | None = None, *, prompt: bool = False) -> Generator:
    """The network that ships with the program; `prompt` for talk that cannot wait."""
    from avatar.speech.generator import MotionGenerator

    return MotionGenerator(seed=0, voice=voice, prompt=prompt)


class SpeechProcess:
    """The frame loop's end of the speech process."""

    def __init__(self, settings: SpeechSettings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._channel = MotionChannel()
        self._sound = SoundChannel()
        self._status = SharedRecord(STATUS)
        self._status["gain"] = 1.0
        self._status["gate_db"] = -np.inf
        self.direct(Direction())
        self._process: SpawnProcess | None = None
        self._restarts: deque[float] = deque(maxlen=MOST_RESTARTS)
        self._deaths = 0
        self._given_up = False
        self._counted = {"blocks": 0, "dropped": 0, "restarts": 0}  # by processes that ended
        self._microphones: tuple[str, ...] = ()
        self._microphones_change = 0
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None else None

    @property
    def speaker_delay_s(self) -> float | None:
        """How late sound leaves the loudspeaker, where there is one. Any thread may ask."""
        return self._status["speaker_delay_s"] or None

    @property
    def motion_channel(self) -> str:
        """The name by which a further reader of the motion attaches (`MotionChannel`)."""
        return self._channel.name

    @property
    def deaths(self) -> int:
        """How often the process died and was started again."""
        return self._deaths

    @property
    def missed(self) -> int:
        """Motion frames that the frame loop was too slow to read."""
        return self._channel.missed

    def start(self) -> None:
        """Start the process; returns at once."""
        self._status["stop"] = 0
        self._status["sign_of_life_s"] = 0.0
        self._status["state"] = SourceState.LOADING
        self._process = self._context.Process(
            target=run_speech,
            args=(self._settings, self._channel.name, self._sound.name, self._status.name),
            name="visavis-speech",
            daemon=True,
        )
        # Ctrl-C reaches every process of a terminal. This one ends when the frame loop says so, and
        # an ignored signal is inherited, so it is deaf from its first moment on.
        with signal_ignored(signal.SIGINT):
            self._process.start()

    def watch(self, now_s: float) -> None:
        """Start the process again if it died or froze. Called by the frame loop, often."""
        process = self._process
        if process is None or self._closed or self._given_up:
            return
        sign_of_life_s = self._status["sign_of_life_s"]
        if process.is_alive():
            if not sign_of_life_s or now_s - sign_of_life_s < FROZEN_S:
                return
            log.warning("the speech process gave no sign for %.0f s; ending it", FROZEN_S)
            process.kill()
        process.join()
        told = self._status.text("problem") if process.exitcode == 1 else ""
        reason = told or f"it ended with status {process.exitcode}"
        process.close()
        self._process = None
        self._deaths += 1
        for field in self._counted:
            self._counted[field] += self._status[field]
            self._status[field] = 0
        restarts = self._restarts
        if len(restarts) == MOST_RESTARTS and now_s - restarts[0] < RESTART_WINDOW_S:
            self._given_up = True
        restarts.append(now_s)
        outcome = "given up" if self._given_up else "started again"
        self._status.set_text("problem", f"speech process {outcome}: {reason}")
        log.error("speech process %s: %s", outcome, reason)
        if not self._given_up:
            self.start()

    @property
    def motions(self) -> int:
        """Rises when there is new motion to read."""
        return self._status["motions"]

    def read_motion(self) -> NDArray[np.void]:
        """Motion records that are new since the last call, oldest first."""
        return self._channel.read_new()

    def read_sound(self) -> NDArray[np.void]:
        """Sound (`app.sound_channel.RECORD`) that is new since the last call, or of the last two
        seconds, oldest first. One thread at a time, which need not be the frame loop's."""
        return self._sound.read_new()

    def report(self) -> "SpeechReport":
        """How things stand in the speech process."""
        status = self._status
        if status["microphones_change"] != self._microphones_change:
            self._microphones_change = status["microphones_change"]
            names = status["microphones"][: status["microphone_count"]]
            self._microphones = tuple(bytes(name).decode("utf-8", "replace") for name in names)
        state = SourceState(status["state"])
        return SpeechReport(
            state=SourceState.WITHOUT_SOUND if self._given_up else state,
            running=self._process is not None,
            level=status["level"],
            speech=bool(status["speech"]),
            blocks=status["blocks"] + self._counted["blocks"],
            dropped=status["dropped"] + self._counted["dropped"],
            restarts=status["restarts"] + self._counted["restarts"],
            real_time_factor=status["busy_s"] / status["sound_s"] if status["sound_s"] else 0.0,
            speaker_delay_s=status["speaker_delay_s"],
            speaker_late_s=status["speaker_late_s"],
            file_position_s=status["file_position_s"],
            speaking=bool(status["speaking"]),
            microphones=self._microphones,
            microphone_levels=tuple(status["microphone_levels"][: len(self._microphones)].tolist()),
            problem=status.text("problem"),
        )

    def begin(self) -> None:
        """There is a face to see: a sound file may play. Until then it waits."""
        self._status["begin"] = 1

    def choose_microphone(self, name: str) -> None:
        """Listen to another microphone."""
        self._status.set_text("microphone", name)
        self._status["microphone_choice"] += 1

    def look_for_microphones(self) -> None:
        """List the microphones again."""
        self._status["look_again"] += 1

    def meter_microphones(self) -> None:
        """Tell how loud each microphone is, for a moment from now on."""
        self._status["meter_until_s"] = time.perf_counter() + METERED_S

    def play_again(self) -> None:
        """Play the sound file from its beginning."""
        self._status["play_again"] += 1

    def speak(self, path: Path | None) -> None:
        """Say this sound file in place of what is heard now, and then go on with that. None: stop
        such a file."""
        self._status.set_text("spoken_file", "" if path is None else str(path))
        self._status["speak"] += 1

    def set_gain(self, gain: float) -> None:
        """Multiply the sound by `gain` before it is heard."""
        self._status["gain"] = gain

    def set_gate(self, gate_db: float) -> None:
        """What a microphone gives below `gate_db`, of full scale, is silence to the face."""
        self._status["gate_db"] = gate_db

    def mute(self, muted: bool) -> None:
        """Hear no microphone, and record none; a file goes on."""
        self._status["muted"] = int(muted)

    def direct(self, direction: Direction) -> None:
        """Ask something else of the face; a process that is started again is asked the same."""
        status = self._status
        status["emotion"], status["gaze"] = direction.emotion, direction.gaze
        status["head"] = direction.head
        status["distance"], status["stillness"] = direction.distance, direction.stillness
        status["articulation"] = direction.articulation
        status["direction"] += 1

    def close(self, patience_s: float = 1.2) -> None:
        """End the process and give the shared memory back; the process has `patience_s` to go."""
        if self._closed:
            return
        self._closed = True
        self._status["stop"] = 1
        process = self._process
        if process is not None:
            process.join(patience_s)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self._channel.close(unlink=True)
        self._sound.close(unlink=True)
        self._status.close(unlink=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechReport:
    """How things stand in the speech process, as the panel and the statistics show it."""

    state: SourceState
    running: bool
    level: float
    """0..1 over -60..0 dB."""
    speech: bool
    """Whether somebody speaks."""
    blocks: int
    dropped: int
    restarts: int
    real_time_factor: float
    """Seconds of work for a second of sound."""
    speaker_delay_s: float
    """From a sample's entry into the program until it leaves the loudspeaker; 0 without one."""
    speaker_late_s: float
    file_position_s: float
    speaking: bool
    """Whether a file plays that `SpeechProcess.speak` asked for."""
    microphones: tuple[str, ...]
    microphone_levels: tuple[float, ...]
    """How loud each is while that is asked for, 0..1; not a number where nobody knows."""
    problem: str
    """One line for the panel; empty when all is well."""


# Below: inside the speech process.


def run_speech(
    settings: SpeechSettings, channel_name: str, sound_name: str, status_name: str
) -> None:
    """The speech process: sound in, motion out, until told to stop or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=os.environ.get("VISAVIS_LOG", "WARNING").upper())
    raise_priority()
    channel, sound = MotionChannel(channel_name), SoundChannel(sound_name)
    status = SharedRecord(STATUS, status_name)
    try:
        _Speech(settings, channel, sound, status).run()
    except VisavisError as error:
        status.set_text("problem", str(error))
        sys.exit(1)
    except Exception as error:  # the outermost loop of a worker: tell, and end
        traceback.print_exc()
        status.set_text("problem", f"{type(error).__name__}: {error}")
        sys.exit(1)
    finally:
        channel.close(unlink=False)
        sound.close(unlink=False)
        status.close(unlink=False)


def _direction_of(status: SharedRecord) -> Direction:
    yaw, pitch = status["gaze"].tolist()
    turned, raised, tilted = status["head"].tolist()
    return Direction(
        emotion=status["emotion"].astype(np.float32),
        gaze=(yaw, pitch),
        head=(turned, raised, tilted),
        distance=status["distance"],
        articulation=status["articulation"],
        stillness=status["stillness"],
    )


class _Speech:
    """The loop of the speech process and what it keeps between turns."""

    def __init__(
        self,
        settings: SpeechSettings,
        channel: MotionChannel,
        sound: SoundChannel,
        status: SharedRecord,
    ) -> None:
        self._settings, self._channel, self._status = settings, channel, status
        self._sound = sound
        self._spoken: PacedFile | None = None  # plays in place of the settings' own source
        make = settings.make_generator
        # A file's sound is held back until its lips are ready; a person's voice cannot be.
        prompt = settings.audio is None
        self._generator = make() if make else trained_generator(settings.voice, prompt=prompt)
        self._meter, self._gate = LevelMeter(), NoiseGate()
        self._parent = multiprocessing.parent_process()
        self._fed = 0  # samples given to the generator since its reset
        self._in_step = False  # whether the microphone's blocks end where the generator's do
        self._fed_end_s = time.perf_counter()  # when the last of them sounded
        self._last_heard_s = 0.0
        self._listed: list[str] = []  # microphones, as last told
        self._told_levels: tuple[float, ...] = ()
        status["microphone_levels"] = np.full(MOST_MICROPHONES, np.nan)
        self._seen = {name: status[name] for name in ("microphone_choice", "play_again")}
        self._seen["look_again"] = status["look_again"]
        self._seen["direction"], self._seen["speak"] = status["direction"], status["speak"]
        status["speaking"] = 0  # a process that died while it spoke does not begin anew
        status["look_ahead_s"] = self._generator.look_ahead_s
        self._generator.direct(_direction_of(status))
        self._generator.reset()
        self._warm_up()

    def _warm_up(self) -> None:
        """The first step of a network is slow (memory, kernels); have it before sound arrives."""
        self._generator.step(np.zeros(AUDIO_RATE, np.float32))
        self._generator.reset()

    def run(self) -> None:
        """Until the parent says stop or is gone."""
        source = self._open_source()
        status = self._status
        next_check_s = 0.0
        try:
            while not status["stop"]:
                now = time.perf_counter()
                status["sign_of_life_s"] = now
                if now > next_check_s:
                    next_check_s = now + 0.5
                    if self._parent is not None and not self._parent.is_alive():
                        return
                    self._report(source)
                source = self._after_spoken(self._obey(source), now)
                waits = isinstance(source, PacedFile) and not status["begin"]
                heard = None if waits else source.read()
                if heard is not None:
                    self._take(heard, from_microphone=isinstance(source, Microphone))
                    continue
                if isinstance(source, Microphone):
                    self._bridge(now, source)
                    self._meter_others(now, source)
                time.sleep(POLL_S)
        finally:
            source.close()

    def _open_source(self, *, from_the_start: bool = False) -> "PacedFile | Microphone":
        settings = self._settings
        self._fed_end_s = time.perf_counter()
        if settings.audio is None:
            self._status["speaker_delay_s"] = 0.0
            chosen = self._status.text("microphone") or settings.microphone
            return Microphone(None if chosen == "default" else chosen)
        # After a restart of this process the file goes on where it was.
        place_s = 0.0 if from_the_start else self._status["file_position_s"]
        return self._paced(settings.audio, place_s)

    def _paced(self, path: Path, from_s: float) -> PacedFile:
        sound = PacedFile(
            path,
            aloud=self._settings.play_aloud,
            look_ahead_s=self._generator.look_ahead_s,
            from_s=from_s,
        )
        self._status["speaker_delay_s"] = sound.speaker_delay_s
        return sound

    def _say(self, source: "PacedFile | Microphone") -> "PacedFile | Microphone":
        """Change over to the spoken file, or from it to nothing."""
        path = self._status.text("spoken_file")
        if not path and self._spoken is None:
            return source
        source.close()
        self._spoken = self._paced(Path(path), 0.0) if path else None
        self._status["speaking"] = int(bool(path))
        self._fed_end_s = time.perf_counter()
        return self._spoken or self._open_source()

    def _after_spoken(
        self, source: "PacedFile | Microphone", now: float
    ) -> "PacedFile | Microphone":
        """Back to what was heard before, once the spoken file has left the loudspeaker."""
        spoken = self._spoken
        if spoken is None or not spoken.ended:
            return source
        if now - spoken.ended_s < spoken.speaker_delay_s + ECHO_S:
            return source
        spoken.close()
        self._spoken = None
        self._status["speaking"] = 0
        return self._open_source()

    def _obey(self, source: "PacedFile | Microphone") -> "PacedFile | Microphone":
        """Do what the frame loop asked for since the last turn."""
        status, seen = self._status, self._seen
        for name in seen:
            count = status[name]
            if count == seen[name]:
                continue
            seen[name] = count
            if name == "direction":
                self._generator.direct(_direction_of(status))
            elif name == "speak":
                source = self._say(source)
            elif isinstance(source, Microphone):
                if name == "microphone_choice":
                    wanted = status.text("microphone")
                    source.choose(None if wanted == "default" else wanted)
                elif name == "look_again":
                    source.look_again()
            elif name == "play_again" and self._settings.audio is not None:
                source.close()
                self._spoken, status["speaking"] = None, 0
                return self._open_source(from_the_start=True)
        return source

    def _take(self, heard: Heard, *, from_microphone: bool = False) -> None:
        """Sound into the generator, its motion into the channel."""
        status, sound = self._status, heard.samples
        self._meter.step(np.clip(sound * np.float32(status["gain"]), -1.0, 1.0))
        if from_microphone:
            sound = self._brought_into_step(sound)
            # The meter shows what there is to be heard; the gate is set by it.
            sound = self._gate.step(sound, status["gate_db"])
            sound = np.zeros_like(sound) if status["muted"] else sound
        samples = np.clip(sound * np.float32(status["gain"]), -1.0, 1.0)
        self._sound.write(sound, heard.end_s, AUDIO_RATE)
        began = time.perf_counter()
        frames = self._generator.step(samples)
        status["busy_s"] += time.perf_counter() - began
        status["sound_s"] += len(samples) / AUDIO_RATE
        status["level"] = self._meter.level
        status["speech"] = int(self._meter.speech and bool(sound.any()))
        self._fed += len(samples)
        self._fed_end_s = heard.end_s
        start_s = heard.end_s - self._fed / AUDIO_RATE  # when sample 0 would have sounded
        for frame in frames:
            # Always later than the last: after a gap the clock of the sound may step back a little.
            heard_s = max(frame.time_s + start_s, self._last_heard_s + 1e-3)
            self._last_heard_s = heard_s
            self._channel.write(frame, heard_s)
        if frames:
            status["motions"] += 1

    def _brought_into_step(self, sound: Float) -> Float:
        """The sound with so much silence before it, less than a block, that blocks end where the
        generator's own stretches do. Else each of those would wait for the rest of a block of
        which it needs only the beginning: up to 10 ms, by chance, for as long as the device runs.
        """
        if self._in_step:
            return sound
        self._in_step = True
        silence = np.zeros(-(self._fed + len(sound)) % BLOCK, np.float32)
        return np.concatenate([silence, sound])

    def _bridge(self, now: float, microphone: Microphone) -> None:
        """No sound from the microphone: silence stands in, so that the face stays alive."""
        # An open device may be late; from a closed one nothing comes.
        patience_s = SILENT_AFTER_S if microphone.is_open else SILENT_BLOCK_S
        if now - self._fed_end_s < patience_s:
            return
        until_s = now - patience_s / 2 if microphone.is_open else now
        seconds = min(until_s - self._fed_end_s, 0.5)
        self._in_step = False  # what comes next begins anew
        self._take(Heard(np.zeros(int(seconds * AUDIO_RATE), np.float32), until_s))
        if not microphone.is_open:
            self._status["state"] = SourceState.WITHOUT_SOUND

    def _meter_others(self, now: float, microphone: Microphone) -> None:
        """How loud the microphones are that are not heard, while somebody looks."""
        microphone.meter(now < self._status["meter_until_s"])
        if microphone.levels is not self._told_levels:
            self._told_levels = microphone.levels
            told = np.full(MOST_MICROPHONES, np.nan)
            known = microphone.levels[:MOST_MICROPHONES]
            told[: len(known)] = known
            self._status["microphone_levels"] = told

    def _report(self, source: "PacedFile | Microphone") -> None:
        """What the panel shows of the source, twice a second."""
        status = self._status
        status["blocks"] = source.blocks
        status.set_text("problem", source.problem)
        if isinstance(source, PacedFile):
            if source is not self._spoken:  # the file itself goes on where it was
                status["file_position_s"] = source.position_s
            if source.speaker is not None:
                status["speaker_late_s"] = source.speaker.late_s
            if status["begin"]:
                over = source.ended and source is not self._spoken
                status["state"] = SourceState.FILE_ENDED if over else SourceState.HEARING
            return
        status["dropped"], status["restarts"] = source.dropped_blocks, source.restarts
        if source.is_open:
            status["state"] = SourceState.HEARING
        names = [choice.name for choice in source.choices][:MOST_MICROPHONES]
        if names != self._listed:
            self._listed = names
            padded = [name.encode("utf-8")[:128] for name in names]
            status["microphones"] = padded + [b""] * (MOST_MICROPHONES - len(padded))
            status["microphone_count"] = len(names)
            status["microphones_change"] += 1


class signal_ignored:  # noqa: N801 (a context manager, used as a word)
    """Within the block `number` is ignored, by processes started in it for good."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __enter__(self) -> None:
        self._before = signal.signal(self._number, signal.SIG_IGN)

    def __exit__(self, *_: object) -> None:
        signal.signal(self._number, self._before)
