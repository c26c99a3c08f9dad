"""`visavis evaluate`: likeness, re-enactment and motion, in the measures that the field quotes."""

import json as json_module
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from app.bundled import avatar_path
from app.commands.ablation import AblationSettings, evaluate_ablation
from app.commands.motion_evaluation import MotionEvaluation, evaluate_motion
from app.output_file import check_output, written_beside
from app.score_table import check_page, write_page
from avatar.errors import OutputError, PortraitError, VideoError, VisavisError
from avatar.fit.device import Device

if TYPE_CHECKING:
    from app.driven import FollowedFace
    from app.reenactment import Reenactment
    from avatar.types import Avatar
    from render.renderer import Renderer

BudgetName = Literal["quick", "normal", "best"]
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".mpg", ".mpeg")


@dataclass(frozen=True, kw_only=True)
class ReenactmentSettings:
    """Let an avatar do what its person does in a video, and compare it frame by frame.

    For example:
      visavis evaluate reenactment --avatar me.avatar --video me.mp4 --json scores.json
      visavis evaluate reenactment --video clips

    Compared are the 256 pixels around the head: PSNR in dB and SSIM inside the person, and the
    distance of FaceMesh's landmarks on the drawn face from those on the filmed one, as a share
    of the eye distance. The numbers mean something for videos of the avatar's own person.
    """

    video: Annotated[Path, tyro.conf.arg(metavar="VIDEO|FOLDER")]
    """A video of the person, or a folder of videos."""
    avatar: Annotated[str | None, tyro.conf.arg(metavar="AVATAR")] = None
    """The person's avatar; without it one is made of each video's calmest frame."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write the same as JSON to this file."""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Leave every tenth compared frame there, filmed and drawn side by side, to look at."""
    every: int = 1
    """Compare every so-manieth frame only; the avatar follows them all."""
    budget: BudgetName = "normal"
    """How long an avatar that is made here is refined."""
    fit_share: float | None = None
    """Learn residuals from this first share of each video, .1 to .9, and compare on the rest alone:
    the avatar as it came, its static part, and all of it. An avatar that is made here is made of
    the same first share."""
    steps: int | None = None
    """With --fit-share: how long is learned, in steps of one frame (about .15 s of a core); without
    it as long as `make --video` does with the same budget."""
    device: Device = "auto"
    """With --fit-share: what learns, the processor, or an NVIDIA card where gsplat is installed
    (auto: that, else the processor)."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"--every {self.every}: expected 1 or more")
        if self.fit_share is not None and not 0.1 <= self.fit_share <= 0.9:
            raise ValueError(f"--fit-share {self.fit_share}: expected .1 to .9")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"--steps {self.steps}: expected 1 or more")


@dataclass(frozen=True, kw_only=True)
class LikenessSettings:
    """Make an avatar of each portrait in a folder, and look at it from all sides.

    For example:
      visavis evaluate likeness --portraits photos --json scores.json
    """

    portraits: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """A folder of photographs, or one photograph."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write the same as JSON to this file."""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Leave photograph and avatar there, side by side, to look at."""
    budget: BudgetName = "normal"
    """How long each avatar is refined."""


def evaluate(
    task: tyro.conf.OmitSubcommandPrefixes[
        Annotated[ReenactmentSettings, tyro.conf.subcommand("reenactment")]
        | Annotated[LikenessSettings, tyro.conf.subcommand("likeness")]
        | Annotated[MotionEvaluation, tyro.conf.subcommand("motion")]
        | Annotated[AblationSettings, tyro.conf.subcommand("ablation")]
    ],
) -> None:
    """Do one evaluation: a table on the screen and, with --json, a file.

    Raises:
        VisavisError: an input cannot be read, or a result cannot be written.
    """
    if task.json is not None:
        check_output(task.json, (".json",))
    if not isinstance(task, MotionEvaluation) and task.pairs is not None:
        _make_folder(task.pairs)
    match task:
        case ReenactmentSettings() if task.fit_share is not None:
            _write(task.json, _all_finite(_residuals(task, task.fit_share)))
        case ReenactmentSettings():
            _write(task.json, _reenactment(task))
        case LikenessSettings():
            _write(task.json, _likeness(task))
        case MotionEvaluation() | AblationSettings():
            _tables(task)


def _tables(task: MotionEvaluation | AblationSettings) -> None:
    if task.markdown is not None:
        check_output(task.markdown, (".md",))
        check_page(task.markdown)
    if isinstance(task, MotionEvaluation):
        tables, figures = evaluate_motion(task)
    else:
        tables, figures = evaluate_ablation(task)
    _write(task.json, _all_finite(figures))
    if task.markdown is not None:
        left = write_page(task.markdown, tables)
        if left:
            print(f"{task.markdown}: not measured, so left: {', '.join(left)}", file=sys.stderr)
        print(task.markdown)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: no folder can be made there ({error.strerror}).") from error


def inputs(given: Path, endings: tuple[str, ...], what: str) -> list[Path]:
    """The file itself, or those of a folder with one of the endings, by name."""
    if not given.exists():
        raise VisavisError(f"{given}: no such file or folder. Name {what}, or a folder of them.")
    if not given.is_dir():
        return [given]
    found = sorted(path for path in given.iterdir() if path.suffix.lower() in endings)
    if not found:
        raise VisavisError(
            f"{given}: the folder holds none of {', '.join(endings)}. Name {what}, or a folder of "
            "them."
        )
    return found


def _write(path: Path | None, figures: dict[str, object]) -> None:
    if path is None:
        return
    with written_beside(path) as beside:
        beside.write_text(json_module.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(path)


def _finite(figures: dict[str, object]) -> dict[str, object]:
    """JSON has no nan: what could not be measured is null."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in figures.items()
    }


