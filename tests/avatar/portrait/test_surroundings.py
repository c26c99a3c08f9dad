"""Hair, ears and clothes from aside: no lines and no bars where front and back meet."""

import numpy as np
import pytest

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
