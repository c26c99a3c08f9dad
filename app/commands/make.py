"""`visavis make`: a portrait becomes an avatar."""

import sys
import time
from pathlib import Path

from PIL import Image

from app.output_file import check_output, written_beside
from app.progress import Stages
from app.report import Making, check_report_folder, draw_preview, write_report
from app.settings import MakeSettings
from avatar.avatar_file import save_avatar
from avatar.portrait.make import first_avatar, fit_sitter, part
from avatar.portrait.warnings import read_warnings
from avatar.types import Avatar
from render.choose import open_renderer

_LEFT_FOR_PICTURES = 0.9
"""Share of the work after which a preview and a report are drawn."""


def make(settings: MakeSettings) -> None:
    """Write the avatar, tell what is worth telling, and print its path.

    Raises:
        VisavisError: the picture cannot become an avatar, or a file cannot be written.
    """
    check_output(settings.output, (".avatar",), (settings.portrait,))
    if settings.preview is not None:
        check_output(settings.preview, (".png",), (settings.portrait,))
    if settings.report is not None:
        check_report_folder(settings.report)
    started_s = time.monotonic()
    tell = Stages()
    sitter = fit_sitter(settings.portrait, tell=part(tell, 0.0, 0.4))
    avatar = first_avatar(
        sitter,
        settings.portrait,
        name=settings.portrait.stem,
        tell=part(tell, 0.4, _LEFT_FOR_PICTURES),
    )
    save_avatar(avatar, settings.output)
    seconds = time.monotonic() - started_s
    if settings.preview is not None:
        tell("drawing the preview", _LEFT_FOR_PICTURES)
        _preview(avatar, settings.preview)
    warnings = read_warnings(avatar.provenance)
    if settings.report is not None:
        tell("drawing the report", 0.95)
        making = Making(portrait=settings.portrait, avatar_file=settings.output, seconds=seconds)
        write_report(settings.report, sitter, avatar, warnings, making, open_renderer())
    tell("done", 1.0)
    for warning in warnings:
        print(f"note: {warning.text}", file=sys.stderr)
    megabytes = settings.output.stat().st_size / 1e6
    print(f"{len(avatar)} Gaussians, {megabytes:.1f} MB, {seconds:.0f} s", file=sys.stderr)
    print(settings.output)


def _preview(avatar: Avatar, path: Path) -> None:
    with written_beside(path) as beside:
        Image.fromarray(draw_preview(avatar, open_renderer())).save(beside)
