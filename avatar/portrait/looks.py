"""Figures about a portrait that tell how good an avatar it can become.

Those of the skin are taken from the face turned upright and brought to one size, so that they mean
the same in a stamp and in a poster.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from avatar.portrait.arrays import Array, Mask
from avatar.portrait.colour import sample
from avatar.portrait.landmarks import CHIN, EYE_CORNERS, FACE_OVAL, LEFT_EYE, RIGHT_EYE
from avatar.portrait.mesh import vertex_normals
from avatar.portrait.sitter import Sitter
from avatar.types import ARKIT_NAMES, Float

_EYE_DISTANCE = 128
"""Pixels between the outer eye corners of the upright face."""
_WIDTH, _HEIGHT = 384, 416
_BETWEEN_EYES = (192, 160)
"""Where the middle of the eye corners lies in it, pixels."""

_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
_BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
_LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # fmt: skip
"""Outlines of FaceMesh, once around."""
_ACROSS_THE_MOUTH = ((0, 17), (37, 84), (267, 314))
"""From the upper edge of the upper lip to the lower edge of the lower one."""
_INNER_LIPS = (13, 14)
_BRIDGE = (168, 197)
"""Down the nose, from between the eyes."""
_INNER_EYE_CORNERS = (133, 362)
_BETWEEN_BROWS = 9

_FULL = 0.985
"""Of a channel, sRGB: what is brighter has lost its shape."""
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear sRGB (IEC 61966-2-1)."""
_SEEN = 0.3
"""Cosine to the camera from which both halves of the face are compared."""
_NOISE_FLOOR = 0.003
"""Linear luminance added to both sides of a ratio: below, a camera's noise decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What one portrait measures."""

    faces: int
    eye_distance_px: float
    """Between the outer eye corners."""
    yaw_degrees: float
    pitch_degrees: float
    """Of the head against the camera."""
    beyond_edge: float
    """How far the face's outline goes beyond the picture's edge, in eye distances; negative: room
    that is left."""
    cut_hair: float
    """Length along which the person's head meets the picture's edge, in widths of the face."""
    body: float
    """How much of the person is to be seen below the chin, in heights of the face."""
    soft_outline: float
    """Width of the strip in which nobody knows whose a pixel is, in eye distances."""
    sharpness: float
    """Strength of the finest detail about eyes and mouth, against the face's contrast."""
    overexposed: float
    """Share of the face in which a channel is full."""
    brightest: float
    """sRGB grey that 95 % of the face stay below."""
    colourfulness: float
    """Distance from grey that 90 % of the face stay below (CIE Lab)."""
    side_light: float
    """How many times as bright one half of the face is as the other, at least 1."""
    lip_gap: float
    """Between the lips, in eye distances."""
    smile: float
    """0..1 the mean of both sides."""
    lip_contrast: float
    """Distance of the lips' colour from that of the skin around them (CIE Lab)."""
    lip_line: float
    """How dark the line between the lips is, against the skin's grey."""
    eye_opening: float
    """Height by width of the eye that is less open."""
    bridge_line: float
    """Strongest edge across the bridge of the nose, against the skin's grey."""


