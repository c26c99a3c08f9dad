"""A film of somebody who talks: where their lips were, what was heard, and whether both agree."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.driven import FollowedFace, follow_face
from app.progress import counted
from app.sound_file import examine_sound, read_blocks
from avatar.errors import SoundError, VideoError
from avatar.portrait.landmarks import side_view
from avatar.speech.features import FRAME
from avatar.speech.network import SpeechNetwork
from avatar.speech.voice_fit import LARGEST_OFFSET_S, Heard, Offset, Series, find_offset, hear
from avatar.tracking.lips import lips_of
from avatar.types import Float

_LEAST_LEVEL = 1e-4
LARGEST_SIDE_VIEW = 0.45
"""Of `side_view`: beyond, about 30 degrees, the mouth's far corner is a guess."""
LONGEST_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TalkingFace:
    """One film, watched and heard."""

    followed: FollowedFace
    landmarks: Float
    """[T, 478, 3] pixels; nan where no face was found, or one that is turned away."""
    turned: NDArray[np.bool_]
    """[T] whether the face was found but turned too far."""
    samples: Float
    """[n] the sound, mono at 16 kHz."""
    heard: Heard

    @property
    def time_s(self) -> Series:
        """[T]"""
        return self.followed.time_s

    @property
    def lips(self) -> Series:
        """[T, 3] opening, width, jaw over the eye distance."""
        return lips_of(self.landmarks)

    def offset(self) -> Offset:
        """How sound and picture fit."""
        return find_offset(self.time_s, self.lips[:, 0], self.heard)


def read_speech(video: Path) -> Float:
    """[n] the sound of a film, mono at 16 kHz.

    Raises:
        SoundError: it has none, or only silence, or more than anybody wants to wait for.
    """
    facts = examine_sound(video)
    if facts.duration_s > LONGEST_S:
        raise SoundError(
            f"{video}: {facts.duration_s / 60:.0f} minutes, expected at most "
            f"{LONGEST_S / 60:.0f}. Cut a part out of it."
        )
    samples = np.concatenate([np.zeros(0, np.float32), *read_blocks(video)])
    if not np.abs(samples).max(initial=0) > _LEAST_LEVEL:
        raise SoundError(f"{video}: holds only silence. Use a film in which somebody speaks.")
    return samples


def watch(video: Path, network: SpeechNetwork) -> TalkingFace:
    """Hear a film and follow its face, with bars.

    Raises:
        SoundError: as `read_speech`.
        VideoError: it cannot be read, or shows no face that can be followed.
    """
    samples = read_speech(video)
    with counted("hearing (in frames of 20 ms)", -(-len(samples) // FRAME)) as progress:
        heard = hear(samples, network, progress.advance)
    followed = follow_face(video)
    nowhere = np.full((478, 3), np.nan, np.float32)
    faces = followed.faces
    turned = np.array([face is not None and side_view(face) > LARGEST_SIDE_VIEW for face in faces])
    landmarks = np.stack(
        [
            nowhere if face is None or away else face.landmarks[:478, :3]
            for face, away in zip(faces, turned, strict=True)
        ]
    )
    return TalkingFace(
        followed=followed, landmarks=landmarks, turned=turned, samples=samples, heard=heard
    )


def disagreement(video: Path, offset: Offset) -> VideoError:
    """Why lips and sound of a film are not of one person speaking; for where `agrees` is false."""
    if not np.isfinite(offset.r):
        why = "the lips, or the voice, hardly move"
    elif offset.elsewhere_s != offset.seconds:
        why = (
            f"the sound comes {1000 * offset.elsewhere_s:+.0f} ms after the picture, more than "
            f"{1000 * LARGEST_OFFSET_S:.0f} ms"
        )
    else:
        wanted = max(0.2, offset.chance if np.isfinite(offset.chance) else 0.2)
        why = f"agreement {offset.r:.2f}, expected {wanted:.2f} or more; is it dubbed?"
    return VideoError(
        f"{video}: the lips do not say what is heard ({why}). Use a film, as it was recorded, of "
        "one person who talks towards the camera."
    )
