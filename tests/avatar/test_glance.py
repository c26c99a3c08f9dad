"""The photograph's own view: the glance is seen from there, fades aside, and follows the head."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from avatar.deform import Deformer
from avatar.glance import FULL_DEGREES, NONE_DEGREES, glance_weight
from avatar.head.template import HeadTemplate, load_template
from avatar.types import ARKIT_NAMES, Avatar, Float

JOINT = np.array([0.0, -0.1, -0.09], np.float32)
CAMERA = np.array([0.3, 0.05, 1.1], np.float32)


def aside(degrees: float, axis: tuple[float, float, float] = (0, 1, 0)) -> Float:
    """The photograph's place, turned about the head's middle."""
    unit = np.cross(CAMERA, np.cross(np.array(axis, np.float64), CAMERA))
    unit /= np.linalg.norm(unit)
    return Rotation.from_rotvec(np.radians(degrees) * unit).apply(CAMERA).astype(np.float32)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture
def glancing(small_avatar: Avatar) -> Avatar:
    offset = np.random.default_rng(3).uniform(-0.4, 0.4, (len(small_avatar), 3))
    return replace(small_avatar, glance=offset.astype(np.float32), taken_from=CAMERA)


def test_all_of_it_is_seen_from_the_photographs_place_at_any_distance():
    for distance in (0.2, 1.0, 30.0):
        assert glance_weight(CAMERA, distance * CAMERA, JOINT) == 1
    assert glance_weight(CAMERA, aside(FULL_DEGREES - 0.1), JOINT) == 1


@given(st.floats(NONE_DEGREES, 180), st.sampled_from([(0, 1, 0), (1, 0, 0), (1, 1, 0)]))
def test_nothing_of_it_is_seen_from_further_aside(degrees: float, axis):
    assert glance_weight(CAMERA, aside(degrees + 0.01, axis), JOINT) == 0


def test_it_fades_smoothly_and_never_rises_on_the_way():
    weights = [glance_weight(CAMERA, aside(angle), JOINT) for angle in np.arange(0, 40, 0.25)]
    steps = np.diff(weights)
    assert (steps <= 0).all()
    assert steps.min() > -0.025  # a quarter of a degree
    assert np.abs(np.diff(steps)).max() < 0.002


def test_a_head_that_turns_away_is_seen_from_its_side():
    turn, shift = np.radians([3, 11, -4]), np.array([0.01, -0.02, 0.03])
    moved = Rotation.from_rotvec(turn).apply(CAMERA - JOINT) + JOINT + shift
    pose = {"head_rotation": turn.astype(np.float32), "head_translation": shift.astype(np.float32)}
    assert glance_weight(CAMERA, moved, JOINT, **pose) == 1
    assert glance_weight(CAMERA, CAMERA, JOINT, **pose) < 0.9
    away = {"head_rotation": np.radians([0, 30, 0]).astype(np.float32)}
    assert glance_weight(CAMERA, CAMERA, JOINT, **away) == 0


@pytest.mark.parametrize("place", [(0, 0, 0), (np.nan, 0, 1), (np.inf, 0, 1)])
def test_a_place_that_says_nothing_shows_no_glance(place: tuple[float, float, float]):
    assert glance_weight(CAMERA, place, JOINT) == 0
    assert glance_weight(np.array(place, np.float32), CAMERA, JOINT) == 0


def test_colours_are_the_avatars_own_and_its_glance_as_far_as_it_is_seen(
    glancing: Avatar, template: HeadTemplate
):
    deformer = Deformer(glancing, template)
    for place in (CAMERA, aside(12), aside(13), aside(40), CAMERA, None, aside(12)):
        weight = 0.0
        if place is not None:
            weight = glance_weight(CAMERA, place, template.neck_joint)
        expected = glancing.colour + np.float32(weight) * glancing.glance
        shown = deformer.gaussians(seen_from=place).colours
        np.testing.assert_allclose(shown, np.clip(expected, 0, 1), atol=1e-6)
    assert 0 < weight < 1


def test_without_a_viewer_or_a_glance_nothing_changes(
    glancing: Avatar, small_avatar: Avatar, template: HeadTemplate
):
    np.testing.assert_array_equal(
        Deformer(glancing, template).gaussians().colours, small_avatar.colour
    )
    plain = Deformer(small_avatar, template).gaussians(seen_from=CAMERA)
    np.testing.assert_array_equal(plain.colours, small_avatar.colour)
    unknown = replace(glancing, taken_from=np.zeros(3, np.float32))
    np.testing.assert_array_equal(
        Deformer(unknown, template).gaussians(seen_from=CAMERA).colours, small_avatar.colour
    )


def test_an_earlier_result_keeps_its_colours_until_the_call_after_the_next(
    glancing: Avatar, template: HeadTemplate
):
    deformer = Deformer(glancing, template)
    first = deformer.gaussians(seen_from=CAMERA)
    kept = first.colours.copy()
    deformer.gaussians(seen_from=aside(30))
    np.testing.assert_array_equal(first.colours, kept)


def test_the_expressions_shading_lies_over_the_glance(glancing: Avatar, template: HeadTemplate):
    light = np.zeros((9, 3), np.float32)
    light[0], light[1] = 2.0, 1.0
    lit = replace(glancing, light=light)
    mixed = replace(lit, colour=np.clip(lit.colour + lit.glance, 0, 1).astype(np.float32))
    smile = np.zeros(len(ARKIT_NAMES), np.float32)
    smile[[ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("jawOpen")]] = 0.8
    shown = Deformer(lit, template).gaussians(expression=smile, seen_from=CAMERA).colours
    plain = Deformer(replace(mixed, glance=np.zeros((0, 3), np.float32)), template)
    expected = plain.gaussians(expression=smile).colours
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert not np.allclose(shown, mixed.colour, atol=1e-3)
