"""Who else gets the live pictures: recordings, snapshots, a virtual camera."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """One finished picture of the frame loop."""

    picture: Picture
    """[H, W, 4] sRGB premultiplied by its alpha. The frame loop draws into it again right after."""
    at_s: float
    """The moment for which it was drawn, `time.perf_counter()`."""
    heard_s: float | None
    """When the sound that belongs to this face entered the program, on the same clock; None for a
    face at rest."""


class FrameSink(Protocol):
    """Takes finished pictures in the frame loop's thread, and does the work in another."""

    def wants(self, at_s: float) -> bool:
        """Whether a picture drawn for this moment would be used. Until then none need leave the
        card that it was drawn on."""
        ...

    def take(self, shown: Shown) -> None:
        """Take this one, which was wanted; copies what it keeps, never waits."""
        ...


def over_backdrop(picture: Picture, backdrop: tuple[float, float, float]) -> Picture:
    """[H, W, 3] a premultiplied [H, W, 4] over an sRGB colour (0..1 each).

    OpenCV's own loops: they leave Python's lock to the frame loop.
    """
    shares = np.arange(255, -1, -1)[:, None] * np.asarray(backdrop)
    through = np.round(shares).astype(np.uint8)[None]  # [1, 256, 3] what is seen through alpha
    alpha = cv2.cvtColor(cv2.extractChannel(picture, 3), cv2.COLOR_GRAY2BGR)
    colour = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    return np.asarray(cv2.add(colour, cv2.LUT(alpha, through)), np.uint8)


def straight(picture: Picture) -> Picture:
    """[H, W, 4] a premultiplied one as PNG and WebM want it: colour not multiplied by alpha."""
    alpha = cv2.extractChannel(picture, 3)
    colour = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    divided = cv2.divide(colour, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=255.0)
    return np.asarray(cv2.merge((*cv2.split(divided), alpha)), np.uint8)


def fitted_into(picture: Picture, width: int, height: int) -> Picture:
    """[height, width, 4] the picture as large as fits, in the middle, nothing (alpha 0) around."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    fit_width = min(width, max(1, round(scale * picture.shape[1])))
    fit_height = min(height, max(1, round(scale * picture.shape[0])))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    fit = cv2.resize(picture, (fit_width, fit_height), interpolation=way)
    left, top = (width - fit_width) // 2, (height - fit_height) // 2
    return np.asarray(
        cv2.copyMakeBorder(
            fit,
            *(top, height - fit_height - top, left, width - fit_width - left),
            cv2.BORDER_CONSTANT,
            value=(0, 0, 0, 0),
        ),
        np.uint8,
    )


def png(picture: Picture, backdrop: tuple[float, float, float] | None) -> bytes:
    """A premultiplied [H, W, 4] as a PNG file: over a colour, or with its alpha where that is
    None."""
    if backdrop is None:
        swapped = cv2.cvtColor(straight(picture), cv2.COLOR_RGBA2BGRA)
    else:
        swapped = cv2.cvtColor(over_backdrop(picture, backdrop), cv2.COLOR_RGB2BGR)
    _, coded = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return coded.tobytes()
