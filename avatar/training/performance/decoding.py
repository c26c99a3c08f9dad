"""`avatar.motion.codec.decode` for all frames of a stream at once.

The same rule with the same constants; a test holds the two together.
"""

from collections.abc import Mapping

import numpy as np

from avatar.motion import codec
from avatar.training.performance.signals import Curve, smoothstep
from avatar.types import ARKIT_NAMES

Values = Mapping[str, Curve]
"""Curves [T] by `avatar.motion.codec.LATENT_NAMES`."""

_COLUMN = {name: index for index, name in enumerate(ARKIT_NAMES)}


def add(weights: Curve, name: str, amount: Curve | float) -> None:
    """Add to one weight of [T, 52]; a name without its side adds to both."""
    sides = (name,) if name in _COLUMN else (f"{name}Left", f"{name}Right")
    for side in sides:
        weights[:, _COLUMN[side]] += amount


def seal_of(closure: Curve) -> Curve:
    """[T] 0..1 how far the lips are sealed, as the codec has it."""
    return smoothstep(closure / 0.7)


def decode_mouth(value: Values) -> Curve:
    """[T, 52] of aperture, jaw, width, funnel, closure, lip_teeth, sibilant, emphasis, smile."""
    teeth, sealed = value["lip_teeth"], seal_of(value["closure"])
    weights = np.zeros((len(teeth), len(ARKIT_NAMES)))
    jaw = codec.JAW_FULL * value["jaw"] * (1 - 0.45 * value["sibilant"]) * (1 - 0.3 * sealed)
    opening = codec.APERTURE_FULL * value["aperture"] * (1 - sealed)
    opening = np.minimum(opening, codec.APERTURE_FULL * (1 - 0.8 * teeth))
    parting_jaw = np.minimum(jaw, opening / codec.APERTURE_PER_JAW)
    width = value["width"] + codec._NARROWER_PER_JAW * parting_jaw / codec._WIDER_PER_SPREAD
    spread, rounded = np.maximum(width, 0), np.maximum(-width, 0)
    funnel = (0.15 * rounded + 0.4 * value["funnel"]) * (1 - sealed)
    missing = opening - codec.APERTURE_PER_JAW * jaw - codec._APERTURE_PER_FUNNEL * funnel
    close = np.clip(-missing / codec.APERTURE_PER_JAW, 0, jaw)
    add(weights, "mouthClose", np.where(missing < 0, close, 0))
    wanted = np.maximum(missing, 0)
    parting = np.minimum(wanted / codec._APERTURE_PER_LIPS, codec._LIPS_MOST)
    add(weights, "mouthLowerDown", parting)
    add(weights, "mouthUpperUp", 0.6 * parting)
    jaw = jaw + (wanted - parting * codec._APERTURE_PER_LIPS) / codec.APERTURE_PER_JAW
    add(weights, "jawOpen", jaw)
    add(weights, "mouthShrugLower", 0.1 * sealed)
    add(weights, "mouthRollLower", 0.18 * sealed + 0.5 * teeth)
    add(weights, "mouthRollUpper", 0.15 * sealed)
    add(weights, "mouthUpperUp", 0.2 * teeth)
    add(weights, "mouthPucker", 0.65 * rounded)
    add(weights, "mouthFunnel", funnel)
    add(weights, "mouthStretch", 0.28 * spread)
    add(weights, "mouthDimple", 0.12 * spread)
    add(weights, "mouthSmile", 0.15 * spread + value["smile"])
    add(weights, "cheekSquint", 0.1 * spread * value["emphasis"] + 0.3 * value["smile"])
    return weights


def decode_eyes(value: Values) -> Curve:
    """[T, 52] of gaze_yaw, gaze_pitch (rad), blink, brows, smile."""
    full = np.radians(codec._LOOK_FULL)
    yaw, pitch = value["gaze_yaw"] / full, value["gaze_pitch"] / full
    left, right = np.maximum(yaw, 0), np.maximum(-yaw, 0)
    up, down = np.maximum(pitch, 0), np.maximum(-pitch, 0)
    blink = value["blink"]
    weights = np.zeros((len(yaw), len(ARKIT_NAMES)))
    for name, amount in (("OutLeft", left), ("InRight", left), ("InLeft", right),
                         ("OutRight", right), ("Up", up), ("Down", down)):  # fmt: skip
        add(weights, f"eyeLook{name}", amount)
    add(weights, "eyeBlink", np.maximum(blink, 0) * (1 - 0.12 * down) + 0.12 * down)
    add(weights, "eyeWide", 0.2 * up * (1 - blink))
    raised, drawn = np.maximum(value["brows"], 0), np.maximum(-value["brows"], 0)
    add(weights, "browInnerUp", 0.7 * raised)
    add(weights, "browOuterUp", 0.55 * raised)
    add(weights, "browDown", 0.5 * drawn)
    add(weights, "eyeSquint", 0.12 * value["smile"] + 0.1 * blink)
    return weights
