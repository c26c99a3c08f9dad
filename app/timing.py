"""How long things took: percentiles in constant memory, for the log, the panel and `--stats`."""

import json
import logging
import math
import time
from typing import Any

import numpy as np

from app.speech_process import SpeechReport
from render.headset import Turn

log = logging.getLogger(__name__)

DIGEST_S = 5.0
PERIOD_TURNS, PERIOD_PERCENT = 64, 20
"""The display's period is this percentile of the last so many that the runtime told."""
SHOWN = 240
"""Frames in the panel's plot."""


class Distribution:
    """Counts of durations in bins of 0.1 ms: percentiles of hours in a few kilobytes."""

    LEAST_MS, MOST_MS, BIN_MS = -500.0, 3000.0, 0.1

    def __init__(self) -> None:
        self._counts = np.zeros(round((self.MOST_MS - self.LEAST_MS) / self.BIN_MS), np.int64)
        self.total = 0

    def add(self, value_ms: float) -> None:
        """Count one value; what lies outside the range counts at its edge."""
        bin_index = int((value_ms - self.LEAST_MS) / self.BIN_MS)
        self._counts[min(max(bin_index, 0), len(self._counts) - 1)] += 1
        self.total += 1

    def percentile(self, percent: float) -> float | None:
        """The least value that `percent` of all do not exceed, within a bin; None without any."""
        if not self.total:
            return None
        wanted = max(1, int(np.ceil(self.total * percent / 100)))
        bin_index = int(np.searchsorted(np.cumsum(self._counts), wanted))
        return self.LEAST_MS + (bin_index + 0.5) * self.BIN_MS

    def clear(self) -> None:
        """Start anew."""
        self._counts[:] = 0
        self.total = 0

    def summary(self, *percents: int) -> dict[str, float | None]:
        """{"p50": ..., ...} in milliseconds, rounded to a tenth."""
        values = {percent: self.percentile(percent) for percent in percents}
        return {
            f"p{percent}": None if value is None else round(value, 1)
            for percent, value in values.items()
        }


