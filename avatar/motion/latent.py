"""The learned code of a living face: 32 numbers near N(0, 1) for all its muscles, and eight more
for where it looks and how the head is held.

Two linear whitening maps, one for the mouth with the tongue and one for eyes, brows, cheeks and
nose (in which blinks have numbers of their own), are fitted to the motion corpus
(`avatar.training.motion_codec`), in a metric in which each weight counts as far as it moves the
template's skin. Linear on purpose: half-way between two codes lies the face half-way between, and a
code pushed too far gives a stronger face of the same kind, held in range by the clamp alone. Two
blocks, so that chance can be given to the upper face without loosening the lips from the voice.

Where the eyes look is a part of the code of its own; the eyeLook weights follow from it.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import pi

import numpy as np

from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float
from avatar.weights import damaged, parse_weights, shipped_file

MOUTH_CODE, UPPER_CODE = 20, 12
"""Numbers of the code for the mouth and for the upper face."""
LID_CODE = 2
"""The first of the upper face's: both lids together, and their difference. Blinks are rare and
whole; among the other numbers, chance enough for living brows would shut the eyes all the time."""
POSE_CODE = 8
"""Gaze yaw and pitch, head rotation and translation, each over its spread in the corpus."""
LATENT_SIZE = MOUTH_CODE + UPPER_CODE + POSE_CODE

_FACE_NAMES = (*ARKIT_NAMES, *TONGUE_NAMES)
_LOOKS = frozenset(name for name in ARKIT_NAMES if name.startswith("eyeLook"))
_UPPER_STARTS = ("eye", "brow", "cheekSquint", "nose")
UPPER_INDEX = np.array(
    [i for i, n in enumerate(_FACE_NAMES) if n.startswith(_UPPER_STARTS) and n not in _LOOKS]
)
"""Where the upper face lies among the 52 weights and 3 of the tongue."""
MOUTH_INDEX = np.array([i for i, n in enumerate(_FACE_NAMES) if not n.startswith(_UPPER_STARTS)])

UPPER_NAMES = tuple(_FACE_NAMES[index] for index in UPPER_INDEX)
EYE_RANGE_RAD = 35 * pi / 180
"""Furthest that the eyes turn in the head, left or right, up or down: an eyeLook weight is 1."""
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Face:
    """What latents mean for a face. T frames."""

    expression: Float
    """[T, 52] 0..1 in the order of `ARKIT_NAMES`."""
    tongue: Float
    """[T, 3] 0..1 in the order of `TONGUE_NAMES`."""
    gaze: Float
    """[T, 2] yaw, pitch of both eyes against the head, rad."""
    head_rotation: Float
    """[T, 3] axis-angle about the neck joint, rad."""
    head_translation: Float
    """[T, 3] m."""


@dataclass(frozen=True, slots=True)
class Block:
    """A whitening map of one part of the face."""

    mean: Float
    """[W] weights of the corpus' mean face."""
    to_code: Float
    """[W, K]"""
    to_weights: Float
    """[K, W]"""


@dataclass(frozen=True, slots=True, eq=False)
class LatentCodec:
    """Faces <-> latents."""

    mouth: Block
    upper: Block
    pose_spread: Float
    """[8] standard deviation of gaze (rad), head rotation (rad) and translation (m)."""

    def encode(self, face: Face) -> Float:
        """[T, 40] the latents of T faces."""
        weights = np.concatenate([face.expression, face.tongue], 1)
        pose = np.concatenate([face.gaze, face.head_rotation, face.head_translation], 1)
        return np.concatenate(
            [
                (weights[:, MOUTH_INDEX] - self.mouth.mean) @ self.mouth.to_code,
                (weights[:, UPPER_INDEX] - self.upper.mean) @ self.upper.to_code,
                pose / self.pose_spread,
            ],
            1,
            dtype=np.float32,
        )

    def decode(self, latent: Float) -> Face:
        """The faces of [T, 40] latents: weights held in 0..1, eyeLook from the gaze."""
        upper_at, pose_at = MOUTH_CODE, MOUTH_CODE + UPPER_CODE
        weights = np.zeros((len(latent), len(_FACE_NAMES)), np.float32)
        weights[:, MOUTH_INDEX] = self.mouth.mean + latent[:, :upper_at] @ self.mouth.to_weights
        weights[:, UPPER_INDEX] = (
            self.upper.mean + latent[:, upper_at:pose_at] @ self.upper.to_weights
        )
        pose = latent[:, pose_at:] * self.pose_spread
        expression = np.clip(weights[:, : len(ARKIT_NAMES)], 0, 1)
        expression[:, LOOK_INDEX] = looks_of(pose[:, :2])
        return Face(
            expression,
            np.clip(weights[:, len(ARKIT_NAMES) :], 0, 1),
            pose[:, :2].copy(),
            pose[:, 2:5].copy(),
            pose[:, 5:].copy(),
        )


_LOOK_NAMES = (
    "eyeLookOutLeft", "eyeLookInRight", "eyeLookInLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeLookDownLeft", "eyeLookDownRight",
)  # fmt: skip
LOOK_INDEX = np.array([ARKIT_NAMES.index(name) for name in _LOOK_NAMES])
"""Where the weights of `looks_of` lie among the 52."""


def looks_of(gaze: Float) -> Float:
    """[T, 8] eyeLook weights, in the order of `_LOOK_NAMES`, for [T, 2] gaze in rad."""
    left, up = gaze[:, :1] / EYE_RANGE_RAD, gaze[:, 1:] / EYE_RANGE_RAD
    return np.clip(np.concatenate([left, left, -left, -left, up, up, -up, -up], 1), 0, 1)


@lru_cache(maxsize=1)
def load_codec() -> LatentCodec:
    """The codec that ships with the program.

    Raises:
        AssetError: its file is missing, damaged or of another version.
    """
    return parse_codec(shipped_file("motion/codec.safetensors", "visavis train motion"))


def parse_codec(contents: bytes) -> LatentCodec:
    """The codec in the bytes of its file.

    Raises:
        AssetError: the bytes are damaged or of another version.
    """
    name = "assets/motion/codec.safetensors"
    tensors, _ = parse_weights(contents, name, _FORMAT)
    try:
        return LatentCodec(
            mouth=_block(tensors, "mouth", MOUTH_INDEX, MOUTH_CODE),
            upper=_block(tensors, "upper", UPPER_INDEX, UPPER_CODE),
            pose_spread=_shaped(tensors, "pose_spread", (POSE_CODE,)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(name, error) from error


def _block(tensors: dict[str, Float], name: str, index: np.ndarray, size: int) -> Block:
    return Block(
        mean=_shaped(tensors, f"{name}.mean", (len(index),)),
        to_code=_shaped(tensors, f"{name}.to_code", (len(index), size)),
        to_weights=_shaped(tensors, f"{name}.to_weights", (size, len(index))),
    )


def _shaped(tensors: dict[str, Float], name: str, shape: tuple[int, ...]) -> Float:
    tensor = tensors[name]
    if tensor.shape != shape or not np.isfinite(tensor).all():
        raise ValueError(f"{name} of {tensor.shape}, expected finite {shape}")
    return tensor
