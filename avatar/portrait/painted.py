"""Coloured splats on their way to the avatar."""

from dataclasses import dataclass

from avatar.portrait.arrays import Mask
from avatar.portrait.splats import Lattice
from avatar.types import Float

SURFACE_OPACITY, LINING_OPACITY = 0.96, 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """N of the avatar's Gaussians, coloured."""

    lattice: Lattice
    """Its triangles count within the whole bust's."""
    colour: Float
    """[N, 3]"""
    opacity: Float
    """[N]"""

    def select(self, keep: Mask) -> "Painted":
        """Those for which `keep` [N] holds."""
        return Painted(
            lattice=self.lattice.select(keep), colour=self.colour[keep], opacity=self.opacity[keep]
        )
