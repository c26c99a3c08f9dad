"""Eyes and lids: fixations and saccades about the asked direction, blinks, and what lids do.

The eyes lead: they jump at once, the head follows 100 to 250 ms later and takes a part of the way,
while the eyes turn back as it comes, as in gaze shifts to a target that appears (Freedman 2008).
In tasks of one's own pace heads often start with the eyes or before them; that is not shown here.
"""

from dataclasses import dataclass
from math import degrees, hypot, radians

import numpy as np

from avatar.training.performance.emotions import Mood
from avatar.training.performance.script import Script, Style
from avatar.training.performance.signals import Curve, drift, glides, least_jerk
from avatar.training.performance.voice import Voice
from avatar.types import MOTION_RATE

_EYE_LIMIT = radians(34)
"""Furthest that the eyes turn against the head."""
_AWAY_MEAN_S = {"talking": 1.35, "listening": 0.95}
_HELD_MEAN_S = {"talking": 1.6, "listening": 3.3}
"""Set so that the eyes hold the viewer half to three fifths of the time in talk and some 75 % in
silence. Argyle's figures for people are 41 % and 75 %: in talk this face looks at its viewer more
than they do, by choice. In the short pauses of a corpus it comes to about 60 %, not 75 %."""
_AWAY_AT_BEGIN = 0.7
"""Share of long utterances that begin with a look away (Kendon 1967: over 70 %)."""
_LONG_PHRASE = int(1.8 * MOTION_RATE)

_CLOSE_S, _HOLD_S, _OPEN_S = 0.055, 0.02, 0.10
"""Fitted to GRID, not checked on anything else: lids below 55 % of their opening for 2.5 frames of
25 a second a blink there (mostly of one speaker), for 2.6 here."""
_BLINK_SIGMA = 0.5
"""Of the log-normal intervals."""
_BLINK_ON_SHIFT, _BLINK_ON_END = 0.3, 0.3
"""Chance of a blink with a large shift of gaze and at the end of a phrase."""
_LARGE_SHIFT = radians(9)
_REFRACTORY = int(0.4 * MOTION_RATE)


