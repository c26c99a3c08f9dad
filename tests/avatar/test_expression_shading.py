"""What an expression makes of the light on the skin: as plain NumPy says, and as one expects."""

import numpy as np
import pytest

from avatar.expression_shading import ExpressionShading
from avatar.head.pose import pose
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.shading import ENCODING_POWER, irradiance
from avatar.types import ARKIT_NAMES, Float

LIGHT = np.zeros((9, 3), np.float32)
LIGHT[:4] = np.array([[3.0], [0.7], [0.6], [0.4]])
LIGHT[4:] = 0.15


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def shading(template: HeadTemplate) -> ExpressionShading:
    return ExpressionShading(template, template.vertices, template.neck_weights, LIGHT)


def posed(template: HeadTemplate, turn: Float | None = None, /, **weights: float) -> Float:
    expression = np.zeros(52, np.float32)
    for name, weight in weights.items():
        expression[ARKIT_NAMES.index(name)] = weight
    return pose(template, template.vertices, expression=expression, head_rotation=turn)


def plain_sums(template: HeadTemplate, vertices: Float) -> np.ndarray:
    """[V, 3] sums of the area normals around each vertex of skin and lips' lining."""
    lit = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
    triangles = template.triangles[lit]
    corners = vertices[triangles].astype(np.float64)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for k in range(3):
        np.add.at(total, triangles[:, k], flat)
    return total


def lower_face(template: HeadTemplate) -> np.ndarray:
    """[V] skin well below the eyes' lids, that no blink moves, in front of the ears, but for the
    lips."""
    part = (template.vertex_part == Part.SKIN) & (template.lip == 0)
    blinks = [ARKIT_NAMES.index("eyeBlink" + side) for side in ("Left", "Right")]
    part &= np.linalg.norm(template.expression_basis[blinks], axis=2).max(0) < 4e-4
    return part & (template.vertices[:, 1] < -0.03) & (template.vertices[:, 2] > -0.02)


def test_the_compiled_factors_equal_plain_numpy(template, shading):
    vertices = posed(template, mouthSmileLeft=0.6, mouthPucker=0.3, jawOpen=0.2)
    rest, now = plain_sums(template, template.vertices), plain_sums(template, vertices)
    rest_area, area = np.linalg.norm(rest, axis=1), np.linalg.norm(now, axis=1)
    chosen = lower_face(template) & (rest_area > 1e-9)
    grey = np.repeat(LIGHT.mean(1, keepdims=True), 3, 1)
    lit = [
        irradiance(grey, (total[chosen] / size[chosen, None]).astype(np.float32))[:, 0]
        for total, size in ((rest, rest_area), (now, area))
    ]
    ratio = np.clip(lit[1] / lit[0], 0.5, 1.6)
    gathered = np.clip(area[chosen] / rest_area[chosen], None, 1) ** 0.35
    expected = (ratio * np.maximum(gathered, 0.75)) ** (1 / ENCODING_POWER)
    found = shading.factors(vertices)[chosen]
    moved = np.linalg.norm(vertices - template.vertices, axis=1)[chosen] > 5e-4
    np.testing.assert_allclose(found[moved], expected[moved], atol=2e-3)
    assert np.ptp(found) > 0.1, "the expression does not show"


def test_lips_keep_their_light(template, shading):
    found = shading.factors(posed(template, mouthSmileLeft=0.6, mouthRollUpper=0.8))
    np.testing.assert_array_equal(found[template.lip >= 1], 1)


def test_a_face_at_rest_keeps_its_light_exactly(template, shading):
    shading.factors(posed(template, mouthSmileLeft=1.0))
    np.testing.assert_array_equal(shading.factors(template.vertices), 1)


def test_the_light_goes_with_the_head(template, shading):
    still = shading.factors(posed(template, mouthSmileLeft=0.8, browInnerUp=0.5)).copy()
    turn = np.array([0.1, 0.5, -0.1], np.float32)
    turned = shading.factors(posed(template, turn, mouthSmileLeft=0.8, browInnerUp=0.5), turn)
    face = template.neck_weights > 0.999
    change = np.abs(turned[face] - still[face])
    assert np.quantile(change, 0.99) < 1e-3
    assert change.max() < 0.03  # slivers, in single precision


def test_a_frown_darkens_the_skin_between_the_brows_and_a_smile_that_beside_the_mouth(
    template, shading
):
    def at_landmark(point: int, factors: Float) -> float:
        corners = template.triangles[template.landmark_triangle[point]]
        return float(template.landmark_barycentric[point] @ factors[corners])

    between_brows, beside_mouth = 9, 436
    frown = shading.factors(posed(template, browDownLeft=1.0, browDownRight=1.0)).copy()
    assert at_landmark(between_brows, frown) < 0.97
    smile = shading.factors(posed(template, mouthSmileLeft=1.0, mouthSmileRight=1.0)).copy()
    assert at_landmark(beside_mouth, smile) < 0.98
    assert at_landmark(between_brows, smile) == pytest.approx(1, abs=0.01)


def test_factors_stay_within_bounds_however_wild_the_face(template, shading):
    generator = np.random.default_rng(0)
    for _ in range(5):
        weights = dict(zip(ARKIT_NAMES, generator.uniform(0, 2, 52), strict=True))
        factors = shading.factors(posed(template, None, **weights))
        assert np.isfinite(factors).all()
        assert factors.min() > 0.55
        assert factors.max() < 1.3
