"""One photograph, fitted and assembled once for all tests that look at the result."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from avatar.portrait.bust import Bust, build_bust
from avatar.portrait.make import first_avatar, fit_sitter
from avatar.portrait.sitter import Sitter
from avatar.types import Avatar


def _tell(_stage: str, _share: float) -> None:
    pass


@pytest.fixture(scope="session")
def astronaut_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NASA photograph in the public domain."""
    path = tmp_path_factory.mktemp("astronaut") / "astronaut.png"
    Image.fromarray(np.asarray(data.astronaut())).save(path)
    return path


@pytest.fixture(scope="session")
def astronaut_sitter(astronaut_path: Path) -> Sitter:
    return fit_sitter(astronaut_path, tell=_tell)


@pytest.fixture(scope="session")
def bust(astronaut_sitter: Sitter) -> Bust:
    """Hers: hair over the ears, a bare neck, a high collar."""
    return build_bust(astronaut_sitter)


@pytest.fixture(scope="session")
def first_astronaut(astronaut_sitter: Sitter, astronaut_path: Path) -> Avatar:
    """As assembled, not refined."""
    return first_avatar(astronaut_sitter, astronaut_path, name="astronaut", tell=_tell)
