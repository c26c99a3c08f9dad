"""The room that poses are given in, and the values that cross between OpenXR and `render.pose`."""

from typing import Any

from render.pose import Pose
from render.xr_runtime import xr

STANDING_EYES_M = 1.6
"""Where a wearer's eyes are taken to be over the floor by a runtime that cannot tell."""
KNOWN = xr.SpaceLocationFlags.POSITION_VALID_BIT | xr.SpaceLocationFlags.ORIENTATION_VALID_BIT


class Room:
    """The space that everything is placed in, its origin on the floor below the wearer."""

    def __init__(self, session: Any, has_local_floor: bool) -> None:
        """`has_local_floor`: whether XR_EXT_local_floor (or OpenXR 1.1) is on."""
        offered = {xr.ReferenceSpaceType(kind) for kind in xr.enumerate_reference_spaces(session)}
        origin = Pose()
        if has_local_floor and xr.ReferenceSpaceType.LOCAL_FLOOR in offered:
            self.kind = xr.ReferenceSpaceType.LOCAL_FLOOR
        elif xr.ReferenceSpaceType.STAGE in offered:
            self.kind = xr.ReferenceSpaceType.STAGE
        else:  # every runtime has LOCAL: at the eyes
            self.kind = xr.ReferenceSpaceType.LOCAL
            origin = Pose((0.0, -STANDING_EYES_M, 0.0))
        self.space = _reference_space(session, self.kind, origin)
        self.head = _reference_space(session, xr.ReferenceSpaceType.VIEW, Pose())

    @property
    def name(self) -> str:
        """The kind of space, for a person to read."""
        return self.kind.name

    @property
    def moves_with_wearer(self) -> bool:
        """Whether the system's own "recenter" moves this space before the wearer."""
        return self.kind is not xr.ReferenceSpaceType.STAGE

    def locate(self, space: Any, display_time: int) -> Pose | None:
        """Where another space is then; None where it is not known."""
        location = xr.locate_space(space, self.space, display_time)
        if (xr.SpaceLocationFlags(location.location_flags) & KNOWN) != KNOWN:
            return None
        return pose_of(location.pose)

    def release(self) -> None:
        for space in (self.space, self.head):
            xr.destroy_space(space)


def pose_of(given: Any) -> Pose:
    """From `xr.Posef`; a quaternion that is not quite one becomes one."""
    p, q = given.position, given.orientation
    norm = (q.w * q.w + q.x * q.x + q.y * q.y + q.z * q.z) ** 0.5 or 1.0
    return Pose((p.x, p.y, p.z), (q.w / norm, q.x / norm, q.y / norm, q.z / norm))


def posef(pose: Pose) -> Any:
    """To `xr.Posef`."""
    w, x, y, z = pose.orientation
    return xr.Posef(orientation=xr.Quaternionf(x, y, z, w), position=xr.Vector3f(*pose.position))


def _reference_space(session: Any, kind: Any, origin: Pose) -> Any:
    return xr.create_reference_space(
        session,
        xr.ReferenceSpaceCreateInfo(
            reference_space_type=kind, pose_in_reference_space=posef(origin)
        ),
    )
