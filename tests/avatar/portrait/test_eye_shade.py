"""Shadow, flesh and reflections lie on the eyes, stay while these turn, and are as photographed."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.head.template import Part, load_template
from avatar.portrait.arrays import Mask
from avatar.portrait.eye_shade import _lamps, _light, _single, paint_eye_shade
from avatar.portrait.eyes import EyeColours, paint_eyes, photographed_eyes
from avatar.portrait.seen_eye import SeenEye, front, seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.types import Avatar, Float


def on_gums(avatar: Avatar) -> Mask:
    template = load_template()
    own = avatar.bound_triangle < len(template.triangles)
    anchor = np.bincount(avatar.bound_triangle[own]).argmax()
    assert template.triangle_part[anchor] == Part.GUMS
    return avatar.bound_triangle == anchor


def test_shade_and_highlights_stay_while_the_eyes_turn(first_astronaut: Avatar):
    template, deformer = load_template(), Deformer(first_astronaut)
    still = on_gums(first_astronaut)
    assert 300 < still.sum() < 1600
    own = first_astronaut.bound_triangle < len(template.triangles)
    part = template.triangle_part[np.where(own, first_astronaut.bound_triangle, 0)]
    eyes = own & np.isin(part, (Part.EYE_LEFT, Part.EYE_RIGHT))
    ahead = deformer.gaussians().means.copy()
    aside = deformer.gaussians(gaze=np.radians(np.array([20, -10], np.float32))).means
    np.testing.assert_allclose(aside[still], ahead[still], atol=1e-6)
    assert np.linalg.norm(aside[eyes] - ahead[eyes], axis=1).max() > 0.004


def test_it_lies_above_the_eyeballs_and_below_the_lids(astronaut_sitter: Sitter):
    means = paint_eye_shade(astronaut_sitter).lattice.means
    eyes = seen_eyes(astronaut_sitter)
    away = np.min([np.linalg.norm(means - eye.centre, axis=1) / eye.radius for eye in eyes], axis=0)
    assert 1.0 < away.min() <= away.max() < 1.015


def painted(eye: SeenEye, colours: EyeColours, light: Float) -> SeenEye:
    """`eye` in a picture in which it is as it is painted, under `light` [H, W]."""
    height, width = eye.image.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    pixels = np.stack([x.ravel(), y.ravel()], 1)
    near = np.linalg.norm(pixels - eye.opening.mean(0), axis=1) < 40
    image = np.full_like(eye.image, 0.5)
    head = np.stack([eye.towards(pixel) for pixel in pixels[near]])
    colour = paint_eyes(head @ eye.looking, colours, eye.side)
    image.reshape(-1, 3)[near] = colour * light.ravel()[near, None]
    return replace(eye, image=image)


@pytest.mark.parametrize("shade", [1.0, 0.6])
def test_shadow_is_what_the_picture_has_less_light_than_the_paint(
    astronaut_sitter: Sitter, shade: float
):
    colours, eye = photographed_eyes(astronaut_sitter), seen_eyes(astronaut_sitter)[0]
    seen = painted(eye, colours, np.full(eye.image.shape[:2], shade, np.float32))
    head = front(0.1, (0.5, 0.3))
    within = seen.within_m(head)
    head, within = head[within > 0.002], within[within > 0.002]
    np.testing.assert_allclose(_light(seen, colours, head, within), shade, atol=0.12)


def test_single_splats_hide_together_what_is_asked():
    assert _single(np.array([0.0])) == pytest.approx(0, abs=1e-3)
    peaks = _single(np.array([0.2, 0.5, 0.8]))
    # Brute force: the light through a grid of Gaussians, on the mean.
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 21), np.linspace(-0.5, 0.5, 21))
    for peak, wanted in zip(peaks, (0.2, 0.5, 0.8), strict=True):
        through = np.ones_like(x)
        for i in range(-4, 5):
            for j in range(-4, 5):
                through *= 1 - peak * np.exp(-((x - i) ** 2 + (y - j) ** 2) / (2 * 0.7**2))
        assert 1 - through.mean() == pytest.approx(wanted, abs=0.02)


def with_reflection(sitter: Sitter, which: tuple[int, ...]) -> tuple[SeenEye, SeenEye]:
    """Eyes of even colours with a lamp right above the middle of those irises."""
    colours = photographed_eyes(sitter)
    found = []
    for number, eye in enumerate(seen_eyes(sitter)):
        height, width = eye.image.shape[:2]
        light = np.ones((height, width), np.float32)
        seen = painted(eye, replace(colours, texture=np.ones_like(colours.texture)), light)
        if number in which:
            y, x = np.mgrid[:height, :width] + 0.5
            lamp = np.hypot(x - eye.iris[0] - 1.0, y - eye.iris[1]) < 1.2
            seen.image[lamp] = 1
        found.append(seen)
    return found[0], found[1]


def test_a_reflection_lies_where_the_picture_has_it(astronaut_sitter: Sitter):
    colours = photographed_eyes(astronaut_sitter)
    for which in ((0, 1), (0,), (1,)):
        eyes = with_reflection(astronaut_sitter, which)
        for eye, lamp in zip(eyes, _lamps(eyes, colours), strict=True):
            pixel = eye.pixels(lamp.at[None])[0]
            np.testing.assert_allclose(pixel, eye.iris + np.array([1, 0]), atol=0.8)


def test_where_none_is_seen_a_faint_one_lives(astronaut_sitter: Sitter):
    colours = photographed_eyes(astronaut_sitter)
    eyes = with_reflection(astronaut_sitter, ())
    lamps = _lamps(eyes, colours)
    assert all(lamp.opacity < 0.5 and lamp.aside[1] > 0 for lamp in lamps)
