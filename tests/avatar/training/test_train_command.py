"""`visavis train`: what it takes, and how it refuses."""

from pathlib import Path

import pytest
import tyro

from app.commands.train import (
    LandmarkTraining,
    LipTraining,
    PoseTraining,
    Scoring,
    SpeechTraining,
    TrainSettings,
    train,
)
from avatar.errors import AssetError, AvatarFileError, VisavisError
from avatar.training.corpus import REQUIRED_PACKAGES


def parse(*words: str) -> TrainSettings:
    return tyro.cli(TrainSettings, args=words)


def test_speech_lips_and_score_are_read_from_the_command_line() -> None:
    speech = parse("speech", "--hours", "2", "--steps", "10", "-o", "w.safetensors").task
    assert speech == SpeechTraining(hours=2.0, steps=10, output=Path("w.safetensors"))
    lips = parse("lips", "--weights", "a", "--grid", "g", "--seed", "3").task
    assert lips == LipTraining(weights=Path("a"), grid=Path("g"), seed=3)
    score = parse("score", "--talking", "t", "--tracks", "k").task
    assert score == Scoring(talking=Path("t"), tracks=Path("k"))
    landmarks = parse("landmarks", "a.avatar", "--pictures", "200", "-o", "l.safetensors").task
    assert landmarks == LandmarkTraining(
        avatars=("a.avatar",), pictures=200, output=Path("l.safetensors")
    )
    assert parse("pose", "--seed", "4").task == PoseTraining(seed=4)


def test_too_few_pictures_are_refused() -> None:
    for what in ("landmarks", "pose"):
        with pytest.raises(VisavisError, match="100 or more"):
            train(parse(what, "--pictures", "20"))


def test_help_names_every_package_that_must_be_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse("speech", "--help")
    text = capsys.readouterr().out
    for package in REQUIRED_PACKAGES:
        assert package in text


def test_missing_weights_are_refused_before_any_work(tmp_path: Path) -> None:
    task = LipTraining(weights=tmp_path / "none.safetensors", grid=tmp_path)
    with pytest.raises(AssetError, match=r"none\.safetensors"):
        train(TrainSettings(task=task))
    with pytest.raises(AssetError, match="offsets"):
        train(TrainSettings(task=Scoring(talking=tmp_path, tracks=tmp_path)))


@pytest.mark.parametrize("words", [("--hours", "0"), ("--minutes", "-1"), ("--steps", "0")])
def test_amounts_that_train_nothing_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(VisavisError, match="expected"):
        train(parse("speech", *words))


def test_landmarks_cannot_be_learnt_from_nothing() -> None:
    with pytest.raises(VisavisError, match="expected 100 or more"):
        train(parse("landmarks", "--pictures", "3"))
    with pytest.raises(AvatarFileError, match=r"none\.avatar"):
        train(parse("landmarks", "none.avatar"))
