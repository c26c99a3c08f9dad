"""Who teaches an avatar its residuals, and the lesson: `visavis make --video` and `--teacher`.

Work that was broken off goes on: frames and what was learned are kept in a hidden folder beside the
avatar until it is finished. It holds pictures of the person; it goes with the last step.
"""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from app.driven import follow_face
from app.footage import as_portrayed, frames_of, reasons
from app.progress import Stages
from app.reenactment import tracked
from app.settings import MakeSettings
from avatar.errors import OutputError, VisavisError
from avatar.fit.refine import Budget
from avatar.fit.residual_fit import Progress, Recipe, learn_residuals
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import load_template
from avatar.types import Avatar

RECIPES = {
    Budget.QUICK: Recipe(steps=1200),
    Budget.NORMAL: Recipe(steps=9000, fine=0.3),
    Budget.BEST: Recipe(steps=27000, fine=0.3),
}
"""A step takes .09 s of one core, at its finer size .25 s."""
MOST_FRAMES = {Budget.QUICK: 150, Budget.NORMAL: 400, Budget.BEST: 800}
LEAST_FRAMES = 20
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
        VisavisError: there is no such teacher, or what it needs is missing.
    """
    video, named = settings.video, settings.teacher
    if named is None:
        return None if video is None else Teacher(kind=TeacherKind.VIDEO, source=video)
    kind, _, folder = named.partition(":")
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
        return Teacher(kind=TeacherKind.LIVEPORTRAIT, source=Path(folder))
    raise VisavisError(
        f"--teacher {named:.60}: expected own, video, or liveportrait:DIR with the folder of its "
        "ONNX files."
    )


def taught(
    avatar: Avatar,
    teacher: Teacher,
    settings: MakeSettings,
    show: Callable[[Avatar], None],
) -> Avatar:
    """`avatar` with what the teacher's frames bring, or as it is where they bring nothing.

    `show` is given the avatar as it is at each check.

    Raises:
        VisavisError: the film or folder cannot be read, or teaches nothing.
    """
    budget = Budget(settings.budget)
    folder = settings.output.with_name(f".{settings.output.name}.fit")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error}).") from error
    frames = _frames(avatar, teacher, budget)
    stages = Stages()

    def tell(progress: Progress) -> None:
        stages(f"learning: {progress.psnr:.2f} dB on frames held out", max(0.1, progress.share))
        show(progress.avatar())

    learned = learn_residuals(
        avatar, load_template(), frames, RECIPES[budget], keep=folder / _STATE, tell=tell
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
    return learned.avatar


def _frames(avatar: Avatar, teacher: Teacher, budget: Budget) -> list[TeacherFrame]:
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
