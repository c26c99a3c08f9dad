"""What the encoder will say of a frame, guessed before all of its look-ahead has sounded.

The encoder says of a frame what it thinks 80 ms after it. A talk with a microphone wants it sooner:
from what the encoder heard and said up to now a linear map guesses what it will say in some frames'
time. Little is lost by it: lips are slow, and most of what comes is on its way already
(`visavis train foresight`; figures in assets/speech/MODEL_CARD.md).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatar.speech.network import LOOK_AHEAD_FRAMES, SpeechNetwork
from avatar.types import Float
from avatar.weights import damaged, parse_weights, shipped_file

FORMAT = 1
PAST = (0, 1, 2, 4)
"""How many frames ago what it guesses from was heard and said."""
_NAME = "assets/speech/foresight.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Foresight:
    """The map. A frame is the encoder's stream, outputs and lips, [W + 22]."""

    frames: int
    """How far ahead it guesses, 1 to `LOOK_AHEAD_FRAMES`."""
    weight: Float
    """[len(PAST) * (W + 22), 22]"""
    shift: Float
    """[22]"""


class ForesightState:
    """The last frames. They begin as the first one."""

    def __init__(self) -> None:
        self._past: list[Float] = []

    def copy(self) -> "ForesightState":
        """A state that goes its own way."""
        other = ForesightState()
        other._past = self._past.copy()
        return other

    def remember(self, frame: Float) -> Float:
        """[len(PAST) * (W + 22)] with this frame as the newest."""
        if not self._past:
            self._past = [frame] * max(PAST)
        self._past = [frame, *self._past[: max(PAST)]]
        return np.concatenate([self._past[ago] for ago in PAST])


def foresee(
    foresight: Foresight, stream: Float, outputs: Float, lips: Float, state: ForesightState
) -> tuple[Float, Float]:
    """[19] outputs and [3] lips that the encoder will give in `foresight.frames` frames."""
    known = state.remember(np.concatenate([stream, outputs, lips]))
    guessed = known @ foresight.weight + foresight.shift
    return guessed[: len(outputs)], guessed[len(outputs) :]


@lru_cache(maxsize=1)
def load_foresight() -> Foresight:
    """The map that ships with the program.

    Raises:
        AssetError: its file is missing, damaged or of another version.
    """
    return parse_foresight(shipped_file("speech/foresight.safetensors", "visavis train foresight"))


def parse_foresight(contents: bytes) -> Foresight:
    """The map in the bytes of its file.

    Raises:
        AssetError: the bytes are damaged or of another version.
    """
    tensors, metadata = parse_weights(contents, _NAME, FORMAT)
    try:
        frames = int(metadata["frames"])
        weight, shift = tensors["weight"], tensors["shift"]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(_NAME, f"no map of a number of frames: {error}") from error
    if not 1 <= frames <= LOOK_AHEAD_FRAMES:
        raise damaged(_NAME, f"{frames} frames, expected 1 to {LOOK_AHEAD_FRAMES}")
    if not (np.isfinite(weight).all() and np.isfinite(shift).all()):
        raise damaged(_NAME, "numbers that are not finite")
    return Foresight(frames, weight, shift)


def check_foresight(foresight: Foresight, network: SpeechNetwork) -> None:
    """Refuse a map that was made for another encoder.

    Raises:
        AssetError: it takes or gives other numbers than this encoder's.
    """
    width, said = network.leave.weight.shape
    said += 3
    expected = (len(PAST) * (width + said), said)
    if foresight.weight.shape != expected or foresight.shift.shape != (said,):
        raise damaged(_NAME, f"{foresight.weight.shape} numbers, expected {expected}")
