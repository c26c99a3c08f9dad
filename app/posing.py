"""Who poses an avatar: the card that draws it where its renderer can, else the processor."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from avatar.deform import Deformer
from avatar.types import ARKIT_NAMES, Gaussians, MotionFrame
from render.renderer import CardHead, PosingRenderer, Renderer


class Deforms(Protocol):
    """What poses one avatar."""

    def gaussians(self, motion: MotionFrame, *, seen_from: ArrayLike) -> Gaussians | CardHead: ...


class CardPosing:
    """An avatar that its renderer keeps and poses. To be made and used where the renderer draws."""

    def __init__(self, deformer: Deformer, renderer: PosingRenderer) -> None:
        self._deformer = deformer
        self._head = renderer.keep(deformer.tables())

    def gaussians(self, motion: MotionFrame, *, seen_from: ArrayLike) -> CardHead:
        """The head in this pose, until the next call."""
        self._head.pose(self._deformer.head_pose(motion, seen_from=seen_from))
        return self._head

    def release(self) -> None:
        """Give back what the card keeps of this avatar."""
        self._head.release()


def posed_where_drawn(deformer: Deforms, renderer: Renderer) -> Deforms:
    """What poses for this renderer; to be called where it draws, for this uploads."""
    if who_poses(renderer) == "processor" or not isinstance(deformer, Deformer):
        return deformer
    assert isinstance(renderer, PosingRenderer)
    return CardPosing(deformer, renderer)


def who_poses(renderer: Renderer) -> Literal["card", "processor"]:
    """Who poses, and sorts, what this renderer draws."""
    return "card" if isinstance(renderer, PosingRenderer) and renderer.poses else "processor"


def neutral_motion() -> MotionFrame:
    """A face at rest."""
    zeros = np.zeros(3, np.float32)
    return MotionFrame(
        index=0,
        time_s=0.0,
        latent=np.zeros(0, np.float32),
        expression=np.zeros(len(ARKIT_NAMES), np.float32),
        gaze=zeros[:2],
        head_rotation=zeros,
        head_translation=zeros,
    )
