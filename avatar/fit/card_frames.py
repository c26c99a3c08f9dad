"""Frames on a card: their pictures, and what each one's motion does to the head.

None of it depends on what is learned of the Gaussians: the processor poses each frame once, and a
step sends nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.deform import Deformer
from avatar.fit.gsplat_rasteriser import SentLens
from avatar.fit.rasteriser import Lens
from avatar.fit.teacher import TeacherFrame
from avatar.residual import features, motion_code
from avatar.types import MotionFrame, ResidualPart


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentPose:
    """A posed head on the device."""

    vertices: Tensor
    """[M, 3]"""
    frames: Tensor
    """[T, 8] of the triangles with Gaussians on them: rotation, normal, size."""
    light: Tensor
    """[V] see `avatar.deform.Carrying`."""
    motion: MotionFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentTarget:
    """What a drawing is held against; see `avatar.fit.teacher.Target`."""

    lens: Lens
    sent_lens: SentLens
    picture: Tensor
    """[S, S, 3]"""
    person: Tensor
    """[S, S]"""
    known: Tensor
    """[S, S]"""

    def over(self, tone: float) -> Tensor:
        """As `Target.over`."""
        return self.before(tone, self.picture)

    def before(self, tone: float, picture: Tensor) -> Tensor:
        """[S, S, 3] the person of another `picture` before a grey wall."""
        person = self.person[..., None]
        return person * picture + (1 - person) * tone

    def weight(self, robust: bool) -> Tensor:
        """As `Target.weight`."""
        if not robust:
            return (self.known > 0).float()
        return self.known * (1 - 0.7 * (1 - 2 * (self.person - 0.5).abs()))


class CardFrames:
    """Some frames of one avatar, sent once: of 70,000 Gaussians 1.2 MB for the pose of each, and
    its pictures as bytes, 1.3 MB where 256 and 512 pixels are drawn."""

    def __init__(
        self,
        frames: Sequence[TeacherFrame],
        deformer: Deformer,
        parts: tuple[ResidualPart, ResidualPart],
        sides: Iterable[int],
        device: torch.device,
    ) -> None:
        """`deformer` is that of the avatar as it came, of whose triangles a pose tells; `parts`
        know how features follow from a motion. Drawn are pictures of the `sides`, pixels."""
        self._frames, self._sides = list(frames), tuple(dict.fromkeys(sides))
        self._pictures = {
            side: torch.empty((len(frames), side, side, 4), dtype=torch.uint8, device=device)
            for side in self._sides
        }
        posed, count = deformer.state(), len(frames)
        self._vertices = torch.empty((count, *posed.vertices.shape), device=device)
        self._triangles = torch.empty((count, len(posed.sizes), 8), device=device)
        self._light = torch.empty((count, len(posed.light)), device=device)
        self._features = tuple(
            torch.empty((count, part.mix.shape[1]), device=device) for part in parts
        )
        self._lenses = {
            side: [SentLens.of(frame.lens.scaled(side, side), device) for frame in frames]
            for side in self._sides
        }
        for index, frame in enumerate(frames):
            self._send(index, frame, deformer, parts)

    def _send(
        self,
        index: int,
        frame: TeacherFrame,
        deformer: Deformer,
        parts: tuple[ResidualPart, ResidualPart],
    ) -> None:
        motion = frame.motion
        deformer.gaussians(motion)
        state = deformer.state()
        frames = np.column_stack([state.rotations, state.normals, state.sizes])
        codes = motion_code(
            *(motion.expression, motion.tongue, motion.gaze),
            *(motion.head_rotation, motion.head_translation),
        )
        rows: list[tuple[Tensor, NDArray[Any]]] = [
            (self._vertices, state.vertices),
            (self._triangles, frames),
            (self._light, state.light),
        ]
        for held, part, code in zip(self._features, parts, codes, strict=True):
            rows.append((held, features(part, code)))
        for side in self._sides:
            rows.append((self._pictures[side], np.dstack(frame.scaled_bytes(side))))
        for held, values in rows:
            held[index].copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def bytes(self) -> int:
        """What they take on the device."""
        held = [self._vertices, self._triangles, self._light, *self._features]
        return sum(one.numel() * one.element_size() for one in (*held, *self._pictures.values()))

    def pose(self, index: int) -> SentPose:
        """How the head is held in a frame."""
        return SentPose(
            vertices=self._vertices[index],
            frames=self._triangles[index],
            light=self._light[index],
            motion=self._frames[index].motion,
        )

    def features(self, index: int) -> tuple[Tensor, Tensor]:
        """Face's and head's, each [K], in a frame's motion."""
        face, head = self._features
        return face[index], head[index]

    def target(self, index: int, side: int) -> SentTarget:
        """A frame with `side` pixels, as numbers."""
        frame, both = self._frames[index], self._pictures[side][index].float() / 255
        left, top, right, bottom = frame.known_at(side)
        known = torch.zeros((side, side), device=both.device)
        known[top:bottom, left:right] = frame.confidence
        return SentTarget(
            lens=frame.lens.scaled(side, side),
            sent_lens=self._lenses[side][index],
            picture=both[..., :3],
            person=both[..., 3],
            known=known,
        )
