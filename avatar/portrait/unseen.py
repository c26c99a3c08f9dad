"""The far side of hair, neck and clothes, guessed from what the photograph shows of them.

Colours are those along the person's outline, each kind's own, carried inwards over the back: what
is seen in the middle of the picture, a face or an open collar, is not there at the back. Hair gets
strands: splats drawn out along its flow, from the crown down, whose tones differ by as much, and
in the same colours, as those of the hair that is seen.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from scipy.signal import fftconvolve
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from avatar.head.rasterise import rasterise
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import PhotoColours, like_skin, sample
from avatar.portrait.hair import falls
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice
from avatar.types import Float

_PIXEL_M = 0.0025
"""Resolution at which colours are carried: nothing finer is known."""
_STRIP_M = (0.005, 0.022)
"""Inside the outline: nearer the background shines through, further in it is the front."""
_SOLID = 0.96
_LEAST_HAIR = 0.12
"""Share of the head in the picture that must be hair, for the back to be hair."""
_HAIRLINE_M, _HAIRLINE_SOFT_M, _NAPE_HALF_M = 0.014, 0.006, 0.05
"""So far below the ears short hair ends in the middle of the nape, and beside it at their height;
over twice the second it thins out."""
_EAR_MISSED_M = 0.007
_LEAST_CLOTHES = 0.01
"""Share of the picture."""
_COLLAR_M, _COLLAR_SOFT_M = 0.055, 0.03
"""Below the chin, at the latest, clothes begin at the back; softly."""
_NAPE_SHADE, _BACK_SHADE = 0.85, 0.88
"""A nape lies under the hair and behind the jaw, and a back turned to the photograph's light."""
_LEVEL_M = 0.004
"""Rows of the picture so near to each other are one where clothes are carried around the back."""
_LEAST_TOLD = 1e-6
"""Weight of a row below which it tells nothing."""
_FINE_M, _COARSE_M = 0.0008, 0.006
"""Between these two blurs of the photograph a strand is seen."""
_CONTRAST = (0.06, 0.3)
"""Bounds of the strands' standard deviation, as a logarithm of encoded colour."""
_ACCENT = 1.25
"""Strands lie over each other, which takes contrast away."""
_MOST_TONE = 2.2
"""Standard deviations."""
_ALONG_M, _ACROSS_M = 0.014, 0.0014
"""Of the stretch over which neighbouring splats belong to one strand."""
_LOCK_M = 0.012
_LOCK_SHARE = 0.55
"""Of a strand's tone that it has in common with its lock, so wide."""
_NEIGHBOURS = 40
_STRAND_RATIO = 2.6
"""A back splat that is round is made longer by this along the flow, and narrower across."""
_STRAIGHT = (0.6, 0.85)
"""Cosines of the turn between a strand's middle and its ends: short up to the first, long from the
second on."""
_TIP = 1.6
"""Standard deviations from a strand's middle to where nothing of it is seen."""
_SWIRL = 0.5
"""Hair leaves the crown askew, with this tangent, and further down straight."""
_STRAYS = 0.18
"""Tangent of the angle, one standard deviation, by which locks differ from the flow."""
_CROWN_M = (0.095, -0.055)
"""The crown, above and behind the middle between the ears."""
_CROWN_REACH_M = 0.05
"""Around the crown hair runs away from it, further off down."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Unseen:
    """The far side of one sitter."""

    sitter: Sitter

    @cached_property
    def _size(self) -> tuple[int, int]:
        """Width and height of the coarse images."""
        height, width = self.sitter.portrait.person.shape
        scale = min(1.0, 1 / (_PIXEL_M * self.sitter.fit.camera.pixels_per_metre))
        return max(8, round(width * scale)), max(8, round(height * scale))

    def _small(self, image: Array) -> Float:
        resized = cv2.resize(image.astype(np.float32), self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(resized, np.float32)

    @cached_property
    def ends_below(self) -> float:
        """Height in avatar space below which short hair has ended: the ears' lower end."""
        sitter = self.sitter
        return float(np.quantile(sitter.posed[sitter.ears, 1], 0.05))

    @cached_property
    def hair(self) -> Float:
        """[H, W] 0..1 the picture's hair; short hair ends at the nape."""
        sitter = self.sitter
        hair = sitter.regions.hair * sitter.portrait.person
        if falls(sitter):
            return hair
        rows = np.arange(len(hair))[:, None]
        ears = sitter.fit.camera.project(sitter.posed[sitter.ears])[:, 1]
        return (hair * (rows < np.quantile(ears, 0.95))).astype(np.float32)

    @cached_property
    def hairy(self) -> bool:
        """Whether there is hair (or a hat) whose back can be guessed."""
        sitter = self.sitter
        ears = sitter.fit.camera.project(sitter.posed[sitter.ears])[:, 1]
        above = np.arange(len(sitter.depth))[:, None] < np.quantile(ears, 0.95)
        head = (sitter.portrait.person * above > 0.5).sum()
        return bool((self.hair * above > 0.5).sum() > _LEAST_HAIR * head)

    @cached_property
    def _kinds(self) -> tuple[Float, Float, Float, Float]:
        """[h, w, 3] the colours of hair, of skin and of clothes carried over all of the picture,
        and [h, w, 2] the shares of hair and clothes at the back, below the ears."""
        sitter = self.sitter
        image, person = self._small(sitter.portrait.image), self._small(sitter.portrait.person)
        inside = cv2.distanceTransform((person > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        depth_m = np.asarray(inside, np.float32) * self._metres_per_pixel
        near, far = _STRIP_M
        strip = np.clip(2 - depth_m / far, 0, 1) * (depth_m > near) * (person > _SOLID)
        hair, skin = self._small(self.hair), self._small(sitter.regions.skin)
        bare = self._small(sitter.bare_skin)
        cloth = np.clip(person - hair - np.maximum(skin, bare), 0, 1)
        alike = like_skin(image.reshape(-1, 3), sitter.skin_tone).reshape(person.shape)
        seen = (
            strip * np.clip(4 * hair - 2.6, 0, 1) * (1 - bare) * self._small(self.worn.person),
            np.clip(4 * bare - 2.6, 0, 1) * alike * (0.02 + strip),
            strip * np.clip(4 * cloth - 2.6, 0, 1) * (1 - bare),
        )
        hair_colour, skin_colour = (spread_out(image, weight) for weight in seen[:2])
        level = _LEVEL_M / self._metres_per_pixel
        cloth_colour = carried_across(image, seen[2], level)
        # Which kind it is the outline tells, however thin; the face in the middle does not.
        border = (depth_m < far) * (depth_m > 0)
        shares = carried_across(np.stack([hair, cloth], -1), border.astype(np.float32), level)
        return hair_colour, skin_colour, cloth_colour, shares

    @cached_property
    def worn(self) -> PhotoColours:
        """The photograph without the skin of face and ears, where there is hair to take its
        place: what goes on behind an ear is hair."""
        sitter, photo, regions = self.sitter, self.sitter.photo, self.sitter.regions
        ears = sitter.fit.camera.project(sitter.posed[sitter.ears])[:, 1]
        above = np.arange(len(photo.person))[:, None] < np.quantile(ears, 0.95)
        hair = (regions.hair * photo.person * above > 0.5).sum()
        if hair < _LEAST_HAIR * (photo.person * above > 0.5).sum():
            return photo
        skin = (sitter.bare_skin > 0) | (regions.skin > 0.4) | _near_ears(sitter)
        person = np.where(above & skin, 0, photo.person).astype(np.float32)
        return PhotoColours(sitter.portrait.image, person, sitter.fit.camera.pixels_per_metre)

    @cached_property
    def clad(self) -> bool:
        """Whether the photograph shows clothes."""
        sitter = self.sitter
        return bool((sitter.regions.clothes * sitter.portrait.person > 0.6).mean() > _LEAST_CLOTHES)

    @property
    def _metres_per_pixel(self) -> float:
        width = self.sitter.portrait.person.shape[1]
        return width / self._size[0] / self.sitter.fit.camera.pixels_per_metre

    def _at(self, image: Float, pixels: Array) -> Float:
        """[N, C] a coarse image at pixels [N, 2] of the photograph."""
        height, width = self.sitter.portrait.person.shape
        return sample(image, pixels * (np.array(self._size) / (width, height)))

    def hair_at(self, pixels: Array, points: Array) -> Float:
        """[N] 0..1 how far the back is hair at points [N, 3], which lie at `pixels` [N, 2]."""
        if not self.hairy:
            return np.zeros(len(pixels), np.float32)
        aside = np.clip(points[:, 0] / _NAPE_HALF_M, -1, 1)
        low = self.ends_below + _HAIRLINE_M * (aside**2 - 1)
        low = low - _HAIRLINE_SOFT_M * (1 - 0.6 * np.clip(_waves(points), -1, 1))
        head = np.clip((points[:, 1] - low) / (2 * _HAIRLINE_SOFT_M), 0, 1)
        share = self._at(self._kinds[3], pixels)[:, 0]
        return np.maximum(head, np.clip(2.5 * share - 0.75, 0, 1)).astype(np.float32)

    def colour_at(self, pixels: Array, points: Array, hair: Array) -> Float:
        """[N, 3] the back's colour without strands at points [N, 3]: where it is not `hair` [N],
        skin, or clothes where the outline beside it is clothed."""
        of_hair, of_skin, of_cloth, shares = self._kinds
        share = self._at(shares, pixels)
        clothed = np.clip(2.5 * share[:, 1] - 0.75, 0, 1)
        if self.clad:
            low = self.sitter.chin_height - _COLLAR_M
            clothed = np.maximum(clothed, np.clip((low - points[:, 1]) / _COLLAR_SOFT_M + 1, 0, 1))
        clothed = clothed[:, None]
        skin = _NAPE_SHADE * self._at(of_skin, pixels)
        below = clothed * self._at(of_cloth, pixels) + (1 - clothed) * skin
        covered = hair[:, None]
        return (covered * self._at(of_hair, pixels) + (1 - covered) * below).astype(np.float32)

    @cached_property
    def _look(self) -> tuple[float, Float]:
        """The strands' standard deviation, and [3] how each colour follows: both measured on the
        logarithms of the photograph's hair."""
        sitter = self.sitter
        metres = sitter.fit.camera.pixels_per_metre
        size = max(3, 2 * round(_STRIP_M[0] * metres) + 1)
        solid = (self.hair > 0.8) & (sitter.bare_skin == 0)
        solid = cv2.erode(solid.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
        if not solid.any():
            return _CONTRAST[0], np.ones(3, np.float32)
        tones = np.log(np.maximum(sitter.portrait.image, 0.03))
        fine = cv2.GaussianBlur(tones, (0, 0), max(0.3, _FINE_M * metres))
        coarse = cv2.GaussianBlur(tones, (0, 0), max(0.6, _COARSE_M * metres))
        detail = (np.asarray(fine) - np.asarray(coarse))[solid]
        grey = detail.mean(1)
        spread = 1.4826 * float(np.median(np.abs(grey - np.median(grey))))
        variance = float((grey**2).mean())
        slope = (detail * grey[:, None]).mean(0) / max(variance, 1e-6)
        # A bald head stands off the fitted skull too, and is no hair.
        usual = np.median(sitter.portrait.image[solid], axis=0)[None]
        covered = 1 - float(like_skin(usual, sitter.skin_tone)[0])
        return covered * float(np.clip(spread, *_CONTRAST)), np.clip(slope, 0.6, 1.4).astype(
            np.float32
        )

    def strands(self, lattice: Lattice) -> Float:
        """[N, 3] what to multiply the colours of hair with."""
        spread, slope = self._look
        tone = strand_tones(lattice, self.flow(lattice))
        return np.exp(_ACCENT * spread * tone[:, None] * slope).astype(np.float32)

    def flow(self, lattice: Lattice) -> Float:
        """[N, 3] unit vectors along the hair over a surface: away from the crown, then down."""
        sitter, points, normals = self.sitter, lattice.means, lattice.normals
        above, behind = _CROWN_M
        crown = sitter.posed[sitter.ears].mean(0) + np.array([0, above, behind])
        away = points - crown
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        near = np.exp(-((distance / (2 * _CROWN_REACH_M)) ** 2))
        wanted = near * away / np.maximum(distance, 1e-6) + (1 - near) * np.array([0, -1, 0])
        wanted = _along(wanted, normals)
        askew = _SWIRL * near + _STRAYS * _waves(points)[:, None]
        return _along(wanted + askew * np.cross(normals, wanted), normals)

    def combed(self, lattice: Lattice, hair: Array) -> Lattice:
        """The lattice with its round splats drawn out along the flow as far as it is `hair`
        [N] 0..1."""
        first = self.flow(lattice)
        axes = np.stack([first, np.cross(lattice.normals, first), lattice.normals], -1)
        drawn_out = np.asarray(hair, np.float32) * self._room(lattice, first, hair > 0)
        longer = _STRAND_RATIO ** drawn_out[:, None]
        scales = lattice.scales * np.concatenate([longer, 1 / longer, 1 / longer], 1)
        turned = Rotation.from_matrix(axes).as_quat()[:, [3, 0, 1, 2]]
        rotations = np.where(hair[:, None] > 0, turned, lattice.rotations)
        return replace(
            lattice, rotations=rotations.astype(np.float32), scales=scales.astype(np.float32)
        )

    def _room(self, lattice: Lattice, flow: Array, hairy: Mask) -> Float:
        """[N] 0..1 whether there is room for a strand along `flow` [N, 3]: to both ends the surface
        of what is `hairy` [N] goes on straight, for around the hair's lower end they would stick
        out as thorns, and lies within the person's outline, across whose dips they would reach."""
        if not hairy.any():
            return np.ones(len(lattice), np.float32)
        sitter, reach = self.sitter, _STRAND_RATIO * lattice.scales[:, :1] * flow
        tree, normals = KDTree(lattice.means[hairy]), lattice.normals[hairy]
        low, high = _STRAIGHT
        room = np.ones(len(lattice), np.float32)
        for way in (reach, -reach):
            _, end = tree.query(lattice.means + way)
            turn = (lattice.normals * normals[end]).sum(1)
            tip = sitter.fit.camera.project(lattice.means + _TIP * way)[:, :2]
            inside = np.clip(2 * sample(sitter.portrait.person[..., None], tip)[:, 0] - 1, 0, 1)
            room = np.minimum(room, np.clip((turn - low) / (high - low), 0, 1) * inside)
        return room.astype(np.float32)


def _along(wanted: Array, normals: Array) -> Float:
    """[N, 3] unit vectors on the surface, nearest to those wanted."""
    along = wanted - (wanted * normals).sum(1, keepdims=True) * normals
    length = np.linalg.norm(along, axis=1, keepdims=True)
    least = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 0, 1.0]])
    aside = np.cross(normals, least)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return np.where(length > 0.02, along / np.maximum(length, 1e-6), aside).astype(np.float32)


