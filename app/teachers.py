"""Who teaches an avatar its residuals, and the lesson: `visavis make --video` and `--teacher`.

Work that was broken off goes on: frames and what was learned are kept in a hidden folder beside the
avatar until it is finished. It holds pictures of the person; it goes with the last step.
"""

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.driven import follow_face
from app.footage import as_portrayed, frames_of, reasons
from app.output_file import written_beside
from app.progress import Stages, counted
from app.reenactment import tracked
from app.settings import MakeSettings
from app.video_file import examine_video
from avatar.deform import Deformer
from avatar.errors import OutputError, VisavisError
from avatar.fit.asked_motion import teaching_motion
from avatar.fit.furrows import with_furrows
from avatar.fit.liveportrait import DRAWN_SIDE, LivePortrait, check_graphs, open_graphs
from avatar.fit.photograph import background, photo_lens, shrunk
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.refine import Budget
from avatar.fit.residual_fit import Progress, Recipe, learn_residuals
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import load_template
from avatar.portrait.landmarks import crop_box
from avatar.portrait.make import printable
from avatar.portrait.sitter import Sitter
from avatar.types import Avatar, Float, MotionFrame

RECIPES = {
    Budget.QUICK: Recipe(steps=850, fine=0.3),
    Budget.NORMAL: Recipe(steps=9000, fine=0.3),
    Budget.BEST: Recipe(steps=27000, fine=0.3),
}
"""A step takes .115 s of one core, at its finer size .23 s (70,000 Gaussians, 40,000 that learn):
2.1, 22 and 67 minutes of one core."""
MOST_FRAMES = {Budget.QUICK: 150, Budget.NORMAL: 400, Budget.BEST: 800}
LEAST_FRAMES = 20
_ROOM = 0.75
"""Around the face, of its size, in the part of the portrait that LivePortrait sees."""
_STATE = "learned.safetensors"


class TeacherKind(Enum):
    """Where frames come from."""

    OWN = "own"
    VIDEO = "video"
    LIVEPORTRAIT = "liveportrait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Who teaches, and out of which film or folder."""

    kind: TeacherKind
    source: Path | None


def chosen_teacher(settings: MakeSettings) -> Teacher | None:
    """The teacher that was asked for; None where none was.

    Raises:
        VisavisError: there is no such teacher, or what it needs is missing or no film.
    """
    video, named = settings.video, settings.teacher
    kind, _, folder = (named or "").partition(":")
    if video is not None:
        examine_video(video)
    if named is None:
        return None if video is None else Teacher(kind=TeacherKind.VIDEO, source=video)
    if named == "video":
        if video is None:
            raise VisavisError("--teacher video: needs a film to learn from; add --video ME.mp4")
        return Teacher(kind=TeacherKind.VIDEO, source=video)
    if video is not None:
        raise VisavisError(
            f"--teacher {named}: does not look at the film of --video. Leave one of them out."
        )
    if named == "own":
        return Teacher(kind=TeacherKind.OWN, source=None)
    if kind == "liveportrait" and folder:
        check_graphs(Path(folder))
        return Teacher(kind=TeacherKind.LIVEPORTRAIT, source=Path(folder))
    raise VisavisError(
        f"--teacher {named:.60}: expected own, video, or liveportrait:DIR with the folder of its "
        "ONNX files."
    )


def taught(
    avatar: Avatar,
    sitter: Sitter,
    teacher: Teacher,
    settings: MakeSettings,
    show: Callable[[Avatar], None],
) -> Avatar:
    """`avatar` with what the teacher's frames bring, or as it is where they bring nothing.

    `show` is given the avatar as it is at each check.

    Raises:
        VisavisError: the film or folder cannot be read, or teaches nothing.
    """
    if teacher.kind is TeacherKind.OWN:
        return _with_provenance(with_furrows(avatar, load_template()), "own furrows")
    budget = Budget(settings.budget)
    folder = settings.output.with_name(f".{settings.output.name}.fit")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error}).") from error
    try:
        if teacher.kind is TeacherKind.LIVEPORTRAIT:
            frames = _animated(avatar, sitter, teacher, MOST_FRAMES[budget], folder)
        else:
            frames = _filmed(avatar, teacher, budget)
    except BaseException:
        with suppress(OSError):  # it holds pictures for the next try
            folder.rmdir()
        raise
    stages = Stages()

    def tell(progress: Progress) -> None:
        stages(f"learning: {progress.psnr:.2f} dB on frames held out", max(0.1, progress.share))
        show(progress.avatar())

    learned = learn_residuals(
        avatar,
        load_template(),
        frames,
        RECIPES[budget],
        device=settings.device,
        keep=folder / _STATE,
        tell=tell,
    )
    if learned.avatar is avatar:
        print(
            f"nothing was gained over {learned.before:.2f} dB on frames held out: the avatar stays "
            "as it was. A longer film in even light may teach more.",
            file=sys.stderr,
        )
    else:
        print(
            f"learned from {len(frames)} frames: {learned.before:.2f} -> {learned.after:.2f} dB on "
            "frames held out",
            file=sys.stderr,
        )
    shutil.rmtree(folder, ignore_errors=True)
    if learned.avatar is avatar:
        return avatar
    assert teacher.source is not None
    by = f"{teacher.kind.value} {printable(teacher.source.name)}, {len(frames)} frames"
    return _with_provenance(learned.avatar, by)


