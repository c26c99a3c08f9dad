"""Colours from one photograph: what it shows squarely is taken, what it hides is filled.

Filled, in this order of trust: from the other half of the face, from the surroundings on the skin
(a Poisson equation over the mesh), and for hair and clothes from the nearest of their kind.
"""

from typing import Any

import cv2
import numpy as np
import scipy.sparse as sparse
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import splu

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.camera import PhotoCamera
from avatar.portrait.mesh import graph_laplacian
from avatar.types import Float, Index

SQUARE = (0.18, 0.55)
"""Cosine of the angle to the camera from which, and by which, a colour is believed."""
_DEPTH_SLACK_M = 0.006
_REMAP_COLUMNS = 4096
"""OpenCV's remap takes at most 32767 columns."""
_RIM_M = 0.003
"""Inside the person's outline, where hair and lens mix it with the background."""
_SOLID = 0.96
"""Person mask above which a pixel holds no background."""


_SEEN_HOLD, _TWIN_HOLD = 3.0, 0.002
"""What is seen against a vertex's neighbours; what is mirrored, which only steps are taken of."""


class PhotoColours:
    """The photograph as a source of colours, cleaned of its background."""

    def __init__(self, image: Float, person: Float, pixels_per_metre: float) -> None:
        self.person = person
        self.pixels_per_metre = pixels_per_metre
        # Border pixels are mixed with the background: take the nearest solid one instead.
        rim = 2 * max(1, round(_RIM_M * pixels_per_metre)) + 1
        solid = cv2.erode((person > _SOLID).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0
        mixed = solid.any() and not solid.all()
        self.image = nearest(image, solid) if mixed else image
        self._levels: dict[int, Float] = {}

    def at(self, pixels: Array, spacing_m: float) -> Float:
        """[N, 3] colours at [N, 2] pixels, averaged over about a splat's own size."""
        sigma = 0.35 * spacing_m * self.pixels_per_metre
        level = max(0, round(4 * sigma))
        if level not in self._levels:
            blurred = cv2.GaussianBlur(self.image, (0, 0), level / 4) if level > 1 else self.image
            self._levels[level] = np.asarray(blurred, np.float32)
        return sample(self._levels[level], pixels)

    def person_at(self, pixels: Array) -> Float:
        """[N] 0..1: person mask at [N, 2] pixels; 0 outside the picture."""
        return sample(self.person[..., None], pixels)[:, 0] * self.within(pixels)

    def within(self, pixels: Array) -> Mask:
        """[N] bool: inside the picture."""
        height, width = self.person.shape
        x, y = pixels[:, 0], pixels[:, 1]
        return (x >= 0) & (y >= 0) & (x < width) & (y < height)


def sample(image: Float, pixels: Array) -> Float:
    """[N, C] bilinear samples of [H, W, C] at [N, 2] pixels; the first centre is (0.5, 0.5).

    Beyond the picture its border goes on.
    """
    rows = -(-len(pixels) // _REMAP_COLUMNS)
    grid = np.zeros((rows * _REMAP_COLUMNS, 2), np.float32)
    grid[: len(pixels)] = pixels - 0.5
    x, y = grid.reshape(rows, _REMAP_COLUMNS, 2).transpose(2, 0, 1)
    result = cv2.remap(
        image,
        np.ascontiguousarray(x),
        np.ascontiguousarray(y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(result, np.float32).reshape(grid.shape[0], -1)[: len(pixels)]


def nearest(image: Float, known: Mask) -> Float:
    """The image with every unknown pixel replaced by its nearest known one."""
    rows, columns = _nearest_known(known)
    return np.ascontiguousarray(image[rows, columns])


def _nearest_known(known: Mask) -> tuple[Index, Index]:
    """[H, W] twice: row and column of the nearest known pixel."""
    found: Any = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return found[0], found[1]


def squareness(
    normals: Array, points: Array, camera: PhotoCamera, between: tuple[float, float] = SQUARE
) -> Float:
    """[N] 0..1 how squarely the camera sees a surface: 0 up to the lesser cosine of `between`, 1
    from the greater on."""
    to_camera = camera.position - points
    to_camera = to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True)
    cosine = (normals * to_camera).sum(1)
    return np.clip((cosine - between[0]) / (between[1] - between[0]), 0, 1).astype(np.float32)


def unoccluded(points: Array, camera: PhotoCamera, depth: Float) -> Mask:
    """[N] bool: nothing of the head lies before the point. `depth` [H, W] metres ahead."""
    projected = camera.project(points)
    height, width = depth.shape
    column = np.clip(projected[:, 0].astype(int), 0, width - 1)
    row = np.clip(projected[:, 1].astype(int), 0, height - 1)
    return projected[:, 2] < depth[row, column] + _DEPTH_SLACK_M


def fill_in(
    rest: Array,
    triangles: Index,
    *,
    seen: Array,
    trust: Array,
    twin: Array,
    lent: Array,
    likely: Array,
    pull: Array,
) -> Float:
    """[V, C] values for every vertex of a surface, seen or not, without seams.

    Poisson image editing (Pérez et al. 2003) on a mesh: where nothing is seen, neighbours differ
    as they do on the other half, or not at all, and the whole is shifted to meet what is seen.

    Args:
        rest: [V, 3] the head, for edge lengths.
        triangles: [T, 3] the surface.
        seen: [V, C] what is seen at each vertex.
        trust: [V] 0..1 how far to believe it.
        twin: [V, C] what is seen at each vertex's partner on the other half.
        lent: [V] 0..1 how far to believe that here.
        likely: [V, C] what to tend to,
        pull: [V] and how strongly, against a vertex's neighbours: more than 0.
    """
    # In single precision faint pulls would drown in the rounding of large sums.
    laplacian = graph_laplacian(rest.astype(np.float64), triangles, len(rest))
    degree = laplacian.diagonal()
    edges: Any = sparse.triu(laplacian, 1).tocoo()
    a, b = edges.row, edges.col
    step = (-edges.data * np.minimum(lent[a], lent[b]))[:, None] * (twin[a] - twin[b])
    right = np.zeros(seen.shape)
    np.add.at(right, a, step)
    np.add.at(right, b, -step)
    known = _SEEN_HOLD * degree * trust
    lending = _TWIN_HOLD * degree * lent * (1 - trust)
    faint = pull * np.maximum(degree, 1) * (1 - trust)
    right += known[:, None] * seen + lending[:, None] * twin + faint[:, None] * likely
    system = laplacian + sparse.diags(known + lending + faint + 1e-12)
    return splu(system.tocsc()).solve(right).astype(np.float32)


def like_skin(colour: Array, skin: Array) -> Float:
    """[N] 0..1: whether [N, 3] colours could be the skin `skin` [3] in other light (CIE Lab)."""
    lab = cv2.cvtColor(colour.reshape(1, -1, 3).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    reference = cv2.cvtColor(skin.reshape(1, 1, 3).astype(np.float32), cv2.COLOR_RGB2LAB)[0, 0]
    distance = np.linalg.norm((lab - reference) * (0.5, 1.3, 1.3), axis=-1)
    return np.clip((26 - distance) / 10, 0, 1).astype(np.float32)
