"""Gaussians -> picture -> gradients, on the processor: what fitting an avatar to a picture needs.

The same picture as the renderers draw (`render` may not be imported from here; a test compares
the two), plus the way back: from a loss' gradient with respect to the picture to its gradient
with respect to every number of every splat.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.fit import kernels
from avatar.read_only import read_only
from avatar.types import Float, Gaussians, Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lens:
    """A pinhole camera as OpenCV has it (x right, y down, z forward) and the image it fills."""

    pose: Float
    """[3, 4] camera from avatar space, metres."""
    intrinsics: Float
    """[4] focal x, y and centre x, y, pixels; pixel (0, 0) has its centre at (0.5, 0.5)."""
    width: int
    height: int

    def crop(self, left: int, top: int, width: int, height: int) -> "Lens":
        """The same camera, of whose image only a box of pixels is drawn."""
        shift = np.array([0, 0, left, top], np.float32)
        return Lens(pose=self.pose, intrinsics=self.intrinsics - shift, width=width, height=height)

    def scaled(self, width: int, height: int) -> "Lens":
        """The same view on another number of pixels."""
        x, y = width / self.width, height / self.height
        factors = np.array([x, y, x, y], np.float32)
        return Lens(
            pose=self.pose, intrinsics=self.intrinsics * factors, width=width, height=height
        )

    @property
    def position(self) -> Float:
        """[3] where the camera stands, avatar space."""
        return np.asarray(-self.pose[:, :3].T @ self.pose[:, 3], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gradients:
    """Of a loss, with respect to N splats."""

    means: Float
    """[N, 3] per metre."""
    turns: Float
    """[N, 3] per radian about the splat's own axes."""
    scales: Float
    """[N, 3] per metre."""
    opacities: Float
    """[N]"""
    colours: Float
    """[N, 3]"""


def over(colour: Float, through: Float, behind: ArrayLike) -> Float:
    """[H, W, 3] a drawing before a picture [H, W, 3] or a wall of one colour [3]."""
    return np.asarray(colour + through[..., None] * np.asarray(behind, np.float32), np.float32)


class Rasteriser:
    """Draws one lens and finds gradients of the latest drawing. Not for two threads at once.

    Work memory is kept between calls and grows only.
    """

    def __init__(self) -> None:
        self._shards = max(1, numba.get_num_threads())
        self._splats = 0
        self._entries = np.zeros((0, 2), np.int32)
        self._pair_gradient = np.zeros((0, kernels.GRADIENT_WIDTH), np.float32)
        self._order: Index = np.zeros(0, np.int32)

    def draw(
        self, gaussians: Gaussians, lens: Lens, tilt: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Float, Float]:
        """Premultiplied colour [H, W, 3] and the light that is left [H, W].

        `tilt`: the splats are drawn over one another in the order that they have when the head is
        turned by angles of these tangents (across, down), but where they are seen from here.
        Neighbours on a surface change places so; surfaces behind one another do not, as what
        counts is the order of splats in the same pixel.
        """
        self._make_room(len(gaussians), lens)
        self._drawn, self._lens = gaussians, lens
        kernels.project(
            read_only(gaussians.means, np.float32),
            read_only(gaussians.rotations, np.float32),
            read_only(gaussians.scales, np.float32),
            read_only(gaussians.opacities, np.float32),
            read_only(gaussians.colours, np.float32),
            lens.pose,
            lens.intrinsics,
            (lens.width, lens.height),
            self._screen,
            self._tiles,
            self._distances,
        )
        lateral = (np.array(tilt, np.float32) @ lens.pose[:2, :3]).astype(np.float32)
        keys = self._distances + gaussians.means @ lateral
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        columns = -(-lens.width // kernels.TILE)
        pairs = kernels.count_pairs(self._tiles, columns, self._first_pair, self._tile_starts)
        if len(self._entries) < pairs:
            self._entries = np.zeros((pairs + pairs // 4, 2), np.int32)
            shape = (pairs + pairs // 4, kernels.GRADIENT_WIDTH)
            self._pair_gradient = np.zeros(shape, np.float32)
        kernels.list_pairs(
            self._tiles,
            self._order,
            columns,
            self._first_pair,
            self._tile_starts,
            self._cursor,
            self._entries,
        )
        colour = np.empty((lens.height, lens.width, 3), np.float32)
        through = np.empty((lens.height, lens.width), np.float32)
        kernels.draw(self._screen, self._tile_starts, self._entries, self._shards, colour, through)
        return colour, through

    def backward(self, picture: Float, slope: Float) -> Gradients:
        """Gradients of the latest drawing's splats.

        Args:
            picture: [H, W, 3] what was shown: the drawn colour, and through it the background.
            slope: [H, W, 3] the loss' gradient with respect to `picture`.
        """
        splats, lens = self._drawn, self._lens
        kernels.draw_backward(
            self._screen,
            self._tile_starts,
            self._entries,
            self._shards,
            picture,
            slope,
            self._pair_gradient,
        )
        kernels.project_backward(
            read_only(splats.means, np.float32),
            read_only(splats.rotations, np.float32),
            read_only(splats.scales, np.float32),
            read_only(splats.opacities, np.float32),
            lens.pose,
            lens.intrinsics,
            (lens.width, lens.height),
            self._first_pair,
            self._pair_gradient,
            self._gradient,
        )
        gradient = self._gradient
        return Gradients(
            means=gradient[:, 0:3],
            turns=gradient[:, 3:6],
            scales=gradient[:, 6:9],
            opacities=gradient[:, 9],
            colours=gradient[:, 10:13],
        )

    def footprints(self) -> Float:
        """[N] how many pixels each splat of the latest drawing would add up to, seen alone.

        The integral of its opacity over the screen (its determinant is the conic's inverse).
        """
        a, b, c, lift = (self._screen[:, field].astype(np.float64) for field in (2, 3, 4, 5))
        # In base-2 units the integral of 2^-(quadratic form) is 2 pi / (ln 2 sqrt(4ac - b²)).
        area = 2 * np.pi / (np.log(2) * np.sqrt(np.maximum(4 * a * c - b * b, 1e-20)))
        return np.where(np.isfinite(self._distances), np.exp2(lift) * area, 0).astype(np.float32)

    def _make_room(self, count: int, lens: Lens) -> None:
        if self._splats != count:
            self._splats = count
            self._screen = np.zeros((count, kernels.SCREEN_WIDTH), np.float32)
            self._tiles = np.zeros((count, 4), np.int16)
            self._distances = np.zeros(count, np.float32)
            self._first_pair = np.zeros(count + 1, np.int64)
            self._gradient = np.zeros((count, kernels.SPLAT_GRADIENT_WIDTH), np.float32)
        tiles = -(-lens.width // kernels.TILE) * -(-lens.height // kernels.TILE)
        self._tile_starts = np.zeros(tiles + 1, np.int64)
        self._cursor: NDArray[np.int64] = np.zeros(tiles, np.int64)
