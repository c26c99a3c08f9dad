"""What became of a portrait, as one page to look at: `visavis make --report DIR`.

The page and its pictures stand side by side in the folder and need nothing else: no scripts, no
links to elsewhere. Everything that comes from outside (names of files) is escaped.
"""

import html
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from app.comparison import Likeness, as_numbers, likeness
from app.output_file import written_beside
from app.photo_view import photo_view
from app.portrait_scores import photograph
from app.settings import BACKDROP
from avatar.deform import Deformer
from avatar.errors import OutputError
from avatar.head.template import Part
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, crop_box
from avatar.portrait.make import printable
from avatar.portrait.sitter import Sitter
from avatar.portrait.warnings import PortraitWarning
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Avatar, Float, Gaussians
from render.camera import View, orbit_view
from render.renderer import Renderer

PAGE = "report.html"
PICTURES = ("photo.jpg", "fit.jpg", "turntable.jpg", "expressions.jpg", "compare.jpg")
PICTURES_BEFORE = ("turntable_before.jpg", "expressions_before.jpg")
"""Where residuals were learned."""
TURNS_DEGREES = (-90, -60, -30, 0, 30, 60, 90, 180)
THUMBNAIL_SIDE = 128
"""Pixels."""
_TONGUE_JAW = 0.3
"""jawOpen at which the tongue is shown."""
SHOWN_WEIGHT = 0.7
"""Of each expression on the sheet: clear to see, and not yet at its end."""

_GENERATOR = '<meta name="generator" content="visavis make">'
_BACKDROP = BACKDROP.rgb
_JPEG_QUALITY = 90
_LONGEST_SIDE = 1200
"""Of a picture in the report, pixels."""
_TURN_TILE, _EXPRESSION_TILE = 300, 196
_CAPTION = 22
"""Least height of the line under a tile, pixels."""
_CLOSE_UP_TARGET, _CLOSE_UP_FIELD = (0.0, -0.035, 0.0), math.radians(12.5)
"""The face alone: from the brows to below an open jaw."""
_MESH, _OUTLINE = (90, 215, 255), (255, 196, 64)
_POINT, _IRIS = (255, 255, 255), (255, 70, 120)
"""sRGB bytes of what is drawn over the photograph."""

Picture = NDArray[np.uint8]
"""[H, W, 3] sRGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What is told of one making, beside what the avatar itself says."""

    portrait: Path
    avatar_file: Path
    seconds: float


def check_report_folder(folder: Path) -> None:
    """Find out before the work whether a report can be written to `folder`, or it can be made.

    Raises:
        OutputError: a file of this name, no folder to make it in, no permission, or somebody
            else's files where ours would go.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: a file of this name exists; name a folder for the report.")
    there = folder if folder.is_dir() else folder.parent
    if not there.is_dir():
        raise OutputError(f"{folder}: there is no folder {there}; make it, or name another.")
    if not os.access(there, os.W_OK):
        raise OutputError(f"{folder}: the folder {there} may not be written to; name another.")
    taken = [name for name in (PAGE, *PICTURES, *PICTURES_BEFORE) if (folder / name).exists()]
    if taken and not _is_ours(folder / PAGE):
        raise OutputError(
            f"{folder}: {taken[0]} in it is not of an earlier report and would be overwritten; "
            "name another folder."
        )


def _is_ours(page: Path) -> bool:
    try:
        with page.open("rb") as file:
            return _GENERATOR.encode() in file.read(1000)
    except OSError:
        return False


def write_report(
    folder: Path,
    sitter: Sitter,
    avatar: Avatar,
    warnings: Sequence[PortraitWarning],
    making: Making,
    renderer: Renderer,
    *,
    before: Avatar | None = None,
) -> Path:
    """Draw the pictures and write the page; gives the page's path.

    With `before`, the avatar as it was until residuals were learned, its turntable and sheet of
    expressions stand beside the present ones.

    Files of other names in the folder are left alone.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    deformer = Deformer(avatar)
    face, person = measure_likeness(sitter, deformer, renderer)
    pictures = (
        draw_photo(sitter),
        draw_fit(sitter),
        draw_turntable(deformer, renderer),
        draw_expressions(deformer, renderer),
        draw_comparison(sitter, deformer, renderer),
    )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error}).") from error
    names = (*PICTURES, *PICTURES_BEFORE) if before is not None else PICTURES
    if before is not None:
        other = Deformer(before)
        pictures += (draw_turntable(other, renderer), draw_expressions(other, renderer))
    text = page(sitter, avatar, warnings, making, face, person, with_before=before is not None)
    with written_beside(folder / PAGE) as beside:  # first: it says that the pictures are ours
        beside.write_text(text, encoding="utf-8")
    for name, picture in zip(names, pictures, strict=True):
        with written_beside(folder / name) as beside:
            Image.fromarray(picture).save(beside, quality=_JPEG_QUALITY, subsampling=0)
    return folder / PAGE


