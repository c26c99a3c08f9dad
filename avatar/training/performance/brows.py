"""Brows and nose: raised on stressed words, at questions, or for no reason; nostrils in effort."""

import numpy as np
import scipy.ndimage

from avatar.training.performance.decoding import add
from avatar.training.performance.script import Style
from avatar.training.performance.signals import Curve, add_at, bump, drift
from avatar.training.performance.voice import Voice
from avatar.types import ARKIT_NAMES, MOTION_RATE

_RAISED_ON_ACCENT = 0.4
"""Share of stressed syllables that the brows mark."""
_QUESTIONS = 0.25
"""Share of phrases at whose end the brows rise as if to ask."""


def living_brows(frames: int, voice: Voice, style: Style, chance: np.random.Generator) -> Curve:
    """[T, 52] of brows and nose besides any mood, unclipped."""
    weights = np.zeros((frames, len(ARKIT_NAMES)))
    raised, drawn, sneer, single = np.zeros((4, frames))
    busy = 0
    for accent in voice.accents:
        lift = chance.random() < _RAISED_ON_ACCENT * np.sqrt(style.brows)
        if accent.frame < busy:
            continue
        size = chance.uniform(0.3, 1.0) * (0.4 + 0.6 * accent.size)
        shape = bump(chance.uniform(0.1, 0.2), chance.uniform(0.08, 0.4), chance.uniform(0.25, 0.5))
        kind = chance.random()
        if lift:
            if kind < 0.7:
                add_at(raised, accent.frame, size * shape)
            elif kind < 0.88:
                add_at(drawn, accent.frame, 0.7 * size * shape)
            else:
                add_at(single, accent.frame, size * shape)
            busy = accent.frame + len(shape)
        elif kind < 0.35:
            add_at(sneer, accent.frame, 0.45 * size * shape)
    for phrase in voice.phrases:
        kind = chance.random()
        if kind < _QUESTIONS:
            shape = bump(0.25, chance.uniform(0.4, 1.2), 0.6)
            add_at(raised, phrase.last - 15, chance.uniform(0.3, 0.8) * shape)
        elif kind < _QUESTIONS + 0.15:  # thinks
            shape = bump(0.3, chance.uniform(0.5, 2.0), 0.7)
            add_at(drawn, phrase.last - 5, chance.uniform(0.2, 0.6) * shape)
        if phrase.last - phrase.first > MOTION_RATE and chance.random() < 0.3:
            # the brows stay up or down through a part of what is said
            curve = raised if chance.random() < 0.6 else drawn
            shape = bump(0.4, chance.uniform(0.6, 2.0), 0.7)
            add_at(curve, phrase.first, chance.uniform(0.15, 0.45) * shape)
        add_at(sneer, phrase.first - 15, chance.uniform(0, 0.2) * bump(0.3, 0.1, 0.4))  # breath
    at = 0
    while (at := at + int(MOTION_RATE * chance.exponential(9.0))) < frames:  # for no reason
        shape = bump(0.2, chance.uniform(0.1, 0.8), 0.5)
        curve = raised if chance.random() < 0.6 else drawn
        add_at(curve, at, chance.uniform(0.1, 0.5) * shape)
    level = drift(frames, chance, 0.09, (1.5, 5.0), 0.4)
    raised, drawn, single, sneer = scipy.ndimage.gaussian_filter1d(
        np.stack([raised, drawn, single, sneer]), 1.5, axis=1
    )
    raised = style.brows * raised + np.maximum(level, 0)
    drawn = style.brows * drawn + np.maximum(-level, 0)
    tilt = drift(frames, chance, 0.15, (2.0, 6.0), 0.4)
    inner, outer = 0.66 * (1 + tilt), 0.6 * (1 - tilt)
    add(weights, "browInnerUp", inner * raised)
    add(weights, "browOuterUp", outer * raised)
    add(weights, "eyeWide", 0.25 * raised)
    add(weights, "browDown", 0.7 * drawn)
    add(weights, "eyeSquint", 0.35 * drawn)
    near = "Left" if style.side > 0 else "Right"
    add(weights, f"browOuterUp{near}", 0.6 * style.brows * single)
    add(weights, "browInnerUp", 0.12 * style.brows * single)
    breath = np.maximum(drift(frames, chance, 0.06, (1.0, 3.0), 0.6), 0)
    add(weights, "noseSneer", style.brows * sneer + breath + 0.06 * drawn)
    return weights
