"""What a teacher that can be asked for any motion is asked for."""

import numpy as np

from avatar.motion.latent import LATENT_SIZE, load_codec
from avatar.types import ARKIT_NAMES, Float, MotionFrame

_SPREAD = 0.8
"""Of the latents that are drawn by chance, 1 = as people move."""
_ASKED = 0.6
"""Share of the frames in which some of these are asked for by name."""
_GROUPS = (
    ("mouthSmileLeft", "mouthSmileRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("browDownLeft", "browDownRight"),
    ("mouthPucker",),
    ("mouthFunnel",),
    ("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight"),
    ("noseSneerLeft", "noseSneerRight"),
    ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("jawOpen",),
    ("eyeBlinkLeft", "eyeBlinkRight"),
)


def teaching_motion(index: int) -> MotionFrame:
    """The face's motion of one frame out of many: the first at rest, some by chance as people move,
    some with the expressions that fold skin, by themselves and together."""
    random = np.random.default_rng(index)
    face = load_codec().decode((_SPREAD * random.normal(size=(1, LATENT_SIZE))).astype(np.float32))
    expression = face.expression[0]
    if random.uniform() < _ASKED or not index:
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for group in _GROUPS:
            weight = random.uniform(0, 1) if index and random.uniform() < 0.25 else 0.0
            for name in group:
                expression[ARKIT_NAMES.index(name)] = weight
    still: Float = np.zeros(3, np.float32)
    return MotionFrame(
        index=index,
        time_s=float(index),
        latent=np.zeros(0, np.float32),
        expression=expression,
        gaze=face.gaze[0],
        head_rotation=still,
        head_translation=still,
        tongue=face.tongue[0],
    )
