"""The panel under real imgui events, without a window: imgui answers, nothing is drawn."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imgui_bundle import ImVec2, imgui

from app.headset_switches import HeadsetSwitches
from app.mirror_view import MirrorShows
from app.outputs import Snapshot
from app.panel import RECORDING_KINDS, USUAL_INTENSITY, Orbit, Panel, PanelView, Wishes
from app.turntable import Turntable
from avatar.motion.direction import (
    EMOTION_NAMES,
    HEAD_LIMIT_RAD,
    Direction,
    no_emotion,
)
from render.headset import Extras

VIEW = PanelView(
    avatar="default",
    avatars=("default", "second"),
    microphone="default",
    microphones=("default", "USB 100 %s"),
)

HEIGHTS = range(150, 620, 9)
"""Rows of the panel that are tried, desktop units."""


class Hand:
    """Moves the pointer and presses keys, a frame for each event."""

    def __init__(self) -> None:
        self.panel = Panel()
        self.view = VIEW
        self.wishes: list[Wishes] = []
        self.frames(3)

    def frames(self, count: int = 1) -> None:
        for _ in range(count):
            imgui.new_frame()
            self.wishes.append(self.panel.draw(self.view))
            imgui.render()
            for texture in imgui.get_platform_io().textures:
                if texture.status != imgui.ImTextureStatus.ok:
                    texture.set_status(imgui.ImTextureStatus.ok)

    def move(self, x: float, y: float) -> None:
        imgui.get_io().add_mouse_pos_event(x, y)
        self.frames()

    def press(self, down: bool) -> None:
        imgui.get_io().add_mouse_button_event(0, down)
        self.frames()

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self.press(True)
        self.press(False)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.move(*start)
        self.press(True)
        for step in range(1, 9):
            part = step / 8
            self.move(*(a + part * (b - a) for a, b in zip(start, end, strict=True)))
        self.press(False)

    def key(self, key: imgui.Key) -> None:
        imgui.get_io().add_key_event(key, True)
        self.frames()
        imgui.get_io().add_key_event(key, False)
        self.frames()

    def last(self, field: str) -> Any:
        """The newest wish for `field`, None where it was never wished."""
        values = [getattr(wish, field) for wish in self.wishes]
        return next((value for value in reversed(values) if value), None)


@pytest.fixture
def hand() -> Iterator[Hand]:
    context = imgui.create_context()
    io = imgui.get_io()
    io.set_ini_filename("")
    io.display_size = ImVec2(1180, 760)
    io.delta_time = 1 / 30
    io.config_flags |= imgui.ConfigFlags_.nav_enable_keyboard.value  # as the window has it
    io.config_input_trickle_event_queue = False
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures.value
    yield Hand()
    imgui.destroy_context(context)


FACE = (740.0, 380.0)


def test_dragging_to_the_right_shows_the_avatars_right_side(hand):
    """The head follows the hand: the camera goes to the avatar's right, that is to -x."""
    hand.drag(FACE, (FACE[0] + 100, FACE[1]))
    hand.frames(20)
    assert hand.panel.orbit.yaw_rad == pytest.approx(-0.6, abs=0.02)
    assert hand.panel.orbit.pitch_rad == pytest.approx(0, abs=1e-3)


def test_dragging_down_looks_from_above_and_stops_at_a_limit(hand):
    hand.drag(FACE, (FACE[0], FACE[1] + 50))
    hand.frames(20)
    assert hand.panel.orbit.pitch_rad == pytest.approx(0.3, abs=0.02)
    for _ in range(4):
        hand.drag(FACE, (FACE[0], FACE[1] + 300))
    hand.frames(20)
    assert hand.panel.orbit.pitch_rad == pytest.approx(Orbit.MOST_PITCH, abs=1e-3)


def test_a_renderer_can_be_chosen_of_those_that_open(hand):
    hand.view = replace(VIEW, renderer="cpu", posed_by="processor", renderers=("auto", "cpu", "gl"))
    imgui.get_io().display_size = ImVec2(1180, 900)  # room for the list below
    for y in range(560, 760, 9):
        for below in (52, 72):
            hand.click(150, y)
            hand.click(150, y + below)
            hand.key(imgui.Key.escape)
    assert {wish.renderer for wish in hand.wishes} == {
        None,
        "cpu",
        "gl",
    }  # "auto" is chosen already


def test_the_wheel_comes_nearer_and_double_click_goes_home(hand):
    hand.move(*FACE)
    imgui.get_io().add_mouse_wheel_event(0, 3)
    hand.frames(20)
    assert hand.panel.orbit.distance_m == pytest.approx(0.9**3, abs=0.01)
    hand.click(*FACE)
    hand.click(*FACE)
    hand.frames(20)
    assert hand.panel.orbit.distance_m == pytest.approx(1.0, abs=0.01)


