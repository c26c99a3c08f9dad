"""How far hair (or a hat) stands off the skull: the fitted head, grown by it.

The photograph shows the outline of the hair and the fit the outline of the skull. Between them
lies the hair's thickness, by direction around the head; the skull grown by it along its normals
has the hair's own round shape from every side, which no height above the photograph's plane has.
"""

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from avatar.head.rasterise import rasterise
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import sample
from avatar.portrait.landmarks import CHIN
from avatar.portrait.mesh import vertex_normals
from avatar.portrait.sitter import Sitter
from avatar.types import Float

_DIRECTIONS = 180
_SMOOTHED_RAD = 0.25
_THICKEST_M = 0.07
_RISES_M = 0.04
"""From the bare skin's border it takes this far to reach its thickness."""
_LEAST_M = 0.002
_BEHIND_M, _SOCKETS_M = 0.03, 0.01
_FALLS_SHARE = 0.6
_BELOW_EARS_M = 0.02
"""It thins out from the ears' middle down to the nape over this height."""


def haired(sitter: Sitter) -> Float:
    """[V, 3] the posed head, its scalp moved outwards by the thickness of what covers it."""
    template, camera = sitter.template, sitter.fit.camera
    triangles = template.triangles
    normals = vertex_normals(sitter.normals, triangles, len(template.vertices))
    ears_height = float(sitter.posed[sitter.ears, 1].mean())
    scalp = np.clip((sitter.posed[:, 1] - ears_height) / _BELOW_EARS_M + 0.5, 0, 1)
    centre = camera.project(_skull_centre(sitter)[None])[0, :2]
    thickness = _by_direction(sitter, centre, ears_height)
    projected = camera.project(sitter.posed)
    arm = projected[:, :2] - centre
    place = np.arctan2(-arm[:, 1], arm[:, 0]) / (2 * np.pi) * _DIRECTIONS
    own = np.interp(place, np.arange(_DIRECTIONS), thickness, period=_DIRECTIONS)
    # In the middle of the picture, where direction means nothing, hair has its mean thickness.
    above = _upper(np.arange(_DIRECTIONS) / _DIRECTIONS * 2 * np.pi)
    mean = float(np.average(thickness, weights=above))
    reach = np.linalg.norm(arm, axis=1) / max(float(np.linalg.norm(arm, axis=1).max()), 1e-6)
    own = mean + (own - mean) * np.clip(reach / 0.6, 0, 1)
    grown = np.where(_hidden(sitter, projected), 1, _rise(sitter, projected)) * scalp * own
    return (sitter.posed + grown[:, None] * normals).astype(np.float32)


def _skull_centre(sitter: Sitter) -> Array:
    """[3] between the ears, above them."""
    return sitter.posed[sitter.ears].mean(0) + np.array([0, 0.03, 0])


def _by_direction(sitter: Sitter, centre: Array, ears_height: float) -> Array:
    """[_DIRECTIONS] metres between the skull's outline and the person's, around `centre`."""
    camera, triangles = sitter.fit.camera, sitter.template.triangles
    height, width = sitter.depth.shape
    above = sitter.posed[triangles][:, :, 1].min(1) > ears_height - 0.03
    skull = triangles[sitter.skin & ~sitter.ear_triangles & above]
    inside = np.isfinite(rasterise(camera.project(sitter.posed), skull, width, height).depth)
    person = sitter.portrait.person > 0.5
    angle = np.arange(_DIRECTIONS) / _DIRECTIONS * 2 * np.pi
    ray = np.stack([np.cos(angle), -np.sin(angle)], -1)
    steps = np.arange(0.03, 0.24, 0.001) * camera.pixels_per_metre
    points = centre + steps[:, None, None] * ray
    on_skull = _last(inside, points)
    beyond = (_last(person, points) - on_skull) * 0.001
    # The picture's border is no outline, and towards the shoulders none is to be seen.
    at = centre + (on_skull * 0.001 + 0.03)[:, None] * camera.pixels_per_metre * ray
    free = _upper(angle) * (at > 8).all(1) * (at < np.array([width, height]) - 8).all(1)
    beyond = np.clip(beyond, _LEAST_M, _THICKEST_M)
    sigma = _SMOOTHED_RAD / (2 * np.pi) * _DIRECTIONS
    weight = gaussian_filter1d(free + 1e-3, sigma, mode="wrap")
    return gaussian_filter1d((free + 1e-3) * beyond, sigma, mode="wrap") / weight


def _upper(angle: Array) -> Array:
    """[n] 1 for directions above the ears, 0 for those below."""
    return np.clip((np.sin(angle) + 0.35) / 0.2, 0, 1)


def _last(mask: Mask, points: Array) -> Array:
    """[n] index of the last of the points [k, n, 2] along a ray that lies in the mask, before the
    ray has left it."""
    found = sample(mask.astype(np.float32)[..., None], points.reshape(-1, 2).astype(np.float32))
    inside = found.reshape(points.shape[:2]) > 0.5
    left = np.cumsum(~inside, axis=0) > 4
    return np.where(left.any(0), left.argmax(0) - 4, len(points)) - 1


def _rise(sitter: Sitter, projected: Array) -> Array:
    """[V] 0 on the bare skin in the picture, 1 well beyond its border."""
    covered = (sitter.bare_skin == 0).astype(np.uint8)
    beyond = np.asarray(cv2.distanceTransform(covered, cv2.DIST_L2, 5), np.float32)
    metres = sample(beyond[..., None], projected[:, :2])[:, 0] / sitter.fit.camera.pixels_per_metre
    return np.sqrt(np.clip(metres / _RISES_M, 0, 1))


def _hidden(sitter: Sitter, projected: Array) -> Mask:
    """[V] on the far side of the head."""
    depth = np.where(np.isfinite(sitter.depth), sitter.depth, 0)
    nearest = sample(depth[..., None], projected[:, :2])[:, 0]
    # Eye sockets and nostrils lie behind the skin too, but not behind the ears.
    behind_ears = sitter.posed[:, 2] < sitter.posed[sitter.ears, 2].mean() + _SOCKETS_M
    return (projected[:, 2] > nearest + _BEHIND_M) & behind_ears


def falls(sitter: Sitter) -> bool:
    """Whether hair hangs down beside the neck, so that the neck's back is not to be seen."""
    camera, chin = sitter.fit.camera, sitter.face.landmarks[CHIN, 1]
    row = np.arange(len(sitter.depth))[:, None]
    metres = camera.pixels_per_metre
    band = (row > chin - 0.02 * metres) & (row < chin + 0.015 * metres)
    covered = np.isfinite(sitter.depth).astype(np.uint8)
    beside = np.asarray(cv2.distanceTransform(1 - covered, cv2.DIST_L2, 5)) / metres
    near = band & (beside > 0.002) & (beside < 0.03)
    hair = near & (sitter.regions.hair * sitter.portrait.person > 0.5)
    return bool(hair.sum() > _FALLS_SHARE * max(int(near.sum()), 1))