def draw_preview(avatar: Avatar, renderer: Renderer, side: int = 512) -> Picture:
    """The avatar at rest, from the front: a square picture."""
    view = orbit_view(0.0, 0.0, 1.0, width=side, height=side)
    gaussians = Deformer(avatar).gaussians(seen_from=view.position)
    return renderer.render(gaussians, [view], _BACKDROP)[0]


def draw_thumbnail(avatar: Avatar, renderer: Renderer) -> Picture:
    """A small square picture of the head, to choose an avatar by."""
    side = 2 * THUMBNAIL_SIDE  # shrunk by two, it is smoother than splats drawn so small
    view = orbit_view(0.0, 0.0, 0.75, width=side, height=side)
    gaussians = Deformer(avatar).gaussians(seen_from=view.position)
    drawn = renderer.render(gaussians, [view], _BACKDROP)[0]
    size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.uint8)


def draw_photo(sitter: Sitter) -> Picture:
    """The photograph, with a box around the part that the avatar is made of."""
    image = sitter.portrait.image
    scale = min(1.0, _LONGEST_SIDE / max(image.shape[:2]))
    picture = _bytes(_scaled(image, scale))
    left, top, right, bottom = (round(scale * side) for side in _around(sitter))
    corners = (left, top), (right - 1, bottom - 1)
    cv2.rectangle(picture, *corners, (255, 255, 255), 3)
    cv2.rectangle(picture, *corners, (20, 20, 20), 1)
    return picture


def draw_fit(sitter: Sitter) -> Picture:
    """The head's mesh, the landmarks, the irises and the person's outline over the photograph."""
    left, top, right, bottom = _around(sitter)
    scale = _LONGEST_SIDE / max(right - left, bottom - top)
    picture = _bytes(_scaled(sitter.portrait.image[top:bottom, left:right], scale))

    def places(points: Float) -> NDArray[np.int32]:
        """[..., 2] in 1/16 pixel, as OpenCV draws between pixels."""
        return np.round(((points - (left, top)) * scale - 0.5) * 16).astype(np.int32)

    mesh = picture.copy()
    projected = sitter.fit.camera.project(sitter.posed)[:, :2]
    to_camera = sitter.fit.camera.position - sitter.posed[sitter.template.triangles[:, 0]]
    facing = (sitter.normals * to_camera).sum(1) > 0
    shown = sitter.template.triangles[facing & (sitter.template.triangle_part == Part.SKIN)]
    cv2.polylines(mesh, list(places(projected[shown])), True, _MESH, 1, cv2.LINE_AA, 4)
    cv2.addWeighted(mesh, 0.3, picture, 0.7, 0, dst=picture)
    person = (_scaled(sitter.portrait.person[top:bottom, left:right], scale) > 0.5).astype(np.uint8)
    outline, _ = cv2.findContours(person, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outline, -1, _OUTLINE, 2, cv2.LINE_AA)
    landmarks = sitter.face.landmarks[:, :2]
    for point in places(landmarks[:468]).tolist():
        cv2.circle(picture, point, 20, _POINT, -1, cv2.LINE_AA, 4)
    for centre, *rim in (IRIS_RIGHT, IRIS_LEFT):
        radius = np.linalg.norm(landmarks[rim] - landmarks[centre], axis=1).mean()
        cv2.circle(
            picture,
            places(landmarks[centre]).tolist(),
            round(16 * scale * float(radius)),
            _IRIS,
            2,
            cv2.LINE_AA,
            4,
        )
    return picture


def draw_turntable(deformer: Deformer, renderer: Renderer) -> Picture:
    """The avatar at rest, all around."""
    views = [
        orbit_view(math.radians(yaw), 0.0, 0.9, width=_TURN_TILE, height=_TURN_TILE)
        for yaw in TURNS_DEGREES
    ]
    tiles = [
        renderer.render(deformer.gaussians(seen_from=view.position), [view], _BACKDROP)[0]
        for view in views
    ]
    return _sheet(tiles, [f"{yaw:+d}°" if yaw else "0°" for yaw in TURNS_DEGREES], columns=4)


