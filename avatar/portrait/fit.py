"""Landmarks of a photograph -> who it is, what the face does, and where the camera stood.

A pinhole camera at a fixed distance looks along -z; Gauss-Newton with a bounded ridge prior finds
head pose, identity and expression weights together, then a smooth residual carries the skin the
last millimetres onto the landmarks. Identity and expression are told apart by their priors alone
(one picture says no more), so a smile is explained by smile morphs before a wide mouth is.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Array
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.landmark_fit import (
    HELD,
    Problem,
    State,
    gauss_newton,
    small_slice,
    start,
    whole_slice,
)
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, OUTER_LIPS, FoundFace
from avatar.portrait.mesh import between_corners, graph_laplacian
from avatar.portrait.openings import INNER_LIPS
from avatar.portrait.pose_vote import corrected
from avatar.types import ARKIT_NAMES, Float

_POSE_ROUNDS, _SHAPE_ROUNDS = 10, 6
"""First the pose, from the landmarks that stay on their spot of skin, with tighter priors; then,
the pose held, the shape from all. In one go the points that slide along the contour and the many
morphs take a third of a turn for themselves."""
_TIGHT = 4.0
_LIPS = INNER_LIPS + OUTER_LIPS
_LIPS_COUNT = 3.0
"""The edges of the lips count for more while the shape is sought: an eye sees a mouth that opens
a millimetre less."""
_SMOOTHNESS = 0.002
"""How much a bend of the residual costs, against a landmark missed."""
_MOUTH_MIDDLES = ((13, 14), (82, 87), (312, 317))
"""FaceMesh points of the inner lips, upper and lower."""
_NO_SMILE, _SURE_SMILE = 0.08, 0.20
"""Mean weight of mouthSmile found. Three portraits at rest have 0, Mona Lisa .09, renders of a
smile of .8 with closed lips .19, a painted smile .36, a laughing photograph .6."""
_MOST_BLINK, _MOST_RAISED = 0.25, 0.35
"""A face at rest has lids no lower, and brows no higher."""
_MOST_ROLLED = 0.35
"""Of a lip's red that parted lips keep rolled in when they meet at rest: the template's upper lip
then is 8 mm high, as most people's."""
_CLOSED = 0.02
"""Inner lips nearer than this share of the eye distance: a mouth at rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFit:
    """What one photograph says about a head."""

    camera: PhotoCamera
    identity: Float
    """[I] weights of the template's identity morphs."""
    expression: Float
    """[52] the photograph's own expression."""
    gaze: Float
    """[2] yaw, pitch of the photograph's gaze against the head, radians."""
    neutral: Float
    """[V, 3] this person with a neutral face, avatar space."""
    landmark_error: float
    """Mean distance of the inner landmarks after the fit, as a share of the eye distance."""

    @property
    def yaw_pitch_roll(self) -> tuple[float, float, float]:
        """Of the head against the camera, radians."""
        yaw, pitch, roll = Rotation.from_matrix(self.camera.rotation).as_euler("YXZ")
        return float(yaw), float(-pitch), float(roll)


