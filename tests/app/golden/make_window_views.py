"""The window's main views, drawn by the window itself on Mesa's llvmpipe with facts that stand
still; in the avatar's place stands a plain oval.

`python -m tests.app.golden.make_window_views` draws the kept pictures anew (it needs a display:
`xvfb-run` gives one). Look at each before it is kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from imgui_bundle import imgui, implot
from PIL import Image
from Xlib import X, Xatom
from Xlib.display import Display

from app.desk import DeskView
from app.gallery import Entry
from app.panel import Panel, PanelView
from app.portrait_maker import Making
from app.preferences import Look, Theme
from avatar.motion.direction import EMOTION_NAMES, Direction, no_emotion
from render.window import USUAL_SCENE, Window

FOLDER = Path(__file__).parent
SIZE = (1180, 760)
"""Of the window, layout units, as `visavis live` opens it."""
KEPT_HEIGHT = 380
"""Of the kept pictures, pixels."""
WALL = (0.45, 0.46, 0.48)
BLOCK = 10
"""Pixels of the kept picture: about a letter and a half."""
TOLERANCE = 5.0
"""Levels of 255 that a block may differ by on the average. A driver that rounds another way differs
by 1 or 2 in each pixel; one letter that is another, by 8 and more."""


def oval() -> np.ndarray:
    """[512, 512, 4] where the avatar stands, premultiplied."""
    across = (np.arange(512) - 256) / 150
    down = (np.arange(512) - 250) / 200
    inside = np.clip(40 * (1 - np.hypot(across[None], down[:, None])), 0, 1)
    picture = 255 * inside[..., None] * np.array([0.72, 0.56, 0.48, 1.0])
    return picture.astype(np.uint8)


def _thumbnail(hue: int) -> np.ndarray:
    picture = np.zeros((96, 96, 3), np.uint8)
    picture[..., hue] = np.linspace(60, 200, 96)[:, None]
    picture[30:70, 35:61] = (190, 150, 130)
    return picture


def _felt(**weights: float) -> np.ndarray:
    emotion = no_emotion()
    for name, intensity in weights.items():
        emotion[EMOTION_NAMES.index(name)] = intensity
    return emotion


ENTRIES = (
    Entry("default", "default", _thumbnail(0)),
    Entry("/a/grandmother.avatar", "grandmother", _thumbnail(1)),
    Entry("/a/me.avatar", "me", _thumbnail(2)),
    Entry("/a/torn.avatar", "torn", problem="torn.avatar: cut short."),
)
DESK = DeskView(look=Look(), entries=ENTRIES, presets=("evening",), preset="evening", can_undo=True)
WAVE = (12 + 3 * np.sin(np.arange(240) / 9)).astype(np.float32)
VIEW = PanelView(
    avatar="default",
    avatars=("default", "/a/grandmother.avatar", "/a/me.avatar"),
    microphone="Webcam C920 Analog Stereo",
    microphones=("default", "Built-in Audio Analog Stereo", "Webcam C920 Analog Stereo", "Buds"),
    level=0.62,
    speech=True,
    hearing=True,
    direction=Direction(emotion=_felt(happiness=0.6), gaze=(0.1, 0.05), head=(0.1, 0.0, 0.0)),
    frame_ms=12.0,
    fps=60.0,
    sound_to_sight_ms=114.0,
    frame_history_ms=WAVE,
    sight_history_ms=10 * WAVE,
    picture_size=(720, 622),
    renderer="gl",
    posed_by="card",
    renderers=("auto", "cpu", "gl"),
    saved="visavis-2026-05-01-1200.mp4",
    desk=DESK,
)
PROBLEM = (
    "holiday.docx: expected a portrait (JPEG, PNG, WebP), an avatar file, a sound or a film, "
    "got .docx."
)
MAKING = Making(
    Path("grandfather on the balcony.jpg"), "refining against the photograph", 0.62, None
)


@dataclass(frozen=True)
class Shown:
    """One of the pictures."""

    tab: str = "Talk"
    view: PanelView = VIEW
    folded: bool = False
    help: bool = False
    click: tuple[float, float] | None = None


def _light(view: PanelView) -> PanelView:
    return replace(view, desk=replace(DESK, theme=Theme.LIGHT))


BESIDE = replace(VIEW, microphone_levels=(np.nan, 0.35, np.nan, 0.0))
VIEWS: dict[str, Shown] = {
    "talk": Shown(),
    "avatars": Shown("Avatars", replace(VIEW, desk=replace(DESK, making=MAKING))),
    "scene": Shown("Scene"),
    "voice": Shown("Voice"),
    "times": Shown("Times"),
    "microphones": Shown("Voice", BESIDE, click=(120.0, 86.0)),
    "shortcuts": Shown(help=True),
    "error": Shown(view=replace(VIEW, problems=(PROBLEM,))),
    "folded": Shown(folded=True, view=replace(VIEW, saved="")),
    "folded, error": Shown(folded=True, view=replace(VIEW, problems=(PROBLEM,), recording="0:12")),
    "light, talk": Shown(view=_light(VIEW)),
    "light, scene": Shown("Scene", _light(VIEW)),
    "light, error": Shown(view=_light(replace(VIEW, problems=(PROBLEM,)))),
}
DENSE: dict[str, Shown] = {
    "twice as dense, talk": Shown(),
    "twice as dense, help": Shown(help=True),
}
"""On a screen with twice as many pixels in a unit."""


class Painter:
    """A window that shows what it is given, and its pixels."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self.scale = window.interface_scale
        self._images = {
            entry.avatar: window.image(entry.avatar, entry.thumbnail)
            for entry in ENTRIES
            if entry.thumbnail is not None
        }

    def picture(self, shown: Shown) -> np.ndarray:
        """[380, W, 3]"""
        panel = Panel(self.scale)
        panel._tab, panel.visible, panel.help_visible = shown.tab, not shown.folded, shown.help
        assert shown.view.desk is not None
        view = replace(shown.view, desk=replace(shown.view.desk, images=self._images))
        # A plain wall makes small pictures; the soft one is in the folded views.
        self._window.light_scene(*(USUAL_SCENE if shown.folded else (WALL, WALL, (1.0, 1.0, 1.0))))
        pixels = np.zeros((1, 1, 3), np.uint8)
        io, spot = imgui.get_io(), shown.click
        for frame in range(6 if spot else 3):
            if spot is not None:
                io.add_mouse_pos_event(spot[0] * self.scale, spot[1] * self.scale)
                io.add_mouse_button_event(0, frame == 2)
            self._window.panel_width = panel.width
            assert self._window.begin_frame()
            panel.draw(view)
            self._window.draw(oval())
            pixels = self._window.read_pixels()
            self._window.present()
        if spot is not None:  # nothing stays open for the next
            io.add_mouse_pos_event(-1e5, -1e5)
        wide = round(KEPT_HEIGHT * pixels.shape[1] / pixels.shape[0])
        return np.asarray(Image.fromarray(pixels).resize((wide, KEPT_HEIGHT), Image.Resampling.BOX))


