"""Eyeballs painted from the photograph: iris and white in its colours, everything else by rule.

The iris is unwrapped to radius and angle from both eyes of the photograph; what a highlight or a
lid hides is taken from the other eye, mirrored, or from other angles. The fewer pixels the irises
have, the more a drawn one takes their place.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head.eyeball import IRIS_ANGLE
from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import sample
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE, FoundFace
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.portrait.painted import Painted
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred
from avatar.types import Float

_PUPIL = np.array([0.025, 0.022, 0.022], np.float32)
_HIGHLIGHT = np.array([0.97, 0.97, 0.98], np.float32)
_HIGHLIGHT_AT = (-0.13, 0.17)
"""Where a lamp above and beside the viewer shines, in eyeball radii from the middle (x, y)."""
_HIGHLIGHT_RADIUS = 0.045
"""Of the eyeball's: 1.4 mm across, a window some metres away."""
_HIGHLIGHT_OPACITY = 0.85
_HIGHLIGHT_ABOVE = 1.006
"""Of the eyeball's radius; the lids keep 1.015."""
_PUPIL_SHARE = 0.38
"""Of the iris' radius, as in a lit room."""
_SMALLEST_IRIS, _LARGEST_IRIS = np.radians(21.0), np.radians(29.0)
"""Radians from the axis: what a measured rim is held within."""
_RINGS, _ANGLES = 10, 48
"""Of the unwrapped iris."""
_RING_SHARES = np.linspace(_PUPIL_SHARE, 0.97, _RINGS)
_COARSE_PX, _FINE_PX = 5.0, 14.0
"""Radius of the photographed iris: up to the first it is drawn by rule, from the second it is the
photograph's."""
_LID_INSET = 0.08
"""Share of the opening, at its border, that lashes and the lid's shadow may cover."""
_GLINT = 1.45
"""Times the median of its ring: a highlight."""
_WHITE_UNDER_SKIN = 0.93
"""The white is no brighter than the cheeks of a fair skin, for lids shade it."""
_DARKEST_WHITE = 0.55
_REDNESS = np.array([1.0, 0.80, 0.77], np.float32)
"""Of the white towards the corners."""
_CARUNCLE = np.array([0.95, 0.66, 0.62], np.float32)
"""Times the white: the flesh in the inner corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeColours:
    """sRGB 0..1."""

    iris: Float
    """[3]"""
    white: Float
    """[3]"""
    iris_angle: float = float(IRIS_ANGLE)
    """Of the iris' rim from the optical axis, radians."""
    texture: Float = field(default_factory=lambda: np.ones((_RINGS, _ANGLES, 3), np.float32))
    """[rings, angles, 3] times `iris`, of the left eye: from the pupil's rim outwards, and from
    the avatar's left upwards."""
    fine: float = 0.0
    """0..1: how far to believe `texture` rather than the drawn iris."""


def eye_colours(image: Float, face: FoundFace, eye_radius_px: float) -> EyeColours:
    """What the photograph says of the eyes, as medians over both.

    Of the iris the darker half of its lower ring, away from the pupil; of the white the brighter
    pixels between iris and corners. The size of the iris is its rim's against the eyeball's,
    whose radius in the picture the fit knows.
    """
    iris, white, radii = [], [], []
    for rim, opening in ((IRIS_RIGHT, RIGHT_EYE), (IRIS_LEFT, LEFT_EYE)):
        middle = face.landmarks[rim[0], :2]
        radius = float(np.mean([np.linalg.norm(face.landmarks[i, :2] - middle) for i in rim[1:]]))
        radii.append(radius)
        angle = np.linspace(0.15 * np.pi, 0.85 * np.pi, 9)  # image y grows downwards
        for share in (0.55, 0.68, 0.8):
            ring = middle + share * radius * np.stack([np.cos(angle), np.sin(angle)], 1)
            iris.append(sample(image, ring.astype(np.float32)))
        for corner in (opening[0], opening[3]):
            to_corner = face.landmarks[corner, :2] - middle
            along = np.linspace(0.45, 0.75, 6)[:, None]
            white.append(sample(image, (middle + along * to_corner).astype(np.float32)))
    irises, whites = np.concatenate(iris), np.concatenate(white)
    # Highlights and the white beyond a small iris only ever brighten: believe the darker half.
    darkness = irises.mean(1)
    irises = irises[darkness <= np.quantile(darkness, 0.5)]
    brightness = whites.mean(1)
    bright = whites[brightness >= np.quantile(brightness, 0.6)]
    found_white = np.median(bright, 0)
    # A painter's or a small photograph's white may be mostly lid: keep it pale.
    grey = np.full(3, float(np.clip(0.95 * found_white.mean(), 0.52, 0.80)))
    rim = np.arcsin(np.clip(np.mean(radii) / eye_radius_px, 0, 0.9))
    colour = np.clip(np.median(irises, 0), 0.03, 0.85).astype(np.float32)
    texture, found = unwrapped_iris(image, face)
    fine = (float(np.mean(radii)) - _COARSE_PX) / (_FINE_PX - _COARSE_PX)
    return EyeColours(
        iris=colour,
        white=(0.4 * np.clip(found_white, 0.45, 0.9) + 0.6 * grey).astype(np.float32),
        iris_angle=float(np.clip(rim, _SMALLEST_IRIS, _LARGEST_IRIS)),
        texture=np.clip(texture / colour, 0.3, 2.2).astype(np.float32),
        fine=float(np.clip(fine, 0, 1)) * found,
    )


