"""Where the Gaussians lie and how far apart: fine on face and eyes, coarse where nobody looks."""

from dataclasses import dataclass, replace

import numpy as np

from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.bust import Bust
from avatar.portrait.colour import squareness
from avatar.portrait.mesh import areas, smooth_normals
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import (
    SWELL,
    SWELL_ALONE,
    SWELL_BORDER,
    Lattice,
    count_for,
    joined,
    lay,
    scatter,
)

TARGET_SPLATS = 59_000
"""Within the 30k to 60k that two processor cores draw at more than 20 frames a second."""

FACE_SPACING = 0.00105
HAIR_SPACING = 0.0022
_BODY_SPACING = 0.0034
"""Metres between splats; these three are stretched alike to meet TARGET_SPLATS."""
_LEAST_STRETCH, _MOST_STRETCH = 0.6, 3.0
_LID_SPACING = 0.0011
"""Lids unfold to several times their area when they close."""
_EAR_SPACING = 0.0014
_EYE_SPACING, _IRIS_SPACING = 0.0009, 0.00036
_IRIS_ENDS = np.radians(30.0)
_EYE_SEEN = np.radians(75.0)
"""From an eyeball's axis; what lies further round stays behind the lids."""
_TEETH_SPACING = 0.002
_TEETH_LIT = 0.4
_LIT_TEETH_SPACING, _LIT_TONGUE_SPACING = 0.0009, 0.0014
"""Where more than `_TEETH_LIT` of the light falls: what is seen in talk."""
_CAVITY_SPACING = 0.003
_SIDE_SPACING = 0.0019
_BACK_SPACING, _BAND_SPACING = 0.0058, 0.0049
"""On the relief's back; along the outline, where the shell runs away from the photograph's view."""
_MOST_BACK, _MOST_SIDES, _MOST_UNDERCOAT = 4200, 1700, 750
"""A large person gets wider spacings there."""
RELIEF_SQUARE = (0.08, 0.36)
"""Cosines from which, and by which, the relief's front is seen well enough: less than for skin, a
streak of hair is still hair."""
_SIDES_ABOVE_M = 0.0008
_UNDERCOAT_SPACING, _UNDERCOAT_BELOW_M = 0.010, 0.004
_LINING_SPACING = 0.0036
_LINING_BELOW_M = 0.0006
_SHOULDERS_BELOW_CHIN_M = 0.085
"""Further down the relief draws the person, not the template."""


