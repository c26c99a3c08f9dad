"""Remembers where the wearer likes the avatar to stand, in the user's folder for settings."""

import json
import logging
import math
import os
import sys
from dataclasses import asdict, fields
from pathlib import Path

from app.output_file import written_beside
from app.placement import FURTHEST_M, LEAST_SCALE, MOST_SCALE, Relation
from avatar.errors import OutputError

log = logging.getLogger(__name__)

LIMITS = {
    "ahead_m": (-FURTHEST_M, FURTHEST_M),
    "right_m": (-FURTHEST_M, FURTHEST_M),
    "up_m": (-1.5, 1.5),
    "turn_rad": (-math.pi, math.pi),
    "scale": (LEAST_SCALE, MOST_SCALE),
}


def default_file() -> Path:
    """`placement.json` where this system keeps a user's settings."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "visavis" / "placement.json"


def read_relation(path: Path | None) -> Relation:
    """What was remembered; the usual place where nothing was, or nothing of sense."""
    if path is None:
        return Relation()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        values = {field.name: float(found[field.name]) for field in fields(Relation)}
    except (OSError, ValueError, TypeError, KeyError):
        return Relation()
    if any(not low <= values[name] <= high for name, (low, high) in LIMITS.items()):
        return Relation()  # not a number is not between them either
    return Relation(**values)


def write_relation(path: Path | None, relation: Relation) -> None:
    """Remember; where that cannot be written, say so and go on."""
    if path is None:
        return
    text = json.dumps(asdict(relation), indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except (OSError, OutputError) as error:
        log.warning("the avatar's place is not remembered: %s", error)
