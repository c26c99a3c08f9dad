"""`visavis evaluate ablation`: what each term of learning from a film is worth, as a table."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

if TYPE_CHECKING:
    from app.score_table import ScoreTable

# fmt: off
Term = Literal[
    "ssim", "robust", "consistency", "texture", "adversary", "sharpen", "torso",
    "densify", "static", "face", "pose", "decay",
]
# fmt: on


@dataclass(frozen=True, kw_only=True)
class AblationSettings:
    """Learn residuals again and again, each time without one term, or with one that is off.

    For example:
      visavis evaluate ablation --video clips --markdown docs/residuals.md
      visavis evaluate ablation --video me.mp4 --terms texture torso

    An avatar is made of the calmest frame of the first part of each video and learns from that
    part; compared are 256 pixels around the head on the rest: PSNR and SSIM inside the person,
    FaceMesh's landmarks as a share of the eye distance, and sharpness, which is the energy of the
    drawn picture's gradients over that of the filmed one's.
    """

    video: Annotated[Path, tyro.conf.arg(metavar="VIDEO|FOLDER")]
    """A video of a person, or a folder of videos."""
    terms: tuple[Term, ...] = get_args(Term)
    """What to leave out, or to add, by turns."""
    fit_share: float = 0.6
    """The first share of each video, which is learned from, .1 to .9."""
    steps: int = 600
    """How long is learned, in steps of one frame (about .1 s of a core)."""
    every: int = 1
    """Compare every so-manieth frame only."""
    budget: Literal["quick", "normal", "best"] = "quick"
    """How long avatars are refined before."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """Write the figures of every film as JSON to this file."""
    markdown: Annotated[Path | None, tyro.conf.arg(metavar="OUT.md")] = None
    """Write the table to this page; in one that exists only the part between
    <!-- table: ablation --> and <!-- end --> changes."""
    pairs: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Leave every tenth compared frame there: filmed, as the avatar came, full, then by terms."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.fit_share <= 0.9:
            raise ValueError(f"--fit-share {self.fit_share}: expected .1 to .9")
        for option in ("steps", "every"):
            if getattr(self, option) < 1:
                raise ValueError(f"--{option} {getattr(self, option)}: expected 1 or more")
        if not self.terms:
            raise ValueError("--terms: expected at least one")


def evaluate_ablation(task: AblationSettings) -> "tuple[list[ScoreTable], dict[str, object]]":
    """The table, printed, and the figures behind it.

    Raises:
        VisavisError: a video cannot be used.
    """
    from rich.console import Console

    from app.ablation import ablate, ablation_table
    from app.commands.evaluate import VIDEOS, avatar_of, inputs, refused
    from app.driven import follow_face
    from avatar.errors import PortraitError, VideoError
    from avatar.fit.residual_fit import Recipe
    from render.choose import open_renderer

    videos, films = inputs(task.video, VIDEOS, "a video"), {}
    renderer, recipe = open_renderer("cpu"), Recipe(steps=task.steps)
    for video in videos:
        try:
            followed = follow_face(video)
            avatar = avatar_of(video, followed, task.budget, task.fit_share)
            films[video.name] = ablate(
                avatar, video, followed, task.fit_share, recipe, task.terms, renderer,
                every=task.every, pairs=task.pairs,
            )  # fmt: skip
            print(f"{video.name}: {len(task.terms) + 1} models learned", file=sys.stderr)
        except (VideoError, PortraitError) as error:
            refused(error, len(videos) == 1)
    if not films:
        raise VideoError(f"{task.video}: none of its videos shows a face that can be followed.")
    table = ablation_table(films, "What each term of learning is worth", _note(task, films))
    table.show(Console())
    figures = {
        film: {model: asdict(trial) for model, trial in trials.items()}
        for film, trials in films.items()
    }
    return [table], {"steps": task.steps, "films": figures}


def _note(task: AblationSettings, films: dict) -> str:
    frames = sum(next(iter(trials.values())).seen.frames for trials in films.values())
    names = ", ".join(films)
    return (
        f"Mean of {names}; {frames} frames of their last {100 - 100 * task.fit_share:.0f} %, "
        f"{task.steps} steps. Below the full model: the difference from it."
    )
