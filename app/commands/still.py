"""`visavis still`: one picture of an avatar in a pose, or of Gaussians that stand still."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from app.bundled import avatar_path
from app.output_file import check_output, written_beside
from app.settings import StillSettings
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import GaussianFileError
from avatar.gaussian_file import read_gaussians
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float, Gaussians
from render.camera import View, orbit_view
from render.choose import open_renderer

STANDS_STILL = ".ply"


def still(settings: StillSettings) -> None:
    """Write the picture and print its path.

    Raises:
        VisavisError: the avatar cannot be read, or the picture cannot be written.
    """
    avatar_file = avatar_path(settings.avatar)
    check_output(settings.output, (".png",), (avatar_file,))
    view = orbit_view(
        settings.view.yaw_rad,
        settings.view.pitch_rad,
        settings.view.distance_m,
        width=settings.size.width,
        height=settings.size.height,
    )
    if avatar_file.suffix.lower() == STANDS_STILL:
        gaussians = _standing_still(avatar_file, settings.expression)
    else:
        gaussians = _posed(avatar_file, settings.expression, view)
    picture = open_renderer(settings.backend).render(gaussians, [view], settings.background.rgb)
    with written_beside(settings.output) as beside:
        Image.fromarray(picture[0]).save(beside)
    print(settings.output)


def named_weights(named: dict[str, float], names: tuple[str, ...]) -> Float:
    """[n] in the order of `names`; what is not named is 0."""
    return np.array([named.get(name, 0.0) for name in names], np.float32)


def _posed(avatar_file: Path, expression: dict[str, float], view: View) -> Gaussians:
    return Deformer(load_avatar(avatar_file)).gaussians(
        expression=named_weights(expression, ARKIT_NAMES),
        tongue=named_weights(expression, TONGUE_NAMES),
        seen_from=view.position,
    )


def _standing_still(path: Path, expression: dict[str, float]) -> Gaussians:
    """What a .ply holds; what of it is not shown as its maker meant is told on standard error."""
    if expression:
        raise GaussianFileError(
            f"{path}: Gaussians that stand still, expected no --expression, got "
            f"{', '.join(expression)}. Leave it out, or name the .avatar."
        )
    held = read_gaussians(path)
    if held.left_out:
        print(f"{path}: {held.left_out:,} damaged Gaussians were left out.", file=sys.stderr)
    if held.shaded:
        print(f"{path}: drawn in its mean colours, the same from all sides.", file=sys.stderr)
    if not held.ours:
        print(
            f"{path}: not as visavis export left it; taken to have y down, as such files do. "
            "If it stands on its head: --view 180,180,1.",
            file=sys.stderr,
        )
    return held.gaussians
