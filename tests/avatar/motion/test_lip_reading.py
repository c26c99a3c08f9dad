"""How wide and how open a tracker reads a face's weights to be."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from avatar.errors import AssetError
from avatar.head.template import load_template
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, load_codec
from avatar.motion.lip_reading import FORMAT, load_lip_reading, parse_lip_reading
from avatar.training.lip_reading import opening_of
from avatar.training.score import expression_lips
from avatar.types import ARKIT_NAMES


def test_the_shipped_reading_knows_the_muscles_of_the_mouth() -> None:
    reading = load_lip_reading()
    width, opening = (
        dict(zip(ARKIT_NAMES, part.tolist(), strict=True))
        for part in (reading.width, reading.opening)
    )
    assert min(width["mouthSmileLeft"], width["mouthStretchLeft"]) > 0.02
    assert max(width["mouthPucker"], width["mouthFunnel"]) < -0.04
    assert opening["jawOpen"] > 0.3
    assert opening["mouthClose"] < -0.2
    assert all(width[name] == 0 for name in ARKIT_NAMES if name.startswith(("brow", "eye")))
    for left in (name for name in ARKIT_NAMES if name.endswith("Left") and name != "mouthLeft"):
        if left.startswith("mouth"):
            assert width[left] == pytest.approx(width[left.replace("Left", "Right")])


def test_the_opening_is_that_of_the_template() -> None:
    template, codec = load_template(), load_codec()
    reading = load_lip_reading()
    np.testing.assert_allclose(reading.opening, opening_of(template), atol=1e-6)
    codes = np.zeros((200, LATENT_SIZE), np.float32)
    codes[:, :MOUTH_CODE] = np.random.default_rng(0).standard_normal((200, MOUTH_CODE))
    expression = codec.decode(codes).expression
    lips = expression_lips(expression, template)[:, 0]
    np.testing.assert_allclose(np.maximum(reading.of(expression)[:, 0], 0), lips, atol=0.004)


def file(opening: np.ndarray, width: np.ndarray, version: int = FORMAT) -> bytes:
    metadata = {"visavis": json.dumps({"format": version})}
    share = np.array([0.7], np.float32)
    return save({"opening": opening, "width": width, "opening_seen": share}, metadata)


def test_damaged_files_are_refused() -> None:
    right = np.zeros(52, np.float32)
    assert parse_lip_reading(file(right, right)).of(np.zeros((3, 52), np.float32)).shape == (3, 2)
    for contents in (
        b"",
        b"nonsense" * 50,
        file(right, right)[:-9],
        file(right[:51], right),
        file(right, np.full(52, np.nan, np.float32)),
        file(right, right, FORMAT + 1),
        save({"opening": right}, {"visavis": json.dumps({"format": FORMAT})}),
    ):
        with pytest.raises(AssetError, match="lip_reading"):
            parse_lip_reading(contents)
