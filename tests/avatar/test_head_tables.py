"""The tables say all that the Deformer does: in plain NumPy they pose a head alike."""

import numpy as np
import pytest

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from tests.avatar.plain_head import assert_posed_alike, lively_motion, pose_plainly


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path("default")))


@pytest.mark.parametrize("seed", range(3))
def test_tables_pose_a_head_as_the_deformer_does(deformer, seed):
    frame, viewer = lively_motion(seed), np.array([0.05, 0.0, 1.0])
    expected = deformer.gaussians(frame, seen_from=viewer)
    got = pose_plainly(deformer.tables(), deformer.head_pose(frame, seen_from=viewer))
    assert_posed_alike(got, expected)
