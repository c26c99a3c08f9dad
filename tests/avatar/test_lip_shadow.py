"""Where lips meet there is a line, and where they part there is none."""

import dataclasses

import numpy as np
import pytest

from avatar.deform import Deformer, bind
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.lip_shadow import PARTED, LipShadow, lip_splats
from avatar.types import ARKIT_NAMES, Avatar, Float


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def lips(template: HeadTemplate) -> Avatar:
    """One splat in the middle of every triangle of the lips, whose photograph had them apart."""
    red = (template.lip[template.triangles].mean(1) > 0.3) & (template.triangle_part == Part.SKIN)
    triangle = np.flatnonzero(red).astype(np.int32)
    means = template.vertices[template.triangles[triangle]].mean(1)
    count = len(triangle)
    position, rotation, scale = bind(
        template.vertices,
        template.triangles,
        triangle,
        means,
        np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        np.full((count, 3), 5e-4, np.float32),
    )
    return Avatar(
        name="lips",
        vertices=template.vertices,
        triangles=template.triangles,
        neck_weights=template.neck_weights,
        expression_gain=np.ones(52, np.float32),
        bound_triangle=triangle,
        bound_position=position,
        bound_rotation=rotation,
        bound_scale=scale,
        opacity=np.ones(count, np.float32),
        colour=np.full((count, 3), 0.5, np.float32),
        fit={PARTED: [1.0]},
    )


def expressed(**weights: float) -> Float:
    expression = np.zeros(52, np.float32)
    for name, weight in weights.items():
        expression[ARKIT_NAMES.index(name)] = weight
    return expression


def middle(avatar: Avatar) -> np.ndarray:
    """[N] within a centimetre of the face's middle."""
    corners = avatar.vertices[avatar.triangles[avatar.bound_triangle]]
    return np.abs(corners[..., 0].mean(1)) < 0.01


def test_factors_equal_plain_numpy(lips: Avatar, template: HeadTemplate):
    deformer = Deformer(lips, template)
    means = deformer.gaussians(expression=expressed(mouthRollUpper=0.3, jawOpen=0.02)).means
    upper, lower = lip_splats(template, lips)
    corners = lips.vertices[lips.triangles[lips.bound_triangle]]
    area = (
        np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        / 2
    )
    apart = np.linalg.norm(means[upper][:, None] - means[lower][None], axis=2)
    kernel = np.maximum(1 - (apart / 0.002) ** 2, 0) ** 2 / (np.pi * 0.002**2 * 0.24)
    expected = 1 - 0.68 * np.minimum(kernel @ area[lower], 1.0)
    found = deformer.colour_factors[upper]
    inside = middle(lips)[upper]
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.02)


def test_shut_and_rolled_lips_have_a_dark_line_and_opened_ones_none(lips, template):
    deformer, near = Deformer(lips, template), middle(lips)
    for shut in (expressed(), expressed(mouthRollLower=0.3, mouthRollUpper=0.25)):
        deformer.gaussians(expression=shut)
        assert deformer.colour_factors[near].min() < 0.4
    deformer.gaussians(expression=expressed(jawOpen=0.3))
    assert deformer.colour_factors[near].min() > 0.9


def test_a_photographed_line_is_not_drawn_twice(lips: Avatar, template: HeadTemplate):
    shut = dataclasses.replace(lips, fit={})
    deformer = Deformer(shut, template)
    deformer.gaussians()
    np.testing.assert_array_equal(deformer.colour_factors, 1)
    deformer.gaussians(expression=expressed(mouthRollLower=0.5, mouthRollUpper=0.5))
    assert deformer.colour_factors[middle(lips)].min() < 0.6, "rolled lips meet further out"


def test_a_turned_head_keeps_its_line(lips: Avatar, template: HeadTemplate):
    deformer = Deformer(lips, template)
    deformer.gaussians()
    still = deformer.colour_factors.copy()
    deformer.gaussians(head_rotation=np.array([0.1, 0.5, 0.1], np.float32))
    np.testing.assert_allclose(deformer.colour_factors, still, atol=1e-3)


def test_an_avatar_without_lips_casts_no_shadow(lips: Avatar, template: HeadTemplate):
    of_splats = ("triangle", "position", "rotation", "scale")
    arrays = {f"bound_{name}": getattr(lips, f"bound_{name}")[:0] for name in of_splats}
    bare = dataclasses.replace(lips, opacity=lips.opacity[:0], colour=lips.colour[:0], **arrays)
    shadow = LipShadow(template, bare, Deformer(bare, template).gaussians())
    assert len(shadow.splats) == 0
