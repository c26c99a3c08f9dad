"""An avatar and frames of its person -> the same avatar with residuals (`avatar.residual`).

Each step draws one frame, and moves what every Gaussian is at rest, and how that depends on the
motion, down the gradient. So the static part, which corrects what one portrait did not tell, and the
part that depends on the motion are learned together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from avatar.deform import Deformer, bound_sizes, multiply_quaternions
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.fit.residual_kernels import SQUARE_DECAY, descend, rest_gradients
from avatar.fit.similarity import PictureLoss
from avatar.fit.target import LEAST_SHOWN, TONES
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Array
from avatar.read_only import read_only
from avatar.residual import (
    COLOUR,
    MOST_LOG_SIZE,
    OPACITY,
    PLACE,
    SIZE,
    TURN,
    WIDTH,
    motion_code,
)
from avatar.types import Avatar, Float, Index, MotionFrame, ResidualPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How residuals are learned. Each term can be switched off, for ablations."""

    steps: int = 1500
    side: int = 256
    """Pixels of the frames that are drawn."""
    fine: float = 0.0
    """Share of the steps, at the end, that are drawn twice as large."""
    ssim: float = 0.2
    """Share of the loss."""
    robust: bool = True
    """Doubtful frames and pixels count less."""
    consistency: float = 0.3
    """Weight of views from aside, in which the full model shall look like the avatar as it came."""
    consistency_every: int = 6
    static: bool = True
    face_features: int = 10
    pose_features: int = 6
    static_rate: float = 1.0
    bases_rate: float = 1.0
    static_pull: float = 1.0
    bases_pull: float = 1.0


_RATE = np.zeros(WIDTH, np.float32)
_RATE[COLOUR], _RATE[OPACITY], _RATE[SIZE], _RATE[PLACE], _RATE[TURN] = 0.01, 0.01, 0.01, 0.02, 0.02
_RATE[8] = 0.01
_PULL = np.zeros(WIDTH, np.float32)
_PULL[COLOUR], _PULL[OPACITY], _PULL[SIZE], _PULL[PLACE], _PULL[TURN] = 0.1, 0.1, 0.05, 0.03, 0.03
_HIGH = np.full(WIDTH, 1.0, np.float32)
_HIGH[COLOUR], _HIGH[SIZE], _HIGH[PLACE], _HIGH[TURN] = 0.7, MOST_LOG_SIZE, 3.0, math.pi / 2
_BASES_MOST = np.full(WIDTH, 0.3, np.float32)
_BASES_MOST[PLACE] = 2.0
_BASES_MOST[TURN] = 0.5
_BASES_PULL = np.full(WIDTH, 0.3, np.float32)
_LAST_PACE = 0.05


def code_of(motion: MotionFrame) -> tuple[Float, Float]:
    """As the Deformer has it."""
    return motion_code(
        motion.expression, motion.tongue, motion.gaze, motion.head_rotation, motion.head_translation
    )


def hidden_layer(codes: Float, count: int, slope: float = 0.6) -> ResidualPart:
    """Features along the main axes of [T, D] codes, and no Gaussians yet."""
    mean = codes.mean(0)
    away = codes - mean
    covariance = away.T @ away / max(len(codes), 1)
    values, axes = np.linalg.eigh(covariance)
    order = np.argsort(-values)[:count]
    spread = np.sqrt(np.maximum(values[order], 1e-4))
    mix = axes[:, order] / spread * slope
    # Directions hardly seen count as seen to a fifth of the corpus' own spread.
    whole_values = np.sqrt(np.maximum(values, 0) + 0.04)
    whiten = axes / whole_values
    reach = 1.5 * float(np.percentile(np.linalg.norm(away @ whiten, axis=1), 95))
    return ResidualPart(
        mean=mean.astype(np.float32),
        whiten=whiten.astype(np.float32),
        reach=max(reach, 1.0),
        mix=mix.astype(np.float32),
        shift=np.zeros(len(order), np.float32),
        splats=np.zeros(0, np.int32),
        bases=np.zeros((0, len(order), WIDTH), np.float32),
    )


