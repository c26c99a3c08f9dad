"""`visavis motion`: the motion of a face that says a sound, or of one in a video, as a file."""

import sys
from collections.abc import Iterator

from app.commands.render import frame_count
from app.motion_track import sampled, spoken
from app.output_file import check_output, written_beside
from app.progress import counted
from app.settings import MotionSettings
from app.sound_file import examine_sound
from app.spoken_sound import compressed
from app.voices import chosen_voice
from avatar.rig.motion_files import ENDINGS, FileForm, open_motion_file
from avatar.types import MotionFrame


def motion(settings: MotionSettings) -> None:
    """Write the motion file and print its path.

    Raises:
        VisavisError: sound or video cannot be read, or the file cannot be written.
    """
    inputs = tuple(path for path in (settings.audio, settings.drive, settings.voice) if path)
    check_output(settings.output, ENDINGS, inputs)
    frames, count, told = _motion_of(settings)
    form = FileForm(
        layout=settings.layout,
        spelling=settings.names,
        rig=settings.tongue_names,
        start=settings.timecode,
    )
    heard = settings.audio if settings.output.suffix.lower() == ".glb" else None
    sound = compressed(heard) if heard is not None else None
    with written_beside(settings.output) as beside, counted("motion", count) as progress:
        writer = open_motion_file(beside, settings.fps, form, sound)
        try:
            for frame in frames:
                writer.write(frame)
                progress.advance()
            writer.finish()
        finally:
            writer.close()
    print(f"{told}: {progress.summary}", file=sys.stderr)
    print(settings.output)


def _motion_of(settings: MotionSettings) -> tuple[Iterator[MotionFrame], int, str]:
    """The frames, how many they are, and of what they are."""
    if settings.audio is not None:
        facts = examine_sound(settings.audio)
        count = frame_count(facts.duration_s, settings.fps)
        frames = sampled(
            spoken(
                settings.audio,
                settings.seed,
                direction=settings.acting.direction,
                voice=chosen_voice(settings.voice),
            ),
            settings.fps,
            count,
        )
        return frames, count, f"{facts.duration_s:.1f} s of sound"
    from app.driven import driven

    assert settings.drive is not None  # the settings see to it
    track, followed = driven(settings.drive)
    count = frame_count(followed.end_s, settings.fps)
    frames = sampled(track.frames(), settings.fps, count)
    return frames, count, f"{followed.end_s:.1f} s of video"
