"""The posed head carries its Gaussians: rest Gaussians bound to triangles -> Gaussians now.

Binding as in GaussianAvatars (Qian et al. 2024, sec. 3.2): a splat keeps its place, turn and size
relative to its triangle. Unlike there, the place is barycentric plus a height along the normal,
so a splat stays over the same spot of the skin when its triangle shears.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray

from avatar.errors import AvatarFileError
from avatar.expression_shading import SHADING_CONSTANTS, ExpressionShading
from avatar.glance import glance_weight, mix_in
from avatar.head.pose import (
    LID_CLEARANCE,
    blend_weights,
    eye_centres,
    gaze_rotation,
    pose,
    pose_tables,
)
from avatar.head.template import HeadTemplate, load_template
from avatar.head_tables import HeadPose, HeadTables, index_array
from avatar.lip_shadow import LIP_CONSTANTS, LipShadow, lip_splats
from avatar.read_only import read_only
from avatar.residual import MOST_LOG_SIZE, WIDTH, ResidualField, motion_code
from avatar.types import Avatar, Float, Gaussians, Index, MotionFrame

_SMALLEST = 1e-9
"""Metres: what a collapsed triangle counts as, so that nothing divides by zero."""


def triangle_frames(vertices: Float, triangles: Index) -> tuple[Float, Float, Float]:
    """Origin [T, 3], quaternion [T, 4] and size [T] of each triangle's own frame.

    The origin is corner A; x runs along A->B, z along the normal (outwards for a
    counter-clockwise triangle), y completes a right-handed frame. The size is the mean of the
    length of A->B and of the height of C above it (GaussianAvatars' k), metres.
    """
    count = len(triangles)
    origins = np.empty((count, 3), np.float32)
    rotations = np.empty((count, 4), np.float32)
    sizes = np.empty(count, np.float32)
    normals = np.empty((count, 3), np.float32)
    _frames(
        read_only(vertices, np.float32),
        read_only(triangles, np.int32),
        origins,
        rotations,
        normals,
        sizes,
    )
    return origins, rotations, sizes


def bind(
    vertices: Float,
    triangles: Index,
    triangle: Index,
    means: Float,
    rotations: Float,
    scales: Float,
) -> tuple[Float, Float, Float]:
    """`Avatar.bound_position`, `bound_rotation`, `bound_scale` of splats given in avatar space.

    `triangle` [N] says on which triangle of the rest head each splat shall live.
    """
    a, b, c = (vertices[triangles[triangle, k]].astype(np.float64) for k in range(3))
    _, frame_rotations, sizes = triangle_frames(vertices, triangles[triangle])
    ab, ac, arm = b - a, c - a, means - a
    normal = np.cross(ab, ac)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), _SMALLEST**2)
    dot = lambda p, q: np.einsum("nk,nk->n", p, q)  # noqa: E731
    bb, bc, cc, pb, pc = dot(ab, ab), dot(ab, ac), dot(ac, ac), dot(arm, ab), dot(arm, ac)
    determinant = np.maximum(bb * cc - bc * bc, _SMALLEST**4)
    weight_b = (cc * pb - bc * pc) / determinant
    weight_c = (bb * pc - bc * pb) / determinant
    height = dot(arm, normal) / sizes
    inverse = frame_rotations * np.array([1, -1, -1, -1], np.float32)
    return (
        np.stack([weight_b, weight_c, height], 1).astype(np.float32),
        multiply_quaternions(inverse, rotations).astype(np.float32),
        (scales / sizes[:, None]).astype(np.float32),
    )


def multiply_quaternions(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """[..., 4] Hamilton product, (w, x, y, z): `right` first, then `left`."""
    w0, x0, y0, z0 = np.moveaxis(left, -1, 0)
    w1, x1, y1, z1 = np.moveaxis(right, -1, 0)
    return np.stack(
        [
            w0 * w1 - x0 * x1 - y0 * y1 - z0 * z1,
            w0 * x1 + x0 * w1 + y0 * z1 - z0 * y1,
            w0 * y1 - x0 * z1 + y0 * w1 + z0 * x1,
            w0 * z1 + x0 * y1 - y0 * x1 + z0 * w1,
        ],
        -1,
    )


def _check_template(avatar: Avatar, template: HeadTemplate) -> None:
    """Refuse an avatar whose vertices continue another template: its skin would be torn."""
    count = len(template.vertices)
    made_for = avatar.provenance.get("template", template.digest)
    if len(avatar.vertices) < count or made_for != template.digest:
        raise AvatarFileError(
            f"avatar {avatar.name!r}: made for another head template (it has "
            f"{len(avatar.vertices)} vertices, this one begins with {count}). Make it again from "
            "its portrait with this version: visavis make"
        )


def bound_sizes(avatar: Avatar) -> Float:
    """[N] metres: size of the triangle that each Gaussian lives on, at rest."""
    return triangle_frames(avatar.vertices, avatar.triangles)[2][avatar.bound_triangle]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carrying:
    """A posed head as gradients need it."""

    vertices: Float
    """[M, 3]"""
    triangles: Index
    """[T, 3] those with Gaussians on them."""
    triangle_of: Index
    """[N] which of these each one lives on."""
    normals: Float
    """[T, 3]"""
    sizes: Float
    """[T] metres."""
    rotations: Float
    """[T, 4] of their frames (`triangle_frames`)."""
    light: Float
    """[V] what colours on the template's vertices are multiplied with: the expression's shading,
    without the shadow between the lips."""
    factors: Float
    """[L] what colours of lit Gaussians were multiplied with."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pose; neutral where nothing is given."""

    expression: Float | None
    tongue: Float | None
    gaze: Float | None
    head_rotation: Float | None
    head_translation: Float | None

    def beside(self, motion: MotionFrame) -> "_Asked":
        """Of `motion` what is not given here."""

        def given(name: str) -> Float:
            own = getattr(self, name)
            return getattr(motion, name) if own is None else own

        return _Asked(*(given(name) for name in _ASKED))


_ASKED = "expression", "tongue", "gaze", "head_rotation", "head_translation"


class Deformer:
    """One avatar, ready to move. Not for use by two threads at once."""

    def __init__(self, avatar: Avatar, template: HeadTemplate | None = None) -> None:
        """Raises: AvatarFileError where the avatar continues another template."""
        self._avatar = avatar
        self._template = load_template() if template is None else template
        _check_template(avatar, self._template)
        used, local = np.unique(avatar.bound_triangle, return_inverse=True)
        self._triangles = np.ascontiguousarray(avatar.triangles[used], np.int32)
        self._triangle_of = np.ascontiguousarray(local, np.int32)
        count = len(used)
        self._vertices = np.empty((len(avatar.vertices), 3), np.float32)
        self._eyes = eye_centres(self._template, avatar.vertices)
        self._origins = np.empty((count, 3), np.float32)
        self._rotations = np.empty((count, 4), np.float32)
        self._normals = np.empty((count, 3), np.float32)
        self._sizes = np.empty(count, np.float32)
        self._shading = ExpressionShading(
            self._template, avatar.vertices, avatar.neck_weights, avatar.light
        )
        lit = np.zeros(len(avatar.triangles), bool)
        lit[: len(self._template.triangles)] = self._shading.changes(self._template)
        lips = np.concatenate(lip_splats(self._template, avatar))
        self._lit = np.union1d(np.flatnonzero(lit[avatar.bound_triangle]), lips).astype(np.int32)
        self._factors = np.ones(len(self._lit), np.float32)
        self._colours = np.ascontiguousarray(avatar.colour[self._lit], np.float32)
        residual = avatar.face_residual is not None or avatar.pose_residual is not None
        self._residual = ResidualField(avatar, self._lit) if residual else None
        self._results = tuple(
            Gaussians(
                means=np.empty((len(avatar), 3), np.float32),
                rotations=np.empty((len(avatar), 4), np.float32),
                scales=np.empty((len(avatar), 3), np.float32),
                opacities=np.array(avatar.opacity, np.float32, order="C"),
                colours=np.array(avatar.colour, np.float32, order="C"),
            )
            for _ in range(2)
        )
        self._turn = 0
        self._mixed = [0.0, 0.0]
        self._mixed_lit = 0.0
        self._lips: LipShadow | None = None
        self._lips = LipShadow(self._template, avatar, self.gaussians())
        self._lip_entries = np.searchsorted(self._lit, self._lips.splats).astype(np.int32)

    @property
    def avatar(self) -> Avatar:
        """The avatar that moves."""
        return self._avatar

    @property
    def residual(self) -> ResidualField | None:
        """What changes the Gaussians at rest, of the last call; None where the avatar has none."""
        return self._residual

    def state(self) -> "Carrying":
        """How the last call carried the Gaussians; overwritten by the next."""
        return Carrying(
            vertices=self._vertices,
            triangles=self._triangles,
            triangle_of=self._triangle_of,
            normals=self._normals,
            sizes=self._sizes,
            rotations=self._rotations,
            light=self._shading.latest,
            factors=self._factors,
        )

    @property
    def vertices(self) -> Float:
        """[M, 3] the posed head of the last call; overwritten by the next."""
        return self._vertices

    @property
    def colour_factors(self) -> Float:
        """[N] what the last call multiplied `avatar.colour` with: the shading of its expression."""
        factors = np.ones(len(self._avatar), np.float32)
        factors[self._lit] = self._factors
        return factors

    def gaussians(
        self,
        motion: MotionFrame | None = None,
        *,
        expression: Float | None = None,
        tongue: Float | None = None,
        gaze: Float | None = None,
        head_rotation: Float | None = None,
        head_translation: Float | None = None,
        seen_from: ArrayLike | None = None,
    ) -> Gaussians:
        """The avatar's Gaussians in avatar space, in a pose; neutral where nothing is given.

        A named argument replaces that field of `motion`. `seen_from` [3] is where the viewer
        stands, avatar space: near the photograph's own view the glance is mixed into the colours
        (`avatar.glance`); None leaves it out. The arrays are reused: a result stays
        as it is until the call after the next one (two sets take turns).
        """
        asked = _Asked(expression, tongue, gaze, head_rotation, head_translation)
        if motion is not None:
            asked = asked.beside(motion)
        self._pose(asked)
        self._turn = 1 - self._turn
        result = self._results[self._turn]
        glance = self._glance(seen_from, asked.head_rotation, asked.head_translation)
        self._mix_glance(glance, result)
        positions, rotations, scales = self._at_rest(asked, glance, result)
        _carry(
            self._vertices,
            self._triangles,
            self._triangle_of,
            self._rotations,
            self._normals,
            self._sizes,
            read_only(positions, np.float32),
            read_only(rotations, np.float32),
            read_only(scales, np.float32),
            result.means,
            result.rotations,
            result.scales,
        )
        self._shade(asked.head_rotation, result)
        return result

    def _pose(self, asked: "_Asked") -> None:
        """The head's vertices, and the frames of its triangles."""
        avatar = self._avatar
        pose(
            self._template,
            avatar.vertices,
            expression=asked.expression,
            tongue=asked.tongue,
            gaze=asked.gaze,
            head_rotation=asked.head_rotation,
            head_translation=asked.head_translation,
            neck_weights=avatar.neck_weights,
            expression_gain=avatar.expression_gain,
            eyes=self._eyes,
            out=self._vertices,
        )
        _frames(
            read_only(self._vertices, np.float32),
            read_only(self._triangles, np.int32),
            self._origins,
            self._rotations,
            self._normals,
            self._sizes,
        )

    def _at_rest(
        self, asked: "_Asked", glance: float, result: Gaussians
    ) -> tuple[Float, Float, Float]:
        """`bound_position`, `bound_rotation` and `bound_scale` as the residual has them in this
        pose; it changes opacities and colours of `result`, too."""
        avatar, residual = self._avatar, self._residual
        if residual is None:
            return avatar.bound_position, avatar.bound_rotation, avatar.bound_scale
        residual.apply(
            motion_code(
                *(asked.expression, asked.tongue, asked.gaze),
                *(asked.head_rotation, asked.head_translation),
            ),
            glance,
            result.opacities,
            result.colours,
            self._colours,
        )
        return residual.positions, residual.rotations, residual.scales

    def _shade(self, head_rotation: Float | None, result: Gaussians) -> None:
        """Light on the moved skin, and the shadow between the lips."""
        if len(self._lit):
            _light(
                self._shading.factors(self._vertices, head_rotation),
                self._triangles,
                self._triangle_of,
                self._lit,
                self._avatar.bound_position,
                self._colours,
                self._factors,
                result.colours,
            )
        if self._lips is not None and len(self._lips.splats):
            _dim(
                self._lips.factors(result.means),
                self._lip_entries,
                self._lit,
                self._colours,
                self._factors,
                result.colours,
            )

    def tables(self) -> HeadTables:
        """What a renderer needs to pose this avatar where it draws."""
        avatar, template = self._avatar, self._template
        pose_parts = pose_tables(template)
        centres, radii = self._eyes
        shading, lips = self._shading.tables(), self._lips
        assert lips is not None
        floats = {
            name: np.ascontiguousarray(value, np.float32)
            for name, value in {
                "vertices": avatar.vertices,
                "offset": pose_parts.offset,
                "eye_centres": centres,
                "lid_clearances": radii * np.float32(LID_CLEARANCE),
                "neck_joint": template.neck_joint,
                "neck_weights": avatar.neck_weights,
                "positions": avatar.bound_position,
                "rotations": avatar.bound_rotation,
                "scales": avatar.bound_scale,
                "opacities": avatar.opacity,
                "colours": avatar.colour,
                "glance": avatar.glance,
            }.items()
        }
        return HeadTables(
            **floats,
            offset_start=index_array(pose_parts.start),
            offset_weight=index_array(pose_parts.expression),
            eye=index_array(pose_parts.eye),
            triangles=self._triangles,
            triangle_of=self._triangle_of,
            shaded=shading.vertex,
            ring_start=shading.start,
            ring=shading.ring,
            shade_weight=shading.weight,
            light=shading.light,
            rest_light=shading.rest_light,
            rest_area=shading.rest_area,
            lit=self._lit,
            lips=lips.splats,
            lip_start=lips.start,
            lip_near=lips.near,
            lip_area=lips.area,
            lip_darkest=lips.darkest,
            lip_rest=lips.rest,
            **self._residual_tables(),
            constants={
                "TINY": _SMALLEST,
                **SHADING_CONSTANTS,
                **LIP_CONSTANTS,
                "MOST_LOG_SIZE": MOST_LOG_SIZE,
            },
        )

    def _residual_tables(self) -> dict[str, NDArray[Any]]:
        residual = self._residual
        if residual is None:
            none, no_bases = np.zeros(0, np.int32), np.zeros((0, 0, WIDTH), np.float32)
            splats, rows, bases = none, none.reshape(0, 2), (no_bases, no_bases)
        else:
            splats, rows, bases = residual.splats, np.stack(residual.rows, 1), residual.bases
        return {
            "residual_splats": index_array(splats),
            "residual_rows": index_array(rows),
            "face_bases": np.ascontiguousarray(bases[0], np.float32),
            "pose_bases": np.ascontiguousarray(bases[1], np.float32),
        }

    def head_pose(self, motion: MotionFrame, *, seen_from: ArrayLike | None = None) -> HeadPose:
        """What `gaussians` makes of its arguments, for a renderer that has the `tables`."""
        glance = self._glance(seen_from, motion.head_rotation, motion.head_translation)
        face, pose = self._features(motion)
        return HeadPose(
            weights=blend_weights(motion.expression, motion.tongue, self._avatar.expression_gain),
            gaze=gaze_rotation(motion.gaze).astype(np.float32),
            head_rotation=np.asarray(motion.head_rotation, np.float32),
            head_translation=np.asarray(motion.head_translation, np.float32),
            glance=glance,
            face_features=face,
            pose_features=pose,
        )

    def _features(self, motion: MotionFrame) -> tuple[Float, Float]:
        """What the residuals' networks make of it, face and pose; none where there are none."""
        if self._residual is None:
            return np.zeros(0, np.float32), np.zeros(0, np.float32)
        return self._residual.ask(
            motion_code(
                *(motion.expression, motion.tongue, motion.gaze),
                *(motion.head_rotation, motion.head_translation),
            )
        )

    def glance_seen(self, motion: MotionFrame, seen_from: ArrayLike) -> float:
        """0..1 how much of the avatar's glance a viewer at `seen_from` [3] sees."""
        return self._glance(seen_from, motion.head_rotation, motion.head_translation)

    def _glance(
        self,
        seen_from: ArrayLike | None,
        head_rotation: Float | None,
        head_translation: Float | None,
    ) -> float:
        """0..1 how much of the glance a viewer there sees."""
        avatar = self._avatar
        if seen_from is None or not len(avatar.glance):
            return 0.0
        return glance_weight(
            avatar.taken_from,
            seen_from,
            self._template.neck_joint,
            head_rotation,
            head_translation,
        )

    def _mix_glance(self, weight: float, result: Gaussians) -> None:
        """Bring the colours to this share of the glance; nothing to do where they have it."""
        if self._mixed[self._turn] == weight == self._mixed_lit:
            return
        avatar = self._avatar
        mix_in(
            avatar.colour,
            avatar.glance,
            np.float32(weight),
            result.colours,
            self._lit,
            self._colours,
        )
        self._mixed[self._turn] = self._mixed_lit = weight


# In loops a plain 1 would make every number that it meets one of double precision.
_TINY = np.float32(_SMALLEST)
_NOTHING, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@njit(cache=True)
def _quaternion(ax, ay, az, bx, by, bz, cx, cy, cz):  # pragma: no cover
    """(w, x, y, z) of the rotation with columns a, b, c (Shepperd 1978: largest term first)."""
    trace = ax + by + cz
    if trace > 0:
        r = np.sqrt(trace + _ONE)
        s = _HALF / r
        return _HALF * r, (bz - cy) * s, (cx - az) * s, (ay - bx) * s
    if ax > by and ax > cz:
        r = np.sqrt(_ONE + ax - by - cz)
        s = _HALF / r
        return (bz - cy) * s, _HALF * r, (bx + ay) * s, (cx + az) * s
    if by > cz:
        r = np.sqrt(_ONE + by - ax - cz)
        s = _HALF / r
        return (cx - az) * s, (bx + ay) * s, _HALF * r, (cy + bz) * s
    r = np.sqrt(_ONE + cz - ax - by)
    s = _HALF / r
    return (ay - bx) * s, (cx + az) * s, (cy + bz) * s, _HALF * r


_SIDE_BY_SIDE = 64
"""Triangles whose frames are found together, so that the compiler can fill vector registers."""


@njit(cache=True, inline="always", error_model="numpy")
def _frames_of(block):  # pragma: no cover
    """Corners A, B, C in rows 0-8 of `block` -> normal 9-11, quaternion 12-15, size 16."""
    for k in range(_SIDE_BY_SIDE):
        ox, oy, oz = block[0, k], block[1, k], block[2, k]
        ax, ay, az = block[3, k] - ox, block[4, k] - oy, block[5, k] - oz
        vx, vy, vz = block[6, k] - ox, block[7, k] - oy, block[8, k] - oz
        cx, cy, cz = ay * vz - az * vy, az * vx - ax * vz, ax * vy - ay * vx
        edge = np.sqrt(ax * ax + ay * ay + az * az)
        area = np.sqrt(cx * cx + cy * cy + cz * cz)
        size = max(_HALF * (edge + area / max(edge, _TINY)), _TINY)
        flat = (area < _TINY * _TINY) | (edge < _TINY)
        # The frame's axes a, b, c: along A->B, across, along the normal.
        ax, ay, az = ax / edge, ay / edge, az / edge
        cx, cy, cz = cx / area, cy / area, cz / area
        bx, by, bz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
        # Quaternion of the rotation with these columns (Shepperd 1978: the largest term first).
        turned_w = ax + by + cz > _NOTHING
        turned_x = (ax > by) & (ax > cz)
        turned_y = by > cz
        x_sign = _ONE if turned_w | turned_x else -_ONE
        y_sign = _ONE if turned_w | ((not turned_x) & turned_y) else -_ONE
        z_sign = _ONE if turned_w | ((not turned_x) & (not turned_y)) else -_ONE
        most = np.sqrt(_ONE + x_sign * ax + y_sign * by + z_sign * cz)
        half, rest = _HALF * most, _HALF / most
        x, y, z = (bz - cy) * rest, (cx - az) * rest, (ay - bx) * rest
        xy, xz, yz = (ay + bx) * rest, (az + cx) * rest, (bz + cy) * rest
        block[9, k] = _NOTHING if flat else cx
        block[10, k] = _NOTHING if flat else cy
        block[11, k] = _ONE if flat else cz
        turned = half if turned_w else (x if turned_x else (y if turned_y else z))
        block[12, k] = _ONE if flat else turned
        turned = x if turned_w else (half if turned_x else (xy if turned_y else xz))
        block[13, k] = _NOTHING if flat else turned
        turned = y if turned_w else (xy if turned_x else (half if turned_y else yz))
        block[14, k] = _NOTHING if flat else turned
        turned = z if turned_w else (xz if turned_x else (yz if turned_y else half))
        block[15, k] = _NOTHING if flat else turned
        block[16, k] = size


@njit(cache=True, error_model="numpy")
def _frames_from(
    vertices, triangles, first, last, origins, rotations, normals, sizes
):  # pragma: no cover
    block = np.zeros((17, _SIDE_BY_SIDE), np.float32)
    for start in range(first, last, _SIDE_BY_SIDE):
        count = min(_SIDE_BY_SIDE, last - start)
        for k in range(count):
            for corner in range(3):
                vertex = triangles[start + k, corner]
                for axis in range(3):
                    block[3 * corner + axis, k] = vertices[vertex, axis]
        _frames_of(block)
        for k in range(count):
            index = start + k
            for axis in range(3):
                origins[index, axis] = block[axis, k]
                normals[index, axis] = block[9 + axis, k]
            for part in range(4):
                rotations[index, part] = block[12 + part, k]
            sizes[index] = block[16, k]


@njit(cache=True, parallel=True, error_model="numpy")
def _frames(vertices, triangles, origins, rotations, normals, sizes):  # pragma: no cover
    total, step = len(triangles), 16 * _SIDE_BY_SIDE
    for part in prange((total + step - 1) // step):
        first = part * step
        last = min(first + step, total)
        _frames_from(vertices, triangles, first, last, origins, rotations, normals, sizes)


@njit(cache=True, parallel=True, error_model="numpy")
def _carry(  # pragma: no cover
    vertices, triangles, triangle_of, frame_rotations, normals, sizes,
    positions, rotations, scales, out_means, out_rotations, out_scales,
):  # fmt: skip
    for splat in prange(len(triangle_of)):
        index = triangle_of[splat]
        a, b, c = triangles[index]
        size = sizes[index]
        weight_b, weight_c = positions[splat, 0], positions[splat, 1]
        # A double, with which the place is one too until it is stored: a last digit can swap two
        # splats in depth, and with them a pixel's colour.
        weight_a = 1 - weight_b - weight_c
        height = positions[splat, 2] * size
        for axis in range(3):
            out_means[splat, axis] = (
                weight_a * vertices[a, axis]
                + weight_b * vertices[b, axis]
                + weight_c * vertices[c, axis]
                + height * normals[index, axis]
            )
            out_scales[splat, axis] = scales[splat, axis] * size
        w0, x0, y0, z0 = frame_rotations[index]
        w1, x1, y1, z1 = rotations[splat]
        out_rotations[splat, 0] = w0 * w1 - x0 * x1 - y0 * y1 - z0 * z1
        out_rotations[splat, 1] = w0 * x1 + x0 * w1 + y0 * z1 - z0 * y1
        out_rotations[splat, 2] = w0 * y1 - x0 * z1 + y0 * w1 + z0 * x1
        out_rotations[splat, 3] = w0 * z1 + x0 * y1 - y0 * x1 + z0 * w1


@njit(cache=True, parallel=True, error_model="numpy")
def _light(  # pragma: no cover
    vertex_factors, triangles, triangle_of, splats, positions, colours, factors, out_colours,
):  # fmt: skip
    for index in prange(len(splats)):
        splat = splats[index]
        a, b, c = triangles[triangle_of[splat]]
        weight_b = min(max(positions[splat, 0], _NOTHING), _ONE)
        weight_c = min(max(positions[splat, 1], _NOTHING), _ONE - weight_b)
        weight_a = _ONE - weight_b - weight_c
        # Differences from 1, so that at rest not even the last digit changes.
        factor = _ONE + (
            weight_a * (vertex_factors[a] - _ONE)
            + weight_b * (vertex_factors[b] - _ONE)
            + weight_c * (vertex_factors[c] - _ONE)
        )
        factors[index] = factor
        for colour in range(3):
            out_colours[splat, colour] = min(colours[index, colour] * factor, _ONE)


@njit(cache=True, error_model="numpy")
def _dim(lip_factors, entries, splats, colours, factors, out_colours):  # pragma: no cover
    """Lips' own factors, on top of those of `_light`."""
    for index in range(len(entries)):
        entry = entries[index]
        factors[entry] *= lip_factors[index]
        for colour in range(3):
            lit = colours[entry, colour] * factors[entry]
            out_colours[splats[entry], colour] = min(lit, np.float32(1))