def measure(sitter: Sitter) -> Looks:
    """The figures of one fitted portrait."""
    upright = _Upright(sitter)
    points = sitter.face.landmarks[:, :2]
    eye_distance = sitter.face.eye_distance_px
    yaw, pitch, _ = np.degrees(sitter.fit.yaw_pitch_roll)
    smiles = [ARKIT_NAMES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight")]
    upper, lower = points[list(_INNER_LIPS)]
    return Looks(
        faces=sitter.portrait.faces_found,
        eye_distance_px=eye_distance,
        yaw_degrees=float(yaw),
        pitch_degrees=float(pitch),
        beyond_edge=_beyond_edge(sitter) / eye_distance,
        cut_hair=_cut_hair(sitter),
        body=_body(sitter),
        soft_outline=_soft_outline(sitter.portrait.person) / eye_distance,
        sharpness=upright.sharpness(),
        overexposed=float((upright.colours.max(1) > _FULL).mean()),
        brightest=float(np.percentile(upright.grey[upright.face], 95)),
        colourfulness=float(np.percentile(np.hypot(*upright.lab[upright.face].T[1:]), 90)),
        side_light=_side_light(sitter),
        lip_gap=float(np.linalg.norm(upper - lower)) / eye_distance,
        smile=float(sitter.fit.expression[smiles].mean()),
        lip_contrast=upright.lip_contrast(),
        lip_line=upright.lip_line(),
        eye_opening=min(_opening(points, RIGHT_EYE), _opening(points, LEFT_EYE)),
        bridge_line=upright.bridge_line(),
    )


class _Upright:
    """The face with its eyes level, `_EYE_DISTANCE` apart. [H, W] of `_HEIGHT` and `_WIDTH`."""

    def __init__(self, sitter: Sitter) -> None:
        image, landmarks = sitter.portrait.image, sitter.face.landmarks[:, :2].astype(np.float64)
        right, left = landmarks[list(EYE_CORNERS)]
        across = left - right
        scale = _EYE_DISTANCE / float(np.linalg.norm(across))
        cosine, sine = scale * across / np.linalg.norm(across)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        shift = _BETWEEN_EYES - turn @ ((right + left) / 2)
        warp = np.column_stack([turn, shift])
        size = (_WIDTH, _HEIGHT)
        # Without it, a large face would be sampled at single pixels and look sharp when it is not.
        smooth = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 1 else image
        how = cv2.INTER_LINEAR if scale < 1 else cv2.INTER_CUBIC
        warped = cv2.warpAffine(smooth, warp, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        self.image = np.clip(np.asarray(warped, np.float32), 0, 1)
        self.points = landmarks @ turn.T + shift
        within = cv2.warpAffine(np.ones(image.shape[:2], np.uint8), warp, size) > 0
        self.face: Mask = self._inside(FACE_OVAL) & within
        if not self.face.any():  # a landmark model that is far out: measure what there is
            self.face = np.ones((_HEIGHT, _WIDTH), bool)

    @cached_property
    def grey(self) -> Float:
        """[H, W]"""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY), np.float32)

    @cached_property
    def lab(self) -> Float:
        """[H, W, 3] CIE Lab."""
        return np.asarray(cv2.cvtColor(self.image, cv2.COLOR_RGB2LAB), np.float32)

    @property
    def colours(self) -> Float:
        """[n, 3] of the face."""
        return self.image[self.face]

    @cached_property
    def lips(self) -> Mask:
        """[H, W]"""
        return self._inside(_LIPS)

    @cached_property
    def features(self) -> Mask:
        """[H, W] eyes, brows and lips, where every face has edges."""
        parts = [self._inside(outline) for outline in (*_EYES, *_BROWS)]
        return _grown(np.logical_or.reduce([*parts, self.lips]), 6)

    @cached_property
    def skin_grey(self) -> float:
        skin = self.face & ~self.features
        return max(float(np.median(self.grey[skin])) if skin.any() else 0.5, 0.05)

    def sharpness(self) -> float:
        detail = np.asarray(cv2.Laplacian(self.grey, cv2.CV_32F))
        contrast = max(float(self.grey[self.face].std()), 1e-3)
        return float(detail[self.features].std()) / contrast if self.features.any() else 0.0

    def lip_contrast(self) -> float:
        lips = ~_grown(~self.lips, 2)
        around = _grown(self.lips, 16) & ~_grown(self.lips, 4) & self.face
        if not (lips.any() and around.any()):
            return 0.0
        return float(np.linalg.norm(np.median(self.lab[lips], 0) - np.median(self.lab[around], 0)))

    def lip_line(self) -> float:
        depths = []
        for above, below in _ACROSS_THE_MOUTH:
            line = np.linspace(self.points[above], self.points[below], 41)
            grey = sample(self.grey[..., None], line)[:, 0]
            depths.append(np.percentile(grey, 75) - grey[8:33].min())
        return float(np.median(depths)) / self.skin_grey

    def bridge_line(self) -> float:
        """A frame crosses the nose with an edge above and one below; skin is smooth there."""
        right, left = self.points[list(_INNER_EYE_CORNERS), 0]
        middle, half = (right + left) / 2, 0.22 * abs(left - right)
        top, bottom = self.points[list(_BRIDGE), 1]
        rows = slice(max(round(top - 0.08 * _EYE_DISTANCE), 0), max(round(bottom + 2), 0))
        columns = slice(max(round(middle - half), 0), max(round(middle + half), 0))
        smooth = np.asarray(cv2.GaussianBlur(self.grey, (0, 0), 1.5))[rows, columns]
        if min(smooth.shape) < 2:
            return 0.0
        edges = np.median(np.abs(np.diff(smooth, axis=0)), axis=1)
        return float(edges.max()) / self.skin_grey

    def _inside(self, outline: tuple[int, ...]) -> Mask:
        mask = np.zeros((_HEIGHT, _WIDTH), np.uint8)
        cv2.fillPoly(mask, [np.round(self.points[list(outline)]).astype(np.int32)], 1.0)
        return mask > 0


