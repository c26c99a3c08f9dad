"""ARKit weights <-> the expressions of VRM avatars and the fifteen visemes of Oculus lip sync.

Each expression is a pose in ARKit's weights. One way is a sum of poses; the other finds the
weights, none negative, whose poses come nearest to a face (least squares with a little ridge, which
keeps the answer single and smooth where two poses are alike).

Names and meanings:

* VRM 1.0 presets: `VRMC_vrm-1.0/expressions.md` of the VRM Consortium; VRM 0.x: the preset names of
  `VRM.blendshape` in the same repository, as VSeeFace and VMC spell them.
* Visemes: the fifteen of Oculus LipSync (Meta, "Viseme Reference"), in its order; they follow the
  MPEG-4 set.
* Poses of feeling: EMFACS (Friesen and Ekman 1983). Poses of visemes: where lips, jaw and tongue
  are for the sounds that the reference names. How far they go was set here, by eye.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from avatar.motion.latent import EYE_RANGE_RAD
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float

VISEME_NAMES = (
    "sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "ih", "oh", "ou",
)  # fmt: skip
"""Oculus' fifteen, in their order."""

VRM_NAMES = (
    "happy", "angry", "sad", "relaxed", "surprised",
    "aa", "ih", "ou", "ee", "oh",
    "blink", "blinkLeft", "blinkRight",
    "lookUp", "lookDown", "lookLeft", "lookRight", "neutral",
)  # fmt: skip
"""The presets of VRM 1.0."""

VRM0_NAMES = (
    "Joy", "Angry", "Sorrow", "Fun", "Surprised",
    "A", "I", "U", "E", "O",
    "Blink", "Blink_L", "Blink_R",
    "LookUp", "LookDown", "LookLeft", "LookRight", "Neutral",
)  # fmt: skip
"""The same in VRM 0.x, in the same order. `Surprised` is no preset there, but usual."""

VISEME_POSES: dict[str, dict[str, float]] = {
    "PP": {"mouthClose": 0.06, "jawOpen": 0.06, "mouthPress": 0.45, "mouthRollLower": 0.3,
           "mouthRollUpper": 0.25},
    "FF": {"jawOpen": 0.06, "mouthRollLower": 0.6, "mouthUpperUp": 0.3, "mouthShrugLower": 0.15},
    "TH": {"jawOpen": 0.14, "mouthLowerDown": 0.2, "tongueForward": 1.0},
    "DD": {"jawOpen": 0.1, "mouthLowerDown": 0.3, "mouthStretch": 0.1, "tongueTipUp": 0.9},
    "kk": {"jawOpen": 0.16, "mouthLowerDown": 0.2, "mouthStretch": 0.12, "tongueUp": 1.0},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.65, "mouthShrugUpper": 0.2, "mouthLowerDown": 0.2},
    "SS": {"jawOpen": 0.03, "mouthStretch": 0.35, "mouthLowerDown": 0.35, "mouthSmile": 0.15,
           "tongueTipUp": 0.3},
    "nn": {"jawOpen": 0.1, "mouthLowerDown": 0.15, "tongueTipUp": 1.0, "tongueUp": 0.3},
    "RR": {"jawOpen": 0.1, "mouthFunnel": 0.35, "mouthPucker": 0.25, "tongueUp": 0.4},
    "aa": {"jawOpen": 0.5, "mouthLowerDown": 0.25, "mouthUpperUp": 0.15},
    "E": {"jawOpen": 0.24, "mouthStretch": 0.3, "mouthSmile": 0.2, "mouthLowerDown": 0.25},
    "ih": {"jawOpen": 0.12, "mouthSmile": 0.35, "mouthStretch": 0.25, "mouthUpperUp": 0.1},
    "oh": {"jawOpen": 0.34, "mouthFunnel": 0.5, "mouthPucker": 0.15},
    "ou": {"jawOpen": 0.1, "mouthPucker": 0.7, "mouthFunnel": 0.25},
}  # fmt: skip
"""A viseme at 1 in ARKit's weights and the tongue's; a name without a side means both. `sil` is a
mouth at rest."""

FEELING_POSES: dict[str, dict[str, float]] = {
    "happy": {"mouthSmile": 0.8, "cheekSquint": 0.7, "eyeSquint": 0.3, "mouthDimple": 0.1},
    "angry": {"browDown": 0.9, "eyeSquint": 0.5, "noseSneer": 0.4, "mouthPress": 0.5,
              "mouthFrown": 0.3},
    "sad": {"browInnerUp": 0.9, "mouthFrown": 0.8, "mouthShrugLower": 0.35, "eyeSquint": 0.15},
    "relaxed": {"mouthSmile": 0.3, "eyeBlink": 0.25},
    "surprised": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.8, "jawOpen": 0.25},
}  # fmt: skip
"""VRM's five feelings likewise."""

_VOWELS = {"aa": "aa", "ih": "ih", "ou": "ou", "ee": "E", "oh": "oh"}
"""VRM's vowel -> the viseme whose pose it is."""
_FACE_NAMES = (*ARKIT_NAMES, *TONGUE_NAMES)
_RIDGE = 0.12
"""Of the least squares, in weights: a quarter of a faint pose."""


