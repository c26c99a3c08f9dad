"""The finished avatar held against its photograph: colours, sizes and places of the Gaussians that
the photograph shows are changed until a drawing from its camera looks like it.

Only what the photograph shows is changed, and only so far that the head still holds from the side:
splats stay in the plane they lay in, near their place, about as large and round as they were.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import cv2
import numpy as np

from avatar.deform import Deformer, bind, multiply_quaternions
from avatar.fit.freedom import Freedom, find_freedom
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
from avatar.fit.photograph import (
    LIKENESS_SIDE,
    as_photographed,
    background,
    closed,
    matte,
    photo_lens,
    presence,
    shrunk,
)
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.fit.similarity import PictureLoss
from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import sample
from avatar.portrait.openings import eye_openings, mouth_opening
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


_AS_MEASURED = 0
"""Of `_Level.sides`: as large as the avatar is where likeness is measured."""
MOST_SPLATS = 70_000
"""In the whole avatar, those that the photograph does not show included. With 82,000 likeness is
the same or less, for each is learned more slowly; with 64,500 it is up to half a decibel less."""
_LEVELS = {
    Budget.QUICK: (),
    Budget.NORMAL: (
        _Level(sides=(320,), steps=30),
        _Level(sides=(448, 320, 320), steps=40, most=64_000),
        _Level(sides=(704, _AS_MEASURED, _AS_MEASURED), steps=120, most=MOST_SPLATS),
        _Level(sides=(_AS_MEASURED, _AS_MEASURED, 704, _AS_MEASURED, _AS_MEASURED), steps=120),
    ),
    Budget.BEST: (
        _Level(sides=(320,), steps=60),
        _Level(sides=(448, 320, 320), steps=80, most=64_000),
        _Level(sides=(768, _AS_MEASURED, _AS_MEASURED), steps=240, most=MOST_SPLATS),
        _Level(sides=(_AS_MEASURED, _AS_MEASURED, 768, _AS_MEASURED, _AS_MEASURED), steps=240),
    ),
}
_USUAL_PIXELS, _MOST_STEPS = 180_000, 2.0
_SSIM_SHARE = 0.4
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
_SPLIT_PIXELS = 3.0
"""Footprint from which a splat is seen singly."""
_LAST_PACE = 0.15
"""Of the rates, at the end of each level."""
_MARGIN = 0.03
"""Of the box around the avatar, added on each side."""
_RULED = (0.08, 0.3)
"""Share of splats painted by rule in a pixel's colour from which the photograph counts less, and
not at all."""
_LEARNING = (0.0, 0.2)
"""Freedom of the splats in a pixel from which the photograph counts there at all, and fully: where
those may learn little, their freer neighbours would make up for it, as white rims on a cheek.
(.1, .6) leaves no rim at all, but costs three decibels of the photograph's own view."""
_ACROSS, _DOWN = 0.7, 0.5
_TILTS = (
    (0.0, 0.0), (_ACROSS, 0.0), (0.0, 0.0), (0.0, _DOWN),
    (0.0, 0.0), (-_ACROSS, 0.0), (0.0, 0.0), (0.0, -_DOWN),
)  # fmt: skip
"""Orders in which the splats are drawn by turns, as tangents of the head's turn: else a splat
would take any colour where its neighbours hide it from here, and speckle the turned head. Each
second time as they are: with one time in five Einstein's likeness was 29.2 dB and not 30.3."""
_TONES = (0.0, 1.0, 0.5)
"""Greys before which the person is seen by turns: before one wall, a splat at the outline could
take the wall's colour and shine before any other."""
_LEAST_SHOWN = 0.003
"""Pixels' worth of the picture that a splat must be to be drawn while fitting."""


