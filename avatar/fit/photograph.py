"""The photograph as something to compare drawings with: its camera, what lies behind the person,
and how alike an avatar is to it."""

from dataclasses import dataclass

import cv2
import numpy as np

from avatar.deform import Deformer
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.fit.similarity import structural_similarity
from avatar.portrait.arrays import Array, Mask
from avatar.types import Avatar, Float, Gaussians, Portrait

LIKENESS_SIDE = 512
"""Pixels of the whole picture's longer side at which likeness is measured."""
_SURE_BACKGROUND = 0.05
"""Of the person's mask: what lies below shows the background alone."""
_OUTLINE_REACH, _INSIDE = 0.006, 0.95
"""Shares of the picture's longer side and of the mask: what lies deeper is the person alone."""
_APART = (0.15, 0.35)
"""Distance of two colours from which they can be told apart at all, and surely."""
_SOLID, _CLOSED_OVER = 0.9, 0.03
"""The avatar counts as being there where it hides so much, gaps of this share of the picture's
longer side included; elsewhere its shoulders dissolve on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How alike an avatar is to its portrait, from the portrait's own camera, with its expression
    and gaze, the whole picture drawn with a longer side of 512 pixels.

    The avatar is drawn over the photograph's background with the person filled in from outside,
    so nothing of the photograph shows through it. RGB, sRGB-encoded, 0..1.
    """

    psnr: float
    """dB, over the person (mask > 0.5) above where the shoulders dissolve."""
    ssim: float
    """Mean over the same pixels and the channels (Gaussian window, sigma 1.5)."""
    psnr_whole: float
    """dB, over the whole person, dissolved shoulders and all."""
    ssim_whole: float


def photo_lens(avatar: Avatar, width: int, height: int) -> Lens:
    """The camera that took the portrait; `width`, `height` are the portrait's, pixels."""
    flip = np.diag([1.0, -1.0, -1.0])  # y up, looking along -z -> y down, looking along z
    rotation = flip @ np.reshape(avatar.fit["camera_rotation"], (3, 3))
    translation = flip @ np.array(avatar.fit["camera_translation"])
    focal, (x, y) = avatar.fit["camera_focal_px"][0], avatar.fit["camera_centre_px"]
    return Lens(
        pose=np.column_stack([rotation, translation]).astype(np.float32),
        intrinsics=np.array([focal, focal, x, y], np.float32),
        width=width,
        height=height,
    )


def as_photographed(deformer: Deformer, seen_from: Float | None = None) -> Gaussians:
    """The avatar with the portrait's expression and gaze. How the head was held is in the lens.

    `seen_from` as in `Deformer.gaussians`.
    """
    fit = deformer.avatar.fit
    return deformer.gaussians(
        seen_from=seen_from,
        expression=np.array(fit["expression"], np.float32),
        gaze=np.array(fit["gaze"], np.float32),
    )


def background(portrait: Portrait) -> Float:
    """[H, W, 3] the portrait without the person: the surroundings carried smoothly over it."""
    known = (portrait.person < _SURE_BACKGROUND).astype(np.float32)
    if not known.any():
        return np.full_like(portrait.image, 0.5)
    return _filled(portrait.image, known)


def likeness(avatar: Avatar, portrait: Portrait, *, with_glance: bool = True) -> Likeness:
    """Measure it; see `Likeness` for what exactly. Without its glance the avatar is drawn as it is
    seen from further aside."""
    height, width = portrait.image.shape[:2]
    scale = LIKENESS_SIDE / max(height, width)
    size = (round(width * scale), round(height * scale))
    lens = photo_lens(avatar, width, height).scaled(*size)
    posed = as_photographed(Deformer(avatar), lens.position if with_glance else None)
    colour, through = Rasteriser().draw(posed, lens)
    wanted, behind, person = (
        shrunk(image, size) for image in (portrait.image, background(portrait), portrait.person)
    )
    shown = np.clip(over(colour, through, behind), 0, 1, dtype=np.float32)
    squared = ((shown - wanted) ** 2).mean(2)
    ssim = structural_similarity(shown, wanted).mean(2)
    whole = person > 0.5
    there = whole & (presence(through, person) > 0.5)
    if not there.any():
        there = whole

    def decibels(chosen: Mask) -> float:
        return float(-10 * np.log10(max(squared[chosen].mean(), 1e-10)))

    return Likeness(
        psnr=decibels(there),
        ssim=float(ssim[there].mean()),
        psnr_whole=decibels(whole),
        ssim_whole=float(ssim[whole].mean()),
    )


def matte(portrait: Portrait, behind: Float) -> Float:
    """[H, W] 0..1 how much of each pixel is the person, `behind` being the portrait's background.

    The mask alone takes a seam of the wall along with the hair, which then shines before any other
    wall. Around the outline each pixel is therefore placed between the background's colour and
    that of the person further inside, where these two differ.
    """
    person = portrait.person
    reach = max(2, round(_OUTLINE_REACH * max(person.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = (cv2.erode(person, disc) > _INSIDE).astype(np.float32)
    if not inside.any():
        return person
    own = _filled(portrait.image, inside) - behind
    apart = (own * own).sum(2)
    share = ((portrait.image - behind) * own).sum(2) / np.maximum(apart, 1e-6)
    sure = (1 - inside) * np.clip((np.sqrt(apart) - _APART[0]) / (_APART[1] - _APART[0]), 0, 1)
    return (person * (1 - sure + sure * np.clip(share, 0, 1))).astype(np.float32)


def presence(through: Float, person: Float) -> Float:
    """[H, W] 0..1 where the avatar is meant to be: 1 where it hides the background, small gaps
    inside it included, 0 where it dissolves. Outside the person it goes on as at the border."""
    solid = np.clip((closed(through) - (_SOLID - 0.1)) / 0.1, 0, 1).astype(np.float32)
    inside = (person > 0.5).astype(np.float32)
    return _filled(solid[..., None], inside)[..., 0] if inside.any() else solid


def closed(through: Float) -> Float:
    """[H, W] 0..1 how solid a drawing is, its small gaps filled."""
    radius = max(2, round(_CLOSED_OVER * max(through.shape) / 2))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(1 - through, cv2.MORPH_CLOSE, disc), np.float32)


def shrunk(image: Float, size: tuple[int, int]) -> Float:
    """[h, w, ...] an image at another `size` (width, height), by areas where it shrinks."""
    smaller = size[0] <= image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=method), np.float32)


def _filled(image: Float, known: Float) -> Float:
    """[H, W, C] `image` where `known` [H, W] is 1, elsewhere carried there smoothly: each unknown
    pixel takes the finest level of a pyramid that knows anything there (pull-push; Gortler,
    Grzeszczuk, Szeliski, Cohen 1996)."""
    levels: list[tuple[Array, Array]] = [(image * known[..., None], known)]
    while min(levels[-1][1].shape) > 1 and levels[-1][1].min() < 1:
        values, weight = levels[-1]
        size = (-(-weight.shape[1] // 2), -(-weight.shape[0] // 2))
        coarse = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        mixed = cv2.resize(values, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)
        sure = np.minimum(4 * coarse, 1) / np.maximum(coarse, 1e-6)
        levels.append((mixed * sure[..., None], coarse * sure))
    values, weight = levels.pop()
    result = values / np.maximum(weight, 1e-6)[..., None]
    for values, weight in reversed(levels):
        size = weight.shape[::-1]
        wider = cv2.resize(result, size, interpolation=cv2.INTER_LINEAR)
        result = values + (1 - weight[..., None]) * wider.reshape(values.shape)
    return np.ascontiguousarray(result, np.float32)
