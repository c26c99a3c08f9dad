"""The rules of drawing in plain torch, every splat at every pixel, as precise as what goes in:
what gradients are compared with. `gsplat_parts` are the same behind gsplat's own functions."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from avatar.fit.kernels import (
    FRUSTUM_MARGIN,
    LEAST_ALPHA,
    LEAST_TRANSMITTANCE,
    MOST_ALPHA,
)


def projected(
    means: Tensor,
    rotations: Tensor,
    scales: Tensor,
    pose: Tensor,
    lens: Tensor,
    width: int,
    height: int,
    blur: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centres [N, 2], covariances [N, 3] (xx, xy, yy), conics [N, 3], the inverse, and depths [N].

    Screen covariance: Kerbl et al. 2023, eq. 5.
    """
    turn, shift = pose[:, :3], pose[:, 3]
    x, y, depth = (means @ turn.T + shift).unbind(-1)
    fx, fy, cx, cy = lens.unbind(-1)
    q = rotations / rotations.norm(dim=-1, keepdim=True)
    w, i, j, k = q.unbind(-1)
    own = torch.stack(
        [
            *(1 - 2 * (j * j + k * k), 2 * (i * j - w * k), 2 * (i * k + w * j)),
            *(2 * (i * j + w * k), 1 - 2 * (i * i + k * k), 2 * (j * k - w * i)),
            *(2 * (i * k - w * j), 2 * (j * k + w * i), 1 - 2 * (i * i + j * j)),
        ],
        -1,
    ).reshape(-1, 3, 3)
    axes = turn @ own * scales[:, None, :]
    margin_x, margin_y = FRUSTUM_MARGIN * width / fx, FRUSTUM_MARGIN * height / fy
    held_x = (x / depth).clamp(-cx / fx - margin_x, (width - cx) / fx + margin_x)
    held_y = (y / depth).clamp(-cy / fy - margin_y, (height - cy) / fy + margin_y)
    u = (fx / depth)[:, None] * (axes[:, 0] - held_x[:, None] * axes[:, 2])
    v = (fy / depth)[:, None] * (axes[:, 1] - held_y[:, None] * axes[:, 2])
    xx, xy, yy = (u * u).sum(-1) + blur, (u * v).sum(-1), (v * v).sum(-1) + blur
    conics = torch.stack([yy, -xy, xx], -1) / (xx * yy - xy * xy)[:, None]
    centres = torch.stack([fx * x / depth + cx, fy * y / depth + cy], -1)
    return centres, torch.stack([xx, xy, yy], -1), conics, depth


def blended(
    centres: Tensor,
    conics: Tensor,
    opacities: Tensor,
    colours: Tensor,
    order: Tensor,
    width: int,
    height: int,
) -> tuple[Tensor, Tensor]:
    """Premultiplied colour [H, W, 3] and alpha [H, W] of the splats of `order`, nearest first."""
    kind = centres.dtype
    row, column = torch.meshgrid(
        torch.arange(height, dtype=kind) + 0.5, torch.arange(width, dtype=kind) + 0.5, indexing="ij"
    )
    light = torch.ones(height, width, dtype=kind)
    picture = torch.zeros(height, width, 3, dtype=kind)
    finished = torch.zeros(height, width, dtype=torch.bool)
    for splat in order.tolist():
        dx, dy = centres[splat, 0] - column, centres[splat, 1] - row
        a, b, c = conics[splat]
        alpha = opacities[splat] * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
        alpha = alpha.clamp(max=MOST_ALPHA)
        hit = (alpha >= LEAST_ALPHA) & ~finished
        left = light * (1 - alpha)
        finished = finished | (hit & (left <= LEAST_TRANSMITTANCE))
        alpha = torch.where(hit & ~finished, alpha, 0)
        picture = picture + (alpha * light)[..., None] * colours[splat]
        light = light * (1 - alpha)
    return picture, 1 - light


def gsplat_parts() -> Any:
    """A stand-in for the `gsplat` package: those of its functions that the fit calls, with their
    parameters and shapes, for one camera; without tiles, as every splat is tried at every pixel."""

    def fully_fused_projection(
        means: Tensor,
        covars: None,
        quats: Tensor,
        scales: Tensor,
        viewmats: Tensor,
        Ks: Tensor,  # noqa: N803 (gsplat's)
        width: int,
        height: int,
        eps2d: float = 0.3,
        near_plane: float = 0.01,
        *,
        opacities: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        assert covars is None
        assert viewmats.shape == (1, 4, 4)
        assert Ks.shape == (1, 3, 3)
        assert Ks[0, 2].tolist() == [0, 0, 1]
        lens = Ks[0, [0, 1, 0, 1], [0, 1, 2, 2]]
        centres, covariances, conics, depths = projected(
            means, quats, scales, viewmats[0, :3], lens, width, height, eps2d
        )
        with torch.no_grad():
            reach = torch.sqrt(2 * torch.log((opacities / LEAST_ALPHA).clamp_min(1)))
            radii = torch.ceil(reach[:, None] * torch.sqrt(covariances[:, [0, 2]]))
            size = torch.tensor([width, height])
            seen = (depths > near_plane) & (opacities >= LEAST_ALPHA)
            seen &= ((centres + radii > 0) & (centres - radii < size)).all(-1)
            radii = torch.where(seen[:, None], radii, 0).to(torch.int32)
        # As gsplat leaves them: what is not seen is not filled in.
        depths = torch.where(seen, depths, -7.0)
        return radii[None], centres[None], depths[None], conics[None], None

    def isect_tiles(
        means2d: Tensor,
        radii: Tensor,
        depths: Tensor,
        tile_size: int,
        tile_width: int,
        tile_height: int,
    ) -> tuple[None, Tensor, Tensor]:
        assert tile_size == 16
        seen = (radii[0] > 0).all(-1).nonzero()[:, 0]
        # By the bits of the floats, as there: a negative one would come last.
        keys = depths[0, seen].contiguous().view(torch.int32).to(torch.int64) & 0xFFFFFFFF
        return None, keys.sort().values, seen[keys.argsort(stable=True)]

    def isect_offset_encode(
        isect_ids: Tensor, n_images: int, tile_width: int, tile_height: int
    ) -> Tensor:
        assert n_images == 1
        return torch.zeros(1, tile_height, tile_width, dtype=torch.int32)

    def rasterize_to_pixels(
        means2d: Tensor,
        conics: Tensor,
        colors: Tensor,
        opacities: Tensor,
        image_width: int,
        image_height: int,
        tile_size: int,
        isect_offsets: Tensor,
        flatten_ids: Tensor,
    ) -> tuple[Tensor, Tensor]:
        assert isect_offsets.shape == (1, -(-image_height // 16), -(-image_width // 16))
        picture, alpha = blended(
            *(means2d[0], conics[0], opacities[0], colors[0], flatten_ids),
            *(image_width, image_height),
        )
        # A picture of nothing depends on them too.
        nothing = 0 * (colors.sum() + opacities.sum())
        return picture[None] + nothing, alpha[None, :, :, None] + nothing

    return SimpleNamespace(
        fully_fused_projection=fully_fused_projection,
        isect_tiles=isect_tiles,
        isect_offset_encode=isect_offset_encode,
        rasterize_to_pixels=rasterize_to_pixels,
    )
