"""The tables say all that the Deformer does: in plain NumPy they pose a head alike."""

import numpy as np
import pytest

from app.bundled import avatar_path
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import ARKIT_NAMES, MotionFrame
from tests.avatar.plain_head import pose_plainly


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path("default")))


def motion(seed: int) -> MotionFrame:
    chance = np.random.default_rng(seed)
    single = lambda values: np.asarray(values, np.float32)  # noqa: E731
    return MotionFrame(
        index=0,
        time_s=0.0,
        latent=np.zeros(0, np.float32),
        expression=single(chance.random(len(ARKIT_NAMES)) * (chance.random(52) < 0.4)),
        tongue=single(chance.random(3)),
        gaze=single(chance.normal(0, 0.2, 2)),
        head_rotation=single(chance.normal(0, 0.2, 3)),
        head_translation=single(chance.normal(0, 0.01, 3)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_tables_pose_a_head_as_the_deformer_does(deformer, seed):
    frame, viewer = motion(seed), np.array([0.05, 0.0, 1.0])
    expected = deformer.gaussians(frame, seen_from=viewer)
    got = pose_plainly(deformer.tables(), deformer.head_pose(frame, seen_from=viewer))
    assert np.abs(expected.means - got.means).max() < 1e-6
    # A quaternion may have the other sign; thin triangles tilt by the last digits of their corners.
    lengths = np.linalg.norm(got.rotations, axis=1) ** 2  # as stored: not quite 1
    alike = np.abs((expected.rotations * got.rotations).sum(1)) / lengths
    assert np.quantile(alike, 0.001) > 1 - 1e-5
    assert np.quantile(np.abs(expected.scales / got.scales - 1), 0.999) < 1e-3
    assert np.abs(expected.colours - got.colours).max() < 2e-3
    assert np.array_equal(expected.opacities, got.opacities)
