"""A camera that goes around the head."""

import math
from dataclasses import dataclass

LEAST_S, MOST_S = 1.0, 120.0
ALL_AROUND = 360.0


@dataclass(frozen=True, slots=True)
class Turntable:
    """One turn of the camera that ends where it began."""

    seconds: float = 8.0
    degrees: float = ALL_AROUND
    """360 goes all around, to the avatar's left first; less swings so far to both sides."""

    def yaw_rad(self, elapsed_s: float) -> float:
        """The camera's yaw besides where it stood, after so many seconds; goes on turning."""
        part = elapsed_s / self.seconds
        if self.degrees >= ALL_AROUND:
            return math.tau * (part % 1.0)
        return math.radians(self.degrees) * math.sin(math.tau * part)
