"""FaceMesh's landmarks of a face over time: of one in a film, and of an avatar as it is drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.motion_track import sampled
from app.progress import counted
from app.settings import BACKDROP
from app.video_file import examine_video, read_pictures
from avatar.deform import Deformer
from avatar.errors import VideoError
from avatar.portrait.landmarks import MediapipeFaceFollower
from avatar.types import Float, MotionFrame
from render.camera import View, orbit_view
from render.renderer import Renderer

LONGEST_SIDE = 640
"""Films are shrunk to this: FaceMesh looks at 256 pixels of the face anyway."""
DRAWN_SIDE, DRAWN_FPS = 512, 25.0
_LEAST_SEEN = 0.5
"""Of the frames: a film with fewer is none of a face that talks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenFace:
    """T frames of one face."""

    fps: float
    """Frames a second; frame i stands at i / fps."""
    landmarks: Float
    """[T, 478, 3] pixels; nan where no face was seen."""

    @property
    def found(self) -> float:
        """Share of the frames with a face."""
        return float(np.isfinite(self.landmarks[:, 0, 0]).mean())


def face_in_film(video: Path, seconds: float = float("inf")) -> SeenFace:
    """The face in the first `seconds` of a video, with a bar.

    Raises:
        VideoError: it cannot be read, or shows no face in most of its frames.
    """
    facts = examine_video(video)
    times: list[float] = []

    def pictures() -> Iterable[NDArray[np.uint8]]:
        for picture in read_pictures(video):
            if times and picture.time_s - times[0] >= seconds:
                return
            times.append(picture.time_s)
            scale = LONGEST_SIDE / max(picture.pixels.shape[:2])
            yield (
                picture.pixels
                if scale >= 1
                else np.asarray(
                    cv2.resize(
                        picture.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
                    ),
                    np.uint8,
                )
            )

    landmarks = _followed(pictures(), facts.about_frames, video.name)
    if len(times) < 2:
        raise VideoError(f"{video}: {len(times)} pictures, expected a film of a talking face.")
    seen = SeenFace(fps=(len(times) - 1) / (times[-1] - times[0]), landmarks=landmarks)
    if seen.found < _LEAST_SEEN:
        raise VideoError(
            f"{video}: a face in {100 * seen.found:.0f} % of the frames, too few to compare lips "
            "with. Use a film of one person who looks towards the camera."
        )
    return seen


def front_view() -> View:
    """From where FaceMesh looks at an avatar."""
    return orbit_view(0, 0, 1.0, width=DRAWN_SIDE, height=DRAWN_SIDE)


def face_as_drawn(
    frames: Sequence[MotionFrame], deformer: Deformer, renderer: Renderer, title: str
) -> SeenFace:
    """The avatar's face, drawn from the front as a film of 25 pictures a second would show it."""
    count = max(1, int(len(frames) / 50 * DRAWN_FPS))
    view = front_view()
    pictures = (
        renderer.render(deformer.gaussians(frame, seen_from=view.position), [view], BACKDROP.rgb)[0]
        for frame in sampled(frames, DRAWN_FPS, count)
    )
    return SeenFace(fps=DRAWN_FPS, landmarks=_followed(pictures, count, title))


def _followed(pictures: Iterable[NDArray[np.uint8]], about: int, title: str) -> Float:
    nowhere = np.full((478, 3), np.nan, np.float32)
    rows = []
    with MediapipeFaceFollower() as follower, counted(title, about) as progress:
        for picture in pictures:
            face = follower.follow(np.ascontiguousarray(picture))
            rows.append(nowhere if face is None else face.landmarks[:478, :3])
            progress.advance()
    return np.stack(rows) if rows else np.zeros((0, 478, 3), np.float32)
