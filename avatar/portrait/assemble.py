"""Fitted head + relief + photograph -> coloured Gaussians bound to triangles: the avatar."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from matplotlib.path import Path
from scipy.spatial import cKDTree

from avatar.deform import bind
from avatar.head.rasterise import rasterise
from avatar.head.template import HeadTemplate, Part
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
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.relief import Relief, Surroundings, build_relief, middle_surface
from avatar.portrait.splats import (
    SWELL,
    SWELL_ALONE,
    SWELL_BORDER,
    Lattice,
    count_for,
    joined,
    lay,
    scatter,
    unblurred,
)
from avatar.types import ARKIT_NAMES, Avatar, Float, Index, Portrait

TARGET_SPLATS = 59_000
"""Within the 30k to 60k that two processor cores draw at more than 20 frames a second."""

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_CHIN = 152
_EAR_LEVEL = (234, 454)
_LIPS = (0, 37, 267, 17, 84, 314)
"""On the red of both lips, away from the line between them."""
_LASH_LINES = (33, 246, 161, 160, 159, 158, 157, 173, 263, 466, 388, 387, 386, 385, 384, 398)
"""Along the margins of the upper lids."""

_FACE_SPACING = 0.00105
_HAIR_SPACING = 0.0022
_BODY_SPACING = 0.0034
"""Metres between splats; these three are stretched alike to meet TARGET_SPLATS."""
_OUTLINE_REACH_M, _HAIRLINE_REACH_M = 0.004, 0.006
"""Relief nearer than this to the person's outline or to the face is laid finer."""
_LID_SPACING = 0.0011
"""Lids unfold to several times their area when they close."""
_EYE_SPACING = 0.0007
_TEETH_SPACING = 0.002
_CAVITY_SPACING = 0.003
_SIDE_SPACING = 0.0024
_BACK_SPACING = 0.006
_LINING_SPACING = 0.0036
_LINING_BELOW_M = 0.0006

_CAVITY = np.array([0.30, 0.10, 0.09], np.float32)
_TOOTH = np.array([0.93, 0.89, 0.82], np.float32)
_TONGUE = np.array([0.70, 0.36, 0.34], np.float32)

_FADE_FROM_M, _FADE_TO_M = 0.21, 0.29
"""Below the eyes: where the shoulders begin to dissolve, and have dissolved."""
_EDGE_FADE_M = 0.035
"""Likewise towards the picture's own left, right and lower edge, where the person goes on."""
_TUCK_M = 0.008
"""How far hair runs over the face's border before it is gone."""


@dataclass(frozen=True, slots=True)
class _Painted:
    """Some of the avatar's splats, coloured."""

    lattice: Lattice
    """Its triangles count within `Avatar.triangles`."""
    colour: Float
    opacity: Float


@dataclass(slots=True)
class _Work:
    """What every stage needs, computed once."""

    portrait: Portrait
    face: FoundFace
    fit: FaceFit
    template: HeadTemplate
    posed: Float
    """[V, 3] the head with the photograph's expression, avatar space (head pose is the camera's)."""
    depth: Float
    """[H, W] metres ahead of the camera of the posed head."""
    photo: PhotoColours
    ears: np.ndarray
    """[V] bool."""


def assemble(
    portrait: Portrait,
    face: FoundFace,
    fit: FaceFit,
    template: HeadTemplate,
    *,
    name: str,
    tell: Callable[[str, float], None],
) -> Avatar:
    """Build the avatar of a fitted face."""
    tell("shaping hair and shoulders", 0.0)
    work = _prepare(portrait, face, fit, template)
    relief = _relief(work)
    vertices = np.concatenate([fit.neutral, relief.vertices]).astype(np.float32)
    triangles = np.concatenate([template.triangles, relief.triangles + len(fit.neutral)])
    tell("laying the Gaussians", 0.45)
    lattice = _lattice(work, relief, vertices, triangles)
    tell("colouring them", 0.6)
    head = _paint_head(work, lattice)
    lining = _lining(work, head, vertices, triangles)
    painted = [head, lining, _paint_relief(work, relief, lattice)]
    tell("binding them to the head", 0.9)
    return _avatar(work, relief, painted, vertices, triangles.astype(np.int32), name)


