"""The application around the face, with a window and a speech process that only take notes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from skimage import data

from app.desk import Asked, Desk, DeskWishes
from app.motion_channel import RECORD
from app.preferences import FILE, LookAt, Preferences, Theme, read_preferences
from avatar.motion.direction import Direction

ORBIT = (0.0, 0.0, 1.0)


class Notes:
    """Takes note of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.full_screen = False
        self.dropped: list[Path] = []

    def take_dropped(self) -> list[Path]:
        dropped, self.dropped = self.dropped, []
        return dropped

    def read_motion(self) -> np.ndarray:
        return np.zeros(0, RECORD)

    def __getattr__(self, name: str) -> Callable[..., int]:
        def noting(*arguments: Any) -> int:
            self.calls.append((name, arguments))
            return len(self.calls)

        return noting

    def last(self, name: str) -> Any:
        """Arguments of the newest call of this name."""
        return [arguments for called, arguments in self.calls if called == name][-1]


class Application:
    """A desk and a loop that does as it is asked."""

    def __init__(self, folder: Path, preferences: Preferences | None = None) -> None:
        self.window, self.speech = Notes(), Notes()
        self.folder = folder
        self.desk = Desk(
            cast("Any", self.window),
            cast("Any", self.speech),
            preferences or Preferences(),
            budget="quick",
            settings_folder=folder / "settings",
            avatars_folder=folder / "avatars",
        )
        self.direction = self.desk.look.direction
        self.gain = self.desk.look.gain
        self.now_s = 100.0

    def heed(self, orbit: tuple[float, float, float] = ORBIT, **wishes: Any) -> Asked:
        self.now_s += 0.2
        asked = self.desk.heed(DeskWishes(**wishes), self.direction, self.gain, orbit, self.now_s)
        self.direction = asked.direction or self.direction
        self.gain = self.gain if asked.gain is None else asked.gain
        return asked

    def wait_for(self, what: Callable[[], Any], patience_s: float = 60.0) -> Any:
        end = time.perf_counter() + patience_s
        while not (found := what()):
            assert time.perf_counter() < end, self.desk.problem
            time.sleep(0.02)
        return found


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    application = Application(tmp_path)
    yield application
    application.desk.close()


def test_the_light_and_the_backdrop_reach_the_window_and_the_recordings(application):
    look = replace(application.desk.look, brightness=1.0, backdrop="Dusk")
    asked = application.heed(look=look)
    near, far, gains = application.window.last("light_scene")
    assert (near, far) == (look.behind.near, look.behind.far)
    assert gains == look.light.gains != (1.0, 1.0, 1.0)
    assert asked.backdrop == look.behind.middle
    assert application.desk.light == look.light


def test_undo_takes_back_what_any_slider_set_and_redo_brings_it_again(application):
    application.direction = Direction(stillness=0.5)
    application.heed()
    application.heed(look=replace(application.desk.look, warmth=0.5))
    asked = application.heed(undo=True)
    assert application.desk.look.warmth == 0.0
    assert asked.direction.stillness == 0.5
    asked = application.heed(undo=True)
    assert asked.direction.stillness == 1.0
    application.heed(redo=True)
    application.heed(redo=True)
    assert application.desk.look.warmth == 0.5
    assert application.direction.stillness == 0.5


def test_a_preset_brings_back_acting_and_scene_but_leaves_the_microphone_alone(application):
    application.direction = Direction(head=(0.1, 0.0, 0.0))
    application.gain = 3.0
    application.heed(look=replace(application.desk.look, warmth=0.5))
    application.heed(save_preset="evening")
    assert application.desk.view(0.0).presets == ("evening",)
    application.direction, application.gain = Direction(), 1.5
    application.heed(look=replace(application.desk.look, warmth=-1.0))
    application.heed(load_preset="evening")
    assert application.direction.head[0] == pytest.approx(0.1)
    assert application.desk.look.warmth == 0.5
    assert application.gain == 1.5
    application.heed(delete_preset="evening")
    assert application.desk.view(0.0).presets == ()


def test_a_damaged_preset_is_told_and_changes_nothing(application):
    application.heed(save_preset="evening")
    (application.folder / "settings" / "presets" / "evening.toml").write_bytes(b"\xff[")
    before = application.desk.look
    application.heed(load_preset="evening")
    assert "damaged" in application.desk.problem
    assert application.desk.look == before


def test_what_was_set_is_there_at_the_next_start(tmp_path):
    first = Application(tmp_path)
    first.direction = Direction(gaze=(0.1, 0.2))
    first.heed(theme=Theme.LIGHT, push_to_talk=True, full_screen=True)
    first.desk.chosen(avatar="me.avatar", microphone="USB")
    assert first.window.full_screen
    first.desk.close()
    kept = read_preferences(tmp_path / "settings").preferences
    assert (kept.theme, kept.push_to_talk, kept.full_screen) == (Theme.LIGHT, True, True)
    assert (kept.avatar, kept.microphone) == ("me.avatar", "USB")
    second = Application(tmp_path, kept)
    assert second.direction.gaze == (0.1, 0.2)
    assert second.window.full_screen
    second.desk.close()


