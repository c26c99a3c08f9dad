"""Heads posed on the graphics card, where there are compute shaders (OpenGL 4.3).

The tables of an avatar are uploaded once. For a frame the card is sent the numbers of a `HeadPose`
and does what `avatar.deform.Deformer` does on the processor: vertices, the light on them, splats
with their residuals, lips; the splats end packed in a texture, as shaders/splat.vert reads them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import moderngl
import numpy as np
from numpy.typing import NDArray

from avatar.head_tables import HeadPose, HeadTables
from avatar.types import Float, Gaussians
from render.distance_order import PACK, SPLAT_WIDTH
from render.program import build_compute, set_uniforms

GROUP = 64
"""Invocations of a work group: a whole number of what any card runs side by side."""
_CONSTANTS = (
    *("TINY", "ENCODED", "DIMMEST", "LEAST_RATIO", "MOST_RATIO", "FOLD", "DEEPEST"),
    *("LIP_SQUARE", "LIP_SCALE", "MOST_LOG_SIZE"),
)
_OF_HEAD = {"EYE_CENTRES": 6, "LID_CLEARANCES": 2, "NECK_JOINT": 3, "LIGHT": 9}
_OF_POSE = {"GAZE": 9, "HEAD_ROTATION": 3, "HEAD_TRANSLATION": 3, "GLANCE": 1, "WEIGHTS": 0}
"""Weights come last, and after them the features of residuals: how many there are is the
avatar's."""
_NOT, _LIT, _LIP = 0, 1, 2
"""Kinds of splats, as shaders/head_splats.comp has them."""


def _number_places() -> dict[str, int]:
    """Where each of the shared numbers begins, by the name of its define."""
    places, at = {}, 0
    for name, size in (*_OF_HEAD.items(), *((name, 1) for name in _CONSTANTS), *_OF_POSE.items()):
        places[f"AT_{name}"] = at
        at += size
    return places


_PLACES = _number_places()
_POSE_BEGINS = _PLACES["AT_GAZE"]


class HeadPrograms:
    """The compute shaders that pose, shared by all heads of a renderer."""

    def __init__(self, context: moderngl.Context, texture_width: int) -> None:
        """`texture_width`: texels in a row of the splats' textures.

        Raises:
            ShaderError: the driver refuses a shader.
        """
        built: list[moderngl.ComputeShader] = []
        try:
            for name, own in (
                ("vertices", {}),
                ("shading", {}),
                ("splats", {"TEXTURE_WIDTH": texture_width, "RESIDUALS": 0}),
                ("splats", {"TEXTURE_WIDTH": texture_width, "RESIDUALS": 1}),
                ("lips", {"TEXTURE_WIDTH": texture_width}),
            ):
                built.append(
                    build_compute(context, f"head_{name}.comp", GROUP=GROUP, **own, **_PLACES)
                )
        except Exception:
            for each in built:
                each.release()
            raise
        self.vertices, self.shading, self.splats, self.splats_with_residuals, self.lips = built
        self._built = built

    def release(self) -> None:
        """Give them back."""
        for each in self._built:
            each.release()