def _with_provenance(avatar: Avatar, taught_by: str) -> Avatar:
    return replace(avatar, provenance={**avatar.provenance, "taught_by": taught_by})


def _animated(
    avatar: Avatar, sitter: Sitter, teacher: Teacher, count: int, folder: Path
) -> list[TeacherFrame]:
    """The portrait as LivePortrait moves it; each picture is kept in the folder."""
    assert teacher.source is not None
    graphs = open_graphs(teacher.source)
    portrait, side = sitter.portrait, DRAWN_SIDE
    height, width = portrait.image.shape[:2]
    left, top, right, bottom = crop_box(sitter.face, portrait.image.shape, around=_ROOM)
    extent = min(right - left, bottom - top)  # square: the network knows no other pictures
    left += (right - left - extent) // 2
    lens = photo_lens(avatar, width, height).crop(left, top, extent, extent).scaled(side, side)
    window = (slice(top, top + extent), slice(left, left + extent))
    photograph = shrunk(np.ascontiguousarray(portrait.image[window]), (side, side))
    behind = shrunk(np.ascontiguousarray(background(portrait)[window]), (side, side))
    mask = shrunk(np.ascontiguousarray(portrait.person[window]), (side, side))
    person = np.round(255 * np.clip(mask, 0, 1)).astype(np.uint8)
    animator = LivePortrait(graphs, photograph)
    deformer, rasteriser = Deformer(avatar), Rasteriser()
    gaze = np.array(avatar.fit["gaze"], np.float32)

    def drawn(motion: MotionFrame) -> Float:
        posed = deformer.gaussians(motion, seen_from=lens.position)
        return np.clip(over(*rasteriser.draw(posed, lens), behind), 0, 1)

    rest = drawn(_still(sitter, gaze))
    frames = []
    with counted("moving the photograph", count) as progress:
        for index in range(count):
            motion = replace(teaching_motion(index), gaze=gaze)
            kept = folder / f"liveportrait_{index:05d}.png"
            picture = _kept_picture(kept)
            if picture is None:
                moved = animator.moved(rest, drawn(motion))
                picture = np.round(255 * moved).astype(np.uint8)
                with written_beside(kept) as beside:
                    Image.fromarray(picture).save(beside)
            progress.advance()
            frames.append(
                TeacherFrame(
                    picture=picture,
                    person=person,
                    known=(0, 0, side, side),
                    lens=lens,
                    motion=motion,
                    confidence=1.0,
                )
            )
    return frames


def _still(sitter: Sitter, gaze: Float) -> MotionFrame:
    """As photographed: what the drawings of other expressions differ from."""
    return replace(
        teaching_motion(0), expression=np.array(sitter.fit.expression, np.float32), gaze=gaze
    )


def _kept_picture(path: Path) -> NDArray[np.uint8] | None:
    """A picture of an earlier run, whole; None where there is none."""
    try:
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None
    return picture if picture.shape == (DRAWN_SIDE, DRAWN_SIDE, 3) else None


def _filmed(avatar: Avatar, teacher: Teacher, budget: Budget) -> list[TeacherFrame]:
    assert teacher.source is not None
    followed = follow_face(teacher.source)
    film = tracked(avatar, load_template(), followed)
    count = len(followed.faces)
    chosen = range(0, count, -(-count // MOST_FRAMES[budget]))
    frames, left_out = frames_of(teacher.source, followed, film, chosen)
    if left_out.total():
        print(f"left out of {len(chosen)} frames: {reasons(left_out)}", file=sys.stderr)
    if len(frames) < LEAST_FRAMES:
        raise VisavisError(
            f"{teacher.source}: {len(frames)} frames to learn from, at least {LEAST_FRAMES} are "
            "needed. Film half a minute or more, the whole face in light."
        )
    return as_portrayed(frames, avatar)
