"""`visavis make`: a usable avatar first, a better one in its place, and nothing half-written."""

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from app.__main__ import STOPPED_WITH_CTRL_C, main
from app.commands import make as command
from app.report import PAGE, PICTURES
from avatar.avatar_file import load_avatar
from avatar.fit import backends
from avatar.fit.backends import CardFitting
from avatar.fit.refine import Budget
from avatar.portrait.sitter import Sitter
from avatar.portrait.warnings import PROVENANCE_KEY, PortraitWarning, write_warnings
from avatar.types import Avatar


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "me & <you>.png"
    Image.fromarray(np.asarray(data.astronaut())).save(path)
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in ("make", *arguments)])


Refine = Callable[[Avatar, Path], Avatar]


@pytest.fixture
def made_of(
    monkeypatch: pytest.MonkeyPatch, small_avatar: Avatar, tmp_path: Path
) -> Callable[[Refine], Path]:
    """Puts the small avatar in the place of the long work; gives where the command is to write.

    The refinement is told the avatar and the path, to see what lies there by then.
    """
    warned = write_warnings([PortraitWarning("smile", "The person smiles.")])
    avatar = replace(small_avatar, provenance={PROVENANCE_KEY: warned})
    output = tmp_path / "me.avatar"

    def put(refine: Refine) -> Path:
        def refined(
            first: Avatar, sitter: Sitter, budget: Budget, *, device: str, tell: object
        ) -> Avatar:
            assert budget is not Budget.QUICK
            assert device == "auto"
            return refine(first, output)

        monkeypatch.setattr(command, "fit_sitter", lambda path, *, tell: None)
        monkeypatch.setattr(command, "first_avatar", lambda *_, name, tell: avatar)
        monkeypatch.setattr(command, "refined_avatar", refined)
        return output

    return put


