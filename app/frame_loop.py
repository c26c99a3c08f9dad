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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import moderngl
import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.face_sampler import FaceSampler, Sampled
from app.handoff import Latest
from app.panel import Panel, PanelView, Wishes
from app.speech_process import SourceState, SpeechProcess, SpeechReport
from app.timing import HeadsetTiming, Timing
from avatar.errors import VisavisError
from avatar.motion.direction import Direction
from avatar.types import Gaussians, MotionFrame
from render.camera import orbit_view, viewer
from render.headset import Turn
from render.renderer import Renderer

log = logging.getLogger(__name__)

Picture = NDArray[np.uint8]
BUDGET_S = 1.0 / 24.0
"""A frame that takes longer than this makes the picture smaller, where that helps."""
LOADING_TURN_S = 1.0 / 12.0
"""While the avatar loads, drawing an empty window must not take the processor from it."""
AFTER_THE_FILE_S = 1.0
"""A run without a window ends this long after its sound file."""


class Display(Protocol):
    """Where pictures go: a window, or memory."""

    panel: Panel | None
    refresh_s: float

    def begin_frame(self) -> bool:
        """Take events; False when the display was closed."""
        ...

    def room(self) -> tuple[int, int]:
        """Width and height that a picture can fill, pixels."""
        ...

    def show(self, picture: Picture | None) -> None:
        """Show [H, W, 4]; None: the last one again."""
        ...

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        """Show what is in a texture, as OpenGL drew it. It does not wait for the monitor: what it
        shows beside has a pace of its own."""
        ...


class MemoryDisplay:
    """Pictures of a fixed size that nobody sees: for measuring, and machines without a display."""

    panel: Panel | None = None
    refresh_s = 1.0 / 60.0

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self.last: Picture | None = None

    def begin_frame(self) -> bool:
        return True

    def room(self) -> tuple[int, int]:
        return self._size

    def show(self, picture: Picture | None) -> None:
        if picture is not None:
            self.last = picture

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        """Nobody sees it."""


class Deforms(Protocol):
    """What poses one avatar (`avatar.deform.Deformer`)."""

    def gaussians(self, motion: MotionFrame, *, seen_from: ArrayLike) -> Gaussians: ...


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that drawing needs; made whole by the loader."""

    avatar: str
    deformer: Deforms
    renderer: Renderer


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of one of a headset's turns."""

    wishes: Wishes
    """Of the panel in its room."""
    talking: bool
    """Whether push-to-talk is held."""


class HeadsetTurns(Protocol):
    """A headset that comes and goes (`app.headset.HeadsetSide`)."""

    timing: HeadsetTiming

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
        """What one eye sees, row 0 at the bottom."""
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
    ) -> Shown:
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


class Loader:
    """Makes scenes in a thread of its own: reading files and compiling take seconds."""

    def __init__(
        self, load: Callable[[str, Renderer | None], Scene], renderer: Renderer | None = None
    ) -> None:
        """`load(avatar name, renderer already open)` runs in the thread. `renderer`: one that is
        open already; without one the first scene brings it."""
        self._load = load
        self._renderer = renderer
        self._wanted: Latest[str] = Latest()
        self._wake = threading.Event()
        self._stop = False
        self.result: Latest[Loaded] = Latest()
        # A daemon: a person who leaves does not wait for a compiler.
        self._thread = threading.Thread(target=self._work, name="loader", daemon=True)
        self._thread.start()

    def request(self, avatar: str) -> None:
        """Load this one; a request that has not begun is replaced."""
        self._wanted.publish(avatar, time.perf_counter())
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
            try:
                scene = self._load(wanted.value, self._renderer)
                self._renderer = scene.renderer
                loaded = Loaded(scene)
            except VisavisError as error:
                loaded = Loaded(None, str(error))
            except Exception as error:  # a worker's outermost loop: tell, and wait for the next
                log.error("%s", traceback.format_exc())
                loaded = Loaded(None, f"{wanted.value}: {type(error).__name__}: {error}")
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
        slow = np.percentile(self._recent[:, 0], 25) > BUDGET_S
        promise_s, self._promise_s = self._promise_s, None
        self._quick_frames = self._quick_frames + 1 if frame < self.ROOM_TO_GROW * BUDGET_S else 0
        if promise_s is not None and frame > BUDGET_S and drawing > promise_s:
            self._change(1.0 / self._last_step)
            self._patience = self.PATIENCE_FRAMES
        elif slow and self._scale > self._least and not self._patience:
            # Time goes with the pixels, so a slow frame needs one large step and not five small.
            step = min(max((BUDGET_S / frame) ** 0.5, self.LARGEST_STEP), self.STEP)
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
    direction: Direction = field(default_factory=Direction)
    """What is asked of the face at first."""
    seconds: float | None = None
    """Ends after so many seconds of showing; None: when the display closes."""
    picture_px: int = 512
    """The longest side of a picture."""
    adapts: bool = True
    """Whether the picture becomes smaller on a slow machine."""


