"""The finished avatar held against its photograph: colours, sizes and places of the Gaussians that
the photograph shows are changed until a drawing from its camera looks like it.

Only what the photograph shows is changed, and only so far that the head still holds from the side:
splats stay in the plane they lay in, near their place, about as large and round as they were.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from avatar.deform import Deformer
from avatar.fit.backends import FitRasteriser
from avatar.fit.freedom import Freedom, find_freedom
from avatar.fit.glance import learn_glance
from avatar.fit.optimiser import (
    COLOUR,
    OPACITY,
    PLACE,
    SIZE,
    TURN,
    WIDTH,
    Limits,
    SplatOptimiser,
)
from avatar.fit.photograph import as_photographed, photo_lens
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.similarity import PictureLoss
from avatar.fit.target import (
    AS_MEASURED,
    LEAST_SHOWN,
    SSIM_SHARE,
    TONES,
    Target,
    box_around,
    chosen,
    find_target,
    worst,
)
from avatar.fit.written import written
from avatar.head.template import HeadTemplate
from avatar.portrait.openings import mouth_opening
from avatar.types import Avatar, Float, Gaussians, Index, Portrait


class Budget(Enum):
    """How much time the making of an avatar may take."""

    QUICK = "quick"
    """The avatar as assembled, not refined."""
    NORMAL = "normal"
    BEST = "best"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    sides: tuple[int, ...]
    """Pixels of the longer side of the box around the avatar, by turns: a splat's own blur on the
    screen makes what fits a large picture too soft, or too rough, for a small one. An odd number
    of them, so that each meets each of the orders and walls below, of which there are 8 and 3."""
    steps: int
    """Of pictures as large as usual or larger."""
    most: int = 0
    """Splats are split before this level until there are so many."""


MOST_SPLATS = 70_000
"""In the whole avatar, those that the photograph does not show included. With 82,000 likeness is
the same or less, for each is learned more slowly; with 64,500 it is up to half a decibel less."""
_LEVELS = {
    Budget.QUICK: (),
    Budget.NORMAL: (
        _Level(sides=(320,), steps=30),
        _Level(sides=(448, 320, 320), steps=40, most=64_000),
        _Level(sides=(704, AS_MEASURED, AS_MEASURED), steps=120, most=MOST_SPLATS),
        _Level(sides=(AS_MEASURED, AS_MEASURED, 704, AS_MEASURED, AS_MEASURED), steps=120),
    ),
    Budget.BEST: (
        _Level(sides=(320,), steps=60),
        _Level(sides=(448, 320, 320), steps=80, most=64_000),
        _Level(sides=(768, AS_MEASURED, AS_MEASURED), steps=240, most=MOST_SPLATS),
        _Level(sides=(AS_MEASURED, AS_MEASURED, 768, AS_MEASURED, AS_MEASURED), steps=240),
    ),
}
_USUAL_PIXELS, _MOST_STEPS = 180_000, 2.0
_MOST_RECOLOURED = 0.6
_SMALLER, _LARGER = 0.4, 1.6
_MOST_MOVED = 1.0
"""Of its own width."""
_MOST_TURNED = math.pi / 2
_FAINTER, _FAINTER_AT_OUTLINE, _DENSER = 0.7, 0.1, 1.15
_MOST_OPAQUE = 0.985
_RATE = np.zeros(WIDTH, np.float32)
_RATE[COLOUR], _RATE[OPACITY], _RATE[SIZE], _RATE[PLACE], _RATE[TURN] = 0.04, 0.02, 0.04, 0.06, 0.06
_PULL = np.zeros(WIDTH, np.float32)
_TINT_PULL = 0.6
_PULL[COLOUR], _PULL[OPACITY], _PULL[SIZE], _PULL[PLACE] = 0.25, 0.1, 0.05, 0.05
_SPLIT_FREEDOM = 0.15
"""Splats whose shape is freer than this may be split."""
_LAST_PACE = 0.15
"""Of the rates, at the end of each level."""
_ACROSS, _DOWN = 0.7, 0.5
_TILTS = (
    (0.0, 0.0), (_ACROSS, 0.0), (0.0, 0.0), (0.0, _DOWN),
    (0.0, 0.0), (-_ACROSS, 0.0), (0.0, 0.0), (0.0, -_DOWN),
)  # fmt: skip
"""Orders in which the splats are drawn by turns, as tangents of the head's turn: else a splat
would take any colour where its neighbours hide it from here, and speckle the turned head. Each
second time as they are: with one time in five Einstein's likeness was 29.2 dB and not 30.3."""
_LEARNING = (0.1, 0.6)
"""See `find_target`. With (0, .2) the avatar itself is two to three decibels more like its
photograph, and turned heads have white rims on their cheeks; what is missing is for the glance."""
_GLANCE_STEPS = {Budget.QUICK: 0, Budget.NORMAL: 60, Budget.BEST: 120}
_BEFORE_GLANCE = 0.8
"""Share of the work."""


