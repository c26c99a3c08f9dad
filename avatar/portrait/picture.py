"""A picture file, from anyone, becomes upright sRGB numbers; or one clear line says why not."""

import io
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from avatar.errors import PortraitError
from avatar.portrait.landmarks import quiet_stderr
from avatar.types import Float

LONGEST_SIDE = 1600
"""Pixels kept: a face that fills such a picture has about one pixel to each splat of the skin."""
SMALLEST_SIDE = 64
LARGEST_PIXELS = 400_000_000
"""Refused above this: 1.2 GB once decoded, and no camera takes it."""

_FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "PPM",
)  # fmt: skip
"""What people keep photographs in. Pillow knows fifty more, most of them never attacked by anyone
who then told; one of them runs Ghostscript."""
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis", b"avif", b"avis")


def read_picture(path: Path) -> Float:
    """The picture as [H, W, 3] sRGB 0..1, upright (EXIF), its longest side at most LONGEST_SIDE.

    Greyscale becomes RGB; transparency is laid over middle grey; other colour spaces (Display P3
    of telephones, CMYK of printers) are converted where the file says which; of several frames
    the first is taken.

    Raises:
        PortraitError: missing, a folder, not a picture, truncated, too small or too large.
    """
    _refuse_what_is_no_file(path)
    try:
        with _own_limits(), Image.open(path, formats=_known_formats()) as picture:
            width, height = picture.size
            _check_size(path, width, height)
            # A JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the time.
            picture.draft(None, (2 * LONGEST_SIDE, 2 * LONGEST_SIDE))
            pixels = _as_rgb(_at_most(picture, 2 * LONGEST_SIDE))
    except UnidentifiedImageError:
        _refuse_heic(path)
        raise PortraitError(
            f"{path}: not a picture that can be read (expected JPEG, PNG, WebP, TIFF or BMP). "
            "Save it as JPEG or PNG."
        ) from None
    except MemoryError as error:
        raise PortraitError(
            f"{path}: too large for the memory left. Save a smaller copy."
        ) from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise PortraitError(f"{path}: cannot be read ({error.strerror}).") from error
        raise PortraitError(
            f"{path}: the picture is damaged or cut short ({error}). Copy or save it again."
        ) from error
    scale = LONGEST_SIDE / max(pixels.shape[:2])
    if scale < 1:
        smaller = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(smaller, np.uint8)
    return np.divide(pixels, 255, dtype=np.float32)


_DAMAGED = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, EOFError,
    AttributeError, RuntimeError, struct.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for files that were changed at random, besides its own errors."""


def _refuse_what_is_no_file(path: Path) -> None:
    """A pipe would never end, and reading a device may do anything."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise PortraitError(f"{path}: no such file. Name a photograph (JPEG, PNG, WebP).") from None
    except OSError as error:
        raise PortraitError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if stat.S_ISDIR(kind):
        raise PortraitError(f"{path}: a folder, not a picture. Name one photograph in it.")
    if not stat.S_ISREG(kind):
        raise PortraitError(f"{path}: a pipe or a device, not a picture. Save it as a file first.")


@contextmanager
def _own_limits() -> Iterator[None]:
    """Large scans and telephones of 200 megapixels are welcome: Pillow stops at 179, and we
    ourselves at LARGEST_PIXELS. What it and libtiff remark (odd EXIF blocks, codes not yet in a
    table) is not for people to read."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with quiet_stderr():
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _known_formats() -> list[str]:
    """Those of `_FORMATS` that this build of Pillow has."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _refuse_heic(path: Path) -> None:
    """Telephones save HEIC; "not a picture" would help nobody."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS:
        raise PortraitError(
            f"{path}: a HEIC/AVIF picture, which this build cannot read (expected JPEG, PNG or "
            "WebP). Export it as JPEG; on an iPhone: Settings, Camera, Formats, Most Compatible."
        ) from None


def _check_size(path: Path, width: int, height: int) -> None:
    shrunk = min(1, LONGEST_SIDE / max(width, height, 1))
    if min(width, height) < SMALLEST_SIDE:
        raise PortraitError(
            f"{path}: {width}x{height} pixels is too small (at least {SMALLEST_SIDE} on each side, "
            "better 512). Use a larger picture."
        )
    if min(width, height) * shrunk < SMALLEST_SIDE:
        raise PortraitError(
            f"{path}: {width}x{height} pixels is a strip, not a portrait. Cut it to the person."
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
    profile = picture.info.get("icc_profile")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I;16", "I;16B", "I;16L", "I", "F"):
        values = np.asarray(picture, np.float32)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
        grey = (255 * (values - low) / max(high - low, 1e-6)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
        picture = Image.alpha_composite(ground, picture)
    elif profile and picture.mode in ("RGB", "CMYK"):
        picture = _in_srgb(picture, profile)
    return np.asarray(picture.convert("RGB"))


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Converted by the file's own colour profile; as it is where that is sRGB, or unusable."""
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return picture
        converted = ImageCms.profileToProfile(
            picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return converted or picture
