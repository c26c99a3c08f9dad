import math
from dataclasses import astuple

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
from app.room_panel import PanelHold, PanelPlace, PanelRelation, Pointer, shown_again
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


def carried(course, panel, hold=None, busy=(False, False)):
    """Where the panel is after each frame's pair of hands, and who took hold of it."""
    hold, places = hold or PanelHold(), []
    for hands in course:
        panel, took = hold.update(panel, hands, HEAD, busy)
        places.append((panel, took, hold.holding, hold.dropped))
    return places


def test_a_grip_on_the_panel_carries_it_and_leaves_the_avatar_alone():
    panel = PanelPlace(Pose((0.0, 1.2, -1.0)))
    course = [(Hand(), hand(0.05)), (Hand(), hand(0.05, squeeze=1.0))]
    course += [(Hand(), hand(0.25, yaw=-0.3, squeeze=1.0)), (Hand(), hand(0.25, yaw=-0.3))]
    course += [(Hand(), hand(0.9))]
    places = carried(course, panel)
    assert [took for _, took, _, _ in places] == [(), (1,), (), (), ()]
    assert [holding for _, _, holding, _ in places] == [(False, False)] + 2 * [
        (False, True)
    ] + 2 * [(False, False)]
    assert [dropped for *_, dropped in places] == [False, False, False, True, False]
    end = places[-1][0]
    assert end == places[2][0]  # let go, it stays
    # On the end of the ray: 5 cm left of it and 70 cm along.
    ray = Pose.turned((0.25, 1.2, -0.3), -0.3)
    assert end.pose.position == pytest.approx((ray.matrix() @ (-0.05, 0.0, -0.7, 1.0))[:3])
    facing = end.pose.matrix()[:3, 2]
    to_head = np.array(HEAD.position) - end.pose.position
    assert facing @ to_head / np.linalg.norm(to_head) == pytest.approx(1.0)
    assert end.pose.matrix()[1, 0] == pytest.approx(0.0)  # upright
    handling = Handling()
    handling.update(BEFORE, course[1], HEAD, panel, 0.0, 0.1, (False, True))
    assert handling.holding == (False, False)


def test_the_panel_is_not_taken_by_who_grips_elsewhere_or_holds_something():
    panel = PanelPlace(Pose((0.0, 1.2, -1.0)))
    swept = [
        (Hand(), hand(x, squeeze=squeeze)) for x, squeeze in ((2.0, 0.0), (2.0, 1.0), (0.0, 1.0))
    ]
    assert carried(swept, panel)[-1][2] == (False, False)
    busy = [(Hand(), hand(0.0)), (Hand(), hand(0.0, squeeze=1.0))]
    assert carried(busy, panel, busy=(False, True))[-1][2] == (False, False)
    lost = [*busy, (Hand(), Hand())]
    assert carried(lost, panel)[-1][0].pose.position == panel.pose.position
    assert carried(lost, panel)[-1][2] == (False, False)


@given(x=st.floats(-1.0, 1.0), y=st.floats(-0.5, 0.5), z=st.floats(-1.0, -0.2), yaw=angle)
def test_a_remembered_panel_is_where_it_was_for_a_wearer_elsewhere(x, y, z, yaw):
    kept = PanelRelation.of(PanelPlace.facing(np.array([x, 1.6 + y, z]), HEAD), HEAD)
    head = Pose.turned((3.0, 1.2, 2.0), yaw)
    again = PanelRelation.of(kept.placed(head), head)
    assert astuple(again) == pytest.approx(astuple(kept), abs=1e-9)


def test_a_panel_comes_back_where_it_was_unless_that_is_out_of_sight():
    mine = PanelRelation(ahead_m=0.5, right_m=0.2, up_m=-0.05)
    last = PanelPlace.facing(np.array([-0.2, 1.5, -0.8]), HEAD)
    assert shown_again(last, mine, HEAD) == last
    turned = Pose.turned(HEAD.position, 2.0)
    assert shown_again(last, mine, turned) == mine.placed(turned)
    behind_it = Pose.turned((-0.2, 1.6, -1.5), math.pi)
    assert shown_again(last, mine, behind_it) == mine.placed(behind_it)
    over_the_shoulder = PanelRelation(ahead_m=-0.5)
    assert shown_again(None, over_the_shoulder, HEAD) == PanelPlace.beside(HEAD)
    assert PanelPlace.beside(HEAD).is_in_sight(HEAD)
