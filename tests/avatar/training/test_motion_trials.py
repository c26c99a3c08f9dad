"""The measures of motion know good from bad, on faces whose answer is known."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import SoundError
from avatar.head.template import load_template
from avatar.motion.direction import Direction
from avatar.training import disturbances, takes
from avatar.training.life_trials import (
    EMOTIONS,
    distance_followed,
    emotion_effect,
    gaze_followed,
    gaze_lead,
    idle,
    liveliness,
    phrase,
    quiet_room,
    seed_difference,
    stillness_effect,
)
from avatar.training.lip_trials import Clip, Sentence, read_sentences, score_clip, score_closure
from avatar.training.motion_measures import (
    REGIONS,
    blinks,
    correlation,
    half_way_s,
    loud_span,
    opening,
    turn_a_frame,
)
from avatar.training.phones import PHONE_INDEX
from avatar.training.recordings import read_sound
from avatar.training.score import RealLips
from avatar.training.stream_trials import (
    changed_before,
    difference,
    disturbed,
    endurance,
    in_blocks,
    pace,
)
from avatar.training.takes import Sound, Take, Takes, take_of
from avatar.types import ARKIT_NAMES, AUDIO_RATE, Float, MotionFrame

TEMPLATE = load_template()
LINE = Path(__file__).parents[3] / "assets" / "samples" / "line.flac"


@cache
def line(seconds: float = 3.0) -> Sound:
    return Sound("line", read_sound(LINE)[: round(seconds * AUDIO_RATE)])


def frame(index: int, weights: dict[str, float] | None = None, **given: object) -> MotionFrame:
    expression = np.zeros(52, np.float32)
    for name, weight in (weights or {}).items():
        expression[ARKIT_NAMES.index(name)] = weight
    still: dict[str, object] = {
        "gaze": np.zeros(2, np.float32),
        "head_rotation": np.zeros(3, np.float32),
        "head_translation": np.zeros(3, np.float32),
    }
    return MotionFrame(
        index=index,
        time_s=(index + 0.5) / 50,
        latent=np.zeros(0, np.float32),
        expression=expression,
        **{**still, **given},  # type: ignore[arg-type]
    )


def both(name: str, weight: float) -> dict[str, float]:
    return {f"{name}Left": weight, f"{name}Right": weight}


def take_with(count: int, face: Callable[[int], MotionFrame]) -> Take:
    return take_of([face(index) for index in range(count)])


class Obedient:
    """Stands for a generator: mouth after loudness, and exactly what it is asked, at known times.

    Eyes follow a new direction after 60 ms, the head takes 40 % of it over after 300 ms.
    """

    look_ahead_s = 0.0
    spoiled = False
    """Hears the future, forgets where blocks begin, and breaks down in the end."""

    def __init__(self, *, seed: int = 0, direction: Direction | None = None) -> None:
        self._chance = np.random.default_rng(seed)
        self._asked = [(0, direction or Direction())]
        self._pending = np.zeros(0, np.float32)
        self._index = 0

    def direct(self, direction: Direction) -> None:
        self._asked.append((self._index, direction))

    def _gaze(self, delay: int) -> np.ndarray:
        past = [d.gaze for start, d in self._asked if start + delay <= self._index or start == 0]
        return np.array(past[-1])

    def step(self, samples: Float) -> list[MotionFrame]:
        if self.spoiled:
            self._pending = np.zeros(0, np.float32)
        sound = np.concatenate([self._pending, samples])
        count = len(sound) // 320
        self._pending = sound[320 * count :]
        return [self._frame(sound[320 * i : 320 * (i + 1)], sound) for i in range(count)]

    def flush(self) -> list[MotionFrame]:
        return []

    def _frame(self, heard: Float, every: Float) -> MotionFrame:
        now = self._asked[-1][1]
        loud = float(np.sqrt((heard**2).mean()))
        if self.spoiled:
            loud += float(np.abs(every).mean())
        head = 0.4 * self._gaze(15)
        eyes = self._gaze(3) - head
        sway = now.stillness * 0.01 * np.sin(0.3 * self._index)
        mood = 0.5 * float(now.emotion.max())
        index, self._index = self._index, self._index + 1
        broken = np.nan if self.spoiled and index > 400 else 0.0
        return frame(
            index,
            {"jawOpen": min(4 * loud, 1.0), **both("mouthSmile", mood), **both("browDown", mood)},
            gaze=eyes.astype(np.float32),
            head_rotation=np.array([-head[1] + broken, head[0] + sway, 0], np.float32),
            head_translation=np.array([0, 0, now.distance], np.float32),
        )


class Spoiled(Obedient):
    spoiled = True


@pytest.fixture
def obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Obedient)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Spoiled)


def stand_in(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    monkeypatch.setattr(takes, "MotionGenerator", kind)
    monkeypatch.setattr("avatar.training.stream_trials.MotionGenerator", kind)


def test_a_blink_counts_once_when_both_eyes_shut() -> None:
    def lids(values: Sequence[float]) -> Float:
        return np.stack([frame(0, both("eyeBlink", value)).expression for value in values])

    assert blinks(lids([0, 0.5, 0.9, 1, 0.9, 0.5, 0.1, 0])) == 1
    assert blinks(lids([0, 1, 0.5, 1, 0])) == 1, "a lid that trembles"
    assert blinks(lids([0, 1, 0, 1, 0])) == 2
    assert blinks(lids([0, 0.5, 0])) == 0
    wink = np.stack([frame(0, {"eyeBlinkLeft": value}).expression for value in (0, 1, 0)])
    assert blinks(wink) == 0


def test_a_steady_turn_has_its_speed() -> None:
    turn = np.radians(0.2)
    rotation = np.array([[0, turn * index, 0] for index in range(100)], np.float32)
    assert turn_a_frame(rotation) == pytest.approx(0.4, rel=1e-4), "frames at 25 a second"
    assert turn_a_frame(rotation[:1]) == 0


def test_regions_are_the_controls_of_eyes_brows_and_nose() -> None:
    brows, nose = (np.flatnonzero(REGIONS[name]).tolist() for name in ("brows", "nose"))
    assert brows == [29, 30, 31, 32, 98, 99, 100, 101]
    assert nose == [94, 95, 96, 97, 163, 164, 165, 166]
    assert REGIONS["eyes"].sum() == 16


def test_only_the_region_that_moves_is_lively() -> None:
    def moving(name: str) -> Take:
        return take_with(200, lambda i: frame(i, both(name, 0.5 + 0.5 * np.sin(0.2 * i))))

    brows, nose = liveliness([moving("browDown")]), liveliness([moving("noseSneer")])
    # one of the four brow controls of each side moves, by a sine of half amplitude
    assert brows.brows == pytest.approx(0.5 / np.sqrt(2) / 4, rel=0.05)
    # A frown draws at the nose's root, and no further.
    assert 0 < brows.nose < 0.5 * nose.nose
    assert nose.brows == 0
    assert brows.head_degrees == brows.blinks_a_minute == brows.gaze_degrees == 0


def test_a_correlation_of_what_does_not_move_is_not_a_number() -> None:
    wave = np.sin(np.arange(60.0))
    assert correlation(wave, 2 * wave + 1) == pytest.approx(1)
    assert correlation(wave, -wave) == pytest.approx(-1)
    assert np.isnan(correlation(wave, np.ones(60)))
    assert np.isnan(correlation(wave[:10], wave[:10]))


def test_two_seeds_that_differ_in_lids_only_have_the_same_lips() -> None:
    def speaking(blink: float, jaw: float = 0.3) -> Take:
        return take_with(
            60,
            lambda i: frame(i, {"jawOpen": jaw * (1 + np.sin(0.5 * i)), **both("eyeBlink", blink)}),
        )

    same = seed_difference(speaking(0), speaking(0.5), TEMPLATE)
    assert same.lips_r == pytest.approx(1)
    assert same.lips_apart < 0.004, "the lids pull a little at the corners of the eyes"
    assert same.upper_face > 0.02
    assert seed_difference(speaking(0), speaking(0, jaw=0.2), TEMPLATE).lips_apart > 0.02


@pytest.mark.usefixtures("obedient")
def test_what_is_asked_and_followed_is_measured_as_it_is() -> None:
    sound, given = line(), Takes()
    looked = gaze_followed((15.0, -8.0), sound, given)
    np.testing.assert_allclose(looked.got, (15, -8), atol=0.3)
    np.testing.assert_allclose(looked.by_head, (6, -3.2), atol=0.3)
    assert distance_followed(0.03, sound, given) == pytest.approx(0.03, abs=1e-6)
    still = [stillness_effect(amount, [sound], given, TEMPLATE) for amount in (0, 0.5, 1)]
    assert still[0].head_degrees == pytest.approx(0, abs=1e-6)
    assert still[1].head_degrees == pytest.approx(0.5 * still[2].head_degrees, rel=0.01)


class LookingAhead(Obedient):
    """The same, but each frame waits for 100 ms more of sound."""

    look_ahead_s = 0.1

    def step(self, samples: Float) -> list[MotionFrame]:
        sound = np.concatenate([self._pending, samples])
        self._pending = np.zeros(0, np.float32)
        frames = super().step(sound[:-1600])
        self._pending = np.concatenate([self._pending, sound[-1600:]])
        return frames


@pytest.mark.parametrize("kind", [Obedient, LookingAhead])
def test_eyes_that_lead_the_head_are_seen_to(
    kind: type[Obedient], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, kind)
    lead = gaze_lead(Sound("long", np.tile(line().samples, 4)), seeds=[0])
    assert lead.eyes_ms == pytest.approx(70, abs=21)
    assert lead.head_ms == pytest.approx(310, abs=21)
    assert lead.lead_ms == pytest.approx(240, abs=21)
    assert lead.head_degrees == pytest.approx(12, abs=0.5)


def test_eyes_that_wander_but_do_not_follow_lead_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wanderer(Obedient):
        def direct(self, direction: Direction) -> None:
            looks = self._chance.uniform(-0.1, 0.1)
            super().direct(Direction(gaze=(looks, 0.0)))

    stand_in(monkeypatch, Wanderer)
    lead = gaze_lead(Sound("long", np.tile(line().samples, 4)), seeds=[0, 1])
    assert np.isnan(lead.eyes_ms)
    assert np.isnan(lead.head_ms)


@pytest.mark.usefixtures("obedient")
def test_an_emotion_shows_what_it_moves_and_spares_the_lips() -> None:
    given = Takes()
    calm = [given.of(line())]
    effect = emotion_effect(calm, [given.of(line(), direction=EMOTIONS["anger"])], TEMPLATE)
    assert dict(effect.moved) == pytest.approx({"mouthSmile": 0.35, "browDown": 0.35}, abs=1e-4)
    assert effect.lips_r > 0.98
    assert emotion_effect(calm, calm, TEMPLATE).moved == ()


@pytest.mark.usefixtures("obedient")
def test_onset_and_end_are_timed_from_the_voice_itself() -> None:
    """The stand-in opens with the frame of the sound, and shuts with it: in one jump."""
    found = phrase(line(), TEMPLATE)
    assert -20 <= found.onset_ms <= 40
    assert found.closing_ms <= 20
    assert found.step_ending > 0.02, "the jump at the end"
    assert found.rest == 0


def test_the_shipped_generator_closes_its_mouth_in_silence_and_opens_it_in_speech() -> None:
    silent = idle(quiet_room(4.0, -55, seed=1), TEMPLATE)
    assert silent.open_share < 0.1
    assert silent.head_degrees > 0
    spoken = phrase(line(), TEMPLATE)
    assert -110 <= spoken.onset_ms < 250
    assert spoken.rest < 0.012
    assert np.isfinite(spoken.closing_ms)


def test_the_loud_part_goes_from_vowel_to_vowel() -> None:
    sound = np.concatenate([np.zeros(3200), 0.01 * np.ones(3200), np.ones(6400), np.zeros(3200)])
    assert loud_span(sound.astype(np.float32)) == slice(6400, 12800)
    assert loud_span(np.zeros(1000, np.float32)) == slice(0, 1000)


@pytest.mark.usefixtures("obedient")
def test_a_stream_that_holds_is_found_to_hold() -> None:
    samples = line(2).samples
    whole = takes.perform(samples)
    assert difference(whole, in_blocks(samples, (7, 1000, 0, 333))) == 0
    assert changed_before(samples, 1.0) == 0


@pytest.mark.usefixtures("spoiled")
def test_a_stream_that_looks_ahead_loses_samples_or_breaks_down_is_found_out() -> None:
    samples = line(2).samples
    whole = takes.perform(samples)
    assert difference(whole, in_blocks(samples, (321,))) > 1e-3
    assert changed_before(samples, 1.0) > 1e-3
    ran = endurance([line(2)], 20 / 3600, TEMPLATE, lambda _seconds: None)
    assert ran.not_finite > 0


@pytest.mark.usefixtures("obedient")
def test_hours_count_speech_and_silence_and_find_no_drift() -> None:
    told: list[float] = []
    ran = endurance([line(2)], 60 / 3600, TEMPLATE, told.append)
    assert sum(told) == pytest.approx(3600 * ran.hours)
    assert ran.frames == pytest.approx(50 * sum(told), abs=2)
    assert ran.not_finite == 0
    assert ran.silent_open_share_last == 0
    assert ran.head_drift_degrees < 1


def test_the_shipped_generator_keeps_pace() -> None:
    found = pace(line(1).samples)
    assert 0 < found.block_ms_p50 <= found.block_ms_p95 <= found.block_ms_p99
    assert found.processor_factor > 0


def test_lips_are_scored_against_real_ones_at_their_times() -> None:
    sound, given = line(), Takes()
    own = opening(given.of(sound), TEMPLATE)
    times = np.arange(0, 2.8, 0.04)
    late = np.interp(times - 0.06, (np.arange(len(own)) + 0.5) / 50, own)  # they are 60 ms late
    lips = np.stack([late, np.ones(len(late)), 2 * late], 1)
    score = score_clip(
        Clip(sound=sound, real=RealLips("x", sound.samples, 25.0, lips, 0.0)), given, TEMPLATE
    )
    assert score.lag_ms == pytest.approx(-60, abs=1)
    assert score.best_r > 0.99 > score.aperture_r
    assert np.isnan(score.width_r), "a width that never changes agrees with nothing"


@pytest.mark.usefixtures("obedient")
def test_closures_are_counted_where_the_mouth_is_closed() -> None:
    """The stand-in's mouth follows loudness: shut in the gap, open in the vowels around it."""
    time_s = np.arange(3 * AUDIO_RATE) / AUDIO_RATE
    gap = (time_s > 1.2) & (time_s < 1.4)
    samples = np.where(gap, 0, 0.2 * np.sin(900 * time_s)).astype(np.float32)
    vowel, bilabial = PHONE_INDEX["AA"], PHONE_INDEX["B"]
    phones = ((0.5, 1.1, vowel), (1.25, 1.35, bilabial), (2.0, 2.1, bilabial), (2.2, 2.6, None))
    sentence = Sentence(sound=Sound("x", samples), phones=phones)
    found = score_closure(sentence, Takes(), TEMPLATE)
    assert (found.bilabials, found.closed, found.shut) == (2, 1, 1)
    assert (found.vowels, found.vowels_closed) == (1, 0)
    assert found.vowel_opening == pytest.approx(1, abs=0.1)
    assert (found + found).recall == 0.5