class ResidualLearner:
    """Owns an avatar while its residuals are learned."""

    def __init__(
        self,
        avatar: Avatar,
        template: HeadTemplate,
        frames: Sequence[TeacherFrame],
        recipe: Recipe,
    ) -> None:
        """`avatar` has no residuals yet; there is at least one frame."""
        self._origin, self._template, self._recipe = avatar, template, recipe
        self._frames = frames
        self._base = Deformer(avatar, template)
        self._rasteriser = Rasteriser()
        shown = _shown(self._base, frames, recipe.side)
        splats = np.flatnonzero(shown > LEAST_SHOWN).astype(np.int32)
        moved = _moved_by_face(avatar, template)
        codes = [code_of(frame.motion) for frame in frames]
        face = hidden_layer(np.stack([code[0] for code in codes]), recipe.face_features)
        pose = hidden_layer(np.stack([code[1] for code in codes]), recipe.pose_features)
        self._face = _with_splats(face, splats[moved[splats]])
        self._pose = _with_splats(pose, splats)
        copies = {
            name: np.array(getattr(avatar, name), np.float32, order="C")
            for name in ("bound_position", "bound_rotation", "bound_scale", "opacity", "colour")
        }
        self.avatar = replace(
            avatar, **copies, face_residual=self._face, pose_residual=self._pose
        )
        self._deformer = Deformer(self.avatar, template)
        residual = self._deformer.residual
        assert residual is not None
        self._residual = residual
        self.splats: Index = residual.splats
        self.static = np.zeros((len(self.splats), WIDTH), np.float32)
        self._squares = np.zeros_like(self.static)
        self._gradient = np.zeros_like(self.static)
        self._units = _units(avatar, self.splats)
        self.step_count = 0
        self._order = np.zeros(0, np.int64)

    def step(self, pace: float) -> float:
        """Learn from one frame; its loss by pixel."""
        recipe = self._recipe
        random = np.random.default_rng(self.step_count)
        count = len(self._frames)
        if not len(self._order):
            self._order = random.permutation(count)
        frame = self._frames[self._order[0]]
        self._order = self._order[1:]
        fine = self.step_count > (1 - recipe.fine) * recipe.steps
        if recipe.consistency and self.step_count % recipe.consistency_every == 1:
            self._learn(frame, *self._from_aside(frame, random), pace)
        target = frame.scaled(recipe.side * (2 if fine else 1))
        tone = TONES[self.step_count % len(TONES)]
        wanted = target.over(tone)
        weight = target.weight(recipe.robust)
        loss = self._learn(frame, target.lens, wanted, weight, tone, pace)
        self.step_count += 1
        return loss

    def _from_aside(
        self, frame: TeacherFrame, random: np.random.Generator
    ) -> tuple[Lens, Float, Float, float]:
        """What the avatar as it came looks like from 35 to 55 degrees aside."""
        turn = math.radians(random.uniform(35, 55)) * random.choice((-1, 1))
        side = self._recipe.side
        lens = turned_lens(frame.scaled(side).lens, turn)
        tone = float(random.choice(TONES))
        posed = self._base.gaussians(frame.motion, seen_from=lens.position)
        wanted = over(*Rasteriser().draw(posed, lens), tone)
        weight = np.full(wanted.shape[:2], self._recipe.consistency, np.float32)
        return lens, wanted, weight, tone

    def _learn(
        self,
        frame: TeacherFrame,
        lens: Lens,
        wanted: Float,
        weight: Float,
        tone: float,
        pace: float,
    ) -> float:
        recipe, residual = self._recipe, self._residual
        posed = self._deformer.gaussians(frame.motion, seen_from=lens.position)
        shown = over(*self._rasteriser.draw(posed, lens), tone)
        loss, slope = PictureLoss(wanted, weight, recipe.ssim).of(shown)
        gradients = self._rasteriser.backward(shown, slope)
        state = self._deformer.state()
        rest_gradients(
            self.splats,
            residual.lit_entry,
            state.factors,
            state.triangle_of,
            state.triangles,
            state.vertices,
            state.normals,
            state.sizes,
            posed.opacities,
            posed.scales,
            posed.colours,
            gradients.means,
            gradients.turns,
            gradients.scales,
            gradients.opacities,
            gradients.colours,
            self._units,
            self._gradient,
        )
        self._squares_seen = getattr(self, "_squares_seen", 0) + 1
        # From one footing for all sizes of picture: a splat has four times the pixels in one twice
        # as large.
        static = pace * recipe.static_rate * recipe.static
        descend(
            self._gradient,
            self._squares,
            np.float32(1 / (1 - SQUARE_DECAY**self._squares_seen)),
            self._units,
            self.static,
            _RATE * np.float32(static),
            _PULL * np.float32(recipe.static_pull),
            -_HIGH,
            _HIGH,
            residual.rows[0],
            read_only(residual.features[0], np.float32),
            self._face.bases,
            _RATE * np.float32(pace * recipe.bases_rate),
            residual.rows[1],
            read_only(residual.features[1], np.float32),
            self._pose.bases,
            _RATE * np.float32(pace * recipe.bases_rate),
            _BASES_PULL * np.float32(recipe.bases_pull),
            _BASES_MOST,
        )
        self._write_static()
        return loss / max(float(weight.sum()), 1e-6)

    def _write_static(self) -> None:
        """Into the working avatar."""
        origin, avatar, static, splats = self._origin, self.avatar, self.static, self.splats
        avatar.colour[splats] = np.clip(origin.colour[splats] + static[:, COLOUR], 0, 1)
        avatar.opacity[splats] = np.clip(origin.opacity[splats] + static[:, OPACITY], 0, 1)
        scale = origin.bound_scale[splats]
        scale[:, :2] *= np.exp(static[:, SIZE])
        avatar.bound_scale[splats] = scale
        avatar.bound_position[splats] = origin.bound_position[splats] + static[:, PLACE]
        half, none = static[:, TURN] / 2, np.zeros(len(splats), np.float32)
        turn = np.stack([np.cos(half), none, none, np.sin(half)], 1)
        avatar.bound_rotation[splats] = multiply_quaternions(origin.bound_rotation[splats], turn)

    def finished(self) -> Avatar:
        """The avatar as it is now; later steps do not change it."""
        now = self.avatar
        copies = {
            name: getattr(now, name).copy()
            for name in ("bound_position", "bound_rotation", "bound_scale", "opacity", "colour")
        }
        parts = {
            name: replace(part, bases=part.bases.copy()) if part.bases.shape[1] else None
            for name, part in (("face_residual", self._face), ("pose_residual", self._pose))
        }
        return replace(now, **copies, **parts)


