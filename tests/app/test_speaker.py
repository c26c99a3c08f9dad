"""A real loudspeaker and a real microphone: the sound server's loop from one to the other."""

import time

import numpy as np
import pytest

from app.microphone import Microphone
from app.speaker import Speaker
from tests.app.test_microphone import listen, speechlike, wait_for_sound


def test_sound_is_heard_when_it_is_due(pulse_server):
    """The microphone's clock and the loudspeaker's agree, through a sound server."""
    sent = speechlike(1.5)
    microphone = Microphone()
    speaker = Speaker()
    try:
        wait_for_sound(microphone)
        due_s = time.perf_counter() + 0.5
        speaker.play_from(due_s)
        speaker.write(sent)
        heard = listen(microphone, 3.0)
    finally:
        speaker.close()
        microphone.close()
    got = np.concatenate([block.samples for block in heard])
    length = len(got) + len(sent)
    product = np.fft.rfft(got, length) * np.conj(np.fft.rfft(sent, length))
    start = int(np.argmax(np.fft.irfft(product, length)[: len(got)]))
    assert np.corrcoef(got[start : start + len(sent)], sent)[0, 1] > 0.9
    # When the first sample of it sounded, by the blocks' own times.
    ends = np.cumsum([len(block.samples) for block in heard])
    index = int(np.searchsorted(ends, start, side="right"))
    heard_s = heard[index].end_s - (ends[index] - start) / 16_000
    # 45 ms is what an eye forgives (ITU-R BT.1359); a busy machine's sound server is let off more.
    print(f"off by {1e3 * (heard_s - due_s):.1f} ms, latency {speaker.latency_s:.3f} s")
    assert heard_s - due_s == pytest.approx(0.0, abs=0.12)


def test_sound_that_comes_too_late_is_skipped_not_delayed(pulse_server):
    speaker = Speaker()
    try:
        speaker.play_from(time.perf_counter() - 1.0)  # it should have begun a second ago
        for _ in range(30):
            speaker.write(speechlike(0.1))
            time.sleep(0.03)
        assert speaker.moves >= 1
        assert abs(speaker.late_s) < 0.1
    finally:
        speaker.close()