def _grown(mask: Mask, pixels: int) -> Mask:
    side = 2 * pixels + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def _opening(points: Float, eye: tuple[int, ...]) -> float:
    """Height by width of an eye's opening (Soukupová & Čech 2016, eq. 1)."""
    corner, above, above_too, other, below_too, below = points[list(eye)]
    height = np.linalg.norm(above - below) + np.linalg.norm(above_too - below_too)
    return float(height / 2 / max(float(np.linalg.norm(corner - other)), 1e-6))


def _beyond_edge(sitter: Sitter) -> float:
    """Pixels."""
    height, width = sitter.portrait.image.shape[:2]
    x, y = sitter.face.landmarks[list(FACE_OVAL), :2].T
    return float(max(-x.min(), -y.min(), x.max() - width, y.max() - height))


def _cut_hair(sitter: Sitter) -> float:
    person = sitter.portrait.person > 0.5
    points = sitter.face.landmarks[:468, :2]
    chin = int(np.clip(points[CHIN, 1], 1, len(person)))
    top = person[:2].any(0).sum() if points[_BETWEEN_BROWS, 1] > 0 else 0
    sides = person[:chin, :2].any(1).sum() + person[:chin, -2:].any(1).sum()
    return float((top + sides) / max(float(np.ptp(points[:, 0])), 1.0))


def _body(sitter: Sitter) -> float:
    person = sitter.portrait.person > 0.5
    points = sitter.face.landmarks[:468, :2]
    below = person[int(np.clip(points[CHIN, 1], 0, len(person))) :]
    return float(below.any(1).sum() / max(float(np.ptp(points[:, 1])), 1.0))


def _soft_outline(person: Float) -> float:
    """Pixels: area of what is neither person nor background by the length of the outline."""
    unsure = ((person > 0.2) & (person < 0.8)).sum()
    sure = (person > 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(sure, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return float(unsure) / max(sum(len(outline) for outline in outlines), 1)


def _side_light(sitter: Sitter) -> float:
    """Each vertex of the inner face against its mirror image, both seen: the median ratio."""
    template, camera = sitter.template, sitter.fit.camera
    normals = vertex_normals(sitter.normals, template.triangles, len(template.vertices))
    towards = camera.position - sitter.posed
    cosine = (normals * towards).sum(1) / np.linalg.norm(towards, axis=1)
    skin = np.zeros(len(normals), bool)
    skin[template.triangles[sitter.skin]] = True
    seen = (cosine > _SEEN) & skin
    left_half = (sitter.inner_face > 0) & (template.vertices[:, 0] > 0.005)
    compared = np.flatnonzero(left_half & seen & seen[template.mirror])
    if not len(compared):
        return 1.0
    sigma = max(0.5, 0.03 * sitter.face.eye_distance_px)  # over pores and lashes
    soft = np.asarray(cv2.GaussianBlur(sitter.portrait.image, (0, 0), sigma), np.float32)
    pixels = camera.project(sitter.posed)[:, :2]
    left, right = (
        _luminance(sample(soft, pixels[side])) + _NOISE_FLOOR
        for side in (compared, template.mirror[compared])
    )
    return float(2 ** abs(np.median(np.log2(left / right))))


def _luminance(colours: Array) -> Array:
    """[N] linear, of [N, 3] sRGB (IEC 61966-2-1)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return linear @ _LUMINANCE
