"""A small avatar held against a picture of itself in other colours."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from avatar.avatar_file import load_avatar, save_avatar
from avatar.deform import Deformer
from avatar.fit import refine
from avatar.fit.photograph import as_photographed, background, likeness, matte, photo_lens
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.refine import MOST_SPLATS, Budget, refine_avatar
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.types import Avatar, Float, Gaussians, Portrait

SIDE = 128
BACKGROUND = np.array([0.2, 0.35, 0.6], np.float32)


@pytest.fixture(scope="module", autouse=True)
def fewer_steps() -> Iterator[None]:
    """150 of the 620 steps: so small a head comes as near its picture, and meets every limit."""
    levels = refine._LEVELS[Budget.NORMAL]
    quarter = tuple(replace(level, steps=level.steps // 4) for level in levels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(refine._LEVELS, Budget.NORMAL, quarter)
        yield


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def plain(small_avatar: Avatar, template: HeadTemplate) -> Avatar:
    """`small_avatar` with the facts of a fit, and with splats on an eyeball."""
    on_eye = np.flatnonzero(template.triangle_part == Part.EYE_LEFT)[:30].astype(np.int32)
    bound = small_avatar.bound_triangle.copy()
    bound[: len(on_eye)] = on_eye
    return replace(
        small_avatar,
        bound_triangle=bound,
        fit={
            "expression": [0.0] * 52,
            "gaze": [0.0, 0.0],
            "camera_rotation": np.eye(3).ravel().tolist(),
            "camera_translation": [0.0, 0.04, -1.4],
            "camera_focal_px": [SIDE * 4.5],
            "camera_centre_px": [SIDE / 2, SIDE / 2],
        },
    )


def photograph(avatar: Avatar) -> tuple[Float, Float]:
    lens = photo_lens(avatar, SIDE, SIDE)
    return Rasteriser().draw(as_photographed(Deformer(avatar)), lens)


@pytest.fixture(scope="module")
def portrait(plain: Avatar) -> Portrait:
    """The same head with a beard and a darker forehead, before a blue wall."""
    skin = plain.colour.copy()
    height = Deformer(plain).gaussians().means[:, 1]
    skin[height < -0.04] *= 0.5
    skin[height > 0.04] *= 0.7
    colour, through = photograph(replace(plain, colour=skin))
    return Portrait(
        image=over(colour, through, BACKGROUND),
        landmarks=np.zeros((478, 3), np.float32),
        person=(1 - through).astype(np.float32),
        faces_found=1,
    )


@pytest.fixture(scope="module")
def shares() -> list[float]:
    """What was told while `refined` was made."""
    return []


@pytest.fixture(scope="module")
def refined(
    plain: Avatar, portrait: Portrait, template: HeadTemplate, shares: list[float]
) -> Avatar:
    return refine_avatar(plain, portrait, template, tell=shares.append)


def test_it_comes_to_look_like_its_portrait(plain: Avatar, refined: Avatar, portrait: Portrait):
    before, after = likeness(plain, portrait), likeness(refined, portrait)
    assert after.psnr > before.psnr + 6
    assert after.ssim > before.ssim


def test_what_is_painted_by_rule_stays(plain: Avatar, refined: Avatar, template: HeadTemplate):
    ruled = template.triangle_part[plain.bound_triangle] != Part.SKIN
    assert ruled.any()
    np.testing.assert_array_equal(refined.colour[: len(plain)][ruled], plain.colour[ruled])
    np.testing.assert_array_equal(
        refined.bound_scale[: len(plain)][ruled], plain.bound_scale[ruled]
    )


def test_what_the_photograph_does_not_show_stays(plain: Avatar, refined: Avatar):
    means = Deformer(plain).gaussians().means
    hidden = means[:, 2] < np.quantile(means[:, 2], 0.05)
    moved = np.abs(refined.colour[: len(plain)] - plain.colour)[hidden]
    assert np.median(moved) < 0.01


def test_splats_stay_near_their_place_and_size(plain: Avatar, refined: Avatar):
    before, after = Deformer(plain).gaussians(), Deformer(refined).gaussians()
    count = len(plain)
    width = before.scales[:, :2].max(1)
    assert (np.linalg.norm(after.means[:count] - before.means, axis=1) < 1.6 * width).all()
    ratio = after.scales[:count] / before.scales
    assert ratio.min() > 0.1
    assert ratio.max() < 1.7
    assert not np.array_equal(after.means[:count], before.means)


def test_skin_at_the_outline_does_not_fade_to_a_hole(plain: Avatar, refined: Avatar):
    assert (refined.opacity[: len(plain)] > 0.69 * plain.opacity).all()


def test_the_same_in_gives_the_same_out(
    plain: Avatar, refined: Avatar, portrait: Portrait, template: HeadTemplate
):
    again = refine_avatar(plain, portrait, template)
    for field in ("colour", "glance", "opacity", "bound_position", "bound_rotation", "bound_scale"):
        np.testing.assert_array_equal(getattr(again, field), getattr(refined, field))


def test_quick_leaves_the_avatar_as_it_was(plain: Avatar, portrait: Portrait, template):
    assert refine_avatar(plain, portrait, template, budget=Budget.QUICK) is plain


@pytest.mark.usefixtures("refined")
def test_progress_rises_to_the_end(shares: list[float]):
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_it_can_be_saved(refined: Avatar, tmp_path):
    save_avatar(refined, tmp_path / "refined.avatar")
    assert len(load_avatar(tmp_path / "refined.avatar")) == len(refined)


def test_an_avatar_outside_its_picture_stays_as_it_was(plain: Avatar, portrait, template):
    aside = replace(plain, fit=plain.fit | {"camera_translation": [5.0, 0.0, -1.4]})
    assert refine_avatar(aside, portrait, template) is aside


def test_the_background_goes_on_behind_the_person(portrait: Portrait):
    np.testing.assert_allclose(
        background(portrait), np.broadcast_to(BACKGROUND, portrait.image.shape), atol=0.05
    )


def test_likeness_of_a_perfect_copy_is_high_and_of_a_shifted_one_lower(plain: Avatar):
    colour, through = photograph(plain)
    image = over(colour, through, BACKGROUND)
    same = Portrait(
        image=image,
        landmarks=np.zeros((478, 3), np.float32),
        person=(1 - through).astype(np.float32),
        faces_found=1,
    )
    aside = replace(same, image=np.roll(image, 2, 1), person=np.roll(same.person, 2, 1))
    assert likeness(plain, same).psnr > 30
    assert likeness(plain, aside).psnr < likeness(plain, same).psnr - 5


def test_a_seam_of_the_wall_is_not_taken_for_the_person(plain: Avatar, portrait: Portrait):
    grown = np.asarray(cv2.dilate(portrait.person, np.ones((5, 5), np.uint8)), np.float32)
    seam = (grown > 0.5) & (portrait.person < 0.05)
    inside = cv2.erode(portrait.person, np.ones((5, 5), np.uint8)) > 0.95
    wrong = replace(portrait, person=grown)
    found = matte(wrong, background(wrong))
    assert found[seam].mean() < 0.5 * grown[seam].mean()
    assert found[inside].mean() > 0.95


def test_what_the_pose_does_to_colours_is_not_taken_for_the_photographs(
    plain: Avatar,
    refined: Avatar,
    portrait: Portrait,
    template: HeadTemplate,
    monkeypatch: pytest.MonkeyPatch,
):
    """An avatar whose splats darken by a third when posed gets lighter ones."""

    def darker(deformer: Deformer) -> Gaussians:
        shown = as_photographed(deformer)
        return replace(shown, colours=shown.colours * np.float32(2 / 3))

    plainly = refined.colour[: len(plain)]
    factors = property(lambda deformer: np.full(len(deformer.avatar), 2 / 3, np.float32))
    monkeypatch.setattr(refine, "as_photographed", darker)
    monkeypatch.setattr(Deformer, "colour_factors", factors)
    lit = refine_avatar(plain, portrait, template).colour[: len(plain)]
    learned = np.abs(plainly - plain.colour).max(1) > 0.1
    dark = learned & (plainly.max(1) < 0.6)  # one and a half times as light is still a colour
    ratio = np.median(lit[dark] / np.maximum(plainly[dark], 0.05))
    assert ratio == pytest.approx(1.5, abs=0.25)


def test_no_splat_is_split_beyond_the_limit(plain: Avatar, refined: Avatar):
    assert len(plain) < len(refined) < MOST_SPLATS
