"""The program `visavis`: reads the command line, runs one command, and reports in one line.

Exit status: 0 done, 1 bad input (one line on standard error says what), 2 wrong usage,
130 stopped with Ctrl-C. Heavy libraries are imported by the command that needs them, so that
`visavis --help` answers at once.
"""

import _thread
import importlib
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Any, Union, cast

import tyro

from app import settings
from avatar.errors import VisavisError

DESCRIPTION = """One portrait and any voice become a 3D head that talks with you.

Without a command: the live window with the bundled avatar, and the headset where one is connected;
on a machine without a display, a film of it saying the bundled line (visavis-demo.mp4).
"""

COMMANDS: dict[str, type] = {
    "make": settings.MakeSettings,
    "render": settings.RenderSettings,
    "turntable": settings.TurntableSettings,
    "still": settings.StillSettings,
    "export": settings.ExportSettings,
    "motion": settings.MotionSettings,
    "live": settings.LiveSettings,
    "calibrate": settings.CalibrateSettings,
    "doctor": settings.DoctorSettings,
}
"""Command NAME is the function NAME of `app.commands.NAME`; it takes these settings."""

SELF_DESCRIBED = {
    "bench": """Measure how long a frame takes on this machine, stage by stage.

For example:
  visavis bench --quick --json bench.json""",
    "evaluate": """Measure how like a person their avatar is, and how it moves when it speaks.

For example:
  visavis evaluate reenactment --avatar me.avatar --video me.mp4
  visavis evaluate likeness --portraits photos
  visavis evaluate motion --talking films""",
    "train": """Make the weights that ship with the program, or score them.

For example:
  visavis train speech --minutes 30 -o speech.safetensors""",
}
"""Commands that measure or train: their options stand beside them, in `app.commands.NAME`."""

STOPPED_WITH_CTRL_C = 130
STOPPED_BY_TERMINATE = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own); gives the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=os.environ.get("VISAVIS_LOG", "WARNING").upper())
    try:
        _run(arguments)
    except VisavisError as error:
        print(f"visavis: {_one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("visavis: stopped.", file=sys.stderr)
        return STOPPED_WITH_CTRL_C
    except BrokenPipeError:
        # `visavis doctor | head`: the reader has gone. Nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def entry_point() -> int:
    """What the installed program starts: `main`, and a polite end on a terminate signal too."""
    signal.signal(signal.SIGTERM, _end_politely)
    sys.unraisablehook = _end_soon
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Files may have names that are no text; their paths are printed as they came.
        sys.stdout.reconfigure(errors="surrogateescape")
    return main()


def _run(arguments: list[str]) -> None:
    """Parse and run; exits with status 2 for wrong usage."""
    if arguments == ["--version"]:
        print(version("visavis"))
        return
    if not arguments:
        _command("demo")(settings.DemoSettings())
        return
    name, *rest = arguments
    prog = f"visavis {name}"
    if name in COMMANDS:
        options = tyro.cli(COMMANDS[name], prog=prog, args=rest, config=_STYLE)
        _command(name)(options)
        return
    if name in SELF_DESCRIBED:
        what = SELF_DESCRIBED[name]
        tyro.cli(_command(name), prog=prog, description=what, args=rest, config=_STYLE)
        return
    # Not a command: this prints the list of them, or says what is wrong, and exits.
    explained = {name: kind.__doc__ or "" for name, kind in COMMANDS.items()} | SELF_DESCRIBED
    overview = [
        Annotated[
            COMMANDS.get(name, _Unnamed), tyro.conf.subcommand(name=name, description=summary)
        ]
        for name, text in explained.items()
        for summary in [text.partition("\n\n")[0]]
    ]
    every = cast("type", Union[tuple(overview)])  # noqa: UP007 (built from the table)
    tyro.cli(every, prog="visavis", description=DESCRIPTION, args=arguments, config=_STYLE)
    raise AssertionError("an unknown command was taken for a known one")


_STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)


@dataclass(frozen=True)
class _Unnamed:
    """Stands in the list of commands for one whose options are not loaded."""


def _command(name: str) -> Callable[[Any], None]:
    return getattr(importlib.import_module(f"app.commands.{name}"), name)


def _end_politely(signal_number: int, frame: FrameType | None) -> None:
    """Unwind as an exception does, so that half-written files are removed."""
    sys.exit(STOPPED_BY_TERMINATE)


ENDED_ANEW_S = 0.05


def _end_soon(lost: "sys.UnraisableHookArgs") -> None:
    """An end that was asked for while a library called back, where Python can raise nothing to
    anybody and would go on working: it is asked for again a moment later."""
    asked = {SystemExit: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}
    number = next((asked[kind] for kind in asked if lost.exc_type is kind), None)
    if number is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(ENDED_ANEW_S, _thread.interrupt_main, (number,))
    again.daemon = True
    again.start()


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(entry_point())
