"""The panel beside the avatar, and the camera that the mouse turns around it.

Draws what it is shown (`PanelView`) and gives back what was asked for (`Wishes`); it knows of no
device, process or window.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui

from app import themes
from app.desk import DeskView, DeskWishes
from app.desk_panel import USUAL_INTENSITY, DeskPanel
from app.headset_switches import HeadsetSwitches
from app.mirror_view import MirrorShows
from app.outputs import Snapshot
from app.preferences import LARGEST_GAIN, LEAST_GAIN, Theme
from app.shortcuts import help_lines
from app.turntable import Turntable
from avatar.motion.direction import (
    DISTANCE_LIMIT_M,
    EMOTION_NAMES,
    GAZE_LIMIT_RAD,
    HEAD_LIMIT_RAD,
    LEAST_ARTICULATION,
    MOST_ARTICULATION,
    STILLNESS_MOST,
    Direction,
    emotion_of,
    no_emotion,
    place_of,
)
from avatar.types import Float
from render.headset import Extras

WIDTH = 300.0
"""Layout units."""
NOTICE_WIDTH = 420.0
RECORDING_KINDS = {".mp4": "MP4", ".webm": "WebM, transparent", "": "PNG pictures, transparent"}
PAD_FONT = 0.76
"""Size of its letters, of the panel's."""
PAD_NEUTRAL = 0.08
"""So near the middle of the pad a mood is neutral: nobody hits a point."""
PAD_LABELS = {
    "fear": (-0.56, 1.0), "anger": (-0.10, 1.0), "surprise": (0.58, 1.0), "happiness": (1.0, 0.30),
    "disgust": (-1.0, 0.63), "contempt": (-1.0, 0.26), "sadness": (-1.0, -0.53),
}  # fmt: skip
"""Where the names stand: in the direction of `CIRCUMPLEX_DEGREES` at the rim, the three above moved
apart so that all can be read."""
PAD_HELP = "Mood: from bad (left) to good,\nfrom calm (below) to excited.\nThe middle is neutral."


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelView:
    """What the panel shows in this frame."""

    avatar: str
    avatars: tuple[str, ...]
    loading: str = ""
    """What is being loaded; empty when all is ready."""
    sound_file: str = ""
    """Name of the sound file that plays; empty with a microphone."""
    sound_file_ended: bool = False
    microphone: str = "default"
    microphones: tuple[str, ...] = ()
    microphone_levels: tuple[float, ...] = ()
    """How loud each is, 0..1, not a number where nobody knows; known while that is asked for."""
    level: float = 0.0
    """0..1."""
    speech: bool = False
    hearing: bool = False
    gain: float = 1.0
    push_to_talk: bool = False
    """Whether the microphone is heard only while a button is held."""
    headset: str = ""
    """The headset in use; empty without one."""
    headset_problem: str = ""
    """Why there is none, where one is looked for."""
    headset_lost: str = ""
    """Why the one that was in use is no more."""
    headset_missed: int = 0
    """Turns of its display for which no picture was ready."""
    headset_extras: Extras = field(default_factory=Extras)
    headset_switches: HeadsetSwitches = field(default_factory=HeadsetSwitches)
    direction: Direction = field(default_factory=Direction)
    """What is asked of the face."""
    frame_ms: float | None = None
    fps: float | None = None
    sound_to_sight_ms: float | None = None
    frame_history_ms: Float = field(default_factory=lambda: np.zeros(1, np.float32))
    picture_size: tuple[int, int] = (0, 0)
    renderer: str = ""
    renderer_reason: str = ""
    speaking: bool = False
    """Whether a sound plays that another program gave."""
    recording: str = ""
    """How long and how large the recording is; empty where none runs."""
    saved: str = ""
    """Name of what was saved last."""
    posed_by: str = ""
    """Who poses and sorts: "card" or "processor"."""
    renderers: tuple[str, ...] = ()
    """What can be chosen to draw; none where there is no choice."""
    wanted_renderer: str = "auto"
    sight_history_ms: Float = field(default_factory=lambda: np.zeros(1, np.float32))
    """Sound to sight of the last frames, 0 where there was none."""
    desk: DeskView | None = None
    """What the tabs show; None where there are none."""
    problems: tuple[str, ...] = ()
    """What is wrong, a line each."""
    notes: tuple[str, ...] = ()
    """What went wrong and is right again, a line each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person, or another program, asked for in this frame; None and False: nothing."""

    avatar: str | None = None
    renderer: str | None = None
    microphone: str | None = None
    gain: float | None = None
    push_to_talk: bool | None = None
    talk: bool = False
    """The key of push-to-talk is held."""
    headset: bool = False
    """Go back into the headset."""
    headset_switches: HeadsetSwitches | None = None
    direction: Direction | None = None
    look_for_microphones: bool = False
    meter_microphones: bool = False
    """Their list is unfolded: how loud is each?"""
    play_again: bool = False
    record: str | None = None
    """Start to record: the ending, `RECORDING_KINDS`."""
    stop_recording: bool = False
    snapshot: Snapshot | None = None
    turntable: Turntable | None = None
    look_from: tuple[float, float, float] | None = None
    """Yaw and pitch of the camera, rad, and its distance, m."""
    backdrop: tuple[float, float, float] | None = None
    """Behind the head in what is recorded from now on, sRGB 0..1."""
    speak: Path | None = None
    """A sound file to say in place of what is heard now."""
    stop_speaking: bool = False
    desk: DeskWishes | None = None
    """What is for the tabs' side of the program."""
    quit: bool = False


