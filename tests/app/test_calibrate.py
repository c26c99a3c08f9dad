"""`visavis calibrate` and what uses its file: real films where they are at hand, and refusals."""

import re
from pathlib import Path

import numpy as np
import pytest

from app.__main__ import main
from app.bundled import avatar_path
from app.commands import calibrate as command
from app.film import film
from app.settings import CalibrateSettings
from app.sound_file import examine_sound
from app.talking_face import read_speech
from app.voices import chosen_voice
from avatar.errors import SoundError, VoiceFileError
from avatar.motion.motion_file import read_motion
from avatar.speech.network import load_network
from avatar.speech.voice import load_voice, save_voice
from tests.app.sounds import tone, write_wav
from tests.app.test_command_line import refused
from tests.avatar.speech.sounds import syllables
from tests.avatar.speech.test_voice import voice_of

TALKING = Path(__file__).parents[3] / "shared" / "data" / "talking"
CLIP = TALKING / "grid_bbaf2n.mpg"
real_film = pytest.mark.skipif(not CLIP.exists(), reason="no real film beside the checkout")


def grey_film(path: Path, sound: Path) -> Path:
    facts = examine_sound(sound)
    with film(path, width=64, height=64, fps=25, sound=(sound, facts)) as writer:
        for _ in range(round(facts.duration_s * 25)):
            writer.write(np.full((64, 64, 3), 120, np.uint8))
    return path


@real_film
def test_a_real_film_becomes_a_voice_that_moves_the_lips_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "LEAST_S", 2.5)
    monkeypatch.setattr(command, "LEAST_SPEECH_S", 1.0)
    me = tmp_path / "me.voice"
    assert main(["calibrate", "--video", str(CLIP), "-o", str(me)]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(me)
    late = re.search(r"sound ([+-]\d+) ms after the picture: opening x[\d.]+", said.err)
    assert late is not None
    assert -20 <= int(late[1]) <= 60  # GRID is in step, but for the 20 ms of a picture
    voice = load_voice(me, load_network())
    assert 1 < voice.seconds < 3
    line = write_wav(tmp_path / "line.wav", 16000, syllables(2.0))
    motions = []
    for more in ([], ["--voice", str(me)]):
        out = tmp_path / f"{len(more)}.npz"
        assert main(["motion", "--audio", str(line), "-o", str(out), *more]) == 0
        motions.append(np.stack([frame.expression for frame in read_motion(out).frames()]))
    assert np.abs(motions[0] - motions[1]).max() > 0.01
    assert np.isfinite(motions[1]).all()


@real_film
def test_a_film_of_three_seconds_is_too_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me = tmp_path / "me.voice"
    line = refused(capsys, ["calibrate", "--video", CLIP, "-o", me])
    assert "3.0 s, expected 15 s or more" in line
    assert list(tmp_path.iterdir()) == []


def test_films_that_nobody_speaks_in_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = write_wav(tmp_path / "quiet.wav", 16000, np.zeros(8000, np.float32))
    loud = write_wav(tmp_path / "loud.wav", 16000, tone(0.5, 16000))
    me = tmp_path / "me.voice"
    silent = grey_film(tmp_path / "silent.mp4", quiet)
    assert "holds only silence" in refused(capsys, ["calibrate", "--video", silent, "-o", me])
    empty = grey_film(tmp_path / "empty.mp4", loud)
    assert "no face found" in refused(capsys, ["calibrate", "--video", empty, "-o", me])
    mute = tmp_path / "mute.mp4"
    with film(mute, width=64, height=64, fps=25) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    assert "no sound track" in refused(capsys, ["calibrate", "--video", mute, "-o", me])
    assert "has no pictures" in refused(capsys, ["calibrate", "--video", loud, "-o", me])
    missing = tmp_path / "none.mp4"
    assert "no such file" in refused(capsys, ["calibrate", "--video", missing, "-o", me])
    wrong = refused(capsys, ["calibrate", "--video", empty, "-o", tmp_path / "me.txt"])
    assert "expected the ending .voice" in wrong
    assert not me.exists()


def test_more_than_a_quarter_of_an_hour_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.talking_face.LONGEST_S", 0.2)
    sound = write_wav(tmp_path / "long.wav", 16000, tone(0.5, 16000))
    with pytest.raises(SoundError, match="Cut a part out of it"):
        read_speech(sound)


def test_a_name_for_the_file_is_wanted_unless_it_is_only_a_check() -> None:
    video = Path("me.mp4")
    assert CalibrateSettings(video=video, check=True).output is None
    with pytest.raises(ValueError, match=r"expected -o ME\.voice"):
        CalibrateSettings(video=video)
    with pytest.raises(ValueError, match="-1 to 1 seconds"):
        CalibrateSettings(video=video, check=True, offset=2.0)


def test_a_voice_beside_the_avatar_is_used_and_a_bad_one_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avatar = tmp_path / "me.avatar"
    assert chosen_voice(None, avatar) is None
    assert chosen_voice(None, avatar_path("default")) is None
    save_voice(voice_of(), tmp_path / "me.voice")
    assert chosen_voice(None, avatar) is not None
    assert capsys.readouterr().err.strip() == f"lips of {tmp_path / 'me.voice'}"
    (tmp_path / "me.voice").write_text("words")
    assert chosen_voice(None, avatar) is None
    assert "lips as they ship" in capsys.readouterr().err
    with pytest.raises(VoiceFileError):
        chosen_voice(tmp_path / "me.voice", avatar)