def _prepare(portrait: Portrait, face: FoundFace, fit: FaceFit, template: HeadTemplate) -> _Work:
    posed = fit.neutral + np.tensordot(fit.expression, template.expression_basis, 1)
    posed = posed.astype(np.float32)
    ears = np.zeros(len(template.vertices), bool)
    for index, morph in enumerate(template.identity_names):
        if morph.startswith("ears/"):
            ears |= np.linalg.norm(template.identity_basis[index], axis=1) > 5e-4
    height, width = portrait.image.shape[:2]
    drawn = template.triangle_part != Part.LASHES
    depth = rasterise(fit.camera.project(posed), template.triangles[drawn], width, height).depth
    return _Work(
        portrait=portrait,
        face=face,
        fit=fit,
        template=template,
        posed=posed,
        depth=depth,
        photo=PhotoColours(portrait.image, portrait.person, fit.camera.pixels_per_metre),
        ears=ears,
    )


def _face_mask(work: _Work) -> Float:
    """[H, W] 1 inside FaceMesh's oval of the photograph."""
    mask = np.zeros(work.depth.shape, np.uint8)
    oval = work.face.landmarks[list(FACE_OVAL), :2]
    cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], 1)
    shrink = max(1, round(0.004 * work.fit.camera.pixels_per_metre))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * shrink + 1, 2 * shrink + 1))
    return cv2.erode(mask, kernel).astype(np.float32)


def _relief(work: _Work) -> Relief:
    template, camera = work.template, work.fit.camera
    height, width = work.depth.shape
    corner_in_ear = work.ears[template.triangles].any(1)
    low = work.posed[template.triangles][:, :, 1].max(1) < _chin_height(work) - 0.055
    skull = (template.triangle_part == Part.SKIN) & ~corner_in_ear & ~low
    projected = camera.project(work.posed)
    front = rasterise(projected, template.triangles[skull], width, height).depth
    turned = projected.copy()
    turned[:, 2] = 10 - turned[:, 2]  # nearest of the reversed depth is the far side
    far = rasterise(turned, template.triangles[skull], width, height).depth
    ear_plane = float(work.posed[work.ears, 2].mean())
    scene = Surroundings(
        person=work.portrait.person,
        face=_face_mask(work),
        front=front,
        back=np.where(np.isfinite(far), 10 - far, -np.inf).astype(np.float32),
        middle=middle_surface(camera, ear_plane, width, height),
        chin_row=float(work.face.landmarks[_CHIN, 1]),
        still_row=float(work.face.landmarks[list(_EAR_LEVEL), 1].mean()),
    )
    return build_relief(scene, camera)


def _chin_height(work: _Work) -> float:
    corners = work.template.triangles[work.template.landmark_triangle[_CHIN]]
    return float(work.fit.neutral[corners, 1].mean())


def _lattice(work: _Work, relief: Relief, vertices: Float, triangles: Index) -> Lattice:
    """Splats over everything, so many that with the lining TARGET_SPLATS come out."""
    stretched, fixed, coarse = _spacings(work, relief)
    lining = np.where(_lined(work, triangles), _LINING_SPACING, 0)
    room = TARGET_SPLATS - count_for(vertices, triangles, fixed)
    room -= sum(len(scatter(vertices, triangles, spacing)) for spacing in (coarse, lining))
    low, high = 0.6, 3.0
    for _ in range(20):
        stretch = (low + high) / 2
        if count_for(vertices, triangles, stretched * stretch) > room:
            low = stretch
        else:
            high = stretch
    swell = np.full(len(triangles), SWELL)
    outline, _ = _near_border(work, relief)
    swell[len(work.template.triangles) :] = np.where(outline, SWELL_BORDER, SWELL_ALONE)
    return joined(
        [
            lay(vertices, triangles, stretched * high, swell),
            lay(vertices, triangles, fixed, swell),
            scatter(vertices, triangles, coarse),
        ]
    )


