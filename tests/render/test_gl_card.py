"""Posing and sorting by compute shaders, and pictures that stay on the card; on Mesa's llvmpipe
where there is no card."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import moderngl
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.bundled import avatar_path
from app.posing import CardPosing, posed_where_drawn
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import ShaderError
from avatar.head_tables import HeadPose, HeadTables
from avatar.level_of_detail import thinned
from avatar.types import ARKIT_NAMES, Gaussians
from render import gl_sort
from render.camera import orbit_view
from render.cpu import CpuRenderer
from render.distance_order import DistanceOrder
from render.gl import GlRenderer
from render.gl_driver import Driver, open_context
from render.gl_head import GlHead
from tests.avatar.plain_head import lively_motion, pose_plainly, taught
from tests.render.scenes import front_view, gaussians_of, random_gaussians, random_view

MEANS_M, SCALES_M = 4e-6, 2e-6
"""Single against double precision, and a driver's own sine: 9e-7 and 2e-7 on llvmpipe. A pixel of a
head that fills a 4K picture is 100 times as large."""
COLOURS = 2e-4
"""5e-6 on llvmpipe; a twentieth of a level of 255."""


@pytest.fixture(scope="module")
def card() -> Iterator[GlRenderer]:
    with GlRenderer() as renderer:
        assert renderer.poses
        yield renderer
        with renderer._context as context:
            assert context.error == "GL_NO_ERROR"


@pytest.fixture(scope="module")
def deformer() -> Deformer:
    return Deformer(load_avatar(avatar_path(DEFAULT_AVATAR)))


@pytest.fixture(scope="module")
def head(card, deformer) -> Iterator[GlHead]:
    head = card.keep(deformer.tables())
    yield head
    head.release()


def pose_of(
    tables: HeadTables,
    weights: object = 0.0,
    gaze: object = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    rotation: object = (0, 0, 0),
    translation: object = (0, 0, 0),
    glance: float = 0.0,
) -> HeadPose:
    count = int(tables.offset_weight.max()) + 1
    single = lambda values: np.array(values, np.float32)  # noqa: E731
    return HeadPose(
        weights=single(np.broadcast_to(np.asarray(weights, np.float32), count)),
        gaze=single(gaze),
        head_rotation=single(rotation),
        head_translation=single(translation),
        glance=glance,
        face_features=np.zeros(0, np.float32),
        pose_features=np.zeros(0, np.float32),
    )


def turn(yaw: float, pitch: float) -> np.ndarray:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_y @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])


def poses(tables: HeadTables) -> dict[str, HeadPose]:
    chance = np.random.default_rng(3)
    count = int(tables.offset_weight.max()) + 1
    some = chance.random(count) * (chance.random(count) < 0.4)
    weight = lambda name, value: np.eye(count)[ARKIT_NAMES.index(name)] * value  # noqa: E731
    return {
        "rest": pose_of(tables),
        "glance": pose_of(tables, glance=0.6),
        "jaw": pose_of(tables, weight("jawOpen", 1.0), glance=1.0),
        "shut": pose_of(tables, weight("mouthRollLower", 1) + weight("mouthRollUpper", 1)),
        "looks": pose_of(tables, weight("eyeBlinkLeft", 1), turn(0.5, -0.3)),
        "turned": pose_of(tables, 0.0, rotation=(0.3, -0.8, 0.2), translation=(0.02, -0.01, 0.03)),
        "lively": pose_of(tables, some, turn(-0.2, 0.1), (0.1, 0.2, 0.05), (0, 0.01, 0), 0.4),
        "extreme": pose_of(tables, 1.0, turn(0.6, 0.4), (1.2, -1.4, 0.9), (0.3, 0.2, -0.4), 1.0),
    }


def assert_posed(got: Gaussians, expected: Gaussians, opacities: float = 0.0) -> None:
    """`opacities`: how far they may differ, where residuals change them."""
    assert np.abs(got.means - expected.means).max() < MEANS_M
    assert np.abs(got.scales - expected.scales).max() < SCALES_M
    assert np.abs(got.opacities - expected.opacities).max() <= opacities
    assert np.abs(got.colours - expected.colours).max() < COLOURS
    # A quaternion may have the other sign; thin triangles tilt by the last digits of their corners.
    alike = np.abs((got.rotations * expected.rotations).sum(1))
    alike /= np.linalg.norm(expected.rotations, axis=1)  # those of the card have length 1
    assert np.quantile(alike, 0.001) > 1 - 1e-5
    assert alike.min() > 0.999


@pytest.mark.parametrize(
    "name", ["rest", "glance", "jaw", "shut", "looks", "turned", "lively", "extreme"]
)
def test_the_card_poses_a_head_as_the_tables_say(head, deformer, name):
    tables = deformer.tables()
    assert len(tables.vertices) > len(tables.eye)  # bust and hair follow the neck only
    pose = poses(tables)[name]
    head.pose(pose)
    assert_posed(head.read(), pose_plainly(tables, pose))


@pytest.mark.parametrize("seed", [3, 4])
def test_residuals_are_added_on_the_card_as_by_the_deformer(card, deformer, seed):
    frame, viewer = lively_motion(seed), np.array([0.05, 0.0, 1.0])
    # Thinned, as a head that is far away: rows are other ones then.
    kept = np.flatnonzero(np.random.default_rng(seed).random(len(deformer.avatar)) < 0.6)
    learned = Deformer(thinned(taught(deformer.avatar, seed), kept))
    posing = posed_where_drawn(learned, card)
    assert isinstance(posing, CardPosing)
    posing.gaussians(lively_motion(5), seen_from=viewer)  # nothing of it may stay
    got = posing.gaussians(frame, seen_from=viewer).read()
    posing.release()
    expected = learned.gaussians(frame, seen_from=viewer)
    pose = learned.head_pose(frame, seen_from=viewer)
    assert_posed(got, pose_plainly(learned.tables(), pose), 1e-6)
    assert_posed(got, expected, 1e-6)


@pytest.mark.parametrize("missing", ["face_residual", "pose_residual"])
def test_one_network_of_residuals_is_enough(card, small_avatar, missing):
    learned = Deformer(dataclasses.replace(taught(small_avatar), **{missing: None}))
    viewer = np.array([0.05, 0.0, 1.0])
    head = card.keep(learned.tables())
    head.pose(learned.head_pose(lively_motion(4), seen_from=viewer))
    assert_posed(head.read(), learned.gaussians(lively_motion(4), seen_from=viewer), 1e-6)
    head.release()


def test_a_head_without_glance_lips_or_light_is_posed_too(card, small_avatar):
    tables = Deformer(small_avatar).tables()
    nobody = np.zeros(0, np.int32)
    bare = dataclasses.replace(
        tables,
        **{"lips": nobody, "lip_start": np.zeros(1, np.int32), "lip_near": nobody},
        **{name: np.zeros(0, np.float32) for name in ("lip_area", "lip_darkest", "lip_rest")},
        **{"shaded": nobody, "ring_start": np.zeros(1, np.int32), "lit": nobody},
        ring=np.zeros((0, 2), np.int32),
        **{name: np.zeros(0, np.float32) for name in ("shade_weight", "rest_light", "rest_area")},
    )
    assert not len(tables.glance)
    for each in (tables, bare):
        head = card.keep(each)
        pose = poses(each)["lively"]
        head.pose(pose)
        assert_posed(head.read(), pose_plainly(each, pose))
        head.release()


def test_a_collapsed_triangle_and_broken_numbers_neither_show_nor_spoil_others(card, small_avatar):
    tables = Deformer(small_avatar).tables()
    vertices = tables.vertices.copy()
    first = tables.triangles[tables.triangle_of[0]]
    vertices[first] = vertices[first[0]]  # no size at all
    scales = tables.scales.copy()
    scales[7] = np.nan
    opacities = tables.opacities.copy()
    opacities[9] = np.inf
    broken = dataclasses.replace(tables, vertices=vertices, scales=scales, opacities=opacities)
    head = card.keep(broken)
    head.pose(pose_of(broken))
    got = head.read()
    head.release()
    on_it = tables.triangle_of == tables.triangle_of[0]
    assert np.isfinite(got.means).all()
    assert np.isfinite(got.rotations).all()
    assert (got.scales[on_it] < 1e-8).all()
    assert got.opacities[7] == got.opacities[9] == 0
    assert (np.delete(got.opacities, [7, 9]) > 0).all()


@pytest.mark.parametrize("yaw", [0.0, 0.7])
def test_a_head_posed_on_the_card_looks_as_on_the_processor(card, head, deformer, yaw):
    view = orbit_view(yaw, 0.1, 1.0, width=256, height=256)
    pose = poses(deformer.tables())["lively"]
    head.pose(pose)
    got = card.render_with_alpha(head, [view], (0.5, 0.5, 0.5))[0]
    plain = pose_plainly(deformer.tables(), pose)
    expected = CpuRenderer().render_with_alpha(plain, [view], (0.5, 0.5, 0.5))[0]
    error = np.mean((got.astype(np.float64) - expected) ** 2)
    assert 10 * np.log10(255**2 / error) > 60


def test_a_pose_holds_until_the_next(card, head, deformer):
    known, view = poses(deformer.tables()), orbit_view(0.2, 0.0, 1.0, width=96, height=96)
    head.pose(known["jaw"])
    first = card.render(head, [view])
    card.render(random_gaussians(500, seed=1), [view])
    assert np.array_equal(card.render(head, [view]), first)
    head.pose(known["rest"])
    assert not np.array_equal(card.render(head, [view]), first)
    head.pose(known["jaw"])
    assert np.array_equal(card.render(head, [view]), first)


def test_two_heads_do_not_meet(card, deformer, small_avatar):
    one, other = card.keep(deformer.tables()), card.keep(Deformer(small_avatar).tables())
    view = orbit_view(0.0, 0.0, 1.0, width=64, height=64)
    one.pose(poses(deformer.tables())["jaw"])
    first = card.render(one, [view])
    other.pose(pose_of(Deformer(small_avatar).tables()))
    assert not np.array_equal(card.render(other, [view]), first)
    assert np.array_equal(card.render(one, [view]), first)
    one.release()
    with pytest.raises(AssertionError, match="released already"):
        card.render(one, [view])
    other.release()


def test_a_head_is_drawn_by_no_other_renderer(card, head):
    with GlRenderer() as other, pytest.raises(AssertionError, match="another renderer"):
        other.render(head, [front_view()])
    with pytest.raises(AssertionError, match="another renderer"):
        CpuRenderer().render(head, [front_view()])


def order_on_card(card: GlRenderer, gaussians: Gaussians, view) -> tuple[np.ndarray, np.ndarray]:
    """The order that the card finds, and the processor's."""
    processor = DistanceOrder()
    packed = processor.pack(gaussians)
    assert card._card is not None
    with card._current():
        card._memory.write_splats(packed)
        order = card._card[0]
        order.sort(card._memory.splats, len(gaussians), view)
        return order.read().copy(), processor.nearest_first(view)


