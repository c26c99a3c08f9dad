"""A film of the person as frames to learn from: followed, cut to the head, told from bad ones.

What is left out, and why, is counted: a frame that teaches a wrong pose does more harm than a dozen
good ones mend.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from app.comparison import as_numbers
from app.driven import FollowedFace
from app.progress import counted
from app.reenactment import DRAWN_SIDE, Tracked
from app.video_file import read_pictures
from avatar.deform import Deformer
from avatar.errors import VideoError
from avatar.fit.photograph import background, matte
from avatar.fit.rasteriser import Lens, Rasteriser
from avatar.fit.teacher import TeacherFrame
from avatar.portrait.landmarks import FoundFace, MediapipeFaceFinder
from avatar.portrait.person import person_mask
from avatar.types import Avatar, Float, Portrait
from render.camera import View

_WORST_MISS, _USUAL_MISS = 0.03, 2.5
"""Mean miss of the landmarks, as a share of the eye distance and of the film's median, from which
the fitted face is not the one that is seen."""
_BLURRED = 0.3
"""Of the film's median sharpness."""
_COLOUR_FRAMES, _COLOUR_SIDE, _LEAST_PIXELS = 12, 128, 500
_LEAST_SHARE = 0.2
"""Of a pixel: what shows less of the person tells no colour."""
_FURTHEST_TURN_RAD = np.radians(50)
_JUMP = 0.12
"""Eye distances between frames: the picture is smeared, or cut."""


def frames_of(
    video: Path,
    followed: FollowedFace,
    film: Tracked,
    chosen: Sequence[int],
) -> tuple[list[TeacherFrame], Counter[str]]:
    """Those of the `chosen` frames that teach, and how many do not, by reason.

    Raises:
        VideoError: the video cannot be read.
    """
    wanted, frames = set(chosen), []
    left_out: Counter[str] = Counter()
    motions = film.motions
    misses = [seen.error for seen in film.track.seen if seen is not None]
    most = min(_WORST_MISS, _USUAL_MISS * float(np.median(misses)))
    sharpness: list[float] = []
    with MediapipeFaceFinder() as finder, counted("cutting frames", len(wanted)) as progress:
        for index, picture in enumerate(read_pictures(video)):
            if index not in wanted or index >= len(followed.faces):
                continue
            progress.advance()
            face, seen = followed.faces[index], film.track.seen[index]
            if face is None or seen is None:
                left_out["no face"] += 1
                continue
            if seen.error > most:
                left_out["landmarks do not fit"] += 1
                continue
            turn = float(np.linalg.norm(motions[index].head_rotation))
            if turn > _FURTHEST_TURN_RAD:
                left_out["turned too far"] += 1
                continue
            before = followed.faces[index - 1] if index else None
            if before is not None and _moved(before, face) > _JUMP:
                left_out["moves too fast"] += 1
                continue
            part, inside = film.square.cut(picture.pixels, DRAWN_SIDE)
            numbers = as_numbers(part)
            shown = film.square.face(face, DRAWN_SIDE)
            own, person = _cut_out(numbers, person_mask(finder, numbers, shown), shown)
            view = film.view(motions[index], seen.posed)
            sharpness.append(_sharpness(part, shown))
            frames.append(
                TeacherFrame(
                    picture=own,
                    person=np.round(255 * person * inside).astype(np.uint8),
                    known=_box(inside),
                    lens=lens_of(view),
                    motion=motions[index],
                    confidence=float(np.clip(1.5 - seen.error / most, 0.25, 1)),
                )
            )
    if not frames:
        raise VideoError(
            f"{video}: none of its {len(wanted)} frames teaches anything "
            f"({reasons(left_out)}). Film the face from nearer, in good light, without hurry."
        )
    least = _BLURRED * float(np.median(sharpness))
    good = [frame for frame, sharp in zip(frames, sharpness, strict=True) if sharp >= least]
    left_out["blurred"] += len(frames) - len(good)
    return good, left_out


def reasons(left_out: Counter[str]) -> str:
    """As text: "3 blurred, 2 no face"."""
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common() if count)


def lens_of(view: View) -> Lens:
    """The same camera as the fit has it."""
    return Lens(
        pose=view.camera_from_world[:3].astype(np.float32),
        intrinsics=view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float32),
        width=view.width,
        height=view.height,
    )


def _cut_out(picture: Float, mask: Float, face: FoundFace) -> tuple[NDArray[np.uint8], Float]:
    """The picture with the wall's colour taken out of the person's outline, and the person [S, S]
    0..1: else hair and shoulders would learn a rim of the wall."""
    portrait = Portrait(image=picture, landmarks=face.landmarks, person=mask, faces_found=1)
    behind = background(portrait)
    person = matte(portrait, behind)
    share = np.maximum(person, _LEAST_SHARE)[..., None]
    own = np.clip((picture - (1 - share) * behind) / share, 0, 1)
    return np.round(255 * own).astype(np.uint8), person


def _moved(before: FoundFace, face: FoundFace) -> float:
    apart = face.landmarks[:468, :2] - before.landmarks[:468, :2]
    return float(np.linalg.norm(apart, axis=1).mean()) / max(face.eye_distance_px, 1e-3)


def _sharpness(part: np.ndarray, face: FoundFace) -> float:
    """Variance of the face's Laplacian."""
    low, high = face.landmarks[:468, :2].min(0), face.landmarks[:468, :2].max(0)
    left, top = np.clip(low, 0, DRAWN_SIDE - 2).astype(int)
    right, bottom = np.clip(high, (left + 2, top + 2), DRAWN_SIDE).astype(int)
    grey = cv2.cvtColor(part[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def as_portrayed(frames: list[TeacherFrame], avatar: Avatar) -> list[TeacherFrame]:
    """The frames in the portrait's colours: another camera saw the same face brighter or warmer.

    One gain and one offset for each of red, green and blue, for the whole film, by least squares
    between its frames and drawings of the avatar in the middle of the person.
    """
    deformer, rasteriser = Deformer(avatar), Rasteriser()
    filmed, drawn = [], []
    for frame in frames[:: max(1, len(frames) // _COLOUR_FRAMES)]:
        target = frame.scaled(_COLOUR_SIDE)
        inside = cv2.erode(target.person, np.ones((9, 9), np.uint8)) > 0.95
        posed = deformer.gaussians(frame.motion, seen_from=target.lens.position)
        colour, through = rasteriser.draw(posed, target.lens)
        inside &= (through < 0.02) & (target.known > 0)
        # Smoothed: what is a little out of place must not look like less contrast.
        filmed.append(cv2.GaussianBlur(target.picture, (0, 0), 2)[inside])
        drawn.append(cv2.GaussianBlur(colour, (0, 0), 2)[inside])
    one, other = np.concatenate(filmed), np.concatenate(drawn)
    if len(one) < _LEAST_PIXELS:
        return frames
    table = np.empty((256, 3), np.uint8)
    for channel in range(3):
        gain = float(np.clip(_slope(one, other, channel), 0.5, 2.0))
        offset = float(other[:, channel].mean() - gain * one[:, channel].mean())
        levels = np.arange(256) * gain + 255 * offset
        table[:, channel] = np.clip(np.round(levels), 0, 255)
    return [
        replace(frame, picture=np.stack([table[frame.picture[..., c], c] for c in range(3)], -1))
        for frame in frames
    ]


def _slope(one: Float, other: Float, channel: int) -> float:
    """Of the line through both: the ratio of spreads, which noise in either does not flatten."""
    return float(other[:, channel].std() / max(one[:, channel].std(), 1e-3))


def _box(inside: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
