"""Where FaceMesh puts its landmarks as the head turns: further and further from their spot of skin.

The network shrinks a turn: at a yaw of 35 degrees its points lie as on a head turned 3 less,
and from any side as on one that nods 1 to 5 degrees deeper, millimetres from where the skin is. The
template's landmarks (`HeadTemplate.landmark_triangle`) hold for a head seen from everywhere on
average; this asset says what to add for the side that the camera sees. It was measured on renders
of heads of known pose, see `avatar.training.landmark_view`.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from avatar.errors import AssetError
from avatar.head.template import LANDMARKS
from avatar.portrait.arrays import Array
from avatar.portrait.openings import INNER_LIPS
from avatar.types import Float, Index

LANDMARK_VIEW_PATH = Path(__file__).parents[2] / "assets" / "head" / "landmark_view.safetensors"
FORMAT = 1
ORDER = 3
"""Of the polynomial in yaw and pitch."""
FURTHEST_YAW, FURTHEST_PITCH = np.radians(45.0), np.radians(28.0)
"""Measured to here; beyond, the last measured value holds."""
FACE_MIDDLE = np.array([0.0, -0.035, 0.03])
"""Metres, avatar space: the direction of the camera is taken from here."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LandmarkView:
    """What was measured. Places across the line of sight: to the right seen from the camera, with
    the head's own up, and up."""

    shift: Float
    """[K, 478, 2] metres, for each term of `view_terms`."""
    mirror: Index
    """[478] each landmark's partner on the other half of the face."""


@cache
def load_landmark_view(path: Path = LANDMARK_VIEW_PATH) -> LandmarkView:
    """The measured displacements that ship with the program.

    Raises: `AssetError` where the file is missing, damaged or of another format.
    """
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get("landmark_view", "{}"))
            shift, mirror = file.get_tensor("shift_mm"), file.get_tensor("mirror")
    except (OSError, SafetensorError, ValueError) as error:
        raise AssetError(
            f"{path.name}: cannot be read as landmark displacements ({error}); reinstall the "
            "program"
        ) from error
    terms = len(view_terms(0.0, 0.0))
    sound = (
        about.get("format") == FORMAT
        and shift.shape == (terms, LANDMARKS, 2)
        and np.isfinite(shift).all()
        and sorted(mirror) == list(range(LANDMARKS))
    )
    if not sound:
        raise AssetError(
            f"{path.name}: format {about.get('format')} with {shift.shape} numbers, this build "
            f"reads {FORMAT} with {(terms, LANDMARKS, 2)}; reinstall the program"
        )
    return LandmarkView(
        shift=shift.astype(np.float32) / 1000,
        mirror=mirror.astype(np.int32),
    )


def mirror_landmarks() -> Index:
    """[478] which landmark each one becomes when the picture is mirrored."""
    return load_landmark_view().mirror


def view_terms(yaw: float | Array, pitch: float | Array) -> Array:
    """[..., K] the products yaw^i pitch^j, i + j <= ORDER, of the camera's direction in radians."""
    yaw = np.clip(yaw, -FURTHEST_YAW, FURTHEST_YAW)
    pitch = np.clip(pitch, -FURTHEST_PITCH, FURTHEST_PITCH)
    powers = [(i, j) for i in range(ORDER + 1) for j in range(ORDER + 1 - i)]
    return np.stack([yaw**i * pitch**j for i, j in powers], -1)


def camera_yaw_pitch(rotation: Array) -> tuple[float, float]:
    """Radians: where the camera stands as the head sees it, + to its left and + up.

    `rotation` [3, 3] takes avatar space to camera space; how it rolls the head does not matter.
    """
    towards = rotation[2]
    return (
        float(np.arctan2(towards[0], towards[2])),
        float(np.arcsin(np.clip(towards[1], -1, 1))),
    )


def across_sight(rotation: Array) -> Array:
    """[2, 3] unit vectors of avatar space across the line of sight: right, and the head's up."""
    towards = np.asarray(rotation[2], np.float64)
    right = np.cross((0.0, 1.0, 0.0), towards)
    right /= max(float(np.linalg.norm(right)), 1e-6)
    return np.stack([right, np.cross(towards, right)])


def seen_rotation(rotation: Array, translation: Array) -> Array:
    """[3, 3] the rotation as a camera would have it that looks straight at the face.

    A face beside the picture's middle is seen from another side than the camera's axis says.
    """
    towards = -rotation.T @ translation - FACE_MIDDLE
    towards = towards / np.linalg.norm(towards)
    right = np.cross(rotation[1], towards)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])


def landmark_shift(rotation: Array) -> Float:
    """[478, 3] metres, avatar space: add it to the places of the landmarks on the skin to get
    where FaceMesh will put them.

    `rotation` [3, 3]: avatar space -> camera space of a camera that looks at the face (for a face
    beside the picture's middle see `seen_rotation`). Of the irises it is 0; of the inner lips only
    what a turn adds to a front view: there it was measured on mouths that FaceMesh took for open,
    and would take 2.5 mm from the opening of every smile.
    """
    terms = view_terms(*camera_yaw_pitch(rotation))
    shift = load_landmark_view().shift
    flat = np.tensordot(terms, shift, 1)
    inner = list(INNER_LIPS)
    flat[inner] -= np.tensordot(view_terms(0.0, 0.0), shift[:, inner], 1)
    return (flat @ across_sight(rotation)).astype(np.float32)
