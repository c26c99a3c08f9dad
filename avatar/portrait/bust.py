"""Head and shoulders as one mesh: the fitted template, and the relief of all that surrounds it."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from avatar.head.rasterise import rasterise
from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import sample
from avatar.portrait.hair import falls, haired
from avatar.portrait.landmarks import CHIN, EAR_LEVEL
from avatar.portrait.relief import Relief, Surroundings, build_relief, middle_surface
from avatar.portrait.sitter import NECK_BELOW_CHIN_M, Sitter, disc
from avatar.types import Float, Index

_OUTLINE_REACH_M, _HAIRLINE_REACH_M = 0.004, 0.006
"""Relief nearer than this to the person's outline or to the face has an edge that is seen."""
_CHEST_BELOW_CHIN_M = 0.10
"""Down to here the template's front says how deep the chest lies, bare or clothed."""
_HANGS_M = 0.12
"""So far below the skull hair that falls keeps its distance from the face."""
_NAPE_M = 0.045
"""Above the chin: where the back of the skull turns inwards to the neck."""
_RIM_M, _RIM_TUCK_M = 0.003, 0.002
"""Half the width of the narrowest hair or cloth, and how far what is narrower runs over skin."""
_TUCK_M = 0.008
"""How far hair runs over the face's border before it is gone."""
_LID_REACH_M = 0.0045
"""Around the lashes, where no lining may stand in the slit of a closing eye."""
_NECK_BANDS = 39
"""Slices of the template's height, each with one mean neck weight."""
_BEYOND_M = 10.0
"""Further ahead of the camera than anything of the head."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bust:
    """The template's V vertices and F triangles, then the relief's R and S."""

    sitter: Sitter
    relief: Relief

    @cached_property
    def vertices(self) -> Float:
        """[V + R, 3] with a neutral face, avatar space, metres."""
        return np.concatenate([self.sitter.fit.neutral, self.relief.vertices]).astype(np.float32)

    @cached_property
    def triangles(self) -> Index:
        """[F + S, 3]"""
        first = len(self.sitter.fit.neutral)
        both = [self.sitter.template.triangles, self.relief.triangles + first]
        return np.concatenate(both).astype(np.int32)

    @property
    def head_triangles(self) -> int:
        """F: where the relief's triangles begin."""
        return len(self.sitter.template.triangles)

    @cached_property
    def at_outline(self) -> Mask:
        """[S] relief at the person's outline."""
        person = self.sitter.portrait.person > 0.5
        return np.any(self._within(person, _OUTLINE_REACH_M)[self.relief.triangles], axis=1)

    @cached_property
    def at_hairline(self) -> Mask:
        """[S] the relief's front where it borders on the face."""
        near = self._within(self.sitter.bare_skin == 0, _HAIRLINE_REACH_M) & ~self.relief.is_back
        return np.any(near[self.relief.triangles], axis=1)

    @cached_property
    def shown(self) -> Mask:
        """[S] relief of which anything is drawn."""
        solid = np.where(self.relief.is_back, 1, covers_face(self.sitter, self.relief.pixel))
        return np.any(solid[self.relief.triangles] > 0, axis=1)

    def _within(self, area: Mask, reach_m: float) -> Mask:
        """[R] vertices of the relief that the photograph shows outside of an area [H, W], or
        inside but nearer than `reach_m` to its border."""
        depth = cv2.distanceTransform(area.astype(np.uint8), cv2.DIST_L2, 5)
        metres = np.asarray(depth, np.float32) / self.sitter.fit.camera.pixels_per_metre
        return sample(metres[..., None], self.relief.pixel)[:, 0] < reach_m

    @cached_property
    def lined(self) -> Mask:
        """[F + S] the skin that gets a lining: all but the lids' margins and the lips, where the
        coarse lining would show in the gap."""
        sitter, template = self.sitter, self.sitter.template
        at_gap = np.maximum(sitter.lid_margin(_LID_REACH_M), template.lip)
        open_edge = at_gap[template.triangles].max(1) > 0.05
        lined = np.zeros(len(self.triangles), bool)
        lined[: self.head_triangles] = (
            sitter.skin & ~sitter.under_relief & ~open_edge & ~sitter.ear_triangles
        )
        return lined

    @cached_property
    def neck_weights(self) -> Float:
        """[V + R] 0 = stays with the shoulders, 1 = turns with the head.

        The relief follows by height alone, as the back of the template's neck does, so that hair
        beside the neck bends with it.
        """
        template = self.sitter.template
        skin = template.vertex_part == Part.SKIN
        heights, weights = self.sitter.fit.neutral[skin, 1], template.neck_weights[skin]
        edges = np.linspace(heights.min(), heights.max(), _NECK_BANDS + 1)
        band = np.clip(np.digitize(heights, edges) - 1, 0, _NECK_BANDS - 1)
        total = np.bincount(band, weights, _NECK_BANDS)
        count = np.bincount(band, minlength=_NECK_BANDS)
        filled = count > 0
        middles = (edges[:-1] + edges[1:])[filled] / 2
        mean = np.maximum.accumulate(total[filled] / count[filled])
        own = np.interp(self.relief.vertices[:, 1], middles, mean)
        return np.concatenate([template.neck_weights, own]).astype(np.float32)


