"""What residuals are asked for beside likeness: texture, patches taken for real, shoulders."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.residual_critic import PatchCritic
from avatar.fit.residual_losses import TextureLoss, sharpened
from avatar.fit.residual_torso import TorsoShifts
from avatar.head.template import load_template
from avatar.types import Avatar, Float
from tests.avatar.fit.test_residual_fit import lens

JOINT = load_template().neck_joint


def noise(seed: int, side: int = 48) -> Float:
    return np.random.default_rng(seed).uniform(0, 1, (side, side, 3)).astype(np.float32)


def blurred(picture: Float, sigma: float) -> Float:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def test_the_gradient_of_texture_is_that_of_finite_differences():
    shown, wanted = noise(0, 37), noise(1, 37)
    weight = noise(2, 37)[..., 0]
    loss = TextureLoss(wanted, weight)
    slope = loss.of(shown)[1]
    way = np.random.default_rng(3).normal(size=shown.shape).astype(np.float32)
    step = np.float32(1e-3)
    ahead, back = (loss.of((shown + sign * way).astype(np.float32))[0] for sign in (step, -step))
    assert (ahead - back) / (2 * step) == pytest.approx(float((slope * way).sum()), rel=2e-3)


def test_texture_prefers_detail_out_of_place_to_a_blur_and_plain_distance_does_not():
    wanted = blurred(noise(4, 96), 0.7)
    elsewhere, blur = np.roll(wanted, 3, 1), blurred(wanted, 3)
    loss = TextureLoss(wanted, np.ones(wanted.shape[:2], np.float32))
    assert loss.of(wanted)[0] == pytest.approx(0, abs=1e-3)
    assert loss.of(elsewhere)[0] < 0.6 * loss.of(blur)[0]
    assert np.abs(elsewhere - wanted).mean() > np.abs(blur - wanted).mean()


def test_a_critic_learns_what_drawings_lack_and_goes_on_from_its_state():
    """Drawings are blurs of what is filmed: down the slope lies detail."""
    critic, weight = PatchCritic(), np.ones((48, 48), np.float32)
    for step in range(60):
        filmed = noise(step)
        critic.slope(blurred(filmed, 2), filmed, weight)
    shown = blurred(noise(99), 2)
    again = PatchCritic()
    again.resume(critic.state)
    slope = critic.slope(shown, noise(99), weight)
    np.testing.assert_array_equal(again.slope(shown, noise(99), weight), slope)
    np.testing.assert_array_equal(again.state, critic.state)
    changed = shown - 0.05 / np.abs(slope).max() * slope
    assert changed.std() > shown.std()
    with pytest.raises(ValueError, match="critic"):
        again.resume(critic.state[:-5])


def test_shoulders_that_a_frame_shows_elsewhere_are_found(small_avatar: Avatar):
    """The lower half of the small head stands in for shoulders, which it has none of."""
    height = small_avatar.vertices[:, 1]
    weights = (height > np.median(height)).astype(np.float32)
    halved = replace(small_avatar, neck_weights=weights)
    known = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    shifts, truth = (TorsoShifts(halved, JOINT, known) for _ in range(2))
    truth.found[1, :2] = 0.006, -0.004
    camera, rasteriser = lens(), Rasteriser()
    posed = Deformer(small_avatar).gaussians()

    def drawn(of: TorsoShifts) -> Float:
        return over(*rasteriser.draw(of.moved(posed, 1), camera), 0.5)

    wanted = blurred(drawn(truth), 2)
    before = np.abs(drawn(shifts) - drawn(truth)).mean()
    for step in range(40):
        shown = drawn(shifts)
        slope = blurred(shown, 2) - wanted
        means = shifts.moved(posed, 1).means
        shifts.learn(1, means, rasteriser.backward(shown, slope).means, 1 - step / 40)
    assert np.abs(drawn(shifts) - drawn(truth)).mean() < 0.4 * before
    assert not shifts.found[[0, 2]].any()
    head = shifts.moved(posed, 1).means == posed.means
    assert head.all(1).any()


def test_what_the_heads_pose_explains_of_shoulders_is_left_to_it(small_avatar: Avatar):
    rng = np.random.default_rng(5)
    known = rng.normal(size=(200, 2))
    own = 0.003 * rng.normal(size=(200, 3))
    shifts = TorsoShifts(small_avatar, JOINT, known.astype(np.float32))
    shifts.found[:, :3] = known @ rng.normal(0, 0.01, (2, 3)) + 0.02 + own
    shifts.leave_explained()
    np.testing.assert_allclose(shifts.found[:, :3], own, atol=3e-3)


def test_sharpening_leaves_plain_walls_and_steepens_edges():
    step = np.full((20, 20, 3), 0.3, np.float32)
    step[:, 10:] = 0.6
    drawn = sharpened(step, 0.5)
    np.testing.assert_allclose(drawn[:, [0, 19]], step[:, [0, 19]], atol=1e-5)
    assert drawn[5, 10, 0] - drawn[5, 9, 0] > 0.35
