"""What the motion generator hears of a frame: the encoder's outputs in one even vector."""

import numpy as np

from avatar.speech.motion_network import HEARD_SIZE
from avatar.speech.voice import inputs_of
from avatar.types import Float

_QUIET = 1e-3


def heard_of(outputs: Float, lips: Float, loudness: Float | np.float32) -> Float:
    """[.., 23] from the encoder's [.., 19] outputs and [.., 3] lips and the [..] loudness.

    11 odds of the viseme classes; aperture, jaw, width, funnel, tongue; how sure closure,
    lip-on-teeth contact and sibilant are; lips in standard deviations; loudness (root mean square
    after the level control) on a logarithmic scale about that of ordinary speech.
    """
    level = np.log(np.maximum(loudness, 0)[..., None] + _QUIET) + 3
    heard = np.concatenate([inputs_of(outputs, lips), 0.5 * level], -1)
    assert heard.shape[-1] == HEARD_SIZE, heard.shape
    return heard.astype(np.float32)