class Orbit:
    """A camera on a sphere around the head. It glides to where it was sent."""

    MOST_YAW = math.radians(80.0)
    LEAST_PITCH, MOST_PITCH = math.radians(-35.0), math.radians(50.0)
    NEAREST_M, FURTHEST_M = 0.35, 3.0
    HOME = (0.0, 0.0, 1.0)
    RADIANS_PER_UNIT = 0.006
    GLIDE_S = 0.06

    def __init__(self) -> None:
        self._wanted = self._now = self.HOME

    @property
    def place(self) -> tuple[float, float, float]:
        """Yaw and pitch, rad, and distance, m."""
        return self._now

    @property
    def yaw_rad(self) -> float:
        return self._now[0]

    @property
    def pitch_rad(self) -> float:
        return self._now[1]

    @property
    def distance_m(self) -> float:
        return self._now[2]

    def drag(self, right: float, down: float) -> None:
        """The pointer was dragged by so many layout units: the head follows the hand."""
        yaw, pitch, distance = self._wanted
        yaw = _within(yaw - right * self.RADIANS_PER_UNIT, -self.MOST_YAW, self.MOST_YAW)
        pitch += down * self.RADIANS_PER_UNIT
        self._wanted = (yaw, _within(pitch, self.LEAST_PITCH, self.MOST_PITCH), distance)

    def zoom(self, steps: float) -> None:
        """The wheel was turned; + comes nearer."""
        yaw, pitch, distance = self._wanted
        distance = _within(distance * 0.9**steps, self.NEAREST_M, self.FURTHEST_M)
        self._wanted = (yaw, pitch, distance)

    def reset(self) -> None:
        """Back to the front."""
        self._wanted = self.HOME

    def look_from(self, yaw_rad: float, pitch_rad: float, distance_m: float) -> None:
        """Go there, or as near as it may."""
        self._wanted = (
            _within(yaw_rad, -self.MOST_YAW, self.MOST_YAW),
            _within(pitch_rad, self.LEAST_PITCH, self.MOST_PITCH),
            _within(distance_m, self.NEAREST_M, self.FURTHEST_M),
        )

    def advance(self, seconds: float) -> None:
        """Glide on."""
        share = 1.0 - math.exp(-seconds / self.GLIDE_S)
        yaw, pitch, distance = (
            now + share * (wanted - now)
            for now, wanted in zip(self._now, self._wanted, strict=True)
        )
        self._now = (yaw, pitch, distance)


