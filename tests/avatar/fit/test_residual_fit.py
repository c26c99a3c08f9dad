"""Residuals are learned from frames: gradients are true, what is taught is found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.fit.residual_fit import (
    TERMS,
    Progress,
    Recipe,
    ResidualLearner,
    Seen,
    hidden_layer,
    is_on,
    learn_residuals,
    moments,
    toggled,
)
from avatar.fit.residual_losses import Losses
from avatar.fit.residual_state import write_state
from avatar.fit.residual_views import turned_lens
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate, load_template
from avatar.residual import FACE_CODE, HEAD_CODE, WIDTH, features
from avatar.types import ARKIT_NAMES, Avatar, MotionFrame, ResidualPart

SIDE = 96
RECIPE = Recipe(steps=120, side=SIDE)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def plain(small_avatar: Avatar) -> Avatar:
    return replace(small_avatar, taken_from=np.array([0, 0, 1.4], np.float32))


def lens() -> Lens:
    pose = np.array([[1, 0, 0, 0], [0, -1, 0, -0.04], [0, 0, -1, 1.4]], np.float32)
    focal = 4.5 * SIDE
    return Lens(
        pose=pose,
        intrinsics=np.array([focal, focal, SIDE / 2, SIDE / 2], np.float32),
        width=SIDE,
        height=SIDE,
    )


def motion(index: int, jaw: float, smile: float) -> MotionFrame:
    expression = np.zeros(52, np.float32)
    expression[ARKIT_NAMES.index("jawOpen")] = jaw
    for side in ("Left", "Right"):
        expression[ARKIT_NAMES.index("mouthSmile" + side)] = smile
    return MotionFrame(
        index=index,
        time_s=index / 25,
        latent=np.zeros(0, np.float32),
        expression=expression,
        gaze=np.zeros(2, np.float32),
        head_rotation=np.array([0, 0.1 * np.sin(index), 0], np.float32),
        head_translation=np.zeros(3, np.float32),
    )


def frame_of(deformer: Deformer, moved: MotionFrame) -> TeacherFrame:
    """What a camera would have filmed of an avatar."""
    camera = lens()
    posed = deformer.gaussians(moved, seen_from=camera.position)
    colour, through = Rasteriser().draw(posed, camera)
    person = 1 - through
    own = over(colour, through, 0.0) / np.maximum(person, 0.2)[..., None]
    return TeacherFrame(
        picture=np.round(255 * np.clip(own, 0, 1)).astype(np.uint8),
        person=np.round(255 * person).astype(np.uint8),
        known=(0, 0, SIDE, SIDE),
        lens=camera,
        motion=moved,
        confidence=1.0,
    )


def film(avatar: Avatar, count: int = 24) -> list[TeacherFrame]:
    rng = np.random.default_rng(5)
    deformer = Deformer(avatar)
    return [
        frame_of(deformer, motion(index, *rng.uniform(0, 0.5, 2).tolist()))
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def person(plain: Avatar) -> Avatar:
    """Redder than the avatar throughout, and darker the further a cheek smiles: what no template
    tells."""
    rng = np.random.default_rng(7)
    mix = np.zeros((FACE_CODE, 1), np.float32)
    mix[:20, 0] = rng.normal(0, 0.2, 20)
    bases = np.zeros((len(plain), 1, WIDTH), np.float32)
    bases[:, 0, :3] = -0.2
    part = ResidualPart(
        mean=np.zeros(FACE_CODE, np.float32),
        whiten=np.zeros((FACE_CODE, FACE_CODE), np.float32),
        reach=1.0,
        mix=mix,
        shift=np.zeros(1, np.float32),
        splats=np.arange(len(plain), dtype=np.int32),
        bases=bases,
    )
    redder = np.clip(plain.colour + np.array([0.1, -0.05, -0.05]), 0, 1).astype(np.float32)
    return replace(plain, colour=redder, face_residual=part)


@pytest.fixture(scope="module")
def frames(person: Avatar) -> list[TeacherFrame]:
    return film(person)


def psnr(avatar: Avatar, frames: Sequence[TeacherFrame], template: HeadTemplate) -> float:
    learner = ResidualLearner(avatar, template, frames, RECIPE)
    return learner.psnr(frames, base=True)


def test_what_moves_and_what_does_not_are_both_learned(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    heard: list[Progress] = []
    learned = learn_residuals(plain, template, frames, RECIPE, tell=heard.append)
    assert learned.after > learned.before + 6
    assert [now.share for now in heard] == sorted(now.share for now in heard)
    assert max(now.psnr for now in heard) == learned.after
    full = learned.avatar
    assert full.face_residual is not None
    static = replace(full, face_residual=None, pose_residual=None)
    held_out = frames[-3:]
    scores = [psnr(each, held_out, template) for each in (plain, static, full)]
    assert scores[0] + 3 < scores[1]
    assert scores[1] + 1 < scores[2]
    assert scores[2] == pytest.approx(learned.after, abs=0.05)


def test_frames_held_out_judge_at_the_finest_side(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    """At the coarser one, steps at the finer side seemed to gain nothing, and were thrown away."""
    fine, coarse, large = (
        ResidualLearner(plain, template, frames[:2], recipe).psnr(frames[:2])
        for recipe in (
            replace(RECIPE, side=SIDE // 2, fine=0.3),
            replace(RECIPE, side=SIDE // 2),
            RECIPE,
        )
    )
    assert fine == large
    assert fine != coarse


@pytest.mark.parametrize(("fine", "steps"), [(0.5, 10 + 12), (0.0, 16)])
def test_where_coarse_steps_gain_nothing_finer_ones_begin_and_where_these_do_not_learning_ends(
    plain: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
    fine: float,
    steps: int,
):
    taken: list[int] = []
    step = ResidualLearner.step

    def counted(learner: ResidualLearner) -> None:
        taken.append(learner.done)
        step(learner)

    monkeypatch.setattr(ResidualLearner, "psnr", lambda *_, **__: 20.0)
    monkeypatch.setattr(ResidualLearner, "step", counted)
    recipe = replace(RECIPE, steps=24, side=24, fine=fine)
    learned = learn_residuals(plain, template, frames, recipe)
    assert learned.avatar is plain
    assert len(taken) == steps
    assert (11 in taken) is not bool(fine)


def test_frames_that_the_avatar_is_already_like_leave_it_as_it_is(
    plain: Avatar, template: HeadTemplate
):
    learned = learn_residuals(plain, template, film(plain, 8), replace(RECIPE, steps=12))
    assert learned.avatar is plain
    assert learned.steps == 0
    assert learned.after == learned.before


def test_a_fit_that_was_broken_off_ends_as_one_that_was_not(
    plain: Avatar,
    frames: list[TeacherFrame],
    template: HeadTemplate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """After a split of Gaussians, whose number it finds in what was kept."""
    monkeypatch.setattr("avatar.fit.residual_fit.GROWN_AT", (0.3,))  # each takes a second
    monkeypatch.setattr("avatar.fit.residual_fit.KEPT_EVERY_S", 0.0)
    losses = Losses(texture=0.5, adversary=0.05, sharpen=0.5, torso=True)
    recipe = replace(RECIPE, steps=12, losses=losses, densify=True)
    whole = learn_residuals(plain, template, frames, recipe)
    assert len(whole.avatar) > len(plain)
    keep = tmp_path / "learned.safetensors"

    def break_off(progress: Progress) -> None:
        if progress.share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_residuals(plain, template, frames, recipe, keep=keep, tell=break_off)
    shares: list[float] = []
    again = learn_residuals(
        plain, template, frames, recipe, keep=keep, tell=lambda now: shares.append(now.share)
    )
    assert min(shares) >= 0.5
    assert again.after == whole.after
    np.testing.assert_array_equal(again.avatar.colour, whole.avatar.colour)
    one, other = again.avatar.face_residual, whole.avatar.face_residual
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.bases, other.bases)


def test_what_was_kept_of_another_fit_or_is_damaged_is_passed_over(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate, tmp_path: Path
):
    keep = tmp_path / "learned.safetensors"
    recipe, frames = replace(RECIPE, steps=3), frames[:6]
    fresh = learn_residuals(plain, template, frames, recipe).after
    for content in (b"", b"nonsense" * 100):
        keep.write_bytes(content)
        assert learn_residuals(plain, template, frames, recipe, keep=keep).after == fresh
    write_state(keep, {"static": np.ones((1, 1), np.float32)}, "another fit")
    assert learn_residuals(plain, template, frames, recipe, keep=keep).after == fresh


def test_each_part_can_be_left_out(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    short = replace(RECIPE, steps=12)

    def after_some_steps(recipe: Recipe) -> Avatar:
        learner = ResidualLearner(plain, template, frames, recipe)
        for _ in range(4):
            learner.step()
        return learner.finished()

    moving = after_some_steps(toggled(short, "static"))
    np.testing.assert_array_equal(moving.colour, plain.colour)
    np.testing.assert_array_equal(moving.bound_position, plain.bound_position)
    assert moving.face_residual is not None
    assert np.abs(moving.face_residual.bases).max() > 0
    still = after_some_steps(toggled(toggled(short, "face"), "pose"))
    assert still.face_residual is None
    assert still.pose_residual is None
    assert not np.array_equal(still.colour, plain.colour)
    for term in TERMS:
        switched = toggled(short, term)
        assert switched != short
        if hasattr(Losses(), term):
            assert is_on(switched, term) is not is_on(short, term)


def test_what_a_film_hardly_shows_throws_no_feature_about():
    """Its grain, stretched to the size of a motion, sent features to their ends where another film
    moves by a hair."""
    rng = np.random.default_rng(3)
    sizes = np.array([2, 1, 0.5, 0.3, 0.01, 0.01])
    codes = rng.normal(0, sizes, (60, HEAD_CODE)).astype(np.float32)
    layer = hidden_layer(codes, HEAD_CODE)
    away = np.zeros((2, HEAD_CODE), np.float32)
    away[0, 0], away[1, 5] = 2, 0.03
    seen, hardly = (np.abs(features(layer, layer.mean + each)).max() for each in away)
    assert seen == pytest.approx(np.tanh(0.6), abs=0.05)
    assert hardly < 0.1


def test_moments_are_frames_that_are_news():
    rng = np.random.default_rng(4)
    each_new = rng.normal(size=(100, 3)).astype(np.float32)
    held = np.repeat(each_new[:20], 5, 0)
    assert 80 < moments(each_new) <= 100
    assert 12 < moments(held) < 35
    assert moments(each_new[:2]) == 2
    assert np.isfinite(moments(np.zeros((50, 3), np.float32)))


def test_networks_are_pulled_the_harder_the_less_frames_tell_and_never_beyond_nothing(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    def size(taught: list[TeacherFrame], recipe: Recipe) -> float:
        learner = ResidualLearner(plain, template, taught, recipe)
        for _ in range(24):
            learner.step()
        part = learner.finished().face_residual
        assert part is not None
        return float(np.abs(part.bases).mean())

    few = [frame for frame in frames[::6] for _ in range(6)]
    whole = size(frames, RECIPE)
    assert size(few, RECIPE) < 0.9 * whole
    assert size(frames, replace(RECIPE, bases_pull=1e6)) < 1e-3 * whole


def test_gradients_are_those_of_the_picture(
    plain: Avatar, frames: list[TeacherFrame], template: HeadTemplate
):
    """Against differences of the loss as one channel of one Gaussian is moved, both ways."""
    plainly = replace(RECIPE, losses=Losses(ssim=0.0))
    learner = ResidualLearner(plain, template, frames, plainly)
    frame = frames[3]
    target = frame.scaled(SIDE)
    # A smooth loss: the wanted picture is far from all that is drawn.
    wanted = np.full_like(target.picture, -1)
    weight = np.ones(wanted.shape[:2], np.float32)
    learner.learn(frame, Seen(lens=target.lens, wanted=wanted, weight=weight, tone=0.5), 0.0)
    gradient = learner.gradient.copy()
    squarely = (gradient[:, 10:] == 0).all(1) & (np.abs(gradient[:, :3]).max(1) > 1)
    rng = np.random.default_rng(0)
    true, found = [], []
    for row in rng.choice(np.flatnonzero(squarely), 9, replace=False):
        for channel in range(WIDTH):
            step = 0.001 * learner.units[row, channel]
            losses = []
            for way in (step, -step):
                learner.static[row, channel] += way
                learner.write_static()
                posed = learner.deformer.gaussians(frame.motion, seen_from=target.lens.position)
                shown = over(*Rasteriser().draw(posed, target.lens), 0.5).astype(np.float64)
                losses.append((shown - wanted).sum() / 3)
                learner.static[row, channel] -= way
            true.append((losses[0] - losses[1]) / 0.002)
            found.append(gradient[row, channel])
    # Not where the move makes two Gaussians change places, or one lose its last pixel.
    apart = np.abs(np.array(true) - found).reshape(-1, WIDTH)
    assert (np.median(apart, 0) < 0.02 * np.abs(found).max()).all()


def test_a_camera_carried_aside_sees_the_head_in_the_same_place():
    straight, aside = lens(), turned_lens(lens(), np.radians(45))
    middle = np.array([0, 0, -0.06])
    for each in (straight, aside):
        np.testing.assert_allclose(
            each.pose[:, :3] @ middle + each.pose[:, 3], [0, -0.04, 1.46], atol=1e-6
        )
    towards = aside.position - middle
    assert np.degrees(np.arctan2(abs(towards[0]), towards[2])) == pytest.approx(45, abs=0.1)


def test_what_counts_of_a_frame_is_known_and_surely_the_person_or_not(
    frames: list[TeacherFrame],
):
    half = replace(frames[0], known=(0, 0, SIDE // 2, SIDE), confidence=0.5)
    target = half.scaled(SIDE)
    assert (target.weight(True)[:, SIDE // 2 :] == 0).all()
    assert target.weight(True).max() == pytest.approx(0.5)
    assert target.weight(False)[:, : SIDE // 2].min() == 1
    unsure = np.abs(target.person - 0.5) < 0.2
    known = target.known > 0
    assert target.weight(True)[unsure & known].max() < 0.4
    wall = target.over(0.25)[target.person == 0]
    np.testing.assert_allclose(wall, 0.25)
