"""Eyeballs painted from the photograph: iris and white in its colours, everything else by rule."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.head.eyeball import IRIS_ANGLE
from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE, FoundFace
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import Float

_PUPIL = np.array([0.025, 0.022, 0.022], np.float32)
_HIGHLIGHT = np.array([0.97, 0.97, 0.98], np.float32)
_HIGHLIGHT_AT = (-0.13, 0.17)
"""Where a lamp above and beside the viewer shines, radians from the axis (x, y)."""
_HIGHLIGHT_RADIUS = 0.07
_PUPIL_SHARE = 0.42
"""Of the iris' radius, as in a lit room."""
_SMALLEST_IRIS, _LARGEST_IRIS = np.radians(21.0), np.radians(29.0)
"""Radians from the axis: what a measured rim is held within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EyeColours:
    """sRGB 0..1."""

    iris: Float
    """[3]"""
    white: Float
    """[3]"""
    iris_angle: float = float(IRIS_ANGLE)
    """Of the iris' rim from the optical axis, radians."""


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
    return EyeColours(
        iris=np.clip(np.median(irises, 0), 0.03, 0.85).astype(np.float32),
        white=(0.4 * np.clip(found_white, 0.45, 0.9) + 0.6 * grey).astype(np.float32),
        iris_angle=float(np.clip(rim, _SMALLEST_IRIS, _LARGEST_IRIS)),
    )


def paint_eyes(directions: Array, colours: EyeColours) -> Float:
    """[N, 3] colours of points on an eyeball.

    `directions` [N, 3]: unit vectors from the eyeball's centre in its own frame, axis +z.
    """
    angle = np.arccos(np.clip(directions[:, 2], -1, 1))
    turn = np.arctan2(directions[:, 1], directions[:, 0])
    rim, pupil = colours.iris_angle, _PUPIL_SHARE * colours.iris_angle
    inward = np.clip((angle - pupil) / (rim - pupil), 0, 1)
    fibres = 1 + 0.10 * np.sin(23 * turn + 3 * np.sin(5 * turn)) * np.sin(np.pi * inward)
    shade = (1.08 - 0.25 * inward) * (1 - 0.65 * _step(inward, 0.75, 1.0)) * fibres
    iris = np.clip(colours.iris * shade[:, None], 0, 1)
    # Whites darken towards the corners and under the upper lid, whose shadow falls on them.
    lid = 1 - 0.5 * _step(directions[:, 1], 0.08, 0.40) - 0.12 * _step(-directions[:, 1], 0.2, 0.45)
    corner = 1 - 0.30 * _step(np.abs(directions[:, 0]), 0.45, 0.85)
    white = colours.white * (lid * corner)[:, None]
    iris = iris * lid[:, None]
    result = _mix(white, iris, 1 - _step(angle, 0.96 * rim, 1.06 * rim))
    result = _mix(result, _PUPIL, 1 - _step(angle, 0.9 * pupil, 1.08 * pupil))
    from_lamp = np.hypot(directions[:, 0] - _HIGHLIGHT_AT[0], directions[:, 1] - _HIGHLIGHT_AT[1])
    lit = (directions[:, 2] > 0) * (
        1 - _step(from_lamp, 0.6 * _HIGHLIGHT_RADIUS, _HIGHLIGHT_RADIUS)
    )
    return np.clip(_mix(result, _HIGHLIGHT, 0.9 * lit), 0, 1).astype(np.float32)


def _step(value: Array, low: float, high: float) -> Array:
    """[N] from 0 at `low` to 1 at `high`, smoothly."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(below: Array, above: Array, weight: Array) -> Array:
    """[N, 3] `above` laid over `below` with [N] weights."""
    return below + weight[:, None] * (above - below)


def photographed_eyes(sitter: Sitter) -> EyeColours:
    """What the sitter's photograph says of the eyes."""
    neutral = sitter.fit.neutral
    height = float(np.ptp(neutral[sitter.template.vertex_part == Part.EYE_LEFT, 1]))
    radius_px = height / 2 * sitter.fit.camera.pixels_per_metre
    return eye_colours(sitter.portrait.image, sitter.face, radius_px)


def paint_eyeballs(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Both eyes alike, in the photograph's colours."""
    template, neutral = sitter.template, sitter.fit.neutral
    colours = photographed_eyes(sitter)
    for eye in (Part.EYE_LEFT, Part.EYE_RIGHT):
        chosen = part == eye
        ball = neutral[template.vertex_part == eye]
        outward = own.means[chosen] - (ball.max(0) + ball.min(0)) / 2
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        colour[chosen] = paint_eyes(outward, colours)
