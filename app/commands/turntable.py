"""`visavis turntable`: a film of an avatar from all around, while it rests or speaks."""

import sys
from collections.abc import Iterator
from pathlib import Path

from app.bundled import avatar_path
from app.commands.render import frame_count
from app.face_sampler import FaceSampler
from app.film import film
from app.motion_track import sampled, spoken
from app.output_file import check_output
from app.posing import posed_where_drawn
from app.progress import busy, counted
from app.settings import TurntableSettings
from app.sound_file import SoundFacts, examine_sound
from app.turntable import Turntable
from app.voices import chosen_voice
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import MotionFrame
from render.camera import orbit_view
from render.choose import open_renderer


def turntable(settings: TurntableSettings) -> None:
    """Write the film and print its path.

    Raises:
        VisavisError: an input cannot be read, or the film cannot be written.
    """
    avatar_file = avatar_path(settings.avatar)
    inputs = (avatar_file, settings.audio, settings.voice)
    check_output(settings.output, (".mp4",), tuple(path for path in inputs if path))
    avatar = load_avatar(avatar_file)
    sound: tuple[Path, SoundFacts] | None = None
    if settings.audio is not None:
        sound = settings.audio, examine_sound(settings.audio)
        count = frame_count(sound[1].duration_s, settings.fps)
        motion = sampled(
            spoken(
                settings.audio,
                settings.seed,
                direction=settings.acting.direction,
                voice=chosen_voice(settings.voice, avatar_file),
            ),
            settings.fps,
            count,
        )
    else:
        count = frame_count(settings.seconds, settings.fps)
        motion = _resting(settings.fps, count)
    turn = Turntable(settings.seconds, settings.degrees)
    size, start = settings.size.even(), settings.view
    renderer = open_renderer(settings.backend)
    deformer = posed_where_drawn(Deformer(avatar), renderer)
    with busy("preparing (the first time after an install up to a minute)"):
        renderer.warm_up()
    with (
        film(
            settings.output, width=size.width, height=size.height, fps=settings.fps, sound=sound
        ) as writer,
        counted(f"{avatar.name}, {renderer.name}", count) as progress,
    ):
        for number, frame in enumerate(motion):
            view = orbit_view(
                start.yaw_rad + turn.yaw_rad(number / settings.fps),
                start.pitch_rad,
                start.distance_m,
                width=size.width,
                height=size.height,
            )
            gaussians = deformer.gaussians(frame, seen_from=view.position)
            writer.write(renderer.render(gaussians, [view], settings.background.rgb)[0])
            progress.advance()
    print(f"{avatar.name}: {progress.summary}", file=sys.stderr)
    print(settings.output)


def _resting(fps: float, count: int) -> Iterator[MotionFrame]:
    """A face that waits: it breathes and blinks."""
    sampler = FaceSampler()
    for number in range(count):
        yield sampler.sample(number / fps).motion
