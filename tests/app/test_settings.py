"""What people type becomes settings, or a message that says what was expected."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import (
    Acting,
    Colour,
    GazeDirection,
    HeadDirection,
    Mood,
    PictureSize,
    RenderSettings,
    ViewPoint,
    parse_emotion,
    parse_expression,
    parse_fps,
)
from avatar.motion.direction import EMOTION_NAMES


@given(st.floats(-360, 360), st.floats(-90, 90), st.floats(0.15, 20))
def test_a_view_survives_being_written_and_read(yaw: float, pitch: float, distance: float) -> None:
    view = ViewPoint.parse([f"{yaw!r},{pitch!r},{distance!r}"])
    assert (view.yaw_degrees, view.pitch_degrees, view.distance_m) == (yaw, pitch, distance)
    assert view.yaw_rad == pytest.approx(math.radians(yaw))
    shown = ViewPoint.parse(view.words())
    assert shown.pitch_rad == pytest.approx(view.pitch_rad, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("text", ["", "1", "1,2", "1,2,3,4", "a,b,c", "0,0,nan", "0,0,0", "0,0,-1"])
def test_a_view_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        ViewPoint.parse([text])


def test_sizes_are_one_side_or_two() -> None:
    assert PictureSize.parse(["512"]) == PictureSize(512, 512)
    assert PictureSize.parse(["640x361"]) == PictureSize(640, 361)
    assert PictureSize(641, 361).even() == PictureSize(642, 362)
    assert PictureSize.parse(PictureSize(640, 360).words()) == PictureSize(640, 360)


@pytest.mark.parametrize("text", ["", "0", "15", "-512", "5000", "512x", "512x8", "1e3", "1x2x3"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        PictureSize.parse([text])


def test_colours_have_names_and_numbers() -> None:
    assert Colour.parse(["white"]).rgb == (1, 1, 1)
    assert Colour.parse(["ff8000"]).rgb == pytest.approx((1, 128 / 255, 0))
    assert Colour.parse(["#ff8000"]) == Colour.parse(["FF8000"])
    assert Colour.parse(["ff8000"]).words() == ["ff8000"]
    for wrong in ("", "red?", "fff", "12345g"):
        with pytest.raises(ValueError, match=r"expected"):
            Colour.parse([wrong])


@pytest.mark.parametrize("text", ["0", "0.5", "241", "-25", "nan", "inf", "many"])
def test_a_rate_that_no_film_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected"):
        parse_fps([text])
    assert parse_fps(["29.97"]) == 29.97


def test_expressions_are_named_as_arkit_does_in_any_case() -> None:
    assert parse_expression(["jawopen:0.6, eyeBlinkLeft:1"]) == {"jawOpen": 0.6, "eyeBlinkLeft": 1}
    assert parse_expression([""]) == {}


def test_a_mistyped_expression_lists_those_most_like_it() -> None:
    with pytest.raises(ValueError, match=r"'jawOpne' is not one of the 52.*jawOpen"):
        parse_expression(["jawOpne:1"])
    with pytest.raises(ValueError, match=r"not one of the 52"):
        parse_expression(["zzzzzzzz:1"])
    for wrong in ("jawOpen", "jawOpen:", "jawOpen:2", "jawOpen:-0.1", "jawOpen:nan"):
        with pytest.raises(ValueError, match=r"expected"):
            parse_expression([wrong])


def test_a_film_wants_a_sound_a_motion_or_a_face_and_one_of_them(tmp_path) -> None:
    target = tmp_path / "a.mp4"
    with pytest.raises(ValueError, match=r"one of --audio FILE, --motion"):
        RenderSettings(output=target)
    with pytest.raises(ValueError, match=r"one of --audio FILE, --motion"):
        RenderSettings(output=target, audio=tmp_path / "a.wav", motion=tmp_path / "m.npz")
    with pytest.raises(ValueError, match=r"one of --audio FILE, --motion"):
        RenderSettings(output=target, audio=tmp_path / "a.wav", drive=tmp_path / "v.mp4")


def test_moods_have_names_and_strengths() -> None:
    assert parse_emotion(["happiness:0.7"]) == {"happiness": 0.7}
    assert parse_emotion(["Sadness:0.5, fear:0.3"]) == {"sadness": 0.5, "fear": 0.3}
    assert parse_emotion(["surprise"]) == {"surprise": 0.7}
    emotion = Acting(emotion={"fear": 0.3}).direction.emotion
    assert emotion[EMOTION_NAMES.index("fear")] == pytest.approx(0.3)
    assert emotion.sum() == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["joy:0.5", "happiness:2", "happiness:-1", "anger:nan", ":0.5"])
def test_a_mood_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_emotion([text])


def test_a_mistyped_mood_is_guessed() -> None:
    with pytest.raises(ValueError, match="is it happiness"):
        parse_emotion(["hapiness:0.5"])


@pytest.mark.parametrize("text", ["90,0", "1", "a,b", "0,nan"])
def test_a_gaze_that_no_eyes_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        GazeDirection.parse([text])


def test_a_gaze_is_in_degrees_outside_and_radians_inside() -> None:
    acting = Acting(gaze=GazeDirection.parse(["18,-9"]))
    assert acting.direction.gaze == pytest.approx((math.pi / 10, -math.pi / 20))


@pytest.mark.parametrize("text", ["21,0,0", "0,0,-21", "1,2", "a,b,c", "0,0,inf"])
def test_a_head_that_no_neck_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        HeadDirection.parse([text])


def test_a_held_head_is_in_degrees_outside_and_radians_inside() -> None:
    head = HeadDirection.parse(["18,-9,20"])
    assert HeadDirection.parse(head.words()) == head
    assert Acting(head=head).direction.head == pytest.approx(
        (math.pi / 10, -math.pi / 20, math.pi / 9)
    )


@pytest.mark.parametrize("text", ["1.1,0", "0,-2", "0.5", "good,calm", "nan,0", ""])
def test_a_mood_outside_the_plane_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Mood.parse([text])


def test_a_mood_is_a_blend_of_emotions() -> None:
    mood = Mood.parse(["0.5,0.5"])
    assert Mood.parse(mood.words()) == mood
    emotion = Acting(mood=mood).direction.emotion
    assert emotion[EMOTION_NAMES.index("happiness")] > 0.2
    assert emotion[EMOTION_NAMES.index("surprise")] > 0.2
    assert emotion[EMOTION_NAMES.index("sadness")] == 0
    assert Acting(mood=Mood()).direction.emotion[:5].sum() == 0


def test_a_mood_and_an_emotion_exclude_each_other() -> None:
    for mood in (Mood(0.3, -0.2), Mood()):
        with pytest.raises(ValueError, match=r"--emotion .* or --mood .*, not both"):
            Acting(emotion={"fear": 0.3}, mood=mood)
    assert Acting(emotion={"fear": 0.3}).mood is None
