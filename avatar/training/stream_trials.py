"""Does the stream hold: any blocks, hours, and sound that is no clean speech?"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avatar.head.template import HeadTemplate
from avatar.speech.generator import LOOK_AHEAD_S, MotionGenerator
from avatar.training.motion_measures import correlation, largest_step, open_share, opening, wide
from avatar.training.takes import Sound, Take, perform, take_of
from avatar.types import AUDIO_RATE, MOTION_RATE, Float

_BLOCK = AUDIO_RATE // MOTION_RATE
BLOCKS: dict[str, tuple[int, ...]] = {
    "7 samples": (7,),
    "333 samples": (333,),
    "one second": (AUDIO_RATE,),
    "1 to 5000, mixed": (1, 0, 319, 5000, 2, 641, 1777, 48),
}
"""How sound comes in; each list is repeated."""
_PAUSE_S = 5.0
_SETTLING_S = 60.0
"""Memory is counted from here on: by then every table has been made."""
_PARTS = 6


def in_blocks(samples: Float, sizes: Sequence[int], *, seed: int = 0) -> Take:
    """The sound in blocks of these sizes, over and over."""
    generator = MotionGenerator(seed=seed)
    frames, start, index = [], 0, 0
    while start < len(samples):
        size = sizes[index % len(sizes)]
        frames += generator.step(samples[start : start + size])
        start, index = start + size, index + 1
    return take_of([*frames, *generator.flush()])


def difference(one: Take, other: Take) -> float:
    """The most that anything differs; infinite where one has more frames than the other."""
    if len(one.frames) != len(other.frames):
        return float("inf")
    return float(np.abs(one.everything - other.everything).max())


def changed_before(samples: Float, cut_s: float, *, seed: int = 0) -> float:
    """The most that frames which need only sound before `cut_s` change when what follows does."""
    cut = round(cut_s * AUDIO_RATE)
    other = samples.copy()
    noise = np.random.default_rng(seed).standard_normal(len(samples) - cut)
    other[cut:] = np.clip(0.2 * noise, -1, 1)
    one, two = perform(samples, seed=seed), perform(other, seed=seed)
    times = np.array([frame.time_s for frame in one.frames])
    settled = times + LOOK_AHEAD_S <= cut / AUDIO_RATE + 1e-9
    return float(np.abs(one.everything - two.everything)[settled].max(initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long the generator takes, hearing 20 ms at a time."""

    real_time_factor: float
    """Time on the clock over that of the sound."""
    processor_factor: float
    """Time of the processor, all threads together, over that of the sound."""
    block_ms_p50: float
    block_ms_p95: float
    block_ms_p99: float
    start_ms: float
    """To make a generator, the weights being loaded."""


