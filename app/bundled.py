"""What ships with the program: sample avatars and the line they say."""

from pathlib import Path

from avatar.errors import AvatarFileError

ASSETS = Path(__file__).parents[1] / "assets"
SAMPLE_LINE = ASSETS / "samples" / "line.flac"
"""What the bundled avatar says in the demonstration; origin in assets/samples/README.md."""


def bundled_avatars() -> list[str]:
    """Names that `--avatar` takes besides files."""
    return sorted(path.stem for path in (ASSETS / "avatars").glob("*.avatar"))


def avatar_path(name: str) -> Path:
    """The file meant by `--avatar NAME`: a file of that path, or a bundled avatar of that name.

    Raises:
        AvatarFileError: neither exists.
    """
    path = Path(name)
    bundled = bundled_avatars()
    if path.exists() or name not in bundled:
        if not path.exists():
            raise AvatarFileError(
                f"{name}: no such file, and no bundled avatar of this name (there is: "
                f"{', '.join(bundled) or 'none'}). Make one with: visavis make PORTRAIT -o A.avatar"
            )
        return path
    return ASSETS / "avatars" / f"{name}.avatar"
