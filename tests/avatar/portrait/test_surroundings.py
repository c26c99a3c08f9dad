"""Hair, ears and clothes from aside: no lines and no bars where front and back meet."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from avatar.portrait.bust import Bust, build_bust
from avatar.portrait.painted import Painted
from avatar.portrait.placing import place_splats
from avatar.portrait.sitter import Sitter
from avatar.portrait.skin import Complexion
from avatar.portrait.surroundings import paint_relief


def painted(sitter: Sitter) -> tuple[Bust, Painted]:
    bust = build_bust(sitter)
    return bust, paint_relief(bust, Complexion(sitter=sitter), place_splats(bust))


@pytest.fixture(scope="module")
def relief(astronaut_sitter: Sitter) -> tuple[Bust, Painted]:
    """Hair over her ears, a bare neck, a high collar."""
    return painted(astronaut_sitter)


def test_the_ribbon_between_front_and_back_lies_in_the_shade(relief: tuple[Bust, Painted]):
    bust, splats = relief
    sitter, shell = bust.sitter, bust.relief
    ribbon = np.any(shell.is_ribbon[shell.triangles], 1)
    seen = (sitter.regions.hair > 0.9) & (sitter.portrait.person > 0.9) & (sitter.bare_skin == 0)
    brightest = np.quantile(sitter.portrait.image[seen].mean(1), 0.98)
    of_hair = ribbon[splats.lattice.triangle - bust.head_triangles]
    of_hair &= splats.lattice.means[:, 1] > 0
    assert of_hair.sum() > 100
    assert splats.colour[of_hair].mean(1).max() < brightest


def test_no_hair_runs_over_an_ear_that_shows(
    astronaut_sitter: Sitter, relief: tuple[Bust, Painted]
):
    sitter, template = astronaut_sitter, astronaut_sitter.template
    behind_them = Sitter(
        portrait=sitter.portrait, face=sitter.face, fit=sitter.fit, template=template
    )
    # A fake: as if she wore this hair behind her ears.
    behind_them.__dict__["hidden_ears"] = np.zeros(len(template.triangles), bool)
    ears = KDTree(sitter.posed[sitter.ears])
    blueness = []
    for bust, splats in (relief, painted(behind_them)):
        back = np.any(bust.relief.is_back[bust.relief.triangles], 1)
        chosen = back[splats.lattice.triangle - bust.head_triangles]
        chosen &= ears.query(splats.lattice.means)[0] < 0.006
        assert chosen.sum() > 20
        colour = splats.colour[chosen]
        blueness.append(np.median(colour[:, 2] / colour[:, 0]))
    over, free = blueness
    tone = sitter.skin_tone[2] / sitter.skin_tone[0]
    assert abs(free - tone) < 0.5 * abs(over - tone), "her hair is yellow"
