"""Eyes brought to where the photograph shows them: lids to their margins, each iris to its place.

The fit of the whole face is good to a millimetre or two. On an eye, of which three are open, that
is the difference between this person and a tired one. What the lids need moves their skin along the
eyeballs; what the irises need turns each eyeball at rest, for the axis that an eye is painted
around lies some degrees aside of its line of sight (angle kappa: 3 to 6 degrees, Basmak et al.
2007), and no two eyes agree. Afterwards a blink of 1 closes these lids (`blink_gain`).
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from avatar.head.eyeball import eyeball_rotation
from avatar.head.pose import eye_centres, gaze_rotation, pose
from avatar.head.rasterise import rasterise
from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Array, Mask, smooth_step
from avatar.portrait.camera import PhotoCamera
from avatar.portrait.colour import sample
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, FoundFace
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.types import ARKIT_NAMES, Float

_EYES = ((Part.EYE_LEFT, LEFT_LIDS, IRIS_LEFT), (Part.EYE_RIGHT, RIGHT_LIDS, IRIS_RIGHT))
_MOST_ASIDE = np.radians(9.0)
"""Between an eye's axis and the gaze of both."""
_ANGLES = 72
"""Around an opening."""
_ROUNDS = 3
_ACROSS = 160
"""Pixels of an opening's width, at which it is drawn."""
_FURTHEST = 0.35
"""How far a margin may be moved, of half the opening's height and width: further, the landmarks are
believed to be wrong."""
_CARRIED = (1.25, 2.3)
"""Skin up to the first goes with the margin, from the second on stays; in radii of the opening."""
_NEAR_EYE = 1.9
"""Eyeball radii: skin further from an eye's middle stays."""
_AHEAD = (0.15, 0.45)
"""Likewise by how far before the eye's middle it lies: the socket's lining behind stays."""
_INNER_CORNER = 8
"""In a ring of lid landmarks: 0 is the outer corner, below 8 the lower lid, above it the upper."""
_SEARCH = np.linspace(-0.05, 0.10, 31)
"""Where the edge of an upper lid is looked for above its landmarks, of the opening's width."""
_USUAL_SHIFT, _SHIFT_COST = 0.02, 200.0
_FAINTEST_EDGE = 0.5
"""Rise of brightness, lids' skin being 1, a width of the opening."""
_LINE_SHARE = 0.012
"""Of the opening's width: the line of the lashes lies between margin and edge."""
_EDGE_BLUR, _COLUMNS = 0.015, 31
_LEAST_PIXELS = 14.0
"""Width of an opening below which its edge is left where the landmarks are."""
_MOST_GAZE = 0.6
_BLINKS = np.arange(0.75, 1.51, 0.05)
_BLINK_OF: dict[Part, str] = {Part.EYE_LEFT: "eyeBlinkLeft", Part.EYE_RIGHT: "eyeBlinkRight"}
_FROM = ((0, 0), (40, 0), (-40, 0), (0, 25), (0, -25))
"""Yaw and pitch, degrees, from which shut lids must show nothing."""
_SEEN_PIXELS = 3


@dataclass(frozen=True, slots=True)
class _Polar:
    """Around an opening, its height stretched to its width."""

    middle: Array
    """[2] pixels."""
    aspect: float
    """Width by height."""
    tilt: Array
    """[2, 2] turns pixels so that the corners are level."""

    def of(self, pixels: Array) -> tuple[Array, Array]:
        """[N] angle 0..2 pi and [N] radius."""
        flat = (pixels - self.middle) @ self.tilt.T * (1, self.aspect)
        return np.arctan2(flat[:, 1], flat[:, 0]) % (2 * np.pi), np.linalg.norm(flat, axis=1)

    def at(self, angle: Array, radius: Array) -> Array:
        """[N, 2] pixels."""
        flat = radius[:, None] * np.stack([np.cos(angle), np.sin(angle) / self.aspect], 1)
        return flat @ self.tilt + self.middle


def with_eyes_fitted(
    template: HeadTemplate, fit: FaceFit, face: FoundFace, image: Float
) -> FaceFit:
    """`fit` with lids and eyeballs as the picture `image` [H, W, 3] shows them."""
    for part, ring, _ in _EYES:
        opening = lid_margins(face.landmarks[list(ring), :2].astype(np.float64), image)
        if _breadth(opening) > 1:
            for _ in range(_ROUNDS):
                fit = replace(fit, neutral=_lids_moved(template, fit, part, opening))
    return _eyes_turned(template, fit, face)