def unwrapped_iris(image: Float, face: FoundFace) -> tuple[Float, float]:
    """[rings, angles, 3] colours of the left iris, and 0..1: how much of it was to be seen.

    Both eyes are read, the right one mirrored. A place is hidden by a lid where it lies outside
    the opening, by a highlight where it outshines its ring. It is then taken from the other eye,
    else from its ring.
    """
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    found, seen = [], []
    for rim, opening, side in ((IRIS_LEFT, LEFT_LIDS, 1), (IRIS_RIGHT, RIGHT_LIDS, -1)):
        middle = face.landmarks[rim[0], :2]
        radius = float(np.mean([np.linalg.norm(face.landmarks[i, :2] - middle) for i in rim[1:]]))
        # The picture's right is the avatar's left; its rows grow downwards.
        towards = np.stack([side * np.cos(angle), -np.sin(angle)], 1)
        points = middle + radius * _RING_SHARES[:, None, None] * towards
        colours = sample(image, points.reshape(-1, 2).astype(np.float32))
        colours = colours.reshape(_RINGS, _ANGLES, 3)
        around = face.landmarks[list(opening), :2]
        open_here = _inside(points.reshape(-1, 2), around).reshape(_RINGS, _ANGLES)
        found.append(colours)
        seen.append(open_here & ~_glints(colours, open_here))
    first, second = found
    sees_first, sees_second = seen
    both = np.where(sees_first[..., None], first, second)
    mixed = np.where((sees_first & sees_second)[..., None], (first + second) / 2, both)
    known = sees_first | sees_second
    texture = np.zeros_like(mixed)
    overall = np.median(mixed[known], 0) if known.any() else np.zeros(3)
    for ring in range(_RINGS):
        mine = known[ring]
        usual = np.median(mixed[ring, mine], 0) if mine.sum() >= 4 else overall
        texture[ring] = np.where(mine[:, None], mixed[ring], usual)
    return texture.astype(np.float32), float(known.mean()) if known.mean() > 0.3 else 0.0


def _inside(points: Array, around: Array) -> Mask:
    """[N] whether [N, 2] pixels lie inside the opening `around` [n, 2], a little inset."""
    middle = around.mean(0)
    outline = (middle + (around - middle) * (1 - _LID_INSET)).astype(np.float32)
    inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in points]
    return np.array(inside)


def _glints(colours: Array, seen: Mask) -> Mask:
    """[rings, angles] what outshines the median of the part of its ring that is `seen`."""
    brightness = colours.mean(2)
    usual = np.array(
        [
            np.median(row[mask]) if mask.any() else np.inf
            for row, mask in zip(brightness, seen, strict=True)
        ]
    )
    return brightness > np.maximum(_GLINT * usual, usual + 0.06)[:, None]


def paint_eyes(directions: Array, colours: EyeColours, side: int = 1) -> Float:
    """[N, 3] colours of points on an eyeball, without its highlight.

    `directions` [N, 3]: unit vectors from the eyeball's centre in its own frame, axis +z. `side`:
    1 for the left eye, -1 for the right, which is its mirror image.
    """
    directions = directions * (side, 1, 1)
    angle = np.arccos(np.clip(directions[:, 2], -1, 1))
    turn = np.arctan2(directions[:, 1], directions[:, 0])
    rim, pupil = colours.iris_angle, _PUPIL_SHARE * colours.iris_angle
    inward = np.clip((angle - pupil) / (rim - pupil), 0, 1)
    fibres = 1 + 0.12 * np.sin(23 * turn + 3 * np.sin(5 * turn)) * np.sin(np.pi * inward)
    fibres += 0.06 * np.sin(41 * turn + 2 * np.sin(3 * turn + 9 * inward))
    collar = 1 + 0.12 * np.exp(-(((inward - 0.30) / 0.12) ** 2))
    drawn = colours.iris * ((1.06 - 0.20 * inward) * fibres * collar)[:, None]
    shown = colours.iris * _wrapped(colours.texture, inward, turn)
    # What a photograph of some pixels cannot show is drawn on it, fainter.
    iris = colours.fine * shown * (1 + 0.4 * (fibres[:, None] - 1)) + (1 - colours.fine) * drawn
    limbus = 1 - (0.55 - 0.25 * colours.fine) * _step(inward, 0.70, 1.0)
    iris = np.clip(iris * limbus[:, None], 0, 1)
    # Whites darken towards the corners and under the upper lid, whose shadow falls on them.
    height = directions[:, 1]
    lid = 1 - 0.55 * _step(height, 0.04, 0.30) - 0.12 * _step(-height, 0.2, 0.45)
    across = np.abs(directions[:, 0])
    corner = 1 - 0.30 * _step(across, 0.40, 0.85)
    red = (0.6 * _step(across, 0.42, 0.80))[:, None] * (_REDNESS - 1) + 1
    white = colours.white * red * (lid * corner)[:, None]
    flesh = colours.white * _CARUNCLE * lid[:, None]
    white = _mix(white, flesh, 0.8 * _step(-directions[:, 0], 0.62, 0.78))
    result = _mix(white, iris * lid[:, None], 1 - _step(angle, 0.93 * rim, 1.07 * rim))
    result = _mix(result, _PUPIL, 1 - _step(angle, 0.82 * pupil, 1.12 * pupil))
    return np.clip(result, 0, 1).astype(np.float32)


