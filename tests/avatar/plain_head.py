"""Posing by `HeadTables` in plain NumPy, step by step: what renderers that pose are tested by."""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.deform import multiply_quaternions, triangle_frames
from avatar.head_tables import HeadPose, HeadTables
from avatar.residual import FACE_CODE, HEAD_CODE, WIDTH
from avatar.types import ARKIT_NAMES, Avatar, Gaussians, MotionFrame, ResidualPart


def pose_plainly(tables: HeadTables, pose: HeadPose) -> Gaussians:
    vertices = posed_vertices(tables, pose)
    now = with_residuals_added(tables, pose)
    means, rotations, scales = carried(now, vertices)
    colours = now.colours.astype(np.float64)
    held = np.zeros(colours.shape, bool)  # to 0..1
    held[tables.residual_splats] = True
    if len(tables.glance):
        offset = pose.glance * tables.glance
        colours += offset
        held |= offset != 0
    colours = np.where(held, np.clip(colours, 0, 1), colours)
    factors = splat_factors(tables, pose, vertices, means)
    lit = tables.lit
    colours[lit] = np.minimum(colours[lit] * factors[:, None], 1)
    single = lambda values: np.ascontiguousarray(values, np.float32)  # noqa: E731
    return Gaussians(
        means=single(means),
        rotations=single(rotations),
        scales=single(scales),
        opacities=single(now.opacities),
        colours=single(colours),
    )


def with_residuals_added(tables: HeadTables, pose: HeadPose) -> HeadTables:
    """With the splats at rest as the motion changes them; colours are not held to 0..1 yet."""
    rows, total = tables.residual_rows, np.zeros((len(tables.residual_splats), WIDTH))
    parts = (pose.face_features, tables.face_bases), (pose.pose_features, tables.pose_bases)
    for number, (features, bases) in enumerate(parts):
        has = rows[:, number] >= 0
        total[has] += np.einsum("k,rkc->rc", features, bases[rows[has, number]])
    names = "positions", "rotations", "scales", "opacities", "colours"
    now = {name: getattr(tables, name).astype(np.float64) for name in names}
    changed, most = tables.residual_splats, tables.constants["MOST_LOG_SIZE"]
    now["colours"][changed] += total[:, :3]
    now["opacities"][changed] = np.clip(now["opacities"][changed] + total[:, 3], 0, 1)
    now["scales"][changed, :2] *= np.exp(np.clip(total[:, 4:6], -most, most))
    now["positions"][changed] += total[:, 6:9]
    half, none = total[:, 9] / 2, np.zeros(len(changed))
    turns = np.stack([np.cos(half), none, none, np.sin(half)], 1)
    now["rotations"][changed] = multiply_quaternions(now["rotations"][changed], turns)
    return replace(tables, **now)


def posed_vertices(tables: HeadTables, pose: HeadPose) -> np.ndarray:
    rest = tables.vertices.astype(np.float64)
    vertices = rest.copy()
    count = len(tables.offset_start) - 1
    owner = np.repeat(np.arange(count), np.diff(tables.offset_start))
    moved = pose.weights[tables.offset_weight][:, None] * tables.offset
    np.add.at(vertices, owner, moved)
    for number in (1, 2):
        centre = tables.eye_centres[number - 1]
        ball = np.flatnonzero(tables.eye == number)
        vertices[ball] = centre + (vertices[ball] - centre) @ pose.gaze.T
        skin = np.flatnonzero(tables.eye == -number)
        away = vertices[skin] - centre
        distance = np.linalg.norm(away, axis=1)
        kept = np.linalg.norm(rest[skin] - centre, axis=1)
        allowed = np.minimum(tables.lid_clearances[number - 1], kept)
        out = np.maximum(allowed / np.maximum(distance, 1e-6), 1)
        vertices[skin] = centre + away * out[:, None]
    share = tables.neck_weights[:, None]
    turns = Rotation.from_rotvec(share * pose.head_rotation)
    turned = turns.apply(vertices - tables.neck_joint) + tables.neck_joint
    return np.where(share > 0, turned + share * pose.head_translation, vertices)


def carried(tables: HeadTables, vertices: np.ndarray):
    corners = vertices[tables.triangles]
    single = vertices.astype(np.float32)
    _origin, frames, sizes = triangle_frames(single, tables.triangles)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    on, place = tables.triangle_of, tables.positions.astype(np.float64)
    weights = np.stack([1 - place[:, 0] - place[:, 1], place[:, 0], place[:, 1]], 1)
    size = sizes[on][:, None].astype(np.float64)
    means = (corners[on] * weights[:, :, None]).sum(1) + place[:, 2:] * size * normals[on]
    return means, multiply_quaternions(frames[on], tables.rotations), tables.scales * size


def splat_factors(tables: HeadTables, pose: HeadPose, vertices: np.ndarray, means: np.ndarray):
    """[L] of the lit splats."""
    vertex = np.ones(len(vertices))
    vertex[tables.shaded] = vertex_factors(tables, pose, vertices)
    splat = tables.lit
    b = np.clip(tables.positions[splat, 0], 0, 1)
    c = np.clip(tables.positions[splat, 1], 0, 1 - b)
    corners = vertex[tables.triangles[tables.triangle_of[splat]]]
    factors = (corners * np.stack([1 - b - c, b, c], 1)).sum(1)
    where = np.searchsorted(splat, tables.lips)
    factors[where] *= lip_factors(tables, means[tables.lips])
    return factors


