"""What residuals are worth: learned from the beginning of a film, seen on the rest of it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.driven import FollowedFace
from app.footage import frames_of, reasons
from app.portrait_scores import ViewScore, score_views
from app.progress import Stages
from app.reenactment import Reenactment, Tracked, reenact, tracked
from app.score_table import number
from avatar.deform import Deformer
from avatar.fit.device import Device
from avatar.fit.residual_fit import Progress, Recipe, learn_residuals
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import load_template
from avatar.types import Avatar
from render.renderer import Renderer

MOST_FRAMES = 160
"""Learned from, evenly over the film: neighbours are alike."""
COLUMNS = (
    *("video", "PSNR dB: base", "static", "full", "gain", "SSIM: base", "static", "full"),
    *(
        "sharpness: base",
        "full",
        "landmarks %: base",
        "full",
        "frames",
        "face from 9 sides: base",
        "full",
    ),
    *("pose off °: base", "full"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The avatar at rest from nine sides to 45 degrees (`app.portrait_scores`)."""

    found: float
    """Share of them in which FaceMesh finds a face."""
    pose_error: float
    """Degrees, mean over these."""

    @classmethod
    def of(cls, views: list[ViewScore]) -> "Sides":
        errors = [view.pose_error for view in views if view.pose_error is not None]
        return cls(
            found=float(np.mean([view.found for view in views])),
            pose_error=float(np.mean(errors)) if errors else float("nan"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualScore:
    """Of one film, on what was not learned from."""

    base: Reenactment
    """The avatar as it came."""
    static: Reenactment
    """With what was learned, less what depends on the motion."""
    full: Reenactment
    base_sides: Sides
    full_sides: Sides
    frames: int
    """Learned from."""
    steps: int
    told: str
    """What was left out and what came of it, a sentence."""

    def cells(self) -> list[str]:
        """As `COLUMNS` has them, the name left out."""
        base, static, full = self.base, self.static, self.full
        return [
            number(base.psnr),
            number(static.psnr),
            number(full.psnr),
            number(full.psnr - base.psnr, signed=True),
            *(number(each.ssim, 3) for each in (base, static, full)),
            *(number(each.sharpness) for each in (base, full)),
            *(number(100 * each.landmark_error) for each in (base, full)),
            f"{full.frames}",
            *(number(100 * each.found, 0, " %") for each in (self.base_sides, self.full_sides)),
            *(number(each.pose_error, 1) for each in (self.base_sides, self.full_sides)),
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What residuals are learned from when the rest of the film is to judge them."""

    avatar: Avatar
    """Without any."""
    film: Tracked
    frames: list[TeacherFrame]
    left_out: Counter[str]
    """Frames, by reason."""
    cut: int
    """The film's first frame that was not learned from."""


def lesson_from(avatar: Avatar, video: Path, followed: FollowedFace, share: float) -> Lesson:
    """The first `share` of a film.

    Raises:
        VideoError: the video cannot be read, or has too few frames that teach.
    """
    avatar = replace(avatar, face_residual=None, pose_residual=None)
    film = tracked(avatar, load_template(), followed)
    cut = max(2, round(share * len(followed.faces)))
    frames, left_out = frames_of(video, followed, film, range(0, cut, -(-cut // MOST_FRAMES)))
    return Lesson(avatar=avatar, film=film, frames=frames, left_out=left_out, cut=cut)


def score_residuals(
    avatar: Avatar,
    video: Path,
    followed: FollowedFace,
    share: float,
    recipe: Recipe,
    renderer: Renderer,
    *,
    device: Device = "cpu",
    every: int = 1,
    pairs: Path | None = None,
) -> ResidualScore:
    """Learn from the first `share` of the film, compare on every so-manieth frame of the rest.

    All models get the same head, tracking and camera.

    Raises:
        VideoError: the video cannot be read, or has too few frames that teach.
        DeviceError: `device` is "cuda", and the card cannot learn.
    """
    template = load_template()
    lesson = lesson_from(avatar, video, followed, share)
    avatar, frames = lesson.avatar, lesson.frames
    stages = Stages()

    def tell(progress: Progress) -> None:
        text = f"learning residuals: {progress.psnr:.2f} dB on frames held out"
        stages(text, max(0.1, progress.share))

    learned = learn_residuals(avatar, template, frames, recipe, device=device, tell=tell)
    full = learned.avatar
    static = replace(full, face_residual=None, pose_residual=None)
    scores = reenact(
        [avatar, static, full],
        template,
        video,
        followed,
        renderer,
        film=lesson.film,
        start=lesson.cut,
        every=every,
        pairs=pairs,
    )
    sides = [
        Sides.of(score_views(Deformer(each, template), template, renderer))
        for each in (avatar, full)
    ]
    return ResidualScore(
        base=scores[0],
        static=scores[1],
        full=scores[2],
        base_sides=sides[0],
        full_sides=sides[1],
        frames=len(frames),
        steps=learned.steps,
        told=(
            f"{len(frames)} frames learned from, left out: {reasons(lesson.left_out) or 'none'}; "
            f"{learned.before:.2f} dB -> {learned.after:.2f} dB on held-out ones, best after "
            f"{learned.steps} steps"
        ),
    )


def mean_score(scores: list[ResidualScore]) -> ResidualScore:
    """The mean over films, each counting once; frames are summed."""
    return ResidualScore(
        base=_mean([score.base for score in scores]),
        static=_mean([score.static for score in scores]),
        full=_mean([score.full for score in scores]),
        base_sides=_mean_sides([score.base_sides for score in scores]),
        full_sides=_mean_sides([score.full_sides for score in scores]),
        frames=sum(score.frames for score in scores),
        steps=round(float(np.mean([score.steps for score in scores]))),
        told="",
    )


def _mean(scores: list[Reenactment]) -> Reenactment:
    return Reenactment(
        psnr=float(np.mean([score.psnr for score in scores])),
        ssim=float(np.mean([score.ssim for score in scores])),
        sharpness=float(np.mean([score.sharpness for score in scores])),
        landmark_error=float(np.mean([score.landmark_error for score in scores])),
        frames=sum(score.frames for score in scores),
        lost=sum(score.lost for score in scores),
        face_in_drawn=float(np.mean([score.face_in_drawn for score in scores])),
    )


def _mean_sides(scores: list[Sides]) -> Sides:
    return Sides(
        found=float(np.mean([score.found for score in scores])),
        pose_error=float(np.mean([score.pose_error for score in scores])),
    )
