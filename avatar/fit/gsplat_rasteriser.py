"""gsplat (Ye et al. 2024) in the place of the processor's rasteriser: the same rules, on a card.

Its parts are called one by one and not its `rasterization`, because that sorts by depth, and
splats are drawn by distance here (with `tilt`, as a turned head's). Its quaternions are w, x, y, z
and its cameras OpenCV's, as ours. It has never run on a card for us: tests hold what is converted
here against the processor's rasteriser, with plain torch in gsplat's place.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from avatar.errors import DeviceError
from avatar.fit.kernels import NEAR_PLANE, SCREEN_BLUR, TILE
from avatar.fit.rasteriser import Gradients, Lens
from avatar.types import Float, Gaussians

_LEAST_LIGHT = 1e-6
"""Less is never left: the rules end a pixel before."""


class SentSplats(NamedTuple):
    """`avatar.types.Gaussians` on the device."""

    means: Tensor
    rotations: Tensor
    scales: Tensor
    opacities: Tensor
    colours: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentLens:
    """A lens on the device, as gsplat has it."""

    view: Tensor
    """[1, 4, 4]"""
    camera: Tensor
    """[1, 3, 3]"""
    position: Tensor
    """[3] where it stands."""
    width: int
    height: int

    @classmethod
    def of(cls, lens: Lens, device: torch.device) -> "SentLens":
        focal_x, focal_y, centre_x, centre_y = (float(number) for number in lens.intrinsics)
        camera = (focal_x, 0.0, centre_x, 0.0, focal_y, centre_y, 0.0, 0.0, 1.0)
        whole = np.concatenate([lens.pose.ravel(), (0, 0, 0, 1), camera, lens.position])
        numbers = torch.from_numpy(whole.astype(np.float32))
        if device.type == "cuda":  # or the copy would wait for all that the card has to do
            numbers = numbers.pin_memory().to(device, non_blocking=True)
        return cls(
            view=numbers[:16].view(1, 4, 4),
            camera=numbers[16:25].view(1, 3, 3),
            position=numbers[25:],
            width=lens.width,
            height=lens.height,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentDrawing:
    """What was drawn, on the device."""

    colour: Tensor
    """[H, W, 3]"""
    alpha: Tensor
    """[H, W]"""
    seen: Tensor
    """[N] bool."""
    conics: Tensor
    """[N, 3]"""

    def over(self, tone: float) -> Tensor:
        """[H, W, 3] before a grey wall."""
        return self.colour + ((1 - self.alpha) * tone)[..., None]


def load_gsplat() -> Any:
    """The package.

    Raises:
        DeviceError: it is not installed, or does not load.
    """
    try:
        import gsplat  # pyright: ignore[reportMissingImports]
    except Exception as error:  # it compiles and loads a library of its own
        raise DeviceError(
            f"fitting on 'cuda': gsplat does not load ({' '.join(str(error).split())}). "
            "Use --device cpu."
        ) from error
    return gsplat


def draw_sent(
    parts: Any, splats: SentSplats, lens: SentLens, tilt: tuple[float, float] = (0.0, 0.0)
) -> SentDrawing:
    """As gsplat's `rasterization` draws, in our order (`FitRasteriser.draw` on `tilt`)."""
    view, width, height = lens.view, lens.width, lens.height
    radii, centres, _, conics, _ = parts.fully_fused_projection(
        splats.means,
        None,
        splats.rotations,
        splats.scales,
        view,
        lens.camera,
        width,
        height,
        eps2d=SCREEN_BLUR,
        near_plane=NEAR_PLANE,
        opacities=splats.opacities,
    )
    with torch.no_grad():
        seen = (radii[0] > 0).all(-1)
        order = (splats.means @ view[0, :3, :3].T + view[0, :3, 3]).norm(dim=-1)[None]
        if any(tilt):
            across = torch.tensor(tilt, device=view.device) @ view[0, :2, :3]
            order = order + splats.means @ across
            # It sorts by the bits, which order as the numbers do where none is negative.
            least = order[0, seen].min() if bool(seen.any()) else 0.0
            order = order - least + 1
    columns, rows = math.ceil(width / TILE), math.ceil(height / TILE)
    _, keys, places = parts.isect_tiles(centres, radii, order, TILE, columns, rows)
    offsets = parts.isect_offset_encode(keys, 1, columns, rows)
    picture, alpha = parts.rasterize_to_pixels(
        centres,
        conics,
        splats.colours[None],
        splats.opacities[None],
        width,
        height,
        TILE,
        offsets,
        places,
    )
    return SentDrawing(
        colour=picture.squeeze(0),
        alpha=alpha.squeeze(0).squeeze(-1),
        seen=seen,
        conics=conics[0].detach(),
    )


