"""One frame's landmarks -> where the head is and what the face does.

Gauss-Newton on six unknowns of the pose and the expressions' weights together, within 0..1.
Beside the landmarks themselves, the gaps between upper and lower lip count as measurements of
their own, and heavily: a tracker is off by millimetres in where it puts a mouth, and by tenths of
one in whether it is shut.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array
from avatar.portrait.bounded import bounded_least_squares
from avatar.portrait.camera import CAMERA_DISTANCE_M
from avatar.portrait.landmark_view import landmark_shift, seen_rotation
from avatar.tracking.face_model import SOLVED_NAMES, FaceModel

_LANDMARK_SIGMA = 0.018
"""Standard deviation of one landmark that weighs 1, as a share of the eye distance. Larger than
their noise: neighbouring landmarks err together."""
_LIP_GAP_SIGMA = 0.003
"""Of the gap between the lips, in the same unit: shut lips are seen with .0005 to .002."""
_HUBER = 3.0
"""Standard deviations beyond which a landmark pulls no harder."""
_RIDGE_SIGMA = 0.6
_RARE_SIGMA = 0.2
_RARE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight", "mouthShrugUpper", "mouthShrugLower")
"""What landmarks mistake for a turned head, or one for another."""
_SPARSE = 1.0
"""Cost of a weight of 1 whatever the others do: two opposed expressions never both work."""
_UNEVEN_SIGMA = 0.15
"""How far left and right differ."""
_TEMPORAL_SIGMA = 0.1
"""How far a weight goes from its expected value between frames."""
_FIRST_ROUNDS, _NEXT_ROUNDS = 8, 2
_ABOUT_AXES = np.array([np.cross(axis, np.eye(3)) for axis in np.eye(3)])
"""[3, 3, 3] a point times the i-th: how it moves as it is turned about axis i (axis x point)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """The film's pinhole camera. Its focal length is not known: it is the one that puts the face
    `CAMERA_DISTANCE_M` away in the frame the tracking began with."""

    focal_px: float
    centre_px: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posed:
    """Where one frame shows the head, and what its face does."""

    rotation: Array
    """[3, 3] avatar space -> camera space (y up, -z ahead)."""
    translation: Array
    """[3] metres."""
    weights: Array
    """[E] of `SOLVED`, 0..1."""


