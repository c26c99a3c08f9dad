"""The light on the avatar's picture, and what stands behind it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_STOPS = 1.5
"""Of brightness, either way."""

Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Light:
    """What a photographer would change: how bright, how warm."""

    brightness: float = 0.0
    """Stops: +1 is twice the light."""
    warmth: float = 0.0
    """-1 blue .. 1 amber."""

    @property
    def gains(self) -> Colour:
        """What red, green and blue of an sRGB picture are multiplied by.

        Encoded values, so the gamma of 2.2 stands between light and them. Brightness keeps green;
        warmth moves red and blue against it, about as far as from 6500 K to 4000 K or 12000 K.
        """
        light = 2.0**self.brightness
        warm = 1.0 + 0.28 * max(self.warmth, 0.0), 1.0 + 0.28 * max(-self.warmth, 0.0)
        red, blue = light * warm[0] / warm[1], light * warm[1] / warm[0]
        return tuple(part ** (1 / 2.2) for part in (red, light, blue))  # pyright: ignore[reportReturnType]

    def on(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """[H, W, 4] the picture, sRGB premultiplied, in this light: as the window shows it."""
        if self == Light():
            return picture
        lit = picture.copy()
        steps = np.arange(256)
        for channel, gain in enumerate(self.gains):
            table = np.minimum(np.rint(steps * gain), 255).astype(np.uint8)
            lit[..., channel] = np.minimum(table[picture[..., channel]], picture[..., 3])
        return lit


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Two colours, sRGB 0..1: where the light falls on the wall, and far from there."""

    near: Colour
    far: Colour

    @classmethod
    def plain(cls, colour: Colour) -> "Backdrop":
        return cls(colour, colour)

    @property
    def middle(self) -> Colour:
        """The one colour that stands for it where there can be only one."""
        red, green, blue = (0.5 * (one + two) for one, two in zip(self.near, self.far, strict=True))
        return red, green, blue


BACKDROPS: dict[str, Backdrop] = {
    "Studio": Backdrop((0.55, 0.56, 0.575), (0.205, 0.215, 0.235)),
    "Linen": Backdrop((0.86, 0.83, 0.78), (0.62, 0.58, 0.53)),
    "Dusk": Backdrop((0.42, 0.47, 0.60), (0.11, 0.13, 0.21)),
    "Sage": Backdrop((0.58, 0.63, 0.56), (0.24, 0.29, 0.25)),
    "Clay": Backdrop((0.66, 0.53, 0.46), (0.30, 0.21, 0.18)),
    "Night": Backdrop((0.15, 0.16, 0.18), (0.03, 0.03, 0.04)),
}
"""Name -> what it looks like; the first is the usual one."""
PLAIN = "Plain"
"""A colour of the person's own, all over."""
USUAL_BACKDROP = "Studio"


def backdrop_of(name: str, colour: Colour) -> Backdrop:
    """The backdrop of this name; `colour` where it is `PLAIN`."""
    return Backdrop.plain(colour) if name == PLAIN else BACKDROPS[name]


def is_colour(value: object) -> bool:
    """Whether it is three numbers 0..1."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(
            isinstance(part, int | float) and math.isfinite(part) and 0 <= part <= 1
            for part in value
        )
    )