def _wrapped(texture: Float, inward: Array, turn: Array) -> Float:
    """[N, 3] the unwrapped iris at `inward` 0..1 between pupil and rim and `turn` radians."""
    ring = np.clip(inward, 0, 1) * (_RINGS - 1)
    around = (turn / (2 * np.pi)) % 1 * _ANGLES
    low = np.minimum(ring.astype(int), _RINGS - 2)
    first = around.astype(int) % _ANGLES
    out, along = (ring - low)[:, None], (around - np.floor(around))[:, None]
    after = (first + 1) % _ANGLES
    inner = (1 - along) * texture[low, first] + along * texture[low, after]
    outer = (1 - along) * texture[low + 1, first] + along * texture[low + 1, after]
    return ((1 - out) * inner + out * outer).astype(np.float32)


def _step(value: Array, low: float, high: float) -> Array:
    """[N] from 0 at `low` to 1 at `high`, smoothly."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(below: Array, above: Array, weight: Array) -> Array:
    """[N, 3] `above` laid over `below` with [N] weights."""
    return below + weight[:, None] * (above - below)


def photographed_eyes(sitter: Sitter) -> EyeColours:
    """What the sitter's photograph says of the eyes, the white in the light of the face."""
    neutral = sitter.fit.neutral
    height = float(np.ptp(neutral[sitter.template.vertex_part == Part.EYE_LEFT, 1]))
    radius_px = height / 2 * sitter.fit.camera.pixels_per_metre
    colours = eye_colours(sitter.portrait.image, sitter.face, radius_px)
    most = max(_WHITE_UNDER_SKIN * float(sitter.skin_tone.mean()), _DARKEST_WHITE)
    dimmed = min(1.0, most / max(float(colours.white.mean()), 1e-3))
    return replace(colours, white=colours.white * np.float32(dimmed))


def paint_eyeballs(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Both eyes alike, in the photograph's colours."""
    template, neutral = sitter.template, sitter.fit.neutral
    colours = photographed_eyes(sitter)
    for eye, side in ((Part.EYE_LEFT, 1), (Part.EYE_RIGHT, -1)):
        chosen = part == eye
        outward = own.means[chosen] - _centre(neutral[template.vertex_part == eye])
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        colour[chosen] = unblurred(own.select(chosen), paint_eyes(outward, colours, side), rounds=2)


def paint_highlights(sitter: Sitter) -> Painted:
    """The lamp's reflection on both corneas.

    A reflection stays where lamp and viewer are while the eye turns below it. It is bound to the
    gums of the upper teeth, which nothing but the head itself moves, and lies just above the
    eyeball's surface, under the lids.
    """
    template, neutral = sitter.template, sitter.fit.neutral
    anchors = np.flatnonzero(template.triangle_part == Part.GUMS)
    still = np.abs(template.expression_basis[:, template.triangles[anchors]]).max((0, 2, 3))
    anchor = int(anchors[still.argmin()])
    means, widths = [], []
    for eye in (Part.EYE_LEFT, Part.EYE_RIGHT):
        ball = neutral[template.vertex_part == eye]
        radius = float(np.ptp(ball[:, 1])) / 2
        x, y = _HIGHLIGHT_AT
        out = np.array([x, y, np.sqrt(1 - x * x - y * y)])
        means.append(_centre(ball) + radius * _HIGHLIGHT_ABOVE * out)
        widths.append(radius * _HIGHLIGHT_RADIUS / 2)
    count = len(means)
    scales = np.stack([widths, widths, np.array(widths) * 0.2], 1)
    # The third axis, the thin one, points to the front: no turn.
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1))
    return Painted(
        lattice=Lattice(
            triangle=np.full(count, anchor, np.int32),
            barycentric=np.full((count, 3), 1 / 3, np.float32),
            means=np.array(means, np.float32),
            rotations=rotations,
            scales=scales.astype(np.float32),
            normals=np.tile(np.array([0, 0, 1], np.float32), (count, 1)),
        ),
        colour=np.tile(_HIGHLIGHT, (count, 1)),
        opacity=np.full(count, _HIGHLIGHT_OPACITY, np.float32),
    )


def _centre(ball: Array) -> Array:
    """[3] of an eyeball's vertices."""
    return (ball.max(0) + ball.min(0)) / 2
