import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.placement import (
    FURTHEST_M,
    LEAST_SCALE,
    LONG_PRESS_S,
    MOST_SCALE,
    NEAREST_M,
    Handling,
    Placement,
    Relation,
    limited,
    points_at,
)
from app.room_panel import PanelPlace, Pointer
from render.headset import Hand
from render.pose import Pose

HEAD = Pose((0.0, 1.6, 0.0))
BEFORE = Relation().placed(HEAD)
angle = st.floats(-3.1, 3.1)
metres = st.floats(-2.0, 2.0)


def hand(x: float, y: float = 1.2, z: float = -0.3, yaw: float = 0.0, **more) -> Hand:
    pose = Pose.turned((x, y, z), yaw)
    return Hand(is_tracked=True, grip=pose, aim=pose, **more)


def run(handling, placement, frames, panel=None, seconds=0.1):
    """What came of each frame's pair of hands."""
    results = []
    for number, hands in enumerate(frames):
        result = handling.update(placement, hands, HEAD, panel, number * seconds, seconds)
        placement = result.placement
        results.append(result)
    return results


def test_it_stands_a_metre_ahead_at_eye_height_and_faces_the_wearer():
    placement = Relation().placed(Pose.turned((0.3, 1.5, 0.2), 0.7, pitch_rad=0.5))
    away = np.array(placement.position) - (0.3, 1.5, 0.2)
    assert np.linalg.norm(away) == pytest.approx(1.0)
    assert away[1] == 0
    facing = placement.room_from_avatar()[:3, :3] @ (0, 0, 1)
    assert facing == pytest.approx(-away)


@given(x=metres, z=metres, yaw=angle, head_yaw=angle, scale=st.floats(0.25, 2.0))
def test_a_relation_is_the_way_back_of_its_placement(x, z, yaw, head_yaw, scale):
    head = Pose.turned((0.1, 1.6, -0.2), head_yaw)
    placement = Placement((x, 1.4, z), yaw, scale)
    again = Relation.of(placement, head).placed(head)
    assert again.position == pytest.approx(placement.position, abs=1e-9)
    assert math.cos(again.yaw_rad - yaw) == pytest.approx(1.0)
    assert again.scale == scale


@given(x=metres, y=metres, z=metres, yaw=angle, scale=st.floats(0.25, 2.0))
def test_an_eye_in_avatar_space_sees_what_it_sees_in_the_room(x, y, z, yaw, scale):
    placement = Placement((x, y, z), yaw, scale)
    eye = Pose.turned((0.3, 1.5, 1.0), 0.4, 0.2).matrix()
    point = np.array([0.05, -0.1, 0.02])
    in_room = np.linalg.inv(eye) @ placement.room_from_avatar() @ [*point, 1]
    in_avatar = np.linalg.inv(placement.avatar_from_eye(eye)) @ [*point, 1]
    # The same direction; all distances by the scale.
    assert in_avatar[:3] * scale == pytest.approx(in_room[:3], abs=1e-9)
    assert placement.in_avatar((placement.room_from_avatar() @ [*point, 1])[:3]) == pytest.approx(
        point, abs=1e-9
    )


def test_a_grabbing_hand_carries_it_and_turns_it():
    far = hand(-0.5)
    frames = [(far, hand(0.2, squeeze=1.0)), (far, hand(0.3, 1.3, -0.4, yaw=0.2, squeeze=1.0))]
    results = run(Handling(), BEFORE, [*frames, (far, hand(0.9)), (far, hand(1.5))])
    carried = results[1].placement
    assert np.subtract(carried.position, BEFORE.position) == pytest.approx((0.1, 0.1, -0.1))
    assert carried.yaw_rad == pytest.approx(0.2)
    assert results[0].ticks == (1,)
    assert results[1].ticks == ()
    assert [result.changed for result in results] == [False, False, True, False]
    assert results[-1].placement == carried


def test_two_hands_scale_move_and_turn():
    frames = [
        (hand(-0.2, squeeze=1.0), hand(0.2, squeeze=1.0)),
        (hand(-0.3, squeeze=1.0), hand(0.3, squeeze=1.0)),
        (hand(-0.3, z=-0.3, squeeze=1.0), hand(0.3, z=-0.5, squeeze=1.0)),
    ]
    results = run(Handling(), BEFORE, frames)
    assert results[1].placement.scale == pytest.approx(1.5)
    assert results[1].placement.position == pytest.approx(BEFORE.position)
    assert results[2].placement.yaw_rad == pytest.approx(math.atan2(0.2, 0.6))


def test_a_trigger_takes_hold_only_of_what_it_points_at():
    handling = Handling()
    at_it = hand(0.0, 1.6, -0.3, select=1.0)
    assert points_at(at_it, BEFORE)
    run(handling, BEFORE, [(Hand(), hand(0.0, 1.6, -0.3)), (Hand(), at_it)])
    assert handling.holding == (False, True)
    handling = Handling()
    aside = hand(0.0, 1.6, -0.3, yaw=1.0, select=1.0)
    assert not points_at(aside, BEFORE)
    run(handling, BEFORE, [(Hand(), aside), (Hand(), aside)])
    assert handling.holding == (False, False)


def test_a_trigger_pulled_elsewhere_does_not_take_hold_when_it_comes_by():
    handling = Handling()
    frames = [(Hand(), hand(0.0, 1.6, -0.3, yaw=turn, select=1.0)) for turn in (1.0, 0.5, 0.0)]
    run(handling, BEFORE, frames)
    assert handling.holding == (False, False)


