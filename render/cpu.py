"""Gaussians to pixels on the processor: the renderer of machines without a graphics card.

Each view gets its own projection, covariance and order of distance (one order for both eyes makes
thorny splats). Work memory is kept between frames and grows only.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numba.core import config

from avatar.read_only import read_only
from avatar.types import Float, Gaussians
from render import cpu_kernels as kernels
from render.camera import View
from render.renderer import (
    ByteRenderer,
    CardHead,
    Image,
    image_size,
    plain_gaussians,
)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the time of the latest call went, seconds, all its views together."""

    sort_s: float = 0.0
    """Projecting, ordering by distance and listing the splats of each tile. nan, as any of them,
    where a card does it and nobody looked."""
    raster_s: float = 0.0


class CpuRenderer(ByteRenderer):
    """`Renderer` in numba. Use one object from one thread at a time: its memory is reused, and
    numba's simplest threading layer must not be entered twice at once."""

    name = "cpu"

    def __init__(
        self,
        *,
        threads: int | None = None,
        reason: str = "asked for by name: runs on every processor",
    ) -> None:
        """`threads`: how many cores to use, at most; None for all that numba was given."""
        most = int(config.NUMBA_NUM_THREADS)  # pyright: ignore[reportAttributeAccessIssue]
        self.threads = most if threads is None else max(1, min(threads, most))
        self.reason = reason
        self.last_times = StageTimes()
        self._splat_memory = _SplatMemory(0)
        self._tile_memory = _TileMemory(0, self.threads)
        self._ticket = np.zeros(1, np.int64)

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1], by the exact rules."""
        width, height = image_size(views)
        colour = np.empty((len(views), height, width, 3), np.float32)
        alpha = np.empty((len(views), height, width, 1), np.float32)
        with _threads(self.threads):
            for index, view in enumerate(views):
                self._list_splats(plain_gaussians(gaussians), view)
                kernels.draw_floats(
                    self._splat_memory.splats,
                    self._tile_memory.starts,
                    self._tile_memory.entries,
                    self.threads,
                    self._ticket,
                    colour[index],
                    alpha[index],
                )
        return colour, alpha

    def warm_up(self) -> float:
        """Compile every loop, or load it from numba's cache; the seconds that it took.

        The first time on a machine this is some ten seconds, later well under a second.
        """
        started = time.perf_counter()
        one = Gaussians(
            means=np.array([[0.0, 0.0, 1.0]], np.float32),
            rotations=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
            scales=np.full((1, 3), 0.01, np.float32),
            opacities=np.ones(1, np.float32),
            colours=np.ones((1, 3), np.float32),
        )
        view = View(
            camera_from_world=np.eye(4), intrinsics=np.diag([16.0, 16.0, 1.0]), width=8, height=8
        )
        self.render(one, [view])
        self.render_float(one, [view])
        return time.perf_counter() - started

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        behind = read_only(background, np.float32)
        sort_s = raster_s = 0.0
        with _threads(self.threads):
            for view, picture in zip(views, pictures, strict=True):
                started = time.perf_counter()
                self._list_splats(plain_gaussians(gaussians), view)
                listed = time.perf_counter()
                kernels.draw_bytes(
                    self._splat_memory.splats,
                    self._tile_memory.starts,
                    self._tile_memory.entries,
                    behind,
                    self.threads,
                    self._ticket,
                    picture,
                )
                sort_s += listed - started
                raster_s += time.perf_counter() - listed
        self.last_times = StageTimes(sort_s=sort_s, raster_s=raster_s)

    def _list_splats(self, gaussians: Gaussians, view: View) -> None:
        """Project, order and bin the splats of one view into the work memory."""
        columns = -(-view.width // kernels.TILE_WIDTH)
        rows = -(-view.height // kernels.TILE_HEIGHT)
        if len(self._splat_memory.keys) != len(gaussians):
            self._splat_memory = _SplatMemory(len(gaussians))
        if len(self._tile_memory.cursor) != columns * rows:
            self._tile_memory = _TileMemory(columns * rows, self.threads)
        splats, tiles = self._splat_memory, self._tile_memory
        lens = view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].astype(np.float32)
        kernels.project(
            read_only(gaussians.means, np.float32),
            read_only(gaussians.rotations, np.float32),
            read_only(gaussians.scales, np.float32),
            read_only(gaussians.opacities, np.float32),
            read_only(gaussians.colours, np.float32),
            view.camera_from_world[:3].astype(np.float32),
            lens,
            (view.width, view.height),
            self._ticket,
            splats.splats,
            splats.tiles,
            splats.keys,
            splats.seen,
            tiles.counts,
        )
        visible = kernels.sort_by_distance(
            splats.keys,
            splats.seen,
            splats.order,
            splats.spare_order,
            splats.sorted_keys,
            splats.spare_keys,
            splats.counts,
        )
        tiles.make_room(kernels.place_lists(tiles.counts, columns, tiles.starts, tiles.bands))
        kernels.list_pairs(
            splats.tiles,
            splats.order,
            visible,
            columns,
            tiles.starts,
            tiles.bands,
            tiles.cursor,
            tiles.entries,
        )


class _SplatMemory:
    """Work memory for N splats."""

    def __init__(self, count: int) -> None:
        self.splats = np.zeros((count, kernels.SPLAT_WIDTH), np.float32)
        self.tiles = np.zeros((count, 4), np.int16)
        self.keys = np.zeros(count, np.uint32)
        self.seen = np.zeros(-(-count // kernels.CHUNK), np.int32)
        self.sorted_keys = np.zeros(count, np.uint32)
        self.spare_keys = np.zeros(count, np.uint32)
        self.order = np.zeros(count, np.int32)
        self.spare_order = np.zeros(count, np.int32)
        self.counts = np.zeros(kernels.RADIX, np.int32)


class _TileMemory:
    """Work memory for the tiles of one image size: each tile's list of splats."""

    def __init__(self, count: int, threads: int) -> None:
        self.counts = np.zeros((threads, count), np.int32)
        self.bands = np.zeros(threads + 1, np.int64)
        self.starts = np.zeros(count + 1, np.int64)
        self.cursor = np.zeros(count, np.int64)
        self.entries = np.zeros(0, np.int32)

    def make_room(self, pairs: int) -> None:
        if len(self.entries) < pairs:
            # A quarter more than asked for: a turning head changes the number a little each frame.
            self.entries = np.zeros(pairs + pairs // 4, np.int32)


class _threads:  # noqa: N801 (reads as a statement)
    """Numba's number of threads for the calling thread, put back afterwards."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        self._before = numba.get_num_threads()
        numba.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        numba.set_num_threads(self._before)