@settings(max_examples=30)
@given(
    count=st.integers(1, 9000),
    seed=st.integers(0, 2**32 - 1),
    steps=st.sampled_from([1, 3, 40, 1000, 10**6]),
)
@example(count=1, seed=0, steps=1)
@example(count=2048, seed=0, steps=1)
@example(count=2049, seed=0, steps=3)
def test_the_order_is_the_processors_to_the_last_splat(card, count, seed, steps):
    chance = np.random.default_rng(seed)
    means = chance.normal(size=(count, 3)) * [0.3, 0.3, 1.0] - [0, 0, 1.5]
    gaussians = gaussians_of(
        np.round(means * steps) / steps,  # few steps: many equal depths
        opacities=chance.choice([0, 0.002, 0.5, 1, np.nan], count, p=[0.1, 0.1, 0.4, 0.3, 0.1]),
    )
    for view in (front_view(), random_view(seed)):
        got, expected = order_on_card(card, gaussians, view)
        assert np.array_equal(got, expected)


def test_nothing_to_sort_is_nothing_to_draw(card):
    behind = gaussians_of([[0, 0, 1 + index] for index in range(40)])
    assert len(order_on_card(card, behind, front_view())[0]) == 0
    for gaussians in (behind, gaussians_of([])):
        assert (card.render(gaussians, [front_view()], (0, 1, 0)) == [0, 255, 0]).all()


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.4])
def test_the_order_of_a_posed_head_is_the_processors(card, head, deformer, yaw):
    head.pose(poses(deformer.tables())["lively"])
    processor = DistanceOrder()
    processor.pack(head.read())
    for eye in (-0.03, 0.03):
        view = orbit_view(yaw + eye, 0.1, 0.6, width=64, height=64)
        card.render(head, [view])
        assert card._card is not None
        with card._current():
            assert np.array_equal(card._card[0].read(), processor.nearest_first(view))