def draw_expressions(deformer: Deformer, renderer: Renderer) -> Picture:
    """The face at rest, then each of the 52 expressions by itself, near; at last the tongue's, in
    a mouth open wide enough to see them."""
    view = orbit_view(
        0.0,
        0.0,
        1.0,
        target=_CLOSE_UP_TARGET,
        width=_EXPRESSION_TILE,
        height=_EXPRESSION_TILE,
        field_of_view=_CLOSE_UP_FIELD,
    )
    weights = np.vstack([np.zeros(len(ARKIT_NAMES)), SHOWN_WEIGHT * np.eye(len(ARKIT_NAMES))])
    tiles = [
        renderer.render(
            deformer.gaussians(expression=row, seen_from=view.position), [view], _BACKDROP
        )[0]
        for row in weights.astype(np.float32)
    ]
    opened = _TONGUE_JAW * np.eye(len(ARKIT_NAMES))[ARKIT_NAMES.index("jawOpen")]
    tiles += [
        renderer.render(
            deformer.gaussians(
                expression=opened.astype(np.float32), tongue=row, seen_from=view.position
            ),
            [view],
            _BACKDROP,
        )[0]
        for row in np.eye(len(TONGUE_NAMES), dtype=np.float32)
    ]
    return _sheet(tiles, ["at rest", *ARKIT_NAMES, *TONGUE_NAMES], columns=8)


def draw_comparison(sitter: Sitter, deformer: Deformer, renderer: Renderer) -> Picture:
    """Photograph, avatar and four times their difference.

    The avatar stands before the photograph's own camera with the photograph's expression and gaze.
    Around the person both are the same grey, so holes and lost hair show, the background does not.
    """
    image, person = sitter.portrait.image, sitter.portrait.person
    height, width = image.shape[:2]
    left, top, right, bottom = _around(sitter)
    scale = min(1.0, _LONGEST_SIDE / max(right - left, bottom - top))
    size = (round(width * scale), round(height * scale))
    view = photo_view(sitter.fit.camera, size, (width, height))
    drawn = as_numbers(renderer.render(_as_taken(sitter, deformer, view), [view], _BACKDROP)[0])
    window = (
        slice(round(top * scale), round(bottom * scale)),
        slice(round(left * scale), round(right * scale)),
    )
    sure = _scaled(person, scale)[..., None]
    photo = sure * _scaled(image, scale) + (1 - sure) * np.array(_BACKDROP, np.float32)
    photo, drawn = photo[window], drawn[window]
    difference = 4 * np.abs(drawn - photo)
    tiles = [_bytes(tile.astype(np.float32)) for tile in (photo, drawn, difference)]
    return _sheet(tiles, ["photograph", "avatar", "difference, four times"], columns=3)


def measure_likeness(
    sitter: Sitter, deformer: Deformer, renderer: Renderer
) -> tuple[Likeness, Likeness]:
    """How like the photograph the face is, and the whole person: what `evaluate` measures."""
    wanted, person, view = photograph(sitter)
    drawn = as_numbers(renderer.render(_as_taken(sitter, deformer, view), [view], _BACKDROP)[0])
    size = (view.width, view.height)
    face = np.asarray(cv2.resize(sitter.face_mask, size, interpolation=cv2.INTER_AREA), np.float32)
    return likeness(drawn, wanted, face), likeness(drawn, wanted, person)


def _as_taken(sitter: Sitter, deformer: Deformer, view: View) -> Gaussians:
    return deformer.gaussians(
        expression=sitter.fit.expression, gaze=sitter.fit.gaze, seen_from=view.position
    )


