"""Sounds that tests speak with: made here, the same each time."""

import numpy as np

from avatar.types import AUDIO_RATE, Float


def syllables(seconds: float, seed: int = 0) -> Float:
    """A buzz through two moving resonances, on and off three times a second: voice enough."""
    chance = np.random.default_rng(seed)
    time = np.arange(int(seconds * AUDIO_RATE)) / AUDIO_RATE
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / AUDIO_RATE
    first = 500 + 250 * np.sin(2 * np.pi * 1.1 * time)
    second = 1500 + 500 * np.sin(2 * np.pi * 0.6 * time + 1)
    voice = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency = 120.0 * harmonic
        gain = np.exp(-(((frequency - first) / 200) ** 2))
        gain += 0.5 * np.exp(-(((frequency - second) / 250) ** 2))
        voice += gain * np.sin(harmonic * pitch)
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * time) + 0.4, 0, 1)
    noise = 0.002 * chance.standard_normal(len(time))
    return (0.1 * voice * envelope + noise).astype(np.float32)
