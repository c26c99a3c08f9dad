"""The desktop application around the face: what a person chose and how it is kept, avatars and how
they are made, the camera, the light. The frame loop owns one where there is a window.

`Desk` stands between the panel and the frame loop: it takes what the panel wishes of it
(`DeskWishes`), and gives the loop the wishes that are the loop's (`app.panel.Wishes`).
"""

import logging
import math
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.gallery import Entry, Gallery, free_path
from app.gestures import blinking, gaze_to_camera, gaze_to_point
from app.history import History
from app.light import Backdrop, Colour, Light
from app.portrait_maker import Budget, Making, PortraitMaker
from app.preferences import (
    Look,
    LookAt,
    Preferences,
    Theme,
    delete_preset,
    preset_names,
    read_preset,
    write_preferences,
    write_preset,
)
from app.webcam import Webcam, WebcamReport
from avatar.errors import DeviceError, OutputError
from avatar.motion.direction import Direction
from avatar.types import MotionFrame
from render.camera import PORTRAIT_FIELD_OF_VIEW

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]

PORTRAIT_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
SOUND_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac")
FILM_ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
TOLD_S = 15.0
"""What went wrong with a file, a preset or a camera is shown so long."""
SAVED_AFTER_S = 2.0
"""What was changed is kept on disk once nothing was changed for so long."""
AIM_EVERY_S, AIM_STEP_RAD = 0.08, math.radians(0.7)
"""Eyes that follow: no more often, and for no less."""


