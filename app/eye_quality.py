"""How much is drawn for each eye: which part of its view, how finely, and how many splats."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.types import Float, Gaussians
from render.camera import View

MARGIN_PX = 3
"""Around the avatar: splats blur a little beyond their centres."""
SAMPLED, BEYOND_SAMPLE_M = 16, 0.008
"""Every so many splats are looked at; the others lie no further than this beyond them."""
SPREAD = 3.0
"""Standard deviations of a splat that are within the avatar's box."""


def bounds_of(gaussians: Gaussians) -> NDArray[np.float64]:
    """[2, 3] least and greatest corner of a box around the splats, avatar space, by a sample."""
    means, scales = gaussians.means[::SAMPLED], gaussians.scales[::SAMPLED]
    reach = SPREAD * scales.max(axis=1, keepdims=True)
    least, most = (means - reach).min(axis=0), (means + reach).max(axis=0)
    return np.array([least - BEYOND_SAMPLE_M, most + BEYOND_SAMPLE_M], np.float64)


def eye_parts(views: Sequence[View], box: NDArray[np.float64], scale: float) -> list[View]:
    """For each eye's whole view, the part of it that shows `box` [2, 3], as a view of its own whose
    pixels are `1 / scale` of the eye's wide. All have the same size.

    At a scale of 1 their pixels are the eye's own. An avatar that reaches behind the eye takes the
    whole view; one out of sight, a few pixels. A part may lie beyond the eye's edge where the other
    eye needs the room.
    """
    areas = [_area(view, box) for view in views]
    width = max(8, *(right - left for left, _, right, _ in areas))
    height = max(8, *(bottom - top for _, top, _, bottom in areas))
    drawn_width, drawn_height = max(4, round(width * scale)), max(4, round(height * scale))
    parts = []
    for view, (left, top, _, _) in zip(views, areas, strict=True):
        camera = view.intrinsics.copy()
        camera[:2, 2] -= left, top
        parts.append(
            View(
                camera_from_world=view.camera_from_world,
                intrinsics=np.diag([drawn_width / width, drawn_height / height, 1.0]) @ camera,
                width=drawn_width,
                height=drawn_height,
            )
        )
    return parts


def height_px(views: Sequence[View], box: NDArray[np.float64]) -> int:
    """How many of the eyes' pixels `box` is high."""
    return max(bottom - top for _, top, _, bottom in (_area(view, box) for view in views))