def test_a_drag_over_the_panel_does_not_turn_the_camera(hand):
    hand.drag((150, 600), (250, 700))
    hand.frames(5)
    assert hand.panel.orbit.yaw_rad == 0.0


def test_keys_hide_reset_help_and_quit(hand):
    hand.key(imgui.Key.h)
    assert not hand.panel.visible
    assert hand.panel.width == 0
    hand.key(imgui.Key.f1)
    assert hand.panel.visible
    hand.drag(FACE, (FACE[0] + 100, FACE[1]))
    hand.key(imgui.Key.r)
    hand.frames(20)
    assert hand.panel.orbit.yaw_rad == pytest.approx(0, abs=1e-3)
    imgui.get_io().add_input_character(ord("?"))
    hand.frames(2)
    assert hand.panel.help_visible
    hand.key(imgui.Key.escape)  # first closes the help
    assert not hand.panel.help_visible
    assert not hand.last("quit")
    hand.key(imgui.Key.escape)
    assert hand.last("quit")


def test_a_drag_shorter_than_a_frame_turns_the_camera_too(hand):
    imgui.get_io().config_input_trickle_event_queue = True  # as in a real window
    hand.move(*FACE)
    hand.press(True)
    imgui.get_io().add_mouse_pos_event(FACE[0] - 100, FACE[1])
    hand.press(False)
    hand.frames(20)
    assert hand.panel.orbit.yaw_rad == pytest.approx(0.6, abs=0.02)
    hand.move(*FACE)  # a pointer that only passes turns nothing
    hand.frames(20)
    assert hand.panel.orbit.yaw_rad == pytest.approx(0.6, abs=0.02)


def test_escape_closes_an_open_list_before_it_quits(hand):
    hand.click(100, 62)
    assert imgui.is_popup_open("", imgui.PopupFlags_.any_popup)
    hand.key(imgui.Key.escape)
    assert not hand.last("quit")
    hand.key(imgui.Key.escape)
    assert hand.last("quit")


def test_a_mood_is_chosen_from_the_list_and_its_strength_slid(hand):
    asked = wishes_of_clicks(hand, [(80, y, y + below) for y in HEIGHTS for below in (48, 64)])
    moods = [one for one in asked if one.emotion.any()]
    assert moods
    direction = moods[0]
    chosen = int(direction.emotion.argmax())
    assert direction.emotion[chosen] == pytest.approx(USUAL_INTENSITY)
    assert np.count_nonzero(direction.emotion) == 1
    hand.view = replace(VIEW, direction=direction)
    assert slid(hand, "##intensity").emotion[chosen] > 0.9


def wishes_of_clicks(hand: Hand, places: Sequence[tuple[int, ...]]) -> list[Direction]:
    """What clicks at (x, y, further ys) ask of the face, lists closed between the places."""
    asked: list[Direction] = []
    for x, *heights in places:
        hand.wishes.clear()
        for y in heights:
            hand.click(x, y)
        asked += [wish.direction for wish in hand.wishes if wish.direction is not None]
        hand.click(*FACE)
    return asked


def test_everything_asked_of_the_face_can_be_taken_back_at_once(hand):
    hand.view = replace(
        VIEW, direction=Direction(gaze=(0.3, 0.1), head=(0.1, 0.0, 0.0), stillness=0.5)
    )
    hand.frames(2)
    _, top, right, bottom = rectangle(hand, "##stillness")
    button = int(right) + 40, int(top + bottom) // 2
    (asked,) = wishes_of_clicks(hand, [button])
    assert asked.gaze == asked.head[:2] == (0, 0)
    assert asked.stillness == 1


