"""A result is whole or absent, and what cannot be written is said before the work."""

from pathlib import Path

import pytest

from app.output_file import check_output, written_beside
from avatar.errors import OutputError


def test_a_block_that_ends_well_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with written_beside(target) as beside:
        beside.write_text("whole")
        assert beside.suffix == ".txt"
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "whole"


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ValueError, SystemExit])
def test_a_block_that_breaks_off_leaves_nothing(
    tmp_path: Path, reason: type[BaseException]
) -> None:
    def begin_and_break_off() -> None:
        with written_beside(tmp_path / "a.txt") as beside:
            beside.write_text("half")
            raise reason

    with pytest.raises(reason):
        begin_and_break_off()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"a\.txt: cannot be written \(No space left on device\)"),
        written_beside(tmp_path / "a.txt"),
    ):
        raise OSError(28, "No space left on device")


def test_what_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.touch()
    folder = tmp_path / "folder.mp4"
    folder.mkdir()
    cases = {
        tmp_path / "film.avi": "expected the ending .mp4, got .avi",
        tmp_path / "film": "got none",
        tmp_path / "missing" / "film.mp4": "there is no folder",
        folder: "a folder of this name",
        film: "would overwrite what is read",
    }
    for path, reason in cases.items():
        with pytest.raises(OutputError, match=reason):
            check_output(path, (".mp4",), (film,))
    check_output(tmp_path / "new.MP4", (".mp4",), (film, tmp_path / "absent.wav"))
