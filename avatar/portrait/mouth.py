"""Colours inside the mouth, by rule: a photograph shows little of it, and that is in the way.

From the photograph come the lips' colour, how bright and how colourful its light is and, where it
shows teeth, their tint.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head.rasterise import rasterise
from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.eyes import photographed_eyes
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.mesh import between_corners
from avatar.portrait.openings import INNER_LIPS, from_beside, mouth_opening, parted
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import ARKIT_NAMES, Float

_TEETH = (Part.TEETH_UPPER, Part.TEETH_LOWER)
_CAVITY = np.array([0.46, 0.18, 0.17], np.float32)
_TOOTH = np.array([0.93, 0.89, 0.82], np.float32)
_GUMS = np.array([0.74, 0.42, 0.41], np.float32)
_TONGUE = np.array([0.72, 0.39, 0.38], np.float32)
_IN_THE_DARK = np.array([1.0, 1.3, 1.3], np.float32)
"""Exponents of the shade: light that has bounced about in a mouth is red (by eye)."""
_BETWEEN_TEETH = np.array([1.0, 1.15, 1.25], np.float32)
"""The same on teeth, whose shadows are yellow first."""
_TOOTH_TO_WHITE = 1.15
"""How bright teeth look against the whites of the eyes; nor are they darker than the skin."""
_DULLEST, _BRIGHTEST = 0.40, 0.90
_COLOURFUL = 0.10
"""Of a skin tone's red over its blue, in a colour photograph; a grey one has 0."""

_LEAST_OPEN = 0.12
"""Height of the opening between the lips against its width, below which no tooth is believed."""
_MEETING_SHADE = np.array([0.45, 0.56, 0.54], np.float32)
_MEETING_WIDTH_M, _MEETING_STEP_M = 0.0010, 0.00025
"""Of the light that lips take from each other at their edge, how far from it, and how finely the
line where they meet is sought."""
_LEAST_PIXELS, _MANY_PIXELS = 12, 60
"""Of teeth in the photograph: none believed, all believed."""
_LEAST_SHARE = 0.2
"""Of the opening that teeth must fill."""
_PALE, _LIT = 0.45, 1.05
"""Chroma over brightness that teeth stay below, and brightness over the lips' that they exceed."""


