"""How many of an avatar's Gaussians a frame draws: fewer where the head is small on the screen, and
fewer where a display cannot hold its rate."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from app.posing import CardPosing, Deforms, posed_where_drawn
from avatar.deform import Deformer
from avatar.level_of_detail import Level, levels_of_detail
from avatar.types import Avatar, Gaussians, MotionFrame
from render.camera import View
from render.renderer import CardHead, Renderer

HEAD_M = 0.26
"""Height of a head with its hair."""
BELOW_PX = ((160.0, 1e-3), (320.0, 1e-4))
"""A head lower than this on the screen may lack this share of its light: by then pictures differ by
45 dB or more from the whole."""
BACK_AT = 1.1
"""Times that many pixels, and the larger level is drawn again: a head that comes and goes by a
little does not change it every frame."""


class DetailedPosing:
    """Poses an avatar in one of several levels; `choose` says which, before a frame is posed."""

    def __init__(self, levels: Sequence[tuple[Level, Deforms]]) -> None:
        """The whole avatar first, then smaller and smaller ones."""
        self._levels = tuple(levels)
        self._chosen = 0

    def choose(self, head_px: float, most: float = 1.0) -> None:
        """For a head of this height on the screen.

        `most`, 0..1, is the share of the Gaussians that may be drawn: what a display lowers while
        it cannot hold its rate. The smallest level is as far as it goes.
        """
        wanted = self._index_for(head_px)
        if wanted < self._chosen:  # more than now: not before it is clear of the border
            wanted = min(self._chosen, self._index_for(head_px / BACK_AT))
        last = len(self._levels) - 1
        allowed = (i for i, (level, _) in enumerate(self._levels) if level.share <= most)
        self._chosen = max(wanted, next(allowed, last))

    @property
    def share(self) -> float:
        """0..1 of the Gaussians that are drawn now."""
        return self._levels[self._chosen][0].share

    def gaussians(self, motion: MotionFrame, *, seen_from: ArrayLike) -> Gaussians | CardHead:
        """The avatar in this pose, at the level chosen last."""
        return self._levels[self._chosen][1].gaussians(motion, seen_from=seen_from)

    def posed_by(self, renderer: Renderer) -> "DetailedPosing":
        """The same, posed where this renderer has it done."""
        return DetailedPosing(
            [(level, posed_where_drawn(posing, renderer)) for level, posing in self._levels]
        )

    def release(self) -> None:
        """Give back what a card keeps of it."""
        for _, posing in self._levels:
            if isinstance(posing, CardPosing):
                posing.release()

    def _index_for(self, head_px: float) -> int:
        may_lack = next((lost for below, lost in BELOW_PX if head_px < below), 0.0)
        fitting = [i for i, (level, _) in enumerate(self._levels) if level.lost <= may_lack]
        return fitting[-1]


def detailed(avatar: Avatar) -> DetailedPosing:
    """All levels of an avatar, posed by the processor; some seconds of work."""
    return DetailedPosing([(level, Deformer(level.avatar)) for level in levels_of_detail(avatar)])


def head_height_px(view: View, distance_m: float) -> float:
    """How high a head is on the screen that is so far away, about."""
    return float(view.intrinsics[1, 1]) * HEAD_M / max(distance_m, 0.05)
