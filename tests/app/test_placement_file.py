import json
import os

import pytest

from app.placement import Relation
from app.placement_file import default_file, read_relation, write_relation

AWAY = Relation(ahead_m=1.2, right_m=-0.3, up_m=0.1, turn_rad=0.4, scale=0.5)


def test_what_is_written_is_read_and_nothing_is_left_beside(tmp_path):
    file = tmp_path / "new" / "placement.json"
    write_relation(file, AWAY)
    write_relation(file, AWAY)
    assert read_relation(file) == AWAY
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"ahead_m": "far"}',
        json.dumps({"ahead_m": 1, "right_m": 0, "up_m": 0, "turn_rad": 0, "scale": 90}),
        '{"ahead_m": NaN, "right_m": 0, "up_m": 0, "turn_rad": 0, "scale": 1}',
        '{"ahead_m": 1e999, "right_m": 0, "up_m": 0, "turn_rad": 0, "scale": 1}',
    ],
)
def test_what_makes_no_sense_is_the_usual_place(tmp_path, text):
    file = tmp_path / "placement.json"
    file.write_text(text)
    assert read_relation(file) == Relation()


def test_nowhere_and_no_file_are_the_usual_place(tmp_path):
    assert read_relation(None) == read_relation(tmp_path / "none.json") == Relation()
    write_relation(None, AWAY)


def test_a_folder_that_cannot_be_made_is_said_and_survived(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    write_relation(tmp_path / "file" / "placement.json", AWAY)
    assert "not remembered" in caplog.text


def test_it_lies_in_the_users_folder_for_settings(monkeypatch, tmp_path):
    if os.name == "nt":
        monkeypatch.setenv("APPDATA", str(tmp_path))
    else:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_file() == tmp_path / "visavis" / "placement.json"
