"""Results are whole or absent: written beside, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avatar.errors import OutputError


def check_output(path: Path, endings: tuple[str, ...], inputs: tuple[Path, ...] = ()) -> None:
    """Find out before hours of work whether `path` can be written.

    Raises:
        OutputError: another ending, no such folder, no permission, or it is one of the inputs.
    """
    if path.suffix.lower() not in endings:
        got = path.suffix or "none"
        raise OutputError(f"{path}: expected the ending {' or '.join(endings)}, got {got}.")
    if path.is_dir():
        raise OutputError(f"{path}: a folder of this name exists; name a file.")
    check_folder_of(path)
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            raise OutputError(f"{path}: would overwrite what is read; name another file.")


def check_folder_of(path: Path) -> None:
    """Find out whether something called `path` can be made.

    Raises:
        OutputError: no such folder, no permission.
    """
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: there is no folder {folder}; make it, or name another.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{path}: the folder {folder} may not be written to; name another.")


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write to in the same folder, with the same ending.

    Becomes `path` when the block ends well, and is removed when it does not, Ctrl-C included.

    Raises:
        OutputError: the disk is full, or the file cannot be made or renamed.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        beside.unlink(missing_ok=True)