class GsplatRasteriser:
    """`avatar.fit.backends.FitRasteriser` by gsplat. Not for two threads at once."""

    def __init__(self, device: str = "cuda", parts: Any = None) -> None:
        """`parts`: another module with gsplat's functions, for tests.

        Raises:
            DeviceError: gsplat is not installed, or does not load.
        """
        self._parts = load_gsplat() if parts is None else parts
        self._device = torch.device(device)

    def try_out(self) -> None:
        """Draw one splat and go back, which compiles or loads gsplat's kernels.

        Raises: DeviceError where that fails.
        """
        one = Gaussians(
            means=np.array([[0.0, 0.0, 1.0]], np.float32),
            rotations=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
            scales=np.full((1, 3), 0.1, np.float32),
            opacities=np.full(1, 0.5, np.float32),
            colours=np.ones((1, 3), np.float32),
        )
        pose, numbers = np.eye(4, dtype=np.float32)[:3], np.array([16, 16, 8, 8], np.float32)
        colour, _ = self.draw(one, Lens(pose=pose, intrinsics=numbers, width=16, height=16))
        if not 0.1 < self.backward(colour, np.ones_like(colour)).colours[0, 0] < 1e3:
            raise DeviceError("fitting on 'cuda': gsplat draws nothing. Use --device cpu.")

    def draw(
        self, gaussians: Gaussians, lens: Lens, tilt: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Float, Float]:
        """Premultiplied colour [H, W, 3] and the light that is left [H, W]; see `FitRasteriser`.

        Raises:
            DeviceError: gsplat cannot draw: no compiler for its kernels, or no memory on the card.
        """
        self._leaves = SentSplats(
            *(
                self._sent(values).requires_grad_()
                for values in (
                    *(gaussians.means, gaussians.rotations, gaussians.scales),
                    *(gaussians.opacities, gaussians.colours),
                )
            )
        )
        try:
            drawing = draw_sent(self._parts, self._leaves, SentLens.of(lens, self._device), tilt)
        except (RuntimeError, ImportError, OSError) as error:
            raise DeviceError(
                f"fitting on 'cuda': gsplat cannot draw ({' '.join(str(error).split())[:300]}). "
                "Use --device cpu."
            ) from error
        self._colour, self._alpha = drawing.colour, drawing.alpha
        self._seen, self._conics = drawing.seen, drawing.conics
        return _array(self._colour), _array(1 - self._alpha)

    def backward(self, picture: Float, slope: Float) -> Gradients:
        """Gradients of the latest drawing's splats; see `FitRasteriser`."""
        shown, slopes = self._sent(picture), self._sent(slope)
        with torch.no_grad():
            through = (1 - self._alpha).clamp_min(_LEAST_LIGHT)[..., None]
            # What lies behind is what is shown and not drawn; its light grows less with alpha.
            behind = (shown - self._colour) / through
            alpha_slope = -(slopes * behind).sum(-1)
        means, rotations, scales, opacities, colours = torch.autograd.grad(
            [self._colour, self._alpha],
            self._leaves,
            [slopes, alpha_slope],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return Gradients(
            means=_array(means),
            turns=_array(turn_gradients(self._leaves.rotations.detach(), rotations)),
            scales=_array(scales),
            opacities=_array(opacities),
            colours=_array(colours),
        )

    def footprints(self) -> Float:
        """[N] how many pixels' worth each splat is; see `FitRasteriser`."""
        a, b, c = self._conics.T
        area = 2 * math.pi / torch.sqrt((a * c - b * b).clamp_min(1e-20))
        return _array(torch.where(self._seen, self._leaves.opacities.detach() * area, 0.0))

    def _sent(self, values: Float) -> Tensor:
        """A copy on the device."""
        return torch.tensor(np.asarray(values, np.float32), device=self._device)


def turn_gradients(rotations: Tensor, gradients: Tensor) -> Tensor:
    """[N, 3] per radian about the splats' own axes, from gradients [N, 4] of their quaternions.

    A small turn w about own axes takes q to q (1, w / 2), the Hamilton product; so to first order
    its gradient is that of q along q (0, e_k) / 2, for each axis k.
    """
    w, x, y, z = rotations.unbind(-1)
    along = torch.stack(
        [
            torch.stack([-x, w, z, -y], -1),
            torch.stack([-y, -z, w, x], -1),
            torch.stack([-z, y, -x, w], -1),
        ],
        -2,
    )
    return 0.5 * (along * gradients[..., None, :]).sum(-1)


def _array(values: Tensor) -> Float:
    return np.ascontiguousarray(values.detach().cpu().numpy(), np.float32)
