"""Colours inside the mouth, by rule: a photograph shows little of it, and that is in the way.

From the photograph come the lips' colour, how bright and how colourful its light is and, where it
shows teeth, their tint.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from avatar.head.template import Part
from avatar.lip_shadow import lower_lip
from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.eyes import photographed_eyes
from avatar.portrait.landmarks import LIPS, OUTER_LIPS, FoundFace
from avatar.portrait.mesh import between_corners
from avatar.portrait.openings import INNER_LIPS, from_beside, lips_parted, mouth_opening, parted
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import Float

_TEETH = (Part.TEETH_UPPER, Part.TEETH_LOWER)
_CAVITY = np.array([0.46, 0.18, 0.17], np.float32)
_TOOTH = np.array([0.93, 0.89, 0.82], np.float32)
_GUMS = np.array([0.74, 0.42, 0.41], np.float32)
_TONGUE = np.array([0.72, 0.39, 0.38], np.float32)
_IN_THE_DARK = np.array([1.0, 1.3, 1.3], np.float32)
"""Exponents of the shade: light that has bounced about in a mouth is red (by eye)."""
_BETWEEN_TEETH = np.array([1.0, 1.25, 1.35], np.float32)
"""The same on teeth, whose shadows are yellow first."""
_TOOTH_TO_WHITE, _TOOTH_TO_SKIN = 1.2, 1.12
"""How bright teeth look against the whites of the eyes, which lids and lashes shade, and against
the skin: the brighter counts. In the astronaut's photograph 1.26 and 1.18."""
_DULLEST, _BRIGHTEST = 0.40, 0.90
_COLOURFUL = 0.10
"""Of a skin tone's red over its blue, in a colour photograph; a grey one has 0."""

_LEAST_OPEN = 0.12
"""Height of the opening between the lips against its width, below which no tooth is believed."""
_LIP_BORDER_M = 0.0012
"""How far from its place the outer border of the red may lie."""
_LEAST_PIXELS, _MANY_PIXELS = 12, 60
"""Of teeth in the photograph: none believed, all believed."""
_LEAST_SHARE = 0.2
"""Of the opening that teeth must fill."""
_FEW_PIXELS, _ENOUGH_PIXELS = 6.0, 12.0
"""Height of a lip's red beside an opening: up to the first every pixel is half tooth or half skin,
from the second on each is believed."""
_COLUMNS = (((37, 82), (39, 81), (0, 13), (269, 311), (267, 312)),
            ((84, 87), (181, 178), (17, 14), (405, 402), (314, 317)))  # fmt: skip
"""FaceMesh's points across the upper and the lower lip: of the outer border, of the inner one."""
_ACROSS_LIP = (0.0, 0.2, 0.4, 0.6, 0.8)
"""From the outer to the inner border of the red: where its colour is sought."""
_SURELY_RED = 2
"""How many of these, the reddest, are taken for neither tooth nor skin."""
_CORNERS, _CORNER_SHARE = (61, 291), 0.15
"""FaceMesh's corners of the mouth, and the share of its width within which the red fades there."""
_RED_FROM = (0.0, 0.3)
"""Likewise: where skin ends and where lip is sure."""
_OWN_SHADES = 0.4
"""Exponent: how much of a photographed lip's light and shade stays."""
_WET, _WET_FROM = 0.34, 0.5
"""Of its light that the inner border loses, whence the other lip's shadow falls when they meet."""
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
    level = max(
        _TOOTH_TO_WHITE * float(white.mean()), _TOOTH_TO_SKIN * float(sitter.skin_tone.mean())
    )
    level = float(np.clip(level, _DULLEST, _BRIGHTEST))
    guess = _lit(_TOOTH * white / white.mean(), level / float(_TOOTH.mean()), sitter)
    shown, trust = photographed_teeth(sitter.portrait.image, sitter.face, sitter.lip_colour)
    return (guess + trust * (shown - guess)).astype(np.float32)


def lips_own(sitter: Sitter, own: Lattice, colour: Float) -> Float:
    """[N, 3] colours of skin, with lips in the colours of lips where the photograph parts them.

    The edge of a fitted lip is never exact, and a smile's lips are thinner than those at rest: what
    lies in the photographed opening, or on its border, must not be painted on lips, nor the skin
    beside them. There they take what the nearest of the photographed red has. A closed mouth's
    dark line stays, for it belongs there; lips that were apart get theirs where they meet
    (`avatar.lip_shadow`).
    """
    if not lips_parted(sitter.face.landmarks):
        return colour
    few = few_pixels(sitter)
    landmarks, shape = sitter.face.landmarks, sitter.portrait.image.shape[:2]
    within = np.zeros((*shape, 1), np.float32)
    cv2.fillPoly(within, [np.round(landmarks[list(OUTER_LIPS), :2]).astype(np.int32)], 1.0)
    template, camera = sitter.template, sitter.fit.camera
    corners = template.triangles[own.triangle]
    at = camera.project(between_corners(own.barycentric, sitter.posed[corners]))[:, :2]
    lip = between_corners(own.barycentric, template.lip[corners])
    teeth = sample(mouth_opening(landmarks, *shape)[..., None], at)[:, 0]
    blur = max(_LIP_BORDER_M * camera.pixels_per_metre, 0.3)
    soft: Any = cv2.GaussianBlur(within, (0, 0), blur)
    red = sample(soft[..., None], at)[:, 0]
    skin = np.clip((lip - 0.6) / 0.3, 0, 1) * np.clip((0.7 - red) / 0.3, 0, 1)
    lower = between_corners(own.barycentric, lower_lip(template)[corners].astype(np.float32))
    skin = skin * (1 - few[(lower > 0.5).astype(int)])
    amount = np.maximum(teeth * np.clip(lip / 0.4, 0, 1), skin)[:, None]
    beside = from_beside(own, colour, (teeth < 0.05) & (lip > 0.9) & (red > 0.75))
    mended = (colour + amount * (beside - colour)).astype(np.float32)
    depth = into_the_red(landmarks, at)
    return _in_lip_tones(sitter, mended, lower > 0.5, depth, np.clip(lip / 0.4, 0, 1))


