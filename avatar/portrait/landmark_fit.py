"""Gauss-Newton on the landmarks: head pose, identity and expression together.

The unknowns lie on a small slice of the template, the n landmarks; every weight has a prior and
bounds (a ridge with an active set). Where FaceMesh puts a landmark when the head is turned is
part of the model (`landmark_view`). Also tried, and no better on heads of known pose: the ways in
which its landmarks err together as further unknowns; the camera's distance as one (it hardly shows:
correlation .3 with the true one); landmarks weighed by their measured scatter.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.bounded import bounded_least_squares
from avatar.portrait.camera import CAMERA_DISTANCE_M
from avatar.portrait.landmark_view import landmark_shift, seen_rotation
from avatar.portrait.landmarks import FACE_OVAL, FoundFace
from avatar.portrait.mesh import between_corners
from avatar.types import ARKIT_NAMES, Float, Index

HELD = 1e6
"""A precision that leaves an unknown where it is."""
_CONTOUR_SHARE = 0.02
"""What a contour point counts while the pose is sought."""
_LANDMARK_SHARE = 1 / 140
"""Standard deviation of a landmark, as a share of the face's diagonal."""
_HUBER = 2.0
"""Standard deviations beyond which a landmark pulls no harder."""
_EXPRESSION_SIGMA = 0.5
_RARE_SIGMA = 0.15
"""Expressions that landmarks mistake for pose or gaze: eyeLook*, jaw and mouth sideways."""
_UNLIKELY = ("mouthShrug", "mouthPress", "mouthFunnel", "cheekPuff")
_UNLIKELY_SIGMA = 0.2
"""A smile was told as a shrug of the lip against an opened jaw; nobody sits for a portrait so."""
_SMALLEST_DIRECTION = 0.01
"""Principal directions of the identity smaller than this share of the largest are left out."""
_FURTHEST_SIGMA = 3.0
_POSE_UNKNOWNS = 6
"""Rotation 3, log scale, shift 2."""