def rectangle(hand: Hand, name: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the slider or pad `name`, as the last frame drew it."""
    found = {}

    def noting(draw: Callable[..., Any]) -> Callable[..., Any]:
        def drawn(label: str, *rest: Any) -> Any:
            result = draw(label, *rest)
            least, most = imgui.get_item_rect_min(), imgui.get_item_rect_max()
            found[label] = (least.x, least.y, most.x, most.y)
            return result

        return drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imgui, "slider_float", noting(imgui.slider_float))
        patch.setattr(imgui, "invisible_button", noting(imgui.invisible_button))
        patch.setattr(imgui, "button", noting(imgui.button))
        patch.setattr(imgui, "selectable", noting(imgui.selectable))
        patch.setattr(imgui, "checkbox", noting(imgui.checkbox))
        hand.frames()
    return found[name]


def middle_of_pad(hand: Hand) -> tuple[float, float, float]:
    """x and y of the middle of the mood's pad, and its radius."""
    left, top, right, bottom = rectangle(hand, "##mood")
    return (left + right) / 2, (top + bottom) / 2, (right - left) / 2


def slid(hand: Hand, name: str) -> Direction:
    """What is asked of the face by a click near the right end of a slider."""
    _, top, right, bottom = rectangle(hand, name)
    hand.wishes.clear()
    hand.click(right - 8, (top + bottom) / 2)
    return hand.last("direction")


def blend(**weights: float) -> np.ndarray:
    emotion = no_emotion()
    for name, intensity in weights.items():
        emotion[EMOTION_NAMES.index(name)] = intensity
    return emotion


def obeying(hand: Hand) -> Hand:
    """From now on the face does what is wished, as in the window."""

    def draw(view: PanelView) -> Wishes:
        wishes = type(hand.panel).draw(hand.panel, view)
        if wishes.direction is not None:
            hand.view = replace(hand.view, direction=wishes.direction)
        return wishes

    hand.panel.draw = draw  # pyright: ignore[reportAttributeAccessIssue]
    return hand


def test_a_mood_is_picked_in_the_plane_and_shown_as_the_strongest(hand):
    x, y, radius = middle_of_pad(hand)
    obeying(hand).click(x + 0.7 * radius, y - 0.1 * radius)
    emotion = hand.view.direction.emotion
    assert emotion[EMOTION_NAMES.index("happiness")] == pytest.approx(0.7, abs=0.05)
    hand.drag((x + 0.7 * radius, y), (x + 0.3 * radius, y - 0.7 * radius))
    dragged = hand.view.direction.emotion
    assert dragged[EMOTION_NAMES.index("surprise")] > 0.6
    assert len([one for one in hand.wishes if one.direction is not None]) > 4  # on the way too
    hand.drag((x, y - 0.5 * radius), (x - 6 * radius, y + 3 * radius))  # out of the pad
    away = hand.view.direction.emotion
    assert away[EMOTION_NAMES.index("sadness")] == pytest.approx(1, abs=0.05)
    assert hand.panel.orbit.yaw_rad == 0
    hand.click(x + 0.03 * radius, y - 0.03 * radius)  # nobody hits the very middle
    assert hand.view.direction.emotion.tolist() == blend(neutral=1.0).tolist()


def test_passing_over_the_plane_asks_nothing(hand):
    x, y, radius = middle_of_pad(hand)
    hand.click(x, y + 0.9 * radius)  # it has the keyboard's focus now
    hand.wishes.clear()
    hand.move(x + 0.6 * radius, y)
    hand.key(imgui.Key.space)
    hand.key(imgui.Key.enter)
    assert hand.last("direction") is None


def test_a_calm_mood_that_shows_as_nothing_stays_under_the_pointer(hand):
    """Between sadness and happiness, below, many places mean neutral: the dot does not jump."""
    x, y, radius = middle_of_pad(hand)
    obeying(hand).click(x + 0.25 * radius, y + 0.76 * radius)
    hand.frames(3)
    assert hand.view.direction.emotion.tolist() == blend(neutral=1.0).tolist()
    assert hand.panel.mood == pytest.approx((0.25, -0.76), abs=0.02)
    hand.view = replace(hand.view, direction=Direction(emotion=blend(anger=0.8)))
    hand.frames(2)
    assert hand.panel.mood == pytest.approx((-0.125, 0.79), abs=0.01)  # now it is where anger is


@pytest.mark.parametrize(
    ("slider", "field"),
    [
        ("##gaze yaw", "gaze"),
        ("##gaze pitch", "gaze"),
        ("##head yaw", "head"),
        ("##head pitch", "head"),
        ("##head roll", "head"),
        ("##distance", "distance"),
        ("##articulation", "articulation"),
        ("##stillness", "stillness"),
    ],
)
def test_a_slider_changes_its_own_wish_and_a_blend_of_emotions_survives(hand, slider, field):
    direction = Direction(
        emotion=blend(sadness=0.5, fear=0.3), gaze=(0.1, 0.2), head=(0.1, 0.05, -0.1)
    )
    hand.view = replace(VIEW, direction=direction)
    hand.frames(2)
    asked = slid(hand, slider)
    assert np.array_equal(asked.emotion, direction.emotion)
    for name in ("gaze", "head", "distance", "articulation", "stillness"):
        assert (getattr(asked, name) == getattr(direction, name)) == (name != field)


def test_the_head_is_turned_by_its_sliders(hand):
    for axis, name in enumerate(("##head yaw", "##head pitch", "##head roll")):
        hand.view = VIEW
        head = slid(hand, name).head
        assert head[axis] > 0.8 * HEAD_LIMIT_RAD
        assert np.count_nonzero(head) == 1


def test_the_intensity_of_a_blend_scales_all_of_it(hand):
    direction = Direction(emotion=blend(sadness=0.4, fear=0.2, neutral=0.4))
    hand.view = replace(VIEW, direction=direction)
    hand.frames(2)
    felt = slid(hand, "##intensity").emotion
    assert felt.sum() > 0.9
    sadness, fear = (felt[EMOTION_NAMES.index(name)] for name in ("sadness", "fear"))
    assert sadness == pytest.approx(2 * fear)
    assert np.count_nonzero(felt) == 2


def test_an_emotion_chosen_from_the_list_replaces_a_blend_at_its_strength(hand):
    hand.view = replace(VIEW, direction=Direction(emotion=blend(sadness=0.4, fear=0.2)))
    hand.frames(2)
    left, top, _, _ = rectangle(hand, "##intensity")
    asked = wishes_of_clicks(hand, [(int(left) + 40, int(top) - 12, int(top) + 10)])
    assert len(asked) == 1
    assert asked[0].emotion.max() == pytest.approx(0.6)
    assert np.count_nonzero(asked[0].emotion) == 1


def find_click(hand: Hand, field: str, x: float, until: float = 420.0) -> Any:
    """Click down the panel at column `x` until something wishes `field`."""
    y = 20.0
    while y < until:
        hand.click(x, y)
        if hand.last(field):
            return hand.last(field)
        y += 9
    raise AssertionError(f"nothing at x = {x} wishes {field}")


def find_in_list(hand: Hand, field: str, x: float, until: float = 420.0) -> Any:
    """Open the list somewhere below, and click on what lies under it."""
    for y in range(20, int(until), 9):
        for below in range(24, 72, 8):
            hand.click(x, y)
            hand.click(x, y + below)
            if hand.last(field):
                return hand.last(field)
            hand.click(*FACE)  # closes a list that is still open
    raise AssertionError(f"no list at x = {x} wishes {field}")


def test_a_microphone_can_be_chosen_from_the_list(hand):
    hand.view = replace(VIEW, avatars=("default",))  # so that only the one list can answer
    hand.frames()
    assert not hand.last("meter_microphones")  # only an unfolded list asks how loud each is
    assert find_in_list(hand, "microphone", 100.0) == "USB 100 %s"
    assert hand.last("meter_microphones")
    hand.wishes.clear()
    hand.frames(2)
    assert not hand.last("meter_microphones")


def test_another_avatar_can_be_chosen_from_the_list(hand):
    hand.view = replace(VIEW, microphones=())
    assert find_in_list(hand, "avatar", 100.0) == "second"


def test_the_gain_follows_the_slider(hand):
    assert find_click(hand, "gain", 260.0) > 3.0
    hand.wishes.clear()
    assert find_click(hand, "gain", 40.0) < 0.5


def test_a_sound_file_can_be_played_again(hand):
    hand.view = replace(VIEW, sound_file="speech.wav", sound_file_ended=True)
    assert find_click(hand, "play_again", 150.0)
    hand.view = replace(VIEW, avatars=("default",))
    hand.wishes.clear()
    assert find_in_list(hand, "look_for_microphones", 100.0)


def test_every_state_can_be_shown(hand):
    hand.view = replace(
        VIEW,
        loading="Loading 50 %d of it.",
        problems=("the microphone was lost (100 %s); looking for it.", "another"),
        notes=("Microphone opened again: 2",),
        level=1.0,
        speech=True,
        frame_ms=31.0,
        fps=28.0,
        sound_to_sight_ms=250.0,
        renderer="cpu",
        renderer_reason="no graphics card",
    )
    hand.frames(2)
    hand.key(imgui.Key.h)  # the notice that stays when the panel is hidden
    hand.frames(2)


@given(
    drags=st.lists(st.tuples(st.floats(-900, 900), st.floats(-900, 900)), max_size=20),
    wheel=st.lists(st.floats(-20, 20), max_size=20),
)
def test_the_camera_never_leaves_its_limits(drags, wheel):
    orbit = Orbit()
    for right, down in drags:
        orbit.drag(right, down)
        orbit.advance(0.03)
    for steps in wheel:
        orbit.zoom(steps)
        orbit.advance(0.03)
    assert abs(orbit.yaw_rad) <= Orbit.MOST_YAW
    assert Orbit.LEAST_PITCH <= orbit.pitch_rad <= Orbit.MOST_PITCH
    assert Orbit.NEAREST_M - 1e-9 <= orbit.distance_m <= Orbit.FURTHEST_M
    orbit.reset()
    orbit.advance(10.0)
    assert math.isclose(orbit.distance_m, 1.0, abs_tol=1e-6)


def press(hand: Hand, name: str) -> None:
    """Click in the middle of a button, or of a line of an open list."""
    left, top, right, bottom = rectangle(hand, name)
    hand.click((left + right) / 2, (top + bottom) / 2)


@pytest.mark.parametrize(
    ("kind", "ending"), [(what, ending) for ending, what in RECORDING_KINDS.items()]
)
def test_a_recording_is_begun_in_each_of_its_kinds(hand, kind, ending):
    press(hand, "Record")
    assert [wish.record for wish in hand.wishes if wish.record is not None] == []
    press(hand, kind)
    assert [wish.record for wish in hand.wishes if wish.record is not None] == [ending]


def test_while_it_records_only_that_can_be_stopped(hand):
    hand.view = replace(VIEW, recording="0:12  3.4 MB")
    hand.frames(2)
    press(hand, "Stop##recording")
    assert [wish for wish in hand.wishes if wish.stop_recording]
    with pytest.raises(KeyError):
        press(hand, "Record")


@pytest.mark.parametrize(("what", "alpha"), [("with the backdrop", False), ("transparent", True)])
def test_a_snapshot_and_a_turn_are_asked_for(hand, what, alpha):
    press(hand, "Snapshot")
    press(hand, what)
    assert hand.last("snapshot") == Snapshot(alpha)
    press(hand, "Turn")
    assert hand.last("turntable") == Turntable()


def test_a_recording_shows_with_the_panel_hidden_too(hand):
    hand.view = replace(VIEW, recording="0:12  3.4 MB")
    hand.panel.visible = False
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imgui, "text_colored", lambda colour, text: said.append(text))
        hand.frames()
    assert said == ["recording 0:12  3.4 MB"]


