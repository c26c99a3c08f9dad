"""The motion latent of this version, and what a face does for it.

The latent is a small vector of named articulators, so a person can read it and a rig can be driven
from it. `decode` turns it into the 52 ARKit weights, the gaze and the head's pose.
"""

from dataclasses import dataclass
from math import degrees

import numpy as np

from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float

LATENT_NAMES: tuple[str, ...] = (
    "aperture",  # 0..1 inner-lip opening, 1 = APERTURE_FULL
    "jaw",  # 0..1 jaw drop, 1 = JAW_FULL
    "width",  # -1 rounded .. +1 spread
    "funnel",  # 0..1 lips forward and square: sh, ch
    "tongue",  # 0..1 tongue tip raised: l, th, t, d, n
    "closure",  # 0..1 lips sealed: p, b, m
    "lip_teeth",  # 0..1 lower lip under the upper teeth: f, v
    "sibilant",  # 0..1 teeth together: s, z
    "activity",  # 0..1 how surely the person speaks
    "emphasis",  # 0..1 stress of the voice
    "blink",  # 0..1 both lids, 1 = shut
    "brows",  # -1 drawn down .. +1 raised
    "smile",  # 0..1 corners of the mouth at rest
    "gaze_yaw",  # rad, + = the avatar's left, against the head
    "gaze_pitch",  # rad, + = up, against the head
    "head_x", "head_y", "head_z",  # rad, axis-angle about the neck
    "move_x", "move_y", "move_z",  # m, translation of the head
)  # fmt: skip
LATENT_SIZE = len(LATENT_NAMES)
LATENT_INDEX = {name: index for index, name in enumerate(LATENT_NAMES)}

APERTURE_FULL = 0.24
"""Inner-lip opening at aperture 1, over the distance of the outer eye corners. Speakers tracked in
GRID reach .13 to .23 in 95 % of frames."""
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

_LOOK_FULL = 35.0
"""Degrees of gaze at which an eyeLook weight is 1 (about the eye's range)."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a latent means for a face."""

    expression: Float
    """[52] 0..1 in the order of `ARKIT_NAMES`."""
    gaze: Float
    """[2] yaw, pitch of both eyes against the head, rad."""
    head_rotation: Float
    """[3] axis-angle about the neck joint, rad."""
    head_translation: Float
    """[3] m."""
    tongue: Float
    """[3] 0..1 in the order of `TONGUE_NAMES`. Only the tip's rise: the network hears that the
    tongue is at work (l, th, t, d, n), but not which of them it is, nor its back."""


def decode(latent: Float) -> Decoded:
    """The face for one latent, [L]."""
    value = dict(zip(LATENT_NAMES, np.asarray(latent, np.float64).tolist(), strict=True))
    weights = dict.fromkeys(ARKIT_NAMES, 0.0)
    _decode_mouth(value, weights)
    _decode_eyes(value, weights)
    expression = np.fromiter((weights[name] for name in ARKIT_NAMES), np.float32, len(ARKIT_NAMES))
    first = LATENT_INDEX["head_x"]
    tongue = np.zeros(len(TONGUE_NAMES), np.float32)
    tongue[TONGUE_NAMES.index("tongueTipUp")] = min(max(value["tongue"], 0.0), 1.0)
    return Decoded(
        expression=np.clip(expression, 0, 1),
        gaze=np.array([value["gaze_yaw"], value["gaze_pitch"]], np.float32),
        head_rotation=np.asarray(latent[first : first + 3], np.float32).copy(),
        head_translation=np.asarray(latent[first + 3 : first + 6], np.float32).copy(),
        tongue=tongue,
    )


def decode_mouth(value: dict[str, float]) -> dict[str, float]:
    """What mouth, jaw and cheeks do of it, by ARKit's names, unclipped: for those who bring the
    rest of a face from elsewhere. Of `LATENT_NAMES` it needs those of the mouth, emphasis, smile.
    """
    weights = dict.fromkeys(ARKIT_NAMES, 0.0)
    _decode_mouth(value, weights)
    return weights


