"""Is the face alive, does it do what it is asked, and what does it do where nobody speaks?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate
from avatar.motion.direction import EMOTION_NAMES, Direction
from avatar.training.motion_measures import (
    UPPER_FACE,
    Series,
    blinks,
    correlation,
    facing,
    frame_times,
    gaze_spread,
    half_way_s,
    largest_step,
    looking,
    loud_span,
    mean_known,
    open_share,
    opening,
    region_spread,
    turn_a_frame,
    turn_between,
    wide,
)
from avatar.training.score import CLOSED
from avatar.training.takes import NEUTRAL, Sound, Take, Takes, directed, perform
from avatar.types import ARKIT_NAMES, AUDIO_RATE, MOTION_RATE, Float

INTENSITY = 0.7
"""Of the emotions that are tried."""
EMOTIONS: dict[str, Direction] = {
    name: Direction(emotion=INTENSITY * np.eye(len(EMOTION_NAMES), dtype=np.float32)[index])
    for index, name in enumerate(EMOTION_NAMES)
    if name != "neutral"
}
GAZES_DEGREES = ((15.0, 0.0), (-15.0, 0.0), (0.0, 8.0), (0.0, -8.0))
"""Yaw, pitch."""
STILLNESSES = (0.0, 0.5, 1.0, 1.5)
DISTANCES_M = (-0.04, 0.04)
_GAZE_TAKES = 4
_SETTLED_S = 1.0
"""After this a new direction has been followed."""
_HELD_S = 2.5
"""How long each direction holds where it changes to and fro."""
_FOLLOWED, _TURNED = 0.25, 0.05
"""Shares of the change asked: eyes and head that turn less do not follow it, by chance alone they
wander so far."""
_BEFORE_S, _AFTER_S = 1.5, 3.0
"""Silence around a phrase."""
_FORESEEN_S = 0.2
"""No generator that streams looks further ahead: its lips may know so early what comes."""
_REST_S = 1.5
"""After the end of speech: by then a face is at rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveliness:
    """How much moves, over some takes: means weighted by nothing, rates over their whole time."""

    eyes: float
    brows: float
    nose: float
    """Standard deviation of MetaHuman's controls in the region."""
    gaze_degrees: float
    head_degrees: float
    """That the head turns between frames at 25 a second (VASA-1's dP)."""
    blinks_a_minute: float


