"""What colour each Gaussian gets: of the photograph where it shows one, else by rule."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.bust import Bust
from avatar.portrait.colour import (
    PhotoColours,
    behind,
    fill_skin,
    like_skin,
    sample,
    squareness,
    unoccluded,
)
from avatar.portrait.eyes import eye_colours, paint_eyes
from avatar.portrait.mesh import between_corners, smooth_normals, vertex_normals
from avatar.portrait.placing import (
    BACK_SPACING,
    DISSOLVED_BELOW_M,
    FACE_SPACING,
    HAIR_SPACING,
    place_lining,
)
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred
from avatar.types import Float, Index

_SURFACE_OPACITY, _LINING_OPACITY = 0.96, 0.98
_FAINTEST = 0.02
"""Splats of less opacity are left out."""

_CAVITY = np.array([0.30, 0.10, 0.09], np.float32)
_TOOTH = np.array([0.93, 0.89, 0.82], np.float32)
_GUMS = np.array([0.72, 0.40, 0.38], np.float32)
_TONGUE = np.array([0.70, 0.36, 0.34], np.float32)

_LEND = 0.8
"""How far to believe the other half of the face, against what this half itself shows."""
_LASHES_REACH_M = 0.0027
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """N of the avatar's Gaussians, coloured."""

    lattice: Lattice
    """Its triangles count within the whole bust's."""
    colour: Float
    """[N, 3]"""
    opacity: Float
    """[N]"""

    def select(self, keep: Mask) -> "Painted":
        """Those for which `keep` [N] holds."""
        return Painted(
            lattice=self.lattice.select(keep), colour=self.colour[keep], opacity=self.opacity[keep]
        )


def paint_head(bust: Bust, lattice: Lattice) -> Painted:
    """Those of the splats that lie on the template: skin, mouth and eyes."""
    sitter, template = bust.sitter, bust.sitter.template
    own = lattice.select(lattice.triangle < bust.head_triangles)
    part = template.triangle_part[own.triangle]
    colour = np.zeros((len(own), 3), np.float32)
    opacity = np.full(len(own), _SURFACE_OPACITY, np.float32)

    skin = part == Part.SKIN
    colour[skin] = _paint_skin(sitter, own.select(skin))
    opacity[skin & _stands_out(sitter, own)] = 0
    _paint_mouth(sitter, own, part, colour)
    _paint_eyeballs(sitter, own, part, colour)
    return Painted(lattice=own, colour=colour, opacity=opacity).select(opacity > 0)


def paint_lining(bust: Bust, head: Painted) -> Painted:
    """The lining beneath `head`, each splat in the mean colour of those above it."""
    above = head.lattice.triangle
    total = np.zeros((len(bust.triangles), 3))
    np.add.at(total, above, head.colour)
    count = np.bincount(above, minlength=len(bust.triangles))
    sheet = place_lining(bust, count > 0)
    colour = (total / np.maximum(count, 1)[:, None])[sheet.triangle]
    return Painted(
        lattice=sheet,
        colour=colour.astype(np.float32),
        opacity=np.full(len(sheet), _LINING_OPACITY, np.float32),
    )


def _stands_out(sitter: Sitter, own: Lattice) -> Mask:
    """[N] skull and neck outside the person's outline, which would stand out of hair or collar."""
    at = between_corners(own.barycentric, sitter.posed[sitter.template.triangles[own.triangle]])
    pixels = sitter.fit.camera.project(at)[:, :2]
    outside = sitter.photo.within(pixels) & (sitter.photo.person_at(pixels) < 0.5)
    return outside & ~sitter.on_face[own.triangle]


def _paint_skin(sitter: Sitter, own: Lattice) -> Float:
    """[N, 3] what the photograph shows at the splats, or at the other half of the face, or what
    `_skin_colours` filled in."""
    template, camera, photo = sitter.template, sitter.fit.camera, sitter.photo
    corners = template.triangles[own.triangle]
    spacing = float(np.median(own.scales[:, 0])) if len(own) else FACE_SPACING
    lid = between_corners(own.barycentric, sitter.lids[corners])

    at = between_corners(own.barycentric, sitter.posed[corners])
    normal = sitter.normals[own.triangle]
    trust = _trust(sitter, at, normal) * (1 - lid)
    shown = photo.at(camera.project(at)[:, :2], spacing)

    mirrored = template.mirror[corners]
    twin_at = between_corners(own.barycentric, sitter.posed[mirrored])
    twin_normal = _mirrored_normals(sitter.posed, mirrored, normal)
    twin = photo.at(camera.project(twin_at)[:, :2], spacing)
    inner = between_corners(own.barycentric, sitter.inner_face[corners])
    lend = np.maximum(like_skin(twin, sitter.skin_tone), inner)
    other = _trust(sitter, twin_at, twin_normal) * (1 - trust) * (1 - lid) * _LEND * lend

    filled = between_corners(own.barycentric, _skin_colours(sitter)[corners])
    rest = 1 - trust - other
    colour = trust[:, None] * shown + other[:, None] * twin + rest[:, None] * filled
    colour = _clean_lips(sitter, own, colour.astype(np.float32))
    sharp = lid < 0.2
    colour[sharp] = unblurred(own.select(sharp), colour[sharp], rounds=2)
    return colour


