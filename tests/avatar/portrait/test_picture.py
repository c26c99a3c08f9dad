"""Pictures as people have them, good and bad."""

import io
import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, features

from avatar.errors import PortraitError
from avatar.portrait.picture import LONGEST_SIDE, read_picture


def gradient(width: int = 120, height: int = 80) -> np.ndarray:
    """[H, W, 3] uint8 whose red grows to the right and green downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    picture[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return picture


def refused(path: Path) -> str:
    with pytest.raises(PortraitError) as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_picture_comes_back_as_it_is(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(gradient()).save(path)
    image = read_picture(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, gradient() / 255, atol=1e-6)


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.rot90(np.fliplr(stored)),
    6: lambda stored: np.rot90(stored, 3),
    7: lambda stored: np.rot90(np.flipud(stored)),
    8: np.rot90,
    99: lambda stored: stored,
}
"""By EXIF orientation: what is stored -> what is seen (Exif 2.32, 4.6.4 A, tag 274)."""


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_turns_it_upright(orientation: int, tmp_path: Path):
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(path, exif=exif)
    upright = UPRIGHT[orientation](gradient()) / 255
    np.testing.assert_allclose(read_picture(path), upright, atol=1e-6)


def test_greyscale_becomes_three_equal_channels(tmp_path: Path):
    path = tmp_path / "grey.png"
    Image.fromarray(gradient()[..., 0]).save(path)
    image = read_picture(path)
    assert image.shape == (80, 120, 3)
    assert (image[..., 0] == image[..., 2]).all()


def test_sixteen_bit_greyscale_is_stretched(tmp_path: Path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 4000, 80 * 120).reshape(80, 120).astype(np.uint16)).save(path)
    image = read_picture(path)
    assert image.min() == 0
    assert image.max() == 1


def test_transparency_lies_over_grey(tmp_path: Path):
    path = tmp_path / "clear.png"
    clear = np.dstack([gradient(), np.zeros((80, 120), np.uint8)])
    Image.fromarray(clear).save(path)
    np.testing.assert_allclose(read_picture(path), 128 / 255, atol=1e-6)


def test_a_telephones_200_megapixels_are_read_and_shrunk(tmp_path: Path):
    path = tmp_path / "huge.jpg"
    Image.new("RGB", (16320, 12240), (200, 100, 50)).save(path, quality=30)
    image = read_picture(path)
    assert image.shape == (1200, LONGEST_SIDE, 3)
    np.testing.assert_allclose(image[600, 800], np.array([200, 100, 50]) / 255, atol=0.02)


def test_a_tiny_picture_is_refused(tmp_path: Path):
    path = tmp_path / "tiny.png"
    Image.new("RGB", (40, 40)).save(path)
    assert "40x40" in refused(path)


def test_a_truncated_jpeg_is_refused(tmp_path: Path):
    path = tmp_path / "cut.jpg"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (400, 400, 3), np.uint8).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:20_000])
    assert "cut short" in refused(path)


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_frame_is_taken(ending: str, tmp_path: Path):
    path = tmp_path / f"moving.{ending}"
    frames = [Image.fromarray(frame) for frame in (gradient(), 255 - gradient())]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_picture(path), gradient() / 255, atol=0.09)  # 256 colours


def test_the_colours_of_printers_are_converted(tmp_path: Path):
    path = tmp_path / "cmyk.jpg"
    Image.fromarray(gradient()).convert("CMYK").save(path, quality=98)
    np.testing.assert_allclose(read_picture(path), gradient() / 255, atol=0.05)


def test_a_colour_profile_is_obeyed_and_a_broken_one_ignored(tmp_path: Path):
    path = tmp_path / "profile.png"
    picture = Image.new("RGB", (80, 80), (200, 100, 50))
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    own = np.array([200, 100, 50]) / 255
    for profile in (b"nonsense", xyz):  # XYZ describes no RGB picture
        picture.save(path, icc_profile=profile)
        np.testing.assert_allclose(read_picture(path)[40, 40], own, atol=1e-6)
    picture.save(path, icc_profile=linear_profile())
    # Linear light 0.5 is 0.735 in sRGB (IEC 61966-2-1), 0.78 is 0.90, 0.39 is 0.66, 0.2 is 0.48.
    np.testing.assert_allclose(read_picture(path)[40, 40], [0.90, 0.66, 0.48], atol=0.02)


def linear_profile() -> bytes:
    """sRGB's primaries with linear light: its curves replaced by ICC's identity."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for entry in range(132, 132 + 12 * count, 12):
        name, offset, size = struct.unpack(">4sII", profile[entry : entry + 12])
        if name in (b"rTRC", b"gTRC", b"bTRC"):
            profile[offset : offset + 12] = b"curv" + bytes(8)
            profile[entry + 8 : entry + 12] = struct.pack(">I", 12)
        elif name == b"desc":
            described = profile[offset : offset + size]
            hidden = described.replace(b"s\0R\0G\0B", b"l\0i\0n\0e").replace(b"sRGB", b"line")
            profile[offset : offset + size] = hidden
    return bytes(profile)