@dataclass(slots=True, kw_only=True)
class State:
    """The unknowns, as the iterations change them."""

    rotation: Rotation
    """Avatar space -> camera space."""
    log_scale: float
    """Of pixels a metre at the avatar's origin."""
    shift: Array
    """[2] metres, of the avatar's origin against the picture's middle."""
    weights: Array
    """[D] of the slice's morphs."""

    @property
    def translation(self) -> Array:
        """[3] avatar space -> camera space, metres."""
        return np.array([*self.shift, -CAMERA_DISTANCE_M])

    @property
    def seen(self) -> Array:
        """[3, 3] the rotation for a camera that looks straight at the face."""
        return seen_rotation(self.rotation.as_matrix(), self.translation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What weights may be, [D] each: the identity's, then the expressions'."""

    precision: Array
    """1 / standard deviation of a prior around 0."""
    lower: Array
    upper: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """The template at the landmarks that lie on it, in float64: n landmarks, D morphs."""

    used: NDArray[np.int64]
    """[n] which landmarks."""
    corners: Index
    """[n, 3] vertices."""
    corner_weights: Array
    """[n, 3]"""
    mean: Array
    """[n, 3]"""
    morphs: Array
    """[n, 3, D] identity, then the 52 expressions."""
    prior: Prior


@lru_cache(maxsize=2)
def whole_slice(template: HeadTemplate) -> Slice:
    """With all morphs of the identity."""
    used = np.flatnonzero(template.landmark_triangle[:468] >= 0)
    corners = template.triangles[template.landmark_triangle[used]]
    weights = template.landmark_barycentric[used].astype(np.float64)

    def at_landmarks(values: Float) -> Array:
        return between_corners(weights, values[corners].astype(np.float64))

    bases = (template.identity_basis, template.expression_basis)
    return Slice(
        used=used,
        corners=corners,
        corner_weights=weights,
        mean=at_landmarks(template.vertices),
        morphs=np.stack([at_landmarks(morph) for basis in bases for morph in basis], -1),
        prior=_prior(template),
    )


@lru_cache(maxsize=2)
def small_slice(template: HeadTemplate) -> Slice:
    """With the identity's principal directions at the landmarks in place of its morphs: a fraction
    of the unknowns, and the same prior but for the bounds. Good for the pose."""
    whole = whole_slice(template)
    count = len(template.identity_names)
    spread = whole.morphs[..., :count] * template.identity_sigma
    directions, size, _ = np.linalg.svd(spread.reshape(-1, count), full_matrices=False)
    kept = size > _SMALLEST_DIRECTION * size[0]
    principal = (directions[:, kept] * size[kept]).reshape(*whole.mean.shape, -1)
    ones = np.ones(principal.shape[-1])
    prior = whole.prior
    return replace(
        whole,
        morphs=np.concatenate([principal, whole.morphs[..., count:]], -1),
        prior=Prior(
            precision=np.append(ones, prior.precision[count:]),
            lower=np.append(-_FURTHEST_SIGMA * ones, prior.lower[count:]),
            upper=np.append(_FURTHEST_SIGMA * ones, prior.upper[count:]),
        ),
    )


def _prior(template: HeadTemplate) -> Prior:
    rare = np.array(
        [
            name.startswith("eyeLook")
            or name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "tongueOut")
            for name in ARKIT_NAMES
        ]
    )
    unlikely = np.array([name.startswith(_UNLIKELY) for name in ARKIT_NAMES])
    expression = np.where(unlikely, _UNLIKELY_SIGMA, np.where(rare, _RARE_SIGMA, _EXPRESSION_SIGMA))
    return Prior(
        precision=1 / np.concatenate([template.identity_sigma, expression]),
        lower=np.concatenate([template.identity_lower, np.zeros(len(expression))]),
        upper=np.concatenate([template.identity_upper, np.ones(len(expression))]),
    )


class Problem:
    """One face to explain with a slice of the template."""

    def __init__(
        self, template: HeadTemplate, slice: Slice, face: FoundFace, centre: tuple[float, float]
    ) -> None:
        used = slice.used
        self.slice = slice
        self.target = face.landmarks[used, :2].astype(np.float64) - centre
        self.depth = face.landmarks[used, 2].astype(np.float64)
        spread = np.minimum(template.landmark_spread[used], 0.03)
        weight = 1 / (0.002 + spread)
        self.weight = weight / weight.max()
        self.inner = template.landmark_spread[used] < 0.004
        steady = self.inner & ~np.isin(used, FACE_OVAL)
        self.pose_weight = self.weight * np.where(steady, 1, _CONTOUR_SHARE)
        self.eye_distance_px = face.eye_distance_px
        self.sigma_px = face.size_px * _LANDMARK_SHARE

    def displaced(self, state: State) -> Array:
        """[n, 3] avatar space: from the skin to where FaceMesh sees the landmark."""
        return landmark_shift(state.seen)[self.slice.used].astype(np.float64)

    def slides(self, state: State) -> Array:
        """[3, n, 3] avatar space: how `displaced` changes as the head turns about each axis of the
        camera, metres a radian."""
        here, step = self.displaced(state), 1e-3
        turned = [
            replace(state, rotation=Rotation.from_rotvec(step * axis) * state.rotation)
            for axis in np.eye(3)
        ]
        return np.stack([(self.displaced(there) - here) / step for there in turned])

    def project(self, state: State) -> tuple[Array, Array, Array]:
        """Pixels [n, 2], camera-space points [n, 3], pixels a metre at each point [n].

        In camera space the camera stands in its own distance, the avatar's origin in its middle.
        """
        shape = self.slice.mean + self.slice.morphs @ state.weights
        turned = (shape + self.displaced(state)) @ state.rotation.as_matrix().T
        camera = turned + np.array([*state.shift, 0.0])
        ahead = CAMERA_DISTANCE_M - camera[:, 2]
        scale = np.exp(state.log_scale) * CAMERA_DISTANCE_M / ahead
        pixels = np.stack([camera[:, 0] * scale, -camera[:, 1] * scale], 1)
        return pixels, camera, scale


def start(problem: Problem) -> State:
    """Pose by weak perspective: Procrustes on the landmarks with FaceMesh's own depth."""
    seen = np.stack([problem.target[:, 0], -problem.target[:, 1], -problem.depth], 1)
    weight = problem.weight[:, None]
    model_mean = (weight * problem.slice.mean).sum(0) / weight.sum()
    seen_mean = (weight * seen).sum(0) / weight.sum()
    model, seen = problem.slice.mean - model_mean, seen - seen_mean
    u, singular, vt = np.linalg.svd((weight * seen).T @ model)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    scale = singular.sum() / (weight * model**2).sum()
    return State(
        rotation=Rotation.from_matrix(turn),
        log_scale=float(np.log(scale)),
        shift=(seen_mean / scale - turn @ model_mean)[:2],
        weights=np.zeros(problem.slice.morphs.shape[-1]),
    )


def gauss_newton(
    problem: Problem,
    state: State,
    weight: Array,
    *,
    tightness: float = 1.0,
    rotation_precision: float = 0.0,
) -> None:
    """One step on all unknowns: rotation 3, log scale, shift 2, weights.

    `weight` [n] of the landmarks; `tightness` of the weights' priors; `rotation_precision`
    around the present one.
    """
    prior = problem.slice.prior
    pixels, camera, scale = problem.project(state)
    error = problem.target - pixels
    far = np.linalg.norm(error, axis=1) / problem.sigma_px
    robust = weight * np.where(far < _HUBER, 1, _HUBER / np.maximum(far, _HUBER))
    row_weight = np.sqrt(np.repeat(robust, 2)) / problem.sigma_px

    by_point = np.zeros((len(pixels), 2, 3))
    by_point[:, 0, 0], by_point[:, 1, 1] = scale, -scale
    ahead = CAMERA_DISTANCE_M - camera[:, 2]
    by_point[:, :, 2] = pixels / ahead[:, None]
    turn = state.rotation.as_matrix()
    turned = camera - np.array([*state.shift, 0.0])
    columns = [
        np.einsum("nij,nj->ni", by_point, np.cross(axis, turned) + slide).ravel()
        for axis, slide in zip(np.eye(3), problem.slides(state) @ turn.T, strict=True)
    ]
    columns += [pixels, by_point[:, :, 0], by_point[:, :, 1]]
    moved = by_point @ turn
    jacobian = np.concatenate(
        [
            np.stack([column.ravel() for column in columns], 1),
            (moved @ problem.slice.morphs).reshape(2 * len(pixels), -1),
        ],
        1,
    )
    jacobian *= row_weight[:, None]

    values = np.concatenate([np.zeros(_POSE_UNKNOWNS), state.weights])
    precision = np.concatenate([[rotation_precision] * 3 + [0.0] * 3, tightness * prior.precision])
    free = np.full(_POSE_UNKNOWNS, np.inf)
    lower = np.concatenate([-free, prior.lower - state.weights])
    upper = np.concatenate([free, prior.upper - state.weights])
    normal = jacobian.T @ jacobian
    right = jacobian.T @ (error.ravel() * row_weight) - precision**2 * values
    normal[np.diag_indices_from(normal)] += precision**2
    step = bounded_least_squares(normal, right, lower, upper)
    state.rotation = Rotation.from_rotvec(step[:3]) * state.rotation
    state.log_scale += float(np.clip(step[3], -0.3, 0.3))
    state.shift = state.shift + step[4:6]
    weights = state.weights + step[_POSE_UNKNOWNS:]
    state.weights = np.clip(weights, prior.lower, prior.upper)
