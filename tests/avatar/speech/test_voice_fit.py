"""The fit finds what was put in: how far, how wide, when; and learns nothing from nothing."""

from pathlib import Path

import numpy as np
import pytest

from avatar.speech.network import load_network
from avatar.speech.voice import adapt_all
from avatar.speech.voice_fit import (
    REFERENCE,
    Heard,
    find_offset,
    fit_voice,
    gained,
    hear,
    in_reference,
    seen_at,
)
from avatar.tracking.lips import lips_of
from avatar.training.grid import GridClip, grid_clips
from avatar.training.recordings import read_sound
from avatar.types import AUDIO_RATE, MOTION_RATE
from tests.avatar.speech.sounds import syllables
from tests.avatar.speech.speakers import later, speaker

GRID = Path(__file__).parents[4] / "shared" / "data" / "grid"


def noise(like: np.ndarray, size: float, seed: int = 5) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(like.shape)


def test_a_speaker_who_opens_far_and_hardly_spreads_is_found_out() -> None:
    heard = speaker(40)
    seen = heard.lips.astype(np.float64) * (1.7, 0.55, 1.0)
    seen += noise(seen, 0.15)
    gain = gained(heard, seen, load_network())
    assert gain.before[0].spread == pytest.approx(1 / 1.7, abs=0.06)
    assert gain.before[1].spread == pytest.approx(1 / 0.55, abs=0.2)
    for column in range(3):
        assert gain.after[column].spread == pytest.approx(1, abs=0.12)
        assert gain.after[column].r > gain.before[column].r - 0.01
    assert gain.after[0].error < 0.6 * gain.before[0].error


def test_lips_that_come_late_are_delayed() -> None:
    heard = speaker(40)
    seen = heard.lips.astype(np.float64)
    seen[:, 2] = later(seen[:, 2], 4)
    seen += noise(seen, 0.15)
    assert fit_voice(heard, seen, load_network()).delays_ms == (0, 0, 80)
    gain = gained(heard, seen, load_network())
    assert gain.after[2].r > gain.before[2].r + 0.2


def test_what_a_speaker_does_in_one_class_of_sounds_is_learned() -> None:
    heard = speaker(60)
    odds = np.exp(heard.outputs[:, :11])
    odds /= odds.sum(1, keepdims=True)
    seen = heard.lips.astype(np.float64)
    seen[:, 1] = 0.5 * seen[:, 1] + 3.0 * odds[:, 4]
    seen += noise(seen, 0.15)
    gain = gained(heard, seen, load_network())
    assert gain.after[1].r > gain.before[1].r + 0.1


def test_lips_that_have_nothing_to_do_with_the_voice_teach_no_map() -> None:
    heard, other = speaker(40), speaker(40, seed=9)
    seen = other.lips.astype(np.float64)
    gain = gained(heard, seen, load_network())
    for before, after in zip(gain.before, gain.after, strict=True):
        assert abs(after.r - before.r) < 0.1


def test_little_speech_goes_half_the_way() -> None:
    def opening(seconds: float) -> float:
        heard = speaker(seconds)
        seen = heard.lips.astype(np.float64) * (1.9, 1, 1)
        return fit_voice(heard, seen, load_network()).gains[0]

    assert 1.2 < opening(5) < 1.55 < 1.7 < opening(60) < 1.95
    assert opening(1) == 1  # nothing can be said of a second


def test_frames_without_a_face_do_not_count() -> None:
    heard = speaker(40)
    seen = heard.lips.astype(np.float64) * (1.5, 1, 1)
    seen += noise(seen, 0.1)
    voice = fit_voice(heard, seen, load_network())
    holes = seen.copy()
    holes[300:600] = np.nan
    assert fit_voice(heard, holes, load_network()).gains[0] == pytest.approx(
        voice.gains[0], abs=0.1
    )
    none = fit_voice(heard, np.full_like(seen, np.nan), load_network())
    assert np.array_equal(adapt_all(none, heard.outputs, heard.lips), np.clip(heard.lips, -4, 4))


