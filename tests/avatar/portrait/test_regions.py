"""Skin, hair and clothes are told apart by colour and place, on a picture drawn for it."""

import numpy as np

from avatar.portrait.regions import Clues, Regions, find_regions
from avatar.types import Float

SIDE = 400
PIXELS_PER_METRE = 1000.0
SKIN, DARK_SKIN = (0.85, 0.66, 0.55), (0.55, 0.40, 0.32)
HAIR, CLOTH = (0.2, 0.13, 0.1), (0.2, 0.3, 0.7)
CHIN_ROW = 240
X, Y = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
HEAD = np.hypot(X - 200, (Y - 160) / 1.2) < 70
FACE = np.hypot(X - 200, (Y - 170) / 1.2) < 45
EAR = np.hypot(X - 275, Y - 165) < 12
NECK = (np.abs(X - 200) < 40) & (Y > 200) & (Y < 300)
SHOULDERS = (Y > 290) & (np.abs(X - 200) < 60 + (Y - 280))


def drawn(hair_outside: bool = True) -> tuple[Float, Clues]:
    """A head with an ear, a shaded neck and a shirt; hair above the brow, or none."""
    rng = np.random.default_rng(0)
    image = np.full((SIDE, SIDE, 3), 0.5)
    mop = (np.hypot(X - 200, (Y - 150) / 1.2) < 85) & (Y < 160) & hair_outside
    person = HEAD | EAR | NECK | SHOULDERS | mop
    image[person] = SKIN
    image[NECK & (Y > CHIN_ROW)] = DARK_SKIN
    image[mop & ~FACE & ~EAR] = HAIR
    image[SHOULDERS] = CLOTH
    image = np.clip(image + 0.02 * rng.normal(size=image.shape), 0, 1).astype(np.float32)
    clues = Clues(
        person=person.astype(np.float32),
        face=FACE,
        covered=HEAD | EAR | NECK,
        chin_row=CHIN_ROW,
        pixels_per_metre=PIXELS_PER_METRE,
    )
    return image, clues


def shares(regions: Regions, where: np.ndarray) -> list[float]:
    return [float(r[where].mean()) for r in (regions.skin, regions.hair, regions.clothes)]


def test_an_ear_is_skin_a_mop_is_hair_and_a_shirt_is_clothes():
    image, clues = drawn()
    regions = find_regions(image, clues)
    assert shares(regions, np.hypot(X - 275, Y - 168) < 8)[0] > 0.8
    assert shares(regions, (Y < 90) & (clues.person > 0))[1] > 0.9
    assert shares(regions, SHOULDERS & (Y > 340))[2] > 0.8


def test_skin_in_shadow_is_still_skin():
    image, clues = drawn()
    neck = (np.abs(X - 200) < 20) & (Y > CHIN_ROW + 5) & (Y < CHIN_ROW + 30)
    assert shares(find_regions(image, clues), neck)[0] > 0.6


def test_a_bald_head_has_no_hair_on_its_crown():
    image, clues = drawn(hair_outside=False)
    assert shares(find_regions(image, clues), HEAD & (Y < 110))[0] > 0.8


def test_the_shares_sum_to_one_on_the_person_even_in_black_and_white():
    image, clues = drawn()
    grey = np.repeat(image.mean(2, keepdims=True), 3, 2)
    regions = find_regions(grey, clues)
    total = regions.skin + regions.hair + regions.clothes
    np.testing.assert_allclose(total[clues.person > 0], 1, atol=0.02)
    assert shares(regions, (Y < 90) & (clues.person > 0))[1] > 0.8
