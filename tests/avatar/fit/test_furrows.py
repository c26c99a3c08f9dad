"""Skin that is pushed together folds, where faces fold, and only then."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.asked_motion import teaching_motion
from avatar.fit.furrows import find_furrows, with_furrows
from avatar.head.template import HeadTemplate, load_template
from avatar.types import ARKIT_NAMES, Avatar, Float

SMILING = {"mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def furrowed(small_avatar: Avatar, template: HeadTemplate) -> Avatar:
    return with_furrows(small_avatar, template)


def expression(**weights: float) -> Float:
    row = np.zeros(52, np.float32)
    for name, weight in weights.items():
        row[ARKIT_NAMES.index(name)] = weight
    return row


def darker(avatar: Avatar, plain: Avatar, **weights: float) -> Float:
    """[N] share of its light that each Gaussian loses to furrows."""
    shown, without = (
        Deformer(each).gaussians(expression=expression(**weights)).colours[:, 1].copy()
        for each in (avatar, plain)
    )
    return 1 - shown / without


def test_a_face_at_rest_has_none(furrowed: Avatar, small_avatar: Avatar):
    assert np.abs(darker(furrowed, small_avatar)).max() < 1e-3
    others = {"jawOpen": 1.0, "eyeBlinkLeft": 1.0}
    assert np.abs(darker(furrowed, small_avatar, **others)).max() < 0.02


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
    furrowed: Avatar, small_avatar: Avatar, weights: dict[str, float], low, high
):
    lost = darker(furrowed, small_avatar, **weights)
    changed = np.abs(lost) > 0.02
    assert changed.sum() > 2
    places = Deformer(small_avatar).gaussians().means[changed]
    assert (places > low).all()
    assert (places < high).all()
    assert 0.03 < lost.max() < 0.4
    assert lost.min() > -0.2


def test_the_portraits_own_expression_keeps_its_colours_and_rest_hardly_pales(
    small_avatar: Avatar, template: HeadTemplate
):
    smiling = replace(small_avatar, fit={"expression": expression(**SMILING).tolist()})
    taught = with_furrows(smiling, template)
    assert np.abs(darker(taught, smiling, **SMILING)).max() < 1e-3
    assert np.abs(darker(taught, smiling)).max() < 0.03
    wider = {name: 1.0 for name in SMILING}
    assert darker(taught, smiling, **wider).max() > 0.03
    beaming = replace(small_avatar, fit={"expression": expression(**wider).tolist()})
    taught = with_furrows(beaming, template)
    assert np.abs(darker(taught, beaming)).max() < 4e-3


def test_what_folds_skin_is_asked_for_often():
    asked = np.stack([teaching_motion(index).expression for index in range(200)])
    assert not asked[0].any()
    for name in ("mouthSmileLeft", "browInnerUp", "mouthPucker", "browDownLeft"):
        assert (asked[:, ARKIT_NAMES.index(name)] > 0.3).mean() > 0.08
    assert asked.min() >= 0
    assert asked.max() <= 1


def test_puckered_lips_do_not_darken_at_the_mouths_corners(
    small_avatar: Avatar, template: HeadTemplate
):
    """There the photograph has its own shadow, and skin is drawn together."""
    furrows = find_furrows(small_avatar, template)
    triangles = template.triangles[template.landmark_triangle[[61, 291]]]
    share = template.landmark_barycentric[[61, 291], :, None]
    corners = (small_avatar.vertices[triangles] * share).sum(1)
    places = Deformer(small_avatar).gaussians().means[furrows.splats]
    near = np.linalg.norm(places[:, None] - corners, axis=2).min(1)
    pucker = ARKIT_NAMES.index("mouthPucker")
    lines = np.abs(next(kind.pattern for kind in furrows.kinds if kind.driven_by[pucker] == 1))
    assert (near < 0.006).any()
    assert lines[near < 0.006].max() == 0
    assert lines[near > 0.014].max() > 0.05
