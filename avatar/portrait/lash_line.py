"""The dark lines along the lids' margins: roots of the lashes, and the rims' own shade.

At the distance of a conversation lashes are not strands but this line, and it more than anything
makes an eye look like its person: how dark, how wide and of what colour it is comes from the
photograph, along each lid.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array
from avatar.portrait.colour import sample
from avatar.portrait.eye_fit import resampled
from avatar.portrait.mesh import between_corners
from avatar.portrait.painted import Painted
from avatar.portrait.seen_eye import SeenEye, seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import ARKIT_NAMES

_SPACING_M = 0.0006
"""Along a margin, between splats."""
_LONG = 1.3
"""Standard deviation along the line, of the spacing."""
_NARROWEST_M, _WIDEST_M = 0.00022, 0.00085
"""Standard deviations across it."""
_ABOVE_M = 0.0006
"""Over the skin, whose splats overlap where it bends."""
_BESIDE_M = 0.0008
_ACROSS_M = np.linspace(-0.0012, 0.0064, 39)
"""Metres outwards of the margin at which the photograph is read."""
_LINE_M, _LOWER_LINE_M = (-0.0006, 0.0022), (-0.0005, 0.0007)
"""Where the line may lie: on the upper lid, on the lower one."""
_INSIDE_SHARE, _SPREAD, _HIDES = 0.28, 0.45, 2.2
"""Of its width: how far outside the margin its middle lies, and its standard deviation. The lid's
rim below it is in its shade."""
_SKIN_M = 0.0026
"""From here on outwards it is the lid's skin."""
_SMOOTH = 3.0
"""Splats over which the line is averaged along its lid."""
_MOST_OPAQUE, _MOST_OPAQUE_BELOW = 0.93, 0.6
_FAINTEST = 0.04
_ENDS = 0.12
"""Share of a margin at each end, in which the line thins out."""
_DARKEST = 0.03
_FALLS_M = -0.004
"""How far a blink moves an upper lid's margin, at least (upwards)."""


@dataclass(frozen=True, slots=True)
class LashLine:
    """Along one lid's margin, from its outer corner to the inner one; n places."""

    pixels: Array
    """[n, 2] of the line's middle in the photograph."""
    depth: Array
    """[n] 0..1: how much darker than the lid's skin."""
    width_m: Array
    """[n] as wide as if it were evenly dark."""
    colour: Array
    """[n, 3] of its darkest."""
    skin: Array
    """[n, 3] of the lid beyond it."""


def read_line(eye: SeenEye, upper: bool) -> LashLine:
    """The line of the upper or lower lid of `eye`."""
    ring = eye.opening
    margin = np.concatenate([ring[8:], ring[:1]])[::-1] if upper else ring[:9]
    per_metre = eye.camera.pixels_per_metre
    length = float(np.linalg.norm(np.diff(margin, axis=0), axis=1).sum())
    count = max(8, round(length / per_metre / _SPACING_M))
    line = resampled(margin, count)
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    outwards = np.stack([along[:, 1], -along[:, 0]], 1)
    middle = (ring[0] + ring[8]) / 2
    outwards *= np.sign(((line - middle) * outwards).sum())
    # No finer than the picture, nor than the line itself.
    blurred = cv2.GaussianBlur(eye.image, (0, 0), max(0.4, 0.00025 * per_metre))
    places = line[:, None] + (_ACROSS_M * per_metre)[:, None] * outwards[:, None]
    seen = sample(np.asarray(blurred, np.float32), places.reshape(-1, 2).astype(np.float32))
    seen = seen.reshape(count, len(_ACROSS_M), 3)
    grey = seen.mean(2)
    beyond = _ACROSS_M >= _SKIN_M
    skin = np.quantile(seen[:, beyond], 0.7, axis=1)
    low, high = _LINE_M if upper else _LOWER_LINE_M
    inside = np.flatnonzero((low <= _ACROSS_M) & (high >= _ACROSS_M))
    darkness = np.clip(1 - grey[:, inside] / np.maximum(skin.mean(1, keepdims=True), 0.05), 0, 1)
    # Above an iris the line goes over into it: only what lies outside the margin tells its depth.
    outside = _ACROSS_M[inside] >= 0
    depth = _soft(darkness[:, outside].max(1))
    width = darkness[:, outside].sum(1) * (_ACROSS_M[1] - _ACROSS_M[0]) / np.maximum(depth, 0.1)
    darkest = inside[outside][darkness[:, outside].argmax(1)]
    colour = seen[np.arange(count), darkest]
    centre = _INSIDE_SHARE * _soft(width)
    return LashLine(
        pixels=line + (centre * per_metre)[:, None] * outwards,
        depth=depth,
        width_m=_soft(width),
        colour=np.stack([_soft(channel) for channel in colour.T], 1),
        skin=np.stack([_soft(channel) for channel in skin.T], 1),
    )


