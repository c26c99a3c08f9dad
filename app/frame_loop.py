"""The live loop: at each turn of the display, the face of that moment.

Runs on the main thread of the main process and waits for nothing but the display. It reads what is
new from the speech process, samples the face for the moment at which the picture will be seen,
draws it, and measures. Avatars and the renderer are loaded by one thread beside it.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import moderngl
import numpy as np
from numpy.typing import NDArray

from app.control_link import Request
from app.desk import Desk
from app.detail import DetailedPosing, head_height_px
from app.face_sampler import FaceSampler, Sampled
from app.frame_sink import Shown
from app.handoff import Latest
from app.headset_switches import HeadsetSwitches
from app.outputs import Outputs
from app.panel import Orbit, Panel, PanelView, Wishes
from app.posing import CardPosing, Deforms, posed_where_drawn, who_poses
from app.renderers import Opened, Renderers
from app.speech_process import SourceState, SpeechProcess, SpeechReport
from app.steering import Steering
from app.streams.sender import Streams
from app.timing import HeadsetTiming, Timing
from avatar.errors import OutputError, VisavisError
from avatar.motion.direction import Direction
from avatar.types import MotionFrame
from render.camera import orbit_view, viewer
from render.headset import Extras, Turn
from render.renderer import CardPicture, Renderer, TextureRenderer

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
BUDGET_S = 1.0 / 24.0
"""A frame that takes longer than this makes the picture smaller, where that helps."""
TALK_BUDGET_S = 1.0 / 38.0
TALK_DELAY_MS = 150.0
"""With a microphone that is seen later than this the budget is the lower one, for good: the time
that a frame takes is part of the delay. 150 ms is where people begin to notice (ITU-T G.114 has
talk untouched up to there)."""
UNSEEN_TURN_S = 1.0 / 60.0
TALK_TURN_S = 1.0 / 50.0 + 0.0005
"""Where nothing else sets the pace and a person talks, a little more than a frame of motion takes:
each second turn then waits for the motion that comes 25 times a second, and begins with it."""
LOOK_S = 0.001
"""How often a loop that pauses looks whether there is new motion."""
LOADING_TURN_S = 1.0 / 5.0
"""While the avatar loads, drawing an empty window must not take the processor from it."""
AFTER_THE_FILE_S = 1.0
"""A run without a window ends this long after its sound file."""


class Display(Protocol):
    """Where pictures go: a window, or memory."""

    panel: Panel | None
    refresh_s: float
    takes_textures: bool
    """Whether it shows pictures where the card has them."""
    across: int
    """How many pictures as wide as the avatar's it shows side by side."""
    view: tuple[float, float, float]
    """From where the avatar is seen, as the frame loop says: yaw, pitch (rad) and distance (m)."""

    def begin_frame(self) -> bool:
        """Take events; False when the display was closed."""
        ...

    def room(self) -> tuple[int, int]:
        """Width and height that a picture can fill, pixels."""
        ...

    def show(self, picture: Picture | CardPicture | None) -> None:
        """Show [H, W, 4]; None: the last one again."""
        ...

    def whole(self, picture: Picture) -> Picture:
        """[H, `across` W, 4] the picture that was shown last, with what it shows beside it."""
        ...

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        """Show what is in a texture, as OpenGL drew it. It does not wait for the monitor: what it
        shows beside has a pace of its own."""
        ...


class MemoryDisplay:
    """Pictures of a fixed size that nobody sees: for measuring, and machines without a display."""

    panel: Panel | None = None
    takes_textures = False
    across = 1
    view = (0.0, 0.0, 1.0)

    def __init__(self, width: int, height: int, refresh_s: float = UNSEEN_TURN_S) -> None:
        self._size = (width, height)
        self.refresh_s = refresh_s
        self.last: Picture | None = None

    def begin_frame(self) -> bool:
        return True

    def room(self) -> tuple[int, int]:
        return self._size

    def show(self, picture: Picture | CardPicture | None) -> None:
        assert not isinstance(picture, CardPicture)
        if picture is not None:
            self.last = picture

    def whole(self, picture: Picture) -> Picture:
        return picture

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        """Nobody sees it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that drawing needs; made whole by the loader."""

    avatar: str
    deformer: Deforms
    renderer: Renderer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the loader is asked for."""

    avatar: str
    opened: Opened | None = None
    """A renderer to draw with from then on; None: the one that draws now."""


@dataclass(frozen=True, slots=True)
class TurnResult:
    """What came of one of a headset's turns."""

    wishes: Wishes
    """Of the panel in its room."""
    talking: bool
    """Whether push-to-talk is held."""


