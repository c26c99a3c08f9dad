"""The words that every other file speaks. Data only: no I/O, no GPU calls.

Conventions (whole project): metres, seconds, radians; right-handed, y up; quaternions
(w, x, y, z); image row 0 on top; colours are sRGB-encoded, 0..1.

*Avatar space* is glTF's: the face looks along +z, +y is up, +x is the avatar's own left, and
the origin lies midway between the centres of its eyeballs. A viewer stands on the +z side and
looks along -z (OpenXR), so an avatar needs no rotation to face the viewer.
Yaw is positive towards the avatar's left (+x), pitch is positive upwards.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Index = NDArray[np.int32]
Bytes = NDArray[np.uint8]

AUDIO_RATE = 16_000
"""Samples a second, mono, of all sound that reaches the speech network."""
MOTION_RATE = 50
"""Motion frames a second out of the generator; films and displays sample between them."""

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""The 52 expressions, in the order of Apple's ARKit as Live Link Face sends them."""


TONGUE_NAMES: tuple[str, ...] = ("tongueTipUp", "tongueUp", "tongueForward")
"""What a tongue does besides ARKit's tongueOut: the tip behind the upper teeth (l, t, d, n), the
back to the palate (k, g, ng), the tip between the teeth (th)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionFrame:
    """What the face does at one instant. Written once, never changed after."""

    index: int
    """Frame number since the generator's `reset`; consecutive frames differ by 1."""
    time_s: float
    """The instant of the sound that this face belongs to, on the audio clock."""
    latent: Float
    """[L] the motion latent, as the codec in `avatar.motion` defines it."""
    expression: Float
    """[52] weights 0..1 in the order of `ARKIT_NAMES`."""
    gaze: Float
    """[2] yaw, pitch of both eyes against the head, radians."""
    head_rotation: Float
    """[3] axis-angle of the head against the shoulders, about the neck joint, radians."""
    head_translation: Float
    """[3] metres, added to the head after the rotation."""
    tongue: Float = field(default_factory=lambda: np.zeros(len(TONGUE_NAMES), np.float32))
    """[3] weights 0..1 in the order of `TONGUE_NAMES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussians:
    """N splats in avatar space, as a renderer takes them. All arrays float32, C-contiguous."""

    means: Float
    """[N, 3] metres."""
    rotations: Float
    """[N, 4] quaternions (w, x, y, z); renderers normalise them."""
    scales: Float
    """[N, 3] standard deviations along the splat's own axes, metres."""
    opacities: Float
    """[N] 0..1."""
    colours: Float
    """[N, 3] sRGB-encoded, as blended."""

    def __len__(self) -> int:
        return len(self.means)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """One photograph, upright, with what was found in it. The largest face is the subject."""

    image: Float
    """[H, W, 3] sRGB 0..1."""
    landmarks: Float
    """[478, 3] FaceMesh points, pixels (z in the same scale as x, towards the scene)."""
    person: Float
    """[H, W] 0..1: how surely a pixel belongs to the person."""
    faces_found: int
    """How many faces the photograph shows; more than one is worth telling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualPart:
    """What one part of the motion does to the Gaussians beyond the posed template: a network of one
    hidden layer of K features, whose output layer is each Gaussian's own (`avatar.residual`)."""

    mean: Float
    """[D] of this part of the motion code, over the frames that it was learned from."""
    whiten: Float
    """[D, D] the code less `mean`, times this, is as long as the code is unlike those frames:
    `reach` is the edge of what was seen."""
    reach: float
    mix: Float
    """[D, K] hidden weights, of the code less `mean`."""
    shift: Float
    """[K] hidden biases."""
    splats: Index
    """[R] which of the avatar's Gaussians it changes, ascending."""
    bases: Float
    """[R, K, 10] output weights, in the order of `avatar.residual.CHANNELS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatar:
    """One person's head: a rest mesh on the template's topology and Gaussians bound to it.

    Vertices 0..V-1 are the head template's own, in its order, so its expressions apply to them;
    vertices from V on (hair, shoulders) belong to this avatar and follow the joints only.
    """

    name: str
    vertices: Float
    """[M, 3] rest positions with a neutral face, avatar space, metres; M >= V."""
    triangles: Index
    """[T, 3] every triangle that a Gaussian is bound to (template's first, then own)."""
    neck_weights: Float
    """[M] 0 = moves with the shoulders, 1 = moves with the head."""
    expression_gain: Float
    """[52] how far this person's face goes for an expression weight of 1 (template: 1)."""
    bound_triangle: Index
    """[N] the triangle that Gaussian i lives on."""
    bound_position: Float
    """[N, 3] barycentric (b, c) on the triangle a + b*(B-a) + c*(C-a), then height above it
    along the normal in units of the triangle's size (`avatar.deform.triangle_frames`)."""
    bound_rotation: Float
    """[N, 4] rotation in the triangle's frame."""
    bound_scale: Float
    """[N, 3] standard deviations in units of the triangle's size."""
    opacity: Float
    """[N] 0..1."""
    colour: Float
    """[N, 3] sRGB, as seen in the portrait's light with a neutral face."""
    glance: Float = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    """[N, 3] added to `colour` for a viewer who sees the head as the photograph did, and less and
    less of it from further aside (`avatar.glance`); 0 rows = none."""
    taken_from: Float = field(default_factory=lambda: np.zeros(3, np.float32))
    """[3] where the photograph's camera stood, avatar space, metres; all 0 = unknown: no glance."""
    light: Float = field(default_factory=lambda: np.zeros((9, 3), np.float32))
    """[9, 3] the portrait's light by colour (`avatar.shading`), avatar space: with it expressions
    change the skin's shading; all 0 = unknown, and colours stay as they are."""
    face_residual: ResidualPart | None = None
    """By what the face does: mouth, tongue, upper face and gaze, D = 34."""
    pose_residual: ResidualPart | None = None
    """By how the head is held: its rotation and translation, D = 6."""
    thumbnail: Bytes = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    """[h, w, 3] sRGB, a small picture of the avatar to choose it by; 0 x 0 = none."""
    fit: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """What the fit found: `identity`, `expression`, `head_rotation`, `camera`, ..."""
    provenance: dict[str, str] = field(default_factory=dict[str, str])
    """Where it comes from: `source`, `made_by`, `licence`, ...; no times, so that the same portrait
    gives the same file."""

    def __len__(self) -> int:
        return len(self.bound_triangle)
