"""Lids and lashes: what a blink shows, which a portrait with open eyes does not."""

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.head.pose import eye_centres
from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.lash_line import read_line
from avatar.portrait.mesh import between_corners
from avatar.portrait.openings import eye_openings, from_beside
from avatar.portrait.painted import Painted
from avatar.portrait.seen_eye import seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import Float

_LASH_SPACING_M = 0.00055
"""Along the margin, between lashes."""
_LASH_LENGTH_M, _LASH_WIDTH_M = 0.0010, 0.00012
"""Standard deviations of one splat; a lash is a few of them in a row."""
_UPPER_OPACITY, _LOWER_OPACITY = 0.24, 0.07
_LASHES_END = 0.95
"""Beside the eye's middle, in radii: there are none in the corners."""
_LONGEST_M = 0.0034
"""From the eyeball's surface: here a lash has thinned out."""
_LASH_DARKNESS = 0.35
"""Against the brows' colour."""
_DARKEST = 0.03
_BROWS = (66, 105, 52, 65, 296, 334, 282, 295)
"""FaceMesh's landmarks in the brows' hair."""
_SHADE, _CREASE, _MARGIN = 0.03, 0.14, 0.25
"""How much darker than the skin around the eye: a lid, its crease, the margin with its lashes."""
_MARGIN_M = 0.0012
_AS_BELOW = 0.5
"""How far a lid is as bright as the skin below the eye, where that is brighter."""
_RIM_M, _RIMS_NEAR_M = (-0.0005, 0.0001), 0.03
"""Inside the opening: from where skin is a lid's rim; and how far from its middle."""
_CREASE_AT, _CREASE_WIDTH = 0.30, 0.16
"""Where between no lid (0) and lid (1) the crease lies."""


def lid_shade(sitter: Sitter) -> Float:
    """[V] what share of the light of the skin around them lids send back: 1 where none is.

    A lid is round, with a soft crease where it begins; its margin is dark by the lashes' roots.
    """
    lid = sitter.lids
    margin = sitter.lid_margin(_MARGIN_M)
    crease = np.exp(-(((lid - _CREASE_AT) / _CREASE_WIDTH) ** 2)) * (lid > 0)
    shade = (1 - _SHADE * lid) * (1 - _CREASE * crease) * (1 - _MARGIN * margin)
    return shade.astype(np.float32)


def lid_colour(sitter: Sitter) -> Float:
    """[V, 3] of upper lids, along each: of the skin that the photograph shows beyond the line of
    the lashes, where an open eye is deep in its own shadow, and of that below the eye, which faces
    as a closed lid does. Elsewhere it means nothing."""
    result = np.tile(sitter.skin_tone, (len(sitter.posed), 1))
    pixels = sitter.fit.camera.project(sitter.posed)[:, :2]
    for eye in seen_eyes(sitter):
        line, below = read_line(eye, upper=True), read_line(eye, upper=False)
        across = eye.opening[0] - eye.opening[8]
        own = (sitter.lids > 0) & (eye.side * sitter.fit.neutral[:, 0] > 0)
        places = line.pixels @ across
        order = np.argsort(places)
        for channel in range(3):
            above = np.interp(pixels[own] @ across, places[order], line.skin[order, channel])
            other = float(np.quantile(below.skin[:, channel], 0.6))
            result[own, channel] = above + _AS_BELOW * np.maximum(other - above, 0)
    return result.astype(np.float32)


def without_eyes(sitter: Sitter, own: Lattice, colour: Float) -> Float:
    """[N, 3] colours of skin, with those from beside the eyes where the photograph shows what is
    between the lids: the white of an eye would be painted on a lid that is fitted a little off."""
    template, lid = sitter.template, sitter.lids
    opening = eye_openings(sitter.face.landmarks, *sitter.portrait.image.shape[:2])
    corners = template.triangles[own.triangle]
    at = sitter.fit.camera.project(between_corners(own.barycentric, sitter.posed[corners]))
    amount = sample(opening[..., None], at[:, :2])[:, 0]
    # Upper lids are painted by rule already.
    amount *= 1 - np.clip(between_corners(own.barycentric, lid[corners]) / 0.2, 0, 1)
    beside = from_beside(own, colour, amount < 0.02)
    colour = (colour + amount[:, None] * (beside - colour)).astype(np.float32)
    return _with_rims(sitter, at, colour)


