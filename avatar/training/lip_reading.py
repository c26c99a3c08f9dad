"""How a face tracker reads the mouths that the code makes, measured on renders.

    visavis train lip-reading AVATAR -o lip_reading.safetensors

Mouths of the code, whose numbers are near N(0, 1) in the corpus, are drawn on an avatar's face and
shown to FaceMesh. How wide it reads them is fitted as a linear function of the weights. How far
they part follows from the template, with which the reading agrees (r .97) up to a share: the
template also knows of lips that are pressed together, which no reading does.
"""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from avatar.deform import Deformer
from avatar.errors import VisavisError
from avatar.head.template import HeadTemplate, load_template
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, LatentCodec
from avatar.motion.lip_reading import FORMAT, LipReading
from avatar.portrait.landmarks import FaceFollower
from avatar.tracking.lips import lips_of
from avatar.types import ARKIT_NAMES, Avatar, Float

log = logging.getLogger(__name__)

Look = Callable[[Deformer, Float], NDArray[np.uint8]]
"""Draws an avatar from the front with an expression [52]: [H, W, 3]."""
_LOOKS = 3
"""Times that FaceMesh sees each picture: it follows a face from one to the next."""
_RIDGE = 0.05
_HELD_BACK = 5
"""Every so many-th face is kept to measure with."""
_MUSCLES = tuple(
    dict.fromkeys(
        name.removesuffix("Left").removesuffix("Right")
        for name in ARKIT_NAMES
        if name.startswith(("mouth", "jaw"))
    )
)
"""Both sides of a muscle count alike."""


def train_lip_reading(
    avatars: Sequence[Avatar],
    codec: LatentCodec,
    look: Look,
    follower: FaceFollower,
    *,
    pictures: int,
    seed: int,
    output: Path,
) -> dict[str, object]:
    """Draw, look, fit; write `output` and return the figures.

    Raises:
        VisavisError: no face is found in most of the pictures.
        OSError: `output` cannot be written.
    """
    chance = np.random.default_rng(seed)
    codes = np.zeros((pictures, LATENT_SIZE), np.float32)
    codes[:, :MOUTH_CODE] = chance.standard_normal((pictures, MOUTH_CODE))
    expressions = codec.decode(codes).expression
    deformers = [Deformer(avatar) for avatar in avatars]
    lips = np.array(
        [
            _lips_seen(deformers[index * len(deformers) // pictures], one, look, follower)
            for index, one in enumerate(expressions)
        ]
    )
    width, seen = lips[:, 1], np.isfinite(lips[:, 1])
    if seen.mean() < 0.5:
        raise VisavisError(
            f"a face was found in {seen.sum()} of {pictures} pictures, expected most of them. "
            "Use an avatar made of a sharp portrait from the front."
        )
    person = np.arange(pictures) * len(deformers) // pictures
    for index in range(len(deformers)):  # how wide the mouth of each is at rest is their own
        width[person == index] -= width[seen & (person == index)].mean()
    halves = _halves()
    known = expressions[seen].astype(np.float64) @ halves
    held_back = np.arange(len(known)) % _HELD_BACK == 0
    tried = _ridge(known[~held_back], width[seen][~held_back])
    off = known[held_back] @ tried[:-1] + tried[-1] - width[seen][held_back]
    r2 = 1 - float((off**2).mean() / width[seen][held_back].var())
    fitted = halves @ _ridge(known, width[seen])[:-1]
    opening = opening_of(load_template())
    parted = np.maximum(expressions[seen] @ opening, 0)
    share = float(np.polyfit(parted, lips[seen, 0], 1)[0])
    reading = LipReading(opening, fitted.astype(np.float32), share)
    figures: dict[str, object] = {
        "format": FORMAT,
        "pictures": int(seen.sum()),
        "seed": seed,
        "width_r2_held_back": round(r2, 4),
        "opening_r": round(float(np.corrcoef(parted, lips[seen, 0])[0, 1]), 4),
        "opening_seen": round(share, 4),
    }
    save_file(
        {
            "opening": reading.opening,
            "width": reading.width,
            "opening_seen": np.array([reading.opening_seen], np.float32),
        },
        output,
        metadata={"visavis": json.dumps(figures)},
    )
    return figures


def opening_of(template: HeadTemplate) -> Float:
    """[52] by which each weight parts the template's inner lips, over the eye distance."""
    corners = template.triangles[template.landmark_triangle]
    share = template.landmark_barycentric[..., None]
    points = (template.vertices[corners] * share).sum(1)
    moved = (template.expression_basis[:, corners] * share).sum(2)  # [52, 478, 3]
    upper, lower = moved[:, (13, 82, 312), 1], moved[:, (14, 87, 317), 1]
    return ((upper - lower).mean(1) / np.linalg.norm(points[33] - points[263])).astype(np.float32)


def _lips_seen(
    deformer: Deformer, expression: Float, look: Look, follower: FaceFollower
) -> NDArray[np.float64]:
    """[3] of `lips_of`; nan where no face is found."""
    picture = np.ascontiguousarray(look(deformer, expression))
    face = None
    for _ in range(_LOOKS):
        face = follower.follow(picture)
    return np.full(3, np.nan) if face is None else lips_of(face.landmarks[None, :478])[0]


def _halves() -> NDArray[np.float64]:
    """[52, M] the mean of each muscle's sides."""
    halves = np.zeros((len(ARKIT_NAMES), len(_MUSCLES)))
    for column, muscle in enumerate(_MUSCLES):
        sides = [
            index
            for index, name in enumerate(ARKIT_NAMES)
            if name in (muscle, f"{muscle}Left", f"{muscle}Right")
        ]
        halves[sides, column] = 1 / len(sides)
    return halves


def _ridge(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """[M + 1] weights, and the constant that nothing holds back."""
    given = np.column_stack([x, np.ones(len(x))])
    held = _RIDGE * np.eye(given.shape[1])
    held[-1, -1] = 0
    return np.linalg.solve(given.T @ given + held, given.T @ y).astype(np.float64)
