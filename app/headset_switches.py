"""What a person may choose of a headset, in the panel of either side."""

from dataclasses import dataclass

from app.mirror_view import MirrorShows


@dataclass(frozen=True, slots=True)
class HeadsetSwitches:
    """Asked for; what a headset has not is not done."""

    mirror: MirrorShows = MirrorShows.LEFT
    """What the window shows of it."""
    passthrough: bool = False
    """The wearer's own room behind the avatar."""
    own_face: bool = False
    """The wearer's face, as the headset sees it, moves the avatar's in place of the sound."""
