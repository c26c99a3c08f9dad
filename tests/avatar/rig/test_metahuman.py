"""ARKit weights and gaze as the controls of a MetaHuman."""

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from avatar.errors import AssetError
from avatar.rig import metahuman
from avatar.rig.metahuman import METAHUMAN_NAMES, control_table, from_arkit
from avatar.types import ARKIT_NAMES

REST = control_table().rest

SIDED = {
    "eyeBlink": {"eye_blink": 1.0},
    "eyeWide": {"eye_blink": -1.0},
    "eyeSquint": {"eye_squintInner": 1.0},
    "mouthSmile": {"mouth_cornerPull": 1.0},
    "mouthFrown": {"mouth_cornerDepress": 1.0},
    "mouthDimple": {"mouth_dimple": 1.0},
    "mouthStretch": {"mouth_stretch": 1.0},
    "mouthPress": {"mouth_pressU": 1.0, "mouth_pressD": 1.0},
    "mouthLowerDown": {"mouth_lowerLipDepress": 1.0},
    "mouthUpperUp": {"mouth_upperLipRaise": 1.0},
    "browDown": {"brow_down": 1.0},
    "browOuterUp": {"brow_raiseIn": 1.0, "brow_raiseOut": 1.0},
    "cheekSquint": {"eye_cheekRaise": 1.0},
    "noseSneer": {"nose": 1.0},
}
"""ARKit name without its side -> control without its side, and its value at weight 1."""

BOTH = {
    "mouthFunnel": {"mouth_funnelU": 1.0, "mouth_funnelD": 1.0},
    "mouthPucker": {
        **dict.fromkeys(("mouth_purseU", "mouth_purseD"), 1.0),
        **dict.fromkeys(("mouth_towardsU", "mouth_towardsD"), 0.412),
        **dict.fromkeys(("mouth_funnelU", "mouth_funnelD"), 0.752),
    },
    "mouthRollLower": {"mouth_lipsRollD": 1.0, "mouth_lipsRollU": 0.5},
    "mouthRollUpper": {"mouth_lipsRollU": 1.0},
    "mouthShrugLower": {"jaw_ChinRaiseD": 1.0},
    "mouthShrugUpper": {"jaw_ChinRaiseU": 1.0},
    "browInnerUp": {"brow_lateral": 1.0, "brow_raiseIn": 1.0},
    "cheekPuff": {"mouth_suckBlow": 1.0, "mouth_lipsBlow": 1.0},
    "mouthClose": {"mouth_lipsTogetherU": 1.0, "mouth_lipsTogetherD": 1.0},
}
"""ARKit name -> control of both sides, and its value at weight 1."""

SINGLE = {
    "jawOpen": {"CTRL_C_jaw-translateY": 1.0},
    "jawForward": {"CTRL_C_jaw_fwdBack-translateY": -1.0},
    "jawLeft": {"CTRL_C_jaw-translateX": -1.0},
    "jawRight": {"CTRL_C_jaw-translateX": 1.0},
    "mouthLeft": {"CTRL_C_mouth-translateX": 1.0},
    "mouthRight": {"CTRL_C_mouth-translateX": -1.0},
    "eyeLookUpLeft": {"CTRL_L_eye-translateY": 1.0},
    "eyeLookDownLeft": {"CTRL_L_eye-translateY": -1.0},
    "eyeLookInLeft": {"CTRL_L_eye-translateX": -1.0},
    "eyeLookOutLeft": {"CTRL_L_eye-translateX": 1.0},
    "eyeLookUpRight": {"CTRL_R_eye-translateY": 1.0},
    "eyeLookDownRight": {"CTRL_R_eye-translateY": -1.0},
    "eyeLookInRight": {"CTRL_R_eye-translateX": 1.0},
    "eyeLookOutRight": {"CTRL_R_eye-translateX": -1.0},
    "tongueOut": {
        "CTRL_C_tongue_inOut-translateY": -0.769,
        "CTRL_C_tongue-translateY": -0.826,
        "CTRL_C_tongue_narrowWide-translateY": 0.628,
        "CTRL_C_tongue_roll-translateY": -0.247,
    },
}
"""ARKit name -> control, and its value at weight 1."""


