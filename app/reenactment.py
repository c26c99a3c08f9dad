"""A film of a person beside their avatar that does the same, frame by frame.

The avatar follows the film as `visavis render --drive` has it, drawn by the camera that the
tracking found, and both are compared around the head.
"""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.comparison import PERSON, Likeness, as_numbers, landmark_error, likeness
from app.driven import FollowedFace
from app.progress import counted
from app.settings import BACKDROP
from app.video_file import read_pictures
from avatar.deform import Deformer
from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.landmarks import FoundFace, MediapipeFaceFinder, MediapipeFaceFollower
from avatar.portrait.person import person_mask
from avatar.tracking.calibrate import find_avatar
from avatar.tracking.camera import camera_before
from avatar.tracking.film import FilmTrack, track_film
from avatar.tracking.solve import Lens, Posed
from avatar.types import Avatar, MotionFrame
from render.camera import FLIP_Y_AND_Z, View
from render.renderer import Renderer

COMPARED_SIDE, DRAWN_SIDE = 256, 512
"""Pixels of the square around the head: compared small, as the field does; drawn larger, because
FaceMesh needs a face of more than a hundred pixels to be exact."""
AROUND = 2.1
"""Side of that square over the height of the face: hair, ears, neck and collar."""
_RAISED = 0.04
"""Of the side: hair reaches further from the face's middle than the neck that is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """The part of a video's pictures that is compared, pixels."""

    left: float
    top: float
    side: float

    def cut(self, picture: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], NDArray]:
        """[side, side, 3] of it, and [side, side] True where the picture has it."""
        scale = side / self.side
        first = min(1.0, scale)  # shrink by areas, then move by parts of pixels
        height, width = picture.shape[:2]
        size = max(1, round(width * first)), max(1, round(height * first))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        rest = scale / first
        place = np.array([[rest, 0, -self.left * scale], [0, rest, -self.top * scale]])
        place[:, 2] += 0.5 * rest - 0.5
        part = cv2.warpAffine(
            small, place, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        x = (np.arange(side) + 0.5) / scale + self.left
        y = (np.arange(side) + 0.5) / scale + self.top
        inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
        return np.asarray(part, np.uint8), inside

    def face(self, face: FoundFace, side: int) -> FoundFace:
        """The landmarks in the cut part's pixels."""
        scale = np.float32(side / self.side)
        return FoundFace(((face.landmarks - (self.left, self.top, 0)) * scale).astype(np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reenactment:
    """How well an avatar does what a film shows. Means over the frames with a face."""

    psnr: float
    """dB."""
    ssim: float
    sharpness: float
    """Energy of the drawn pictures' gradients over that of the filmed ones', see `Likeness`."""
    landmark_error: float
    """Between FaceMesh on the drawn and on the filmed face, as a share of the eye distance."""
    frames: int
    """Compared."""
    lost: int
    """Frames of the film without a face."""
    face_in_drawn: float
    """Share of the drawn frames in which FaceMesh finds the face."""


def square_around(faces: list[FoundFace | None]) -> Square:
    """Where the head is over the whole film."""
    known = np.stack([face.landmarks[:468, :2] for face in faces if face is not None])
    low, high = np.median(known.min(1), axis=0), np.median(known.max(1), axis=0)
    side = AROUND * float(high[1] - low[1])
    middle = (low + high) / 2
    return Square(
        left=float(middle[0] - side / 2),
        top=float(middle[1] - side * (0.5 + _RAISED)),
        side=side,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracked:
    """A film followed with an avatar's own face."""

    track: FilmTrack
    lens: Lens
    square: Square
    neck_joint: Array
    """[3] metres, avatar space."""

    @property
    def motions(self) -> list[MotionFrame]:
        """One for each frame of the film, the eyes as they were filmed."""
        return self.track.frames_as_filmed()

    def view(self, motion: MotionFrame, posed: Posed) -> View:
        """The film's camera in this frame, its picture cut to the square."""
        return view_of(motion, posed, self.lens, self.square, self.neck_joint)


def tracked(avatar: Avatar, template: HeadTemplate, followed: FollowedFace) -> Tracked:
    """Follow the avatar's own person."""
    size = followed.facts.width, followed.facts.height
    model, lens = find_avatar(template, avatar, followed.faces, size)
    return Tracked(
        track=track_film(model, lens, followed.time_s, followed.faces),
        lens=lens,
        square=square_around(followed.faces),
        neck_joint=model.neck_joint,
    )


def reenact(
    avatars: Sequence[Avatar],
    template: HeadTemplate,
    video: Path,
    followed: FollowedFace,
    renderer: Renderer,
    *,
    film: Tracked | None = None,
    start: int = 0,
    every: int = 1,
    pairs: Path | None = None,
) -> list[Reenactment]:
    """Drive, draw and compare every so-manieth frame from `start` on, for each of the `avatars`,
    which share their head: the film is followed once, with the first one's.

    With `pairs` every tenth frame that is compared goes there as FILM | AVATAR | NEXT AVATAR ...

    Raises:
        VideoError: the video cannot be read.
    """
    film = film or tracked(avatars[0], template, followed)
    deformers = [Deformer(avatar, template) for avatar in avatars]
    scores = [_Scores() for _ in avatars]
    with (
        MediapipeFaceFinder() as finder,
        ExitStack() as stack,
        counted("comparing", len(followed.faces) - start) as progress,
    ):
        followers = [stack.enter_context(MediapipeFaceFollower()) for _ in avatars]
        for index, (frame, picture) in enumerate(
            zip(film.motions, read_pictures(video), strict=False)
        ):
            if index < start:
                continue
            progress.advance()
            face, seen = followed.faces[index], film.track.seen[index]
            if face is None or seen is None or (index - start) % every:
                continue
            filmed, inside = film.square.cut(picture.pixels, COMPARED_SIDE)
            wanted = as_numbers(filmed)
            person = person_mask(finder, wanted, film.square.face(face, COMPARED_SIDE)) * inside
            if not np.any(person > PERSON):
                continue
            view = film.view(frame, seen.posed)
            pictures = []
            for deformer, follower, score in zip(deformers, followers, scores, strict=True):
                posed = deformer.gaussians(frame, seen_from=view.position)
                drawn = renderer.render(posed, [view], BACKDROP.rgb)[0].copy()
                pictures.append(drawn)
                small = cv2.resize(drawn, filmed.shape[:2], interpolation=cv2.INTER_AREA)
                score.alike.append(likeness(as_numbers(np.asarray(small)), wanted, person))
                shown = follower.follow(drawn)
                if shown is not None:
                    true = film.square.face(face, DRAWN_SIDE)
                    score.misses.append(landmark_error(shown.landmarks, true))
            if pairs is not None and len(scores[0].alike) % 10 == 1:
                large, _ = film.square.cut(picture.pixels, DRAWN_SIDE)
                beside = np.concatenate([large, *pictures], 1)[..., ::-1]
                cv2.imwrite(str(pairs / f"{video.stem}_{index:05d}.png"), beside)
    lost = int((~film.track.found[start:]).sum())
    return [score.reenactment(lost) for score in scores]


@dataclass(frozen=True, slots=True)
class _Scores:
    """Of the frames compared so far."""

    alike: list[Likeness] = field(default_factory=list)
    misses: list[float] = field(default_factory=list)

    def reenactment(self, lost: int) -> Reenactment:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # no face in any drawn frame: nan
            return Reenactment(
                psnr=float(np.mean([each.psnr for each in self.alike])),
                ssim=float(np.mean([each.ssim for each in self.alike])),
                sharpness=float(np.mean([each.sharpness for each in self.alike])),
                landmark_error=float(np.mean(self.misses)),
                frames=len(self.alike),
                lost=lost,
                face_in_drawn=len(self.misses) / max(len(self.alike), 1),
            )


def view_of(
    frame: MotionFrame, posed: Posed, lens: Lens, square: Square, neck_joint: Array
) -> View:
    """The film's camera, its picture cut to the square, for the avatar in this frame."""
    placed = camera_before(frame, posed, neck_joint)
    scale = DRAWN_SIDE / square.side
    focal = lens.focal_px * scale
    x = (lens.centre_px[0] - square.left) * scale
    y = (lens.centre_px[1] - square.top) * scale
    return View(
        camera_from_world=np.asarray(FLIP_Y_AND_Z @ placed, np.float64),
        intrinsics=np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]]),
        width=DRAWN_SIDE,
        height=DRAWN_SIDE,
    )
