"""A sound file through the loudspeaker, so that each sample is heard at a known time."""

import logging
import time
from typing import Any

import numpy as np

from app.handoff import SampleRing
from app.microphone import load_portaudio
from app.resampler import Resampler
from avatar.errors import DeviceError
from avatar.types import AUDIO_RATE, Float

log = logging.getLogger(__name__)

RING_SAMPLES = 1 << 19
"""At least 2.7 s up to 192 kHz."""
LATENCY_S = 0.12
"""Asked of the device. An underrun is heard; a delay that is known is planned for. PortAudio's own
"high" was 35 ms through PulseAudio, and ran dry on a busy machine."""
LARGEST_DRIFT_S = 0.03
"""Sound that leaves the loudspeaker further than this from its time is moved back: an eye notices
lips that are 40 ms off (ITU-R BT.1359: from 45 ms early, 125 ms late)."""


class Speaker:
    """The default output device. `start_s` is when sample 0 of what is written is to be heard."""

    def __init__(self) -> None:
        """Opens the device; it plays silence until `play_from` has named a time.

        Raises: DeviceError where there is no output device or PortAudio is missing.
        """
        sound = load_portaudio()
        try:
            self._rate = self._supported_rate(sound)
            self._ring = SampleRing(RING_SAMPLES)
            self._resampler = Resampler(AUDIO_RATE, self._rate)
            self._start_s: float | None = None
            self._played = 0  # samples of the sound given to the device; the callback's
            self._spare = np.zeros(self._rate, np.float32)
            self.late_s = 0.0
            """How far the sound at the loudspeaker is behind its time, seconds."""
            self.moves = 0
            """How often sound was skipped or held back to be in time again."""
            self._stream: Any = sound.OutputStream(
                samplerate=self._rate,
                channels=1,
                dtype="float32",
                blocksize=0,
                latency=LATENCY_S,
                callback=self._on_request,
            )
            self._stream.start()
        except (sound.PortAudioError, ValueError) as error:
            raise DeviceError(
                "no loudspeaker found, so the sound is not heard; the face follows it."
            ) from error

    @property
    def latency_s(self) -> float:
        """From the device's request for a sample until that sample is heard."""
        return float(self._stream.latency)

    def play_from(self, start_s: float) -> None:
        """Sample 0 is to be heard at `start_s`, `time.perf_counter()`. Called once."""
        self._start_s = start_s

    def write(self, samples: Float) -> None:
        """Append samples [n], 16 kHz mono."""
        self._ring.write(self._resampler.step(samples))

    def close(self) -> None:
        """Stop at once."""
        self._stream.close(ignore_errors=True)

    def _supported_rate(self, sound: Any) -> int:
        own = round(float(sound.query_devices(None, "output")["default_samplerate"]))
        for rate in (AUDIO_RATE, own):
            try:
                sound.check_output_settings(channels=1, dtype="float32", samplerate=rate)
            except (sound.PortAudioError, ValueError):
                continue
            return rate
        return own

    def _on_request(self, out: Float, frames: int, time_info: Any, status: Any) -> None:
        """PortAudio's thread: fill `out` [frames, 1]. Allocates no arrays, waits for nothing."""
        out.fill(0.0)
        start_s = self._start_s
        if start_s is None:
            return
        delay_s = min(max(time_info.outputBufferDacTime - time_info.currentTime, 0.0), 0.5)
        audible_s = time.perf_counter() + delay_s
        due = round((audible_s - start_s) * self._rate)  # the sample that belongs here
        late = due - self._played
        first = 0
        if self._played == 0 or abs(late) > LARGEST_DRIFT_S * self._rate:
            if late < 0:
                first = min(frames, -late)
            elif late > 0 and self._played > 0:
                self._played += self._ring.skip(late)
            self.moves += self._played > 0
        self.late_s = (due + first - self._played) / self._rate
        count = min(frames - first, self._ring.available)
        if count > 0:
            self._ring.read_into(out[first : first + count, 0])
            self._played += count
