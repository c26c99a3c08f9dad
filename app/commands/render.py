"""`visavis render`: an avatar and a sound, a face in a video, or a motion file become a film."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.bundled import avatar_path
from app.film import film
from app.motion_track import sampled, spoken
from app.output_file import check_output
from app.posing import neutral_motion, posed_where_drawn
from app.progress import busy, counted
from app.rig_view import RigHead
from app.settings import RenderSettings
from app.sound_file import SoundFacts, examine_sound
from app.voices import chosen_voice
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.rig.motion_files import read_motion_file
from avatar.types import Avatar, MotionFrame
from render.camera import orbit_view
from render.choose import open_renderer


def render(settings: RenderSettings) -> None:
    """Write the film and print its path.

    Raises:
        VisavisError: an input cannot be read, or the film cannot be written.
    """
    avatar_file = avatar_path(settings.avatar)
    inputs = (avatar_file, settings.audio, settings.motion, settings.drive, settings.voice)
    check_output(settings.output, (".mp4",), tuple(path for path in inputs if path))
    avatar = load_avatar(avatar_file)
    if settings.audio is not None:
        facts = examine_sound(settings.audio)
        count = frame_count(facts.duration_s, settings.fps)
        voice = chosen_voice(settings.voice, avatar_file)
        motion = spoken(
            settings.audio, settings.seed, direction=settings.acting.direction, voice=voice
        )
        _film(
            settings, avatar, sampled(motion, settings.fps, count), count, (settings.audio, facts)
        )
    elif settings.motion is not None:
        track = read_motion_file(settings.motion, settings.fps)
        count = frame_count(track.duration_s, settings.fps)
        motion = sampled(track.frames(), settings.fps, count)
        _film(settings, avatar, motion, count, None)
    elif settings.drive is not None:
        from app.driven import driven

        sound = sound_of(settings.drive)
        tracked, followed = driven(settings.drive)
        count = frame_count(followed.end_s, settings.fps)
        motion = sampled(tracked.frames(), settings.fps, count)
        _film(settings, avatar, motion, count, sound)
    print(settings.output)


def sound_of(video: Path) -> tuple[Path, SoundFacts] | None:
    """The video's own sound, for a film that follows its face; None where it has none.

    Raises:
        VideoError: not a video.
        SoundError: it has a sound that cannot be read.
    """
    from app.video_file import examine_video

    return (video, examine_sound(video)) if examine_video(video).has_sound else None


def frame_count(duration_s: float, fps: float) -> int:
    """As many as the sound needs: the last one begins before its end."""
    return max(1, math.ceil(duration_s * fps - 1e-6))


def _film(
    settings: RenderSettings,
    avatar: Avatar,
    motion: Iterator[MotionFrame],
    count: int,
    sound: tuple[Path, SoundFacts] | None,
) -> None:
    size = settings.size.even()
    viewpoint = settings.view
    view = orbit_view(
        viewpoint.yaw_rad,
        viewpoint.pitch_rad,
        viewpoint.distance_m,
        width=size.width,
        height=size.height,
    )
    renderer = open_renderer(settings.backend)
    deformer = posed_where_drawn(Deformer(avatar), renderer)
    background = settings.background.rgb
    with busy("preparing (the first time after an install up to a minute)"):
        rest = deformer.gaussians(neutral_motion(), seen_from=view.position)
        renderer.render(rest, [view], background)
        rig = RigHead() if settings.rig else None
    title = f"{avatar.name}, {len(avatar)} Gaussians, {renderer.name}"
    with (
        film(
            settings.output,
            width=size.width if rig is None else 2 * size.width,
            height=size.height,
            fps=settings.fps,
            sound=sound,
        ) as writer,
        counted(title, count) as progress,
    ):
        for frame in motion:
            gaussians = deformer.gaussians(frame, seen_from=view.position)
            picture = renderer.render(gaussians, [view], background)[0]
            if rig is not None:
                place = (viewpoint.yaw_rad, viewpoint.pitch_rad, viewpoint.distance_m)
                beside = rig.film_picture(frame, (size.width, size.height), place, background)
                picture = np.concatenate([picture, beside], axis=1)
            writer.write(picture)
            progress.advance()
    print(f"{title}: {progress.summary}", file=sys.stderr)
