"""How far a long command is: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LOG_EVERY_S = 10.0
"""Between lines where the output is not a terminal."""
REDRAWN_EVERY_S = 0.25
"""Between two states of one line on a terminal."""
_LINE_ABOVE = "\x1b[A\x1b[2K"
"""To its beginning, and empty it (ECMA-48: CUU, EL). So a line is always ended, and what others
print stands on its own."""
SETTLED = 0.1
"""The part of making an avatar after which the picture is known to show a face."""


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0.0:.1f}/s")


class Steps:
    """A count towards a known total, told to whoever watches."""

    def __init__(self, title: str, total: int, bar: Progress | None) -> None:
        self._title, self._total, self._bar = title, total, bar
        self._done = 0
        self._started_s = self._told_s = time.monotonic()
        self._task = bar.add_task(title, total=total) if bar else None

    @property
    def summary(self) -> str:
        """How much was done at which rate."""
        seconds = max(time.monotonic() - self._started_s, 1e-9)
        return f"{self._done} frames in {seconds:.1f} s, {self._done / seconds:.1f} a second"

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=steps)
            return
        now_s = time.monotonic()
        if now_s - self._told_s >= LOG_EVERY_S:
            self._told_s = now_s
            rate = self._done / (now_s - self._started_s)
            left_s = (self._total - self._done) / rate
            print(
                f"{self._title}: {self._done} of {self._total}, {rate:.1f}/s, {left_s:.0f} s left",
                file=sys.stderr,
            )


@contextmanager
def counted(title: str, total: int) -> Iterator[Steps]:
    """Show a bar with rate and time left on standard error while the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Steps(title, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Steps(title, total, bar)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """Show `text` while the block runs, where someone may be watching."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


class Stages:
    """A callback for work that reports a stage and a fraction, as making an avatar does.

    On a terminal a stage's line is brought up to date in its place; a log gets one for each stage
    and one every ten seconds. It gets none before the input was looked at (`SETTLED`): a refusal
    stays one line there.
    """

    def __init__(self) -> None:
        self._stage, self._told_s = "", 0.0
        self._watched = sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float) -> None:
        """`fraction` is of the whole work, 0..1."""
        if fraction < SETTLED and not self._watched:
            return
        now_s = time.monotonic()
        goes_on = stage == self._stage
        if goes_on and now_s - self._told_s < (REDRAWN_EVERY_S if self._watched else LOG_EVERY_S):
            return
        self._stage, self._told_s = stage, now_s
        back = _LINE_ABOVE if goes_on and self._watched else ""
        print(f"{back}[{100 * fraction:3.0f}%] {stage}", file=sys.stderr)
