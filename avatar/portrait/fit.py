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
from avatar.portrait.bounded import bounded_least_squares
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.landmarks import FACE_OVAL, IRIS_LEFT, IRIS_RIGHT, FoundFace
from avatar.portrait.mesh import between_corners, graph_laplacian
from avatar.types import ARKIT_NAMES, Float

_POSE_ROUNDS, _SHAPE_ROUNDS = 10, 6
"""First the pose, from the landmarks that stay on their spot of skin, with tighter priors; then,
the pose held, the shape from all. In one go the points that slide along the contour and the many
morphs take a third of a turn for themselves: on renders of known pose, yaw to 30 and pitch to 12
degrees, this halves the error (yaw 2.5 -> 1.6, pitch 3.6 -> 2.0 degrees on average)."""
_TIGHT = 3.0
_CONTOUR_SHARE = 0.02
"""What a contour point counts while the pose is sought."""
_HELD = 1e9
_LANDMARK_SHARE = 1 / 140
"""Standard deviation of a landmark, as a share of the face's diagonal."""
_HUBER = 4.0
"""Standard deviations beyond which a landmark pulls no harder."""
_EXPRESSION_SIGMA = 0.5
_RARE_SIGMA = 0.15
"""Expressions that landmarks mistake for pose or gaze: eyeLook*, jaw and mouth sideways."""
_SMOOTHNESS = 0.002
"""How much a bend of the residual costs, against a landmark missed."""
_MOUTH_MIDDLES = ((13, 14), (82, 87), (312, 317))
"""FaceMesh points of the inner lips, upper and lower."""
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


@dataclass(slots=True, kw_only=True)
class _State:
    """The unknowns, as the iterations change them."""

    rotation: Rotation
    """Avatar space -> camera space."""
    log_scale: float
    """Of pixels a metre at the camera's distance."""
    shift: Array
    """[2] metres, of the avatar's origin against the picture's middle."""
    identity: Array
    """[I]"""
    expression: Array
    """[52]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prior:
    """What weights may be, [I + 52] each: the identity's, then the expressions'."""

    precision: Array
    """1 / standard deviation of a prior around 0."""
    lower: Array
    upper: Array


class _Problem:
    """The landmarks' own slice of the template, in float64; n landmarks lie on the template."""

    def __init__(
        self, template: HeadTemplate, face: FoundFace, centre: tuple[float, float]
    ) -> None:
        used = np.flatnonzero(template.landmark_triangle[:468] >= 0)
        self.used = used
        corners = template.triangles[template.landmark_triangle[used]]
        weights = template.landmark_barycentric[used].astype(np.float64)
        self.corners, self.corner_weights = corners, weights

        def at_landmarks(values: Float) -> Array:
            return between_corners(weights, values[corners].astype(np.float64))

        self.mean = at_landmarks(template.vertices)
        self.identity = np.stack([at_landmarks(m) for m in template.identity_basis])
        self.expression = np.stack([at_landmarks(m) for m in template.expression_basis])
        self.target = face.landmarks[used, :2].astype(np.float64) - centre
        self.depth = face.landmarks[used, 2].astype(np.float64)
        spread = np.minimum(template.landmark_spread[used], 0.03)
        weight = 1 / (0.002 + spread)
        self.weight = weight / weight.max()
        self.inner = template.landmark_spread[used] < 0.004
        steady = self.inner & ~np.isin(used, FACE_OVAL)
        self.pose_weight = self.weight * np.where(steady, 1, _CONTOUR_SHARE)
        self.sigma_px = face.size_px * _LANDMARK_SHARE

    def shape(self, state: _State) -> Array:
        """[n, 3] avatar space."""
        return (
            self.mean
            + np.tensordot(state.identity, self.identity, 1)
            + np.tensordot(state.expression, self.expression, 1)
        )

    def project(self, state: _State) -> tuple[Array, Array, Array]:
        """Pixels [n, 2], camera-space points [n, 3], pixels a metre at each point [n]."""
        turned = self.shape(state) @ state.rotation.as_matrix().T
        camera = turned + np.array([*state.shift, 0.0])
        scale = np.exp(state.log_scale) * CAMERA_DISTANCE_M / (CAMERA_DISTANCE_M - camera[:, 2])
        pixels = np.stack([camera[:, 0] * scale, -camera[:, 1] * scale], 1)
        return pixels, camera, scale


def fit_face(template: HeadTemplate, face: FoundFace, image_size: tuple[int, int]) -> FaceFit:
    """Fit the template to one face.

    Args:
        template: the head template.
        face: landmarks in pixels of the image.
        image_size: width, height; the principal point is its middle (a crop's middle is not).
    """
    centre = (image_size[0] / 2, image_size[1] / 2)
    problem = _Problem(template, face, centre)
    state = _start(problem)
    prior = _prior(template)
    for _ in range(_POSE_ROUNDS):
        _gauss_newton(problem, state, prior, problem.pose_weight, tightness=_TIGHT)
    for _ in range(_SHAPE_ROUNDS):
        _gauss_newton(problem, state, prior, problem.weight, hold_rotation=_HELD)

    rotation = state.rotation.as_matrix().astype(np.float32)
    camera = PhotoCamera(
        rotation=rotation,
        translation=np.array([*state.shift, -CAMERA_DISTANCE_M], np.float32),
        focal_px=float(np.exp(state.log_scale) * CAMERA_DISTANCE_M),
        centre_px=centre,
    )
    residual = _residual(template, problem, state)
    shape = template.vertices + np.tensordot(
        state.identity.astype(np.float32), template.identity_basis, 1
    )
    found = state.expression.astype(np.float32)
    resting = found * _resting_share(face)
    expression = found - resting
    neutral = shape + residual + np.tensordot(resting, template.expression_basis, 1)
    neutral = neutral.astype(np.float32)
    posed = neutral + np.tensordot(expression, template.expression_basis, 1)
    return FaceFit(
        camera=camera,
        identity=state.identity.astype(np.float32),
        expression=expression.astype(np.float32),
        gaze=_gaze(template, neutral, camera, face),
        neutral=neutral,
        landmark_error=_error(problem, camera, posed, face),
    )


