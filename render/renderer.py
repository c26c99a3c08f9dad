"""What every renderer can do, whatever it runs on.

The one convention of all backends (classic Gaussian splatting, Kerbl et al. 2023, with the
constants of gsplat): OpenCV cameras; every splat's screen covariance grows by `SCREEN_BLUR`;
splats nearer than `NEAR_PLANE` are left out; blending goes front to back by the distance from the
eye, index as tie-break; an opacity below `LEAST_ALPHA` counts as none and is capped at
`MOST_ALPHA`; a pixel is finished when less than `LEAST_TRANSMITTANCE` of its light is left. A splat
with a number in it that is not finite is left out.

By distance and not, as usual, by depth: when the wearer of a headset turns the head, depths change
places and pixels pop, distances do not (Radl et al. 2024, StopThePop).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import moderngl
import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.head_tables import HeadPose, HeadTables
from avatar.types import Float, Gaussians
from render.camera import View

# Compiled loops hold these as constants, and numba looks for changes only in the loops' own file:
# after a change here, save render/cpu_kernels.py too.
SCREEN_BLUR = 0.3
"""px², added to both variances of a splat on the screen, so none falls between pixels (`eps2d`)."""
NEAR_PLANE = 0.01
"""metres."""
LEAST_ALPHA = 1.0 / 255.0
MOST_ALPHA = 0.999
LEAST_TRANSMITTANCE = 1e-4
FRUSTUM_MARGIN = 0.15
"""The Jacobian of the projection is taken no further than this part of the image beyond its
edges; further out the linearisation would smear splats across the whole picture (gsplat)."""

BLACK = (0.0, 0.0, 0.0)
Image = NDArray[np.uint8]


class CardHead(Protocol):
    """An avatar's Gaussians where its renderer draws, in a pose; takes the place of `Gaussians` in
    the calls of the renderer that `keep`s it, and of no other."""

    def __len__(self) -> int: ...

    def pose(self, pose: HeadPose) -> None:
        """Take this pose, until the next call."""
        ...

    def read(self) -> Gaussians:
        """Copied back, for tests and measurements."""
        ...

    def release(self) -> None:
        """Give back its memory. It cannot be drawn afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class CardPicture:
    """A finished picture in a texture, which never left the graphics card."""

    texture: moderngl.Texture
    """RGBA, sRGB premultiplied by alpha where nothing lies behind; row 0 is the picture's top."""
    width: int
    height: int
    """The picture fills so many columns and rows of the texture from the first on."""

    def read(self) -> Image:
        """[height, width, 4] copied from the card, which is waited for; where it was drawn."""
        pixels = np.frombuffer(self.texture.read(), np.uint8)
        whole = pixels.reshape(self.texture.height, self.texture.width, 4)
        return whole[: self.height, : self.width]


class Renderer(Protocol):
    """Gaussians to pixels. One thread at a time; all views of a call have the same size."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def reason(self) -> str:
        """Why this one was chosen, one sentence fit to show to a person."""
        ...

    def render(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
        *,
        out: Image | None = None,
    ) -> Image:
        """[C, H, W, 3] finished sRGB pictures, one for each view.

        `background` is a colour [3] or a picture [H, W, 3], sRGB 0..1. `out`, C-contiguous, is
        filled and returned where it is given; otherwise the pictures are new.
        """
        ...

    def render_with_alpha(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
        *,
        out: Image | None = None,
    ) -> Image:
        """[C, H, W, 4] as `render`, with how opaque the avatar is there in the fourth channel.

        The colours lie over the background already; over black they are premultiplied.
        """
        ...

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1] by the exact rules."""
        ...

    def warm_up(self) -> float:
        """Compile and load what the first frame would wait for; the seconds that it took."""
        ...

    def release(self) -> None:
        """Give back what it holds outside this program. It cannot draw afterwards."""
        ...


@runtime_checkable
class PosingRenderer(Protocol):
    """A renderer that can pose heads where it draws."""

    @property
    def poses(self) -> bool:
        """Whether it can here; otherwise the processor poses, and it is given `Gaussians`."""
        ...

    def keep(self, tables: HeadTables) -> CardHead:
        """Upload an avatar; its renderer draws it wherever it takes `Gaussians`, in the pose that
        it was given last."""
        ...


@runtime_checkable
class TextureRenderer(Protocol):
    """A renderer whose finished pictures can stay on the card."""

    def render_textures(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
    ) -> list[CardPicture]:
        """As `Renderer.render_with_alpha`, in textures that are valid until the next call."""
        ...


class ByteRenderer(ABC):
    """The two kinds of finished pictures of a `Renderer` that makes both alike."""

    def release(self) -> None:  # noqa: B027 (optional)
        """Most hold nothing outside this program."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def render(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
        *,
        out: Image | None = None,
    ) -> Image:
        """[C, H, W, 3] finished sRGB pictures over `background` (colour [3] or [H, W, 3])."""
        return self._rendered(gaussians, views, background, 3, out)

    def render_with_alpha(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike = BLACK,
        *,
        out: Image | None = None,
    ) -> Image:
        """[C, H, W, 4] as `render`, and alpha."""
        return self._rendered(gaussians, views, background, 4, out)

    def _rendered(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: ArrayLike,
        channels: int,
        out: Image | None,
    ) -> Image:
        width, height = image_size(views)
        shape = (len(views), height, width, channels)
        pictures = np.empty(shape, np.uint8) if out is None else out
        assert pictures.shape == shape, f"out: expected {shape}, got {pictures.shape}"
        self._draw_bytes(gaussians, views, background_picture(background, width, height), pictures)
        return pictures

    @abstractmethod
    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        """Fill `pictures` [C, H, W, 3 or 4]; `background` is as `background_picture` gives it."""


def plain_gaussians(gaussians: Gaussians | CardHead) -> Gaussians:
    """What a renderer that keeps no heads can draw."""
    assert isinstance(gaussians, Gaussians), "a head that another renderer keeps"
    return gaussians


def image_size(views: Sequence[View]) -> tuple[int, int]:
    """Width and height that all views share, pixels."""
    assert views, "at least one view"
    sizes = {(view.width, view.height) for view in views}
    assert len(sizes) == 1, f"views of one call must share a size, got {sorted(sizes)}"
    return sizes.pop()


def background_picture(background: ArrayLike, width: int, height: int) -> Float:
    """[1, 1, 3] of a colour or [H, W, 3] of a picture, float32, C-contiguous."""
    picture = np.ascontiguousarray(background, np.float32)
    if picture.shape in ((3,), (1, 1, 3)):
        return picture.reshape(1, 1, 3)
    assert picture.shape == (height, width, 3), (
        f"background: expected [3] or [{height}, {width}, 3], got {list(picture.shape)}"
    )
    return picture
