"""What the correction of the generator's lips may change, and what it leaves."""

import numpy as np

from avatar.head.template import load_template
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, load_codec
from avatar.training.motion_lips import _width_axis
from avatar.training.score import expression_lips
from avatar.types import Float


def lips_with(mouths: Float) -> np.ndarray:
    """[N, 2] opening and width on the template."""
    codes = np.zeros((len(mouths), LATENT_SIZE), np.float32)
    codes[:, :MOUTH_CODE] = mouths
    return expression_lips(load_codec().decode(codes).expression, load_template())[:, :2]


def test_along_the_width_axis_the_mouth_widens_and_opens_no_further() -> None:
    mouths = np.random.default_rng(0).standard_normal((400, MOUTH_CODE))
    axis = _width_axis(load_codec(), mouths)
    along = mouths @ axis
    across = mouths - along
    opening, width = lips_with(mouths.astype(np.float32)).T
    # what is left without the axis says next to nothing of the width, the axis alone nearly all
    told = np.corrcoef(along @ np.linalg.svd(axis)[2][0], width)[0, 1]
    left = abs(np.corrcoef(lips_with(across.astype(np.float32))[:, 1], width)[0, 1])
    assert abs(told) > 0.8
    assert left < 0.6
    assert np.corrcoef(lips_with(across.astype(np.float32))[:, 0], opening)[0, 1] > 0.95


def test_the_axis_is_one_direction_and_taken_once_is_taken() -> None:
    axis = _width_axis(load_codec(), np.random.default_rng(1).standard_normal((200, MOUTH_CODE)))
    np.testing.assert_allclose(axis @ axis, axis, atol=1e-9)
    assert np.isclose(np.trace(axis), 1)
