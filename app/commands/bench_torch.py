"""What `visavis bench` compares the renderers with: the same rules in plain torch.

As one would write it first, without kernels of one's own: splats are projected all at once, listed
by the 16 x 16 tile that they touch, and each tile is blended by tensor operations over all its
pixels and splats. Correct by the rules of `render.renderer` and checked against the reference, and
no slower than it has to be in this form; but it is no renderer of the program, and only bench loads
it (torch takes seconds and some hundred megabytes).
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar.types import Float, Gaussians
from render.camera import View
from render.cpu import StageTimes
from render.renderer import (
    FRUSTUM_MARGIN,
    LEAST_ALPHA,
    LEAST_TRANSMITTANCE,
    MOST_ALPHA,
    NEAR_PLANE,
    SCREEN_BLUR,
    ByteRenderer,
    CardHead,
    Image,
    image_size,
    plain_gaussians,
)

TILE = 16
"""Pixels of a side."""
CHUNK = 1024
"""Splats of a tile that are blended at once: after each the tile may be finished. The quickest of
128 to 4096 for a head at 512 pixels."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """The splats of one view, nearest first, and which of them each tile sees."""

    centre: Tensor
    """[M, 2] px."""
    conic: Tensor
    """[M, 3] a, b, c of ``a dx² + b dx dy + c dy²``, the exponent."""
    opacity: Tensor
    colour: Tensor
    entries: Tensor
    """Splats of the first tile, then of the second, ..."""
    starts: list[int]
    """Where each tile's begin; one more than there are tiles."""


class TorchTiles(ByteRenderer):
    """`Renderer` in torch operations, on one thread, or on the card that torch sees."""

    name = "torch"
    reason = "the plain alternative that visavis bench compares with"

    def __init__(self) -> None:
        self.threads = 1
        self.device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        """Who computes, for a person."""
        self.last_times = StageTimes()

    def render_float(
        self, gaussians: Gaussians | CardHead, views: Sequence[View]
    ) -> tuple[Float, Float]:
        """Premultiplied colour [C, H, W, 3] and alpha [C, H, W, 1]."""
        image_size(views)
        with _one_thread():
            drawn = [
                _blended(_listed(plain_gaussians(gaussians), view), view).cpu().numpy()
                for view in views
            ]
        pictures = np.stack(drawn)
        return pictures[..., :3], pictures[..., 3:]

    def warm_up(self) -> float:
        """Nothing to compile, but torch's first operations find their kernels; the seconds."""
        started = time.perf_counter()
        one = Gaussians(
            means=np.array([[0.0, 0.0, 1.0]], np.float32),
            rotations=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
            scales=np.full((1, 3), 0.1, np.float32),
            opacities=np.ones(1, np.float32),
            colours=np.ones((1, 3), np.float32),
        )
        lens = np.array([[16.0, 0.0, 8.0], [0.0, 16.0, 8.0], [0.0, 0.0, 1.0]])
        view = View(camera_from_world=np.eye(4), intrinsics=lens, width=16, height=16)
        self.render(one, [view])
        return time.perf_counter() - started

    def _draw_bytes(
        self,
        gaussians: Gaussians | CardHead,
        views: Sequence[View],
        background: Float,
        pictures: Image,
    ) -> None:
        channels, behind = pictures.shape[-1], _sent(background)
        sort_s = raster_s = 0.0
        with _one_thread():
            for view, picture in zip(views, pictures, strict=True):
                started = time.perf_counter()
                listed = _listed(plain_gaussians(gaussians), view)
                sorted_ = time.perf_counter()
                drawn = _blended(listed, view)
                drawn[..., :3] += (1 - drawn[..., 3:]) * behind
                levels = (drawn[..., :channels].clamp_(0, 1) * 255 + 0.5).to(torch.uint8)
                picture[...] = levels.cpu().numpy()
                sort_s += sorted_ - started
                raster_s += time.perf_counter() - sorted_
        self.last_times = StageTimes(sort_s=sort_s, raster_s=raster_s)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Two made it 6 to 20 times slower on a machine with two busy cores: most of its operations are
    too small to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # To look at every operation for its device takes time that the processor need not spend.
        with torch.inference_mode(), _device() if torch.cuda.is_available() else nullcontext():
            yield
    finally:
        torch.set_num_threads(before)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _sent(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32)).to(_device())


