"""Reading tracked lips, fitting to them, and how the shipped network follows real ones."""

import csv
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import AssetError
from avatar.head.template import load_template
from avatar.training import grid
from avatar.training.grid import (
    GridClip,
    LipTasks,
    fit_lips,
    grid_clips,
    lip_examples,
    lip_loss,
    lips_of,
    rule_lips,
)
from avatar.training.performance.mouth_rule import decode_mouth
from avatar.training.phones import ARTICULATORS, PHONE_NAMES, PHONES
from avatar.training.score import (
    CLOSED,
    RealLips,
    agreement,
    labelled_phones,
    labelled_sentence,
    score_labelled,
    score_lips,
    template_lips,
    unseen_grid_clips,
)
from avatar.training.speech_model import (
    LIPS,
    LipReadout,
    SpeechModel,
    load_weights,
    save_weights,
)
from avatar.types import AUDIO_RATE, Float, MotionFrame

REAL = Path(__file__).parents[3] / ".." / "shared" / "data"
real_data = pytest.mark.skipif(
    not (REAL / "grid" / "clips.csv").exists(), reason="no real recordings beside the checkout"
)


def face(opening: Float) -> Float:
    """[T, 478, 3] pixels: a face 100 px between the eye corners whose lips part by `opening`."""
    points = np.zeros((len(opening), 478, 3), np.float32)
    points[:, 33, 0], points[:, 263, 0] = 0, 100
    points[:, 61, 0], points[:, 291, 0] = 30, 80
    # lips that spread, and a chin that drops, as they open: no column may stand still
    points[:, 291, 0] += 10 * opening
    points[:, 152, 1] = 80 + 50 * opening
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[:, lower, 1] = points[:, upper, 1] + 100 * opening
    return points


def write_grid(folder: Path, landmarks: Float) -> None:
    """A corpus of one clip of s1, in the layout that `grid_clips` reads."""
    (folder / "audio").mkdir()
    steps = np.where(np.isfinite(landmarks), np.round(landmarks * 8), -16000).astype(np.int16)
    differences = np.diff(steps, axis=0, prepend=np.zeros_like(steps[:1]))
    planes = np.ascontiguousarray(differences.transpose(1, 2, 0)).view(np.uint8)
    planes = planes.reshape(478, 3, len(steps), 2).transpose(3, 0, 1, 2)
    np.savez(folder / "tracks_s1.npz", s1_clip=planes)
    with (folder / "clips.csv").open("w", newline="", encoding="utf8") as file:
        rows = csv.writer(file)
        rows.writerows([("clip", "speaker", "words"), ("s1_clip", "s1", "")])


def test_tracked_landmarks_are_read_as_they_were_stored(tmp_path: Path) -> None:
    landmarks = face(np.linspace(0, 0.25, 30).astype(np.float32))
    landmarks[7] = np.nan
    write_grid(tmp_path, landmarks)
    (clip,) = grid_clips(tmp_path, "s1")
    assert clip.sound == tmp_path / "audio" / "s1_clip.flac"
    np.testing.assert_allclose(clip.landmarks, landmarks, atol=1 / 16)
    assert np.isnan(clip.landmarks[7]).all()
    assert list(grid_clips(tmp_path, "s2")) == []


def test_a_folder_that_is_not_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="GRID"):
        list(grid_clips(tmp_path))


def test_lips_are_measured_against_the_distance_of_the_eyes() -> None:
    lips = lips_of(3 * face(np.array([0.0, 0.1, 0.2], np.float32)))
    np.testing.assert_allclose(lips[:, 0], [0, 0.1, 0.2], atol=1e-6)
    np.testing.assert_allclose(lips[:, 1], [0.5, 0.51, 0.52], atol=1e-6)
    np.testing.assert_allclose(lips[:, 2], [0.8, 0.85, 0.9], atol=1e-6)


