"""Skin that is pushed together folds, where faces fold, and only then."""

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.furrows import Furrows, find_furrows
from avatar.fit.own_teacher import own_frames, teaching_motion
from avatar.head.template import HeadTemplate, load_template
from avatar.types import ARKIT_NAMES, Avatar, Float


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def furrows(small_avatar: Avatar, template: HeadTemplate) -> Furrows:
    return find_furrows(small_avatar, template)


def expression(**weights: float) -> Float:
    row = np.zeros(52, np.float32)
    for name, weight in weights.items():
        row[ARKIT_NAMES.index(name)] = weight
    return row


def test_a_face_at_rest_has_none(furrows: Furrows):
    assert (furrows.factors(expression()) == 1).all()
    assert (furrows.factors(expression(jawOpen=1, eyeBlinkLeft=1, tongueOut=1)) == 1).all()


@pytest.mark.parametrize(
    ("weights", "low", "high"),
    [
        # Metres, avatar space: the box in which all that changes lies.
        ({"browInnerUp": 1.0}, (-0.06, 0.02, -0.04), (0.06, 0.11, 0.06)),
        ({"browDownLeft": 1.0, "browDownRight": 1.0}, (-0.02, 0.0, 0), (0.02, 0.04, 0.05)),
        ({"mouthPucker": 1.0}, (-0.05, -0.11, 0), (0.05, -0.03, 0.06)),
        ({"mouthSmileLeft": 1.0}, (0.0, -0.09, -0.05), (0.08, 0.03, 0.06)),
        ({"mouthSmileRight": 1.0}, (-0.08, -0.09, -0.05), (0.0, 0.03, 0.06)),
    ],
)
def test_each_lies_where_faces_fold(
    small_avatar: Avatar, furrows: Furrows, weights: dict[str, float], low, high
):
    factors = furrows.factors(expression(**weights))
    changed = furrows.splats[np.abs(factors - 1).max(1) > 0.02]
    assert len(changed) > 5
    places = Deformer(small_avatar).gaussians().means[changed]
    assert (places > low).all()
    assert (places < high).all()
    assert factors.min() >= 0.5
    assert factors.max() <= 1.2


def test_half_as_much_folds_half_as_deep(furrows: Furrows):
    whole, half = (
        1 - furrows.factors(expression(mouthPucker=weight)).astype(np.float64)
        for weight in (0.8, 0.4)
    )
    np.testing.assert_allclose(half, whole / 2, atol=1e-6)


def test_frames_of_the_own_teacher_begin_at_rest_and_are_the_same_every_time(
    small_avatar: Avatar, template: HeadTemplate
):
    told = []
    frames = own_frames(small_avatar, template, 3, lambda: told.append(1))
    again = own_frames(small_avatar, template, 3)
    assert len(told) == 3
    assert not frames[0].motion.expression.any()
    assert frames[1].motion.expression.any()
    for one, other in zip(frames, again, strict=True):
        assert np.array_equal(one.picture, other.picture)
        assert one.person.max() > 200


def test_what_folds_skin_is_asked_for_often():
    asked = np.stack([teaching_motion(index).expression for index in range(200)])
    for name in ("mouthSmileLeft", "browInnerUp", "mouthPucker", "browDownLeft"):
        assert (asked[:, ARKIT_NAMES.index(name)] > 0.3).mean() > 0.08
    assert asked.min() >= 0
    assert asked.max() <= 1
