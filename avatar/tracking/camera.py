"""Where the camera stands before an avatar that does what a tracked face did."""

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.portrait.arrays import Array
from avatar.tracking.solve import Posed
from avatar.types import MotionFrame


def camera_before(frame: MotionFrame, posed: Posed, neck_joint: Array) -> Array:
    """[4, 4] avatar space -> camera space (y up, -z ahead) that shows the head as `posed` has it.

    The frame's own neck turns the head on its shoulders; the camera makes up what is left: the
    pose at rest, and how far the person leant beyond what a neck allows. So the shoulders stand
    as they did at rest while the head is where the film shows it.
    """
    turn = Rotation.from_rotvec(np.asarray(frame.head_rotation, np.float64)).as_matrix()
    rotation = posed.rotation @ turn.T
    placed = neck_joint + np.asarray(frame.head_translation, np.float64)
    camera = np.eye(4)
    camera[:3, :3] = rotation
    camera[:3, 3] = posed.translation + posed.rotation @ neck_joint - rotation @ placed
    return camera