@dataclass(frozen=True, slots=True)
class Fixation:
    """Where the eyes rest from a frame on."""

    frame: int
    offset: tuple[float, float]
    """Yaw and pitch off the asked direction, rad."""
    away: bool


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Where the eyes go."""

    target: Curve
    """[T, 2] yaw and pitch in the room, rad."""
    turn: Curve
    """[T, 2] what the head does of it, rad."""
    shifts: list[tuple[int, float]]
    """Frame and size (rad) of each saccade."""
    away: Curve
    """[T] 1 where the eyes are off the asked direction."""


def look(
    script: Script, voice: Voice, mood: Mood, style: Style, chance: np.random.Generator
) -> Look:
    """Fixations of T frames, the eyes' way through them, and the head's part."""
    frames = len(script)
    # each part has chance of its own: what is asked later changes nothing before
    of_fixations, of_path, of_head = chance.spawn(3)
    changes = np.flatnonzero(np.any(np.diff(script.gaze, axis=0) != 0, axis=1)) + 1
    fixations = _fixations(frames, changes, voice, mood, style, of_fixations)
    target, shifts = _path(script, fixations, of_path)
    away = np.zeros(frames)
    for one, after in zip(fixations, [*fixations[1:], None], strict=True):
        away[one.frame : frames if after is None else after.frame] = one.away
    return Look(target, _head_part(script, changes, fixations, of_head), shifts, away)


def gaze_against_head(target: Curve, rotation: Curve) -> Curve:
    """[T, 2] yaw and pitch of the eyes in a head of `rotation` [T, 3] that looks at `target`."""
    head = np.stack([rotation[:, 1], -rotation[:, 0]], 1)
    return np.clip(target - head, -_EYE_LIMIT, _EYE_LIMIT)


def _fixations(
    frames: int,
    changes: np.ndarray,
    voice: Voice,
    mood: Mood,
    style: Style,
    chance: np.random.Generator,
) -> list[Fixation]:
    begins = {
        max(phrase.first + int(chance.integers(-3, 12)), 0)
        for phrase in voice.phrases
        if phrase.last - phrase.first > _LONG_PHRASE and chance.random() < _AWAY_AT_BEGIN
    }
    interrupts = sorted({*changes.tolist(), *begins, frames})
    asked = set(changes.tolist())
    fixations = []
    frame, until, away, index = 0, 0, False, 0
    side = (0.0, 0.0)
    while frame < frames:
        talking = voice.presence[frame] > 0.5
        state = "talking" if talking else "listening"
        aversion = style.aversion * mood.manner["aversion"][frame]
        pace = mood.manner["fixation"][frame]
        if frame in asked:  # look where it is asked, and rest there
            away = False
            until = frame + int(MOTION_RATE * chance.uniform(0.8, 2.5))
        elif frame in begins:
            away = True
            until = frame + int(MOTION_RATE * chance.uniform(0.7, 1.7))
        elif frame >= until:
            away = not away
            mean = _AWAY_MEAN_S[state] * aversion if away else _HELD_MEAN_S[state] / aversion
            # log-normal of this mean
            length = mean * float(np.exp(0.5 * chance.standard_normal() - 0.125))
            until = frame + max(int(MOTION_RATE * min(max(length, 0.3), 9.0)), 12)
        if away:
            if side == (0.0, 0.0) or chance.random() < 0.3:
                side = _aversion(talking, mood.manner["look_down"][frame], chance)
            yaw = side[0] + radians(1.0) * chance.standard_normal()
            pitch = side[1] + radians(0.8) * chance.standard_normal()
            length = 0.7 * pace * float(np.exp(0.5 * chance.standard_normal()))
        else:  # from eye to eye and to the mouth of the other
            side = (0.0, 0.0)
            yaw = radians(float(np.clip(1.1 * chance.standard_normal(), -2.2, 2.2)))
            pitch = radians(float(np.clip(-0.3 + 0.8 * chance.standard_normal(), -2.2, 1.6)))
            length = 0.85 * pace * float(np.exp(0.6 * chance.standard_normal()))
        fixations.append(Fixation(frame, (yaw, pitch), away))
        while interrupts[index] <= frame and interrupts[index] < frames:
            index += 1
        length = min(max(length, 0.2), 3.0)
        after = frame + max(int(MOTION_RATE * length), 6)
        after = min(after, max(until, frame + 6))
        frame = min(after, interrupts[index])
    return fixations


def _aversion(talking: bool, look_down: float, chance: np.random.Generator) -> tuple[float, float]:
    """Talkers look up and aside to think, listeners aside and down."""
    size = float(np.clip(9 * np.exp(0.35 * chance.standard_normal()), 5, 18))
    yaw = chance.choice([-1.0, 1.0]) * size * chance.uniform(0.4, 1.0)
    up = chance.random() < (0.4 if talking else 0.2) * np.exp(-look_down / radians(3))
    pitch = size * chance.uniform(0.1, 0.6) * (1 if up else -1)
    return radians(float(yaw)), radians(float(pitch)) - look_down * chance.uniform(0.5, 1.3)


def _path(
    script: Script, fixations: list[Fixation], chance: np.random.Generator
) -> tuple[Curve, list[tuple[int, float]]]:
    """[T, 2] the eyes in the room: saccades of 21 ms + 2.2 ms a degree between fixations
    (Bahill, Clark and Stark 1975), drift within them."""
    frames = len(script)
    path = np.zeros((frames, 2))
    shifts = []
    here = script.gaze[0].astype(np.float64) + fixations[0].offset
    ends = [*[one.frame for one in fixations[1:]], frames]
    for one, end in zip(fixations, ends, strict=True):
        place = script.gaze[one.frame] + np.array(one.offset)
        distance = hypot(*(place - here))
        count = max((0.021 + 0.0022 * degrees(distance)) * MOTION_RATE, 1.2)
        share = least_jerk((np.arange(end - one.frame) + 1) / count)
        path[one.frame : end] = here + share[:, None] * (place - here)
        here = path[end - 1]
        if distance > radians(0.3):
            shifts.append((one.frame, distance))
    # microsaccades: a tenth to half a degree, one or two a second
    for axis in range(2):
        path[:, axis] += drift(frames, chance, radians(0.12), (0.3, 1.0), 12.0)
    return path, shifts


def _head_part(
    script: Script,
    changes: np.ndarray,
    fixations: list[Fixation],
    chance: np.random.Generator,
) -> Curve:
    """[T, 2] yaw and pitch: 30 to 50 % of the asked direction, a little of a long look away."""
    moves: list[tuple[int, np.ndarray, float]] = [
        (0, script.gaze[0] * chance.uniform(0.3, 0.5), 0.02)
    ]
    share = 0.4
    asked = set(changes.tolist())
    for one, after in zip(fixations, [*fixations[1:], None], strict=True):
        lasts = (len(script) if after is None else after.frame) - one.frame
        if one.frame in asked:
            share = chance.uniform(0.3, 0.5)
            moves.append(
                (
                    one.frame + round(MOTION_RATE * chance.uniform(0.1, 0.25)),
                    script.gaze[one.frame] * share,
                    chance.uniform(0.4, 0.8),
                )
            )
        elif hypot(*one.offset) > radians(6) and lasts > 12 and chance.random() < 0.6:
            place = script.gaze[one.frame] * share + 0.25 * np.array(one.offset)
            moves.append((one.frame + 8, place, chance.uniform(0.5, 0.8)))
        elif not one.away and len(moves) > 1 and lasts > 12:
            moves.append((one.frame + 7, script.gaze[one.frame] * share, 0.6))
    # none begins before one that is asked for has arrived
    kept = [moves[0]]
    for move in moves[1:]:
        if move[0] > kept[-1][0]:
            kept.append(move)
    starts = [move[0] for move in kept]
    durations = [max(int(move[2] * MOTION_RATE), 1) for move in kept]
    return glides(len(script), starts, np.array([move[1] for move in kept]), durations)


def blinks(
    look: Look, voice: Voice, mood: Mood, style: Style, chance: np.random.Generator
) -> Curve:
    """[T] 0 open .. 1 shut: log-normal intervals, quicker in talk; with looks and phrase ends."""
    frames = len(look.target)
    minutes = max(frames / MOTION_RATE / 60, 1e-6)
    evoked = [
        (frame, 0.85)
        for frame, size in look.shifts
        if size > _LARGE_SHIFT and chance.random() < _BLINK_ON_SHIFT
    ]
    evoked += [
        (phrase.last + int(chance.integers(-4, 12)), 1.0)
        for phrase in voice.phrases
        if chance.random() < _BLINK_ON_END
    ]
    # those come out of the person's own number, as far as it goes; a fifth remain on top
    own = max(style.blinks - 0.8 * len(evoked) / minutes, 0.35 * style.blinks)
    rate = own / 60 / MOTION_RATE * (1 + 0.3 * voice.presence) * mood.manner["blinks"]
    clock = np.cumsum(rate)  # in blinks
    count = int(clock[-1] * 1.5) + 20
    intervals = np.exp(_BLINK_SIGMA * chance.standard_normal(count) - _BLINK_SIGMA**2 / 2)
    intervals[0] *= chance.uniform(0, 1)
    times = np.searchsorted(clock, np.cumsum(intervals))
    spontaneous = [(int(frame), 1.0) for frame in times if frame < frames]
    curve = np.zeros(frames)
    last = -_REFRACTORY
    for frame, depth in sorted([*spontaneous, *evoked]):
        if frame - last < _REFRACTORY or frame < 0:
            continue
        last = frame
        shape = depth * _blink(mood.manner["tempo"][min(frame, frames - 1)], chance)
        _hold_at(curve, frame, shape)
        if chance.random() < 0.06:  # twice
            _hold_at(curve, frame + int(chance.uniform(0.35, 0.5) * MOTION_RATE), shape)
    return curve


def _blink(tempo: float, chance: np.random.Generator) -> Curve:
    """Lids close fast and open slowly; one in ten does not quite shut."""
    slower = float(np.exp(0.18 * chance.standard_normal())) / np.sqrt(tempo)
    depth = chance.uniform(0.55, 0.85) if chance.random() < 0.1 else chance.uniform(0.93, 1.0)
    close, hold, opening = (
        max(part * slower * MOTION_RATE, 1.5) for part in (_CLOSE_S, _HOLD_S, _OPEN_S)
    )
    time = np.arange(1, int(close + hold + opening) + 2)
    down = np.clip(time / close, 0, 1)
    up = np.clip((close + hold + opening - time) / opening, 0, 1)
    share = np.minimum(down, up**1.3)  # the last of the way takes longest
    return depth * share * share * (3 - 2 * share)


def _hold_at(curve: Curve, frame: int, shape: Curve) -> None:
    last = min(frame + len(shape), len(curve))
    if last > frame:
        curve[frame:last] = np.maximum(curve[frame:last], shape[: last - frame])
