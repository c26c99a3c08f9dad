"""What a person set, kept from one start to the next: settings and presets, as TOML.

A file that cannot be read is set aside under another name and told of; the program starts with
what it has by itself. A value that makes no sense is passed over, the others count.
"""

import json
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from app.light import (
    BACKDROPS,
    MOST_STOPS,
    PLAIN,
    USUAL_BACKDROP,
    Backdrop,
    Colour,
    Light,
    backdrop_of,
    is_colour,
)
from app.output_file import written_beside
from avatar.errors import OutputError
from avatar.motion.direction import (
    DISTANCE_LIMIT_M,
    EMOTION_NAMES,
    GAZE_LIMIT_RAD,
    HEAD_LIMIT_RAD,
    LEAST_ARTICULATION,
    MOST_ARTICULATION,
    STILLNESS_MOST,
    Direction,
)

FILE = "settings.toml"
PRESETS = "presets"
FORMAT = 1
GATE_OFF_DB = -80.0
"""Nothing is so quiet: the gate is always open."""
LEAST_GAIN, LARGEST_GAIN = 0.1, 8.0
LONGEST_NAME = 60


class LookAt(Enum):
    """Where the eyes go."""

    AHEAD = "ahead"
    """As the sliders say."""
    ME = "me"
    """To the camera, wherever it stands."""
    CURSOR = "cursor"


class Theme(Enum):
    """Colours of the panel."""

    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All that sliders set: what undo takes back and a preset keeps. Plain values, comparable."""

    emotion: tuple[float, ...] = (0.0,) * len(EMOTION_NAMES)
    gaze: tuple[float, float] = (0.0, 0.0)
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    distance: float = 0.0
    articulation: float = 1.0
    stillness: float = 1.0
    look_at: LookAt = LookAt.ME
    gain: float = 1.0
    gate_db: float = GATE_OFF_DB
    """Sound below it is silence to the face."""
    brightness: float = 0.0
    warmth: float = 0.0
    backdrop: str = USUAL_BACKDROP
    """Of `BACKDROPS`, or `PLAIN`."""
    backdrop_colour: Colour = (0.45, 0.47, 0.5)
    """Where it is plain, sRGB 0..1."""

    @property
    def direction(self) -> Direction:
        """What of it is for the generator."""
        return Direction(
            emotion=np.array(self.emotion, np.float32),
            gaze=self.gaze,
            head=self.head,
            distance=self.distance,
            articulation=self.articulation,
            stillness=self.stillness,
        )

    def directed(self, direction: Direction) -> "Look":
        """The same with another direction."""
        return replace(
            self,
            emotion=tuple(direction.emotion.astype(float).tolist()),
            gaze=tuple(map(float, direction.gaze)),
            head=tuple(map(float, direction.head)),
            distance=float(direction.distance),
            articulation=float(direction.articulation),
            stillness=float(direction.stillness),
        )

    @property
    def light(self) -> Light:
        return Light(self.brightness, self.warmth)

    @property
    def behind(self) -> Backdrop:
        return backdrop_of(self.backdrop, self.backdrop_colour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What is remembered from one start to the next."""

    avatar: str = ""
    """Name or path; empty: the one that ships."""
    microphone: str = ""
    """Empty: the system's default."""
    push_to_talk: bool = False
    theme: Theme = Theme.DARK
    panel: bool = True
    """Whether it shows."""
    full_screen: bool = False
    look: Look = field(default_factory=Look)


@dataclass(frozen=True, slots=True)
class Read:
    """Preferences as they were found, and what was wrong with them."""

    preferences: Preferences
    problem: str = ""
    """One line for the panel; empty where all is well."""


def read_preferences(folder: Path) -> Read:
    """The settings in this folder; the usual ones where there are none."""
    path = folder / FILE
    table, problem = _table(path)
    if table is None:
        return Read(Preferences(), problem)
    look = _taken(Look(), table.get("look"), _LOOK_CHECKS)
    return Read(replace(_taken(Preferences(), table, _CHECKS), look=look))


def write_preferences(preferences: Preferences, folder: Path) -> None:
    """Keep them in this folder, whole or as they were.

    Raises:
        OutputError: the folder cannot be made or the file not be written.
    """
    plain = {name: getattr(preferences, name) for name in _CHECKS}
    _write(folder / FILE, {**plain, "look": preferences.look})


def preset_names(folder: Path) -> list[str]:
    """Of the presets in this folder, in order."""
    return sorted((path.stem for path in (folder / PRESETS).glob("*.toml")), key=str.casefold)


def read_preset(name: str, folder: Path) -> tuple[Look | None, str]:
    """The look of a preset; or None and what is wrong with it, one line."""
    table, problem = _table(folder / PRESETS / f"{name}.toml")
    if table is None:
        return None, problem or f"preset {name!r}: there is none of this name any more."
    return _taken(Look(), table.get("look"), _LOOK_CHECKS), ""


