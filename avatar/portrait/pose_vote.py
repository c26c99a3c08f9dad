"""A second opinion on a fitted head's turn: what such fits were off by, on heads of known pose.

The fit reads places in the picture alone. FaceMesh also guesses a depth of each landmark; the turn
by which its points in space lie on the template's (Procrustes) errs otherwise than the fit does.
From both turns the error of the fit is told by a few numbers, learnt on renders: see
`avatar.training.pose_vote`. That is about a fifth of it. The rest comes with the single picture:
with exact landmarks the fit is off by .7 degrees of yaw and 1.3 of pitch (shape taken for pitch),
with FaceMesh's and the true shape by 2.3 and 2.4. Tried, and no better on people not learnt from:
regression on all landmarks, FaceMesh's network without attention, its detectors' key points,
evened light, and a small convolutional network on the pixels.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from scipy.spatial.transform import Rotation

from avatar.errors import AssetError
from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.landmark_fit import Slice, State
from avatar.portrait.landmark_view import view_terms
from avatar.portrait.landmarks import FACE_OVAL, FoundFace
from avatar.types import Float

POSE_VOTE_PATH = Path(__file__).parents[2] / "assets" / "head" / "pose_vote.safetensors"
FORMAT = 1
FURTHEST_APART = np.radians(15.0)
"""Of both turns: beyond, one of them is not of this face."""
USUAL_APART = np.radians((0.0, -4.9, 0.0))
FURTHEST_BESIDE = np.radians(5.0)
"""Where the points in space usually lie against the fit, on renders, and two standard deviations
about it: some photographs of smiles lie further, and are believed no more than this."""
FURTHEST_MOVED = np.radians(8.0)
"""No correction is larger."""
_STEADY_SPREAD_M = 0.004


@cache
def load_pose_vote(path: Path = POSE_VOTE_PATH) -> Float:
    """[K, 3] weights of `vote_terms` for yaw, pitch and roll, radians.

    Raises: `AssetError` where the file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get("pose_vote", "{}"))
            weights = file.get_tensor("weights")
    except (OSError, SafetensorError, ValueError) as error:
        raise AssetError(
            f"{path.name}: cannot be read as a correction of poses ({error}); reinstall the program"
        ) from error
    wanted = (len(vote_terms(np.zeros(3), np.zeros(3))), 3)
    if about.get("format") != FORMAT or weights.shape != wanted or not np.isfinite(weights).all():
        raise AssetError(
            f"{path.name}: format {about.get('format')} with {weights.shape} numbers, this build "
            f"reads {FORMAT} with {wanted}; reinstall the program"
        )
    return weights.astype(np.float32)


def vote_terms(fitted: Array, in_space: Array) -> Array:
    """[..., K] of two turns [..., 3], yaw, pitch and roll in radians: the fit's, and that of
    FaceMesh's points in space."""
    apart = (in_space - fitted + np.pi) % (2 * np.pi) - np.pi
    apart = np.clip(apart, -FURTHEST_APART, FURTHEST_APART)
    return np.concatenate([view_terms(fitted[..., 0], fitted[..., 1]), apart], -1)


def turn_of(rotation: Array) -> Array:
    """[3] yaw, pitch, roll of a rotation [3, 3], radians, as `FaceFit.yaw_pitch_roll` has them."""
    yaw, pitch, roll = Rotation.from_matrix(rotation).as_euler("YXZ")
    return np.array([yaw, -pitch, roll])


def turn_in_space(template: HeadTemplate, slice: Slice, face: FoundFace) -> Array:
    """[3] the turn of FaceMesh's points, its own depth taken as it is: orthogonal Procrustes
    (Schönemann 1966) on the landmarks that stay on their spot of skin."""
    steady = (template.landmark_spread[slice.used] < _STEADY_SPREAD_M) & ~np.isin(
        slice.used, FACE_OVAL
    )
    seen = face.landmarks[slice.used[steady]].astype(np.float64) * (1, -1, -1)
    model = slice.mean[steady]
    u, _, vt = np.linalg.svd((seen - seen.mean(0)).T @ (model - model.mean(0)))
    return turn_of(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt)


def corrected(template: HeadTemplate, slice: Slice, face: FoundFace, state: State) -> Rotation:
    """The state's rotation less the error that fits like it have."""
    seen = state.seen
    fitted = turn_of(seen)
    terms = vote_terms(fitted, turn_in_space(template, slice, face))
    beside = np.clip(terms[-3:] - USUAL_APART, -FURTHEST_BESIDE, FURTHEST_BESIDE)
    terms[-3:] = USUAL_APART + beside
    by = terms @ load_pose_vote()
    yaw, pitch, roll = fitted + np.clip(by, -FURTHEST_MOVED, FURTHEST_MOVED)
    turned = Rotation.from_euler("YXZ", [yaw, -pitch, roll])
    # From a camera that looks straight at the face back to the one that took the picture.
    return state.rotation * Rotation.from_matrix(seen).inv() * turned
