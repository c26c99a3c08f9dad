"""`visavis make`: a portrait becomes an avatar."""

import sys
import time
from dataclasses import replace

from PIL import Image

from app.output_file import check_output, written_beside
from app.progress import Stages
from app.report import (
    Making,
    check_report_folder,
    draw_preview,
    draw_thumbnail,
    write_report,
)
from app.settings import MakeSettings
from app.teachers import chosen_teacher, taught
from avatar.avatar_file import save_avatar
from avatar.fit.backends import open_rasteriser
from avatar.fit.refine import Budget
from avatar.portrait.assemble import Progress
from avatar.portrait.make import first_avatar, fit_sitter, part, refined_avatar
from avatar.portrait.warnings import read_warnings
from avatar.types import Avatar
from render.choose import open_renderer


def make(settings: MakeSettings, tell: Progress | None = None) -> None:
    """Write the avatar, tell what is worth telling, and print its path. `tell`: who is told how far
    it is; None: standard error.

    A first avatar is in its place before refinement begins, and stays when that is broken off.

    Raises:
        VisavisError: the picture cannot become an avatar, or a file cannot be written.
    """
    check_output(settings.output, (".avatar",), (settings.portrait,))
    if settings.preview is not None:
        check_output(settings.preview, (".png",), (settings.portrait,))
    if settings.report is not None:
        check_report_folder(settings.report)
    budget = Budget(settings.budget)
    if settings.device == "cuda":
        open_rasteriser("cuda")  # before minutes of work, not after
    teacher = chosen_teacher(settings)
    started_s = time.monotonic()
    tell = tell or Stages()
    begun, made = (0.4, 0.95) if budget is Budget.QUICK else (0.12, 0.3)
    sitter = fit_sitter(settings.portrait, tell=part(tell, 0.0, begun))
    name = settings.portrait.stem
    avatar = first_avatar(sitter, settings.portrait, name=name, tell=part(tell, begun, made))
    _write(avatar, settings)
    if budget is not Budget.QUICK:
        first_s = time.monotonic() - started_s
        print(
            f"first avatar after {first_s:.0f} s: {settings.output} (Ctrl-C keeps it as it is)",
            file=sys.stderr,
        )
        try:
            avatar = refined_avatar(
                avatar, sitter, budget, device=settings.device, tell=part(tell, made, 0.95)
            )
        except (KeyboardInterrupt, SystemExit):
            print(
                f"visavis: not refined; {settings.output} holds the first avatar, whole.",
                file=sys.stderr,
            )
            raise
    # Always the processor: the same portrait gives the same file, whatever card is in the machine.
    before = avatar
    if teacher is not None:
        _write(avatar, settings)
        avatar = taught(avatar, sitter, teacher, settings, lambda now: _write(now, settings))
    avatar = replace(avatar, thumbnail=draw_thumbnail(avatar, open_renderer("cpu")))
    _write(avatar, settings)
    seconds = time.monotonic() - started_s
    warnings = read_warnings(avatar.provenance)
    if settings.report is not None:
        tell("drawing the report", 0.96)
        making = Making(portrait=settings.portrait, avatar_file=settings.output, seconds=seconds)
        write_report(
            settings.report,
            sitter,
            avatar,
            warnings,
            making,
            open_renderer(),
            before=None if teacher is None else before,
        )
    tell("done", 1.0)
    for warning in warnings:
        print(f"note: {warning.text}", file=sys.stderr)
    megabytes = settings.output.stat().st_size / 1e6
    print(f"{len(avatar)} Gaussians, {megabytes:.1f} MB, {seconds:.0f} s", file=sys.stderr)
    print(settings.output)


def _write(avatar: Avatar, settings: MakeSettings) -> None:
    """The avatar, and its preview where one is asked for; each whole, in the place of an older."""
    save_avatar(avatar, settings.output)
    if settings.preview is not None:
        with written_beside(settings.preview) as beside:
            Image.fromarray(draw_preview(avatar, open_renderer())).save(beside)