def page(
    sitter: Sitter,
    avatar: Avatar,
    warnings: Sequence[PortraitWarning],
    making: Making,
    face: Likeness,
    person: Likeness,
    *,
    with_before: bool = False,
) -> str:
    """The report as HTML."""
    yaw, pitch, roll = np.degrees(sitter.fit.yaw_pitch_roll)
    gaze_yaw, gaze_pitch = np.degrees(sitter.fit.gaze)
    height, width = sitter.portrait.image.shape[:2]
    megabytes = making.avatar_file.stat().st_size / 1e6
    strongest = np.argsort(-sitter.fit.expression)[:4]
    expression = ", ".join(
        f"{ARKIT_NAMES[index]} {sitter.fit.expression[index]:.2f}"
        for index in strongest
        if sitter.fit.expression[index] >= 0.05
    )
    figures = (
        ("Photograph", f"{printable(making.portrait.name)}, read at {width} × {height} pixels"),
        ("Faces in it", f"{sitter.portrait.faces_found}"),
        ("Between the eyes' corners", f"{sitter.face.eye_distance_px:.0f} pixels"),
        ("Head held", f"{round(yaw):+d}° turned, {round(pitch):+d}° up, {round(roll):+d}° tilted"),
        ("Gaze against the head", f"{round(gaze_yaw):+d}° sideways, {round(gaze_pitch):+d}° up"),
        ("Expression found", expression or "none"),
        (
            "Landmarks missed by",
            f"{100 * sitter.fit.landmark_error:.2f} % of the eye distance, on average",
        ),
        ("Face against photograph", f"{face.psnr:.1f} dB PSNR, {face.ssim:.3f} SSIM"),
        ("Person against photograph", f"{person.psnr:.1f} dB PSNR, {person.ssim:.3f} SSIM"),
        ("Gaussians", f"{len(avatar):,}"),
        (
            "Avatar file",
            f"{printable(making.avatar_file.name)}, {megabytes:.1f} MB",
        ),
        ("Made in", f"{making.seconds:.0f} s by visavis {version('visavis')}"),
    )
    rows = "\n".join(
        f"<tr><th>{html.escape(what)}</th><td>{html.escape(value)}</td></tr>"
        for what, value in figures
    )
    told = "\n".join(f"<li>{html.escape(warning.text)}</li>" for warning in warnings)
    limits = f"<ul>\n{told}\n</ul>" if warnings else "<p>Nothing about this photograph.</p>"
    title = html.escape(avatar.name)
    sections = "\n".join(
        f'<section><h2>{heading}</h2><img src="{name}" alt="{heading}"><p>{text}</p></section>'
        for name, heading, text in (_SECTIONS_BEFORE if with_before else ()) + _SECTIONS
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{_GENERATOR}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: how the avatar was made</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<section class="limits"><h2>What will look poor, and why</h2>
{limits}
<p>With every single photograph: the back of the head, the inside of the mouth and what hair hides
are guesses, and the light of the photograph stays on the skin.</p></section>
<section><h2>Figures</h2><table>
{rows}
</table></section>
{sections}
</body>
</html>
"""


_SECTIONS = (
    ("compare.jpg", "Photograph and avatar", "The avatar stands before the photograph’s camera "
     "with the photograph’s expression. Dark means alike."),
    ("turntable.jpg", "All around", "Degrees towards the avatar’s left. Beyond about 60° most is "
     "a guess from one photograph."),
    ("expressions.jpg", "Every expression", f"The 52 ARKit expressions, each alone at "
     f"{SHOWN_WEIGHT:g}."),
    ("fit.jpg", "The fit", "Blue: the fitted head. White: landmarks found. Red: irises. Yellow: "
     "what is taken for the person."),
    ("photo.jpg", "The photograph", "As it was read; the box is what was looked at."),
)  # fmt: skip
_SECTIONS_BEFORE = (
    ("turntable_before.jpg", "All around, before residuals were learned", "To be compared with "
     "the turntable below: no side may look worse for what was learned."),
    ("expressions_before.jpg", "Every expression, before residuals were learned", "Likewise."),
)  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #22262b; background: #f7f7f5; }
h1 { font-weight: 600; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
section { background: #fff; border-radius: .6rem; padding: 1.2rem 1.4rem; margin: 1rem 0;
  box-shadow: 0 1px 3px #0002; }
.limits { border-left: .3rem solid #e0a030; } li { margin: .3rem 0; }
img { display: block; max-width: 100%; max-height: 90vh; border-radius: .3rem; margin: auto; }
p { margin: .6rem 0 0; color: #666c75; }
th { text-align: left; font-weight: 500; padding: .15rem 2rem .15rem 0; vertical-align: top;
  color: #666c75; white-space: nowrap; } td { overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  body { color: #e4e6e8; background: #17191c; } section { background: #212429; }
  p, th { color: #9aa1aa; }
}
"""


def _around(sitter: Sitter) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the photograph that the avatar is made of."""
    return crop_box(sitter.face, sitter.portrait.image.shape, around=1.1)


def _scaled(image: Float, scale: float) -> Float:
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.clip(np.asarray(cv2.resize(image, size, interpolation=how), np.float32), 0, 1)


def _bytes(image: Float) -> Picture:
    """Writable, C-contiguous: OpenCV draws into it."""
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))


def _sheet(tiles: Sequence[Picture], captions: Sequence[str], columns: int) -> Picture:
    """Tiles of one size in rows, each with a line of text beneath."""
    height, width = tiles[0].shape[:2]
    line = max(_CAPTION, width // 20)  # wide pictures are shown shrunk
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + line)), (32, 34, 38))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(0.64 * line)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        left, top = index % columns * width, index // columns * (height + line)
        sheet.paste(Image.fromarray(tile), (left, top))
        middle = (left + width / 2, top + height + line / 2)
        pen.text(middle, caption, font=font, fill=(222, 225, 230), anchor="mm")
    return np.asarray(sheet)
