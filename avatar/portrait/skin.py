"""Colours of the skin: of the photograph where it shows the skin, filled where it does not.

What the photograph shows is divided by the light that falls there, which leaves albedo: the skin's
own colour. Albedo is carried over from the other half of the face and on over the surface, and is
lit again as the hidden spot faces. Trust in the photograph is a smooth function on the surface, so
that nothing filled shows an edge.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from avatar.expression_shading import ExpressionShading
from avatar.head.template import Part
from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import fill_in, like_skin, sample, squareness, unoccluded
from avatar.portrait.lids import lid_colour, lid_shade, without_eyes
from avatar.portrait.light import Light, estimate_light, evenly_spread
from avatar.portrait.mesh import areas, between_corners, diffused, vertex_normals
from avatar.portrait.mouth import few_pixels, lips_own
from avatar.portrait.openness import openness
from avatar.portrait.placing import FACE_SPACING
from avatar.portrait.sitter import Sitter
from avatar.portrait.splats import Lattice, unblurred
from avatar.shading import ENCODING_POWER
from avatar.types import Float, Index

_SKIN_SQUARE, _OTHER_SQUARE = (0.3, 0.6), (0.35, 0.65)
"""Cosines from which, and by which, the photograph is believed: where it shows skin, and where it
shows hair on a face, which stands off the skin and must not be smeared along it."""
_HAIR_SQUARE = (0.1, 0.4)
"""The same where only the colour of hair is asked for."""
_COARSE_M = 0.003
"""Colours of vertices are averaged over this."""
_TRANSITION_M = 0.004
"""Standard deviation of the blur of trust: it fades over about a centimetre."""
_NORMALS_BLUR_M = 0.004
_DIRECTIONS = 48
_LEAST_OPEN = 0.35
"""Light in the deepest fold, which skin itself passes on, against the open."""
_LID_OPEN = 0.9
"""The same for a closed lid."""
_TONE_HOLD, _SCALP_HOLD = 1e-6, 0.5
"""Against a vertex's neighbours."""
_BRIGHTEST_LENT = 0.16
"""Above the surrounding albedo, as a logarithm: a highlight is not carried to the other half."""
_DARKEST = 0.03
"""Encoded: below this a logarithm says nothing."""
_TEXTURE_M = 0.012
"""Half the width of the patch of cheek whose texture is repeated."""
_TEXTURE_COARSE_M = 0.005
_TEXTURE_LIMIT = 0.09
_BROW_CORE = (46, 70, 63, 105, 66, 107, 9, 336, 296, 334, 293, 300, 276, 446, 340, 425, 2, 205,
              111, 226)  # fmt: skip
