"""Which Gaussians a photograph may change, and how far: those that it shows, squarely, as skin,
hair or clothes. Teeth, tongue and eyeballs are painted by rule and stay as they are."""

from dataclasses import dataclass

import numpy as np

from avatar.deform import Deformer, triangle_frames
from avatar.fit.backends import FitRasteriser
from avatar.fit.rasteriser import Lens
from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Array, Mask
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians

_SEEN = (0.06, 0.35)
"""Share of a splat that is not hidden: nothing is learned below the first, all from the second."""
_GLANCED = (0.02, 0.12)
"""The same of what is seen from the photograph's own place alone."""
SKIN_SQUARE, SQUARE = (0.13, 0.42), (0.18, 0.42)
"""Likewise of the cosine between its normal and the way to the camera, on skin and elsewhere. What
is learned at a grazing angle is stretched when the head turns: cheeks before the ears got patches
of grain with (.10, .35), and hair beside the temples patches of wall or skin. Narrower ranges cost
the photograph's own view: (.25, .55) and (.20, .45) take one to one and a half decibels."""
_STRETCHED = (1.6, 2.6)
"""Likewise, falling: how much a triangle's size differs between the pose and rest. Skin folded
together in the photograph would be torn apart when it unfolds."""

_BLINKING_M = (0.0005, 0.002)
"""Likewise, how far a blink moves the skin: from the first on it counts as lid."""
_BLINKING_AT_ALL_M = (0.0001, 0.001)
"""The same for the glance, which would draw the open eye's folds around a shut one."""
_OPEN_LIPS_KEPT = 0.9
_LIDS_KEPT = 0.92
"""How much of its own colour a lid keeps."""


_LIDS_KEPT_BY_GLANCE, _EYE_GLANCE = 0.92, 0.6
"""How much of its own colour a lid keeps from the photograph's own place, and how free an eye's
is there: it carries what it learns along when it looks elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Freedom:
    """Of N splats, 0..1."""

    colour: Float
    """[N] how far the photograph may change the colour and opacity."""
    shape: Float
    """[N] how far it may change place, size and turn."""
    glance: Float
    """[N] how far it may change the colour that is seen from its own place alone: however
    slantingly it sees the splat, and eyes too."""
    ruled: Mask
    """[N] painted by rule, not to be learned."""
    weight: Float
    """[N] how many pixels' worth of the picture each splat is."""


def find_freedom(
    deformer: Deformer,
    gaussians: Gaussians,
    lens: Lens,
    template: HeadTemplate,
    rasteriser: FitRasteriser,
    *,
    mouth_open: bool = False,
) -> Freedom:
    """Of the avatar's `gaussians`, posed as photographed through `lens`.

    With `mouth_open` in the photograph the lips keep to their own colour: a tooth or a glint
    learned beside the gap would lie white on the closed mouth.
    """
    avatar = deformer.avatar
    on_template = avatar.bound_triangle < len(template.triangles)
    skin = (template.triangle_part == Part.SKIN) & ~template.cavity
    ruled = on_template & ~skin[np.where(on_template, avatar.bound_triangle, 0)]
    colour, _ = rasteriser.draw(gaussians, lens)
    # With a slope of 1 the gradient of a colour is the sum of its weights over the picture.
    shown = rasteriser.backward(colour, np.ones_like(colour)).colours[:, 0].copy()
    share = shown / np.maximum(rasteriser.footprints(), 1e-6)
    seen = _ramp(share, _SEEN)
    square = np.where(
        on_template,
        _ramp(facing(gaussians, lens), SKIN_SQUARE),
        _ramp(facing(gaussians, lens), SQUARE),
    )
    lid = _lids(avatar, template, _BLINKING_M)
    any_lid = _lids(avatar, template, _BLINKING_AT_ALL_M)
    kept_lips = _OPEN_LIPS_KEPT * _lips(avatar, template) if mouth_open else 0
    free = np.where(ruled, 0, seen * square * (1 - _LIDS_KEPT * lid) * (1 - kept_lips))
    eyes = np.isin(template.triangle_part, (Part.EYE_LEFT, Part.EYE_RIGHT, Part.LASHES))
    eye = on_template & eyes[np.where(on_template, avatar.bound_triangle, 0)]
    glance = _ramp(share, _GLANCED) * np.where(
        ruled, _EYE_GLANCE * eye, (1 - _LIDS_KEPT_BY_GLANCE * any_lid)
    )
    glance *= 1 - kept_lips
    stretch = _stretch(avatar, deformer.vertices)
    return Freedom(
        colour=free.astype(np.float32),
        shape=(free * (1 - lid) * (1 - _ramp(stretch, _STRETCHED))).astype(np.float32),
        glance=glance.astype(np.float32),
        ruled=ruled,
        weight=shown,
    )


def facing(gaussians: Gaussians, lens: Lens) -> Float:
    """[N] cosine between each splat's third axis and the way to the camera, either side of it."""
    w, x, y, z = gaussians.rotations.T
    normal = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    away = lens.position - gaussians.means
    lengths = np.linalg.norm(away, axis=1) * np.linalg.norm(normal, axis=1)
    return (np.abs((normal * away).sum(1)) / np.maximum(lengths, 1e-9)).astype(np.float32)


def _lids(avatar: Avatar, template: HeadTemplate, moving: tuple[float, float]) -> Float:
    """[N] 0..1: skin that a blink carries along. An open eye folds it or lays the shadow of the
    lashes over it, and neither may be seen on the closed lid."""
    moved = np.zeros(len(avatar.vertices), np.float32)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        offsets = template.expression_basis[ARKIT_NAMES.index(name)]
        moved[: len(offsets)] += np.linalg.norm(offsets, axis=1)
    return _ramp(moved[avatar.triangles[avatar.bound_triangle]].mean(1), moving)


def _lips(avatar: Avatar, template: HeadTemplate) -> Float:
    """[N] 0..1: the red of the lips."""
    lip = np.zeros(len(avatar.vertices), np.float32)
    lip[: len(template.lip)] = template.lip
    return np.minimum(lip[avatar.triangles[avatar.bound_triangle]].max(1) / 0.5, 1)


def _stretch(avatar: Avatar, posed: Float) -> Float:
    """[N] >= 1: how much each splat's triangle is larger or smaller at rest than posed."""
    used, local = np.unique(avatar.bound_triangle, return_inverse=True)
    sizes = [triangle_frames(mesh, avatar.triangles[used])[2] for mesh in (avatar.vertices, posed)]
    ratio = sizes[0] / sizes[1]
    return np.maximum(ratio, 1 / ratio)[local].astype(np.float32)


def _ramp(value: Array, between: tuple[float, float]) -> Float:
    low, high = between
    return np.clip((value - low) / (high - low), 0, 1).astype(np.float32)