def test_it_is_kept_while_it_runs_too_in_case_of_a_crash(application):
    application.heed(theme=Theme.LIGHT)
    application.now_s = time.perf_counter() + 5.0
    application.heed()
    application.wait_for((application.folder / "settings" / FILE).is_file, 10.0)


def test_nothing_is_written_where_nothing_was_set(tmp_path):
    application = Application(tmp_path)
    for _ in range(5):
        application.heed()
    application.desk.close()
    assert not (tmp_path / "settings").exists()


def test_eyes_go_to_the_camera_or_the_cursor_or_where_the_sliders_say(application):
    application.heed(orbit=(0.3, 0.1, 1.0))
    assert application.speech.last("direct")[0].gaze == (0.3, 0.1)
    assert application.desk.aimed(Direction()).gaze == (0.3, 0.1)
    application.heed(look=replace(application.desk.look, look_at=LookAt.CURSOR))
    application.heed(cursor=(0.8, -0.4))
    yaw, pitch = application.speech.last("direct")[0].gaze
    assert yaw > 0.1
    assert pitch < -0.05
    application.direction = Direction(gaze=(-0.2, 0.0))
    application.heed(look=replace(application.desk.look, look_at=LookAt.AHEAD))
    assert application.speech.last("direct")[0].gaze == (-0.2, 0.0)
    calls = len(application.speech.calls)
    application.heed(orbit=(0.4, 0.0, 1.0))
    assert len(application.speech.calls) == calls  # now they stay


def test_push_to_talk_and_silence_mute_the_microphone(application):
    application.heed()
    assert application.speech.last("mute") == (False,)
    application.heed(push_to_talk=True)
    assert application.speech.last("mute") == (True,)
    application.heed(talk=True)
    assert application.speech.last("mute") == (False,)
    application.heed()
    assert application.speech.last("mute") == (True,)
    application.heed(push_to_talk=False, silent=True)
    assert application.speech.last("mute") == (True,)
    application.heed(silent=False)
    assert application.speech.last("mute") == (False,)


def test_the_gate_reaches_the_speech_process(application):
    application.heed(look=replace(application.desk.look, gate_db=-40.0))
    assert application.speech.last("set_gate") == (-40.0,)


@pytest.mark.parametrize(
    ("name", "field"), [("me.avatar", "avatar"), ("talk.WAV", "speak"), ("talk.mp3", "speak")]
)
def test_a_dropped_file_is_shown_or_said(application, tmp_path, name, field):
    path = tmp_path / name
    path.write_bytes(b"0")
    application.window.dropped = [path]
    asked = application.heed()
    assert Path(getattr(asked, field)) == path
    assert application.desk.problem == ""


def test_a_dropped_film_is_offered_and_can_be_said_or_refused(application, tmp_path):
    film = tmp_path / "me.mp4"
    film.write_bytes(b"0")
    application.window.dropped = [film]
    application.heed()
    assert application.desk.view(0.0).offer == film
    assert application.heed(speak_offer=True).speak == film
    assert application.desk.view(0.0).offer is None
    application.heed(open=(film,))
    assert application.heed(refuse_offer=True) == Asked()
    assert application.desk.view(0.0).offer is None


@pytest.mark.parametrize("name", ["notes.txt", "no-ending", "not-there.avatar"])
def test_what_cannot_be_used_is_told_in_one_line(application, tmp_path, name):
    if "there" not in name:
        (tmp_path / name).write_text("words")
    assert application.heed(open=(tmp_path / name,)) == Asked()
    assert name in application.desk.problem
    assert len(application.desk.problem.splitlines()) == 1


def test_a_missing_camera_is_told_in_one_line_and_the_sound_goes_on(application):
    application.heed(webcam="no/such/device")
    assert "no/such/device" in application.desk.problem
    assert application.desk.view(0.0).webcam == ""
    application.heed(webcam="93")
    application.wait_for(lambda: "no camera 93" in application.desk.problem)
    application.heed(webcam="")
    assert application.desk.problem == ""
    spoken = np.zeros(2, RECORD)
    assert application.desk.records(spoken) is spoken


def test_a_portrait_that_was_dropped_is_made_shown_and_listed(application, tmp_path):
    portrait = tmp_path / "me.png"
    Image.fromarray(np.asarray(data.astronaut())).save(portrait)
    application.heed(open=(portrait,))
    assert application.desk.view(0.0).making is not None
    application.heed(open=(portrait,))
    assert "one portrait is being made" in application.desk.problem
    wanted = application.wait_for(lambda: application.heed().avatar, 300.0)
    assert Path(wanted) == tmp_path / "avatars" / "me.avatar"
    application.wait_for(lambda: wanted in application.desk.avatars)
    assert application.desk.view(0.0).making is None
    assert wanted in application.desk.view(0.0).images  # its thumbnail
