"""How far a face's weights open and spread the mouth, as a face tracker reads it off the face.

Real lips are tracked, so what the voice asks of lips is in a tracker's terms; and a tracker does
not put the corners of the mouth where the template has them. Linear, from the template (opening)
and from renders of faces of the code (width): `visavis train lip-reading`.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatar.types import ARKIT_NAMES, Float
from avatar.weights import damaged, parse_weights, shipped_file

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class LipReading:
    """Both over the distance of the outer eye corners, as changes from a face at rest."""

    opening: Float
    """[52] by which 1 of each weight parts the inner lips; negative where it presses them."""
    width: Float
    """[52] by which it takes the corners of the mouth apart."""
    opening_seen: float
    """Share of an opening that is read off the drawn face: lips are round, and shade each other."""

    def of(self, expression: Float) -> Float:
        """[T, 2] opening and width of expressions [T, 52]."""
        return expression @ np.stack([self.opening, self.width], 1)


@lru_cache(maxsize=1)
def load_lip_reading() -> LipReading:
    """The reading that ships with the program.

    Raises:
        AssetError: its file is missing, damaged or of another version.
    """
    return parse_lip_reading(shipped_file("motion/lip_reading.safetensors", _MAKE))


_MAKE = "visavis train lip-reading"


def parse_lip_reading(contents: bytes) -> LipReading:
    """The reading in the bytes of its file.

    Raises:
        AssetError: the bytes are damaged or of another version.
    """
    name = "assets/motion/lip_reading.safetensors"
    tensors, _ = parse_weights(contents, name, FORMAT)
    try:
        reading = LipReading(
            tensors["opening"], tensors["width"], float(tensors["opening_seen"].item())
        )
    except KeyError as error:
        raise damaged(name, f"it lacks {error.args[0]}") from error
    except ValueError as error:
        raise damaged(name, error) from error
    if not 0 < reading.opening_seen < 10:
        raise damaged(name, f"opening_seen {reading.opening_seen:g}")
    for part in (reading.opening, reading.width):
        if part.shape != (len(ARKIT_NAMES),) or not np.isfinite(part).all():
            raise damaged(name, f"{part.shape} numbers, expected {len(ARKIT_NAMES)} finite ones")
    return reading
