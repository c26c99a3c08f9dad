"""What a headset tells and takes, in plain values: no OpenXR here, so that all who use it can be
tried without one. `render.xr` fills them in."""

from dataclasses import dataclass, field

from avatar.types import Float
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaceWeights:
    """The wearer's own face, as the cameras of one kind of headset tell it; the fields of the other
    kind are None."""

    fb: Float | None = None
    """[70] 0..1 in the order of `XrFaceExpression2FB`."""
    htc_eyes: Float | None = None
    """[14] 0..1 in the order of `XrEyeExpressionHTC`."""
    htc_lips: Float | None = None
    """[37] 0..1 in the order of `XrLipExpressionHTC`."""


@dataclass(frozen=True, slots=True)
class Extras:
    """What a headset has beyond eyes and hands."""

    passthrough: bool = False
    """It can show the wearer's own room."""
    eye_gaze: bool = False
    """It knows where the wearer looks."""
    face: bool = False
    """It sees the wearer's face."""

    @property
    def names(self) -> tuple[str, ...]:
        """For a person to read."""
        named = (
            ("passthrough", self.passthrough),
            ("eye gaze", self.eye_gaze),
            ("face", self.face),
        )
        return tuple(name for name, has in named if has)
