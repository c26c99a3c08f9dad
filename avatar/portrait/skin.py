"""Colours of the skin: of the photograph where it shows the skin, filled where it does not."""

import numpy as np

from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.colour import fill_skin, like_skin, squareness, unoccluded
from avatar.portrait.mesh import between_corners, vertex_normals
from avatar.portrait.placing import FACE_SPACING
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred
from avatar.types import Float, Index

_LEND = 0.8
"""How far to believe the other half of the face, against what this half itself shows."""
_LASHES_REACH_M = 0.0027


def paint_skin(sitter: Sitter, own: Lattice) -> Float:
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
