"""Sound to what the network hears: level control, then log-mels, 50 vectors a second.

Everything that outlasts a call lives in a `FeatureState`, and sound is worked through in frames of
exactly 320 samples (20 ms), so the blocks in which it arrives cannot change the result.
"""

from dataclasses import dataclass, field

import numpy as np

from avatar.types import AUDIO_RATE, MOTION_RATE, Float

FRAME = AUDIO_RATE // MOTION_RATE
"""Samples a frame: 320."""
BANDS = 80
FEATURES = 2 * BANDS
"""Values a frame: the log-mels at 10 ms and at 20 ms of it."""

_HOP = FRAME // 2
_WINDOW = 400  # 25 ms
_TAIL = _WINDOW - _HOP
_FFT = 512
_TARGET_LEVEL = 10 ** (-22 / 20)
_LEVEL_FLOOR = 1e-3  # -60 dBFS: below it lies noise, which must not be blown up to speech
_FIRST_LEVEL = 0.02
_ATTACK = 0.15  # a frame
_DECAY = float(np.exp(-1 / (MOTION_RATE * 4.0)))  # the level forgets over 4 s


@dataclass(slots=True)
class FeatureState:
    """All that the features remember of the sound before."""

    level: float = _FIRST_LEVEL
    """Running level of the speech, root mean square."""
    gain: float = _TARGET_LEVEL / _FIRST_LEVEL
    """The gain at the end of the last frame."""
    pending: Float = field(default_factory=lambda: np.zeros(0, np.float32))
    """[<320] samples that do not fill a frame yet, as they came."""
    tail: Float = field(default_factory=lambda: np.zeros(_TAIL, np.float32))
    """[240] the last levelled samples, which the next window still covers."""

    def copy(self) -> "FeatureState":
        """A state that goes its own way."""
        return FeatureState(self.level, self.gain, self.pending.copy(), self.tail.copy())


@dataclass(frozen=True, slots=True)
class Features:
    """What n frames of sound give."""

    values: Float
    """[n, 160] natural logarithms of mel-band energies."""
    loudness: Float
    """[n] root mean square after the level control; ordinary speech is about .08."""


def mel_bank(bands: int = BANDS, low_hz: float = 40, high_hz: float = 7800) -> Float:
    """[257, bands] triangular filters, evenly spaced on the mel scale (O'Shaughnessy 1987)."""

    def mel(frequency: float) -> float:
        return 2595 * np.log10(1 + frequency / 700)

    edges = 700 * (10 ** (np.linspace(mel(low_hz), mel(high_hz), bands + 2) / 2595) - 1)
    frequencies = np.arange(_FFT // 2 + 1)[:, None] * AUDIO_RATE / _FFT
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


_BANK = mel_bank()
_HANN = np.hanning(_WINDOW).astype(np.float32)
_RAMP = (np.arange(1, FRAME + 1) / FRAME).astype(np.float32)


def extract(samples: Float, state: FeatureState) -> Features:
    """The features of every frame that `samples` complete; `state` moves on.

    Frame i depends on samples before 320 * (i + 1) only. Samples beyond full scale are clipped,
    those that are no number count as silence.
    """
    clean = np.nan_to_num(np.asarray(samples, np.float32).ravel(), posinf=0.0, neginf=0.0)
    sound = np.concatenate([state.pending, np.clip(clean, -1, 1)])
    frames = len(sound) // FRAME
    values = np.empty((frames, FEATURES), np.float32)
    loudness = np.empty(frames, np.float32)
    for index in range(frames):
        frame = sound[index * FRAME : (index + 1) * FRAME]
        values[index], loudness[index] = _one_frame(frame, state)
    state.pending = sound[frames * FRAME :].copy()
    return Features(values, loudness)


def _one_frame(frame: Float, state: FeatureState) -> tuple[Float, float]:
    """[160] log-mels and the loudness of one frame of 320 samples."""
    energy = float(np.sqrt(np.dot(frame, frame) / FRAME + 1e-10))
    if energy < state.level:
        state.level = max(state.level * _DECAY, _LEVEL_FLOOR)
    else:
        state.level += _ATTACK * (energy - state.level)
    gain = _TARGET_LEVEL / max(state.level, _LEVEL_FLOOR)
    levelled = frame * (np.float32(state.gain) + np.float32(gain - state.gain) * _RAMP)
    state.gain = gain
    window: Float = np.concatenate([state.tail, levelled], dtype=np.float32)
    state.tail = window[-_TAIL:].copy()
    windows = np.stack([window[:_WINDOW], window[_HOP : _HOP + _WINDOW]]) * _HANN
    spectrum = np.abs(np.fft.rfft(windows, _FFT)) ** 2
    mels = np.log(spectrum.astype(np.float32) @ _BANK + 1e-5)
    return mels.reshape(-1), energy * gain
