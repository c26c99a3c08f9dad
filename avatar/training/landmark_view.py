"""How FaceMesh's landmarks move over the skin as a head turns, measured on renders.

    visavis train landmarks AVATAR...

Heads of many identities, skins, lights, expressions, sides, distances and rolls are drawn and
shown to FaceMesh. Where it puts each landmark is compared with where the template says it is, and
the difference is fitted as a polynomial of the side that the camera sees.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy.optimize import linear_sum_assignment

from avatar.deform import Deformer
from avatar.head.template import LANDMARKS, HeadTemplate, Part, load_template
from avatar.portrait.arrays import Array
from avatar.portrait.known_heads import (
    Draw,
    Shot,
    expressed,
    landmarks_of,
    random_identity,
    reshaped,
    take,
)
from avatar.portrait.landmark_view import (
    FORMAT,
    across_sight,
    camera_yaw_pitch,
    seen_rotation,
    view_terms,
)
from avatar.portrait.landmarks import FaceFinder, FoundFace
from avatar.portrait.mesh import area_normals, vertex_normals
from avatar.types import Avatar, Float

_LOG = logging.getLogger(__name__)
_SHOTS_A_HEAD = 6
_RIDGE = 1e-2
_ROBUST_ROUNDS = 4
_OUTLIER = 2.0
"""Times the median miss: there FaceMesh saw another face than is drawn, in hair or a shadow."""
_IRIS_PAIRS = ((468, 473), (469, 476), (470, 475), (471, 474), (472, 477))
"""Centres, outer and inner rims, upper and lower rims: FaceMesh goes round both irises alike."""
_HAIR_M, _COLLAR_M = -0.04, -0.17
"""Above the eyes: what surrounds the face is hair above the first, clothes below the second."""
_EXPRESSIONS = (
    "jawOpen", "mouthSmile", "eyeBlink", "browInnerUp", "browDown", "mouthPucker", "mouthFunnel",
    "mouthFrown", "eyeSquint", "mouthStretch", "mouthUpperUp", "mouthLowerDown", "browOuterUp",
    "eyeWide", "mouthPress", "mouthRollLower", "noseSneer", "cheekSquint",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """One picture that FaceMesh found a face in."""

    yaw: float
    pitch: float
    """Radians: the side that the camera sees, as `landmark_view.camera_yaw_pitch` has it."""
    away: Array
    """[478, 2] metres across the line of sight from the skin to the landmark; 0 where unknown."""


def train_landmark_view(
    avatars: Sequence[Avatar],
    draw: Draw,
    finder: FaceFinder,
    *,
    pictures: int,
    seed: int,
    output: Path,
) -> dict[str, float]:
    """Measure on so many pictures of heads with the avatars' skins, and write the asset.

    Returns what was left of the landmarks' distances, millimetres.
    """
    template = load_template()
    random = np.random.default_rng(seed)
    seen: list[Observed] = []
    while len(seen) < pictures:
        avatar = avatars[int(random.integers(len(avatars)))]
        seen += _look_at(disguised(avatar, template, random), template, draw, finder, random)
        _LOG.info("%d of %d pictures", len(seen), pictures)
    away = np.stack([one.away for one in seen])
    sides = np.array([(one.yaw, one.pitch) for one in seen])
    return _write(away, sides, template, seed, output)


def _write(
    away: Array, sides: Array, template: HeadTemplate, seed: int, output: Path
) -> dict[str, float]:
    """The asset of n pictures' `away` [n, 478, 2] and `sides` [n, 2] yaw, pitch; and figures."""
    mirror = mirror_landmarks(template)
    away = np.concatenate([away, away[:, mirror] * (-1, 1)])
    sides = np.concatenate([sides, sides * (-1, 1)])
    terms = view_terms(sides[:, 0], sides[:, 1])
    flat = away.reshape(len(away), -1)
    shift = _polynomial(terms, flat)
    kept = np.ones(len(flat), bool)
    for _ in range(_ROBUST_ROUNDS):
        size = np.sqrt(((flat - terms @ shift) ** 2).mean(1))
        kept = size < _OUTLIER * np.median(size)
        shift = _polynomial(terms[kept], flat[kept])
    flat = flat[kept]
    left = flat - terms[kept] @ shift
    save_file(
        {
            "shift_mm": (1000 * shift).reshape(-1, LANDMARKS, 2).astype(np.float16),
            "mirror": mirror.astype(np.int16),
        },
        output,
        {
            "landmark_view": json.dumps(
                {
                    "format": FORMAT,
                    "pictures": len(away) // 2,
                    "seed": seed,
                    "template": template.digest,
                }
            )
        },
    )
    known = np.any(away != 0, axis=(0, 2))
    rms: Callable[[NDArray[Any]], float] = lambda d: float(  # noqa: E731
        1000 * np.sqrt(2 * np.mean(d.reshape(len(d), LANDMARKS, 2)[:, known] ** 2))
    )
    return {
        "pictures": len(away) / 2,
        "strayed": float(1 - kept.mean()),
        "rms_mm": rms(flat),
        "rms_after_shift_mm": rms(left),
    }


