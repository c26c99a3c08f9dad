"""A face as the 174 controls of a MetaHuman.

`from_arkit` lifts the 52 ARKit weights and the gaze by rules: what the ARKit weights cannot tell
(lip thickness, nostrils, sticky lips, teeth) stays at rest. It is a first, honest lift and
moves fewer controls than a performer would; a network that learns from recorded rigs is meant to
take its place behind the same function.

Two steps. ARKit weight -> raw expressions (`CTRL_expressions_*`): the weights of Epic's pose asset
`PA_MetaHuman_ARKit_Mapping`, which Unreal applies to Live Link Face. Raw expressions -> controls:
the face board's own wiring, in `assets/rig/metahuman_controls.csv` (sources beside it).
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AssetError
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float

CONTROL_COUNT = 174
CONTROLS_FILE = "rig/metahuman_controls.csv"

LOOK_SIDEWAYS_RAD = np.radians(40.0)
"""Turn of an eye at translateX = 1 (towards the character's left) and at -1."""
LOOK_UP_RAD = np.radians(30.0)
"""Turn of an eye at translateY = 1."""
LOOK_DOWN_RAD = np.radians(40.0)
"""Turn of an eye at translateY = -1."""
LEAST_JAW = 0.02
"""Below this opening of the jaw the ratio of `mouthClose` to it is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTable:
    """The face board as the asset lists it."""

    names: tuple[str, ...]
    """[174] as Maya spells them: `CTRL_L_brow_down-translateY`."""
    regions: tuple[str, ...]
    """[174] brow, ear, eye, eyelashes, jaw, mouth, neck, nose, teeth or tongue."""
    least: Float
    """[174] lower end of the range, -1 or 0."""
    most: Float
    """[174] upper end of the range."""
    rest: Float
    """[174] a neutral face."""
    raw_names: tuple[str, ...]
    """[R] the raw expressions that some control drives."""
    wiring: Float
    """[R, 174] +1 where the control's positive side drives the expression, -1 its negative one."""


@cache
def control_table() -> ControlTable:
    """The table, read once.

    Raises: AssetError where the file is missing or is not such a table.
    """
    try:
        text = (files("assets") / CONTROLS_FILE).read_text(encoding="utf-8")
        rows = list(csv.DictReader(text.splitlines(), restval=""))
        names = tuple(row["name"] for row in rows)
        regions = tuple(row["region"] for row in rows)
        driven = [_signed_names(row["raw_expressions"]) for row in rows]
        least, most, rest = (
            np.array([float(row[column]) for row in rows], np.float32)
            for column in ("least", "most", "rest")
        )
    except (OSError, KeyError, ValueError, UnicodeError) as error:
        raise AssetError(
            f"assets/{CONTROLS_FILE}: expected the table of MetaHuman controls, got {error!r}. "
            "Install the program again."
        ) from error
    if len(names) != CONTROL_COUNT or len(set(names)) != CONTROL_COUNT:
        raise AssetError(
            f"assets/{CONTROLS_FILE}: expected {CONTROL_COUNT} different controls, got "
            f"{len(set(names))}. Install the program again."
        )
    raw_names = tuple(raw for signed in driven for raw in signed)
    wiring = np.zeros((len(raw_names), CONTROL_COUNT), np.float32)
    for column, signed in enumerate(driven):
        for raw, sign in signed.items():
            wiring[raw_names.index(raw), column] = sign
    return ControlTable(
        names=names, regions=regions, least=least, most=most, rest=rest,
        raw_names=raw_names, wiring=wiring,
    )  # fmt: skip


def _signed_names(text: str) -> dict[str, float]:
    """ "+jawRight; -jawLeft" -> each name with its sign. Raises: ValueError without a sign."""
    signed = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        if part[0] not in "+-":
            raise ValueError(f"{part!r} has no sign")
        signed[part[1:]] = 1.0 if part[0] == "+" else -1.0
    return signed


def _quarters(stem: str, weight: float) -> dict[str, float]:
    """The same weight for all four parts of the lips: upper and lower, left and right."""
    return {f"{stem}{part}": weight for part in ("UL", "UR", "DL", "DR")}


def _both_sides(arkit: str, *raw: str) -> dict[str, dict[str, float]]:
    """`arkit`Left and `arkit`Right drive the raw expressions of their side, weight 1."""
    return {
        f"{arkit}{side}": {f"{name}{side[0]}": 1.0 for name in raw} for side in ("Left", "Right")
    }


RAW_OF_ARKIT: dict[str, dict[str, float]] = {
    **_both_sides("eyeBlink", "eyeBlink"),
    **_both_sides("eyeSquint", "eyeSquintInner"),
    **_both_sides("eyeWide", "eyeWiden"),
    **_both_sides("eyeLookUp", "eyeLookUp"),
    **_both_sides("eyeLookDown", "eyeLookDown"),
    # In is towards the nose: the left eye's right, the right eye's left.
    "eyeLookInLeft": {"eyeLookRightL": 1.0},
    "eyeLookOutLeft": {"eyeLookLeftL": 1.0},
    "eyeLookInRight": {"eyeLookLeftR": 1.0},
    "eyeLookOutRight": {"eyeLookRightR": 1.0},
    "jawForward": {"jawFwd": 1.0},
    "jawLeft": {"jawLeft": 1.0},
    "jawRight": {"jawRight": 1.0},
    "jawOpen": {"jawOpen": 1.0},
    # mouthClose is not in this table: it is measured against jawOpen, see `from_arkit`.
    "mouthFunnel": _quarters("mouthFunnel", 1.0),
    "mouthPucker": {
        **_quarters("mouthLipsPurse", 1.0),
        **_quarters("mouthLipsTowards", 0.412),
        **_quarters("mouthFunnel", 0.752),
    },
    "mouthLeft": {"mouthLeft": 1.0},
    "mouthRight": {"mouthRight": 1.0},
    **_both_sides("mouthSmile", "mouthCornerPull"),
    **_both_sides("mouthFrown", "mouthCornerDepress"),
    **_both_sides("mouthDimple", "mouthDimple"),
    **_both_sides("mouthStretch", "mouthStretch"),
    "mouthRollLower": {
        **{f"mouthLowerLipRollIn{side}": 1.0 for side in "LR"},
        **{f"mouthUpperLipRollIn{side}": 0.5 for side in "LR"},
    },
    "mouthRollUpper": {f"mouthUpperLipRollIn{side}": 1.0 for side in "LR"},
    "mouthShrugLower": {f"jawChinRaiseD{side}": 1.0 for side in "LR"},
    "mouthShrugUpper": {f"jawChinRaiseU{side}": 1.0 for side in "LR"},
    **_both_sides("mouthPress", "mouthPressU", "mouthPressD"),
    **_both_sides("mouthLowerDown", "mouthLowerLipDepress"),
    **_both_sides("mouthUpperUp", "mouthUpperLipRaise"),
    **_both_sides("browDown", "browDown"),
    "browInnerUp": {f"brow{part}{side}": 1.0 for part in ("Lateral", "RaiseIn") for side in "LR"},
    **_both_sides("browOuterUp", "browRaiseIn", "browRaiseOuter"),
    "cheekPuff": {
        f"mouth{part}Blow{side}": 1.0 for part in ("Cheek", "Lips") for side in "LR"
    },
    **_both_sides("cheekSquint", "eyeCheekRaise"),
    **_both_sides("noseSneer", "noseWrinkle"),
    "tongueOut": {"tongueOut": 0.769, "tongueDown": 0.826, "tongueWide": 0.628,
                  "tongueRollDown": 0.247},
}  # fmt: skip
"""What 1 of each ARKit weight adds to the raw expressions (Epic's `PA_MetaHuman_ARKit_Mapping`)."""

RAW_OF_TONGUE: dict[str, dict[str, float]] = {
    "tongueTipUp": {"tongueTipUp": 1.0},
    "tongueUp": {"tongueUp": 1.0},
    # As far as between the teeth: a quarter of the way out.
    "tongueForward": {"tongueOut": 0.25},
}
"""What 1 of each of `TONGUE_NAMES` adds to them."""

METAHUMAN_NAMES: tuple[str, ...] = control_table().names
"""The 174 controls, in the order of the columns of `from_arkit`."""


@cache
def _raw_from_arkit() -> Float:
    """[52 + 3, R] `RAW_OF_ARKIT` and `RAW_OF_TONGUE` as a matrix."""
    table, names = control_table(), (*ARKIT_NAMES, *TONGUE_NAMES)
    matrix = np.zeros((len(names), len(table.raw_names)), np.float32)
    for name, parts in {**RAW_OF_ARKIT, **RAW_OF_TONGUE}.items():
        for raw, weight in parts.items():
            matrix[names.index(name), table.raw_names.index(raw)] = weight
    return matrix


def from_arkit(
    expression: NDArray[np.floating],
    gaze: NDArray[np.floating] | None = None,
    head_rotation: NDArray[np.floating] | None = None,
    tongue: NDArray[np.floating] | None = None,
) -> Float:
    """[T, 174] controls, each within its range, of T frames.

    `expression` [T, 52] weights 0..1 in the order of `ARKIT_NAMES`. `gaze` [T, 2] yaw (towards
    the character's left) and pitch (up) of both eyes, radians: where it is given it turns the
    eyes and the eight eyeLook weights, which say the same again, are not added. `head_rotation`
    [T, 3] is taken so that a learned lift can use it: none of the 174 controls turns the head
    (a MetaHuman's head is a bone), so here it moves nothing. `tongue` [T, 3] weights 0..1 in the
    order of `TONGUE_NAMES`.

    Numbers outside their range are clipped; those that are not finite count as rest. A neutral
    face gives `control_table().rest`.
    """
    table = control_table()
    weights = _sound_weights(expression)
    assert weights.shape[1:] == (52,), f"expression: expected [T, 52], got {list(weights.shape)}"
    assert head_rotation is None or np.shape(head_rotation) == (len(weights), 3)
    tongue = np.zeros((len(weights), len(TONGUE_NAMES))) if tongue is None else tongue
    assert np.shape(tongue) == (len(weights), len(TONGUE_NAMES)), "tongue: expected [T, 3]"
    raw = np.concatenate([weights, _sound_weights(tongue)], 1) @ _raw_from_arkit()
    raw[:, _lips_together()] = _lips_closed_over_jaw(weights)[:, None]
    controls = np.clip(raw, 0, 1) @ table.wiring + table.rest
    if gaze is not None:
        assert np.shape(gaze) == (len(weights), 2), "gaze: expected [T, 2]"
        turned = _eye_controls(np.nan_to_num(gaze, nan=0, posinf=0, neginf=0))
        for side in "LR":
            controls[:, METAHUMAN_NAMES.index(f"CTRL_{side}_eye-translateX")] = turned[:, 0]
            controls[:, METAHUMAN_NAMES.index(f"CTRL_{side}_eye-translateY")] = turned[:, 1]
    return np.clip(controls, table.least, table.most).astype(np.float32)


def _sound_weights(weights: NDArray[np.floating]) -> Float:
    """The same shape within 0..1; what is not finite counts as rest."""
    return np.clip(np.nan_to_num(weights, nan=0, posinf=0, neginf=0), 0, 1).astype(np.float32)


@cache
def _lips_together() -> list[int]:
    """Columns of the four raw expressions that bring the lips together."""
    names = control_table().raw_names
    return [names.index(name) for name in _quarters("mouthLipsTogether", 1.0)]


def _lips_closed_over_jaw(weights: Float) -> Float:
    """[T] how far the lips close the gap that the jaw opens: `clamp(mouthClose / jawOpen)`, as
    Unreal's Live Link graph for MetaHumans has it."""
    close = weights[:, ARKIT_NAMES.index("mouthClose")]
    jaw = weights[:, ARKIT_NAMES.index("jawOpen")]
    return np.clip(close / np.maximum(jaw, np.float32(LEAST_JAW)), 0, 1).astype(np.float32)


def _eye_controls(gaze: NDArray[np.floating]) -> NDArray[np.floating]:
    """[T, 2] translateX and translateY of an eye that looks along `gaze` [T, 2], radians.

    Each eye's own control is used and the common `CTRL_C_eye` left alone: the rig adds the two.
    """
    yaw, pitch = gaze[:, 0], gaze[:, 1]
    vertical = np.where(pitch > 0, pitch / LOOK_UP_RAD, pitch / LOOK_DOWN_RAD)
    return np.clip(np.stack([yaw / LOOK_SIDEWAYS_RAD, vertical], axis=1), -1, 1)
