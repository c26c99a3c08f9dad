"""How loud the sound is and whether somebody speaks, for the panel."""

import numpy as np

from avatar.types import AUDIO_RATE, Float


class LevelMeter:
    """How loud it is, and whether somebody speaks."""

    FLOOR_DB = -60.0
    SPEECH_ABOVE_FLOOR_DB = 10.0
    LEAST_SPEECH_DB = -50.0
    HANGOVER_S = 0.3

    def __init__(self) -> None:
        self.level = 0.0
        """0..1 over -60..0 dB of full scale; rises at once, falls 30 dB a second."""
        self.speech = False
        self._level_db = self.FLOOR_DB
        self._noise_db = -45.0
        self._quiet_s = 1e9

    def step(self, samples: Float) -> None:
        """Take samples [n] of 16 kHz."""
        if not len(samples):
            return
        seconds = len(samples) / AUDIO_RATE
        power = float(np.dot(samples, samples)) / len(samples)
        loudness_db = 10 * np.log10(power + 1e-10)
        self._level_db = float(
            np.clip(max(loudness_db, self._level_db - 30 * seconds), self.FLOOR_DB, 0)
        )
        self.level = 1 - self._level_db / self.FLOOR_DB
        # The noise floor falls fast and rises slowly, so that speech does not lift it much.
        speed = 8.0 if loudness_db < self._noise_db else 0.15
        share = 1 - float(np.exp(-speed * seconds))
        self._noise_db += share * (max(loudness_db, -80.0) - self._noise_db)
        threshold = max(self._noise_db + self.SPEECH_ABOVE_FLOOR_DB, self.LEAST_SPEECH_DB)
        self._quiet_s = 0.0 if loudness_db > threshold else self._quiet_s + seconds
        self.speech = self._quiet_s < self.HANGOVER_S