def _listed(gaussians: Gaussians, view: View) -> _Listed:
    """Project, order by distance, and list the splats of every tile.

    Screen covariance: Kerbl et al. 2023, eq. 5 (Zwicker et al. 2001), J W Σ Wᵀ Jᵀ.
    """
    means, quaternions, scales, opacity, colour = (
        _sent(values)
        for values in (
            *(gaussians.means, gaussians.rotations, gaussians.scales),
            *(gaussians.opacities, gaussians.colours),
        )
    )
    camera_from_world = _sent(view.camera_from_world[:3])
    rotation, translation = camera_from_world[:, :3], camera_from_world[:, 3]
    (fx, _, cx), (_, fy, cy) = view.intrinsics[:2].tolist()
    camera = means @ rotation.T + translation
    depth = camera[:, 2]
    across, down = camera[:, 0] / depth, camera[:, 1] / depth
    margin_x, margin_y = FRUSTUM_MARGIN * view.width / fx, FRUSTUM_MARGIN * view.height / fy
    held_x = across.clamp(-cx / fx - margin_x, (view.width - cx) / fx + margin_x)
    held_y = down.clamp(-cy / fy - margin_y, (view.height - cy) / fy + margin_y)
    zero = torch.zeros_like(depth)
    jacobian = torch.stack(
        [
            torch.stack([fx / depth, zero, -fx * held_x / depth], -1),
            torch.stack([zero, fy / depth, -fy * held_y / depth], -1),
        ],
        dim=1,
    )
    half = jacobian @ rotation @ (_rotation_matrices(quaternions) * scales[:, None, :])
    covariance = half @ half.transpose(1, 2)
    xx, xy = covariance[:, 0, 0] + SCREEN_BLUR, covariance[:, 0, 1]
    yy = covariance[:, 1, 1] + SCREEN_BLUR
    determinant = xx * yy - xy * xy
    centre = torch.stack([fx * across + cx, fy * down + cy], -1)
    conic = torch.stack([0.5 * yy, -xy, 0.5 * xx], -1) / determinant[:, None]
    finite = centre.isfinite().all(1) & conic.isfinite().all(1) & colour.isfinite().all(1)
    seen = (finite & (depth > NEAR_PLANE) & (opacity >= LEAST_ALPHA)).nonzero()[:, 0]
    squares = (camera[seen] ** 2).sum(1)
    order = seen[torch.sort(squares, stable=True).indices]
    centre, opacity = centre[order], opacity[order]
    # Where alpha falls to the least that counts: an exponent of ln(opacity / least).
    reach = 2 * torch.log(opacity / LEAST_ALPHA).clamp_min(0)
    extent = torch.sqrt(reach[:, None] * torch.stack([xx[order], yy[order]], -1))
    columns, rows = math.ceil(view.width / TILE), math.ceil(view.height / TILE)
    ends = torch.tensor([columns, rows], dtype=torch.float32)
    first = torch.floor((centre - extent) / TILE).clamp(min=torch.zeros(2), max=ends).long()
    last = (torch.floor((centre + extent) / TILE) + 1).clamp(min=torch.zeros(2), max=ends).long()
    span = (last - first).clamp_min(0)
    pairs = span[:, 0] * span[:, 1]
    splat = torch.repeat_interleave(torch.arange(len(order)), pairs)
    number = torch.arange(len(splat)) - (torch.cumsum(pairs, 0) - pairs)[splat]
    across_tiles = span[splat, 0]
    tile = (first[splat, 1] + number // across_tiles) * columns
    tile += first[splat, 0] + number % across_tiles
    by_tile = torch.sort(tile, stable=True).indices  # stable: within a tile still nearest first
    counts = torch.bincount(tile, minlength=columns * rows)
    return _Listed(
        centre=centre,
        conic=conic[order],
        opacity=opacity,
        colour=colour[order],
        entries=splat[by_tile],
        starts=[0, *torch.cumsum(counts, 0).tolist()],
    )


def _rotation_matrices(quaternions: Tensor) -> Tensor:
    """[N, 4] (w, x, y, z) of any length -> [N, 3, 3]. A zero quaternion gives NaN."""
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).T
    return torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], -1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], -1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        dim=1,
    )


def _blended(listed: _Listed, view: View) -> Tensor:
    """[H, W, 4] premultiplied colour and alpha."""
    columns, rows = math.ceil(view.width / TILE), math.ceil(view.height / TILE)
    picture = torch.zeros(rows * TILE, columns * TILE, 4)
    row, column = torch.meshgrid(torch.arange(TILE), torch.arange(TILE), indexing="ij")
    corner = torch.stack([column.flatten(), row.flatten()], -1) + 0.5
    for tile in range(columns * rows):
        entries = listed.entries[listed.starts[tile] : listed.starts[tile + 1]]
        if not len(entries):
            continue
        top, left = TILE * (tile // columns), TILE * (tile % columns)
        pixels = corner + torch.tensor([left, top])
        picture[top : top + TILE, left : left + TILE] = _tile(listed, entries, pixels).reshape(
            TILE, TILE, 4
        )
    return picture[: view.height, : view.width]


def _tile(listed: _Listed, entries: Tensor, pixels: Tensor) -> Tensor:
    """[P, 4] of the pixels [P, 2] of one tile, front to back."""
    colour = torch.zeros(len(pixels), 3)
    transmittance = torch.ones(len(pixels))
    finished = torch.zeros(len(pixels), dtype=torch.bool)
    for chunk in entries.split(CHUNK):
        centre, (a, b, c) = listed.centre[chunk], listed.conic[chunk].T
        dx = pixels[:, :1] - centre[:, 0]
        dy = pixels[:, 1:] - centre[:, 1]
        exponent = dx * (a * dx + b * dy) + c * dy * dy
        alpha = (listed.opacity[chunk] * torch.exp(-exponent)).clamp_max_(MOST_ALPHA)
        alpha = torch.where(alpha < LEAST_ALPHA, 0.0, alpha)
        left = transmittance[:, None] * torch.cumprod(1 - alpha, dim=1)
        # The splat that would take a pixel's last light is not drawn, and ends the pixel.
        drawn = (left > LEAST_TRANSMITTANCE) & ~finished[:, None]
        before = torch.cat([transmittance[:, None], left[:, :-1]], dim=1)
        colour += torch.where(drawn, alpha * before, 0.0) @ listed.colour[chunk]
        transmittance = torch.where(drawn, left, transmittance[:, None]).amin(dim=1)
        finished |= ~drawn[:, -1]
        if finished.all():
            break
    return torch.cat([colour, 1 - transmittance[:, None]], dim=1)
