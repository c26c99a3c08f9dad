import os
import sys
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.history import History
from app.light import BACKDROPS, PLAIN
from app.preferences import (
    FILE,
    Look,
    LookAt,
    Preferences,
    Theme,
    delete_preset,
    preset_name,
    preset_names,
    read_preferences,
    read_preset,
    toml_text,
    write_preferences,
    write_preset,
)
from app.user_folders import avatars_folder, settings_folder
from avatar.errors import OutputError

LOOK = Look(
    emotion=(0.0, 0.0, 0.0, 0.25, 0.5, 0.0, 0.0, 0.0),
    gaze=(0.1, -0.2),
    head=(0.1, 0.2, -0.3),
    distance=0.02,
    articulation=1.1,
    stillness=0.5,
    look_at=LookAt.CURSOR,
    gain=2.0,
    gate_db=-42.0,
    brightness=0.5,
    warmth=-0.25,
    backdrop=PLAIN,
    backdrop_colour=(0.1, 0.2, 0.3),
)
PREFERENCES = Preferences(
    avatar='C:\\Users\\Zoë "Z"\\me.avatar',
    microphone="USB\tmicrophone \x7f",
    push_to_talk=True,
    theme=Theme.LIGHT,
    panel=False,
    full_screen=True,
    look=LOOK,
)


def test_what_is_written_is_read_again(tmp_path):
    write_preferences(PREFERENCES, tmp_path / "new" / "folder")
    read = read_preferences(tmp_path / "new" / "folder")
    assert read.preferences == PREFERENCES
    assert read.problem == ""
    # Nothing of it is as it is by itself, so nothing was read from the defaults.
    for kept, usual in ((PREFERENCES, Preferences()), (LOOK, Look())):
        assert all(getattr(kept, f.name) != getattr(usual, f.name) for f in fields(kept))
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [FILE]


def test_the_first_start_has_the_usual_settings_and_no_complaint(tmp_path):
    read = read_preferences(tmp_path / "not there")
    assert read.preferences == Preferences()
    assert read.problem == ""


@pytest.mark.parametrize("contents", [b"theme = [[[", b"\xff\xfe\x00", b'theme = "dark'])
def test_a_damaged_file_is_set_aside_and_told(tmp_path, contents):
    (tmp_path / FILE).write_bytes(contents)
    read = read_preferences(tmp_path)
    assert read.preferences == Preferences()
    assert "was damaged" in read.problem
    assert len(read.problem.splitlines()) == 1
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == contents
    assert not (tmp_path / FILE).exists()
    write_preferences(PREFERENCES, tmp_path)
    assert read_preferences(tmp_path).preferences == PREFERENCES


def test_a_value_that_makes_no_sense_is_passed_over_and_the_others_count(tmp_path):
    (tmp_path / FILE).write_text(
        'theme = "pink"\npush_to_talk = 1\nmicrophone = "USB"\n'
        "[look]\ngain = 1e9\nwarmth = nan\nemotion = [1, 2]\nbackdrop = 'Rome'\nbrightness = 0.5\n"
    )
    read = read_preferences(tmp_path).preferences
    assert read == Preferences(microphone="USB", look=Look(gain=8.0, brightness=0.5))


def test_what_cannot_be_written_is_told_and_leaves_the_old(tmp_path):
    write_preferences(PREFERENCES, tmp_path)
    blocked = tmp_path / FILE / "folder"
    with pytest.raises(OutputError, match="cannot be made"):
        write_preferences(Preferences(), blocked)
    assert read_preferences(tmp_path).preferences == PREFERENCES


@given(text=st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_any_text_survives_toml(text):
    assert tomllib.loads(toml_text({"avatar": text}))["avatar"] == text


@given(name=st.text(max_size=100))
def test_any_name_becomes_one_that_every_system_takes(name):
    kept = preset_name(name)
    assert len(kept) <= 70
    assert not set(kept) & set('/\\:*?"<>|\0\n')
    assert kept == kept.strip(" .")
    assert preset_name(kept) == kept
    assert kept.upper() not in ("CON", "NUL", "COM1")


def test_presets_are_kept_listed_and_forgotten(tmp_path):
    assert write_preset(" ../Warm: evening ", LOOK, tmp_path) == "Warm evening"
    write_preset("another", replace(LOOK, warmth=1.0), tmp_path)
    assert preset_names(tmp_path) == ["another", "Warm evening"]
    assert read_preset("Warm evening", tmp_path) == (LOOK, "")
    delete_preset("another", tmp_path)
    assert preset_names(tmp_path) == ["Warm evening"]
    look, problem = read_preset("another", tmp_path)
    assert look is None
    assert "'another'" in problem
    with pytest.raises(OutputError, match="wants a name"):
        write_preset("  ../.. ", LOOK, tmp_path)


def test_every_backdrop_can_be_remembered(tmp_path):
    for name in (*BACKDROPS, PLAIN):
        write_preferences(Preferences(look=Look(backdrop=name)), tmp_path)
        assert read_preferences(tmp_path).preferences.look.backdrop == name


def test_each_system_has_its_own_folders(monkeypatch, tmp_path):
    home = Path.home()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    assert settings_folder() == tmp_path / "visavis"
    assert avatars_folder() == home / ".local/share/visavis/avatars"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert settings_folder() == home / "Library" / "Application Support" / "visavis"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", os.path.join("C:", "Roaming"))
    assert settings_folder() == Path(os.path.join("C:", "Roaming", "visavis"))


def looks(count: int) -> list[Look]:
    return [Look(warmth=0.1 * index) for index in range(count)]


def test_a_drag_is_one_step_of_undo():
    first, *steps = looks(6)
    history = History(first)
    assert not history.can_undo
    assert history.undo() is None
    for look in steps:
        history.observe(look, held=True)
    history.observe(steps[-1], held=False)
    assert history.undo() == first
    assert history.undo() is None
    assert history.redo() == steps[-1]
    assert history.redo() is None


def test_what_is_done_after_an_undo_ends_the_redo():
    one, two, three = looks(3)
    history = History(one)
    history.observe(two, held=False)
    assert history.undo() == one
    history.observe(one, held=False)  # the loop does as it is told
    history.observe(three, held=False)
    assert not history.can_redo
    assert history.undo() == one


def test_undo_in_the_middle_of_a_drag_takes_the_drag_back():
    one, two, _ = looks(3)
    history = History(one)
    history.observe(two, held=True)
    assert history.can_undo
    assert history.undo() == one
    assert history.redo() == two


@given(picks=st.lists(st.integers(0, 4), max_size=30))
def test_undoing_all_and_redoing_all_come_back_to_where_it_was(picks):
    every = looks(5)
    history, now = History(every[0]), every[0]
    for pick in picks:
        now = every[pick]
        history.observe(now, held=False)
    back = now
    while (look := history.undo()) is not None:
        back = look
    assert back == every[0]
    while (look := history.redo()) is not None:
        back = look
    assert back == now
