"""Pictures as people have them, good and bad."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_turns_it_upright(orientation: int, turns: int, tmp_path: Path):
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient()).save(path, exif=exif)
    np.testing.assert_allclose(read_picture(path), np.rot90(gradient(), turns) / 255, atol=1e-6)


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


def test_a_huge_picture_is_shrunk(tmp_path: Path):
    path = tmp_path / "huge.jpg"
    Image.new("RGB", (12000, 9000), (200, 100, 50)).save(path, quality=30)
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
