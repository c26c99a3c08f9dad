"""Films sorted into stretches: what cannot be used is left out, and why; the rest is in step."""

import csv
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import AssetError
from avatar.speech.voice_fit import Heard, Series
from avatar.tracking.lips import lips_of
from avatar.training.grid import (
    PICTURE_LATE_S,
    TRACK_RATE,
    GridClip,
    grid_clips,
    lip_examples,
    training_clips,
)
from avatar.training.own_videos import Sorted, as_planes, sort_film
from avatar.types import AUDIO_RATE, MOTION_RATE, Float
from tests.avatar.speech.speakers import speaker
from tests.avatar.training.test_real_lips import face

FPS, OFFSET_S, SECONDS = 30.0, 0.08, 24.0


def filmed(heard: Heard, offset_s: float = OFFSET_S) -> tuple[Series, Float]:
    """Times of pictures and landmarks of a face whose opening follows what was heard."""
    time_s = np.arange(round(SECONDS * FPS)) / FPS
    at = (np.arange(len(heard.lips)) + 0.5) / MOTION_RATE
    opening = np.interp(time_s + offset_s, at, heard.lips[:, 0]) * 0.02 + 0.08
    return time_s, face(opening.astype(np.float32))


def sorted_film(time_s: Series, landmarks: Float, heard: Heard, turned: slice = slice(0)) -> Sorted:
    away = np.zeros(len(time_s), np.bool_)
    away[turned] = True
    landmarks[away] = np.nan
    return sort_film(time_s, landmarks, away, lips_of(landmarks), heard, OFFSET_S)


def test_a_good_film_is_kept_nearly_whole_and_comes_out_in_step() -> None:
    heard = speaker(SECONDS)
    time_s, landmarks = filmed(heard)
    result = sorted_film(time_s, landmarks, heard)
    assert result.kept_s > SECONDS - 4
    at = (np.arange(len(heard.lips)) + 0.5) / MOTION_RATE
    for piece in result.pieces:
        opening = lips_of(piece.landmarks)[:, 0]
        start_s = piece.first_sample / AUDIO_RATE
        sound_s = start_s + np.arange(len(opening)) / TRACK_RATE + PICTURE_LATE_S
        expected = np.interp(sound_s, at, heard.lips[:, 0]) * 0.02 + 0.08
        assert np.corrcoef(opening, expected)[0, 1] > 0.99
        assert piece.samples == pytest.approx(len(opening) / TRACK_RATE * AUDIO_RATE, abs=1)
        assert 2.4 < len(opening) / TRACK_RATE <= 3.5


def test_every_reason_is_found_and_its_seconds_are_counted() -> None:
    heard = speaker(SECONDS)
    time_s, landmarks = filmed(heard)
    landmarks[90:150] = np.nan  # 3 to 5 s: gone
    landmarks[150:180] *= 0.2  # 5 to 6 s: 20 px between the eyes
    result = sorted_film(time_s, landmarks, heard, slice(210, 240))  # 7 to 8 s
    assert result.rejected_s["no face"] == pytest.approx(2, abs=0.05)
    assert result.rejected_s["face too small"] == pytest.approx(1, abs=0.05)
    assert result.rejected_s["turned too far"] == pytest.approx(1, abs=0.05)
    assert result.rejected_s["between bad ones"] > 0.9  # 6 to 7 s
    for piece in result.pieces:
        begin_s = piece.first_sample / AUDIO_RATE - OFFSET_S
        end_s = begin_s + piece.samples / AUDIO_RATE
        assert end_s < 3.1 or begin_s > 7.9
        assert np.isfinite(piece.landmarks).all()


def test_pieces_never_run_across_a_cut() -> None:
    heard = speaker(SECONDS)
    time_s, landmarks = filmed(heard)
    landmarks[300:, :, 0] += 400  # at 10 s the face stands elsewhere
    for piece in sorted_film(time_s, landmarks, heard).pieces:
        assert np.ptp(piece.landmarks[:, 33, 0]) < 1


def test_stretches_of_silence_and_of_other_lips_are_left_out() -> None:
    heard = speaker(SECONDS)
    time_s, landmarks = filmed(heard)
    heard.outputs[:400, 0] = 12.0  # nobody speaks for 8 s
    assert sorted_film(time_s, landmarks, heard).rejected_s["nobody speaks"] > 4
    heard = speaker(SECONDS)
    _, dubbed = filmed(speaker(SECONDS, seed=8))
    landmarks[360:] = dubbed[360:]  # from 12 s on
    result = sorted_film(time_s, landmarks, heard)
    assert result.rejected_s["lips do not agree"] > 5
    assert result.kept_s > 6


def test_what_is_written_is_read_as_grid_and_each_speaker_has_a_scale(tmp_path: Path) -> None:
    heard = speaker(SECONDS)
    time_s, landmarks = filmed(heard)
    pieces = sorted_film(time_s, landmarks, heard).pieces
    names = [f"me_{index:03d}" for index in range(len(pieces))]
    tracks = {name: as_planes(one.landmarks) for name, one in zip(names, pieces, strict=True)}
    np.savez(tmp_path / "tracks_me.npz", **tracks)  # pyright: ignore[reportArgumentType]
    with (tmp_path / "clips.csv").open("w", newline="", encoding="utf8") as file:
        rows = csv.writer(file)
        rows.writerow(("clip", "speaker", "words"))
        rows.writerows((name, "me", "") for name in names)
    clips = training_clips(tmp_path)
    assert [clip.name for clip in clips] == names
    np.testing.assert_allclose(clips[0].landmarks, pieces[0].landmarks, atol=1 / 16)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "clips.csv").write_text("clip,speaker,words\n")
    with pytest.raises(AssetError, match="expected 2 or more"):
        training_clips(tmp_path / "few")
    assert list(grid_clips(tmp_path, "s1")) == []


def test_two_speakers_are_each_measured_by_their_own_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "avatar.training.grid.read_sound", lambda path: np.zeros(2 * AUDIO_RATE, np.float32)
    )
    wave = 0.05 * (1 + np.sin(np.arange(50) / 3)).astype(np.float32)
    clips = [
        GridClip("a", "one", Path("a"), face(wave)),
        GridClip("b", "other", Path("b"), face(3 * wave)),
    ]
    first, _, _, second, _, _ = lip_examples(clips, np.random.default_rng(0))
    np.testing.assert_allclose(first.lips[:, 0], second.lips[:, 0], atol=0.05)
