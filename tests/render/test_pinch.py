import numpy as np
import pytest

from render.pinch import CLOSED_M, OPEN_M, bare_hand, looking_along
from render.pose import Pose

HEAD = Pose((0.0, 1.6, 0.0))
PALM = Pose((0.2, 1.3, -0.4))


def pinching(gap: float, side: int = 1, head: Pose = HEAD):
    thumb, index = (0.2, 1.35, -0.45), (0.2, 1.35 + gap, -0.45)
    return bare_hand(palm=PALM, thumb_tip=thumb, index_tip=index, head=head, side=side)


@pytest.mark.parametrize(
    ("gap", "strength"),
    [(0.0, 1.0), (CLOSED_M, 1.0), ((CLOSED_M + OPEN_M) / 2, 0.5), (OPEN_M, 0.0), (0.1, 0.0)],
)
def test_a_pinch_is_as_firm_as_thumb_and_finger_are_close(gap, strength):
    hand = pinching(gap)
    assert hand.select == pytest.approx(strength)
    assert hand.is_tracked
    assert hand.is_bare


def test_it_points_from_the_shoulder_through_the_hand():
    hand = pinching(0.05)
    shoulder = np.array([0.17, 1.38, 0.0])
    along = np.array([0.2, 1.35, -0.45]) - shoulder
    assert hand.aim.forward == pytest.approx(along / np.linalg.norm(along))
    assert hand.aim.position == pytest.approx((0.2, 1.35, -0.45))


def test_closing_the_finger_does_not_move_the_ray():
    assert pinching(0.05).aim == pinching(0.0).aim


def test_the_other_hand_points_from_the_other_shoulder_wherever_the_body_faces():
    turned = Pose.turned((0.0, 1.6, 0.0), np.pi)
    left, right = pinching(0.05, 0, turned), pinching(0.05, 1, turned)
    assert left.aim.forward[0] < right.aim.forward[0]  # their left shoulder is at +x now


def test_a_palm_held_before_the_eyes_is_the_panels_button():
    facing = Pose((0.1, 1.45, -0.3), (0.5**0.5, -(0.5**0.5), 0.0, 0.0))  # its back points away
    hand = bare_hand(
        palm=facing, thumb_tip=(0, 1.4, -0.3), index_tip=(0, 1.405, -0.3), head=HEAD, side=0
    )
    assert hand.panel
    assert hand.select == 0.0


def test_a_direction_becomes_a_pose_without_roll():
    pose = looking_along((0, 0, 0), (1.0, 1.0, -1.0))
    assert pose.forward == pytest.approx(np.array([1, 1, -1]) / np.sqrt(3))
    assert pose.matrix()[1, 0] == pytest.approx(0.0)  # its right stays level
