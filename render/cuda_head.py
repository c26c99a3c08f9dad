"""An avatar on an NVIDIA card, posed there: the steps of `avatar.head_tables`, a kernel each."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from avatar.head_tables import HeadPose, HeadTables, index_array
from avatar.types import Float, Gaussians
from render.cuda_driver import Card
from render.cuda_lists import SplatAddresses
from render.cuda_memory import THREADS, CardArray, Kernels

_KNOWN = (
    *("TINY", "ENCODED", "DIMMEST", "LEAST_RATIO", "MOST_RATIO", "FOLD", "DEEPEST"),
    *("LIP_SQUARE", "LIP_SCALE", "MOST_LOG_SIZE"),
)
"""Constants in the order of KNOWN_TINY and on in shaders/cuda/pose.cu."""
_BASES = "face_bases", "pose_bases"
_AT_REST = "positions", "rotations", "scales", "opacities", "colours"
"""Tables that residuals change."""


class CudaHead:
    """`CardHead` of a `CudaRenderer`, which makes it."""

    def __init__(self, card: Card, kernels: Kernels, tables: HeadTables) -> None:
        """Send the tables; neutral, and without residuals, until the first `pose`."""
        self._card, self._kernels = card, kernels
        self.released = False
        self._marks = card.event(), card.event()
        self._arrays: list[CardArray] = []
        self._count, self._vertices = len(tables), len(tables.vertices)
        self._template = len(tables.offset_start) - 1
        self._shaded, self._lit = len(tables.shaded), len(tables.lit)
        self._has_glance = int(len(tables.glance) > 0)
        self._weights = int(tables.offset_weight.max(initial=-1)) + 1
        self._changed = len(tables.residual_splats)
        self._bases = tables.face_bases.shape[:2], tables.pose_bases.shape[:2]
        features = sum(each[1] for each in self._bases)
        apart = (*_BASES, "constants")
        names = [each.name for each in fields(HeadTables) if each.name not in apart]
        self._at = {name: self._sent(getattr(tables, name)) for name in names}
        self._keep_residuals(tables)
        self._at["lip_of"] = self._sent(_lip_of(tables))
        self._at["known"] = self._sent(_known(tables))
        self._at["factors"] = self._sent(np.ones(self._vertices, np.float32))
        for name, width in (("posed", 3 * self._vertices), ("pose", 16 + self._weights + features)):
            self._at[name] = self._empty(width)
        for name, width in (("means", 3), ("turns", 4), ("sizes", 3), ("shown", 3)):
            self._at[name] = self._empty(width * self._count)
        self.pose(
            HeadPose(
                weights=np.zeros(self._weights, np.float32),
                gaze=np.eye(3, dtype=np.float32),
                head_rotation=np.zeros(3, np.float32),
                head_translation=np.zeros(3, np.float32),
                glance=0.0,
                face_features=np.zeros(self._bases[0][1], np.float32),
                pose_features=np.zeros(self._bases[1][1], np.float32),
            )
        )

    def __len__(self) -> int:
        return self._count

    def pose(self, pose: HeadPose) -> None:
        """Take this pose, until the next call. The card works on it when this returns."""
        assert len(pose.weights) >= self._weights, "weights of another template"
        features = len(pose.face_features), len(pose.pose_features)
        assert features == (self._bases[0][1], self._bases[1][1]), "features of another avatar"
        numbers = np.concatenate(
            [
                np.ravel(pose.gaze),
                *(pose.head_rotation, pose.head_translation, [pose.glance]),
                pose.weights[: self._weights],
                *(pose.face_features, pose.pose_features),
            ]
        ).astype(np.float32)
        assert not self.released, "released already"
        self._card.use()
        begun, posed = self._marks
        self._card.mark(begun)
        self._card.write(self._at["pose"], numbers)
        self._start("pose_vertices", self._vertices, (
            *("vertices", "offset_start", "offset_weight", "offset", "eye", "neck_weights"),
            *("known", "pose"),
        ), (self._vertices, self._template), ("posed",))  # fmt: skip
        self._start("shade_vertices", self._shaded, (
            *("posed", "shaded", "ring_start", "ring", "shade_weight", "neck_weights"),
            *("rest_light", "rest_area", "known", "pose"),
        ), (self._shaded,), ("factors",))  # fmt: skip
        self._add_residuals()
        glance = (self._at["glance now"], self._has_glance)
        self._start("carry_splats", self._count, (
            *("posed", "triangles", "triangle_of"),
            *("positions now", "rotations now", "scales now", "colours now"),
        ), (*glance, self._at["known"], self._at["pose"], self._count), (
            *("means", "turns", "sizes", "shown"),
        ))  # fmt: skip
        self._start("light_splats", self._lit, (
            *("factors", "triangles", "triangle_of", "positions", "lit", "lip_of", "lips"),
            *("lip_start", "lip_near", "lip_area", "lip_darkest", "lip_rest", "known", "means"),
        ), (self._lit,), ("shown",))  # fmt: skip
        self._card.mark(posed)

    def _keep_residuals(self, tables: HeadTables) -> None:
        """Their weights, and room for what they make of the splats at rest; without them that is
        the tables themselves."""
        for name in _BASES:  # neighbouring splats side by side
            self._at[name] = self._sent(getattr(tables, name).transpose(1, 2, 0))
        for name in _AT_REST:
            own = self._sent(getattr(tables, name)) if self._changed else self._at[name]
            self._at[f"{name} now"] = own
        self._at["glance now"] = self._at["glance"]
        if self._changed and self._has_glance:
            # Where residuals are, `add_residuals` adds it: their sum is held to 0..1.
            others = tables.glance.copy()
            others[tables.residual_splats] = 0
            self._at["glance now"] = self._sent(others)

    def _add_residuals(self) -> None:
        face, pose = self._bases
        self._start("add_residuals", self._changed, (
            *("residual_splats", "residual_rows", *_BASES, *_AT_REST, "glance", "known", "pose"),
        ), (*face, *pose, 16 + self._weights, self._has_glance, self._changed), (
            *(f"{name} now" for name in _AT_REST),
        ))  # fmt: skip

    def read(self) -> Gaussians:
        """Copied back, for tests and measurements."""
        self._card.use()
        arrays = {
            "means": (self._at["means"], (self._count, 3)),
            "rotations": (self._at["turns"], (self._count, 4)),
            "scales": (self._at["sizes"], (self._count, 3)),
            "opacities": (self._at["opacities now"], (self._count,)),
            "colours": (self._at["shown"], (self._count, 3)),
        }
        read = {name: np.empty(shape, np.float32) for name, (_, shape) in arrays.items()}
        for name, (address, _) in arrays.items():
            self._card.read(address, read[name])
        self._card.wait()
        return Gaussians(**read)

    @property
    def pose_s(self) -> float:
        """What the card took for the latest pose; once it has been waited for."""
        return self._card.seconds(*self._marks)

    @property
    def splats(self) -> SplatAddresses:
        """Where the posed Gaussians lie."""
        at = self._at
        return SplatAddresses(
            self._count, at["means"], at["turns"], at["sizes"], at["opacities now"], at["shown"]
        )

    def release(self) -> None:
        """Give back its memory. It cannot be drawn afterwards."""
        if not self.released:
            self.released = True
            self._card.use()
            for mark in self._marks:
                self._card.free_event(mark)
            for each in self._arrays:
                each.release()

    def _start(
        self,
        kernel: str,
        threads: int,
        inputs: Sequence[str],
        numbers: Sequence[int],
        outputs: Sequence[str],
    ) -> None:
        """A kernel over `threads`, if there are any; its arguments by name, between them numbers
        and addresses."""
        if threads:
            addresses = [[self._at[name] for name in names] for names in (inputs, outputs)]
            blocks = -(-threads // THREADS)
            getattr(self._kernels, kernel)(blocks, *addresses[0], *numbers, *addresses[1])

    def _sent(self, values: np.ndarray) -> int:
        """The address of a copy on the card; 0 of nothing."""
        self._arrays.append(CardArray(self._card))
        return self._arrays[-1].take(np.ascontiguousarray(values))

    def _empty(self, floats: int) -> int:
        self._arrays.append(CardArray(self._card))
        return self._arrays[-1].room(4 * floats) if floats else 0


def _lip_of(tables: HeadTables) -> np.ndarray:
    """[L] a lit splat's number among the lips', or -1."""
    lip_of = np.full(len(tables.lit), -1, np.int32)
    lip_of[np.searchsorted(tables.lit, tables.lips)] = np.arange(len(tables.lips))
    return index_array(lip_of)


def _known(tables: HeadTables) -> Float:
    """The avatar's own numbers, as shaders/cuda/pose.cu numbers them."""
    parts = (tables.eye_centres, tables.lid_clearances, tables.neck_joint, tables.light)
    constants = [tables.constants[name] for name in _KNOWN]
    return np.concatenate([*(np.ravel(part) for part in parts), constants]).astype(np.float32)
