"""A head that is carried: no tremble, the same look, and as still as it is asked to be."""

import numpy as np
import pytest

from avatar.head.pose import gaze_rotation
from avatar.motion.direction import HEAD_LIMIT_RAD
from avatar.motion.latent import EYE_RANGE_RAD, Face, load_codec
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


def living(frames: int = 60) -> Face:
    """Head and eyes that move in every direction, never at the eyes' range."""
    chance = np.random.default_rng(2)
    expression = chance.uniform(0, 1, (frames, 52)).astype(np.float32)
    spreads = (0.1, 0.05, 0.01)
    gaze, rotation, translation = (
        (spread * chance.standard_normal((frames, size))).clip(-2 * spread, 2 * spread)
        for spread, size in zip(spreads, (2, 3, 3), strict=True)
    )
    return Face(
        expression,
        np.zeros((frames, 3), np.float32),
        gaze.astype(np.float32),
        rotation.astype(np.float32),
        translation.astype(np.float32),
    )


def rotation_of(axis_angle: Float) -> np.ndarray:
    """[3, 3], by the series of the exponential."""
    x, y, z = axis_angle.astype(np.float64)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result, term = np.eye(3), np.eye(3)
    for step in range(1, 25):
        term = term @ cross / step
        result += term
    return result


def looked_at(face: Face) -> np.ndarray:
    """[T, 3] where the eyes look, avatar space."""
    return np.stack(
        [
            rotation_of(rotation) @ gaze_rotation(gaze)[:, 2]
            for rotation, gaze in zip(face.head_rotation, face.gaze, strict=True)
        ]
    )


@pytest.mark.parametrize("amount", [0.0, 1.0])
def test_a_held_head_is_turned_from_the_first_frame_however_still(amount: float) -> None:
    free = Poise().apply(living(), amount)
    for head, shown in (
        ((0.2, 0.0, 0.0), lambda r: r[:, 2] @ [1, 0, 0]),  # the face goes to the avatar's left
        ((0.0, 0.2, 0.0), lambda r: r[:, 2] @ [0, 1, 0]),  # the face goes up
        ((0.0, 0.0, 0.2), lambda r: r[:, 1] @ [1, 0, 0]),  # the crown goes to its left shoulder
    ):
        held = Poise().apply(living(), amount, head)
        turned = (held.head_rotation - free.head_rotation).mean(0)
        assert shown(rotation_of(turned)) == pytest.approx(np.sin(0.2), abs=1e-5)
        np.testing.assert_allclose(
            held.head_rotation - free.head_rotation, np.tile(turned, (60, 1)), atol=1e-6
        )
        assert np.array_equal(held.head_translation, free.head_translation)


def test_a_held_head_looks_where_it_would_have_looked() -> None:
    free, held = Poise().apply(living(), 1.0), Poise().apply(living(), 1.0, (0.2, -0.15, 0.3))
    np.testing.assert_allclose(looked_at(held), looked_at(living()), atol=1e-6)
    np.testing.assert_allclose(looked_at(free), looked_at(living()), atol=1e-6)
    assert np.abs(held.gaze - free.gaze).min(0).max() > 0.05


def test_eyes_that_would_leave_their_range_stay_at_its_end() -> None:
    face = face_of(np.zeros(20, np.float32))
    face.gaze[:] = (-0.45, 0.4)
    held = Poise().apply(face, 1.0, (HEAD_LIMIT_RAD, -HEAD_LIMIT_RAD, 0.0))
    np.testing.assert_allclose(held.gaze, np.tile([-EYE_RANGE_RAD, EYE_RANGE_RAD], (20, 1)))
    assert held.expression[0, ARKIT_NAMES.index("eyeLookUpLeft")] == pytest.approx(1)


def test_the_lids_go_with_the_eyes() -> None:
    """The eyeLook weights move lids, the gaze moves eyeballs: both must say the same."""
    codec = load_codec()
    for amount, head in ((0.0, (0.0, 0.0, 0.0)), (1.0, (0.1, 0.25, 0.1))):
        face = Poise().apply(living(), amount, head)
        assert np.abs(face.gaze - living().gaze).max() > 0.02
        same = codec.decode(codec.encode(face))
        looks = [i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")]
        np.testing.assert_allclose(face.expression[:, looks], same.expression[:, looks], atol=1e-5)


def test_nothing_but_head_and_eyes_changes_for_a_held_head() -> None:
    free, held = Poise().apply(living(), 1.0), Poise().apply(living(), 1.0, (0.3, 0.1, -0.2))
    others = [i for i, name in enumerate(ARKIT_NAMES) if not name.startswith("eyeLook")]
    assert np.array_equal(held.expression[:, others], living().expression[:, others])
    assert np.array_equal(held.expression[:, others], free.expression[:, others])


def test_a_head_newly_held_goes_there_without_a_step_and_no_further() -> None:
    poise, still = Poise(), face_of(np.zeros(100, np.float32))
    assert not poise.apply(still, 1.0).head_rotation.any()
    way = poise.apply(still, 1.0, (HEAD_LIMIT_RAD, 0.0, 0.0)).head_rotation[:, 1]
    assert 0 < way[0] < 0.05 * HEAD_LIMIT_RAD
    assert way[14] == pytest.approx(0.9 * HEAD_LIMIT_RAD, rel=0.03)  # after .3 s
    assert np.diff(way).min() >= 0
    assert np.diff(way).max() < np.radians(100) / 50
    assert np.abs(np.diff(way, 2)).max() < 0.012  # rad: it starts softly
    assert way[-1] == np.float32(HEAD_LIMIT_RAD)
    back = poise.apply(still, 1.0).head_rotation[:, 1]
    assert back[-1] == 0
    assert np.diff([way[-1], *back]).max() <= 0


def test_a_head_is_held_within_the_limit() -> None:
    still = face_of(np.zeros(2, np.float32))
    held = Poise().apply(still, 1.0, (3.0, -3.0, 3.0)).head_rotation
    np.testing.assert_allclose(np.abs(held), HEAD_LIMIT_RAD, atol=1e-6)


def test_blocks_do_not_matter_while_the_head_is_turned() -> None:
    asked = (0.2, -0.1, 0.05)
    whole, poise = Poise(), Poise()
    for one in (whole, poise):
        one.apply(living(2), 0.7)
    together = whole.apply(living(), 0.7, asked)
    face = living()
    for at in range(0, 60, 2):
        rows = slice(at, at + 2)
        part = Face(
            face.expression[rows], face.tongue[rows], face.gaze[rows], face.head_rotation[rows],
            face.head_translation[rows],
        )  # fmt: skip
        alone = poise.apply(part, 0.7, asked)
        assert np.array_equal(alone.head_rotation, together.head_rotation[rows])
        assert np.array_equal(alone.gaze, together.gaze[rows])
        assert np.array_equal(alone.expression, together.expression[rows])
