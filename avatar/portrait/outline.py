"""The fitted head is kept within the person's outline, which landmarks inside the face do not see.

Where jaw, ears or neck of the template stand out of the photographed person, the skin is drawn in
to the outline, in the picture's plane, and its surroundings follow softly. Left as it was, that
skin would wear the background's colours, or leave a hole behind the cheek if it were not drawn.
"""

from dataclasses import replace

import cv2
import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from avatar.head.template import HeadTemplate, Part
from avatar.portrait.colour import sample
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import CHIN
from avatar.portrait.mesh import between_corners, graph_laplacian
from avatar.types import Portrait

_INSIDE_M = 0.0015
"""The skin ends so far inside the outline, whose pixels are mixed with the background."""
_FURTHEST_M = 0.018
"""Skin further outside is hidden by something, or the mask is wrong."""
_FROM_CHIN_M = (-0.07, 0.13)
"""Down to the neck's end and up to the brows: above, hair hides the skull's outline."""
_HOLD, _REST = 40.0, 0.6
"""How firmly skin outside is drawn in, and all other skin held where it is, against the
Laplacian's stiffness: what is drawn in takes two or three centimetres along."""


def within_outline(template: HeadTemplate, fit: FaceFit, portrait: Portrait) -> FaceFit:
    """`fit` with its neutral head drawn in to the portrait's outline."""
    camera, metres = fit.camera, fit.camera.pixels_per_metre
    posed = fit.neutral + np.tensordot(fit.expression, template.expression_basis, 1)
    pixels = camera.project(posed)[:, :2].astype(np.float32)
    person = (portrait.person > 0.5).astype(np.uint8)
    beyond = np.asarray(cv2.distanceTransform(1 - person, cv2.DIST_L2, 5), np.float32)
    within = np.asarray(cv2.distanceTransform(person, cv2.DIST_L2, 5), np.float32)
    signed = cv2.GaussianBlur(beyond - within, (0, 0), max(1.0, 0.002 * metres))
    slope = np.stack(
        [cv2.Sobel(signed, cv2.CV_32F, *axis, ksize=3, scale=1 / 8) for axis in ((1, 0), (0, 1))],
        -1,
    ).astype(np.float32)
    outside_m = sample(np.asarray(signed, np.float32)[..., None], pixels)[:, 0] / metres
    outside_m = outside_m + _INSIDE_M
    away = sample(slope, pixels)
    away = away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.5)

    corners = template.triangles[template.landmark_triangle[CHIN]]
    chin = between_corners(template.landmark_barycentric[CHIN][None], fit.neutral[corners][None])
    height = fit.neutral[:, 1] - chin[0, 1]
    size = portrait.person.shape[::-1]
    stands_out = (
        (template.vertex_part == Part.SKIN)
        & (height > _FROM_CHIN_M[0])
        & (height < _FROM_CHIN_M[1])
        & (outside_m > 0)
        & (outside_m < _FURTHEST_M)
        & np.all((pixels > 2) & (pixels < np.array(size) - 3), axis=1)
    )
    if not stands_out.any():
        return fit
    draw = np.where(stands_out[:, None], -outside_m[:, None] * away, 0)
    skin = template.triangles[np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))]
    count = len(template.vertices)
    laplacian = graph_laplacian(template.vertices.astype(np.float64), skin, count)
    hold = np.where(stands_out, _HOLD, _REST)
    solver = splu((laplacian + sparse.diags(hold)).tocsc())
    flat = np.stack([solver.solve(hold * draw[:, axis]) for axis in range(2)], 1)
    move = np.concatenate([flat * (1, -1), np.zeros((count, 1))], 1) @ camera.rotation
    return replace(fit, neutral=(fit.neutral + move).astype(np.float32))