class HeadsetTurns(Protocol):
    """A headset that comes and goes (`app.headset.HeadsetSide`)."""

    timing: HeadsetTiming
    switches: HeadsetSwitches

    @property
    def extras(self) -> Extras:
        """What the headset in use has, of what only some have."""
        ...

    @property
    def problem(self) -> str:
        """Why there is none, one line; empty while there is one."""
        ...

    @property
    def lost(self) -> str:
        """Why the last session ended, one line; empty in one, and before the first."""
        ...

    @property
    def description(self) -> str:
        """The headset in use; empty without one."""
        ...

    @property
    def mirror(self) -> moderngl.Texture | None:
        """What the window is to show of it, row 0 at the bottom."""
        ...

    def begin(self, scene: "Scene | None") -> Turn | None:
        """Wait for its next turn; None, at once, where none is worn."""
        ...

    def skip(self, turn: Turn) -> None:
        """End a turn in which nothing is to be seen."""
        ...

    def show(
        self,
        turn: Turn,
        scene: "Scene",
        motion: MotionFrame,
        view: PanelView,
        *,
        mirrors: tuple[int, int] | None,
    ) -> TurnResult:
        """Draw for both eyes, hand over, end the turn. `mirrors`: the size of `mirror`, where it is
        wanted."""
        ...

    def return_now(self) -> None:
        """Look for it again, whatever ended the last session."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the loader made of the last request."""

    scene: Scene | None
    problem: str = ""
    opened: Opened | None = None
    """As it was in the request."""


class Loader:
    """Makes scenes in a thread of its own: reading files and compiling take seconds."""

    def __init__(
        self,
        load: Callable[[str, Renderer | None], Scene],
        renderer: Renderer | None = None,
        refine: Callable[[Scene], Scene] | None = None,
    ) -> None:
        """`load(avatar name, renderer already open)` runs in the thread. `renderer`: one that is
        open already; without one the first scene brings it. `refine` makes a better scene of one
        that is shown meanwhile."""
        self._load, self._refine = load, refine
        self._renderer = renderer
        self._wanted: Latest[Wanted] = Latest()
        self._wake = threading.Event()
        self._stop = False
        self.result: Latest[Loaded] = Latest()
        # A daemon: a person who leaves does not wait for a compiler.
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def request(self, avatar: str, opened: Opened | None = None) -> None:
        """Load this avatar, for another renderer where one is given; a request that has not begun
        is replaced."""
        self._wanted.publish(Wanted(avatar, opened), time.perf_counter())
        self._wake.set()

    def close(self) -> None:
        """End after what is being loaded."""
        self._stop = True
        self._wake.set()

    def _work(self) -> None:
        done = 0
        while not self._stop:
            self._wake.wait()
            self._wake.clear()
            wanted = self._wanted.read()
            if wanted is None or wanted.sequence == done or self._stop:
                continue
            done = wanted.sequence
            avatar, opened = wanted.value.avatar, wanted.value.opened
            renderer = self._renderer if opened is None else opened.renderer
            try:
                if opened is not None and not opened.is_warm:
                    opened.renderer.warm_up()
                scene = self._load(avatar, renderer)
                self._renderer = scene.renderer
                loaded = Loaded(scene, opened=opened)
                if self._refine is not None:
                    self.result.publish(loaded, time.perf_counter())
                    loaded = Loaded(self._refine(scene), opened=opened)
            except VisavisError as error:
                loaded = Loaded(None, str(error), opened)
            except Exception as error:  # a worker's outermost loop: tell, and wait for the next
                log.error("%s", traceback.format_exc())
                loaded = Loaded(None, f"{avatar}: {type(error).__name__}: {error}", opened)
            self.result.publish(loaded, time.perf_counter())


