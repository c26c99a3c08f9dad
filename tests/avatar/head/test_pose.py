"""Posing against the same in plain NumPy, and what eyes, lids and neck must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from avatar.head.pose import LID_CLEARANCE, eye_centres, gaze_rotation, identity_shape, pose
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float

_LEFT_BLINK = ARKIT_NAMES.index("eyeBlinkLeft")
_RIGHT_BLINK = ARKIT_NAMES.index("eyeBlinkRight")
_JAW, _TONGUE_OUT = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("tongueOut")


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


def plain(
    template: HeadTemplate,
    vertices: np.ndarray,
    expression: np.ndarray,
    gaze: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    neck: np.ndarray,
    tongue: np.ndarray,
) -> np.ndarray:
    """`pose`, written as the sentences of its docstring."""
    count = len(template.vertices)
    posed = vertices.astype(np.float64)
    posed[:count] += np.tensordot(expression, template.expression_basis, 1)
    posed[:count] += np.tensordot(tongue, template.tongue_basis, 1)
    centres, radii = eye_centres(template, vertices)
    average_centres, average_radii = eye_centres(template, template.vertices)
    lid_like = np.isin(template.vertex_part, (Part.SKIN, Part.LASHES))
    for side, part in enumerate((Part.EYE_LEFT, Part.EYE_RIGHT)):
        ball = np.flatnonzero(template.vertex_part == part)
        posed[ball] = centres[side] + (posed[ball] - centres[side]) @ gaze_rotation(gaze).T
        reach = np.linalg.norm(template.vertices - average_centres[side], axis=1)
        lids = np.flatnonzero(lid_like & (reach < 1.7 * average_radii[side]))
        arm = posed[lids] - centres[side]
        distance = np.linalg.norm(arm, axis=1)
        rest = np.linalg.norm(vertices[lids] - centres[side], axis=1)
        allowed = np.minimum(LID_CLEARANCE * radii[side], rest)
        scale = np.where(distance < allowed, allowed / distance, 1)
        posed[lids] = centres[side] + arm * scale[:, None]
    turned = Rotation.from_rotvec(neck[:, None] * rotation).apply(posed - template.neck_joint)
    return turned + template.neck_joint + neck[:, None] * translation


def person(template: HeadTemplate, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    weights = np.abs(generator.normal(size=len(template.identity_names))) * 0.3
    weights *= template.identity_sigma
    weights = np.clip(weights, 0, template.identity_upper)
    return identity_shape(template, weights.astype(np.float32))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_compiled_pose_equals_plain_numpy(seed: int):
    template = load_template()
    generator = np.random.default_rng(seed)
    extra = generator.normal(0, 0.1, (50, 3)).astype(np.float32)
    vertices = np.concatenate([person(template, seed), extra]).astype(np.float32)
    neck = np.concatenate([template.neck_weights, generator.random(50)]).astype(np.float32)
    expression = (generator.random(52) * (generator.random(52) < 0.4)).astype(np.float32)
    expression[_TONGUE_OUT] = 0  # with it goes more, see below
    tongue = np.array([*generator.random(2), 0], np.float32)
    gain = generator.uniform(0.5, 1.5, 52).astype(np.float32)
    gaze, rotation = generator.normal(0, 0.3, 2), generator.normal(0, 0.4, 3)
    translation = generator.normal(0, 0.01, 3)
    got = pose(
        template,
        vertices,
        expression=expression,
        tongue=tongue,
        gaze=gaze.astype(np.float32),
        head_rotation=rotation.astype(np.float32),
        head_translation=translation.astype(np.float32),
        neck_weights=neck,
        expression_gain=gain,
    )
    expected = plain(
        template, vertices, expression * gain, gaze, rotation, translation, neck, tongue
    )
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_a_neutral_pose_is_the_rest_head(template: HeadTemplate):
    vertices = person(template, 5).astype(np.float32)
    np.testing.assert_allclose(pose(template, vertices), vertices, atol=5e-9)  # eyeballs round


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("amount", [0.25, 0.5, 0.75, 1.0])
def test_no_lid_enters_an_eyeball_while_blinking(
    template: HeadTemplate, seed: int | None, amount: float
):
    vertices = template.vertices if seed is None else person(template, seed).astype(np.float32)
    expression = np.zeros(52, np.float32)
    expression[[_LEFT_BLINK, _RIGHT_BLINK]] = amount
    posed = pose(template, vertices, expression=expression)
    centres, radii = eye_centres(template, vertices)
    skin = template.vertex_part == Part.SKIN
    for centre, radius in zip(centres, radii, strict=True):
        rest = np.linalg.norm(vertices - centre, axis=1)
        now = np.linalg.norm(posed - centre, axis=1)
        front = skin & (posed[:, 2] > centre[2]) & (rest < 2 * radius)
        assert (now[front] >= np.minimum(rest[front], LID_CLEARANCE * radius) - 1e-6).all()


def test_a_blink_closes_the_eye(template: HeadTemplate):
    expression = np.zeros(52, np.float32)
    expression[_LEFT_BLINK] = 1
    openings = []
    for posed in (template.vertices, pose(template, template.vertices, expression=expression)):
        upper, lower = (
            template.landmark_barycentric[i]
            @ posed[template.triangles[template.landmark_triangle[i]]]
            for i in (386, 374)
        )
        openings.append(upper[1] - lower[1])
    assert openings[0] > 0.006
    assert openings[1] < 0.35 * openings[0]


@pytest.mark.parametrize(("yaw", "pitch"), [(20, 0), (-20, 0), (0, 15), (0, -15), (10, 10)])
def test_gaze_turns_the_irises_to_its_angles(template: HeadTemplate, yaw: float, pitch: float):
    gaze = np.radians([yaw, pitch]).astype(np.float32)
    posed = pose(template, template.vertices, gaze=gaze)
    centres, _ = eye_centres(template, template.vertices)
    for side, part in enumerate((Part.EYE_LEFT, Part.EYE_RIGHT)):
        pole = template.eye_vertices(part).start
        assert template.eye_angle[pole] == 0
        x, y, z = posed[pole] - centres[side]
        assert np.arctan2(x, z) == pytest.approx(gaze[0], abs=1e-4)
        assert np.arctan2(y, np.hypot(x, z)) == pytest.approx(gaze[1], abs=1e-4)
    solid = template.vertex_part < Part.EYE_LEFT
    np.testing.assert_array_equal(posed[solid], template.vertices[solid])


def test_the_head_turns_as_a_rigid_body_and_the_shoulders_stay(template: HeadTemplate):
    rotation = np.array([0.1, -0.5, 0.2], np.float32)
    posed = pose(template, template.vertices, head_rotation=rotation)
    head, still = template.neck_weights == 1, template.neck_weights == 0
    arm = template.vertices[head] - template.neck_joint
    expected = Rotation.from_rotvec(rotation).apply(arm) + template.neck_joint
    np.testing.assert_allclose(posed[head], expected, atol=1e-6)
    np.testing.assert_array_equal(posed[still], template.vertices[still])
    assert head.sum() > 5000
    assert still.sum() > 10


def test_a_turned_neck_keeps_its_girth(template: HeadTemplate):
    posed = pose(template, template.vertices, head_rotation=np.array([0, 0.9, 0], np.float32))
    neck = (template.neck_weights > 0.1) & (template.neck_weights < 0.9)

    def radius(vertices: np.ndarray) -> np.ndarray:
        return np.linalg.norm((vertices - template.neck_joint)[neck][:, [0, 2]], axis=1)

    np.testing.assert_allclose(radius(posed), radius(template.vertices), atol=1e-6)


def test_the_neck_has_no_step(template: HeadTemplate):
    flesh = template.triangles[template.triangle_part == Part.SKIN]
    weights, places = template.neck_weights[flesh], template.vertices[flesh]
    step = np.abs(weights - np.roll(weights, 1, axis=1))
    length = np.linalg.norm(places - np.roll(places, 1, axis=1), axis=2)
    assert (step / np.maximum(length, 0.005)).max() < 40  # the whole change in no less than 2.5 cm


def test_own_vertices_need_their_own_weights(template: HeadTemplate):
    longer = np.concatenate([template.vertices, np.zeros((2, 3), np.float32)])
    with pytest.raises(ValueError, match="neck weights"):
        pose(template, longer)
    with pytest.raises(ValueError, match="neck weights"):
        pose(template, template.vertices[:-1], neck_weights=template.neck_weights[:-1])


def mouth(template: HeadTemplate, jaw: float, out: float = 0, **tongue: float) -> dict[Part, Float]:
    """Points amid the face (8 mm) of tongue and teeth, posed."""
    expression = np.zeros(52, np.float32)
    expression[_JAW], expression[_TONGUE_OUT] = jaw, out
    weights = np.array([tongue.get(name, 0) for name in TONGUE_NAMES], np.float32)
    posed = pose(template, template.vertices, expression=expression, tongue=weights)
    amid = np.abs(template.vertices[:, 0]) < 0.004
    parts = (Part.TONGUE, Part.TEETH_UPPER, Part.TEETH_LOWER)
    return {part: posed[amid & (template.vertex_part == part)] for part in parts}


@pytest.mark.parametrize(
    ("jaw", "out", "forward"),
    [(0.2, 0, w) for w in (0.2, 0.4, 0.6, 0.8, 1.0)]
    + [(0.3, w, 0) for w in (0.04, 0.08, 0.12, 0.2, 0.4, 0.7, 1.0)],
)
def test_a_tongue_on_its_way_out_passes_between_the_teeth(
    template: HeadTemplate, jaw: float, out: float, forward: float
):
    points = mouth(template, jaw, out, tongueForward=forward)
    upper, lower = points[Part.TEETH_UPPER], points[Part.TEETH_LOWER]
    edge = lower[lower[:, 1].argmax()]
    front = points[Part.TONGUE][points[Part.TONGUE][:, 2] > edge[2] - 0.001]
    if forward == 1 or out > 0.08:
        assert len(front), "the tip is out"
    if len(front):
        assert front[:, 1].min() > edge[1] - 0.0007
        assert front[:, 1].max() < upper[:, 1].min() + 0.0007


def test_a_raised_tip_shows_behind_the_upper_teeth(template: HeadTemplate):
    down, up = mouth(template, 0.3), mouth(template, 0.3, tongueTipUp=1)
    tip = up[Part.TONGUE][up[Part.TONGUE][:, 2].argmax()]
    upper, lower = (up[part] for part in (Part.TEETH_UPPER, Part.TEETH_LOWER))
    assert down[Part.TONGUE][:, 1].max() < lower[:, 1].max() + 0.004
    assert lower[:, 1].max() + 0.006 < tip[1], "seen over the lower teeth"
    assert tip[2] < upper[:, 2].min(), "and behind the upper ones"
