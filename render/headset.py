"""What a headset tells and takes, in plain values: no OpenXR here, so that all who use it can be
tried without one. `render.xr` fills them in."""

from dataclasses import dataclass, field

from render.camera import View
from render.pose import Pose


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye at the moment when its picture will be seen."""

    pose: Pose
    """In the room."""
    angles: tuple[float, float, float, float]
    """Signed half-angles of what it sees, left, right, down, up, radians; not symmetric."""

    def view(self, width: int, height: int) -> View:
        """Its camera in the room, for a whole picture of so many pixels."""
        left, right, down, up = self.angles
        return View.from_eye(
            self.pose.matrix(), left=left, right=right, down=down, up=up, width=width, height=height
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """One hand, with a controller or bare."""

    is_tracked: bool = False
    """Whether its poses are known; else they mean nothing."""
    is_bare: bool = False
    """No controller: a pinch takes the place of trigger and squeeze."""
    grip: Pose = field(default_factory=Pose)
    """The middle of the palm, in the room."""
    aim: Pose = field(default_factory=Pose)
    """Points along its -z."""
    select: float = 0.0
    """Trigger, or pinch: 0..1."""
    squeeze: float = 0.0
    """Grip button: 0..1. Bare hands and simple controllers have none."""
    stick: tuple[float, float] = (0.0, 0.0)
    """Right and forward, -1..1."""
    panel: bool = False
    """Button that shows and hides the panel."""
    recenter: bool = False
    """Button that brings the avatar before the wearer."""
    talk: bool = False
    """Button that is held while talking."""


NO_HAND = Hand()


@dataclass(frozen=True, slots=True)
class Turn:
    """One frame of the headset, begun and to be ended."""

    display_s: float
    """When its picture will be seen, `time.perf_counter()`."""
    period_s: float
    """Of the display."""
    display_time: int
    """The same as `display_s` on the runtime's own clock, ns."""
    is_seen: bool
    """Whether the runtime wants a picture; else the turn is only ended."""