def _decode_mouth(value: dict[str, float], weights: dict[str, float]) -> None:
    """Jaw first; then the lips make up the difference to the wanted opening."""
    teeth = value["lip_teeth"]
    sealed = _smoothstep(value["closure"] / 0.7)  # a seal must seal: 70 % sure is shut
    jaw = JAW_FULL * value["jaw"] * (1 - 0.45 * value["sibilant"]) * (1 - 0.3 * sealed)
    opening = APERTURE_FULL * value["aperture"] * (1 - sealed)
    opening = min(opening, APERTURE_FULL * (1 - 0.8 * teeth))
    funnel = _FUNNEL_FULL * value["funnel"] * (1 - sealed)
    # jaw and funnel draw the corners in; the voice asked for a width all the same
    parting = _parting(opening - APERTURE_PER_JAW * jaw - _APERTURE_PER_FUNNEL * funnel)
    parting_jaw = min(jaw, opening / APERTURE_PER_JAW)
    wider = (
        _WIDTH_FULL * value["width"]
        + _NARROWER_PER_JAW * parting_jaw
        - _WIDER_WHERE_PARTED * min(parting_jaw, _PARTED)
        + _NARROWER_PER_FUNNEL * funnel
        - _WIDER_PER_UPPER_LIP * _UPPER_SHARE * parting
    )
    spread = min(max(wider / _WIDER_PER_SPREAD, 0.0), _CORNERS_MOST)
    rounded = min(max(-wider / _NARROWER_PER_ROUNDING, 0.0), _CORNERS_MOST)
    funnel += 0.18 * rounded * (1 - sealed)
    missing = opening - APERTURE_PER_JAW * jaw - _APERTURE_PER_FUNNEL * funnel
    if missing < 0:  # the lips close over the open jaw (ARKit: mouthClose = jawOpen seals)
        _add(weights, "mouthClose", min(-missing / APERTURE_PER_JAW, jaw))
    else:
        parting = _parting(missing)
        _both(weights, "mouthLowerDown", parting)
        _both(weights, "mouthUpperUp", _UPPER_SHARE * parting)
        jaw += (missing - parting * _APERTURE_PER_LIPS) / APERTURE_PER_JAW
    _add(weights, "jawOpen", jaw)
    # a little more than shut, for faces whose lips part at rest; no mouthPress, for it widens
    _add(weights, "mouthShrugLower", 0.1 * sealed)
    _add(weights, "mouthRollLower", 0.18 * sealed + 0.5 * teeth)
    _add(weights, "mouthRollUpper", 0.15 * sealed)
    _both(weights, "mouthUpperUp", 0.2 * teeth)
    _add(weights, "mouthPucker", 0.8 * rounded)
    _add(weights, "mouthFunnel", funnel)
    _both(weights, "mouthStretch", 0.45 * spread)
    _both(weights, "mouthDimple", 0.2 * spread)
    _both(weights, "mouthSmile", 0.08 * spread + value["smile"])
    _both(weights, "cheekSquint", 0.1 * spread * value["emphasis"] + 0.3 * value["smile"])


def _parting(missing: float) -> float:
    """How far the lips part of themselves for an opening that the jaw leaves `missing`."""
    return min(max(missing / _APERTURE_PER_LIPS, 0.0), _LIPS_MOST)


def _decode_eyes(value: dict[str, float], weights: dict[str, float]) -> None:
    """Lids, brows, and the eyeLook weights that other programs' rigs turn the eyes by."""
    yaw, pitch = degrees(value["gaze_yaw"]) / _LOOK_FULL, degrees(value["gaze_pitch"]) / _LOOK_FULL
    left, right, up, down = max(yaw, 0.0), max(-yaw, 0.0), max(pitch, 0.0), max(-pitch, 0.0)
    _add(weights, "eyeLookOutLeft", left)
    _add(weights, "eyeLookInRight", left)
    _add(weights, "eyeLookInLeft", right)
    _add(weights, "eyeLookOutRight", right)
    _both(weights, "eyeLookUp", up)
    _both(weights, "eyeLookDown", down)
    # the upper lid rides on the eyeball; eyeLookDown and eyeLookUp move it half the way already
    _both(weights, "eyeBlink", max(value["blink"], 0.0) * (1 - 0.12 * down) + 0.12 * down)
    _both(weights, "eyeWide", 0.2 * up * (1 - value["blink"]))
    raised, drawn = max(value["brows"], 0.0), max(-value["brows"], 0.0)
    _add(weights, "browInnerUp", 0.7 * raised)
    _both(weights, "browOuterUp", 0.55 * raised)
    _both(weights, "browDown", 0.5 * drawn)
    _both(weights, "eyeSquint", 0.12 * value["smile"] + 0.1 * value["blink"])


def _smoothstep(value: float) -> float:
    value = min(max(value, 0.0), 1.0)
    return value * value * (3 - 2 * value)


def _add(weights: dict[str, float], name: str, amount: float) -> None:
    assert name in weights, name
    weights[name] += amount


def _both(weights: dict[str, float], name: str, amount: float) -> None:
    _add(weights, f"{name}Left", amount)
    _add(weights, f"{name}Right", amount)
