"""The person in the portrait, as every later stage asks for them; each answer is computed once."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from avatar.head.rasterise import rasterise
from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import PhotoColours, like_skin, sample, squareness
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import CHEEKS, CHIN, FACE_OVAL, LASH_LINES, LIPS, FoundFace
from avatar.portrait.mesh import between_corners, smooth_normals
from avatar.portrait.regions import Clues, Regions, find_regions
from avatar.types import ARKIT_NAMES, Float, Portrait

_BROWS = 9
"""FaceMesh's point between the brows."""
_EAR_MORPHS = ("-ear-flap-incr", "-ear-shape-round", "-ear-wing-incr")
"""Morphs that move the ear itself; others carry the skin around it along."""
_EAR_MOVES = 0.35
"""Of the most that such a morph moves: what moves further belongs to the ear."""
_FACE_MASK_INSET_M = 0.004
NECK_BELOW_CHIN_M = 0.055
"""Further down the relief follows the person's outline alone, not the template's shoulders."""
_UNDER_RELIEF_M = 0.015
"""Skin further than this from the bare skin's border, in the picture, is left out."""
_SMALLEST_BARE_M = 0.004
"""Bare skin narrower than this is left to the relief, and gaps as narrow are closed."""
_NARROWEST_HAIR_M = 0.016
"""Hair beside a cheek is wider in the picture."""
_EAR_SEEN = 0.5
"""Share of an ear's area in the picture that must be skin, for the template's ear to be drawn."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sitter:
    """A photographed face with the head fitted to it: V vertices and F triangles, the template's.

    In the fit's `neutral` head the face is at rest, in `posed` it does what it did for the
    photograph. How the head was held is said by the camera.
    """

    portrait: Portrait
    face: FoundFace
    fit: FaceFit
    template: HeadTemplate

    @cached_property
    def posed(self) -> Float:
        """[V, 3] the head with the photograph's expression, avatar space."""
        moved = np.tensordot(self.fit.expression, self.template.expression_basis, 1)
        return (self.fit.neutral + moved).astype(np.float32)

    @cached_property
    def depth(self) -> Float:
        """[H, W] metres ahead of the camera of the posed head; inf where it is not."""
        height, width = self.portrait.image.shape[:2]
        drawn = self.template.triangles[self.template.triangle_part != Part.LASHES]
        return rasterise(self.fit.camera.project(self.posed), drawn, width, height).depth

    @cached_property
    def photo(self) -> PhotoColours:
        """The photograph as a source of colours."""
        return PhotoColours(
            self.portrait.image, self.portrait.person, self.fit.camera.pixels_per_metre
        )

    @cached_property
    def normals(self) -> Array:
        """[F, 3] of the posed head, smooth."""
        return smooth_normals(self.posed, self.template.triangles)

    @cached_property
    def face_mask(self) -> Float:
        """[H, W] 1 inside FaceMesh's oval of the photograph, a little inset."""
        mask = np.zeros(self.depth.shape, np.uint8)
        oval = self.face.landmarks[list(FACE_OVAL), :2]
        cv2.fillPoly(mask, [np.round(oval).astype(np.int32)], 1.0)
        inset = max(1, round(_FACE_MASK_INSET_M * self.fit.camera.pixels_per_metre))
        return cv2.erode(mask, disc(inset)).astype(np.float32)

    @cached_property
    def regions(self) -> Regions:
        """Where the photograph shows skin, hair and clothes."""
        image, landmarks = self.portrait.image, self.face.landmarks
        skin_like = like_skin(image.reshape(-1, 3), self.skin_tone).reshape(self.depth.shape)
        clues = Clues(
            person=self.portrait.person,
            face=(self.face_mask > 0) & (skin_like > 0.3),
            covered=np.isfinite(self.depth),
            chin_row=float(landmarks[CHIN, 1]),
            pixels_per_metre=self.fit.camera.pixels_per_metre,
        )
        return find_regions(image, clues)

    @cached_property
    def bare_skin(self) -> Float:
        """[H, W] 1 where the template itself is drawn: the face, and the ears, jaw and neck that
        the photograph shows bare; around it the relief begins."""
        rows = np.arange(len(self.depth))[:, None]
        metres = self.fit.camera.pixels_per_metre
        neck_ends = self.face.landmarks[CHIN, 1] + NECK_BELOW_CHIN_M * metres
        beside = (self.regions.skin > 0.5) & (self.portrait.person > 0.5) & (rows < neck_ends)
        beside |= self._dark_rim
        bare = ((beside & np.isfinite(self.depth)) | (self.face_mask > 0)).astype(np.uint8)
        kernel = disc(_SMALLEST_BARE_M * metres)
        bare = cv2.morphologyEx(
            cv2.morphologyEx(bare, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel
        )
        bare = np.maximum(bare, (self.face_mask > 0).astype(np.uint8))
        _, labels = cv2.connectedComponents(bare)
        counts = np.bincount(labels[self.face_mask > 0], minlength=2)
        counts[0] = 0
        return (labels == int(counts.argmax())).astype(np.float32)

    @cached_property
    def _dark_rim(self) -> Mask:
        """[H, W] what has the colours of hair, but is a strip along the cheek's outline too narrow
        for hair: skin that is turned from the light."""
        landmarks, metres = self.face.landmarks, self.fit.camera.pixels_per_metre
        hair = (self.regions.hair > 0.4) & (self.portrait.person > 0.5)
        wide = cv2.morphologyEx(
            hair.astype(np.uint8), cv2.MORPH_OPEN, disc(_NARROWEST_HAIR_M / 2 * metres)
        )
        inside = cv2.distanceTransform(
            (self.portrait.person > 0.5).astype(np.uint8), cv2.DIST_L2, 5
        )
        at_outline = np.asarray(inside) < _NARROWEST_HAIR_M * 0.7 * metres  # no ear between
        rows = np.arange(len(hair))[:, None]
        top, bottom = landmarks[_BROWS, 1], landmarks[CHIN, 1]
        return hair & (wide == 0) & at_outline & (rows > top) & (rows < bottom)

    @cached_property
    def skin_tone(self) -> Float:
        """[3] the cheeks' colour in the photograph."""
        return self._median_colour(self.face.landmarks[list(CHEEKS), :2], 0.01)

    @cached_property
    def lip_colour(self) -> Float:
        """[3] of both lips' red in the photograph, amid the lips: a border is half skin."""
        return self._median_colour(self.face.landmarks[np.array(LIPS), :2].mean(1), 0.002)

    def _median_colour(self, pixels: Array, spacing_m: float) -> Float:
        return np.median(self.photo.at(pixels, spacing_m), 0).astype(np.float32)

    @cached_property
    def skin(self) -> Mask:
        """[F] but for the mouth's lining, some of which is skin by its part."""
        return (self.template.triangle_part == Part.SKIN) & ~self.template.cavity

    @cached_property
    def centres(self) -> Array:
        """[F, 3] the triangles' middles on the neutral head."""
        return self.fit.neutral[self.template.triangles].mean(1)

    @cached_property
    def ears(self) -> Mask:
        """[V]"""
        template = self.template
        ears = np.zeros(len(template.vertices), bool)
        for index, morph in enumerate(template.identity_names):
            if morph.endswith(_EAR_MORPHS):
                moved = np.linalg.norm(template.identity_basis[index], axis=1)
                ears |= moved > _EAR_MOVES * moved.max()
        return ears

    @cached_property
    def ear_triangles(self) -> Mask:
        """[F] with a corner on an ear."""
        return np.any(self.ears[self.template.triangles], axis=1)

    @cached_property
    def hidden_ears(self) -> Mask:
        """[F] of the ears that the photograph shows under hair or a hat, or not at all."""
        hidden = np.zeros(len(self.template.triangles), bool)
        at = self.posed[self.template.triangles].mean(1)
        facing = squareness(self.normals, at, self.fit.camera)
        pixels = self.fit.camera.project(at)[:, :2]
        skin = sample((self.regions.skin * self.portrait.person)[..., None], pixels)[:, 0]
        for side in (self.centres[:, 0] > 0, self.centres[:, 0] <= 0):
            ear = self.ear_triangles & side
            if (facing * skin)[ear].sum() < _EAR_SEEN * facing[ear].sum():
                hidden |= ear
        return hidden

    @cached_property
    def bare_ears(self) -> Mask:
        """[F] of the ears that are drawn as the template's own."""
        return self.ear_triangles & ~self.hidden_ears

    @cached_property
    def chin_height(self) -> float:
        """Metres above the eyes (so: negative), on the neutral head."""
        corners = self.template.triangles[self.template.landmark_triangle[CHIN]]
        return float(self.fit.neutral[corners, 1].mean())

    @cached_property
    def on_face(self) -> Mask:
        """[F] skin of the face itself, seen from the front of the neutral head."""
        ahead = self.centres[:, 2] > self._oval[:, 2].min() - 0.02
        return self._in_oval(self.centres, 1.06) & ahead & self.skin

    @cached_property
    def inner_face(self) -> Float:
        """[V] 1 well inside the face, where what is dark is brow or beard and not hair."""
        return self._in_oval(self.fit.neutral, 0.86).astype(np.float32)

    def within_landmarks(self, points: tuple[int, ...]) -> Mask:
        """[V] inside the polygon of these landmarks, seen from the front of the neutral head."""
        return in_polygon(self.fit.neutral[:, :2], self.at_landmarks(points)[:, :2])

    @cached_property
    def cheek_middles(self) -> Array:
        """[2, 3] on the neutral head: the right cheek's, the left one's."""
        return np.stack([self.at_landmarks(CHEEKS[side::2]).mean(0) for side in (0, 1)])

    @cached_property
    def under_relief(self) -> Mask:
        """[F] skin that the relief covers: what the photograph shows beyond the bare skin, and of
        what it does not show the scalp and the nape."""
        camera = self.fit.camera
        at = self.posed[self.template.triangles].mean(1)
        pixels = camera.project(at)[:, :2]
        solid = (self.bare_skin == 0).astype(np.uint8)
        beyond = np.asarray(cv2.distanceTransform(solid, cv2.DIST_L2, 5), np.float32)
        beyond_m = sample(beyond[..., None], pixels)[:, 0] / camera.pixels_per_metre
        shown = (squareness(self.normals, at, camera, (0.0, 0.1)) > 0) & (
            self.fit.camera.project(at)[:, 2] < sample(self.depth[..., None], pixels)[:, 0] + 0.01
        )
        ear_plane = float(self.fit.neutral[self.ears, 2].mean())
        brow = self.at_landmarks((_BROWS,))[0, 1]
        behind = (self.centres[:, 1] > brow) | (self.centres[:, 2] < ear_plane - 0.005)
        covered = np.where(shown, beyond_m > _UNDER_RELIEF_M, behind)
        return covered & self.skin & ~self.on_face & ~self.bare_ears

    @cached_property
    def lids(self) -> Float:
        """[V] 0..1: lid skin that an open eye folds away, so that the photograph shows it as a
        dark line or not at all."""
        lid = np.zeros(len(self.template.vertices), np.float32)
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            offsets = self.template.expression_basis[ARKIT_NAMES.index(name)]
            lid += np.clip((np.linalg.norm(offsets, axis=1) - 0.0015) / 0.003, 0, 1)
        return np.minimum(lid, 1)

    @cached_property
    def lids_and_lips(self) -> Mask:
        """[F] skin that folds away or ends: nothing lines it from behind."""
        either = np.maximum(self.lids, self.template.lip)[self.template.triangles]
        return (np.max(either, axis=1) > 0.05) & self.skin

    def lid_margin(self, reach_m: float) -> Float:
        """[V] 0..1: the upper lids' margin, `reach_m` around the line of the lashes."""
        margin = np.clip((reach_m - self._from_lashes) / 0.0012, 0, 1) * (self.lids > 0)
        return margin.astype(np.float32)

    @cached_property
    def _from_lashes(self) -> Array:
        """[V] metres to the nearest landmark of the lash lines, on the neutral head."""
        distance, _ = KDTree(self.at_landmarks(LASH_LINES)).query(self.fit.neutral)
        return np.asarray(distance)

    @cached_property
    def _oval(self) -> Array:
        """[n, 3] FaceMesh's oval on the neutral head."""
        return self.at_landmarks(FACE_OVAL)

    def at_landmarks(self, points: tuple[int, ...]) -> Array:
        """[n, 3] those of the landmarks that lie on the template, on the neutral head."""
        template = self.template
        known = [point for point in points if template.landmark_triangle[point] >= 0]
        corners = template.triangles[template.landmark_triangle[known]]
        return between_corners(template.landmark_barycentric[known], self.fit.neutral[corners])

    def _in_oval(self, points: Array, scale: float) -> Mask:
        """[N] inside the oval, scaled about its middle, seen from the front."""
        oval = self._oval[:, :2]
        middle = oval.mean(0)
        return in_polygon(points[:, :2], middle + scale * (oval - middle))


def in_polygon(points: Array, polygon: Array) -> Mask:
    """[N] whether [N, 2] points lie inside a polygon of [n, 2] corners (even-odd rule)."""
    x, y = points[:, :1].astype(np.float64), points[:, 1:].astype(np.float64)
    (x0, y0), (x1, y1) = polygon.T.astype(np.float64), np.roll(polygon, -1, 0).T.astype(np.float64)
    spans = (y0 > y) != (y1 > y)
    rise = np.where(y1 == y0, 1, y1 - y0)  # a level edge spans nothing
    right_of = x < x0 + (y - y0) * (x1 - x0) / rise
    return np.sum(spans & right_of, axis=1) % 2 == 1


def disc(radius_px: float) -> NDArray[np.uint8]:
    """A round structuring element."""
    size = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