class PictureSize:
    """The size to draw at: as large as the time for a frame allows."""

    SMALLEST_PX = 288
    STEP, LARGEST_STEP = 0.86, 0.6
    SETTLE_FRAMES = 8
    ROOM_TO_GROW = 0.62
    """Grown by one step a frame costs about 1 / STEP² more: 0.62 / 0.74 = 0.84 of the budget, so
    it does not shrink again at once."""
    GROW_FRAMES = 45
    WORTH = 0.35
    """A step smaller must bring this part of the saving that its pixels promise. Where it does not,
    the time goes elsewhere, or the machine is busy, and the step is taken back."""
    PATIENCE_FRAMES = 120
    """After a step that was not worth it."""

    def __init__(self, largest_px: int, *, adapts: bool) -> None:
        self._largest_px = largest_px
        self._adapts = adapts
        self._budget_s = BUDGET_S
        self._scale = self._least = 1.0
        self._recent = np.zeros((self.SETTLE_FRAMES, 2))
        self._filled = 0
        self._quick_frames = 0
        self._patience = 0
        self._promise_s: float | None = None  # of drawing, at most, if the last step was worth it
        self._last_step = 1.0

    def fit(self, room: tuple[int, int]) -> tuple[int, int]:
        """Width and height in the shape of `room`, no larger than it."""
        longest = max(room)
        largest = min(longest, self._largest_px)
        self._least = min(1.0, self.SMALLEST_PX / largest)
        scale = largest * max(self._scale, self._least) / longest
        return max(2, round(room[0] * scale)), max(2, round(room[1] * scale))

    def largest(self, room: tuple[int, int]) -> tuple[int, int]:
        """Width and height in the shape of `room` where time is no matter."""
        scale = min(1.0, self._largest_px / max(room))
        return max(2, round(room[0] * scale)), max(2, round(room[1] * scale))

    def hurry(self) -> None:
        """A person waits for each picture: the time of a frame is part of their delay."""
        self._budget_s = TALK_BUDGET_S

    def observe(self, frame_s: float, drawing_s: float) -> None:
        """A frame took so long, of it drawing so long."""
        if not self._adapts:
            return
        self._patience = max(0, self._patience - 1)
        self._recent[self._filled % self.SETTLE_FRAMES] = frame_s, drawing_s
        self._filled += 1
        if self._filled < self.SETTLE_FRAMES:
            return
        frame, drawing = np.median(self._recent, axis=0)
        # Most of them, not half: a step is judged by how long drawing took before it.
        slow = np.percentile(self._recent[:, 0], 25) > self._budget_s
        promise_s, self._promise_s = self._promise_s, None
        self._quick_frames = (
            self._quick_frames + 1 if frame < self.ROOM_TO_GROW * self._budget_s else 0
        )
        if promise_s is not None and frame > self._budget_s and drawing > promise_s:
            self._change(1.0 / self._last_step)
            self._patience = self.PATIENCE_FRAMES
        elif slow and self._scale > self._least and not self._patience:
            # Time goes with the pixels, so a slow frame needs one large step and not five small.
            step = min(max((self._budget_s / frame) ** 0.5, self.LARGEST_STEP), self.STEP)
            self._last_step = step
            self._promise_s = float(drawing) * (1 - self.WORTH * (1 - step**2))
            self._change(step)
        elif self._quick_frames >= self.GROW_FRAMES and self._scale < 1.0:
            self._change(1.0 / self.STEP)

    def _change(self, factor: float) -> None:
        self._scale = min(1.0, self._scale * factor)
        self._filled = self._quick_frames = 0


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """What the loop is to show and when it ends."""

    avatar: str
    avatars: tuple[str, ...]
    sound_file: Path | None = None
    microphone: str = "default"
    gain: float = 1.0
    renderer: str = "auto"
    """As it was asked for."""
    direction: Direction = field(default_factory=Direction)
    """What is asked of the face at first."""
    seconds: float | None = None
    """Ends after so many seconds of showing; None: when the display closes."""
    picture_px: int = 512
    """The longest side of a picture."""
    adapts: bool = True
    """Whether the picture becomes smaller on a slow machine."""
    record: Path | None = None
    """Recorded from the first face on."""