"""FaceMesh's landmarks around brows, eyes and nose: what is dark there is no hair of the head."""
_NOSE_BASE = 2
_NECK_M = 0.06
"""Below the chin: how far down bare skin may be seen."""
_EAR_HOLD = 0.15
"""Ears take the cheeks' tone rather than that of the scalp around them."""
_OUTLINE_ERROR_M, _JAW_AHEAD_M = 0.005, 0.006
_HAIRY = 0.1
"""Hair's area in the picture against the face's, from which a head is not bald."""
_NECK_HOLD = 0.01
_SCALP_SHADE = 0.75
"""Beneath the hair."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Complexion:
    """The skin of a sitter by vertex of the template, V; what lies elsewhere means nothing."""

    sitter: Sitter

    @cached_property
    def triangles(self) -> Index:
        """[S, 3] the skin and the lips' lining."""
        template = self.sitter.template
        return template.triangles[np.isin(template.triangle_part, (Part.SKIN, Part.MOUTH))]

    @cached_property
    def normals(self) -> Float:
        """[V, 3] of the posed head, smoothed: a fit knows the large forms."""
        sitter = self.sitter
        rough = vertex_normals(sitter.normals, sitter.template.triangles, len(sitter.posed))
        smooth = diffused(sitter.posed, self.triangles, rough, _NORMALS_BLUR_M)
        return (smooth / np.maximum(np.linalg.norm(smooth, axis=1, keepdims=True), 1e-9)).astype(
            np.float32
        )

    @cached_property
    def open(self) -> Float:
        """[V] how much of the light from all around reaches it; 1 on an open cheek."""
        sitter = self.sitter
        triangles = sitter.template.triangles[sitter.template.triangle_part != Part.LASHES]
        share = openness(sitter.posed, self.normals, triangles, evenly_spread(_DIRECTIONS))
        usual = np.quantile(share[self.face > 0.5], 0.6)
        reached = _LEAST_OPEN + (1 - _LEAST_OPEN) * np.clip(share / max(usual, 1e-3), 0, 1)
        # Lids lie in their folds now and unfold with every blink.
        reached = reached + np.clip(2 * sitter.lids, 0, 1) * np.maximum(_LID_OPEN - reached, 0)
        return diffused(sitter.posed, self.triangles, reached[:, None], 0.002)[:, 0]

    @cached_property
    def face(self) -> Float:
        """[V] 1 on the face itself."""
        face = np.zeros(len(self.sitter.posed), np.float32)
        face[self.sitter.template.triangles[self.sitter.on_face]] = 1
        return face

    @cached_property
    def _soft_face(self) -> Float:
        """[V] 0..1: the face, fading towards scalp and neck."""
        blurred = diffused(self.sitter.posed, self.triangles, self.face[:, None], _TRANSITION_M)
        return np.clip(2 * blurred[:, 0] - 0.6, 0, 1).astype(np.float32)

    @cached_property
    def _core(self) -> Float:
        """[V] 1 where brows, eyes, nose, mouth and beard are: not the hair of the head."""
        sitter = self.sitter
        neutral, template = sitter.fit.neutral, sitter.template
        corners = template.triangles[template.landmark_triangle[_NOSE_BASE]]
        lower = sitter.inner_face * (neutral[:, 1] < neutral[corners, 1].mean())
        core = np.maximum(lower, sitter.within_landmarks(_BROW_CORE)) * self.face
        return np.clip(diffused(neutral, self.triangles, core[:, None], 0.003)[:, 0], 0, 1)

    @cached_property
    def _seen(self) -> Float:
        """[V, 3] the photograph's colours."""
        pixels = self.sitter.fit.camera.project(self.sitter.posed)[:, :2]
        return self.sitter.photo.at(pixels, _COARSE_M)

    @cached_property
    def skin_like(self) -> Float:
        """[V] 0..1: whether the photograph shows skin there, or what belongs to a face."""
        return self._eroded(np.maximum(self._plain, self._core), 0.003)

    @cached_property
    def _plain(self) -> Float:
        """[V] 0..1: skin by its colour and by what is around it, on head and neck. Cloth may have
        the colour of skin: further down none is believed."""
        sitter = self.sitter
        pixels = sitter.fit.camera.project(sitter.posed)[:, :2]
        region = np.clip((sample(sitter.regions.skin[..., None], pixels)[:, 0] - 0.55) / 0.3, 0, 1)
        below = (sitter.chin_height - sitter.fit.neutral[:, 1]) / _NECK_M
        # A neck may have quite another colour than rouged or sunburnt cheeks.
        alike = np.maximum(like_skin(self._seen, sitter.skin_tone), np.clip(6 * below, 0, 1))
        return (alike * region * np.clip(2 - 2 * below, 0, 1)).astype(np.float32)

    def _eroded(self, values: Array, reach_m: float) -> Float:
        """[V] less towards any border to where `values` [V] are small, smoothly."""
        blurred = diffused(self.sitter.posed, self.triangles, values[:, None], reach_m)[:, 0]
        return (values * np.clip(2.2 * blurred - 1.1, 0, 1)).astype(np.float32)

    def _shown(self, between: tuple[float, float]) -> Array:
        """[V] 0..1 how far the photograph shows the surface."""
        sitter, camera = self.sitter, self.sitter.fit.camera
        person = sitter.photo.person_at(camera.project(sitter.posed)[:, :2])
        return (
            squareness(self.normals, sitter.posed, camera, between)
            * unoccluded(sitter.posed, camera, sitter.depth)
            * self._clear_of_chin
            * np.clip((person - 0.5) * 2, 0, 1)
        )

    @cached_property
    def _clear_of_chin(self) -> Mask:
        """[V] not throat so near below the jaw's outline in the picture that, by an error of the
        fit, the jaw and its beard may be what is seen there."""
        sitter, camera = self.sitter, self.sitter.fit.camera
        size = 2 * round(_OUTLINE_ERROR_M * camera.pixels_per_metre) + 1
        nearest = np.asarray(cv2.erode(sitter.depth, np.ones((size, size), np.uint8)), np.float32)
        hidden = ~unoccluded(sitter.posed, camera, nearest + np.float32(_JAW_AHEAD_M))
        return ~(hidden & (sitter.fit.neutral[:, 1] < sitter.chin_height + 0.01))

    @cached_property
    def trust(self) -> Float:
        """[V] 0..1 how far what the photograph shows is what the surface looks like."""
        skin = self._shown(_SKIN_SQUARE) * self.skin_like
        other = self._shown(_OTHER_SQUARE) * (1 - self.skin_like) * self._soft_face
        trust = self._eroded(skin + other, _TRANSITION_M)
        return trust * (1 - self.sitter.lids)

    @cached_property
    def light(self) -> Light:
        """The photograph's light."""
        sitter, template = self.sitter, self.sitter.template
        area = np.zeros(len(sitter.posed))
        each = areas(sitter.posed, template.triangles) / 3
        for corner in range(3):
            np.add.at(area, template.triangles[:, corner], each)
        plain = like_skin(self._seen, sitter.skin_tone) * self.face
        plain = plain * (1 - sitter.lids) * (1 - np.clip(2 * template.lip, 0, 1))
        weight = area * self._shown(_SKIN_SQUARE) * plain
        unshaded = self._seen / (self.open[:, None] ** (1 / ENCODING_POWER))
        return estimate_light(unshaded, self.normals, sitter.fit.neutral, weight)

    @cached_property
    def shading(self) -> Float:
        """[V, 3] linear light on the posed head."""
        return self.light.shading(self.normals) * self.open[:, None]

    @cached_property
    def albedo(self) -> Float:
        """[V, 3] logarithm of linear albedo: as seen, else as on the other half, else filled."""
        sitter, mirror = self.sitter, self.sitter.template.mirror
        seen = _log_linear(self._seen) - np.log(self.shading)
        lid = sitter.lids[:, None]
        tone = self._tone(seen)
        # Light and openness of a lid are those of its folds; its colour is as it is seen.
        on_lid = _log_linear(lid_colour(sitter)) - np.log(self.shading)
        on_lid = on_lid + ENCODING_POWER * np.log(lid_shade(sitter))[:, None]
        seen = lid * on_lid + (1 - lid) * seen

        own = np.maximum(self.trust * self.skin_like, 0.9 * sitter.lids)
        lent = (own * (1 - sitter.lids))[mirror]
        smooth = self._low(seen, own, tone)
        highlight = np.maximum((seen - smooth).mean(1, keepdims=True) - _BRIGHTEST_LENT, 0)
        twin = (seen - highlight)[mirror]

        scalp, hair = self._scalp()
        below = sitter.fit.neutral[:, 1] < sitter.chin_height
        ears = _EAR_HOLD * sitter.ears + _NECK_HOLD * below
        fringe = _SCALP_HOLD * self._fringe
        pull = _TONE_HOLD + ears + _SCALP_HOLD * scalp + fringe
        likely = (_TONE_HOLD + ears)[:, None] * tone + _SCALP_HOLD * scalp[:, None] * hair
        likely += fringe[:, None] * seen
        return fill_in(
            sitter.fit.neutral,
            self.triangles,
            seen=seen,
            trust=own,
            twin=twin,
            lent=lent,
            likely=likely / pull[:, None],
            pull=pull,
        )

    @cached_property
    def expressed(self) -> Float:
        """[V] what the photograph's expression multiplies encoded colours at rest with."""
        sitter = self.sitter
        shading = ExpressionShading(
            sitter.template,
            sitter.fit.neutral.astype(np.float32),
            sitter.template.neck_weights,
            self.light.coefficients,
        )
        return shading.factors(sitter.posed).copy()

    def _tone(self, seen: Array) -> Array:
        """[3] the middle of the well-seen skin's albedo."""
        plain = self.trust * like_skin(self._seen, self.sitter.skin_tone) * self.face
        chosen = plain > 0.5
        if chosen.sum() < 20:
            return _log_linear(self.sitter.skin_tone[None])[0]
        return np.median(seen[chosen], axis=0)

    def _low(self, seen: Array, own: Array, tone: Array) -> Array:
        """[V, 3] the large forms of the albedo that is seen."""
        stacked = np.concatenate([seen * own[:, None], own[:, None]], 1)
        blurred = diffused(self.sitter.fit.neutral, self.triangles, stacked, 0.012)
        return (blurred[:, :3] + 0.02 * tone) / (blurred[:, 3:] + 0.02)

    @cached_property
    def _fringe(self) -> Float:
        """[V] 0..1 where the photograph shows hair over the brow, if not squarely: skin of half
        the colour would show there as a grey band."""
        sitter = self.sitter
        above = sitter.fit.neutral[:, 1] > sitter.fit.neutral[self._core > 0.5, 1].max()
        return self._shown(_HAIR_SQUARE) * (1 - self.skin_like) * self._soft_face * above

    def _scalp(self) -> tuple[Float, Float]:
        """[V] 0..1 where hair grows, and [3] its logarithmic colour in the shade of more hair;
        nowhere if the photograph shows a bald head."""
        sitter, template = self.sitter, self.sitter.template
        covered = np.zeros(len(sitter.posed), np.float32)
        covered[template.triangles[sitter.under_relief]] = 1
        ear_top = float(np.quantile(sitter.fit.neutral[sitter.ears, 1], 0.3))
        covered *= (sitter.fit.neutral[:, 1] > ear_top) * (1 - self.face) * ~sitter.ears
        hairy = sitter.regions.hair * sitter.portrait.person > 0.7
        if hairy.sum() < _HAIRY * sitter.face_mask.sum():
            return np.zeros_like(covered), np.zeros(3, np.float32)
        hair = np.median(sitter.portrait.image[hairy], axis=0) * _SCALP_SHADE
        scalp = diffused(sitter.fit.neutral, self.triangles, covered[:, None], 0.006)[:, 0]
        return np.clip(scalp, 0, 1).astype(np.float32), _log_linear(hair[None])[0]