class DeskWindow(Protocol):
    """What the desk needs of the window (`render.window.Window`)."""

    @property
    def full_screen(self) -> bool: ...

    @full_screen.setter
    def full_screen(self, wanted: bool) -> None: ...

    def take_dropped(self) -> list[Path]: ...

    def light_scene(self, near: Colour, far: Colour, gains: Colour) -> None: ...

    def image(self, name: str, pixels: Picture) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskView:
    """What the panel's tabs show."""

    look: Look
    entries: tuple[Entry, ...] = ()
    images: dict[str, int] = field(default_factory=dict)
    """Texture of each avatar's thumbnail, and of "preview" and "camera"."""
    making: Making | None = None
    presets: tuple[str, ...] = ()
    preset: str = ""
    """The one that was loaded or kept last."""
    can_undo: bool = False
    can_redo: bool = False
    theme: Theme = Theme.DARK
    full_screen: bool = False
    push_to_talk: bool = False
    silent: bool = False
    """The microphone is not heard, by choice."""
    webcam: str = ""
    """The camera that moves the face; empty where the sound does."""
    webcam_report: WebcamReport | None = None
    mirrored: bool = True
    offer: Path | None = None
    """A film that was dropped: to be followed or spoken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskWishes:
    """What was asked of the desk in this frame."""

    look: Look | None = None
    open: tuple[Path, ...] = ()
    """Files of any kind."""
    cancel_making: bool = False
    blink: bool = False
    theme: Theme | None = None
    full_screen: bool | None = None
    panel: bool | None = None
    undo: bool = False
    redo: bool = False
    save_preset: str | None = None
    load_preset: str | None = None
    delete_preset: str | None = None
    push_to_talk: bool | None = None
    talk: bool = False
    """The key is held."""
    silent: bool | None = None
    webcam: str | None = None
    """A camera; empty: no more."""
    mirrored: bool | None = None
    rest_anew: bool = False
    follow_offer: bool = False
    speak_offer: bool = False
    refuse_offer: bool = False
    busy: bool = False
    """A slider or the like is held: what changes goes on changing."""
    cursor: tuple[float, float] | None = None
    """Of the pointer over the picture: right and up of its middle, of half its height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the desk wants of the frame loop."""

    avatar: str | None = None
    gain: float | None = None
    direction: Direction | None = None
    speak: Path | None = None
    backdrop: tuple[float, float, float] | None = None


class Hearing(Protocol):
    """What the desk asks of the speech process."""

    def direct(self, direction: Direction) -> None: ...

    def set_gate(self, gate_db: float) -> None: ...

    def mute(self, muted: bool) -> None: ...

    def read_motion(self) -> NDArray[np.void]: ...


class Desk:
    """One run of the application. The frame loop's thread only."""

    def __init__(
        self,
        window: DeskWindow,
        speech: Hearing,
        preferences: Preferences,
        *,
        settings_folder: Path,
        avatars_folder: Path,
        problem: str = "",
        budget: Budget = "normal",
    ) -> None:
        """`preferences`: as the run begins. `problem`: of reading them. `budget`: for portraits."""
        # As it is after a way through the generator's float32: else that would be a change.
        look = preferences.look.directed(preferences.look.direction)
        preferences = replace(preferences, look=look)
        self._window, self._speech = window, speech
        self._budget: Budget = budget
        self._folder, self._avatars_folder = settings_folder, avatars_folder
        self._preferences = self._kept = preferences
        self._changed_s = math.inf
        self._saver: threading.Thread | None = None
        self._history = History(preferences.look)
        self._gallery = Gallery(avatars_folder, (preferences.avatar,) if preferences.avatar else ())
        self._maker = PortraitMaker()
        self._webcam: Webcam | None = None
        self._images: dict[str, int] = {}
        self._shown_entries: tuple[Entry, ...] = ()
        self._preview_shown_s = self._camera_shown = 0
        self._presets = tuple(preset_names(settings_folder))
        self._preset = ""
        self._offer: Path | None = None
        self._silent = False
        self._muted: bool | None = None
        self._talking_in_headset = False
        self._blinked_s = -math.inf
        self._aim: tuple[float, float] = (math.inf, math.inf)
        self._aimed_s = -math.inf
        self._cursor = (0.0, 0.0)
        self._made_avatar = ""
        self._problem, self._note = problem, ""
        self._told = "", 0.0  # the problem, and since when it is shown
        window.full_screen = preferences.full_screen
        self._light_up()
        speech.set_gate(preferences.look.gate_db)

    @property
    def look(self) -> Look:
        return self._preferences.look

    @property
    def avatars(self) -> tuple[str, ...]:
        """What can be chosen; empty while the gallery still looks."""
        return tuple(entry.avatar for entry in self._gallery.entries if not entry.problem)

    @property
    def light(self) -> Light:
        """On the picture: for who keeps pictures, too."""
        return self.look.light

    @property
    def preferences(self) -> Preferences:
        """As they are to be remembered."""
        return self._preferences

    def heed(
        self,
        wishes: DeskWishes,
        direction: Direction,
        gain: float,
        orbit: tuple[float, float, float],
        now_s: float,
    ) -> Asked:
        """Do what is the desk's; what is the loop's. `direction` and `gain` are those that the loop
        has now, `orbit` where its camera stands (yaw and pitch, rad, and distance, m)."""
        asked = Asked()
        for path in (*self._window.take_dropped(), *wishes.open):
            asked = self._open(path, asked)
        asked = self._offered(wishes, asked)
        self._take_made()
        made = self._made_avatar
        if made:
            asked, self._made_avatar = replace(asked, avatar=made), ""
        look = replace(self.look.directed(direction), gain=gain)
        wanted = self._wanted_look(wishes, look)
        if wanted is not None and wanted != look:
            asked = replace(asked, direction=wanted.direction, gain=wanted.gain)
            look = wanted
        self._history.observe(look, held=wishes.busy)
        if look.behind != self.look.behind:
            asked = replace(asked, backdrop=look.behind.middle)
        self._take_look(look)
        self._settle(wishes, now_s)
        self._aim_eyes(orbit, now_s)
        self._talk(wishes.talk)
        self._forget_problem(now_s)
        self._remember(now_s)
        return asked

    def _forget_problem(self, now_s: float) -> None:
        """Once it could be read it is no more in the way."""
        if self._problem != self._told[0]:
            self._told = self._problem, now_s
        elif now_s - self._told[1] > TOLD_S:
            self._problem = ""

    def chosen(self, *, avatar: str | None = None, microphone: str | None = None) -> None:
        """What the loop shows or hears from now on, to be remembered."""
        if avatar is not None:
            self._prefer(avatar=avatar)
        if microphone is not None:
            self._prefer(microphone="" if microphone == "default" else microphone)

    @property
    def problem(self) -> str:
        """What is wrong, one line; empty while all is well."""
        report = None if self._webcam is None else self._webcam.report(time.perf_counter())
        return self._problem or ("" if report is None else report.problem)

    @property
    def note(self) -> str:
        """What was done last, one line."""
        return self._note

    def records(self, spoken: NDArray[np.void]) -> NDArray[np.void]:
        """Motion records for the sampler: the camera's where there is one, else those given."""
        webcam = self._webcam
        return spoken if webcam is None else webcam.read_motion()

    def laid_over(self, motion: MotionFrame, at_s: float) -> MotionFrame:
        """The face with what does not come from the sound."""
        return blinking(motion, at_s - self._blinked_s)

    def view(self, now_s: float) -> DeskView:
        """For the panel's tabs."""
        self._show_images()
        webcam = self._webcam
        report = None if webcam is None else webcam.report(now_s)
        return DeskView(
            look=self.look,
            entries=self._gallery.entries,
            images=self._images,
            making=self._maker.progress(),
            presets=self._presets,
            preset=self._preset,
            can_undo=self._history.can_undo,
            can_redo=self._history.can_redo,
            theme=self._preferences.theme,
            full_screen=self._preferences.full_screen,
            push_to_talk=self._preferences.push_to_talk,
            silent=self._silent,
            webcam="" if webcam is None else webcam.device,
            webcam_report=report,
            mirrored=webcam is None or webcam.mirrored,
            offer=self._offer,
        )

    def start_webcam(self, device: str) -> None:
        """Let a camera move the face.

        Raises:
            DeviceError: there is no such device.
        """
        self.stop_webcam()
        self._webcam = Webcam(device)

    def stop_webcam(self) -> None:
        """Let the sound move the face again."""
        if self._webcam is not None:
            self._webcam.close()
            self._webcam = None
            self._speech.read_motion()  # what was heard meanwhile is past

    def close(self) -> None:
        """End what runs beside, and keep what was set."""
        self._maker.close()
        self.stop_webcam()
        self._gallery.close()
        if self._saver is not None:
            self._saver.join()
        if self._preferences != self._kept:
            self._save(self._preferences)

    def _open(self, path: Path, asked: Asked) -> Asked:
        """Do with a file what its ending says."""
        self._problem = self._note = ""
        ending = path.suffix.lower()
        if not path.is_file():
            self._problem = f"{path}: no such file."
        elif ending == ".avatar":
            self._gallery.add(str(path))
            return replace(asked, avatar=str(path))
        elif ending in PORTRAIT_ENDINGS:
            self._make(path)
        elif ending in SOUND_ENDINGS:
            self._note = f"says {path.name}"
            return replace(asked, speak=path.absolute())
        elif ending in FILM_ENDINGS:
            self._offer = path
        else:
            self._problem = (
                f"{path.name}: expected a portrait (JPEG, PNG, WebP), an avatar file, a sound or "
                f"a film, got {ending or 'no ending'}."
            )
        return asked

    def _make(self, portrait: Path) -> None:
        if self._maker.is_busy:
            self._problem = "one portrait is being made already; wait for it, or cancel it."
            return
        try:
            output = free_path(self._avatars_folder, portrait.stem)
        except OSError as error:
            self._problem = (
                f"{self._avatars_folder}: cannot be made ({error.strerror or error}); "
                "use visavis make PORTRAIT -o A.avatar."
            )
            return
        self._maker.start(portrait.absolute(), output, self._budget)

    def _take_made(self) -> None:
        """What came of a portrait, where one is finished."""
        made = self._maker.ended()
        if made is None:
            return
        if made.avatar is None:
            self._problem = made.problem
            return
        self._note = f"{made.avatar.stem} is made, and among your avatars"
        self._gallery.look_again()
        self._made_avatar = str(made.avatar)

    def _offered(self, wishes: DeskWishes, asked: Asked) -> Asked:
        """What to do with a film that was dropped, once a person has said so."""
        film = self._offer
        if film is None or not (wishes.follow_offer or wishes.speak_offer or wishes.refuse_offer):
            return asked
        self._offer = None
        if wishes.speak_offer:
            self._note = f"says {film.name}"
            return replace(asked, speak=film.absolute())
        if wishes.follow_offer:
            self._start_webcam(str(film.absolute()))
        return asked

    def _start_webcam(self, device: str) -> None:
        try:
            self.start_webcam(device)
            self._problem = ""
        except DeviceError as error:
            self._problem = str(error)

    def _wanted_look(self, wishes: DeskWishes, look: Look) -> Look | None:
        """The look that is asked for, where one is."""
        if wishes.undo:
            self._history.observe(look, held=False)
            return self._history.undo()
        if wishes.redo:
            return self._history.redo()
        if wishes.load_preset is not None:
            found, problem = read_preset(wishes.load_preset, self._folder)
            self._problem = problem
            if found is None:
                self._presets = tuple(preset_names(self._folder))
                return None
            self._preset = wishes.load_preset
            # How loud a microphone is belongs to the microphone, not to a look.
            return replace(found, gain=look.gain, gate_db=look.gate_db)
        if wishes.look is None:
            return None
        # What the other controls set in this frame is not taken back by this one.
        before, asked = self.look, wishes.look
        changed = {
            name: getattr(asked, name)
            for name in asked.__dataclass_fields__
            if getattr(asked, name) != getattr(before, name)
        }
        return replace(look, **changed)

    def _take_look(self, look: Look) -> None:
        before = self.look
        if look == before:
            return
        self._prefer(look=look)
        if look.light != before.light or look.behind != before.behind:
            self._light_up()
        if look.gate_db != before.gate_db:
            self._speech.set_gate(look.gate_db)
        if look.look_at is not before.look_at:
            self._aim = (math.inf, math.inf)
            if look.look_at is LookAt.AHEAD:
                self._speech.direct(look.direction)

    def _settle(self, wishes: DeskWishes, now_s: float) -> None:
        """All that is no look."""
        if wishes.cancel_making and self._maker.is_busy:
            self._maker.cancel()
            self._note = "cancelled; nothing was kept"
        if wishes.blink:
            self._blinked_s = now_s
        for name in ("theme", "full_screen", "panel", "push_to_talk"):
            value = getattr(wishes, name)
            if value is not None:
                self._prefer(**{name: value})
        if wishes.full_screen is not None:
            self._window.full_screen = wishes.full_screen
        if wishes.silent is not None:
            self._silent = wishes.silent
        if wishes.cursor is not None:
            self._cursor = wishes.cursor
        if wishes.webcam is not None:
            if wishes.webcam:
                self._start_webcam(wishes.webcam)
            else:
                self.stop_webcam()
        if self._webcam is not None:
            if wishes.mirrored is not None:
                self._webcam.mirror(wishes.mirrored)
            if wishes.rest_anew:
                self._webcam.rest_anew()
        self._keep_presets(wishes)

    def _keep_presets(self, wishes: DeskWishes) -> None:
        try:
            if wishes.save_preset is not None:
                self._preset = write_preset(wishes.save_preset, self.look, self._folder)
                self._note, self._problem = f"kept as {self._preset}", ""
            elif wishes.delete_preset is not None:
                delete_preset(wishes.delete_preset, self._folder)
                self._preset = ""
            else:
                return
        except OutputError as error:
            self._problem = str(error)
        self._presets = tuple(preset_names(self._folder))

    def aimed(self, direction: Direction) -> Direction:
        """The direction with the eyes where they are to go."""
        if self.look.look_at is LookAt.AHEAD or math.isinf(self._aim[0]):
            return direction
        return replace(direction, gaze=self._aim)

    def _aim_eyes(self, orbit: tuple[float, float, float], now_s: float) -> None:
        """Send the eyes to the camera or the cursor, where that is wanted and has moved."""
        if self.look.look_at is LookAt.AHEAD or now_s - self._aimed_s < AIM_EVERY_S:
            return
        yaw, pitch, distance = orbit
        aim = gaze_to_camera(yaw, pitch)
        if self.look.look_at is LookAt.CURSOR:
            beside = gaze_to_point(*self._cursor, distance, PORTRAIT_FIELD_OF_VIEW)
            aim = gaze_to_camera(yaw + beside[0], pitch + beside[1])
        if max(abs(aim[0] - self._aim[0]), abs(aim[1] - self._aim[1])) < AIM_STEP_RAD:
            return
        self._aim, self._aimed_s = aim, now_s
        self._speech.direct(self.aimed(self.look.direction))

    @property
    def push_to_talk(self) -> bool:
        """Whether the microphone is heard only while somebody holds a key, or a button."""
        return self._preferences.push_to_talk

    def set_push_to_talk(self, wanted: bool) -> None:
        """As asked for in a headset's panel."""
        self._prefer(push_to_talk=wanted)

    def talk_in_headset(self, talking: bool) -> None:
        """Whether the button of push-to-talk is held in a headset."""
        if talking != self._talking_in_headset:
            self._talking_in_headset = talking
            self._talk(False)

    def _talk(self, talking: bool) -> None:
        talking = talking or self._talking_in_headset
        muted = self._silent or (self._preferences.push_to_talk and not talking)
        if muted != self._muted:
            self._muted = muted
            self._speech.mute(muted)

    def _light_up(self) -> None:
        behind: Backdrop = self.look.behind
        self._window.light_scene(behind.near, behind.far, self.look.light.gains)

    def _prefer(self, **changes: object) -> None:
        changed = replace(self._preferences, **changes)  # pyright: ignore[reportArgumentType]
        if changed != self._preferences:
            self._preferences, self._changed_s = changed, time.perf_counter()

    def _remember(self, now_s: float) -> None:
        """Write what was changed, in a thread: the frame loop waits for no disk."""
        busy = self._saver is not None and self._saver.is_alive()
        if now_s - self._changed_s < SAVED_AFTER_S or busy:
            return
        self._changed_s = math.inf
        self._saver = threading.Thread(
            target=self._save, args=(self._preferences,), name="settings"
        )
        self._saver.start()

    def _save(self, preferences: Preferences) -> None:
        try:
            write_preferences(preferences, self._folder)
            self._kept = preferences
        except OutputError as error:
            log.warning("%s", error)
            self._problem = str(error)

    def _show_images(self) -> None:
        """Textures of what is new to be seen."""
        entries = self._gallery.entries
        if entries is not self._shown_entries:
            self._shown_entries = entries
            for entry in entries:
                if entry.thumbnail is not None:
                    self._images[entry.avatar] = self._window.image(entry.avatar, entry.thumbnail)
        making = self._maker.progress()
        if making is None or making.preview is None:
            self._images.pop("preview", None)
        else:
            changed = making.preview.stat().st_mtime_ns
            if changed != self._preview_shown_s or "preview" not in self._images:
                self._preview_shown_s = changed
                with Image.open(making.preview) as picture:
                    small = np.asarray(picture.convert("RGB").resize((256, 256)), np.uint8)
                self._images["preview"] = self._window.image("preview", small)
        if self._webcam is None:
            self._images.pop("camera", None)
            return
        change = self._webcam.report(time.perf_counter()).preview_change
        if change != self._camera_shown:
            self._camera_shown = change
            self._images["camera"] = self._window.image("camera", self._webcam.preview())
