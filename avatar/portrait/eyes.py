"""Eyeballs painted from the photograph: iris, pupil and white in its colours, the rest by rule.

The iris is unwrapped to radius and angle from both eyes of the photograph; what a highlight or a
lid hides is taken from the other eye, mirrored, or from other angles. The fewer pixels the irises
have, the more a drawn one takes their place. What does not turn with an eye, shadows and
reflections, is no part of it: `avatar.portrait.eye_shade`.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.head.eyeball import IRIS_ANGLE
from avatar.portrait.arrays import Array, Mask, smooth_step
from avatar.portrait.colour import sample
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE, FoundFace
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.portrait.seen_eye import EYES, SeenEye, front, seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred
from avatar.types import Float

_PUPIL = np.array([0.025, 0.022, 0.022], np.float32)
_PUPIL_SHARE = 0.38
"""Of the iris' radius, as in a lit room."""
_SMALLEST_PUPIL, _LARGEST_PUPIL = 0.26, 0.60
_PUPIL_EDGE = (0.25, 0.04)
"""How much darker than the iris, as a share of it and at all, a pupil is that can be measured."""
_LIGHTEST_PUPIL = 0.6
"""Of the iris' colour: what is brighter is a reflection, or paint."""
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
"""Where too little of the white is seen, it is no brighter than the cheeks, for lids shade it."""
_DARKEST_WHITE, _BRIGHTEST_WHITE = 0.35, 0.92
_LEAST_WHITE = 10.0
"""Pixels of the white that tell its colour."""
_WHITE_SHARES = (0.8, 0.98)
"""Of the white's pixels by brightness: below lies shadow, above reflections."""
_SUNKEN = 0.955
"""Of the eyeball's radius: so deep its splats lie. A lid is a good millimetre thick."""
_SAMPLED, _FROM_LIDS_M = 0.03, 0.0006
"""Eyeball radii between samples of the white, and how far from the lids they are taken."""
_REDNESS = np.array([1.0, 0.86, 0.83], np.float32)
"""Of the white far round."""


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
    pupil: Float = field(default_factory=lambda: _PUPIL)
    """[3]"""
    pupil_share: float = _PUPIL_SHARE
    """Its radius, of the iris'."""


def eye_colours(image: Float, face: FoundFace, eye_radius_px: float) -> EyeColours:
    """What the photograph says of the eyes, as medians over both.

    Of the iris the darker half of its lower ring, away from the pupil; of the white the brighter
    pixels between iris and corners. The size of the iris is its rim's against the eyeball's,
    whose radius in the picture the fit knows.
    """
    iris, white = [], []
    radii = [iris_radius_px(face, rim) for rim in (IRIS_RIGHT, IRIS_LEFT)]
    fine = float(np.clip((np.mean(radii) - _COARSE_PX) / (_FINE_PX - _COARSE_PX), 0, 1))
    for rim, opening, radius in zip(
        (IRIS_RIGHT, IRIS_LEFT), (RIGHT_EYE, LEFT_EYE), radii, strict=True
    ):
        middle = face.landmarks[rim[0], :2]
        angle = np.linspace(0.15 * np.pi, 0.85 * np.pi, 9)  # image y grows downwards
        for share in (0.78 + 0.22 * fine) * np.array([0.55, 0.68, 0.8]):
            ring = middle + share * radius * np.stack([np.cos(angle), np.sin(angle)], 1)
            iris.append(sample(image, ring.astype(np.float32)))
        for corner in (opening[0], opening[3]):
            to_corner = face.landmarks[corner, :2] - middle
            along = np.linspace(0.45, 0.75, 6)[:, None]
            white.append(sample(image, (middle + along * to_corner).astype(np.float32)))
    irises, whites = np.concatenate(iris), np.concatenate(white)
    # Highlights and the white beyond a small iris only ever brighten: believe the darker half, and
    # less, nearer to the middle, where the iris is so small that most of it is mixed with them.
    darkness = irises.mean(1)
    irises = irises[darkness <= np.quantile(darkness, 0.2 + 0.3 * fine)]
    brightness = whites.mean(1)
    bright = whites[brightness >= np.quantile(brightness, 0.6)]
    found_white = np.median(bright, 0)
    # A painter's or a small photograph's white may be mostly lid: keep it pale.
    grey = np.full(3, float(np.clip(0.95 * found_white.mean(), 0.52, 0.80)))
    rim = np.arcsin(np.clip(np.mean(radii) / (_SUNKEN * eye_radius_px), 0, 0.9))
    colour = np.clip(np.median(irises, 0), 0.03, 0.85).astype(np.float32)
    texture, found = unwrapped_iris(image, face)
    return EyeColours(
        iris=colour,
        white=(0.4 * np.clip(found_white, 0.45, 0.9) + 0.6 * grey).astype(np.float32),
        iris_angle=float(np.clip(rim, _SMALLEST_IRIS, _LARGEST_IRIS)),
        texture=np.clip(texture / colour, 0.3, 2.2).astype(np.float32),
        fine=fine * found,
    )