def _area(view: View, box: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what the box covers, whole pixels within the image."""
    corners = np.array(np.meshgrid(*box.T, indexing="ij")).reshape(3, -1).T
    depths = corners @ view.camera_from_world[2, :3] + view.camera_from_world[2, 3]
    if (depths < 0.05).any():
        return 0, 0, view.width, view.height
    seen = view.project(corners)
    left, top = np.floor(seen[:, :2].min(axis=0)) - MARGIN_PX
    right, bottom = np.ceil(seen[:, :2].max(axis=0)) + MARGIN_PX
    left, right = (int(min(max(x, 0), view.width)) for x in (left, right))
    top, bottom = (int(min(max(y, 0), view.height)) for y in (top, bottom))
    return left, top, max(left, right), max(top, bottom)


class Quality:
    """What the machine can hold: resolution gives way first, then the number of splats.

    The head's pose never does: it is asked for again in every frame.
    """

    LEAST_SCALE = 0.35
    LEAST_PX = 220
    """Height of the avatar's picture, below which fewer pixels save no time: splats then do."""
    LEAST_SHARE = 0.3
    SETTLE_FRAMES = 8
    TIGHT, ROOMY = 0.92, 0.60
    """Of the time for a frame: above the first less is drawn, long below the second more. What is
    between them is hysteresis: a step up costs at most 1 / STEP² = 1.35 of it, .6 * 1.35 = .81."""
    STEP, LARGEST_STEP = 0.86, 0.6
    PATIENCE_FRAMES = 60
    MOST_PATIENCE_FRAMES = 3600
    """A step up that did not hold is tried again later each time."""

    def __init__(self, *, adapts: bool = True) -> None:
        """`adapts`: False draws all, whatever it takes."""
        self._adapts = adapts
        self.scale = 1.0
        """Pixels drawn for one of the eye's, along a side."""
        self.share = 1.0
        """Of the splats."""
        self._recent = np.zeros(self.SETTLE_FRAMES)
        self._filled = self._roomy_frames = 0
        self._patience = self.PATIENCE_FRAMES
        self._just_grew = False

    def expect(self, work_s: float, period_s: float, full_px: int) -> None:
        """Begin with what a first frame in full, which took `work_s`, lets hope for."""
        if self._adapts and work_s > self.TIGHT * period_s:
            wanted = math.sqrt(self.TIGHT * period_s / work_s)
            self.scale = max(wanted, self._least_scale(full_px))

    def observe(self, work_s: float, period_s: float, full_px: int) -> None:
        """A frame took so long of the time that there is for one; the avatar's picture would be
        `full_px` high at a scale of 1."""
        if not self._adapts:
            return
        self._recent[self._filled % self.SETTLE_FRAMES] = work_s / period_s
        self._filled += 1
        if self._filled < self.SETTLE_FRAMES:
            return
        least_scale = self._least_scale(full_px)
        # Most of them, not one: a single late frame is somebody else's.
        used = float(np.percentile(self._recent, 25))
        self._roomy_frames = self._roomy_frames + 1 if np.median(self._recent) < self.ROOMY else 0
        if used > self.TIGHT:
            if self._just_grew:
                self._patience = min(2 * self._patience, self.MOST_PATIENCE_FRAMES)
            step = min(max(math.sqrt(self.TIGHT / used), self.LARGEST_STEP), self.STEP)
            if self.scale > least_scale:
                self._change(scale=max(self.scale * step, least_scale))
            elif self.share > self.LEAST_SHARE:
                self._change(share=max(self.share * step, self.LEAST_SHARE))
        elif self._roomy_frames >= self._patience:
            if self.share < 1.0:
                self._change(share=min(self.share / self.STEP, 1.0), grew=True)
            elif self.scale < 1.0:
                self._change(scale=min(self.scale / self.STEP, 1.0), grew=True)

    def _least_scale(self, full_px: int) -> float:
        return min(max(self.LEAST_PX / max(full_px, 1), self.LEAST_SCALE), 1.0)

    def _change(
        self, *, scale: float | None = None, share: float | None = None, grew: bool = False
    ) -> None:
        self.scale = self.scale if scale is None else scale
        self.share = self.share if share is None else share
        self._just_grew = grew
        self._filled = self._roomy_frames = 0


class Thinning:
    """Fewer splats of one avatar, evenly over it, each a little larger."""

    def __init__(self, count: int, seed: int = 0) -> None:
        """`count`: splats of the avatar."""
        # Without a pattern, and always the same ones: none flickers from frame to frame.
        self.count = count
        self._order = np.random.default_rng(seed).permutation(count)
        self._chosen = np.arange(count)

    def thinned(self, gaussians: Gaussians, share: float) -> Gaussians:
        """So many of all, 0..1; as they are where that is all."""
        count = len(gaussians)
        kept = max(1, round(share * count))
        if kept == count:
            return gaussians
        if len(self._chosen) != kept:
            self._chosen = np.sort(self._order[:kept])
        chosen = self._chosen
        growth = np.float32(math.sqrt(count / kept))  # the same skin is covered

        def taken(values: Float) -> Float:
            return np.ascontiguousarray(values[chosen])

        return Gaussians(
            means=taken(gaussians.means),
            rotations=taken(gaussians.rotations),
            scales=taken(gaussians.scales) * growth,
            opacities=taken(gaussians.opacities),
            colours=taken(gaussians.colours),
        )