def _clean_lips(sitter: Sitter, own: Lattice, colour: Float) -> Float:
    """[N, 3] without the teeth that the edge of a lip may have caught from the photograph: what
    is paler and less red than the lips are takes the lips' colour."""
    template, tone = sitter.template, sitter.lip_colour
    lip = between_corners(own.barycentric, template.lip[template.triangles[own.triangle]])
    redness = colour[:, 0] - colour[:, 1:].mean(1)
    typical = max(float(tone[0] - tone[1:].mean()), 0.02)
    pale = np.clip((0.75 - redness / typical) / 0.3, 0, 1)
    bright = np.clip((colour.mean(1) - tone.mean() - 0.04) / 0.08, 0, 1)
    amount = (pale * bright * np.clip(lip / 0.4, 0, 1))[:, None]
    return colour + amount * (tone - colour)


def _trust(sitter: Sitter, points: Array, normals: Array) -> Float:
    """[N] 0..1 how far the photograph shows these points of the posed head."""
    camera = sitter.fit.camera
    pixels = camera.project(points)[:, :2]
    return (
        squareness(normals, points, camera)
        * unoccluded(points, camera, sitter.depth)
        * np.clip((sitter.photo.person_at(pixels) - 0.5) * 2, 0, 1)
    ).astype(np.float32)


def _mirrored_normals(posed: Float, mirrored: Index, like: Array) -> Array:
    """[N, 3] normals of the triangles [N, 3] on the other half; `like` where they have no area."""
    a, b, c = (posed[mirrored[:, corner]] for corner in range(3))
    flat = -np.cross(b - a, c - a)  # mirroring turns a triangle around
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > 1e-12, flat / np.maximum(norm, 1e-12), like)


def _skin_colours(sitter: Sitter) -> Float:
    """[V, 3] what every vertex of the skin looks like, seen or not."""
    template, camera, tone = sitter.template, sitter.fit.camera, sitter.skin_tone
    seen = sitter.photo.at(camera.project(sitter.posed)[:, :2], 0.003)
    normals = vertex_normals(sitter.normals, template.triangles, len(template.vertices))
    lid, margin = sitter.lids, sitter.lid_margin(_LASHES_REACH_M)
    # Lids take the skin's tone, a little in the shade of the brow; lashes darken their margin.
    shade = (0.92 * tone) * (1 - 0.75 * margin[:, None])
    seen = lid[:, None] * shade + (1 - lid[:, None]) * seen
    trust = np.maximum(_trust(sitter, sitter.posed, normals) * (1 - lid), 0.9 * lid)
    # Above the oval hair or hat shows, not skin; what lies beneath takes its colour all the same.
    lend = np.maximum(like_skin(seen, tone), sitter.inner_face)
    skin = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
    return fill_skin(
        sitter.fit.neutral,
        template.triangles[skin],
        template.mirror,
        seen=seen,
        trust=trust,
        lend=lend,
        fallback=tone,
    )


def _paint_mouth(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Teeth, gums, tongue and cavity in their own colours under the template's own light; only the
    lips' lining takes the photograph's lip colour."""
    template = sitter.template
    for kind, tint in (
        (Part.MOUTH, _CAVITY),
        (Part.TEETH_UPPER, _TOOTH),
        (Part.TEETH_LOWER, 0.95 * _TOOTH),
        (Part.TONGUE, _TONGUE),
        (Part.GUMS, _GUMS),
    ):
        chosen = part == kind
        corners = template.triangles[own.triangle[chosen]]
        weights = own.barycentric[chosen]
        if kind == Part.MOUTH:
            red = between_corners(weights, template.lip[corners])[:, None]
            tint = tint + red * (0.8 * sitter.lip_colour - tint)
        colour[chosen] = tint * between_corners(weights, template.shade[corners])[:, None]


def _paint_eyeballs(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Both eyes alike, in the photograph's colours."""
    template, neutral = sitter.template, sitter.fit.neutral
    height = float(np.ptp(neutral[template.vertex_part == Part.EYE_LEFT, 1]))
    radius_px = height / 2 * sitter.fit.camera.pixels_per_metre
    colours = eye_colours(sitter.portrait.image, sitter.face, radius_px)
    for eye in (Part.EYE_LEFT, Part.EYE_RIGHT):
        chosen = part == eye
        ball = neutral[template.vertex_part == eye]
        outward = own.means[chosen] - (ball.max(0) + ball.min(0)) / 2
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        colour[chosen] = paint_eyes(outward, colours)


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
    opacity = _SURFACE_OPACITY * _soft_border(sitter, pixels, back) * _fade(own.means)
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
