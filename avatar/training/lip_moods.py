"""What each mood does to the lips of a trained generator: the last step of `visavis train motion`.

The generator says the same stretches of the corpus in every mood, with the same chance. What its
lips do beside what was heard is the mood's: `avatar.speech.lip_sync` leaves it to them.
"""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from rich.progress import track

from avatar.motion.direction import EMOTION_NAMES, wide_eyed
from avatar.motion.latent import LatentCodec
from avatar.motion.lip_reading import LipReading
from avatar.speech.articulation import contacts_in, seal_of, speech_gate
from avatar.speech.lip_sync import WIDTH_FULL, LipMoods, lips_heard
from avatar.speech.motion_network import (
    ASKED_CENTRE,
    ASKED_SCALE,
    TOKEN_FRAMES,
    MotionNetwork,
    advance,
    first_state,
    noise_of,
)
from avatar.training.motion_corpus import MotionCorpus
from avatar.types import MOTION_RATE, Float

log = logging.getLogger(__name__)

_INTENSITY = 0.7
_STREAMS, _FRAMES = 3, 45 * MOTION_RATE
"""How many stretches of the corpus are said, and how much of each at the most."""
_SETTLED = MOTION_RATE
"""Frames at the beginning of each that are left out; and of silence, before it is silence."""
_SPEAKING, _SILENT = 0.9, 0.02
"""Of the gate of speech."""
_LEAST_FRAMES = 50
"""Of either kind: with fewer, nothing is said about it."""
_REACH = (0.7, 1.3)


def fit_lip_moods(
    network: MotionNetwork, codec: LatentCodec, reading: LipReading, corpus: MotionCorpus, seed: int
) -> LipMoods:
    """Measure them, some minutes."""
    stretches = list(_stretches(corpus.begins))
    heard = [corpus.heard[one].astype(np.float32) for one in stretches]
    gates = [speech_gate(1 - one[:, 0]) for one in heard]
    open_lips = [seal_of(contacts_in(one)[:, 0]) < 0.1 for one in heard]
    settled = [np.arange(len(one)) >= _SETTLED for one in heard]
    speaking = np.concatenate(
        [(g > _SPEAKING) & o & s for g, o, s in zip(gates, open_lips, settled, strict=True)]
    )
    silent = np.concatenate([_calm(g) & s for g, s in zip(gates, settled, strict=True)])
    table = np.zeros((4, len(EMOTION_NAMES)), np.float32)
    neutral_at = EMOTION_NAMES.index("neutral")
    order = [neutral_at, *(i for i in range(len(EMOTION_NAMES)) if i != neutral_at)]
    neutral = np.zeros((0, 2), np.float32)
    for index in track(order, "saying the same in every mood"):
        drawn = np.concatenate([_drawn(network, codec, reading, one, index, seed) for one in heard])
        if index == neutral_at:
            neutral = drawn
            if speaking.sum() >= _LEAST_FRAMES:
                asked = WIDTH_FULL * np.concatenate([lips_heard(one)[:, 1] for one in heard])
                table[1, index] = float((drawn[:, 1] - asked)[speaking].mean())
            continue
        table[:, index] = _difference(drawn, neutral, speaking, silent) / _INTENSITY
    moods = LipMoods(*table)
    for name, row in zip(LipMoods.__slots__, table, strict=True):
        log.info("%s: %s", name, dict(zip(EMOTION_NAMES, row.round(3).tolist(), strict=True)))
    return moods


def _stretches(begins: np.ndarray) -> Iterator[slice]:
    """Some streams of the corpus, evenly spread over it."""
    starts = np.append(np.flatnonzero(begins), len(begins))
    count = min(_STREAMS, len(starts) - 1)
    for stream in np.unique(np.linspace(0, len(starts) - 2, count).astype(int)):
        length = min(int(starts[stream + 1] - starts[stream]), _FRAMES)
        yield slice(starts[stream], starts[stream] + length // TOKEN_FRAMES * TOKEN_FRAMES)


def _calm(gate: np.ndarray) -> np.ndarray:
    """[F] where nobody has spoken for a second."""
    since = np.zeros(len(gate), int)
    for frame, open_gate in enumerate((gate > _SILENT).tolist()):
        since[frame] = 0 if open_gate else 1 + (since[frame - 1] if frame else 0)
    return since > _SETTLED


def _drawn(
    network: MotionNetwork,
    codec: LatentCodec,
    reading: LipReading,
    heard: Float,
    emotion: int,
    seed: int,
) -> Float:
    """[F, 2] opening and width that the generator draws by itself."""
    asked = ASKED_CENTRE.copy()
    if EMOTION_NAMES[emotion] != "neutral":
        asked[emotion] = _INTENSITY
    given = (asked - ASKED_CENTRE) * ASKED_SCALE
    chance, state = np.random.default_rng(seed), first_state(network)
    tokens: Sequence[Float] = [
        advance(
            network,
            heard[row : row + TOKEN_FRAMES],
            given,
            noise_of(chance, wide_eyed(asked[:8])),
            state,
        )
        for row in range(0, len(heard), TOKEN_FRAMES)
    ]
    return reading.of(codec.decode(np.concatenate(tokens)).expression)


def _difference(
    drawn: Float, neutral: Float, speaking: np.ndarray, silent: np.ndarray
) -> np.ndarray:
    """[4] opening, width, silent opening and reach that a mood adds to neutral lips."""
    added = np.zeros(4, np.float32)
    if speaking.sum() >= _LEAST_FRAMES:
        one, other = drawn[speaking], neutral[speaking]
        spread = float(np.ptp(np.percentile(other[:, 0], (10, 90))))
        reach = float(np.ptp(np.percentile(one[:, 0], (10, 90)))) / max(spread, 1e-6)
        added[3] = np.clip(reach, *_REACH) - 1
        # lips that part less are a mood's smaller reach, not its pressing them together
        added[0] = max(float((one[:, 0] - (1 + added[3]) * other[:, 0]).mean()), 0)
        added[1] = float((one[:, 1] - other[:, 1]).mean())
    if silent.sum() >= _LEAST_FRAMES:
        added[2] = float(np.maximum(drawn[silent, 0], 0).mean())
    return added
