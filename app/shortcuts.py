"""Keys and what they do: the one table for the keyboard and for its help."""

from dataclasses import dataclass
from enum import Enum

from imgui_bundle import imgui

from avatar.motion.direction import EMOTION_NAMES


class Action(Enum):
    """What a key can ask for."""

    FULL_SCREEN = "full screen, and back"
    BLINK = "blink"
    LOOK_AT_ME = "look at me, and ahead again"
    LOOK_AT_CURSOR = "look at the cursor, and ahead again"
    UNDO = "undo"
    REDO = "redo"
    OPEN = "open a portrait, avatar, sound or film"
    SAVE = "keep as a preset"
    THEME = "dark or light panel"
    AS_USUAL = "everything as usual"
    EMOTION = "an emotion; again: neutral"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One chord."""

    key: imgui.Key
    text: str
    """As the help says it."""
    action: Action
    control: bool = False
    shift: bool = False
    emotion: str = ""
    """For `Action.EMOTION`."""


def _digit(number: int) -> imgui.Key:
    return getattr(imgui.Key, f"_{number}")


FELT = tuple(name for name in EMOTION_NAMES if name != "neutral")
SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut(imgui.Key.f11, "F11", Action.FULL_SCREEN),
    Shortcut(imgui.Key.b, "B", Action.BLINK),
    Shortcut(imgui.Key.m, "M", Action.LOOK_AT_ME),
    Shortcut(imgui.Key.c, "C", Action.LOOK_AT_CURSOR),
    *(
        Shortcut(_digit(number), str(number), Action.EMOTION, emotion=name)
        for number, name in enumerate(FELT, start=1)
    ),
    Shortcut(_digit(0), "0", Action.AS_USUAL),
    Shortcut(imgui.Key.z, "Ctrl-Z", Action.UNDO, control=True),
    Shortcut(imgui.Key.z, "Ctrl-Shift-Z", Action.REDO, control=True, shift=True),
    Shortcut(imgui.Key.y, "Ctrl-Y", Action.REDO, control=True),
    Shortcut(imgui.Key.o, "Ctrl-O", Action.OPEN, control=True),
    Shortcut(imgui.Key.s, "Ctrl-S", Action.SAVE, control=True),
    Shortcut(imgui.Key.t, "T", Action.THEME),
)


def pressed() -> list[Shortcut]:
    """Chords pressed in this frame; none while text is typed."""
    io = imgui.get_io()
    if io.want_text_input:
        return []
    control = io.key_ctrl or io.key_super  # a Mac's Command
    return [
        each
        for each in SHORTCUTS
        if each.control == control
        and each.shift == io.key_shift
        and not io.key_alt
        and imgui.is_key_pressed(each.key, repeat=each.action in (Action.UNDO, Action.REDO))
    ]


def help_lines() -> list[tuple[str, str]]:
    """Chord and effect, a line each; the emotions in one."""
    lines = [
        (each.text, each.action.value) for each in SHORTCUTS if each.action is not Action.EMOTION
    ]
    lines.insert(4, (f"1 .. {len(FELT)}", ", ".join(FELT)))
    return lines