def test_who_points_at_the_panel_does_not_grab_what_is_behind_it():
    handling = Handling()
    panel = PanelPlace(Pose((0.0, 1.6, -0.6)))
    pulls = (Hand(), hand(0.0, 1.6, -0.3, select=1.0))
    run(handling, BEFORE, [(Hand(), hand(0.0, 1.6, -0.3)), pulls], panel)
    assert handling.holding == (False, False)


def test_a_hand_that_is_lost_lets_go():
    handling = Handling()
    frames = [(Hand(), hand(0.2, squeeze=1.0)), (Hand(), Hand())]
    results = run(handling, BEFORE, frames)
    assert handling.holding == (False, False)
    assert results[-1].placement == BEFORE


def test_a_stick_pushes_it_away_and_turns_it_and_rests_around_its_middle():
    resting = run(Handling(), BEFORE, [(Hand(), hand(0, stick=(0.2, -0.2)))])
    assert resting[0].placement == BEFORE
    pushed = run(Handling(), BEFORE, [(Hand(), hand(0, stick=(0.0, 1.0)))])[0].placement
    assert pushed.position == pytest.approx((0.0, 1.6, -1.08))
    turned = run(Handling(), BEFORE, [(Hand(), hand(0, stick=(1.0, 0.0)))])[0].placement
    assert turned.yaw_rad == pytest.approx(math.radians(9.0))


def test_recenter_keeps_the_size_and_held_long_makes_it_life_size():
    aside = Placement((1.0, 1.0, 1.0), 2.0, 0.5)
    frames = [(hand(0, recenter=True), Hand())] * (2 + round(LONG_PRESS_S / 0.1))
    results = run(Handling(), aside, frames)
    assert results[0].placement.position == pytest.approx(BEFORE.position)
    assert results[0].placement.scale == 0.5
    assert results[-1].placement == BEFORE


def test_the_panel_button_toggles_when_let_go_and_recenters_when_held():
    down, up = (hand(0, panel=True), Hand()), (hand(0), Hand())
    short = run(Handling(), BEFORE, [up, down, up, up])
    assert [result.toggle_panel for result in short] == [False, False, True, False]
    aside = Placement((1.0, 1.0, 1.0))
    long = run(Handling(), aside, [down] * 12 + [up])
    assert not any(result.toggle_panel for result in long)
    assert long[-1].placement == BEFORE


@given(x=metres, y=st.floats(-9, 9), z=metres, scale=st.floats(0.01, 9))
def test_limits_keep_it_before_the_wearer(x, y, z, scale):
    kept = limited(Placement((x, y, z), 0.0, scale), HEAD)
    flat = math.hypot(kept.position[0], kept.position[2])
    assert NEAREST_M - 1e-9 <= flat <= FURTHEST_M + 1e-9
    assert LEAST_SCALE <= kept.scale <= MOST_SCALE
    assert limited(kept, HEAD).position == pytest.approx(kept.position)


def test_the_panel_hangs_within_reach_and_is_met_by_a_ray():
    panel = PanelPlace.beside(HEAD)
    away = np.array(panel.pose.position) - HEAD.position
    assert 0.55 < np.linalg.norm(away) < 0.7
    assert panel.pose.matrix()[:3, 2] @ away / np.linalg.norm(away) == pytest.approx(-1.0, abs=0.01)
    for place in ((0.5, 0.5), (0.1, 0.9), (0.95, 0.05)):
        direction = panel.point(place) - HEAD.position
        yaw = math.atan2(-direction[0], -direction[2])
        pitch = math.atan2(direction[1], math.hypot(direction[0], direction[2]))
        aim = Pose.turned(HEAD.position, yaw, pitch)
        assert panel.pointed_at(aim) == pytest.approx(place, abs=1e-6)
    assert panel.pointed_at(Pose.turned(HEAD.position, math.pi)) is None
    assert panel.pointed_at(Pose.turned(panel.pose.position, math.pi / 2)) is None


def test_whoever_clicks_on_the_panel_is_its_pointer():
    panel = PanelPlace(Pose((0.0, 1.2, -1.0)))
    pointer = Pointer()
    idle, pull = {"select": 0.0}, {"select": 1.0}
    course = [
        (hand(-0.1, **idle), hand(0.1, **idle)),
        (hand(-0.1, **pull), hand(0.1, **idle)),
        (hand(-0.1, **pull), hand(0.1, **pull)),  # the other one clicks into a drag
        (hand(-9.0, **pull), hand(0.1, **pull)),  # dragged beyond the edge
        (hand(-0.1, **idle), hand(0.1, **idle)),
        (hand(-0.1, **idle), hand(0.1, **pull)),
    ]
    found = [pointer.update(panel, hands) for hands in course]
    assert [one.side for one in found] == [1, 0, 0, 0, 0, 1]
    assert [one.is_pressed for one in found] == [False, True, True, True, False, True]
    assert [one.began for one in found] == [False, True, False, False, False, True]
    assert found[3].place is None
    assert found[0].place == pytest.approx((0.5 + 0.1 / panel.size[0], 0.5))


def test_a_trigger_pulled_before_it_came_to_the_panel_clicks_nothing():
    panel = PanelPlace(Pose((0.0, 1.2, -1.0)))
    pointer = Pointer()
    course = [(Hand(), hand(x, select=1.0)) for x in (3.0, 0.1, 0.0)]
    assert not any(pointer.update(panel, hands).is_pressed for hands in course)
