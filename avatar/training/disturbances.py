"""What a microphone hears besides one clear voice: made from a clean sound, the same each time.

All take and give [n] mono at 16 kHz, -1..1; levels are against the root mean square of the
voice where it speaks.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_toeplitz
from scipy.signal import butter, lfilter, sosfilt

from avatar.types import AUDIO_RATE, Float

_QUIET = 1e-4
_CHORDS_HZ = (
    (220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (164.8, 207.7, 246.9),
)  # fmt: skip
"""A major, G major, F major, E major."""
_CHORD_S = 0.8
_ORDER = 18
"""Of the linear prediction: two poles a formant, and some for the tilt, as is usual at 16 kHz."""
_WINDOW, _HOP = 512, 128


def spoken_level(samples: Float) -> float:
    """Root mean square of the louder half of the sound: pauses do not count."""
    squares = np.sort(np.asarray(samples, np.float64) ** 2)
    return max(float(np.sqrt(squares[len(squares) // 2 :].mean())), _QUIET)


def in_noise(samples: Float, seed: int, ratio_db: float = 10.0) -> Float:
    """White noise, so many dB below the voice."""
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    return _sound(samples + noise * spoken_level(samples) * 10 ** (-ratio_db / 20))


def overdriven(samples: Float, seed: int, gain_db: float = 12.0) -> Float:
    """A microphone turned up too far: what goes beyond full scale is cut off."""
    del seed  # nothing is left to chance
    full = max(float(np.abs(samples).max(initial=0)), _QUIET)
    return _sound(samples / full * 10 ** (gain_db / 20))


def coughing(samples: Float, seed: int) -> Float:
    """A cough every two seconds, as loud as the loudest of the voice."""
    chance = np.random.default_rng(seed)
    mixed = np.array(samples, np.float64)
    peak = max(float(np.abs(mixed).max(initial=0)), 0.1)
    for start in range(AUDIO_RATE // 2, len(mixed), 2 * AUDIO_RATE):
        burst = cough(chance)[: len(mixed) - start]
        mixed[start : start + len(burst)] += peak * burst
    return _sound(mixed)


def cough(chance: np.random.Generator) -> Float:
    """[n] an explosive burst of air and a weaker one after it, peak 1: .35 s."""
    time_s = np.arange(round(0.35 * AUDIO_RATE)) / AUDIO_RATE
    first = np.minimum(time_s / 0.005, 1) * np.exp(-time_s / 0.05)
    later = time_s - 0.16
    second = 0.5 * np.where(later > 0, np.minimum(later / 0.02, 1) * np.exp(-later / 0.06), 0)
    band = butter(2, (250, 4500), "bandpass", fs=AUDIO_RATE, output="sos")
    air = sosfilt(band, chance.standard_normal(len(time_s))) * (first + second)
    return (air / np.abs(air).max()).astype(np.float32)


def music(count: int, level: float) -> Float:
    """[count] chords that change every .8 s, with overtones and a pulse, at this level."""
    time_s = np.arange(count) / AUDIO_RATE
    number = (time_s / _CHORD_S).astype(int) % len(_CHORDS_HZ)
    since = time_s % _CHORD_S
    played = np.zeros(count)
    for index, chord in enumerate(_CHORDS_HZ):
        for root in chord:
            for overtone in range(1, 7):
                wave = np.sin(2 * np.pi * overtone * root * time_s) / overtone
                played += np.where(number == index, wave, 0)
    played *= np.minimum(since / 0.01, 1) * (0.4 + 0.6 * np.exp(-since / 0.25))
    return _sound(played / max(float(np.sqrt((played**2).mean())), _QUIET) * level)


def over_music(samples: Float, seed: int) -> Float:
    """Music as loud as the voice."""
    del seed
    return _sound(samples + music(len(samples), spoken_level(samples)))


def whispered(samples: Float, seed: int) -> Float:
    """The voice without its vocal folds: each 32 ms of it is spoken again by noise.

    Linear prediction (autocorrelation method) keeps the vocal tract and drops pitch and phase.
    """
    chance = np.random.default_rng(seed)
    padded = np.pad(np.asarray(samples, np.float64), (_WINDOW, 2 * _WINDOW))
    window = np.hanning(_WINDOW + 1)[:-1]
    spoken = np.zeros(len(padded))
    noise = chance.standard_normal(len(padded))
    for start in range(0, len(padded) - _WINDOW, _HOP):
        frame = padded[start : start + _WINDOW] * window
        power = float(frame @ frame)
        if power < 1e-8:
            continue
        lags = np.correlate(frame, frame, "full")[_WINDOW - 1 : _WINDOW + _ORDER]
        lags[0] *= 1.0001  # keeps the equations well posed
        poles = solve_toeplitz(lags[:-1], lags[1:])
        breath = lfilter([1.0], np.r_[1.0, -poles], noise[start : start + _WINDOW]) * window
        spoken[start : start + _WINDOW] += breath * np.sqrt(power / max(breath @ breath, 1e-12))
    spoken = spoken[_WINDOW : _WINDOW + len(samples)]
    return _sound(spoken * spoken_level(samples) / spoken_level(spoken.astype(np.float32)) * 0.5)


def with_other(samples: Float, other: Float) -> Float:
    """A second voice as loud as the first, from the start to the end."""
    repeated = np.resize(other, len(samples)) if len(other) else np.zeros_like(samples)
    return _sound(samples + repeated * spoken_level(samples) / spoken_level(repeated))


def _sound(samples: np.ndarray) -> Float:
    return np.clip(samples, -1, 1).astype(np.float32)


DISTURBANCES: dict[str, Callable[[Float, int], Float]] = {
    "noise, 10 dB below": in_noise,
    "clipped, 12 dB too loud": overdriven,
    "coughs": coughing,
    "music as loud": over_music,
    "whispered": whispered,
}
"""By the name in the tables: (clean sound, seed) -> disturbed sound."""
