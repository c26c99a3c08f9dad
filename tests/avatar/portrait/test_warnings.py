"""Honest limits: what is spoilt on purpose is told, what is sound is not; files are not trusted.

The picture is spoilt and looked at again with the same fit, as far as the face stays where it is.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage import data

from app.bundled import ASSETS
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.head.template import load_template
from avatar.portrait.fit import fit_face
from avatar.portrait.landmarks import LEFT_EYE, RIGHT_EYE, MediapipeFaceFinder, subject
from avatar.portrait.looks import Looks, measure
from avatar.portrait.person import person_mask
from avatar.portrait.sitter import Sitter
from avatar.portrait.warnings import (
    PROVENANCE_KEY,
    PortraitWarning,
    WarningKind,
    read_warnings,
    warnings_of,
    write_warnings,
)
from avatar.types import ARKIT_NAMES, Float, Portrait
from render.camera import orbit_view
from render.choose import open_renderer

SOUND = Looks(
    faces=1,
    eye_distance_px=200.0,
    yaw_degrees=3.0,
    pitch_degrees=-4.0,
    beyond_edge=-1.0,
    cut_hair=0.0,
    body=1.0,
    soft_outline=0.015,
    sharpness=0.3,
    overexposed=0.01,
    brightest=0.7,
    colourfulness=30.0,
    side_light=1.2,
    lip_gap=0.005,
    smile=0.1,
    lip_contrast=15.0,
    lip_line=0.3,
    eye_opening=0.28,
    bridge_line=0.01,
)


@pytest.fixture(scope="module")
def finder():
    with MediapipeFaceFinder() as finder:
        yield finder


def looked_at(image: Float, finder: MediapipeFaceFinder) -> Sitter:
    face, faces = subject(finder, image, "test")
    template = load_template()
    return Sitter(
        portrait=Portrait(
            image=image,
            landmarks=face.landmarks,
            person=person_mask(finder, image, face),
            faces_found=faces,
        ),
        face=face,
        fit=fit_face(template, face, (image.shape[1], image.shape[0])),
        template=template,
    )


@pytest.fixture(scope="module")
def astronaut(finder: MediapipeFaceFinder) -> Sitter:
    return looked_at((np.asarray(data.astronaut()) / 255).astype(np.float32), finder)


def told(sitter: Sitter) -> set[str]:
    return {warning.kind for warning in warnings_of(measure(sitter))}


def with_picture(sitter: Sitter, image: Float) -> Sitter:
    picture = np.ascontiguousarray(np.clip(image, 0, 1), np.float32)
    return replace(sitter, portrait=replace(sitter.portrait, image=picture))


def enlarged(sitter: Sitter, factor: int) -> Sitter:
    """The same in a larger picture, for what is told of small ones takes precedence."""
    picture = cv2.resize(sitter.portrait.image, None, fx=factor, fy=factor)
    camera = sitter.fit.camera
    larger = replace(
        camera,
        focal_px=camera.focal_px * factor,
        centre_px=(camera.centre_px[0] * factor, camera.centre_px[1] * factor),
    )
    return replace(
        sitter,
        portrait=replace(
            sitter.portrait,
            image=np.clip(picture, 0, 1).astype(np.float32),
            person=cv2.resize(sitter.portrait.person, None, fx=factor, fy=factor),
        ),
        face=replace(sitter.face, landmarks=sitter.face.landmarks * np.float32(factor)),
        fit=replace(sitter.fit, camera=larger),
    )


def relit(image: Float, light: Float | float) -> Float:
    """With more or less light (linear; gamma 2.2 is near enough)."""
    return np.clip(image**2.2 * light, 0, 1) ** np.float32(1 / 2.2)


def lit_from_the_side(sitter: Sitter) -> Float:
    middle = sitter.face.landmarks[1, 0]
    across = (np.arange(sitter.portrait.image.shape[1]) - middle) / sitter.face.eye_distance_px
    return relit(sitter.portrait.image, (8.0 ** np.clip(across, -0.6, 0.6))[None, :, None])


def with_mouth_covered(colour: tuple[float, float, float]) -> Callable[[Sitter], Float]:
    """By a cloth with folds, softly shaded, from the nose to the chin and cheek to cheek."""

    def covered(sitter: Sitter) -> Float:
        image, points = sitter.portrait.image.copy(), sitter.face.landmarks[:, :2]
        left, right = points[[234, 454], 0]
        top, bottom = points[[4, 152], 1]
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        cloth = (rows > top) & (rows < bottom + 4) & (columns > left) & (columns < right)
        across = (columns - (left + right) / 2) / (right - left)
        folds = 1 - 0.06 * (np.sin((rows - top) * 0.35) > 0.8) - 0.3 * across**2
        image[cloth] = (np.array(colour) * folds[..., None])[cloth]
        return image

    return covered


def with_glasses(sitter: Sitter) -> Float:
    image = sitter.portrait.image.copy()
    points, unit = sitter.face.landmarks[:, :2], sitter.face.eye_distance_px
    middles = [points[list(eye)].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
    thick = max(1, round(0.035 * unit))
    for x, y in middles:
        axes = (round(0.3 * unit), round(0.22 * unit))
        cv2.ellipse(image, (round(x), round(y)), axes, 0, 0, 360, (0.1, 0.1, 0.1), thick)
    (x0, y0), (x1, y1) = middles
    bridge = (round(x0 + 0.3 * unit), round(y0)), (round(x1 - 0.3 * unit), round(y1))
    cv2.line(image, *bridge, (0.1, 0.1, 0.1), thick)
    return image


def grey(image: Float) -> Float:
    return np.repeat(image.mean(2, keepdims=True), 3, axis=2)


SPOILT: dict[str, tuple[Callable[[Sitter], Float], set[str]]] = {
    "not at all": (lambda sitter: sitter.portrait.image, set()),
    "a little brighter": (lambda sitter: relit(sitter.portrait.image, 1.2), set()),
    "a stop darker": (lambda sitter: relit(sitter.portrait.image, 0.5), set()),
    "dark": (lambda sitter: relit(sitter.portrait.image, 0.08), {"underexposed"}),
    "bright": (lambda sitter: relit(sitter.portrait.image, 4.0), {"overexposed"}),
    "grey": (lambda sitter: grey(sitter.portrait.image), {"black_and_white"}),
    "side light": (lit_from_the_side, {"side_light"}),
    "blue mask": (with_mouth_covered((0.55, 0.72, 0.85)), {"covered_mouth"}),
    "black cloth": (with_mouth_covered((0.1, 0.1, 0.1)), {"covered_mouth"}),
    "hand": (with_mouth_covered((0.82, 0.62, 0.52)), {"covered_mouth"}),
    "glasses": (with_glasses, {"glasses"}),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_spoilt_is_told_and_nothing_else(how: str, astronaut: Sitter):
    spoil, expected = SPOILT[how]
    always = {"low_resolution", "open_mouth"}  # 60 pixels between the eyes' corners, and she laughs
    assert told(with_picture(astronaut, spoil(astronaut))) - always == expected


def test_a_small_face_is_told_with_its_size(astronaut: Sitter):
    texts = {warning.kind: warning.text for warning in warnings_of(measure(astronaut))}
    assert f"{astronaut.face.eye_distance_px:.0f} pixels" in texts["low_resolution"]


def test_a_blurred_face_is_told_and_a_sharp_one_is_not(astronaut: Sitter):
    large = enlarged(astronaut, 2)
    sigma = 0.03 * large.face.eye_distance_px
    blurred = np.asarray(cv2.GaussianBlur(large.portrait.image, (0, 0), sigma), np.float32)
    assert told(large) == {"open_mouth"}
    assert told(with_picture(large, blurred)) == {"open_mouth", "blurred"}


def cut(sitter: Sitter, box: tuple[int, int, int, int]) -> Sitter:
    """The picture from `box` (left, top, right, bottom); the face keeps its place on the person."""
    left, top, right, bottom = box
    window = slice(top, bottom), slice(left, right)
    moved = sitter.face.landmarks - np.array([left, top, 0], np.float32)
    centre_x, centre_y = sitter.fit.camera.centre_px
    camera = replace(sitter.fit.camera, centre_px=(centre_x - left, centre_y - top))
    return replace(
        sitter,
        portrait=replace(
            sitter.portrait,
            image=np.ascontiguousarray(sitter.portrait.image[window]),
            person=np.ascontiguousarray(sitter.portrait.person[window]),
        ),
        face=replace(sitter.face, landmarks=moved),
        fit=replace(sitter.fit, camera=camera),
    )


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("hair", {"cut_hair"}),
        ("neck", {"no_shoulders"}),
        ("chin", {"cut_face", "no_shoulders"}),
        ("far from all", set()),
    ],
)
def test_what_the_pictures_edge_cuts_off_is_told(side: str, expected: set[str], astronaut: Sitter):
    low = astronaut.face.landmarks[:468, :2].min(0).round().astype(int)
    high = astronaut.face.landmarks[:468, :2].max(0).round().astype(int)
    height = int(high[1] - low[1])
    box = {
        "hair": (0, low[1] - 3, 512, 512),
        "neck": (0, 0, 512, high[1] + height // 10),
        "chin": (0, 0, 512, high[1] - height // 8),
        "far from all": (low[0] - height, low[1] - height, high[0] + height, 512),
    }[side]
    part = cut(astronaut, (int(max(box[0], 0)), int(max(box[1], 0)), int(box[2]), int(box[3])))
    assert told(part) - {"low_resolution", "open_mouth"} == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [({}, set()), ({"eyeBlinkLeft": 1, "eyeBlinkRight": 1}, {"closed_eyes"})],
)
def test_a_face_drawn_with_closed_eyes_is_told(
    weights: dict[str, float], expected: set[str], finder: MediapipeFaceFinder
):
    expression = np.array([weights.get(name, 0) for name in ARKIT_NAMES], np.float32)
    avatar = load_avatar(ASSETS / "avatars" / "default.avatar")
    view = orbit_view(0.0, 0.0, 0.8, width=640, height=640)
    gaussians = Deformer(avatar).gaussians(expression=expression)
    drawn = open_renderer("cpu").render(gaussians, [view], np.full(3, 0.6, np.float32))[0]
    sitter = looked_at((drawn / 255).astype(np.float32), finder)
    assert told(sitter) & {"closed_eyes", "turned_head", "covered_mouth", "glasses"} == expected


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({}, None),
        ({"faces": 2}, WarningKind.SEVERAL_FACES),
        ({"yaw_degrees": -27.0}, WarningKind.TURNED_HEAD),
        ({"pitch_degrees": 22.0}, WarningKind.TILTED_HEAD),
        ({"pitch_degrees": -22.0}, WarningKind.TILTED_HEAD),
        ({"lip_gap": 0.1, "smile": 0.7}, WarningKind.OPEN_MOUTH),
        ({"smile": 0.7}, WarningKind.SMILE),
        ({"soft_outline": 0.04}, WarningKind.UNSURE_OUTLINE),
        ({"eye_opening": 0.05}, WarningKind.CLOSED_EYES),
    ],
)
def test_each_figure_beyond_its_limit_is_told_by_itself(
    figures: dict[str, float], expected: WarningKind | None
):
    found = warnings_of(replace(SOUND, **figures))  # pyright: ignore[reportArgumentType]
    assert [warning.kind for warning in found] == ([expected.value] if expected else [])


def test_every_warning_is_a_line_that_says_what_to_expect():
    poor = Looks(
        faces=3,
        eye_distance_px=30.0,
        yaw_degrees=40.0,
        pitch_degrees=-30.0,
        beyond_edge=0.1,
        cut_hair=1.0,
        body=0.0,
        soft_outline=0.1,
        sharpness=0.0,
        overexposed=0.9,
        brightest=0.9,
        colourfulness=1.0,
        side_light=5.0,
        lip_gap=0.2,
        smile=0.9,
        lip_contrast=0.0,
        lip_line=0.0,
        eye_opening=0.0,
        bridge_line=0.2,
    )
    others = (replace(poor, eye_distance_px=200.0), replace(poor, lip_gap=0.0))
    dark, readable = replace(poor, brightest=0.1), replace(poor, overexposed=0.0)
    every = (poor, *others, dark, readable)
    found = [warning for looks in every for warning in warnings_of(looks)]
    assert {warning.kind for warning in found} == {kind.value for kind in WarningKind}
    for warning in found:
        assert "\n" not in warning.text
        assert warning.text.endswith(".")
        assert len(warning.text) < 200, "one glance"


def test_warnings_come_back_from_a_file():
    some = (PortraitWarning("smile", "The person smiles."), PortraitWarning("later", "New.\u2026"))
    assert read_warnings({PROVENANCE_KEY: write_warnings(some)}) == some
    assert read_warnings({PROVENANCE_KEY: write_warnings(())}) == ()


def test_notes_of_older_files_are_still_told():
    assert read_warnings({"notes": "2 faces in the picture: the largest was taken"}) == (
        PortraitWarning("", "2 faces in the picture: the largest was taken"),
    )
    assert read_warnings({"notes": ""}) == ()
    assert read_warnings({}) == ()


@pytest.mark.parametrize(
    "stored",
    ["", "{", "null", '{"kind": 1}', "[1, null, {}]", "[" * 100_000, '[{"kind": "a"}]', 7, None],
)
def test_nonsense_in_a_file_tells_nothing(stored: object):
    assert read_warnings({PROVENANCE_KEY: stored}) == ()


def test_what_a_file_tells_cannot_command_a_terminal_or_fill_it():
    nasty = [{"kind": "x\x1b[2J", "text": "a\nb\x1b]0;title\x07" + "c" * 9999}] * 5000
    read = read_warnings({PROVENANCE_KEY: json.dumps(nasty)})
    assert len(read) < 100
    for warning in read:
        assert warning.text.isprintable()
        assert warning.kind.isprintable()
        assert len(warning.text) < 1000