def write_preset(name: str, look: Look, folder: Path) -> str:
    """Keep a look under this name, in the place of an older one; the name as it was kept.

    Raises:
        OutputError: it is no name, or the file cannot be written.
    """
    kept = preset_name(name)
    if not kept:
        raise OutputError("a preset wants a name of letters or digits, got none; type one.")
    _write(folder / PRESETS / f"{kept}.toml", {"look": look})
    return kept


def delete_preset(name: str, folder: Path) -> None:
    """Forget a preset.

    Raises:
        OutputError: the file cannot be removed.
    """
    path = folder / PRESETS / f"{name}.toml"
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed ({error.strerror or error}).") from error


def preset_name(text: str) -> str:
    """The text as a file of every system may be called; empty where nothing of it may."""
    kept = re.sub(r"[^\w .()+-]", "", text, flags=re.UNICODE).strip(" .")[:LONGEST_NAME].strip(" .")
    # Names that Windows keeps for devices.
    reserved = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", kept, flags=re.IGNORECASE)
    return f"{kept} preset" if reserved else kept


def _table(path: Path) -> tuple[dict[str, Any] | None, str]:
    """What the file holds; or None, and why where it is there: then it has another name now."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return (
            None,
            f"{path}: cannot be read ({error.strerror or error}); the usual settings count.",
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except OSError:
            return None, f"{path}: damaged (no TOML); the usual settings count."
        return None, f"{path.name} was damaged and is now {aside}; the usual settings count."


def _taken(usual: Any, table: object, checks: dict[str, Callable[[Any], Any]]) -> Any:
    """`usual` with each value of the table that its check takes."""
    values = table if isinstance(table, dict) else {}
    taken = {}
    for name, check in checks.items():
        if name in values:
            try:
                taken[name] = check(values[name])
            except (TypeError, ValueError):
                continue
    return replace(usual, **taken)


def _write(path: Path, table: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot be made ({error.strerror or error}); nothing is remembered."
        ) from error
    with written_beside(path) as beside:
        beside.write_text(toml_text(table), encoding="utf-8")


def toml_text(table: dict[str, Any]) -> str:
    """The table as TOML: plain values first, then a section for each record in it."""
    lines = [f"format = {FORMAT}"]
    sections = {name: value for name, value in table.items() if isinstance(value, Look)}
    lines += [f"{name} = {_value(value)}" for name, value in table.items() if name not in sections]
    for name, record in sections.items():
        lines += ["", f"[{name}]"]
        lines += [f"{each.name} = {_value(getattr(record, each.name))}" for each in fields(record)]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Of JSON's escapes TOML lacks none that are written here; it wants DEL escaped, too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    assert isinstance(value, float | int)
    return repr(round(value, 6)) if isinstance(value, float) else str(value)


def _within(least: float, most: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValueError(f"expected a number, got {value!r}")
        return min(max(float(value), least), most)

    return check


def _several(count: int, least: float, most: float) -> Callable[[Any], tuple[float, ...]]:
    each = _within(least, most)

    def check(value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise ValueError(f"expected {count} numbers, got {value!r}")
        return tuple(map(each, value))

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected text, got {value!r}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def _backdrop(value: Any) -> str:
    if value != PLAIN and value not in BACKDROPS:
        raise ValueError(f"expected one of {', '.join(BACKDROPS)}, got {value!r}")
    return value


def _colour(value: Any) -> Colour:
    if not is_colour(value):
        raise ValueError(f"expected three numbers 0..1, got {value!r}")
    red, green, blue = map(float, value)
    return red, green, blue


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "avatar": _text,
    "microphone": _text,
    "push_to_talk": _flag,
    "theme": Theme,
    "panel": _flag,
    "full_screen": _flag,
}
_LOOK_CHECKS: dict[str, Callable[[Any], Any]] = {
    "emotion": _several(len(EMOTION_NAMES), 0.0, 1.0),
    "gaze": _several(2, -GAZE_LIMIT_RAD, GAZE_LIMIT_RAD),
    "head": _several(3, -HEAD_LIMIT_RAD, HEAD_LIMIT_RAD),
    "distance": _within(-DISTANCE_LIMIT_M, DISTANCE_LIMIT_M),
    "articulation": _within(LEAST_ARTICULATION, MOST_ARTICULATION),
    "stillness": _within(0.0, STILLNESS_MOST),
    "look_at": LookAt,
    "gain": _within(LEAST_GAIN, LARGEST_GAIN),
    "gate_db": _within(GATE_OFF_DB, 0.0),
    "brightness": _within(-MOST_STOPS, MOST_STOPS),
    "warmth": _within(-1.0, 1.0),
    "backdrop": _backdrop,
    "backdrop_colour": _colour,
}
