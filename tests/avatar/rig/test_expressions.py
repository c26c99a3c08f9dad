"""VRM's expressions and Oculus' visemes, both ways."""

import numpy as np
import pytest

from avatar.rig.expressions import (
    FEELING_POSES,
    VISEME_NAMES,
    VISEME_POSES,
    VRM0_NAMES,
    VRM_NAMES,
    face_of_visemes,
    face_of_vrm,
    visemes_of,
    vrm_of,
)
from avatar.types import ARKIT_NAMES, TONGUE_NAMES


def one(name: str, names: tuple[str, ...]) -> np.ndarray:
    return np.eye(len(names))[names.index(name)][None]


def test_the_names_are_those_of_the_standards():
    assert len(VISEME_NAMES) == 15
    assert len(VRM_NAMES) == len(VRM0_NAMES) == 18
    assert set(VISEME_POSES) == set(VISEME_NAMES[1:])
    plain = {n.removesuffix("Left").removesuffix("Right") for n in (*ARKIT_NAMES, *TONGUE_NAMES)}
    for pose in (*VISEME_POSES.values(), *FEELING_POSES.values()):
        assert set(pose) <= plain


@pytest.mark.parametrize("name", VISEME_NAMES)
def test_a_viseme_is_found_in_its_own_face(name):
    found = visemes_of(*face_of_visemes(one(name, VISEME_NAMES)))[0]
    assert VISEME_NAMES[int(found.argmax())] == name
    assert found.sum() == pytest.approx(1)
    assert found.min() >= -1e-6
    if name != "sil":
        assert found[VISEME_NAMES.index(name)] > 0.6


@pytest.mark.parametrize("name", [name for name in VRM_NAMES if name != "neutral"])
def test_an_expression_of_vrm_is_found_in_its_own_face(name):
    found = vrm_of(*face_of_vrm(one(name, VRM_NAMES)))[0]
    assert VRM_NAMES[int(found.argmax())] == name
    assert found[VRM_NAMES.index(name)] > 0.6


def test_lids_and_looks_come_back_exactly():
    rng = np.random.default_rng(0)
    expression = np.zeros((40, 52), np.float32)
    lids = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
    expression[:, lids] = rng.uniform(0.5, 1, (40, 2))  # further down than a feeling's
    gaze = rng.uniform(-0.5, 0.5, (40, 2)).astype(np.float32)
    face, looked = face_of_vrm(vrm_of(expression, gaze))
    np.testing.assert_allclose(face[:, lids], expression[:, lids], atol=1e-5)
    np.testing.assert_allclose(looked, gaze, atol=1e-5)


def test_a_blink_is_no_feeling_and_a_smile_is():
    blinking, smiling = np.zeros((1, 52)), np.zeros((1, 52))
    blinking[0, [0, 7]] = 1
    for side in ("Left", "Right"):
        smiling[0, ARKIT_NAMES.index(f"mouthSmile{side}")] = 0.8
        smiling[0, ARKIT_NAMES.index(f"cheekSquint{side}")] = 0.7
    ahead = np.zeros((1, 2))
    assert vrm_of(blinking, ahead)[0, :5].max() < 0.05
    assert vrm_of(smiling, ahead)[0, VRM_NAMES.index("happy")] > 0.7


def test_a_little_more_of_a_face_is_a_little_more_of_its_visemes():
    rng = np.random.default_rng(1)
    faces = rng.uniform(0, 0.5, (60, 52))
    tongues = rng.uniform(0, 1, (60, 3))
    moved = np.clip(faces + rng.uniform(-0.01, 0.01, faces.shape), 0, 1)
    assert np.abs(visemes_of(moved, tongues) - visemes_of(faces, tongues)).max() < 0.1
