"""What the posed template leaves out: small changes of each Gaussian that depend on the motion.

The second deformation of VASA-3D (arXiv 2512.14677): after the template has been posed, networks
conditioned on the motion code give every Gaussian residuals of place, turn, size, colour and
opacity; one for the face by what the face does, one by how the head is held. There each is a
perceptron that is asked once for every Gaussian. Here the hidden layer is shared, K features of
the motion, and only the output layer is each Gaussian's own: it needs no positional encoding, may
differ as sharply from one Gaussian to the next as it likes, and costs K multiplications a number,
not thousands (docs/residuals.md says what each took).

The residuals change the Gaussians at rest, before triangles carry them: a wrinkle turns with its
skin. They are bounded, as the features are; and the further the motion lies outside of what was
learned from, the less is left of them.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from avatar.motion.latent import MOUTH_CODE, UPPER_CODE, Face, load_codec
from avatar.read_only import read_only
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, Avatar, Float, Index, ResidualPart

CHANNELS = (
    "red", "green", "blue", "opacity", "log size along x", "log size along y",
    "barycentric b", "barycentric c", "height", "turn about z",
)  # fmt: skip
"""What a Gaussian's residual is added to: colours as encoded; the natural logarithm of its size
along own axes; its place as `Avatar.bound_position` has it; radians."""
WIDTH = len(CHANNELS)
COLOUR, OPACITY, SIZE, PLACE, HEIGHT, TURN = slice(0, 3), 3, slice(4, 6), slice(6, 9), 8, 9

FACE_CODE = MOUTH_CODE + UPPER_CODE + 2
"""Numbers of the motion code that say what the face does; the gaze is among them."""
HEAD_CODE = 6
"""Those that say how the head is held."""
MOST_LOG_SIZE = 0.7
"""Sizes go no further than this from those at rest, whatever bases a file holds."""


def motion_code(
    expression: Float | None,
    tongue: Float | None,
    gaze: Float | None,
    head_rotation: Float | None,
    head_translation: Float | None,
) -> tuple[Float, Float]:
    """[34] the code of the face and [6] of the head; what is None is at rest.

    Encoded from what is posed, not taken from `MotionFrame.latent`: tracked and hand-made motion
    has none, and voices and limits have changed what is posed since it was decoded.
    """

    def row(values: Float | None, count: int) -> Float:
        given = np.zeros(count) if values is None else values
        return np.asarray(given, np.float32).reshape(1, count)

    code = load_codec().encode(
        Face(
            row(expression, len(ARKIT_NAMES)),
            row(tongue, len(TONGUE_NAMES)),
            row(gaze, 2),
            row(head_rotation, 3),
            row(head_translation, 3),
        )
    )[0]
    return code[:FACE_CODE], code[FACE_CODE:]


def features(part: ResidualPart, code: Float) -> Float:
    """[K] the hidden layer for a code [D], each within -1..1, 0 far from what was learned from."""
    away = code - part.mean
    distance = float(np.linalg.norm(away @ part.whiten))
    known = min(1.0, part.reach / max(distance, 1e-9)) ** 2
    return (known * np.tanh(away @ part.mix + part.shift)).astype(np.float32)


class ResidualField:
    """The residuals of one avatar, ready for every frame. Not for use by two threads at once."""

    def __init__(self, avatar: Avatar, lit: Index) -> None:
        """`lit` [L] ascending: Gaussians whose colours are wanted a second time, see `apply`."""
        self._avatar = avatar
        self._parts = (
            avatar.face_residual or _nothing(FACE_CODE),
            avatar.pose_residual or _nothing(HEAD_CODE),
        )
        face, pose = self._parts
        self.splats: Index = np.union1d(face.splats, pose.splats).astype(np.int32)
        """[U] which Gaussians change at all."""
        self.rows = rows_of(face.splats, self.splats), rows_of(pose.splats, self.splats)
        """Face and pose, each [U]: where these stand among the part's own, -1 for not at all."""
        self.lit_entry = rows_of(lit, self.splats)
        """[U] where they stand in `lit`, or -1."""
        self.positions = np.array(avatar.bound_position, np.float32, order="C")
        """[N, 3] as `Avatar.bound_position`, of the latest call; so are the next two."""
        self.rotations = np.array(avatar.bound_rotation, np.float32, order="C")
        self.scales = np.array(avatar.bound_scale, np.float32, order="C")
        self.features: tuple[Float, Float] = (
            np.zeros(face.bases.shape[1], np.float32),
            np.zeros(pose.bases.shape[1], np.float32),
        )
        """Of the latest call of `ask`, face and pose."""

    @property
    def bases(self) -> tuple[Float, Float]:
        """Of face and pose, `ResidualPart.bases`; no rows where there is no such part."""
        face, pose = self._parts
        return face.bases, pose.bases

    def ask(self, codes: tuple[Float, Float]) -> tuple[Float, Float]:
        """The features for a motion of these `codes`, face and pose."""
        face, pose = self._parts
        self.features = features(face, codes[0]), features(pose, codes[1])
        return self.features

    def apply(
        self,
        codes: tuple[Float, Float],
        glance: float,
        opacities: Float,
        colours: Float,
        lit_colours: Float,
    ) -> None:
        """The Gaussians at rest for a motion of these `codes`.

        Written are `opacities` [N] and `colours` [N, 3], the latter with `glance` of the avatar's
        glance, of `splats` only; and `lit_colours` [L, 3] of those that are lit.
        """
        avatar = self._avatar
        face, pose = self._parts
        self.ask(codes)
        add_residuals(
            self.splats,
            self.rows[0],
            self.rows[1],
            self.lit_entry,
            read_only(self.features[0], np.float32),
            read_only(self.features[1], np.float32),
            read_only(face.bases, np.float32),
            read_only(pose.bases, np.float32),
            read_only(avatar.bound_position, np.float32),
            read_only(avatar.bound_rotation, np.float32),
            read_only(avatar.bound_scale, np.float32),
            read_only(avatar.opacity, np.float32),
            read_only(avatar.colour, np.float32),
            read_only(avatar.glance, np.float32),
            np.float32(glance),
            self.positions,
            self.rotations,
            self.scales,
            opacities,
            colours,
            lit_colours,
        )


