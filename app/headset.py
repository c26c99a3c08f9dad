"""The headset's side of the live loop: at each of its turns, the face as both eyes see it.

It comes and goes while the program runs. Whatever the runtime reports ends the session, never the
program: the window goes on, and the watch looks for the headset again.
"""

import importlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from app.attention import Attention
from app.detail import HEAD_M, DetailedPosing
from app.eye_quality import Quality, Thinning, bounds_of, eye_parts, height_px
from app.face_sampler import FaceSampler
from app.foveation import share_of_pixels
from app.frame_loop import Scene, TurnResult
from app.headset_face import driven_by
from app.headset_mirror import Mirror, Staged
from app.headset_switches import HeadsetSwitches
from app.headset_watch import HeadsetWatch
from app.mutual_gaze import MutualGaze
from app.panel import Panel, PanelView, Wishes
from app.placement import Handling, Placement, Relation
from app.placement_file import read_remembered, write_remembered
from app.posing import Deforms
from app.room_panel import SIZE_M, PanelHold, PanelPlace, PanelRelation, Pointer, shown_again
from app.timing import HeadsetTiming
from avatar.errors import HeadsetError, VisavisError
from avatar.types import Float, Gaussians, MotionFrame
from render.camera import View, viewer
from render.eye_painter import Board, Body, EyePainter, EyePictures, pointer_ray
from render.headset import NO_HAND, Extras, Eye, Hand, Turn
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
        self.remembered = read_remembered(placement_file)
        """Where the wearer likes avatar and panel to be."""
        self._is_new = False  # what is remembered: written when the headset is left
        self.placement: Placement | None = None
        """Of the avatar, once it stands in a room."""
        self.switches = HeadsetSwitches()
        """What a person chose of it."""
        self._handling, self._attention = Handling(), Attention()
        self._mutual_gaze = MutualGaze()
        self._adapts, self._quality = adapts, Quality(adapts=adapts)
        self._warm_s = 0.0  # of a frame in full, before the first turn
        self._full_px = 1  # of the avatar's height, in the eyes' own pixels
        self._thinning: Thinning | None = None
        self._boxed: tuple[Deforms, NDArray[np.float64]] | None = None
        self._painter: EyePainter | None = None
        self._pictures = EyePictures(context)
        self._room_panel: RoomPanel | None = None
        self.panel_place: PanelPlace | None = None
        """Where the panel hangs in the room; None: it is hidden."""
        self.panel_was: PanelPlace | None = None
        """Where it hung before it was hidden."""
        self._pointer, self._panel_hold = Pointer(), PanelHold()
        self.hands: tuple[Hand, Hand] = NO_HAND, NO_HAND
        """Of the last turn."""
        self._mirror = Mirror(context)
        self._buffers: dict[int, NDArray[np.uint8]] = {}  # of so many pictures at once
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
    def extras(self) -> Extras:
        """What the headset in use has, of what only some have."""
        return Extras() if self.headset is None else self.headset.extras

    @property
    def mirror(self) -> moderngl.Texture | None:
        """What the window is to show of it, as OpenGL drew it last."""
        return self._mirror.texture

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
        self._mirror.release()

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
        self.panel_place = self.panel_was = None
        if headset.shows_own_room:  # glasses that have no other way
            self.switches = replace(self.switches, passthrough=True)
        elif self.switches.passthrough and not headset.extras.passthrough:
            log.warning("no passthrough: %s does not offer it", headset.description)
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
            self._draw(scene, gaussians, parts, self._pictures)
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
            self.placement = self.remembered.avatar.placed(head)
            if self.panel_place is not None:
                self.panel_place = shown_again(None, self.remembered.panel, head)
        headset.show_own_room(self.switches.passthrough)
        self.hands = headset.hands(turn, eyes)
        look = headset.gaze(turn)
        talking = self._handle(headset, head, turn)
        timing.lap("hands")
        wishes = self._draw_panel(headset, view, turn)
        seen, gaussians = self._posed(headset, turn, scene, motion, eyes, look)
        timing.lap("pose")
        # Again, now that most of the work is done: the nearer the moment, the truer the pose.
        eyes = headset.locate_eyes(turn) or eyes
        staged, is_full = self._drawn(headset, scene, gaussians, eyes, look)
        timing.lap("draw")
        pictures = self._paint_eyes(headset, staged)
        timing.lap("paint")
        board = staged.board if self._is_layer(headset) else None
        headset.end_turn(turn, eyes, None if board is None else (board.pose, board.size))
        timing.lap("submit")
        work_s = time.perf_counter() - began_s
        if mirrors is not None:
            assert self._painter is not None
            self._mirror.draw(self.switches.mirror, mirrors, self._painter, staged)
            timing.lap("mirror")
        if is_full:  # else it tells nothing of the machine
            self._quality.observe(work_s, timing.period_s, self._full_px)
        timing.end(work_s, self._quality.scale, self._quality.share)
        if self.looked_at is not None:
            drawn = gaussians if isinstance(gaussians, Gaussians) else gaussians.read()
            place = staged.placement
            self.looked_at(EyesSeen(pictures, eyes, place, seen, drawn, self.panel_place, turn))
        return TurnResult(wishes, talking)

    def _posed(
        self,
        headset: "Headset",
        turn: Turn,
        scene: Scene,
        motion: MotionFrame,
        eyes: tuple[Eye, Eye],
        look: Pose | None,
    ) -> tuple[MotionFrame, Gaussians | CardHead]:
        """What the face does at this moment, and the avatar's Gaussians in that pose."""
        placement = self.placement
        assert placement is not None
        face = headset.face(turn) if self.switches.own_face else None
        if face is not None:
            motion = driven_by(motion, face)
        stands = placement.in_avatar(np.array(middle(eyes[0].pose, eyes[1].pose).position))
        is_met = self._mutual_gaze.update(look, np.array(placement.position), turn.display_s)
        seen = self._attention.followed(motion, stands, turn.display_s, is_met=is_met)
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
        return seen, gaussians

    def _drawn(
        self,
        headset: "Headset",
        scene: Scene,
        gaussians: Gaussians | CardHead,
        eyes: tuple[Eye, Eye],
        look: Pose | None,
    ) -> tuple[Staged, bool]:
        """The avatar's pictures for both eyes, with all that is in the room; whether they are as
        fine as the machine allows, for an avatar that may be looked at."""
        placement = self.placement
        assert placement is not None
        head = middle(eyes[0].pose, eyes[1].pose)
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
        self._full_px = height_px(views, box)
        if self._warm_s:
            self._quality.expect(self._warm_s, self.timing.period_s, self._full_px)
            self._warm_s = 0.0
        pixel_rad = 1.0 / float(views[0].intrinsics[1, 1])
        face = np.array(placement.position)
        needed = share_of_pixels(head, look, face, placement.scale, pixel_rad)
        scale = self._quality.scale * needed
        parts = eye_parts(views, box, scale)
        self._draw(scene, gaussians, parts, self._pictures)
        staged = Staged(
            head=head,
            hands=self.hands,
            placement=placement,
            body=body_of(placement),
            eyes=eyes,
            parts=parts,
            pictures=list(self._pictures.shown),
            board=self._board(),
            rays=self._rays,
            part_of=lambda view: eye_parts([view], box, self._quality.scale)[0],
            draw=lambda part, into: self._draw(scene, gaussians, [part], into),
        )
        return staged, needed == 1.0

    def _paint_eyes(self, headset: "Headset", staged: Staged) -> list[NDArray[np.uint8]]:
        """Fill both eyes; what they are filled with, where somebody looks at it."""
        assert self._painter is not None
        board = None if self._is_layer(headset) else staged.board
        pictures = []
        for side, eye in enumerate(staged.eyes):
            size = headset.eye_sizes[side]
            with headset.eye_picture(side) as target:
                self._painter.paint(
                    *(target, size, side, eye, staged.pictures[side], staged.parts[side]),
                    staged.body,
                    marks=staged.rays(eye),
                    boards=() if board is None else (board,),
                    room=0.0 if headset.shows_own_room else 1.0,
                )
                if self.looked_at is not None:
                    pictures.append(_read(target, size))
        return pictures

    def _is_layer(self, headset: "Headset") -> bool:
        """Whether the panel is a layer of its own, sharper than in the eyes' pictures."""
        return headset.has_panel_layer and not self.panel_in_eyes

    def _box_of(self, scene: Scene, gaussians: Gaussians | CardHead) -> NDArray[np.float64]:
        """[2, 3] around the avatar, avatar space. What a card keeps is read back once only, and may
        move as far as heads do."""
        if isinstance(gaussians, Gaussians):
            return bounds_of(gaussians)
        if self._boxed is None or self._boxed[0] is not scene.deformer:
            box = bounds_of(gaussians.read()) + np.array([[-HEAD_MOVES_M], [HEAD_MOVES_M]])
            self._boxed = scene.deformer, box
        return self._boxed[1]

    def _handle(self, headset: "Headset", head: Pose, turn: Turn) -> bool:
        """Let the hands act; whether push-to-talk is held."""
        assert self.placement is not None
        hands, panel = self.hands, self.panel_place
        seconds = 0.0 if self._last_s is None else min(turn.display_s - self._last_s, 0.1)
        if panel is not None:
            panel, took = self._panel_hold.update(panel, hands, head, self._handling.holding)
            self.panel_place = panel
            for side in took:
                headset.tick(side)
            if self._panel_hold.dropped:
                kept = PanelRelation.of(panel, head)
                self.remembered, self._is_new = replace(self.remembered, panel=kept), True
        handled = self._handling.update(
            *(self.placement, hands, head, panel, turn.display_s, seconds),
            self._panel_hold.holding,
        )
        self.placement = handled.placement
        for side in handled.ticks:
            headset.tick(side)
        if handled.toggle_panel:
            self._toggle_panel(head)
        if handled.changed:
            kept = Relation.of(handled.placement, head)
            self.remembered, self._is_new = replace(self.remembered, avatar=kept), True
        return handled.talking

    def _toggle_panel(self, head: Pose) -> None:
        if self.panel_place is None:
            self.panel_place = shown_again(self.panel_was, self.remembered.panel, head)
        else:
            self.panel_was, self.panel_place = self.panel_place, None
        self._pointer, self._panel_hold = Pointer(), PanelHold()

    def _draw_panel(self, headset: "Headset", view: PanelView, turn: Turn) -> Wishes:
        """The panel in the room, where it is shown: pointed at by whichever hand points there."""
        place, last_s, panel = self.panel_place, self._last_s, self._room_panel
        self._last_s = turn.display_s
        if place is None or panel is None:
            return Wishes()
        pointed = self._pointer.update(place, self.hands)
        if pointed.began:
            headset.tick(pointed.side, 0.6)
        seconds = 0.0 if last_s is None else turn.display_s - last_s
        with panel.surface.frame(seconds, pointed.place, pointed.is_pressed, pointed.scroll):
            wishes = panel.panel.draw(view)
        with headset.panel_picture() as target:
            panel.surface.copy_into(target)
        self.timing.lap("panel")
        return wishes

    def _draw(
        self,
        scene: Scene,
        gaussians: Gaussians | CardHead,
        parts: list[View],
        into: EyePictures,
    ) -> None:
        """The avatar's pictures of these views, by whichever renderer there is: the one place where
        a renderer meets the headset."""
        if isinstance(scene.renderer, TextureRenderer):
            into.take(scene.renderer.render_textures(gaussians, parts))
            return
        shape = len(parts), parts[0].height, parts[0].width, 4
        buffer = self._buffers.get(len(parts))
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[len(parts)] = np.zeros(shape, np.uint8)
        scene.renderer.render_with_alpha(gaussians, parts, out=buffer)
        into.upload(buffer)

    def _board(self) -> Board | None:
        place, panel = self.panel_place, self._room_panel
        if place is None or panel is None:
            return None
        return Board(panel.surface.texture, place.pose, place.size)

    def _rays(self, eye: Eye) -> Float:
        """A ray from each hand, to the panel where it points there."""
        rays = []
        holding = np.logical_or(self._handling.holding, self._panel_hold.holding)
        for hand, holds in zip(self.hands, holding, strict=True):
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
        if self._is_new:
            write_remembered(self._placement_file, self.remembered)
            self._is_new = False
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