def lid_margins(ring: Array, image: Float) -> Array:
    """[16, 2] the landmarks [16, 2] around one opening, those of the upper lid raised to the edge
    that the picture shows there: FaceMesh draws it through the iris' upper third on some people.

    The edge is where, over the whole width, the lashes' line most turns into the lid's skin; it is
    looked for as one shift of all.
    """
    across = ring[_INNER_CORNER] - ring[0]
    width = _breadth(ring)
    if width < _LEAST_PIXELS:
        return ring
    up = np.array([across[1], -across[0]]) / width
    up *= -np.sign(up[1]) or 1.0
    line = resampled(np.concatenate([ring[_INNER_CORNER:], ring[:1]]), _COLUMNS)
    soft = cv2.GaussianBlur(image, (0, 0), max(0.5, _EDGE_BLUR * width))
    grey = soft.astype(np.float32) @ np.full((3, 1), 1 / 3, np.float32)
    inner = line[round(0.2 * _COLUMNS) : round(0.8 * _COLUMNS)]
    places = inner + (_SEARCH * width)[:, None, None] * up
    seen = sample(grey.reshape(*image.shape[:2], 1), places.reshape(-1, 2)).reshape(
        len(_SEARCH), -1
    )
    # Against the lid's own brightness, so that half an eye in the shadow counts as much.
    seen /= np.maximum(np.quantile(seen, 0.8, axis=0), 0.05)
    rise = np.gradient(np.clip(seen, 0, 1), axis=0).mean(1) / np.gradient(_SEARCH)
    rise -= _SHIFT_COST * (_SEARCH - _USUAL_SHIFT) ** 2
    best = int(rise.argmax())
    if rise[best] < _FAINTEST_EDGE:
        return ring
    shift = float(_SEARCH[best]) - _LINE_SHARE
    raised = ring.copy()
    share = np.sin(np.linspace(0, np.pi, len(ring) - _INNER_CORNER + 1)[1:-1]) ** 0.5
    raised[_INNER_CORNER + 1 :] += shift * width * share[:, None] * up
    return raised


def _lids_moved(template: HeadTemplate, fit: FaceFit, part: Part, wanted: Array) -> Float:
    """[V, 3] the neutral head with the lids of the eye `part` slid along the eyeball until its
    opening in the picture is nearer to the polygon `wanted` [n, 2] of pixels."""
    camera, neutral = fit.camera, fit.neutral
    expressed = np.tensordot(fit.expression, template.expression_basis, 1)
    posed = pose(template, neutral, expression=fit.expression)
    centres, radii = eye_centres(template, neutral)
    which = int(part == Part.EYE_RIGHT)
    centre, radius = centres[which].astype(np.float64), float(radii[which])
    polar = _polar(wanted)
    scale = _ACROSS / _breadth(wanted)
    corner = polar.middle - 0.75 * _breadth(wanted)
    side = round(1.5 * _ACROSS)
    projected = camera.project(posed.astype(np.float64))
    drawn = projected.copy()
    drawn[:, :2] = (drawn[:, :2] - corner) * scale
    solid = template.triangle_part != Part.LASHES
    seen = rasterise(drawn, template.triangles[solid], side, side).triangle
    open_now = (template.triangle_part[solid][seen] == part) & (seen >= 0)
    open_then = np.zeros((side, side), np.uint8)
    cv2.fillPoly(open_then, [np.round((wanted - corner) * scale).astype(np.int32)], 1.0)
    now, then = (_reach(mask, polar, corner, scale) for mask in (open_now, open_then > 0))
    if now is None or then is None:
        return neutral

    away = posed - centre
    near = np.linalg.norm(away, axis=1) < _NEAR_EYE * radius
    ahead = smooth_step(
        (camera.to_camera(posed)[:, 2] - camera.to_camera(centre)[2]) / radius, *_AHEAD
    )
    skin = np.isin(template.vertex_part, (Part.SKIN, Part.LASHES))
    moved = np.flatnonzero(near & skin & (ahead > 0))
    angle, reach = polar.of(projected[moved, :2])
    turns = np.arange(_ANGLES + 1) * 2 * np.pi / _ANGLES
    border = np.interp(angle, turns, np.append(now, now[0]))
    shift = np.interp(angle, turns, np.append(then - now, then[0] - now[0]))
    shift = np.clip(shift, -_FURTHEST * border, _FURTHEST * border)
    carried = (1 - smooth_step(reach / np.maximum(border, 1e-6), *_CARRIED)) * ahead[moved]
    places = polar.at(angle, np.maximum(reach + carried * shift, 0))
    aside = camera.unproject(places, projected[moved, 2]) - centre
    # Along the eyeball, not into it.
    aside *= (np.linalg.norm(away[moved], axis=1) / np.linalg.norm(aside, axis=1))[:, None]
    result = neutral.copy()
    result[moved] = (centre + aside - expressed[moved]).astype(np.float32)
    return result


def _reach(mask: Mask, polar: _Polar, corner: Array, scale: float) -> Array | None:
    """[_ANGLES] how far the opening `mask` reaches from its middle; None where there is none."""
    rows, columns = np.nonzero(mask)
    if len(rows) < _ANGLES:
        return None
    pixels = corner + (np.stack([columns, rows], 1) + 0.5) / scale
    angle, radius = polar.of(pixels)
    bins = np.round(angle * _ANGLES / (2 * np.pi)).astype(int) % _ANGLES
    furthest = np.zeros(_ANGLES)
    np.maximum.at(furthest, bins, radius)
    if (furthest == 0).mean() > 0.2:
        return None
    known = np.flatnonzero(furthest)
    around = np.arange(_ANGLES)
    furthest = np.interp(around, known, furthest[known], period=_ANGLES)
    return (np.roll(furthest, 1) + 2 * furthest + np.roll(furthest, -1)) / 4


