"""The controls' names as other programs spell them."""

import numpy as np

from avatar.rig.metahuman import METAHUMAN_NAMES, control_table, from_face
from avatar.rig.spelling import (
    RENAMED,
    RIGS,
    control_index,
    control_names,
    controls_of_raw,
    raw_values,
)


def test_every_spelling_has_174_different_names_that_mean_the_same_column():
    for spelling in ("published", "maya", "unreal"):
        for rig in RIGS:
            names = control_names(spelling, rig)
            assert len(set(names)) == 174
            assert [control_index(name) for name in names] == list(range(174))
    assert control_index("CTRL_L_brow_down") is None


def test_the_spellings_are_those_of_maya_and_unreal():
    column = METAHUMAN_NAMES.index("CTRL_C_tongue_roll-translateX")
    assert control_names()[column] == "CTRL_C_tongue_roll-translateX"
    assert control_names("maya")[column] == "CTRL_C_tongue_roll.translateX"
    assert control_names("unreal")[column] == "CTRL_C_tongue_roll.tx"
    assert control_names("unreal", "new")[column] == "CTRL_C_tongue_bendTwist.tx"
    changed = [
        old for old, new in zip(control_names(), control_names(rig="new"), strict=True)
        if old != new
    ]  # fmt: skip
    assert len(changed) == 7
    assert {name.rpartition("-")[0] for name in changed} == set(RENAMED)


def test_raw_expressions_carry_the_same_face():
    rng = np.random.default_rng(0)
    controls = from_face(rng.uniform(0, 1, (9, 52)), np.zeros((9, 2)), np.zeros((9, 3)))
    raw = raw_values(controls)
    assert raw.shape == (9, len(control_names("raw")))
    assert raw.min() >= 0
    assert "CTRL_expressions_browDownL" in control_names("raw")
    np.testing.assert_allclose(controls_of_raw(raw), controls, atol=1e-6)
    assert not raw_values(control_table().rest[None]).any()
