"""The line of the lashes is as dark as the photograph shows it, and rides on the lids."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.portrait.lash_line import paint_lash_lines, read_line
from avatar.portrait.seen_eye import SeenEye, seen_eyes
from avatar.portrait.sitter import Sitter
from avatar.types import ARKIT_NAMES, Avatar, Float


def drawn(eye: SeenEye, dark: float) -> SeenEye:
    """`eye` on even skin, its opening lined with a line of that tone, 1 mm wide, outside."""
    height, width = eye.image.shape[:2]
    scale = eye.camera.pixels_per_metre
    y, x = np.mgrid[:height, :width] + 0.5
    within = eye.within_px(np.stack([x.ravel(), y.ravel()], 1)).reshape(height, width) / scale
    image = np.full((height, width, 3), (0.8, 0.6, 0.5), np.float32)
    image[within > 0] = 0.7
    image[(within <= 0.0002) & (within > -0.0012)] = dark
    return replace(eye, image=image)


@pytest.mark.parametrize("upper", [True, False])
def test_a_darker_line_is_read_as_darker(astronaut_sitter: Sitter, upper: bool):
    eye = seen_eyes(astronaut_sitter)[0]
    depths = [read_line(drawn(eye, dark), upper).depth.mean() for dark in (0.6, 0.4, 0.1)]
    assert depths[0] < 0.2 < depths[1] < depths[2]
    line = read_line(drawn(eye, 0.1), upper)
    np.testing.assert_allclose(np.median(line.skin, 0), (0.8, 0.6, 0.5), atol=0.03)


def test_on_plain_skin_there_is_no_line(astronaut_sitter: Sitter):
    eyes = seen_eyes(astronaut_sitter)
    plain = replace(eyes[0], image=np.full_like(eyes[0].image, 0.6))
    assert read_line(plain, True).depth.max() < 0.01


def test_the_line_is_thin_dark_and_few_splats(astronaut_sitter: Sitter):
    line = paint_lash_lines(astronaut_sitter)
    assert 60 < len(line.lattice) < 300
    assert line.colour.mean() < 0.8 * astronaut_sitter.skin_tone.mean()
    assert (line.lattice.scales[:, 1] < 0.0009).all()
    np.testing.assert_allclose(np.linalg.norm(line.lattice.rotations, axis=1), 1, atol=1e-5)


def test_the_upper_line_falls_with_a_blink_and_meets_the_lower_one(
    first_astronaut: Avatar, astronaut_sitter: Sitter
):
    means = paint_lash_lines(astronaut_sitter).lattice.means
    deformer = Deformer(first_astronaut)
    rest = deformer.gaussians().means.copy()
    nearest = [int(np.linalg.norm(rest - mean, axis=1).argmin()) for mean in means]
    assert np.linalg.norm(rest[nearest] - means, axis=1).max() < 1e-4
    shut: Float = np.zeros(len(ARKIT_NAMES), np.float32)
    shut[[ARKIT_NAMES.index("eyeBlink" + side) for side in ("Left", "Right")]] = 1
    closed = deformer.gaussians(expression=shut).means[nearest]
    left = means[:, 0] > 0
    for side in (left, ~left):
        middle = np.abs(means[:, 0] - means[side, 0].mean()) < 0.004
        heights = means[side & middle, 1]
        upper = side & middle & (means[:, 1] > heights.mean())
        lower = side & middle & (means[:, 1] <= heights.mean())
        before = means[upper, 1].mean() - means[lower, 1].mean()
        after = closed[upper, 1].mean() - closed[lower, 1].mean()
        assert before > 0.005
        assert abs(after) < 0.35 * before
