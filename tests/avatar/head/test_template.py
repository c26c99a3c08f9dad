"""The shipped head template: what it promises to those who fit and move it."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from avatar.errors import AssetError
from avatar.head.pose import eye_centres, identity_shape, pose
from avatar.head.template import LANDMARKS, TEMPLATE_PATH, HeadTemplate, Part, load_template
from avatar.types import ARKIT_NAMES


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


def landmark(template: HeadTemplate, vertices: np.ndarray, index: int) -> np.ndarray:
    corners = vertices[template.triangles[template.landmark_triangle[index]]]
    return template.landmark_barycentric[index] @ corners


def expressed(template: HeadTemplate, **weights: float) -> np.ndarray:
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        expression[ARKIT_NAMES.index(name)] = weight
    return pose(template, template.vertices, expression=expression)


def test_the_head_is_of_human_size_and_looks_along_z(template: HeadTemplate):
    skin = template.vertices[template.vertex_part == Part.SKIN]
    skull = skin[skin[:, 1] > -0.05]
    assert 0.14 < np.ptp(skull[:, 0]) < 0.20
    assert 0.18 < np.ptp(skull[:, 2]) < 0.24
    nose_tip, chin = (landmark(template, template.vertices, i) for i in (4, 152))
    assert nose_tip[2] > 0.03
    assert -0.14 < chin[1] < -0.09


def test_the_origin_lies_midway_between_the_eyeballs(template: HeadTemplate):
    centres, radii = eye_centres(template, template.vertices)
    np.testing.assert_allclose(centres.mean(0), 0, atol=1e-6)
    assert centres[0, 0] > 0.025
    assert centres[1, 0] < -0.025
    np.testing.assert_allclose(radii, 0.0145, atol=0.001)


def test_every_vertex_is_used_and_every_triangle_has_area(template: HeadTemplate):
    assert set(np.unique(template.triangles)) == set(range(len(template.vertices)))
    a, b, c = (template.vertices[template.triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    assert (area > 1e-10).all()


def test_skin_is_one_piece_without_edges_shared_by_three_triangles(template: HeadTemplate):
    flesh = np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))
    triangles = template.triangles[flesh]
    edges = np.sort(np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert counts.max() == 2
    label = np.arange(len(template.vertices))
    for _ in range(400):
        lowest = label[triangles].min(1)
        np.minimum.at(label, triangles.ravel(), np.repeat(lowest, 3))
    assert len(np.unique(label[triangles])) == 1


def test_triangles_face_outwards(template: HeadTemplate):
    a, b, c = (template.vertices[template.triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    for part in (Part.EYE_LEFT, Part.EYE_RIGHT):
        mine = template.triangle_part == part
        centre = eye_centres(template, template.vertices)[0][part - Part.EYE_LEFT]
        assert (np.einsum("nk,nk->n", normal[mine], a[mine] - centre) > 0).all()
    face = [template.landmark_triangle[i] for i in (4, 50, 280, 151, 199)]
    assert (normal[face, 2] > 0).all()
    front_teeth = np.isin(template.triangle_part, (Part.TEETH_UPPER, Part.TEETH_LOWER))
    front_teeth &= (a[:, 2] > np.quantile(a[front_teeth, 2], 0.9)) & (np.abs(a[:, 0]) < 0.01)
    assert (normal[front_teeth, 2] > 0).mean() > 0.6


def test_all_parts_are_there(template: HeadTemplate):
    for part in Part:
        assert (template.triangle_part == part).sum() > 100, part.name
    assert np.isfinite(template.eye_angle[template.vertex_part >= Part.EYE_LEFT]).all()
    assert np.isnan(template.eye_angle[template.vertex_part < Part.EYE_LEFT]).all()


def test_the_inside_of_the_mouth_is_dark_and_the_face_is_not(template: HeadTemplate):
    inside = template.triangle_part == Part.MOUTH
    # Dark red, not black: what light is there has bounced about in the mouth.
    assert 0.25 < template.shade[template.triangles[inside]].mean() < 0.5
    visible = template.triangles[template.landmark_triangle[[0, 4, 17, 50, 152]]]
    np.testing.assert_allclose(template.shade[visible], 1)
    assert template.lip[template.triangles[template.landmark_triangle[[13, 14]]]].min() > 0.9
    assert template.lip[template.triangles[template.landmark_triangle[[4, 152]]]].max() == 0


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_an_expression_moves_skin_or_tongue_by_what_can_be_seen(template: HeadTemplate, name: str):
    moved = np.linalg.norm(template.expression_basis[ARKIT_NAMES.index(name)], axis=1)
    part = Part.TONGUE if name == "tongueOut" else Part.SKIN
    # The eyes' turning to a side is the gaze's; of eyeLookIn and Out only the lids' bulge is left.
    assert moved[template.vertex_part == part].max() > 5e-4
    assert moved.max() < 0.045


def test_the_tongues_own_movements_move_nothing_but_the_tongue(template: HeadTemplate):
    moved = np.linalg.norm(template.tongue_basis, axis=2)
    assert not moved[:, template.vertex_part != Part.TONGUE].any()
    assert (moved.max(1) > 0.008).all()
    assert moved.max() < 0.03


def test_expressions_leave_eyeballs_and_shoulders_where_they_are(template: HeadTemplate):
    still = (template.vertex_part >= Part.EYE_LEFT) | (template.neck_weights == 0)
    assert not template.expression_basis[:, still].any()


@pytest.mark.parametrize("name", [n for n in ARKIT_NAMES if n.endswith("Left")])
def test_left_is_the_avatars_own_left(template: HeadTemplate, name: str):
    left = template.expression_basis[ARKIT_NAMES.index(name)]
    if name in ("jawLeft", "mouthLeft"):
        assert left[:, 0].sum() > 0
        return
    amount = np.linalg.norm(left, axis=1)
    assert (amount * template.vertices[:, 0]).sum() > 0


@pytest.mark.parametrize("name", [n for n in ARKIT_NAMES if n.endswith("Left")])
def test_right_mirrors_left(template: HeadTemplate, name: str):
    left = template.expression_basis[ARKIT_NAMES.index(name)]
    right = template.expression_basis[ARKIT_NAMES.index(name.replace("Left", "Right"))]
    skin = template.vertex_part == Part.SKIN
    error = np.linalg.norm(right[template.mirror] * [-1, 1, 1] - left, axis=1)[skin]
    # The source's own smile is not quite symmetric (1.0 mm at the worst).
    assert error.max() < 0.25 * np.linalg.norm(left, axis=1).max()


def test_the_mirror_is_its_own_inverse_on_the_average_head(template: HeadTemplate):
    np.testing.assert_array_equal(template.mirror[template.mirror], np.arange(len(template.mirror)))
    flipped = template.vertices[template.mirror] * [-1, 1, 1]
    skin = template.vertex_part == Part.SKIN
    assert np.abs(flipped - template.vertices)[skin].max() < 5e-4


def test_identity_weights_at_their_limits_still_make_a_head(template: HeadTemplate):
    assert (template.identity_lower <= 0).all()
    assert (template.identity_upper > 0).all()
    assert (template.identity_sigma > 0).all()
    for index in range(len(template.identity_names)):
        weights = np.zeros(len(template.identity_names), np.float32)
        weights[index] = template.identity_upper[index]
        change = np.abs(identity_shape(template, weights) - template.vertices)
        face = template.neck_weights > 0.99
        assert change.max() > 5e-5
        assert change[face].max() < 0.08, template.identity_names[index]


def test_eyeballs_stay_spheres_in_every_identity(template: HeadTemplate):
    generator = np.random.default_rng(1)
    for _ in range(5):
        weights = generator.normal(size=len(template.identity_names)) * template.identity_sigma
        weights = np.clip(weights, template.identity_lower, template.identity_upper)
        vertices = identity_shape(template, weights.astype(np.float32))
        centres, radii = eye_centres(template, vertices)
        for side, part in enumerate((Part.EYE_LEFT, Part.EYE_RIGHT)):
            ball = vertices[template.eye_vertices(part)]
            distance = np.linalg.norm(ball - centres[side], axis=1)
            np.testing.assert_allclose(distance, radii[side], rtol=1e-3)


def test_lips_meet_at_rest_and_part_with_the_jaw(template: HeadTemplate):
    def opening(vertices: np.ndarray) -> float:
        return landmark(template, vertices, 13)[1] - landmark(template, vertices, 14)[1]

    assert abs(opening(template.vertices)) < 1.5e-3
    openings = [opening(expressed(template, jawOpen=j)) for j in (0.0, 0.3, 0.7, 1.0)]
    assert (np.diff(openings) > 0.003).all()
    closed = expressed(template, jawOpen=0.7, mouthClose=0.7)
    assert abs(opening(closed)) < 2.5e-3


def test_lower_teeth_and_tongue_follow_the_jaw_and_upper_teeth_stay(template: HeadTemplate):
    change = expressed(template, jawOpen=1)[:, 1] - template.vertices[:, 1]
    assert change[template.vertex_part == Part.TEETH_LOWER].max() < -0.005
    assert change[template.vertex_part == Part.TONGUE].mean() < -0.01  # its root barely moves
    np.testing.assert_allclose(change[template.vertex_part == Part.TEETH_UPPER], 0, atol=1e-5)


def test_landmarks_sit_where_they_belong(template: HeadTemplate):
    place = {i: landmark(template, template.vertices, i) for i in range(468)}
    centres, _ = eye_centres(template, template.vertices)
    for right, left in ((33, 263), (133, 362), (61, 291), (70, 300), (105, 334), (78, 308)):
        np.testing.assert_allclose(place[right] * [-1, 1, 1], place[left], atol=1.5e-3)
        assert place[left][0] > 0
    assert place[362][0] < centres[0, 0] - 0.01 < centres[0, 0] + 0.008 < place[263][0]
    assert abs(place[386][0] - centres[0, 0]) < 0.004  # above and below the pupil
    assert place[374][1] < 0 < place[386][1]
    for middle in (0, 1, 4, 13, 14, 17, 152, 168, 10):
        assert abs(place[middle][0]) < 1.5e-3
    tip = max(range(468), key=lambda i: place[i][2])
    assert tip in (1, 4)
    assert 0.015 < place[334][1] < 0.03
    assert place[0][1] > place[13][1] > place[17][1] > place[152][1]


def test_inner_lip_landmarks_lie_on_the_lip_they_name(template: HeadTemplate):
    drop = -template.expression_basis[ARKIT_NAMES.index("jawOpen")][:, 1]
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        goes_down = [
            drop[template.triangles[template.landmark_triangle[i]]].mean() for i in (upper, lower)
        ]
        assert goes_down[1] > 3 * max(goes_down[0], 1e-4)
        ends = [landmark(template, template.vertices, i) for i in (upper, lower)]
        assert np.linalg.norm(ends[0] - ends[1]) < 3e-3


def test_iris_landmarks_lie_on_the_right_eyeball(template: HeadTemplate):
    for first, part, sign in ((468, Part.EYE_RIGHT, -1), (473, Part.EYE_LEFT, 1)):
        corners = template.triangles[template.landmark_triangle[first : first + 5]]
        assert (template.vertex_part[corners] == part).all()
        centre = landmark(template, template.vertices, first)
        assert np.sign(centre[0]) == sign
        rim = np.array([landmark(template, template.vertices, first + k) for k in range(1, 5)])
        np.testing.assert_allclose(np.linalg.norm(rim - centre, axis=1), 0.006, atol=8e-4)
        np.testing.assert_allclose(rim.mean(0)[:2], centre[:2], atol=5e-4)


def test_landmark_weights_are_those_of_points_on_triangles(template: HeadTemplate):
    assert template.landmark_barycentric.shape == (LANDMARKS, 3)
    known = template.landmark_triangle >= 0
    assert known[:468].all()
    np.testing.assert_allclose(template.landmark_barycentric[known].sum(1), 1, atol=1e-5)
    assert template.landmark_barycentric[known].min() >= -1e-6
    assert np.median(template.landmark_spread[:468]) < 0.0025


def test_a_missing_template_is_named(tmp_path: Path):
    with pytest.raises(AssetError, match=r"gone\.safetensors.*reinstall"):
        load_template(tmp_path / "gone.safetensors")


def test_a_template_cut_short_is_refused(tmp_path: Path):
    content = TEMPLATE_PATH.read_bytes()
    for length in (0, 5, 3000, len(content) - 1):
        path = tmp_path / f"cut{length}.safetensors"
        path.write_bytes(content[:length])
        with pytest.raises(AssetError, match="reinstall"):
            load_template(path)


@pytest.mark.parametrize(
    "damage", ["nan", "shape", "missing", "triangle", "landmark", "format", "no metadata"]
)
def test_a_template_with_a_wrong_content_is_refused(tmp_path: Path, damage: str):
    tensors = load_file(TEMPLATE_PATH)
    text = '{"format": 1, "identity_names": []}' if damage != "format" else '{"format": 99}'
    if damage in ("nan", "shape", "missing", "triangle", "landmark"):
        names = [f"direction {i}" for i in range(len(tensors["identity_limits"]))]
        text = f'{{"format": 1, "identity_names": {names}}}'.replace("'", '"')
    if damage == "nan":
        tensors["vertices"][3, 1] = np.nan
    elif damage == "shape":
        tensors["neck_weights"] = tensors["neck_weights"][:-1]
    elif damage == "missing":
        del tensors["identity_offset"]
    elif damage == "triangle":
        tensors["triangles"][5, 0] = 60_000
    elif damage == "landmark":
        tensors["landmark_triangle"][7] = 10**6
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path, None if damage == "no metadata" else {"template": text})
    with pytest.raises(AssetError, match="reinstall"):
        load_template(path)