def fit_face(template: HeadTemplate, face: FoundFace, image_size: tuple[int, int]) -> FaceFit:
    """Fit the template to one face.

    Args:
        template: the head template.
        face: landmarks in pixels of the image.
        image_size: width, height; the principal point is its middle (a crop's middle is not).
    """
    centre = (image_size[0] / 2, image_size[1] / 2)
    state = find_pose(template, face, centre)
    problem = Problem(template, whole_slice(template), face, centre)
    state.weights = np.zeros(len(problem.slice.prior.precision))
    weight = problem.weight * np.where(np.isin(problem.slice.used, _LIPS), _LIPS_COUNT, 1)
    for _ in range(_SHAPE_ROUNDS):
        gauss_newton(problem, state, weight, rotation_precision=HELD)
    camera = PhotoCamera(
        rotation=state.rotation.as_matrix().astype(np.float32),
        translation=state.translation.astype(np.float32),
        focal_px=float(np.exp(state.log_scale) * CAMERA_DISTANCE_M),
        centre_px=centre,
    )
    identity, found = np.split(state.weights.astype(np.float32), [len(template.identity_names)])
    residual = _residual(template, problem, state)
    shape = template.vertices + np.tensordot(identity, template.identity_basis, 1)
    resting = _resting(found, _closed(face))
    expression = found - resting
    neutral = shape + residual + np.tensordot(resting, template.expression_basis, 1)
    neutral = neutral.astype(np.float32)
    posed = neutral + np.tensordot(expression, template.expression_basis, 1)
    return FaceFit(
        camera=camera,
        identity=identity,
        expression=expression.astype(np.float32),
        gaze=_gaze(template, neutral, camera, face),
        neutral=neutral,
        landmark_error=_error(problem, state, camera, posed),
    )


def find_pose(template: HeadTemplate, face: FoundFace, centre: tuple[float, float]) -> State:
    """How the head is held, of which the weights are only a sketch."""
    state = find_uncorrected_pose(template, face, centre)
    state.rotation = corrected(template, small_slice(template), face, state)
    return state


def find_uncorrected_pose(
    template: HeadTemplate, face: FoundFace, centre: tuple[float, float]
) -> State:
    """The same as the landmarks' places in the picture alone have it."""
    problem = Problem(template, small_slice(template), face, centre)
    state = start(problem)
    for _ in range(_POSE_ROUNDS):
        gauss_newton(problem, state, problem.pose_weight, tightness=_TIGHT)
    return state


def _resting(found: Float, closed: bool) -> Float:
    """[52] what of the expression found [52] is taken as this person's face at rest.

    Brows and lids are worn at rest much as in the picture, and so are `closed` lips, unless they
    smile; an open mouth or a smile is something the face does, and the neutral face does not.
    """
    weight = dict(zip(ARKIT_NAMES, found.tolist(), strict=True))
    smile = (weight["mouthSmileLeft"] + weight["mouthSmileRight"]) / 2
    smiling = float(np.clip((smile - _NO_SMILE) / (_SURE_SMILE - _NO_SMILE), 0, 1))
    resting = np.zeros(len(ARKIT_NAMES), np.float32)
    for index, name in enumerate(ARKIT_NAMES):
        most = 1.0
        if name.startswith("eyeBlink"):
            share, most = 1.0, _MOST_BLINK
        elif name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
            share, most = 1.0, _MOST_RAISED
        elif name.startswith("eyeSquint"):
            share = 1 - 0.5 * smiling
        elif name.startswith(("eyeWide", "brow")):
            share = 1.0
        elif name.startswith("mouthRoll"):
            # Found on every face, smiling or not: the template's lips are fuller than most. What
            # an open mouth hides of its lips beyond that, it rolls in.
            share, most = 1.0, 1.0 if closed else _MOST_ROLLED
        elif name.startswith(("noseSneer", "mouthSmile", "mouthDimple", "cheek")):
            share = 0.5 - 0.2 * smiling if closed else 0.0
        elif name.startswith("mouth"):
            share = 1 - 0.5 * smiling if closed else 0.0
        else:
            share = 0.0
        resting[index] = min(share * weight[name], most)
    return resting


def _closed(face: FoundFace) -> bool:
    """Whether the lips meet in the picture."""
    apart = np.mean(
        [np.linalg.norm(face.landmarks[a, :2] - face.landmarks[b, :2]) for a, b in _MOUTH_MIDDLES]
    )
    return bool(apart / face.eye_distance_px < _CLOSED)


