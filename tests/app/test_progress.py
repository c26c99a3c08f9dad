"""What a person who waits is told, at a terminal and in a log."""

import sys

import pytest

from app import progress
from app.progress import LOG_EVERY_S, Stages


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that `time.monotonic` gives: the last entry."""
    seconds = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[-1])
    return seconds


def test_a_log_gets_a_line_for_a_stage_and_one_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
):
    tell = Stages()
    tell("looking", 0.0)
    for second in range(25):
        clock.append(200.0 + second)
        tell("refining", 0.2 + 0.01 * second)
    tell("done", 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert LOG_EVERY_S == 10
    assert lines == [
        "[ 20%] refining",
        "[ 30%] refining",
        "[ 40%] refining",
        "[100%] done",
    ]


def test_a_terminals_line_is_rewritten_while_the_stage_lasts(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    tell = Stages()
    tell("looking", 0.0)
    clock.append(101.0)
    tell("looking", 0.05)
    clock.append(101.01)
    tell("looking", 0.06)
    tell("refining", 0.2)
    text = capsys.readouterr().err
    assert text.splitlines() == [
        "[  0%] looking",
        "\x1b[A\x1b[2K[  5%] looking",
        "[ 20%] refining",
    ]
    assert text.endswith("\n"), "what others print begins a line of its own"
