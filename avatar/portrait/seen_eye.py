"""One eye as the photograph shows it: what colour it has where on the eyeball."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from avatar.head.eyeball import eyeball_rotation
from avatar.head.pose import eye_centres, gaze_rotation
from avatar.head.template import Part
from avatar.portrait.arrays import Array
from avatar.portrait.camera import PhotoCamera
from avatar.portrait.colour import sample
from avatar.portrait.eye_fit import lid_margins
from avatar.portrait.landmarks import IRIS_LEFT, IRIS_RIGHT
from avatar.portrait.openings import LEFT_LIDS, RIGHT_LIDS
from avatar.portrait.sitter import Sitter
from avatar.types import Float

EYES = (Part.EYE_LEFT, Part.EYE_RIGHT)


@dataclass(frozen=True, eq=False, kw_only=True)
class SeenEye:
    """Directions are unit vectors from the eyeball's centre: of the *head* (avatar space), or of
    the *eye*, whose axis is +z and which gaze turns."""

    side: int
    """1 for the left eye, -1 for the right."""
    centre: Float
    """[3] metres."""
    radius: float
    """Metres."""
    at_rest: Array
    """[3, 3] eye -> head, looking ahead."""
    looking: Array
    """[3, 3] eye -> head, as photographed."""
    camera: PhotoCamera
    image: Float
    """[H, W, 3]"""
    opening: Array
    """[16, 2] pixels, the margins of the lids; 0 is the outer corner, 8 the inner one."""
    iris: Array
    """[2] pixel of its middle."""
    iris_px: float
    """Its radius."""

    def pixels(self, head: Array) -> Array:
        """[N, 2] where directions [N, 3] of the head are in the picture."""
        return self.camera.project(self.centre + self.radius * head)[:, :2]

    def colours(self, head: Array) -> Float:
        """[N, 3] of the picture at directions [N, 3] of the head."""
        return sample(self.image, self.pixels(head).astype(np.float32))

    def within_m(self, head: Array) -> Array:
        """[N] metres from the lids' margins, positive inside the opening."""
        return self.within_px(self.pixels(head)) / self.camera.pixels_per_metre

    def within_px(self, pixels: Array) -> Array:
        """[N] the same of [N, 2] pixels, pixels."""
        outline = self.opening.astype(np.float32)
        distance = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in pixels]
        return np.array(distance)

    @cached_property
    def inner_corner(self) -> Array:
        """[3] direction of the head."""
        return self.towards(self.opening[8])

    def towards(self, pixel: Array) -> Array:
        """[3] direction of the head to where the ray through `pixel` meets the eyeball, or passes
        nearest."""
        start = self.camera.position
        ray = self.camera.unproject(pixel, np.asarray(1.0, np.float32)) - start
        ray = ray / np.linalg.norm(ray)
        along = float(ray @ (self.centre - start))
        aside = float((self.centre - start) @ (self.centre - start)) - along**2
        out = start + ray * (along - np.sqrt(max(self.radius**2 - aside, 0.0))) - self.centre
        return out / max(float(np.linalg.norm(out)), 1e-9)


def seen_eyes(sitter: Sitter) -> tuple[SeenEye, SeenEye]:
    """The left eye and the right one."""
    template, neutral, face = sitter.template, sitter.fit.neutral, sitter.face
    centres, radii = eye_centres(template, neutral)
    found = []
    for number, part in enumerate(EYES):
        ring, iris = ((LEFT_LIDS, IRIS_LEFT), (RIGHT_LIDS, IRIS_RIGHT))[number]
        at_rest = eyeball_rotation(neutral[template.eye_vertices(part)] - centres[number])
        middle = face.landmarks[iris[0], :2].astype(np.float64)
        rim = face.landmarks[list(iris[1:]), :2]
        found.append(
            SeenEye(
                side=1 - 2 * number,
                centre=centres[number],
                radius=float(radii[number]),
                at_rest=at_rest,
                looking=gaze_rotation(sitter.fit.gaze) @ at_rest,
                camera=sitter.fit.camera,
                image=sitter.portrait.image,
                opening=lid_margins(
                    face.landmarks[list(ring), :2].astype(np.float64), sitter.portrait.image
                ),
                iris=middle,
                iris_px=float(np.linalg.norm(rim - middle, axis=1).mean()),
            )
        )
    return found[0], found[1]


def front(spacing: float, furthest: tuple[float, float]) -> Array:
    """[N, 3] directions about +z, every `spacing` radians to either side and upwards, as far as
    `furthest` radians."""
    across = np.arange(-furthest[0], furthest[0] + 1e-9, spacing)
    upwards = np.arange(-furthest[1], furthest[1] + 1e-9, spacing)
    u, v = (part.ravel() for part in np.meshgrid(across, upwards))
    return np.stack([np.sin(u) * np.cos(v), np.sin(v), np.cos(u) * np.cos(v)], 1)
