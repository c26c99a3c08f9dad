"""`visavis still`: one picture of an avatar in a pose."""

import numpy as np
from PIL import Image

from app.bundled import avatar_path
from app.output_file import check_output, written_beside
from app.settings import StillSettings
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Float
from render.camera import orbit_view
from render.choose import open_renderer


def still(settings: StillSettings) -> None:
    """Write the picture and print its path.

    Raises:
        VisavisError: the avatar cannot be read, or the picture cannot be written.
    """
    avatar_file = avatar_path(settings.avatar)
    check_output(settings.output, (".png",), (avatar_file,))
    expression = named_weights(settings.expression, ARKIT_NAMES)
    tongue = named_weights(settings.expression, TONGUE_NAMES)
    avatar = load_avatar(avatar_file)
    view = orbit_view(
        settings.view.yaw_rad,
        settings.view.pitch_rad,
        settings.view.distance_m,
        width=settings.size.width,
        height=settings.size.height,
    )
    gaussians = Deformer(avatar).gaussians(
        expression=expression, tongue=tongue, seen_from=view.position
    )
    picture = open_renderer(settings.backend).render(gaussians, [view], settings.background.rgb)
    with written_beside(settings.output) as beside:
        Image.fromarray(picture[0]).save(beside)
    print(settings.output)


def named_weights(named: dict[str, float], names: tuple[str, ...]) -> Float:
    """[n] in the order of `names`; what is not named is 0."""
    return np.array([named.get(name, 0.0) for name in names], np.float32)
