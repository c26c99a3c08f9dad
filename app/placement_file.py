"""Remembers where the wearer likes the avatar to stand and the panel to hang, in the user's folder
for settings."""

import json
import logging
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from app.output_file import written_beside
from app.placement import FURTHEST_M, LEAST_SCALE, MOST_SCALE, Relation
from app.room_panel import FURTHEST_HELD_M, PanelRelation
from avatar.errors import OutputError

log = logging.getLogger(__name__)

Kind = TypeVar("Kind", Relation, PanelRelation)

AVATAR_LIMITS = {
    "ahead_m": (-FURTHEST_M, FURTHEST_M),
    "right_m": (-FURTHEST_M, FURTHEST_M),
    "up_m": (-1.5, 1.5),
    "turn_rad": (-math.pi, math.pi),
    "scale": (LEAST_SCALE, MOST_SCALE),
}
PANEL_LIMITS: dict[str, tuple[float, float]] = dict.fromkeys(
    ("ahead_m", "right_m", "up_m"), (-FURTHEST_HELD_M, FURTHEST_HELD_M)
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is kept from one session to the next."""

    avatar: Relation = field(default_factory=Relation)
    panel: PanelRelation = field(default_factory=PanelRelation)


def default_file() -> Path:
    """`placement.json` where this system keeps a user's settings."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "visavis" / "placement.json"


def read_remembered(path: Path | None) -> Remembered:
    """What was remembered; the usual place of whatever was not, or is nothing of sense."""
    if path is None:
        return Remembered()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Remembered()
    avatar = _read(found, "avatar", Relation, AVATAR_LIMITS)
    return Remembered(avatar, _read(found, "panel", PanelRelation, PANEL_LIMITS))


def write_remembered(path: Path | None, remembered: Remembered) -> None:
    """Remember; where that cannot be written, say so and go on."""
    if path is None:
        return
    text = json.dumps(asdict(remembered), indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except (OSError, OutputError) as error:
        log.warning("the avatar's place is not remembered: %s", error)


def _read(
    found: Any, part: str, kind: type[Kind], limits: Mapping[str, tuple[float, float]]
) -> Kind:
    try:
        values = {one.name: float(found[part][one.name]) for one in fields(kind)}
    except (ValueError, TypeError, KeyError, OverflowError):
        return kind()
    if any(not low <= values[name] <= high for name, (low, high) in limits.items()):
        return kind()  # not a number is not between them either
    return kind(**values)
