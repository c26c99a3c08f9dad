"""A face as the 174 controls of a MetaHuman.

`from_arkit` is the plain lift of the 52 ARKit weights and the gaze, as Unreal does it: what it says
nothing of (nostrils, folds, the lids' own controls) stays at rest. `from_face` adds what goes
together in a face (`avatar.rig.coactivation`), and `to_arkit` undoes either. `from_latents` does
it all for one frame's motion latent.

Two steps. ARKit weight -> raw expressions (`CTRL_expressions_*`): the weights of Epic's pose asset
`PA_MetaHuman_ARKit_Mapping`, which Unreal applies to Live Link Face. Raw expressions -> controls:
the face board's own wiring, in `assets/rig/metahuman_controls.csv` (sources beside it).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AssetError
from avatar.motion.latent import LOOK_INDEX, Face, LatentCodec, load_codec, looks_of
from avatar.rig.coactivation import coactivated
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
PARTED_JAW = 0.06
"""From this opening on `from_face` takes that ratio in full. Below, where Unreal's graph has lips
that flicker between together and not, they fade in: half a millimetre at most stays open."""


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
    """[T, 174] controls, each within its range, of T frames: Unreal's own mapping, no more.

    `expression` [T, 52] weights 0..1 in the order of `ARKIT_NAMES`. `gaze` [T, 2] yaw (towards
    the character's left) and pitch (up) of both eyes, radians: where it is given it turns the
    eyes and the eight eyeLook weights, which say the same again, are not added. `head_rotation`
    [T, 3] moves nothing here: none of the 174 controls turns the head (a MetaHuman's head is a
    bone). `tongue` [T, 3] weights 0..1 in the order of `TONGUE_NAMES`.

    Numbers outside their range are clipped; those that are not finite count as rest. A neutral
    face gives `control_table().rest`.
    """
    weights = _sound_weights(expression)
    assert weights.shape[1:] == (52,), f"expression: expected [T, 52], got {list(weights.shape)}"
    assert head_rotation is None or np.shape(head_rotation) == (len(weights), 3)
    return _wired(_raw_of(weights, tongue), _sound_angles(gaze, 2, len(weights)))


def from_face(
    expression: NDArray[np.floating],
    gaze: NDArray[np.floating],
    head_rotation: NDArray[np.floating],
    tongue: NDArray[np.floating] | None = None,
) -> Float:
    """[T, 174] controls of a living face: `from_arkit`, and what goes together with it.

    Arguments as there; `head_rotation` tenses the muscles of the neck. Each frame by itself, and
    smooth in it. A neutral face that looks straight ahead gives `control_table().rest`.
    """
    weights = _sound_weights(expression)
    angles = _sound_angles(gaze, 2, len(weights))
    turns = _sound_angles(head_rotation, 3, len(weights))
    assert angles is not None
    assert turns is not None
    raw = _raw_of(weights, tongue)
    raw[:, _lips_together()] *= _parted(weights)[:, None]
    _raise_inner_brows(raw, weights)
    _add(raw, coactivated(weights, angles, turns))
    return _wired(raw, angles)


def from_latents(latent: NDArray[np.floating], codec: LatentCodec | None = None) -> Float:
    """[T, 174] controls of [T, 40] motion latents, one frame at a time: the codec's decoder, then
    `from_face`. `codec`: another one than the program's own.

    Raises:
        AssetError: the codec's file is missing or damaged.
    """
    codec = load_codec() if codec is None else codec
    face = codec.decode(np.nan_to_num(np.asarray(latent, np.float32), posinf=0, neginf=0))
    return from_face(face.expression, face.gaze, face.head_rotation, face.tongue)


def _raw_of(weights: Float, tongue: NDArray[np.floating] | None) -> Float:
    """[T, R] raw expressions of ARKit weights [T, 52], not yet held in range."""
    tongue = np.zeros((len(weights), len(TONGUE_NAMES))) if tongue is None else tongue
    assert np.shape(tongue) == (len(weights), len(TONGUE_NAMES)), "tongue: expected [T, 3]"
    raw = np.concatenate([weights, _sound_weights(tongue)], 1) @ _raw_from_arkit()
    raw[:, _lips_together()] = _lips_closed_over_jaw(weights)[:, None]
    return raw


def _raise_inner_brows(raw: Float, weights: Float) -> None:
    """Two weights raise a brow's inner part: together as far as either leaves room for the other.

    Their sum, as Unreal takes it, is at its end as soon as a brow is raised half-way by both: then
    the brows of fear and surprise stand still while the person speaks.
    """
    inner = weights[:, ARKIT_NAMES.index("browInnerUp")]
    for side, word in (("L", "Left"), ("R", "Right")):
        outer = weights[:, ARKIT_NAMES.index(f"browOuterUp{word}")]
        raw[:, _raw_index()[f"browRaiseIn{side}"]] = inner + outer - inner * outer


def _add(raw: Float, more: Mapping[str, Float]) -> None:
    index = _raw_index()
    for name, values in more.items():
        raw[:, index[name]] += values


@cache
def _raw_index() -> dict[str, int]:
    return {name: row for row, name in enumerate(control_table().raw_names)}


def _wired(raw: Float, gaze: Float | None) -> Float:
    """[T, 174] the board's controls for raw expressions [T, R]; eyes by `gaze` [T, 2] if given."""
    table = control_table()
    controls = np.clip(raw, 0, 1) @ table.wiring + table.rest
    if gaze is not None:
        controls[:, _eye_columns()] = np.tile(_eye_controls(gaze), 2)
    return np.clip(controls, table.least, table.most).astype(np.float32)


@cache
def _eye_columns() -> list[int]:
    """Left eye's X and Y, right eye's X and Y."""
    return [
        METAHUMAN_NAMES.index(f"CTRL_{side}_eye-translate{axis}") for side in "LR" for axis in "XY"
    ]


def _sound_angles(angles: NDArray[np.floating] | None, width: int, count: int) -> Float | None:
    """The same shape, finite."""
    if angles is None:
        return None
    assert np.shape(angles) == (count, width), f"expected [{count}, {width}]"
    return np.nan_to_num(np.asarray(angles, np.float32), nan=0, posinf=0, neginf=0)


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


def _parted(weights: Float) -> Float:
    """[T] 0..1: whether the jaw is so far down that lips can be together or not."""
    part = np.clip(weights[:, ARKIT_NAMES.index("jawOpen")] / np.float32(PARTED_JAW), 0, 1)
    return (part * part * (3 - 2 * part)).astype(np.float32)


def _eye_controls(gaze: NDArray[np.floating]) -> NDArray[np.floating]:
    """[T, 2] translateX and translateY of an eye that looks along `gaze` [T, 2], radians.

    Each eye's own control is used and the common `CTRL_C_eye` left alone: the rig adds the two.
    """
    yaw, pitch = gaze[:, 0], gaze[:, 1]
    vertical = np.where(pitch > 0, pitch / LOOK_UP_RAD, pitch / LOOK_DOWN_RAD)
    return np.clip(np.stack([yaw / LOOK_SIDEWAYS_RAD, vertical], axis=1), -1, 1)


FOREIGN: dict[str, dict[str, float]] = {
    "eyeRelax": {"eyeBlink": 0.3},
    "eyeUpperLidUp": {"eyeWide": 0.5},
    "eyeLowerLidUp": {"eyeSquint": 0.5},
    "eyeFaceScrunch": {"eyeSquint": 0.5, "cheekSquint": 0.5, "noseSneer": 0.4},
    "noseWrinkleUpper": {"noseSneer": 0.4},
    "mouthCornerUp": {"mouthSmile": 0.5},
    "mouthCornerDown": {"mouthFrown": 0.5},
    "mouthSharpCornerPull": {"mouthSmile": 0.8},
    "mouthStretchLipsClose": {"mouthStretch": 0.7},
    "mouthCornerWide": {"mouthStretch": 0.4},
    "mouthLipsPress": {"mouthPress": 0.7},
}
"""Raw expressions of no ARKit weight -> the weights that come nearest, for what another rig's
animation has of them beyond what `from_face` would give. By eye and by the names; ours."""


def to_arkit(controls: NDArray[np.floating]) -> Face:
    """The ARKit weights, tongue and gaze of T frames of controls [T, 174].

    Exact for what `from_face` made (and nearly so for `from_arkit`'s): lifted again it gives the
    same controls. For other animation it is the nearest that 52 weights can say: controls that
    ARKit has no word for go to a neighbour (`FOREIGN`) or are lost. The head's own turn is not
    among the controls, so rotation and translation are zero. What is not finite counts as rest.
    """
    table = control_table()
    assert np.shape(controls)[1:] == (CONTROL_COUNT,), f"expected [T, {CONTROL_COUNT}]"
    given = np.asarray(controls, np.float32)
    given = np.clip(np.where(np.isfinite(given), given, table.rest), table.least, table.most)
    gaze = _gaze_of(given)
    moved = (given - table.rest) @ table.wiring.T
    raw = np.maximum(moved, 0)
    face, tongue = _owned(raw, gaze)
    for _ in range(2):
        # The sneer shares its control with the tip of the nose, which other weights draw down.
        others = coactivated(face, gaze, np.zeros((len(face), 3), np.float32))
        for side, word in (("L", "Left"), ("R", "Right")):
            wrinkle = moved[:, _raw_index()[f"noseWrinkle{side}"]]
            drawn = np.clip(others[f"noseNostrilDepress{side}"], 0, 1)
            face[:, ARKIT_NAMES.index(f"noseSneer{word}")] = np.clip(wrinkle + drawn, 0, 1)
    beyond = raw - np.maximum((from_face(face, gaze, np.zeros((len(face), 3)), tongue)
                               - table.rest) @ table.wiring.T, 0)  # fmt: skip
    for stem, nearest in FOREIGN.items():
        for side, word in (("L", "Left"), ("R", "Right")):
            extra = np.maximum(beyond[:, _raw_index()[f"{stem}{side}"]] - _ROUNDING, 0)
            for name, share in nearest.items():
                face[:, ARKIT_NAMES.index(f"{name}{word}")] += share * extra
    face = np.clip(face, 0, 1)
    zeros = np.zeros((len(face), 3), np.float32)
    return Face(face, tongue, gaze, zeros, zeros.copy())


_NOTHING = np.float32(1e-7)
_ROUNDING = 1e-4
"""Files round to five digits: less than this is not another rig's doing."""


def _gaze_of(controls: Float) -> Float:
    """[T, 2] where both eyes look on average, radians; the common control adds to each eye's."""
    x, y = (
        np.mean([controls[:, METAHUMAN_NAMES.index(f"CTRL_{side}_eye-translate{axis}")]
                 for side in "LR"], axis=0)
        + controls[:, METAHUMAN_NAMES.index(f"CTRL_C_eye-translate{axis}")]
        for axis in "XY"
    )  # fmt: skip
    pitch = np.where(y > 0, y * LOOK_UP_RAD, y * LOOK_DOWN_RAD)
    return np.stack([np.clip(x, -1, 1) * LOOK_SIDEWAYS_RAD, pitch], 1).astype(np.float32)


def _owned(raw: Float, gaze: Float) -> tuple[Float, Float]:
    """[T, 52] weights and [T, 3] tongue: `RAW_OF_ARKIT` read backwards, from the raw expressions
    that only one weight drives, then from what is left of the shared ones."""
    index = _raw_index()

    def mean(stem: str, parts: tuple[str, ...]) -> Float:
        return np.mean([raw[:, index[f"{stem}{part}"]] for part in parts], axis=0)

    quarters, sides = ("UL", "UR", "DL", "DR"), ("L", "R")
    weights = np.zeros((len(raw), len(ARKIT_NAMES)), np.float32)

    def put(name: str, values: NDArray[np.floating]) -> None:
        weights[:, ARKIT_NAMES.index(name)] = np.clip(values, 0, 1)

    for name, parts in RAW_OF_ARKIT.items():
        if all(weight == 1 for weight in parts.values()) and name not in _SHARED:
            put(name, np.mean([raw[:, index[part]] for part in parts], axis=0))
    pucker, inner = mean("mouthLipsPurse", quarters), mean("browLateral", sides)
    put("mouthPucker", pucker)
    put("mouthFunnel", mean("mouthFunnel", quarters) - 0.752 * pucker)
    lower = mean("mouthLowerLipRollIn", sides)
    put("mouthRollLower", lower)
    put("mouthRollUpper", mean("mouthUpperLipRollIn", sides) - 0.5 * lower)
    put("browInnerUp", inner)
    for side, word in (("L", "Left"), ("R", "Right")):
        put(f"browOuterUp{word}", raw[:, index[f"browRaiseOuter{side}"]])
    jaw = np.maximum(weights[:, ARKIT_NAMES.index("jawOpen")], np.float32(LEAST_JAW))
    together = mean("mouthLipsTogether", quarters) / np.maximum(_parted(weights), _NOTHING)
    put("mouthClose", np.minimum(together, 1) * jaw)
    out = raw[:, index["tongueWide"]] / RAW_OF_ARKIT["tongueOut"]["tongueWide"]
    put("tongueOut", out)
    out = weights[:, ARKIT_NAMES.index("tongueOut")]
    weights[:, LOOK_INDEX] = looks_of(gaze)
    lift = raw[:, index["tongueUp"]] - raw[:, index["tongueDown"]]
    tip = raw[:, index["tongueTipUp"]]
    forward = (raw[:, index["tongueOut"]] - RAW_OF_ARKIT["tongueOut"]["tongueOut"] * out) / 0.25
    lift = lift + RAW_OF_ARKIT["tongueOut"]["tongueDown"] * out
    return weights, np.clip(np.stack([tip, lift, forward], 1), 0, 1).astype(np.float32)


_SHARED = frozenset({"mouthFunnel", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"})
"""Whose raw expressions another weight drives too."""
