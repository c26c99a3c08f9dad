"""The tables say all that the Deformer does: in plain NumPy they pose a head alike."""

import numpy as np
import pytest

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from tests.avatar.plain_head import assert_posed_alike, lively_motion, pose_plainly, taught


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path("default")))


@pytest.mark.parametrize("seed", range(3))
def test_tables_pose_a_head_as_the_deformer_does(deformer, seed):
    frame, viewer = lively_motion(seed), np.array([0.05, 0.0, 1.0])
    expected = deformer.gaussians(frame, seen_from=viewer)
    got = pose_plainly(deformer.tables(), deformer.head_pose(frame, seen_from=viewer))
    assert_posed_alike(got, expected)


def test_tables_of_an_avatar_with_residuals_pose_it_as_the_deformer_does(deformer):
    learned = Deformer(taught(deformer.avatar))
    tables, changed = learned.tables(), learned.tables().residual_splats
    for some in (np.arange(len(tables)), tables.lit, tables.lips):
        assert 0.7 < np.isin(some, changed).mean() < 0.9
    frame, viewer = lively_motion(4), np.array([0.05, 0.0, 1.0])
    expected = learned.gaussians(frame, seen_from=viewer)
    pose = learned.head_pose(frame, seen_from=viewer)
    assert pose.glance > 0.1
    assert min(np.abs(pose.face_features).max(), np.abs(pose.pose_features).max()) > 0.3
    assert (expected.opacities[changed] == 0).any()
    assert (expected.opacities[changed] == 1).any()
    assert_posed_alike(pose_plainly(tables, pose), expected, opacities=1e-6)
