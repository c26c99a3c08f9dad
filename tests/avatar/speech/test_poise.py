"""A head that is carried: no tremble, the same look, and as still as it is asked to be."""

import numpy as np

from avatar.motion.latent import Face
from avatar.speech.poise import Poise
from avatar.types import ARKIT_NAMES, Float

BROW = ARKIT_NAMES.index("browInnerUp")


def face_of(yaw: Float, brow: Float | None = None) -> Face:
    frames = len(yaw)
    expression = np.zeros((frames, 52), np.float32)
    expression[:, BROW] = 0 if brow is None else brow
    rotation = np.zeros((frames, 3), np.float32)
    rotation[:, 1] = yaw
    zeros = np.zeros((frames, 3), np.float32)
    return Face(expression, zeros, np.stack([-yaw, 0 * yaw], 1), rotation, zeros)


def test_tremble_goes_and_turns_stay() -> None:
    time = np.arange(400) / 50
    turn = (0.1 * np.sin(2 * np.pi * 0.4 * time)).astype(np.float32)
    tremble = 0.002 * np.random.default_rng(0).standard_normal(400).astype(np.float32)
    shaken = (turn + tremble).astype(np.float32)
    carried = Poise().apply(face_of(shaken), 1.0).head_rotation[:, 1]
    assert np.corrcoef(np.roll(turn, 4)[50:], carried[50:])[0, 1] > 0.995
    assert np.abs(np.diff(carried, 3))[50:].mean() < 0.1 * np.abs(np.diff(shaken, 3)).mean()


def test_the_eyes_stay_on_what_they_look_at() -> None:
    yaw = np.repeat([0.0, 0.2], 50).astype(np.float32)
    for amount in (0.0, 1.0, 1.5):
        face = Poise().apply(face_of(yaw), amount)
        np.testing.assert_allclose(face.gaze[:, 0] + face.head_rotation[:, 1], 0, atol=1e-6)


def test_stillness_scales_motion_about_the_mean_of_the_last_seconds() -> None:
    time = np.arange(1000) / 50
    turn = (0.3 + 0.05 * np.sin(2 * np.pi * time)).astype(np.float32)
    brow = (0.5 + 0.2 * np.sin(2 * np.pi * time)).astype(np.float32)
    usual, still, lively = (Poise().apply(face_of(turn, brow), amount) for amount in (1, 0, 1.5))
    late = slice(500, None)
    for part in (lambda f: f.head_rotation[late, 1], lambda f: f.expression[late, BROW]):
        assert part(still).std() < 0.12 * part(usual).std()
        assert part(lively).std() > 1.4 * part(usual).std()
        assert abs(part(still).mean() - part(usual).mean()) < 0.05  # it stays where it was turned


def test_blocks_do_not_matter() -> None:
    chance = np.random.default_rng(1)
    yaw = chance.standard_normal(60).astype(np.float32) * 0.1
    whole, poise = Poise().apply(face_of(yaw), 0.5), Poise()
    parts = [poise.apply(face_of(yaw[i : i + 2]), 0.5).head_rotation for i in range(0, 60, 2)]
    np.testing.assert_array_equal(whole.head_rotation, np.concatenate(parts))
