"""The mouth from inside: whole, dark, with teeth of its own that stay behind the lips."""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from avatar.deform import Deformer
from avatar.head.pose import pose
from avatar.head.template import Part, load_template
from avatar.lip_shadow import lip_splats
from avatar.portrait.landmarks import LIPS, OUTER_LIPS, FoundFace, MediapipeFaceFinder, subject
from avatar.portrait.mesh import between_corners
from avatar.portrait.mouth import few_pixels, into_the_red, lip_tones, photographed_teeth
from avatar.portrait.openings import INNER_LIPS
from avatar.portrait.sitter import Sitter
from avatar.types import ARKIT_NAMES, Avatar, Float
from render.camera import View, orbit_view
from render.cpu import CpuRenderer

OPEN = ("", "mouthPucker", "mouthFunnel", "mouthSmile", "mouthRollLower", "mouthRollUpper")
GREEN, MAGENTA = np.array([0, 1, 0], np.float32), np.array([1, 0, 1], np.float32)
SIZE = 160


def expressed(**weights: float) -> Float:
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        for side in ("",) if name in ARKIT_NAMES else ("Left", "Right"):
            expression[ARKIT_NAMES.index(name + side)] = weight
    return expression


def lips_inner_edge(avatar: Avatar, expression: Float) -> Float:
    """[20, 3] around the opening of the mouth, in avatar space."""
    template = load_template()
    posed = pose(template, avatar.vertices, expression=expression, neck_weights=avatar.neck_weights)
    triangles = template.triangles[template.landmark_triangle[list(INNER_LIPS)]]
    weights = template.landmark_barycentric[list(INNER_LIPS)]
    return between_corners(weights, posed[triangles]).astype(np.float32)


def view_of(points: Float, yaw_degrees: float) -> View:
    return orbit_view(
        np.radians(yaw_degrees),
        0.0,
        0.6,
        width=SIZE,
        height=SIZE,
        target=tuple(points.mean(0).tolist()),
        field_of_view=np.radians(8),
    )


