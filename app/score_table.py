"""Tables of figures: on the screen, and as Markdown in a page of the documentation."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.output_file import written_beside
from avatar.errors import OutputError

NOT_MEASURED = "–"
_PLACE = re.compile(r"<!-- table: ([\w-]+) -->.*?<!-- end -->", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Figures under one title."""

    name: str
    """A word, by which a page names the place of the table."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Each as long as `columns`."""
    note: str = ""
    """What to know about it, a sentence or two."""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.title

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left", caption_justify="left")
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in self.rows:
            table.add_row(*row)
        table.caption = self.note or None
        console.print(table)

    def markdown(self) -> str:
        """The table as GitHub's Markdown has it, with its note beneath."""
        lines = [f"| {' | '.join(map(_cell, self.columns))} |"]
        lines.append(f"| --- |{' ---: |' * (len(self.columns) - 1)}")
        lines += [f"| {' | '.join(map(_cell, row))} |" for row in self.rows]
        return "\n".join(lines) + (f"\n\n{self.note}" if self.note else "")


Outcome = tuple[list[ScoreTable], dict[str, object]]
"""What a measure gives: tables, and the figures behind them for JSON."""


def number(value: float, digits: int = 2, unit: str = "", *, signed: bool = False) -> str:
    """A figure for a table; one that could not be measured is a dash."""
    if value != value or value in (float("inf"), float("-inf")):
        return NOT_MEASURED
    return f"{value:{'+' if signed else ''}.{digits}f}{unit}"


def share(value: float) -> str:
    """0..1 as a percentage."""
    return number(100 * value, 0, " %")


def check_page(path: Path) -> None:
    """Find out before the work whether `write_page` will know where to write.

    Raises:
        OutputError: the page cannot be read, or exists and has no place for a table.
    """
    if path.exists() and not _PLACE.search(_read(path)):
        raise OutputError(
            f"{path}: exists and has no place for a table. Expected lines such as "
            "<!-- table: lips --> and <!-- end -->; add them, or name a new file."
        )


def write_page(path: Path, tables: Sequence[ScoreTable]) -> list[str]:
    """A page with all the tables; in one that exists, only their places are filled.

    A place is what stands between `<!-- table: NAME -->` and `<!-- end -->`. Those of tables that
    were not measured stay as they are; their names are given back.

    Raises:
        OutputError: the page cannot be read or written.
    """
    known = {table.name: table for table in tables}
    left: list[str] = []
    if path.exists():

        def filled(place: re.Match[str]) -> str:
            if place[1] in known:
                return _place(known[place[1]])
            left.append(place[1])
            return place[0]

        text = _PLACE.sub(filled, _read(path))
    else:
        text = "\n".join(f"## {table.title}\n\n{_place(table)}\n" for table in tables)
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return left


def _place(table: ScoreTable) -> str:
    return f"<!-- table: {table.name} -->\n{table.markdown()}\n<!-- end -->"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: cannot be read as text ({error}).") from error
