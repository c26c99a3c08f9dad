"""What the photograph's own place alone shows is learned as a glance; nothing else is touched."""

from dataclasses import fields, replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.freedom import facing
from avatar.fit.glance import learn_glance
from avatar.fit.photograph import as_photographed, likeness, photo_lens
from avatar.fit.rasteriser import Rasteriser, over
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.types import Avatar, Float, Portrait

SIDE = 128
WALL = np.array([0.2, 0.35, 0.6], np.float32)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def plain(small_avatar: Avatar, template: HeadTemplate) -> Avatar:
    """`small_avatar` with the facts of a fit and some splats on its teeth."""
    teeth = np.flatnonzero(template.triangle_part == Part.TEETH_UPPER)[:20].astype(np.int32)
    bound = small_avatar.bound_triangle.copy()
    bound[: len(teeth)] = teeth
    return replace(
        small_avatar,
        bound_triangle=bound,
        fit={
            "expression": [0.0] * 52,
            "gaze": [0.0, 0.0],
            "camera_rotation": np.eye(3).ravel().tolist(),
            "camera_translation": [0.0, 0.04, -1.4],
            "camera_focal_px": [SIDE * 4.5],
            "camera_centre_px": [SIDE / 2, SIDE / 2],
        },
    )


def slanting(avatar: Avatar) -> Float:
    """[N] cosine at which the photograph sees each splat."""
    return facing(as_photographed(Deformer(avatar)), photo_lens(avatar, SIDE, SIDE))


@pytest.fixture(scope="module")
def portrait(plain: Avatar) -> Portrait:
    """The same head, half as light wherever the photograph sees it slantingly."""
    colours = plain.colour.copy()
    colours[slanting(plain) < 0.5] *= 0.5
    posed = as_photographed(Deformer(replace(plain, colour=colours)))
    colour, through = Rasteriser().draw(posed, photo_lens(plain, SIDE, SIDE))
    return Portrait(
        image=over(colour, through, WALL),
        landmarks=np.zeros((478, 3), np.float32),
        person=(1 - through).astype(np.float32),
        faces_found=1,
    )


@pytest.fixture(scope="module")
def learned(plain: Avatar, portrait: Portrait, template: HeadTemplate) -> Avatar:
    return learn_glance(plain, portrait, template, steps=30)


def test_seen_from_its_place_the_avatar_is_like_the_photograph(
    plain: Avatar, learned: Avatar, portrait: Portrait
):
    before, after = likeness(plain, portrait), likeness(learned, portrait)
    assert after.psnr > before.psnr + 4
    assert after.ssim > before.ssim


def test_without_the_glance_the_avatar_is_the_same_as_before(
    plain: Avatar, learned: Avatar, portrait: Portrait
):
    for field in fields(Avatar):
        if field.name not in ("glance", "taken_from"):
            np.testing.assert_array_equal(getattr(learned, field.name), getattr(plain, field.name))
    assert likeness(learned, portrait, with_glance=False) == likeness(plain, portrait)


def test_what_is_seen_slantingly_gets_darker_and_the_rest_hardly(plain: Avatar, learned: Avatar):
    towards = Deformer(plain).gaussians().means[:, 2] > 0.02
    darker = learned.glance.mean(1)
    cosine = slanting(plain)
    assert darker[towards & (cosine < 0.4)].mean() < -0.05
    assert abs(np.median(darker[towards & (cosine > 0.8)])) < 0.02


def test_the_photographs_place_is_kept(plain: Avatar, learned: Avatar):
    np.testing.assert_allclose(learned.taken_from, photo_lens(plain, SIDE, SIDE).position)


def test_teeth_and_what_the_photograph_does_not_show_have_no_glance(
    plain: Avatar, learned: Avatar, template: HeadTemplate
):
    teeth = template.triangle_part[plain.bound_triangle] == Part.TEETH_UPPER
    assert teeth.any()
    behind = Deformer(plain).gaussians().means
    hidden = behind[:, 2] < np.quantile(behind[:, 2], 0.05)
    np.testing.assert_array_equal(learned.glance[teeth], 0)
    assert np.abs(np.median(learned.glance[hidden], axis=0)).max() < 0.01


def test_no_steps_leave_the_avatar_as_it_was(plain: Avatar, portrait: Portrait, template):
    assert learn_glance(plain, portrait, template, steps=0) is plain