def expected_controls() -> dict[str, dict[str, float]]:
    """Every ARKit name -> all controls that it moves from rest, with their values."""
    expected = dict(SINGLE)
    for side in ("Left", "Right"):
        for arkit, moved in SIDED.items():
            expected[f"{arkit}{side}"] = {
                f"CTRL_{side[0]}_{name}-translateY": value for name, value in moved.items()
            }
    for arkit, moved in BOTH.items():
        expected[arkit] = {
            f"CTRL_{side}_{name}-translateY": value
            for name, value in moved.items()
            for side in "LR"
        }
    return expected


def weights(**named: float) -> np.ndarray:
    """[1, 52] with the named weights, the rest 0."""
    expression = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, value in named.items():
        expression[0, ARKIT_NAMES.index(name)] = value
    return expression


def moved(controls: np.ndarray) -> dict[str, float]:
    """The controls of one frame that are not at rest."""
    return {
        METAHUMAN_NAMES[index]: float(controls[index])
        for index in np.flatnonzero(np.abs(controls - REST) > 1e-6)
    }


def test_the_expectations_cover_every_arkit_weight():
    assert set(expected_controls()) == set(ARKIT_NAMES)


@pytest.mark.parametrize("arkit", ARKIT_NAMES)
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_an_arkit_weight_moves_its_controls_to_the_right_side_and_no_others(arkit, weight):
    got = moved(from_arkit(weights(**{arkit: weight}))[0])
    expected = {name: value * weight for name, value in expected_controls()[arkit].items()}
    if arkit == "mouthClose":  # measured against the jaw, which is shut: the lips are together
        expected = expected_controls()[arkit]
    assert got == pytest.approx(expected, abs=1e-6)


def test_a_neutral_face_is_at_rest():
    neutral = from_arkit(np.zeros((3, 52)), np.zeros((3, 2)), np.zeros((3, 3)))
    assert neutral.shape == (3, 174)
    assert neutral.dtype == np.float32
    assert np.array_equal(neutral, np.tile(REST, (3, 1)))
    assert {name: value for name, value in zip(METAHUMAN_NAMES, REST, strict=True) if value} == {
        "CTRL_neckCorrectivesMultiplyerD-translateY": pytest.approx(0.2),
        "CTRL_neckCorrectivesMultiplyerM-translateY": pytest.approx(0.5),
        "CTRL_neckCorrectivesMultiplyerU-translateY": pytest.approx(0.8),
    }


@pytest.mark.parametrize(
    ("yaw", "pitch", "x", "y"),
    [(40, 0, 1, 0), (-20, 0, -0.5, 0), (0, 15, 0, 0.5), (0, -20, 0, -0.5), (90, -90, 1, -1)],
)
def test_gaze_turns_both_eyes_alike_and_stops_at_their_limits(yaw, pitch, x, y):
    controls = from_arkit(weights(), np.radians([[yaw, pitch]]))[0]
    expected = {
        f"CTRL_{side}_eye-translate{axis}": value
        for side in "LR"
        for axis, value in (("X", x), ("Y", y))
        if value
    }
    assert moved(controls) == pytest.approx(expected)


def test_gaze_and_eye_look_weights_say_the_same_and_are_not_added():
    looking = weights(eyeLookOutLeft=1, eyeLookInRight=1)
    gaze = np.radians([[20.0, 0.0]])
    assert np.array_equal(from_arkit(looking, gaze), from_arkit(weights(), gaze))


@pytest.mark.parametrize(
    ("jaw", "close", "together"), [(0.5, 0.5, 1), (0.5, 0.25, 0.5), (0.5, 0, 0)]
)
def test_lips_close_by_the_share_of_the_jaws_opening(jaw, close, together):
    controls = from_arkit(weights(jawOpen=jaw, mouthClose=close))[0]
    got = moved(controls)
    assert got.pop("CTRL_C_jaw-translateY") == pytest.approx(jaw)
    assert sorted(set(got.values())) == pytest.approx([together] if together else [])


def test_a_trace_of_mouth_close_on_a_shut_jaw_does_not_flicker():
    assert from_arkit(weights(mouthClose=1e-4)).max() < REST.max() + 0.01
    assert max(moved(from_arkit(weights(mouthClose=1e-4))[0]).values()) < 0.01


