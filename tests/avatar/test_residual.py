"""Residuals of Gaussians by the motion: what they add, and that they stay within bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar.deform import Deformer, multiply_quaternions
from avatar.motion.latent import Face, load_codec
from avatar.residual import (
    COLOUR,
    FACE_CODE,
    HEAD_CODE,
    MOST_LOG_SIZE,
    OPACITY,
    PLACE,
    SIZE,
    TURN,
    WIDTH,
    ResidualField,
    features,
    motion_code,
)
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians, ResidualPart

SMILE = np.zeros(52, np.float32)
SMILE[[ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]] = 0.8


def random_part(size: int, splats: np.ndarray, seed: int, features: int = 4) -> ResidualPart:
    rng = np.random.default_rng(seed)
    single = lambda *shape: rng.normal(0, 1, shape).astype(np.float32)  # noqa: E731
    return ResidualPart(
        mean=0.1 * single(size),
        whiten=np.eye(size, dtype=np.float32),
        reach=100.0,
        mix=0.2 * single(size, features),
        shift=0.2 * single(features),
        splats=splats.astype(np.int32),
        bases=0.05 * single(len(splats), features, WIDTH),
    )


@pytest.fixture(scope="module")
def taught(small_avatar: Avatar) -> Avatar:
    """Some of its Gaussians have residuals of the face, others of the head, some of both."""
    rng = np.random.default_rng(1)
    return replace(
        small_avatar,
        glance=rng.uniform(-0.1, 0.1, (len(small_avatar), 3)).astype(np.float32),
        taken_from=np.array([0, 0, 1.4], np.float32),
        face_residual=random_part(FACE_CODE, np.arange(0, 600), 2),
        pose_residual=random_part(HEAD_CODE, np.arange(400, 1000), 3, features=3),
    )


def added_plainly(avatar: Avatar, codes: tuple[Float, Float]) -> NDArray[np.float64]:
    """[N, 10] the residuals, straight from the words of `ResidualPart`."""
    total = np.zeros((len(avatar), WIDTH))
    for part, code in zip((avatar.face_residual, avatar.pose_residual), codes, strict=True):
        assert part is not None
        hidden = np.tanh((code - part.mean) @ part.mix + part.shift)
        total[part.splats] += np.einsum("k,rkc->rc", hidden, part.bases)
    return total


def test_residuals_are_added_to_the_rest_gaussians(taught: Avatar):
    codes = motion_code(SMILE, None, None, np.array([0.0, 0.2, 0.0]), None)
    field = ResidualField(taught, np.zeros(0, np.int32))
    opacities, colours = taught.opacity.copy(), taught.colour.copy()
    field.apply(codes, 0.5, opacities, colours, np.zeros((0, 3), np.float32))
    wanted = added_plainly(taught, codes)
    assert np.abs(wanted).max() > 0.05
    moved = field.splats
    assert np.array_equal(moved, np.arange(1000))
    colour = np.clip(taught.colour + wanted[:, COLOUR] + 0.5 * taught.glance, 0, 1)
    np.testing.assert_allclose(colours[moved], colour[moved], atol=1e-6)
    opacity = np.clip(taught.opacity + wanted[:, OPACITY], 0, 1)
    np.testing.assert_allclose(opacities, opacity, atol=1e-6)
    position = taught.bound_position + wanted[:, PLACE]
    np.testing.assert_allclose(field.positions, position, atol=1e-6)
    scale = taught.bound_scale.astype(np.float64)
    scale[:, :2] *= np.exp(wanted[:, SIZE])
    np.testing.assert_allclose(field.scales, scale, rtol=1e-5)
    half, none = wanted[:, TURN] / 2, np.zeros(len(taught))
    turn = np.stack([np.cos(half), none, none, np.sin(half)], 1)
    rotation = multiply_quaternions(taught.bound_rotation, turn)
    np.testing.assert_allclose(field.rotations, rotation, atol=1e-6)


def everything(gaussians: Gaussians) -> Float:
    return np.concatenate(
        [
            gaussians.means,
            gaussians.rotations,
            gaussians.scales,
            gaussians.opacities[:, None],
            gaussians.colours,
        ],
        1,
    )


def without(avatar: Avatar) -> Avatar:
    return replace(avatar, face_residual=None, pose_residual=None)


def test_residuals_of_nothing_change_nothing(taught: Avatar):
    parts = {}
    for name in ("face_residual", "pose_residual"):
        part = getattr(taught, name)
        parts[name] = replace(part, bases=np.zeros_like(part.bases))
    empty, plain = Deformer(replace(taught, **parts)), Deformer(without(taught))
    for seen_from in (None, (0, 0, 1.4), (0.2, 0, 1.4)):
        one, other = [
            everything(each.gaussians(expression=SMILE, seen_from=seen_from))
            for each in (empty, plain)
        ]
        np.testing.assert_allclose(one, other, atol=2e-7)


def test_the_face_moves_the_first_part_and_the_head_the_second(taught: Avatar):
    """In colours at rest, which triangles do not carry."""
    deformer = Deformer(taught)
    rest = deformer.gaussians().opacities.copy()
    smiling = deformer.gaussians(expression=SMILE).opacities.copy()
    turned = deformer.gaussians(head_rotation=np.array([0, 0.2, 0], np.float32)).opacities.copy()
    assert set(np.flatnonzero(smiling != rest)) <= set(range(600))
    assert (smiling != rest)[:600].mean() > 0.9
    assert set(np.flatnonzero(turned != rest)) <= set(range(400, 1000))
    assert (turned != rest)[400:1000].mean() > 0.9


def test_a_frame_does_not_depend_on_the_frame_before(taught: Avatar):
    moving, fresh = Deformer(taught), Deformer(taught)
    moving.gaussians(expression=SMILE, seen_from=(0, 0, 1.4))
    moving.gaussians(seen_from=(1, 0, 1))
    after = everything(moving.gaussians(expression=SMILE, seen_from=(0.1, 0, 1.4)))
    alone = everything(fresh.gaussians(expression=SMILE, seen_from=(0.1, 0, 1.4)))
    assert np.array_equal(after, alone)


@given(st.integers(0, 2**31), st.floats(0, 1e6))
@settings(max_examples=40, deadline=None)
def test_whatever_the_motion_features_stay_bounded_and_fade_far_away(seed: int, length: float):
    rng = np.random.default_rng(seed)
    part = replace(random_part(HEAD_CODE, np.arange(2), seed % 7), reach=3.0)
    away = rng.normal(size=HEAD_CODE)
    away *= length / np.linalg.norm(away)
    hidden = features(part, (part.mean + away).astype(np.float32))
    assert (np.abs(hidden) <= 1).all()
    # As the square of the distance from what was learned from, beyond its edge.
    assert np.abs(hidden).max() <= min(1.0, (3.0 / max(length, 1e-9)) ** 2) * 1.001


def test_sizes_are_bounded_whatever_a_file_holds(small_avatar: Avatar):
    part = random_part(HEAD_CODE, np.arange(100), 4)
    part = replace(part, shift=np.full_like(part.shift, 9), bases=np.full_like(part.bases, 40))
    deformer = Deformer(replace(small_avatar, pose_residual=part))
    plain = Deformer(small_avatar)
    ratio = deformer.gaussians().scales[:, :2] / plain.gaussians().scales[:, :2]
    assert ratio.max() == pytest.approx(np.exp(MOST_LOG_SIZE), rel=1e-4)


def test_the_code_is_the_codecs_own():
    rng = np.random.default_rng(0)
    expression, tongue = rng.uniform(0, 1, 52), rng.uniform(0, 1, 3)
    gaze, rotation, translation = (rng.normal(0, 0.1, n) for n in (2, 3, 3))
    rows = [
        each[None].astype(np.float32) for each in (expression, tongue, gaze, rotation, translation)
    ]
    whole = load_codec().encode(Face(*rows))[0]
    face, head = motion_code(*(row[0] for row in rows))
    assert len(face) == FACE_CODE
    assert len(head) == HEAD_CODE
    assert np.array_equal(np.concatenate([face, head]), whole)