def _spacings(work: _Work, relief: Relief) -> tuple[Float, Float, Float]:
    """[T] three times, metres between splats, 0 where there are none: what may be stretched; what
    may not (eyes, lids, teeth); and where triangles are smaller than the splats wanted."""
    template = work.template
    part = template.triangle_part
    stretched, fixed, coarse = (np.zeros(len(part)) for _ in range(3))
    on_face = _on_face(work)
    lids = (part == Part.SKIN) & (_lids(work)[0][template.triangles].max(1) > 0.3)
    stretched[on_face & ~lids] = _FACE_SPACING
    coarse[(part == Part.SKIN) & ~on_face & ~lids] = _SIDE_SPACING
    coarse[part == Part.MOUTH] = _CAVITY_SPACING
    fixed[lids] = _LID_SPACING
    eyes = (part == Part.EYE_LEFT) | (part == Part.EYE_RIGHT)
    angle = np.nan_to_num(template.eye_angle, nan=9.0)[template.triangles].max(1)
    fixed[eyes & (angle < np.radians(75))] = _EYE_SPACING
    others = (Part.SKIN, Part.MOUTH, Part.EYE_LEFT, Part.EYE_RIGHT, Part.LASHES)
    fixed[~np.isin(part, others)] = _TEETH_SPACING
    lowest = work.fit.neutral[template.triangles][:, :, 1].max(1)
    bare = work.ears[template.triangles].any(1) | _under_relief(work)
    bare |= lowest < _chin_height(work) - 0.06  # the relief draws the shoulders
    for spacing in (stretched, fixed, coarse):
        spacing[bare] = 0
    back = relief.is_back[relief.triangles].all(1)
    height = relief.vertices[relief.triangles][:, :, 1].mean(1)
    front = np.where(height > _chin_height(work), _HAIR_SPACING, _BODY_SPACING)
    border = np.logical_or(*_near_border(work, relief))
    none = np.zeros(len(back))
    return (
        np.concatenate([stretched, np.where(back | border, 0, front)]),
        np.concatenate([fixed, np.where(border, _border_spacing(work, relief), 0)]),
        np.concatenate([coarse, np.where(back & ~border, _BACK_SPACING, 0)]),
    )


def _border_spacing(work: _Work, relief: Relief) -> Float:
    """[S] so that the head's border is cut in two along each edge, any other not at all: those
    triangles are long in depth, which nobody sees, and short in the picture."""
    corners = relief.vertices[relief.triangles].astype(np.float64)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    side = np.sqrt(0.5 * np.linalg.norm(flat, axis=1))
    fine = corners[:, :, 1].mean(1) > _chin_height(work) - 0.03
    return np.maximum(side, 1e-5) / np.where(fine, 2, 1)


def _near_border(work: _Work, relief: Relief) -> tuple[np.ndarray, np.ndarray]:
    """[S] bool twice: relief at the person's outline, and its front at the face: its edges are seen."""
    per_metre = work.fit.camera.pixels_per_metre
    found = []
    person = (work.portrait.person > 0.5).astype(np.uint8)
    face = _face_mask(work).astype(np.uint8)
    for inside, reach in ((person, _OUTLINE_REACH_M), (1 - face, _HAIRLINE_REACH_M)):
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) / per_metre
        found.append(sample(distance[..., None], relief.pixel)[:, 0] < reach)
    outline, hairline = found[0], found[1] & ~relief.is_back
    return outline[relief.triangles].any(1), hairline[relief.triangles].any(1)


def _lined(work: _Work, triangles: Index) -> np.ndarray:
    """[T] bool: the skin but for the lids' margins and the lips, where the coarse lining would show in the gap."""
    template = work.template
    _, margin = _lids(work, reach_m=0.0045)
    open_edge = np.maximum(margin, template.lip)[template.triangles].max(1) > 0.05
    lined = np.zeros(len(triangles), bool)
    skin = (template.triangle_part == Part.SKIN) & ~_under_relief(work)
    lined[: len(template.triangles)] = skin & ~open_edge & ~work.ears[template.triangles].any(1)
    return lined


def _under_relief(work: _Work) -> np.ndarray:
    """[F] bool: scalp and nape, which hair and the relief's back cover; the jaw's underside and
    the throat stay, for the relief begins beyond them."""
    template = work.template
    centre = work.fit.neutral[template.triangles].mean(1)
    ear_plane = float(work.fit.neutral[work.ears, 2].mean())
    brow = work.fit.neutral[template.triangles[template.landmark_triangle[9]], 1].mean()
    covered = (centre[:, 1] > brow) | (centre[:, 2] < ear_plane - 0.005)
    return covered & (template.triangle_part == Part.SKIN) & ~_on_face(work)


