"""The tabs under real imgui events: each control changes what it says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgui_bundle import ImVec2, imgui, implot

from app import themes
from app.desk import DeskView, DeskWishes
from app.desk_panel import USUAL_INTENSITY, toggled
from app.gallery import Entry
from app.light import BACKDROPS, PLAIN
from app.portrait_maker import Making
from app.preferences import Look, LookAt, Theme
from app.shortcuts import SHORTCUTS, Action, help_lines
from app.webcam import WebcamReport, WebcamState
from avatar.motion.direction import EMOTION_NAMES, Direction
from tests.app.test_panel import VIEW, Hand

DESK = DeskView(look=Look(), entries=(Entry("default", "default"), Entry("/a/me.avatar", "me")))


@pytest.fixture
def hand() -> Iterator[Hand]:
    context = imgui.create_context()
    io = imgui.get_io()
    io.set_ini_filename("")
    io.display_size = ImVec2(1180, 760)
    io.delta_time = 1 / 30
    io.config_input_trickle_event_queue = False
    io.backend_flags |= imgui.BackendFlags_.renderer_has_textures.value
    hand = Hand()
    hand.view = replace(VIEW, desk=DESK)
    hand.frames(3)
    yield hand
    if implot.get_current_context() is not None:
        implot.destroy_context(implot.get_current_context())
    imgui.destroy_context(context)


NOTED = ("button", "slider_float", "invisible_button", "checkbox", "image_button", "selectable")


def rectangles(hand: Hand) -> dict[str, tuple[float, float, float, float]]:
    """Name -> left, top, right, bottom of each control that the next frame draws."""
    found = {}

    def noting(draw: Callable[..., Any]) -> Callable[..., Any]:
        def drawn(label: str, *rest: Any, **more: Any) -> Any:
            result = draw(label, *rest, **more)
            least, most = imgui.get_item_rect_min(), imgui.get_item_rect_max()
            found.setdefault(label, (least.x, least.y, most.x, most.y))
            return result

        return drawn

    with pytest.MonkeyPatch.context() as patch:
        for name in NOTED:
            patch.setattr(imgui, name, noting(getattr(imgui, name)))
        hand.frames()
    return found


def press(hand: Hand, name: str, share: float = 0.5) -> None:
    """Click on a control, `share` of its width from the left."""
    left, top, right, bottom = rectangles(hand)[name]
    hand.click(left + share * (right - left), (top + bottom) / 2)


def show(hand: Hand, tab: str, **desk: Any) -> None:
    """That tab, with these facts."""
    assert hand.view.desk is not None
    hand.view = replace(hand.view, desk=replace(hand.view.desk, **desk))
    hand.frames()
    press(hand, f"{tab}##tab")
    hand.frames(2)
    hand.wishes.clear()


def asked(hand: Hand, field: str) -> Any:
    """The newest wish of the desk for `field`; None where there was none."""
    wishes = [wish.desk or DeskWishes() for wish in hand.wishes]
    values = [getattr(wish, field) for wish in wishes]
    return next((value for value in reversed(values) if value not in (None, False, ())), None)


def test_every_control_lies_within_the_panel_in_every_tab(hand):
    view = replace(VIEW, desk=DESK, problems=("a problem that is told in a line " * 2,))
    making = Making(Path("a portrait with a long name.jpg"), "laying the Gaussians", 0.5, None)
    report = WebcamReport(
        state=WebcamState.LOST, fps=25, delay_s=0.02, frames=9, preview_change=1, problem=""
    )
    busy = replace(DESK, making=making, webcam="0", webcam_report=report, presets=("a", "b"))
    for desk in (DESK, busy):
        hand.view = replace(view, desk=desk)
        for tab in ("Talk", "Avatars", "Scene", "Voice", "Times"):
            press(hand, f"{tab}##tab")
            hand.frames(3)
            for name, (left, top, right, bottom) in rectangles(hand).items():
                assert 0 <= left < right <= 301, (tab, name)
                assert 0 <= top < bottom <= 760, (tab, name)


def test_no_word_of_a_button_is_cut_off(hand):
    for tab in ("Talk", "Avatars", "Scene", "Voice"):
        show(hand, tab)
        size = 0.86 if tab == "Talk" else 1.0  # the emotions' letters are smaller
        for name, (left, _, right, _) in rectangles(hand).items():
            if not name.startswith("##") and name not in ("no\npicture",):
                words = name.partition("##")[0]
                small = size if words in EMOTION_NAMES else 1.0
                assert imgui.calc_text_size(words).x * small <= right - left + 1, (tab, name)


def test_each_emotion_has_its_button_and_a_second_press_is_neutral(hand):
    for name in EMOTION_NAMES:
        hand.view = replace(hand.view, direction=Direction())
        hand.wishes.clear()
        press(hand, name)
        direction = hand.last("direction")
        if name == "neutral":
            assert direction is None or not direction.emotion.any()
            continue
        assert direction.emotion[EMOTION_NAMES.index(name)] == pytest.approx(USUAL_INTENSITY)
        assert np.count_nonzero(direction.emotion) == 1
        assert not toggled(direction, name).emotion.any()


def test_the_intensity_is_kept_from_one_emotion_to_the_next():
    strong = toggled(Direction(), "fear")
    strong.emotion[EMOTION_NAMES.index("fear")] = 0.95
    assert toggled(strong, "happiness").emotion.max() == pytest.approx(0.95)


def test_the_eyes_are_sent_to_me_to_the_cursor_and_ahead(hand):
    press(hand, "Look at the cursor")
    assert asked(hand, "look").look_at is LookAt.CURSOR
    press(hand, "Look at me")
    assert asked(hand, "look").look_at is LookAt.AHEAD  # where they were on me already
    hand.move(740, 190)
    assert asked(hand, "cursor") == pytest.approx((0.0, 0.5), abs=0.01)
    press(hand, "Blink")
    assert asked(hand, "blink")


def test_an_avatar_is_chosen_in_the_gallery(hand):
    show(hand, "Avatars")
    press(hand, "no\npicture")
    assert hand.last("avatar") is None  # it is shown already
    left, top, right, bottom = rectangles(hand)["no\npicture"]
    hand.click((left + right) / 2 + 80, (top + bottom) / 2)
    assert hand.last("avatar") == "/a/me.avatar"


def test_a_portrait_in_the_making_can_be_cancelled(hand):
    making = Making(Path("me.jpg"), "fitting the head", 0.3, None)
    show(hand, "Avatars", making=making)
    press(hand, "Cancel")
    assert asked(hand, "cancel_making")


@pytest.mark.parametrize("name", [*BACKDROPS, PLAIN])
def test_every_backdrop_has_its_swatch(hand, name):
    show(hand, "Scene", look=Look(backdrop="Dusk" if name != "Dusk" else "Studio"))
    press(hand, f"##{name}")
    assert asked(hand, "look").backdrop == name


@pytest.mark.parametrize(("name", "least"), [("brightness", -1.5), ("warmth", -1.0)])
def test_the_light_follows_its_sliders(hand, name, least):
    show(hand, "Scene")
    press(hand, f"##{name}", 0.03)
    assert getattr(asked(hand, "look"), name) == pytest.approx(least, abs=0.1)


def test_presets_are_kept_under_a_typed_name_and_chosen_again(hand, monkeypatch):
    show(hand, "Scene", presets=("evening", "noon"), preset="noon")
    press(hand, "Keep this...")
    hand.frames(3)
    for letter in "dawn":
        imgui.get_io().add_input_character(ord(letter))
        hand.frames()
    hand.key(imgui.Key.enter)
    assert asked(hand, "save_preset") == "dawn"
    press(hand, "Forget it")
    assert asked(hand, "delete_preset") == "noon"
    left, top, _, _ = rectangles(hand)["Keep this..."]
    hand.click(left + 20, top - 20)  # the list above
    hand.frames(2)
    press(hand, "evening##preset")
    assert asked(hand, "load_preset") == "evening"


def test_the_microphone_is_gated_pushed_and_silenced(hand):
    show(hand, "Voice")
    press(hand, "##gate", 0.5)
    assert -60 < asked(hand, "look").gate_db < -40
    press(hand, "Push to talk (hold Space)", 0.1)
    assert asked(hand, "push_to_talk")
    press(hand, "Silence: hear no microphone", 0.1)
    assert asked(hand, "silent")
    imgui.get_io().add_key_event(imgui.Key.space, True)
    hand.frames(2)
    assert hand.wishes[-1].desk is not None
    assert hand.wishes[-1].desk.talk
    imgui.get_io().add_key_event(imgui.Key.space, False)
    hand.frames(2)
    assert not hand.wishes[-1].desk.talk


def test_a_file_that_is_said_can_be_stopped(hand):
    hand.view = replace(hand.view, speaking=True)
    show(hand, "Voice")
    press(hand, "Stop")
    assert hand.last("stop_speaking")


def test_the_camera_is_opened_mirrored_and_closed(hand):
    show(hand, "Voice")
    press(hand, "Follow my face")
    assert asked(hand, "webcam") == "0"
    report = WebcamReport(
        state=WebcamState.FOLLOWING, fps=25, delay_s=0.02, frames=9, preview_change=1, problem=""
    )
    show(hand, "Voice", webcam="0", webcam_report=report)
    press(hand, "Mirror", 0.1)
    assert [w.desk.mirrored for w in hand.wishes if w.desk and w.desk.mirrored is not None] == [
        False
    ]
    press(hand, "This is my rest")
    assert asked(hand, "rest_anew")
    press(hand, "Let the sound move it again")
    assert [w.desk.webcam for w in hand.wishes if w.desk and w.desk.webcam is not None] == [""]


def test_a_dropped_film_asks_what_to_do_with_it(hand):
    hand.view = replace(hand.view, desk=replace(DESK, offer=Path("me.mp4")))
    hand.frames(3)
    press(hand, "Follow the face in it")
    assert asked(hand, "follow_offer")


def test_a_path_is_typed_where_the_system_has_no_dialog(hand, monkeypatch):
    monkeypatch.setattr("app.desk_panel._has_dialogs", lambda: False)
    show(hand, "Avatars")
    press(hand, "New from portrait...")
    hand.frames(3)
    for letter in "/a/me.png":
        imgui.get_io().add_input_character(ord(letter))
        hand.frames()
    press(hand, "OK")
    assert asked(hand, "open") == (Path("/a/me.png"),)


def test_every_shortcut_does_what_the_help_says(hand, monkeypatch):
    monkeypatch.setattr("app.desk_panel._has_dialogs", lambda: False)
    effects = {
        Action.FULL_SCREEN: "full_screen",
        Action.BLINK: "blink",
        Action.LOOK_AT_ME: "look",
        Action.LOOK_AT_CURSOR: "look",
        Action.UNDO: "undo",
        Action.REDO: "redo",
        Action.THEME: "theme",
    }
    io = imgui.get_io()
    for chord in SHORTCUTS:
        hand.wishes.clear()
        for held, key in ((chord.control, imgui.Key.mod_ctrl), (chord.shift, imgui.Key.mod_shift)):
            if held:
                io.add_key_event(key, True)
        hand.key(chord.key)
        for key in (imgui.Key.mod_ctrl, imgui.Key.mod_shift):
            io.add_key_event(key, False)
        hand.frames(2)
        if chord.action in effects:
            assert asked(hand, effects[chord.action]) is not None, chord
        elif chord.action in (Action.OPEN, Action.SAVE):
            assert imgui.is_popup_open("", imgui.PopupFlags_.any_popup), chord
            hand.key(imgui.Key.escape)
            hand.frames(2)
            assert not imgui.is_popup_open("", imgui.PopupFlags_.any_popup), chord
            assert not hand.last("quit")
        else:
            assert hand.last("direction") is not None, chord
    told = {chord for chord, _ in help_lines()}
    assert {c.text for c in SHORTCUTS if c.action is not Action.EMOTION} <= told


def test_typing_a_name_presses_no_shortcut(hand):
    show(hand, "Scene")
    press(hand, "Keep this...")
    hand.frames(3)
    hand.wishes.clear()
    hand.key(imgui.Key.b)
    hand.key(imgui.Key.h)
    assert asked(hand, "blink") is None
    assert hand.panel.visible


def test_the_theme_changes_all_colours_and_stays_readable(hand):
    def luminance(colour: Any) -> float:
        parts = np.array([colour.x, colour.y, colour.z])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for theme in (Theme.DARK, Theme.LIGHT):
        show(hand, "Scene", theme=theme)
        ground = luminance(imgui.get_style().color_(imgui.Col_.window_bg))
        assert (ground > 0.5) == (theme is Theme.LIGHT)
        text = imgui.get_style().color_(imgui.Col_.text)
        for colour in (text, themes.good(), themes.notice(), themes.fault(), themes.faint()):
            bright, dark = sorted((luminance(colour), ground), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
    press(hand, "Dark panel")
    assert asked(hand, "theme") is Theme.DARK