@contextmanager
def painter(scale: float = 1.0) -> Iterator[Painter]:
    """On the display that there is, as dense as said: GLFW reads that as desktops tell it."""
    desktop = Display()
    root = desktop.screen().root
    settings = desktop.intern_atom("RESOURCE_MANAGER")
    before = root.get_full_property(settings, Xatom.STRING)
    root.change_property(settings, Xatom.STRING, 8, f"Xft.dpi:\t{96 * scale:.0f}\n".encode())
    desktop.sync()
    try:
        with Window("the window's views", *SIZE) as window:
            yield Painter(window)
            if implot.get_current_context() is not None:
                implot.destroy_context(implot.get_current_context())
    finally:
        if before is None:
            root.delete_property(settings)
        else:
            root.change_property(settings, Xatom.STRING, 8, before.value, X.PropModeReplace)
        desktop.close()


def pictures() -> dict[str, np.ndarray]:
    """All views."""
    found = {}
    for scale, views in ((1.0, VIEWS), (2.0, DENSE)):
        with painter(scale) as painting:
            assert painting.scale == scale
            found |= {name: painting.picture(shown) for name, shown in views.items()}
    return found


def difference(drawn: np.ndarray, kept: np.ndarray) -> float:
    """By how much the worst block differs, levels of 255."""
    if drawn.shape != kept.shape:
        return np.inf
    apart = np.abs(drawn.astype(float) - kept).max(axis=2)
    high, wide = (side // BLOCK for side in apart.shape)
    # Blocks that lie half over each other: a letter lies in the midst of one.
    worst = 0.0
    for down in (0, BLOCK // 2):
        for right in (0, BLOCK // 2):
            part = apart[down:, right:][: (high - 1) * BLOCK, : (wide - 1) * BLOCK]
            blocks = part.reshape(high - 1, BLOCK, wide - 1, BLOCK)
            worst = max(worst, float(blocks.mean(axis=(1, 3)).max()))
    return worst


if __name__ == "__main__":
    for name, picture in pictures().items():
        Image.fromarray(picture).save(FOLDER / f"{name}.png", optimize=True)