def _on_face(work: _Work) -> np.ndarray:
    """[F] bool: skin triangles of the face itself, seen from the front of the neutral head."""
    oval, centre = _oval(work), work.fit.neutral[work.template.triangles].mean(1)
    ahead = centre[:, 2] > oval[:, 2].min() - 0.02
    return _in_oval(oval, centre, 1.06) & ahead & (work.template.triangle_part == Part.SKIN)


def _inner_face(work: _Work) -> Float:
    """[V] 1 well inside the face, where what is dark is brow or beard and not hair."""
    return _in_oval(_oval(work), work.fit.neutral, 0.86).astype(np.float32)


def _oval(work: _Work) -> Float:
    """[n, 3] FaceMesh's oval on the neutral head."""
    template = work.template
    known = [i for i in FACE_OVAL if template.landmark_triangle[i] >= 0]
    corners = template.triangles[template.landmark_triangle[known]]
    weights = template.landmark_barycentric[known]
    return (weights[..., None] * work.fit.neutral[corners]).sum(1)


def _in_oval(oval: Float, points: Float, scale: float) -> np.ndarray:
    """[N] bool: inside the oval, scaled about its middle, seen from the front."""
    middle = oval[:, :2].mean(0)
    return Path(middle + scale * (oval[:, :2] - middle)).contains_points(points[:, :2])


def _paint_head(work: _Work, lattice: Lattice) -> _Painted:
    template, camera = work.template, work.fit.camera
    own = lattice.select(lattice.triangle < len(template.triangles))
    part = template.triangle_part[own.triangle]
    corners = template.triangles[own.triangle]
    colour = np.zeros((len(own), 3), np.float32)
    opacity = np.full(len(own), 0.96, np.float32)

    skin = part == Part.SKIN
    spacing = float(np.median(own.scales[skin, 0])) if skin.any() else _FACE_SPACING
    fill = _skin_colours(work)
    at = (own.barycentric[..., None] * work.posed[corners]).sum(1)
    normal = _normals(work.posed, template.triangles)[own.triangle]
    lid = (own.barycentric * _lids(work)[0][corners]).sum(1)
    trust = _trust(work, at, normal) * (1 - lid)
    mirrored = (own.barycentric[..., None] * work.posed[template.mirror[corners]]).sum(1)
    mirrored_normal = _normals(work.posed, template.triangles)[own.triangle]
    mirrored_normal = _mirrored_normals(work, corners, mirrored_normal)
    twin = work.photo.at(camera.project(mirrored)[:, :2], spacing)
    inner = (own.barycentric * _inner_face(work)[corners]).sum(1)
    lend = np.maximum(like_skin(twin, _skin_tone(work)), inner)
    other = _trust(work, mirrored, mirrored_normal) * (1 - trust) * (1 - lid) * 0.8 * lend
    base = (own.barycentric[..., None] * fill[corners]).sum(1)
    shown = work.photo.at(camera.project(at)[:, :2], spacing)
    rest = 1 - trust - other
    colour[:] = trust[:, None] * shown + other[:, None] * twin + rest[:, None] * base
    _clean_lips(work, own, corners, skin, colour)
    plain = skin & (lid < 0.2)
    colour[plain] = unblurred(own.select(plain), colour[plain], rounds=2)
    on_face = _on_face(work)[own.triangle]
    # Skull and neck outside the person's outline would stand out of the hair or collar: carve.
    outside = work.photo.within(camera.project(at)[:, :2]) & (
        work.photo.person_at(camera.project(at)[:, :2]) < 0.5
    )
    opacity[skin & ~on_face & outside] = 0

    _paint_mouth(work, own, part, colour)
    _paint_eyeballs(work, own, part, colour)
    keep = opacity > 0
    return _Painted(own.select(keep), colour[keep], opacity[keep])


def _lip_colour(work: _Work) -> Float:
    """[3] of both lips' red in the photograph."""
    return np.median(work.photo.at(work.face.landmarks[list(_LIPS), :2], 0.002), 0)


