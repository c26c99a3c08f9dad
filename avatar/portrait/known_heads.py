"""Pictures of heads of which everything is known: shape, pose, expression, gaze, camera.

What the fit of a photograph finds is measured on them (`pose_check`), and how FaceMesh's landmarks
move as a head turns is learnt from them (`avatar.training.landmark_view`). Drawing is the
caller's: this folder knows no renderer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.deform import Deformer
from avatar.head.pose import identity_shape
from avatar.head.template import HeadTemplate
from avatar.portrait.arrays import Array
from avatar.portrait.camera import PhotoCamera
from avatar.portrait.landmark_view import FACE_MIDDLE
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians

Draw = Callable[[Gaussians, PhotoCamera, int, Float], Float]
"""Gaussians, camera, side in pixels, background [3] -> [side, side, 3] sRGB 0..1."""
_FACE_WIDTH_M = 0.2
_NEIGHBOURS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """How one picture of a head is taken. Angles in radians."""

    yaw: float
    pitch: float
    roll: float
    """Of the head against the camera, as `FaceFit.yaw_pitch_roll` has them."""
    distance_m: float
    """From the camera to the middle of the face: short is a wide lens held near."""
    expression: Float
    """[52]"""
    gaze: Float
    """[2]"""
    side_px: int = 384
    face_share: float = 0.6
    """Of the picture's side that 0.2 m of the face take."""
    beside: tuple[float, float] = (0.0, 0.0)
    """Where the face is, against the picture's middle, as shares of its side."""
    background: tuple[float, float, float] = (0.45, 0.47, 0.5)

    @property
    def camera(self) -> PhotoCamera:
        """The camera that takes it."""
        turn = Rotation.from_euler("YXZ", [self.yaw, -self.pitch, self.roll]).as_matrix()
        focal = self.face_share * self.side_px * self.distance_m / _FACE_WIDTH_M
        across = self.side_px * self.distance_m / focal
        middle = (self.beside[0] * across, -self.beside[1] * across, -self.distance_m)
        return PhotoCamera(
            rotation=turn.astype(np.float32),
            translation=(np.array(middle) - turn @ FACE_MIDDLE).astype(np.float32),
            focal_px=focal,
            centre_px=(self.side_px / 2, self.side_px / 2),
        )


def take(deformer: Deformer, shot: Shot, draw: Draw) -> Float:
    """[side, side, 3] the picture. The deformer's `vertices` are the head in it."""
    gaussians = deformer.gaussians(expression=shot.expression, gaze=shot.gaze)
    return draw(gaussians, shot.camera, shot.side_px, np.array(shot.background, np.float32))


def expressed(**weights: float) -> Float:
    """[52] of weights by name; `eyeBlink` means both `eyeBlinkLeft` and `eyeBlinkRight`."""
    expression = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        for one in (name,) if name in ARKIT_NAMES else (name + "Left", name + "Right"):
            expression[ARKIT_NAMES.index(one)] = weight
    return expression


def random_identity(template: HeadTemplate, random: np.random.Generator, spread: float) -> Float:
    """[I] weights, normal with `spread` times the spread among people."""
    weights = random.normal(0, spread, len(template.identity_names)) * template.identity_sigma
    limited = np.clip(weights, template.identity_lower, template.identity_upper)
    return limited.astype(np.float32)


def reshaped(avatar: Avatar, template: HeadTemplate, identity: Float) -> Avatar:
    """The avatar's skin, hair and clothes on a head of the template's morphs [I] alone.

    What pictures cannot tell, how deep a face is and whether it is symmetric, is known of it.
    """
    count = len(template.vertices)
    moved = identity_shape(template, identity) - avatar.vertices[:count]
    vertices = avatar.vertices.copy()
    vertices[:count] += moved
    if len(vertices) > count:
        near = KDTree(avatar.vertices[:count]).query(avatar.vertices[count:], _NEIGHBOURS)[1]
        vertices[count:] += moved[near].mean(1)
    return replace(avatar, vertices=vertices.astype(np.float32))


def landmarks_of(template: HeadTemplate, vertices: Array) -> Array:
    """[478, 3] the landmarks' spots of skin on a posed head; nan where the template has none."""
    corners = vertices[template.triangles[np.maximum(template.landmark_triangle, 0)]]
    places = np.einsum("nk,nkc->nc", template.landmark_barycentric, corners)
    places[template.landmark_triangle < 0] = np.nan
    return places