def _all_finite(figures: Any) -> Any:
    """The same for figures within figures."""
    if isinstance(figures, dict):
        return {name: _all_finite(value) for name, value in figures.items()}
    if isinstance(figures, list | tuple):
        return [_all_finite(value) for value in figures]
    return None if isinstance(figures, float) and not np.isfinite(figures) else figures


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def refused(error: VisavisError, alone: bool) -> None:
    """In a folder one bad file is told of and passed over; a single one ends the command."""
    if alone:
        raise error
    print(f"passed over: {error}", file=sys.stderr)


def _reenactment(task: ReenactmentSettings) -> dict[str, object]:
    from app.driven import follow_face
    from app.reenactment import reenact
    from avatar.avatar_file import load_avatar
    from avatar.head.template import load_template
    from render.choose import open_renderer

    given = load_avatar(avatar_path(task.avatar)) if task.avatar is not None else None
    videos = inputs(task.video, VIDEOS, "a video")
    renderer, template = open_renderer("cpu"), load_template()
    scores: dict[str, Reenactment] = {}
    for video in videos:
        try:
            followed = follow_face(video)
            avatar = given or avatar_of(video, followed, task.budget)
            print(f"{video.name}:", file=sys.stderr)
            scores[video.name] = reenact(
                [avatar], template, video, followed, renderer, every=task.every, pairs=task.pairs
            )[0]
        except (VideoError, PortraitError) as error:
            refused(error, len(videos) == 1)
    if not scores:
        raise VideoError(f"{task.video}: none of its videos shows a face that can be followed.")
    columns = ("video", "PSNR dB", "SSIM", "landmarks %", "frames", "lost", "face in drawn %")
    table = _table("Re-enactment: avatar against film, 256 pixels around the head", columns)
    means = {
        name: float(np.mean([getattr(score, name) for score in scores.values()]))
        for name in ("psnr", "ssim", "landmark_error", "face_in_drawn")
    }
    for name, score in scores.items():
        table.add_row(
            name,
            f"{score.psnr:.2f}",
            f"{score.ssim:.3f}",
            f"{100 * score.landmark_error:.2f}",
            f"{score.frames}",
            f"{score.lost}",
            f"{100 * score.face_in_drawn:.0f}",
        )
    if len(scores) > 1:
        table.add_row(
            "mean",
            f"{means['psnr']:.2f}",
            f"{means['ssim']:.3f}",
            f"{100 * means['landmark_error']:.2f}",
            f"{sum(score.frames for score in scores.values())}",
            f"{sum(score.lost for score in scores.values())}",
            f"{100 * means['face_in_drawn']:.0f}",
        )
    Console().print(table)
    clips = {name: _finite(asdict(score)) for name, score in scores.items()}
    return {**_finite(dict(means)), "videos": clips}


