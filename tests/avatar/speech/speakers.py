"""Speakers that tests make up: what the encoder might say of them."""

import numpy as np

from avatar.speech.voice_fit import Heard, Series
from avatar.types import MOTION_RATE


def speaker(seconds: float, seed: int = 0) -> Heard:
    """Talk with pauses: classes, articulators and lips that change about four times a second."""
    chance = np.random.default_rng(seed)
    count = round(seconds * MOTION_RATE)

    def wander(columns: int) -> Series:
        knots = chance.standard_normal((count // 6 + 3, columns))
        at = np.arange(count) / 6
        return np.stack([np.interp(at, np.arange(len(knots)), one) for one in knots.T], 1)

    outputs = wander(19) * 1.5
    outputs[:, 0] = -6.0
    lips = wander(3)
    pause = np.arange(count) % 200 >= 180
    outputs[pause, 0] = 12.0
    lips[pause] = -1.0
    return Heard(outputs.astype(np.float32), lips.astype(np.float32))


def later(values: Series, frames: int) -> Series:
    """[F] the same, so many frames later."""
    return np.concatenate([np.repeat(values[:1], frames), values])[: len(values)]