def _clean_lips(work: _Work, own: Lattice, corners: Index, skin: np.ndarray, colour: Float) -> None:
    """Where the photograph shows teeth, the edge of a lip may have caught some: paler and less
    red than the lips are. It takes the lips' colour."""
    tone = _lip_colour(work)
    lip = (own.barycentric * work.template.lip[corners]).sum(1)
    redness = colour[:, 0] - colour[:, 1:].mean(1)
    typical = max(float(tone[0] - tone[1:].mean()), 0.02)
    pale = np.clip((0.75 - redness / typical) / 0.3, 0, 1)
    bright = np.clip((colour.mean(1) - tone.mean() - 0.04) / 0.08, 0, 1)
    amount = (pale * bright * np.clip(lip / 0.4, 0, 1) * skin)[:, None]
    colour += amount * (tone - colour)


def _lining(work: _Work, painted: _Painted, vertices: Float, triangles: Index) -> _Painted:
    """A coarse sheet in the skin's colours just beneath the face: where stretched skin opens
    between its splats, skin shows and not the dark inside of the head."""
    face = _lined(work, triangles)
    fine = painted.lattice
    total = np.zeros((len(triangles), 3))
    np.add.at(total, fine.triangle, painted.colour)
    count = np.bincount(fine.triangle, minlength=len(triangles))
    spacing = np.where(face & (count > 0), _LINING_SPACING, 0)
    sheet = scatter(vertices, triangles, spacing)
    colour = (total / np.maximum(count, 1)[:, None])[sheet.triangle]
    lower = replace(sheet, means=sheet.means - _LINING_BELOW_M * sheet.normals)
    return _Painted(lower, colour.astype(np.float32), np.full(len(sheet), 0.98, np.float32))


def _trust(work: _Work, points: Float, normals: Float) -> Float:
    """[N] 0..1 how far the photograph shows these points of the posed head."""
    pixels = work.fit.camera.project(points)[:, :2]
    return (
        squareness(normals, points, work.fit.camera)
        * unoccluded(points, work.fit.camera, work.depth)
        * np.clip((work.photo.person_at(pixels) - 0.5) * 2, 0, 1)
    ).astype(np.float32)


def _normals(vertices: Float, triangles: Index) -> Float:
    """[T, 3] unit normals, averaged over neighbours so that colours do not show the facets."""
    corners = vertices[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    at_vertex = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(at_vertex, triangles[:, corner], flat)
    smooth = at_vertex[triangles].sum(1)
    return smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-12)


def _mirrored_normals(work: _Work, corners: Index, like: Float) -> Float:
    """[N, 3] normals where the mirrored splats lie."""
    a, b, c = (work.posed[work.template.mirror[corners[:, k]]] for k in range(3))
    flat = -np.cross(b - a, c - a)  # mirroring turns a triangle around
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > 1e-12, flat / np.maximum(norm, 1e-12), like)


def _skin_colours(work: _Work) -> Float:
    """[V, 3] what every vertex of the skin looks like, seen or not."""
    template, camera = work.template, work.fit.camera
    skin = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
    corner_normals = np.zeros_like(work.posed)
    flat = _normals(work.posed, template.triangles)
    for corner in range(3):
        np.add.at(corner_normals, template.triangles[:, corner], flat)
    corner_normals /= np.maximum(np.linalg.norm(corner_normals, axis=1, keepdims=True), 1e-12)
    pixels = camera.project(work.posed)[:, :2]
    seen = work.photo.at(pixels, 0.003)
    lid, margin = _lids(work)
    trust = _trust(work, work.posed, corner_normals) * (1 - lid)
    fallback = _skin_tone(work)
    # Lids take the skin's tone, a little in the shade of the brow; their margin is dark with lashes.
    shade = (0.92 * fallback) * (1 - 0.75 * margin[:, None])
    seen = lid[:, None] * shade + (1 - lid[:, None]) * seen
    trust = np.maximum(trust, 0.9 * lid)
    # Above the oval hair or hat shows, not skin; what lies beneath takes its colour all the same.
    lend = np.maximum(like_skin(seen, fallback), _inner_face(work))
    return fill_skin(
        work.fit.neutral, template.triangles[skin], template.mirror, seen, trust, lend, fallback
    ).colour


