"""What a person sees is what was looked at: the window's main views beside kept pictures.

`python -m tests.app.golden.make_window_views` draws the kept ones anew.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from imgui_bundle import imgui
from PIL import Image

from tests.app.golden.make_window_views import (
    DENSE,
    FOLDER,
    TOLERANCE,
    VIEWS,
    Painter,
    difference,
    painter,
)


def kept(name: str) -> np.ndarray:
    with Image.open(FOLDER / f"{name}.png") as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def painting(display, request) -> Iterator[Painter]:
    """The window on a screen of that density. There is one of a process at a time."""
    with painter(request.param) as painting:
        assert painting.scale == request.param
        yield painting


@pytest.mark.parametrize(
    ("painting", "name"),
    [*((1.0, name) for name in VIEWS), *((2.0, name) for name in DENSE)],
    indirect=["painting"],
)
def test_a_view_looks_as_it_was_kept(painting, name):
    drawn = painting.picture((VIEWS | DENSE)[name])
    assert difference(drawn, kept(name)) <= TOLERANCE


def renamed(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda label, *rest: draw("Blimk" if label == "Blink" else label, *rest)


def missing(draw: Callable[..., Any]) -> Callable[..., Any]:
    return lambda label, *rest: label != "Record" and draw(label, *rest)


def moved(draw: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(label: str, *rest: Any) -> Any:
        if label == "As usual":
            imgui.set_cursor_pos_x(imgui.get_cursor_pos_x() + 3)
        return draw(label, *rest)

    return drawn


@pytest.mark.parametrize("painting", [1.0], indirect=True)
@pytest.mark.parametrize("change", [renamed, missing, moved])
def test_a_control_that_is_misspelt_missing_or_moved_is_seen(painting, monkeypatch, change):
    monkeypatch.setattr(imgui, "button", change(imgui.button))
    assert difference(painting.picture(VIEWS["talk"]), kept("talk")) > 1.4 * TOLERANCE


def test_a_driver_may_round_as_it_likes():
    picture = kept("talk").astype(int)
    noise = np.random.default_rng(0).integers(-2, 3, picture.shape)
    rounded = np.clip(picture + noise, 0, 255).astype(np.uint8)
    assert difference(rounded, kept("talk")) < 0.7 * TOLERANCE
