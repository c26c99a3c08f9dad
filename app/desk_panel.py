"""The tabs beside the talk: avatars, scene, voice, times. Draws `DeskView`, gives `DeskWishes`."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from imgui_bundle import ImVec2, ImVec4, imgui, implot
from imgui_bundle import portable_file_dialogs as dialogs  # pyright: ignore[reportMissingModuleSource]

from app import themes
from app.desk import FILM_ENDINGS, PORTRAIT_ENDINGS, SOUND_ENDINGS, DeskView, DeskWishes
from app.gallery import Entry
from app.light import BACKDROPS, MOST_STOPS, PLAIN
from app.preferences import GATE_OFF_DB, Look, LookAt, Theme
from app.shortcuts import Action, Shortcut, pressed
from app.user_folders import FILE_DIALOGS
from avatar.motion.direction import EMOTION_NAMES, Direction, no_emotion
from avatar.types import Float

THUMBNAIL = 72.0
"""Layout units of a side."""
USUAL_INTENSITY = 0.7
"""Of an emotion that is chosen by its name."""
DROP_HINT = "or drop a photo, an .avatar, a sound or a film onto the window"
PRIVACY = "The camera's pictures stay on this computer and are not kept."


class DeskPanel:
    """What is drawn in the tabs, and the keys of `app.shortcuts`."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._wishes = DeskWishes()
        self._dialog: object | None = None
        self._typed_path = ""
        self._typed_name = ""
        self._asks_path = self._asks_name = False
        self._theme: Theme | None = None
        self._camera = "0"

    def take(self) -> DeskWishes:
        """What was asked for in this frame."""
        wishes, self._wishes = self._wishes, DeskWishes()
        return wishes

    def wish(self, **wish: object) -> None:
        self._wishes = replace(self._wishes, **wish)  # pyright: ignore[reportArgumentType]

    def begin(self, view: DeskView) -> None:
        """Once a frame, before anything is drawn."""
        if view.theme is not self._theme:
            self._theme = view.theme
            themes.apply_theme(view.theme)
        self.wish(busy=imgui.is_any_item_active())
        dialog = self._dialog
        if dialog is not None and dialog.ready(0):  # pyright: ignore[reportAttributeAccessIssue]
            chosen = dialog.result()  # pyright: ignore[reportAttributeAccessIssue]
            self._dialog = None
            if chosen:
                self.wish(open=tuple(map(Path, chosen)))

    def take_keys(self, view: DeskView, direction: Direction) -> Direction | None:
        """What the keys ask of the face."""
        io = imgui.get_io()
        # With the keyboard in the panel Space presses what has the focus.
        if imgui.is_key_down(imgui.Key.space) and not (io.want_text_input or io.nav_visible):
            self.wish(talk=True)
        asked = None
        for chord in pressed():
            if chord.action is Action.EMOTION:
                asked = toggled(direction, chord.emotion)
            elif chord.action is Action.AS_USUAL:
                asked = Direction()
            else:
                self._act(chord, view)
        return asked

    def _act(self, chord: Shortcut, view: DeskView) -> None:
        look = view.look
        effects: dict[Action, Callable[[], None]] = {
            Action.FULL_SCREEN: lambda: self.wish(full_screen=not view.full_screen),
            Action.BLINK: lambda: self.wish(blink=True),
            Action.LOOK_AT_ME: lambda: self.wish(look=_looking(look, LookAt.ME)),
            Action.LOOK_AT_CURSOR: lambda: self.wish(look=_looking(look, LookAt.CURSOR)),
            Action.UNDO: lambda: self.wish(undo=True),
            Action.REDO: lambda: self.wish(redo=True),
            Action.OPEN: self._ask_for_file,
            Action.SAVE: self._ask_for_name,
            Action.THEME: lambda: self.wish(theme=_other(view.theme)),
        }
        effects[chord.action]()

    def draw_tabs(self, titles: tuple[str, ...], chosen: str) -> str:
        """A row of buttons, as wide as the panel; the one that is chosen."""
        gap = 3 * self._scale
        words = [imgui.calc_text_size(title).x for title in titles]
        room = imgui.get_content_region_avail().x - gap * (len(titles) - 1) - sum(words)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(1, 5 * self._scale))
        imgui.push_style_var(imgui.StyleVar_.item_spacing, ImVec2(gap, 7 * self._scale))
        for title, width in zip(titles, words, strict=True):
            if title != titles[0]:
                imgui.same_line()
            if _toggle(f"{title}##tab", title == chosen, width + room / len(titles)):
                chosen = title
        imgui.pop_style_var(2)
        return chosen

    def draw_emotions(self, direction: Direction) -> Direction | None:
        """A button for each emotion; what is asked of the face by one."""
        felt = direction.emotion
        gap, width = imgui.get_style().item_spacing.x, imgui.get_content_region_avail().x
        quarter = (width - 3 * gap) / 4
        asked = None
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(2, 4 * self._scale))
        imgui.push_font(None, 0.86 * imgui.get_style().font_size_base)
        for index, name in enumerate(EMOTION_NAMES):
            if index % 4:
                imgui.same_line()
            others = felt.sum() - felt[EMOTION_NAMES.index("neutral")]
            chosen = felt[index] > 0.05 if name != "neutral" else others <= 0.05
            if _toggle(name, chosen, quarter):
                asked = toggled(direction, name)
        imgui.pop_font()
        imgui.pop_style_var()
        return asked

    def draw_gaze(self, view: DeskView) -> None:
        """Where the eyes go."""
        look = view.look
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        if _toggle("Look at me", look.look_at is LookAt.ME, half):
            self.wish(look=_looking(look, LookAt.ME))
        _tip("The eyes meet the camera from wherever it stands (M).")
        imgui.same_line()
        if _toggle("Look at the cursor", look.look_at is LookAt.CURSOR, half):
            self.wish(look=_looking(look, LookAt.CURSOR))
        _tip("The eyes follow the mouse (C).")

    def draw_blink(self, width: float) -> None:
        """A button for one blink."""
        if imgui.button("Blink", ImVec2(width, 0)):
            self.wish(blink=True)
        _tip("Once, now (B).")

    def draw_avatars(self, view: DeskView, shown: str) -> str | None:
        """The gallery; an avatar that was chosen."""
        _heading("Yours and ours")
        chosen = self._draw_gallery(view, shown)
        _heading("New from a portrait")
        making = view.making
        if making is None:
            if imgui.button("New from portrait...", ImVec2(-1, 0)):
                self._ask_for_file()
            _small(DROP_HINT)
            return chosen
        imgui.text_wrapped(f"{making.portrait.name}: {making.stage}")
        imgui.progress_bar(making.fraction, ImVec2(-1, 0), f"{100 * making.fraction:.0f} %")
        if "preview" in view.images:
            side = min(imgui.get_content_region_avail().x, 200 * self._scale)
            imgui.image(imgui.ImTextureRef(view.images["preview"]), ImVec2(side, side))
            _small("as it is so far; it is being refined")
        if imgui.button("Cancel", ImVec2(-1, 0)):
            self.wish(cancel_making=True)
        return chosen

    def _draw_gallery(self, view: DeskView, shown: str) -> str | None:
        chosen = None
        side, gap = THUMBNAIL * self._scale, imgui.get_style().item_spacing.x
        columns = max(1, int((imgui.get_content_region_avail().x + gap) // (side + gap)))
        if not view.entries:
            _small("looking for avatars")
        for index, entry in enumerate(view.entries):
            if index % columns:
                imgui.same_line()
            imgui.begin_group()
            if self._draw_entry(entry, view, shown, side):
                chosen = entry.avatar
            imgui.end_group()
        return chosen

    def _draw_entry(self, entry: Entry, view: DeskView, shown: str, side: float) -> bool:
        imgui.push_id(entry.avatar)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, ImVec2(0, 0))
        imgui.begin_disabled(bool(entry.problem))
        image = view.images.get(entry.avatar)
        if image is None:
            clicked = imgui.button("no\npicture", ImVec2(side, side))
        else:
            clicked = imgui.image_button("##picture", imgui.ImTextureRef(image), ImVec2(side, side))
        imgui.end_disabled()
        imgui.pop_style_var()
        least, most = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        if entry.avatar == shown:
            colour, unit = imgui.get_color_u32(themes.chosen()), self._scale
            painter = imgui.get_window_draw_list()
            painter.add_rect(least, most, colour, 5 * unit, 2.5 * unit)
        _tip(entry.problem or entry.avatar, disabled_too=True)
        imgui.push_font(None, 0.8 * imgui.get_style().font_size_base)
        name = _fitting(entry.title, side)
        imgui.text_colored(themes.fault() if entry.problem else themes.faint(), name)
        imgui.pop_font()
        imgui.pop_id()
        return clicked and entry.avatar != shown

    def draw_scene(self, view: DeskView) -> None:
        """Backdrop, light, presets, the panel's own looks."""
        look = view.look
        _heading("Backdrop")
        asked = self._draw_backdrops(look)
        _heading("Light")
        asked = _slider(asked, "brightness", -MOST_STOPS, MOST_STOPS, "brightness %+.2f stops")
        asked = _slider(asked, "warmth", -1.0, 1.0, "warmth %+.2f")
        if asked != look:
            self.wish(look=asked)
        _heading("Presets")
        self._draw_presets(view)
        _heading("Window")
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        light = view.theme is Theme.LIGHT
        if imgui.button("Dark panel" if light else "Light panel", ImVec2(half, 0)):
            self.wish(theme=_other(view.theme))
        imgui.same_line()
        if imgui.button("Leave full screen" if view.full_screen else "Full screen", ImVec2(-1, 0)):
            self.wish(full_screen=not view.full_screen)
        self._draw_steps(view, half)

    def _draw_steps(self, view: DeskView, half: float) -> None:
        imgui.begin_disabled(not view.can_undo)
        if imgui.button("Undo", ImVec2(half, 0)):
            self.wish(undo=True)
        imgui.end_disabled()
        imgui.same_line()
        imgui.begin_disabled(not view.can_redo)
        if imgui.button("Redo", ImVec2(-1, 0)):
            self.wish(redo=True)
        imgui.end_disabled()

    def _draw_backdrops(self, look: Look) -> Look:
        """A swatch for each; the look that is asked for."""
        gap, width = imgui.get_style().item_spacing.x, imgui.get_content_region_avail().x
        names = [*BACKDROPS, PLAIN]
        columns = 4
        side = (width - (columns - 1) * gap) / columns
        high = 34 * self._scale
        for index, name in enumerate(names):
            if index % columns:
                imgui.same_line()
            corner = imgui.get_cursor_screen_pos()
            if imgui.invisible_button(f"##{name}", ImVec2(side, high)):
                look = replace(look, backdrop=name)
            focused = imgui.is_item_focused() and imgui.get_io().nav_visible
            _tip(name)
            self._paint_swatch(
                look, name, corner, ImVec2(corner.x + side, corner.y + high), focused
            )
        if look.backdrop == PLAIN:
            imgui.set_next_item_width(-1)
            flags = imgui.ColorEditFlags_.no_inputs | imgui.ColorEditFlags_.no_side_preview
            colour = ImVec4(*look.backdrop_colour, 1.0)
            changed, picked = imgui.color_picker3("##colour", [colour.x, colour.y, colour.z], flags)
            if changed:
                red, green, blue = (min(max(float(part), 0.0), 1.0) for part in picked)
                look = replace(look, backdrop_colour=(red, green, blue))
        return look

    def _paint_swatch(
        self, look: Look, name: str, corner: ImVec2, end: ImVec2, focused: bool
    ) -> None:
        painter, unit = imgui.get_window_draw_list(), self._scale
        behind = replace(look, backdrop=name).behind
        near = imgui.get_color_u32(ImVec4(*behind.near, 1.0))
        far = imgui.get_color_u32(ImVec4(*behind.far, 1.0))
        painter.add_rect_filled_multi_color(corner, end, near, near, far, far)
        if name == look.backdrop or focused:
            colour = imgui.get_color_u32(
                themes.chosen() if name == look.backdrop else themes.faint()
            )
            painter.add_rect(corner, end, colour, 0.0, 2.5 * unit)

    def _draw_presets(self, view: DeskView) -> None:
        imgui.set_next_item_width(-1)
        if imgui.begin_combo("##presets", view.preset or "choose one"):
            for name in view.presets:
                if imgui.selectable(f"{name}##preset", name == view.preset)[0]:
                    self.wish(load_preset=name)
            if not view.presets:
                imgui.text_colored(themes.faint(), "none kept yet")
            imgui.end_combo()
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        if imgui.button("Keep this...", ImVec2(half, 0)):
            self._ask_for_name()
        imgui.same_line()
        imgui.begin_disabled(not view.preset)
        if imgui.button("Forget it", ImVec2(-1, 0)):
            self.wish(delete_preset=view.preset)
        imgui.end_disabled()

    def draw_voice(self, view: DeskView, *, speaking: bool) -> bool:
        """How the microphone is heard, files to be said, and the camera; whether a file that is
        said is to stop."""
        look = view.look
        gate = imgui.slider_float(
            "##gate",
            look.gate_db,
            GATE_OFF_DB,
            -20.0,
            "gate off" if look.gate_db <= GATE_OFF_DB else "gate %.0f dB",
        )
        if gate[0]:
            self.wish(look=replace(look, gate_db=float(gate[1])))
        _tip("What is quieter than this is silence to the face.")
        clicked, push = imgui.checkbox("Push to talk (hold Space)", view.push_to_talk)
        if clicked:
            self.wish(push_to_talk=push)
        clicked, silent = imgui.checkbox("Silence: hear no microphone", view.silent)
        if clicked:
            self.wish(silent=silent)
        _heading("Sound file")
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        if imgui.button("Say a file...", ImVec2(half, 0)):
            self._ask_for_file()
        imgui.same_line()
        imgui.begin_disabled(not speaking)
        stops = imgui.button("Stop", ImVec2(-1, 0))
        imgui.end_disabled()
        _small("The microphone is closed while a file is said, so it is not heard twice.")
        _heading("Camera")
        self._draw_webcam(view)
        return stops

    def _draw_webcam(self, view: DeskView) -> None:
        if not view.webcam:
            imgui.set_next_item_width(90 * self._scale)
            self._camera = imgui.input_text("##camera", self._camera)[1]
            _tip("The camera's number, 0 is the first; or a device's path.")
            imgui.same_line()
            if imgui.button("Follow my face", ImVec2(-1, 0)):
                self.wish(webcam=self._camera.strip() or "0")
            _small(PRIVACY)
            return
        if "camera" in view.images:
            wide = min(imgui.get_content_region_avail().x, 170 * self._scale)
            imgui.image(imgui.ImTextureRef(view.images["camera"]), ImVec2(wide, wide * 9 / 16))
        report = view.webcam_report
        if report is not None and not report.problem:
            following = report.words.startswith("your")
            colour = themes.good() if following else themes.notice()
            imgui.push_style_color(imgui.Col_.text, colour)
            imgui.text_wrapped(report.words)
            imgui.pop_style_color()
            _small(f"{report.fps:.0f} pictures a second, tracked in {1e3 * report.delay_s:.0f} ms")
        clicked, mirrored = imgui.checkbox("Mirror", view.mirrored)
        if clicked:
            self.wish(mirrored=mirrored)
        imgui.same_line()
        if imgui.button("This is my rest"):
            self.wish(rest_anew=True)
        _tip("Look into the camera, at ease, and press it.")
        if imgui.button("Let the sound move it again", ImVec2(-1, 0)):
            self.wish(webcam="")

    def draw_times(self, frames_ms: Float, sight_ms: Float) -> None:
        """What frames took, and how far the face was behind the sound, lately."""
        if implot.get_current_context() is None:
            implot.create_context()
        for title, series in (("Frame", frames_ms), ("Sound to sight", sight_ms)):
            _heading(f"{title}, ms")
            known = series[series > 0]
            top = max(50.0, 1.15 * float(known.max())) if len(known) else 50.0
            size = ImVec2(-1, 110 * self._scale)
            flags = implot.Flags_.no_legend | implot.Flags_.no_mouse_text | implot.Flags_.no_inputs
            if implot.begin_plot(f"##{title}", size, flags):
                bare = implot.AxisFlags_.no_decorations
                implot.setup_axes("", "", bare, implot.AxisFlags_.no_label)
                implot.setup_axes_limits(0, len(series), 0, top, implot.Cond_.always)
                implot.plot_line(title, np.ascontiguousarray(series, np.float64))
                implot.end_plot()

    def draw_over(self, view: DeskView) -> None:
        """Questions that stand over all."""
        if self._asks_path:
            imgui.open_popup("Open a file")
            self._asks_path = False
        if self._asks_name:
            imgui.open_popup("Keep as a preset")
            self._asks_name = False
        if view.offer is not None and not imgui.is_popup_open("A film"):
            imgui.open_popup("A film")
        self._draw_path()
        self._draw_name()
        self._draw_offer(view)

    def _ask_for_file(self) -> None:
        if self._dialog is not None:
            return
        if _has_dialogs():
            endings = " ".join(f"*{ending}" for ending in (*PORTRAIT_ENDINGS, ".avatar"))
            sounds = " ".join(f"*{ending}" for ending in (*SOUND_ENDINGS, *FILM_ENDINGS))
            filters = [
                *("Portraits and avatars", endings),
                *("Sounds and films", sounds),
                *("All files", "*"),
            ]
            self._dialog = dialogs.open_file("visavis", str(Path.home()), filters)
        else:
            self._asks_path = True

    def _ask_for_name(self) -> None:
        self._asks_name = True

    def _draw_path(self) -> None:
        """Where the system has no dialog that could be asked."""
        if not self._begin_question("Open a file"):
            return
        imgui.text_wrapped("The path of a portrait, an .avatar, a sound or a film:")
        done, self._typed_path = self._text_field("##path", self._typed_path)
        if self._answered(done):
            self.wish(open=(Path(self._typed_path.strip()).expanduser(),))
            self._typed_path = ""
        imgui.end_popup()

    def _draw_name(self) -> None:
        if not self._begin_question("Keep as a preset"):
            return
        imgui.text_wrapped("Acting, backdrop and light, under the name:")
        done, self._typed_name = self._text_field("##name", self._typed_name)
        if self._answered(done):
            self.wish(save_preset=self._typed_name)
            self._typed_name = ""
        imgui.end_popup()

    def _draw_offer(self, view: DeskView) -> None:
        if not self._begin_question("A film"):
            return
        if view.offer is None:
            imgui.close_current_popup()
        else:
            imgui.text_wrapped(view.offer.name)
            effects = (
                ("Follow the face in it", "follow_offer"),
                ("Say its sound", "speak_offer"),
                ("Neither", "refuse_offer"),
            )
            for words, wish in effects:
                if imgui.button(words, ImVec2(-1, 0)):
                    self.wish(**{wish: True})
                    imgui.close_current_popup()
        imgui.end_popup()

    def _begin_question(self, title: str) -> bool:
        size = imgui.get_io().display_size
        imgui.set_next_window_pos(
            ImVec2(size.x / 2, size.y / 2), imgui.Cond_.always, ImVec2(0.5, 0.5)
        )
        imgui.set_next_window_size(ImVec2(380 * self._scale, 0))
        flags = imgui.WindowFlags_.no_resize | imgui.WindowFlags_.no_move
        return imgui.begin_popup_modal(title, None, flags)[0]

    def _text_field(self, name: str, text: str) -> tuple[bool, str]:
        if imgui.is_window_appearing():
            imgui.set_keyboard_focus_here()
        imgui.set_next_item_width(-1)
        return imgui.input_text(name, text, imgui.InputTextFlags_.enter_returns_true)

    def _answered(self, done: bool) -> bool:
        """Two buttons; whether the answer is given."""
        half = (imgui.get_content_region_avail().x - imgui.get_style().item_spacing.x) / 2
        done = imgui.button("OK", ImVec2(half, 0)) or done
        imgui.same_line()
        if imgui.button("Cancel", ImVec2(-1, 0)) or imgui.is_key_pressed(imgui.Key.escape):
            imgui.close_current_popup()
            return False
        if done:
            imgui.close_current_popup()
        return done


def toggled(direction: Direction, name: str) -> Direction:
    """The same in this emotion, as strong as the one before; neutral where it is that already."""
    emotion = no_emotion()
    felt = direction.emotion.copy()
    felt[EMOTION_NAMES.index("neutral")] = 0
    index = EMOTION_NAMES.index(name)
    alone = felt[index] > 0.05 and felt[index] >= felt.sum() - 1e-3
    if name != "neutral" and not alone:
        emotion[index] = min(float(felt.sum()), 1.0) or USUAL_INTENSITY
    return replace(direction, emotion=emotion)


def _looking(look: Look, where: LookAt) -> Look:
    """Eyes there; ahead where they are there already."""
    return replace(look, look_at=LookAt.AHEAD if look.look_at is where else where)


def _other(theme: Theme) -> Theme:
    return Theme.DARK if theme is Theme.LIGHT else Theme.LIGHT


def _has_dialogs() -> bool:
    """Whether the system has a file dialog to ask: on Linux programs that may not be there."""
    if not sys.platform.startswith("linux"):
        return True
    return any(map(shutil.which, FILE_DIALOGS))


def _heading(text: str) -> None:
    imgui.spacing()
    imgui.separator_text(text)


def _small(text: str) -> None:
    imgui.push_style_color(imgui.Col_.text, themes.faint())
    imgui.push_font(None, 0.86 * imgui.get_style().font_size_base)
    imgui.text_wrapped(text)
    imgui.pop_font()
    imgui.pop_style_color()


def _tip(text: str, *, disabled_too: bool = False) -> None:
    flags = imgui.HoveredFlags_.allow_when_disabled if disabled_too else 0
    if imgui.is_item_hovered(flags):
        imgui.set_tooltip(text)


def _toggle(text: str, on: bool, width: float) -> bool:
    """A button that shows whether it is on."""
    if on:
        imgui.push_style_color(imgui.Col_.button, imgui.get_style().color_(imgui.Col_.header))
    clicked = imgui.button(text, ImVec2(width, 0))
    if on:
        imgui.pop_style_color()
    return clicked


def _slider(look: Look, name: str, least: float, most: float, words: str) -> Look:
    imgui.set_next_item_width(-1)
    slid, value = imgui.slider_float(f"##{name}", getattr(look, name), least, most, words)
    return replace(look, **{name: float(value)}) if slid else look


def _fitting(text: str, width: float) -> str:
    """The text, cut where it is wider."""
    if imgui.calc_text_size(text).x <= width:
        return text
    while text and imgui.calc_text_size(text + "…").x > width:
        text = text[:-1]
    return text + "…"