def opening(points: Float, view: View, grow_px: int) -> NDArray[np.bool_]:
    """[SIZE, SIZE] between the lips; grown by so many pixels, or shrunk."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round(view.project(points)[:, :2]).astype(np.int32)], 1.0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow_px) + 1,) * 2)
    return (cv2.dilate if grow_px > 0 else cv2.erode)(mask, kernel) > 0


def magenta_share(
    avatar: Avatar, magenta: NDArray[np.bool_], expression: Float, view: View, background: Float
) -> Float:
    """[SIZE, SIZE] how much of each pixel is of the `magenta` [N] splats; all others are green."""
    marked = replace(avatar, colour=np.where(magenta[:, None], MAGENTA, GREEN).astype(np.float32))
    shown = Deformer(marked).gaussians(expression=expression)
    image = CpuRenderer().render(shown, [view], background)[0]
    return (image[..., 0] / 255).astype(np.float32)


@pytest.mark.parametrize("shape", OPEN)
def test_nothing_behind_the_head_shows_through_an_open_mouth(first_astronaut: Avatar, shape: str):
    expression = expressed(jawOpen=0.7, **({shape: 0.8} if shape else {}))
    lips = lips_inner_edge(first_astronaut, expression)
    template = load_template()
    beyond = first_astronaut.bound_triangle >= len(template.triangles)
    for yaw in (-45, -20, 0, 20, 45):
        view = view_of(lips, yaw)
        through = magenta_share(first_astronaut, beyond, expression, view, MAGENTA)
        inside = opening(lips, view, -2)
        assert inside.sum() > 100
        assert through[inside].max() < 0.1, f"yaw {yaw}"


@pytest.mark.parametrize("shape", OPEN)
def test_teeth_stay_behind_the_lips(first_astronaut: Avatar, shape: str):
    template = load_template()
    inner = np.isin(template.triangle_part, (Part.TEETH_UPPER, Part.TEETH_LOWER, Part.GUMS))
    own = first_astronaut.bound_triangle < len(inner)
    teeth = own & inner[np.where(own, first_astronaut.bound_triangle, 0)]
    for jaw in (0.0, 0.2, 0.7):
        expression = expressed(jawOpen=jaw, **({shape: 0.8} if shape else {}))
        lips = lips_inner_edge(first_astronaut, expression)
        for yaw in (-45, 0, 45):
            view = view_of(lips, yaw)
            seen = magenta_share(first_astronaut, teeth, expression, view, GREEN)
            outside = ~opening(lips, view, 4)
            assert (seen[outside] > 0.3).sum() <= 3, f"jaw {jaw}, yaw {yaw}"


def test_the_mouth_is_dark_behind_the_teeth(first_astronaut: Avatar):
    expression = expressed(jawOpen=0.7)
    lips = lips_inner_edge(first_astronaut, expression)
    view = view_of(lips, 0)
    shown = Deformer(first_astronaut).gaussians(expression=expression)
    image = CpuRenderer().render(shown, [view], MAGENTA)[0] / 255
    brightness = image.mean(2)[opening(lips, view, -2)]
    assert np.quantile(brightness, 0.3) < 0.15
    assert np.quantile(brightness, 0.95) > 0.5, "no tooth to be seen"


def test_single_teeth_can_be_told_apart(first_astronaut: Avatar):
    expression = expressed(jawOpen=0.3, mouthSmile=0.7)
    lips = lips_inner_edge(first_astronaut, expression)
    view = view_of(lips, 0)
    shown = Deformer(first_astronaut).gaussians(expression=expression)
    image = CpuRenderer().render(shown, [view], MAGENTA)[0].mean(2) / 255
    # A line through the upper teeth, as far as they are well lit.
    rows = np.flatnonzero(opening(lips, view, -2)[:, SIZE // 2])
    row = rows[int(0.3 * len(rows))]
    line = image[row - 1 : row + 2].mean(0)
    bright = np.flatnonzero(line > 0.6)
    line = line[bright.min() : bright.max() + 1]
    valleys = [
        i
        for i in range(3, len(line) - 3)
        if line[i] == line[i - 3 : i + 4].min()
        and line[i] < 0.93 * min(line[max(i - 8, 0) : i].max(), line[i + 1 : i + 9].max())
    ]
    assert len(valleys) >= 3
    apart = [right - left for left, right in pairwise(valleys)]
    assert min(apart) >= 4


def painted_mouth(open_px: float, tooth: Float) -> tuple[Float, FoundFace]:
    """Lips of one colour around an opening full of teeth."""
    lip = np.array([0.7, 0.4, 0.38], np.float32)
    image = np.broadcast_to(lip, (80, 120, 3)).copy()
    landmarks = np.zeros((478, 3), np.float32)
    turns = np.linspace(np.pi, 3 * np.pi, len(INNER_LIPS), endpoint=False)
    ring = np.stack([60 + 30 * np.cos(turns), 40 + open_px / 2 * np.sin(turns)], 1)
    landmarks[list(INNER_LIPS), :2] = ring
    cv2.fillPoly(image, [np.round(ring).astype(np.int32)], tooth.tolist())
    return image, FoundFace(landmarks)


def test_the_tint_of_photographed_teeth_is_read_from_between_the_lips():
    tooth = np.array([0.86, 0.81, 0.66], np.float32)
    image, face = painted_mouth(14.0, tooth)
    tint, trust = photographed_teeth(image, face, np.array([0.7, 0.4, 0.38], np.float32))
    assert trust > 0.9
    np.testing.assert_allclose(tint, tooth, atol=0.02)


@pytest.mark.parametrize(
    ("open_px", "between"),
    [(2.0, (0.9, 0.85, 0.8)), (14.0, (0.08, 0.04, 0.04)), (14.0, (0.75, 0.42, 0.4))],
    ids=["closed", "dark", "tongue"],
)
def test_no_teeth_are_found_where_none_show(open_px: float, between: tuple[float, ...]):
    image, face = painted_mouth(open_px, np.array(between, np.float32))
    _, trust = photographed_teeth(image, face, np.array([0.7, 0.4, 0.38], np.float32))
    assert trust == 0


def test_the_smiling_astronaut_gets_her_own_teeth():
    picture = (np.asarray(data.astronaut()) / 255).astype(np.float32)
    with MediapipeFaceFinder() as finder:
        face, _ = subject(finder, picture, "astronaut")
    tint, trust = photographed_teeth(picture, face, np.array([0.90, 0.73, 0.69], np.float32))
    assert trust == 1
    assert tint[0] > tint[1] > tint[2] > 0.8, "her teeth are nearly white, a little warm"


def test_a_resting_mouth_shows_no_teeth(first_astronaut: Avatar):
    lips = lips_inner_edge(first_astronaut, expressed())
    template = load_template()
    own = first_astronaut.bound_triangle < len(template.triangles)
    part = template.triangle_part[np.where(own, first_astronaut.bound_triangle, 0)]
    teeth = own & np.isin(part, (Part.TEETH_UPPER, Part.TEETH_LOWER))
    seen = magenta_share(first_astronaut, teeth, expressed(), view_of(lips, 0), GREEN)
    assert (seen > 0.3).sum() <= 10, "the lips meet at rest"


def test_lips_of_few_pixels_have_the_colour_of_their_reddest(astronaut_sitter: Sitter):
    np.testing.assert_array_equal(few_pixels(astronaut_sitter), 1)
    upper, lower = lip_tones(astronaut_sitter)
    mixed, skin = astronaut_sitter.lip_colour, astronaut_sitter.skin_tone
    for tone in (upper, lower):
        assert redness(tone) > 1.1 * redness(mixed), "teeth and skin are mixed in"
        assert redness(tone) > 1.4 * redness(skin)
        assert tone.mean() < 0.9 * skin.mean()
    assert upper.mean() < lower.mean(), "the upper lip faces down"


def test_lips_are_painted_darker_and_redder_than_the_skin(
    first_astronaut: Avatar, astronaut_sitter: Sitter
):
    for lip in lip_splats(load_template(), first_astronaut):
        colour = np.median(first_astronaut.colour[lip], axis=0)
        assert redness(colour) > 1.3 * redness(astronaut_sitter.skin_tone)
        assert colour.mean() < 0.87 * astronaut_sitter.skin_tone.mean()


def test_a_large_or_a_closed_mouth_keeps_what_the_photograph_shows(astronaut_sitter: Sitter):
    def few(landmarks: Float) -> Float:
        return few_pixels(replace(astronaut_sitter, face=FoundFace(landmarks)))

    landmarks = astronaut_sitter.face.landmarks
    np.testing.assert_array_equal(few(landmarks * np.float32(5)), 0)
    closed = landmarks.copy()
    closed[14] = closed[13]
    np.testing.assert_array_equal(few(closed), 0)


def test_the_red_begins_at_its_outer_border_and_is_deepest_in_the_opening():
    landmarks = np.zeros((478, 3), np.float32)
    for ring, radii in ((OUTER_LIPS, (40, 20)), (INNER_LIPS, (32, 8))):
        turns = np.linspace(np.pi, 3 * np.pi, len(ring), endpoint=False)
        places = np.stack([np.cos(turns), np.sin(turns)], 1) * radii + (60, 40)
        landmarks[list(ring), :2] = places
    down = np.array([[60.0, y] for y in (15, 21, 26, 31, 40, 54, 65)])
    depth = into_the_red(landmarks, down)
    np.testing.assert_allclose(depth, [0, 0.08, 0.5, 0.92, 1, 0.5, 0], atol=0.06)
    corner = into_the_red(landmarks, np.array([[22.0, 40.0]]))
    assert corner < 0.2, "at the corners the lips run out"


def test_the_upper_lip_of_an_open_smile_is_no_fuller_at_rest_than_most(first_astronaut: Avatar):
    """People's upper red is 7 to 8 mm high; the template's is more."""
    template = load_template()

    def height(head: Float) -> float:
        borders = np.array(LIPS[:3])
        corners = head[template.triangles[template.landmark_triangle[borders]]]
        weights = template.landmark_barycentric[borders]
        outer, inner = np.einsum("abij,abi->abj", corners, weights).swapaxes(0, 1)
        return float((outer - inner)[:, 1].mean())

    assert height(template.vertices) > 0.009
    assert 0.006 < height(first_astronaut.vertices) < 0.009


def redness(colour: Float) -> float:
    """How much red a colour has over green and blue, against its brightness."""
    return float((colour[0] - colour[1:].mean()) / colour.mean())
