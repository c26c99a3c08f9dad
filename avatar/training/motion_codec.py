"""Fits the code of the face to the motion corpus: what `avatar.motion.latent` reads."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from avatar.head.template import HeadTemplate
from avatar.motion.latent import (
    LID_CODE,
    MOUTH_CODE,
    MOUTH_INDEX,
    UPPER_CODE,
    UPPER_INDEX,
    UPPER_NAMES,
    Block,
    Face,
    LatentCodec,
)
from avatar.types import Float

_IS_LID = np.array([name.startswith("eyeBlink") for name in UPPER_NAMES])
_LIDS, _BROWS = np.flatnonzero(_IS_LID), np.flatnonzero(~_IS_LID)
"""Of the upper face's weights: those that shut the eyes, and all others."""
_LEAST_REACH = 0.15
"""Of the largest: no weight counts less, however little skin it moves (a nostril, a lid)."""
_LEAST_SPREAD = 0.004
"""Of a component, in weights: below, it is rounding, and is not blown up to unit spread."""
_LEAST_LID_SPREAD = 0.02
"""Of the lids': a corpus without winks makes none of one in a user's film an enormous number."""


def reach_of(template: HeadTemplate) -> NDArray[np.float64]:
    """[55] how far each expression and tongue shape moves the template's skin, 1 = the furthest.

    Root mean square over the hundred vertices that move most.
    """
    shapes = np.concatenate([template.expression_basis, template.tongue_basis])
    moved = np.linalg.norm(shapes, axis=2)
    most = np.sort(moved, 1)[:, -100:]
    reach = np.sqrt((most**2).mean(1))
    return np.maximum(reach / reach.max(), _LEAST_REACH)


def fit_codec(face: Face, template: HeadTemplate) -> LatentCodec:
    """Principal components of the corpus in the metric of `reach_of`, whitened."""
    weights = np.concatenate([face.expression, face.tongue], 1)
    reach = reach_of(template)
    pose = np.concatenate([face.gaze, face.head_rotation, face.head_translation], 1)

    def fitted(index: NDArray[np.int64], size: int, least: float = _LEAST_SPREAD) -> Block:
        return _whitened(weights[:, index], reach[index], size, least)

    return LatentCodec(
        mouth=fitted(MOUTH_INDEX, MOUTH_CODE),
        upper=_joined(
            fitted(UPPER_INDEX[_LIDS], LID_CODE, _LEAST_LID_SPREAD),
            fitted(UPPER_INDEX[_BROWS], UPPER_CODE - LID_CODE),
        ),
        pose_spread=pose.std(0).astype(np.float32),
    )


def _joined(lids: Block, brows: Block) -> Block:
    """One block of both; blinks are rare and whole, and have numbers of their own."""
    mean = np.zeros(len(UPPER_INDEX), np.float32)
    to_code = np.zeros((len(UPPER_INDEX), UPPER_CODE), np.float32)
    mean[_LIDS], mean[_BROWS] = lids.mean, brows.mean
    to_code[_LIDS, :LID_CODE], to_code[_BROWS, LID_CODE:] = lids.to_code, brows.to_code
    to_weights = np.zeros((UPPER_CODE, len(UPPER_INDEX)), np.float32)
    to_weights[:LID_CODE, _LIDS] = lids.to_weights
    to_weights[LID_CODE:, _BROWS] = brows.to_weights
    return Block(mean=mean, to_code=to_code, to_weights=to_weights)


def _whitened(weights: Float, reach: NDArray[np.float64], size: int, least: float) -> Block:
    mean = weights.mean(0, dtype=np.float64)
    metric = (weights - mean) * reach
    values, vectors = np.linalg.eigh(metric.T @ metric / len(metric))
    order = np.argsort(values)[::-1][:size]
    spread = np.maximum(np.sqrt(np.maximum(values[order], 0)), least)
    axes = vectors[:, order]
    # eigenvectors have no sign of their own: the largest entry is made positive
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(size)])
    return Block(
        mean=mean.astype(np.float32),
        to_code=(reach[:, None] * axes / spread).astype(np.float32),
        to_weights=((axes * spread).T / reach).astype(np.float32),
    )


def code_worth(codec: LatentCodec, template: HeadTemplate) -> Float:
    """[40] how much a unit of each number of the code shows, 1 = the most; none below a tenth."""
    reach = reach_of(template)
    worth = [
        np.sqrt(((block.to_weights * reach[index]) ** 2).sum(1))
        for block, index in ((codec.mouth, MOUTH_INDEX), (codec.upper, UPPER_INDEX))
    ]
    shown = [np.maximum(one / one.max(), 0.1) for one in worth]
    return np.concatenate([*shown, np.ones(8)]).astype(np.float32)


def codec_error(codec: LatentCodec, face: Face) -> dict[str, float]:
    """Of faces taken through the code and back: root mean square and largest error of weights."""
    back = codec.decode(codec.encode(face))
    off = np.concatenate([back.expression - face.expression, back.tongue - face.tongue], 1)
    off = off[:, np.concatenate([MOUTH_INDEX, UPPER_INDEX])]
    return {
        "weight_rms": float(np.sqrt((off**2).mean())),
        "weight_p999": float(np.quantile(np.abs(off), 0.999)),
        "weight_worst": float(np.abs(off).max()),
    }


def save_codec(path: Path, codec: LatentCodec, recipe: dict[str, object]) -> None:
    """Write beside `path`, then rename."""
    tensors = {"pose_spread": codec.pose_spread}
    for name, block in (("mouth", codec.mouth), ("upper", codec.upper)):
        tensors[f"{name}.mean"] = block.mean
        tensors[f"{name}.to_code"] = np.ascontiguousarray(block.to_code)
        tensors[f"{name}.to_weights"] = np.ascontiguousarray(block.to_weights)
    beside = path.with_suffix(".part")
    save_file(tensors, beside, metadata={"visavis": json.dumps({"format": 1, **recipe})})
    beside.replace(path)