def paint_lash_lines(sitter: Sitter) -> Painted:
    """Soft dark splats along both margins of both eyes, bound to the lids."""
    parts = [
        _painted(sitter, eye, read_line(eye, upper), upper)
        for eye in seen_eyes(sitter)
        for upper in (True, False)
    ]
    lattice = Lattice(
        **{
            name: np.concatenate([getattr(part.lattice, name) for part in parts])
            for name in ("triangle", "barycentric", "means", "rotations", "scales", "normals")
        }
    )
    return Painted(
        lattice=lattice,
        colour=np.concatenate([part.colour for part in parts]),
        opacity=np.concatenate([part.opacity for part in parts]),
    )


def _painted(sitter: Sitter, eye: SeenEye, line: LashLine, upper: bool) -> Painted:
    template, neutral = sitter.template, sitter.fit.neutral
    count = len(line.pixels)
    places = _on_lid(sitter, line.pixels)
    name = "eyeBlinkLeft" if eye.side > 0 else "eyeBlinkRight"
    blink = template.expression_basis[ARKIT_NAMES.index(name), :, 1]
    triangles = np.flatnonzero(sitter.skin)
    corners = template.triangles[triangles]
    falls = blink[corners].mean(1)
    # The margins' own skin: what a blink carries down, or does not.
    own = falls < _FALLS_M if upper else falls > _FALLS_M
    away = np.linalg.norm(sitter.posed[corners].mean(1) - eye.centre, axis=1)
    triangles = triangles[own & (away < 1.5 * eye.radius)]
    corners = template.triangles[triangles]
    _, nearest = KDTree(sitter.posed[corners].mean(1)).query(places)
    corners = corners[nearest]
    weights = _barycentric(places, sitter.posed[corners])
    outward = places - eye.centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    lifted = places + _ABOVE_M * outward
    # What the expression moves is taken back, for splats are bound to the head at rest.
    moved = between_corners(weights, (neutral - sitter.posed)[corners])
    means = lifted + moved
    along = np.gradient(means, axis=0)
    along -= (along * outward).sum(1, keepdims=True) * outward
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    rotation = Rotation.from_matrix(np.stack([along, np.cross(outward, along), outward], -1))
    share = (np.arange(count) + 0.5) / count
    ends = np.clip(np.minimum(share, 1 - share) / _ENDS, 0, 1)
    across = np.clip(_SPREAD * line.width_m, _NARROWEST_M, _WIDEST_M)
    step = np.linalg.norm(np.gradient(places, axis=0), axis=1).mean()
    most = _MOST_OPAQUE if upper else _MOST_OPAQUE_BELOW
    # Its colour is as seen: where there is a line at all, little shines through.
    hides = np.clip(_HIDES * line.depth, 0, most) * ends
    # Several splats lie over each spot: together they hide that much.
    layers = np.sqrt(2 * np.pi) * _LONG
    opacity = 1 - (1 - hides) ** (1 / layers)
    colour = np.maximum(line.colour, _DARKEST)
    kept = opacity > _FAINTEST / layers
    return Painted(
        lattice=Lattice(
            triangle=triangles[nearest].astype(np.int32),
            barycentric=weights.astype(np.float32),
            means=means.astype(np.float32),
            rotations=rotation.as_quat()[:, [3, 0, 1, 2]].astype(np.float32),
            scales=np.stack(
                [np.full(count, _LONG * step), across, np.full(count, 0.0001)], 1
            ).astype(np.float32),
            normals=outward.astype(np.float32),
        ),
        colour=colour.astype(np.float32),
        opacity=opacity.astype(np.float32),
    ).select(kept)


def _on_lid(sitter: Sitter, pixels: Array) -> Array:
    """[n, 3] the nearest of the posed head's surface at and right beside [n, 2] pixels: where a lid
    ends, its edge and not the eyeball behind it."""
    reach = max(1, round(_BESIDE_M * sitter.fit.camera.pixels_per_metre))
    nearest = np.asarray(cv2.erode(sitter.depth, np.ones((2 * reach + 1,) * 2, np.uint8)))
    height, width = nearest.shape
    column = np.clip(pixels[:, 0].astype(int), 0, width - 1)
    row = np.clip(pixels[:, 1].astype(int), 0, height - 1)
    ahead = _soft(nearest[row, column].astype(np.float64))
    return sitter.fit.camera.unproject(pixels, ahead)


def _barycentric(points: Array, corners: Array) -> Array:
    """[N, 3] of points [N, 3] on triangles [N, 3, 3]; the nearest within, roughly."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    determinant = np.maximum(d00 * d11 - d01 * d01, 1e-18)
    v, w = (d11 * d20 - d01 * d21) / determinant, (d00 * d21 - d01 * d20) / determinant
    weights = np.clip(np.stack([1 - v - w, v, w], 1), 0, 1)
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)


def _soft(values: Array) -> Array:
    """[n] averaged along the line."""
    reach = int(3 * _SMOOTH)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
