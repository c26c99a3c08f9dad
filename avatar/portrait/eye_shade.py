"""What lies on an eye and does not turn with it: the lids' shadow, the inner corner's flesh, and
the lamp's reflection.

All three are splats just above the eyeball's surface, below the lids, bound to the head. Shadow and
flesh are what the photograph has less, or else, than the eyeball as it is painted; only large forms
are taken from it, and little from the iris, so that no second iris stays behind when the eye turns.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.eyes import EyeColours, paint_eyes, photographed_eyes
from avatar.portrait.painted import Painted
from avatar.portrait.seen_eye import SeenEye, front, seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice

_SPACING = 0.075
"""Eyeball radii between splats: 1.1 mm."""
_WIDTH = 0.7
"""Standard deviation of a splat against the spacing."""
_ABOVE = 1.006
"""Of the eyeball's radius; the lids keep 1.015."""
_FURTHEST = (1.1, 0.68)
"""How far aside and up from the eye's middle, radians."""
_BEYOND_M = 0.002
"""Under the lids it goes on so far: they open wider at times."""
_SAMPLED = 0.035
"""Radii between the places at which the photograph is read."""
_REACHES, _HOLDS = ((0.4, 0.16), (0.11, 0.045)), (0.04, 0.12)
"""Standard deviations of the blur, radii, for shadows of lids lie across; and the weight of what
was found more coarsely, or is usual, against the photograph's."""
_DARKEST = 0.12
"""Of the white: what stands in full shadow."""
_DEEPEST = 0.85
_UPPER, _LOWER = 0.6, 0.16
"""Of the light that the lids' margins keep away where the photograph does not tell."""
_FADES_M = 0.0016
_CORNER_M = (0.0014, 0.0036)
"""From the inner corner: up to the first it is all flesh, from the second on none."""
_FLESH = 0.9
_GLINT = 1.3
"""Brighter than painted by this: a reflection, no shadow."""

_HIGHLIGHT = np.array([0.97, 0.97, 0.98], np.float32)
_USUAL_AT = (-0.13, 0.15)
"""Where a lamp above and beside the viewer shines, in eyeball radii from the middle (x, y)."""
_USUAL_RADIUS, _SOFT_OPACITY = 0.045, 0.45
"""Of the eyeball's: 1.4 mm across, a window some metres away. One that the photograph does not show
is faint."""
_HIGHLIGHT_RADII = (0.03, 0.085)
_HIGHLIGHT_ABOVE = 1.012
"""Of the eyeball's radius: above the shade."""
_LAMP_WIDTH = 0.6
"""Standard deviation of its splat, of its radius."""
_LAMP_SAMPLED = 0.012
_IRIS_PX = 12.0
"""Radius of an iris that is sharp to its rim."""
_LESSER = 0.3
"""Less than this of the other eye's is no reflection of the same lamp."""
_SHINES = 0.16
"""Brighter than the iris by so much: a reflection."""


def paint_eye_shade(sitter: Sitter) -> Painted:
    """Shadow, flesh and reflections of both eyes."""
    colours, eyes = photographed_eyes(sitter), seen_eyes(sitter)
    found = [_shade(eye, colours, sitter) for eye in eyes]
    lamps = _lamps(eyes, colours)
    means, outward, tones, opacities, widths = (
        [np.concatenate([one[k] for one in found])] for k in range(5)
    )
    for eye, lamp in zip(eyes, lamps, strict=True):
        means.append((eye.centre + eye.radius * _HIGHLIGHT_ABOVE * lamp.at)[None])
        outward.append(lamp.at[None])
        tones.append(lamp.colour[None])
        opacities.append(np.array([lamp.opacity]))
        widths.append(np.array([_LAMP_WIDTH * lamp.radius * eye.radius]))
    parts = (means, outward, tones, opacities, widths)
    return _bound(sitter, *(np.concatenate(part) for part in parts))


