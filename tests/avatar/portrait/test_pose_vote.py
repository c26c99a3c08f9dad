"""The second opinion on a head's turn: read soundly, bounded, and the same in a mirror."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.spatial.transform import Rotation

from avatar.errors import AssetError
from avatar.head.template import HeadTemplate, load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M
from avatar.portrait.landmark_fit import Slice, State, small_slice
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.pose_vote import (
    FURTHEST_MOVED,
    POSE_VOTE_PATH,
    corrected,
    load_pose_vote,
    turn_in_space,
    turn_of,
    vote_terms,
)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def slice(template: HeadTemplate) -> Slice:
    return small_slice(template)


def matrix(yaw: float, pitch: float, roll: float) -> np.ndarray:
    return Rotation.from_euler("YXZ", [yaw, -pitch, roll], degrees=True).as_matrix()


def face_turned(slice: Slice, yaw: float, pitch: float, roll: float) -> FoundFace:
    """The average face as if FaceMesh's points were true to it in space, degrees."""
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[slice.used] = (slice.mean @ matrix(yaw, pitch, roll).T) * (2000, -2000, -2000)
    return FoundFace(landmarks)


def state_turned(yaw: float, pitch: float, roll: float, beside: float = 0.0) -> State:
    return State(
        rotation=Rotation.from_matrix(matrix(yaw, pitch, roll)),
        log_scale=0.0,
        shift=np.array([beside, 0.035]),
        weights=np.zeros(1),
    )


def test_the_turn_of_points_in_space_is_theirs(template: HeadTemplate, slice: Slice):
    face = face_turned(slice, 20, -12, 25)
    found = np.degrees(turn_in_space(template, slice, face))
    np.testing.assert_allclose(found, (20, -12, 25), atol=1e-3)


def test_a_mirrored_head_is_corrected_likewise(template: HeadTemplate, slice: Slice):
    one, other = (
        turn_of(
            corrected(
                template,
                slice,
                face_turned(slice, side * 24, 6, side * 10),
                state_turned(side * 20, 8, side * 10),
            ).as_matrix()
        )
        for side in (1, -1)
    )
    np.testing.assert_allclose(np.degrees(other), np.degrees(one) * (-1, 1, -1), atol=0.3)


def test_a_turn_that_both_agree_upon_moves_by_a_few_degrees_at_most(
    template: HeadTemplate, slice: Slice
):
    for yaw, pitch in ((0, 0), (30, 0), (-15, 15), (20, -18)):
        state = state_turned(yaw, pitch, 0)
        after = corrected(template, slice, face_turned(slice, yaw, pitch, 0), state)
        moved = np.degrees((after * state.rotation.inv()).magnitude())
        assert moved < 7


def test_points_in_space_of_another_face_turn_the_head_no_further_than_allowed(
    template: HeadTemplate, slice: Slice
):
    state = state_turned(0, 0, 0)
    after = corrected(template, slice, face_turned(slice, 90, 60, 170), state)
    assert np.all(np.abs(turn_of(after.as_matrix())) <= FURTHEST_MOVED + np.radians(2))


def test_a_head_on_its_side_is_corrected_like_one_upright(template: HeadTemplate, slice: Slice):
    upright = corrected(template, slice, face_turned(slice, 15, 5, 0), state_turned(12, 6, 0))
    lying = corrected(template, slice, face_turned(slice, 15, 5, 179), state_turned(12, 6, -179))
    straight, rolled = turn_of(upright.as_matrix()), turn_of(lying.as_matrix())
    assert np.degrees(abs(straight[:2] - rolled[:2])).max() < 1.5


def test_terms_are_of_the_fit_and_of_how_far_the_two_turns_are_apart():
    fitted, space = np.radians([10.0, 5.0, 179.0]), np.radians([12.0, 2.0, -179.0])
    terms = vote_terms(fitted, space)
    np.testing.assert_allclose(np.degrees(terms[-3:]), (2, -3, 2), atol=1e-6)
    assert len(terms) == len(load_pose_vote())


def test_a_face_beside_the_middle_is_corrected_for_the_side_it_shows(
    template: HeadTemplate, slice: Slice
):
    """The camera that looks straight at it sees another turn than the picture's axis says."""
    face = face_turned(slice, 0, 0, 0)
    aside = state_turned(0, 0, 0, beside=0.4 * CAMERA_DISTANCE_M)
    straight = replace(aside, rotation=Rotation.from_matrix(aside.seen), shift=np.array([0, 0.035]))
    one = corrected(template, slice, face, aside) * aside.rotation.inv()
    other = corrected(template, slice, face, straight) * straight.rotation.inv()
    assert one.magnitude() == pytest.approx(other.magnitude(), abs=np.radians(0.7))


@pytest.mark.parametrize("harm", ["cut", "shape", "missing", "numbers"])
def test_a_damaged_asset_is_one_clear_line(harm: str, tmp_path: Path):
    path = tmp_path / "pose_vote.safetensors"
    weights = load_file(POSE_VOTE_PATH)["weights"]
    about = {"pose_vote": '{"format": 1}'}
    if harm == "cut":
        path.write_bytes(POSE_VOTE_PATH.read_bytes()[:60])
    elif harm == "shape":
        save_file({"weights": weights[:3].copy()}, path, about)
    elif harm == "numbers":
        save_file({"weights": weights * np.nan}, path, about)
    with pytest.raises(AssetError, match=r"pose_vote.*reinstall"):
        load_pose_vote(path)
