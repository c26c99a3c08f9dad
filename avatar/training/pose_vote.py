"""What the fit of a photograph misjudges a head's turn by, learnt on renders of known pose.

    visavis train pose AVATAR...

Heads of many identities, skins and lights are drawn as for `avatar.training.landmark_view`, looked
at by FaceMesh and fitted. The error of the fit is regressed on its turn and on the turn of
FaceMesh's points in space: a ridge that far misses pull no harder on. Measure the outcome with
`python -m tests.benchmarks.known_poses` on people that lent no skin.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from avatar.deform import Deformer
from avatar.head.template import HeadTemplate, load_template
from avatar.portrait.arrays import Array
from avatar.portrait.fit import find_uncorrected_pose
from avatar.portrait.known_heads import Draw, take
from avatar.portrait.landmark_fit import small_slice
from avatar.portrait.landmark_view import seen_rotation
from avatar.portrait.landmarks import FaceFinder
from avatar.portrait.pose_vote import FORMAT, turn_in_space, turn_of, vote_terms
from avatar.training.landmark_view import disguised, random_shot
from avatar.types import Avatar

_LOG = logging.getLogger(__name__)
_SHOTS_A_HEAD = 4
_RIDGE = 0.3
_ROBUST_ROUNDS = 4
_FAR = np.radians(4.0)
"""A miss beyond this pulls no harder (Huber)."""
_MIRROR = np.array([-1, 1, -1])
"""Of yaw, pitch and roll in a mirror."""


def train_pose_vote(
    avatars: Sequence[Avatar],
    draw: Draw,
    finder: FaceFinder,
    *,
    pictures: int,
    seed: int,
    output: Path,
) -> dict[str, object]:
    """Learn from so many pictures of heads with the avatars' skins, and write the asset.

    Returns mean errors of yaw, pitch and roll in degrees, before and after, of the pictures
    learnt from.
    """
    template = load_template()
    random = np.random.default_rng(seed)
    known: list[Array] = []
    while len(known) < pictures:
        avatar = avatars[int(random.integers(len(avatars)))]
        known += _turns(disguised(avatar, template, random), template, draw, finder, random)
        _LOG.info("%d of %d pictures", len(known), pictures)
    turns = np.stack(known)
    turns = np.concatenate([turns, turns * _MIRROR])
    true, fitted, in_space = turns.transpose(1, 0, 2)
    terms = vote_terms(fitted, in_space)
    error = (true - fitted + np.pi) % (2 * np.pi) - np.pi
    weights = _robust_ridge(terms, error)
    about = {"format": FORMAT, "pictures": len(known), "seed": seed, "template": template.digest}
    save_file({"weights": weights.astype(np.float32)}, output, {"pose_vote": json.dumps(about)})
    left = error - terms @ weights
    return {
        "pictures": len(known),
        "off_before_deg": np.degrees(np.abs(error).mean(0)).round(2).tolist(),
        "off_after_deg": np.degrees(np.abs(left).mean(0)).round(2).tolist(),
    }


def _turns(
    avatar: Avatar,
    template: HeadTemplate,
    draw: Draw,
    finder: FaceFinder,
    random: np.random.Generator,
) -> list[Array]:
    """Of a few pictures of one head, [3, 3] each: its true turn, the fit's, that in space."""
    deformer, slice = Deformer(avatar), small_slice(template)
    found = []
    for _ in range(_SHOTS_A_HEAD):
        shot = random_shot(random)
        picture = take(deformer, shot, draw)
        faces = finder.faces(picture)
        if not faces:
            continue
        face = finder.look_again(picture, faces[0])
        centre = (shot.side_px / 2, shot.side_px / 2)
        state = find_uncorrected_pose(template, face, centre)
        camera = shot.camera
        true = turn_of(seen_rotation(camera.rotation, camera.translation))
        found.append(np.stack([true, turn_of(state.seen), turn_in_space(template, slice, face)]))
    return found


def _robust_ridge(terms: Array, error: Array) -> Array:
    """[K, 3] of n rows `terms` [n, K] and `error` [n, 3], far misses weighing less."""
    # Columns of like size, so that one ridge serves all.
    size = np.sqrt((terms**2).mean(0)) + 1e-9
    scaled, weight = terms / size, np.ones(len(terms))
    solution = np.zeros((terms.shape[1], error.shape[1]))
    for _ in range(_ROBUST_ROUNDS):
        normal = (scaled * weight[:, None]).T @ scaled + _RIDGE * np.eye(len(size))
        solution = np.linalg.solve(normal, (scaled * weight[:, None]).T @ error)
        miss = np.linalg.norm(error - scaled @ solution, axis=1)
        weight = np.minimum(1, _FAR / np.maximum(miss, 1e-9))
    return solution / size[:, None]