def _with_rims(sitter: Sitter, at: Array, colour: Float) -> Float:
    """[N, 3] colours of skin whose places [N, 3] in the picture are `at`: what lies inside the
    line of the lashes is the lid's rim, in the line's own shade."""
    result = colour.copy()
    metres = sitter.fit.camera.pixels_per_metre
    for eye in seen_eyes(sitter):
        near = np.flatnonzero(
            np.linalg.norm(at[:, :2] - eye.opening.mean(0), axis=1) < _RIMS_NEAR_M * metres
        )
        pixels = at[near, :2].astype(np.float64)
        low, high = _RIM_M
        inside = np.clip((eye.within_px(pixels) / metres - low) / (high - low), 0, 1)
        lines = [read_line(eye, upper) for upper in (True, False)]
        places = np.concatenate([line.pixels for line in lines])
        tones = np.concatenate([line.colour for line in lines])
        depth = np.concatenate([line.depth for line in lines])
        _, nearest = KDTree(places).query(pixels)
        amount = inside * np.clip(2 * depth[nearest], 0, 0.9)
        result[near] += amount[:, None] * (tones[nearest] - result[near])
    return result.astype(np.float32)


def paint_lashes(sitter: Sitter) -> Painted:
    """Thin dark splats along the template's lashes, root to tip, fainter towards the tips."""
    template, neutral = sitter.template, sitter.fit.neutral
    members = np.flatnonzero(template.triangle_part == Part.LASHES)
    corners = neutral[template.triangles[members]].astype(np.float64)
    centres, radii = eye_centres(template, neutral)
    middle = corners.mean(1)
    eye = (middle[:, 0] < 0).astype(int)  # the left one is at +x
    away = np.linalg.norm(corners - centres[eye][:, None], axis=2) - radii[eye][:, None]
    along, across = _directions(corners, away)
    # As many lashes as the triangle is wide, side by side.
    width = np.ptp(np.einsum("tkc,tc->tk", corners, across), axis=1)
    count = np.maximum(np.round(width / _LASH_SPACING_M), 1).astype(int)
    owner = np.repeat(np.arange(len(members)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    share = (number + 0.5) / count[owner] - 0.5
    means = middle[owner] + 0.6 * (share * width[owner])[:, None] * across[owner]
    normal = np.cross(along, across)
    rotation = Rotation.from_matrix(np.stack([along, across, normal], -1)[owner])
    thinning = np.clip(1 - away.mean(1) / _LONGEST_M, 0.15, 1)[owner]
    upper = middle[:, 1] > centres[eye, 1] - 0.001
    aside = np.abs(middle[:, 0] - centres[eye, 0]) / radii[eye]
    thinning *= np.clip((_LASHES_END - aside) / 0.15, 0, 1)[owner]
    opacity = np.where(upper, _UPPER_OPACITY, _LOWER_OPACITY)[owner] * thinning
    scales = np.stack(
        [
            np.full(len(owner), _LASH_LENGTH_M),
            _LASH_WIDTH_M * (0.5 + 0.5 * thinning),
            np.full(len(owner), _LASH_WIDTH_M / 2),
        ],
        1,
    )
    return Painted(
        lattice=Lattice(
            triangle=members[owner].astype(np.int32),
            barycentric=np.full((len(owner), 3), 1 / 3, np.float32),
            means=means.astype(np.float32),
            rotations=rotation.as_quat()[:, [3, 0, 1, 2]].astype(np.float32),
            scales=scales.astype(np.float32),
            normals=normal[owner].astype(np.float32),
        ),
        colour=np.tile(_lash_colour(sitter), (len(owner), 1)),
        opacity=opacity.astype(np.float32),
    )


def _lash_colour(sitter: Sitter) -> Float:
    """[3] darker than the brows, as lashes are."""
    brows = sitter.photo.at(sitter.face.landmarks[list(_BROWS), :2], 0.002)
    darker = brows[brows.mean(1) <= np.median(brows.mean(1))].mean(0)
    return np.maximum(_LASH_DARKNESS * darker, _DARKEST).astype(np.float32)


def _directions(corners: Array, away: Array) -> tuple[Array, Array]:
    """[T, 3] twice, unit vectors in the planes of triangles [T, 3, 3]: in which `away` [T, 3]
    grows fastest, and across it."""
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(ab, ac)
    area = np.maximum((normal**2).sum(1, keepdims=True), 1e-30)
    rise_b, rise_c = away[:, 1:2] - away[:, :1], away[:, 2:] - away[:, :1]
    gradient = (rise_b * np.cross(ac, normal) + rise_c * np.cross(normal, ab)) / area
    length = np.linalg.norm(gradient, axis=1, keepdims=True)
    along = np.where(length > 1e-9, gradient / np.maximum(length, 1e-9), [[0.0, 0.0, 1.0]])
    unit = normal / np.sqrt(area)
    return along, np.cross(unit, along)
