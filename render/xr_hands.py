"""Tracked bare hands by XR_EXT_hand_tracking."""

import ctypes
from typing import Any

import numpy as np

from render.headset import NO_HAND, Hand
from render.pinch import bare_hand
from render.pose import Pose
from render.xr_runtime import xr
from render.xr_space import KNOWN, Room, pose_of

EXTENSION = "XR_EXT_hand_tracking"


class HandTrackers:
    """The joints of both hands."""

    def __init__(self, instance: Any, session: Any) -> None:
        self._trackers = []
        for hand in (xr.HandEXT.LEFT, xr.HandEXT.RIGHT):
            info = xr.HandTrackerCreateInfoEXT(hand=hand, hand_joint_set=xr.HandJointSetEXT.DEFAULT)
            self._trackers.append(xr.create_hand_tracker_ext(session, info))
        # pyopenxr 1.1.6501 asks for no joints at all in its own function of this name.
        self._locate = ctypes.cast(
            xr.get_instance_proc_addr(instance, "xrLocateHandJointsEXT"),
            xr.PFN_xrLocateHandJointsEXT,
        )

    def read(self, room: Room, display_time: int, head: Pose) -> tuple[Hand, Hand]:
        """Both hands in the room, as pinching pointers."""
        left, right = (self._hand(side, room, display_time, head) for side in range(2))
        return left, right

    def release(self) -> None:
        for tracker in self._trackers:
            xr.destroy_hand_tracker_ext(tracker)

    def _hand(self, side: int, room: Room, display_time: int, head: Pose) -> Hand:
        joints = (xr.HandJointLocationEXT * xr.HAND_JOINT_COUNT_EXT)()
        found = xr.HandJointLocationsEXT(
            joint_count=xr.HAND_JOINT_COUNT_EXT, joint_locations=joints
        )
        info = xr.HandJointsLocateInfoEXT(base_space=room.space, time=display_time)
        result = self._locate(self._trackers[side], info, ctypes.byref(found))
        problem = xr.check_result(xr.Result(result))
        if problem.is_exception():
            raise problem
        if not found.is_active:
            return NO_HAND
        named = xr.HandJointEXT
        wanted = (named.PALM, named.THUMB_TIP, named.INDEX_TIP)
        if any((joints[j.value].location_flags & KNOWN.value) != KNOWN.value for j in wanted):
            return NO_HAND
        palm, thumb, index = (pose_of(joints[joint.value].pose) for joint in wanted)
        return bare_hand(
            palm=palm,
            thumb_tip=np.array(thumb.position),
            index_tip=np.array(index.position),
            head=head,
            side=side,
        )
