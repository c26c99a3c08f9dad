"""Lids close without a gap from any side, keep the eyes behind them, and carry lashes."""

from dataclasses import replace

import numpy as np
import pytest

from avatar.deform import Deformer
from avatar.head.pose import pose
from avatar.head.template import Part, load_template
from avatar.portrait.lids import lid_shade, paint_lashes
from avatar.portrait.sitter import Sitter
from avatar.training.performance.decoding import decode_eyes
from avatar.types import ARKIT_NAMES, Avatar, Float
from render.camera import orbit_view
from render.cpu import CpuRenderer

GREEN, MAGENTA = np.array([0, 1, 0], np.float32), np.array([1, 0, 1], np.float32)


def blinking(amount: float) -> Float:
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for side in ("Left", "Right"):
        expression[ARKIT_NAMES.index("eyeBlink" + side)] = amount
    return expression


def eye_pixels(
    avatar: Avatar, expression: Float, yaw: float, pitch: float, gaze: Float | None = None
) -> int:
    """Pixels that show more eyeball than anything else: all is green but the eyeballs."""
    template = load_template()
    own = avatar.bound_triangle < len(template.triangles)
    part = template.triangle_part[np.where(own, avatar.bound_triangle, 0)]
    eyes = own & np.isin(part, (Part.EYE_LEFT, Part.EYE_RIGHT))
    marked = replace(avatar, colour=np.where(eyes[:, None], MAGENTA, GREEN).astype(np.float32))
    shown = Deformer(marked).gaussians(expression=expression, gaze=gaze)
    view = orbit_view(
        np.radians(yaw),
        np.radians(pitch),
        0.6,
        width=384,
        height=128,
        target=(0.0, 0.0, 0.0),
        field_of_view=np.radians(5),
    )
    return int((CpuRenderer().render(shown, [view], GREEN)[0][..., 0] > 90).sum())


def test_shut_lids_show_no_eye_from_any_side(first_astronaut: Avatar):
    assert eye_pixels(first_astronaut, blinking(0.0), 0, 0) > 1000
    for yaw, pitch in ((0, 0), (-45, 0), (45, 0), (0, 20), (0, -20), (30, 20), (-30, -20)):
        assert eye_pixels(first_astronaut, blinking(1.0), yaw, pitch) == 0, f"{yaw}, {pitch}"


def test_lids_close_bit_by_bit(first_astronaut: Avatar):
    shown = [eye_pixels(first_astronaut, blinking(w), 0, 0) for w in (0, 0.25, 0.5, 0.75, 1)]
    assert shown == sorted(shown, reverse=True)
    assert 0.03 * shown[0] < shown[2] < 0.6 * shown[0], "half a blink is half shut"


@pytest.mark.parametrize("gaze", [(30, 0), (-30, 0), (0, 20), (0, -20)])
def test_a_turned_eye_does_not_poke_through_half_shut_lids(
    first_astronaut: Avatar, gaze: tuple[float, float]
):
    aside = np.radians(np.array(gaze, np.float32))
    for yaw in (-30, 30):
        ahead = eye_pixels(first_astronaut, blinking(0.5), yaw, 0)
        turned = eye_pixels(first_astronaut, blinking(0.5), yaw, 0, aside)
        assert turned <= 1.1 * ahead + 10


def test_the_upper_lid_follows_a_glance_up_and_down():
    template = load_template()
    blink = template.expression_basis[ARKIT_NAMES.index("eyeBlinkLeft"), :, 1]
    skin = template.vertex_part == Part.SKIN
    margin = skin & (blink < 0.9 * blink[skin].min())

    def height(pitch_degrees: float) -> float:
        given = {name: np.zeros(1) for name in ("gaze_yaw", "blink", "brows", "smile")}
        expression = decode_eyes({**given, "gaze_pitch": np.array([np.radians(pitch_degrees)])})[0]
        posed = pose(template, template.vertices, expression=expression.astype(np.float32))
        return float(posed[margin, 1].mean())

    assert height(-20) < height(0) - 0.0015
    assert height(15) > height(0) + 0.0005


def test_lashes_are_thin_dark_and_of_the_lashes(astronaut_sitter: Sitter):
    lashes = paint_lashes(astronaut_sitter)
    lattice, template = lashes.lattice, astronaut_sitter.template
    assert 200 < len(lattice) < 3000
    assert (template.triangle_part[lattice.triangle] == Part.LASHES).all()
    assert lashes.colour.max() < 0.3
    assert (lattice.scales[:, 0] > 4 * lattice.scales[:, 1]).all()
    np.testing.assert_allclose(np.linalg.norm(lattice.rotations, axis=1), 1, atol=1e-5)
    upper = lattice.means[:, 1] > 0
    assert lashes.opacity[upper].mean() > 1.5 * lashes.opacity[~upper].mean()


def test_a_lid_is_only_a_little_darker_than_the_skin_around_it(astronaut_sitter: Sitter):
    shade, lid = lid_shade(astronaut_sitter), astronaut_sitter.lids
    assert (shade[lid == 0] == 1).all()
    assert 0.85 < np.median(shade[lid > 0.9]) < 1
    assert shade.min() > 0.3
