"""The organs of speech as numbers, and what of the encoder's outputs they are."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from avatar.speech.network import PHONE_CLASSES
from avatar.types import Float

_Real = TypeVar("_Real", bound=np.floating)


@dataclass(frozen=True, slots=True)
class Articulation:
    """The speech organs at one instant; 0..1 unless said otherwise."""

    aperture: float
    """Inner-lip opening; 1 = the widest of ordinary talk."""
    jaw: float
    width: float
    """-1 rounded .. +1 spread."""
    funnel: float
    tongue: float
    closure: float
    """1 = lips sealed (p, b, m)."""
    lip_teeth: float
    """1 = lower lip under the upper teeth (f, v)."""
    sibilant: float
    activity: float
    """How surely there is speech."""


REAL_LIPS_SHARE = 1.0
"""How much of aperture, width and jaw follows the readout fitted to tracked lips, not the phone
rule. Between .75 and 1 the scores on real speakers differ by .01."""
LIP_SCALES = {"aperture": (0.23, 0.3), "width": (-0.17, 0.6), "jaw": (0.25, 0.2)}
"""Mean and spread by which the readout's standard deviations become articulators: with these a
mouth at rest (aperture and jaw -.75, width +.3 of a speaker's mean) is closed and about as wide as
at rest, and a speaker's widest vowels (+2.5) come to about 0.9."""
_MISSES_COST = np.array([3.0, 2.5, 1.5], np.float32)
_MISSES_COST_LOGITS = np.log(_MISSES_COST)
"""In training a missed contact cost so many times a false one, which raises its odds as often:
taken back, the odds are what was heard. Real lips then follow better, and no closure is lost."""
APERTURE_FULL = 0.24
"""Inner-lip opening at aperture 1, over the distance of the outer eye corners. Speakers tracked in
GRID reach .13 to .23 in 95 % of frames."""
_SEALED = 0.7
"""So sure a closure is shut: a seal must seal."""
_SILENT, _SPEAKING = 0.06, 0.21
"""Activity below which the mouth rests, and above which it follows the voice in full. In clean
silence activity is .05 to .1; a higher threshold shut mouths that open before the first sound."""


def contacts_of(outputs: Float) -> Float:
    """[.., 3] odds of closure, lip-on-teeth contact and sibilant in the network's [.., 19]."""
    return _sigmoid(outputs[..., PHONE_CLASSES + 5 :] - _MISSES_COST_LOGITS)


def contacts_in(heard: Float) -> Float:
    """[.., 3] the same odds, of what the generator hears, [.., 23] (`avatar.speech.hearing`)."""
    sure = heard[..., PHONE_CLASSES + 5 : PHONE_CLASSES + 8]
    return (sure / (sure + (1 - sure) * _MISSES_COST)).astype(np.float32)


def speech_gate(activity: NDArray[_Real]) -> NDArray[_Real]:
    """0 where the mouth rests, 1 where it follows the voice, for how surely there is speech."""
    return _eased(np.asarray((activity - _SILENT) / (_SPEAKING - _SILENT), activity.dtype))


def seal_of(closure: NDArray[_Real]) -> NDArray[_Real]:
    """0..1 how far the lips are sealed, for how sure their closure is."""
    return _eased(np.asarray(closure / _SEALED, closure.dtype))


def _eased(share: NDArray[_Real]) -> NDArray[_Real]:
    held = np.clip(share, 0, 1)
    return np.asarray(held * held * (3 - 2 * held), share.dtype)


def _sigmoid(values: Float) -> Float:
    return (1 / (1 + np.exp(-np.clip(values, -30, 30)))).astype(np.float32)
