"""`visavis evaluate motion`: what the generator makes of voices, part by part, as tables."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro
from rich.console import Console

if TYPE_CHECKING:
    from app.score_table import ScoreTable

Part = Literal[
    "lips", "closure", "liveliness", "control", "silence", "streaming", "robustness", "rig"
]
LOG_WIDTH = 120
"""Letters a line where the output is not a terminal, which would tell its own."""


@dataclass(frozen=True, kw_only=True)
class MotionEvaluation:
    """Measure the motion that voices are given: lips, life, control, silence, streaming.

    For example:
      visavis evaluate motion
      visavis evaluate motion --sounds voices --talking films --json motion.json
      visavis evaluate motion --parts streaming --hours 1

    Without a folder the bundled line is spoken. Lips are compared with those of real people only
    where --talking has films of them, closures are counted only where --labelled has phones.
    """

    sounds: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder of speech (WAV, FLAC, MP3, or films with sound), or one such file; without it what
    --talking and --labelled hold is used, or the bundled line."""
    labelled: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder of sounds, each with a Praat TextGrid of the same name that has a tier of phones."""
    talking: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A folder of films of talking people, with offsets.json: {"NAME.mp4": seconds by which the
    sound must be taken later than the picture}; films that it does not name count as in step."""
    rendered: bool = False
    """Compare the lips of the drawn avatar too, as FaceMesh sees them: some minutes."""
    avatar: Annotated[str, tyro.conf.arg(metavar="AVATAR")] = "default"
    """That is drawn."""
    parts: tuple[Part, ...] = get_args(Part)
    """What to measure."""
    quick: bool = False
    """Use the first seconds of a few sounds only: to see that it works, not to quote."""
    hours: float = 0.0
    """Let one generator run through so many hours of speech and silence in turn."""
    seed: int = 0
    """Of blinks, glances and disturbances."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write all figures as JSON to this file."""
    markdown: Annotated[Path | None, tyro.conf.arg(metavar="OUT.md")] = None
    """Write the tables to this page; in one that exists only the parts between
    <!-- table: NAME --> and <!-- end --> change."""

    def __post_init__(self) -> None:
        if not 0 <= self.hours <= 1000:
            raise ValueError(f"--hours {self.hours:g}: expected 0 to 1000")
        if not self.parts:
            raise ValueError("--parts: expected at least one part")


def evaluate_motion(task: MotionEvaluation) -> "tuple[list[ScoreTable], dict[str, object]]":
    """All tables, printed as they come, and the figures behind them.

    Raises:
        VisavisError: a folder, a sound or a film cannot be used.
    """
    from app.commands.motion_material import read_material
    from app.commands.motion_parts import PARTS

    material = read_material(task)
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    tables: list[ScoreTable] = []
    figures: dict[str, object] = {"quick": task.quick, "seed": task.seed}
    figures["sounds"] = {one.name: one.seconds for one in material.sounds}
    for part in task.parts:
        lacking = {"lips": not material.clips, "closure": not material.sentences}
        if lacking.get(part, False):
            where = "--talking" if part == "lips" else "--labelled"
            print(f"{part}: not measured, for that give {where} FOLDER", file=sys.stderr)
            continue
        given, figures[part] = PARTS[part](material)
        for table in given:
            table.show(console)
        tables += given
    return tables, figures
