"""Where skin folds that is pushed together, by rule: furrows of the brow, between the brows, at the
eyes' corners, beside the mouth, and around puckered lips.

The template's triangles are larger than a furrow, and of an avatar of one portrait there is no film
to learn them from. That skin folds so is true of faces; nobody's own wrinkles are known of a single
portrait. Places are told by FaceMesh's points on the head, so they fit every head; depths and
distances are by eye, from photographs of faces.

A furrow's depth follows a weighted sum of expressions, which is linear in the motion code: one
feature of a residual network is one kind of furrow, and nothing has to be learned. Learned from a
hundred drawings of the same furrows they came out at a third of their depth (49.5 -> 50.9 dB).
"""

from dataclasses import dataclass, replace

import numpy as np

from avatar.deform import Deformer
from avatar.fit.residual_fit import anchored
from avatar.head.template import HeadTemplate, Part
from avatar.motion.latent import (
    MOUTH_CODE,
    MOUTH_INDEX,
    UPPER_CODE,
    UPPER_INDEX,
    load_codec,
)
from avatar.portrait.arrays import Array
from avatar.residual import COLOUR, FACE_CODE, WIDTH, motion_code
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Avatar, Float, Index, ResidualPart

_TINT = np.array([0.75, 1.05, 1.2])
"""What red, green and blue lose: light that goes through skin is red. Grey ones look like dirt."""
_SLOPE, _BEGINS = np.float32(4.0), 0.45
"""Of the hidden layer: how suddenly furrows come, and at which weight beyond that in the portrait
they are half there."""
_PHOTOGRAPHED = 0.6
"""Weight in the portrait from which its own furrows are among the colours, and none are added:
taken off again, they left pale lines on the resting face."""
_FAINTEST = 0.004
_LIFT = 0.35
"""Of a furrow's darkness: how much lighter the skin between furrows gets."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Furrow:
    """Lines that come and go together."""

    driven_by: Float
    """[52] weights: how deep they are, 0..1, for an expression."""
    pattern: Array
    """[S] what a Gaussian's colour loses at full depth; below 0 it gains."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Furrows:
    """Of one avatar."""

    splats: Index
    """[S] its Gaussians on the skin."""
    kinds: tuple[Furrow, ...]


def with_furrows(avatar: Avatar, template: HeadTemplate) -> Avatar:
    """`avatar` with furrows as the residuals of its face, none of them in the portrait's own
    expression: whatever lines the photograph shows are among the colours."""
    furrows = find_furrows(avatar, template)
    pattern = np.stack([furrow.pattern for furrow in furrows.kinds], 1)
    folding = np.abs(pattern).max(1) > _FAINTEST
    splats = furrows.splats[folding]
    bases = np.zeros((*pattern[folding].shape, WIDTH), np.float32)
    # The hidden layer's curve goes from -1 to 1: half of that is the furrow.
    lost = 0.5 * avatar.colour[splats] * _TINT
    bases[..., COLOUR] = -pattern[folding][..., None] * lost[:, None]
    expression = np.array(avatar.fit.get("expression", np.zeros(len(ARKIT_NAMES))), np.float32)
    gaze = np.array(avatar.fit.get("gaze", np.zeros(2)), np.float32)
    driven_by = np.stack([furrow.driven_by for furrow in furrows.kinds], 1)
    shown = np.clip(expression @ driven_by, 0, None)
    bases *= np.clip(1 - shown / _PHOTOGRAPHED, 0, 1)[:, None]
    mix, shift = _hidden(driven_by, shown + _BEGINS)
    part = ResidualPart(
        mean=np.zeros(FACE_CODE, np.float32),
        whiten=np.zeros((FACE_CODE, FACE_CODE), np.float32),  # known everywhere
        reach=1.0,
        mix=mix,
        shift=shift,
        splats=splats,
        bases=bases,
    )
    codes = motion_code(expression, None, gaze, None, None)
    return anchored(replace(avatar, face_residual=part), codes)