@pytest.mark.parametrize("offset_s", [-0.15, 0.0, 0.08])
def test_the_offset_of_sound_and_picture_is_found(offset_s: float) -> None:
    heard = speaker(20)
    time_s = np.arange(500) / 25
    opening = np.interp(
        time_s + offset_s, (np.arange(1000) + 0.5) / MOTION_RATE, heard.lips[:, 0] * 0.04 + 0.05
    )
    found = find_offset(time_s, opening + noise(opening, 0.02), heard)
    assert found.agrees
    assert found.seconds == pytest.approx(offset_s, abs=0.025)


def test_dubbed_still_and_far_shifted_lips_do_not_agree() -> None:
    heard = speaker(20)
    time_s = np.arange(500) / 25
    at = (np.arange(1000) + 0.5) / MOTION_RATE
    other = np.interp(time_s, at, speaker(20, seed=4).lips[:, 0])
    assert not find_offset(time_s, other, heard).agrees
    assert not find_offset(time_s, np.full(500, 0.1), heard).agrees
    assert not find_offset(time_s, np.full(500, np.nan), heard).agrees
    assert not find_offset(time_s[:1], other[:1], heard).agrees
    shifted = find_offset(time_s, np.interp(time_s + 0.6, at, heard.lips[:, 0]), heard)
    assert not shifted.agrees
    assert shifted.elsewhere_s == pytest.approx(0.6, abs=0.03)


@pytest.mark.skipif(not (GRID / "clips.csv").exists(), reason="no real films beside the checkout")
def test_real_lips_agree_with_their_own_voice_and_not_with_the_same_speakers_other_words() -> None:
    clips = [clip for clip, _ in zip(grid_clips(GRID, "s1"), range(8), strict=False)]

    def sound(some: list[GridClip]) -> Heard:
        parts = [np.resize(read_sound(clip.sound), 3 * AUDIO_RATE) for clip in some]
        return hear(np.concatenate(parts), load_network())

    lips = [np.resize(lips_of(clip.landmarks), (75, 3)) for clip in clips[:4]]
    time_s, opening = np.arange(300) / 25, np.concatenate(lips)[:, 0]
    own = find_offset(time_s, opening, sound(clips[:4]))
    assert own.agrees
    assert own.seconds == pytest.approx(0.02, abs=0.03)
    assert not find_offset(time_s, opening, sound(clips[4:])).agrees


def test_lips_between_pictures_are_known_and_those_in_a_gap_are_not() -> None:
    time_s = np.array([0.0, 0.04, 0.08, 0.5, 0.54])
    seen = np.arange(15, dtype=np.float64).reshape(5, 3)
    table = seen_at(time_s, seen, 0.0, 40)
    assert np.allclose(table[0], (0.75, 1.75, 2.75))  # at .01 s, a quarter of the way
    known = np.isfinite(table[:, 0])
    assert known[:4].all()
    assert not known[4:25].any()
    assert known[25:27].all()
    assert not known[28:].any()


def test_the_pose_is_taken_out_of_width_and_not_of_opening() -> None:
    seen = np.full((1000, 3), 0.5)
    seen[:, 0] = REFERENCE[0, 0] + 2 * REFERENCE[0, 1]
    seen[:, 1] += np.linspace(0, 0.2, 1000)  # the head turns
    standard = in_reference(seen)
    assert np.allclose(standard[:, 0], 2)
    assert np.abs(standard[150:-150, 1]).max() < 0.1


def test_hearing_a_whole_sound_gives_a_frame_for_each_20_ms() -> None:
    sound = syllables(0.5)
    told: list[int] = []
    heard = hear(sound[:-100], load_network(), told.append)
    assert (heard.outputs.shape, heard.lips.shape) == ((25, 19), (25, 3))
    assert sum(told) == 25
    assert isinstance(heard, Heard)
    assert len(hear(sound[:0], load_network()).lips) == 0
