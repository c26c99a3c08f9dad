"""`visavis make`: a portrait becomes an avatar."""

import sys
import time

from app.output_file import check_output
from app.progress import Stages
from app.settings import MakeSettings
from avatar.avatar_file import save_avatar
from avatar.portrait.make import make_avatar


def make(settings: MakeSettings) -> None:
    """Write the avatar, tell what is worth telling, and print its path.

    Raises:
        VisavisError: the picture cannot become an avatar, or the file cannot be written.
    """
    check_output(settings.output, (".avatar",), (settings.portrait,))
    started_s = time.monotonic()
    avatar = make_avatar(settings.portrait, name=settings.portrait.stem, progress=Stages())
    save_avatar(avatar, settings.output)
    for note in filter(None, avatar.provenance.get("notes", "").split("; ")):
        print(f"note: {note}", file=sys.stderr)
    megabytes = settings.output.stat().st_size / 1e6
    print(
        f"{len(avatar)} Gaussians, {megabytes:.1f} MB, {time.monotonic() - started_s:.0f} s",
        file=sys.stderr,
    )
    print(settings.output)