def _shade(
    eye: SeenEye, colours: EyeColours, sitter: Sitter
) -> tuple[Array, Array, Array, Array, Array]:
    """Means [N, 3], directions [N, 3], colours [N, 3], opacities [N] and widths [N] of the splats
    of one eye."""
    head = front(_SPACING, _FURTHEST)
    within = eye.within_m(head)
    head, within = head[within > -_BEYOND_M], within[within > -_BEYOND_M]
    light = _light(eye, colours, head, within)
    dark = _DARKEST * colours.white * (sitter.skin_tone / max(float(sitter.skin_tone.max()), 0.05))
    through = 1 - np.clip((1 - light) / (1 - _DARKEST), 0, _DEEPEST)
    from_corner = np.linalg.norm(head - eye.inner_corner, axis=1) * eye.radius
    low, high = _CORNER_M
    flesh = _FLESH * np.clip((high - from_corner) / (high - low), 0, 1)
    blurred = cv2.GaussianBlur(eye.image, (0, 0), max(0.4, 0.0004 * eye.camera.pixels_per_metre))
    seen = sample(np.asarray(blurred, np.float32), eye.pixels(head).astype(np.float32))
    shadow = 1 - through
    share = flesh / np.maximum(flesh + shadow * (1 - flesh), 1e-6)
    tone = dark + share[:, None] * (seen - dark)
    opacity = _single(1 - through * (1 - flesh))
    kept = opacity > 0.01
    width = np.full(int(kept.sum()), _WIDTH * _SPACING * eye.radius)
    head = head[kept]
    return eye.centre + eye.radius * _ABOVE * head, head, tone[kept], opacity[kept], width


def _light(eye: SeenEye, colours: EyeColours, head: Array, within: Array) -> Array:
    """[N] 0..1 how bright the photograph shows the eye at directions [N, 3] of the head, `within`
    [N] metres inside the opening, against how it is painted."""
    fine = front(_SAMPLED, _FURTHEST)
    inside = eye.within_m(fine)
    fine, inside = fine[inside > 0], inside[inside > 0]
    painted = paint_eyes(fine @ eye.looking, colours, eye.side).mean(1)
    angle = np.arccos(np.clip(fine @ eye.looking[:, 2], -1, 1)) / colours.iris_angle
    edges = (np.abs(angle - 1) < 0.2) | (angle < 1.25 * colours.pupil_share)
    ratio = eye.colours(fine).mean(1) / np.maximum(painted, 0.05)
    weight = painted * np.clip(inside / 0.0005, 0.2, 1) * ~edges
    weight *= np.where(ratio > _GLINT, 0.15, 1)
    middle = eye.towards((eye.opening[0] + eye.opening[8]) / 2)
    upper = np.clip(0.5 + (head[:, 1] - middle[1]) / 0.12, 0, 1)
    keeps = _LOWER + (_UPPER - _LOWER) * upper
    light = 1 - keeps * np.exp(-np.maximum(within, 0) / _FADES_M)
    # From coarse to fine: where little is known, as on a dark iris, it is as around.
    apart = head[:, None, :2] - fine[None, :, :2]
    for (reach_x, reach_y), hold in zip(_REACHES, _HOLDS, strict=True):
        near = np.exp(-0.5 * ((apart / (reach_x, reach_y)) ** 2).sum(2)) * weight
        near *= _SAMPLED**2 / (2 * np.pi * reach_x * reach_y * max(colours.white.mean(), 0.1))
        total = near.sum(1)
        light = (near @ np.minimum(ratio, _GLINT) + hold * light) / (total + hold)
    return np.clip(light, 0, 1)


def _single(opacity: Array) -> Array:
    """[N] opacities of splats on the grid that together hide as much as `opacity` [N].

    The light that gets through a grid of Gaussians of peak a is, on the mean, exp(-n Li2(a)), with
    n splats' areas over each spot and Li2 the dilogarithm.
    """
    peaks = np.linspace(0, 0.97, 60)
    powers = np.arange(1, 60)
    dilogarithm = (peaks[:, None] ** powers / powers**2).sum(1)
    layers = 2 * np.pi * _WIDTH**2
    wanted = -np.log(np.maximum(1 - opacity, 0.02)) / layers
    return np.interp(wanted, dilogarithm, peaks)


