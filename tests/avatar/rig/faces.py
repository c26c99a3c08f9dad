"""Motion for the tests of files and streams: every weight moves, nothing is at its limits."""

import numpy as np

from avatar.motion.latent import LOOK_INDEX, looks_of
from avatar.types import ARKIT_NAMES, MotionFrame


def motion(count: int, fps: float = 25.0, seed: int = 0) -> list[MotionFrame]:
    """Smooth, different for every weight, eyeLook weights that say what the gaze says."""
    rng = np.random.default_rng(seed)
    times = np.arange(count)[:, None] / fps
    pace, phase = rng.uniform(2, 9, 63), rng.uniform(0, 6, 63)
    waves = 0.5 + 0.45 * np.sin(pace * times + phase)
    expression = waves[:, :52].astype(np.float32)
    for name in ("tongueOut", "mouthRight", "jawRight", "eyeWideLeft", "eyeWideRight"):
        expression[:, ARKIT_NAMES.index(name)] = 0  # one control with another weight
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    expression[:, close] *= expression[:, jaw]
    for name in ("mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper"):
        expression[:, ARKIT_NAMES.index(name)] *= 0.5
    gaze = (0.5 * (waves[:, 52:54] - 0.5)).astype(np.float32)
    expression[:, LOOK_INDEX] = looks_of(gaze)
    turn = (0.5 * (waves[:, 54:57] - 0.5)).astype(np.float32)
    place = (0.05 * (waves[:, 57:60] - 0.5)).astype(np.float32)
    tongue = waves[:, 60:63].astype(np.float32)
    return [
        MotionFrame(
            index=index,
            time_s=index / fps,
            latent=np.zeros(40, np.float32),
            expression=expression[index],
            gaze=gaze[index],
            head_rotation=turn[index],
            head_translation=place[index],
            tongue=tongue[index],
        )
        for index in range(count)
    ]


def face(**named: float) -> MotionFrame:
    """A face with these weights; a name without a side means both."""
    expression = np.zeros(52, np.float32)
    for name, value in named.items():
        for whole in (name,) if name in ARKIT_NAMES else (f"{name}Left", f"{name}Right"):
            expression[ARKIT_NAMES.index(whole)] = value
    zeros = np.zeros(3, np.float32)
    return MotionFrame(
        index=0, time_s=0.0, latent=zeros[:0], expression=expression, gaze=zeros[:2],
        head_rotation=zeros, head_translation=zeros,
    )  # fmt: skip