def _polynomial(terms: Array, flat: Array) -> Array:
    """[K, 956] coefficients for `terms` [n, K] of `flat` [n, 956]."""
    normal = terms.T @ terms + _RIDGE * np.eye(terms.shape[1])
    return np.asarray(np.linalg.solve(normal, terms.T @ flat))


def disguised(avatar: Avatar, template: HeadTemplate, random: np.random.Generator) -> Avatar:
    """Another head under the avatar's skin, in another light, with another complexion and hair."""
    shaped = reshaped(avatar, template, random_identity(template, random, random.uniform(0.3, 0.8)))
    colour = np.clip(avatar.colour, 0, 1)
    plain = _plain_skin(avatar, template, random)
    own = plain[:, 0] >= 0
    share = random.choice([0.0, 0.0, random.uniform(0, 1), 1.0])
    colour = np.where(own[:, None], (1 - share) * colour + share * plain, colour)
    around = avatar.bound_triangle >= len(template.triangles)
    height = avatar.vertices[avatar.triangles[avatar.bound_triangle, 0], 1]
    tone = plain[own].mean(0)
    neck = around & (height < _HAIR_M) & (height > _COLLAR_M)
    colour[neck] = (1 - share) * colour[neck] + share * tone
    for part in (around & (height >= _HAIR_M), around & (height <= _COLLAR_M)):
        if part.any() and random.random() < 0.6:
            tint = random.uniform(0.03, 0.8) * random.uniform(0.75, 1.25, 3)
            if random.random() < 0.2:
                tint = tone  # as if bald, or bare
            grey = colour[part].mean(1, keepdims=True)
            colour[part] = np.clip(tint * grey / max(float(grey.mean()), 1e-3), 0, 1)
    light = random.normal(0, 1, 3) * (1, 0.7, 0.4) + (0, 0.4, 0.8)
    light /= np.linalg.norm(light)
    triangles = avatar.triangles
    flat = area_normals(avatar.vertices, triangles)
    normals = vertex_normals(flat, triangles, len(avatar.vertices))
    facing = normals[triangles[avatar.bound_triangle]].mean(1) @ light
    strength = random.uniform(0, 0.8)
    shade = 1 - strength * 0.5 * (1 - np.clip(facing, -0.3, 1))
    gain = random.uniform(0.8, 1.1, 3) * random.uniform(0.65, 1.1)
    colour = np.clip(colour ** random.uniform(0.8, 1.3) * gain * shade[:, None], 0, 1)
    return replace(shaped, colour=colour.astype(np.float32))