def liveliness(takes: Sequence[Take]) -> Liveliness:
    """Of at least one take."""
    regions = [region_spread(take) for take in takes]
    minutes = sum(len(take.frames) for take in takes) / MOTION_RATE / 60
    return Liveliness(
        **{name: float(np.mean([one[name] for one in regions])) for name in regions[0]},
        gaze_degrees=float(np.mean([gaze_spread(take) for take in takes])),
        head_degrees=float(np.mean([turn_a_frame(take.rotation) for take in takes])),
        blinks_a_minute=sum(blinks(take.expression) for take in takes) / minutes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedDifference:
    """Two seeds, the same sound."""

    upper_face: float
    """Mean distance of ARKit's weights above the mouth."""
    head_degrees: float
    """Mean angle between both heads."""
    lips_r: float
    lips_apart: float
    """Largest difference of the lips' opening, over the outer-eye-corner distance."""


def seed_difference(one: Take, other: Take, template: HeadTemplate) -> SeedDifference:
    first, second = (opening(take, template) for take in (one, other))
    upper = np.abs(one.expression - other.expression)[:, UPPER_FACE]
    return SeedDifference(
        upper_face=float(upper.mean()),
        head_degrees=turn_between(one.rotation, other.rotation),
        lips_r=correlation(first, second),
        lips_apart=float(np.abs(first - second).max()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionEffect:
    """An emotion against none: the same sounds, the same seed."""

    shift: float
    """Root mean square of how far ARKit's weights move on average."""
    moved: tuple[tuple[str, float], ...]
    """The three that move most, and how far; left and right of a pair count once."""
    lips_r: float
    """Of the lips' opening with that without the emotion."""
    opening_ratio: float
    """Of the openings that 5 % of the frames reach."""


def emotion_effect(
    calm: Sequence[Take], moved: Sequence[Take], template: HeadTemplate
) -> EmotionEffect:
    """The same sounds in the same order, at least one."""
    openings = [
        (opening(a, template), opening(b, template)) for a, b in zip(calm, moved, strict=True)
    ]
    shifts = np.mean(
        [b.expression.mean(0) - a.expression.mean(0) for a, b in zip(calm, moved, strict=True)], 0
    )
    pairs: dict[str, float] = {}
    for name, shift in zip(ARKIT_NAMES, shifts.tolist(), strict=True):
        pairs.setdefault(name.removesuffix("Left").removesuffix("Right"), shift)
    most = sorted(pairs.items(), key=lambda pair: -abs(pair[1]))[:3]
    rs = [correlation(a, b) for a, b in openings]
    return EmotionEffect(
        shift=float(np.sqrt((shifts**2).mean())),
        moved=tuple((name, shift) for name, shift in most if abs(shift) >= 0.01),
        lips_r=mean_known(rs),
        opening_ratio=mean_known(
            [wide(b) / wide(a) if wide(a) > 0 else np.nan for a, b in openings]
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GazeFollowed:
    """Where the face looks when it is asked to look there; degrees, yaw and pitch."""

    asked: tuple[float, float]
    got: tuple[float, float]
    """Median of head and eyes together, against the same take when nothing is asked."""
    by_head: tuple[float, float]
    """The head's part of it."""


def gaze_followed(asked: tuple[float, float], sound: Sound, takes: Takes) -> GazeFollowed:
    """After the first second of the sound, over some takes: chance looks elsewhere, too."""
    direction = Direction(gaze=(float(np.radians(asked[0])), float(np.radians(asked[1]))))
    asked_takes = [takes.of(sound, more=more, direction=direction) for more in range(_GAZE_TAKES)]
    free = [takes.of(sound, more=more) for more in range(_GAZE_TAKES)]
    settled = min(round(_SETTLED_S * MOTION_RATE), len(free[0].frames) - 1)

    def moved(angles: Callable[[Take], Series]) -> tuple[float, float]:
        on, off = (
            np.median(np.concatenate([angles(take)[settled:] for take in some]), 0)
            for some in (asked_takes, free)
        )
        yaw, pitch = np.degrees(on - off).tolist()
        return yaw, pitch

    return GazeFollowed(asked=asked, got=moved(looking), by_head=moved(facing))


@dataclass(frozen=True, slots=True, kw_only=True)
class GazeLead:
    """How eyes and head share a change of the main gaze direction from side to side."""

    eyes_ms: float
    """From the first frame that can know of the change to half of the eyes' way; nan where they do
    not follow."""
    head_ms: float
    """To half of the head's way; nan where it does not turn."""
    head_degrees: float
    """The head's way, of the 30 degrees asked."""

    @property
    def lead_ms(self) -> float:
        """By which the eyes are earlier."""
        return self.head_ms - self.eyes_ms


def gaze_lead(sound: Sound, seeds: Sequence[int], wide_degrees: float = 15.0) -> GazeLead:
    """Mean response over all changes of all seeds, from -15 to 15 degrees of yaw and back.

    The sound is so long that there are at least two changes.
    """
    sides = [Direction(gaze=(float(np.radians(side * wide_degrees)), 0.0)) for side in (-1, 1)]
    changes = int(sound.seconds / _HELD_S)
    plan = [(index * _HELD_S, sides[index % 2]) for index in range(changes)]
    length = round(_HELD_S * MOTION_RATE)
    responses = []
    for seed in seeds:
        take, starts = directed(sound.samples, plan, seed=seed)
        yaw = np.stack([take.gaze[:, 0], facing(take)[:, 0], looking(take)[:, 0]], 1)
        for index, start in enumerate(starts[1:], 1):
            before = yaw[max(start - 10, 0) : start].mean(0)
            one = (1 if index % 2 else -1) * (yaw[start : start + length] - before)
            if len(one) == length:
                responses.append(one)
    eye, head, both = np.mean(responses, 0).T
    way = 2 * np.radians(wide_degrees)
    times_ms = 1000 * frame_times(length)
    head_way = float(head[-length // 3 :].mean())
    follows, turns = both[-length // 3 :].mean() > _FOLLOWED * way, head_way > _TURNED * way
    return GazeLead(
        eyes_ms=half_way_s(times_ms, eye, float(eye.max())) if follows else float("nan"),
        head_ms=half_way_s(times_ms, head, head_way) if follows and turns else float("nan"),
        head_degrees=float(np.degrees(head_way)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StillnessEffect:
    """How much head and brows move at one stillness."""

    stillness: float
    head_degrees: float
    brows: float
    lips_r: float
    """Of the lips' opening with that at stillness 1."""


def stillness_effect(
    stillness: float, sounds: Sequence[Sound], takes: Takes, template: HeadTemplate
) -> StillnessEffect:
    direction = Direction(stillness=stillness) if stillness != 1 else NEUTRAL
    given = [takes.of(sound, direction=direction) for sound in sounds]
    plain = [takes.of(sound) for sound in sounds]
    rs = [
        correlation(opening(a, template), opening(b, template))
        for a, b in zip(plain, given, strict=True)
    ]
    life = liveliness(given)
    return StillnessEffect(
        stillness=stillness, head_degrees=life.head_degrees, brows=life.brows, lips_r=mean_known(rs)
    )


def distance_followed(asked_m: float, sound: Sound, takes: Takes) -> float:
    """m that the head is nearer than when nothing is asked, after the first second."""
    settled = round(_SETTLED_S * MOTION_RATE)
    asked, free = takes.of(sound, direction=Direction(distance=asked_m)), takes.of(sound)
    change = asked.translation[settled:, 2] - free.translation[settled:, 2]
    return float(change.mean()) if len(change) else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A face that hears nobody speak."""

    open_share: float
    """Of the frames with parted lips."""
    opening_most: float
    """Over the outer-eye-corner distance."""
    blinks_a_minute: float
    head_degrees: float
    """Between frames at 25 a second."""
    head_range_degrees: float
    """95th percentile of how far the head is from its mean pose."""
    gaze_degrees: float
    brows: float


def idle(samples: Float, template: HeadTemplate, seed: int = 0) -> Idle:
    take = perform(samples, seed=seed)
    lips, life = opening(take, template), liveliness([take])
    heads = Rotation.from_rotvec(take.rotation.astype(np.float64))
    away = (heads.mean().inv() * heads).magnitude()
    return Idle(
        open_share=open_share(lips),
        opening_most=float(lips.max()),
        blinks_a_minute=life.blinks_a_minute,
        head_degrees=life.head_degrees,
        head_range_degrees=float(np.degrees(np.percentile(away, 95))),
        gaze_degrees=life.gaze_degrees,
        brows=life.brows,
    )


def quiet_room(seconds: float, level_db: float, seed: int) -> Float:
    """Noise of a room at this level against full scale: louder towards the low tones."""
    white = np.random.default_rng(seed).standard_normal(round(seconds * AUDIO_RATE))
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, len(white))
    return (noise / np.sqrt((noise**2).mean()) * 10 ** (level_db / 20)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Digital silence, a voice cut off in its first and last loud vowel, digital silence.

    Cut, because where a sentence begins and ends is a matter of opinion: breath and noise come
    first. So the lips have no warning, and an end more sudden than any person's.
    """

    onset_ms: float
    """From the voice's first sound to lips that part; negative where they part before it."""
    closing_ms: float
    """From its last sound to lips that stay closed; nan where they do not within 3 s."""
    step_speaking: float
    step_ending: float
    """Largest step of the lips' opening from frame to frame, over the outer-eye-corner distance:
    while speaking, and from the end (what of it is foreseen included) to a second after it."""
    head_step_speaking: float
    head_step_ending: float
    """The same of the head, degrees."""
    rest: float
    """Mean opening from 1.5 s after the end on."""


def phrase(sound: Sound, template: HeadTemplate, seed: int = 0) -> Phrase:
    """A sound with speech in it."""
    voice = sound.samples[loud_span(sound.samples)]
    before, after = (np.zeros(round(s * AUDIO_RATE), np.float32) for s in (_BEFORE_S, _AFTER_S))
    take = perform(np.concatenate([before, voice, after]), seed=seed)
    lips, times = opening(take, template), frame_times(len(take.frames))
    start_s, end_s = _BEFORE_S, _BEFORE_S + len(voice) / AUDIO_RATE
    parted = max(0.1 * wide(lips), CLOSED)
    speaking = (times > start_s - _FORESEEN_S) & (times < end_s - _FORESEEN_S)
    ending = (times >= end_s - _FORESEEN_S) & (times < end_s + 1)
    opened = np.flatnonzero(speaking & (lips > parted))
    late = np.flatnonzero((times >= end_s) & (lips > CLOSED))
    if not len(late):
        closing_ms = 0.0
    elif late[-1] == len(lips) - 1:
        closing_ms = float("nan")
    else:
        closing_ms = 1000 * float(times[late[-1] + 1] - end_s)
    return Phrase(
        onset_ms=1000 * float(times[opened[0]] - start_s) if len(opened) else float("nan"),
        closing_ms=closing_ms,
        step_speaking=largest_step(lips[speaking]),
        step_ending=largest_step(lips[ending]),
        head_step_speaking=float(np.degrees(largest_step(take.rotation[speaking]))),
        head_step_ending=float(np.degrees(largest_step(take.rotation[ending]))),
        rest=float(lips[times > end_s + _REST_S].mean()),
    )
