"""An avatar goes out as a .ply that stands still, and is drawn from there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.__main__ import main
from app.bundled import avatar_path
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from render.camera import orbit_view
from render.choose import open_renderer
from tests.app.test_command_line import refused


def run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture
def head(tmp_path: Path, small_avatar_file: Path) -> Path:
    path = tmp_path / "head.ply"
    run("export", "--avatar", small_avatar_file, "-o", path)
    return path


def test_the_default_avatar_looks_the_same_from_its_file(tmp_path, capsys):
    exported, picture = tmp_path / "head.ply", tmp_path / "head.png"
    run("export", "-o", exported)
    avatar = load_avatar(avatar_path(DEFAULT_AVATAR))
    megabytes = exported.stat().st_size / 1e6
    told = f"{exported}: {len(avatar):,} Gaussians, {megabytes:.1f} MB\n"
    assert capsys.readouterr().out == told
    run(
        "still",
        "--avatar",
        exported,
        "-o",
        picture,
        "--view",
        "30,10,0.8",
        "--background",
        "000000",
    )
    assert capsys.readouterr().err == ""
    view = orbit_view(np.radians(30), np.radians(10), 0.8)
    [expected] = open_renderer().render(Deformer(avatar).gaussians(), [view])
    assert np.abs(pixels(picture) - expected).max() <= 1
    assert expected.max() > 100


def test_an_expression_is_exported_as_the_still_shows_it(tmp_path, small_avatar_file):
    smile, first, second = (tmp_path / name for name in ("smile.ply", "a.png", "b.png"))
    said = ["--expression", "jawOpen:0.8,mouthSmileLeft:1"]
    run("export", "--avatar", small_avatar_file, "-o", smile, *said)
    run("still", "--avatar", small_avatar_file, "-o", first, "--size", "96", *said)
    run("still", "--avatar", smile, "-o", second, "--size", "96")
    assert np.abs(pixels(first) - pixels(second)).max() <= 1


def test_what_stands_still_is_not_moved(tmp_path, head, capsys):
    still = ["still", "--avatar", head, "-o", tmp_path / "f.png", "--expression", "jawOpen:1"]
    capsys.readouterr()
    assert "expected no --expression, got jawOpen" in refused(capsys, still)
    sound = tmp_path / "none.wav"
    for command in (
        ["render", "--avatar", head, "--audio", sound, "-o", tmp_path / "f.mp4"],
        ["live", "--avatar", head, "--display", "none", "--seconds", "1"],
        ["export", "--avatar", head, "-o", tmp_path / "again.ply"],
    ):
        assert "visavis still" in refused(capsys, command)
    assert [path.name for path in tmp_path.iterdir()] == ["head.ply"]


def test_bad_files_and_places_are_refused_in_one_line(tmp_path, head, small_avatar_file, capsys):
    capsys.readouterr()
    cut = tmp_path / "cut.ply"
    cut.write_bytes(head.read_bytes()[:-1])
    avatar = tmp_path / "avatar.ply"
    avatar.write_bytes(small_avatar_file.read_bytes())
    for path, reason in ((cut, "cut short"), (avatar, "begins with"), (tmp_path, "a folder")):
        assert reason in refused(capsys, ["still", "--avatar", path, "-o", tmp_path / "f.png"])
    for path, reason in (
        (tmp_path / "a.obj", "ending .ply"),
        (tmp_path / "no" / "a.ply", "folder"),
    ):
        assert reason in refused(capsys, ["export", "--avatar", small_avatar_file, "-o", path])
    assert not list(tmp_path.glob("*.png"))


def test_what_a_foreign_file_is_taken_for_is_told(tmp_path, head, capsys):
    foreign = tmp_path / "foreign.ply"
    lines = head.read_bytes()
    row = 4 * 17
    lines = lines.replace(b"comment visavis", b"comment another")[:-row] + b"\xff" * row
    foreign.write_bytes(lines)
    capsys.readouterr()
    run("still", "--avatar", foreign, "-o", tmp_path / "f.png")
    told = capsys.readouterr().err
    assert "1 damaged Gaussians were left out" in told
    assert "--view 180,180,1" in told
    run("still", "--avatar", head, "-o", tmp_path / "g.png")
    off = np.abs(pixels(tmp_path / "f.png") - pixels(tmp_path / "g.png"))
    assert off.mean() < 0.01  # one splat is missing