def _hidden(driven_by: Float, begins: Float) -> tuple[Float, Float]:
    """Hidden weights [34, K] and biases [K] whose features follow [52, K] sums of expressions, and
    turn from -1 to 1 around where each `begins` [K]."""
    codec, count = load_codec(), driven_by.shape[1]
    driven = np.concatenate([driven_by, np.zeros((len(TONGUE_NAMES), count), np.float32)])
    mix = np.zeros((FACE_CODE, count), np.float32)
    mix[:MOUTH_CODE] = codec.mouth.to_weights @ driven[MOUTH_INDEX]
    mix[MOUTH_CODE : MOUTH_CODE + UPPER_CODE] = codec.upper.to_weights @ driven[UPPER_INDEX]
    rest = codec.mouth.mean @ driven[MOUTH_INDEX] + codec.upper.mean @ driven[UPPER_INDEX]
    return _SLOPE * mix, (_SLOPE * (rest - begins)).astype(np.float32)


def find_furrows(avatar: Avatar, template: HeadTemplate) -> Furrows:
    """Lay them out on an avatar's rest head."""
    on_skin = np.zeros(len(avatar.triangles), bool)
    on_skin[: len(template.triangles)] = (template.triangle_part == Part.SKIN) & ~template.cavity
    splats = np.flatnonzero(on_skin[avatar.bound_triangle]).astype(np.int32)
    places = Deformer(avatar, template).gaussians().means[splats].astype(np.float64)
    lip = template.lip[template.triangles[avatar.bound_triangle[splats]]].mean(1)
    point = _points(avatar, template)
    kinds = [_brow(places, point), _frown(places, point), _pucker(places, lip, point)]
    for side in ("Left", "Right"):
        kinds += [_corner(places, point, side), _smile(places, lip, point, side)]
    return Furrows(splats=splats, kinds=tuple(kinds))


def _points(avatar: Avatar, template: HeadTemplate) -> Array:
    """[478, 3] FaceMesh's points on the avatar's rest head, metres."""
    corners = avatar.vertices[template.triangles[template.landmark_triangle]]
    return (corners * template.landmark_barycentric[..., None]).sum(1).astype(np.float64)


def _driven(**weights: float) -> Float:
    """[52]; a name without a side stands for both, half each."""
    driven = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        if name in ARKIT_NAMES:
            driven[ARKIT_NAMES.index(name)] += weight
        else:
            for side in ("Left", "Right"):
                driven[ARKIT_NAMES.index(name + side)] += weight / 2
    return driven


def _lines(phase: Array) -> Array:
    """A dark line at each whole turn of `phase`, skin that bulges between them."""
    wave = np.cos(2 * np.pi * phase)
    return np.maximum(wave, 0) ** 2 - _LIFT * np.maximum(-wave, 0)