def vertex_factors(tables: HeadTables, pose: HeadPose, vertices: np.ndarray) -> np.ndarray:
    """[K] of the shaded vertices."""
    known = tables.constants
    owner = np.repeat(np.arange(len(tables.shaded)), np.diff(tables.ring_start))
    here = vertices[tables.shaded[owner]]
    one, other = (vertices[tables.ring[:, k]] - here for k in range(2))
    normals = np.zeros((len(tables.shaded), 3))
    np.add.at(normals, owner, np.cross(one, other))
    area = np.maximum(np.linalg.norm(normals, axis=1), 1e-15)
    back = Rotation.from_rotvec(-tables.neck_weights[tables.shaded][:, None] * pose.head_rotation)
    x, y, z = back.apply(normals / area[:, None]).T
    terms = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    straight = np.stack(terms, 1) @ tables.light
    lit = (straight + np.sqrt(straight**2 + 4 * known["DIMMEST"] ** 2)) / 2
    ratio = np.clip(lit / tables.rest_light, known["LEAST_RATIO"], known["MOST_RATIO"])
    smaller = np.minimum(area / tables.rest_area, 1)
    ratio *= np.maximum(smaller ** known["FOLD"], known["DEEPEST"])
    return 1 + tables.shade_weight * (ratio ** known["ENCODED"] - 1)


def lip_factors(tables: HeadTables, places: np.ndarray) -> np.ndarray:
    """[n] of the lips' splats, which lie at `places`."""
    owner = np.repeat(np.arange(len(places)), np.diff(tables.lip_start))
    apart = ((places[tables.lip_near] - places[owner]) ** 2).sum(1)
    left = np.maximum(1 - apart * tables.constants["LIP_SQUARE"], 0)
    near = np.zeros(len(places))
    np.add.at(near, owner, tables.lip_area[tables.lip_near] * left**2)
    touching = np.minimum(near * tables.constants["LIP_SCALE"], 1)
    return np.minimum((1 - tables.lip_darkest * touching) / tables.lip_rest, 1)


def lively_motion(seed: int) -> MotionFrame:
    """A face that does anything at all."""
    chance = np.random.default_rng(seed)
    single = lambda values: np.asarray(values, np.float32)  # noqa: E731
    return MotionFrame(
        index=0,
        time_s=0.0,
        latent=np.zeros(0, np.float32),
        expression=single(chance.random(len(ARKIT_NAMES)) * (chance.random(52) < 0.4)),
        tongue=single(chance.random(3)),
        gaze=single(chance.normal(0, 0.2, 2)),
        head_rotation=single(chance.normal(0, 0.2, 3)),
        head_translation=single(chance.normal(0, 0.01, 3)),
    )


def taught(avatar: Avatar, seed: int = 0) -> Avatar:
    """With residuals of the face on some Gaussians, of the head's pose on others, on a third of
    them both, on some none; some so strong that what bounds them is at work. As a file holds them.
    """
    chance = np.random.default_rng(seed)
    many = len(avatar)
    glance = avatar.glance if len(avatar.glance) else chance.uniform(-0.2, 0.2, (many, 3))
    return replace(
        avatar,
        glance=np.asarray(glance, np.float32),
        taken_from=avatar.taken_from
        if avatar.taken_from.any()
        else np.array([0, 0, 1], np.float32),
        face_residual=_random_part(FACE_CODE, 10, chance.random(many) < 0.6, chance),
        pose_residual=_random_part(HEAD_CODE, 6, chance.random(many) < 0.5, chance),
    )


def _random_part(
    code: int, features: int, on: np.ndarray, chance: np.random.Generator
) -> ResidualPart:
    single = lambda *shape: chance.normal(0, 1, shape).astype(np.float32)  # noqa: E731
    splats = np.flatnonzero(on).astype(np.int32)
    bases = 0.03 * single(len(splats), features, WIDTH)
    bases[::20, :, :6] *= 40  # colours, opacity and sizes beyond their ends
    bases[::20, :, 9] *= 40
    return ResidualPart(
        mean=0.1 * single(code),
        whiten=np.eye(code, dtype=np.float32),
        reach=100.0,
        mix=0.4 * single(code, features),
        shift=single(features),
        splats=splats,
        bases=bases.astype(np.float16).astype(np.float32),
    )


def assert_posed_alike(got: Gaussians, expected: Gaussians, opacities: float = 0.0) -> None:
    """`opacities`: how far they may differ, where residuals change them."""
    assert np.abs(expected.means - got.means).max() < 1e-6
    # A quaternion may have the other sign; thin triangles tilt by the last digits of their corners.
    lengths = np.linalg.norm(expected.rotations, axis=1) ** 2  # as stored: not quite 1
    alike = np.abs((expected.rotations * got.rotations).sum(1)) / lengths
    assert np.quantile(alike, 0.001) > 1 - 1e-5
    assert np.quantile(np.abs(expected.scales / got.scales - 1), 0.999) < 1e-3
    assert np.abs(expected.colours - got.colours).max() < 2e-3
    assert np.abs(expected.opacities - got.opacities).max() <= opacities