def iris_radius_px(face: FoundFace, rim: tuple[int, ...]) -> float:
    """Mean distance of an iris' four rim landmarks from its middle one, the first of `rim`."""
    points = face.landmarks[list(rim), :2]
    return float(np.linalg.norm(points[1:] - points[0], axis=1).mean())


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
        radius = iris_radius_px(face, rim)
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
    rim, pupil = colours.iris_angle, colours.pupil_share * colours.iris_angle
    inward = np.clip((angle - pupil) / (rim - pupil), 0, 1)
    fibres = 1 + 0.12 * np.sin(23 * turn + 3 * np.sin(5 * turn)) * np.sin(np.pi * inward)
    fibres += 0.06 * np.sin(41 * turn + 2 * np.sin(3 * turn + 9 * inward))
    collar = 1 + 0.12 * np.exp(-(((inward - 0.30) / 0.12) ** 2))
    drawn = colours.iris * ((1.06 - 0.20 * inward) * fibres * collar)[:, None]
    shown = colours.iris * _wrapped(colours.texture, inward, turn)
    # What a photograph of some pixels cannot show is drawn on it, fainter.
    iris = colours.fine * shown * (1 + 0.4 * (fibres[:, None] - 1)) + (1 - colours.fine) * drawn
    limbus = 1 - 0.55 * (1 - colours.fine) * smooth_step(inward, 0.70, 1.0)
    iris = np.clip(iris * limbus[:, None], 0, 1)
    across = np.abs(directions[:, 0])
    white = colours.white * ((0.7 * smooth_step(across, 0.5, 0.9))[:, None] * (_REDNESS - 1) + 1)
    result = _mix(white, iris, 1 - smooth_step(angle, 0.93 * rim, 1.07 * rim))
    result = _mix(result, colours.pupil, 1 - smooth_step(angle, 0.82 * pupil, 1.12 * pupil))
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


def _mix(below: Array, above: Array, weight: Array) -> Array:
    """[N, 3] `above` laid over `below` with [N] weights."""
    return below + weight[:, None] * (above - below)


def photographed_eyes(sitter: Sitter) -> EyeColours:
    """What the sitter's photograph says of the eyes."""
    eyes = seen_eyes(sitter)
    radius_px = eyes[0].radius * sitter.fit.camera.pixels_per_metre
    colours = eye_colours(sitter.portrait.image, sitter.face, radius_px)
    share, pupil = _pupil(eyes, colours.iris)
    colours = replace(colours, pupil=pupil, pupil_share=share, texture=_evenly_lit(colours.texture))
    white = _white(eyes, colours)
    if white is None:
        most = max(_WHITE_UNDER_SKIN * float(sitter.skin_tone.mean()), _DARKEST_WHITE)
        white = colours.white * np.float32(min(1.0, most / max(colours.white.mean(), 1e-3)))
    return replace(colours, white=white)