def paint_mouth(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Teeth, gums, tongue and cavity in their own colours under the template's own light."""
    template = sitter.template
    tooth = tooth_colour(sitter)
    light = float(tooth.mean() / _TOOTH.mean())
    cavity = template.cavity[own.triangle]
    for chosen, tint in (
        (cavity, _lit(_CAVITY, light, sitter)),
        (part == Part.TEETH_UPPER, tooth),
        (part == Part.TEETH_LOWER, 0.95 * tooth),
        (part == Part.TONGUE, _lit(_TONGUE, light, sitter)),
        (part == Part.GUMS, _lit(_GUMS, light, sitter)),
    ):
        corners = template.triangles[own.triangle[chosen]]
        weights = own.barycentric[chosen]
        if chosen is cavity:
            red = between_corners(weights, template.lip[corners])[:, None]
            tint = tint + red * (0.85 * sitter.lip_colour - tint)
        shade = between_corners(weights, template.shade[corners])[:, None]
        bounced = _BETWEEN_TEETH if np.isin(part[chosen], _TEETH).all() else _IN_THE_DARK
        colour[chosen] = tint * np.maximum(shade, 0) ** bounced


def tooth_colour(sitter: Sitter) -> Float:
    """[3] of front teeth in the photograph's light: as it shows them, else judged by the eyes."""
    white = photographed_eyes(sitter).white
    level = max(_TOOTH_TO_WHITE * float(white.mean()), float(sitter.skin_tone.mean()))
    level = float(np.clip(level, _DULLEST, _BRIGHTEST))
    guess = _lit(_TOOTH * white / white.mean(), level / float(_TOOTH.mean()), sitter)
    shown, trust = photographed_teeth(sitter.portrait.image, sitter.face, sitter.lip_colour)
    return (guess + trust * (shown - guess)).astype(np.float32)


def without_teeth(sitter: Sitter, own: Lattice, colour: Float) -> Float:
    """[N, 3] colours of skin, with the lips' own where the photograph shows what is between them.

    The edge of a fitted lip is never exact: what lies in the photographed opening, or on its
    border, must not be painted on lips. A closed mouth's dark line stays, for it belongs there.
    """
    grown = mouth_opening(sitter.face.landmarks, *sitter.portrait.image.shape[:2])
    if not grown.any():
        return colour
    template, camera = sitter.template, sitter.fit.camera
    corners = template.triangles[own.triangle]
    at = camera.project(between_corners(own.barycentric, sitter.posed[corners]))[:, :2]
    lip = np.clip(between_corners(own.barycentric, template.lip[corners]) / 0.4, 0, 1)
    amount = sample(grown[..., None], at)[:, 0] * lip
    beside = from_beside(own, colour, (amount < 0.05) & (lip > 0.9))
    # Where they meet, lips lie in each other's shade; without it a shut mouth has no line.
    outside = np.maximum(_from_meeting_line(sitter, own), 0)
    ring_at = sitter.at_landmarks(INNER_LIPS)[:, 0]
    to_corner = np.minimum(own.means[:, 0] - ring_at.min(), ring_at.max() - own.means[:, 0])
    shade = np.exp(-((outside / _MEETING_WIDTH_M) ** 2)) * np.clip(to_corner / 0.004, 0, 1)
    shade = shade[:, None]
    beside = beside * (1 - _MEETING_SHADE * shade)
    return (colour + amount[:, None] * (beside - colour)).astype(np.float32)


def _from_meeting_line(sitter: Sitter, own: Lattice) -> Array:
    """[N] metres that points of the lips lie outside the line where the shut lips meet; below 0
    inside. Seen from the front of the neutral head."""
    template, neutral = sitter.template, sitter.fit.neutral
    falls = -template.expression_basis[ARKIT_NAMES.index("jawOpen"), :, 1]
    lower = falls > 0.5 * falls[template.lip > 0.9].max()
    lips = template.triangles[sitter.skin & (template.lip[template.triangles].max(1) > 0)]
    low, high = neutral[lips].min((0, 1)), neutral[lips].max((0, 1))
    columns, rows = np.ceil((high - low)[:2] / _MEETING_STEP_M).astype(int)
    points = (neutral - low) / _MEETING_STEP_M
    points[:, 2] = points[:, 2].max() + 1 - points[:, 2]
    front = rasterise(points, lips, int(columns), int(rows)).triangle  # row 0 lowest
    of_lower = (front >= 0) & (lower[lips].mean(1) > 0.5)[np.maximum(front, 0)]
    any_lower = of_lower.any(0)
    line = np.where(any_lower, rows - np.argmax(of_lower[::-1], 0), np.nan)
    known = np.flatnonzero(any_lower)
    known = known[len(known) // 12 : -len(known) // 12]  # at the corners it bends down the chin
    line = np.interp(np.arange(columns), known, line[known]) * _MEETING_STEP_M + low[1]
    x = low[0] + (np.arange(columns) + 0.5) * _MEETING_STEP_M
    above = own.means[:, 1] - np.interp(own.means[:, 0], x, line)
    is_lower = between_corners(own.barycentric, lower[template.triangles[own.triangle]] * 1.0) > 0.5
    return np.where(is_lower, -above, above)


def photographed_teeth(image: Float, face: FoundFace, lip_colour: Array) -> tuple[Float, float]:
    """[3] the tint of the teeth that [H, W, 3] shows between the lips, and 0..1 how sure it is.

    Teeth are what is paler and brighter than the lips inside their opening, a little inset; their
    tint is the median of the brighter half, for lips shade the rest.
    """
    nothing = np.zeros(3, np.float32), 0.0
    ring = face.landmarks[list(INNER_LIPS), :2]
    if parted(face.landmarks) < _LEAST_OPEN:
        return nothing
    middle = ring.mean(0)
    inset = middle + (ring - middle) * 0.85
    left, top = np.floor(inset.min(0)).astype(int)
    right, bottom = np.ceil(inset.max(0)).astype(int) + 1
    if left < 0 or top < 0 or right > image.shape[1] or bottom > image.shape[0]:
        return nothing
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [np.round(inset - (left, top)).astype(np.int32)], 1.0)
    inside = image[top:bottom, left:right][mask > 0]
    brightness = inside.mean(1)
    paleness = np.ptp(inside, axis=1) / np.maximum(brightness, 1e-3)
    lip_paleness = float(np.ptp(lip_colour)) / max(float(lip_colour.mean()), 1e-3)
    # In a grey photograph everything is pale: there brightness alone has to tell.
    pale = paleness < max(min(_PALE, 0.75 * lip_paleness), 0.12)
    teeth = inside[pale & (brightness > max(_LIT * float(lip_colour.mean()), 0.3))]
    if len(teeth) < max(_LEAST_PIXELS, _LEAST_SHARE * len(inside)):
        return nothing
    bright = teeth[teeth.mean(1) >= np.median(teeth.mean(1))]
    trust = (len(teeth) - _LEAST_PIXELS) / (_MANY_PIXELS - _LEAST_PIXELS)
    return np.median(bright, 0).astype(np.float32), float(np.clip(trust, 0, 1))


def _lit(tint: Float, light: float, sitter: Sitter) -> Float:
    """[3] a colour at so much light, as colourful as the photograph is."""
    tone = sitter.skin_tone
    colourful = float(np.clip((tone[0] - tone[2]) / _COLOURFUL, 0, 1))
    grey = tint.mean()
    return np.clip(light * (grey + colourful * (tint - grey)), 0, 1).astype(np.float32)
