import json
import math
import os
from dataclasses import asdict

import pytest

from app.placement import Relation
from app.placement_file import Remembered, default_file, read_remembered, write_remembered
from app.room_panel import PanelRelation

AWAY = Remembered(
    Relation(ahead_m=1.2, right_m=-0.3, up_m=0.1, turn_rad=0.4, scale=0.5),
    PanelRelation(ahead_m=0.5, right_m=0.2, up_m=-0.3),
)


def test_what_is_written_is_read_and_nothing_is_left_beside(tmp_path):
    file = tmp_path / "new" / "placement.json"
    write_remembered(file, AWAY)
    write_remembered(file, AWAY)
    assert read_remembered(file) == AWAY
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"avatar": {"ahead_m": "far"}, "panel": 3}',
        json.dumps({"avatar": asdict(AWAY.avatar) | {"scale": 90}}),
        json.dumps({"avatar": asdict(AWAY.avatar) | {"ahead_m": math.nan}}),
        json.dumps({"avatar": asdict(AWAY.avatar) | {"ahead_m": math.inf}}),
        json.dumps({"panel": asdict(AWAY.panel) | {"right_m": -9}}),
        "[" * 100_000,
    ],
)
def test_what_makes_no_sense_is_the_usual_place(tmp_path, text):
    file = tmp_path / "placement.json"
    file.write_text(text)
    assert read_remembered(file) == Remembered()


def test_one_of_the_two_is_read_where_the_other_makes_no_sense(tmp_path):
    file = tmp_path / "placement.json"
    file.write_text(json.dumps({"avatar": [], "panel": asdict(AWAY.panel)}))
    assert read_remembered(file) == Remembered(panel=AWAY.panel)


def test_nowhere_and_no_file_are_the_usual_place(tmp_path):
    assert read_remembered(None) == read_remembered(tmp_path / "none.json") == Remembered()
    write_remembered(None, AWAY)


def test_a_folder_that_cannot_be_made_is_said_and_survived(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    write_remembered(tmp_path / "file" / "placement.json", AWAY)
    assert "not remembered" in caplog.text


def test_it_lies_in_the_users_folder_for_settings(monkeypatch, tmp_path):
    if os.name == "nt":
        monkeypatch.setenv("APPDATA", str(tmp_path))
    else:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_file() == tmp_path / "visavis" / "placement.json"