class Timing:
    """What one run of the live loop took."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._digest_s = self._began_s
        self._digest_frames = 0
        self._last_fps: float | None = None
        self.frames = 0
        self.starved = 0
        """Frames for which no motion had arrived in time."""
        self.frame_ms = Distribution()
        """From the start of a frame until its picture is handed to the display: sampling the
        motion, deforming, drawing, the panel, uploading. Waiting for the next frame's turn is
        not in it."""
        self.sound_to_sight_ms = Distribution()
        """From a sound's entry into the program until the face of that instant was shown."""
        self.lips_behind_ms = Distribution()
        """How far the lips shown were behind the loudspeaker."""
        self._recent_frame_ms = Distribution()
        self._recent_sight_ms = Distribution()
        self.frame_history_ms = np.zeros(SHOWN, np.float32)
        """The last frames, oldest first."""
        self.sight_history_ms = np.zeros(SHOWN, np.float32)
        """Sound to sight of the same frames; 0 where no sound belonged to one."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._began_s

    def restart(self) -> None:
        """The start was the loading; count from here."""
        self._began_s = self._digest_s = time.perf_counter()

    def add_frame(
        self, frame_s: float, sound_to_sight_s: float | None, lips_behind_s: float | None
    ) -> None:
        """One frame was shown. The delays are None where no sound belongs to it."""
        self.frames += 1
        self.frame_ms.add(1e3 * frame_s)
        self._recent_frame_ms.add(1e3 * frame_s)
        self.frame_history_ms[:-1] = self.frame_history_ms[1:]
        self.frame_history_ms[-1] = 1e3 * frame_s
        self.sight_history_ms[:-1] = self.sight_history_ms[1:]
        self.sight_history_ms[-1] = 1e3 * (sound_to_sight_s or 0.0)
        if sound_to_sight_s is not None:
            self.sound_to_sight_ms.add(1e3 * sound_to_sight_s)
            self._recent_sight_ms.add(1e3 * sound_to_sight_s)
        if lips_behind_s is not None:
            self.lips_behind_ms.add(1e3 * lips_behind_s)

    def recent(self) -> tuple[float | None, float | None, float | None]:
        """Median and p95 of recent frames, median of recent sound to sight, ms."""
        frame, sight = self._recent_frame_ms, self._recent_sight_ms
        return frame.percentile(50), frame.percentile(95), sight.percentile(50)

    @property
    def recent_fps(self) -> float | None:
        """Frames a second since the last digest; None before it means anything."""
        span = time.perf_counter() - self._digest_s
        if not self.frames:
            return None
        return (self.frames - self._digest_frames) / span if span > 0.5 else self._last_fps

    def digest(self, report: SpeechReport, backend: str) -> None:
        """One line in the log every 5 s."""
        now = time.perf_counter()
        span = now - self._digest_s
        if span < DIGEST_S:
            return
        fps = (self.frames - self._digest_frames) / span
        frame, sight = self._recent_frame_ms, self._recent_sight_ms
        log.info(
            "%.1f fps, frame p50 %s p99 %s ms, sound to sight p50 %s ms, starved %d, "
            "sound blocks %d dropped %d restarts %d, generator %.2f of real time, %s",
            *(fps, _text(frame.percentile(50)), _text(frame.percentile(99))),
            *(_text(sight.percentile(50)), self.starved),
            *(report.blocks, report.dropped, report.restarts, report.real_time_factor, backend),
        )
        self._last_fps = fps
        self._digest_s, self._digest_frames = now, self.frames
        frame.clear()
        sight.clear()

    def statistics(self, report: SpeechReport, backend: str) -> dict[str, Any]:
        """Everything, as `--stats` writes it. Milliseconds; null where nothing was measured."""
        seconds = self.seconds
        result: dict[str, Any] = {
            "frames": self.frames,
            "seconds": round(seconds, 3),
            "fps": round(self.frames / seconds, 2) if seconds > 0 else 0.0,
            "frame_ms": self.frame_ms.summary(50, 95, 99),
            "sound_to_sight_ms": self.sound_to_sight_ms.summary(50, 95),
            "audio": {
                "blocks": report.blocks,
                "dropped": report.dropped,
                "restarts": report.restarts,
            },
            "generator": {"rtf": round(report.real_time_factor, 4), "starved": self.starved},
            "backend": backend,
        }
        if self.lips_behind_ms.total:
            result["lips_behind_sound_ms"] = self.lips_behind_ms.summary(50, 95)
        return result


class HeadsetTiming:
    """What the headset's turns took."""

    STAGES = ("wait", "hands", "panel", "pose", "draw", "paint", "submit", "mirror")
    """Waiting for the turn; reading and following the hands; drawing the panel; posing the
    Gaussians; drawing them for both eyes; laying them into the room; handing over; what the window
    shows of it, once the headset has its picture."""

    def __init__(self) -> None:
        self.frames = 0
        """Stereo pictures that were handed over."""
        self.missed = 0
        """Turns of the display for which no new picture was ready."""
        self.sessions = 0
        self.work_ms = Distribution()
        """All stages but the waiting."""
        self.stage_ms = {name: Distribution() for name in self.STAGES}
        """By the clock."""
        self.cpu_ms = {name: Distribution() for name in self.STAGES}
        """Of all cores together: the same on a busy machine."""
        self._lap_s, self._lap_cpu_s = time.perf_counter(), time.process_time()
        self.sound_to_sight_ms = Distribution()
        """From a sound's entry until its face is lit in the headset, as the runtime predicts."""
        self.period_s = math.inf
        """Of the display itself."""
        self._periods_s = np.zeros(PERIOD_TURNS)
        self._turns = 0
        self.description = ""
        self.eye_sizes: list[tuple[int, int]] = []
        self.scale = self.share = 1.0
        self._last_display_s: float | None = None

    def session_began(self, description: str, eye_sizes: list[tuple[int, int]]) -> None:
        """A headset was taken up."""
        self.sessions += 1
        self._turns = 0
        self.description, self.eye_sizes = description, eye_sizes
        self.paused()

    def paused(self) -> None:
        """No turns for a while: none of them is missed."""
        self._last_display_s = None

    def wait(self) -> None:
        """The waiting for a turn begins."""
        self._lap_s, self._lap_cpu_s = time.perf_counter(), time.process_time()

    def begin(self, turn: Turn) -> None:
        """A turn has begun."""
        self.lap("wait")
        # A runtime tells now and then one that is too short, and longer ones to a slow program.
        self._periods_s[self._turns % len(self._periods_s)] = turn.period_s
        self._turns += 1
        known = self._periods_s[: self._turns]
        self.period_s = float(np.percentile(known, PERIOD_PERCENT, method="lower"))
        last_s, self._last_display_s = self._last_display_s, turn.display_s
        if last_s is not None:
            self.missed += max(0, round((turn.display_s - last_s) / self.period_s) - 1)

    def lap(self, name: str) -> None:
        """A stage of this turn ends now; it began when the last one ended."""
        now_s, cpu_s = time.perf_counter(), time.process_time()
        self.stage_ms[name].add(1e3 * (now_s - self._lap_s))
        self.cpu_ms[name].add(1e3 * (cpu_s - self._lap_cpu_s))
        self._lap_s, self._lap_cpu_s = now_s, cpu_s

    def end(self, work_s: float, scale: float, share: float) -> None:
        """A stereo picture was handed over, drawn at so much of the eyes' resolution and with so
        much of the splats."""
        self.frames += 1
        self.work_ms.add(1e3 * work_s)
        self.scale, self.share = scale, share

    def statistics(self) -> dict[str, Any]:
        """For `--stats`. Milliseconds."""
        result: dict[str, Any] = {"frames": self.frames, "missed": self.missed}
        if self.sessions:
            result |= {
                "sessions": self.sessions,
                "headset": self.description,
                "eye_size": [list(size) for size in self.eye_sizes],
                "display_hz": round(1 / self.period_s, 2),
                "work_ms": self.work_ms.summary(50, 95, 99),
                "stage_ms": {name: ms.summary(50, 95) for name, ms in self.stage_ms.items()},
                "cpu_ms": {name: ms.summary(50, 95) for name, ms in self.cpu_ms.items()},
                "sound_to_sight_ms": self.sound_to_sight_ms.summary(50, 95),
                "scale": round(self.scale, 3),
                "splat_share": round(self.share, 3),
            }
        return result


def statistics_text(statistics: dict[str, Any]) -> str:
    """The statistics as JSON with a line for each key."""
    return json.dumps(statistics, indent=2) + "\n"


def _text(value_ms: float | None) -> str:
    return "-" if value_ms is None else f"{value_ms:.1f}"
