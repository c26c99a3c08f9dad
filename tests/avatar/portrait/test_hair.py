"""Hair stands off the skull as far as the photograph shows; the rest of the head stays bare."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.portrait.bust import Bust, build_bust
from avatar.portrait.hair import falls, haired
from avatar.portrait.landmarks import CHIN
from avatar.portrait.sitter import Sitter
from avatar.portrait.surroundings import wrapped


@pytest.fixture(scope="module")
def sitter(astronaut_sitter: Sitter) -> Sitter:
    """Hair over her ears, a bare neck, a high collar."""
    return astronaut_sitter


def with_picture(sitter: Sitter, image: np.ndarray, person: np.ndarray) -> Sitter:
    portrait = replace(
        sitter.portrait, image=image.astype(np.float32), person=person.astype(np.float32)
    )
    return Sitter(portrait=portrait, face=sitter.face, fit=sitter.fit, template=sitter.template)


def beside_the_neck(sitter: Sitter) -> np.ndarray:
    """[H, W] strips left and right of jaw and neck, where long hair hangs."""
    metres = sitter.fit.camera.pixels_per_metre
    chin = sitter.face.landmarks[CHIN]
    row, column = np.indices(sitter.depth.shape)
    aside = np.abs(column - chin[0]) / metres
    return (aside > 0.03) & (aside < 0.13) & (np.abs(row - chin[1]) < 0.05 * metres)


def test_the_crown_rises_and_the_face_stays(sitter: Sitter):
    moved = np.linalg.norm(haired(sitter) - sitter.posed, axis=1)
    crown = sitter.posed[:, 1] > np.quantile(sitter.posed[:, 1], 0.99)
    assert np.median(moved[crown]) > 0.008, "her hair stands more than a centimetre off the crown"
    face = np.unique(sitter.template.triangles[sitter.on_face])
    inner = face[sitter.inner_face[face] == 1]
    assert moved[inner].max() < 0.004
    assert moved.max() < 0.075


def test_ears_under_hair_are_hidden_and_bare_ones_are_drawn(sitter: Sitter):
    assert sitter.hidden_ears.any()
    ears = sitter.fit.camera.project(sitter.posed[sitter.ears])[:, :2]
    image = sitter.portrait.image.copy()
    row, column = np.indices(sitter.depth.shape)
    near = np.zeros(sitter.depth.shape, bool)
    for side in (ears[:, 0] < ears[:, 0].mean(), ears[:, 0] >= ears[:, 0].mean()):
        low, high = ears[side].min(0) - 3, ears[side].max(0) + 3
        near |= (column > low[0]) & (column < high[0]) & (row > low[1]) & (row < high[1])
    image[near & (sitter.face_mask == 0)] = sitter.skin_tone
    bare = with_picture(sitter, image, np.maximum(sitter.portrait.person, near))
    assert not bare.hidden_ears.any()
    assert bare.bare_ears.sum() > 100


def test_hair_beside_the_neck_falls_and_then_hangs_behind_it(sitter: Sitter):
    assert not falls(sitter)
    image, person = sitter.portrait.image.copy(), sitter.portrait.person.copy()
    strips = beside_the_neck(sitter) & (sitter.bare_skin == 0)
    hair = np.median(image[(sitter.regions.hair > 0.9) & (person > 0.9)], axis=0)
    image[strips] = hair
    person[strips] = 1
    long_haired = with_picture(sitter, image, person)
    assert falls(long_haired)

    def nape_depth(bust: Bust) -> float:
        relief, chin = bust.relief, sitter.chin_height
        nape = relief.is_back & (np.abs(relief.vertices[:, 1] - chin) < 0.015)
        middle = np.abs(relief.vertices[:, 0]) < 0.02
        return float(relief.vertices[nape & middle, 2].min())

    assert nape_depth(build_bust(long_haired)) < nape_depth(build_bust(sitter)) - 0.02


def test_the_relief_leaves_bare_skin_to_the_template(sitter: Sitter, bust: Bust):
    inside = bust.relief.pixel[~bust.relief.is_back]
    nose = sitter.face.landmarks[1, :2]
    away = np.linalg.norm(inside - nose, axis=1) / sitter.fit.camera.pixels_per_metre
    assert away.min() > 0.03


def test_the_picture_is_wrapped_around_a_shell_at_its_own_scale(sitter: Sitter):
    pixels = np.argwhere((sitter.regions.hair > 0.8) & (sitter.portrait.person > 0.9))[::7, ::-1]
    pixels = pixels.astype(np.float32)
    for height_m in (0.0, 0.03, 0.09):
        found = wrapped(sitter, pixels, np.full(len(pixels), height_m)).round().astype(int)
        found = np.clip(found, 0, 511)
        shown = sitter.portrait.person[found[:, 1], found[:, 0]] > 0.5
        skin = sitter.bare_skin[found[:, 1], found[:, 0]] > 0
        assert shown.mean() > 0.97
        assert skin.mean() < 0.06