class FrameLoop:
    """One live run."""

    def __init__(
        self,
        display: Display,
        speech: SpeechProcess,
        loader: Loader,
        options: LiveOptions,
        renderers: Renderers | None = None,
        headset: HeadsetTurns | None = None,
        *,
        outputs: Outputs,
        steering: Steering | None = None,
        streams: Streams | None = None,
        desk: Desk | None = None,
    ) -> None:
        """`renderers`: where a person may choose; without, the loader brings the only one.
        `headset`: one that may be there; None: nobody looks for one. `steering`: other programs
        that ask, too. `streams`: what sends the motion elsewhere, whose problems are shown. `desk`:
        the application around a window.

        Raises:
            VisavisError: the first renderer does not run here.
        """
        self._display, self._speech, self._loader = display, speech, loader
        self._headset = headset
        self._outputs, self._steering, self._desk = outputs, steering, desk
        self._streams = streams
        self._orbit = display.panel.orbit if display.panel is not None else Orbit()
        self._output_problem = ""
        self._renderers = renderers
        self._wanted_renderer = options.renderer
        self._opened = None if renderers is None else renderers.open(options.renderer)
        self._renderer_problem = ""
        self._options = options
        self._size = PictureSize(options.picture_px, adapts=options.adapts)
        self._sampler = FaceSampler()
        self._scene: Scene | None = None
        self._loaded_sequence = 0
        self._wanted_avatar = options.avatar
        self._avatar_problem = ""
        self._microphone, self._gain = options.microphone, options.gain
        self._push_to_talk, self._is_heard = False, True
        speech.set_gain(options.gain)
        self._direction = options.direction
        speech.direct(options.direction)
        self._motions_read = 0
        self._buffer: Picture = np.zeros((1, 1, 1, 4), np.uint8)
        self._picture_size = (1, 1)
        self._work_s = 1.0 / 30.0  # of a frame, lately: how far ahead its picture will be seen
        self._ended_s: float | None = None
        self._stopping = False
        self.most_detail = 1.0
        """0..1 of an avatar's Gaussians that a frame may draw, where it has levels of detail: for a
        display that cannot hold its rate to lower."""
        self.timing = Timing()
        self.report: SpeechReport = speech.report()

    @property
    def backend(self) -> str:
        """The renderer's name, or "none" before there is one."""
        return self._scene.renderer.name if self._scene is not None else "none"

    @property
    def backend_reason(self) -> str:
        """Why it was chosen, for a person to read; empty before there is one."""
        return self._scene.renderer.reason if self._scene is not None else ""

    @property
    def posed_by(self) -> str:
        """Who poses and sorts, "card" or "processor"; empty before there is a renderer."""
        scene = self._scene
        if scene is None:
            return ""
        return who_poses(scene.renderer)

    def headset_statistics(self) -> dict[str, Any]:
        """What the headset's turns took, for `--stats`."""
        timing = HeadsetTiming() if self._headset is None else self._headset.timing
        return timing.statistics()

    def stop(self) -> None:
        """End before the next frame. Safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Until the display is closed, the time is over or `stop`.

        Raises:
            VisavisError: the first avatar cannot be loaded.
        """
        self._loader.request(self._options.avatar, self._opened)
        next_turn_s = time.perf_counter()
        while not self._stopping and self._display.begin_frame():
            # A headset's display sets the pace while it is worn: this waits for it.
            turn = None if self._headset is None else self._headset.begin(self._scene)
            began_s = time.perf_counter()
            self._take_news(began_s)
            wishes = self._of_the_desk(self._draw_panel(), began_s)
            self._output_problem = self._fulfil(wishes) or self._output_problem
            self._heed_other_programs(began_s)
            if wishes.quit or self._over(began_s):
                break
            if self._show_in_headset(turn, began_s, wishes.talk):
                continue
            self._talk(wishes.talk)
            self._show_frame(began_s)
            turn_s = self._display.refresh_s if self._scene is not None else LOADING_TURN_S
            # Where the driver waits for the monitor this is already past; else it sets the pace.
            next_turn_s = self._pause_until(max(next_turn_s + turn_s, time.perf_counter()))

    def _pause_until(self, turn_s: float) -> float:
        """Wait for the moment of the next turn, or for new motion: what is drawn as soon as it is
        there is seen soonest. When the turn began."""
        while (left_s := turn_s - time.perf_counter()) > 0.0005:
            if self._speech.motions != self._motions_read and self._scene is not None:
                return time.perf_counter()
            time.sleep(min(left_s, LOOK_S))
        return turn_s

    def _take_news(self, now_s: float) -> None:
        """What the speech process and the loader have made since the last frame."""
        if not self._stopping:  # the signal that ends this loop may have ended the process too
            self._speech.watch(now_s)
        self.report = self._speech.report()
        loaded = self._loader.result.read()
        if loaded is None or loaded.sequence == self._loaded_sequence:
            return
        self._loaded_sequence = loaded.sequence
        scene, problem = loaded.value.scene, loaded.value.problem
        if scene is not None:
            if self._drawing is not None and scene.renderer is not self._drawing.renderer:
                return  # for one that is not wanted any more
            first = self._scene is None
            self._take_scene(scene)
            if first:
                log.info("ready after %.1f s, drawn by %s", self.timing.seconds, self.backend)
                self.timing.restart()
                if self._speech.process_id is None:  # it waited for the avatar to be seen
                    self._speech.start()
                self._speech.begin()
                if self._options.record is not None:
                    self._outputs.start_recording(self._film_size(), self._options.record)
        elif self._scene is None:
            raise VisavisError(problem)
        else:
            self._wanted_avatar, self._avatar_problem = self._scene.avatar, problem
            if self._opened is not None and loaded.value.opened is self._opened:
                self._forget_opened()
                self._wanted_renderer = self.backend

    def _take_motion(self) -> None:
        """What the face is to do. As late as can be, right before it is posed."""
        self._motions_read = self._speech.motions  # first: what comes meanwhile is new
        spoken = self._speech.read_motion()
        self._sampler.add(spoken if self._desk is None else self._desk.records(spoken))

    @property
    def _drawing(self) -> Opened | None:
        """The renderer that draws, or that will when its scene is there."""
        if self._opened is None and self._scene is not None:
            return Opened(self._scene.renderer, is_warm=True)
        return self._opened

    def _take_scene(self, scene: Scene) -> None:
        """Draw this one from now on, and give back what only the last one needed."""
        before = self._scene
        posing, renderer = scene.deformer, scene.renderer
        if isinstance(posing, DetailedPosing):
            posing = posing.posed_by(renderer)
        else:
            posing = posed_where_drawn(posing, renderer)
        self._scene = replace(scene, deformer=posing)
        self._wanted_avatar, self._avatar_problem = scene.avatar, ""
        if self._desk is not None:
            self._desk.chosen(avatar=scene.avatar)
        self._opened = None
        if before is None:
            return
        if isinstance(before.deformer, CardPosing | DetailedPosing):
            before.deformer.release()
        if self._renderers is not None and before.renderer is not scene.renderer:
            self._renderers.give_back(before.renderer)

    def _choose_renderer(self, name: str) -> None:
        """Draw with this one as soon as the loader has made it ready."""
        assert self._renderers is not None
        try:
            opened = self._renderers.open(name)
        except VisavisError as error:
            self._renderer_problem = str(error)
            return
        self._forget_opened()  # another one that was on its way
        self._renderer_problem, self._wanted_renderer, self._opened = "", name, opened
        self._loader.request(self._wanted_avatar, opened)

    def _forget_opened(self) -> None:
        """Stay with the renderer that draws."""
        if self._opened is not None and self._renderers is not None:
            self._renderers.give_back(self._opened.renderer)
        self._opened = None

    def _over(self, now_s: float) -> bool:
        if self._scene is None:
            return False
        seconds = self._options.seconds
        if seconds is not None:
            return self.timing.seconds >= seconds
        if self._display.panel is not None or self._options.sound_file is None:
            return False
        if self.report.state is not SourceState.FILE_ENDED:
            self._ended_s = None
        elif self._ended_s is None:
            self._ended_s = now_s
        return self._ended_s is not None and now_s - self._ended_s > AFTER_THE_FILE_S

    def _show_frame(self, began_s: float) -> None:
        """Sample, pose, draw, show, measure."""
        scene = self._scene
        if scene is None:
            self._display.show(None)
            return
        speaker_delay_s = self.report.speaker_delay_s or None
        self._take_motion()
        at_s = began_s + self._work_s
        sampled = self._sampler.sample(at_s, speaker_delay_s)
        width, height = self._size.fit(self._display.room())
        self._picture_size = width, height
        yaw, pitch, distance = self._orbit.place
        yaw += self._outputs.turned_rad(began_s)
        self._display.view = yaw, pitch, distance
        views = [orbit_view(yaw, pitch, distance, width=width, height=height)]
        if isinstance(scene.deformer, DetailedPosing):
            scene.deformer.choose(head_height_px(views[0], distance), self.most_detail)
        motion = sampled.motion
        if self._desk is not None:
            motion = self._desk.laid_over(motion, at_s)
        gaussians = scene.deformer.gaussians(motion, seen_from=viewer(views))
        drawing_s = time.perf_counter()
        if self._display.takes_textures and isinstance(scene.renderer, TextureRenderer):
            picture = scene.renderer.render_textures(gaussians, views)[0]
            self._display.show(picture)
            # Whoever shows it waits for the card, so that is part of drawing.
            drawing_s = time.perf_counter() - drawing_s
        else:
            if self._buffer.shape[1:3] != (height, width):
                self._buffer = np.zeros((1, height, width, 4), np.uint8)
            picture = self._buffer[0]
            scene.renderer.render_with_alpha(gaussians, views, out=self._buffer)
            drawing_s = time.perf_counter() - drawing_s
            self._display.show(picture)
        if self._outputs.wants(at_s):
            pixels = picture.read() if isinstance(picture, CardPicture) else picture
            pixels = self._display.whole(pixels)
            pixels = pixels if self._desk is None else self._desk.light.on(pixels)
            self._outputs.take(Shown(pixels, at_s, sampled.heard_s))
        self._measure(sampled, began_s, drawing_s, speaker_delay_s)

    def _show_in_headset(self, turn: Turn | None, began_s: float, talking: bool) -> bool:
        """As `_show_frame`, for both eyes of a headset; whether it was seen there. `talking`: the
        window's key of push-to-talk is held."""
        headset, scene = self._headset, self._scene
        if headset is None or turn is None or scene is None:
            return False
        if not turn.is_seen:
            headset.skip(turn)
            return False
        self._take_motion()
        sampled = self._sampler.sample(turn.display_s, self.report.speaker_delay_s or None)
        mirrors = self._display.room() if self._display.panel is not None else None
        # The desk's tabs are of the window; the headset's panel is the plain one.
        view = replace(self._panel_view(), desk=None)
        shown = headset.show(turn, scene, sampled.motion, view, mirrors=mirrors)
        self._output_problem = self._fulfil(shown.wishes) or self._output_problem
        self._talk(talking or shown.talking)
        if self._desk is not None:
            self._desk.talk_in_headset(shown.talking)
        mirror = headset.mirror
        self._display.show_texture(mirror)
        if mirror is not None and self._outputs.wants(turn.display_s):
            seen = np.frombuffer(mirror.read(), np.uint8).reshape(mirror.height, mirror.width, 4)
            upright = np.ascontiguousarray(seen[::-1])  # row 0 was at the bottom
            self._outputs.take(Shown(upright, turn.display_s, sampled.heard_s))
        work_s = time.perf_counter() - began_s
        self.timing.starved += sampled.starved
        delay_s = None
        if sampled.heard_s is not None and self.report.state is SourceState.HEARING:
            delay_s = turn.display_s - sampled.heard_s
            headset.timing.sound_to_sight_ms.add(1e3 * delay_s)
        speaker_s = self.report.speaker_delay_s or None
        behind_s = None if delay_s is None or speaker_s is None else delay_s - speaker_s
        self.timing.add_frame(work_s, delay_s, behind_s)
        self.timing.digest(self.report, self.backend)
        return True

    def _talk(self, talking: bool) -> None:
        """Hear the microphone only while push-to-talk is held, where that is asked for. A desk has
        a key of its own for it, and mutes."""
        if self._desk is not None:
            return
        heard = talking or not self._push_to_talk
        if heard != self._is_heard:
            self._is_heard = heard
            self._speech.set_gain(self._gain if heard else 0.0)

    def _measure(
        self, sampled: Sampled, began_s: float, drawing_s: float, speaker_delay_s: float | None
    ) -> None:
        shown_s = time.perf_counter()
        work_s = shown_s - began_s
        self._work_s += 0.1 * (min(work_s, 0.25) - self._work_s)
        self._size.observe(work_s, drawing_s)
        timing = self.timing
        timing.starved += sampled.starved
        # Silence that stands in for a sound is not a sound that somebody waits to see.
        if sampled.heard_s is None or self.report.state is not SourceState.HEARING:
            timing.add_frame(work_s, None, None)
        else:
            delay_s = shown_s - sampled.heard_s
            seen_late = timing.frames % 50 == 49 and (timing.recent()[2] or 0.0) > TALK_DELAY_MS
            if speaker_delay_s is None and seen_late:
                self._size.hurry()
            behind_s = None if speaker_delay_s is None else delay_s - speaker_delay_s
            timing.add_frame(work_s, delay_s, behind_s)
        timing.digest(self.report, self.backend)

    def _draw_panel(self) -> Wishes:
        panel = self._display.panel
        return Wishes() if panel is None else panel.draw(self._panel_view())

    def _of_the_desk(self, wishes: Wishes, now_s: float) -> Wishes:
        """The desk does what is asked of it; the wishes with what it asks of the loop."""
        desk = self._desk
        if desk is None or wishes.desk is None:
            return wishes
        asked = desk.heed(
            *(wishes.desk, wishes.direction or self._direction),
            *(self._gain if wishes.gain is None else wishes.gain, self._orbit.place, now_s),
        )
        given = {name: getattr(asked, name) for name in asked.__dataclass_fields__}
        return replace(wishes, **{name: value for name, value in given.items() if value})

    def _heed_other_programs(self, now_s: float) -> None:
        steering = self._steering
        if steering is None:
            return
        done: list[tuple[Request, str]] = []
        for asked in steering.take():
            wishes, problem = steering.wishes(asked, self._direction)
            done.append((asked, problem or self._fulfil(wishes)))
        if self._display.panel is None:
            self._orbit.advance(self._display.refresh_s)
        if done or steering.wants_state(now_s):  # who gets an answer sees what it changed
            steering.tell(self._panel_view(), self._outputs, self._orbit, now_s)
        for asked, problem in done:
            steering.answer(asked, problem)

    def _film_size(self) -> tuple[int, int]:
        """Width and height of recordings: as large as what is shown may become."""
        width, height = self._size.largest(self._display.room())
        return self._display.across * width, height

    def _fulfil(self, wishes: Wishes) -> str:
        """Do what is asked; why it cannot be done, or nothing."""
        if wishes.avatar is not None:
            self._wanted_avatar = wishes.avatar
            self._loader.request(wishes.avatar, self._drawing)
        if wishes.renderer is not None:
            self._choose_renderer(wishes.renderer)
        if wishes.microphone is not None:
            self._microphone = wishes.microphone
            self._speech.choose_microphone(wishes.microphone)
            if self._desk is not None:
                self._desk.chosen(microphone=wishes.microphone)
        if wishes.gain is not None:
            self._gain = wishes.gain
            if self._is_heard:
                self._speech.set_gain(wishes.gain)
        if wishes.push_to_talk is not None:
            self._push_to_talk = wishes.push_to_talk
            if self._desk is not None:
                self._desk.set_push_to_talk(wishes.push_to_talk)
        if self._headset is not None:
            if wishes.headset:
                self._headset.return_now()
            if wishes.headset_switches is not None:
                self._headset.switches = wishes.headset_switches
        if wishes.direction is not None:
            self._direction = wishes.direction
            aimed = wishes.direction
            self._speech.direct(aimed if self._desk is None else self._desk.aimed(aimed))
        if wishes.look_for_microphones:
            self._speech.look_for_microphones()
        if wishes.meter_microphones:
            self._speech.meter_microphones()
        if wishes.play_again:
            self._speech.play_again()
        if wishes.speak is not None or wishes.stop_speaking:
            self._speech.speak(wishes.speak)
        if wishes.look_from is not None:
            self._orbit.look_from(*wishes.look_from)
        if wishes.stop_recording:
            self._outputs.stop_recording()
        try:
            self._outputs.fulfil(wishes, self._film_size())
        except OutputError as error:
            return str(error)
        return ""

    def _panel_view(self) -> PanelView:
        report, options, timing, scene = self.report, self._options, self.timing, self._scene
        frame_ms, _, sight_ms = timing.recent()
        lost = "" if self._headset is None else self._headset.lost
        loading = ""
        if scene is None:
            loading = "Loading the avatar; the first start compiles for some seconds."
        elif scene.avatar != self._wanted_avatar:
            loading = f"Loading {Path(self._wanted_avatar).stem}."
        elif self._opened is not None:
            loading = f"Preparing {self._opened.renderer.name}."
        elif report.state is SourceState.LOADING:
            loading = "Loading the speech network."
        return PanelView(
            avatar=self._wanted_avatar,
            avatars=(self._desk.avatars if self._desk is not None else ()) or options.avatars,
            loading=loading,
            sound_file=options.sound_file.name if options.sound_file is not None else "",
            sound_file_ended=report.state is SourceState.FILE_ENDED,
            microphone=self._microphone,
            microphones=report.microphones,
            microphone_levels=report.microphone_levels,
            level=report.level,
            speech=report.speech,
            hearing=report.state is SourceState.HEARING,
            gain=self._gain,
            push_to_talk=self._push_to_talk if self._desk is None else self._desk.push_to_talk,
            headset="" if self._headset is None else self._headset.description,
            headset_problem="" if self._headset is None else self._headset.problem,
            headset_lost=lost,
            headset_missed=0 if self._headset is None else self._headset.timing.missed,
            headset_extras=Extras() if self._headset is None else self._headset.extras,
            headset_switches=(
                HeadsetSwitches() if self._headset is None else self._headset.switches
            ),
            direction=self._direction,
            frame_ms=frame_ms,
            fps=timing.recent_fps,
            sound_to_sight_ms=sight_ms if report.state is SourceState.HEARING else None,
            frame_history_ms=timing.frame_history_ms,
            sight_history_ms=timing.sight_history_ms,
            desk=None if self._desk is None else self._desk.view(time.perf_counter()),
            picture_size=self._picture_size,
            renderer=self.backend if scene is not None else "",
            renderer_reason=self.backend_reason,
            posed_by=self.posed_by,
            renderers=() if self._renderers is None else self._renderers.names,
            wanted_renderer=self._wanted_renderer,
            speaking=report.speaking,
            recording=self._outputs.progress,
            saved=self._outputs.saved_name,
            problems=tuple(filter(None, (*self._problems(), lost))),
            notes=self._notes(),
        )

    def _problems(self) -> tuple[str, ...]:
        steering = self._steering.problem if self._steering is not None else ""
        desk = self._desk.problem if self._desk is not None else ""
        return (
            *(self._avatar_problem, self._renderer_problem, self.report.problem),
            *(self._output_problem, self._outputs.problem, steering, desk),
            *(self._streams.problems if self._streams is not None else ()),
        )

    def _notes(self) -> tuple[str, ...]:
        """What was put right by itself so far."""
        counts = (
            ("Speech process started again", self._speech.deaths),
            ("Microphone opened again", self.report.restarts),
            ("Sound blocks dropped", self.report.dropped),
            ("Recorded pictures left out", self._outputs.dropped),
        )
        notes = [f"{what}: {count}" for what, count in counts if count]
        if self._desk is not None and self._desk.note:
            notes.append(self._desk.note)
        return tuple(notes)
