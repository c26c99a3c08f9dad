"""The program's own drawing as a teacher: for an avatar of one portrait, of whom there is no film.

The avatar is drawn in many motions and from many sides, with furrows where its skin is pushed
together (`avatar.fit.furrows`), and these frames teach as a film would. What they teach is true of
faces, not of this one: nobody's own wrinkles are known of a single portrait.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from avatar.deform import Deformer
from avatar.fit.furrows import find_furrows
from avatar.fit.rasteriser import Lens, Rasteriser
from avatar.fit.residual_fit import turned_lens
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate
from avatar.motion.latent import LATENT_SIZE, load_codec
from avatar.types import ARKIT_NAMES, Avatar, Float, MotionFrame

SIDE = 256
_FURTHEST_RAD = math.radians(25)
_SPREAD = 0.8
"""Of the latents that are drawn by chance, 1 = as people move."""
_ASKED = 0.6
"""Share of the frames in which some of these are asked for by name."""
_GROUPS = (
    ("mouthSmileLeft", "mouthSmileRight"),
    ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    ("browDownLeft", "browDownRight"),
    ("mouthPucker",),
    ("mouthFunnel",),
    ("cheekSquintLeft", "cheekSquintRight", "eyeSquintLeft", "eyeSquintRight"),
    ("noseSneerLeft", "noseSneerRight"),
    ("mouthUpperUpLeft", "mouthUpperUpRight"),
    ("jawOpen",),
    ("eyeBlinkLeft", "eyeBlinkRight"),
)


def own_frames(
    avatar: Avatar,
    template: HeadTemplate,
    count: int,
    tell: Callable[[], None] = lambda: None,
) -> list[TeacherFrame]:
    """`count` frames, the first of a face at rest; the same in, the same out."""
    deformer, rasteriser = Deformer(avatar, template), Rasteriser()
    furrows = find_furrows(avatar, template)
    frames = []
    for index in range(count):
        motion = teaching_motion(index)
        random = np.random.default_rng((index, 1))
        turn = random.uniform(-_FURTHEST_RAD, _FURTHEST_RAD) if index else 0.0
        lens = turned_lens(_lens(), turn)
        posed = deformer.gaussians(motion, seen_from=lens.position)
        colours = posed.colours.copy()
        colours[furrows.splats] *= furrows.factors(motion.expression)
        drawing = replace(posed, colours=np.minimum(colours, 1))
        colour, through = rasteriser.draw(drawing, lens)
        person = 1 - through
        own = np.clip(colour / np.maximum(person, 0.2)[..., None], 0, 1)
        frames.append(
            TeacherFrame(
                picture=np.round(255 * own).astype(np.uint8),
                person=np.round(255 * person).astype(np.uint8),
                known=(0, 0, SIDE, SIDE),
                lens=lens,
                motion=motion,
                confidence=1.0,
            )
        )
        tell()
    return frames


def _lens() -> Lens:
    """The face, from its front."""
    pose = np.array([[1, 0, 0, 0], [0, -1, 0, -0.02], [0, 0, -1, 1.2]], np.float32)
    focal = 5.2 * SIDE
    intrinsics = np.array([focal, focal, SIDE / 2, SIDE / 2], np.float32)
    return Lens(pose=pose, intrinsics=intrinsics, width=SIDE, height=SIDE)


def teaching_motion(index: int) -> MotionFrame:
    """The face's motion of one frame out of many: the first at rest, some by chance as people move,
    some with the expressions that fold skin, by themselves and together."""
    random = np.random.default_rng(index)
    face = load_codec().decode((_SPREAD * random.normal(size=(1, LATENT_SIZE))).astype(np.float32))
    expression = face.expression[0]
    if random.uniform() < _ASKED or not index:
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for group in _GROUPS:
            weight = random.uniform(0, 1) if index and random.uniform() < 0.25 else 0.0
            for name in group:
                expression[ARKIT_NAMES.index(name)] = weight
    still: Float = np.zeros(3, np.float32)
    return MotionFrame(
        index=index,
        time_s=float(index),
        latent=np.zeros(0, np.float32),
        expression=expression,
        gaze=face.gaze[0],
        head_rotation=still,
        head_translation=still,
        tongue=face.tongue[0],
    )
