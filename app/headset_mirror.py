"""The picture of a headset that the window shows: an eye's, or that of a camera beside."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import moderngl
import numpy as np

from app.mirror_view import MirrorShows, camera_beside, framed, wearer_marks
from app.placement import Placement
from avatar.types import Float
from render.camera import View
from render.eye_painter import Board, Body, EyePainter, EyePictures
from render.headset import Eye, Hand
from render.pose import Pose
from render.renderer import CardPicture

BESIDE_S = 1.0 / 30.0
"""The camera beside draws the avatar once more: no more often than films show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Who and what is in the room in this frame."""

    head: Pose
    hands: tuple[Hand, Hand]
    placement: Placement
    body: Body
    eyes: tuple[Eye, Eye]
    parts: list[View]
    pictures: list[CardPicture]
    """Of the avatar, which show `parts`."""
    board: Board | None
    rays: Callable[[Eye], Float]
    """What the hands' rays look like from an eye."""
    part_of: Callable[[View], View]
    """The part of a view, avatar space, that the avatar fills."""
    draw: Callable[[View, EyePictures], None]
    """Draws the avatar once more."""


class Mirror:
    """One context, current at every call."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._target: moderngl.Framebuffer | None = None
        self._beside = EyePictures(context)
        self._beside_s = 0.0

    @property
    def texture(self) -> moderngl.Texture | None:
        """What was drawn last, row 0 at the bottom; None before."""
        if self._target is None:
            return None
        (texture,) = self._target.color_attachments
        assert isinstance(texture, moderngl.Texture)
        return texture

    def draw(
        self, shows: MirrorShows, size: tuple[int, int], painter: EyePainter, staged: Staged
    ) -> None:
        """Draw it in `size`, with the panel, which is a layer of its own in the headset."""
        fresh = self._sized(size)
        if shows is MirrorShows.THIRD:
            now_s = time.perf_counter()
            if not fresh and now_s - self._beside_s < BESIDE_S:
                return
            self._beside_s = now_s
            self._draw_beside(size, painter, staged)
            return
        self._beside_s = 0.0
        side = int(shows is MirrorShows.RIGHT)
        eye = framed(staged.eyes[side].pose, size)
        self._paint(eye, painter, staged, staged.pictures[side], staged.parts[side])

    def release(self) -> None:
        """Give it back."""
        self._beside.release()
        self._forget()

    def _draw_beside(self, size: tuple[int, int], painter: EyePainter, staged: Staged) -> None:
        eye = framed(camera_beside(staged.head, staged.placement), size)
        pose = staged.placement.avatar_from_eye(eye.pose.matrix())
        left, right, down, up = eye.angles
        view = View.from_eye(
            pose, left=left, right=right, down=down, up=up, width=size[0], height=size[1]
        )
        part = staged.part_of(view)
        staged.draw(part, self._beside)
        marks = wearer_marks(staged.head, staged.hands)
        self._paint(eye, painter, staged, self._beside.shown[0], part, marks)

    def _paint(
        self,
        eye: Eye,
        painter: EyePainter,
        staged: Staged,
        picture: CardPicture,
        part: View,
        marks: Float | None = None,
    ) -> None:
        assert self._target is not None
        rays = staged.rays(eye)
        painter.paint(
            *(self._target, self._target.size, None, eye, picture, part, staged.body),
            marks=rays if marks is None else np.concatenate([marks, rays]),
            boards=() if staged.board is None else (staged.board,),
        )

    def _sized(self, size: tuple[int, int]) -> bool:
        """Whether the picture had to be made anew."""
        if self._target is not None and self._target.size == size:
            return False
        self._forget()
        texture = self._context.texture(size, 4)
        texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        depth = self._context.depth_renderbuffer(size)
        self._target = self._context.framebuffer([texture], depth)
        return True

    def _forget(self) -> None:
        if self._target is None:
            return
        texture, depth = self.texture, self._target.depth_attachment
        self._target.release()
        for each in (texture, depth):
            if each is not None:
                each.release()
        self._target = None