def _waves(points: Array) -> Float:
    """[N] about normal and smooth in space, by the place alone: some centimetres to a wave."""
    generator = np.random.default_rng(1)
    waves = generator.standard_normal((12, 3)) / _LOCK_M / 2
    phases = generator.uniform(0, 2 * np.pi, 12)
    return (np.sin(points @ waves.T + phases).sum(1) / np.sqrt(6)).astype(np.float32)


def _near_ears(sitter: Sitter) -> Mask:
    """[H, W] on an ear that shows, or so near that it may be one the fit has missed."""
    camera, ears = sitter.fit.camera, sitter.template.triangles[sitter.bare_ears]
    height, width = sitter.depth.shape
    if not len(ears):
        return np.zeros((height, width), bool)
    seen = np.isfinite(rasterise(camera.project(sitter.posed), ears, width, height).depth)
    reach = 2 * max(1, round(_EAR_MISSED_M * camera.pixels_per_metre)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate(seen.astype(np.uint8), kernel) > 0


def spread_out(image: Array, weight: Array) -> Float:
    """[h, w, C] the image where `weight` [h, w] is, and smoothly carried on to where it is not.

    Pull-push (Gortler et al. 1996, sec. 3.5): weighted means at ever coarser resolutions, each
    filled from the next.
    """
    height, width = weight.shape
    solid = np.clip(weight, 0, 1)[..., None]
    if height <= 2 or width <= 2:
        total = weight.sum()
        mean = (image * weight[..., None]).sum((0, 1)) / total if total > 0 else image.mean((0, 1))
        fill = np.broadcast_to(mean, image.shape)
        return (solid * image + (1 - solid) * fill).astype(np.float32)
    half = (max(1, width // 2), max(1, height // 2))
    share = np.asarray(cv2.resize(weight.astype(np.float32), half, interpolation=cv2.INTER_AREA))
    total = cv2.resize((image * weight[..., None]).astype(np.float32), half,
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    total = np.asarray(total, np.float32).reshape(*share.shape, -1)
    mean = total / np.maximum(share, 1e-6)[..., None]
    below = spread_out(mean, np.minimum(4 * share, 1))
    fill = cv2.resize(below, (width, height), interpolation=cv2.INTER_LINEAR)
    fill = np.asarray(cv2.GaussianBlur(fill, (0, 0), 1.0)).reshape(image.shape)
    return (solid * image + (1 - solid) * fill).astype(np.float32)


def carried_across(image: Array, weight: Array, level_px: float) -> Float:
    """[h, w, C] the image where `weight` [h, w] is, and from there carried on level to both sides:
    collars, seams and straps run around a body. Rows less than `level_px` apart are mixed; where a
    whole row shows nothing, the nearest that do show through."""
    column = np.arange(1 - weight.shape[1], weight.shape[1])
    near = (1 / (1 + column**2))[None, :, None]
    stacked = np.concatenate([image * weight[..., None], weight[..., None]], -1)
    across = fftconvolve(stacked.astype(np.float64), near, mode="same", axes=1)
    across = np.asarray(cv2.GaussianBlur(across, (0, 0), sigmaX=0.5, sigmaY=level_px))
    total = across[..., -1:]
    mean = across[..., :-1] / np.maximum(total, _LEAST_TOLD)
    known = np.clip(total / max(float(np.median(total)), _LEAST_TOLD), 0, 1) ** 2
    return spread_out(mean.astype(np.float32), known[..., 0])


def strand_tones(lattice: Lattice, flow: Array) -> Float:
    """[N] about normal: alike along the flow, unlike across it. The same in, the same out."""
    count = len(lattice)
    if count < 2:
        return np.zeros(count, np.float32)
    noise = np.random.default_rng(0).standard_normal((2, count))
    distance, other = KDTree(lattice.means).query(lattice.means, k=min(_NEIGHBOURS, count))
    arm = lattice.means[other] - lattice.means[:, None]
    along = np.einsum("nkj,nj->nk", arm, flow)
    across = np.maximum(distance**2 - along**2, 0)
    strand = np.exp(-0.5 * ((along / _ALONG_M) ** 2 + across / _ACROSS_M**2))
    lock = np.exp(-0.5 * ((along / (2 * _LOCK_M)) ** 2 + across / _LOCK_M**2))
    fine, wide = (
        (weight * values[other]).sum(1) / np.sqrt((weight**2).sum(1))
        for weight, values in ((strand, noise[0]), (lock, noise[1]))
    )
    tone = np.sqrt(1 - _LOCK_SHARE**2) * fine + _LOCK_SHARE * wide
    return np.clip(tone, -_MOST_TONE, _MOST_TONE).astype(np.float32)