@given(yaw=st.floats(-10, 10), pitch=st.floats(-10, 10), distance=st.floats(0.01, 100))
def test_another_program_sends_the_camera_no_further_than_the_mouse(yaw, pitch, distance):
    orbit = Orbit()
    orbit.look_from(yaw, pitch, distance)
    orbit.advance(100.0)
    assert abs(orbit.yaw_rad) <= Orbit.MOST_YAW
    assert Orbit.LEAST_PITCH <= orbit.pitch_rad <= Orbit.MOST_PITCH
    assert Orbit.NEAREST_M <= orbit.distance_m <= Orbit.FURTHEST_M
    assert orbit.place == (orbit.yaw_rad, orbit.pitch_rad, orbit.distance_m)


def test_push_to_talk_is_a_box_and_a_key(hand):
    for y in HEIGHTS:
        hand.click(28, y)
        if any(wish.push_to_talk for wish in hand.wishes):
            break
    assert hand.last("push_to_talk") is True
    assert not any(wish.talk for wish in hand.wishes)
    hand.key(imgui.Key.space)
    assert any(wish.talk for wish in hand.wishes)
    assert not hand.wishes[-1].talk  # let go


def test_the_key_goes_through_what_the_window_shows_of_a_headset(hand):
    hand.key(imgui.Key.v)
    assert hand.last("headset_switches") is None  # there is none
    hand.view = replace(VIEW, headset="a headset")
    shown = []
    for _ in MirrorShows:
        hand.key(imgui.Key.v)
        switches = hand.last("headset_switches")
        hand.view = replace(hand.view, headset_switches=switches)
        shown.append(switches.mirror)
    assert shown == [MirrorShows.RIGHT, MirrorShows.THIRD, MirrorShows.LEFT]


def test_what_only_some_headsets_have_can_be_switched_where_it_is(hand):
    hand.view = replace(VIEW, headset="a headset")
    for extras, name, asked in (
        (Extras(passthrough=True), "My own room", HeadsetSwitches(passthrough=True)),
        (Extras(face=True), "My face moves it", HeadsetSwitches(own_face=True)),
    ):
        with pytest.raises(KeyError):
            rectangle(hand, name)
        hand.view = replace(hand.view, headset_extras=extras)
        left, top, _, bottom = rectangle(hand, name)
        hand.click(left + 8, (top + bottom) / 2)
        assert hand.last("headset_switches") == asked


def test_a_headset_that_was_lost_can_be_returned_to(hand):
    hand.view = replace(VIEW, headset_problem="it was lost", headset_lost="it was lost")
    for y in range(520, 745, 9):
        hand.click(150, y)
    assert hand.last("headset") is True