def _residuals(task: ReenactmentSettings, share: float) -> dict[str, object]:
    from app.driven import follow_face
    from app.residual_scores import COLUMNS, ResidualScore, mean_score, score_residuals
    from app.teachers import RECIPES
    from avatar.avatar_file import load_avatar
    from avatar.fit.backends import open_rasteriser
    from avatar.fit.refine import Budget
    from render.choose import open_renderer

    if task.device == "cuda":
        open_rasteriser("cuda")  # before minutes of work, not after
    given = load_avatar(avatar_path(task.avatar)) if task.avatar is not None else None
    videos = inputs(task.video, VIDEOS, "a video")
    renderer = open_renderer("cpu")
    recipe = RECIPES[Budget(task.budget)]
    if task.steps:
        recipe = replace(recipe, steps=task.steps)
    scores: dict[str, ResidualScore] = {}
    for video in videos:
        try:
            followed = follow_face(video)
            avatar = given or avatar_of(video, followed, task.budget, share)
            scores[video.name] = score_residuals(
                avatar, video, followed, share, recipe, renderer,
                device=task.device, every=task.every, pairs=task.pairs,
            )  # fmt: skip
            print(f"{video.name}: {scores[video.name].told}", file=sys.stderr)
        except (VideoError, PortraitError) as error:
            refused(error, len(videos) == 1)
    if not scores:
        raise VideoError(f"{task.video}: none of its videos shows a face that can be followed.")
    percent = f"{100 * share:.0f} %"
    table = _table(f"Residuals from the first {percent} of a video, seen on the rest", COLUMNS)
    rows = dict(scores)
    if len(scores) > 1:
        rows["mean"] = mean_score(list(scores.values()))
    for name, score in rows.items():
        table.add_row(name, *score.cells())
    Console().print(table)
    return {name: asdict(score) for name, score in rows.items()}


def avatar_of(
    video: Path, followed: "FollowedFace", budget: BudgetName, share: float = 1.0
) -> "Avatar":
    """An avatar of the calmest frame of the first `share` of a video."""
    import cv2

    from app.video_file import read_pictures
    from avatar.fit.refine import Budget
    from avatar.portrait.make import make_avatar
    from avatar.tracking.calibrate import calm_frames

    calm = calm_frames(followed.faces[: max(1, round(share * len(followed.faces)))])
    if not calm:
        raise VideoError(f"{video}: no face in its first {100 * share:.0f} %. Use a larger share.")
    calmest = calm[0]
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / f"{video.stem}.png"
        for index, picture in enumerate(read_pictures(video)):
            if index == calmest:
                cv2.imwrite(str(portrait), picture.pixels[..., ::-1])
                break
        print(f"{video.name}: making an avatar of frame {calmest}", file=sys.stderr)
        return make_avatar(portrait, name=video.stem, budget=Budget(budget))


def _likeness(task: LikenessSettings) -> dict[str, object]:
    from app.portrait_scores import VIEWS_DEGREES, PortraitScore, score_portrait
    from avatar.fit.refine import Budget
    from render.choose import open_renderer

    budget = Budget(task.budget)
    portraits = inputs(task.portraits, PICTURES, "a photograph")
    renderer: Renderer = open_renderer("cpu")
    scores: list[PortraitScore] = []
    left_out: dict[str, str] = {}
    for number, portrait in enumerate(portraits, 1):
        print(f"{number} of {len(portraits)}: {portrait.name}", file=sys.stderr)
        try:
            scores.append(score_portrait(portrait, budget, renderer, task.pairs))
        except PortraitError as error:
            refused(error, len(portraits) == 1)
            left_out[portrait.name] = str(error)
    if not scores:
        raise PortraitError(f"{task.portraits}: none of its pictures can become an avatar.")
    columns = (
        *("portrait", "landmarks %", "PSNR dB", "SSIM", "without glance", "face found"),
        *("pose off °", "seconds", "MB"),
    )
    table = _table("Likeness: avatar against its portrait, 512 pixels", columns)
    for score in scores:
        table.add_row(
            score.portrait,
            f"{100 * score.landmark_error:.2f}",
            f"{score.psnr:.2f}",
            f"{score.ssim:.3f}",
            f"{score.psnr_without_glance:.2f} / {score.ssim_without_glance:.3f}",
            f"{sum(view.found for view in score.views)} of {len(VIEWS_DEGREES)}",
            f"{score.pose_error:.1f}",
            f"{score.seconds:.0f}",
            f"{score.megabytes:.2f}",
        )
    means = {
        name: float(np.mean([getattr(score, name) for score in scores]))
        for name in (
            *("landmark_error", "psnr", "ssim", "psnr_without_glance", "ssim_without_glance"),
            *("found", "pose_error", "seconds", "megabytes"),
        )
    }
    if len(scores) > 1:
        table.add_row(
            "mean",
            f"{100 * means['landmark_error']:.2f}",
            f"{means['psnr']:.2f}",
            f"{means['ssim']:.3f}",
            f"{means['psnr_without_glance']:.2f} / {means['ssim_without_glance']:.3f}",
            f"{100 * means['found']:.0f} %",
            f"{means['pose_error']:.1f}",
            f"{means['seconds']:.0f}",
            f"{means['megabytes']:.2f}",
        )
    Console().print(table)
    rows = [_finite(asdict(score)) for score in scores]
    return {**_finite(dict(means)), "portraits": rows, "refused": left_out}
