"""An avatar and frames of its person -> the same avatar with residuals (`avatar.residual`).

Each step draws one frame, and moves what every Gaussian is at rest, and how that depends on the
motion, down the gradient. So the static part, which corrects what one portrait did not tell, and
the part that depends on the motion are learned together.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avatar.deform import Deformer, bound_sizes
from avatar.fit.device import Device
from avatar.fit.freedom import SKIN_SQUARE, SQUARE
from avatar.fit.rasteriser import Lens, Rasteriser, over
from avatar.fit.refine import MOST_SPLATS
from avatar.fit.residual_growth import GROWN_AT, Lineage, needless, wanting
from avatar.fit.residual_kernels import (
    SQUARE_DECAY,
    STATIC_WIDTH,
    descend,
    rest_gradients,
    write_static,
)
from avatar.fit.residual_losses import Losses, TextureLoss, sharpened
from avatar.fit.residual_state import Arrays, fingerprint, read_state, write_state
from avatar.fit.residual_torso import TorsoShifts
from avatar.fit.residual_views import seen_in_frames, turned_lens
from avatar.fit.similarity import PictureLoss
from avatar.fit.target import LEAST_SHOWN
from avatar.fit.teacher import TeacherFrame
from avatar.head.template import HeadTemplate, Part
from avatar.portrait.arrays import Mask
from avatar.read_only import read_only
from avatar.residual import (
    COLOUR,
    HEIGHT,
    MOST_LOG_SIZE,
    OPACITY,
    PLACE,
    SIZE,
    TURN,
    WIDTH,
    features,
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
    losses: Losses = field(default_factory=Losses)
    consistency_every: int = 6
    static: bool = True
    apart: bool = True
    """How the head is held says nothing of what expressions move."""
    face_features: int = 10
    pose_features: int = 6
    densify: bool = False
    """Gaussians are split where frames show more than they can, and go where nothing shows them
    (`avatar.fit.residual_growth`)."""
    static_rate: float = 1.0
    bases_rate: float = 1.0
    static_pull: float = 1.0
    bases_pull: float = 1.0

    @property
    def finer_from(self) -> int:
        """The step from which on frames are drawn twice as large."""
        return math.ceil((1 - self.fine) * self.steps)

    @property
    def finest_side(self) -> int:
        """Pixels of the largest frames that are drawn."""
        return self.side * (2 if self.fine else 1)


SWITCHED_ON = {"texture": 0.5, "adversary": 0.02, "sharpen": 0.5, "torso": True}
"""Weights, for ablations, of what is off or may be."""
_NETWORKS = {
    "static": {"static": False},
    "face": {"face_features": 0},
    "pose": {"pose_features": 0},
    "decay": {"bases_pull": 0.0, "static_pull": 0.0},
}
TERMS = ("ssim", "robust", "consistency", *SWITCHED_ON, "densify", *_NETWORKS)
"""What can be left out of learning, or be added to it."""


def toggled(recipe: Recipe, term: str) -> Recipe:
    """The recipe less a term, by its name; with it, if it was off."""
    if term in _NETWORKS:
        return replace(recipe, **_NETWORKS[term])
    if term == "densify":
        return replace(recipe, densify=not recipe.densify)
    now = getattr(recipe.losses, term)
    value = type(now)(0) if now else SWITCHED_ON[term]
    return replace(recipe, losses=replace(recipe.losses, **{term: value}))


def is_on(recipe: Recipe, term: str) -> bool:
    """Whether the recipe has a term."""
    if term == "densify":
        return recipe.densify
    return term in _NETWORKS or bool(getattr(recipe.losses, term))


_RATE = np.zeros(WIDTH, np.float32)
_RATE[COLOUR], _RATE[OPACITY], _RATE[SIZE], _RATE[PLACE], _RATE[TURN] = 0.01, 0.01, 0.01, 0.02, 0.02
_RATE[HEIGHT] = 0.01
_PULL = np.zeros(WIDTH, np.float32)
_PULL[COLOUR], _PULL[OPACITY], _PULL[SIZE], _PULL[PLACE], _PULL[TURN] = 0.1, 0.1, 0.05, 0.03, 0.03
_STATIC_RATE, _STATIC_PULL = np.append(_RATE, 3 * [0.01]), np.append(_PULL, 3 * [0.1])
_STATIC_RATE, _STATIC_PULL = _STATIC_RATE.astype(np.float32), _STATIC_PULL.astype(np.float32)
_HIGH = np.full(STATIC_WIDTH, 1.0, np.float32)
_HIGH[COLOUR], _HIGH[SIZE], _HIGH[PLACE], _HIGH[TURN] = 0.7, 0.25, 1.5, math.pi / 2
_LOW = -_HIGH
_LOW[SIZE], _LOW[OPACITY], _LOW[HEIGHT] = -MOST_LOG_SIZE, -0.35, -2.0
"""Hair and shoulders that move by themselves are out of place in most frames. Free to grow
(twice) and fade (wholly), they became a blur: .1 dB more on such a film, and a worse picture."""
_BASES_MOST = np.full(WIDTH, 0.3, np.float32)
_BASES_MOST[SIZE], _BASES_MOST[OPACITY], _BASES_MOST[PLACE], _BASES_MOST[TURN] = 0.1, 0.1, 1.0, 0.5
_BASES_PULL, _PULLED_AT = np.full(WIDTH, 1.2, np.float32), 12.0
"""What pulls the networks towards nothing; twice as hard when a film has half as many moments. The
loss is a mean over frames, so what was believed before any were seen counts by how few they are."""
_MOST_PULL = 4.0
_WALLS = (0.0, 1.0)
"""Greys of the walls behind, by turns. Before the two ends a colour outside of the outline is as
wrong one way as the other, and nothing but its place and its opacity can be mended; with a grey
between, what stood over the outline in all frames took its colour, and was a halo."""
_LAST_PACE = 0.05
_SHARPENED = 0.2
"""Share of the steps, at the end, whose frames are sharpened."""


def code_of(motion: MotionFrame) -> tuple[Float, Float]:
    """As the Deformer has it."""
    return motion_code(
        motion.expression, motion.tongue, motion.gaze, motion.head_rotation, motion.head_translation
    )


_LEAST_SPREAD = 0.2
"""Of a code along an axis (1 is the corpus' own): what is seen less is mostly the tracker's grain,
and a feature that stretched it to its own size would be thrown to its end by any other motion."""


def hidden_layer(codes: Float, count: int, slope: float = 0.6) -> ResidualPart:
    """Features along the main axes of [T, D] codes, and no Gaussians yet."""
    mean, axes, spread = _main_axes(codes)
    whiten = axes / spread
    reach = 1.5 * float(np.percentile(np.linalg.norm((codes - mean) @ whiten, axis=1), 95))
    mix = slope * whiten[:, :count]
    return ResidualPart(
        mean=mean.astype(np.float32),
        whiten=whiten.astype(np.float32),
        reach=max(reach, 1.0),
        mix=mix.astype(np.float32),
        shift=np.zeros(mix.shape[1], np.float32),
        splats=np.zeros(0, np.int32),
        bases=np.zeros((0, mix.shape[1], WIDTH), np.float32),
    )


def _main_axes(codes: Float) -> tuple[Float, Float, Float]:
    """Of [T, D] codes: the mean [D]; their axes [D, D], a column each, those that they spread over
    most first; that spread [D]."""
    mean = codes.mean(0)
    away = codes - mean
    values, axes = np.linalg.eigh(away.T @ away / max(len(codes), 1))
    spread = np.sqrt(np.maximum(values, 0) + _LEAST_SPREAD**2)
    return mean, axes[:, ::-1], spread[::-1]


def moments(codes: Float) -> float:
    """How many of [T, D] codes, in the order of their film, are news: neighbours are alike.

    Their number over the time, in frames, for which they stay alike (Sokal 1997, the integrated
    autocorrelation time).
    """
    mean, axes, spread = _main_axes(codes)
    away = (codes - mean) @ (axes / spread)
    count, whole = len(codes), float((away * away).sum())
    alike = 1.0
    for apart in range(1, count // 2):
        share = float((away[:-apart] * away[apart:]).sum()) / max(whole, 1e-9)
        if share < _UNLIKE:
            break
        alike += 2 * share
    return count / alike


_UNLIKE = 0.05
"""Correlation from which on two frames have nothing to do with each other."""


_RESTING = ("bound_position", "bound_rotation", "bound_scale", "opacity", "colour", "glance")
"""Fields of an avatar that say what its Gaussians are at rest."""
_LINEAGE = ("source", "position", "scale")
"""Fields of a `Lineage`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What a drawing shall look like."""

    lens: Lens
    wanted: Float
    """[S, S, 3]"""
    weight: Float
    """[S, S] how much each pixel counts."""
    tone: float
    """Of the wall behind."""
    index: int | None = None
    """Of the frame, where it is what was filmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """What a step learns from, and how."""

    index: int
    """Of the frame."""
    first: bool
    """Whether it is the first of a turn through all frames."""
    pace: float
    """0..1"""
    side: int
    """Pixels."""
    sharpen: float
    """How far the frame is sharpened."""
    tone: float
    """Of the wall behind."""
    aside: tuple[Lens, float] | None
    """A view from aside that is learned before, and the tone of its wall."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """Rates, pulls and bounds of one step: [13] of the static part, [10] of the bases."""

    static_rate: Float
    static_pull: Float
    low: Float
    high: Float
    bases_rate: Float
    face_pull: Float
    pose_pull: Float
    bases_most: Float


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
        self._given = avatar
        self._came = avatar = _with_glance(avatar)
        self._template, self._recipe, self._frames = template, recipe, frames
        self._base = Deformer(avatar, template)
        self._rasteriser = Rasteriser()
        self._learns = seen_in_frames(self._base, frames, recipe.side) > LEAST_SHOWN
        self._moves = _moved_by_face(avatar, template)
        codes = [code_of(frame.motion) for frame in frames]
        face, head = (np.stack([code[part] for code in codes]) for part in (0, 1))
        self._layers = (
            hidden_layer(face, recipe.face_features),
            hidden_layer(head, recipe.pose_features),
        )
        self._face_pull, self._pose_pull = (
            np.float32(recipe.bases_pull * np.clip(_PULLED_AT / moments(part), 1, _MOST_PULL))
            * _BASES_PULL
            for part in (face, head)
        )
        corners = avatar.triangles[avatar.bound_triangle]
        self._turns = avatar.neck_weights[corners].mean(1, dtype=np.float32)
        self._folds = _folds(avatar, template, self._moves)
        self._torso = self._critic = None
        if recipe.losses.torso:
            known = np.stack([features(self._layers[1], code[1]) for code in codes])
            self._torso = TorsoShifts(avatar, template.neck_joint, known)
        if recipe.losses.adversary:
            from avatar.fit.residual_critic import PatchCritic  # torch loads for seconds

            self._critic = PatchCritic()
        self._begin(Lineage.of(avatar))
        self._learned = 0
        self.done = 0
        """Steps."""

    def _begin(self, lineage: Lineage) -> None:
        """With these Gaussians, of which nothing is learned yet."""
        self._lineage, came = lineage, self._came
        self._origin = origin = lineage.avatar(came)
        learns, moves = self._learns[lineage.source], self._moves[lineage.source]
        self._face, self._pose = (
            _with_splats(layer, np.flatnonzero(which).astype(np.int32))
            for layer, which in zip(
                self._layers,
                (learns & moves, learns & ~moves if self._recipe.apart else learns),
                strict=True,
            )
        )
        copies = _resting_copies(origin)
        self.avatar = replace(origin, **copies, face_residual=self._face, pose_residual=self._pose)
        self.deformer = Deformer(self.avatar, self._template)
        residual = self.deformer.residual
        assert residual is not None
        self._residual = residual
        self.splats: Index = residual.splats
        self.static = np.zeros((len(self.splats), STATIC_WIDTH), np.float32)
        on_skin = origin.bound_triangle[self.splats] < len(self._template.triangles)
        self._square = np.where(on_skin[:, None], SKIN_SQUARE, SQUARE).astype(np.float32)
        self._squares = np.zeros_like(self.static)
        self.gradient = np.zeros_like(self.static)
        self.units = _units(came, lineage.source[self.splats])
        if self._torso is not None:
            self._torso.carry(lineage.source)

    def step(self) -> None:
        """Learn from one frame."""
        losses, coming = self._recipe.losses, self._coming()
        frame = self._frames[coming.index]
        if coming.aside is not None:
            self.learn(frame, self._from_aside(frame, *coming.aside), coming.pace)
        target = frame.scaled(coming.side)
        if coming.sharpen:
            target = replace(target, picture=sharpened(target.picture, coming.sharpen))
        if self._torso is not None and coming.first:
            self._torso.leave_explained()
        seen = Seen(
            lens=target.lens,
            wanted=target.over(coming.tone),
            weight=target.weight(losses.robust),
            tone=coming.tone,
            index=coming.index,
        )
        self.learn(frame, seen, coming.pace)
        self.done += 1

    def _coming(self) -> "Coming":
        """What the next step does; first Gaussians are split where it is time."""
        recipe, losses = self._recipe, self._recipe.losses
        if recipe.densify and self.done in {round(share * recipe.steps) for share in GROWN_AT}:
            self._grow()
        random = np.random.default_rng(self.done)
        count = len(self._frames)
        turn, place = divmod(self.done, count)
        index = int(np.random.default_rng(turn).permutation(count)[place])
        falling = 0.5 * (1 + math.cos(math.pi * self.done / recipe.steps))
        fine = self.done >= recipe.finer_from
        sharp = self.done > (1 - _SHARPENED) * recipe.steps
        aside = None
        if losses.consistency and self.done % recipe.consistency_every == 1:
            angle = math.radians(random.uniform(35, 55)) * random.choice((-1, 1))
            lens = turned_lens(self._frames[index].lens.scaled(recipe.side, recipe.side), angle)
            aside = lens, float(random.choice(_WALLS))
        return Coming(
            index=index,
            first=place == 0,
            pace=_LAST_PACE + (1 - _LAST_PACE) * falling,
            side=recipe.side * (2 if fine else 1),
            sharpen=losses.sharpen if sharp else 0.0,
            tone=_WALLS[self.done % len(_WALLS)],
            aside=aside,
        )

    def _grow(self) -> None:
        """Split what frames ask more of, and let go what nothing shows."""
        recipe, frames, source = self._recipe, self._frames, self._lineage.source
        parts, count = (self._face, self._pose), len(self.avatar)
        gone = needless(self.deformer, frames, recipe.side, parts, self._folds[source])
        room = max(0, MOST_SPLATS - count + int(gone.sum()))
        able = self._learns[source] & ~gone
        split = wanting(self.deformer, frames, recipe.finest_side, able, room)
        lineage, parent = self._lineage.after(self.deformer, split, gone)
        before, squares = self.static, self._squares
        rows = np.full(count, -1)
        rows[self.splats] = np.arange(len(self.splats))
        self._begin(lineage)
        was = rows[parent[self.splats]]
        self.static[...], self._squares[...] = before[was], squares[was]
        for old, new in zip(parts, (self._face, self._pose), strict=True):
            new.bases[...] = old.bases[np.searchsorted(old.splats, parent[new.splats])]
        self.write_static()

    def _from_aside(self, frame: TeacherFrame, lens: Lens, tone: float) -> "Seen":
        """What the avatar as it came looks like from 35 to 55 degrees aside."""
        posed = self._base.gaussians(frame.motion, seen_from=lens.position)
        wanted = over(*Rasteriser().draw(posed, lens), tone)
        weight = np.full(wanted.shape[:2], self._recipe.losses.consistency, np.float32)
        return Seen(lens=lens, wanted=wanted, weight=weight, tone=tone)

    def learn(self, frame: TeacherFrame, seen: "Seen", pace: float) -> float:
        """One step towards what is wanted of the frame; the loss by pixel. `gradient` is then that
        of this step."""
        residual, lens = self._residual, seen.lens
        posed = self.deformer.gaussians(frame.motion, seen_from=lens.position)
        torso = None if seen.index is None else self._torso
        drawn = posed if torso is None or seen.index is None else torso.moved(posed, seen.index)
        shown = over(*self._rasteriser.draw(drawn, lens), seen.tone)
        loss, slope = self._held_against(seen, shown)
        gradients = self._rasteriser.backward(shown, slope)
        if torso is not None and seen.index is not None:
            torso.learn(seen.index, drawn.means, gradients.means, pace)
        state = self.deformer.state()
        rest_gradients(
            self.splats,
            residual.lit_entry,
            state.factors,
            state.triangle_of,
            state.triangles,
            state.vertices,
            state.normals,
            state.sizes,
            drawn.means,
            posed.opacities,
            posed.scales,
            posed.colours,
            lens.position,
            self._square,
            np.float32(self.deformer.glance_seen(frame.motion, lens.position)),
            gradients.means,
            gradients.turns,
            gradients.scales,
            gradients.opacities,
            gradients.colours,
            self.units,
            self.gradient,
        )
        self._learned += 1
        how = self._descent(pace)
        descend(
            self.gradient,
            self._squares,
            np.float32(1 / (1 - SQUARE_DECAY**self._learned)),
            self.units,
            self.static,
            how.static_rate,
            how.static_pull,
            how.low,
            how.high,
            residual.rows[0],
            read_only(residual.features[0], np.float32),
            self._face.bases,
            how.face_pull,
            residual.rows[1],
            read_only(residual.features[1], np.float32),
            self._pose.bases,
            how.pose_pull,
            how.bases_rate,
            how.bases_most,
        )
        self.write_static()
        return loss / max(float(seen.weight.sum()), 1e-6)

    def _descent(self, pace: float) -> "Descent":
        """How far a step goes at this pace, 0..1."""
        recipe = self._recipe
        static = pace * recipe.static_rate * recipe.static
        return Descent(
            static_rate=_STATIC_RATE * np.float32(static),
            static_pull=_STATIC_PULL * np.float32(recipe.static_pull),
            low=_LOW,
            high=_HIGH,
            bases_rate=_RATE * np.float32(pace * recipe.bases_rate),
            face_pull=self._face_pull,
            pose_pull=self._pose_pull,
            bases_most=_BASES_MOST,
        )

    def _held_against(self, seen: "Seen", shown: Float) -> tuple[float, Float]:
        """The loss of a picture [S, S, 3] and its gradient. Texture and critic judge frames only:
        views from aside have no truth to take texture from."""
        losses = self._recipe.losses
        loss, slope = PictureLoss(seen.wanted, seen.weight, losses.ssim).of(shown)
        if losses.texture and seen.index is not None:
            unlike, more = TextureLoss(seen.wanted, seen.weight).of(shown)
            loss += losses.texture * unlike
            slope += np.float32(losses.texture) * more
        if self._critic is not None and seen.index is not None:
            more = self._critic.slope(shown, seen.wanted, seen.weight)
            slope += np.float32(losses.adversary) * more
        return loss, slope

    def write_static(self) -> None:
        """Into the working avatar."""
        write_static(
            self.splats,
            self.static,
            *(read_only(getattr(self._origin, name), np.float32) for name in _RESTING),
            *(getattr(self.avatar, name) for name in _RESTING),
        )

    @property
    def found(self) -> Arrays:
        """What was learned so far, by name; the arrays themselves."""
        found = {"static": self.static, "face": self._face.bases, "pose": self._pose.bases}
        if not self._recipe.densify:
            return found
        return {**found, **{name: getattr(self._lineage, name) for name in _LINEAGE}}

    @property
    def state(self) -> Arrays:
        """All that `resume` needs."""
        counts = np.array([self.done, self._learned], np.float32)
        state = {**self.found, "squares": self._squares, "counts": counts}
        if self._torso is not None:
            state["torso"] = self._torso.found
        if self._critic is not None:
            state["critic"] = self._critic.state
        return state

    def take(self, found: Arrays) -> None:
        """Go back to something `found`."""
        if self._recipe.densify:
            lineage = Lineage(**{name: found[name] for name in _LINEAGE})
            if not lineage.same(self._lineage):
                self._begin(lineage)
        self.static[...] = found["static"]
        self._face.bases[...], self._pose.bases[...] = found["face"], found["pose"]
        self.write_static()

    def resume(self, state: Arrays) -> None:
        """Go on from an earlier `state`.

        Raises:
            KeyError, ValueError: it is of another avatar or recipe.
        """
        self.take(state)
        self._squares[...] = state["squares"]
        if self._torso is not None:
            self._torso.found[...] = state["torso"]
        if self._critic is not None:
            self._critic.resume(state["critic"])
        self.done, self._learned = (int(count) for count in state["counts"])

    def psnr(self, frames: Sequence[TeacherFrame], *, base: bool = False) -> float:
        """dB over the head and neck, mean of some frames: of the model as it is now, or as it came.

        Judged at the finest side: a splat's own blur on the screen makes what was learned from
        large frames look rough in small ones, and a judge of small ones kept none of it.
        Shoulders do not count: where they are in a frame no motion tells, and a blur of all that
        they did is nearer to it than a sharp one elsewhere.
        """
        deformer = self._base if base else self.deformer
        values = []
        for frame in frames:
            target = frame.scaled(self._recipe.finest_side)
            inside = (target.person > 0.5) & (target.known > 0)
            inside &= self._head(frame, target.lens)
            if not inside.any():
                continue
            posed = deformer.gaussians(frame.motion, seen_from=target.lens.position)
            shown = over(*self._rasteriser.draw(posed, target.lens), 0.5)
            error = float(np.mean((shown[inside] - target.over(0.5)[inside]) ** 2))
            values.append(-10 * math.log10(max(error, 1e-10)))
        return float(np.mean(values)) if values else float("nan")

    def _head(self, frame: TeacherFrame, lens: Lens) -> Mask:
        """[S, S] True where the avatar as it came shows what turns with the head."""
        posed = self._base.gaussians(frame.motion, seen_from=lens.position)
        share = np.repeat(self._turns[:, None], 3, 1)
        colour, through = self._rasteriser.draw(replace(posed, colours=share), lens)
        return colour[..., 0] >= 0.5 * (1 - through)

    def finished_at(self, found: Arrays) -> Avatar:
        """As `finished`, with something `found` earlier; learning goes on from where it is."""
        now = copied(self.state)
        self.take(found)
        avatar = self.finished()
        self.resume(now)
        return avatar

    def finished(self) -> Avatar:
        """The avatar as it is now; later steps do not change it."""
        now = self.avatar
        copies = {name: getattr(now, name).copy() for name in _RESTING}
        parts = {
            name: replace(part, bases=part.bases.copy()) if part.bases.shape[1] else None
            for name, part in (("face_residual", self._face), ("pose_residual", self._pose))
        }
        if not len(self._given.glance) and not self.static[:, WIDTH:].any():
            copies["glance"] = self._given.glance
        return replace(now, **copies, **parts)


def anchored(avatar: Avatar, codes: tuple[Float, Float]) -> Avatar:
    """The avatar with what its residuals do at one motion taken off its Gaussians at rest: there,
    in the portrait's own expression for instance, it looks as if it had none."""
    offset = np.zeros((len(avatar), STATIC_WIDTH), np.float32)
    for part, code in zip((avatar.face_residual, avatar.pose_residual), codes, strict=True):
        if part is not None:
            taken = np.einsum("k,rkc->rc", features(part, code), part.bases)
            offset[part.splats, :WIDTH] -= taken
    whole = _with_glance(avatar)
    resting = _resting_copies(whole)
    write_static(
        np.arange(len(avatar), dtype=np.int32),
        offset,
        *(read_only(getattr(whole, name), np.float32) for name in _RESTING),
        *resting.values(),
    )
    return replace(avatar, **{**resting, "glance": avatar.glance})


def _with_glance(avatar: Avatar) -> Avatar:
    """The avatar with a row of glance for each Gaussian, as compiled loops expect it."""
    if len(avatar.glance) == len(avatar):
        return avatar
    return replace(avatar, glance=np.zeros((len(avatar), 3), np.float32))


def _resting_copies(avatar: Avatar) -> dict[str, Float]:
    """What an avatar's Gaussians are at rest, by field, to be written to."""
    return {name: np.array(getattr(avatar, name), np.float32, order="C") for name in _RESTING}


def _units(avatar: Avatar, splats: Index) -> Float:
    """[U, 13] what a channel's unit is: a splat's place is told in its own widths."""
    corners = avatar.vertices[avatar.triangles[avatar.bound_triangle[splats]]]
    size = bound_sizes(avatar)[splats]
    width = size * np.sqrt(avatar.bound_scale[splats, 0] * avatar.bound_scale[splats, 1])
    units = np.ones((len(splats), STATIC_WIDTH), np.float32)
    for column, corner in ((6, 1), (7, 2)):
        length = np.linalg.norm(corners[:, corner] - corners[:, 0], axis=1)
        units[:, column] = width / np.maximum(length, 1e-6)
    units[:, 8] = width / np.maximum(size, 1e-6)
    return units


def _with_splats(part: ResidualPart, splats: Index) -> ResidualPart:
    count = part.mix.shape[1]
    return replace(part, splats=splats, bases=np.zeros((len(splats), count, WIDTH), np.float32))


_MOVES_M = 2e-4


def _moved_by_face(avatar: Avatar, template: HeadTemplate) -> Mask:
    """[N] which Gaussians lie on what expressions move, eyes, teeth and tongue."""
    moves = np.any(np.abs(template.expression_basis) > _MOVES_M, axis=(0, 2))
    moving = np.zeros(len(avatar.triangles), bool)
    moving[: len(template.triangles)] = moves[template.triangles].any(1) | np.isin(
        template.triangle_part, [part for part in Part if part is not Part.SKIN]
    )
    return moving[avatar.bound_triangle]


def _folds(avatar: Avatar, template: HeadTemplate, moves: Mask) -> Mask:
    """[N] which Gaussians motions that nobody has tried may unfold: on what of skin, lips and
    tongue expressions move, and on the neck."""
    stiff = np.zeros(len(avatar.triangles), bool)
    stiff[: len(template.triangles)] = np.isin(template.triangle_part, _STIFF)
    corners = avatar.triangles[avatar.bound_triangle]
    turns = avatar.neck_weights[corners].mean(1)
    return (moves & ~stiff[avatar.bound_triangle]) | (np.abs(turns - 0.5) < _NECK)


_STIFF = (Part.TEETH_UPPER, Part.TEETH_LOWER, Part.GUMS, Part.EYE_LEFT, Part.EYE_RIGHT)
_NECK = 0.45
"""How far from half and half what follows both head and shoulders is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What became of learning."""

    avatar: Avatar
    """As it came where nothing was gained."""
    before: float
    after: float
    """dB on frames that were not learned from, as it came and at its best."""
    steps: int
    """Until the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far learning is."""

    share: float
    """0..1"""
    psnr: float
    """dB on frames that are not learned from."""
    avatar: Callable[[], Avatar]
    """The avatar at its best so far; as it came while nothing is gained."""


_CHECKS = 12
"""Times that the model is tried on held-out frames."""
_PATIENCE = 8
"""Checks without a better one after which learning ends. Early checks, at a high rate, go up and
down: with 4, some films stopped at a sixth of their steps, and stayed blurred."""
_PATIENCE_BEFORE_FINER = 5
"""Likewise, after which the finer steps begin at once: they gain where coarser ones no longer do,
and never began where those had ended learning."""
_HELD_OUT = 0.12
_MOST_HELD_OUT = 16
KEPT_EVERY_S = 30.0


def split(frames: Sequence[TeacherFrame]) -> tuple[list[TeacherFrame], list[TeacherFrame]]:
    """Frames to learn from, and those held out: the last ones, for neighbours are alike."""
    held = max(1, round(_HELD_OUT * len(frames)))
    learned, held_out = list(frames[:-held]), list(frames[-held:])
    return learned or held_out, held_out[:: -(-held // _MOST_HELD_OUT)]


def learn_residuals(
    avatar: Avatar,
    template: HeadTemplate,
    frames: Sequence[TeacherFrame],
    recipe: Recipe,
    *,
    device: Device = "cpu",
    keep: Path | None = None,
    tell: Callable[[Progress], None] | None = None,
) -> Learned:
    """`avatar` with residuals learned from at least two `frames` of its person.

    With `keep` what is learned goes into that file every half minute, and a later call with the
    same avatar, frames and recipe goes on from there, on whichever device. `tell` hears of every
    check.

    Raises:
        DeviceError: `device` is "cuda", and the card cannot learn, or fails.
    """
    from avatar.fit.learners import open_learner  # which needs this file

    learned_from, held_out = split(frames)
    learner = open_learner(avatar, template, learned_from, recipe, device)
    print_of_fit = fingerprint(avatar, frames, recipe)
    before = learner.psnr(held_out, base=True)
    best, best_psnr, best_at = copied(learner.found), before, 0
    kept = read_state(keep, print_of_fit)
    if kept is not None:
        learner.resume({n: v for n, v in kept.items() if "best" not in n})
        best = {name: kept[f"best {name}"] for name in best}
        best_psnr, best_at = float(kept["best counts"][0]), int(kept["best counts"][1])
    every = max(1, recipe.steps // _CHECKS)
    finer = recipe.finer_from if recipe.fine else 0
    kept_s = time.monotonic()
    while learner.done < recipe.steps:
        learner.step()
        if learner.done % every == 0 or learner.done == recipe.steps:
            now = learner.psnr(held_out)
            if now > best_psnr:
                best, best_psnr, best_at = copied(learner.found), now, learner.done
            if tell is not None:
                share = learner.done / recipe.steps

                def at_best(found: Arrays = best, gained: int = best_at) -> Avatar:
                    return learner.finished_at(found) if gained else avatar

                tell(Progress(share=share, psnr=now, avatar=at_best))
            waited = learner.done - max(best_at, finer if learner.done > finer else 0)
            if waited >= _PATIENCE * every:
                break
            if learner.done < finer and waited >= _PATIENCE_BEFORE_FINER * every:
                learner.done = finer
        if keep is not None and time.monotonic() - kept_s > KEPT_EVERY_S:
            kept_s = time.monotonic()
            counts = np.array([best_psnr, best_at], np.float32)
            named = {f"best {name}": values for name, values in best.items()}
            write_state(keep, {**learner.state, **named, "best counts": counts}, print_of_fit)
    learner.take(best)
    return Learned(
        avatar=learner.finished() if best_at else avatar,
        before=before,
        after=best_psnr,
        steps=best_at,
    )


def copied(found: Arrays) -> Arrays:
    return {name: values.copy() for name, values in found.items()}
