import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mirror_view import camera_beside, framed, wearer_marks
from app.placement import Relation
from render.headset import Hand
from render.pose import Pose

SIZE = 880, 760


@given(
    yaw=st.floats(-3.1, 3.1), away=st.floats(0.35, 4.0), right=st.floats(-1.0, 1.0),
    up=st.floats(-0.5, 0.5),
)  # fmt: skip
def test_the_camera_beside_sees_wearer_and_avatar(yaw, away, right, up):
    head = Pose.turned((0.4, 1.5, -0.2), yaw)
    placement = Relation(ahead_m=away, right_m=right, up_m=up).placed(head)
    view = framed(camera_beside(head, placement), SIZE).view(*SIZE)
    wearer, avatar = (view.project(np.array(p)) for p in (head.position, placement.position))
    for x, y, *_ in (wearer, avatar):
        assert 0.04 * SIZE[0] < x < 0.96 * SIZE[0]
        assert 0.1 * SIZE[1] < y < 0.9 * SIZE[1]
    assert wearer[0] < avatar[0]  # from the wearer's right


def test_the_wearers_marks_are_closed_shapes_around_head_and_tracked_hands():
    head = Pose.turned((0.0, 1.6, 0.0), 0.5)
    hand = Hand(is_tracked=True, grip=Pose((0.3, 1.2, -0.4)))
    alone, both = wearer_marks(head, (Hand(), Hand())), wearer_marks(head, (Hand(), hand))
    assert len(alone) < len(both)
    assert both[len(alone) :, :3].mean(0) == pytest.approx((0.3, 1.2, -0.4), abs=1e-6)
    assert np.abs(alone[:, :3] - head.position).max() < 0.3
    assert alone[:, 3:6].min() > 0.0
    assert alone[:, 3:].max() <= 1.0