class Panel:
    """The panel and the pointer's and keys' meaning. One imgui frame must be open for `draw`."""

    def __init__(self, scale: float = 1.0, *, has_keys: bool = True) -> None:
        """`scale`: desktop units for one layout unit. `has_keys`: whether there is a keyboard."""
        self._has_keys = has_keys
        self.visible = True
        self.help_visible = False
        self.orbit = Orbit()
        self.mood = (0.0, 0.0)
        """Valence and arousal of the dot in the pad."""
        self._scale = scale
        self._desk = DeskPanel(scale)
        self._tab = "Talk"
        self._wishes = Wishes()
        self._dragging = False
        self._list_open = False  # at the end of the last frame
        self._style()

    @property
    def width(self) -> float:
        """Room that the panel takes on the left, desktop units; 0 when hidden."""
        return WIDTH * self._scale if self.visible else 0.0

    def draw(self, view: PanelView) -> Wishes:
        """Show `view`; what was asked for since the last frame."""
        self._wishes = Wishes()
        desk = view.desk
        if desk is not None:
            self._desk.begin(desk)
        self._take_pointer()
        self._take_keys(view)
        if desk is not None:
            self._take_desk_keys(view, desk)
        if self.visible:
            self._draw_panel(view)
        if self._has_notice(view):
            self._draw_notice(view)
        if self.help_visible:
            self._draw_help(desk is not None)
        if desk is not None:
            self._desk.draw_over(desk)
            self._wish(desk=self._desk.take())
        self._list_open = imgui.is_popup_open("", imgui.PopupFlags_.any_popup)
        return self._wishes

    def _has_notice(self, view: PanelView) -> bool:
        """In a headset the panel is all there is."""
        if self.visible:
            return bool(view.problems) and self._has_keys
        return bool(view.problems or view.loading or view.recording)

    def _wish(
        self,
        **wish: str
        | float
        | bool
        | Direction
        | Snapshot
        | Turntable
        | DeskWishes
        | HeadsetSwitches,
    ) -> None:
        self._wishes = replace(self._wishes, **wish)  # pyright: ignore[reportArgumentType]

    def _take_pointer(self) -> None:
        io, left = imgui.get_io(), imgui.MouseButton_.left
        self.orbit.advance(io.delta_time)
        # In the frame of the release the pointer may still have moved: a short drag on a slow
        # machine lies in that frame altogether.
        if self._dragging and (imgui.is_mouse_down(left) or imgui.is_mouse_released(left)):
            self.orbit.drag(io.mouse_delta.x / self._scale, io.mouse_delta.y / self._scale)
        self._dragging = self._dragging and imgui.is_mouse_down(left)
        if io.want_capture_mouse:
            return
        if imgui.is_mouse_double_clicked(left):
            self.orbit.reset()
        elif imgui.is_mouse_clicked(left):
            self._dragging = True
        if io.mouse_wheel:
            self.orbit.zoom(io.mouse_wheel)

    def _take_keys(self, view: PanelView) -> None:
        if imgui.get_io().want_text_input:
            return
        if view.headset and imgui.is_key_pressed(imgui.Key.v, repeat=False):
            switches = view.headset_switches
            self._wish(headset_switches=replace(switches, mirror=switches.mirror.next))
        keys: tuple[tuple[imgui.Key, Callable[[], None]], ...] = (
            (imgui.Key.h, self._toggle_panel),
            (imgui.Key.f1, self._toggle_panel),
            (imgui.Key.r, self.orbit.reset),
            (imgui.Key.escape, self._leave),
        )
        for key, action in keys:
            if imgui.is_key_pressed(key, repeat=False):
                action()
        if imgui.is_key_down(imgui.Key.space):
            self._wish(talk=True)
        # `?` is a character, on a different key of each keyboard.
        if any(chr(code) == "?" for code in _typed()):
            self.help_visible = not self.help_visible

    def _take_desk_keys(self, view: PanelView, desk: DeskView) -> None:
        asked = self._desk.take_keys(desk, view.direction)
        if asked is not None:
            self._wish(direction=asked)
        io, size = imgui.get_io(), imgui.get_io().display_size
        if not io.want_capture_mouse and imgui.is_mouse_pos_valid():
            half = max(size.y / 2, 1.0)
            right = io.mouse_pos.x - (size.x + self.width) / 2
            self._desk.wish(cursor=(right / half, (half - io.mouse_pos.y) / half))

    def _toggle_panel(self) -> None:
        self.visible = not self.visible
        self._desk.wish(panel=self.visible)

    def _leave(self) -> None:
        if self._list_open:
            return  # imgui closed it with this key
        if self.help_visible:
            self.help_visible = False
        else:
            self._wish(quit=True)

    def _draw_panel(self, view: PanelView) -> None:
        io = imgui.get_io()
        imgui.set_next_window_pos(ImVec2(0, 0))
        imgui.set_next_window_size(ImVec2(WIDTH * self._scale, io.display_size.y))
        flags = (
            imgui.WindowFlags_.no_title_bar
            | imgui.WindowFlags_.no_resize
            | imgui.WindowFlags_.no_move
            | imgui.WindowFlags_.no_collapse
            | imgui.WindowFlags_.no_bring_to_front_on_focus
        )
        imgui.begin("panel", flags=flags)
        imgui.push_item_width(-1)
        if view.desk is None:
            self._draw_talk(view)
            self._draw_timing(view)
        else:
            self._draw_tabs(view, view.desk)
        self._draw_status(view)
        imgui.pop_item_width()
        imgui.end()

    def _draw_tabs(self, view: PanelView, desk: DeskView) -> None:
        tabs: tuple[tuple[str, Callable[[], None]], ...] = (
            ("Talk", lambda: self._draw_talk(view)),
            ("Avatars", lambda: self._draw_gallery(view, desk)),
            ("Scene", lambda: self._desk.draw_scene(desk)),
            ("Voice", lambda: self._draw_voice(view, desk)),
            ("Times", lambda: self._draw_times(view)),
        )
        self._tab = self._desk.draw_tabs(tuple(title for title, _ in tabs), self._tab)
        for title, draw in tabs:
            if title == self._tab:
                draw()

    def _draw_talk(self, view: PanelView) -> None:
        self._draw_avatar(view)
        self._draw_sound(view)
        self._draw_acting(view)
        self._draw_outputs(view)

    def _draw_gallery(self, view: PanelView, desk: DeskView) -> None:
        chosen = self._desk.draw_avatars(desk, view.avatar)
        if chosen is not None:
            self._wish(avatar=chosen)

    def _draw_voice(self, view: PanelView, desk: DeskView) -> None:
        self._draw_sound(view)
        if self._desk.draw_voice(desk, speaking=view.speaking):
            self._wish(stop_speaking=True)

    def _draw_times(self, view: PanelView) -> None:
        self._draw_timing(view)
        self._desk.draw_times(view.frame_history_ms, view.sight_history_ms)

    def _draw_avatar(self, view: PanelView) -> None:
        _heading("Avatar")
        if imgui.begin_combo("##avatar", PurePath(view.avatar).name):
            for name in view.avatars:
                chosen = name == view.avatar
                # A file shows its name only; two files of one name are told apart by what follows.
                label = f"{PurePath(name).name}##{name}"
                if imgui.selectable(label, chosen)[0] and not chosen:
                    self._wish(avatar=name)
            imgui.end_combo()

    def _draw_sound(self, view: PanelView) -> None:
        _heading("Sound")
        if view.sound_file:
            imgui.text_wrapped(view.sound_file)
            if imgui.button("Play again", ImVec2(-1, 0)):
                self._wish(play_again=True)
        else:
            if imgui.begin_combo("##microphone", view.microphone):
                self._wish(meter_microphones=True)
                for name, level in _with_levels(view):
                    chosen = name == view.microphone
                    if imgui.selectable(name, chosen)[0] and not chosen:
                        self._wish(microphone=name)
                    self._draw_small_meter(level)
                if not view.microphones:
                    imgui.text_colored(themes.faint(), "none found")
                imgui.separator()
                if imgui.selectable("Look for others", False)[0]:
                    self._wish(look_for_microphones=True)
                imgui.end_combo()
        self._draw_meter(view)
        changed, gain = imgui.slider_float(
            "##gain",
            view.gain,
            LEAST_GAIN,
            LARGEST_GAIN,
            "gain %.2f",
            imgui.SliderFlags_.logarithmic,
        )
        if changed:
            self._wish(gain=float(gain))
        if not view.sound_file and view.desk is None:
            clicked, push_to_talk = imgui.checkbox("Push to talk", view.push_to_talk)
            if clicked:
                self._wish(push_to_talk=push_to_talk)
            if imgui.is_item_hovered():
                imgui.set_tooltip(TALK_HELP)

    def _draw_acting(self, view: PanelView) -> None:
        """Mood, gaze, head, nearness, lips and stillness, as `Direction` has them."""
        _heading("Acting")
        asked = direction = view.direction
        if view.desk is not None:
            felt = self._desk.draw_emotions(direction)
            asked = asked if felt is None else felt
        gap, width = imgui.get_style().item_spacing, imgui.get_content_region_avail().x
        pad = 4 * imgui.get_frame_height() + 3 * gap.y  # as high as four sliders
        beside = width - gap.x - pad
        imgui.begin_group()
        emotion = self._draw_emotion(direction.emotion, beside, has_list=view.desk is None)
        yaw, pitch = direction.gaze
        yaw = _angle("##gaze yaw", "looks left %.0f", yaw, GAZE_LIMIT_RAD, beside)
        pitch = _angle("##gaze pitch", "looks up %.0f", pitch, GAZE_LIMIT_RAD, beside)
        if view.desk is not None:
            self._desk.draw_blink(beside)
        imgui.end_group()
        imgui.same_line()
        picked = self._draw_pad(direction.emotion, pad)
        emotion = emotion if picked is None else picked
        if emotion is not None:
            asked = replace(asked, emotion=emotion)
        third = (width - 2 * gap.x) / 3
        turn, rise, tilt = direction.head
        turn = _angle("##head yaw", "head left %.0f", turn, HEAD_LIMIT_RAD, third)
        imgui.same_line()
        rise = _angle("##head pitch", "head up %.0f", rise, HEAD_LIMIT_RAD, third)
        imgui.same_line()
        tilt = _angle("##head roll", "tilt left %.0f", tilt, HEAD_LIMIT_RAD, third)
        if (yaw, pitch) != direction.gaze or (turn, rise, tilt) != direction.head:
            asked = replace(asked, gaze=(yaw, pitch), head=(turn, rise, tilt))
        imgui.set_next_item_width((width - gap.x) / 2)
        moved, distance = imgui.slider_float(
            "##distance", 100 * direction.distance, -100 * DISTANCE_LIMIT_M,
            100 * DISTANCE_LIMIT_M, "nearer %.1f cm"
        )  # fmt: skip
        if moved:
            asked = replace(asked, distance=distance / 100)
        imgui.same_line()
        imgui.set_next_item_width((width - gap.x) / 2)
        spoke, articulation = imgui.slider_float(
            "##articulation", direction.articulation, LEAST_ARTICULATION, MOST_ARTICULATION,
            "articulation %.2f"
        )  # fmt: skip
        if spoke:
            asked = replace(asked, articulation=articulation)
        imgui.set_next_item_width(2 * third)
        calmed, stillness = imgui.slider_float(
            "##stillness", direction.stillness, 0.0, STILLNESS_MOST, "head and brows %.2f"
        )
        if calmed:
            asked = replace(asked, stillness=stillness)
        imgui.same_line()
        if imgui.button("As usual", ImVec2(-1, 0)):
            asked = Direction()
        if asked is not direction:
            self._wish(direction=asked)
        if view.desk is not None:
            self._desk.draw_gaze(view.desk)

    def _draw_emotion(self, emotion: Float, width: float, *, has_list: bool) -> Float | None:
        """The strongest emotion and the intensity of all; the weights that are asked for now."""
        felt = _felt(emotion)
        total = float(felt.sum())
        mood = EMOTION_NAMES[int(felt.argmax())] if total > 0 else "neutral"
        asked = None
        if has_list:
            imgui.set_next_item_width(width)
        if has_list and imgui.begin_combo("##emotion", mood):
            for name in EMOTION_NAMES:
                if imgui.selectable(name, name == mood)[0]:
                    asked = no_emotion()
                    if name != "neutral":
                        asked[EMOTION_NAMES.index(name)] = min(total, 1.0) or USUAL_INTENSITY
            imgui.end_combo()
        imgui.begin_disabled(total <= 0)
        imgui.set_next_item_width(width)
        slid, intensity = imgui.slider_float(
            "##intensity", total or USUAL_INTENSITY, 0.05, 1.0, "intensity %.2f"
        )
        imgui.end_disabled()
        if slid and total > 0:
            asked = (felt * (intensity / total)).astype(np.float32)  # a blend stays a blend
        return asked if asked is not None and not np.array_equal(asked, felt) else None

    def _draw_pad(self, emotion: Float, side: float) -> Float | None:
        """The plane of valence (rightwards) and arousal (upwards), a dot where `emotion` lies; the
        weights of the place that was picked there."""
        corner = imgui.get_cursor_screen_pos()
        imgui.invisible_button("##mood", ImVec2(side, side))
        radius = side / 2
        middle = ImVec2(corner.x + radius, corner.y + radius)
        held = imgui.is_item_active()
        picked = None
        if held:
            pointer = imgui.get_mouse_pos()
            place = (pointer.x - middle.x) / radius, (middle.y - pointer.y) / radius
            distance = math.hypot(*place)
            if distance < PAD_NEUTRAL:
                place = 0.0, 0.0
            self.mood = place[0] / max(distance, 1.0), place[1] / max(distance, 1.0)
            picked = emotion_of(*self.mood)
        shown = emotion if picked is None else picked
        # Some places mean the same: the dot stays under the pointer while that is what is asked.
        if not np.array_equal(emotion_of(*self.mood), shown):
            self.mood = place_of(shown)
        self._paint_pad(corner, side)
        dot = ImVec2(middle.x + radius * self.mood[0], middle.y - radius * self.mood[1])
        painter = imgui.get_window_draw_list()
        painter.add_circle_filled(dot, 5.5 * self._scale, imgui.get_color_u32(imgui.Col_.text))
        if imgui.is_item_hovered() or held:
            felt = _felt(shown)
            names = [f"{EMOTION_NAMES[i]} {felt[i]:.2f}" for i in np.argsort(-felt) if felt[i] > 0]
            imgui.set_tooltip(f"{PAD_HELP}\nNow: {', '.join(names) or 'neutral'}")
        return None if picked is None or np.array_equal(picked, emotion) else picked

    def _paint_pad(self, corner: ImVec2, side: float) -> None:
        painter, radius, unit = imgui.get_window_draw_list(), side / 2, self._scale
        middle = ImVec2(corner.x + radius, corner.y + radius)
        end = ImVec2(corner.x + side, corner.y + side)
        hovered = imgui.is_item_hovered()
        ground = imgui.Col_.frame_bg_hovered if hovered else imgui.Col_.frame_bg
        painter.add_rect_filled(corner, end, imgui.get_color_u32(ground), 5 * unit)
        painter.push_clip_rect(corner, end, True)
        faint = imgui.get_color_u32(themes.pad_lines())
        painter.add_line(ImVec2(corner.x, middle.y), ImVec2(end.x, middle.y), faint)
        painter.add_line(ImVec2(middle.x, corner.y), ImVec2(middle.x, end.y), faint)
        painter.add_circle(middle, radius, faint, 48)
        imgui.push_font(None, PAD_FONT * imgui.get_style().font_size_base)
        for name, (right, up) in PAD_LABELS.items():
            size, inset = imgui.calc_text_size(name), 4 * unit
            x, y = middle.x + right * radius - size.x / 2, middle.y - up * radius - size.y / 2
            x = _within(x, corner.x + inset, end.x - inset - size.x)
            y = _within(y, corner.y + inset / 2, end.y - inset / 2 - size.y)
            painter.add_text(ImVec2(x, y), imgui.get_color_u32(themes.faint()), name)
        imgui.pop_font()
        painter.pop_clip_rect()

    def _draw_meter(self, view: PanelView) -> None:
        """A bar from -60 to 0 dB; green while somebody speaks."""
        corner = imgui.get_cursor_screen_pos()
        beside = 118.0 * self._scale  # for the words
        width = imgui.get_content_region_avail().x - beside
        height = 10.0 * self._scale
        corner = ImVec2(corner.x, corner.y + 4.0 * self._scale)
        imgui.dummy(ImVec2(width, height))
        painter = imgui.get_window_draw_list()
        end = ImVec2(corner.x + width, corner.y + height)
        rounding = height / 2
        painter.add_rect_filled(corner, end, imgui.get_color_u32(imgui.Col_.frame_bg), rounding)
        share = min(max(view.level, 0.0), 1.0)
        if share > 0.0:
            colour = (
                themes.fault() if share > 0.97 else themes.good() if view.speech else themes.faint()
            )
            filled = ImVec2(corner.x + max(height, share * width), end.y)
            painter.add_rect_filled(corner, filled, imgui.get_color_u32(colour), rounding)
        if view.sound_file and view.sound_file_ended:
            text = "the sound is over"
        elif not view.hearing:
            text = "no sound"
        else:
            text = "speech" if view.speech else "listening"
        imgui.same_line()
        imgui.text_colored(themes.good() if view.speech else themes.faint(), text)

    def _draw_small_meter(self, level: float) -> None:
        """At the bottom of the last item, how loud it is; nothing where nobody knows."""
        if math.isnan(level):
            return
        least, most = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        unit, painter = self._scale, imgui.get_window_draw_list()
        corner, end = ImVec2(least.x, most.y - 2 * unit), ImVec2(most.x, most.y)
        painter.add_rect_filled(corner, end, imgui.get_color_u32(imgui.Col_.frame_bg), unit)
        filled = ImVec2(corner.x + _within(level, 0, 1) * (end.x - corner.x), end.y)
        painter.add_rect_filled(corner, filled, imgui.get_color_u32(themes.good()), unit)

    def _draw_outputs(self, view: PanelView) -> None:
        """Record or stop, a picture, a turn around the head."""
        imgui.spacing()
        gap = imgui.get_style().item_spacing.x
        third = (imgui.get_content_region_avail().x - 2 * gap) / 3
        if view.recording:
            imgui.push_style_color(imgui.Col_.button, themes.recording())
            if imgui.button("Stop##recording", ImVec2(third, 0)):
                self._wish(stop_recording=True)
            imgui.pop_style_color()
            imgui.same_line()
            imgui.text_colored(themes.fault(), view.recording)
            return
        if imgui.button("Record", ImVec2(third, 0)):
            imgui.open_popup("record")
        if imgui.begin_popup("record"):
            for ending, what in RECORDING_KINDS.items():
                if imgui.selectable(what, False)[0]:
                    self._wish(record=ending)
            imgui.end_popup()
        imgui.same_line()
        if imgui.button("Snapshot", ImVec2(third, 0)):
            imgui.open_popup("snapshot")
        if imgui.begin_popup("snapshot"):
            for alpha, what in enumerate(("with the backdrop", "transparent")):
                if imgui.selectable(what, False)[0]:
                    self._wish(snapshot=Snapshot(bool(alpha)))
            imgui.end_popup()
        imgui.same_line()
        if imgui.button("Turn", ImVec2(third, 0)):
            self._wish(turntable=Turntable())
        if imgui.is_item_hovered():
            imgui.set_tooltip("Film the head from all around, for 8 seconds.")
        if view.saved:
            _lines((f"saved {view.saved}",), themes.faint())

    def _draw_timing(self, view: PanelView) -> None:
        _heading("Timing")
        _row("Frame", _milliseconds(view.frame_ms) + _per_second(view.fps))
        _row("Sound to sight", _milliseconds(view.sound_to_sight_ms))
        if view.desk is None:
            self._draw_frames(view.frame_history_ms)
        if view.renderer:
            self._draw_renderer(view)
        self._draw_headset(view)

    def _draw_frames(self, history: Float) -> None:
        top = max(50.0, float(history.max()))
        imgui.plot_lines(
            "##frames",
            history,
            scale_min=0.0,
            scale_max=top,
            graph_size=ImVec2(-1, 36.0 * self._scale),
        )

    def _draw_renderer(self, view: PanelView) -> None:
        """Who draws, at what size and why; a list of others where there is a choice."""
        width, height = view.picture_size
        _row("Posed and sorted by", view.posed_by)
        drawn = f"{view.renderer}, {width} x {height}"
        if not view.renderers:
            _row("Drawn by", drawn)
        elif imgui.begin_combo("##renderer", f"drawn by {drawn}"):
            for name in view.renderers:
                chosen = name == view.wanted_renderer
                if imgui.selectable(name, chosen)[0] and not chosen:
                    self._wish(renderer=name)
            imgui.end_combo()
        if imgui.is_item_hovered() and view.renderer_reason:
            imgui.set_tooltip(view.renderer_reason)

    def _draw_headset(self, view: PanelView) -> None:
        if view.headset:
            _row("Headset", f"missed frames: {view.headset_missed}")
        elif view.headset_problem:
            _row("Headset", "none")
        if imgui.is_item_hovered() and (view.headset or view.headset_problem):
            imgui.set_tooltip(view.headset or view.headset_problem)
        if view.headset:
            self._draw_headset_switches(view)
        if view.headset_lost and imgui.button("Back into the headset", ImVec2(-1, 0)):
            self._wish(headset=True)

    def _draw_headset_switches(self, view: PanelView) -> None:
        """What the window shows of it, and what only some headsets have."""
        asked = switches = view.headset_switches
        extras = view.headset_extras
        if imgui.begin_combo("##mirror", f"window: {switches.mirror.value}"):
            for shows in MirrorShows:
                if imgui.selectable(shows.value, shows is switches.mirror)[0]:
                    asked = replace(asked, mirror=shows)
            imgui.end_combo()
        if extras.passthrough:
            clicked, passthrough = imgui.checkbox("My own room", switches.passthrough)
            asked = replace(asked, passthrough=passthrough) if clicked else asked
        if extras.face:
            clicked, own_face = imgui.checkbox("My face moves it", switches.own_face)
            asked = replace(asked, own_face=own_face) if clicked else asked
            if imgui.is_item_hovered():
                imgui.set_tooltip("What the headset sees of your face, in place of the sound.")
        if asked != switches:
            self._wish(headset_switches=asked)

    def _draw_status(self, view: PanelView) -> None:
        if view.loading:
            _heading("Status")
            _lines((view.loading,), themes.notice())
        elif view.notes or (view.problems and not self._has_keys):
            _heading("Status")
        if not self._has_keys:
            _lines(view.problems, themes.fault())
        _lines(view.notes, themes.faint())
        if not self._has_keys:
            return
        line = imgui.get_text_line_height_with_spacing()
        bottom = imgui.get_window_height() - line - imgui.get_style().window_padding.y
        if imgui.get_cursor_pos_y() < bottom:
            imgui.set_cursor_pos_y(bottom)
        imgui.text_colored(themes.faint(), "H hide    R front    ? help")

    def _draw_notice(self, view: PanelView) -> None:
        """What is wrong, over the picture, where no list of sliders hides it; and what must be seen
        with the panel hidden too."""
        margin = 12 * self._scale
        room = imgui.get_io().display_size.x - self.width - 2 * margin
        imgui.set_next_window_pos(ImVec2(self.width + margin, margin))
        imgui.set_next_window_size(ImVec2(min(NOTICE_WIDTH * self._scale, room), 0))
        flags = imgui.WindowFlags_.no_decoration | imgui.WindowFlags_.no_inputs
        imgui.begin("notice", flags=flags)
        if view.loading and not self.visible:
            imgui.text_wrapped(view.loading)
        if view.recording and not self.visible:
            imgui.text_colored(themes.fault(), f"recording {view.recording}")
        _lines(view.problems, themes.fault())
        imgui.end()

    def _draw_help(self, has_desk: bool) -> None:
        # In the corner beside the panel, where it does not cover the face.
        margin = 16.0 * self._scale
        corner = ImVec2(self.width + margin, imgui.get_io().display_size.y - margin)
        imgui.set_next_window_pos(corner, imgui.Cond_.always, ImVec2(0.0, 1.0))
        flags = (
            imgui.WindowFlags_.always_auto_resize
            | imgui.WindowFlags_.no_collapse
            | imgui.WindowFlags_.no_move
        )
        still_open = imgui.begin("Help", True, flags)[1]
        lines = (*HELP, *help_lines()) if has_desk else HELP
        for what, effect in lines:
            imgui.text_colored(themes.good(), what)
            imgui.same_line(150.0 * self._scale)
            imgui.text_unformatted(effect)
        imgui.end()
        self.help_visible = bool(still_open)

    def _style(self) -> None:
        style = imgui.get_style()
        unit = self._scale
        style.window_padding = ImVec2(16 * unit, 14 * unit)
        style.frame_padding = ImVec2(9 * unit, 5 * unit)
        style.item_spacing = ImVec2(8 * unit, 7 * unit)
        style.frame_rounding = style.popup_rounding = 5 * unit
        style.grab_rounding = 5 * unit
        style.window_rounding = 0.0
        style.window_border_size = 0.0
        themes.apply_theme(Theme.DARK)