def _plain_skin(avatar: Avatar, template: HeadTemplate, random: np.random.Generator) -> Float:
    """[N, 3] a drawn face: skin, lips, brows of random colours; -1 where it has nothing to say."""
    colour = np.full((len(avatar), 3), -1, np.float32)
    triangle = avatar.bound_triangle
    mine = np.flatnonzero(triangle < len(template.triangles))
    mine = mine[template.triangle_part[triangle[mine]] == Part.SKIN]
    corners = template.triangles[triangle[mine]]
    b, c = avatar.bound_position[mine, :1], avatar.bound_position[mine, 1:2]
    weights = np.concatenate([1 - b - c, b, c], 1)
    place = np.einsum("nk,nkc->nc", weights, template.vertices[corners])
    lip = np.einsum("nk,nk->n", weights, template.lip[corners])[:, None]
    tone = np.array([0.85, 0.66, 0.56]) * random.uniform(0.35, 1.1)
    red = tone * random.uniform((0.7, 0.45, 0.45), (0.95, 0.8, 0.85))
    skin = (1 - lip) * tone + lip * red
    x, y = np.abs(place[:, 0]), place[:, 1]
    arch = 0.0175 + random.uniform(-0.002, 0.003)
    arch = arch + random.uniform(0.002, 0.006) * np.sin(np.clip((x - 0.014) / 0.04, 0, 1) * 2.5)
    thick = random.uniform(0.002, 0.005) * (1.25 - (x - 0.014) / 0.040)
    brow = (np.abs(y - arch) < thick) & (x > 0.012) & (x < 0.052) & (place[:, 2] > -0.02)
    skin[brow] = tone * random.uniform(0.15, 0.6)
    if random.random() < 0.3:  # a beard
        beard = (y < -0.065) & (lip[:, 0] < 0.2) & (place[:, 2] > -0.05)
        skin[beard] = tone * random.uniform(0.3, 0.7)
    colour[mine] = np.clip(skin + random.normal(0, 0.02, skin.shape), 0, 1)
    return colour


def _look_at(
    avatar: Avatar,
    template: HeadTemplate,
    draw: Draw,
    finder: FaceFinder,
    random: np.random.Generator,
) -> list[Observed]:
    """A few pictures of one head, from all sides."""
    deformer = Deformer(avatar)
    seen = []
    for _ in range(_SHOTS_A_HEAD):
        shot = random_shot(random)
        faces = finder.faces(take(deformer, shot, draw))
        if faces:
            seen.append(_observed(template, deformer.vertices, shot, faces[0]))
    return seen


def random_shot(random: np.random.Generator) -> Shot:
    """A side, a distance, an expression and a background."""
    weights = {}
    if random.random() > 0.3:
        names = random.choice(_EXPRESSIONS, random.integers(1, 4), replace=False)
        weights = {
            str(name): float(random.uniform(0.1, 0.6 if name == "jawOpen" else 0.9))
            for name in names
        }
    yaw, pitch, roll = np.radians(random.uniform((-42, -26, -35), (42, 26, 35)))
    return Shot(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        distance_m=float(np.exp(random.uniform(np.log(0.45), np.log(2.6)))),
        expression=expressed(**weights),
        gaze=random.uniform(-0.3, 0.3, 2).astype(np.float32),
        side_px=320,
        face_share=random.uniform(0.45, 0.75),
        beside=tuple(random.uniform(-0.05, 0.05, 2)),
        background=tuple(random.uniform(0.1, 0.9, 3)),
    )


def _observed(template: HeadTemplate, vertices: Float, shot: Shot, face: FoundFace) -> Observed:
    camera = shot.camera
    skin = landmarks_of(template, vertices.astype(np.float64))
    ahead = camera.project(skin)[:, 2]
    rotation = seen_rotation(camera.rotation, camera.translation)
    away = (camera.unproject(face.landmarks[:, :2], ahead) - skin) @ across_sight(rotation).T
    away[468:] = 0  # the irises turn with the gaze
    yaw, pitch = camera_yaw_pitch(rotation)
    return Observed(yaw=yaw, pitch=pitch, away=np.nan_to_num(away))


def mirror_landmarks(template: HeadTemplate) -> NDArray[np.int64]:
    """[478] each landmark's partner on the other half of the face, by the best assignment."""
    places = landmarks_of(template, template.vertices.astype(np.float64))
    known = np.flatnonzero(np.isfinite(places[:468, 0]))
    gap = np.linalg.norm((places[known] * (-1, 1, 1))[:, None] - places[known][None], axis=2)
    partner = np.arange(LANDMARKS)
    partner[known] = known[linear_sum_assignment(gap)[1]]
    for one, other in _IRIS_PAIRS:
        partner[one], partner[other] = other, one
    return partner
