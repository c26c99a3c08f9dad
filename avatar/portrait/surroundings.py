"""Colours of hair, ears, clothes: the relief's front as photographed, its back guessed."""

import cv2
import numpy as np

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
_STREAK_SPACING = 0.012
"""Metres that are averaged where a pixel would be drawn out into a streak."""
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

    # Where the shell runs away from the camera a pixel would be drawn out into a streak.
    normal = smooth_normals(relief.vertices, relief.triangles)[triangle]
    square = squareness(normal, own.means, camera, _RELIEF_SQUARE)[:, None]
    smeared = photo.at(pixels, _STREAK_SPACING)
    colour = square * photo.at(pixels, HAIR_SPACING) + (1 - square) * smeared
    colour[~back] = unblurred(own.select(~back), colour[~back], rounds=2)

    hidden = behind(
        photo.image, photo.person, sitter.face_mask, sitter.skin_tone, camera.pixels_per_metre
    )
    rear = PhotoColours(hidden, np.ones_like(photo.person), camera.pixels_per_metre)
    colour = np.where(back[:, None], _IN_THE_SHADE * rear.at(pixels, BACK_SPACING), colour)
    opacity = SURFACE_OPACITY * _soft_border(sitter, pixels, back) * _fade(own.means)
    return Painted(
        lattice=own, colour=colour.astype(np.float32), opacity=opacity.astype(np.float32)
    ).select(opacity > _FAINTEST)


def _soft_border(sitter: Sitter, pixels: Array, back: Mask) -> Array:
    """[N] 0..1: soft at the person's outline, towards the face, and where the picture ends."""
    per_metre = sitter.fit.camera.pixels_per_metre
    outline = np.clip((sitter.photo.person_at(pixels) - 0.25) / 0.5, 0, 1)
    inside_face = cv2.distanceTransform(sitter.face_mask.astype(np.uint8), cv2.DIST_L2, 5)
    depth = sample(np.asarray(inside_face, np.float32)[..., None], pixels)[:, 0] / per_metre
    face = np.where(back, 1, np.clip(1 - depth / _TUCK_M, 0, 1))
    height, width = sitter.depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    to_edge = np.minimum(np.minimum(x, width - x), height - y) / per_metre
    return outline * face * np.clip(to_edge / _EDGE_FADE_M, 0, 1)


def _fade(points: Array) -> Array:
    """[N] 1 down to the shoulders, then dissolving."""
    return np.clip((points[:, 1] + DISSOLVED_BELOW_M) / (DISSOLVED_BELOW_M - _FADE_FROM_M), 0, 1)
