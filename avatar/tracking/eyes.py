"""Lids and gaze, measured apart from the rest of the face: small, fast, and seen sharply."""

from dataclasses import dataclass

import numpy as np

from avatar.head.pose import gaze_rotation
from avatar.portrait.arrays import Array
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT, LEFT_EYE, RIGHT_EYE
from avatar.tracking.face_model import BLINKS, FaceModel, Lids
from avatar.tracking.solve import Lens, Posed

LOOK_FULL_RAD = float(np.radians(35.0))
"""Gaze at which an eyeLook weight is 1, as for spoken motion (`avatar.motion.latent`)."""
SHUT = 0.2
"""What FaceMesh leaves open of a shut eye, as a share of the open one: .15 to .22 in six films."""
_SURELY_SHUT = 0.85
"""Beyond this share of the way the lids are taken all the way: a blink that stays ajar is seen."""
_LIDS_DEAD_ZONE = 0.07
"""Of the way that counts as noise."""
_WINK = 0.45
"""The eyes are believed to differ when they differ by this, and more in a turned head; below, both
do the mean."""
_GAZE_LIMIT = 0.6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EyesSeen:
    """What one frame shows of both eyes, left first, before it is related to the person's rest."""

    opening_m: Array
    """[2] between the lids."""
    gaze: Array
    """[2] yaw, pitch against the head, radians."""
    share: Array
    """[2] how much each eye is to be believed, together 1: a turned head shows one of them well."""


def see_eyes(model: FaceModel, lens: Lens, landmarks: Array, posed: Posed) -> EyesSeen:
    """Measure the eyes of [478, >=2] landmarks in pixels, the head being where `posed` says."""
    shares = _facing(posed)
    gaze = np.zeros(2)
    opening = np.zeros(2)
    for side, (eye, iris) in enumerate(((LEFT_EYE, IRIS_LEFT), (RIGHT_EYE, IRIS_RIGHT))):
        centre = model.eye_centre[side]
        ahead = -float((posed.rotation @ centre + posed.translation)[2])
        points = landmarks[list(eye), :2].astype(np.float64)
        height = np.linalg.norm(points[1] - points[5]) + np.linalg.norm(points[2] - points[4])
        opening[side] = 0.5 * float(height) * ahead / lens.focal_px
        outward = _outward(lens, landmarks[iris[0], :2], posed, centre, model.eye_radius[side])
        angles = np.arctan2(outward[0], outward[2]), np.arcsin(np.clip(outward[1], -1, 1))
        gaze += shares[side] * np.array(angles)
    return EyesSeen(opening_m=opening, gaze=np.clip(gaze, -_GAZE_LIMIT, _GAZE_LIMIT), share=shares)


def _facing(posed: Posed) -> Array:
    """[2] how much each eye counts: the far one of a turned head is seen narrow, and badly."""
    lean = float(np.clip(2.0 * posed.rotation[0, 2], -0.45, 0.45))
    return np.array([0.5 - lean, 0.5 + lean])  # turned to the avatar's left: the right eye


def _outward(lens: Lens, pixel: Array, posed: Posed, centre: Array, radius: float) -> Array:
    """[3] unit direction from the eyeball's centre to where the iris is seen, avatar space."""
    ray = np.array(
        [
            (pixel[0] - lens.centre_px[0]) / lens.focal_px,
            -(pixel[1] - lens.centre_px[1]) / lens.focal_px,
            -1.0,
        ]
    )
    ray /= np.linalg.norm(ray)
    middle = posed.rotation @ centre + posed.translation
    along = float(ray @ middle)
    aside = float(middle @ middle) - along**2
    hit = ray * (along - np.sqrt(max(radius**2 - aside, 0.0)))
    outward = posed.rotation.T @ (hit - middle)
    return outward / max(float(np.linalg.norm(outward)), 1e-9)


def lid_weights(lids: Lids, eyes: EyesSeen, open_m: Array, pitch: float) -> tuple[Array, Array]:
    """Weights [2] of eyeBlink and [2] of eyeWide, left first.

    `open_m` [2] is how far this person's eyes are open at rest, `pitch` how far they look up from
    there, radians: what that does to the lids by itself (eyeLookDown, eyeLookUp) is left out.
    """
    down = float(np.clip(-pitch / LOOK_FULL_RAD, 0, 1))
    up = float(np.clip(pitch / LOOK_FULL_RAD, 0, 1))
    following = 1 + down * (lids.by_look_down - 1) + up * min(lids.by_look_up - 1, 0)
    share = (eyes.opening_m / np.maximum(open_m, 1e-6) - SHUT) / (1 - SHUT)
    way = 1 - share / max(following, 0.2)
    turned = abs(float(eyes.share[0] - eyes.share[1]))
    if abs(float(way[0] - way[1])) < _WINK + turned:
        way = np.full(2, eyes.share @ way)
    closing = np.clip((way - _LIDS_DEAD_ZONE) / (_SURELY_SHUT - _LIDS_DEAD_ZONE), 0, 1)
    # The template's lids meet before a weight of 1: what is seen half shut shall look half shut.
    blink = np.interp(closing, 1 - lids.by_blink, BLINKS)
    blink = np.where(closing >= 1, 1.0, blink)
    wide = np.clip((-way - _LIDS_DEAD_ZONE) / max(lids.by_wide - 1, 0.05), 0, 1)
    return blink, wide


def look_weights(gaze: Array) -> dict[str, float]:
    """The eyeLook weights by which other programs' rigs turn the eyes; ours moves the lids."""
    yaw, pitch = (float(angle) / LOOK_FULL_RAD for angle in gaze)
    left, right, up, down = max(yaw, 0.0), max(-yaw, 0.0), max(pitch, 0.0), max(-pitch, 0.0)
    return {
        "eyeLookOutLeft": left,
        "eyeLookInRight": left,
        "eyeLookInLeft": right,
        "eyeLookOutRight": right,
        "eyeLookUpLeft": up,
        "eyeLookUpRight": up,
        "eyeLookDownLeft": down,
        "eyeLookDownRight": down,
    }


def gaze_direction(gaze: Array) -> Array:
    """[3] unit vector of yaw and pitch, avatar space."""
    return gaze_rotation(np.asarray(gaze, np.float64))[:, 2]


def gaze_angles(direction: Array) -> Array:
    """[2] yaw and pitch of a direction in avatar space."""
    unit = direction / max(float(np.linalg.norm(direction)), 1e-9)
    return np.array([np.arctan2(unit[0], unit[2]), np.arcsin(np.clip(unit[1], -1, 1))])