def refine_avatar(
    avatar: Avatar,
    portrait: Portrait,
    template: HeadTemplate,
    *,
    budget: Budget = Budget.NORMAL,
    rasteriser: FitRasteriser | None = None,
    tell: Callable[[float], None] | None = None,
) -> Avatar:
    """`avatar` made more like `portrait`; on the processor, the same in, the same out.

    `rasteriser` draws, and finds gradients; None for the processor's.

    `tell` is called with the share that is done, 0..1. The avatar that goes in is complete: it
    may be shown or saved while this runs.
    """
    levels = _LEVELS[budget]
    if not levels:
        return avatar
    rasteriser = Rasteriser() if rasteriser is None else rasteriser
    deformer = Deformer(avatar, template)
    posed = as_photographed(deformer)
    height, width = portrait.image.shape[:2]
    whole = photo_lens(avatar, width, height)
    box = box_around(posed, whole)
    if box is None:
        return avatar
    mouth_open = bool(mouth_opening(portrait.landmarks, height, width).any())
    freedom = find_freedom(
        deformer, posed, whole.crop(*box), template, rasteriser, mouth_open=mouth_open
    )
    drawn = np.flatnonzero(freedom.weight > LEAST_SHOWN).astype(np.int32)
    target = find_target(
        posed,
        freedom.colour,
        freedom.ruled,
        portrait,
        whole,
        box,
        _LEARNING,
        rasteriser,
    )
    # Hair and clothes that reach over the outline fade; skin would have a hole, seen from aside.
    on_head = avatar.bound_triangle < len(template.triangles)
    outline = np.where(on_head, 0, target.outline(posed))
    limits = _limits(posed, freedom, outline, drawn)
    optimiser = SplatOptimiser(chosen(posed, drawn), limits)
    stages = [(level, [target.scaled(side) for side in level.sides]) for level in levels]
    work = sum(_steps(level, targets) * _pixels(targets) for level, targets in stages)
    done = 0.0
    for level, targets in stages:
        room = level.most - (len(avatar) + len(optimiser) - len(drawn))
        if room > 0:
            able = freedom.shape[drawn][optimiser.source] > _SPLIT_FREEDOM
            optimiser.split(worst(optimiser.gaussians, targets[0], able, room, rasteriser))
        steps = _steps(level, targets)
        losses = [
            [PictureLoss(one.over(tone), one.weight, SSIM_SHARE) for tone in TONES]
            for one in targets
        ]
        for step in range(steps):
            at, tone = step % len(targets), step // len(targets) % len(TONES)
            tilt = _TILTS[step % len(_TILTS)]
            drawing = rasteriser.draw(optimiser.gaussians, targets[at].lens, tilt)
            shown = over(*drawing, TONES[tone])
            _, slope = losses[at][tone].of(shown)
            falling = 0.5 * (1 + math.cos(math.pi * step / steps))
            pace = _LAST_PACE + (1 - _LAST_PACE) * falling
            optimiser.step(rasteriser.backward(shown, slope), pace)
            done += _pixels(targets)
            if tell is not None:
                tell(_BEFORE_GLANCE * done / work)
    refined = written(avatar, deformer, posed, optimiser, drawn)

    def last(share: float) -> None:
        if tell is not None:
            tell(_BEFORE_GLANCE + (1 - _BEFORE_GLANCE) * share)

    return learn_glance(
        refined, portrait, template, rasteriser, steps=_GLANCE_STEPS[budget], tell=last
    )


def _steps(level: _Level, targets: list[Target]) -> int:
    """The level's, up to twice as many for a head that is small in its picture: they cost less
    there, and more splats share a pixel."""
    return round(level.steps * min(max(_USUAL_PIXELS / _pixels(targets), 1), _MOST_STEPS))


def _pixels(targets: list[Target]) -> float:
    """Of a picture, their mean: what a step costs."""
    return float(np.mean([target.weight.size for target in targets]))


def _limits(posed: Gaussians, freedom: Freedom, outline: Float, drawn: Index) -> Limits:
    colour, shape = freedom.colour[drawn, None], freedom.shape[drawn, None]
    low = np.zeros((len(drawn), WIDTH), np.float32)
    high = np.zeros_like(low)
    start = posed.colours[drawn]
    low[:, COLOUR] = np.maximum(start - _MOST_RECOLOURED * colour, np.minimum(start, 0))
    high[:, COLOUR] = np.minimum(start + _MOST_RECOLOURED * colour, np.maximum(start, 1))
    opacity = posed.opacities[drawn]
    fainter = _FAINTER + (_FAINTER_AT_OUTLINE - _FAINTER) * outline[drawn]
    low[:, OPACITY] = opacity * (1 + (fainter - 1) * np.maximum(colour[:, 0], outline[drawn]))
    denser = np.maximum(np.minimum(opacity * _DENSER, _MOST_OPAQUE), opacity)
    high[:, OPACITY] = opacity + (denser - opacity) * colour[:, 0]
    low[:, SIZE], high[:, SIZE] = math.log(_SMALLER) * shape, math.log(_LARGER) * shape
    low[:, PLACE], high[:, PLACE] = -_MOST_MOVED * shape, _MOST_MOVED * shape
    low[:, TURN], high[:, TURN] = -_MOST_TURNED * shape[:, 0], _MOST_TURNED * shape[:, 0]
    return Limits(low=low, high=high, pull=_PULL, tint_pull=_TINT_PULL, rate=_RATE)
