"""A picture file, from anyone, becomes upright sRGB numbers; or one clear line says why not."""

import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from avatar.errors import PortraitError
from avatar.types import Float

LONGEST_SIDE = 1600
"""Pixels kept: a face that fills such a picture has about one pixel to each splat of the skin."""
SMALLEST_SIDE = 64
LARGEST_PIXELS = 400_000_000
"""Refused above this: 1.2 GB once decoded, and no camera takes it."""

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis", b"avif")


def read_picture(path: Path) -> Float:
    """The picture as [H, W, 3] sRGB 0..1, upright (EXIF), its longest side at most LONGEST_SIDE.

    Greyscale becomes RGB; transparency is laid over middle grey.

    Raises:
        PortraitError: missing, a folder, not a picture, truncated, too small or too large.
    """
    _refuse_heic(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns at 89 megapixels; we have our own limit, and large scans are welcome.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # odd EXIF blocks
            with Image.open(path) as picture:
                width, height = picture.size
                _check_size(path, width, height)
                # A JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the time.
                picture.draft("RGB", (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
                pixels = _as_rgb(_at_most(picture, 2 * LONGEST_SIDE))
    except FileNotFoundError:
        raise PortraitError(f"{path}: no such file. Name a photograph (JPEG, PNG, WebP).") from None
    except IsADirectoryError:
        raise PortraitError(
            f"{path}: a folder, not a picture. Name one photograph in it."
        ) from None
    except UnidentifiedImageError:
        raise PortraitError(
            f"{path}: not a picture that can be read (expected JPEG, PNG, WebP, TIFF or BMP). "
            "Save it as JPEG or PNG."
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, PermissionError):
            raise PortraitError(f"{path}: no permission to read it.") from error
        raise PortraitError(
            f"{path}: the picture is damaged or cut short ({error}). Copy or save it again."
        ) from error
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    if scale < 1:
        smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(smaller, np.uint8)
    return np.divide(pixels, 255, dtype=np.float32)


def _refuse_heic(path: Path) -> None:
    """Telephones save HEIC; Pillow calls it unknown, which helps nobody."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return  # said properly when the picture is opened
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        raise PortraitError(
            f"{path}: a HEIC/AVIF picture, which this build cannot read (expected JPEG, PNG or "
            "WebP). Export it as JPEG; on an iPhone: Settings, Camera, Formats, Most Compatible."
        )


def _check_size(path: Path, width: int, height: int) -> None:
    if min(width, height) < SMALLEST_SIDE:
        raise PortraitError(
            f"{path}: {width}x{height} pixels is too small (at least {SMALLEST_SIDE} on each side, "
            "better 512). Use a larger picture."
        )
    if width * height > LARGEST_PIXELS:
        raise PortraitError(
            f"{path}: {width}x{height} is {width * height / 1e6:.0f} megapixels, at most "
            f"{LARGEST_PIXELS / 1e6:.0f} are read. Save a smaller copy."
        )


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    """Shrunk by whole factors before anything else, so that a huge picture costs little memory."""
    factor = max(picture.size) // side
    return picture.reduce(factor) if factor > 1 and picture.mode != "P" else picture


def _as_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """[H, W, 3] uint8, turned upright."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I;16", "I", "F"):
        values = np.asarray(picture, np.float32)
        low, high = float(values.min()), float(values.max())
        grey = (255 * (values - low) / max(high - low, 1e-6)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
        picture = Image.alpha_composite(ground, picture)
    return np.asarray(picture.convert("RGB"))