def few_pixels(sitter: Sitter) -> Float:
    """[2] 0..1, upper and lower: how little of a lip's red the photograph shows beside an opening
    to tell it from teeth and skin; 0 where the lips meet."""
    if not lips_parted(sitter.face.landmarks):
        return np.zeros(2, np.float32)
    borders = sitter.face.landmarks[np.array(LIPS), :2]
    heights = np.linalg.norm(borders[:, 0] - borders[:, 1], axis=1).reshape(2, -1).mean(1)
    few = (_ENOUGH_PIXELS - heights) / (_ENOUGH_PIXELS - _FEW_PIXELS)
    return np.clip(few, 0, 1).astype(np.float32)


def lip_tones(sitter: Sitter) -> Float:
    """[2, 3] upper and lower lip's red in the photograph, of the reddest of the pixels across it:
    a mean of few pixels is paler than the lip by the teeth and the skin beside it."""
    share = np.array(_ACROSS_LIP)[:, None]
    tones = []
    for columns in _COLUMNS:
        found = []
        for outer, inner in sitter.face.landmarks[np.array(columns), :2]:
            shown = sitter.photo.at(outer + share * (inner - outer), 0.0)
            red = (shown[:, 0] - shown[:, 1:].mean(1)) / np.maximum(shown.mean(1), 0.05)
            found.append(shown[np.argsort(-red, kind="stable")[:_SURELY_RED]].mean(0))
        # Among the columns the middle one: a glint makes some pale, a cheek's shade some dark.
        tones.append(np.median(found, axis=0))
    # Both lips have one pigment; they differ in their light.
    light = np.maximum(np.mean(tones, axis=1, keepdims=True), 1e-3)
    return (light * (np.array(tones) / light).mean(0)).astype(np.float32)


def into_the_red(landmarks: Float, pixels: Array) -> Float:
    """[N] 0 at the outer border of the red and outside, 1 at the inner border and in the opening,
    of pixels [N, 2] in a photograph with these landmarks [478, 3]; less towards the corners."""
    rings = [landmarks[list(ring), :2].astype(np.float64) for ring in (OUTER_LIPS, INNER_LIPS)]
    outer, inner = (KDTree(_along(ring)).query(pixels)[0] for ring in rings)
    within_outer, within_inner = (_inside(ring, pixels) for ring in rings)
    share = outer / np.maximum(outer + inner, 1e-6)
    corners = landmarks[list(_CORNERS), None, :2]
    width = max(float(np.linalg.norm(corners[1] - corners[0])), 1e-3)
    aside = np.linalg.norm(pixels - corners, axis=2).min(0) / (_CORNER_SHARE * width)
    depth = np.where(within_inner, 1, np.where(within_outer, share, 0))
    return (depth * np.minimum(aside, 1)).astype(np.float32)


def _in_lip_tones(
    sitter: Sitter, colour: Float, lower: NDArray[np.bool_], depth: Float, lip: Array
) -> Float:
    """[N, 3] `colour` with lips of few pixels in the colour of their reddest; `lower` [N] says
    which lip, `depth` [N] is `into_the_red`, `lip` [N] 0..1 how far a splat lies on one at all."""
    few, tones = few_pixels(sitter), lip_tones(sitter)
    start, sure = _RED_FROM
    painted = colour.copy()
    for side, tone in enumerate(tones):
        own = lower == bool(side)
        red = few[side] * lip[own] * np.clip((depth[own] - start) / (sure - start), 0, 1)
        bright = colour[own].mean(1)
        usual = float(np.median(bright[red > 0.5])) if (red > 0.5).any() else float(tone.mean())
        shade = np.clip(bright / max(usual, 0.05), 0.5, 1.2)
        wet = np.clip((depth[own] - _WET_FROM) / (1 - _WET_FROM), 0, 1)
        light = shade**_OWN_SHADES * (1 - _WET * wet)
        painted[own] += red[:, None] * (light[:, None] * tone - colour[own])
    return np.clip(painted, 0, 1).astype(np.float32)


def _along(ring: Array, steps: int = 12) -> Array:
    """[steps * n, 2] points along a closed line of n."""
    share = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    return (ring + share * (np.roll(ring, -1, axis=0) - ring)).reshape(-1, 2)


def _inside(ring: Array, pixels: Array) -> NDArray[np.bool_]:
    """[N] which of the pixels [N, 2] a closed line [n, 2] goes around: crossings to the right."""
    a, b = ring, np.roll(ring, -1, axis=0)
    x, y = pixels[:, 0, None], pixels[:, 1, None]
    spans = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
    return (spans & (x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0]))).sum(1) % 2 == 1


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