def _eyes_turned(template: HeadTemplate, fit: FaceFit, face: FoundFace) -> FaceFit:
    """`fit` with each eyeball turned at rest so that with the gaze of both, its mean, either iris
    is where the picture shows it."""
    neutral = fit.neutral.copy()
    centres, radii = eye_centres(template, neutral)
    aims = []
    for number, (_, _, iris) in enumerate(_EYES):
        out = _aim(fit.camera, centres[number], float(radii[number]), face.landmarks[iris[0], :2])
        aims.append((np.arctan2(out[0], out[2]), np.arcsin(np.clip(out[1], -1, 1))))
    gaze = np.clip(np.mean(aims, axis=0), -_MOST_GAZE, _MOST_GAZE)
    together = gaze_rotation(gaze)
    for number, (part, _, _) in enumerate(_EYES):
        aside = np.clip(np.array(aims[number]) - gaze, -_MOST_ASIDE, _MOST_ASIDE)
        own = template.eye_vertices(part)
        # Turned first by what is this eye's own, then with the other: together it is the aim.
        turn = together.T @ gaze_rotation(gaze + aside)
        outward = neutral[own] - centres[number]
        neutral[own] = centres[number] + outward @ eyeball_rotation(outward) @ turn.T
    return replace(fit, neutral=neutral.astype(np.float32), gaze=gaze.astype(np.float32))


def _aim(camera: PhotoCamera, centre: Array, radius: float, pixel: Array) -> Array:
    """[3] unit vector from an eyeball's centre to where the ray through `pixel` meets it."""
    start = camera.position
    ray = camera.unproject(pixel, np.asarray(1.0, np.float32)) - start
    ray = ray / np.linalg.norm(ray)
    along = float(ray @ (centre - start))
    aside = float((centre - start) @ (centre - start)) - along**2
    out = start + ray * (along - np.sqrt(max(radius**2 - aside, 0.0))) - centre
    return out / max(float(np.linalg.norm(out)), 1e-9)


def blink_gain(template: HeadTemplate, neutral: Float) -> Float:
    """[52] how far each expression goes for a weight of 1: the blinks so far that the lids of this
    `neutral` head [V, 3] meet, all others 1."""
    gain = np.ones(len(ARKIT_NAMES), np.float32)
    shut: dict[Part, float] = dict.fromkeys(_BLINK_OF, 0.0)
    for weight in _BLINKS:
        if all(shut.values()):
            break
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[[ARKIT_NAMES.index(name) for name in _BLINK_OF.values()]] = weight
        posed = pose(template, neutral, expression=expression)
        for part in shut:
            if not shut[part] and not _shows(template, posed, part):
                shut[part] = float(weight)
    for part, name in _BLINK_OF.items():
        gain[ARKIT_NAMES.index(name)] = shut[part] or _BLINKS[-1]
    return gain


def _shows(template: HeadTemplate, posed: Float, part: Part) -> bool:
    """Whether anything of an eyeball is seen from the front or from a little aside."""
    centres, radii = eye_centres(template, posed)
    which = int(part == Part.EYE_RIGHT)
    solid = template.triangle_part != Part.LASHES
    side = 128
    for yaw, pitch in _FROM:
        view = (posed - centres[which]) @ gaze_rotation(np.radians([yaw, pitch]))
        points = view / (3.2 * radii[which]) * side * (1, -1, -1) + (side / 2, side / 2, 10 * side)
        seen = rasterise(points, template.triangles[solid], side, side).triangle
        parts = template.triangle_part[solid][seen]
        if ((parts == part) & (seen >= 0)).sum() > _SEEN_PIXELS:
            return True
    return False


def _polar(opening: Array) -> _Polar:
    across = opening[_INNER_CORNER] - opening[0]
    width = _breadth(opening)
    cosine, sine = across / width
    tilt = np.array([[cosine, sine], [-sine, cosine]])
    level = opening @ tilt.T
    height = max(float(np.ptp(level[:, 1])), 0.12 * width)
    middle = (level.min(0) + level.max(0)) / 2
    return _Polar(middle @ tilt, float(np.ptp(level[:, 0])) / height, tilt)


def _breadth(opening: Array) -> float:
    """Pixels from corner to corner."""
    return float(np.linalg.norm(opening[_INNER_CORNER] - opening[0]))


def resampled(line: Array, count: int) -> Array:
    """[count, 2] evenly along a line [n, 2]."""
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    wanted = np.linspace(0, along[-1], count)
    return np.stack([np.interp(wanted, along, line[:, axis]) for axis in range(2)], 1)
