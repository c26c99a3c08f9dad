"""Sound of any rate to another rate, block by block, with the same samples for any block size."""

from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from avatar.types import Float

LOBES = 16
"""Zero crossings of the low-pass on each side. With this window: pass band flat within 0.1 dB up to
0.85 of the lower Nyquist rate, at least 60 dB down from 1.15 of it."""
KAISER_BETA = 7.0


class Resampler:
    """A windowed-sinc resampler with memory. Output sample k lies exactly at second k / rate_out.

    Polyphase form: Crochiere & Rabiner, "Multirate Digital Signal Processing" (1983), chapter 2.
    Rates are whole hertz, so phases repeat every `rate_out / gcd` output samples and the filter of
    each phase is worked out once.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        divisor = gcd(rate_in, rate_out)
        self._up, self._down = rate_out // divisor, rate_in // divisor
        cutoff = min(1.0, rate_out / rate_in)  # of the input's Nyquist rate
        self._half = ceil(LOBES / cutoff)  # input samples on each side of an output sample
        self.delay_s = self._half / rate_in
        """How much sound beyond an output sample must have been heard before it comes out."""
        offset = np.arange(-self._half, self._half + 1)
        # Phase p of `up`: the output lies p/up input samples after the centre tap.
        distance = offset[None, :] - np.arange(self._up)[:, None] / self._up
        window = np.i0(
            KAISER_BETA * np.sqrt(np.clip(1 - (distance / (self._half + 1)) ** 2, 0, None))
        )
        taps = cutoff * np.sinc(cutoff * distance) * window
        # Each phase passes a constant unchanged; without this the phases beat at low level.
        self._taps = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next sample is sample 0, with silence before it."""
        self._past = np.zeros(self._half, np.float32)
        self._past_start = -self._half  # input index of _past[0]
        self._next_out = 0

    def step(self, samples: Float) -> Float:
        """Take samples [n] of the one rate, give those [m] of the other that are now certain."""
        if self._up == self._down:
            return samples
        past = np.concatenate([self._past, samples])
        end = self._past_start + len(past)
        # Output k needs input floor(k * down / up) + half, which must lie before `end`.
        last = (end - self._half) * self._up
        stop = max(self._next_out, ceil(last / self._down))
        outs = np.arange(self._next_out, stop, dtype=np.int64) * self._down
        centre, phase = outs // self._up, outs % self._up
        if len(outs):
            windows = sliding_window_view(past, 2 * self._half + 1)
            rows = windows[centre - self._half - self._past_start]
            result = np.einsum("nt,nt->n", rows, self._taps[phase])
        else:
            result = np.zeros(0, np.float32)
        keep_from = stop * self._down // self._up - self._half
        keep = max(0, min(keep_from - self._past_start, len(past)))
        self._past = past[keep:]
        self._past_start += keep
        self._next_out = stop
        return result.astype(np.float32, copy=False)
