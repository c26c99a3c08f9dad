"""`visavis evaluate motion`: what it takes, prints, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.__main__ import main
from app.bundled import SAMPLE_LINE
from app.commands import motion_material
from app.motion_track import spoken
from app.seen_face import SeenFace
from avatar.head.template import load_template
from avatar.types import Float
from tests.app.sounds import tone, write_wav


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """A folder with two seconds of the bundled line."""
    from app.sound_file import read_blocks

    folder = tmp_path / "voices"
    folder.mkdir()
    samples = np.concatenate(list(read_blocks(SAMPLE_LINE)))[:32_000]
    write_wav(folder / "line.wav", 16_000, samples)
    return folder


def evaluated(tmp_path: Path, *arguments: object) -> dict:
    """The JSON of a run."""
    out = tmp_path / "out.json"
    assert main([*map(str, ("evaluate", "motion", "--quick", "--json", out, *arguments))]) == 0
    return json.loads(out.read_text())


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, ("evaluate", "motion", *arguments))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def speaking_landmarks(sound: Path, fps: float) -> Float:
    """[T, 478, 3] of a face whose lips do what the generator's do on this sound."""
    template = load_template()
    corners = template.triangles[template.landmark_triangle]
    weights = template.landmark_barycentric[..., None]
    rest = (template.vertices[corners] * weights).sum(1)
    basis = (template.expression_basis[:, corners] * weights).sum(2)
    frames = list(spoken(sound, seed=0))
    moved = [rest + np.tensordot(frame.expression, basis, 1) for frame in frames]
    return 1000 * np.stack(moved[:: round(50 / fps)]).astype(np.float32)


def test_streaming_is_measured_on_ones_own_sounds_and_written(
    tmp_path: Path, voice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "tables.md"
    parts = ("--sounds", voice, "--parts", "streaming", "closure", "--markdown", page)
    figures = evaluated(tmp_path, *parts)
    assert list(figures["sounds"]) == ["line.wav"]
    assert max(figures["streaming"]["block_differences"].values()) <= 1e-4
    assert max(figures["streaming"]["changed_before"]) == 0
    assert "closure" not in figures
    said = capsys.readouterr()
    assert "real-time factor" in said.out
    assert "closure: not measured, for that give --labelled FOLDER" in said.err
    assert "<!-- table: streaming -->" in page.read_text()


def test_a_films_lips_are_compared_at_its_offset_and_life_and_rig_on_its_sound(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    voice: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A person who moves as the generator does, in a film whose sound comes 80 ms late."""
    sound = voice / "line.wav"
    landmarks = speaking_landmarks(sound, 25.0)
    (voice / "film.mp4").write_bytes(sound.read_bytes())
    (voice / "offsets.json").write_text('{"film.mp4": 0.08}')
    monkeypatch.setattr(
        motion_material,
        "face_in_film",
        lambda video, seconds: SeenFace(fps=25.0, landmarks=landmarks),
    )
    parts = ("--parts", "lips", "liveliness", "rig", "--rendered")
    figures = evaluated(tmp_path, "--talking", voice, *parts)
    found = figures["lips"]["template"]["film.mp4"]
    # the first frame's instant is 10 ms: of the 80 ms asked 70 remain
    assert found["lag_ms"] in (-60, -80)
    assert found["best_r"] > 0.97 > found["aperture_r"]
    assert found["spread_ratio"] == pytest.approx(1, abs=0.1)
    assert len(figures["liveliness"]["by_emotion"]) == 8
    assert figures["liveliness"]["by_emotion"]["neutral"]["head_degrees"] > 0
    assert "separation" not in figures["rig"], "one sound cannot be learnt from and tried on"
    assert figures["rig"]["soundness"]["outside"] == 0
    assert figures["rig"]["soundness"]["not_finite"] == 0
    assert figures["rig"]["by_emotion"]["neutral"]["nose"] > 0.02
    assert ".1174" in capsys.readouterr().out
    jerk = figures["rig"]["jerk"]
    assert jerk["real faces, filmed"] == {}, "the film itself shows nobody"
    seen, exported = jerk["neutral, drawn and followed"], jerk["neutral"]
    assert 0 < seen["mouth"][0] < exported["mouth"][0]
    assert seen["tongue"] == [0, 0] < exported["tongue"]


def test_without_a_folder_the_bundled_line_is_spoken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(motion_material, "_QUICK_S", 1.5)
    figures = evaluated(tmp_path, "--parts", "robustness")
    assert all(row["finite"] for rows in figures["robustness"].values() for row in rows)
    said = capsys.readouterr().out
    assert "whispered" in said


def test_what_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no such file or folder" in refused(capsys, "--sounds", tmp_path / "none")
    assert "holds none of" in refused(capsys, "--sounds", empty)
    assert "no Praat TextGrid" in refused(capsys, "--labelled", empty)
    assert "no such folder" in refused(capsys, "--labelled", tmp_path / "none")
    silent = write_wav(tmp_path / "silent.wav", 16_000, 0 * tone(1.0, 16_000))
    assert "only silence" in refused(capsys, "--sounds", silent)
    (tmp_path / "noise.wav").write_bytes(b"no sound at all")
    assert "noise.wav" in refused(capsys, "--sounds", tmp_path / "noise.wav")
    assert ".json" in refused(capsys, "--json", tmp_path / "a.txt")
    page = tmp_path / "page.md"
    page.write_text("words")
    assert "no place for a table" in refused(capsys, "--markdown", page)
    assert "holds none of" in refused(capsys, "--talking", empty)
    (empty / "film.mp4").write_bytes(b"no film")
    (empty / "offsets.json").write_text("[1, 2]")
    assert "offsets.json" in refused(capsys, "--talking", empty)


@pytest.mark.parametrize("words", [("--hours", "-1"), ("--parts", "noses"), ("--parts",)])
def test_wrong_usage_has_status_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", "motion", *words])
    assert caught.value.code == 2
