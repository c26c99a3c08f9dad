"""Fewer Gaussians for a head that is small on the screen, or for a display that cannot hold its
rate.

Splats are ordered by how much light of theirs reaches an eye: from all around, and in expressions
that show the mouth, the teeth and the white of the eyes. More than a quarter of a head is never
seen; then follow those of which a trace shows through others. A level leaves out the least seen
ones. Levels are nested: what a smaller one draws, a larger one draws too, so a change of level
moves nothing. (As the importance in LightGaussian, Fan et al. 2024, sec. 3.2, but of the finished
avatar, without training again.)

Tried and left out: growing the scales of those that stay to cover for the others (half a decibel at
most, and less for the first levels), and merging pairs of like neighbours instead of leaving them
out: no better down to half of the splats.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.deform import Deformer
from avatar.fit.rasteriser import Lens, Rasteriser
from avatar.residual import rows_of
from avatar.types import ARKIT_NAMES, Avatar, Float, ResidualPart

LOST = (1e-4, 1e-3, 1e-2, 5e-2)
"""Share of all the light seen that each level leaves out, at most."""
_SIDE_PX = 256
_FOCAL = 0.5 / math.tan(math.radians(12.5))
"""Of a picture of side 1: from 1 m away it holds the head and what is below it."""
_MIDDLE = np.array([0.0, -0.03, -0.06])
"""Metres: what the cameras look at, the middle of a head."""
_AROUND = [(30.0 * step, pitch) for step in range(12) for pitch in (-17.0, 20.0)]
_IN_FRONT = [(yaw, 6.0) for yaw in (-60.0, -30.0, 0.0, 30.0, 60.0)]
"""Yaw and pitch of the cameras, degrees."""
_TEETH = {
    f"{name}{side}": 0.8
    for name in ("mouthSmile", "mouthUpperUp", "mouthLowerDown")
    for side in ("Left", "Right")
}
_FACES: tuple[tuple[dict[str, float], tuple[float, float]], ...] = (
    ({"jawOpen": 0.8, "mouthStretchLeft": 0.5, "mouthStretchRight": 0.5}, (0.4, 0.2)),
    ({"jawOpen": 0.6, "tongueOut": 1.0, "browInnerUp": 1.0}, (-0.4, -0.2)),
    ({**_TEETH, "jawOpen": 0.2}, (0.0, -0.3)),
    ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "mouthPucker": 1.0}, (0.0, 0.0)),
    ({"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "mouthRollLower": 1.0}, (0.0, 0.3)),
)
"""Expressions, and gaze in rad."""


@dataclass(frozen=True, slots=True)
class Level:
    """An avatar without its least seen Gaussians."""

    avatar: Avatar
    share: float
    """0..1 of the Gaussians that it still has."""
    lost: float
    """0..1 of the light seen that it lacks, at most."""


def levels_of_detail(avatar: Avatar) -> list[Level]:
    """The whole avatar, and smaller and smaller ones. Some seconds of work, always the same."""
    light = seen_light(avatar).astype(np.float64)
    # Most light first; equals by number, so that nothing is left to chance.
    order = np.lexsort((np.arange(len(light)), -light))
    left = np.cumsum(light[order]) / max(light.sum(), 1e-12)
    levels = [Level(avatar, 1.0, 0.0)]
    for lost in LOST:
        count = min(int(np.searchsorted(left, 1 - lost)) + 1, len(light))
        if count < len(levels[-1].avatar):
            kept = np.sort(order[:count])
            levels.append(Level(thinned(avatar, kept), count / len(light), lost))
    return levels


def thinned(avatar: Avatar, kept: NDArray[np.integer]) -> Avatar:
    """The avatar with only the Gaussians `kept` [n], in this order; one may be there twice."""
    return replace(
        avatar,
        bound_triangle=avatar.bound_triangle[kept],
        bound_position=avatar.bound_position[kept],
        bound_rotation=avatar.bound_rotation[kept],
        bound_scale=avatar.bound_scale[kept],
        opacity=avatar.opacity[kept],
        colour=avatar.colour[kept],
        glance=avatar.glance[kept] if len(avatar.glance) else avatar.glance,
        face_residual=_thinned_part(avatar.face_residual, kept),
        pose_residual=_thinned_part(avatar.pose_residual, kept),
    )


def _thinned_part(part: ResidualPart | None, kept: NDArray[np.integer]) -> ResidualPart | None:
    if part is None:
        return None
    rows = rows_of(part.splats, kept)
    places = np.flatnonzero(rows >= 0).astype(np.int32)
    return replace(part, splats=places, bases=np.ascontiguousarray(part.bases[rows[places]]))


def seen_light(avatar: Avatar) -> Float:
    """[N] how much light of each Gaussian reaches the cameras, pixels of full light, all together.

    That is the derivative of the pictures' sum by its colour.
    """
    deformer, rasteriser = Deformer(avatar), Rasteriser()
    total = np.zeros(len(avatar), np.float64)
    for face, gaze in (({}, (0.0, 0.0)), *_FACES):
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for name, weight in face.items():
            expression[ARKIT_NAMES.index(name)] = weight
        gaussians = deformer.gaussians(expression=expression, gaze=np.array(gaze, np.float32))
        for yaw, pitch in _IN_FRONT if face else _AROUND:
            colour, _ = rasteriser.draw(gaussians, _lens(math.radians(yaw), math.radians(pitch)))
            total += rasteriser.backward(colour, np.ones_like(colour)).colours[:, 0]
    return total.astype(np.float32)


def _lens(yaw_rad: float, pitch_rad: float) -> Lens:
    """A camera 1 m from the head's middle that looks at it, upright."""
    sin_yaw, cos_yaw = math.sin(yaw_rad), math.cos(yaw_rad)
    sin_pitch, cos_pitch = math.sin(pitch_rad), math.cos(pitch_rad)
    right = np.array([cos_yaw, 0.0, -sin_yaw])
    back = np.array([sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch])
    turn = np.stack([right, -np.cross(back, right), -back])
    pose = np.concatenate([turn, -turn @ (_MIDDLE + back)[:, None]], 1).astype(np.float32)
    focal, middle = _FOCAL * _SIDE_PX, _SIDE_PX / 2
    intrinsics = np.array([focal, focal, middle, middle], np.float32)
    return Lens(pose=pose, intrinsics=intrinsics, width=_SIDE_PX, height=_SIDE_PX)
