"""What mouth, jaw and cheeks do for the organs of speech: by rule, all frames of a stream at once.

The organs are those of `avatar.speech.articulation`: apertures and widths as a face tracker reads
them off people, contacts as phones make them.
"""

import numpy as np

from avatar.speech.articulation import APERTURE_FULL, seal_of
from avatar.training.performance.decoding import Values, add
from avatar.training.performance.signals import Curve
from avatar.types import ARKIT_NAMES

JAW_FULL = 0.5
"""jawOpen at jaw 1: an open vowel of a natural talker is .2 to .4. In GRID the chin
drops .85 as far as the lips part: the jaw does most of it."""
APERTURE_PER_JAW = 0.40
"""Opening of the lips for jawOpen 1, in the unit of `APERTURE_FULL`, measured on the template."""
_APERTURE_PER_LIPS = 0.078  # the same for mouthLowerDown 1 with mouthUpperUp of this share of it
_UPPER_SHARE = 0.6
_APERTURE_PER_FUNNEL = 0.163
_NARROWER_PER_JAW = 0.14
"""How much nearer to each other, in the same unit, jawOpen 1 draws the corners of the mouth. This
and those below: fitted to what FaceMesh reads of 660 renders of the sample avatar, chance mixes of
these muscles and frames of speech (r2 .75). It is that reading which the voice asks for: real lips
are tracked alike. The template's own corners come .048 nearer for the jaw."""
_WIDER_WHERE_PARTED, _PARTED = 0.374, 0.05
"""Sealed lips read narrower than parted ones: so much for each jawOpen, up to the second."""
_NARROWER_PER_FUNNEL = 0.15
_WIDER_PER_UPPER_LIP = 0.042  # mouthUpperUp 1
_WIDER_PER_SPREAD = 0.061
"""How far apart the muscles of a full spread take them."""
_NARROWER_PER_ROUNDING = 0.068
"""And how far together those of a full rounding, its share of mouthFunnel counted."""
_WIDTH_FULL = 0.07
"""What a width of 1 asks for. Tracked speakers' 5th to 95th percentile lie .06 apart."""
_FUNNEL_FULL = 0.3
"""mouthFunnel at funnel 1."""
_CORNERS_MOST = 1.2
"""How hard the corners may be pulled to counter a jaw or a funnel."""
_LIPS_MOST = 0.7
"""How far the lips part of themselves; beyond, the jaw drops further than the voice asked."""


def decode_mouth(value: Values) -> Curve:
    """[T, 52] of aperture, jaw, width, funnel, closure, lip_teeth, sibilant, emphasis, smile.

    Jaw first; then the lips make up the difference to the wanted opening. Not clipped.
    """
    teeth, sealed = value["lip_teeth"], seal_of(value["closure"])
    jaw = JAW_FULL * value["jaw"] * (1 - 0.45 * value["sibilant"]) * (1 - 0.3 * sealed)
    opening = APERTURE_FULL * value["aperture"] * (1 - sealed)
    opening = np.minimum(opening, APERTURE_FULL * (1 - 0.8 * teeth))
    funnel = _FUNNEL_FULL * value["funnel"] * (1 - sealed)
    # jaw and funnel draw the corners in; the voice asked for a width all the same
    parting = _parting(opening - APERTURE_PER_JAW * jaw - _APERTURE_PER_FUNNEL * funnel)
    parting_jaw = np.minimum(jaw, opening / APERTURE_PER_JAW)
    wider = (
        _WIDTH_FULL * value["width"]
        + _NARROWER_PER_JAW * parting_jaw
        - _WIDER_WHERE_PARTED * np.minimum(parting_jaw, _PARTED)
        + _NARROWER_PER_FUNNEL * funnel
        - _WIDER_PER_UPPER_LIP * _UPPER_SHARE * parting
    )
    spread = np.clip(wider / _WIDER_PER_SPREAD, 0, _CORNERS_MOST)
    rounded = np.clip(-wider / _NARROWER_PER_ROUNDING, 0, _CORNERS_MOST)
    funnel = funnel + 0.18 * rounded * (1 - sealed)
    missing = opening - APERTURE_PER_JAW * jaw - _APERTURE_PER_FUNNEL * funnel
    parting = _parting(missing)
    # what the lips cannot part of themselves, the jaw opens further
    further = np.maximum(missing - parting * _APERTURE_PER_LIPS, 0) / APERTURE_PER_JAW
    weights = np.zeros((len(jaw), len(ARKIT_NAMES)))
    # the lips close over the open jaw (ARKit: mouthClose = jawOpen seals)
    add(weights, "mouthClose", np.minimum(np.maximum(-missing, 0) / APERTURE_PER_JAW, jaw))
    add(weights, "mouthLowerDown", parting)
    add(weights, "mouthUpperUp", _UPPER_SHARE * parting + 0.2 * teeth)
    add(weights, "jawOpen", jaw + further)
    # a little more than shut, for faces whose lips part at rest; no mouthPress, for it widens
    add(weights, "mouthShrugLower", 0.1 * sealed)
    add(weights, "mouthRollLower", 0.18 * sealed + 0.5 * teeth)
    add(weights, "mouthRollUpper", 0.15 * sealed)
    add(weights, "mouthPucker", 0.8 * rounded)
    add(weights, "mouthFunnel", funnel)
    add(weights, "mouthStretch", 0.45 * spread)
    add(weights, "mouthDimple", 0.2 * spread)
    add(weights, "mouthSmile", 0.08 * spread + value["smile"])
    add(weights, "cheekSquint", 0.1 * spread * value["emphasis"] + 0.3 * value["smile"])
    return weights


def _parting(missing: Curve) -> Curve:
    """How far the lips part of themselves for an opening that the jaw leaves `missing`."""
    return np.clip(missing / _APERTURE_PER_LIPS, 0, _LIPS_MOST)