class GlHead:
    """`CardHead` in OpenGL."""

    def __init__(
        self,
        context: moderngl.Context,
        current: Callable[[], AbstractContextManager[None]],
        programs: HeadPrograms,
        texture_width: int,
        tables: HeadTables,
    ) -> None:
        """Upload `tables`; the context is current now, and within `current` later."""
        self._context, self._current, self._programs = context, current, programs
        self._count = len(tables)
        self._vertices = len(tables.vertices)
        self._template_vertices = len(tables.offset_start) - 1
        self._shaded, self._lips = len(tables.shaded), len(tables.lips)
        rows = max(1, -(-self._count // PACK))
        self.splats = context.texture((texture_width, rows), 4, dtype="f4")
        """As shaders/splat.vert reads them; in a pose after the first `pose`."""
        self.splats.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._weights = int(tables.offset_weight.max(initial=-1)) + 1
        self._features = tables.face_bases.shape[1], tables.pose_bases.shape[1]
        ours = self._weights + sum(self._features)
        room = np.zeros(_PLACES["AT_WEIGHTS"] - _POSE_BEGINS + ours, np.float32)
        self._numbers = self._buffer(np.concatenate([_head_numbers(tables), room]))
        self._rest = self._buffer(_beside(tables.vertices, tables.neck_weights))
        eye = np.append(tables.eye, 0)
        self._owners = self._buffer(np.stack([tables.offset_start, eye], 1).astype(np.int32))
        self._offsets = self._buffer(_beside(tables.offset, tables.offset_weight))
        self._posed = context.buffer(reserve=16 * max(1, self._vertices))
        self._factors = self._buffer(np.ones(self._vertices, np.float32))
        self._triangles = self._buffer(_padded(tables.triangles))
        self._bound = self._buffer(_bound_splats(tables))
        self._shading = self._shading_buffers(tables)
        self._lip_tables = self._lip_buffers(tables)
        self._has_residuals = len(tables.residual_splats) > 0
        self._residual_rows = len(tables.face_bases), len(tables.pose_bases)
        self._residuals = self._residual_buffers(tables) if self._has_residuals else ()
        self._released = False

    def __len__(self) -> int:
        return self._count

    def pose(self, pose: HeadPose) -> None:
        """Take this pose, until the next call."""
        assert not self._released, "released already"
        assert len(pose.weights) >= self._weights, "weights of another template"
        features = len(pose.face_features), len(pose.pose_features)
        assert features == self._features, "features of another avatar"
        numbers = np.concatenate(
            [
                *(np.ravel(pose.gaze), pose.head_rotation, pose.head_translation),
                *([pose.glance], pose.weights[: self._weights]),
                *(pose.face_features, pose.pose_features),
            ]
        ).astype(np.float32)
        with self._current():
            self._numbers.write(numbers, offset=4 * _POSE_BEGINS)
            vertices = self._rest, self._owners, self._offsets, self._posed
            self._run(
                self._programs.vertices,
                self._vertices,
                vertices,
                template_count=self._template_vertices,
            )
            shading = self._posed, *self._shading, self._factors
            self._run(self._programs.shading, self._shaded, shading)
            self.splats.bind_to_image(0, read=True, write=True)
            self._carry()
            self._run(self._programs.lips, self._lips, self._lip_tables)

    def _carry(self) -> None:
        splats = self._posed, self._factors, self._triangles, self._bound
        if not self._has_residuals:
            self._run(self._programs.splats, self._count, splats)
            return
        self._run(
            self._programs.splats_with_residuals,
            self._count,
            (*splats, *self._residuals),
            features_at=_PLACES["AT_WEIGHTS"] + self._weights,
            face_features=self._features[0],
            pose_features=self._features[1],
            face_rows=self._residual_rows[0],
            pose_rows=self._residual_rows[1],
        )

    def read(self) -> Gaussians:
        """Copied back, for tests and measurements."""
        assert not self._released, "released already"
        with self._current():
            packed = np.frombuffer(self.splats.read(), np.float32)
        packed = packed.reshape(-1, SPLAT_WIDTH)[: self._count]
        part = lambda first, last: np.ascontiguousarray(packed[:, first:last])  # noqa: E731
        return Gaussians(
            means=part(0, 3),
            opacities=np.ascontiguousarray(packed[:, 3]),
            rotations=part(4, 8),
            scales=part(8, 11),
            colours=part(12, 15),
        )

    def release(self) -> None:
        """Give back its memory. It cannot be drawn afterwards."""
        if self._released:
            return
        with self._current():
            for each in (
                *(self.splats, self._numbers, self._rest, self._owners, self._offsets),
                *(self._posed, self._factors, self._triangles, self._bound),
                *(*self._shading, *self._lip_tables, *self._residuals),
            ):
                each.release()
        self._released = True

    @property
    def released(self) -> bool:
        return self._released

    def _run(
        self,
        program: moderngl.ComputeShader,
        count: int,
        buffers: tuple[moderngl.Buffer, ...],
        **uniforms: int,
    ) -> None:
        """For each of `count`, with `buffers` in the order of its bindings from 1 on; what it wrote
        can be read afterwards."""
        if not count:
            return
        self._numbers.bind_to_storage_buffer(0)
        for binding, buffer in enumerate(buffers, start=1):
            buffer.bind_to_storage_buffer(binding)
        set_uniforms(program, count=count, **uniforms)
        program.run(-(-count // GROUP))
        # These, too, keep the next program from writing what a draw before still reads.
        self._context.memory_barrier(
            moderngl.Context.SHADER_STORAGE_BARRIER_BIT
            | moderngl.Context.SHADER_IMAGE_ACCESS_BARRIER_BIT
            | moderngl.Context.TEXTURE_FETCH_BARRIER_BIT
            | moderngl.Context.TEXTURE_UPDATE_BARRIER_BIT
        )

    def _shading_buffers(self, tables: HeadTables) -> tuple[moderngl.Buffer, ...]:
        """`shaded`, `ring` and `known` of shaders/head_shading.comp."""
        vertex = np.append(tables.shaded, 0)
        neck = tables.neck_weights[tables.shaded]
        known = np.stack([tables.shade_weight, tables.rest_light, tables.rest_area, neck], 1)
        return (
            self._buffer(np.stack([vertex, tables.ring_start], 1).astype(np.int32)),
            self._buffer(tables.ring),
            self._buffer(known.astype(np.float32)),
        )

    def _lip_buffers(self, tables: HeadTables) -> tuple[moderngl.Buffer, ...]:
        """`lips`, `near` and `known` of shaders/head_lips.comp."""
        splat = np.append(tables.lips, 0)
        known = np.stack([tables.lip_area, tables.lip_darkest, tables.lip_rest], 1)
        return (
            self._buffer(np.stack([splat, tables.lip_start], 1).astype(np.int32)),
            self._buffer(tables.lip_near),
            self._buffer(_padded(known)),
        )

    def _residual_buffers(self, tables: HeadTables) -> tuple[moderngl.Buffer, ...]:
        """`residual_rows` and `residual_bases` of shaders/common/head_residuals.glsl."""
        rows = np.full((self._count, 2), -1, np.int32)
        rows[tables.residual_splats] = tables.residual_rows
        bases = [_packed_halves(each) for each in (tables.face_bases, tables.pose_bases)]
        return self._buffer(rows), self._buffer(np.concatenate(bases))

    def _buffer(self, values: NDArray[np.generic]) -> moderngl.Buffer:
        # OpenGL has no buffers of no bytes.
        return self._context.buffer(np.ascontiguousarray(values).tobytes() or bytes(4))


def _head_numbers(tables: HeadTables) -> Float:
    """What the shaders share of this avatar, up to where a pose begins."""
    numbers = np.concatenate(
        [
            *(np.ravel(tables.eye_centres), tables.lid_clearances, tables.neck_joint, tables.light),
            [tables.constants[name] for name in _CONSTANTS],
        ]
    ).astype(np.float32)
    assert len(numbers) == _POSE_BEGINS
    return numbers


def _bound_splats(tables: HeadTables) -> Float:
    """[5 N, 4] `bound` of shaders/head_splats.comp."""
    count = len(tables)
    kind = np.full(count, _NOT, np.float32)
    kind[tables.lit] = _LIT
    kind[tables.lips] = _LIP
    glance = tables.glance if len(tables.glance) else np.zeros((count, 3), np.float32)
    parts = [
        _beside(tables.positions, tables.triangle_of),
        np.asarray(tables.rotations, np.float32),
        _beside(tables.scales, tables.opacities),
        _beside(tables.colours, kind),
        _padded(glance),
    ]
    return np.stack(parts, 1).reshape(-1, 4)


def _packed_halves(bases: Float) -> NDArray[np.uint32]:
    """[F * 5 * R] of [R, F, 10]: two channels in one number, as a file keeps them, and those of
    neighbouring splats side by side."""
    rows, features, channels = bases.shape
    halves = np.ascontiguousarray(bases, np.float16).reshape(-1, 2)
    pairs = halves.astype("<f2").view("<u4").reshape(rows, features, channels // 2)
    return np.ascontiguousarray(pairs.transpose(1, 2, 0), np.uint32).ravel()


def _beside(three: Float, one: NDArray[np.generic]) -> Float:
    """[N, 4] of [N, 3] and [N]; whole numbers below 2^24 stay what they are."""
    return np.concatenate([three, np.reshape(one, (-1, 1))], 1).astype(np.float32)


def _padded(three: NDArray[np.generic]) -> NDArray[np.generic]:
    """[N, 4] of [N, 3], 32 bits each."""
    kind = np.int32 if np.issubdtype(three.dtype, np.integer) else np.float32
    four = np.zeros((len(three), 4), kind)
    four[:, :3] = three
    return four
