"""The last stage of refinement: what the photograph shows and a turned head must not wear.

Geometry and colours are done. Only an offset of each colour is learned, for every splat that the
photograph sees, however slantingly, and with no fading of what it shows there. The offset is
seen only from about where the photograph was taken (`avatar.glance`).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avatar.deform import Deformer
from avatar.fit.backends import FitRasteriser
from avatar.fit.freedom import Freedom, find_freedom
from avatar.fit.optimiser import COLOUR, WIDTH, Limits, SplatOptimiser
from avatar.fit.photograph import as_photographed, photo_lens
from avatar.fit.rasteriser import Rasteriser, over
from avatar.fit.similarity import PictureLoss
from avatar.fit.target import (
    AS_MEASURED,
    LEAST_SHOWN,
    SSIM_SHARE,
    TONES,
    box_around,
    chosen,
    find_target,
)
from avatar.head.template import HeadTemplate
from avatar.portrait.openings import mouth_opening
from avatar.types import Avatar, Gaussians, Index, Portrait

_SIDES = (704, AS_MEASURED, AS_MEASURED, AS_MEASURED, AS_MEASURED)
"""Pixels of the longer side of the box around the avatar, by turns."""
_MOST = 0.6
"""Offset of a colour."""
_RATE, _LAST_PACE = 0.03, 0.1
_PULL, _TINT_PULL = 0.1, 0.3
"""As in `avatar.fit.optimiser.Limits`."""
_LEARNING = (0.1, 0.5)
"""See `find_target`; of lids that may learn little: with (0, .2) a white rim grew below the eyes,
which a blink then shows."""
_DARKEST = 0.05
"""Factor of an expression's shading that a colour is at least divided by."""
_TILT = 0.25
"""Tangent of the angle by which the splats' order is turned every second time: that of the head
within which the glance is seen."""
_TILTS = ((0.0, 0.0), (_TILT, 0.0), (0.0, 0.0), (0.0, _TILT),
          (0.0, 0.0), (-_TILT, 0.0), (0.0, 0.0), (0.0, -_TILT))  # fmt: skip


def learn_glance(
    avatar: Avatar,
    portrait: Portrait,
    template: HeadTemplate,
    rasteriser: FitRasteriser | None = None,
    *,
    steps: int,
    tell: Callable[[float], None] | None = None,
) -> Avatar:
    """`avatar` with `glance` and `taken_from`; on the processor, the same in, the same out.

    `rasteriser` draws, and finds gradients; None for the processor's.

    `tell` is called with the share that is done, 0..1.
    """
    rasteriser = Rasteriser() if rasteriser is None else rasteriser
    deformer = Deformer(avatar, template)
    posed = as_photographed(deformer)
    height, width = portrait.image.shape[:2]
    whole = photo_lens(avatar, width, height)
    box = box_around(posed, whole)
    if box is None or not steps:
        return avatar
    mouth_open = bool(mouth_opening(portrait.landmarks, height, width).any())
    freedom = find_freedom(
        deformer, posed, whole.crop(*box), template, rasteriser, mouth_open=mouth_open
    )
    drawn = np.flatnonzero(freedom.weight > LEAST_SHOWN).astype(np.int32)
    painted = freedom.ruled & (freedom.glance == 0)
    target = find_target(
        posed,
        freedom.glance,
        painted,
        portrait,
        whole,
        box,
        _LEARNING,
        rasteriser,
        eyes=True,
    )
    targets = [target.scaled(side) for side in _SIDES]
    losses = [
        [PictureLoss(one.over(tone), one.weight, SSIM_SHARE) for tone in TONES] for one in targets
    ]
    optimiser = SplatOptimiser(chosen(posed, drawn), _limits(posed, freedom, drawn))
    for step in range(steps):
        at, tone = step % len(targets), step // len(targets) % len(TONES)
        drawing = rasteriser.draw(optimiser.gaussians, targets[at].lens, _TILTS[step % len(_TILTS)])
        shown = over(*drawing, TONES[tone])
        _, slope = losses[at][tone].of(shown)
        falling = 0.5 * (1 + math.cos(math.pi * step / steps))
        pace = _LAST_PACE + (1 - _LAST_PACE) * falling
        optimiser.step(rasteriser.backward(shown, slope), pace)
        if tell is not None:
            tell((step + 1) / steps)
    offset = np.zeros((len(avatar), 3), np.float32)
    # What the expression does to a colour is taken off again.
    lit = np.maximum(deformer.colour_factors[drawn, None], _DARKEST)
    offset[drawn] = (optimiser.values[:, COLOUR] - posed.colours[drawn]) / lit
    return replace(avatar, glance=np.clip(offset, -1, 1), taken_from=whole.position)


def _limits(posed: Gaussians, freedom: Freedom, drawn: Index) -> Limits:
    """Only colours have a rate."""
    start = posed.colours[drawn]
    reach = _MOST * freedom.glance[drawn, None]
    high = np.full((len(drawn), WIDTH), np.inf, np.float32)
    low = -high
    low[:, COLOUR] = np.maximum(start - reach, np.minimum(start, 0))
    high[:, COLOUR] = np.minimum(start + reach, np.maximum(start, 1))
    pull, rate = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    pull[COLOUR], rate[COLOUR] = _PULL, _RATE
    return Limits(low=low, high=high, pull=pull, tint_pull=_TINT_PULL, rate=rate)
