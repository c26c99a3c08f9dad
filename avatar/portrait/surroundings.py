"""Colours of hair, ears, clothes: the relief's front as photographed, its back guessed."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.bust import Bust, covers_face
from avatar.portrait.colour import nearest, sample, squareness
from avatar.portrait.mesh import between_corners, smooth_normals
from avatar.portrait.painted import SURFACE_OPACITY, Painted
from avatar.portrait.placing import (
    DISSOLVED_BELOW_M,
    HAIR_SPACING,
    RELIEF_SQUARE,
    place_sides,
    place_undercoat,
)
from avatar.portrait.sitter import Sitter, disc
from avatar.portrait.skin import Complexion
from avatar.portrait.splats import Lattice, joined, unblurred
from avatar.portrait.unseen import Unseen
from avatar.shading import ENCODING_POWER
from avatar.types import Float

_FAINTEST = 0.02
"""Splats of less opacity are left out."""
_IN_THE_SHADE = 0.88
"""Of the colours carried to the back: they are seen without the photograph's front light."""
_OVER_SKIN_SQUARE = (0.4, 0.75)
"""Less than for skin: a streak of hair is still hair."""
_WRAPPED_M = 0.07
"""Behind the outline the picture goes on, mirrored, for about so far."""
_WIDEST_STRIP_M, _NARROWEST_STRIP_M = 0.05, 0.006
"""Of the hair or cloth along the outline that is wrapped around; a wider one is not all used."""
_UNDERCOAT_SHADE = 0.8
_LOCK_M = 0.009
"""Spacing of splats for which the mean colour of a lock of hair would be taken."""
_OUTSIDE_M = 0.004
"""Nearer to the outline the picture is mixed with the background."""
_ON_EAR_M = (0.004, 0.007)
"""Nearer to an ear that shows than the first the shell is skin, and hair from the second on: with
twice as much the skin behind an ear was bare."""
_FADE_FROM_M = 0.21
"""Below the eyes: where the shoulders begin to dissolve."""
_EDGE_FADE_M = 0.035
"""Likewise towards the picture's own left, right and lower edge, where the person goes on."""
_OVERSHOOT_M, _REACH = 0.0008, 1.8
"""What is guessed reaches so far over the outline, at so many standard deviations."""


