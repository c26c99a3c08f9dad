"""`avatar.motion.codec` for all frames of a stream."""

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


_MOUTH = (
    "aperture", "jaw", "width", "funnel", "closure", "lip_teeth", "sibilant", "emphasis", "smile",
)  # fmt: skip


def decode_mouth(value: Values) -> Curve:
    """[T, 52] of aperture, jaw, width, funnel, closure, lip_teeth, sibilant, emphasis, smile.

    By the codec's own rule, frame by frame (20 microseconds each): there is only one such rule.
    """
    rows = zip(*(value[name].tolist() for name in _MOUTH), strict=True)
    frames = (codec.decode_mouth(dict(zip(_MOUTH, row, strict=True))) for row in rows)
    weights = [tuple(frame.values()) for frame in frames]
    return np.array(weights, np.float64).reshape(-1, len(ARKIT_NAMES))


def decode_eyes(value: Values) -> Curve:
    """[T, 52] of gaze_yaw, gaze_pitch (rad), blink, brows, smile: the codec's rule in arrays (a
    test holds the two together)."""
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
