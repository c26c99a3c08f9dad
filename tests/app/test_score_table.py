"""Tables of figures: as Markdown, and into the places that a page has for them."""

from pathlib import Path

import pytest

from app.score_table import NOT_MEASURED, ScoreTable, check_page, number, share, write_page
from avatar.errors import OutputError

LIPS = ScoreTable(
    name="lips",
    title="Lips",
    columns=("clip", "r"),
    rows=(("a|b.mp4", "0.61"), ("mean", NOT_MEASURED)),
    note="At lag 0.",
)
GAZE = ScoreTable(name="gaze", title="Gaze", columns=("asked", "got"), rows=(("15", "14"),))


def test_a_table_is_markdown_that_github_reads() -> None:
    assert LIPS.markdown() == (
        "| clip | r |\n| --- | ---: |\n| a\\|b.mp4 | 0.61 |\n| mean | – |\n\nAt lag 0."
    )


def test_a_new_page_has_all_tables_and_can_be_filled_again(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    check_page(page)
    assert write_page(page, [LIPS, GAZE]) == []
    first = page.read_text()
    assert first.index("## Lips") < first.index("0.61") < first.index("## Gaze")
    check_page(page)
    write_page(page, [LIPS, GAZE])
    assert page.read_text() == first


def test_only_the_places_of_what_was_measured_change(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Words before.\n<!-- table: gaze -->\nold gaze\n<!-- end -->\nbetween\n"
        "<!-- table: lips -->\n<!-- end -->\nafter <!-- end -->\n"
    )
    assert write_page(page, [LIPS]) == ["gaze"]
    assert page.read_text() == (
        "Words before.\n<!-- table: gaze -->\nold gaze\n<!-- end -->\nbetween\n"
        f"<!-- table: lips -->\n{LIPS.markdown()}\n<!-- end -->\nafter <!-- end -->\n"
    )


def test_a_page_without_places_is_not_overwritten(tmp_path: Path) -> None:
    page = tmp_path / "diary.md"
    page.write_text("Dear diary")
    with pytest.raises(OutputError, match="no place for a table"):
        check_page(page)
    page.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OutputError, match="cannot be read as text"):
        check_page(page)


def test_what_could_not_be_measured_is_a_dash() -> None:
    assert number(float("nan")) == number(float("inf")) == share(float("nan")) == NOT_MEASURED
    assert number(0.256) == "0.26"
    assert number(3.14, 0, " ms", signed=True) == "+3 ms"
    assert share(0.305) == "30 %"
