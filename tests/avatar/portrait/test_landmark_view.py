"""The measured displacements of FaceMesh's landmarks: read soundly, and what they say."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.spatial.transform import Rotation

from avatar.errors import AssetError
from avatar.head.template import load_template
from avatar.portrait.known_heads import landmarks_of
from avatar.portrait.landmark_view import (
    FURTHEST_PITCH,
    LANDMARK_VIEW_PATH,
    camera_yaw_pitch,
    landmark_shift,
    load_landmark_view,
    mirror_landmarks,
    seen_rotation,
)
from avatar.portrait.landmarks import LEFT_EYE, RIGHT_EYE


def turned(yaw: float, pitch: float, roll: float = 0.0) -> np.ndarray:
    """Degrees, of the head against the camera, as a fit has them."""
    return Rotation.from_euler("YXZ", [yaw, -pitch, roll], degrees=True).as_matrix()


def test_a_tilted_picture_moves_no_landmark_over_the_skin():
    upright = turned(20, -10)
    rolled = Rotation.from_euler("Z", 25, degrees=True).as_matrix() @ upright
    np.testing.assert_allclose(landmark_shift(rolled), landmark_shift(upright), atol=1e-6)


def test_a_face_seen_from_the_other_side_is_its_mirror_image():
    other = landmark_shift(turned(-20, 8))[mirror_landmarks()] * (-1, 1, 1)
    np.testing.assert_allclose(landmark_shift(turned(20, 8)), other, atol=5e-5)


def test_the_shift_lies_across_the_line_of_sight_and_is_millimetres():
    shift = landmark_shift(turned(25, -12))
    towards = turned(25, -12)[2]
    assert np.abs(shift @ towards).max() < 1e-6
    length = np.linalg.norm(shift[:468], axis=1)
    assert 0.0005 < length.mean() < 0.008
    assert length.max() < 0.03
    assert not shift[468:].any()


@pytest.mark.parametrize("yaw", [-35, -20, 20, 35])
def test_facemesh_shrinks_a_turn(yaw: float):
    """Its points lie as on a head turned by a few degrees less."""
    template = load_template()
    places = landmarks_of(template, template.vertices.astype(np.float64))
    steady = np.isfinite(places[:, 0]) & (template.landmark_spread < 0.004)
    rotation = turned(yaw, 0)
    head = (places[steady] - places[steady].mean(0)) @ rotation.T
    moved = landmark_shift(rotation)[steady] @ rotation.T
    turns = [np.cross(axis, head)[:, :2].ravel() for axis in np.eye(3)]
    slides = [np.tile(axis, len(head)) for axis in np.eye(2)]
    columns = np.stack([*turns, *slides, head[:, :2].ravel()], 1)
    apparent = np.linalg.lstsq(columns, moved[:, :2].ravel(), rcond=None)[0]
    assert 1 < -np.sign(yaw) * np.degrees(apparent[1]) < 6


def test_beyond_what_was_measured_the_last_value_holds():
    edge, beyond = (turned(0, -np.degrees(FURTHEST_PITCH) * more) for more in (1.0, 1.6))
    flat_edge, flat_beyond = landmark_shift(edge) @ edge.T, landmark_shift(beyond) @ beyond.T
    np.testing.assert_allclose(flat_beyond, flat_edge, atol=1e-6)


def test_a_face_beside_the_middle_is_seen_from_another_side():
    middle = seen_rotation(np.eye(3), np.array([0, 0.035, -1.03]))
    np.testing.assert_allclose(middle, np.eye(3), atol=1e-6)
    right_in_picture = seen_rotation(np.eye(3), np.array([0.3, 0.035, -1.03]))
    yaw, _ = camera_yaw_pitch(right_in_picture)
    assert np.degrees(yaw) == pytest.approx(-np.degrees(np.arctan(0.3)), abs=0.5)


def test_mirroring_twice_changes_nothing_and_swaps_the_eyes():
    mirror = mirror_landmarks()
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    assert mirror[RIGHT_EYE[0]] == LEFT_EYE[3]
    assert mirror[RIGHT_EYE[3]] == LEFT_EYE[0]
    assert mirror[4] == 4


@pytest.mark.parametrize("harm", ["cut", "shape", "missing", "mirror"])
def test_a_damaged_asset_is_one_clear_line(harm: str, tmp_path: Path):
    path = tmp_path / "landmark_view.safetensors"
    tensors = load_file(LANDMARK_VIEW_PATH)
    about = {"landmark_view": '{"format": 1}'}
    if harm == "cut":
        path.write_bytes(LANDMARK_VIEW_PATH.read_bytes()[:2000])
    elif harm == "shape":
        save_file({**tensors, "shift_mm": tensors["shift_mm"][:3].copy()}, path, about)
    elif harm == "mirror":
        save_file({**tensors, "mirror": np.zeros_like(tensors["mirror"])}, path, about)
    with pytest.raises(AssetError, match=r"landmark_view.*reinstall"):
        load_landmark_view(path)
