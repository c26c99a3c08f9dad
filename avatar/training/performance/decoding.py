"""Curves of named quantities, and the ARKit weights of eyes and brows that follow from them."""

from collections.abc import Mapping

import numpy as np

from avatar.training.performance.signals import Curve
from avatar.types import ARKIT_NAMES

Values = Mapping[str, Curve]
"""Curves [T] by name."""

_LOOK_FULL_DEGREES = 35.0
"""Gaze at which an eyeLook weight is 1: about the eye's range."""
_COLUMN = {name: index for index, name in enumerate(ARKIT_NAMES)}


def add(weights: Curve, name: str, amount: Curve | float) -> None:
    """Add to one weight of [T, 52]; a name without its side adds to both."""
    sides = (name,) if name in _COLUMN else (f"{name}Left", f"{name}Right")
    for side in sides:
        weights[:, _COLUMN[side]] += amount


def decode_eyes(value: Values) -> Curve:
    """[T, 52] of gaze_yaw, gaze_pitch (rad), blink, brows, smile.

    The upper lid rides on the eyeball; eyeLookDown and eyeLookUp move it half the way already.
    """
    full = np.radians(_LOOK_FULL_DEGREES)
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
