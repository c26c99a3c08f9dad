"""The back of the head: hair from the crown down, skin at the nape, clothes below, no face."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.portrait.bust import Bust
from avatar.portrait.colour import sample
from avatar.portrait.placing import place_undercoat
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, scatter
from avatar.portrait.unseen import Unseen, carried_across, spread_out, strand_tones
from avatar.types import Float


@pytest.fixture(scope="module")
def unseen(astronaut_sitter: Sitter) -> Unseen:
    return Unseen(sitter=astronaut_sitter)


def wall(spacing_m: float = 0.005) -> Lattice:
    """20 by 20 cm, upright, facing +z."""
    corners = np.array([[0, 0, 0], [0.2, 0, 0], [0.2, 0.2, 0], [0, 0.2, 0]], np.float32)
    return scatter(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32), np.full(2, spacing_m))


def behind(bust: Bust, low_m: float, high_m: float) -> tuple[Float, Float]:
    """Pixels and points of the middle of the relief's back, between heights over the ears' end."""
    relief = bust.relief
    height = relief.vertices[:, 1] - Unseen(sitter=bust.sitter).ends_below
    chosen = relief.is_back & (height > low_m) & (height < high_m)
    chosen &= np.abs(relief.vertices[:, 0]) < 0.04
    assert chosen.any()
    return relief.pixel[chosen], relief.vertices[chosen]


def test_what_is_known_stays_and_the_rest_lies_between():
    image = np.zeros((40, 60, 3), np.float32)
    image[:, :5], image[:, -5:] = (1, 0, 0), (0, 0, 1)
    known = np.zeros((40, 60), np.float32)
    known[:, :5] = known[:, -5:] = 1
    full = spread_out(image, known)
    np.testing.assert_array_equal(full[known > 0], image[known > 0])
    assert full.min() >= -1e-6
    assert full.max() <= 1 + 1e-6
    np.testing.assert_allclose(full[20, 30], (0.5, 0, 0.5), atol=0.12)
    assert full[20, 8, 0] > full[20, 30, 0] > full[20, 52, 0]


def test_clothes_go_around_the_back_at_their_height():
    image = np.zeros((60, 80, 3), np.float32)
    image[:30], image[30:] = (0.1, 0.1, 0.1), (1, 0.5, 0)  # a dark collar over an orange suit
    known = np.zeros((60, 80), np.float32)
    known[10:45, 4:8] = known[10:45, -8:-4] = 1
    image[known == 0] = (0, 1, 0)
    full = carried_across(image, known, level_px=1.0)
    np.testing.assert_allclose(full[12:26], np.broadcast_to(0.1, (14, 80, 3)), atol=0.02)
    np.testing.assert_allclose(full[34:43], np.broadcast_to((1, 0.5, 0), (9, 80, 3)), atol=0.02)
    # Above and below, where nothing shows, what is nearest goes on.
    np.testing.assert_allclose(full[2, 40], image[12, 5], atol=0.05)
    np.testing.assert_allclose(full[-2, 40], image[40, 5], atol=0.05)


def test_the_back_has_no_cleft_where_the_templates_neck_ends(bust: Bust):
    relief, camera, person = bust.relief, bust.sitter.fit.camera, bust.sitter.portrait.person
    inside = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    deep_m = sample(np.asarray(inside, np.float32)[..., None], relief.pixel)[:, 0]
    deep_m /= camera.pixels_per_metre
    below_chin = bust.sitter.chin_height - relief.vertices[:, 1]
    back = relief.is_back & (deep_m > 0.03) & (below_chin > 0.02) & (below_chin < 0.12)
    assert relief.height[back].min() > 0.025


def test_a_strand_has_one_tone_and_its_neighbour_another():
    lattice = wall()
    flow = np.tile(np.array([0, -1, 0], np.float32), (len(lattice), 1))
    tone = strand_tones(lattice, flow)
    arm = lattice.means[:, None] - lattice.means
    along, across = np.abs(arm[..., 1]), np.abs(arm[..., 0])
    first, second = np.nonzero((along > 0.004) & (along < 0.009) & (across < 0.001))
    unlike_along = np.abs(tone[first] - tone[second]).mean()
    first, second = np.nonzero((across > 0.004) & (across < 0.009) & (along < 0.001))
    unlike_across = np.abs(tone[first] - tone[second]).mean()
    assert unlike_along < 0.7 * unlike_across
    assert 0.5 < tone.std() < 1.3
    np.testing.assert_array_equal(tone, strand_tones(lattice, flow))


def test_hair_lies_on_the_head_and_hangs_down_at_the_back(unseen: Unseen, bust: Bust):
    lattice = place_undercoat(bust)
    flow = unseen.flow(lattice)
    np.testing.assert_allclose(np.linalg.norm(flow, axis=1), 1, atol=1e-4)
    assert np.abs((flow * lattice.normals).sum(1)).max() < 1e-3
    low = lattice.means[:, 1] < unseen.ends_below + 0.03
    assert np.median(flow[low, 1]) < -0.9


def test_behind_the_face_is_hair_and_not_the_face(unseen: Unseen, bust: Bust):
    sitter = bust.sitter
    pixels, points = behind(bust, 0.03, 0.12)
    hair = unseen.hair_at(pixels, points)
    assert hair.min() == 1
    colour = unseen.colour_at(pixels, points, hair)
    seen = (sitter.regions.hair > 0.9) & (sitter.portrait.person > 0.9) & (sitter.bare_skin == 0)
    own = np.median(sitter.portrait.image[seen], axis=0)
    to_hair = np.linalg.norm(colour - own, axis=1)
    assert (to_hair < np.linalg.norm(colour - sitter.skin_tone, axis=1)).all()
    assert np.median(to_hair) < 0.15


def test_short_hair_ends_at_the_nape_and_the_back_is_clad(unseen: Unseen, bust: Bust):
    pixels, points = behind(bust, -0.06, -0.035)
    assert unseen.hair_at(pixels, points).max() == 0
    skin = unseen.colour_at(pixels, points, np.zeros(len(pixels)))
    tone = bust.sitter.skin_tone
    hue = np.median(skin, 0) / np.median(skin, 0).sum() - tone / tone.sum()
    assert np.abs(hue).max() < 0.06
    pixels, points = behind(bust, -0.2, -0.16)
    assert unseen.hair_at(pixels, points).max() == 0


def test_strands_differ_as_the_seen_hair_does_and_no_more(unseen: Unseen, bust: Bust):
    lattice = place_undercoat(bust)
    factors = unseen.strands(lattice)
    assert factors.shape == (len(lattice), 3)
    spread = np.log(factors).mean(1).std()
    assert 0.04 < spread < 0.4
    # Two standard deviations of the strongest contrast that is believed, in the strongest colour.
    assert factors.min() > 0.31
    assert factors.max() < 3.2


def test_a_bald_head_gets_no_strands(unseen: Unseen, bust: Bust):
    sitter = bust.sitter
    image = sitter.portrait.image.copy()
    image[unseen.hair > 0.3] = sitter.skin_tone
    bald = Sitter(
        portrait=replace(sitter.portrait, image=image),
        face=sitter.face,
        fit=sitter.fit,
        template=sitter.template,
    )
    factors = Unseen(sitter=bald).strands(place_undercoat(bust))
    np.testing.assert_allclose(factors, 1, atol=0.02)


def test_combing_draws_out_hair_alone_and_keeps_its_area(unseen: Unseen, bust: Bust):
    lattice = place_undercoat(bust)
    hair = np.zeros(len(lattice))
    hair[::2] = 1
    combed = unseen.combed(lattice, hair)
    np.testing.assert_array_equal(combed.scales[1::2], lattice.scales[1::2])
    np.testing.assert_array_equal(combed.rotations[1::2], lattice.rotations[1::2])
    area = combed.scales[:, 0] * combed.scales[:, 1]
    np.testing.assert_allclose(area, lattice.scales[:, 0] * lattice.scales[:, 1], rtol=1e-4)
    assert np.quantile(combed.scales[::2, 0] / combed.scales[::2, 1], 0.75) > 5


def test_strands_end_where_the_hair_turns_in(unseen: Unseen):
    high, low = -0.2, -0.3
    x, y, z = (0.0, 0.1), (high, low), (0.0, 0.1)
    corners = [(x[0], y[0], 0), (x[1], y[0], 0), (x[1], y[1], 0), (x[0], y[1], 0)]
    corners += [(x[0], y[1], z[1]), (x[1], y[1], z[1])]
    # The back of the hair, seen from -z, and its lower end, seen from below.
    triangles = np.array([[0, 1, 2], [0, 2, 3], [3, 2, 5], [3, 5, 4]], np.int32)
    lattice = scatter(np.array(corners, np.float32), triangles, np.full(4, 0.004))
    combed = unseen.combed(lattice, np.ones(len(lattice)))
    longer = combed.scales[:, 0] / combed.scales[:, 1]
    wall = lattice.triangle < 2
    height = lattice.means[:, 1] - low
    assert np.median(longer[wall & (height < 0.003)]) < 1.1
    assert longer[wall & (height > 0.03) & (height < 0.07)].min() > 4


def test_strands_do_not_reach_across_dips_of_the_outline(unseen: Unseen, bust: Bust):
    lattice = place_undercoat(bust)
    combed = unseen.combed(lattice, np.ones(len(lattice)))
    long = combed.scales[:, 0] > 1.5 * lattice.scales[:, 0]
    assert long.sum() > 100
    person = bust.sitter.portrait.person[..., None]
    for end in (1.5, -1.5):
        tips = combed.means + end * combed.scales[:, :1] * unseen.flow(lattice)
        pixels = bust.sitter.fit.camera.project(tips)[:, :2]
        assert np.mean(sample(person, pixels)[long] > 0.5) > 0.99