def _nothing(size: int) -> ResidualPart:
    return ResidualPart(
        mean=np.zeros(size, np.float32),
        whiten=np.zeros((size, size), np.float32),
        reach=1.0,
        mix=np.zeros((size, 0), np.float32),
        shift=np.zeros(0, np.float32),
        splats=np.zeros(0, np.int32),
        bases=np.zeros((0, 0, WIDTH), np.float32),
    )


def rows_of(some: Index, among: NDArray[np.integer]) -> Index:
    """[U] where each of `among` stands in `some`, which ascends; -1 where it does not."""
    if not len(some):
        return np.full(len(among), -1, np.int32)
    place = np.minimum(np.searchsorted(some, among), len(some) - 1)
    return np.where(some[place] == among, place, -1).astype(np.int32)


@njit(cache=True, parallel=True, fastmath={"contract", "nsz"}, error_model="numpy")
def add_residuals(  # pragma: no cover
    splats, face_row, pose_row, lit_entry, face, pose, face_bases, pose_bases,
    rest_positions, rest_rotations, rest_scales, rest_opacities, rest_colours, glances, glance,
    positions, rotations, scales, opacities, colours, lit_colours,
):  # fmt: skip
    nothing, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    most = np.float32(MOST_LOG_SIZE)
    for index in prange(len(splats)):
        r = np.zeros(WIDTH, np.float32)
        row = face_row[index]
        if row >= 0:
            for k in range(len(face)):
                for channel in range(WIDTH):
                    r[channel] += face[k] * face_bases[row, k, channel]
        row = pose_row[index]
        if row >= 0:
            for k in range(len(pose)):
                for channel in range(WIDTH):
                    r[channel] += pose[k] * pose_bases[row, k, channel]
        splat, entry = splats[index], lit_entry[index]
        for channel in range(3):
            value = rest_colours[splat, channel] + r[channel]
            if glance > nothing:
                value += glance * glances[splat, channel]
            value = min(max(value, nothing), one)
            colours[splat, channel] = value
            if entry >= 0:
                lit_colours[entry, channel] = value
            positions[splat, channel] = rest_positions[splat, channel] + r[6 + channel]
        opacities[splat] = min(max(rest_opacities[splat] + r[3], nothing), one)
        scales[splat, 0] = rest_scales[splat, 0] * np.exp(min(max(r[4], -most), most))
        scales[splat, 1] = rest_scales[splat, 1] * np.exp(min(max(r[5], -most), most))
        cosine, sine = np.cos(half * r[9]), np.sin(half * r[9])
        w, x, y, z = rest_rotations[splat]
        rotations[splat, 0], rotations[splat, 1] = w * cosine - z * sine, x * cosine + y * sine
        rotations[splat, 2], rotations[splat, 3] = y * cosine - x * sine, z * cosine + w * sine
