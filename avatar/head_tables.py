"""All that posing one avatar's Gaussians takes, as plain arrays: for renderers that pose where they
draw.

`avatar.deform.Deformer` poses on the processor; it makes these tables and, for each frame, the few
numbers of a `HeadPose`. A graphics card keeps the tables and is sent the numbers. The order of work
is the Deformer's: expression offsets, eyeballs and lids, neck, triangle frames, residuals of the
splats at rest, splats, then colours: glance, times the shading of the expression, times the shadow
of lips on each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.types import Float, Index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadTables:
    """One avatar, made ready. Counts: M vertices, the template's V first; E offsets; T triangles;
    N splats; K shaded vertices; L lit splats; n splats of lips; U splats with residuals."""

    vertices: Float
    """[M, 3] at rest, metres."""
    offset_start: Index
    """[V + 1] where each template vertex's entries begin."""
    offset_weight: Index
    """[E] which of `HeadPose.weights` moves it."""
    offset: Float
    """[E, 3] metres at weight 1."""
    eye: Index
    """[V] 1 the left eyeball's, 2 the right one's, -1 or -2 skin that may touch it, else 0."""
    eye_centres: Float
    """[2, 3] metres."""
    lid_clearances: Float
    """[2] metres from an eye's centre that lids keep, or what they keep at rest if that is less."""
    neck_joint: Float
    """[3] metres."""
    neck_weights: Float
    """[M] 0 = with the shoulders, 1 = with the head."""

    triangles: Index
    """[T, 3] those with splats on them."""
    triangle_of: Index
    """[N] which of `triangles` a splat lives on."""
    positions: Float
    """[N, 3] as `Avatar.bound_position`."""
    rotations: Float
    """[N, 4] as `Avatar.bound_rotation`."""
    scales: Float
    """[N, 3] as `Avatar.bound_scale`."""
    opacities: Float
    """[N]"""
    colours: Float
    """[N, 3] sRGB, without glance or shading."""
    glance: Float
    """[N, 3] or, for none, [0, 3]: `Avatar.glance`."""

    shaded: Index
    """[K] vertices whose light an expression changes."""
    ring_start: Index
    """[K + 1] where each one's entries begin in `ring`."""
    ring: Index
    """[P, 2] the two other corners of a triangle around a shaded vertex, counter-clockwise."""
    shade_weight: Float
    """[K] how much of the change counts."""
    light: Float
    """[9] harmonics of the light, times their constants, the mean of the colours."""
    rest_light: Float
    """[K] light of the rest head."""
    rest_area: Float
    """[K] length of the sum of the ring's cross products, m², of the rest head."""
    lit: Index
    """[L] splats whose colour an expression changes, ascending."""

    lips: Index
    """[n] splats of both lips, all of them in `lit`."""
    lip_start: Index
    """[n + 1] where each one's entries begin in `lip_near`."""
    lip_near: Index
    """Entries of `lips` on the other lip that may come near."""
    lip_area: Float
    """[n] m² of skin that a splat stands for."""
    lip_darkest: Float
    """[n] what touching lips lose of their light."""
    lip_rest: Float
    """[n] the factor that is among the colours already."""

    residual_splats: Index
    """[U] splats that residuals change (`avatar.residual`), ascending; 0 rows = none."""
    residual_rows: Index
    """[U, 2] where each one's weights stand in `face_bases` and in `pose_bases`, or -1."""
    face_bases: Float
    """[R, F, 10] output weights for the features of the face, as `ResidualPart.bases`."""
    pose_bases: Float
    """[R', F', 10] likewise, for those of how the head is held."""

    constants: dict[str, float]
    """Numbers of the formulas: `TINY` (m), `ENCODED` (power), `DIMMEST`, `LEAST_RATIO`,
    `MOST_RATIO`, `FOLD` (power), `DEEPEST`, `LIP_SQUARE` (1/m²), `LIP_SCALE` (1/m²),
    `MOST_LOG_SIZE`."""

    def __len__(self) -> int:
        return len(self.triangle_of)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadPose:
    """What changes from frame to frame."""

    weights: Float
    """[W] of the expressions, the avatar's gain included, then of the tongue."""
    gaze: Float
    """[3, 3] turns both eyeballs from +z to where they look."""
    head_rotation: Float
    """[3] axis-angle about the neck joint, radians."""
    head_translation: Float
    """[3] metres."""
    glance: float
    """0..1 how much of the glance the viewer sees."""
    face_features: Float
    """[F] of `HeadTables.face_bases`, each within -1..1."""
    pose_features: Float
    """[F'] of `HeadTables.pose_bases`."""


def index_array(values: NDArray[np.generic]) -> Index:
    """As 32-bit whole numbers in one piece, which is what cards read."""
    return np.ascontiguousarray(values, np.int32)
