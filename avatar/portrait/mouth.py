"""Colours inside the mouth, by rule: a photograph shows little of it, and that is in the way."""

import numpy as np
from numpy.typing import NDArray

from avatar.head.template import Part
from avatar.portrait.mesh import between_corners
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import Float

_CAVITY = np.array([0.30, 0.10, 0.09], np.float32)
_TOOTH = np.array([0.93, 0.89, 0.82], np.float32)
_GUMS = np.array([0.72, 0.40, 0.38], np.float32)
_TONGUE = np.array([0.70, 0.36, 0.34], np.float32)


def paint_mouth(sitter: Sitter, own: Lattice, part: NDArray[np.uint8], colour: Float) -> None:
    """Teeth, gums, tongue and cavity in their own colours under the template's own light; only the
    lips' lining takes the photograph's lip colour."""
    template = sitter.template
    for kind, tint in (
        (Part.MOUTH, _CAVITY),
        (Part.TEETH_UPPER, _TOOTH),
        (Part.TEETH_LOWER, 0.95 * _TOOTH),
        (Part.TONGUE, _TONGUE),
        (Part.GUMS, _GUMS),
    ):
        chosen = part == kind
        corners = template.triangles[own.triangle[chosen]]
        weights = own.barycentric[chosen]
        if kind == Part.MOUTH:
            red = between_corners(weights, template.lip[corners])[:, None]
            tint = tint + red * (0.8 * sitter.lip_colour - tint)
        colour[chosen] = tint * between_corners(weights, template.shade[corners])[:, None]