def paint_relief(bust: Bust, complexion: Complexion, lattice: Lattice) -> Painted:
    """Those of the splats that lie on the relief: its front as photographed, its back guessed; and
    over the hair's sides, where the front's splats are long in depth, strands."""
    sitter, relief = bust.sitter, bust.relief
    camera, photo = sitter.fit.camera, sitter.photo
    own = lattice.select(lattice.triangle >= bust.head_triangles)
    sides, undercoat = place_sides(bust), place_undercoat(bust)
    side = np.repeat([False, True, False], [len(own), len(sides), len(undercoat)])
    beneath = np.repeat([False, False, True], [len(own), len(sides), len(undercoat)])
    own = joined([own, sides, undercoat])
    triangle = own.triangle - bust.head_triangles
    corners = relief.triangles[triangle]
    pixels = between_corners(own.barycentric, relief.pixel[corners])
    back = np.any(relief.is_back[corners], axis=1)

    # The ribbon, like the undercoat, shows between strands and lies in their shade.
    between = beneath | np.any(relief.is_ribbon[corners], axis=1)

    # Where the shell runs away from the camera a pixel would be drawn out into a streak: hair
    # gets strands there, and around the rest the picture is wrapped.
    normal = smooth_normals(relief.vertices, relief.triangles)[triangle]
    # Pixels at the border are mixed with skin, and on a steep triangle skin would hang in points.
    grown = cv2.dilate(sitter.bare_skin, disc(_OUTSIDE_M * camera.pixels_per_metre))
    over_skin = sample(np.asarray(grown, np.float32)[..., None], pixels)[:, 0] > 0.5
    square = np.where(
        over_skin,
        squareness(normal, own.means, camera, _OVER_SKIN_SQUARE),
        squareness(normal, own.means, camera, RELIEF_SQUARE),
    )
    square = np.where(back | between, 0, square)[:, None]
    height = between_corners(own.barycentric, relief.height[corners][..., None])[:, 0]
    unseen = Unseen(sitter=sitter)
    worn = unseen.worn
    on_ear = _on_ears(sitter, own.means)
    hair = np.where(back, unseen.hair_at(pixels, own.means), _hair_at(unseen, pixels))
    hair = hair * (1 - on_ear)
    strands = np.where(between[:, None], _UNDERCOAT_SHADE, unseen.strands(own))
    around = worn.at(wrapped(sitter, pixels, height), HAIR_SPACING)
    lock, bare = hair[:, None], np.maximum(_bare_at(sitter, pixels), on_ear)[:, None]
    around = bare * _skin_beneath(complexion, own.means) + (1 - bare) * around
    around = (1 - lock) * around + lock * worn.at(pixels, _LOCK_M) * strands
    colour = square * photo.at(pixels, HAIR_SPACING) + (1 - square) * around
    # What is made up at the sides has no picture to be sharpened to: it would get ribs.
    sharp = unblurred(own.select(~back), colour[~back], rounds=2)
    colour[~back] += square[~back] * (sharp - colour[~back])

    far = np.clip(height / _WRAPPED_M, 0, 1)[:, None]
    shade = 1 - (1 - _IN_THE_SHADE) * far
    guessed = unseen.colour_at(pixels, own.means, hair) * (1 + lock * (strands - 1))
    colour = np.clip(np.where(back[:, None], shade * guessed, colour), 0, 1)
    fade = _soft_border(sitter, pixels, back) * _fade(own.means)
    opacity = SURFACE_OPACITY * fade
    opacity[back] *= fade[back]
    opacity[beneath] *= fade[beneath] ** 2
    opacity[side] *= hair[side] * (1 - square[side, 0])
    own = unseen.combed(own, ((back & ~beneath) | side) * hair * fade)
    own = _kept_inside(sitter, own, pixels, back | side)
    return Painted(
        lattice=own, colour=colour.astype(np.float32), opacity=opacity.astype(np.float32)
    ).select(opacity > _FAINTEST)


def _hair_at(unseen: Unseen, pixels: Array) -> Array:
    """[N] 0..1 how surely the relief is hair there: where it runs over skin, as much as beside."""
    if not unseen.hairy:
        return np.zeros(len(pixels))
    sitter = unseen.sitter
    beside = nearest(unseen.hair, (sitter.bare_skin == 0) & (sitter.portrait.person > 0.5))
    share = sample(beside[..., None], pixels)[:, 0]
    return np.clip(2.5 * share - 0.75, 0, 1)


def _bare_at(sitter: Sitter, pixels: Array) -> Array:
    """[N] 0..1 how surely the relief is skin there: a rim of ear, jaw or neck. Beyond the outline,
    where regions mean nothing, as within it."""
    inside = nearest(sitter.regions.skin, sitter.portrait.person > 0.5)
    share = sample(inside[..., None], pixels)[:, 0]
    return np.clip(2.5 * share - 0.75, 0, 1)


def _on_ears(sitter: Sitter, points: Array) -> Array:
    """[N] 0..1 whether points [N, 3] lie on an ear that shows: the shell's rim runs across it, and
    as hair it would be a bar over its middle."""
    ears = np.unique(sitter.template.triangles[sitter.bare_ears])
    if not len(ears):
        return np.zeros(len(points))
    distance, _ = KDTree(sitter.posed[ears]).query(points)
    near, far = _ON_EAR_M
    return np.clip((far - distance) / (far - near), 0, 1)


def _skin_beneath(complexion: Complexion, points: Array) -> Float:
    """[N, 3] colours of the head's own skin that is nearest to the points [N, 3]."""
    skin = np.unique(complexion.triangles)
    light = complexion.albedo[skin] + np.log(complexion.shading[skin])
    colours = np.clip(np.exp(light / ENCODING_POWER), 0, 1).astype(np.float32)
    _, near = KDTree(complexion.sitter.posed[skin]).query(points, k=3)
    return colours[near].mean(1)