class FrameLoop:
    """One live run."""

    def __init__(
        self,
        display: Display,
        speech: SpeechProcess,
        loader: Loader,
        options: LiveOptions,
        headset: HeadsetTurns | None = None,
    ) -> None:
        """`headset`: one that may be there; None: nobody looks for one."""
        self._display, self._speech, self._loader = display, speech, loader
        self._headset = headset
        self._options = options
        self._size = PictureSize(options.picture_px, adapts=options.adapts)
        self._sampler = FaceSampler()
        self._scene: Scene | None = None
        self._loaded_sequence = 0
        self._wanted_avatar = options.avatar
        self._avatar_problem = ""
        self._microphone, self._gain = options.microphone, 1.0
        self._push_to_talk, self._is_heard = False, True
        self._direction = options.direction
        speech.direct(options.direction)
        self._buffer: Picture = np.zeros((1, 1, 1, 4), np.uint8)
        self._work_s = 1.0 / 30.0  # of a frame, lately: how far ahead its picture will be seen
        self._ended_s: float | None = None
        self._stopping = False
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
        self._loader.request(self._options.avatar)
        next_turn_s = time.perf_counter()
        while not self._stopping and self._display.begin_frame():
            # A headset's display sets the pace while it is worn: this waits for it.
            turn = None if self._headset is None else self._headset.begin(self._scene)
            began_s = time.perf_counter()
            self._take_news(began_s)
            wishes = self._draw_panel()
            self._fulfil(wishes)
            if wishes.quit or self._over(began_s):
                break
            if self._show_in_headset(turn, began_s, wishes.talk):
                continue
            self._talk(wishes.talk)
            self._show_frame(began_s)
            turn_s = self._display.refresh_s if self._scene is not None else LOADING_TURN_S
            next_turn_s = max(next_turn_s + turn_s, time.perf_counter())
            pause_s = next_turn_s - time.perf_counter()
            # Where the driver waits for the monitor this is already past; else it sets the pace.
            if pause_s > 0.0005:
                time.sleep(pause_s)

    def _take_news(self, now_s: float) -> None:
        """What the speech process and the loader have made since the last frame."""
        if not self._stopping:  # the signal that ends this loop may have ended the process too
            self._speech.watch(now_s)
        self._sampler.add(self._speech.read_motion())
        self.report = self._speech.report()
        loaded = self._loader.result.read()
        if loaded is None or loaded.sequence == self._loaded_sequence:
            return
        self._loaded_sequence = loaded.sequence
        scene, problem = loaded.value.scene, loaded.value.problem
        if scene is not None:
            first = self._scene is None
            self._scene, self._wanted_avatar, self._avatar_problem = scene, scene.avatar, ""
            if first:
                log.info("ready after %.1f s, drawn by %s", self.timing.seconds, self.backend)
                self.timing.restart()
                self._speech.begin()
        elif self._scene is None:
            raise VisavisError(problem)
        else:
            self._wanted_avatar, self._avatar_problem = self._scene.avatar, problem

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
        sampled = self._sampler.sample(began_s + self._work_s, speaker_delay_s)
        width, height = self._size.fit(self._display.room())
        if self._buffer.shape[1:3] != (height, width):
            self._buffer = np.zeros((1, height, width, 4), np.uint8)
        yaw, pitch, distance = self._camera()
        views = [orbit_view(yaw, pitch, distance, width=width, height=height)]
        gaussians = scene.deformer.gaussians(sampled.motion, seen_from=viewer(views))
        drawing_s = time.perf_counter()
        scene.renderer.render_with_alpha(gaussians, views, out=self._buffer)
        drawing_s = time.perf_counter() - drawing_s
        self._display.show(self._buffer[0])
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
        sampled = self._sampler.sample(turn.display_s, self.report.speaker_delay_s or None)
        mirrors = self._display.room() if self._display.panel is not None else None
        shown = headset.show(turn, scene, sampled.motion, self._panel_view(), mirrors=mirrors)
        self._fulfil(shown.wishes)
        self._talk(talking or shown.talking)
        self._display.show_texture(headset.mirror)
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
        """Hear the microphone only while push-to-talk is held, where that is asked for."""
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
            behind_s = None if speaker_delay_s is None else delay_s - speaker_delay_s
            timing.add_frame(work_s, delay_s, behind_s)
        timing.digest(self.report, self.backend)

    def _camera(self) -> tuple[float, float, float]:
        panel = self._display.panel
        if panel is None:
            return 0.0, 0.0, 1.0
        orbit = panel.orbit
        return orbit.yaw_rad, orbit.pitch_rad, orbit.distance_m

    def _draw_panel(self) -> Wishes:
        panel = self._display.panel
        return Wishes() if panel is None else panel.draw(self._panel_view())

    def _fulfil(self, wishes: Wishes) -> None:
        if wishes.avatar is not None:
            self._wanted_avatar = wishes.avatar
            self._loader.request(wishes.avatar)
        if wishes.microphone is not None:
            self._microphone = wishes.microphone
            self._speech.choose_microphone(wishes.microphone)
        if wishes.gain is not None:
            self._gain = wishes.gain
            if self._is_heard:
                self._speech.set_gain(wishes.gain)
        if wishes.push_to_talk is not None:
            self._push_to_talk = wishes.push_to_talk
        if wishes.headset and self._headset is not None:
            self._headset.return_now()
        if wishes.direction is not None:
            self._direction = wishes.direction
            self._speech.direct(wishes.direction)
        if wishes.look_for_microphones:
            self._speech.look_for_microphones()
        if wishes.play_again:
            self._speech.play_again()

    def _panel_view(self) -> PanelView:
        report, options, timing, scene = self.report, self._options, self.timing, self._scene
        frame_ms, _, sight_ms = timing.recent()
        lost = "" if self._headset is None else self._headset.lost
        loading = ""
        if scene is None:
            loading = "Loading the avatar; the first start compiles for some seconds."
        elif scene.avatar != self._wanted_avatar:
            loading = f"Loading {Path(self._wanted_avatar).stem}."
        elif report.state is SourceState.LOADING:
            loading = "Loading the speech network."
        return PanelView(
            avatar=self._wanted_avatar,
            avatars=options.avatars,
            loading=loading,
            sound_file=options.sound_file.name if options.sound_file is not None else "",
            sound_file_ended=report.state is SourceState.FILE_ENDED,
            microphone=self._microphone,
            microphones=report.microphones,
            level=report.level,
            speech=report.speech,
            hearing=report.state is SourceState.HEARING,
            gain=self._gain,
            push_to_talk=self._push_to_talk,
            headset="" if self._headset is None else self._headset.description,
            headset_problem="" if self._headset is None else self._headset.problem,
            headset_lost=lost,
            headset_missed=0 if self._headset is None else self._headset.timing.missed,
            direction=self._direction,
            frame_ms=frame_ms,
            fps=timing.recent_fps,
            sound_to_sight_ms=sight_ms if report.state is SourceState.HEARING else None,
            frame_history_ms=timing.frame_history_ms,
            picture_size=(self._buffer.shape[2], self._buffer.shape[1]),
            renderer=self.backend if scene is not None else "",
            renderer_reason=self.backend_reason,
            problems=tuple(filter(None, (self._avatar_problem, report.problem, lost))),
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        """What was put right by itself so far."""
        counts = (
            ("Speech process started again", self._speech.deaths),
            ("Microphone opened again", self.report.restarts),
            ("Sound blocks dropped", self.report.dropped),
        )
        return tuple(f"{what}: {count}" for what, count in counts if count)
