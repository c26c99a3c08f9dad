"""From the organs of speech to a mouth: lips that close, widths, and limits."""

from math import radians

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.head.template import load_template
from avatar.speech.articulation import APERTURE_FULL
from avatar.training.performance.decoding import decode_eyes
from avatar.training.performance.mouth_rule import (
    APERTURE_PER_JAW,
    decode_mouth,
)
from avatar.types import ARKIT_NAMES

ORGANS = (
    "aperture", "jaw", "width", "funnel", "closure", "lip_teeth", "sibilant", "emphasis", "smile",
)  # fmt: skip
EYES = ("gaze_yaw", "gaze_pitch", "blink", "brows", "smile")


def weights(**values: float) -> dict[str, float]:
    """Of one frame, clipped."""
    given = {name: np.array([values.get(name, 0.0)]) for name in (*ORGANS, *EYES)}
    rows = decode_mouth(given) + decode_eyes(given)
    return dict(zip(ARKIT_NAMES, np.clip(rows[0], 0, 1).tolist(), strict=True))


def lip_gap(face: dict[str, float]) -> float:
    """Opening of the lips by jaw and mouthClose, over the outer-eye-corner distance."""
    return APERTURE_PER_JAW * (face["jawOpen"] - face["mouthClose"])


def mouth_width(face: dict[str, float]) -> float:
    """Of the template, over the outer-eye-corner distance."""
    template = load_template()
    posed = template.vertices + np.tensordot(
        np.fromiter(face.values(), np.float32), template.expression_basis, 1
    )
    corners = template.triangles[template.landmark_triangle[[61, 291, 33, 263]]]
    points = (posed[corners] * template.landmark_barycentric[[61, 291, 33, 263], :, None]).sum(1)
    return float(np.linalg.norm(points[0] - points[1]) / np.linalg.norm(points[2] - points[3]))


def test_organs_at_rest_are_a_face_at_rest() -> None:
    assert not any(weights().values())


def test_all_frames_at_once_are_as_one_by_one() -> None:
    chance = np.random.default_rng(0)
    given = {name: chance.uniform(0, 1, 200) for name in ORGANS}
    given["width"] = 2 * given["width"] - 1
    given["closure"][::3] = 0
    given["lip_teeth"][::5] = 0
    together = decode_mouth(given)
    for row in (0, 3, 5, 77, 199):
        alone = decode_mouth({name: curve[row : row + 1] for name, curve in given.items()})
        np.testing.assert_allclose(together[row], alone[0], atol=1e-12)


@pytest.mark.parametrize("jaw", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("aperture", [0.0, 0.4, 1.0])
def test_lips_close_on_p_b_m_whatever_the_jaw_does(jaw: float, aperture: float) -> None:
    face = weights(closure=0.75, jaw=jaw, aperture=aperture)
    assert lip_gap(face) == pytest.approx(0, abs=1e-6)
    assert face["mouthLowerDownLeft"] == face["mouthUpperUpLeft"] == 0
    assert face["mouthRollLower"] > 0.05


@pytest.mark.parametrize("opening", [0.0, 0.3, 0.8])
def test_a_mouth_asked_to_be_wider_is_wider_however_far_it_is_open(opening: float) -> None:
    widths = [
        mouth_width(weights(width=asked, jaw=opening, aperture=opening))
        for asked in (-1.0, -0.5, 0.0, 0.5, 1.0)
    ]
    assert np.diff(widths).min() > 0.01


def test_the_corners_counter_what_the_jaw_and_the_funnel_draw_in() -> None:
    """A tracker reads an open jaw narrower, but the voice asked for a width all the same."""
    shut, opened = weights(width=0.3), weights(width=0.3, jaw=0.8, aperture=0.9)
    assert opened["mouthStretchLeft"] > shut["mouthStretchLeft"] + 0.05
    assert opened["mouthPucker"] == 0
    assert weights(width=0.3, funnel=1)["mouthStretchLeft"] > shut["mouthStretchLeft"] + 0.05


@given(jaw=st.floats(0, 1), one=st.floats(0, 1), other=st.floats(0, 1))
def test_a_wider_aperture_never_opens_the_lips_less(jaw: float, one: float, other: float) -> None:
    small, large = sorted((one, other))

    def opening(aperture: float) -> float:
        face = weights(jaw=jaw, aperture=aperture)
        return lip_gap(face) + 0.05 * (face["mouthLowerDownLeft"] + face["mouthUpperUpLeft"])

    assert opening(large) >= opening(small) - 1e-6


def test_lips_do_what_the_jaw_does_not() -> None:
    assert lip_gap(weights(jaw=0.5, aperture=0.3)) == pytest.approx(0.3 * APERTURE_FULL, abs=1e-6)
    open_lips = weights(jaw=0.1, aperture=0.5)
    assert open_lips["mouthClose"] == 0
    assert open_lips["mouthLowerDownLeft"] > 0.2


def test_an_open_vowel_of_an_ordinary_talker_is_moderate() -> None:
    assert 0.2 < weights(jaw=0.85, aperture=0.8)["jawOpen"] < 0.45


def test_f_rolls_the_lower_lip_under_the_teeth_and_keeps_the_mouth_nearly_shut() -> None:
    face = weights(lip_teeth=1, jaw=0.5, aperture=0.6)
    assert face["mouthRollLower"] > 0.35
    assert face["mouthUpperUpLeft"] > 0.1
    assert lip_gap(face) < 0.25 * APERTURE_FULL


def test_rounded_and_spread_lips_use_different_muscles() -> None:
    rounded, spread = weights(width=-1), weights(width=1)
    assert rounded["mouthPucker"] > 0.5
    assert rounded["mouthStretchLeft"] == rounded["mouthSmileLeft"] == 0
    assert spread["mouthPucker"] == 0
    assert spread["mouthStretchLeft"] > 0.2
    assert weights(funnel=1)["mouthFunnel"] > 0.25


def test_both_eyes_look_the_same_way() -> None:
    left = weights(gaze_yaw=radians(10))
    assert left["eyeLookOutLeft"] == left["eyeLookInRight"] > 0.2
    assert left["eyeLookInLeft"] == left["eyeLookOutRight"] == 0
    up, down = weights(gaze_pitch=radians(10)), weights(gaze_pitch=radians(-10))
    assert up["eyeLookUpLeft"] > 0.2 > up["eyeLookDownLeft"]
    assert down["eyeBlinkLeft"] > up["eyeBlinkLeft"] == 0


def test_a_blink_shuts_the_eyes_where_ever_they_look() -> None:
    for pitch in (-15, 0, 10):
        face = weights(blink=1, gaze_pitch=radians(pitch))
        assert face["eyeBlinkLeft"] == face["eyeBlinkRight"] >= 0.999
        assert face["eyeWideLeft"] == 0
