"""What goes together in a face, its way back, and the road from a latent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from avatar.motion.latent import LATENT_SIZE, load_codec
from avatar.rig.coactivation import COUPLINGS, coactivated
from avatar.rig.metahuman import (
    METAHUMAN_NAMES,
    PARTED_JAW,
    control_table,
    from_arkit,
    from_face,
    from_latents,
    to_arkit,
)
from avatar.types import ARKIT_NAMES

TABLE = control_table()
STILL = np.zeros((1, 3), np.float32)
AHEAD = np.zeros((1, 2), np.float32)


def face(**named: float) -> np.ndarray:
    """[1, 52]; a name without a side means both."""
    expression = np.zeros((1, 52), np.float32)
    for name, value in named.items():
        for whole in (name,) if name in ARKIT_NAMES else (f"{name}Left", f"{name}Right"):
            expression[0, ARKIT_NAMES.index(whole)] = value
    return expression


def control(name: str, expression: np.ndarray, gaze=AHEAD, turn=STILL) -> float:
    return float(from_face(expression, gaze, turn)[0, METAHUMAN_NAMES.index(name)])


def test_raised_brows_have_room_left_to_move_and_a_falling_jaw_draws_the_throat():
    name = "CTRL_L_brow_raiseIn-translateY"
    raised = [control(name, face(browInnerUp=up, browOuterUp=0.7)) for up in (0, 0.5, 0.6, 1)]
    assert raised == sorted(set(raised)), "no two of them alike"
    assert (raised[0], raised[-1]) == (pytest.approx(0.7), 1)
    throat = "CTRL_neck_digastricUpDown-translateY"
    assert control(throat, face(jawOpen=1)) < 10 * control(throat, face(jawOpen=0.2)) < 0


def test_a_face_at_rest_has_none_of_it():
    assert np.array_equal(from_face(np.zeros((1, 52)), AHEAD, STILL), TABLE.rest[None])


@pytest.mark.parametrize(
    ("drive", "name", "sign"),
    [
        ({"mouthSmile": 1}, "nose", 1),  # the nostrils widen
        ({"mouthPucker": 1}, "nose", -1),
        ({"mouthSmile": 1}, "nose_nasolabialDeepen", 1),
        ({"noseSneer": 1}, "nose_wrinkleUpper", 1),
        ({"cheekSquint": 1}, "eye_eyelidD", 1),
        ({"eyeWide": 1}, "eye_eyelidU", -1),
        ({"eyeBlink": 1}, "eye_lidPress", 1),
        ({"noseSneer": 1, "eyeSquint": 1}, "eye_faceScrunch", 1),
        ({"mouthShrugLower": 1}, "jaw_chinCompress", 1),
        ({"mouthPress": 1}, "mouth_tightenU", 1),
        ({"mouthStretch": 1}, "neck_stretch", 1),
        ({"mouthPress": 1}, "mouth_thicknessU", 1),
        ({"mouthPucker": 1}, "mouth_thicknessD", -1),
        ({"mouthDimple": 1}, "mouth_cornerSharpnessU", 1),
        ({"mouthFunnel": 1}, "mouth_cornerSharpnessD", -1),
        ({"mouthRollLower": 1}, "mouth_lipsTowardsTeethD", 1),
    ],
)
def test_what_goes_together_moves_its_control_the_right_way_on_both_sides(drive, name, sign):
    axis = "X" if name == "nose" else "Y"
    values = [control(f"CTRL_{side}_{name}-translate{axis}", face(**drive)) for side in "LR"]
    assert values[0] == values[1]
    assert sign * values[0] > 0.1


def test_one_side_of_a_face_moves_that_side_alone():
    controls = from_face(face(mouthSmileLeft=1, noseSneerLeft=1, eyeSquintLeft=1), AHEAD, STILL)[0]
    for name, value, rest in zip(METAHUMAN_NAMES, controls, TABLE.rest, strict=True):
        if name.startswith("CTRL_R_"):
            assert value == rest, name
    mirrored = from_face(face(mouthSmileRight=1, noseSneerRight=1, eyeSquintRight=1), AHEAD, STILL)
    for column, name in enumerate(METAHUMAN_NAMES):
        if name.startswith("CTRL_L_"):
            other = METAHUMAN_NAMES.index(name.replace("CTRL_L_", "CTRL_R_"))
            assert controls[column] == mirrored[0, other], name


def test_lids_go_with_the_eyes_unless_they_are_shut():
    down, up = np.radians([[0.0, -20.0]]), np.radians([[0.0, 20.0]])
    lid = "CTRL_L_eye_eyelidU-translateY"
    assert control(lid, face(), down) > 0.1 > -0.1 > control(lid, face(), up)
    assert control(lid, face(eyeBlink=1), down) == pytest.approx(0, abs=1e-6)


def test_each_muscle_of_the_neck_turns_the_head_to_the_other_side():
    left = np.array([[0, 0.5, 0]], np.float32)
    muscle = {side: f"CTRL_{side}_neck_mastoidContract-translateY" for side in "LR"}
    assert control(muscle["R"], face(), turn=left) > 0.1
    assert control(muscle["L"], face(), turn=left) == 0
    to_left_shoulder = np.array([[0, 0, -0.4]], np.float32)
    assert control(muscle["L"], face(), turn=to_left_shoulder) > 0.1


def test_a_drive_that_arkit_has_no_name_for_would_be_seen():
    names = {name.removesuffix("Left").removesuffix("Right") for name in ARKIT_NAMES}
    for coupling in COUPLINGS:
        assert set(coupling.drivers) <= names
        assert coupling.source
        assert f"{coupling.raw}L" in TABLE.raw_names
        assert f"{coupling.raw}R" in TABLE.raw_names


def test_it_only_adds_to_what_unreal_does_or_shares_a_control_with_it():
    rng = np.random.default_rng(1)
    faces = rng.uniform(0, 1, (200, 52)).astype(np.float32)
    jaw = faces[:, ARKIT_NAMES.index("jawOpen")]
    jaw[:] = np.maximum(jaw, PARTED_JAW)  # below, the lips are another matter
    gaze = rng.uniform(-0.4, 0.4, (200, 2)).astype(np.float32)
    still = np.zeros((200, 3), np.float32)
    changed = np.abs(from_face(faces, gaze, still) - from_arkit(faces, gaze)).max(0) > 1e-6
    driven = {raw for raw in coactivated(faces, gaze, still)} | {"browRaiseInL", "browRaiseInR"}
    for column in np.flatnonzero(changed):
        own = {TABLE.raw_names[row] for row in np.flatnonzero(TABLE.wiring[:, column])}
        assert own & driven, METAHUMAN_NAMES[column]


faces = arrays.arrays(np.float32, (3, 52), elements=st.floats(0, 1, width=32))
gazes = arrays.arrays(np.float32, (3, 2), elements=st.floats(-0.5, 0.5, width=32))
tongues = arrays.arrays(np.float32, (3, 3), elements=st.floats(0, 1, width=32))


@given(expression=faces, gaze=gazes, tongue=tongues)
def test_controls_to_arkit_and_back_are_the_same_controls(expression, gaze, tongue):
    expression[:, ARKIT_NAMES.index("tongueOut")] = 0  # shares all its controls with the tongue's
    still = np.zeros((3, 3), np.float32)
    controls = from_face(expression, gaze, still, tongue)
    back = to_arkit(controls)
    again = from_face(back.expression, back.gaze, still, back.tongue)
    np.testing.assert_allclose(again, controls, atol=2e-5)


def test_faces_as_they_are_come_back_as_they_were():
    """Weights that the controls can tell apart: no lid at once wide and shut, no mouth at once
    left and right."""
    rng = np.random.default_rng(2)
    count = 300
    expression = rng.uniform(0, 0.55, (count, 52)).astype(np.float32)
    for name in ARKIT_NAMES:
        if "Look" in name or "Wide" in name or name in ("mouthRight", "jawRight", "tongueOut"):
            expression[:, ARKIT_NAMES.index(name)] = 0
    jaw, close = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthClose")
    expression[:, jaw] += 0.02  # over a jaw that is shut nobody can tell
    expression[:, close] = expression[:, jaw] * rng.uniform(0, 1, count)
    back = to_arkit(from_face(expression, np.zeros((count, 2)), np.zeros((count, 3))))
    np.testing.assert_allclose(back.expression, expression, atol=2e-5)


def test_another_rigs_animation_goes_to_the_nearest_word_and_stays_in_range():
    controls = np.tile(TABLE.rest, (2, 1))
    controls[0, METAHUMAN_NAMES.index("CTRL_L_mouth_sharpCornerPull-translateY")] = 1
    controls[1] = np.nan
    back = to_arkit(controls)
    assert back.expression[0, ARKIT_NAMES.index("mouthSmileLeft")] == pytest.approx(0.8, abs=1e-3)
    assert back.expression[0].max() < 0.81
    assert not back.expression[1].any()
    wild = np.random.default_rng(0).uniform(-5, 5, (50, 174))
    back = to_arkit(wild)
    assert np.isfinite(back.expression).all()
    assert back.expression.min() >= 0
    assert back.expression.max() <= 1


def test_a_latent_becomes_the_controls_of_the_face_that_it_decodes_to():
    latent = np.random.default_rng(3).normal(0, 1, (20, LATENT_SIZE)).astype(np.float32)
    decoded = load_codec().decode(latent)
    expected = from_face(decoded.expression, decoded.gaze, decoded.head_rotation, decoded.tongue)
    got = from_latents(latent)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(got[7:8], from_latents(latent[7:8]), atol=1e-6)  # by itself
    assert (got >= TABLE.least).all()
    assert (got <= TABLE.most).all()


def test_no_latent_however_wild_leaves_the_ranges():
    wild = np.random.default_rng(4).normal(0, 50, (500, LATENT_SIZE)).astype(np.float32)
    wild[0], wild[1], wild[2] = np.nan, np.inf, -np.inf
    got = from_latents(wild)
    assert np.isfinite(got).all()
    assert (got >= TABLE.least).all()
    assert (got <= TABLE.most).all()


def test_half_a_step_of_a_face_is_at_most_a_little_more_than_half_a_step_of_its_controls():
    """No jumps: what is smooth at 50 frames a second is smooth between them."""
    rng = np.random.default_rng(5)
    one = rng.uniform(0, 1, (400, 52)).astype(np.float32)
    other = np.clip(one + rng.uniform(-0.02, 0.02, one.shape), 0, 1).astype(np.float32)
    gaze, still = np.zeros((400, 2)), np.zeros((400, 3))
    step = np.abs(from_face(other, gaze, still) - from_face(one, gaze, still))
    jaw = one[:, ARKIT_NAMES.index("jawOpen")] > 0.2  # below, mouthClose is a ratio to little
    assert step[jaw].max() < 0.02 * 9


def test_lips_do_not_flicker_over_a_jaw_that_is_nearly_shut_and_close_over_one_that_is_not():
    together = "CTRL_L_mouth_lipsTogetherU-translateY"
    assert control(together, face(jawOpen=0.02, mouthClose=0.02)) < 0.3
    assert control(together, face(jawOpen=0.08, mouthClose=0.08)) == pytest.approx(1)
    assert control(together, face(jawOpen=0.3, mouthClose=0.15)) == pytest.approx(0.5)
    jaws = np.linspace(0, 0.1, 201)
    gaps = [jaw * (1 - control(together, face(jawOpen=jaw, mouthClose=jaw))) for jaw in jaws]
    assert max(gaps) < 0.017  # of an open jaw's 35 mm