def visemes_of(expression: NDArray[np.floating], tongue: NDArray[np.floating]) -> Float:
    """[T, 15] how much of each of `VISEME_NAMES` is in faces [T, 52] and tongues [T, 3].

    Each within 0..1 and at most 1 together; `sil` is what is left to 1.
    """
    poses = _visemes()
    found = poses.weights_of(np.concatenate([expression, tongue], 1))
    found /= np.maximum(found.sum(1, keepdims=True), 1)
    return np.concatenate([1 - found.sum(1, keepdims=True), found], 1, dtype=np.float32)


def face_of_visemes(visemes: NDArray[np.floating]) -> tuple[Float, Float]:
    """Expression [T, 52] and tongue [T, 3] of viseme weights [T, 15]."""
    assert np.shape(visemes)[1:] == (len(VISEME_NAMES),), "expected [T, 15]"
    return _split(np.clip(np.asarray(visemes)[:, 1:], 0, 1) @ _visemes().matrix)


def vrm_of(expression: NDArray[np.floating], gaze: NDArray[np.floating]) -> Float:
    """[T, 18] weights 0..1 of `VRM_NAMES` (and `VRM0_NAMES`) for faces [T, 52], gaze [T, 2] rad.

    `blink` is what both lids share, the two of one side are what a lid has beyond it: applied
    together they close each lid as far as it is. `neutral` is 0: it is VRM's word for none of them.
    """
    weights = np.asarray(expression, np.float64)
    lids = weights[:, [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]]
    both = lids.min(1, keepdims=True)
    # All at once: a smile is a feeling or the i of "see", and must not count as both.
    shown = _feelings_and_vowels().weights_of(_without_blinks(weights))
    feelings, vowels = shown[:, :5], shown[:, 5:]
    vowels /= np.maximum(vowels.sum(1, keepdims=True), 1)
    yaw, pitch = np.asarray(gaze, np.float64).T / EYE_RANGE_RAD
    looks = np.clip(np.stack([pitch, -pitch, yaw, -yaw], 1), 0, 1)
    nothing = np.zeros((len(weights), 1))
    return np.concatenate([feelings, vowels, both, lids - both, looks, nothing], 1).astype(
        np.float32
    )


def face_of_vrm(vrm: NDArray[np.floating]) -> tuple[Float, Float]:
    """Expression [T, 52] and gaze [T, 2] rad of VRM weights [T, 18] in the order of `VRM_NAMES`.

    The eyeLook weights are left at 0: the gaze says it.
    """
    assert np.shape(vrm)[1:] == (len(VRM_NAMES),), "expected [T, 18]"
    given = np.clip(np.asarray(vrm, np.float64), 0, 1)
    shown, lids, looks = given[:, :10], given[:, 10:13], given[:, 13:17]
    face = shown @ _feelings_and_vowels().matrix
    for column, side in ((1, "Left"), (2, "Right")):
        face[:, _FACE_NAMES.index(f"eyeBlink{side}")] += lids[:, 0] + lids[:, column]
    gaze = np.stack([looks[:, 2] - looks[:, 3], looks[:, 0] - looks[:, 1]], 1) * EYE_RANGE_RAD
    return _split(face)[0], gaze.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Poses:
    """Some expressions as poses, and the way back."""

    matrix: NDArray[np.float64]
    """[P, 55] the face of each at 1."""

    def weights_of(self, faces: NDArray[np.floating]) -> NDArray[np.float64]:
        """[T, P] within 0..1. What no pose moves does not count."""
        used = np.any(self.matrix != 0, axis=0)
        tall = np.concatenate([self.matrix[:, used].T, _RIDGE * np.eye(len(self.matrix))])
        wanted = np.zeros((len(faces), len(tall)))
        wanted[:, : used.sum()] = np.asarray(faces, np.float64)[:, used]
        return np.clip([nnls(tall, one)[0] for one in wanted], 0, 1)


def _without_blinks(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[T, 55] the face without a shut eye: a blink is no feeling."""
    shown = np.concatenate([weights, np.zeros((len(weights), len(TONGUE_NAMES)))], 1)
    for side in ("Left", "Right"):
        column = shown[:, ARKIT_NAMES.index(f"eyeBlink{side}")]
        column *= np.clip((_BLINKS - column) / (_BLINKS - _DROOPS), 0, 1)
    return shown


_DROOPS, _BLINKS = 0.3, 0.5
"""Lids no further down than the first may be a feeling's; from the second on they blink."""


@cache
def _visemes() -> _Poses:
    return _Poses(_matrix([VISEME_POSES[name] for name in VISEME_NAMES[1:]]))


@cache
def _feelings_and_vowels() -> _Poses:
    feelings = [FEELING_POSES[name] for name in VRM_NAMES[:5]]
    return _Poses(_matrix([*feelings, *(VISEME_POSES[_VOWELS[name]] for name in VRM_NAMES[5:10])]))


def _matrix(poses: list[dict[str, float]]) -> NDArray[np.float64]:
    matrix = np.zeros((len(poses), len(_FACE_NAMES)))
    for row, pose in zip(matrix, poses, strict=True):
        for name, weight in pose.items():
            for whole in (name,) if name in _FACE_NAMES else (f"{name}Left", f"{name}Right"):
                row[_FACE_NAMES.index(whole)] = weight
    return matrix


def _split(face: NDArray[np.float64]) -> tuple[Float, Float]:
    held = np.clip(face, 0, 1).astype(np.float32)
    return held[:, : len(ARKIT_NAMES)], held[:, len(ARKIT_NAMES) :]
