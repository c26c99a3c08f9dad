"""Hair, ears, hat, shoulders: everything around the face, as a rounded relief of the silhouette.

No morph describes hair or a collar, but the photograph shows their outline exactly. The outline is
inflated like a cushion (a Poisson equation for the squared height gives a sphere for a disc,
an ellipse for a bar), held against the fitted template where that lies underneath (a skull with
hair of some thickness, a neck), and closed by a back that follows the template's own back. So
from the photograph's view the silhouette is exact, whatever the person wears, and from the
sides it is round.

Heights are measured towards the camera from a middle surface, which is where the template's
outline lies: behind the cheeks, through the ears, down the neck.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import spsolve

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.types import Float, Index

CELL_M = 0.005
"""Width of the relief's grid: splats between its nodes carry the finer outline."""
_MOST_NODES = 3600
"""A large person gets wider cells instead of more: each triangle costs a splat at least."""
_OUTLINE = 0.5
_TUCK_M = 0.004
"""How far the relief runs under the face behind its skin, so that no gap opens at the border."""
_OVERLAY_M = 0.0012
"""How far it stands before the skin elsewhere, so that the two do not fight for the front."""
_COLLAR_M = 0.004
"""The same below the chin: cloth stands off a throat."""
_DEEPEST_BODY_M = 0.085
_DEEPEST_HEAD_M = 0.125
_HOLD = 12.0
"""How strongly the template underneath holds the relief, against its roundness."""
_LOWEST_M = 0.004
"""Where the template holds it, the relief stands at least so far from the middle surface."""
_RIM_BEND_M, _SKIN_RIM_BEND_M = 0.004, 0.022
"""Behind the outline: where the rim that carries the soft border ends, of hair and clothes, which
the refinement shall draw as softly as the photograph does, and of skin, where it shall leave the
colour alone: skin is drawn by the template, right beside it."""
_BESIDE_SKIN = 2.0
"""Cells between a rim that is skin's and the face."""
_SEAM_INSET_M, _SEAM_HALF_M = 0.005, 0.012
"""Of the ribbon that joins front and back: how far inside the outline, and half its width."""
_PIN = 1e4
"""As `_HOLD`, on the outline: firmly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the relief is made from; images of one size, in the photograph's pixels."""

    person: Float
    """[H, W] 0..1."""
    face: Float
    """[H, W] 1 inside the face, which the template draws itself."""
    front: Float
    """[H, W] metres ahead of the camera of the skull with its hair, and the neck; inf where
    none."""
    back: Float
    """[H, W] the same of its far side; -inf where none."""
    middle: Float
    """[H, W] metres ahead of the camera of the surface on which the outline lies."""
    chin_row: float
    """The row of the chin: above it is head, below it body."""
    still_row: float
    """Above this row the face's border does not move with the jaw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """A closed shell, its front and back stitched at the outline."""

    vertices: Float
    """[R, 3] avatar space."""
    triangles: Index
    """[S, 3] counter-clockwise seen from outside."""
    pixel: Float
    """[R, 2] where in the photograph the vertex is seen."""
    height: Float
    """[R] metres before (or, on the back, behind) the surface on which the outline lies."""
    is_back: Mask
    """[R] bool: on the far side, whose colour no photograph shows."""
    is_ribbon: Mask
    """[R] bool: of the ribbon within, that closes the slit between front and back."""


def build_relief(scene: Surroundings, camera: PhotoCamera) -> Relief:
    """The shell of everything but the face."""
    by_area = float(np.sqrt((scene.person > _OUTLINE).sum() / _MOST_NODES))
    cell = max(2.0, CELL_M * camera.pixels_per_metre, by_area)
    grid = _Grid(scene, cell)
    within_face = grid.face > 0.5
    tucked = within_face & ~_eroded(within_face, rounds=3)
    outside_face = grid.inside & (~within_face | tucked)
    # Above the jaw hair lies on the skin and fades out over it; below, the jaw moves before it.
    moving = (grid.y > scene.still_row) & ~(grid.y > scene.chin_row)
    over = np.where(grid.y > scene.chin_row, _COLLAR_M, _OVERLAY_M)
    under_face = np.where(moving, -_TUCK_M, over)
    over_skin = grid.middle - grid.front + np.where(tucked, under_face, over)
    front = _heights(grid, camera, outside_face, over_skin)
    back = _heights(grid, camera, grid.inside, grid.back - grid.middle + _OVERLAY_M)
    return _mesh(grid, camera, outside_face, front, back)


class _Grid:
    """The images at the nodes of a coarse grid over the person."""

    def __init__(self, scene: Surroundings, cell: float) -> None:
        rows, columns = np.nonzero(scene.person > _OUTLINE)
        height, width = scene.person.shape
        margin = 3 * cell
        left, right = max(columns.min() - margin, 0), min(columns.max() + margin, width - 1)
        top, bottom = max(rows.min() - margin, 0), min(rows.max() + margin, height - 1)
        self.x, self.y = np.meshgrid(
            np.linspace(left, right, max(3, round((right - left) / cell) + 1)),
            np.linspace(top, bottom, max(3, round((bottom - top) / cell) + 1)),
        )
        self.cell = cell
        self.person = self._sample(scene.person, cv2.INTER_LINEAR)
        self.face = self._sample(scene.face, cv2.INTER_LINEAR)
        self.front = self._sample(scene.front, cv2.INTER_NEAREST)
        self.back = self._sample(scene.back, cv2.INTER_NEAREST)
        self.inside = self.person > _OUTLINE
        # A thin rim beyond the outline carries its soft border.
        self.rim = _grown(self.inside) & ~self.inside
        self.above_chin = self.y < scene.chin_row
        # The picture's own border is no outline: the person goes on beyond it.
        near = 1.5 * cell
        beside = (self.x < near) | (self.x > width - near)
        self.cut = self.inside & (beside | (self.y < near) | (self.y > height - near))
        # Left and right the shell is closed all the same: seen from there it would be hollow.
        self.beside = self.inside & beside
        self._fit_outline(scene.person > _OUTLINE)
        self._fit_face(scene.face)
        self.middle = self._sample(scene.middle, cv2.INTER_LINEAR)

    def _fit_outline(self, person: Mask) -> None:
        """Move the nodes at the border onto the outline itself, so that it shows no stairs."""
        solid = person.astype(np.uint8)
        within = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
        beyond = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
        here, slope_x, slope_y, steepness = self._to_border(within - beyond)
        first = self.inside & ~_eroded(self.inside) & ~self.cut
        to_outline = np.where(first, -here, np.where(self.rim, -0.8 * self.cell - here, 0.0))
        to_outline = np.clip(to_outline, -1.2 * self.cell, 1.2 * self.cell)
        self.inward = np.stack([slope_x, slope_y], -1) / steepness[..., None]
        self.x = self.x + to_outline * slope_x / steepness
        self.y = self.y + to_outline * slope_y / steepness

    def _fit_face(self, face: Array) -> None:
        """Likewise the nodes next to the face's border: there the relief stands before the skin
        still, and runs in behind it from there."""
        solid = (face > 0.5).astype(np.uint8)
        within = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
        beyond = cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5)
        here, slope_x, slope_y, steepness = self._to_border(within - beyond)
        self.beside_skin = here > -_BESIDE_SKIN * self.cell
        near = (np.abs(here) < 0.5 * self.cell) & _eroded(self.inside)
        self.x = self.x - np.where(near, here * slope_x / steepness, 0)
        self.y = self.y - np.where(near, here * slope_y / steepness, 0)
        self.face = np.where(near, 0, self.face)

    def _to_border(self, signed: NDArray[Any]) -> tuple[Array, Array, Array, Array]:
        """[gh, gw] each, at the nodes: how deep inside, the slope of that along x and y, and its
        size."""
        signed = cv2.GaussianBlur(signed, (0, 0), 0.4 * self.cell)
        slope_x = cv2.Sobel(signed, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        slope_y = cv2.Sobel(signed, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        slope_x = self._sample(slope_x, cv2.INTER_LINEAR)
        slope_y = self._sample(slope_y, cv2.INTER_LINEAR)
        steepness = np.maximum(np.hypot(slope_x, slope_y), 0.3)
        return self._sample(signed, cv2.INTER_LINEAR), slope_x, slope_y, steepness

    def _sample(self, image: NDArray[Any], how: int) -> Array:
        """[gh, gw] the image at the nodes."""
        x, y = self.x.astype(np.float32), self.y.astype(np.float32)
        found = cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)


def _heights(grid: _Grid, camera: PhotoCamera, domain: Mask, over_template: Array) -> Array:
    """[gh, gw] metres from the middle surface, >= 0, 0 on the outline.

    Solves (hold - Laplacian) u = 4 + hold * template_height^2 for u = height^2: without hold, the
    solution over a disc is a hemisphere.
    """
    nodes = np.full(domain.shape, -1)
    nodes[domain] = np.arange(domain.sum())
    count = int(domain.sum())
    held = domain & np.isfinite(over_template)
    here, there, weight = [], [], []
    diagonal = np.zeros(count)
    outline = np.zeros(count, bool)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        neighbour = np.roll(nodes, -step, axis)
        exists = np.ones(domain.shape, bool)
        border = [slice(None), slice(None)]
        border[axis] = slice(-1, None) if step == 1 else slice(0, 1)
        exists[tuple(border)] = False
        inside = np.roll(grid.inside, -step, axis)
        pair = domain & exists & (neighbour >= 0)
        here.append(nodes[pair])
        there.append(neighbour[pair])
        weight.append(np.full(int(pair.sum()), -1.0))
        diagonal[nodes[pair]] += 1
        outline[nodes[domain & exists & ~inside & ~grid.cut]] = True
    outline[nodes[domain & grid.beside]] = True
    hold, goal = np.zeros(count), np.zeros(count)
    hold[nodes[held]] = _HOLD
    goal[nodes[held]] = np.maximum(over_template[held], _LOWEST_M) ** 2
    hold[outline], goal[outline] = _PIN, 0
    each = np.arange(count)
    values = np.concatenate([*weight, diagonal + hold + 1e-6])
    places = np.concatenate([*here, each]), np.concatenate([*there, each])
    system: Any = sparse.coo_matrix((values, places), (count, count)).tocsc()
    cell_m = grid.cell / camera.pixels_per_metre
    squared: Any = spsolve(system, 4 * cell_m**2 + hold * goal)
    heights = np.zeros(domain.shape)
    heights[domain] = np.sqrt(np.maximum(squared, 0))
    deepest = np.where(grid.above_chin, _DEEPEST_HEAD_M, _DEEPEST_BODY_M)
    deepest = np.maximum(deepest, np.where(held, 1.2 * over_template, 0))
    deepest = np.asarray(cv2.GaussianBlur(deepest, (0, 0), 4), np.float64)
    return deepest * np.tanh(heights / deepest)


def _mesh(
    grid: _Grid, camera: PhotoCamera, outside_face: Mask, front: Array, back: Array
) -> Relief:
    """Two height fields, joined along the outline."""
    pixels = np.stack([grid.x, grid.y], -1)
    sheets = []
    offset = 0
    # The front's rim runs on around the outline, over the back. As a flange in the middle surface
    # it would face the camera as no real surface does there, and stand from the side as a thin
    # line of whatever the refinement found at the very border. The back's lies behind it: before
    # it, guessed hair would cover what the photograph shows.
    bend = np.where(grid.rim, np.where(grid.beside_skin, _SKIN_RIM_BEND_M, _RIM_BEND_M), 0.0)
    for domain, depth, is_back in (
        (outside_face | grid.rim, bend - front, False),
        (grid.inside | grid.rim, back + np.where(grid.rim, bend + _RIM_BEND_M, 0), True),
    ):
        index = np.full(domain.shape, -1)
        index[domain] = np.arange(offset, offset + domain.sum())
        offset += int(domain.sum())
        points = camera.unproject(pixels[domain], (grid.middle + depth)[domain])
        a, b = index[:-1, :-1], index[:-1, 1:]
        c, d = index[1:, :-1], index[1:, 1:]
        whole = (a >= 0) & (b >= 0) & (c >= 0) & (d >= 0)
        # Seen from the camera rows go down: a-c-b turns counter-clockwise.
        faces = np.concatenate([np.stack([a, c, b], -1)[whole], np.stack([b, c, d], -1)[whole]])
        faces = faces[:, ::-1] if is_back else faces
        sheets.append((points, faces, pixels[domain], is_back, np.abs(depth[domain])))
    sheets.append(_seam(grid, camera, front, back, offset))
    return Relief(
        vertices=np.concatenate([s[0] for s in sheets]).astype(np.float32),
        triangles=np.concatenate([s[1] for s in sheets]).astype(np.int32),
        height=np.concatenate([s[4] for s in sheets]).astype(np.float32),
        pixel=np.concatenate([s[2] for s in sheets]).astype(np.float32),
        is_back=np.concatenate([np.full(len(s[0]), s[3]) for s in sheets]),
        is_ribbon=np.repeat([False, False, True], [len(s[0]) for s in sheets]),
    )


def _seam(
    grid: _Grid, camera: PhotoCamera, front: Array, back: Array, offset: int
) -> tuple[Array, NDArray[Any], Array, bool, Array]:
    """A ribbon just inside the outline, across the middle surface: seen from the side it closes
    the slit between front and back, whose own edges are soft. As `_mesh` keeps its sheets."""
    border = grid.inside & ~_eroded(grid.inside) & (~grid.cut | grid.beside)
    kernel = np.ones((3, 3), np.uint8)
    deep = np.minimum(*(cv2.dilate(side.astype(np.float32), kernel) for side in (front, back)))
    half = np.minimum(0.6 * deep, _SEAM_HALF_M)
    inset = _SEAM_INSET_M * camera.pixels_per_metre
    pixels = np.stack([grid.x, grid.y], -1) + inset * grid.inward
    index = np.full(border.shape, -1)
    index[border] = offset + 2 * np.arange(border.sum())
    sides = (-half[border], half[border])
    points = [camera.unproject(pixels[border], grid.middle[border] + side) for side in sides]
    faces = []
    height, width = border.shape
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = index[: height - down, max(0, -right) : width - max(0, right)].ravel()
        there = index[down:, max(0, right) : width + min(0, right)].ravel()
        a, b = (end[(here >= 0) & (there >= 0)] for end in (here, there))
        faces += [np.stack([a, b, a + 1], -1), np.stack([b, b + 1, a + 1], -1)]
    twice = lambda values: np.repeat(values, 2, axis=0)  # noqa: E731
    return (
        np.stack(points, 1).reshape(-1, 3),
        np.concatenate(faces),
        twice(pixels[border]),
        False,
        twice(half[border]),
    )


def middle_surface(camera: PhotoCamera, plane_z: float, width: int, height: int) -> Float:
    """[H, W] metres ahead of the camera of the plane z = `plane_z` of avatar space: the coronal
    plane through the ears, where a head is widest and its outline lies."""
    x = (np.arange(width) + 0.5 - camera.centre_px[0]) / camera.focal_px
    y = -(np.arange(height)[:, None] + 0.5 - camera.centre_px[1]) / camera.focal_px
    # z of avatar space grows by `step` with each metre along a pixel's ray from the camera.
    along_x, along_y, along_z = (float(value) for value in camera.rotation[:, 2])
    step = np.minimum(along_x * x + along_y * y - along_z, -1e-3)
    ahead = (plane_z - float(camera.position[2])) / step
    return np.clip(ahead, CAMERA_DISTANCE_M - 0.1, CAMERA_DISTANCE_M + 0.3).astype(np.float32)


def _eroded(mask: Mask, rounds: int = 1) -> Mask:
    """Without the nodes that have one of their four neighbours outside."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.erode(mask.astype(np.uint8), cross, iterations=rounds, borderValue=1) > 0


def _grown(mask: Mask) -> Mask:
    """With the nodes that have one of their eight neighbours inside."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def _from(mask: Mask) -> Array:
    """How far every node is from the nearest one of the mask, in cells."""
    found: Any = distance_transform_edt(~mask)
    return found
