"""Who teaches an avatar, what is left out of a film, and that a lesson leaves nothing behind."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app import teachers
from app.footage import as_portrayed, reasons
from app.settings import MakeSettings
from app.teachers import Teacher, TeacherKind, chosen_teacher, taught
from avatar.errors import VideoError, VisavisError
from avatar.fit.residual_fit import Learned, Recipe
from avatar.fit.teacher import TeacherFrame
from avatar.types import Avatar
from tests.avatar.fit.test_residual_fit import film


def settings(tmp_path: Path, **more: object) -> MakeSettings:
    return MakeSettings(portrait=tmp_path / "me.jpg", output=tmp_path / "me.avatar", **more)  # pyright: ignore[reportArgumentType]


def test_a_film_teaches_where_one_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert chosen_teacher(settings(tmp_path)) is None
    movie = tmp_path / "me.mp4"
    monkeypatch.setattr(teachers, "examine_video", lambda path: None)
    wanted = Teacher(kind=TeacherKind.VIDEO, source=movie)
    assert chosen_teacher(settings(tmp_path, video=movie)) == wanted
    assert chosen_teacher(settings(tmp_path, video=movie, teacher="video")) == wanted


def test_other_teachers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(teachers, "check_graphs", lambda folder: None)
    own = chosen_teacher(settings(tmp_path, teacher="own"))
    assert own == Teacher(kind=TeacherKind.OWN, source=None)
    animator = chosen_teacher(settings(tmp_path, teacher="liveportrait:/some/where"))
    assert animator == Teacher(kind=TeacherKind.LIVEPORTRAIT, source=Path("/some/where"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"teacher": "video"}, "add --video"),
        ({"teacher": "own", "video": Path("me.mp4")}, "Leave one of them out"),
        ({"teacher": "liveportrait:"}, "expected own, video, or liveportrait:DIR"),
        ({"teacher": "nobody"}, "expected own, video, or liveportrait:DIR"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict, said: str
):
    monkeypatch.setattr(teachers, "examine_video", lambda path: None)
    with pytest.raises(VisavisError, match=said) as caught:
        chosen_teacher(settings(tmp_path, **more))
    assert "\n" not in str(caught.value)


def test_a_film_that_is_none_is_refused_before_the_work(tmp_path: Path):
    (tmp_path / "me.mp4").write_bytes(b"no film")
    with pytest.raises(VideoError, match="not a video"):
        chosen_teacher(settings(tmp_path, video=tmp_path / "me.mp4"))


def test_a_lesson_that_cannot_begin_leaves_nothing_behind(
    small_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def none(*_: object) -> list[TeacherFrame]:
        raise VideoError("no face in it")

    monkeypatch.setattr(teachers, "_filmed", none)
    teacher = Teacher(kind=TeacherKind.VIDEO, source=tmp_path / "me.mp4")
    with pytest.raises(VideoError):
        taught(small_avatar, None, teacher, settings(tmp_path), lambda avatar: None)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("gained", [True, False])
def test_a_lesson_ends_with_the_better_avatar_and_leaves_nothing_behind(
    small_avatar: Avatar,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    gained: bool,
):
    better = replace(small_avatar, name="better")
    kept: list[Path] = []

    def learn(avatar, template, frames, recipe: Recipe, *, device, keep: Path, tell) -> Learned:
        assert device == "cuda"
        keep.write_bytes(b"half of it")
        kept.append(keep)
        return Learned(avatar=better if gained else avatar, before=20.0, after=23.5, steps=9)

    monkeypatch.setattr(teachers, "learn_residuals", learn)
    monkeypatch.setattr(teachers, "_filmed", lambda *_: [None] * 30)
    asked = settings(tmp_path, video=tmp_path / "me.mp4", budget="quick", device="cuda")
    teacher = Teacher(kind=TeacherKind.VIDEO, source=asked.video)
    shown: list[Avatar] = []
    result = taught(small_avatar, None, teacher, asked, shown.append)  # pyright: ignore[reportArgumentType]
    if gained:
        assert result.name == "better"
        assert result.provenance["taught_by"] == "video me.mp4, 30 frames"
    else:
        assert result is small_avatar
    assert kept[0].parent == tmp_path / ".me.avatar.fit"
    assert not list(tmp_path.iterdir())
    said = capsys.readouterr().err
    assert ("20.00 -> 23.50 dB" in said) if gained else ("nothing was gained" in said)


def test_reasons_are_counted_and_those_that_did_not_occur_left_out():
    assert reasons(Counter({"blurred": 3, "no face": 12, "moves too fast": 0})) == (
        "12 no face, 3 blurred"
    )


def test_a_film_in_other_colours_is_brought_to_the_portraits(small_avatar: Avatar):
    frames = film(small_avatar, 6)
    dim = [
        replace(frame, picture=np.round(frame.picture * 0.7 + (20, 10, 0)).astype(np.uint8))
        for frame in frames
    ]
    back = as_portrayed(dim, small_avatar)

    def apart(some: list[TeacherFrame]) -> float:
        inside = frames[0].person > 250
        return float(np.abs(some[0].picture[inside].astype(int) - frames[0].picture[inside]).mean())

    assert apart(dim) > 20
    assert apart(back) < 5
    assert apart(as_portrayed(frames, small_avatar)) < 5