def build_bust(sitter: Sitter) -> Bust:
    """Raise the relief around the sitter's face."""
    return Bust(sitter=sitter, relief=build_relief(surroundings(sitter), sitter.fit.camera))


def surroundings(sitter: Sitter) -> Surroundings:
    """What the relief is made from."""
    camera, triangles = sitter.fit.camera, sitter.template.triangles
    height, width = sitter.depth.shape
    highest = sitter.posed[triangles][:, :, 1].max(1)
    ear_plane = float(sitter.posed[sitter.ears, 2].mean())
    solid = sitter.skin & ~sitter.ear_triangles
    neck = solid & (highest > sitter.chin_height - NECK_BELOW_CHIN_M)
    chest = solid & (highest > sitter.chin_height - _CHEST_BELOW_CHIN_M)
    projected = camera.project(haired(sitter))
    front = rasterise(projected, triangles[chest], width, height).depth
    projected[:, 2] = _BEYOND_M - projected[:, 2]  # now the far side is the nearest
    # Where the neck's back is cut off its front would count as its far side: a cleft in the back.
    neck &= sitter.normals[:, 2] < 0
    long_hair = falls(sitter)
    if long_hair:  # the nape lies under the hair
        neck &= (highest > sitter.chin_height + _NAPE_M) & (sitter.centres[:, 2] < ear_plane)
    far = rasterise(projected, triangles[neck], width, height).depth
    back = np.where(np.isfinite(far), _BEYOND_M - far, -np.inf).astype(np.float32)
    if long_hair:
        back = _hanging(back, camera.pixels_per_metre)
    landmarks = sitter.face.landmarks
    return Surroundings(
        person=sitter.portrait.person,
        face=sitter.bare_skin,
        front=front,
        back=back,
        middle=middle_surface(camera, ear_plane, width, height),
        chin_row=float(landmarks[CHIN, 1]),
        still_row=float(landmarks[list(EAR_LEVEL), 1].mean()),
    )


def covers_face(sitter: Sitter, pixels: Array) -> Float:
    """[N] 0..1 how solid the relief's front is where it is seen at pixels [N, 2]: hair fades out
    over the face.

    A rim between bare skin and the outline is that skin still: nothing runs from it over the
    face, where it would stand as a wall behind the cheek.
    """
    per_metre = sitter.fit.camera.pixels_per_metre
    beside = ((sitter.bare_skin == 0) & (sitter.portrait.person > 0.5)).astype(np.uint8)
    beside = cv2.morphologyEx(beside, cv2.MORPH_OPEN, disc(_RIM_M * per_metre))
    distances = [
        sample(
            np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5), np.float32)[..., None], pixels
        )
        for inside in (1 - beside, sitter.bare_skin.astype(np.uint8))
    ]
    from_hair, from_rim = (distance[:, 0] / per_metre for distance in distances)
    by_hair = np.clip(1 - from_hair / _TUCK_M, 0, 1)
    return np.maximum(by_hair, np.clip(2 - from_rim / _RIM_TUCK_M, 0, 1)).astype(np.float32)


def _hanging(back: Float, pixels_per_metre: float) -> Float:
    """[H, W] the skull's far side; below where it is deepest in its column, straight down from
    there, as hair hangs."""
    known = np.isfinite(back)
    last = len(back) - 1 - known[::-1].argmax(0)
    hangs = np.arange(len(back))[:, None] - last < _HANGS_M * pixels_per_metre
    return np.where(hangs, np.maximum.accumulate(back, axis=0), back)