def refine_avatar(
    avatar: Avatar,
    portrait: Portrait,
    template: HeadTemplate,
    *,
    budget: Budget = Budget.NORMAL,
    tell: Callable[[float], None] | None = None,
) -> Avatar:
    """`avatar` made more like `portrait`; the same in, the same out.

    `tell` is called with the share that is done, 0..1. The avatar that goes in is complete: it
    may be shown or saved while this runs.
    """
    levels = _LEVELS[budget]
    if not levels:
        return avatar
    deformer = Deformer(avatar, template)
    posed = as_photographed(deformer)
    height, width = portrait.image.shape[:2]
    whole = photo_lens(avatar, width, height)
    box = _box(posed, whole)
    if box is None:
        return avatar
    mouth_open = bool(mouth_opening(portrait.landmarks, height, width).any())
    freedom = find_freedom(deformer, posed, whole.crop(*box), template, mouth_open=mouth_open)
    drawn = np.flatnonzero(freedom.weight > _LEAST_SHOWN).astype(np.int32)
    target = _target(posed, freedom, portrait, whole, box)
    outline = np.where(freedom.ruled, 0, target.outline(posed))
    limits = _limits(posed, freedom, outline, drawn)
    optimiser = SplatOptimiser(_chosen(posed, drawn), limits)
    stages = [(level, [target.scaled(side) for side in level.sides]) for level in levels]
    work = sum(_steps(level, targets) * _pixels(targets) for level, targets in stages)
    done = 0.0
    for level, targets in stages:
        room = level.most - (len(avatar) + len(optimiser) - len(drawn))
        if room > 0:
            able = freedom.shape[drawn][optimiser.source] > _SPLIT_FREEDOM
            optimiser.split(_worst(optimiser.gaussians, targets[0], able, room))
        rasteriser, steps = Rasteriser(), _steps(level, targets)
        losses = [
            [PictureLoss(one.over(tone), one.weight, _SSIM_SHARE) for tone in _TONES]
            for one in targets
        ]
        for step in range(steps):
            at, tone = step % len(targets), step // len(targets) % len(_TONES)
            tilt = _TILTS[step % len(_TILTS)]
            drawing = rasteriser.draw(optimiser.gaussians, targets[at].lens, tilt)
            shown = over(*drawing, _TONES[tone])
            _, slope = losses[at][tone].of(shown)
            falling = 0.5 * (1 + math.cos(math.pi * step / steps))
            pace = _LAST_PACE + (1 - _LAST_PACE) * falling
            optimiser.step(rasteriser.backward(shown, slope), pace)
            done += _pixels(targets)
            if tell is not None:
                tell(done / work)
    return _written(avatar, deformer, posed, optimiser, drawn)


def _steps(level: _Level, targets: list["_Target"]) -> int:
    """The level's, up to twice as many for a head that is small in its picture: they cost less
    there, and more splats share a pixel."""
    return round(level.steps * min(max(_USUAL_PIXELS / _pixels(targets), 1), _MOST_STEPS))


def _pixels(targets: list["_Target"]) -> float:
    """Of a picture, their mean: what a step costs."""
    return float(np.mean([target.weight.size for target in targets]))


def _worst(splats: Gaussians, target: "_Target", able: Mask, most: int) -> Index:
    """[K] at most `most` of the splats that are `able` [N], where the drawing differs most from
    the photograph and they are large enough to be seen singly."""
    rasteriser = Rasteriser()
    shown = over(*rasteriser.draw(splats, target.lens), 0.5)
    error = np.abs(shown - target.over(0.5)).mean(2) * target.weight
    slope = np.repeat(error[..., None], 3, 2)
    share = rasteriser.backward(shown, slope).colours[:, 0]
    share = np.where(able & (rasteriser.footprints() > _SPLIT_PIXELS), share, 0)
    order = np.argsort(-share, kind="stable")[:most]
    return np.sort(order[share[order] > 0]).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What the drawing shall look like, and through which lens."""

    lens: Lens
    wanted: Float
    """[H, W, 3] the photograph, with eyes and mouth as they are painted by rule."""
    behind: Float
    """[H, W, 3] its background without the person."""
    person: Float
    """[H, W] 0..1 how surely a pixel belongs to the person."""
    there: Float
    """[H, W] 0..1 how solid the avatar shall be where the person is: its shoulders dissolve."""
    weight: Float
    """[H, W] 0..1 how much a pixel counts."""
    as_measured: float
    """Size against the photograph's at which likeness is measured."""

    def over(self, tone: float) -> Float:
        """[H, W, 3] the photograph with the person before a grey wall of that `tone`."""
        person, there = self.person[..., None], self.there[..., None]
        own = there * (self.wanted - (1 - person) * self.behind)
        return np.clip(own + (1 - there * person) * tone, 0, 1).astype(np.float32)

    def outline(self, splats: Gaussians) -> Float:
        """[N] 0..1 which splats reach over the person's outline."""
        camera = splats.means @ self.lens.pose[:, :3].T + self.lens.pose[:, 3]
        ahead = np.maximum(camera[:, 2:], 1e-3)
        pixels = camera[:, :2] / ahead * self.lens.intrinsics[:2] + self.lens.intrinsics[2:]
        reach = splats.scales[:, :2].max(1) * self.lens.intrinsics[0] / ahead[:, 0]
        inside = cv2.distanceTransform((self.person > 0.9).astype(np.uint8), cv2.DIST_L2, 5)
        depth = sample(np.asarray(inside, np.float32)[..., None], pixels)[:, 0]
        return np.clip(2 - depth / np.maximum(reach, 0.5), 0, 1).astype(np.float32)

    def scaled(self, side: int) -> "_Target":
        """The same with a longer side of `side` pixels, but no larger than it is."""
        scale = min(1.0, side / max(self.lens.width, self.lens.height))
        if side == _AS_MEASURED:
            scale = self.as_measured
        size = (round(self.lens.width * scale), round(self.lens.height * scale))
        return _Target(
            lens=self.lens.scaled(*size),
            wanted=shrunk(self.wanted, size),
            behind=shrunk(self.behind, size),
            person=shrunk(self.person, size),
            there=shrunk(self.there, size),
            as_measured=1.0,
            weight=shrunk(self.weight, size),
        )


