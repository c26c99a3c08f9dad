"""`visavis` without arguments: the live window, or a film where there is no display."""

import sys

from app.bundled import SAMPLE_LINE
from app.commands.live import live
from app.commands.render import render
from app.settings import DemoSettings, LiveSettings, RenderSettings
from avatar.errors import DeviceError
from render.window import display_available


def demo(settings: DemoSettings) -> None:
    """Open the live window with the bundled avatar, or render it saying the bundled line.

    Raises:
        VisavisError: the window broke, or the film cannot be written.
    """
    if display_available():
        try:
            live(LiveSettings())
            return
        except DeviceError as error:
            print(f"No window here: {error}", file=sys.stderr)
    print(
        f"Making a film instead: {settings.output}, the bundled avatar saying the bundled line.",
        file=sys.stderr,
    )
    render(RenderSettings(audio=SAMPLE_LINE, output=settings.output))