def pace(samples: Float) -> Pace:
    """Of one stream, as a microphone brings it."""
    perform(samples[:_BLOCK])  # loads the weights
    started = time.perf_counter()
    generator = MotionGenerator()
    start_ms = 1000 * (time.perf_counter() - started)
    clock, processor, taken = time.perf_counter(), time.process_time(), []
    for start in range(0, len(samples), _BLOCK):
        began = time.perf_counter()
        generator.step(samples[start : start + _BLOCK])
        taken.append(1000 * (time.perf_counter() - began))
    seconds = len(samples) / AUDIO_RATE
    p50, p95, p99 = np.percentile(taken, (50, 95, 99)).tolist()
    return Pace(
        real_time_factor=(time.perf_counter() - clock) / seconds,
        processor_factor=(time.process_time() - processor) / seconds,
        block_ms_p50=p50,
        block_ms_p95=p95,
        block_ms_p99=p99,
        start_ms=start_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """Hours of speech and silence in turn."""

    hours: float
    frames: int
    not_finite: int
    """Frames with a number that is none."""
    memory_growth_mb: float
    """Of the process since the first minute; nan where the system does not tell."""
    head_drift_degrees: float
    """Furthest mean pose of the head over a sixth of the time from that over all."""
    expression_drift: float
    """The same of ARKit's weights, the furthest of them."""
    head_step_degrees: float
    """Largest from frame to frame."""
    expression_step: float
    silent_open_share_first: float
    silent_open_share_last: float
    """Of the frames with parted lips in the pauses of the first and of the last sixth."""
    real_time_factor: float


@dataclass(slots=True)
class _Part:
    """Sums over a sixth of the time."""

    frames: int = 0
    pose: np.ndarray = field(default_factory=lambda: np.zeros(3))
    expression: np.ndarray = field(default_factory=lambda: np.zeros(52))
    silent: int = 0
    silent_open: float = 0.0


def endurance(
    sounds: Sequence[Sound],
    hours: float,
    template: HeadTemplate,
    tell: Callable[[float], None],
    *,
    seed: int = 0,
) -> Endurance:
    """One generator for all that time. `tell` is given the seconds of sound just done."""
    generator, total_s = MotionGenerator(seed=seed), hours * 3600
    parts = [_Part() for _ in range(_PARTS)]
    done_s = not_finite = frames = 0
    head_step = expression_step = 0.0
    last: Take | None = None
    settled_mb = float("nan")
    elapsed = 0.0
    for samples, silent in _speech_and_silence(sounds):
        if done_s >= total_s:
            break
        clock = time.perf_counter()
        given = generator.step(samples)
        elapsed += time.perf_counter() - clock
        seconds = len(samples) / AUDIO_RATE
        if given:
            take = take_of(given)
            part = parts[min(int(_PARTS * done_s / total_s), _PARTS - 1)]
            part.frames += len(given)
            part.pose += take.rotation.sum(0)
            part.expression += take.expression.sum(0)
            if silent:
                late = opening(take, template)[MOTION_RATE:]  # the mouth may close first
                part.silent += len(late)
                part.silent_open += open_share(late) * len(late) if len(late) else 0
            not_finite += int((~np.isfinite(take.everything)).any(1).sum())
            joined = take if last is None else take_of([last.frames[-1], *given])
            head_step = max(head_step, float(np.degrees(largest_step(joined.rotation))))
            expression_step = max(expression_step, largest_step(joined.expression))
            frames, last = frames + len(given), take
        done_s += seconds
        tell(seconds)
        if np.isnan(settled_mb) and done_s >= _SETTLING_S:
            settled_mb = memory_mb()
    used = [part for part in parts if part.frames]
    poses = np.array([part.pose / part.frames for part in used])
    expressions = np.array([part.expression / part.frames for part in used])
    quiet = [part.silent_open / part.silent for part in used if part.silent]
    return Endurance(
        hours=done_s / 3600,
        frames=frames,
        not_finite=not_finite,
        memory_growth_mb=memory_mb() - settled_mb,
        head_drift_degrees=float(np.degrees(np.linalg.norm(poses - poses.mean(0), axis=1).max())),
        expression_drift=float(np.abs(expressions - expressions.mean(0)).max()),
        head_step_degrees=head_step,
        expression_step=expression_step,
        silent_open_share_first=quiet[0] if quiet else float("nan"),
        silent_open_share_last=quiet[-1] if quiet else float("nan"),
        real_time_factor=elapsed / done_s,
    )


def memory_mb() -> float:
    """Resident memory of this process; nan where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="ignore")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return float("nan")
    return int(line.split()[1]) / 1024


def _speech_and_silence(sounds: Sequence[Sound]) -> Iterator[tuple[Float, bool]]:
    pause = np.zeros(round(_PAUSE_S * AUDIO_RATE), np.float32)
    while True:
        for sound in sounds:
            yield sound.samples, False
            yield pause, True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """The lips on a disturbed sound, beside those on the clean one."""

    lips_r: float
    """Of the opening with that on the clean sound; nan where there is no clean sound."""
    open_share: float
    clean_open_share: float
    """Of the frames with parted lips."""
    wide_ratio: float
    """Of the openings that 5 % of the frames reach, over the clean sound's."""
    step: float
    clean_step: float
    """Largest step of the opening from frame to frame."""
    finite: bool


def disturbed(
    clean: Take | None, samples: Float, template: HeadTemplate, *, seed: int = 0
) -> Disturbed:
    """`clean` is the take of the sound before it was disturbed; None for a disturbance alone."""
    take = perform(samples, seed=seed)
    lips = opening(take, template)
    plain = np.zeros(len(lips)) if clean is None else opening(clean, template)
    nothing = float("nan")
    return Disturbed(
        lips_r=correlation(plain, lips),
        open_share=open_share(lips),
        clean_open_share=nothing if clean is None else open_share(plain),
        wide_ratio=wide(lips) / wide(plain) if wide(plain) > 0 else nothing,
        step=largest_step(lips),
        clean_step=nothing if clean is None else largest_step(plain),
        finite=bool(np.isfinite(take.everything).all()),
    )