def _lids(work: _Work, reach_m: float = 0.0027) -> tuple[Float, Float]:
    """[V] 0..1 twice: lid skin that an open eye folds away, so that the photograph shows it as a
    dark line or not at all; and the upper lids' margin (`reach_m` around the line of the lashes)."""
    template = work.template
    lid = np.zeros(len(template.vertices), np.float32)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        moved = np.linalg.norm(template.expression_basis[ARKIT_NAMES.index(name)], axis=1)
        lid += np.clip((moved - 0.0015) / 0.003, 0, 1)
    known = [i for i in _LASH_LINES if template.landmark_triangle[i] >= 0]
    corners = template.triangles[template.landmark_triangle[known]]
    lashes = (template.landmark_barycentric[known][..., None] * work.fit.neutral[corners]).sum(1)
    distance, _ = cKDTree(lashes).query(work.fit.neutral)
    margin = np.clip((reach_m - distance) / 0.0012, 0, 1) * (lid > 0)
    return np.minimum(lid, 1), margin.astype(np.float32)


def _skin_tone(work: _Work) -> Float:
    """[3] the cheeks' colour in the photograph."""
    cheeks = [50, 280, 101, 330, 205, 425]
    return np.median(work.photo.at(work.face.landmarks[cheeks, :2], 0.01), 0)


def _paint_mouth(work: _Work, own: Lattice, part: np.ndarray, colour: Float) -> None:
    """Teeth, tongue and cavity in their own colours under the template's own light; only the
    lips' lining takes the photograph's lip colour."""
    template = work.template
    corners = template.triangles[own.triangle]
    light = (own.barycentric * template.shade[corners]).sum(1)[:, None]
    red = (own.barycentric * template.lip[corners]).sum(1)[:, None]
    lips = _lip_colour(work)
    for kind, tint in (
        (Part.MOUTH, _CAVITY + red * (0.8 * lips - _CAVITY)),
        (Part.TEETH_UPPER, np.broadcast_to(_TOOTH, (len(own), 3))),
        (Part.TEETH_LOWER, np.broadcast_to(0.95 * _TOOTH, (len(own), 3))),
        (Part.TONGUE, np.broadcast_to(_TONGUE, (len(own), 3))),
    ):
        chosen = part == kind
        colour[chosen] = (tint * light)[chosen]


def _paint_eyeballs(work: _Work, own: Lattice, part: np.ndarray, colour: Float) -> None:
    ball = work.fit.neutral[work.template.vertex_part == Part.EYE_LEFT]
    radius = float(np.ptp(ball[:, 1])) / 2 * work.fit.camera.pixels_per_metre
    colours = eye_colours(work.portrait.image, work.face, radius)
    for eye in (Part.EYE_LEFT, Part.EYE_RIGHT):
        chosen = part == eye
        ball = work.fit.neutral[work.template.vertex_part == eye]
        middle = (ball.max(0) + ball.min(0)) / 2
        outward = own.means[chosen] - middle
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        colour[chosen] = paint_eyes(outward, colours)


def _paint_relief(work: _Work, relief: Relief, lattice: Lattice) -> _Painted:
    camera, photo = work.fit.camera, work.photo
    first = len(work.template.triangles)
    own = lattice.select(lattice.triangle >= first)
    corners = relief.triangles[own.triangle - first]
    pixels = (own.barycentric[..., None] * relief.pixel[corners]).sum(1)
    back = relief.is_back[corners].any(1)
    skin = _skin_tone(work)
    hidden = behind(photo.image, photo.person, _face_mask(work), skin, camera.pixels_per_metre)
    rear = PhotoColours(hidden, np.ones_like(photo.person), camera.pixels_per_metre)
    # Where the shell runs away from the camera a pixel would be drawn out into a streak.
    normal = _normals(relief.vertices, relief.triangles)[own.triangle - first]
    square = squareness(normal, own.means, camera)[:, None]
    shown = square * photo.at(pixels, _HAIR_SPACING) + (1 - square) * photo.at(pixels, 0.02)
    shown[~back] = unblurred(own.select(~back), shown[~back], rounds=2)
    colour = np.where(back[:, None], 0.88 * rear.at(pixels, _BACK_SPACING), shown)
    opacity = 0.96 * _soft_border(work, pixels, back) * _fade(own.means)
    colour, opacity = colour.astype(np.float32), opacity.astype(np.float32)
    keep = opacity > 0.02
    return _Painted(own.select(keep), colour[keep], opacity[keep])