def test_lips_stay_in_step_with_sound_that_is_played_faster(tmp_path: Path) -> None:
    video = np.arange(75) / 25  # s
    opening = (0.2 * (video > 1.46)).astype(np.float32)
    sound = 0.3 * np.sin(np.arange(3 * AUDIO_RATE) * 0.4)
    sound[: int(1.5 * AUDIO_RATE)] = 0  # pictures are 20 ms late against their sound
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, AUDIO_RATE, 0, "NONE", ""))
        file.writeframes((sound * 32767).astype(np.int16).tobytes())
    clip = GridClip("a", "s1", tmp_path / "a.wav", face(opening))
    examples = lip_examples([clip], np.random.default_rng(3))
    assert len(examples) == 3
    lengths = {len(example.lips) for example in examples}
    assert len(lengths) > 1
    for example in examples:
        level = example.features[50 : 50 + len(example.lips)].mean(1)
        opens = np.nanargmax(np.diff(example.lips[:, 0]))
        assert opens == pytest.approx(np.argmax(np.diff(level)), abs=2)


def test_readouts_are_added_to_weights_and_the_network_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "_HELD_BACK", 1)
    opening = (0.1 + 0.1 * np.sin(np.arange(50) / 2)).astype(np.float32)
    write_grid(tmp_path, face(opening))
    with wave.open(str(tmp_path / "audio" / "s1_clip.flac"), "wb") as file:
        file.setparams((1, 2, AUDIO_RATE, 0, "NONE", ""))
        noise = np.random.default_rng(0).normal(0, 3000, 2 * AUDIO_RATE)
        file.writeframes(noise.astype(np.int16).tobytes())
    (one,) = grid_clips(tmp_path, "s1")
    monkeypatch.setattr(grid, "grid_clips", lambda *_: iter([one, one, one]))
    torch.manual_seed(0)
    model, first = SpeechModel(width=8), LipReadout(8, width=4)
    weights, output = tmp_path / "tuned.safetensors", tmp_path / "more.safetensors"
    save_weights(weights, model, [first], {"format": 2, "mean": -4.5, "spread": 3.0})
    tasks = LipTasks(readout=0, tuning=0, more_readouts=2, more_steps=2)
    figures = fit_lips(weights, tmp_path, hours=1.0, tasks=tasks, seed=0, output=output)
    assert figures["lips"] == {"more_readouts": 2, "more_steps": 2}
    before, after = load_weights(weights), load_weights(output)
    assert len(after[1]) == 3
    kept = [(before[0], after[0]), (before[1][0], after[1][0])]
    for old, new in kept:
        for name, tensor in old.state_dict().items():
            assert torch.equal(tensor, new.state_dict()[name])
    assert not torch.equal(after[1][1].leave.weight, after[1][2].leave.weight)


def test_the_loss_knows_right_from_wrong_and_skips_what_is_unknown() -> None:
    truth = torch.randn(4, 60, 3, generator=torch.Generator().manual_seed(0))
    assert lip_loss(truth, truth) < 1e-3
    assert lip_loss(-truth, truth) > 1.9
    unknown = truth.clone()
    unknown[:, 20:40] = torch.nan
    wrong_there = truth.clone()
    wrong_there[:, 20:40] = 9
    assert lip_loss(wrong_there, unknown) < 1e-3


def test_the_rule_speaks_the_unit_of_the_readout() -> None:
    wide, shut = PHONES["AA"], PHONES["P"]
    rows = torch.tensor([[[getattr(p, a) for a in ARTICULATORS] for p in (wide, shut)]])
    said = rule_lips(rows)[0]
    assert said.shape == (2, len(LIPS))
    assert said[0, 0] > 2
    assert -1.0 < said[1, 0] < -0.6


@pytest.mark.parametrize("shift_frames", [-4, 0, 3])
def test_agreement_finds_the_lag(shift_frames: int) -> None:
    chance = np.random.default_rng(0)
    smooth = np.convolve(chance.standard_normal(300), np.hanning(9), "same")
    truth = np.interp(np.arange(150) / 25, (np.arange(300) + 0.5) / 50, smooth)
    real = RealLips("x", np.zeros(0, np.float32), 25.0, np.stack([truth] * 3, 1), 0.0)
    found = agreement(real, 0, 2 * np.roll(smooth, shift_frames))
    assert found.best_r > 0.95
    assert found.lag_ms == pytest.approx(20 * shift_frames, abs=1)
    assert found.spread_ratio == pytest.approx(2, rel=0.15)


