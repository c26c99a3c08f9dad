"""How well the fit of a photograph finds the head's turn and the gaze: on heads of known pose."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from avatar.deform import Deformer
from avatar.head.template import HeadTemplate, load_template
from avatar.portrait.fit import fit_face
from avatar.portrait.known_heads import Draw, Shot, expressed, random_identity, reshaped, take
from avatar.portrait.landmarks import FaceFinder
from avatar.types import Avatar, Float

_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.4},
    {"mouthSmile": 0.7, "jawOpen": 0.15},
    {"eyeBlink": 0.6},
    {"browInnerUp": 0.7, "browOuterUp": 0.4},
    {"browDown": 0.7, "mouthPress": 0.4},
)
_DISTANCES_M = (0.7, 1.2, 2.2)
"""A telephone at arm's length, a portrait, a long lens; the face is as large in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One picture, and how far the fit of it was off. Degrees."""

    head: str
    shot: Shot
    turn: Float
    """[3] yaw, pitch, roll found less the true ones; nan where no face was found."""
    gaze: Float
    """[2] yaw, pitch found less the true ones."""


def shots(count: int, seed: int) -> list[Shot]:
    """Pictures to try: yaw to 35, pitch to 20, roll to 30 degrees, spread evenly, in turn with
    every expression and distance."""
    random = np.random.default_rng(seed)
    # Latin hypercube: each tenth of every range is tried a tenth of the time.
    spread = [(random.permutation(count) + random.random(count)) / count * 2 - 1 for _ in range(5)]
    return [
        Shot(
            yaw=np.radians(35) * spread[0][i],
            pitch=np.radians(20) * spread[1][i],
            roll=np.radians(30) * spread[2][i],
            distance_m=_DISTANCES_M[i % len(_DISTANCES_M)],
            expression=expressed(**_EXPRESSIONS[i % len(_EXPRESSIONS)]),
            gaze=np.radians([20 * spread[3][i], 12 * spread[4][i]]).astype(np.float32),
            side_px=512,
        )
        for i in range(count)
    ]


def try_poses(
    avatars: Mapping[str, Avatar],
    draw: Draw,
    finder: FaceFinder,
    *,
    count: int,
    seed: int = 0,
    known_shape: bool = True,
) -> list[Tried]:
    """Draw heads in `count` known poses, find the landmarks and fit them.

    With `known_shape` each avatar lends its looks to heads of the template's morphs, of which it
    is certain where their front is. Without, the avatars are drawn as they are; where the fit of
    a portrait misjudged its turn, the head is a little crooked, and that counts as an error too.
    """
    template = load_template()
    random = np.random.default_rng(seed + 1)
    names = list(avatars)
    found = []
    for i, shot in enumerate(shots(count, seed)):
        name = names[i // len(_EXPRESSIONS) % len(names)]
        avatar = avatars[name]
        if known_shape:
            avatar = reshaped(avatar, template, random_identity(template, random, 0.6))
        found.append(_tried(name, avatar, shot, template, draw, finder))
    return found


def _tried(
    name: str,
    avatar: Avatar,
    shot: Shot,
    template: HeadTemplate,
    draw: Draw,
    finder: FaceFinder,
) -> Tried:
    picture = take(Deformer(avatar), shot, draw)
    faces = finder.faces(picture)
    if not faces:
        nothing = np.full(3, np.nan, np.float32)
        return Tried(head=name, shot=shot, turn=nothing, gaze=nothing[:2])
    face = finder.look_again(picture, faces[0])
    fit = fit_face(template, face, (shot.side_px, shot.side_px))
    turn = np.degrees(np.subtract(fit.yaw_pitch_roll, (shot.yaw, shot.pitch, shot.roll)))
    return Tried(
        head=name,
        shot=shot,
        turn=turn.astype(np.float32),
        gaze=np.degrees(fit.gaze - shot.gaze).astype(np.float32),
    )


def summary(tried: list[Tried]) -> dict[str, object]:
    """Figures of the report, degrees: mean, 95th percentile and worst of the absolute errors."""
    figures: dict[str, object] = {"pictures": len(tried)}
    figures["missed"] = sum(not np.isfinite(one.turn).all() for one in tried)
    turn = np.abs([one.turn for one in tried if np.isfinite(one.turn).all()])
    open_eyes = [one for one in tried if not one.shot.expression[0] and np.isfinite(one.gaze).all()]
    gaze = np.abs([one.gaze for one in open_eyes])
    for name, errors in (
        ("yaw", turn[:, 0]),
        ("pitch", turn[:, 1]),
        ("roll", turn[:, 2]),
        ("gaze_yaw", gaze[:, 0]),
        ("gaze_pitch", gaze[:, 1]),
    ):
        figures[name] = {
            "mean": round(float(errors.mean()), 2),
            "p95": round(float(np.percentile(errors, 95)), 2),
            "worst": round(float(errors.max()), 2),
        }
    return figures