def turned_lens(lens: Lens, turn_rad: float) -> Lens:
    """The same camera, carried around the head's vertical axis (the origin lies between the eyes)."""
    cosine, sine = math.cos(turn_rad), math.sin(turn_rad)
    about_y = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    middle = np.array([0, 0, -0.06])
    rotation = lens.pose[:, :3] @ about_y
    translation = lens.pose[:, 3] + (lens.pose[:, :3] - rotation) @ middle
    pose = np.column_stack([rotation, translation]).astype(np.float32)
    return replace(lens, pose=pose)


def _units(avatar: Avatar, splats: Index) -> Float:
    """[U, 10] what a channel's unit is: a splat's place is told in its own widths."""
    corners = avatar.vertices[avatar.triangles[avatar.bound_triangle[splats]]]
    size = bound_sizes(avatar)[splats]
    width = size * np.sqrt(avatar.bound_scale[splats, 0] * avatar.bound_scale[splats, 1])
    units = np.ones((len(splats), WIDTH), np.float32)
    for column, corner in ((6, 1), (7, 2)):
        length = np.linalg.norm(corners[:, corner] - corners[:, 0], axis=1)
        units[:, column] = width / np.maximum(length, 1e-6)
    units[:, 8] = width / np.maximum(size, 1e-6)
    return units


def _with_splats(part: ResidualPart, splats: Index) -> ResidualPart:
    count = part.mix.shape[1]
    return replace(
        part, splats=splats, bases=np.zeros((len(splats), count, WIDTH), np.float32)
    )


def _shown(deformer: Deformer, frames: Sequence[TeacherFrame], side: int) -> Float:
    """[N] pixels' worth of each splat, at most over a dozen of the frames."""
    rasteriser, most = Rasteriser(), np.zeros(len(deformer.avatar), np.float32)
    for frame in frames[:: max(1, len(frames) // 12)]:
        lens = frame.scaled(side).lens
        colour, _ = rasteriser.draw(
            deformer.gaussians(frame.motion, seen_from=lens.position), lens
        )
        most = np.maximum(
            most, rasteriser.backward(colour, np.ones_like(colour)).colours[:, 0]
        )
    return most


_MOVES_M = 2e-4


def _moved_by_face(avatar: Avatar, template: HeadTemplate) -> Array:
    """[N] which Gaussians lie on what expressions move, eyes, teeth and tongue."""
    moves = np.any(np.abs(template.expression_basis) > _MOVES_M, axis=(0, 2))
    moving = np.zeros(len(avatar.triangles), bool)
    moving[: len(template.triangles)] = moves[template.triangles].any(1) | np.isin(
        template.triangle_part, [part for part in Part if part is not Part.SKIN]
    )
    return moving[avatar.bound_triangle]
