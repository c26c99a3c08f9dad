"""Neck and camera together put the head where the film has it."""

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.tracking.camera import camera_before
from avatar.tracking.solve import Posed
from avatar.types import MotionFrame


def test_head_points_land_where_they_were_tracked():
    rng = np.random.default_rng(3)
    joint = np.array([0.0, -0.14, -0.06])
    for _ in range(20):
        posed = Posed(
            rotation=Rotation.from_rotvec(rng.normal(0, 0.4, 3)).as_matrix(),
            translation=rng.normal(0, 0.1, 3) + np.array([0, 0, -1.4]),
            weights=np.zeros(0),
        )
        frame = MotionFrame(
            index=0,
            time_s=0.0,
            latent=np.zeros(0, np.float32),
            expression=np.zeros(52, np.float32),
            gaze=np.zeros(2, np.float32),
            head_rotation=rng.normal(0, 0.3, 3).astype(np.float32),
            head_translation=rng.normal(0, 0.02, 3).astype(np.float32),
        )
        points = rng.normal(0, 0.1, (5, 3))
        turn = Rotation.from_rotvec(frame.head_rotation).as_matrix()
        on_avatar = (points - joint) @ turn.T + joint + frame.head_translation
        camera = camera_before(frame, posed, joint)
        seen = on_avatar @ camera[:3, :3].T + camera[:3, 3]
        np.testing.assert_allclose(seen, points @ posed.rotation.T + posed.translation, atol=1e-6)
