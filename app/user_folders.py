"""Where a person's own files lie, as each system has it."""

import os
import sys
from pathlib import Path

FILE_DIALOGS = ("zenity", "kdialog", "matedialog", "qarma")
"""Programs of which one must be there on Linux, so that a file can be chosen in a dialog."""


def settings_folder() -> Path:
    """For settings and presets: %APPDATA% on Windows, ~/Library on a Mac, XDG elsewhere."""
    return _base("APPDATA", "XDG_CONFIG_HOME", ".config") / "visavis"


def avatars_folder() -> Path:
    """For the avatars that a person makes."""
    return _base("APPDATA", "XDG_DATA_HOME", ".local/share") / "visavis" / "avatars"


def _base(windows: str, xdg: str, below_home: str) -> Path:
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get(windows) or home / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    named = os.environ.get(xdg, "")
    # XDG: "all paths must be absolute", others are to be ignored.
    return Path(named) if os.path.isabs(named) else home / below_home