def _resting_share(face: FoundFace) -> Float:
    """[52] how much of each expression is taken as this person's face at rest.

    Brows and lids are worn at rest much as in the picture, and so are closed lips; an open mouth
    or a smile is something the face does, and the neutral face does not.
    """
    apart = np.mean(
        [np.linalg.norm(face.landmarks[a, :2] - face.landmarks[b, :2]) for a, b in _MOUTH_MIDDLES]
    )
    closed = apart / face.eye_distance_px < _CLOSED
    share = np.zeros(52, np.float32)
    for index, name in enumerate(ARKIT_NAMES):
        if name.startswith(("eyeSquint", "eyeWide", "eyeBlink", "brow")):
            share[index] = 1.0
        elif name.startswith(("noseSneer", "mouthSmile", "mouthDimple", "cheek")):
            share[index] = 0.5 if closed else 0.0
        elif name.startswith("mouth"):
            share[index] = 1.0 if closed else 0.0
    return share


def _start(problem: _Problem) -> _State:
    """Pose by weak perspective: Procrustes on the landmarks with FaceMesh's own depth."""
    seen = np.stack([problem.target[:, 0], -problem.target[:, 1], -problem.depth], 1)
    weight = problem.weight[:, None]
    model_mean = (weight * problem.mean).sum(0) / weight.sum()
    seen_mean = (weight * seen).sum(0) / weight.sum()
    model, seen = problem.mean - model_mean, seen - seen_mean
    u, singular, vt = np.linalg.svd((weight * seen).T @ model)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    scale = singular.sum() / (weight * model**2).sum()
    shift = (seen_mean / scale - turn @ model_mean)[:2]
    return _State(
        rotation=Rotation.from_matrix(turn),
        log_scale=float(np.log(scale)),
        shift=shift,
        identity=np.zeros(len(problem.identity)),
        expression=np.zeros(len(ARKIT_NAMES)),
    )


def _prior(template: HeadTemplate) -> _Prior:
    rare = np.array(
        [
            name.startswith("eyeLook")
            or name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "tongueOut")
            for name in ARKIT_NAMES
        ]
    )
    expression = np.where(rare, _RARE_SIGMA, _EXPRESSION_SIGMA)
    return _Prior(
        precision=1 / np.concatenate([template.identity_sigma, expression]),
        lower=np.concatenate([template.identity_lower, np.zeros(len(expression))]),
        upper=np.concatenate([template.identity_upper, np.ones(len(expression))]),
    )


def _gauss_newton(
    problem: _Problem,
    state: _State,
    prior: _Prior,
    weight: Array,
    *,
    tightness: float = 1.0,
    hold_rotation: float = 0.0,
) -> None:
    """One step on all unknowns: rotation 3, log scale, shift 2, morphs, expressions.

    `weight` [n] of the landmarks; `tightness` of the priors; `hold_rotation` weighs a turn away
    from the present one.
    """
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
        np.einsum("nij,nj->ni", by_point, np.cross(axis, turned)).ravel() for axis in np.eye(3)
    ]
    columns += [pixels.ravel(), by_point[:, :, 0].ravel(), by_point[:, :, 1].ravel()]
    morphs = np.concatenate([problem.identity, problem.expression]) @ turn.T
    shape_columns = np.einsum("nij,mnj->nim", by_point, morphs).reshape(-1, len(morphs))
    jacobian = np.concatenate([np.stack(columns, 1), shape_columns], 1) * row_weight[:, None]

    weights = np.concatenate([state.identity, state.expression])
    pull = tightness * prior.precision
    normal = jacobian.T @ jacobian
    right = jacobian.T @ (error.ravel() * row_weight)
    index = np.arange(6, len(normal))
    normal[index, index] += pull**2
    right[6:] -= pull**2 * weights
    normal[range(3), range(3)] += hold_rotation
    free = np.full(6, np.inf)
    step = bounded_least_squares(
        normal,
        right,
        np.concatenate([-free, prior.lower - weights]),
        np.concatenate([free, prior.upper - weights]),
    )
    state.rotation = Rotation.from_rotvec(step[:3]) * state.rotation
    state.log_scale += float(np.clip(step[3], -0.3, 0.3))
    state.shift = state.shift + step[4:6]
    weights = np.clip(weights + step[6:], prior.lower, prior.upper)
    state.identity, state.expression = np.split(weights, [len(state.identity)])


def _residual(template: HeadTemplate, problem: _Problem, state: _State) -> Float:
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
        (problem.corner_weights.ravel(), (rows, problem.corners.ravel())), (len(wanted), count)
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


def _error(problem: _Problem, camera: PhotoCamera, posed: Array, face: FoundFace) -> float:
    """Mean distance of the inner landmarks, as a share of the eye distance."""
    points = between_corners(problem.corner_weights, posed[problem.corners])
    pixels = camera.project(points.astype(np.float32))[:, :2]
    distance = np.linalg.norm(pixels - face.landmarks[problem.used, :2], axis=1)
    return float(distance[problem.inner].mean() / face.eye_distance_px)


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
