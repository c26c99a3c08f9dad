"""The headset's side of the live loop: at each of its turns, the face as both eyes see it.

It comes and goes while the program runs. Whatever the runtime reports ends the session, never the
program: the window goes on, and the watch looks for the headset again.
"""

import importlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from app.attention import Attention
from app.detail import HEAD_M, DetailedPosing
from app.eye_quality import Quality, Thinning, bounds_of, eye_parts, height_px
from app.face_sampler import FaceSampler
from app.frame_loop import Scene, TurnResult
from app.headset_watch import HeadsetWatch
from app.panel import Panel, PanelView, Wishes
from app.placement import Handling, Placement, Relation
from app.placement_file import read_relation, write_relation
from app.posing import Deforms
from app.room_panel import SIZE_M, PanelPlace, Pointer
from app.timing import HeadsetTiming
from avatar.errors import HeadsetError, VisavisError
from avatar.types import Float, Gaussians, MotionFrame
from render.camera import View, viewer
from render.eye_painter import Board, Body, EyePainter, EyePictures, pointer_ray
from render.headset import NO_HAND, Eye, Hand, Turn
from render.panel_surface import PanelSurface
from render.pose import Pose, middle
from render.renderer import CardHead, TextureRenderer

if TYPE_CHECKING:
    from render.xr import Headset

log = logging.getLogger(__name__)

PANEL_SCALE = 2.0
"""Pixels of the panel's picture for a unit of its layout, which is a millimetre in the room."""
BALL_M = (0.10, 0.15, 0.12)
"""Radii of the ellipsoid that stands for the head's depth."""
BALL_MIDDLE = (0.0, -0.01, -0.07)
RAY_TINT = np.array([0.55, 0.60, 0.68, 0.75], np.float32)
HOLD_TINT = np.array([0.62, 0.78, 0.62, 0.85], np.float32)
RAY_M = 1.2
"""Where it meets nothing."""
MIRROR_RAD = math.radians(62.0)
"""How much of an eye's view the window shows, from top to bottom."""
HEAD_MOVES_M = 0.06
"""How far any part of an avatar goes beyond where it rests."""
LEAVE_S = 1.5
"""How long the runtime may take to end a session in order, at the program's end."""
NO_MARKS: Float = np.zeros((0, 7), np.float32)


@dataclass(frozen=True, slots=True)
class EyesSeen:
    """One stereo picture, and what it was drawn for."""

    pictures: list[NDArray[np.uint8]]
    """[H, W, 3] sRGB of the left and the right eye, row 0 on top."""
    eyes: tuple[Eye, Eye]
    placement: Placement
    motion: MotionFrame
    gaussians: Gaussians
    panel: PanelPlace | None
    turn: Turn


class RoomPanel:
    """The panel that hangs in the room, and the picture that it is drawn on."""

    def __init__(self, context: moderngl.Context) -> None:
        width, height = (round(1000 * side * PANEL_SCALE) for side in SIZE_M)
        self.surface = PanelSurface(context, width, height, PANEL_SCALE)
        with self.surface.within():
            self.panel = Panel(PANEL_SCALE, has_keys=False)


