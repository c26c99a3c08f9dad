"""Who is it, and what is their face at rest: found over a film's calm frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.fit import FaceFit, fit_face
from avatar.portrait.landmarks import FoundFace, side_view
from avatar.tracking.eyes import gaze_angles, gaze_direction
from avatar.tracking.face_model import INNER_LIP_PAIRS, LIP_POINTS, FaceModel, face_model
from avatar.tracking.solve import FrameSolver, Lens, lens_for
from avatar.tracking.tracker import LIPS_APART, Rest, Seen
from avatar.types import Avatar

CALM_SHARE = 0.1
"""Of all frames, the calmest: at least one, at most `_MOST_CALM`."""
_MOST_CALM = 25
_OPEN_PERCENTILE = 60
"""Of the eyes' opening over a film: above its blinks, below its stares."""
_FURTHEST_GAZE_OFFSET = 0.3
_FURTHEST_REST_M = 0.006
_LIDS = ((159, 145), (386, 374))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Person:
    """A face that a tracker can follow, and the camera before which it was found."""

    model: FaceModel
    lens: Lens
    fit: FaceFit
    """Of the calmest frame."""
    frame: int
    """Which that is."""


def calm_frames(faces: Sequence[FoundFace | None]) -> list[int]:
    """Frames with a face at rest, calmest first: frontal, lips shut, eyes open, usual features.

    The list is empty where no frame has a face.
    """
    known = [index for index, face in enumerate(faces) if face is not None]
    if not known:
        return []
    gap, lids, aside = (np.empty(len(known)) for _ in range(3))
    for row, index in enumerate(known):
        face = faces[index]
        assert face is not None
        gap[row] = np.mean([_apart(face, pair) for pair in INNER_LIP_PAIRS[:3]])
        lids[row] = np.mean([_apart(face, pair) for pair in _LIDS])
        aside[row] = side_view(face)
    usual = max(float(np.percentile(lids, _OPEN_PERCENTILE)), 1e-6)
    # Each term is about 1 where a frame is no longer fit to be called calm.
    cost = gap / 0.02 + np.abs(lids / usual - 1) / 0.2 + aside / 0.25
    order = np.argsort(cost, kind="stable")
    most = int(np.clip(round(CALM_SHARE * len(known)), 1, _MOST_CALM))
    return [known[row] for row in order[:most]]


def _apart(face: FoundFace, pair: tuple[int, int]) -> float:
    gap = face.landmarks[pair[0], :2] - face.landmarks[pair[1], :2]
    return float(np.linalg.norm(gap)) / max(face.eye_distance_px, 1e-3)


def find_person(
    template: HeadTemplate, faces: Sequence[FoundFace | None], image_size: tuple[int, int]
) -> Person:
    """Fit the calmest frame, then lay the landmarks' rest where the calm frames have them.

    At least one of `faces` is not None. `image_size` is width, height.
    """
    calm = calm_frames(faces)
    best = faces[calm[0]]
    assert best is not None
    fit = fit_face(template, best, image_size)
    lens = Lens(focal_px=fit.camera.focal_px, centre_px=fit.camera.centre_px)
    model = face_model(template, fit.neutral)
    shown = [faces[index] for index in calm]
    return Person(
        model=model.with_rest(neutral_offset(model, lens, [face for face in shown if face])),
        lens=lens,
        fit=fit,
        frame=calm[0],
    )


def find_avatar(
    template: HeadTemplate,
    avatar: Avatar,
    faces: Sequence[FoundFace | None],
    image_size: tuple[int, int],
) -> tuple[FaceModel, Lens]:
    """The avatar's own face, to be followed in a film of the person it was made of.

    Unlike `find_person` nobody's resting face is taken away: a frown is the avatar's frown. What
    the landmarks of calm frames still miss is taken for FaceMesh's own error.
    """
    calm = [face for index in calm_frames(faces) if (face := faces[index]) is not None]
    model = face_model(template, avatar.vertices[: len(template.vertices)], avatar.expression_gain)
    lens = lens_for(model, calm[0].landmarks, image_size)
    return model.with_rest(_offset(FrameSolver(model, lens), calm)), lens


def neutral_offset(model: FaceModel, lens: Lens, calm: Sequence[FoundFace]) -> Array:
    """[n, 3] metres by which calm frames show the landmarks beside the model's neutral face.

    With it these frames, seen by a `FrameSolver`, are a face that does nothing. Lips that stand
    apart in all of them are doing something, and stay where the model has them.
    """
    still = FrameSolver(replace(model, basis=np.zeros_like(model.basis)), lens)
    offset = _offset(still, calm)
    gap = np.median([[_apart(face, pair) for pair in INNER_LIP_PAIRS[:3]] for face in calm])
    if gap > LIPS_APART:
        offset[np.isin(model.landmark, LIP_POINTS)] = 0
    return offset


def _offset(solver: FrameSolver, calm: Sequence[FoundFace]) -> Array:
    """[n, 3] metres: the middle of what the solver misses in some frames, avatar space."""
    offsets = []
    for face in calm:
        posed = solver.solve(face.landmarks, None, None)
        ahead = -(solver.model.neutral @ posed.rotation.T + posed.translation)[:, 2]
        miss = solver.error(face.landmarks, posed) * (ahead / solver.lens.focal_px)[:, None]
        offsets.append(np.stack([miss[:, 0], -miss[:, 1], 0 * ahead], 1) @ posed.rotation)
    return np.clip(np.median(offsets, axis=0), -_FURTHEST_REST_M, _FURTHEST_REST_M)


def rest_over(model: FaceModel, seen: Sequence[Seen]) -> Rest:
    """How the person holds head, lids and gaze when nothing happens: the middle of a film."""
    turns = Rotation.from_matrix(np.stack([some.posed.rotation for some in seen]))
    mean = turns.mean()
    beside = np.median((mean.inv() * turns).as_rotvec(), axis=0)
    rotation = (mean * Rotation.from_rotvec(beside)).as_matrix()
    joints = [some.posed.rotation @ model.neck_joint + some.posed.translation for some in seen]
    towards = [gaze_angles(some.posed.rotation @ gaze_direction(some.eyes.gaze)) for some in seen]
    offset = np.median(towards, axis=0)
    return Rest(
        rotation=rotation,
        translation=np.median(joints, axis=0) - rotation @ model.neck_joint,
        open_m=np.percentile([some.eyes.opening_m for some in seen], _OPEN_PERCENTILE, axis=0),
        gaze_offset=np.clip(offset, -_FURTHEST_GAZE_OFFSET, _FURTHEST_GAZE_OFFSET),
    )
