"""Sound below a threshold becomes silence: a fan or a street does not move the lips."""

import numpy as np

from avatar.types import AUDIO_RATE, Float

HOLD_S = 0.25
"""It stays open for so long after the last loud sound: words end softly."""
OPENING_S, CLOSING_S = 0.004, 0.06


class NoiseGate:
    """One stream of sound."""

    def __init__(self) -> None:
        self._gain = 1.0
        self._quiet_s = 0.0

    def step(self, samples: Float, threshold_db: float) -> Float:
        """[n] 16 kHz, gated; `threshold_db` of full scale, of the block's mean power."""
        count = len(samples)
        if not count:
            return samples
        seconds = count / AUDIO_RATE
        power_db = 10 * np.log10(float(np.dot(samples, samples)) / count + 1e-12)
        self._quiet_s = 0.0 if power_db >= threshold_db else self._quiet_s + seconds
        target = 1.0 if self._quiet_s < HOLD_S else 0.0
        if self._gain == target:
            return samples if target else np.zeros(count, np.float32)
        step = 1 / (AUDIO_RATE * (OPENING_S if target else -CLOSING_S))
        gains = np.clip(self._gain + step * np.arange(1, count + 1), 0.0, 1.0)
        self._gain = float(gains[-1])
        return (samples * gains).astype(np.float32)