def _soft_border(work: _Work, pixels: Float, back: np.ndarray) -> Float:
    """[N] 0..1: soft at the person's outline, towards the face, and where the picture ends."""
    per_metre = work.fit.camera.pixels_per_metre
    outline = np.clip((work.photo.person_at(pixels) - 0.25) / 0.5, 0, 1)
    inside_face = cv2.distanceTransform(_face_mask(work).astype(np.uint8), cv2.DIST_L2, 5)
    depth_in_face = sample(inside_face[..., None], pixels)[:, 0] / per_metre
    face = np.where(back, 1, np.clip(1 - depth_in_face / _TUCK_M, 0, 1))
    height, width = work.depth.shape
    x, y = pixels[:, 0], pixels[:, 1]
    to_edge = np.minimum(np.minimum(x, width - x), height - y) / per_metre
    return outline * face * np.clip(to_edge / _EDGE_FADE_M, 0, 1)


def _fade(points: Float) -> Float:
    """[N] 1 down to the shoulders, then dissolving."""
    return np.clip((points[:, 1] + _FADE_TO_M) / (_FADE_TO_M - _FADE_FROM_M), 0, 1)


def _avatar(
    work: _Work,
    relief: Relief,
    painted: list[_Painted],
    vertices: Float,
    triangles: Index,
    name: str,
) -> Avatar:
    fit = work.fit
    lattices = [p.lattice for p in painted]
    triangle = np.concatenate([lattice.triangle for lattice in lattices])
    position, rotation, scale = bind(
        vertices,
        triangles,
        triangle,
        np.concatenate([lattice.means for lattice in lattices]),
        np.concatenate([lattice.rotations for lattice in lattices]),
        np.concatenate([lattice.scales for lattice in lattices]),
    )
    yaw, pitch, roll = fit.yaw_pitch_roll
    return Avatar(
        name=name,
        vertices=vertices,
        triangles=triangles,
        neck_weights=np.concatenate(
            [work.template.neck_weights, _neck_weights(work, relief.vertices)]
        ).astype(np.float32),
        expression_gain=np.ones(52, np.float32),
        bound_triangle=triangle.astype(np.int32),
        bound_position=position,
        bound_rotation=rotation,
        bound_scale=scale,
        opacity=np.concatenate([p.opacity for p in painted]),
        colour=np.concatenate([p.colour for p in painted]),
        fit={
            "identity": fit.identity.tolist(),
            "expression": fit.expression.tolist(),
            "gaze": fit.gaze.tolist(),
            "head_yaw_pitch_roll": [yaw, pitch, roll],
            "camera_rotation": fit.camera.rotation.ravel().tolist(),
            "camera_translation": fit.camera.translation.tolist(),
            "camera_focal_px": [fit.camera.focal_px],
            "camera_centre_px": list(fit.camera.centre_px),
            "landmark_error": [fit.landmark_error],
        },
        provenance={"template": work.template.digest},
    )


def _neck_weights(work: _Work, points: Float) -> Float:
    """[R] the relief turns with the head above the chin, stays with the shoulders below the neck.

    Height alone decides, from the template's own weights at the back of its neck, so that hair
    beside the neck bends as the neck does.
    """
    skin = work.template.vertex_part == Part.SKIN
    heights = work.fit.neutral[skin, 1]
    weights = work.template.neck_weights[skin]
    edges = np.linspace(heights.min(), heights.max(), 40)
    band = np.clip(np.digitize(heights, edges) - 1, 0, 38)
    total = np.bincount(band, weights, 39)
    count = np.bincount(band, minlength=39)
    filled = count > 0
    middles = (edges[:-1] + edges[1:])[filled] / 2
    mean = np.maximum.accumulate(total[filled] / count[filled])
    return np.interp(points[:, 1], middles, mean).astype(np.float32)
