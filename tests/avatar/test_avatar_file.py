"""An avatar file may come from anyone: what is good comes back, what is not is named in a line."""

import json
import struct
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from avatar.avatar_file import load_avatar, save_avatar
from avatar.errors import AvatarFileError, OutputError
from avatar.residual import FACE_CODE, HEAD_CODE, WIDTH
from avatar.types import Avatar
from tests.avatar.test_residual import random_part


def rewritten(
    source: Path, target: Path, metadata: dict[str, str] | None = None, **tensors
) -> Path:
    """A copy of a good file with some metadata or tensors replaced (None drops one)."""
    raw = source.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    facts = json.loads(raw[8 : 8 + length])["__metadata__"] | (metadata or {})
    arrays = {**load_file(source), **tensors}
    save_file({k: v for k, v in arrays.items() if v is not None}, target, facts)
    return target


def refused(path: Path) -> str:
    with pytest.raises(AvatarFileError) as caught:
        load_avatar(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text


def test_what_is_saved_comes_back(small_avatar: Avatar, small_avatar_file: Path):
    back = load_avatar(small_avatar_file)
    for field in fields(Avatar):
        before, after = getattr(small_avatar, field.name), getattr(back, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            np.testing.assert_allclose(after, before, atol=1e-3, err_msg=field.name)
        else:
            assert after == before


def test_the_same_avatar_gives_the_same_bytes(small_avatar: Avatar, tmp_path: Path):
    written = set()
    for number in range(8):  # by chance one of the library's orders comes twice, eight times never
        path = tmp_path / f"{number}.avatar"
        save_avatar(small_avatar, path)
        written.add(path.read_bytes())
    assert len(written) == 1


def test_a_file_cut_short_is_named(small_avatar_file: Path, tmp_path: Path):
    for share in (0.02, 0.5, 0.999):
        raw = small_avatar_file.read_bytes()
        cut = tmp_path / "cut.avatar"
        cut.write_bytes(raw[: int(len(raw) * share)])
        refused(cut)


@pytest.mark.parametrize("content", [b"", b"x", b"not an avatar at all, just text", b"\0" * 4096])
def test_what_is_no_avatar_is_named(content: bytes, tmp_path: Path):
    path = tmp_path / "text.avatar"
    path.write_bytes(content)
    assert "not an avatar" in refused(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path):
    assert "visavis make" in refused(tmp_path / "nobody.avatar")


def test_a_folder_is_named(tmp_path: Path):
    folder = tmp_path / "folder.avatar"
    folder.mkdir()
    refused(folder)


def test_a_newer_version_asks_for_an_update(small_avatar_file: Path, tmp_path: Path):
    newer = rewritten(small_avatar_file, tmp_path / "new.avatar", {"version": "2"})
    text = refused(newer)
    assert "2" in text
    assert "Update" in text


def test_another_safetensors_file_is_named(tmp_path: Path):
    path = tmp_path / "weights.avatar"
    save_file({"weight": np.zeros(4, np.float32)}, path, {"format": "pt"})
    assert "not an avatar" in refused(path)


def test_a_header_of_ten_gigabytes_is_refused_unread(tmp_path: Path):
    path = tmp_path / "huge.avatar"
    path.write_bytes(struct.pack("<Q", 10 * 2**30) + b'{"' + b"a" * 100)
    assert "header" in refused(path)


def test_a_shape_that_lies_is_refused(small_avatar_file: Path, tmp_path: Path):
    raw = bytearray(small_avatar_file.read_bytes())
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header["colour"]["shape"] = [10**9, 3]
    text = json.dumps(header).encode()
    path = tmp_path / "lie.avatar"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(raw[8 + length :]))
    refused(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", np.full((2500, 3), np.nan, np.float16)),
        ("vertices", np.full((5, 3), np.inf, np.float32)),
        ("opacity", np.full(2500, 7, np.float16)),
        ("opacity", np.ones(2499, np.float16)),
        ("bound_scale", np.full((2500, 3), -1, np.float16)),
        ("bound_triangle", np.full(2500, 10**6, np.int32)),
        ("bound_triangle", np.full(2500, -1, np.int32)),
        ("triangles", np.full((5, 3), 10**6, np.int32)),
        ("triangles", np.zeros((5, 3), np.float32)),
        ("expression_gain", np.ones(51, np.float32)),
        ("colour", None),
        ("glance", np.zeros((2499, 3), np.float16)),
        ("glance", np.zeros((2500, 4), np.float16)),
        ("glance", np.zeros((2500, 3), np.int32)),
        ("glance", np.full((2500, 3), np.nan, np.float16)),
        ("glance", np.full((2500, 3), 3, np.float16)),
        ("taken_from", np.zeros(2, np.float32)),
        ("taken_from", np.full(3, np.inf, np.float32)),
        ("taken_from", np.full(3, 1e30, np.float32)),
        ("light", np.full((9, 3), np.nan, np.float32)),
        ("light", np.full((9, 3), 1e30, np.float32)),
        ("light", np.zeros((9,), np.float32)),
        ("light", np.zeros((4, 3), np.float32)),
        ("thumbnail", np.zeros((64, 64, 4), np.uint8)),
        ("thumbnail", np.zeros((64, 64, 3), np.float32)),
        ("thumbnail", np.zeros((4, 4096, 3), np.uint8)),
    ],
)
def test_numbers_that_cannot_be_are_refused(field, value, small_avatar_file: Path, tmp_path: Path):
    bad = rewritten(small_avatar_file, tmp_path / "bad.avatar", **{field: value})
    text = refused(bad)
    assert field in text


