"""What a headset sees of a face, on ours. The cameras are not here: their weights are made."""

import numpy as np
import pytest

from app.face_sampler import FaceSampler
from app.headset_face import (
    FB_TO_ARKIT,
    FB_TO_TONGUE,
    HTC_EYES_TO_ARKIT,
    HTC_LIPS_TO_ARKIT,
    LOOK_RAD,
    driven_by,
)
from avatar.types import ARKIT_NAMES, TONGUE_NAMES
from render.headset import FaceWeights
from render.xr_runtime import xr

STILL = FaceSampler().sample(1.0).motion


def words(name: str) -> set[str]:
    """Of ARKit's own name, in capitals: mouthUpperUpLeft has MOUTH, UPPER, UP, LEFT."""
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in name)
    return set(spaced.upper().split())


def side_of(name: str) -> str:
    parts = name.split("_")
    for side in ("LEFT", "RIGHT"):
        if parts[-1] == side[0] or parts[-1].endswith(side):
            return side
    return ""


FB_NAMES = [one.name for one in xr.FaceExpression2FB][:70]
EYE_NAMES = [one.name for one in xr.EyeExpressionHTC]
LIP_NAMES = [one.name for one in xr.LipExpressionHTC]


def test_every_expression_has_its_weight_and_none_two():
    assert set(FB_TO_ARKIT) == set(ARKIT_NAMES)
    assert set(FB_TO_TONGUE) == set(TONGUE_NAMES)
    used = [
        index for indices in (*FB_TO_ARKIT.values(), *FB_TO_TONGUE.values()) for index in indices
    ]
    assert len(used) == len(set(used))
    left_out = {FB_NAMES[index] for index in set(range(70)) - set(used)}
    assert left_out == {
        *("CHEEK_SUCK_L", "CHEEK_SUCK_R", "LIP_TIGHTENER_L", "LIP_TIGHTENER_R", "TONGUE_RETREAT")
    }
    htc = [index for indices in HTC_LIPS_TO_ARKIT.values() for index in indices]
    assert len(htc) == len(set(htc))


@pytest.mark.parametrize(
    ("table", "names"),
    [(FB_TO_ARKIT, FB_NAMES), (HTC_LIPS_TO_ARKIT, LIP_NAMES)],
    ids=["FB", "HTC lips"],
)
def test_sides_are_not_swapped(table, names):
    # The eyes' own looks apart: there the last word is the eye, and "left" the way it goes.
    for arkit, indices in table.items():
        sides = {side_of(names[index]) for index in indices}
        if arkit.startswith("eyeLook") or len(sides) > 1:
            continue
        (side,) = sides
        if side:
            assert side in words(arkit), (arkit, [names[index] for index in indices])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EYES_LOOK_LEFT_L", "eyeLookOutLeft"),
        ("EYES_LOOK_RIGHT_L", "eyeLookInLeft"),
        ("EYES_LOOK_LEFT_R", "eyeLookInRight"),
        ("LIPS_TOWARD", "mouthClose"),
        ("CHIN_RAISER_B", "mouthShrugLower"),
        ("LID_TIGHTENER_R", "eyeSquintRight"),
        ("UPPER_LIP_RAISER_L", "mouthUpperUpLeft"),
    ],
)
def test_one_weight_of_fb_moves_one_expression(name, expected):
    weights = np.zeros(70, np.float32)
    weights[FB_NAMES.index(name)] = 0.8
    moved = driven_by(STILL, FaceWeights(fb=weights)).expression
    assert moved[ARKIT_NAMES.index(expected)] == pytest.approx(0.8)
    assert np.count_nonzero(moved) == 1


def test_htc_eyes_are_named_as_arkits():
    for arkit, (index,) in HTC_EYES_TO_ARKIT.items():
        side, what = EYE_NAMES[index].split("_")
        assert side in words(arkit)
        assert {"SQUEEZE": "SQUINT"}.get(what, what) in words(arkit)


def test_htcs_ape_shape_is_an_open_jaw_behind_closed_lips():
    lips = np.zeros(37, np.float32)
    lips[LIP_NAMES.index("MOUTH_APE_SHAPE")] = 0.6
    moved = driven_by(STILL, FaceWeights(htc_lips=lips))
    assert moved.expression[ARKIT_NAMES.index("jawOpen")] == pytest.approx(0.6)
    assert moved.expression[ARKIT_NAMES.index("mouthClose")] == pytest.approx(0.6)
    eyes = [number for number, name in enumerate(ARKIT_NAMES) if name.startswith("eye")]
    assert moved.expression[eyes] == pytest.approx(STILL.expression[eyes])  # not seen: as they were
    assert moved.gaze == pytest.approx(STILL.gaze)


def test_eyes_and_tongue_go_where_the_wearers_go_and_nonsense_is_kept_out():
    weights = np.zeros(70, np.float32)
    for name in ("EYES_LOOK_LEFT_L", "EYES_LOOK_LEFT_R", "TONGUE_TIP_ALVEOLAR"):
        weights[FB_NAMES.index(name)] = 1.0
    moved = driven_by(STILL, FaceWeights(fb=weights))
    assert moved.gaze == pytest.approx([LOOK_RAD, 0.0])
    assert moved.tongue[TONGUE_NAMES.index("tongueTipUp")] == 1.0
    wild = driven_by(STILL, FaceWeights(fb=np.full(70, np.nan, np.float32) * weights + 7.0))
    assert wild.expression.min() >= 0.0
    assert wild.expression.max() <= 1.0
