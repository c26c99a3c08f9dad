"""How other programs spell MetaHuman's controls.

The published list writes `CTRL_L_brow_down-translateY`, Maya `CTRL_L_brow_down.translateY`, DNA
files and Unreal's face board `CTRL_L_brow_down.ty`. Rigs of newer MetaHumans renamed the tongue's
controls. Below the board, animation curves have a name for each raw expression:
`CTRL_expressions_browDownL`.
"""

from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from avatar.rig.metahuman import METAHUMAN_NAMES, control_table
from avatar.types import Float

Spelling = Literal["published", "maya", "unreal", "raw"]
Rig = Literal["old", "new"]
SPELLINGS: tuple[Spelling, ...] = get_args(Spelling)
RIGS: tuple[Rig, ...] = get_args(Rig)

RENAMED = {
    "CTRL_C_tongue": "CTRL_C_tongue_move",
    "CTRL_C_tongue_roll": "CTRL_C_tongue_bendTwist",
    "CTRL_C_tongue_tip": "CTRL_C_tongue_tipMove",
    "CTRL_C_tongue_narrowWide": "CTRL_C_tongue_wideNarrow",
}
"""Control of the published list -> the same in newer rigs."""
RAW_PREFIX = "CTRL_expressions_"


def control_names(spelling: Spelling = "published", rig: Rig = "old") -> tuple[str, ...]:
    """The 174 controls, or with "raw" the raw expressions, in the order of their columns."""
    if spelling == "raw":
        return tuple(f"{RAW_PREFIX}{name}" for name in control_table().raw_names)
    return tuple(_spelled(name, spelling, rig) for name in METAHUMAN_NAMES)


def control_index(name: str) -> int | None:
    """The column that a name in any spelling of either rig means; None for none of the 174."""
    return _index().get(name.lower())


def raw_values(controls: NDArray[np.floating]) -> Float:
    """[T, R] the raw expressions 0..1 that controls [T, 174] drive, in the order of
    `control_names("raw")`; those that the board makes in another way are not among them."""
    table = control_table()
    moved = (np.asarray(controls, np.float32) - table.rest) @ table.wiring.T
    return np.clip(moved, 0, 1).astype(np.float32)


def controls_of_raw(raw: NDArray[np.floating]) -> Float:
    """[T, 174] the controls that drive raw expressions [T, R] in that order."""
    table = control_table()
    controls = np.asarray(raw, np.float32) @ table.wiring + table.rest
    return np.clip(controls, table.least, table.most).astype(np.float32)


def _spelled(name: str, spelling: Spelling, rig: Rig) -> str:
    control, _, axis = name.rpartition("-translate")
    if rig == "new":
        control = RENAMED.get(control, control)
    if spelling == "unreal":
        return f"{control}.t{axis.lower()}"
    return f"{control}{'.' if spelling == 'maya' else '-'}translate{axis}"


@cache
def _index() -> dict[str, int]:
    return {
        name.lower(): column
        for spelling in SPELLINGS
        for rig in RIGS
        for column, name in enumerate(control_names(spelling, rig))
        if spelling != "raw"
    }
