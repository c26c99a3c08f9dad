"""The fit finds again what it was shown: landmarks of the template itself, seen by a camera."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.head.template import HeadTemplate, load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.fit import FaceFit, fit_face
from avatar.portrait.landmark_view import landmark_shift, seen_rotation
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.mesh import between_corners
from avatar.types import ARKIT_NAMES, Float

SIZE = (640, 480)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


def seen_from(yaw: float, pitch: float, roll: float) -> PhotoCamera:
    """Angles in degrees, of the head against the camera."""
    turn = Rotation.from_euler("YXZ", [yaw, -pitch, roll], degrees=True)
    return PhotoCamera(
        rotation=turn.as_matrix().astype(np.float32),
        translation=np.array([0.02, -0.01, -CAMERA_DISTANCE_M], np.float32),
        focal_px=1900.0,
        centre_px=(SIZE[0] / 2, SIZE[1] / 2),
    )


def landmarks_of(template: HeadTemplate, head: Float, camera: PhotoCamera) -> FoundFace:
    """As FaceMesh sees it, shift and all; landmarks off the skin (irises) stand in the middle."""
    known = template.landmark_triangle >= 0
    corners = head[template.triangles[template.landmark_triangle[known]]]
    places = between_corners(template.landmark_barycentric[known], corners)
    places += landmark_shift(seen_rotation(camera.rotation, camera.translation))[known]
    points = camera.project(places)
    landmarks = np.tile(points.mean(0), (478, 1))
    landmarks[known] = points
    landmarks[:, 2] = (landmarks[:, 2] - CAMERA_DISTANCE_M) * camera.pixels_per_metre
    return FoundFace(landmarks.astype(np.float32))


def fitted(template: HeadTemplate, head: Float, camera: PhotoCamera) -> FaceFit:
    return fit_face(template, landmarks_of(template, head, camera), SIZE)


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"),
    [(0, 0, 0), (20, 0, 0), (-25, 5, 0), (0, 15, 0), (10, -15, 8), (-12, 8, -20)],
)
def test_the_heads_turn_is_found(template: HeadTemplate, yaw: float, pitch: float, roll: float):
    person = np.random.default_rng(5).normal(0, 0.5, len(template.identity_names))
    weights = np.clip(
        person * template.identity_sigma, template.identity_lower, template.identity_upper
    ).astype(np.float32)
    head = template.vertices + np.tensordot(weights, template.identity_basis, 1)
    fit = fitted(template, head, seen_from(yaw, pitch, roll))
    np.testing.assert_allclose(np.degrees(fit.yaw_pitch_roll), [yaw, pitch, roll], atol=4)
    assert fit.landmark_error < 0.01


def test_the_average_head_is_fitted_as_it_is(template: HeadTemplate):
    fit = fitted(template, template.vertices, seen_from(0, 0, 0))
    assert fit.landmark_error < 0.003
    skin = template.landmark_triangle[template.landmark_triangle >= 0]
    corners = template.triangles[skin].ravel()
    moved = np.linalg.norm(fit.neutral[corners] - template.vertices[corners], axis=1)
    assert moved.max() < 0.003


def test_an_open_jaw_is_an_expression_and_not_a_long_face(template: HeadTemplate):
    jaw = ARKIT_NAMES.index("jawOpen")
    head = template.vertices + 0.5 * template.expression_basis[jaw]
    fit = fitted(template, head, seen_from(0, 0, 0))
    assert 0.25 < fit.expression[jaw] < 0.75
    assert fit.expression[jaw] == fit.expression.max()


def test_points_go_to_the_picture_and_back():
    camera = seen_from(20, -10, 5)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 3))
    seen = camera.project(points)
    np.testing.assert_allclose(camera.unproject(seen[:, :2], seen[:, 2]), points, atol=1e-6)
    ahead = camera.project(camera.position[None].astype(np.float64))[0, 2]
    assert ahead < 0.01


def smile_of(template: HeadTemplate, weight: float) -> Float:
    """A head that smiles with closed lips."""
    left, right = ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")
    return template.vertices + weight * template.expression_basis[[left, right]].sum(0)


def mouth_width(template: HeadTemplate, head: Float) -> float:
    corners = [61, 291]
    where = head[template.triangles[template.landmark_triangle[corners]]]
    right, left = between_corners(template.landmark_barycentric[corners], where)
    return float(np.linalg.norm(left - right))


def test_a_smile_with_closed_lips_is_mostly_taken_off_the_neutral_face(template: HeadTemplate):
    smiling = smile_of(template, 0.7)
    fit = fitted(template, smiling, seen_from(0, 0, 0))
    rest, worn = (mouth_width(template, head) for head in (template.vertices, smiling))
    assert mouth_width(template, fit.neutral) - rest < 0.5 * (worn - rest)
    moved = np.tensordot(fit.expression, template.expression_basis, 1)
    assert mouth_width(template, fit.neutral + moved) == pytest.approx(worn, abs=0.003)


def test_a_half_shut_eye_is_not_how_the_face_rests(template: HeadTemplate):
    blinks = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    half_shut = template.vertices + 0.7 * template.expression_basis[blinks].sum(0)
    fit = fitted(template, half_shut, seen_from(0, 0, 0))
    assert np.all(fit.expression[blinks] > 0.15)
