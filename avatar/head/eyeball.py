"""The eyeball: a sphere of rings about its optical axis, so that iris and pupil are rings too."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from avatar.types import Float, Index

SEGMENTS = 24
"""Meridians; 24 keep the rim of the iris round to 1 % of its radius."""
RING_ANGLES = np.radians(
    [
        3,
        6,
        8.5,
        11,
        14,
        17,
        20,
        22.5,
        25,
        28,
        32,
        37,
        43,
        50,
        58,
        67,
        78,
        90,
        105,
        120,
        135,
        150,
        165,
    ]
)
"""Angles of the rings from the optical axis, rad: close together where iris and pupil are."""
IRIS_ANGLE = np.radians(23.6)
"""The rim of the iris: 12 mm across on the template's eyeball of 15 mm radius."""
PUPIL_ANGLE = np.radians(8.5)
"""The rim of a pupil of 4.4 mm, as in a lit room."""


@cache
def unit_eyeball() -> tuple[Float, Index, Float]:
    """Directions [E, 3] of the vertices seen from the centre, triangles, angle from the axis [E].

    The axis is +z; the first vertex lies on it, the last one opposite. Triangles face outwards.
    """
    turn = np.arange(SEGMENTS) * (2 * np.pi / SEGMENTS)
    rings = [
        np.stack(
            [np.sin(a) * np.cos(turn), np.sin(a) * np.sin(turn), np.full(SEGMENTS, np.cos(a))], 1
        )
        for a in RING_ANGLES
    ]
    directions = np.concatenate([[[0.0, 0.0, 1.0]], *rings, [[0.0, 0.0, -1.0]]])
    angle = np.concatenate([[0.0], np.repeat(RING_ANGLES, SEGMENTS), [np.pi]])
    here = np.arange(SEGMENTS)
    after = (here + 1) % SEGMENTS
    last = len(directions) - 1
    triangles = [np.stack([np.zeros(SEGMENTS, int), 1 + here, 1 + after], 1)]
    for ring in range(len(RING_ANGLES) - 1):
        inner, outer = 1 + ring * SEGMENTS, 1 + (ring + 1) * SEGMENTS
        triangles.append(np.stack([inner + here, outer + here, outer + after], 1))
        triangles.append(np.stack([inner + here, outer + after, inner + after], 1))
    outer = 1 + (len(RING_ANGLES) - 1) * SEGMENTS
    triangles.append(np.stack([outer + here, np.full(SEGMENTS, last), outer + after], 1))
    return (
        directions.astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        angle.astype(np.float32),
    )


def eyeball_rotation(outward: Float) -> NDArray[np.float64]:
    """[3, 3] how an eyeball is turned whose vertices lie at [E, 3] from its centre: from its own
    frame, axis +z, to theirs (Kabsch 1976)."""
    directions, _, _ = unit_eyeball()
    u, _, vt = np.linalg.svd(outward.astype(np.float64).T @ directions)
    return u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