DISSOLVED_BELOW_M = 0.29
"""Below the eyes: further down nothing is left of the shoulders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spacings:
    """[F + S] metres between the splats of each triangle, 0 where there are none of that kind."""

    stretched: Array
    """To be stretched until TARGET_SPLATS come out."""
    fixed: Array
    """As they are: eyes, lids, teeth and edges that are seen."""
    scattered: Array
    """Where triangles are smaller than the splats wanted."""


def place_splats(bust: Bust) -> Lattice:
    """Splats over everything, so many that with the lining TARGET_SPLATS come out."""
    vertices, triangles = bust.vertices, bust.triangles
    spacings = _spacings(bust)
    scattered = scatter(vertices, triangles, spacings.scattered)
    lining = scatter(vertices, triangles, np.where(bust.lined, _LINING_SPACING, 0))
    area = areas(vertices, triangles)
    room = TARGET_SPLATS - count_for(area, spacings.fixed) - len(scattered) - len(lining)
    room -= len(place_sides(bust)) + len(place_undercoat(bust))
    low, high = _LEAST_STRETCH, _MOST_STRETCH
    for _ in range(20):
        stretch = (low + high) / 2
        if count_for(area, spacings.stretched * stretch) > room:
            low = stretch
        else:
            high = stretch
    swell = np.full(len(triangles), SWELL)
    alone = bust.sitter.lids_and_lips | bust.sitter.template.cavity
    swell[: bust.head_triangles][alone] = SWELL_ALONE
    swell[bust.head_triangles :] = np.where(bust.at_outline, SWELL_BORDER, SWELL_ALONE)
    return joined(
        [
            lay(vertices, triangles, spacings.stretched * high, swell),
            lay(vertices, triangles, spacings.fixed, swell),
            scattered,
        ]
    )


def place_lining(bust: Bust, covered: Mask) -> Lattice:
    """A coarse sheet just beneath the skin, under the triangles [F + S] that are `covered`: where
    stretched skin opens between its splats, it shows and not the dark inside of the head."""
    spacing = np.where(bust.lined & covered, _LINING_SPACING, 0)
    sheet = scatter(bust.vertices, bust.triangles, spacing)
    return replace(sheet, means=sheet.means - _LINING_BELOW_M * sheet.normals)


def place_sides(bust: Bust) -> Lattice:
    """Round splats just above the relief's front where it runs away from the camera: its own are
    long in depth there, streaks as soon as the head turns."""
    relief, camera = bust.relief, bust.sitter.fit.camera
    normal = smooth_normals(relief.vertices, relief.triangles)
    centres = relief.vertices[relief.triangles].mean(1)
    steep = squareness(normal, centres, camera, RELIEF_SQUARE) < 1
    elsewhere = np.any((relief.is_back | relief.is_ribbon)[relief.triangles], axis=1)
    spacing = np.where(steep & ~elsewhere & _kept(bust), _BAND_SPACING, 0)
    sheet = _scattered(bust, _at_most(bust, spacing, _MOST_SIDES))
    return replace(sheet, means=sheet.means + _SIDES_ABOVE_M * sheet.normals)


def place_undercoat(bust: Bust) -> Lattice:
    """A coarse sheet beneath the relief's back: between strands it shows, and not the dark inside
    of the head, or through that the face."""
    back = np.all(bust.relief.is_back[bust.relief.triangles], axis=1)
    spacing = np.where(back & _kept(bust), _UNDERCOAT_SPACING, 0)
    sheet = _scattered(bust, _at_most(bust, spacing, _MOST_UNDERCOAT))
    return replace(sheet, means=sheet.means - _UNDERCOAT_BELOW_M * sheet.normals)


def _scattered(bust: Bust, spacing: Array) -> Lattice:
    """Splats on the relief alone; `spacing` [S]."""
    whole = np.concatenate([np.zeros(bust.head_triangles), spacing])
    return scatter(bust.vertices, bust.triangles, whole)


def _at_most(bust: Bust, spacing: Array, most: int) -> Array:
    """[S] the spacings on the relief, stretched alike so that no more than `most` come out."""
    area = areas(bust.relief.vertices, bust.relief.triangles)
    used = spacing > 0
    count = float((area[used] / spacing[used] ** 2).sum())
    return spacing * max(1.0, float(np.sqrt(count / most)))


def _kept(bust: Bust) -> Mask:
    """[S] drawn at all, and above where the shoulders have dissolved."""
    relief = bust.relief
    return bust.shown & (relief.vertices[relief.triangles][:, :, 1].max(1) > -DISSOLVED_BELOW_M)


def _spacings(bust: Bust) -> _Spacings:
    head, relief = _head_spacings(bust.sitter), _relief_spacings(bust)
    return _Spacings(
        stretched=np.concatenate([head.stretched, relief.stretched]),
        fixed=np.concatenate([head.fixed, relief.fixed]),
        scattered=np.concatenate([head.scattered, relief.scattered]),
    )


def _head_spacings(sitter: Sitter) -> _Spacings:
    """[F] of each kind."""
    template = sitter.template
    part, skin = template.triangle_part, sitter.skin
    stretched, fixed, scattered = (np.zeros(len(part)) for _ in range(3))
    lids = skin & (sitter.lids[template.triangles].max(1) > 0.3)
    stretched[sitter.on_face & ~lids] = FACE_SPACING
    stretched[sitter.bare_ears] = _EAR_SPACING
    beside = skin & ~sitter.on_face & ~lids & ~sitter.bare_ears
    stretched[beside] = _SIDE_SPACING
    # Nothing lines the cavity, and through a gap between scattered splats one would see the hair
    # at the back of the head: every triangle carries its own.
    fixed[template.cavity] = _CAVITY_SPACING
    fixed[lids] = _LID_SPACING
    eyes = (part == Part.EYE_LEFT) | (part == Part.EYE_RIGHT)
    angle = np.nan_to_num(template.eye_angle, nan=9.0)[template.triangles].max(1)
    fixed[eyes & (angle < _EYE_SEEN)] = _EYE_SPACING
    fixed[eyes & (angle < _IRIS_ENDS)] = _IRIS_SPACING
    others = (Part.SKIN, Part.MOUTH, Part.EYE_LEFT, Part.EYE_RIGHT, Part.LASHES)
    fixed[~np.isin(part, others)] = _TEETH_SPACING
    lit = template.shade[template.triangles].max(1) > _TEETH_LIT
    fixed[lit & np.isin(part, (Part.TEETH_UPPER, Part.TEETH_LOWER))] = _LIT_TEETH_SPACING
    fixed[lit & np.isin(part, (Part.TONGUE, Part.GUMS))] = _LIT_TONGUE_SPACING
    highest = sitter.fit.neutral[template.triangles][:, :, 1].max(1)
    shoulders = highest < sitter.chin_height - _SHOULDERS_BELOW_CHIN_M
    bare = sitter.hidden_ears | sitter.under_relief | shoulders
    for spacing in (stretched, fixed, scattered):
        spacing[bare] = 0
    return _Spacings(stretched=stretched, fixed=fixed, scattered=scattered)


def _relief_spacings(bust: Bust) -> _Spacings:
    """[S] of each kind."""
    relief, chin = bust.relief, bust.sitter.chin_height
    back = np.all(relief.is_back[relief.triangles], axis=1)
    height = relief.vertices[relief.triangles][:, :, 1].mean(1)
    front = np.where(height > chin, HAIR_SPACING, _BODY_SPACING)
    edge = bust.at_outline | bust.at_hairline
    # An edge is cut in two along each side and no finer: its triangles are long in depth, which
    # nobody sees, and short in the picture.
    at_edge = np.maximum(np.sqrt(areas(relief.vertices, relief.triangles)), 1e-5) / 2
    kept = _kept(bust)
    behind = np.where(kept & back, np.where(edge, _BAND_SPACING, _BACK_SPACING), 0)
    return _Spacings(
        stretched=np.where(kept & ~back & ~edge, front, 0),
        fixed=np.where(kept & ~back & edge, at_edge, 0),
        scattered=_at_most(bust, behind, _MOST_BACK),
    )
