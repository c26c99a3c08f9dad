"""What each term of learning residuals is worth: learned without it, or with it where it is off.

A film is followed and cut once; every model learns from the same frames of its beginning, and all
are compared on the same frames of the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.driven import FollowedFace
from app.reenactment import Reenactment, reenact
from app.residual_scores import lesson_from
from app.score_table import ScoreTable, number
from avatar.fit.residual_fit import TERMS, Recipe, is_on, learn_residuals, toggled
from avatar.head.template import load_template
from avatar.types import Avatar
from render.renderer import Renderer

COLUMNS = ("model", "PSNR dB", "SSIM", "landmarks %", "sharpness", "steps")
_SIGNS = {
    "ssim": "SSIM",
    "robust": "robust weights",
    "consistency": "render consistency",
    "texture": "texture",
    "adversary": "patch adversary",
    "sharpen": "sharpened frames at the end",
    "torso": "shoulders found in each frame",
    "densify": "Gaussians split and let go",
    "static": "the static part",
    "face": "the face's network",
    "pose": "the head's network",
    "decay": "pulls towards nothing",
}
assert set(_SIGNS) == set(TERMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One model on one film."""

    seen: Reenactment
    steps: int
    """Until it was at its best."""


def ablate(
    avatar: Avatar,
    video: Path,
    followed: FollowedFace,
    share: float,
    recipe: Recipe,
    terms: Sequence[str],
    renderer: Renderer,
    *,
    every: int = 1,
    pairs: Path | None = None,
) -> dict[str, Trial]:
    """The avatar as it came, the full model, then one less (or with) each of the terms, by name.

    Raises:
        VideoError: the video cannot be read, or has too few frames that teach.
    """
    lesson = lesson_from(avatar, video, followed, share)
    template = load_template()
    recipes = {"full": recipe, **{name(recipe, term): toggled(recipe, term) for term in terms}}
    avatars, steps = [lesson.avatar], [0]
    for each in recipes.values():
        learned = learn_residuals(lesson.avatar, template, lesson.frames, each)
        avatars.append(learned.avatar)
        steps.append(learned.steps)
    scores = reenact(
        avatars,
        template,
        video,
        followed,
        renderer,
        film=lesson.film,
        start=lesson.cut,
        every=every,
        pairs=pairs,
    )
    names = ("as it came", *recipes)
    return {
        one: Trial(seen=seen, steps=count)
        for one, seen, count in zip(names, scores, steps, strict=True)
    }


def name(recipe: Recipe, term: str) -> str:
    """Of the model that a term was taken from, or added to."""
    return f"{'without' if is_on(recipe, term) else 'with'} {_SIGNS[term]}"


def ablation_table(films: dict[str, dict[str, Trial]], title: str, note: str) -> ScoreTable:
    """Means over the films, each counting once. Of all but the first two models, the difference
    from the full one."""
    models = list(next(iter(films.values())))
    rows, full = [], None
    for model in models:
        trials = [film[model] for film in films.values()]
        figures = np.array(
            [
                (one.seen.psnr, one.seen.ssim, 100 * one.seen.landmark_error, one.seen.sharpness)
                for one in trials
            ]
        ).mean(0)
        steps = f"{np.mean([one.steps for one in trials]):.0f}"
        if full is None or model == "full":
            cells = [number(value, digits) for value, digits in zip(figures, _DIGITS, strict=True)]
            full = figures if model == "full" else None
        else:
            cells = [
                number(value, digits, signed=True)
                for value, digits in zip(figures - full, _DIGITS, strict=True)
            ]
        rows.append((f"**{model}**" if model == "full" else model, *cells, steps))
    return ScoreTable(name="ablation", title=title, columns=COLUMNS, rows=tuple(rows), note=note)


_DIGITS = (2, 4, 2, 3)
