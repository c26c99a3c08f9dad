"""The avatars that can be chosen: those that ship, the person's own, and files that were dropped.

A thread looks, because reading thumbnails waits for the disk; the frame loop reads what it found.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.bundled import avatar_path, bundled_avatars
from app.handoff import Latest
from avatar.avatar_file import read_thumbnail
from avatar.errors import VisavisError

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One avatar of the gallery."""

    avatar: str
    """Name of one that ships, or path of a file: what `--avatar` takes."""
    title: str
    thumbnail: Picture | None = None
    """[H, W, 3] sRGB; None where the file has none."""
    problem: str = ""
    """Why it cannot be chosen, one line."""


class Gallery:
    """What there is to choose."""

    def __init__(self, folder: Path, extra: tuple[str, ...] = ()) -> None:
        """`folder`: of the person's own avatars. `extra`: names or paths besides."""
        self._folder, self._extra = folder, list(extra)
        self._found: Latest[tuple[Entry, ...]] = Latest()
        self._known: dict[tuple[str, float, int], Entry] = {}
        self._wake = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._work, name="gallery", daemon=True)
        self._thread.start()
        self.look_again()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """As last seen; empty until the first look is over."""
        found = self._found.read()
        return () if found is None else found.value

    def add(self, avatar: str) -> None:
        """One more, which lies elsewhere."""
        if avatar not in self._extra:
            self._extra.append(avatar)
        self.look_again()

    def look_again(self) -> None:
        """A file has come or gone."""
        self._wake.set()

    def close(self) -> None:
        self._stop = True
        self._wake.set()
        self._thread.join(2.0)

    def _work(self) -> None:
        while not self._stop:
            self._wake.wait()
            self._wake.clear()
            if not self._stop:
                self._found.publish(tuple(self._look()), 0.0)

    def _look(self) -> list[Entry]:
        own = sorted(self._folder.glob("*.avatar"), key=lambda path: path.name.casefold())
        names = [*bundled_avatars(), *map(str, own)]
        names += [name for name in self._extra if name not in names]
        entries = []
        for name in names:
            try:
                path = avatar_path(name)
                facts = path.stat()
            except (VisavisError, OSError):
                continue  # gone since
            key = (name, facts.st_mtime, facts.st_size)
            if key not in self._known:
                self._known[key] = _entry(name, path)
            entries.append(self._known[key])
        return entries


def _entry(avatar: str, path: Path) -> Entry:
    try:
        return Entry(avatar, path.stem, read_thumbnail(path))
    except VisavisError as error:
        return Entry(avatar, path.stem, problem=str(error))


def free_path(folder: Path, stem: str) -> Path:
    """A path for a new avatar of this name in the folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = "".join(letter for letter in stem if letter.isalnum() or letter in " _-.")[:60]
    kept = kept.strip(" .") or "portrait"
    for number in range(1, 1000):
        path = folder / f"{kept}{'' if number == 1 else f' {number}'}.avatar"
        if not path.exists():
            return path
    return folder / f"{kept}.avatar"