@dataclass(frozen=True, slots=True)
class _Lamp:
    """A reflection before one iris."""

    at: Array
    """[3] direction of the head."""
    aside: Array
    """[2] of `at` from the iris' middle, radii: x, y."""
    radius: float
    """Eyeball radii."""
    opacity: float
    colour: Array
    """[3]"""
    strength: float
    """Brightness it adds, over all of it."""


def _lamps(eyes: tuple[SeenEye, SeenEye], colours: EyeColours) -> list[_Lamp]:
    """The reflections on both eyes: each as the photograph shows it, or as on the other eye where
    it is hidden there; a faint one where it shows none."""
    found = [_lamp(eye, colours) for eye in eyes]
    best = max((lamp for lamp in found if lamp), key=lambda lamp: lamp.strength, default=None)
    lamps = []
    for eye, lamp in zip(eyes, found, strict=True):
        if lamp is None or (best is not None and lamp.strength < _LESSER * best.strength):
            lamp = best or _Lamp(
                np.zeros(3), np.array(_USUAL_AT), _USUAL_RADIUS, _SOFT_OPACITY, _HIGHLIGHT, 0.0
            )
            flat = eye.looking[:2, 2] + lamp.aside
            up = np.sqrt(max(1 - float(flat @ flat), 0.0))
            lamp = replace(lamp, at=np.append(flat, up))
        lamps.append(lamp)
    return lamps


def _lamp(eye: SeenEye, colours: EyeColours) -> _Lamp | None:
    """What outshines one iris in the photograph."""
    head = front(_LAMP_SAMPLED, (0.85, 0.65))
    angle = np.arccos(np.clip(head @ eye.looking[:, 2], -1, 1))
    # Nearer to the rim the white begins, if the rim is a little off.
    share = 0.55 + 0.2 * min(eye.iris_px / _IRIS_PX, 1)
    head = head[angle < share * colours.iris_angle]
    head = head[eye.within_m(head) > 0.0004]
    if len(head) < 30:
        return None
    seen = eye.colours(head)
    grey = seen.mean(1)
    usual, peak = float(np.median(grey)), float(grey.max())
    if peak - usual < _SHINES:
        return None
    bright = grey > (usual + peak) / 2
    bright &= np.linalg.norm(head - head[grey.argmax()], axis=1) < 2 * _HIGHLIGHT_RADII[1]
    weight = (grey - usual)[bright]
    place = (head[bright] * weight[:, None]).sum(0)
    place /= np.linalg.norm(place)
    radius = _LAMP_SAMPLED * np.sqrt(bright.sum() / np.pi)
    opacity = np.clip((peak - usual) / max(float(_HIGHLIGHT.mean()) - usual, 0.1), 0.3, 0.92)
    brightest = seen[bright].max(0)
    return _Lamp(
        at=place,
        aside=place[:2] - eye.looking[:2, 2],
        radius=float(np.clip(radius, *_HIGHLIGHT_RADII)),
        opacity=float(opacity),
        colour=0.97 * np.clip(brightest / max(float(brightest.max()), 1e-3), 0.6, 1),
        strength=float(weight.sum()),
    )


def _bound(
    sitter: Sitter, means: Array, outward: Array, tones: Array, opacities: Array, widths: Array
) -> Painted:
    """Round flat splats that face `outward` [N, 3], bound to the gums of the upper teeth, which
    nothing but the head itself moves."""
    template = sitter.template
    anchors = np.flatnonzero(template.triangle_part == Part.GUMS)
    still = np.abs(template.expression_basis[:, template.triangles[anchors]]).max((0, 2, 3))
    anchor = int(anchors[still.argmin()])
    count = len(means)
    # The shortest turn from +z to `outward`, as a quaternion.
    turn = np.stack([1 + outward[:, 2], -outward[:, 1], outward[:, 0], np.zeros(count)], 1)
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    return Painted(
        lattice=Lattice(
            triangle=np.full(count, anchor, np.int32),
            barycentric=np.full((count, 3), 1 / 3, np.float32),
            means=means.astype(np.float32),
            rotations=turn.astype(np.float32),
            scales=np.stack([widths, widths, 0.15 * widths], 1).astype(np.float32),
            normals=outward.astype(np.float32),
        ),
        colour=np.clip(tones, 0, 1).astype(np.float32),
        opacity=opacities.astype(np.float32),
    )
