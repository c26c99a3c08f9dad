"""Colours of hair, ears, clothes: the relief's front as photographed, its back guessed."""

from typing import Any

import cv2
import numpy as np

from avatar.head.rasterise import rasterise
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.bust import Bust
from avatar.portrait.colour import PhotoColours, behind, sample, squareness
from avatar.portrait.mesh import between_corners, smooth_normals
from avatar.portrait.painted import SURFACE_OPACITY, Painted
from avatar.portrait.placing import BACK_SPACING, DISSOLVED_BELOW_M, HAIR_SPACING
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred

_FAINTEST = 0.02
"""Splats of less opacity are left out."""
_IN_THE_SHADE = 0.88
"""Of the colours carried to the back: they are seen without the photograph's front light."""
_RELIEF_SQUARE = (0.06, 0.32)
"""Less than for skin: a streak of hair is still hair."""
_WRAPPED_M = 0.07
"""Behind the outline the picture goes on, mirrored, for about so far."""
_WIDEST_STRIP_M, _NARROWEST_STRIP_M = 0.05, 0.006
"""Of the hair or cloth along the outline that is wrapped around; a wider one is not all used."""
_LEAST_HAIR = 0.12
"""Share of the head in the picture that must be hair, for hair to be carried to its back."""
_EAR_MISSED_M = 0.007
_OUTSIDE_M = 0.004
"""Nearer to the outline the picture is mixed with the background."""
_FADE_FROM_M = 0.21
"""Below the eyes: where the shoulders begin to dissolve."""
_EDGE_FADE_M = 0.035
"""Likewise towards the picture's own left, right and lower edge, where the person goes on."""
_TUCK_M = 0.008
"""How far hair runs over the face's border before it is gone."""


def paint_relief(bust: Bust, lattice: Lattice) -> Painted:
    """Those of the splats that lie on the relief: its front as photographed, its back guessed."""
    sitter, relief = bust.sitter, bust.relief
    camera, photo = sitter.fit.camera, sitter.photo
    own = lattice.select(lattice.triangle >= bust.head_triangles)
    triangle = own.triangle - bust.head_triangles
    corners = relief.triangles[triangle]
    pixels = between_corners(own.barycentric, relief.pixel[corners])
    back = np.any(relief.is_back[corners], axis=1)

    # Where the shell runs away from the camera a pixel would be drawn out into a streak: the
    # picture is wrapped around it instead.
    normal = smooth_normals(relief.vertices, relief.triangles)[triangle]
    square = squareness(normal, own.means, camera, _RELIEF_SQUARE)
    square = np.where(back, 0, square)[:, None]
    height = between_corners(own.barycentric, relief.height[corners][..., None])[:, 0]
    around = _worn(sitter).at(wrapped(sitter, pixels, height), HAIR_SPACING)
    colour = square * photo.at(pixels, HAIR_SPACING) + (1 - square) * around
    colour[~back] = unblurred(own.select(~back), colour[~back], rounds=2)

    hidden = behind(
        photo.image, photo.person, sitter.bare_skin, sitter.skin_tone, camera.pixels_per_metre
    )
    rear = PhotoColours(hidden, np.ones_like(photo.person), camera.pixels_per_metre)
    far = np.clip(height / _WRAPPED_M, 0, 1)[:, None]
    rear_colour = (1 - far) * colour + far * rear.at(pixels, BACK_SPACING)
    shade = 1 - (1 - _IN_THE_SHADE) * far
    colour = np.where(back[:, None], shade * rear_colour, colour)
    opacity = SURFACE_OPACITY * _soft_border(sitter, pixels, back) * _fade(own.means)
    return Painted(
        lattice=own, colour=colour.astype(np.float32), opacity=opacity.astype(np.float32)
    ).select(opacity > _FAINTEST)


def _worn(sitter: Sitter) -> PhotoColours:
    """The photograph without the skin of face and ears, where there is hair to take its place:
    what goes on behind an ear is hair."""
    photo, regions = sitter.photo, sitter.regions
    ears = sitter.fit.camera.project(sitter.posed[sitter.ears])[:, 1]
    above = np.arange(len(photo.person))[:, None] < np.quantile(ears, 0.95)
    hair = (regions.hair * photo.person * above > 0.5).sum()
    if hair < _LEAST_HAIR * (photo.person * above > 0.5).sum():
        return photo
    skin = (sitter.bare_skin > 0) | (regions.skin > 0.4) | _near_ears(sitter)
    worn = np.where(above & skin, 0, photo.person)
    return PhotoColours(
        sitter.portrait.image, worn.astype(np.float32), sitter.fit.camera.pixels_per_metre
    )


def _near_ears(sitter: Sitter) -> Mask:
    """[H, W] on an ear that shows, or so near that it may be one the fit has missed."""
    camera, ears = sitter.fit.camera, sitter.template.triangles[sitter.bare_ears]
    height, width = sitter.depth.shape
    if not len(ears):
        return np.zeros((height, width), bool)
    seen = np.isfinite(rasterise(camera.project(sitter.posed), ears, width, height).depth)
    reach = 2 * max(1, round(_EAR_MISSED_M * camera.pixels_per_metre)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate(seen.astype(np.uint8), kernel) > 0


def wrapped(sitter: Sitter, pixels: Array, height: Array) -> Array:
    """[N, 2] pixels that a shell's points [N, 2], `height` [N] metres before or behind their
    outline, show when the picture is wrapped around the shell at its own scale.

    A point lies as deep inside the outline in the wrapped picture as its way to the outline over
    the shell is long; where hair or cloth is narrower than that, the strip runs back and forth.
    """
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
    here_m = sample(smooth[..., None], pixels)[:, 0] / metres
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


def _soft_border(sitter: Sitter, pixels: Array, back: Mask) -> Array:
    """[N] 0..1: soft at the person's outline, towards the face, and where the picture ends."""
    per_metre = sitter.fit.camera.pixels_per_metre
    outline = np.clip((sitter.photo.person_at(pixels) - 0.25) / 0.5, 0, 1)
    inside_face = cv2.distanceTransform(sitter.bare_skin.astype(np.uint8), cv2.DIST_L2, 5)
    depth = sample(np.asarray(inside_face, np.float32)[..., None], pixels)[:, 0] / per_metre
    face = np.where(back, 1, np.clip(1 - depth / _TUCK_M, 0, 1))
    height, width = sitter.depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    to_edge = np.minimum(np.minimum(x, width - x), height - y) / per_metre
    return outline * face * np.clip(to_edge / _EDGE_FADE_M, 0, 1)


def _fade(points: Array) -> Array:
    """[N] 1 down to the shoulders, then dissolving."""
    return np.clip((points[:, 1] + DISSOLVED_BELOW_M) / (DISSOLVED_BELOW_M - _FADE_FROM_M), 0, 1)