def test_two_weights_for_one_control_add_up_to_its_limit():
    controls = from_arkit(weights(mouthPucker=1, mouthFunnel=1))[0]
    assert moved(controls)["CTRL_L_mouth_funnelU-translateY"] == 1
    opposed = from_arkit(weights(eyeBlinkLeft=1, eyeWideLeft=0.4))[0]
    assert moved(opposed) == {"CTRL_L_eye_blink-translateY": pytest.approx(0.6)}


anything = st.floats(width=32)


@given(
    expression=arrays.arrays(np.float32, (2, 52), elements=anything),
    gaze=arrays.arrays(np.float32, (2, 2), elements=anything),
    turn=arrays.arrays(np.float32, (2, 3), elements=anything),
)
def test_no_input_leaves_the_ranges(expression, gaze, turn):
    table = control_table()
    for controls in (from_arkit(expression, gaze, turn), from_arkit(expression)):
        assert np.isfinite(controls).all()
        assert (controls >= table.least).all()
        assert (controls <= table.most).all()


@given(expression=arrays.arrays(np.float32, (5, 52), elements=st.floats(0, 1, width=32)))
def test_each_frame_stands_by_itself(expression):
    together = from_arkit(expression)
    alone = np.concatenate([from_arkit(frame[None]) for frame in expression])
    assert np.allclose(together, alone, atol=1e-6)


def test_the_head_turns_by_its_bone_and_no_control_moves():
    assert np.array_equal(from_arkit(weights(), None, np.ones((1, 3))), REST[None])


def test_the_table_has_the_published_size_ranges_and_regions():
    table = control_table()
    assert len(table.names) == 174
    assert int((table.least == -1).sum()) == 67
    assert int((table.least == 0).sum()) == 107
    assert (table.most == 1).all()
    brows = [index for index, region in enumerate(table.regions) if region == "brow"]
    noses = [index for index, region in enumerate(table.regions) if region == "nose"]
    assert brows == [*range(29, 33), *range(98, 102)]
    assert noses == [*range(94, 98), *range(163, 167)]


def test_left_and_right_are_wired_alike():
    table = control_table()
    for column, name in enumerate(table.names):
        if name.startswith("CTRL_L_"):
            other = table.names.index(name.replace("CTRL_L_", "CTRL_R_"))
            left = {table.raw_names[row][:-1] for row in np.flatnonzero(table.wiring[:, column])}
            right = {table.raw_names[row][:-1] for row in np.flatnonzero(table.wiring[:, other])}
            assert left == right, name


def test_the_rows_of_the_asset_are_numbered_in_order():
    text = (files("assets") / metahuman.CONTROLS_FILE).read_text(encoding="utf-8")
    indices = [int(row["index"]) for row in csv.DictReader(text.splitlines())]
    assert indices == list(range(174))


HALF = b"index,name,region,least,most,rest,raw_expressions\n0,CTRL_C_eye-translateX,eye,-1"
NO_SIGN = HALF + b",1,0,jawOpen\n"
ONE_ROW = HALF + b",1,0,+jawOpen\n"


@pytest.mark.parametrize(
    "content", [None, b"", b"name,region\nCTRL_C_jaw,jaw\n", HALF, NO_SIGN, ONE_ROW, b"\xff\xfe"]
)
def test_a_damaged_table_is_one_clear_error(content, tmp_path: Path, monkeypatch):
    path = tmp_path / metahuman.CONTROLS_FILE
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(metahuman, "files", lambda package: tmp_path)
    with pytest.raises(AssetError, match=r"metahuman_controls\.csv") as refused:
        control_table.__wrapped__()
    assert "\n" not in str(refused.value)


def test_the_tongue_moves_its_own_controls_and_no_others() -> None:
    still = from_arkit(np.zeros((1, 52), np.float32))[0]
    for row, (name, value) in enumerate(
        [
            ("CTRL_C_tongue_tip-translateY", 1.0),
            ("CTRL_C_tongue-translateY", 1.0),
            ("CTRL_C_tongue_inOut-translateY", -0.25),
        ]
    ):
        tongue = np.eye(3, dtype=np.float32)[row : row + 1]
        moved = from_arkit(np.zeros((1, 52), np.float32), tongue=tongue)[0] - still
        assert moved[METAHUMAN_NAMES.index(name)] == pytest.approx(value)
        assert np.count_nonzero(moved) == 1