def _residual(template: HeadTemplate, problem: Problem, state: State) -> Float:
    """[V, 3] what the morphs cannot say: smooth displacement of the skin in the picture's plane.

    Minimises smoothness * |L d|^2 + sum of landmark weights * |d at landmark - error|^2 with the
    cotangent-free (inverse edge length) graph Laplacian L of the skin.
    """
    pixels, _, scale = problem.project(state)
    wanted = (problem.target - pixels) / scale[:, None] * (1, -1)
    count = len(template.vertices)
    on_skin = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
    laplacian = graph_laplacian(template.vertices, template.triangles[on_skin], count)
    rows = np.repeat(np.arange(len(wanted)), 3)
    at_landmarks = sparse.coo_matrix(
        (problem.slice.corner_weights.ravel(), (rows, problem.slice.corners.ravel())),
        (len(wanted), count),
    ).tocsr()
    trust = sparse.diags(problem.weight * np.where(problem.inner, 1, 0.15))
    system = (
        _SMOOTHNESS * (laplacian.T @ laplacian)
        + at_landmarks.T @ trust @ at_landmarks
        + 1e-4 * sparse.eye(count)
    )
    solver = splu(system.tocsc())
    flat = np.stack(
        [solver.solve(at_landmarks.T @ (trust @ wanted[:, axis])) for axis in range(2)]
        + [np.zeros(count)],
        1,
    )
    residual = flat @ state.rotation.as_matrix()  # camera plane -> avatar space
    _carry_inner_parts(template, residual)
    return residual.astype(np.float32)


def _carry_inner_parts(template: HeadTemplate, residual: Array) -> None:
    """Eyes, teeth and tongue move as wholes, by the mean of the skin around them."""
    skin = template.vertex_part == Part.SKIN
    for part in (
        Part.EYE_LEFT,
        Part.EYE_RIGHT,
        Part.TEETH_UPPER,
        Part.TEETH_LOWER,
        Part.TONGUE,
        Part.LASHES,
    ):
        own = template.vertex_part == part
        if not own.any():
            continue
        middle = template.vertices[own].mean(0)
        reach = np.linalg.norm(template.vertices[own] - middle, axis=1).max() * 1.2
        near = skin & (np.linalg.norm(template.vertices - middle, axis=1) < reach + 0.004)
        residual[own] = residual[near].mean(0) if near.any() else 0


def _error(problem: Problem, state: State, camera: PhotoCamera, posed: Array) -> float:
    """Mean distance of the inner landmarks, as a share of the eye distance."""
    points = between_corners(problem.slice.corner_weights, posed[problem.slice.corners])
    pixels = camera.project((points + problem.displaced(state)).astype(np.float32))[:, :2]
    distance = np.linalg.norm(pixels - camera.centre_px - problem.target, axis=1)
    return float(distance[problem.inner].mean() / problem.eye_distance_px)


def _gaze(template: HeadTemplate, neutral: Array, camera: PhotoCamera, face: FoundFace) -> Float:
    """[2] yaw and pitch that put both irises where the picture shows them, radians."""
    found = []
    for part, iris in ((Part.EYE_LEFT, IRIS_LEFT), (Part.EYE_RIGHT, IRIS_RIGHT)):
        ball = neutral[template.vertex_part == part]
        middle = (ball.max(0) + ball.min(0)) / 2
        radius = float(np.ptp(ball[:, 0])) / 2
        pixel = face.landmarks[iris[0], :2]
        seen_from = camera.position
        ray = camera.unproject(pixel, np.asarray(CAMERA_DISTANCE_M, np.float32)) - seen_from
        ray /= np.linalg.norm(ray)
        to_middle = middle - seen_from
        along = float(ray @ to_middle)
        aside = float(to_middle @ to_middle) - along**2
        hit = seen_from + ray * (along - np.sqrt(max(radius**2 - aside, 0.0)))
        outward = (hit - middle) / max(float(np.linalg.norm(hit - middle)), 1e-9)
        found.append((np.arctan2(outward[0], outward[2]), np.arcsin(np.clip(outward[1], -1, 1))))
    return np.clip(np.mean(found, axis=0), -0.6, 0.6).astype(np.float32)
