"""The motion of the face in a video, for an avatar to follow."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.progress import counted
from app.video_file import VideoFacts, examine_video, read_pictures
from avatar.errors import VideoError
from avatar.head.template import load_template
from avatar.portrait.landmarks import (
    SHORTEST_EYE_DISTANCE_PX,
    FoundFace,
    MediapipeFaceFinder,
    MediapipeFaceFollower,
)
from avatar.tracking.calibrate import find_person
from avatar.tracking.film import FilmTrack, track_film

_LOOKS_AT_A_FACE = 20
"""Frames in which what was found may prove to be a person's face."""
_LOOK_EVERY = 10
_LEAST_SHARE = 0.05
"""Of all frames with a face: less is no film of a person."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FollowedFace:
    """Where the face was in each of a video's T frames."""

    facts: VideoFacts
    time_s: NDArray[np.float64]
    """[T]"""
    faces: list[FoundFace | None]
    """T of them."""

    @property
    def end_s(self) -> float:
        """When the last frame ends, if it lasts as long as the others on average."""
        count = len(self.time_s)
        step_s = (self.time_s[-1] - self.time_s[0]) / (count - 1) if count > 1 else 0.04
        return float(self.time_s[-1] + step_s)


def follow_face(video: Path) -> FollowedFace:
    """Find the same face in every frame, with a bar.

    Raises:
        VideoError: the video cannot be read, or shows no human face, or one that is too small.
    """
    facts = examine_video(video)
    times: list[float] = []
    faces: list[FoundFace | None] = []
    looks, human = 0, False
    with (
        MediapipeFaceFollower() as follower,
        MediapipeFaceFinder() as finder,
        counted("following the face", facts.about_frames) as progress,
    ):
        for picture in read_pictures(video):
            face = follower.follow(picture.pixels)
            times.append(picture.time_s)
            faces.append(face)
            progress.advance()
            due = len(times) % _LOOK_EVERY == 1 and looks < _LOOKS_AT_A_FACE
            if face is not None and not human and due:
                looks += 1
                human = finder.human(np.divide(picture.pixels, 255, dtype=np.float32), face)
    _check(video, faces, human)
    return FollowedFace(facts=facts, time_s=np.array(times), faces=faces)


def driven(video: Path) -> tuple[FilmTrack, FollowedFace]:
    """The motion of the video's face, told of on standard error.

    Raises:
        VideoError: as `follow_face`.
    """
    followed = follow_face(video)
    person = find_person(
        load_template(), followed.faces, (followed.facts.width, followed.facts.height)
    )
    track = track_film(person.model, person.lens, followed.time_s, followed.faces)
    tell_lost(track)
    return track, followed


def tell_lost(track: FilmTrack) -> None:
    """Say how many frames had no face, if any."""
    if track.lost:
        print(
            f"no face in {track.lost} of {len(track.found)} frames: the last one is held, "
            "then brought to rest",
            file=sys.stderr,
        )


def _check(video: Path, faces: list[FoundFace | None], human: bool) -> None:
    if not faces:
        raise VideoError(f"{video}: holds no picture that can be read. Save it again as MP4.")
    known = [face for face in faces if face is not None]
    if len(known) <= _LEAST_SHARE * len(faces):
        raise VideoError(
            f"{video}: no face found in {len(faces) - len(known)} of {len(faces)} frames. Use a "
            "video of one person who looks towards the camera, with the whole face in light."
        )
    if not human:
        raise VideoError(
            f"{video}: the face found does not look like a person's (an animal, a mask, or too "
            "blurred?). Use a clear video of one person."
        )
    eye_px = float(np.median([face.eye_distance_px for face in known]))
    if eye_px < SHORTEST_EYE_DISTANCE_PX:
        raise VideoError(
            f"{video}: the face is {eye_px:.0f} pixels between the eyes' corners, at least "
            f"{SHORTEST_EYE_DISTANCE_PX:.0f} are needed (better 60). Film from nearer, or larger."
        )