def read_texture(card: GlRenderer, texture: moderngl.Texture) -> np.ndarray:
    with card._context:
        width, height = texture.size
        return np.frombuffer(texture.read(), np.uint8).reshape(height, width, 4)


def test_textures_hold_what_would_be_read_back(card):
    gaussians = random_gaussians(60, seed=2, size=0.1)
    views = [random_view(1), random_view(2)]
    for background in ((0.0, 0.0, 0.0), np.random.default_rng(1).random((53, 72, 3))):
        expected = card.render_with_alpha(gaussians, views, background).astype(int)
        pictures = card.render_textures(gaussians, views, background)
        assert len({picture.texture.glo for picture in pictures}) == 2
        for picture, wanted in zip(pictures, expected, strict=True):
            got = read_texture(card, picture.texture)[: picture.height, : picture.width]
            assert got.shape == wanted.shape
            assert np.abs(got.astype(int) - wanted).max() <= 1


def test_a_picture_goes_into_the_callers_framebuffer_the_right_way_up():
    gaussians, view = random_gaussians(60, seed=2, size=0.1), random_view(1)
    with open_context() as context:
        texture = context.texture((80, 60), 4)
        target = context.framebuffer([texture])
        with GlRenderer(context=context) as renderer:
            for background in ((0.2, 0.4, 0.6), None):
                expected = renderer.render(gaussians, [view], (0.2, 0.4, 0.6))[0]
                target.clear(0.2, 0.4, 0.6, 1.0)
                renderer.render_into(gaussians, [view], [target], background)
                got = np.frombuffer(target.read(components=3), np.uint8).reshape(60, 80, 3)
                drawn = got[: view.height, : view.width][::-1].astype(int)
                assert np.abs(drawn - expected).max() <= 1
                assert np.ptp(drawn) > 100
                assert (got[view.height :] == [51, 102, 153]).all()
        assert context.error == "GL_NO_ERROR"
    context.release()