def paint_skin(complexion: Complexion, own: Lattice) -> Float:
    """[N, 3] what the photograph shows at the splats, or the filled albedo in the local light; both
    as they would look with a neutral face."""
    sitter = complexion.sitter
    template, camera, photo = sitter.template, sitter.fit.camera, sitter.photo
    corners = template.triangles[own.triangle]
    spacing = float(np.median(own.scales[:, 0])) if len(own) else FACE_SPACING

    def at_splats(values: Array) -> Array:
        return between_corners(own.barycentric, values[corners])

    def pixels_of(vertices: Array) -> Array:
        return camera.project(vertices)[:, :2]

    shown = photo.at(pixels_of(at_splats(sitter.posed)), spacing)
    trust = at_splats(complexion.trust)[:, None]
    lit = at_splats(complexion.albedo) + np.log(at_splats(complexion.shading))

    twin = pixels_of(between_corners(own.barycentric, sitter.posed[template.mirror[corners]]))
    lent = at_splats((complexion.trust * complexion.skin_like)[template.mirror])[:, None]
    fine = _log_linear(photo.at(twin, spacing)) - _log_linear(photo.at(twin, _COARSE_M))
    grain = _texture(complexion, at_splats(sitter.fit.neutral), spacing)
    lit = lit + lent * fine + (1 - lent) * grain
    filled = np.clip(np.exp(lit / ENCODING_POWER), 0, 1)

    colour = trust * shown + (1 - trust) * filled
    colour = lips_own(sitter, own, _clean_lips(sitter, own, colour.astype(np.float32)))
    colour = without_eyes(sitter, own, colour)
    colour = np.clip(colour / at_splats(complexion.expressed)[:, None], 0, 1).astype(np.float32)
    sharp = at_splats(sitter.lids) < 0.2
    colour[sharp] = unblurred(own.select(sharp), colour[sharp], rounds=2)
    return colour


