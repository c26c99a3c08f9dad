import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bundled import bundled_avatars
from app.gallery import Entry, Gallery, free_path
from avatar.avatar_file import read_thumbnail, save_avatar
from avatar.errors import AvatarFileError


def seen(gallery: Gallery, count: int) -> dict[str, Entry]:
    """Title -> entry, once there are so many."""
    end = time.perf_counter() + 20.0
    while len(gallery.entries) != count:
        assert time.perf_counter() < end, gallery.entries
        time.sleep(0.02)
    return {entry.title: entry for entry in gallery.entries}


def test_the_gallery_shows_what_ships_ones_own_and_what_was_dropped(tmp_path, small_avatar):
    picture = np.full((128, 128, 3), 77, np.uint8)
    own, elsewhere = tmp_path / "own", tmp_path / "elsewhere.avatar"
    own.mkdir()
    save_avatar(replace(small_avatar, thumbnail=picture), own / "Me.avatar")
    (own / "broken.avatar").write_bytes(b"no avatar at all")
    save_avatar(small_avatar, elsewhere)
    count = len(bundled_avatars())
    gallery = Gallery(own)
    try:
        entries = seen(gallery, count + 2)
        assert [entry.avatar for entry in gallery.entries][:count] == bundled_avatars()
        shown = entries["Me"].thumbnail
        assert shown is not None
        assert np.array_equal(shown, picture)
        assert entries["Me"].avatar == str(own / "Me.avatar")
        assert "not an avatar" in entries["broken"].problem
        gallery.add(str(elsewhere))
        assert seen(gallery, count + 3)["elsewhere"].thumbnail is None
        (own / "broken.avatar").unlink()
        gallery.look_again()
        assert "broken" not in seen(gallery, count + 2)
    finally:
        gallery.close()


def test_what_ships_has_thumbnails():
    for name in bundled_avatars():
        thumbnail = read_thumbnail(Path("assets/avatars") / f"{name}.avatar")
        assert thumbnail is not None
        assert thumbnail.shape == (128, 128, 3)


def test_a_thumbnail_that_is_no_picture_is_refused(tmp_path, small_avatar):
    path = tmp_path / "large.avatar"
    save_avatar(replace(small_avatar, thumbnail=np.zeros((600, 8, 3), np.uint8)), path)
    with pytest.raises(AvatarFileError, match="thumbnail"):
        read_thumbnail(path)


def test_a_new_avatar_takes_no_others_place(tmp_path):
    folder = tmp_path / "made" / "here"
    first = free_path(folder, "me")
    assert first == folder / "me.avatar"
    first.touch()
    assert free_path(folder, "me") == folder / "me 2.avatar"
    assert free_path(folder, '../a:b*"') == folder / "ab.avatar"
    assert free_path(folder, "...") == folder / "portrait.avatar"