class FrameSolver:
    """Solves frames of one person before one camera. Holds no state of the film."""

    def __init__(self, model: FaceModel, lens: Lens) -> None:
        self.model, self.lens = model, lens
        count = len(SOLVED_NAMES)
        sigma = np.array([_RARE_SIGMA if n in _RARE else _RIDGE_SIGMA for n in SOLVED_NAMES])
        self._ridge = np.diag(sigma**-2.0)
        for index, name in enumerate(SOLVED_NAMES):
            if name.endswith("Left") and name.replace("Left", "Right") in SOLVED_NAMES:
                if name in _RARE:
                    continue
                other = SOLVED_NAMES.index(name.replace("Left", "Right"))
                uneven = np.zeros(count)
                uneven[index], uneven[other] = 1, -1
                self._ridge += np.outer(uneven, uneven) / _UNEVEN_SIGMA**2
        self._basis = model.basis.reshape(-1, 3)

    def solve(self, landmarks: Array, before: Posed | None, expected: Array | None) -> Posed:
        """The pose and weights of [478, >=2] landmarks in pixels.

        `before` is where to begin, the last frame usually; None begins anew. `expected` [E]
        holds weights that neighbouring frames speak for.
        """
        pixels = landmarks[self.model.landmark, :2] - np.asarray(self.lens.centre_px)
        state = before or self._start(landmarks)
        for _ in range(_NEXT_ROUNDS if before else _FIRST_ROUNDS):
            state = self._step(pixels, state, expected)
        return state

    def error(self, landmarks: Array, state: Posed) -> Array:
        """[n, 2] pixels by which the model misses the landmarks."""
        pixels = landmarks[self.model.landmark, :2] - np.asarray(self.lens.centre_px)
        return pixels - self._project(state)[0]

    def _project(self, state: Posed) -> tuple[Array, Array, Array]:
        """Pixels from the centre [n, 2], turned points [n, 3], metres ahead [n]."""
        seen = seen_rotation(state.rotation, state.translation)
        shape = self.model.neutral + np.tensordot(state.weights, self.model.basis, 1)
        shift = landmark_shift(seen)[self.model.landmark]
        # Both lips alike: where FaceMesh puts a mouth depends on the side, whether it is shut not.
        shift[self.model.pairs] = shift[self.model.pairs].mean(1, keepdims=True)
        shape = shape + shift
        turned = shape @ state.rotation.T
        camera = turned + state.translation
        ahead = np.maximum(-camera[:, 2], 0.05)
        scale = self.lens.focal_px / ahead
        return np.stack([camera[:, 0] * scale, -camera[:, 1] * scale], 1), turned, ahead

    def _start(self, landmarks: Array) -> Posed:
        """Pose by weak perspective: Procrustes, with FaceMesh's own depth."""
        model = self.model
        seen = landmarks[model.landmark].astype(np.float64)
        seen = np.stack(
            [
                seen[:, 0] - self.lens.centre_px[0],
                self.lens.centre_px[1] - seen[:, 1],
                -seen[:, 2],
            ],
            1,
        )
        weight = model.weight[:, None] / model.weight.sum()
        rest_mean, seen_mean = (weight * model.neutral).sum(0), (weight * seen).sum(0)
        rest, arm = model.neutral - rest_mean, seen - seen_mean
        u, singular, vt = np.linalg.svd((weight * arm).T @ rest)
        turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        scale = float(singular.sum() / (weight * rest**2).sum())
        ahead = self.lens.focal_px / max(scale, 1e-6)
        place = np.array([seen_mean[0] / scale, seen_mean[1] / scale, -ahead])
        return Posed(
            rotation=turn,
            translation=place - turn @ rest_mean,
            weights=np.zeros(len(SOLVED_NAMES)),
        )

    def _step(self, seen: Array, state: Posed, expected: Array | None) -> Posed:
        model = self.model
        pixels, turned, ahead = self._project(state)
        error = seen - pixels
        scale = self.lens.focal_px / ahead
        unit = model.eye_distance * float(np.median(scale))
        far = np.linalg.norm(error, axis=1) / (_LANDMARK_SIGMA * unit)
        robust = model.weight * np.where(far < _HUBER, 1, _HUBER / np.maximum(far, _HUBER))
        row_weight = np.sqrt(robust) / (_LANDMARK_SIGMA * unit)

        # d pixel / d camera-space point, then each unknown's move of the point; columns [U, n].
        rotation = state.rotation
        moved = np.empty((6 + len(SOLVED_NAMES), *turned.shape))
        moved[:3] = turned @ _ABOUT_AXES
        moved[3:6] = np.eye(3)[:, None]
        moved[6:] = (self._basis @ rotation.T).reshape(model.basis.shape)
        across = scale * moved[:, :, 0] + (pixels[:, 0] / ahead) * moved[:, :, 2]
        down = -scale * moved[:, :, 1] + (pixels[:, 1] / ahead) * moved[:, :, 2]

        upper, lower = model.pairs.T
        gap_weight = 1 / (_LIP_GAP_SIGMA * unit)
        rows = np.concatenate(
            [
                across * row_weight,
                down * row_weight,
                (across[:, lower] - across[:, upper]) * gap_weight,
                (down[:, lower] - down[:, upper]) * gap_weight,
            ],
            1,
        )
        gap = (error[lower] - error[upper]) * gap_weight
        wanted = np.concatenate([error[:, 0] * row_weight, error[:, 1] * row_weight, *gap.T])
        normal, right = rows @ rows.T, rows @ wanted
        normal[6:, 6:] += self._ridge
        right[6:] -= self._ridge @ state.weights + _SPARSE
        if expected is not None:
            normal[range(6, len(normal)), range(6, len(normal))] += _TEMPORAL_SIGMA**-2
            right[6:] += (expected - state.weights) / _TEMPORAL_SIGMA**2
        normal[range(6), range(6)] += 1e-3  # a landmark or two alone leave a pose open
        free = np.full(6, np.inf)
        lower = np.concatenate([-free, -state.weights])
        upper = np.concatenate([free, 1 - state.weights])
        held = ((lower == 0) & (right < 0)) | ((upper == 0) & (right > 0))
        step = bounded_least_squares(normal, right, lower, upper, held)
        turn = Rotation.from_rotvec(np.clip(step[:3], -0.5, 0.5)).as_matrix()
        return Posed(
            rotation=turn @ rotation,
            translation=state.translation + np.clip(step[3:6], -0.3, 0.3),
            weights=np.clip(state.weights + step[6:], 0, 1),
        )


def lens_for(model: FaceModel, landmarks: Array, image_size: tuple[int, int]) -> Lens:
    """The lens with which this frame's face stands `CAMERA_DISTANCE_M` away."""
    centre = (image_size[0] / 2, image_size[1] / 2)
    guess = Lens(focal_px=float(max(image_size)), centre_px=centre)
    found = FrameSolver(model, guess)._start(landmarks)
    return Lens(
        focal_px=guess.focal_px * CAMERA_DISTANCE_M / float(-found.translation[2]), centre_px=centre
    )