def test_palettes_lose_nothing(tmp_path: Path):
    path = tmp_path / "palette.png"
    few = Image.fromarray(gradient()).quantize(16)
    few.save(path)
    np.testing.assert_allclose(read_picture(path), np.asarray(few.convert("RGB")) / 255, atol=1e-6)
    few.save(path, transparency=int(np.asarray(few)[0, 0]))
    np.testing.assert_allclose(read_picture(path)[0, 0], 128 / 255, atol=1e-6)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_a_colour_are_rounded_to_eight(ending: str, tmp_path: Path):
    path = tmp_path / f"deep.{ending}"
    cv2.imwrite(str(path), gradient()[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_allclose(read_picture(path), gradient() / 255, atol=1 / 254)


@pytest.mark.parametrize("filling", [np.nan, np.inf, -np.inf])
def test_a_picture_of_numbers_that_are_none_is_read_around_them(filling: float, tmp_path: Path):
    path = tmp_path / "float.tif"
    values = np.linspace(0, 1, 80 * 120, dtype=np.float32).reshape(80, 120)
    values[10:20] = filling
    Image.fromarray(values).save(path)
    image = read_picture(path)
    assert np.isfinite(image).all()
    assert image[30:].std() > 0.1
    Image.fromarray(np.full((80, 80), filling, np.float32)).save(path)
    assert np.isfinite(read_picture(path)).all()


def test_a_strip_is_refused(tmp_path: Path):
    path = tmp_path / "strip.png"
    Image.new("RGB", (64, 20_000)).save(path)
    assert "strip" in refused(path)


def test_one_pixel_is_refused(tmp_path: Path):
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    assert "1x1" in refused(path)


def test_formats_that_nobody_photographs_in_are_not_opened(tmp_path: Path):
    path = tmp_path / "portrait.eps"
    Image.fromarray(gradient()).save(path)
    assert "expected JPEG" in refused(path)


@pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow reads no AVIF")
def test_avif_is_read_where_pillow_can(tmp_path: Path):
    path = tmp_path / "portrait.avif"
    Image.fromarray(gradient()).save(path, quality=95)
    np.testing.assert_allclose(read_picture(path), gradient() / 255, atol=0.06)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
def test_links_are_followed_and_pipes_and_devices_are_refused(tmp_path: Path):
    Image.fromarray(gradient()).save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    assert read_picture(tmp_path / "link.png").shape == (80, 120, 3)
    (tmp_path / "dangling.png").symlink_to("gone.png")
    assert "no such file" in refused(tmp_path / "dangling.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert "cannot be read" in refused(tmp_path / "loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "pipe" in refused(tmp_path / "pipe.png")
    with pytest.raises(PortraitError, match="device"):
        read_picture(Path("/dev/zero"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
def test_random_damage_is_refused_or_survived_in_silence(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this build of Pillow reads no AVIF")
    whole, path, chance = io.BytesIO(), tmp_path / "damaged", random.Random(form)
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    Image.fromarray(gradient()).save(whole, form, **options)
    refusals: list[str] = []
    for _ in range(80):
        damaged = bytearray(whole.getvalue())
        for _ in range(chance.choice((1, 3, 12))):
            reach = min(len(damaged), chance.choice((64, 600, len(damaged))))
            damaged[chance.randrange(reach)] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        try:
            image = read_picture(path)
        except PortraitError as error:
            refusals.append(str(error))
        else:
            assert np.isfinite(image).all()
    assert refusals
    assert not [text for text in refusals if "\n" in text]
    assert capfd.readouterr().err == ""


def test_heic_says_what_to_do(tmp_path: Path):
    path = tmp_path / "phone.heic"
    path.write_bytes(struct.pack(">I", 24) + b"ftypheic" + b"\0" * 100)
    assert "JPEG" in refused(path)


@pytest.mark.parametrize("content", [b"", b"hello, I am text", b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_what_is_no_picture_is_refused(content: bytes, tmp_path: Path):
    path = tmp_path / "portrait.png"
    path.write_bytes(content)
    refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    refused(tmp_path / "none.jpg")
    refused(tmp_path)


def test_a_picture_that_lies_about_its_size_is_refused(tmp_path: Path):
    path = tmp_path / "bomb.png"
    Image.new("RGB", (64, 64)).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(bytes(raw))
    refused(path)
