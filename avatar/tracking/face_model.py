"""One person's face as a tracker sees it: the template at FaceMesh's landmarks, nothing else.

A few hundred points and how each expression moves them: a thousandth of the head, so that a frame
is solved in milliseconds.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.head.pose import eye_centres, pose
from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.landmarks import FACE_OVAL
from avatar.portrait.mesh import between_corners
from avatar.types import ARKIT_NAMES, Float

SOLVED = tuple(
    index
    for index, name in enumerate(ARKIT_NAMES)
    if name.startswith(("jaw", "mouth", "brow", "cheekSquint", "noseSneer"))
    and name != "jawForward"
)
"""Expressions that landmarks in one picture tell. Lids are measured by their opening instead
(`avatar.tracking.eyes`), eyeLook follows from the gaze; a tongue, a puffed cheek or a jaw pushed
forward do not show in where landmarks lie."""
SOLVED_NAMES = tuple(ARKIT_NAMES[index] for index in SOLVED)
INNER_LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318))
"""FaceMesh's inner border of the upper and of the lower lip, one below the other."""
_EYE_REGION = (
    *(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    *(263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
LIP_POINTS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
_BROW_POINTS = (
    *(70, 63, 105, 66, 107, 46, 53, 52, 65, 55),
    *(300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)
_JAW_POINTS = (152, 148, 176, 149, 150, 377, 400, 378, 379)
"""Of the oval, those that go down with the jaw."""
BLINKS = np.linspace(0, 1, 11)
"""Weights at which a lid's opening is known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lids:
    """How far the template's eye is open, as a share of how far it is at rest."""

    by_blink: Array
    """[11] at `BLINKS`, falling; below 0 the upper lid's margin has passed the lower's."""
    by_wide: float
    """At eyeWide 1."""
    by_look_down: float
    by_look_up: float
    """At eyeLookDown 1 and eyeLookUp 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceModel:
    """n landmarks on one person's neutral head, and E = len(SOLVED) expressions. Float64."""

    landmark: NDArray[np.integer[Any]]
    """[n] which of FaceMesh's 478."""
    neutral: Array
    """[n, 3] avatar space, metres."""
    basis: Array
    """[E, n, 3] metres at weight 1."""
    weight: Array
    """[n] how well each landmark's place on the skin is known, 0..1."""
    eye_centre: Array
    """[2, 3] left, right."""
    eye_radius: Array
    """[2] metres."""
    eye_distance: float
    """Of the outer corners, metres."""
    lids: Lids
    neck_joint: Array
    """[3]"""
    pairs: NDArray[np.integer[Any]]
    """[P, 2] rows of the upper and the lower inner lip."""

    def with_rest(self, offset: Array) -> "FaceModel":
        """The same face with its landmarks moved by [n, 3] metres."""
        return replace(self, neutral=self.neutral + offset)


def face_model(
    template: HeadTemplate, head: Float, expression_gain: Float | None = None
) -> FaceModel:
    """The model of a neutral head [V, 3] on the template's topology.

    `expression_gain` [52]: how far this head goes for a weight of 1 (`Avatar.expression_gain`).
    """
    landmark = np.flatnonzero(template.landmark_triangle[:468] >= 0)
    corners = template.triangles[template.landmark_triangle[landmark]]
    barycentric = template.landmark_barycentric[landmark].astype(np.float64)

    def at_landmarks(values: Float) -> Array:
        return between_corners(barycentric, values[corners].astype(np.float64))

    gain = np.ones(len(ARKIT_NAMES)) if expression_gain is None else expression_gain
    neutral = at_landmarks(head)
    row = {int(point): index for index, point in enumerate(landmark)}
    centre, radius = eye_centres(template, np.asarray(head, np.float32))
    return FaceModel(
        landmark=landmark,
        neutral=neutral,
        basis=np.stack([gain[i] * at_landmarks(template.expression_basis[i]) for i in SOLVED]),
        weight=_weights(template, landmark),
        eye_centre=centre.astype(np.float64),
        eye_radius=radius.astype(np.float64),
        eye_distance=float(np.linalg.norm(neutral[row[33]] - neutral[row[263]])),
        lids=_lids(template),
        neck_joint=template.neck_joint.astype(np.float64),
        pairs=np.array(
            [(row[up], row[low]) for up, low in INNER_LIP_PAIRS if up in row and low in row]
        ),
    )


def _weights(template: HeadTemplate, landmark: NDArray[np.integer[Any]]) -> Array:
    """Sharp places count most; a contour slides over the skin; lids are measured apart."""
    weight = 0.003 / (0.002 + np.minimum(template.landmark_spread[landmark], 0.03))
    weight = np.minimum(weight.astype(np.float64), 1)
    contour = np.isin(landmark, FACE_OVAL)
    weight[contour] *= np.where(np.isin(landmark[contour], _JAW_POINTS), 0.5, 0.15)
    weight[np.isin(landmark, _EYE_REGION)] *= 0.3
    weight[np.isin(landmark, LIP_POINTS)] *= 4
    weight[np.isin(landmark, _BROW_POINTS)] *= 3
    return weight


def _lids(template: HeadTemplate) -> Lids:
    """Measured on the average head, posed: there lids slide over the eyeball. Both eyes' mean."""
    upper, lower = (159, 158, 386, 385), (145, 153, 374, 380)

    def opening(name: str, weight: float) -> float:
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for side in ("Left", "Right"):
            expression[ARKIT_NAMES.index(name + side)] = weight
        posed = pose(template, template.vertices, expression=expression)

        def height(points: tuple[int, ...]) -> float:
            where = list(points)
            corners = posed[template.triangles[template.landmark_triangle[where]]]
            barycentric = template.landmark_barycentric[where].astype(np.float64)
            return float(between_corners(barycentric, corners.astype(np.float64))[:, 1].mean())

        return height(upper) - height(lower)

    rest = opening("eyeBlink", 0.0)
    by_blink = np.array([opening("eyeBlink", float(weight)) for weight in BLINKS]) / rest
    return Lids(
        by_blink=np.minimum.accumulate(by_blink),
        by_wide=opening("eyeWide", 1.0) / rest,
        by_look_down=opening("eyeLookDown", 1.0) / rest,
        by_look_up=opening("eyeLookUp", 1.0) / rest,
    )