def _white(eyes: tuple[SeenEye, SeenEye], colours: EyeColours) -> Float | None:
    """[3] of the eye whose white is the brighter one, outside shadows; None where hardly any of
    it is seen."""
    found = []
    for eye in eyes:
        head = front(_SAMPLED, (1.1, 0.65))
        axis = eye.looking[:, 2]
        beside = np.arccos(np.clip(head @ axis, -1, 1)) > 1.15 * colours.iris_angle
        # Flesh fills the inner corner.
        beside &= np.linalg.norm(head - eye.inner_corner, axis=1) > 0.28
        head = head[beside]
        inside = eye.within_m(head) > _FROM_LIDS_M
        pixels = (_SAMPLED * eye.radius * eye.camera.pixels_per_metre) ** 2 * inside.sum()
        if pixels < _LEAST_WHITE:
            continue
        seen = eye.colours(head[inside])
        grey = seen.mean(1)
        low, high = np.quantile(grey, _WHITE_SHARES)
        found.append(np.median(seen[(grey >= low) & (grey <= high)], axis=0))
    if not found:
        return None
    white = max(found, key=lambda colour: float(colour.mean()))
    mean = max(float(white.mean()), 1e-3)
    bounded = white * (np.clip(mean, _DARKEST_WHITE, _BRIGHTEST_WHITE) / mean)
    return np.clip(bounded, 0, 0.97).astype(np.float32)


def _pupil(eyes: tuple[SeenEye, SeenEye], iris: Float) -> tuple[float, Float]:
    """Share of the iris' radius, and [3] colour."""
    shares = np.linspace(0.05, 0.95, 19)
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    profiles, darks = [], []
    for eye in eyes:
        pixels = eye.iris + eye.iris_px * shares[:, None, None] * around
        colours = sample(eye.image, pixels.reshape(-1, 2).astype(np.float32))
        inside = eye.within_px(pixels.reshape(-1, 2)) > _LID_INSET * eye.iris_px
        grey = np.where(inside, colours.mean(1), np.nan).reshape(len(shares), -1)
        if inside.mean() < 0.4 or np.isnan(grey).all(1).any():
            continue
        # Reflections only ever brighten.
        profiles.append(np.nanquantile(grey, 0.3, axis=1))
        inner = colours.reshape(len(shares), -1, 3)[:5].reshape(-1, 3)
        darks.append(inner[inner.mean(1) <= np.quantile(inner.mean(1), 0.4)].mean(0))
    if not profiles or eyes[0].iris_px < _COARSE_PX:
        return _PUPIL_SHARE, np.minimum(_PUPIL, iris)
    most = _LIGHTEST_PUPIL * iris
    pupil = np.clip(np.mean(darks, axis=0), 0.02, np.maximum(most, 0.02)).astype(np.float32)
    profile = np.mean(profiles, axis=0)
    centre, usual = profile[:4].min(), np.median(profile[11:17])
    deep = usual - centre
    if deep < max(_PUPIL_EDGE[0] * usual, _PUPIL_EDGE[1]):
        return _PUPIL_SHARE, pupil
    start = int(profile[:4].argmin())
    beyond = np.flatnonzero(profile[start:] > (centre + usual) / 2)
    share = float(shares[start + beyond[0]]) if len(beyond) else _PUPIL_SHARE
    return float(np.clip(share, _SMALLEST_PUPIL, _LARGEST_PUPIL)), pupil


def _evenly_lit(texture: Float) -> Float:
    """[rings, angles, 3] without what the upper lid's shadow does to an iris from top to bottom:
    it does not turn with the eye."""
    angle = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
    height = _RING_SHARES[:, None] * np.sin(angle)
    light = np.log(np.maximum(texture.mean(2), 0.05))
    light = light - light.mean(1, keepdims=True)
    slope = float((light * height).sum() / (height**2).sum())
    return (texture * np.exp(-min(slope, 0.0) * height)[..., None]).astype(np.float32)


def with_sunken_eyes(sitter: Sitter, own: Lattice, part: NDArray[np.uint8]) -> Lattice:
    """`own` with the eyeballs' splats a little below their surface: splats are drawn in the order
    of their middles, and what lies on an eye would else be half hidden by its neighbours."""
    means = own.means.copy()
    for number, eye in enumerate(seen_eyes(sitter)):
        chosen = part == EYES[number]
        means[chosen] = eye.centre + _SUNKEN * (means[chosen] - eye.centre)
    return replace(own, means=means)


def paint_eyeballs(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Both eyes alike, in the photograph's colours."""
    colours = photographed_eyes(sitter)
    for number, eye in enumerate(seen_eyes(sitter)):
        chosen = part == EYES[number]
        outward = own.means[chosen] - eye.centre
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        painted = paint_eyes(outward @ eye.at_rest, colours, eye.side)
        colour[chosen] = unblurred(own.select(chosen), painted, rounds=2)