def _ramp(values: Array, start: float, end: float) -> Array:
    """0 before `start`, 1 from `end` on, smooth; falling where `end` is less."""
    share = np.clip((values - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)


def _front(places: Array) -> Array:
    """1 on the face, 0 on the skull behind."""
    return _ramp(places[:, 2], -0.035, -0.015)


def _brow(places: Array, point: Array) -> Furrow:
    """Three or four lines across the forehead, bent down a little at the sides."""
    brow = point[[105, 334]].mean(0)
    height = places[:, 1] - brow[1]
    top = point[10, 1] - brow[1]
    half = abs(point[300, 0] - point[70, 0]) / 2
    aside = (places[:, 0] - brow[0]) / half
    where = _ramp(height, 0.006, 0.012) * _ramp(height, top, 0.75 * top)
    where *= _ramp(np.abs(aside), 0.95, 0.5) * _front(places)
    phase = (height + 0.004 * aside**2) / (top / 3.8)
    driven = _driven(browInnerUp=0.6, browOuterUp=0.5)
    return Furrow(driven_by=driven, pattern=0.19 * where * _lines(phase))


def _frown(places: Array, point: Array) -> Furrow:
    """Two lines between the brows."""
    middle, apart = point[9], 0.0055
    away = places - middle
    where = _ramp(np.abs(away[:, 1] + 0.003), 0.011, 0.003) * _front(places)
    line = np.exp(-(((np.abs(away[:, 0]) - apart) / 0.0023) ** 2))
    between = np.exp(-((away[:, 0] / 0.003) ** 2))
    return Furrow(driven_by=_driven(browDown=1.1), pattern=where * (0.17 * line - 0.06 * between))


def _corner(places: Array, point: Array, side: str) -> Furrow:
    """A fan of lines outwards from the eye's corner."""
    corner, inner = (point[263], point[362]) if side == "Left" else (point[33], point[133])
    sign = np.sign(corner[0] - inner[0])
    out, up = sign * (places[:, 0] - corner[0]) + 0.008, places[:, 1] - corner[1] + 0.001
    reach, angle = np.hypot(out, up), np.arctan2(up, np.maximum(out, 1e-6))
    where = _ramp(reach, 0.013, 0.017) * _ramp(reach, 0.030, 0.022) * (out > 0)
    where *= _ramp(angle, -0.85, -0.55) * _ramp(angle, 0.6, 0.35)
    driven = {f"mouthSmile{side}": 0.45, f"cheekSquint{side}": 0.7, f"eyeSquint{side}": 0.5}
    return Furrow(driven_by=_driven(**driven), pattern=0.30 * where * _lines(angle / 0.27))


def _smile(places: Array, lip: Array, point: Array, side: str) -> Furrow:
    """The fold from beside the nose to beside the mouth: dark in it, light on the cheek."""
    nostril, corner = (point[327], point[291]) if side == "Left" else (point[98], point[61])
    sign = np.sign(corner[0])
    start = nostril[:2] + np.array([sign * 0.006, 0.004])
    end = corner[:2] + np.array([sign * 0.011, -0.004])
    along, length = end - start, np.linalg.norm(end - start)
    along /= length
    away = places[:, :2] - start
    share = away @ along / length
    outwards = sign * (away @ np.array([-along[1], along[0]])) * np.sign(-along[1])
    outwards -= 0.004 * np.sin(np.pi * np.clip(share, 0, 1))  # bent around the mouth
    where = _ramp(share, -0.05, 0.15) * _ramp(share, 1.15, 0.85) * _front(places) * (lip < 0.1)
    line = np.exp(-((outwards / 0.0028) ** 2))
    cheek = np.exp(-(((outwards - 0.007) / 0.0045) ** 2))
    driven = {f"mouthSmile{side}": 0.9, f"mouthUpperUp{side}": 0.5, f"noseSneer{side}": 0.5}
    return Furrow(driven_by=_driven(**driven), pattern=where * (0.30 * line - 0.10 * cheek))


def _pucker(places: Array, lip: Array, point: Array) -> Furrow:
    """Lines towards the mouth, on the lips and around them.

    Not at the mouth's corners, where the photograph has its own shadow: lines run together there,
    and puckered, when the corners' skin is drawn together, both made dark spots.
    """
    middle = point[[0, 17]].mean(0)
    half = np.array([abs(point[291, 0] - point[61, 0]), abs(point[0, 1] - point[17, 1])]) / 2
    away = (places[:, :2] - middle[:2]) / half
    reach, angle = np.hypot(*away.T), np.arctan2(away[:, 1], away[:, 0])
    where = _ramp(reach, 1.6, 1.1) * _front(places) * _ramp(reach, 0.15, 0.4)
    where *= 0.7 + 0.3 * (lip > 0.3)
    for corner in point[[61, 291]]:
        where *= _ramp(np.linalg.norm(places - corner, axis=1), 0.006, 0.014)
    driven = _driven(mouthPucker=1.0, mouthFunnel=0.3)
    return Furrow(driven_by=driven, pattern=0.10 * where * _lines(15 * angle / (2 * np.pi) + 0.25))
