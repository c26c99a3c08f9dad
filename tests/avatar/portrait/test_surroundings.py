"""Hair, ears and clothes from aside: no streaks and no bars where front and back meet."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from avatar.deform import Deformer
from avatar.portrait.bust import Bust, build_bust
from avatar.portrait.placing import place_splats
from avatar.portrait.sitter import Sitter
from avatar.portrait.skin import Complexion
from avatar.portrait.surroundings import paint_relief
from avatar.types import Avatar, Float


@pytest.fixture(scope="module")
def means(first_astronaut: Avatar) -> Float:
    """[N, 3] of her Gaussians at rest."""
    return Deformer(first_astronaut).gaussians().means


def test_the_ribbon_between_front_and_back_lies_in_the_shade(
    bust: Bust, first_astronaut: Avatar, means: Float
):
    sitter = bust.sitter
    ribbon = np.zeros(len(bust.triangles), bool)
    ribbon[bust.head_triangles :] = np.any(bust.relief.is_ribbon[bust.relief.triangles], 1)
    of_hair = ribbon[first_astronaut.bound_triangle] & (means[:, 1] > 0)
    assert of_hair.sum() > 100
    seen = (sitter.regions.hair > 0.9) & (sitter.portrait.person > 0.9) & (sitter.bare_skin == 0)
    brightest = np.quantile(sitter.portrait.image[seen].mean(1), 0.98)
    assert first_astronaut.colour[of_hair].mean(1).max() < brightest


def test_no_hair_runs_over_an_ear_that_shows(bust: Bust, first_astronaut: Avatar, means: Float):
    sitter, template = bust.sitter, bust.sitter.template
    behind_them = Sitter(
        portrait=sitter.portrait, face=sitter.face, fit=sitter.fit, template=template
    )
    # A fake: as if she wore this hair behind her ears.
    behind_them.__dict__["hidden_ears"] = np.zeros(len(template.triangles), bool)
    other = build_bust(behind_them)
    painted = paint_relief(other, Complexion(sitter=behind_them), place_splats(other))
    ears = KDTree(sitter.posed[sitter.ears])
    blueness = []
    for one, triangle, places, colour in (
        (bust, first_astronaut.bound_triangle, means, first_astronaut.colour),
        (other, painted.lattice.triangle, painted.lattice.means, painted.colour),
    ):
        back = np.zeros(len(one.triangles), bool)
        back[one.head_triangles :] = np.any(one.relief.is_back[one.relief.triangles], 1)
        chosen = back[triangle] & (ears.query(places)[0] < 0.006)
        assert chosen.sum() > 20
        blueness.append(np.median(colour[chosen, 2] / colour[chosen, 0]))
    over, free = blueness
    tone = sitter.skin_tone[2] / sitter.skin_tone[0]
    assert abs(free - tone) < 0.5 * abs(over - tone), "her hair is yellow"