class HeadsetSide:
    """A headset, when there is one. One OpenGL context, current at every call."""

    def __init__(
        self,
        context: moderngl.Context,
        placement_file: Path | None,
        *,
        insists: bool = False,
        adapts: bool = True,
        finer: float = 1.0,
    ) -> None:
        """`placement_file`: where the avatar's place is remembered; None: nowhere. `insists`: say
        in the log why there is no headset. `adapts`: draw less where the machine is slow.
        `finer` multiplies the sides of the eyes' pictures."""
        self._context, self._finer = context, finer
        self._watch = HeadsetWatch(logging.WARNING if insists else logging.INFO)
        self.headset: Headset | None = None
        """The session, while there is one."""
        self._runtime: Any = None
        self._placement_file = placement_file
        self._relation = read_relation(placement_file)
        self._relation_is_new = False  # written when the headset is left, not within a frame
        self.placement: Placement | None = None
        """Of the avatar, once it stands in a room."""
        self._handling, self._attention = Handling(), Attention()
        self._adapts, self._quality = adapts, Quality(adapts=adapts)
        self._warm_s = 0.0  # of a frame in full, before the first turn
        self._thinning: Thinning | None = None
        self._boxed: tuple[Deforms, NDArray[np.float64]] | None = None
        self._painter: EyePainter | None = None
        self._pictures = EyePictures(context)
        self._room_panel: RoomPanel | None = None
        self.panel_place: PanelPlace | None = None
        """Where the panel hangs in the room; None: it is hidden."""
        self._pointer = Pointer()
        self.hands: tuple[Hand, Hand] = NO_HAND, NO_HAND
        """Of the last turn."""
        self._mirror: moderngl.Framebuffer | None = None
        self._buffer = np.zeros((2, 1, 1, 4), np.uint8)
        self._last_s: float | None = None
        self.lost = ""
        self.timing = HeadsetTiming()
        self.panel_in_eyes = False
        """Draw the panel into the eyes' pictures also where it could be a layer of its own."""
        self.looked_at: Callable[[EyesSeen], None] | None = None
        """Called with what both eyes see, for tests and pictures; costs a read for each eye."""

    @property
    def problem(self) -> str:
        """Why nobody sees anything in a headset, one line; empty while somebody may."""
        if self.headset is not None:
            return ""
        return self.lost or self._watch.problem

    @property
    def description(self) -> str:
        """The headset in use, for a person to read; empty without one."""
        return "" if self.headset is None else self.headset.description

    @property
    def mirror(self) -> moderngl.Texture | None:
        """What the left eye saw last, as OpenGL drew it."""
        if self._mirror is None:
            return None
        (texture,) = self._mirror.color_attachments
        assert isinstance(texture, moderngl.Texture)
        return texture

    def begin(self, scene: Scene | None) -> Turn | None:
        """Wait for the headset's next turn; None where none is worn or there is none, at once.

        A headset that was found is taken up here, once there is a scene to show in it.
        """
        try:
            if self.headset is None and (scene is None or not self._take_up(scene)):
                return None
            headset = self.headset
            assert headset is not None
            news = headset.take_events()
            if news.ended:
                self._leave(news.ended, may_return=news.may_return)
                return None
            if not headset.is_running:
                self.timing.paused()
                return None
            self.timing.wait()
            turn = headset.begin_turn()
            self.timing.begin(turn)
            return turn
        except VisavisError as error:
            # What is not the headset's fault, such as a refused shader, would be so again.
            self._leave(str(error), may_return=isinstance(error, HeadsetError), is_lost=True)
            return None

    def skip(self, turn: Turn) -> None:
        """End a turn in which nothing is to be seen."""
        if self.headset is None:
            return
        try:
            self.headset.end_turn(turn)
        except HeadsetError as error:
            self._leave(str(error), is_lost=True)

    def show(
        self,
        turn: Turn,
        scene: Scene,
        motion: MotionFrame,
        view: PanelView,
        *,
        mirrors: tuple[int, int] | None,
    ) -> TurnResult:
        """Draw the face of this moment for both eyes and hand it over. `mirrors`: the size that
        `mirror` is wanted in, None where nobody looks at it."""
        began_s = time.perf_counter()
        headset = self.headset
        if headset is None:
            return TurnResult(Wishes(), False)
        try:
            return self._show(headset, turn, scene, motion, view, mirrors, began_s)
        except HeadsetError as error:
            self._leave(str(error), is_lost=True)
            return TurnResult(Wishes(), False)

    def return_now(self) -> None:
        """Look for the headset again, whatever ended the last session."""
        self.lost = ""
        self._watch.look_again(0.0)

    def close(self) -> None:
        """Leave the headset in order and give everything back."""
        if self.headset is not None:
            try:
                self._end_in_order(self.headset)
            except HeadsetError as error:
                log.info("%s", error)
            self._leave("", may_return=False)
        self._watch.close()
        self._pictures.release()
        if self._room_panel is not None:
            self._room_panel.surface.release()
        self._release_mirror()

    def _take_up(self, scene: Scene) -> bool:
        """Begin a session with a headset that was found; whether one was."""
        runtime = self._watch.found()
        if runtime is None:
            return False
        self._runtime = runtime
        module = importlib.import_module("render.xr")
        if self._room_panel is None:
            self._room_panel = RoomPanel(self._context)
        headset = module.Headset(
            runtime,
            self._context,
            panel_px=self._room_panel.surface.texture.size,
            finer=self._finer,
        )
        self.headset = headset
        self._painter = EyePainter(self._context, is_encoded=headset.is_encoded)
        self._painter.show_only(headset.masks)
        self.placement, self._last_s, self.lost = None, None, ""
        self._warm_up(scene, headset.eye_sizes)
        self.timing.session_began(headset.description, headset.eye_sizes)
        return True

    def _warm_up(self, scene: Scene, sizes: list[tuple[int, int]]) -> None:
        """Draw once what the first turn would wait for, and see how much this machine can draw."""
        motion = FaceSampler().sample(0.0).motion
        eyes = [Eye(Pose((0.032 * side, 0.0, 1.0)), (-0.75, 0.75, -0.75, 0.75)) for side in (-1, 1)]
        views = [eye.view(*size) for eye, size in zip(eyes, sizes, strict=True)]
        for _ in range(2):  # the first compiles, the second tells
            began_s = time.perf_counter()
            gaussians = scene.deformer.gaussians(motion, seen_from=viewer(views))
            parts = eye_parts(views, self._box_of(scene, gaussians), 1.0)
            self._draw(scene, gaussians, parts)
            self._warm_s = time.perf_counter() - began_s
        self._quality = Quality(adapts=self._adapts)

    def _show(
        self,
        headset: "Headset",
        turn: Turn,
        scene: Scene,
        motion: MotionFrame,
        view: PanelView,
        mirrors: tuple[int, int] | None,
        began_s: float,
    ) -> TurnResult:
        timing = self.timing
        eyes = headset.locate_eyes(turn)
        if eyes is None:  # tracking is lost for now
            headset.end_turn(turn)
            return TurnResult(Wishes(), False)
        head = middle(eyes[0].pose, eyes[1].pose)
        if self.placement is None or headset.recentred_by(turn):
            self.placement = self._relation.placed(head)
            self.panel_place = None if self.panel_place is None else PanelPlace.beside(head)
        hands = self.hands = headset.hands(turn, eyes)
        talking = self._handle(headset, hands, head, turn)
        timing.lap("hands")
        wishes = self._draw_panel(headset, hands, view, turn)
        placement = self.placement
        seen = self._attention.followed(
            motion, placement.in_avatar(np.array(head.position)), turn.display_s
        )
        stands = placement.in_avatar(np.array(head.position))
        if isinstance(scene.deformer, DetailedPosing):
            height = headset.eye_sizes[0][1]
            up, down = math.tan(eyes[0].angles[3]), math.tan(eyes[0].angles[2])
            head_px = HEAD_M * height / (up - down) / max(float(np.linalg.norm(stands)), 0.05)
            scene.deformer.choose(head_px, self._quality.share)
        gaussians = scene.deformer.gaussians(seen, seen_from=stands)
        # A card has its own to draw; what it keeps it draws whole, or in its levels.
        if isinstance(gaussians, Gaussians) and not isinstance(scene.deformer, DetailedPosing):
            if self._thinning is None or self._thinning.count != len(gaussians):
                self._thinning = Thinning(len(gaussians))
            gaussians = self._thinning.thinned(gaussians, self._quality.share)
        timing.lap("pose")
        # Again, now that most of the work is done: the nearer the moment, the truer the pose.
        eyes = headset.locate_eyes(turn) or eyes
        views = [
            View.from_eye(
                placement.avatar_from_eye(eye.pose.matrix()),
                **dict(zip(("left", "right", "down", "up"), eye.angles, strict=True)),
                width=size[0],
                height=size[1],
            )
            for eye, size in zip(eyes, headset.eye_sizes, strict=True)
        ]
        box = self._box_of(scene, gaussians)
        full_px = height_px(views, box)
        if self._warm_s:
            self._quality.expect(self._warm_s, timing.period_s, full_px)
            self._warm_s = 0.0
        parts = eye_parts(views, box, self._quality.scale)
        self._draw(scene, gaussians, parts)
        timing.lap("draw")
        board = self._board()
        is_layer = headset.has_panel_layer and not self.panel_in_eyes
        in_eyes = () if board is None or is_layer else (board,)
        pictures = []
        for side, eye in enumerate(eyes):
            with headset.eye_picture(side) as target:
                size = headset.eye_sizes[side]
                marks = self._marks(hands, eye)
                self._paint(target, size, side, eye, parts[side], marks, in_eyes)
                if self.looked_at is not None:
                    pictures.append(_read(target, size))
        timing.lap("paint")
        layer = (board.pose, board.size) if board is not None and is_layer else None
        headset.end_turn(turn, eyes, layer)
        timing.lap("submit")
        work_s = time.perf_counter() - began_s
        if mirrors is not None:
            self._mirror_eye(mirrors, eyes[0], parts[0], hands, board)
            timing.lap("mirror")
        self._quality.observe(work_s, timing.period_s, full_px)
        timing.end(work_s, self._quality.scale, self._quality.share)
        if self.looked_at is not None:
            drawn = gaussians if isinstance(gaussians, Gaussians) else gaussians.read()
            self.looked_at(EyesSeen(pictures, eyes, placement, seen, drawn, self.panel_place, turn))
        return TurnResult(wishes, talking)

    def _box_of(self, scene: Scene, gaussians: Gaussians | CardHead) -> NDArray[np.float64]:
        """[2, 3] around the avatar, avatar space. What a card keeps is read back once only, and may
        move as far as heads do."""
        if isinstance(gaussians, Gaussians):
            return bounds_of(gaussians)
        if self._boxed is None or self._boxed[0] is not scene.deformer:
            box = bounds_of(gaussians.read()) + np.array([[-HEAD_MOVES_M], [HEAD_MOVES_M]])
            self._boxed = scene.deformer, box
        return self._boxed[1]

    def _handle(self, headset: "Headset", hands: tuple[Hand, Hand], head: Pose, turn: Turn) -> bool:
        """Let the hands act; whether push-to-talk is held."""
        assert self.placement is not None
        seconds = 0.0 if self._last_s is None else min(turn.display_s - self._last_s, 0.1)
        handled = self._handling.update(
            self.placement, hands, head, self.panel_place, turn.display_s, seconds
        )
        self.placement = handled.placement
        for side in handled.ticks:
            headset.tick(side)
        if handled.toggle_panel:
            self.panel_place = PanelPlace.beside(head) if self.panel_place is None else None
            self._pointer = Pointer()
        if handled.changed:
            self._relation = Relation.of(handled.placement, head)
            self._relation_is_new = True
        return handled.talking

    def _draw_panel(
        self, headset: "Headset", hands: tuple[Hand, Hand], view: PanelView, turn: Turn
    ) -> Wishes:
        """The panel in the room, where it is shown: pointed at by whichever hand points there."""
        place, last_s, panel = self.panel_place, self._last_s, self._room_panel
        self._last_s = turn.display_s
        if place is None or panel is None:
            return Wishes()
        pointed = self._pointer.update(place, hands)
        if pointed.began:
            headset.tick(pointed.side, 0.6)
        seconds = 0.0 if last_s is None else turn.display_s - last_s
        with panel.surface.frame(seconds, pointed.place, pointed.is_pressed, pointed.scroll):
            wishes = panel.panel.draw(view)
        with headset.panel_picture() as target:
            panel.surface.copy_into(target)
        self.timing.lap("panel")
        return wishes

    def _draw(self, scene: Scene, gaussians: Gaussians | CardHead, parts: list[View]) -> None:
        """The avatar's pictures for both eyes, by whichever renderer there is: the one place where
        a renderer meets the headset."""
        if isinstance(scene.renderer, TextureRenderer):
            self._pictures.take(scene.renderer.render_textures(gaussians, parts))
            return
        width, height = parts[0].width, parts[0].height
        if self._buffer.shape != (2, height, width, 4):
            self._buffer = np.zeros((2, height, width, 4), np.uint8)
        scene.renderer.render_with_alpha(gaussians, parts, out=self._buffer)
        self._pictures.upload(self._buffer)

    def _paint(
        self,
        target: moderngl.Framebuffer,
        size: tuple[int, int],
        side: int | None,
        eye: Eye,
        part: View,
        marks: Float,
        boards: tuple[Board, ...],
    ) -> None:
        assert self._painter is not None
        assert self.placement is not None
        self._painter.paint(
            target,
            size,
            side,
            eye,
            self._pictures.shown[side or 0],
            part,
            body_of(self.placement),
            marks=marks,
            boards=boards,
        )

    def _mirror_eye(
        self,
        size: tuple[int, int],
        eye: Eye,
        part: View,
        hands: tuple[Hand, Hand],
        board: Board | None,
    ) -> None:
        """What the eye has before it, in the shape of the window: without the edges of its lens,
        and with the panel, which is a layer of its own in the headset."""
        if self._mirror is None or self._mirror.size != size:
            self._release_mirror()
            texture = self._context.texture(size, 4)
            texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
            depth = self._context.depth_renderbuffer(size)
            self._mirror = self._context.framebuffer([texture], depth)
        up = MIRROR_RAD / 2
        across = math.atan(math.tan(up) * size[0] / size[1])
        framed = Eye(eye.pose, (-across, across, -up, up))
        boards = () if board is None else (board,)
        self._paint(self._mirror, size, None, framed, part, self._marks(hands, eye), boards)

    def _release_mirror(self) -> None:
        if self._mirror is None:
            return
        texture, depth = self.mirror, self._mirror.depth_attachment
        self._mirror.release()
        for each in (texture, depth):
            if each is not None:
                each.release()
        self._mirror = None

    def _board(self) -> Board | None:
        place, panel = self.panel_place, self._room_panel
        if place is None or panel is None:
            return None
        return Board(panel.surface.texture, place.pose, place.size)

    def _marks(self, hands: tuple[Hand, Hand], eye: Eye) -> Float:
        """A ray from each hand, to the panel where it points there."""
        rays = []
        for hand, holds in zip(hands, self._handling.holding, strict=True):
            if not hand.is_tracked:
                continue
            start, along = np.array(hand.aim.position), hand.aim.forward
            end = start + RAY_M * along
            place = self.panel_place
            point = None if place is None else place.pointed_at(hand.aim)
            if place is not None and point is not None:
                end = place.point(point)
            rays.append(pointer_ray(start, end, eye, HOLD_TINT if holds else RAY_TINT))
        return np.concatenate(rays) if rays else NO_MARKS

    def _end_in_order(self, headset: "Headset") -> None:
        headset.request_exit()
        end_s = time.perf_counter() + LEAVE_S
        while time.perf_counter() < end_s:
            if headset.take_events().ended:
                return
            if headset.is_running:
                headset.end_turn(headset.begin_turn())
            else:
                time.sleep(0.005)

    def _leave(self, why: str, *, may_return: bool = True, is_lost: bool = False) -> None:
        """Back to the window."""
        if why:
            log.warning("%s", why)
        self.lost = why
        headset, self.headset = self.headset, None
        if headset is not None:
            headset.release(is_lost=is_lost)
        if self._relation_is_new:
            write_relation(self._placement_file, self._relation)
            self._relation_is_new = False
        if self._painter is not None:
            self._painter.release()
            self._painter = None
        if self._runtime is not None:
            self._runtime.close()
            self._runtime = None
        if may_return:
            self._watch.look_again()
        self.timing.paused()


def body_of(placement: Placement) -> Body:
    """Where the avatar's head is, for its depth and the light on the floor."""
    room_from_ball = placement.room_from_avatar() @ _BALL
    x, _, z = placement.position
    return Body(np.asarray(np.linalg.inv(room_from_ball), np.float64), (x, 0.0, z))


def _read(target: moderngl.Framebuffer, size: tuple[int, int]) -> NDArray[np.uint8]:
    """[H, W, 3] with row 0 on top."""
    data = target.read((0, 0, *size), components=3, alignment=1)
    return np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3)[::-1].copy()


def _ball() -> NDArray[np.float64]:
    matrix = np.diag([*BALL_M, 1.0])
    matrix[:3, 3] = BALL_MIDDLE
    return matrix


_BALL = _ball()
