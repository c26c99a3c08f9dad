"""The code of the face that ships: there and back, half-way, far out, and damaged."""

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from avatar.errors import AssetError
from avatar.motion.latent import (
    LATENT_SIZE,
    MOUTH_CODE,
    MOUTH_INDEX,
    UPPER_CODE,
    UPPER_INDEX,
    Face,
    load_codec,
    looks_of,
    parse_codec,
)
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float


def faces(count: int = 40) -> Face:
    """As the code itself makes them, so that it can say them."""
    codes = np.random.default_rng(0).standard_normal((count, LATENT_SIZE)).astype(np.float32)
    return load_codec().decode(codes)


def weights_of(face: Face) -> Float:
    return np.concatenate([face.expression, face.tongue], 1)


def test_the_two_parts_and_the_looks_share_out_every_weight_once() -> None:
    looks = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")]
    everything = sorted([*MOUTH_INDEX, *UPPER_INDEX, *looks])
    assert everything == list(range(len(ARKIT_NAMES) + len(TONGUE_NAMES)))


def test_a_talking_blinking_face_survives_the_code() -> None:
    codec = load_codec()
    face = Face(*(part[:1] * 0 for part in (*_parts(faces(1)),)))
    for name, weight in (("jawOpen", 0.3), ("mouthFunnel", 0.3), ("eyeBlinkLeft", 0.9),
                         ("eyeBlinkRight", 0.9), ("browInnerUp", 0.4)):  # fmt: skip
        face.expression[0, ARKIT_NAMES.index(name)] = weight
    back = codec.decode(codec.encode(face))
    # what the corpus never joins, the code may bend a little
    assert np.abs(weights_of(back) - weights_of(face)).max() < 0.15
    for name, weight in (("jawOpen", 0.3), ("eyeBlinkLeft", 0.9), ("browInnerUp", 0.4)):
        assert back.expression[0, ARKIT_NAMES.index(name)] == pytest.approx(weight, abs=0.08)


def test_pose_and_gaze_are_kept_exactly() -> None:
    face = faces()
    back = load_codec().decode(load_codec().encode(face))
    for name in ("gaze", "head_rotation", "head_translation"):
        assert np.allclose(getattr(back, name), getattr(face, name), atol=1e-6)


def test_half_way_between_two_codes_is_the_face_half_way_between() -> None:
    codec = load_codec()
    codes = 0.3 * np.random.default_rng(1).standard_normal((2, LATENT_SIZE)).astype(np.float32)
    ends = weights_of(codec.decode(codes))
    middle = weights_of(codec.decode(codes.mean(0, keepdims=True)))[0]
    inside = (ends > 0).all(0)  # a weight held at 0 in one of them is no straight line
    assert np.allclose(middle[inside], ends.mean(0)[inside], atol=1e-5)
    assert inside.sum() > 5


def test_codes_far_out_give_stronger_faces_within_the_range() -> None:
    codec = load_codec()
    directions = np.eye(MOUTH_CODE + UPPER_CODE, LATENT_SIZE, dtype=np.float32)
    for size in (3.0, 30.0):
        face = weights_of(codec.decode(size * directions))
        assert np.isfinite(face).all()
        assert face.min() >= 0
        assert face.max() <= 1
    rest = weights_of(codec.decode(np.zeros((1, LATENT_SIZE), np.float32)))
    near, far = (np.abs(weights_of(codec.decode(s * directions)) - rest).sum(1) for s in (1.0, 2.0))
    assert (far >= near - 1e-6).all()


def test_eyes_look_where_the_gaze_goes() -> None:
    looks = looks_of(np.array([[0.3, -0.2]], np.float32))[0]
    out_left, in_right, in_left, out_right, up_left, up_right, down_left, down_right = looks
    assert out_left == in_right > 0.4
    assert in_left == out_right == up_left == up_right == 0
    assert down_left == down_right > 0.3


@pytest.mark.parametrize("harm", ["short", "format", "nan", "shape", "empty"])
def test_a_damaged_codec_is_refused_in_one_line(harm: str) -> None:
    from importlib import resources

    contents = (resources.files("assets") / "motion" / "codec.safetensors").read_bytes()
    tensors = load(contents)
    format_ = 1
    if harm == "nan":
        tensors["mouth.mean"] = tensors["mouth.mean"] * np.nan
    if harm == "shape":
        tensors["upper.to_code"] = tensors["upper.to_code"][:, :-1].copy()
    if harm == "format":
        format_ = 99
    damaged = save(tensors, {"visavis": json.dumps({"format": format_})})
    if harm in ("short", "empty"):
        damaged = contents[: len(contents) // 2 if harm == "short" else 0]
    with pytest.raises(AssetError) as error:
        parse_codec(damaged)
    assert "codec" in str(error.value)
    assert "\n" not in str(error.value)


def _parts(face: Face) -> tuple[Float, ...]:
    return (
        face.expression, face.tongue, face.gaze, face.head_rotation, face.head_translation
    )  # fmt: skip
