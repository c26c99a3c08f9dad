"""SMPTE timecode, without drop frames: hours, minutes, seconds and a frame within the second."""

import re
from dataclasses import dataclass
from fractions import Fraction

DAY_S = 24 * 3600
_PATTERN = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,4})(?:\.(\d{1,9}))?")


@dataclass(frozen=True, slots=True)
class Timecode:
    """A label of the clock on a set; what it means in seconds depends on the rate."""

    seconds: int = 0
    """Whole ones since midnight."""
    frame: int = 0
    """Within the second."""
    part: float = 0.0
    """Of a frame, 0..1."""

    @classmethod
    def parse(cls, words: list[str]) -> "Timecode":
        """From one word, "HH:MM:SS:FF" or "HH:MM:SS:FF.fff".

        Raises: ValueError that says what is wrong.
        """
        text = words[0]
        found = _PATTERN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r}: expected a timecode HH:MM:SS:FF")
        hours, minutes, seconds, frame = (int(word) for word in found.groups()[:4])
        if hours > 23 or minutes > 59 or seconds > 59:
            raise ValueError(f"{text!r}: expected a timecode within a day, HH:MM:SS:FF")
        part = float(f"0.{found[5]}") if found[5] else 0.0
        return cls(3600 * hours + 60 * minutes + seconds, frame, part)

    def after(self, frames: int, fps: float) -> "Timecode":
        """The label so many frames later; counted at the rate's nearest whole number."""
        counted = max(1, round(fps))
        total = self.seconds * counted + self.frame + frames
        seconds, frame = divmod(total, counted)
        return Timecode(seconds % DAY_S, frame, self.part)

    def in_seconds(self, fps: float) -> float:
        """Since midnight, where a second has so many frames."""
        return self.seconds + (self.frame + self.part) / fps

    def words(self) -> list[str]:
        """What `parse` takes."""
        return [str(self)]

    def __str__(self) -> str:
        hours, rest = divmod(self.seconds, 3600)
        minutes, seconds = divmod(rest, 60)
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{self.frame:02d}"


def rate_fraction(fps: float) -> Fraction:
    """Frames a second as numerator and denominator: 29.97 is 30000/1001."""
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(ntsc) - fps) < 0.005 and abs(fps - round(fps)) > 0.005:
        return ntsc
    return Fraction(fps).limit_denominator(1001)
