"""`visavis export`: an avatar's Gaussians, standing still, for other programs."""

from app.bundled import avatar_path
from app.commands.still import named_weights
from app.output_file import check_output, written_beside
from app.settings import ExportSettings
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.gaussian_file import write_gaussians
from avatar.types import ARKIT_NAMES, TONGUE_NAMES


def export(settings: ExportSettings) -> None:
    """Write the file, and print its path, how many Gaussians it has, and its size.

    Colours are those without the glance, which belongs to a viewer's place, and a file has none.

    Raises:
        VisavisError: the avatar cannot be read, or the file cannot be written.
    """
    avatar_file = avatar_path(settings.avatar)
    check_output(settings.output, (".ply",), (avatar_file,))
    gaussians = Deformer(load_avatar(avatar_file)).gaussians(
        expression=named_weights(settings.expression, ARKIT_NAMES),
        tongue=named_weights(settings.expression, TONGUE_NAMES),
    )
    with written_beside(settings.output) as beside:
        write_gaussians(gaussians, beside)
    megabytes = settings.output.stat().st_size / 1e6
    print(f"{settings.output}: {len(gaussians):,} Gaussians, {megabytes:.1f} MB")
