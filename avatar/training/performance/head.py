"""The head: sway, nods and beats with the voice, posture, listening nods, breath, distance."""

from math import radians

import numpy as np
import scipy.ndimage

from avatar.training.performance.emotions import Mood
from avatar.training.performance.script import Script, Style
from avatar.training.performance.signals import (
    Curve,
    add_at,
    at_tempo,
    bump,
    drift,
    glides,
    sprung,
)
from avatar.training.performance.voice import Voice
from avatar.types import MOTION_RATE

_SWAY = (radians(1.0), radians(1.6), radians(1.1))
"""Spread of the slow sway about x (nod), y (turn), z (lean)."""
_RESTLESS = (radians(0.9), radians(1.1), radians(0.75))
"""Spread of the quicker one that talk brings."""
_LIMIT = radians(22)


def head_motion(
    script: Script,
    voice: Voice,
    mood: Mood,
    style: Style,
    turn: Curve,
    chance: np.random.Generator,
) -> tuple[Curve, Curve]:
    """Rotation [T, 3] (axis-angle, rad) and translation [T, 3] (m).

    `turn` [T, 2] is the yaw and pitch that the head adds to a look (`eyes.look`).
    """
    frames = len(script)
    lively = style.head * mood.manner["motion"]
    talk = sprung(voice.presence, 0.5)
    tempo = np.clip(mood.manner["tempo"], 0.5, 2.0)
    sway = at_tempo(_sway(frames, chance), tempo / 2)  # drawn for twice the tempo at most
    restless = at_tempo(_restless(frames, chance), tempo / 2)
    rotation = sway * (1.15 + 0.35 * talk)[:, None] + restless * (0.4 + 1.4 * talk)[:, None]
    rotation += _nods(frames, voice, chance)
    rotation *= lively[:, None]
    rotation += _posture(frames, voice, style, chance)
    breath = _breath(frames, chance)
    rotation[:, 0] += mood.manner["nod"] - radians(0.25) * breath
    rotation[:, 2] += mood.manner["roll"] * style.side
    rotation[:, 0] -= turn[:, 1]
    rotation[:, 1] += turn[:, 0]
    # a head has mass: nothing above some 4 Hz
    rotation = scipy.ndimage.gaussian_filter1d(rotation, 2.0, axis=0)
    rotation = _LIMIT * np.tanh(rotation / _LIMIT)
    shift = np.stack([drift(frames, chance, 0.002, (1.5, 4.0), 0.4) for _ in range(3)], 1)
    shift *= (0.6 + 0.6 * talk)[:, None]
    shift[:, 0] += 0.04 * (rotation[:, 1] - turn[:, 0]) - 0.05 * rotation[:, 2]  # weight goes along
    shift[:, 1] += 0.0008 * breath - 0.02 * np.abs(rotation[:, 2])
    near = sprung(script.distance.astype(np.float64), float(chance.uniform(0.45, 0.7)))
    shift[:, 2] += near - mood.manner["back_m"] + 0.003 * talk + 0.02 * rotation[:, 0]
    return rotation, shift


def _sway(frames: int, chance: np.random.Generator) -> Curve:
    # half the frequency of what is wanted, for it is played at up to twice the tempo
    return np.stack([drift(frames, chance, spread, (0.4, 1.4), 0.9) for spread in _SWAY], 1)


def _restless(frames: int, chance: np.random.Generator) -> Curve:
    return np.stack([drift(frames, chance, spread, (0.12, 0.45), 2.2) for spread in _RESTLESS], 1)


def _nods(frames: int, voice: Voice, chance: np.random.Generator) -> Curve:
    """[T, 3] with the voice: nods on stressed words, beats, dips at ends, nods of a listener."""
    nod, turn, lean = np.zeros((3, frames))
    sense = -1.0 if chance.random() < 0.25 else 1.0  # a quarter of people lift on stress
    for accent in voice.accents:
        rise, fall = chance.uniform(0.16, 0.26), chance.uniform(0.25, 0.5)
        shape = bump(rise, 0.04, fall)
        size = radians(5.5) * chance.uniform(0.15, 1.0) * (0.35 + 0.65 * accent.size)
        add_at(nod, accent.frame - 2, sense * size * shape)
        if chance.random() < 0.35:
            side = chance.choice([-1.0, 1.0])
            which = turn if chance.random() < 0.5 else lean
            add_at(which, accent.frame - 2, side * radians(chance.uniform(0.7, 2.6)) * shape)
    # the voice's swell in every syllable, less than the nods
    swell = sprung(np.minimum(voice.loudness, 2) * voice.presence, 1.8)
    nod += sense * radians(chance.uniform(0.4, 1.6)) * (swell - sprung(swell, 0.25))
    for index, phrase in enumerate(voice.phrases):
        kind = chance.random()
        if kind < 0.6:  # the head sinks with the voice
            shape = bump(0.35, chance.uniform(0.1, 0.5), 0.7)
            add_at(nod, phrase.last - 18, radians(chance.uniform(1.2, 4.0)) * shape)
        elif kind < 0.75:
            shape = bump(0.35, chance.uniform(0.3, 0.8), 0.7)
            add_at(nod, phrase.last - 18, -radians(chance.uniform(1.0, 3.0)) * shape)
        if chance.random() < 0.5:  # and rises to begin
            shape = bump(0.25, chance.uniform(0.1, 0.4), 0.6)
            add_at(nod, phrase.first - 4, -radians(chance.uniform(0.8, 2.5)) * shape)
        followed = index + 1 < len(voice.phrases)
        silence_ends = voice.phrases[index + 1].first if followed else frames
        at = phrase.last + int(MOTION_RATE * chance.uniform(0.8, 2.5))
        while at < silence_ends - MOTION_RATE:
            if chance.random() < 0.5:
                _listening_nod(nod, at, chance)
            at += int(MOTION_RATE * chance.uniform(2.0, 6.0))
    return np.stack([nod, turn, lean], 1)


def _listening_nod(nod: Curve, at: int, chance: np.random.Generator) -> None:
    """One to three, each smaller than the one before."""
    size = radians(chance.uniform(1.2, 3.5))
    for _ in range(int(chance.integers(1, 4))):
        shape = bump(chance.uniform(0.16, 0.22), 0.02, chance.uniform(0.2, 0.3))
        add_at(nod, at, size * shape)
        at += len(shape)
        size *= 0.65


def _posture(frames: int, voice: Voice, style: Style, chance: np.random.Generator) -> Curve:
    """[T, 3] a new bearing in some pauses, and every so often."""
    starts = [0]
    pauses = [phrase.last + 5 for phrase in voice.phrases if chance.random() < 0.45]
    at = 0
    while (at := at + int(MOTION_RATE * chance.uniform(5.0, 14.0))) < frames:
        pauses.append(at)
    for pause in sorted(pauses):
        if pause - starts[-1] > MOTION_RATE * 1.5:
            starts.append(pause)
    places = np.clip(chance.standard_normal((len(starts), 3)), -2, 2)
    places *= style.head * np.radians([1.5, 2.5, 2.0])
    durations = (chance.uniform(0.7, 1.4, len(starts)) * MOTION_RATE).astype(int)
    durations[0] = 1
    return glides(frames, starts, places, durations.tolist())


def _breath(frames: int, chance: np.random.Generator) -> Curve:
    rate = 2 * np.pi * chance.uniform(0.21, 0.27)  # 13 to 16 a minute
    return np.sin(chance.uniform(0, 2 * np.pi) + rate * np.arange(frames) / MOTION_RATE)
