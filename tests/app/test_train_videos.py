"""`visavis train videos`: films become a folder to train on; it goes on where it was stopped."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.commands import train_videos
from app.commands.train_videos import VideoTracking, film_name, track_videos, write_flac
from avatar.errors import OutputError, VideoError
from avatar.training.grid import grid_clips
from avatar.training.recordings import read_sound
from tests.app.sounds import tone

CLIP = Path(__file__).parents[3] / "shared" / "data" / "talking" / "grid_bbaf2n.mpg"
real_film = pytest.mark.skipif(not CLIP.exists(), reason="no real film beside the checkout")


@real_film
def test_a_film_is_tracked_once_a_bad_one_is_left_out_and_a_killed_one_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    films, tracked = tmp_path / "films", tmp_path / "tracked"
    (films / "ann").mkdir(parents=True)
    shutil.copy(CLIP, films / "ann" / "one clip.mpg")
    (films / "words.mp4").write_text("words")
    task = VideoTracking(videos=films, output=tracked)
    figures = track_videos(task)
    assert 2.4 < float(str(figures["kept_s"])) <= 3
    said = capsys.readouterr().err
    assert "left out: " in said
    assert "words.mp4" in said
    (clip,) = grid_clips(tracked)
    assert clip.speaker == "ann"
    assert np.isfinite(clip.landmarks).all()
    sound = read_sound(clip.sound)
    assert len(sound) / 16000 == pytest.approx(len(clip.landmarks) / 25, abs=0.001)
    assert np.abs(sound).max() > 0.01

    before = clip.sound.stat().st_mtime_ns
    monkeypatch.setattr(train_videos, "watch", lambda *_: pytest.fail("tracked again"))
    assert track_videos(task) == figures
    assert "done before" in capsys.readouterr().err
    assert clip.sound.stat().st_mtime_ns == before

    class WatchedError(Exception):
        pass

    def watched(*_: object) -> None:
        raise WatchedError

    monkeypatch.setattr(train_videos, "watch", watched)
    ledger = tracked / "done" / f"{clip.name[:-4]}.json"
    for damaged in ("", "[]", json.dumps({"bytes": 1})):  # cut short, or the film was changed
        ledger.write_text(damaged)
        with pytest.raises(WatchedError):
            track_videos(task)


def test_folders_that_hold_nothing_of_use_are_refused(tmp_path: Path) -> None:
    output = tmp_path / "tracked"
    with pytest.raises(VideoError, match="no such folder"):
        track_videos(VideoTracking(videos=tmp_path / "none", output=output))
    with pytest.raises(VideoError, match="holds none of"):
        track_videos(VideoTracking(videos=tmp_path, output=output))
    films = tmp_path / "films"
    films.mkdir()
    (films / "words.mp4").write_text("words")
    with pytest.raises(VideoError, match="nothing of its films can be used"):
        track_videos(VideoTracking(videos=films, output=output))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        track_videos(VideoTracking(videos=films, output=tmp_path / "file"))


def test_no_two_films_share_a_name() -> None:
    folder = Path("films")
    paths = ("a.mp4", "a.mov", "a/b.mp4", "a-b.mp4", "a b.mp4", "a%20b.mp4", "ä.mp4")
    names = [film_name(folder / path, folder) for path in paths]
    assert len(set(names)) == len(names)
    assert not any("/" in name or " " in name for name in names)


def test_sound_is_kept_as_it_is(tmp_path: Path) -> None:
    samples = tone(0.5, 16000)
    write_flac(tmp_path / "a.flac", samples)
    assert np.abs(read_sound(tmp_path / "a.flac") - samples).max() < 1e-4