def frame_of(**values: float) -> MotionFrame:
    organs = ("aperture", "jaw", "width", "funnel", "closure", "lip_teeth", "sibilant",
              "emphasis", "smile")  # fmt: skip
    rows = decode_mouth({name: np.array([values.get(name, 0.0)]) for name in organs})
    return MotionFrame(
        index=0,
        time_s=0.01,
        latent=np.zeros(1, np.float32),
        expression=np.clip(rows[0], 0, 1).astype(np.float32),
        gaze=np.zeros(2, np.float32),
        head_rotation=np.zeros(3, np.float32),
        head_translation=np.zeros(3, np.float32),
    )


def test_the_template_does_with_its_lips_what_the_latent_says() -> None:
    template = load_template()

    def lips(**values: float) -> Float:
        return template_lips([frame_of(**values)], template)[0]

    rest, vowel = lips(), lips(aperture=0.8, jaw=0.8)
    assert rest[0] <= CLOSED
    assert 0.12 < vowel[0] < 0.26
    for jaw in (0.1, 0.5, 0.8):
        assert lips(closure=0.8, aperture=0.5, jaw=jaw)[0] <= CLOSED
    assert lips(lip_teeth=1, aperture=0.5, jaw=0.4)[0] < 0.5 * vowel[0]
    assert lips(width=-1, aperture=0.3)[1] < rest[1] - 0.02 < lips(width=1, aperture=0.3)[1]
    assert lips(jaw=0.8)[2] > rest[2] + 0.05
    openings = [lips(aperture=a, jaw=0.5)[0] for a in np.linspace(0, 1, 6)]
    assert (np.diff(openings) > 0.02).all()


def test_hand_labels_are_read_from_praats_text(tmp_path: Path) -> None:
    file = tmp_path / "a.TextGrid"
    file.write_text(
        'item []:\n item [1]:\n name = "Word"\n xmin = 0\n xmax = 1\n text = "bee"\n'
        ' item [2]:\n name = "Phonetic"\n intervals [1]:\n xmin = 0.1\n xmax = 0.2\n text = "b"\n'
        ' intervals [2]:\n xmin = 0.2\n xmax = 0.4\n text = "i:"\n'
    )
    assert labelled_phones(file) == [(0.1, 0.2, "b"), (0.2, 0.4, "i:")]


@pytest.mark.parametrize(
    ("labels", "phones"),
    [
        (("sil", "V", "AA1", "S", "sp"), ("sil", "V", "AA", "S", "sil")),
        (("", "V", "m", "S", "ai"), ("sil", "AH", "M", "SH", "AY")),
        (("v", "ɑ", "ʃ"), ("V", "AA", "SH")),
    ],
)
def test_the_alphabet_of_labels_is_known_by_their_company(
    tmp_path: Path, labels: tuple[str, ...], phones: tuple[str, ...]
) -> None:
    """V is the sound of "vow" among capitals, and of "but" in SAMPA."""
    file = tmp_path / "a.TextGrid"
    intervals = [
        f'intervals [{i}]:\n xmin = {i}\n xmax = {i + 1}\n text = "{label}"\n'
        for i, label in enumerate(labels)
    ]
    file.write_text('item []:\n item [1]:\n name = "phones"\n' + "".join(intervals), "utf8")
    found = [phone for *_, phone in labelled_sentence(file)]
    assert [None if phone is None else PHONE_NAMES[phone] for phone in found] == list(phones)


@real_data
def test_lips_follow_speakers_that_no_training_saw() -> None:
    scores = list(score_lips(unseen_grid_clips(REAL / "grid")).values())
    assert len(scores) == 14
    # loudness alone reaches .44 on such sentences
    assert np.mean([one["aperture_r"] for one in scores]) > 0.6
    assert np.mean([one["jaw_r"] for one in scores]) > 0.5
    assert abs(np.median([one["lag_ms"] for one in scores])) <= 60
    assert 0.5 < np.mean([one["spread_ratio"] for one in scores]) < 1.6


@real_data
def test_lips_close_on_hand_labelled_p_b_m_and_open_on_vowels() -> None:
    counts = score_labelled(REAL / "speech")
    assert counts["closed"] >= 0.7 * counts["bilabials"] > 4
    assert counts["vowels_closed"] <= 0.15 * counts["vowels"]
