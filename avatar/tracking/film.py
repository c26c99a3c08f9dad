"""A whole film of one face -> its motion, without delay: what comes later helps what came before.

Two passes over the landmarks. The first one goes through as a camera would; the second solves each
frame again with the frames on both sides, reads it against the person's rest over the whole film,
and smooths in both directions of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.landmarks import FoundFace
from avatar.tracking.calibrate import rest_over
from avatar.tracking.face_model import FaceModel
from avatar.tracking.smooth import Smoothing, smoothed_both_ways
from avatar.tracking.solve import Lens
from avatar.tracking.tracker import (
    EASE_S,
    EXPRESSION_SMOOTHING,
    GAZE_SMOOTHING,
    HOLD_S,
    LIDS,
    LIPS_APART,
    LIPS_SHUT,
    RETURN_S,
    ROTATION_SMOOTHING,
    TRANSLATION_SMOOTHING,
    Channels,
    FaceTracker,
    Rest,
    Seen,
    motion_frame,
)
from avatar.types import ARKIT_NAMES, MotionFrame

_MOUTH = np.array([name.startswith(("mouth", "jaw")) for name in ARKIT_NAMES])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilmTrack:
    """The motion of a film of T frames."""

    time_s: Array
    """[T] rising."""
    found: Mask
    """[T] where a face was seen."""
    channels: tuple[Channels, ...]
    """T of them, smooth, held and eased where no face was seen."""
    seen: tuple[Seen | None, ...]
    """T of them, as measured."""
    rest: Rest

    @property
    def lost(self) -> int:
        """Frames without a face."""
        return int((~self.found).sum())

    def frames(self) -> list[MotionFrame]:
        """One for each frame of the film, at its time."""
        return [
            motion_frame(channels, index, float(time_s))
            for index, (channels, time_s) in enumerate(zip(self.channels, self.time_s, strict=True))
        ]

    def frames_as_filmed(self) -> list[MotionFrame]:
        """The same, but the eyes look where they were seen to look, against the head.

        For an avatar that is shown by the film's own camera; `frames` lets it look at the viewer
        where the person looked into the camera. Lids stay as they are: they follow the gaze from
        where it rests.
        """
        gaze = np.stack([np.zeros(2) if some is None else some.eyes.gaze for some in self.seen])
        gaze = smoothed_both_ways(gaze, self.time_s, GAZE_SMOOTHING)
        return [
            replace(frame, gaze=gaze[frame.index].astype(np.float32)) for frame in self.frames()
        ]


def track_film(
    model: FaceModel,
    lens: Lens,
    time_s: Array,
    faces: Sequence[FoundFace | None],
) -> FilmTrack:
    """Follow one person through a film; at least one of `faces` is not None."""
    seen = _seen_twice(FaceTracker(model, lens), faces)
    known = [some for some in seen if some is not None]
    rest = rest_over(model, known)
    found = np.array([some is not None for some in seen])
    tracker = FaceTracker(model, lens)
    read = [None if some is None else tracker.read(some, rest) for some in seen]
    time_s = np.asarray(time_s, np.float64)
    present = presence(time_s, found)
    shut = np.array([0.0 if s is None else _shut(s) for s in seen])
    table = _filled(np.stack([_row(c) for c in read if c is not None]), time_s, found)
    smooth = _smoothed(table, time_s, shut) * present[:, None]
    return FilmTrack(
        time_s=time_s,
        found=found,
        channels=tuple(_channels(row) for row in smooth),
        seen=tuple(seen),
        rest=rest,
    )


def presence(time_s: Array, found: Mask) -> Array:
    """[T] 0..1: how much of the motion is shown: less and less after a face was lost, and slowly
    more when it is back. A short gap does not count."""
    present = np.ones(len(found))
    where = np.flatnonzero(found)
    for index in np.flatnonzero(~found):
        since = time_s[index] - time_s[where[where < index]].max(initial=-np.inf)
        present[index] = 1 - np.clip((since - HOLD_S) / EASE_S, 0, 1)
    for index in where:
        if index > 0:
            risen = present[index - 1] + (time_s[index] - time_s[index - 1]) / RETURN_S
            present[index] = min(1.0, risen)
    return present * present * (3 - 2 * present)


def _seen_twice(tracker: FaceTracker, faces: Sequence[FoundFace | None]) -> list[Seen | None]:
    first: list[Seen | None] = []
    for face in faces:
        if face is None:
            tracker.reset()
        first.append(None if face is None else tracker.see(face.landmarks))
    second: list[Seen | None] = []
    for index, face in enumerate(faces):
        own = first[index]
        if face is None or own is None:
            second.append(None)
            continue
        beside = [
            some.posed.weights
            for some in (first[max(index - 1, 0)], own, first[min(index + 1, len(first) - 1)])
            if some is not None
        ]
        second.append(tracker.see_again(face.landmarks, own, np.mean(beside, axis=0)))
    return second


def _shut(seen: Seen) -> float:
    return float(np.clip((LIPS_APART - seen.lip_gap) / (LIPS_APART - LIPS_SHUT), 0, 1))


def _row(channels: Channels) -> Array:
    return np.concatenate(
        [channels.expression, channels.gaze, channels.rotation, channels.translation]
    )


def _channels(row: Array) -> Channels:
    expression, gaze, rotation, translation = np.split(row, np.cumsum([len(ARKIT_NAMES), 2, 3]))
    return Channels(expression=expression, gaze=gaze, rotation=rotation, translation=translation)


def _filled(rows: Array, time_s: Array, found: Mask) -> Array:
    """[T, C] rows of all frames: a short gap is crossed in a straight line, a long one holds."""
    filled = np.empty((len(found), rows.shape[1]))
    where = np.flatnonzero(found)
    for index in range(len(found)):
        after = int(np.searchsorted(where, index))
        before = after if after < len(where) and where[after] == index else after - 1
        if after == len(where) or before < 0:
            filled[index] = rows[min(max(before, 0), len(where) - 1)]
            continue
        start_s, end_s = time_s[where[before]], time_s[where[after]]
        span_s = end_s - start_s
        part = (time_s[index] - start_s) / span_s if 0 < span_s <= 2 * HOLD_S else 0.0
        filled[index] = rows[before] + part * (rows[after] - rows[before])
    return filled


def _smoothed(table: Array, time_s: Array, shut: Array) -> Array:
    """[T, C]; a mouth that is shut for a frame or two is kept as it was seen: smoothed with the
    open ones around it, it would only narrow."""
    count = len(ARKIT_NAMES)
    smooth = np.empty_like(table)
    for columns, how in _SMOOTHINGS:
        smooth[:, columns] = smoothed_both_ways(table[:, columns], time_s, how)
    mouth = np.flatnonzero(_MOUTH)
    around = np.convolve(np.pad(shut, 3, mode="edge"), np.full(7, 1 / 7), mode="valid")
    briefly = (shut * (1 - around))[:, None]
    smooth[:, mouth] += briefly * (table[:, mouth] - smooth[:, mouth])
    smooth[:, LIDS] = np.where(table[:, LIDS] >= 1, 1, smooth[:, LIDS])  # shut is shut
    smooth[:, :count] = np.clip(smooth[:, :count], 0, 1)
    return smooth


_SMOOTHINGS: tuple[tuple[slice, Smoothing], ...] = (
    (slice(0, 52), EXPRESSION_SMOOTHING),
    (slice(52, 54), GAZE_SMOOTHING),
    (slice(54, 57), ROTATION_SMOOTHING),
    (slice(57, 60), TRANSLATION_SMOOTHING),
)
