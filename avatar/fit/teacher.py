"""Frames that show what a person's face does: what residuals are learned from, whoever made them.

A teacher gives `TeacherFrame`s: footage of the person (`app.footage`), or a portrait animator
(`avatar.fit.liveportrait`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.fit.rasteriser import Lens
from avatar.types import Float, MotionFrame

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TeacherFrame:
    """One square picture of the person, and what the avatar shall do to look like it."""

    picture: NDArray[np.uint8]
    """[S, S, 3] sRGB."""
    person: NDArray[np.uint8]
    """[S, S] 0..255 how surely a pixel belongs to the person."""
    known: Box
    """Left, top, right, bottom of the part that a camera saw, pixels."""
    lens: Lens
    """Camera of the picture, before the shoulders of an avatar in this `motion`."""
    motion: MotionFrame
    confidence: float
    """0..1 how far picture, pose and motion are to be believed."""

    def scaled(self, side: int) -> "Target":
        """The frame with `side` pixels, as numbers."""
        picture, person = self.scaled_bytes(side)
        left, top, right, bottom = self.known_at(side)
        known = np.zeros((side, side), np.float32)
        known[top:bottom, left:right] = self.confidence
        return Target(
            lens=self.lens.scaled(side, side),
            picture=np.divide(picture, 255, dtype=np.float32),
            person=np.divide(person, 255, dtype=np.float32),
            known=known,
        )

    def scaled_bytes(self, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """`picture` and `person` with `side` pixels."""
        if side == len(self.picture):
            return self.picture, self.person
        picture, person = (
            cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            for image in (self.picture, self.person)
        )
        return np.asarray(picture, np.uint8), np.asarray(person, np.uint8)

    def known_at(self, side: int) -> Box:
        """`known` of the frame with `side` pixels."""
        scale = side / len(self.picture)
        left, top, right, bottom = (round(edge * scale) for edge in self.known)
        return left, top, right, bottom


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """What a drawing is held against."""

    lens: Lens
    picture: Float
    """[S, S, 3]"""
    person: Float
    """[S, S] 0..1"""
    known: Float
    """[S, S] 0..1 how far a pixel is to be believed."""

    def over(self, tone: float) -> Float:
        """[S, S, 3] the person before a grey wall."""
        person = self.person[..., None]
        return (person * self.picture + (1 - person) * np.float32(tone)).astype(np.float32)

    def weight(self, robust: bool) -> Float:
        """[S, S] how much each pixel counts."""
        if not robust:
            return (self.known > 0).astype(np.float32)
        # The mask's own edge is a guess.
        unsure = 1 - 2 * np.abs(self.person - 0.5)
        return (self.known * (1 - 0.7 * unsure)).astype(np.float32)
