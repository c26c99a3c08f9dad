"""What a face does besides what the 52 ARKit weights name: lids, nostrils, folds, chin, neck.

A MetaHuman has controls for skin and muscles that ARKit lumps together or leaves out. Most of them
never move alone: FACS lists, for each action unit, what else it brings about. This is that list,
for the controls that Epic's own ARKit mapping leaves at rest. Each is a smooth function of one
frame, so it is as quick or as calm as what drives it; nothing here is chance, and a face at rest
has none of it.

Sources, by the short names in `Coupling.source`:

* FACS: Ekman, Friesen and Hager 2002, Facial Action Coding System, appearance changes by unit.
* Becker and Fuchs 1988, "Lid-eye coordination during vertical gaze changes in man and monkey".
* Evinger, Manning and Sibony 1991, "Eyelid movements: mechanisms and normal data".
* Rigsbee, Sperry and BeGole 1988, "The influence of facial animation on smile characteristics":
  in a full smile the nose grows about a seventh wider.
* Anatomy: which muscle lies there, from any textbook (depressor septi, mentalis, platysma,
  sternocleidomastoid).

They tell which way things go together, not by how much in a rig's units: the gains were set here.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from avatar.types import ARKIT_NAMES, Float

_LID_SHARE = 0.35
"""Of the lid's way with the eye that is given to the lid's own control: the rig's eyeLook shapes
bring the rest along by themselves."""
LOOK_RANGE_RAD = float(np.radians(35.0))
"""A gaze this far up or down counts as 1 for the lids."""
_TURN_RAD, _TILT_RAD = float(np.radians(45.0)), float(np.radians(30.0))
"""Head turned or tilted so far: the muscle of the neck stands out fully."""
_PRESSED = (0.7, 1.0)
"""Lids this far closed begin to press, and press fully."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """One raw expression of both sides, driven by ARKit weights of its own side."""

    raw: str
    """`CTRL_expressions_` name without its side."""
    drivers: dict[str, float]
    """ARKit name (without Left or Right where it has sides) -> what 1 of it gives."""
    most: float = 1.0
    """Where it levels off."""
    source: str


COUPLINGS: tuple[Coupling, ...] = (
    Coupling(
        raw="eyeLowerLidUp", most=0.9,
        drivers={"cheekSquint": 0.55, "eyeSquint": 0.6, "mouthSmile": 0.18, "eyeBlink": 0.2},
        source="FACS: 6 and 7 raise the lower lid, a strong 12 pushes it; it rises a little in a "
        "blink (Evinger 1991)",
    ),
    Coupling(
        raw="eyeLowerLidDown", most=0.6, drivers={"eyeWide": 0.3},
        source="FACS: 5 bares the white below the iris too",
    ),
    Coupling(
        raw="eyeUpperLidUp", most=0.7, drivers={"eyeWide": 0.4},
        source="FACS: 5 is the levator's, which lifts the lid itself",
    ),
    Coupling(
        raw="noseNostrilDilate", most=0.8,
        drivers={"mouthSmile": 0.5, "mouthUpperUp": 0.4, "noseSneer": 0.35},
        source="Rigsbee 1988: smiles; FACS: 9 and 10 raise and widen the wings of the nose",
    ),
    Coupling(
        raw="noseNostrilCompress", most=0.5,
        drivers={"mouthPucker": 0.3, "mouthFunnel": 0.15, "mouthRollUpper": 0.2, "jawOpen": 0.12},
        source="Anatomy: an upper lip that is drawn down or together takes the wings along",
    ),
    Coupling(
        raw="noseNostrilDepress", most=0.5,
        drivers={"mouthRollUpper": 0.35, "mouthPress": 0.25, "mouthPucker": 0.25,
                 "mouthSmile": 0.15, "jawOpen": 0.15},
        source="Anatomy: depressor septi draws the tip of the nose down in p, b, m, w and smiles",
    ),
    Coupling(
        raw="noseNasolabialDeepen",
        drivers={"mouthSmile": 0.75, "mouthUpperUp": 0.55, "noseSneer": 0.55, "cheekSquint": 0.3,
                 "mouthDimple": 0.25, "mouthStretch": 0.25, "mouthFrown": 0.15},
        source="FACS: 9, 10, 12 and 14 deepen the fold, 6, 15 and 20 change it",
    ),
    Coupling(
        raw="noseWrinkleUpper", most=0.9, drivers={"noseSneer": 0.7, "browDown": 0.3},
        source="FACS: 9 wrinkles the root of the nose; in 4 procerus joins the corrugator",
    ),
    Coupling(
        raw="jawChinCompress", most=0.8, drivers={"mouthShrugLower": 0.6, "mouthFrown": 0.15},
        source="FACS: 17 (mentalis) wrinkles the chin, and comes with most of 15",
    ),
    Coupling(
        raw="mouthLipsTightenU", most=0.6, drivers={"mouthPress": 0.4, "mouthRollUpper": 0.3},
        source="FACS: 23 goes with 24 and 28",
    ),
    Coupling(
        raw="mouthLipsTightenD", most=0.6, drivers={"mouthPress": 0.4, "mouthRollLower": 0.3},
        source="FACS: 23 goes with 24 and 28",
    ),
    *(
        Coupling(
            raw=f"mouthLipsThin{lip}", most=0.6,
            drivers={"mouthPress": 0.4, "mouthSmile": 0.25, "mouthStretch": 0.3},
            source="FACS: 24 narrows the lips, 12 and 20 draw them out thin",
        )
        for lip in "UD"
    ),
    *(
        Coupling(
            raw=f"mouthLipsThick{lip}", most=0.5, drivers={"mouthPucker": 0.3, "mouthFunnel": 0.15},
            source="FACS: in 18 and 22 the lips bunch and show more of their red",
        )
        for lip in "UD"
    ),
    *(
        Coupling(
            raw=f"mouthCornerSharpen{lip}", most=0.6,
            drivers={"mouthDimple": 0.5, "mouthPress": 0.3},
            source="FACS: 14 tightens the corners of the mouth, 24 presses them",
        )
        for lip in "UD"
    ),
    *(
        Coupling(
            raw=f"mouthCornerRounder{lip}", most=0.6,
            drivers={"mouthFunnel": 0.4, "mouthPucker": 0.3},
            source="FACS: 22 makes a funnel of the lips, 18 draws their corners inwards",
        )
        for lip in "UD"
    ),
    Coupling(
        raw="mouthUpperLipTowardsTeeth", most=0.5,
        drivers={"mouthRollUpper": 0.4, "mouthRollLower": 0.1},
        source="FACS: 28 sucks the lips in over the teeth",
    ),
    Coupling(
        raw="mouthLowerLipTowardsTeeth", most=0.5, drivers={"mouthRollLower": 0.4},
        source="FACS: 28; Ladefoged, A Course in Phonetics: in f and v the lower lip is at the "
        "upper teeth",
    ),
    Coupling(
        raw="neckStretch", most=0.6,
        drivers={"mouthStretch": 0.4, "mouthFrown": 0.2, "mouthLowerDown": 0.15},
        source="FACS: 20 and 21; Anatomy: platysma is one sheet from the jaw to the collarbone",
    ),
)  # fmt: skip
"""Linear in their drivers, levelled off towards `most`; those of `PRODUCTS` are not linear."""

PRODUCTS: dict[str, str] = {
    "eyeLidPress": "Evinger 1991: orbicularis closes the lids of a blink and goes on a little when "
    "they meet; FACS: more of it with 6, 7 and 4",
    "eyeFaceScrunch": "FACS: 4, 6 or 7 and 9 at once draw the face together",
    "eyeRelax, eyeUpperLidUp": "Becker and Fuchs 1988: the upper lid goes with the eye, up and "
    "down, nearly all its way",
    "eyeLowerLidDown": "the same for the lower lid, with a smaller way",
    "neckDigastricDown": "Anatomy: digastric and mylohyoid lower the jaw, and with it comes the "
    "floor of the mouth; it has no sides",
    "neckMastoidContract": "Anatomy: each turns the head to the other side and tilts it to its own",
}
"""Raw expressions that `coactivated` makes of more than one thing at once -> source."""


def coactivated(
    weights: Float,
    gaze: NDArray[np.floating],
    head_rotation: NDArray[np.floating],
) -> dict[str, Float]:
    """Raw expressions, most of them of both sides (`noseWrinkleUpperL`) -> [T] within 0..1.

    `weights` [T, 52] within 0..1, `gaze` [T, 2] rad, `head_rotation` [T, 3] axis-angle, rad; all
    finite. Zero for a face at rest that looks straight ahead.
    """
    raw: dict[str, Float] = {}
    weights = _as_shown(weights)
    pulls = weights @ _drive()
    for row, coupling in enumerate(COUPLINGS):
        for column, side in enumerate("LR"):
            pull = pulls[:, 2 * row + column]
            most = np.float32(coupling.most)
            raw[f"{coupling.raw}{side}"] = _held(most * np.tanh(pull / most))
    jaw = weights[:, ARKIT_NAMES.index("jawOpen")]
    raw["neckDigastricDown"] = _held(0.6 * jaw * jaw)  # a jaw that only speaks hardly shows it
    up = np.clip(np.asarray(gaze, np.float32)[:, 1] / LOOK_RANGE_RAD, -1, 1)
    turn = np.asarray(head_rotation, np.float32)[:, 1] / _TURN_RAD
    tilt = np.asarray(head_rotation, np.float32)[:, 2] / _TILT_RAD
    for side, word, sign in (("L", "Left", 1), ("R", "Right", -1)):
        blink, squint, cheek, sneer, brow = (
            weights[:, ARKIT_NAMES.index(f"{name}{word}")]
            for name in ("eyeBlink", "eyeSquint", "cheekSquint", "noseSneer", "browDown")
        )
        shut = _smooth_step(blink, *_PRESSED)
        effort = np.tanh(0.3 + 0.5 * squint + 0.6 * cheek + 0.4 * brow)
        raw[f"eyeLidPress{side}"] = _held(shut * effort)
        scrunched = sneer * (0.6 * squint + 0.6 * cheek + 0.4 * brow)
        raw[f"eyeFaceScrunch{side}"] = _held(np.tanh(scrunched))
        opened = 1 - blink  # closed lids have no way left to go with the eye
        raw[f"eyeRelax{side}"] = _held(_LID_SHARE * np.maximum(-up, 0) * opened)
        raw[f"eyeUpperLidUp{side}"] += _LID_SHARE * np.maximum(up, 0) * opened
        raw[f"eyeLowerLidDown{side}"] += 0.7 * _LID_SHARE * np.maximum(-up, 0) * opened
        # To its own left the head is turned by the right muscle; a left tilt is the left one's,
        # and the left shoulder is where the head goes at a negative turn about z.
        pulled = np.maximum(-sign * turn, 0) + np.maximum(-sign * tilt, 0)
        raw[f"neckMastoidContract{side}"] = _held(0.7 * np.tanh(pulled))
    return raw


def _held(values: NDArray[np.floating]) -> Float:
    return values.astype(np.float32, copy=False)


def _as_shown(weights: Float) -> Float:
    """The same face in the weights that its controls can tell: a lid that is both shut and wide is
    one of the two, and what a shared control has no room for is not there."""
    shown = weights.copy()

    def at(name: str) -> Float:
        return shown[:, ARKIT_NAMES.index(name)]

    for word in ("Left", "Right"):
        net = at(f"eyeBlink{word}") - at(f"eyeWide{word}")
        at(f"eyeBlink{word}")[:] = np.maximum(net, 0)
        at(f"eyeWide{word}")[:] = np.maximum(-net, 0)
    for name, other, share in _SHARES_CONTROLS:
        at(name)[:] = np.minimum(at(name), 1 - np.float32(share) * at(other))
    return shown


_SHARES_CONTROLS = (
    ("mouthRollUpper", "mouthRollLower", 0.5),
    ("mouthFunnel", "mouthPucker", 0.752),
)
"""Of the ARKit mapping: the second adds this much of itself to the first one's controls."""


@cache
def _drive() -> Float:
    """[52, 2 C] what each ARKit weight gives to each coupling's left and right side."""
    matrix = np.zeros((len(ARKIT_NAMES), 2 * len(COUPLINGS)), np.float32)
    for row, coupling in enumerate(COUPLINGS):
        for name, gain in coupling.drivers.items():
            for column, word in enumerate(("Left", "Right")):
                whole = name if name in ARKIT_NAMES else f"{name}{word}"
                matrix[ARKIT_NAMES.index(whole), 2 * row + column] += gain
    return matrix


def _smooth_step(values: Float, low: float, high: float) -> Float:
    part = np.clip((values - low) / (high - low), 0, 1)
    return _held(part * part * (3 - 2 * part))
