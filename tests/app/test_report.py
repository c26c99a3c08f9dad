"""The page about a making: whole, escaped, in a folder that may hold other things."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.photo_view import photo_view
from app.report import (
    PAGE,
    PICTURES,
    Making,
    check_report_folder,
    draw_comparison,
    draw_fit,
    draw_preview,
    measure_likeness,
    write_report,
)
from avatar.deform import Deformer
from avatar.errors import OutputError
from avatar.head.template import load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.mesh import between_corners
from avatar.portrait.sitter import Sitter
from avatar.portrait.warnings import PortraitWarning
from avatar.types import Avatar, Portrait
from render.choose import open_renderer

WIDTH, HEIGHT = 320, 360


@pytest.fixture(scope="module")
def sitter(small_avatar: Avatar) -> Sitter:
    """The head template itself before a camera, photographed by drawing the small avatar."""
    template = load_template()
    camera = PhotoCamera(
        rotation=np.eye(3, dtype=np.float32),
        translation=np.array([0, 0, -CAMERA_DISTANCE_M], np.float32),
        focal_px=1100.0,
        centre_px=(WIDTH / 2, HEIGHT / 2),
    )
    known = template.landmark_triangle >= 0
    corners = template.vertices[template.triangles[template.landmark_triangle[known]]]
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[known] = camera.project(
        between_corners(template.landmark_barycentric[known], corners)
    )
    landmarks[~known] = landmarks[168]
    view = photo_view(camera, (WIDTH, HEIGHT), (WIDTH, HEIGHT))
    drawn = open_renderer("cpu").render_with_alpha(Deformer(small_avatar).gaussians(), [view])[0]
    face = FoundFace(landmarks)
    return Sitter(
        portrait=Portrait(
            image=(drawn[..., :3] / 255).astype(np.float32),
            landmarks=landmarks,
            person=(drawn[..., 3] / 255).astype(np.float32),
            faces_found=1,
        ),
        face=face,
        fit=FaceFit(
            camera=camera,
            identity=np.zeros(len(template.identity_names), np.float32),
            expression=np.zeros(52, np.float32),
            gaze=np.zeros(2, np.float32),
            neutral=template.vertices,
            landmark_error=0.0,
        ),
        template=template,
    )


def making(folder: Path, portrait: str = "me.jpg") -> Making:
    avatar_file = folder / "me.avatar"
    avatar_file.write_bytes(b"0" * 2_500_000)
    return Making(portrait=Path(portrait), avatar_file=avatar_file, seconds=7.0)


class Checked(HTMLParser):
    """Collects what a page loads and runs, and that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(folder: Path) -> Checked:
    page = Checked()
    page.feed((folder / PAGE).read_text(encoding="utf-8"))
    assert page.open == []
    return page


def test_the_report_is_whole_and_loads_its_own_pictures_only(
    sitter: Sitter, small_avatar: Avatar, tmp_path: Path
):
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "mine.txt").write_text("stays")
    told = [PortraitWarning("smile", "The person smiles.")]
    written = write_report(
        folder, sitter, small_avatar, told, making(tmp_path), open_renderer("cpu")
    )
    assert written == folder / PAGE
    assert {path.name for path in folder.iterdir()} == {PAGE, *PICTURES, "mine.txt"}
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.format == "JPEG"
            assert min(picture.size) > 100
            assert np.asarray(picture).std() > 5, f"{name} is empty"
    check_report_folder(folder)  # may be written again
    page = read_page(folder)
    assert sorted(page.loads) == sorted(PICTURES)
    assert not page.tags & {"script", "link", "iframe", "object", "form"}
    assert "The person smiles." in page.text
    assert "2,500 " not in page.text.split("Gaussians")[0]
    assert re.search(r"Avatar file\s*me.avatar, 2.5 MB", page.text)


def test_names_cannot_write_into_the_page(sitter: Sitter, small_avatar: Avatar, tmp_path: Path):
    nasty = '<img src=x onerror=alert(1)>"&.jpg'
    avatar = replace(small_avatar, name="</title><script>alert(2)</script>")
    told = [PortraitWarning("x", "<script src='//elsewhere'></script>")]
    folder = tmp_path / "report"
    write_report(folder, sitter, avatar, told, making(tmp_path, nasty), open_renderer("cpu"))
    page = read_page(folder)
    assert "script" not in page.tags
    assert sorted(page.loads) == sorted(PICTURES)
    assert nasty in page.text


def test_the_same_drawing_is_alike_and_a_changed_face_is_not(sitter: Sitter, small_avatar: Avatar):
    renderer = open_renderer("cpu")
    darker = Deformer(replace(small_avatar, colour=0.7 * small_avatar.colour))
    # The photograph is drawn before black, the avatar before grey: what is seen through differs.
    same, _ = measure_likeness(sitter, Deformer(small_avatar), renderer)
    other, _ = measure_likeness(sitter, darker, renderer)
    assert same.psnr > other.psnr + 8
    shown = draw_comparison(sitter, Deformer(small_avatar), renderer)
    changed = draw_comparison(sitter, darker, renderer)
    third = shown.shape[1] // 3
    assert 3 * third == shown.shape[1]
    assert (shown[:, :third] == changed[:, :third]).all(), "the photograph"
    assert changed[:, 2 * third :].mean() > shown[:, 2 * third :].mean() + 5, "the difference"


def test_the_fit_is_drawn_where_the_head_is(sitter: Sitter):
    shown = draw_fit(sitter)
    plain = draw_fit(replace(sitter, fit=replace(sitter.fit, neutral=sitter.fit.neutral + 10)))
    assert shown.shape == plain.shape
    changed = (shown != plain).any(2)
    assert 0.01 < changed.mean() < 0.6


def test_the_preview_shows_the_head_in_the_middle(small_avatar: Avatar):
    picture = draw_preview(small_avatar, open_renderer("cpu"))
    assert picture.shape == (512, 512, 3)
    assert np.abs(picture[256, 256].astype(int) - picture[4, 4]).max() > 30


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path: Path):
    file = tmp_path / "report"
    file.touch()
    with pytest.raises(OutputError, match="a file of this name"):
        check_report_folder(file)
    with pytest.raises(OutputError, match="there is no folder"):
        check_report_folder(tmp_path / "gone" / "report")
    check_report_folder(tmp_path)
    check_report_folder(tmp_path / "new")
    holiday = tmp_path / "holiday"
    holiday.mkdir()
    (holiday / "photo.jpg").write_text("mine")
    with pytest.raises(OutputError, match=r"photo\.jpg in it is not of an earlier report"):
        check_report_folder(holiday)
    (holiday / PAGE).write_text("<html>mine</html>")
    with pytest.raises(OutputError, match="not of an earlier report"):
        check_report_folder(holiday)
    assert not (tmp_path / "new").exists(), "made when there is something to put into it"