def _texture(complexion: Complexion, places: Array, spacing_m: float) -> Array:
    """[N, 1] logarithm of linear light: the fine grain of a well-seen cheek, repeated (mirrored at
    each seam) over the places [N, 3] of the neutral head, so that what is filled is not wax."""
    sitter = complexion.sitter
    photo, per_metre = sitter.photo, sitter.fit.camera.pixels_per_metre
    patch = _best_cheek(complexion)
    if patch is None:
        return np.zeros((len(places), 1))
    across = 0.09 * np.arctan2(places[:, 0], places[:, 2] + 0.09)
    wrapped = np.stack([across, -places[:, 1]], 1) / _TEXTURE_M
    wrapped = np.abs((wrapped + 1) % 4 - 2) - 1  # to and fro between -1 and 1
    pixels = patch + wrapped * _TEXTURE_M * per_metre
    fine = _log_linear(photo.at(pixels, spacing_m)) - _log_linear(
        photo.at(pixels, _TEXTURE_COARSE_M)
    )
    return np.clip(fine.mean(1, keepdims=True), -_TEXTURE_LIMIT, _TEXTURE_LIMIT)


def _best_cheek(complexion: Complexion) -> Array | None:
    """[2] pixel amid the most squarely seen piece of plain cheek; None where there is none."""
    sitter = complexion.sitter
    best, where = 0.5, None
    for centre in sitter.cheek_middles:
        near = np.linalg.norm(sitter.fit.neutral - centre, axis=1) < 1.3 * _TEXTURE_M
        near &= complexion.face > 0.5
        if near.any():
            plain = float(np.quantile(complexion.trust[near] * complexion.skin_like[near], 0.1))
            if plain > best:
                middle = sitter.posed[near].mean(0)
                best, where = plain, sitter.fit.camera.project(middle[None])[0, :2]
    return where


def _clean_lips(sitter: Sitter, own: Lattice, colour: Float) -> Float:
    """[N, 3] without the teeth that the edge of a lip may have caught from the photograph: what
    is paler and less red than the lips are takes the lips' colour."""
    template, tone = sitter.template, sitter.lip_colour
    lip = between_corners(own.barycentric, template.lip[template.triangles[own.triangle]])
    redness = colour[:, 0] - colour[:, 1:].mean(1)
    typical = max(float(tone[0] - tone[1:].mean()), 0.02)
    pale = np.clip((0.75 - redness / typical) / 0.3, 0, 1)
    bright = np.clip((colour.mean(1) - tone.mean() - 0.04) / 0.08, 0, 1)
    # Where few pixels show it all, skin beside a lip would be taken for teeth and turn red.
    amount = (pale * bright * np.clip(lip / 0.4, 0, 1))[:, None] * (1 - few_pixels(sitter).max())
    return colour + amount * (tone - colour)


def _log_linear(colour: Array) -> Array:
    """[N, 3] logarithm of linear light of encoded colours."""
    return ENCODING_POWER * np.log(np.maximum(colour, _DARKEST))
