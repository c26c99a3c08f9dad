"""What a perfect tracker would report of the template's head, in any pose before a camera."""

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.pose import eye_centres, gaze_rotation, pose
from avatar.head.template import HeadTemplate
from avatar.portrait.camera import CAMERA_DISTANCE_M
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT
from avatar.portrait.mesh import between_corners
from avatar.tracking.solve import Lens
from avatar.types import ARKIT_NAMES, Float

SIZE = (512, 512)
LENS = Lens(focal_px=2600.0, centre_px=(256.0, 256.0))


def weights(**named: float) -> Float:
    """[52] from names; a name without its side means both sides."""
    found = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in named.items():
        sides = [name] if name in ARKIT_NAMES else [name + "Left", name + "Right"]
        for side in sides:
            found[ARKIT_NAMES.index(side)] = weight
    return found


def landmarks(
    template: HeadTemplate,
    *,
    expression: Float | None = None,
    gaze: tuple[float, float] = (0.0, 0.0),
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0),
    moved: tuple[float, float, float] = (0.0, 0.0, 0.0),
    noise_px: float = 0.0,
    seed: int = 0,
) -> Float:
    """[478, 3] pixels. `turn`: yaw, pitch, roll of the head against the camera, degrees, about
    the neck; `moved`: metres."""
    head = pose(template, template.vertices, expression=expression)
    yaw, pitch, roll = turn
    rotation = Rotation.from_euler("YXZ", [yaw, -pitch, roll], degrees=True).as_matrix()
    joint = template.neck_joint.astype(np.float64)

    def seen(points: Float) -> Float:
        placed = (points - joint) @ rotation.T + joint + moved + (0, 0, -CAMERA_DISTANCE_M)
        ahead = -placed[:, 2:]
        flat = LENS.focal_px * placed[:, :2] * (1, -1) / ahead + LENS.centre_px
        depth = (ahead - CAMERA_DISTANCE_M) * LENS.focal_px / CAMERA_DISTANCE_M
        return np.concatenate([flat, depth], 1)

    known = template.landmark_triangle >= 0
    corners = head[template.triangles[template.landmark_triangle[known]]].astype(np.float64)
    found = np.zeros((478, 3))
    found[known] = seen(between_corners(template.landmark_barycentric[known], corners))
    centres, radii = eye_centres(template, template.vertices)
    outward = gaze_rotation(np.array(gaze))[:, 2]
    for iris, centre, radius in zip((IRIS_LEFT, IRIS_RIGHT), centres, radii, strict=True):
        found[list(iris)] = seen((centre + radius * outward)[None])
    found[:, :2] += np.random.default_rng(seed).normal(0, noise_px, (478, 2))
    return found.astype(np.float32)