def wrapped(sitter: Sitter, pixels: Array, height: Array) -> Array:
    """[N, 2] pixels that a shell's points [N, 2], `height` [N] metres before or behind their
    outline, show when the picture is wrapped around the shell at its own scale.

    A point lies as deep inside the outline in the wrapped picture as its way to the outline over
    the shell is long; where hair or cloth is narrower than that, the strip runs back and forth.
    """
    metres = sitter.fit.camera.pixels_per_metre
    person = sitter.portrait.person > 0.5
    here_m, inward = _from_outline(sitter, pixels)
    outline = pixels - inward * here_m[:, None] * metres
    usable = (person & (sitter.bare_skin == 0)).astype(np.float32)
    steps = np.arange(_OUTSIDE_M, _WIDEST_STRIP_M, 0.002)
    along = outline + (steps[:, None, None] * metres) * inward
    free = sample(usable[..., None], along.reshape(-1, 2)).reshape(along.shape[:2]) > 0.5
    width = np.maximum(np.cumprod(free, axis=0).sum(0) * 0.002, _NARROWEST_STRIP_M)
    way = np.hypot(np.maximum(here_m, 0), height)
    turn = np.mod(way, 2 * width)
    into = _OUTSIDE_M + np.minimum(turn, 2 * width - turn)
    return outline + (into * metres)[:, None] * inward


def _from_outline(sitter: Sitter, pixels: Array) -> tuple[Array, Array]:
    """[N] metres inside the person's outline in the picture, and [N, 2] the way inwards."""
    metres = sitter.fit.camera.pixels_per_metre
    person = sitter.portrait.person > 0.5
    depth = np.asarray(cv2.distanceTransform(person.astype(np.uint8), cv2.DIST_L2, 5), np.float32)
    beyond = cv2.distanceTransform((~person).astype(np.uint8), cv2.DIST_L2, 5)
    smooth: Any = cv2.GaussianBlur(depth - np.asarray(beyond), (0, 0), max(1.0, 0.004 * metres))
    slope: Any = np.stack(
        [
            cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8),
            cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8),
        ],
        -1,
    )
    inward = sample(slope, pixels)
    inward = inward / np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 0.3)
    return sample(smooth[..., None], pixels)[:, 0] / metres, inward


def _kept_inside(sitter: Sitter, lattice: Lattice, pixels: Array, which: Mask) -> Lattice:
    """The lattice with those `which` [N] of its splats small enough not to stand out of the
    person's outline in the photograph's view."""
    inside_m, inward = _from_outline(sitter, pixels)
    in_picture = np.concatenate([inward * (1, -1), np.zeros((len(inward), 1))], 1)
    way = in_picture @ sitter.fit.camera.rotation
    axes = Rotation.from_quat(lattice.rotations[:, [1, 2, 3, 0]]).as_matrix()
    along = np.abs(np.einsum("nik,ni->nk", axes, way))
    room = (np.maximum(inside_m, 0) + _OVERSHOOT_M)[:, None] / _REACH
    scales = np.minimum(lattice.scales, room / np.maximum(along, 1e-3))
    scales = np.where(which[:, None], scales, lattice.scales)
    return replace(lattice, scales=scales.astype(np.float32))


def _soft_border(sitter: Sitter, pixels: Array, back: Mask) -> Array:
    """[N] 0..1: soft at the person's outline, towards the face, and where the picture ends."""
    per_metre = sitter.fit.camera.pixels_per_metre
    outline = np.clip((sitter.photo.person_at(pixels) - 0.25) / 0.5, 0, 1)
    face = np.where(back, 1, covers_face(sitter, pixels))
    height, width = sitter.depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    to_edge = np.minimum(np.minimum(x, width - x), height - y) / per_metre
    return outline * face * np.clip(to_edge / _EDGE_FADE_M, 0, 1)


def _fade(points: Array) -> Array:
    """[N] 1 down to the shoulders, then dissolving."""
    return np.clip((points[:, 1] + DISSOLVED_BELOW_M) / (DISSOLVED_BELOW_M - _FADE_FROM_M), 0, 1)