def test_sentences_without_phones_or_sound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SoundError, match="no Praat TextGrid"):
        read_sentences(tmp_path)
    (tmp_path / "a.TextGrid").write_text("nothing")
    with pytest.raises(SoundError, match="no sound of this name"):
        read_sentences(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(SoundError, match="no phones found"):
        read_sentences(tmp_path)


def test_half_way_is_when_half_of_it_is_reached() -> None:
    times = np.arange(5.0)
    assert half_way_s(times, np.array([0, 0.4, 0.6, 1, 1]), 1.0) == 2
    assert half_way_s(times, -np.array([0, 0.4, 0.6, 1, 1]), -1.0) == 2
    assert np.isnan(half_way_s(times, np.zeros(5), 1.0))


@pytest.mark.parametrize("name", disturbances.DISTURBANCES)
def test_a_disturbance_is_the_same_each_time_and_stays_sound(name: str) -> None:
    samples, disturb = line().samples, disturbances.DISTURBANCES[name]
    spoilt = disturb(samples, 1)
    assert np.array_equal(spoilt, disturb(samples, 1))
    assert spoilt.shape == samples.shape
    assert spoilt.dtype == np.float32
    assert np.abs(spoilt).max() <= 1
    assert np.abs(spoilt - samples).max() > 0.01
    assert np.isfinite(disturb(np.zeros(3000, np.float32), 1)).all()


def test_noise_and_the_second_voice_have_their_levels() -> None:
    samples = line().samples
    level = disturbances.spoken_level(samples)
    quiet = (0.2 * samples / np.abs(samples).max()).astype(np.float32)  # nothing is cut off
    noise = disturbances.in_noise(quiet, 0) - quiet
    ratio = disturbances.spoken_level(quiet) / np.sqrt((noise**2).mean())
    assert 20 * np.log10(ratio) == pytest.approx(10, abs=0.2)
    soft = (0.2 * samples).astype(np.float32)
    other = disturbances.with_other(soft, samples[::-1]) - soft
    assert disturbances.spoken_level(other) == pytest.approx(0.2 * level, rel=0.02)


def test_a_whisper_keeps_the_words_and_loses_the_pitch() -> None:
    time_s = np.arange(AUDIO_RATE) / AUDIO_RATE
    buzz = sum(np.sin(2 * np.pi * 125 * k * time_s) / k for k in range(1, 30))
    voice = (0.1 * buzz * (np.sin(2 * np.pi * 2 * time_s) > 0)).astype(np.float32)
    breath = disturbances.whispered(voice, 0)

    def periodicity(sound: Float) -> float:
        part = sound[1000:4000].astype(float)
        return correlation(part[:-128], part[128:])  # 125 Hz: 128 samples

    def loudness(sound: Float) -> np.ndarray:
        return np.sqrt((sound.reshape(-1, 320).astype(float) ** 2).mean(1))

    assert periodicity(voice) > 0.95
    assert abs(periodicity(breath)) < 0.5
    assert correlation(loudness(voice), loudness(breath)) > 0.8


@pytest.mark.usefixtures("obedient")
def test_what_a_disturbance_does_to_the_lips_is_compared_with_the_clean_sound() -> None:
    sound = line()
    clean = takes.perform(sound.samples)
    same = disturbed(clean, sound.samples, TEMPLATE)
    assert same.lips_r == pytest.approx(1)
    assert same.wide_ratio == pytest.approx(1)
    softer = disturbed(clean, 0.1 * sound.samples, TEMPLATE)
    assert softer.wide_ratio < 0.7
    alone = disturbed(None, disturbances.music(8000, 0.1), TEMPLATE)
    assert np.isnan(alone.lips_r)
    assert alone.open_share > 0.9
