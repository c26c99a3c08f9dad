"""Bound Gaussians: they rest where they were put, follow the skin, and obey the laws of frames."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from avatar.deform import Deformer, bind, multiply_quaternions, triangle_frames
from avatar.errors import AvatarFileError
from avatar.head.pose import pose
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.lip_shadow import lip_splats
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians, MotionFrame

N = 3000


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


def scattered(template: HeadTemplate, seed: int = 0):
    """Splats around the head: triangle, means, rotations, scales."""
    generator = np.random.default_rng(seed)
    triangle = generator.integers(0, len(template.triangles), N).astype(np.int32)
    centres = template.vertices[template.triangles[triangle]].mean(1)
    means = centres + generator.normal(0, 5e-4, (N, 3))
    rotations = generator.normal(size=(N, 4))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    scales = np.exp(generator.normal(-7, 0.5, (N, 3)))
    return triangle, *(a.astype(np.float32) for a in (means, rotations, scales))


def avatar_of(template: HeadTemplate, seed: int = 0) -> Avatar:
    triangle, means, rotations, scales = scattered(template, seed)
    position, rotation, scale = bind(
        template.vertices, template.triangles, triangle, means, rotations, scales
    )
    return Avatar(
        name="test",
        vertices=template.vertices,
        triangles=template.triangles,
        neck_weights=template.neck_weights,
        expression_gain=np.ones(52, np.float32),
        bound_triangle=triangle,
        bound_position=position,
        bound_rotation=rotation,
        bound_scale=scale,
        opacity=np.linspace(0, 1, N, dtype=np.float32),
        colour=np.full((N, 3), 0.5, np.float32),
    )


def matrices(quaternions: np.ndarray) -> np.ndarray:
    return Rotation.from_quat(quaternions, scalar_first=True).as_matrix()


def plain_frames(vertices: np.ndarray, triangles: np.ndarray):
    """Origin, axes as columns, size: the docstring of `triangle_frames` in NumPy."""
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    x = b - a
    length = np.linalg.norm(x, axis=1)
    x = x / length[:, None]
    z = np.cross(x, c - a)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    y = np.cross(z, x)
    size = (length + np.einsum("nk,nk->n", c - a, y)) / 2
    return a, np.stack([x, y, z], 2), size


def plain_gaussians(avatar: Avatar, vertices: np.ndarray):
    """Means, rotation matrices and scales of the bound splats on a posed head."""
    triangles = avatar.triangles[avatar.bound_triangle]
    _, axes, size = plain_frames(vertices, triangles)
    a, b, c = (vertices[triangles[:, k]].astype(np.float64) for k in range(3))
    along_b, along_c, height = avatar.bound_position.T[..., None]
    means = a + along_b * (b - a) + along_c * (c - a) + height * size[:, None] * axes[:, :, 2]
    return means, axes @ matrices(avatar.bound_rotation), avatar.bound_scale * size[:, None]


def test_frames_equal_plain_numpy_and_are_rotations(template: HeadTemplate):
    origin, rotation, size = triangle_frames(template.vertices, template.triangles)
    expected_origin, axes, expected_size = plain_frames(template.vertices, template.triangles)
    np.testing.assert_allclose(origin, expected_origin)
    np.testing.assert_allclose(size, expected_size, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrices(rotation), axes, atol=2e-3)  # float32 on slivers


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_a_frame_turns_and_grows_with_its_triangle(seed: int, growth: float):
    generator = np.random.default_rng(seed)
    corners = generator.normal(size=(3, 3))
    turn = Rotation.random(rng=generator)
    shift = generator.normal(size=3)
    index = np.array([[0, 1, 2]], np.int32)
    origin, rotation, size = triangle_frames(corners.astype(np.float32), index)
    moved = growth * turn.apply(corners) + shift
    new_origin, new_rotation, new_size = triangle_frames(moved.astype(np.float32), index)
    assert new_size[0] == pytest.approx(growth * size[0], rel=2e-2, abs=1e-5)
    np.testing.assert_allclose(new_origin[0], growth * turn.apply(origin[0]) + shift, atol=1e-3)
    if np.linalg.norm(np.cross(corners[1] - corners[0], corners[2] - corners[0])) > 0.3:
        expected = turn.as_matrix() @ matrices(rotation)[0]
        tolerance = 1e-3 * max(1, 1 / growth)  # shifted small triangles lose digits
        np.testing.assert_allclose(matrices(new_rotation)[0], expected, atol=tolerance)


def test_a_collapsed_triangle_still_has_a_frame():
    vertices = np.zeros((3, 3), np.float32)
    _, rotation, size = triangle_frames(vertices, np.array([[0, 1, 2]], np.int32))
    np.testing.assert_array_equal(rotation, [[1, 0, 0, 0]])
    assert size[0] > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_quaternion_product_composes_rotations(seed: int):
    left, right = np.random.default_rng(seed).normal(size=(2, 4))
    composed = matrices(multiply_quaternions(left, right))
    np.testing.assert_allclose(composed, matrices(left) @ matrices(right), atol=1e-9)


def test_at_rest_the_gaussians_are_those_that_were_bound(template: HeadTemplate):
    _, means, rotations, scales = scattered(template)
    avatar = avatar_of(template)
    result = Deformer(avatar, template).gaussians()
    # Barycentrics on slivers lose digits: 20 micrometres at the worst, 0.1 in the middle.
    assert np.abs(result.means - means).max() < 2e-5
    assert np.median(np.abs(result.means - means)) < 1e-7
    np.testing.assert_allclose(matrices(result.rotations), matrices(rotations), atol=1e-5)
    np.testing.assert_allclose(result.scales, scales, rtol=1e-5)
    np.testing.assert_array_equal(result.opacities, avatar.opacity)
    np.testing.assert_array_equal(result.colours, avatar.colour)
    for array in (result.means, result.rotations, result.scales, result.opacities, result.colours):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous


def test_the_compiled_path_equals_plain_numpy_in_a_pose(template: HeadTemplate):
    avatar = avatar_of(template, 1)
    generator = np.random.default_rng(2)
    expression = (generator.random(52) * 0.6).astype(np.float32)
    gaze, turn = np.array([0.2, -0.1], np.float32), np.array([0.1, 0.3, -0.1], np.float32)
    result = Deformer(avatar, template).gaussians(
        expression=expression, gaze=gaze, head_rotation=turn
    )
    posed = pose(template, template.vertices, expression=expression, gaze=gaze, head_rotation=turn)
    means, rotations, scales = plain_gaussians(avatar, posed)
    error = np.abs(matrices(result.rotations) - rotations).max((1, 2))
    # A sliver squeezed by the pose has no direction in float32: a few in a thousand.
    assert (error < 2e-3).mean() > 0.995
    sound = error < 2e-3
    np.testing.assert_allclose(result.means[sound], means[sound], atol=1e-5)
    np.testing.assert_allclose(result.scales[sound], scales[sound], rtol=2e-3)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-0.8, 0.8)] * 3), st.tuples(*[st.floats(-0.05, 0.05)] * 3))
def test_splats_of_the_head_move_with_it_exactly(
    rotation: tuple[float, float, float], shift: tuple[float, float, float]
):
    template = load_template()
    deformer = Deformer(avatar_of(template), template)
    rest, moved = (
        deformer.gaussians(),
        deformer.gaussians(
            head_rotation=np.array(rotation, np.float32),
            head_translation=np.array(shift, np.float32),
        ),
    )
    corners = template.triangles[deformer.avatar.bound_triangle]
    rigid = (template.neck_weights[corners] == 1).all(1)
    turn = Rotation.from_rotvec(rotation)
    expected = turn.apply(rest.means[rigid] - template.neck_joint) + template.neck_joint + shift
    np.testing.assert_allclose(moved.means[rigid], expected, atol=2e-5)
    np.testing.assert_allclose(moved.scales[rigid], rest.scales[rigid], rtol=5e-3)
    together = turn.as_matrix() @ matrices(rest.rotations[rigid])
    error = np.abs(matrices(moved.rotations[rigid]) - together).max((1, 2))
    assert np.quantile(error, 0.99) < 5e-3


def test_gaze_moves_splats_of_the_irises_to_the_side(template: HeadTemplate):
    avatar = avatar_of(template)
    deformer = Deformer(avatar, template)
    rest = deformer.gaussians().means.copy()
    moved = deformer.gaussians(gaze=np.radians([20, 0]).astype(np.float32)).means
    angle = np.nan_to_num(template.eye_angle, nan=9)
    iris = (angle[template.triangles[avatar.bound_triangle]] < 0.4).all(1)
    assert iris.sum() > 10
    assert ((moved - rest)[iris, 0] > 0.003).all()
    skin = template.triangle_part[avatar.bound_triangle] == Part.SKIN
    np.testing.assert_array_equal(moved[skin], rest[skin])


def expressed(**weights: float) -> Float:
    expression = np.zeros(52, np.float32)
    for name, weight in weights.items():
        expression[ARKIT_NAMES.index(name)] = weight
    return expression


def by_name(deformer: Deformer, fields: dict[str, Float]) -> Gaussians:
    return deformer.gaussians(
        expression=fields["expression"],
        gaze=fields["gaze"],
        head_rotation=fields["head_rotation"],
        head_translation=fields["head_translation"],
    )


def test_a_motion_frame_says_the_same_as_its_fields_by_name(template: HeadTemplate):
    generator = np.random.default_rng(4)
    fields: dict[str, Float] = {
        "expression": generator.random(52).astype(np.float32),
        "gaze": np.array([0.1, 0.05], np.float32),
        "head_rotation": np.array([0.1, 0.2, 0.0], np.float32),
        "head_translation": np.array([0.0, 0.01, 0.0], np.float32),
    }
    motion = MotionFrame(
        index=0,
        time_s=0.0,
        latent=np.zeros(4, np.float32),
        expression=fields["expression"],
        gaze=fields["gaze"],
        head_rotation=fields["head_rotation"],
        head_translation=fields["head_translation"],
    )
    deformer = Deformer(avatar_of(template), template)
    one, other = deformer.gaussians(motion), by_name(deformer, fields)
    np.testing.assert_array_equal(one.means, other.means)
    still = deformer.gaussians(motion, expression=np.zeros(52, np.float32)).means.copy()
    fields["expression"] = np.zeros(52, np.float32)
    np.testing.assert_array_equal(still, by_name(deformer, fields).means)


def test_expression_gain_scales_how_far_a_face_goes(template: HeadTemplate):
    avatar = avatar_of(template)
    jaw = np.zeros(52, np.float32)
    jaw[ARKIT_NAMES.index("jawOpen")] = 0.4
    half_jaw = np.multiply(jaw, 0.5, dtype=np.float32)
    half = dataclasses.replace(avatar, expression_gain=np.full(52, 0.5, np.float32))
    np.testing.assert_allclose(
        Deformer(half, template).gaussians(expression=jaw).means,
        Deformer(avatar, template).gaussians(expression=half_jaw).means,
        atol=1e-7,
    )


def in_light(avatar: Avatar) -> Avatar:
    """The same in light from above and from its left."""
    light = np.zeros((9, 3), np.float32)
    light[0], light[1], light[2], light[3] = 3.0, 0.6, 0.6, 0.5
    return dataclasses.replace(avatar, light=light)


def on_lips(template: HeadTemplate, avatar: Avatar) -> np.ndarray:
    """[N] where the other lip may take light."""
    either = np.zeros(len(avatar), bool)
    either[np.concatenate(lip_splats(template, avatar))] = True
    return either


def test_at_rest_light_changes_no_colour_and_without_light_no_expression_does(
    template: HeadTemplate,
):
    plain = avatar_of(template)
    smile = expressed(mouthSmileLeft=1.0, browInnerUp=1.0)
    turn = np.array([0.1, 0.3, 0.0], np.float32)
    for result in (
        Deformer(in_light(plain), template).gaussians(),
        Deformer(plain, template).gaussians(expression=smile, head_rotation=turn),
    ):
        dry = ~on_lips(template, plain)
        np.testing.assert_array_equal(result.colours[dry], plain.colour[dry])


def test_in_light_an_expression_shades_the_skin_and_nothing_else(template: HeadTemplate):
    avatar = in_light(avatar_of(template))
    deformer = Deformer(avatar, template)
    result = deformer.gaussians(expression=expressed(mouthSmileLeft=1.0, jawOpen=0.5))
    part = template.triangle_part[avatar.bound_triangle]
    changed = np.any(result.colours != avatar.colour, axis=1)
    assert changed[part == Part.SKIN].any()
    assert not changed[(part != Part.SKIN) & ~on_lips(template, avatar)].any()
    np.testing.assert_allclose(
        result.colours, avatar.colour * deformer.colour_factors[:, None], atol=1e-6
    )


def test_both_results_in_turn_have_their_own_colours(template: HeadTemplate):
    deformer = Deformer(in_light(avatar_of(template)), template)
    smile = deformer.gaussians(expression=expressed(mouthSmileLeft=1.0))
    kept = smile.colours.copy()
    rest = deformer.gaussians()
    np.testing.assert_array_equal(smile.colours, kept)
    assert not np.array_equal(rest.colours, kept)


def test_a_result_stays_until_the_call_after_the_next(template: HeadTemplate):
    deformer = Deformer(avatar_of(template), template)
    first = deformer.gaussians()
    kept = first.means.copy()
    second = deformer.gaussians(head_rotation=np.array([0, 0.3, 0], np.float32))
    np.testing.assert_array_equal(first.means, kept)
    third = deformer.gaussians()
    assert third.means is first.means
    assert second.means is not first.means


def test_an_avatar_of_another_template_is_refused(template: HeadTemplate):
    avatar = avatar_of(template)
    other = dataclasses.replace(avatar, provenance={"template": "0" * 64})
    with pytest.raises(AvatarFileError, match="another head template"):
        Deformer(other, template)
    short = dataclasses.replace(avatar, vertices=avatar.vertices[:100])
    with pytest.raises(AvatarFileError, match="100 vertices"):
        Deformer(short, template)
