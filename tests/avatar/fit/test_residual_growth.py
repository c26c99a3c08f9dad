"""Gaussians split where frames show more than they can, and go where nothing shows them."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.residual_fit import ResidualLearner
from avatar.fit.residual_growth import Lineage, needless, wanting
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate, load_template
from avatar.types import Avatar, Float
from tests.avatar.fit.test_residual_fit import RECIPE, SIDE, frame_of, lens, motion


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def frame(small_avatar: Avatar) -> TeacherFrame:
    return frame_of(Deformer(small_avatar), motion(0, 0.1, 0.1))


def drawn(avatar: Avatar) -> Float:
    return over(*Rasteriser().draw(Deformer(avatar).gaussians(), lens()), 0.5)


def test_halves_lie_side_by_side_where_the_whole_was(small_avatar: Avatar):
    came = replace(small_avatar, glance=np.zeros((len(small_avatar), 3), np.float32))
    deformer, split = Deformer(came), np.array([3, 700, 2499], np.int32)
    gone = np.zeros(len(came), bool)
    gone[[0, 4]] = True
    after, parent = Lineage.of(came).after(deformer, split, gone)
    assert len(parent) == len(came) + 1
    np.testing.assert_array_equal(after.source, parent)
    assert not np.isin([0, 4], after.source).any()
    halved, whole = Deformer(after.avatar(came)).gaussians(), deformer.gaussians()
    first = np.searchsorted(parent[:-3], split)
    second = np.arange(len(parent) - 3, len(parent))
    middle = (halved.means[first] + halved.means[second]) / 2
    np.testing.assert_allclose(middle, whole.means[split], atol=1e-6)
    length = whole.scales[split].max(1)
    apart = np.linalg.norm(halved.means[first] - halved.means[second], axis=1)
    np.testing.assert_allclose(apart, length, rtol=1e-3)
    for half in (first, second):
        area = halved.scales[half, :2].prod(1)
        np.testing.assert_allclose(area, 0.7 * whole.scales[split, :2].prod(1), rtol=1e-3)
    rest = np.setdiff1d(np.arange(len(parent)), [*first, *second])
    np.testing.assert_array_equal(halved.means[rest], whole.means[parent[rest]])
    # Two halves are about as much of the picture as their whole was.
    gone[:] = False
    everyone = np.arange(len(came), dtype=np.int32)
    picture = drawn(Lineage.of(came).after(deformer, everyone, gone)[0].avatar(came))
    assert np.abs(picture - drawn(came)).mean() < 0.02


def test_those_that_differ_most_from_the_frames_are_split(
    small_avatar: Avatar, frame: TeacherFrame
):
    """Only the picture's left half shows another person."""
    deformer = Deformer(small_avatar)
    other = frame.picture.copy()
    other[:, : SIDE // 2] = 255 - other[:, : SIDE // 2]
    frames = [replace(frame, picture=other)]
    learns = np.ones(len(small_avatar), bool)
    learns[::2] = False
    which = wanting(deformer, frames, SIDE, learns, 40)
    assert len(which) == 40
    assert (which % 2 == 1).all()
    assert (deformer.gaussians(frame.motion).means[which, 0] < 0.005).all()
    assert len(wanting(deformer, frames, SIDE, learns, 0)) == 0
    assert len(wanting(deformer, frames, SIDE, learns, 10**6)) == round(0.15 * learns.sum())


def caged(avatar: Avatar, template: HeadTemplate) -> tuple[Avatar, int]:
    """With a ball of hair above the head, and the index of one Gaussian in its middle."""
    corners = np.array([[0, 0.25, -0.05], [0.01, 0.25, -0.05], [0, 0.25, -0.04]], np.float32)
    axis = np.array([-1, 0, 1])
    ring = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    ring = ring[np.abs(ring).sum(1) > 0]
    ring = np.concatenate([2.5 * ring / np.linalg.norm(ring, axis=1, keepdims=True), [[0, 0, 0]]])
    count, size = len(ring), np.full((len(ring), 3), 1.5, np.float32)
    size[-1] = 0.1
    own = {
        "bound_triangle": np.full(count, len(template.triangles)),
        "bound_position": ring,
        "bound_rotation": np.tile([1, 0, 0, 0], (count, 1)),
        "bound_scale": size,
        "opacity": np.full(count, 0.98),
        "colour": np.full((count, 3), 0.2),
    }
    joined = {
        name: np.concatenate([getattr(avatar, name), rows]).astype(getattr(avatar, name).dtype)
        for name, rows in own.items()
    }
    new = np.arange(3) + len(avatar.vertices)
    return replace(
        avatar,
        vertices=np.concatenate([avatar.vertices, corners]),
        triangles=np.concatenate([avatar.triangles, new[None]]).astype(np.int32),
        neck_weights=np.append(avatar.neck_weights, np.ones(3, np.float32)),
        **joined,
    ), len(avatar) + count - 1


def test_what_is_faint_or_hidden_from_all_around_goes_and_the_back_of_the_head_stays(
    small_avatar: Avatar, frame: TeacherFrame, template: HeadTemplate
):
    avatar, hidden = caged(small_avatar, template)
    opacity = avatar.opacity.copy()
    opacity[[5, 6]] = 0.004
    deformer = Deformer(replace(avatar, opacity=opacity), template)
    folds = np.zeros(len(avatar), bool)
    gone = needless(deformer, [frame], SIDE, (), folds)
    assert set(np.flatnonzero(gone)) == {5, 6, hidden}
    folds[hidden] = True
    assert not needless(deformer, [frame], SIDE, (), folds)[hidden]


def test_a_learner_that_grows_looks_as_before_and_can_go_back(
    small_avatar: Avatar, frame: TeacherFrame, template: HeadTemplate
):
    recipe = replace(RECIPE, steps=10, densify=True)
    darker = replace(frame, picture=frame.picture // 2)
    learner = ResidualLearner(small_avatar, template, [darker, frame], recipe)
    for _ in range(2):
        learner.step()
    before, found = learner.finished(), {n: v.copy() for n, v in learner.found.items()}
    learner.step()
    grown = learner.finished()
    assert len(before) == len(small_avatar)
    assert len(grown) == len(before) + round(0.15 * len(found["static"]))
    assert np.abs(drawn(grown) - drawn(before)).mean() < 0.02
    for part in (grown.face_residual, grown.pose_residual):
        assert part is not None
        assert (np.diff(part.splats) > 0).all()
        assert part.splats[-1] < len(grown)
    np.testing.assert_array_equal(learner.finished_at(found).colour, before.colour)
    assert len(learner.finished()) == len(grown)
    np.testing.assert_array_equal(learner.finished().bound_scale, grown.bound_scale)