def _target(
    posed: Gaussians,
    freedom: Freedom,
    portrait: Portrait,
    whole: Lens,
    box: tuple[int, int, int, int],
) -> _Target:
    """The part of the portrait in which the avatar is; where the shoulders dissolve does not count.

    What is painted by rule, and what the portrait shows between lips and lids, shall stay as
    it is drawn at the start: left out of account, eyes would be grown over by their lids.
    """
    left, top, width, height = box
    part = (slice(top, top + height), slice(left, left + width))
    behind = background(portrait)
    lens = whole.crop(*box)
    none = np.zeros(len(posed), np.float32)
    colours = np.stack([freedom.ruled.astype(np.float32), freedom.colour, none], 1)
    shares, through = Rasteriser().draw(replace(posed, colours=colours), lens)
    free = 1 - np.clip((shares[..., 0] - _RULED[0]) / (_RULED[1] - _RULED[0]), 0, 1)
    free *= np.clip((shares[..., 1] - _LEARNING[0]) / (_LEARNING[1] - _LEARNING[0]), 0, 1)
    size = portrait.person.shape
    free *= 1 - mouth_opening(portrait.landmarks, *size)[part]
    free *= 1 - eye_openings(portrait.landmarks, *size)[part]
    start = over(*Rasteriser().draw(posed, lens), behind[part])
    wanted = start + free[..., None] * (portrait.image[part] - start)
    return _Target(
        lens=lens,
        wanted=np.ascontiguousarray(wanted, np.float32),
        behind=np.ascontiguousarray(behind[part]),
        person=np.ascontiguousarray(matte(portrait, behind)[part]),
        there=closed(through),
        weight=presence(through, portrait.person[part]),
        as_measured=LIKENESS_SIDE / max(whole.width, whole.height),
    )


def _box(posed: Gaussians, lens: Lens) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of the picture's pixels around the avatar; None where it is not."""
    camera = posed.means @ lens.pose[:, :3].T + lens.pose[:, 3]
    ahead = camera[:, 2] > 0.1
    fx, fy, cx, cy = lens.intrinsics
    across = fx * camera[ahead, 0] / camera[ahead, 2] + cx
    down = fy * camera[ahead, 1] / camera[ahead, 2] + cy
    inside = (across > 0) & (across < lens.width) & (down > 0) & (down < lens.height)
    if not inside.any():
        return None
    across, down = across[inside], down[inside]
    margin = _MARGIN * max(np.ptp(across), np.ptp(down))
    left, top = max(0, int(across.min() - margin)), max(0, int(down.min() - margin))
    right = min(lens.width, math.ceil(across.max() + margin))
    bottom = min(lens.height, math.ceil(down.max() + margin))
    return left, top, right - left, bottom - top


def _chosen(splats: Gaussians, which: Index) -> Gaussians:
    return Gaussians(
        means=splats.means[which],
        rotations=splats.rotations[which],
        scales=splats.scales[which],
        opacities=splats.opacities[which],
        colours=splats.colours[which],
    )


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


def _written(
    avatar: Avatar, deformer: Deformer, posed: Gaussians, optimiser: SplatOptimiser, drawn: Index
) -> Avatar:
    """`avatar` with what was found for its splats `drawn` [D], and those split off behind them."""
    values, now = optimiser.values, optimiser.gaussians
    source = drawn[optimiser.source]
    triangle = avatar.bound_triangle[source]

    def place(means: Float) -> Float:
        mesh = deformer.vertices, avatar.triangles
        return bind(*mesh, triangle, means, now.rotations, now.scales)[0]

    def with_found(field: Float, found: Array) -> Float:
        """[N + split off, ...]"""
        kept = field.copy()
        kept[drawn] = found[: len(drawn)]
        return np.concatenate([kept, found[len(drawn) :]]).astype(np.float32)

    shift = place(now.means) - place(posed.means[source])
    half, none = values[:, TURN] / 2, np.zeros(len(values), np.float32)
    turn = np.stack([np.cos(half), none, none, np.sin(half)], 1)
    scale = avatar.bound_scale[source]
    scale[:, :2] *= np.exp(values[:, SIZE])
    # What the expression does to a colour is taken off again.
    lit = deformer.colour_factors[source, None]
    colour = np.clip(values[:, COLOUR] / lit, 0, 1)
    return replace(
        avatar,
        bound_triangle=np.concatenate([avatar.bound_triangle, triangle[len(drawn) :]]),
        bound_position=with_found(avatar.bound_position, avatar.bound_position[source] + shift),
        bound_rotation=with_found(
            avatar.bound_rotation, multiply_quaternions(avatar.bound_rotation[source], turn)
        ),
        bound_scale=with_found(avatar.bound_scale, scale),
        opacity=with_found(avatar.opacity, values[:, OPACITY]),
        colour=with_found(avatar.colour, colour),
    )
