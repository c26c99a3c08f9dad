"""What colour each Gaussian of the head gets: as photographed where it shows, else by rule."""

import numpy as np

from avatar.portrait.arrays import Mask
from avatar.portrait.bust import Bust
from avatar.portrait.eyes import paint_eyeballs, with_sunken_eyes
from avatar.portrait.mesh import between_corners
from avatar.portrait.mouth import paint_mouth
from avatar.portrait.painted import LINING_OPACITY, SURFACE_OPACITY, Painted
from avatar.portrait.placing import place_lining
from avatar.portrait.sitter import Sitter
from avatar.portrait.skin import Complexion, paint_skin
from avatar.portrait.splats import Lattice


def paint_head(bust: Bust, complexion: Complexion, lattice: Lattice) -> Painted:
    """Those of the splats that lie on the template: skin, mouth and eyes."""
    sitter, template = bust.sitter, bust.sitter.template
    own = lattice.select(lattice.triangle < bust.head_triangles)
    part = template.triangle_part[own.triangle]
    own = with_sunken_eyes(sitter, own, part)
    colour = np.zeros((len(own), 3), np.float32)
    opacity = np.full(len(own), SURFACE_OPACITY, np.float32)

    skin = sitter.skin[own.triangle]
    colour[skin] = paint_skin(complexion, own.select(skin))
    opacity[skin & _stands_out(sitter, own)] = 0
    paint_mouth(sitter, own, part, colour)
    paint_eyeballs(sitter, own, part, colour)
    return Painted(lattice=own, colour=colour, opacity=opacity).select(opacity > 0)


def paint_lining(bust: Bust, head: Painted) -> Painted:
    """The lining beneath `head`, each splat in the mean colour of those above it."""
    above = head.lattice.triangle
    total = np.zeros((len(bust.triangles), 3))
    np.add.at(total, above, head.colour)
    count = np.bincount(above, minlength=len(bust.triangles))
    sheet = place_lining(bust, count > 0)
    colour = (total / np.maximum(count, 1)[:, None])[sheet.triangle]
    return Painted(
        lattice=sheet,
        colour=colour.astype(np.float32),
        opacity=np.full(len(sheet), LINING_OPACITY, np.float32),
    )


def _stands_out(sitter: Sitter, own: Lattice) -> Mask:
    """[N] skull and neck outside the person's outline, which would stand out of hair or collar."""
    at = between_corners(own.barycentric, sitter.posed[sitter.template.triangles[own.triangle]])
    pixels = sitter.fit.camera.project(at)[:, :2]
    within = sitter.photo.within(pixels)
    outside = within & (sitter.photo.person_at(pixels) < 0.5)
    # Where the picture ends above the collar, so does the bust.
    ended = ~within & (own.means[:, 1] < sitter.chin_height)
    return (outside | ended) & ~sitter.on_face[own.triangle]