@pytest.fixture(scope="module")
def made(portrait: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the command really ran: me.avatar, me.png, report, said.txt."""
    folder = tmp_path_factory.mktemp("made")
    result = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "app", "make", str(portrait), "-o", "me.avatar"),
            *("--budget", "quick", "--report", "report", "--preview", "me.png"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "me.avatar\n"), result.stderr
    assert {path.name for path in folder.iterdir()} == {"me.avatar", "report", "me.png"}
    (folder / "said.txt").write_text(result.stderr)
    return folder


def test_a_portrait_becomes_an_avatar_with_its_report_and_preview(made: Path):
    assert "note: The mouth is open" in (made / "said.txt").read_text()
    assert (made / "me.avatar").stat().st_size < 12e6
    report = made / "report"
    assert {path.name for path in report.iterdir()} == {PAGE, *PICTURES}
    page = (report / PAGE).read_text(encoding="utf-8")
    assert "The mouth is open" in page
    assert "<you>" not in page
    with Image.open(made / "me.png") as picture:
        assert picture.size == (512, 512)
    thumbnail = load_avatar(made / "me.avatar").thumbnail
    assert thumbnail.shape == (128, 128, 3)
    assert thumbnail.std() > 20


def test_the_same_portrait_gives_the_same_file_under_any_name(
    made: Path, portrait: Path, tmp_path: Path
):
    assert run(portrait, "-o", tmp_path / "you.avatar", "--budget", "quick") == 0
    assert (tmp_path / "you.avatar").read_bytes() == (made / "me.avatar").read_bytes()


def test_a_usable_avatar_lies_there_before_the_refinement_and_a_better_one_after(
    made_of: Callable[[Refine], Path], small_avatar: Avatar, portrait: Path, tmp_path: Path
):
    preview = tmp_path / "me.png"
    seen: list[bytes] = []

    def refine(first: Avatar, output: Path) -> Avatar:
        assert len(load_avatar(output)) == len(small_avatar)
        seen.append(preview.read_bytes())
        return replace(first, colour=1 - first.colour)

    output = made_of(refine)
    assert run(portrait, "-o", output, "--preview", preview) == 0
    np.testing.assert_allclose(load_avatar(output).colour, 1 - small_avatar.colour, atol=1e-3)
    assert seen != [preview.read_bytes()], "the preview shows the finished one"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_refinement_keeps_the_first_avatar_and_is_told(
    stop: type[BaseException],
    made_of: Callable[[Refine], Path],
    small_avatar: Avatar,
    portrait: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    def refine(first: Avatar, output: Path) -> Avatar:
        raise stop

    output = made_of(refine)
    if stop is KeyboardInterrupt:
        assert run(portrait, "-o", output) == STOPPED_WITH_CTRL_C
    else:
        with pytest.raises(SystemExit):
            run(portrait, "-o", output)
    assert f"{output} holds the first avatar, whole" in capsys.readouterr().err
    np.testing.assert_array_equal(load_avatar(output).vertices, small_avatar.vertices)
    assert [path.name for path in tmp_path.iterdir()] == ["me.avatar"]


def test_quick_does_not_refine(made_of: Callable[[Refine], Path], portrait: Path):
    def refine(first: Avatar, output: Path) -> Avatar:
        raise AssertionError("refined")

    output = made_of(refine)
    assert run(portrait, "-o", output, "--budget", "quick") == 0
    assert output.exists()


def test_what_will_look_poor_is_a_note_on_standard_error(
    made_of: Callable[[Refine], Path], portrait: Path, capsys: pytest.CaptureFixture[str]
):
    output = made_of(lambda first, _: first)
    assert run(portrait, "-o", output) == 0
    said = capsys.readouterr()
    assert "note: The person smiles.\n" in said.err
    assert said.out == f"{output}\n"


def test_a_card_that_cannot_fit_avatars_is_told_before_the_work(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(
        backends, "fitting_on_card", lambda: CardFitting(False, "no gsplat", "Get it.")
    )
    monkeypatch.setattr(command, "fit_sitter", lambda *_, **__: pytest.fail("worked"))
    asked = (portrait, "-o", tmp_path / "me.avatar", "--device", "cuda")
    assert "no gsplat. Get it. Or use --device cpu." in refused(capsys, *asked)


def test_an_earlier_avatar_stays_when_the_new_picture_is_refused(tmp_path: Path):
    output, empty = tmp_path / "me.avatar", tmp_path / "empty.png"
    output.write_bytes(b"earlier")
    Image.new("RGB", (300, 300), (90, 120, 150)).save(empty)
    report = tmp_path / "report"
    assert run(empty, "-o", output, "--report", report, "--preview", tmp_path / "p.png") == 1
    assert output.read_bytes() == b"earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"me.avatar", "empty.png"}


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(*arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("visavis: ")
    return line


def test_what_cannot_be_written_is_refused_before_the_work(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output, file = tmp_path / "me.avatar", tmp_path / "file"
    file.touch()
    make = (portrait, "-o", output)
    assert "a file of this name" in refused(capsys, *make, "--report", file)
    assert "no folder" in refused(capsys, *make, "--report", tmp_path / "gone" / "report")
    assert "expected the ending .png" in refused(capsys, *make, "--preview", tmp_path / "p.jpg")
    assert "would overwrite" in refused(capsys, *make, "--preview", portrait)
    assert "expected the ending .avatar" in refused(capsys, portrait, "-o", tmp_path / "me.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_stops_the_making_finds_no_half_file(
    number: signal.Signals, status: int, portrait: Path, tmp_path: Path
):
    process = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "app", "make", str(portrait), "-o", "me.avatar"),
            *("--report", "report", "--preview", "me.png"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    first = process.stderr.readline()  # the first stage after the face was found
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert "shaping" in first
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_disk_that_is_full_is_told_in_one_line_and_keeps_the_older_file(
    small_avatar: Avatar, portrait: Path, made_of: Callable[[Refine], Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    import resource

    output = made_of(lambda first, _: first)
    output.write_bytes(b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        status = run(portrait, "-o", output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert status == 1
    assert "cannot be written" in capsys.readouterr().err
    assert output.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["me.avatar"]