def test_a_card_whose_shaders_sort_wrongly_is_not_trusted_with_them(monkeypatch, small_avatar):
    tables = Deformer(small_avatar).tables()
    monkeypatch.setattr(gl_sort, "KEY_BITS", 16)  # two passes of four
    with GlRenderer() as renderer:
        assert not renderer.poses
        assert "compute shaders fail a test" in renderer.reason
        assert renderer.render(random_gaussians(60, seed=2), [front_view()]).any()
        with pytest.raises(AssertionError, match="the processor poses"):
            renderer.keep(tables)


def test_a_driver_that_refuses_a_compute_shader_draws_as_with_opengl_3(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ShaderError("shaders/radix_move.comp line 9: error: no")

    monkeypatch.setattr(gl_sort, "build_compute", refuse)
    with GlRenderer() as renderer:
        assert not renderer.poses
        assert "radix_move.comp line 9" in renderer.reason


OPENGL_3 = """
import numpy as np
from render.cpu import CpuRenderer
from render.gl import GlRenderer
from tests.render.scenes import front_view, random_gaussians

gaussians, views = random_gaussians(60, seed=2), [front_view()]
with GlRenderer() as renderer:
    assert renderer._context.version_code == 330
    assert not renderer.poses
    assert "the processor poses and sorts, for want of OpenGL 4.3" in renderer.reason
    picture = renderer.render(gaussians, views)
assert np.abs(picture.astype(int) - CpuRenderer().render(gaussians, views)).max() <= 2
print("drawn")
"""


def test_a_driver_of_opengl_3_3_draws_what_the_processor_poses_and_sorts(card):
    if "Mesa" not in card.driver.version:
        pytest.skip("only Mesa can be asked to be old")
    result = subprocess.run(
        [sys.executable, "-c", OPENGL_3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "MESA_GL_VERSION_OVERRIDE": "3.3"},
    )
    assert (result.stdout, result.stderr) == ("drawn\n", "")


def test_a_driver_says_whether_it_computes():
    assert Driver("any", "4.3.0 NVIDIA 550.1").computes
    assert Driver("any", "4.5 (Core Profile) Mesa 22.3.6").computes
    assert not Driver("any", "4.2 (Core Profile) Mesa").computes
    assert not Driver("any", "3.3.0").computes
    assert not Driver("any", "").computes