TALK_HELP = """Your microphone is heard only while you hold Space,
or in a headset a controller's thumb stick (Vive: the right pad)."""
HELP = (
    ("drag", "turn the camera"),
    ("wheel", "nearer, further"),
    ("double click, R", "back to the front"),
    ("H, F1", "hide or show the panel"),
    ("Space", "talk, where push to talk is on"),
    ("V", "of a headset: left eye, right eye, third person"),
    ("?", "this help"),
    ("Esc", "close help, then quit"),
)


def _with_levels(view: PanelView) -> list[tuple[str, float]]:
    """Each microphone and how loud it is; that of the one that is heard is always known."""
    levels = dict(zip(view.microphones, view.microphone_levels, strict=False))
    levels[view.microphone] = view.level
    return [(name, levels.get(name, math.nan)) for name in view.microphones]


def _heading(text: str) -> None:
    imgui.spacing()
    imgui.separator_text(text)


def _felt(emotion: Float) -> Float:
    """[8] the weights without neutral's own, which says nothing."""
    felt = np.array(emotion, np.float32)
    felt[EMOTION_NAMES.index("neutral")] = 0
    return felt


def _angle(name: str, words: str, angle_rad: float, most_rad: float, width: float) -> float:
    """A slider in degrees; the angle in rad, to the bit as it was where nobody slid it."""
    imgui.set_next_item_width(width)
    most = math.degrees(most_rad)
    slid, degrees = imgui.slider_float(name, math.degrees(angle_rad), -most, most, words)
    return math.radians(degrees) if slid else angle_rad


def _row(label: str, value: str) -> None:
    imgui.text_colored(themes.faint(), label)
    imgui.same_line()
    width = imgui.calc_text_size(value).x
    right = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - width
    imgui.set_cursor_pos_x(max(imgui.get_cursor_pos_x(), right))
    imgui.text_unformatted(value)


def _lines(lines: tuple[str, ...], colour: ImVec4) -> None:
    imgui.push_style_color(imgui.Col_.text, colour)
    for line in lines:
        imgui.text_wrapped(line)
    imgui.pop_style_color()


def _typed() -> list[int]:
    """Characters typed in this frame."""
    return [int(code) for code in imgui.get_io().input_queue_characters]


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _per_second(fps: float | None) -> str:
    return "" if fps is None else f"  ({fps:.0f} fps)"


def _within(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