def test_a_thumbnail_comes_back_as_it_was_and_may_be_absent(
    small_avatar: Avatar, small_avatar_file: Path, tmp_path: Path
):
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = tmp_path / "pictured.avatar"
    save_avatar(replace(small_avatar, thumbnail=picture), path)
    np.testing.assert_array_equal(load_avatar(path).thumbnail, picture)
    assert load_avatar(small_avatar_file).thumbnail.shape == (0, 0, 3)
    old = load_avatar(rewritten(small_avatar_file, tmp_path / "old.avatar", thumbnail=None))
    assert old.thumbnail.shape == (0, 0, 3)


def test_a_file_from_before_light_was_kept_still_loads(small_avatar_file: Path, tmp_path: Path):
    old = load_avatar(rewritten(small_avatar_file, tmp_path / "old.avatar", light=None))
    assert old.light.shape == (9, 3)
    assert not old.light.any()


@pytest.mark.parametrize("facts", ["[]", "{", "3", "[" * 100_000])
def test_facts_that_are_no_json_object_are_refused(facts, small_avatar_file: Path, tmp_path: Path):
    refused(rewritten(small_avatar_file, tmp_path / "facts.avatar", {"fit": facts}))


def test_a_failed_save_leaves_nothing(small_avatar: Avatar, tmp_path: Path):
    with pytest.raises(OutputError, match="no folder"):
        save_avatar(small_avatar, tmp_path / "missing" / "a.avatar")
    occupied = tmp_path / "folder.avatar"
    occupied.mkdir()
    with pytest.raises(OutputError):
        save_avatar(small_avatar, occupied)
    assert list(tmp_path.iterdir()) == [occupied]


def test_saving_replaces_an_older_file_whole(small_avatar: Avatar, tmp_path: Path):
    path = tmp_path / "a.avatar"
    save_avatar(small_avatar, path)
    save_avatar(replace(small_avatar, name="second"), path)
    assert load_avatar(path).name == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.avatar"]


def test_a_glance_comes_back_and_an_older_file_has_none(
    small_avatar: Avatar, small_avatar_file: Path, tmp_path: Path
):
    offset = np.random.default_rng(0).uniform(-1, 1, (len(small_avatar), 3)).astype(np.float32)
    place = np.array([0.1, 0.2, 1.3], np.float32)
    path = tmp_path / "glancing.avatar"
    save_avatar(replace(small_avatar, glance=offset, taken_from=place), path)
    back = load_avatar(path)
    np.testing.assert_allclose(back.glance, offset, atol=1e-3)
    np.testing.assert_array_equal(back.taken_from, place)
    old = rewritten(path, tmp_path / "old.avatar", glance=None, taken_from=None)
    assert load_avatar(old).glance.shape == (0, 3)
    assert load_avatar(small_avatar_file).glance.shape == (0, 3)


@pytest.fixture(scope="module")
def taught(small_avatar: Avatar) -> Avatar:
    return replace(
        small_avatar,
        face_residual=random_part(FACE_CODE, np.arange(3, 300), 0),
        pose_residual=random_part(HEAD_CODE, np.arange(0, 1000, 2), 1),
    )


@pytest.fixture(scope="module")
def taught_file(taught: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("taught") / "taught.avatar"
    save_avatar(taught, path)
    return path


def test_residual_networks_come_back(taught: Avatar, taught_file: Path):
    back = load_avatar(taught_file)
    for name in ("face_residual", "pose_residual"):
        before, after = getattr(taught, name), getattr(back, name)
        for field in fields(before):
            values = getattr(after, field.name)
            np.testing.assert_allclose(values, getattr(before, field.name), atol=2e-4)
        assert after.bases.dtype == np.float32
        assert isinstance(after.reach, float)


def test_one_of_the_two_networks_is_enough(taught: Avatar, tmp_path: Path):
    save_avatar(replace(taught, face_residual=None), tmp_path / "a.avatar")
    back = load_avatar(tmp_path / "a.avatar")
    assert back.face_residual is None
    assert back.pose_residual is not None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("face_residual.splats", np.array([5, 4] * 148 + [9], np.int32), "does not rise"),
        ("face_residual.splats", np.arange(2400, 2697, dtype=np.int32), "does not rise"),
        ("face_residual.splats", np.arange(-1, 296, dtype=np.int32), "does not rise"),
        ("face_residual.splats", np.arange(296, dtype=np.int32), "rows"),
        ("face_residual.reach", np.zeros(1, np.float32), "more than 0"),
        ("face_residual.mix", np.full((FACE_CODE, 4), 1e9, np.float32), "not within"),
        ("face_residual.bases", np.full((297, 4, WIDTH), 999, np.float16), "not within"),
        ("face_residual.bases", np.full((297, 4, WIDTH), np.nan, np.float16), "NaN"),
        ("face_residual.bases", np.zeros((297, 5, WIDTH), np.float16), "rows"),
        ("face_residual.mean", np.zeros(FACE_CODE + 1, np.float32), "rows"),
        ("pose_residual.shift", None, "lacks shift"),
    ],
)
def test_residual_networks_that_lie_are_refused(
    taught_file: Path, tmp_path: Path, field: str, value: np.ndarray | None, said: str
):
    assert said in refused(rewritten(taught_file, tmp_path / "bad.avatar", None, **{field: value}))


def test_residual_networks_of_a_newer_program_are_named(taught_file: Path, tmp_path: Path):
    newer = rewritten(taught_file, tmp_path / "newer.avatar", {"residual": "2"})
    assert "this build reads 1. Update" in refused(newer)
