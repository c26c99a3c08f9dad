"""`visavis live`: the avatar in a window, speaking with the microphone or a sound file."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

import moderngl

from app.bundled import avatar_path, bundled_avatars
from app.control_link import ControlLink, new_token, write_control_file
from app.desk import Desk
from app.detail import detailed
from app.frame_loop import (
    TALK_TURN_S,
    UNSEEN_TURN_S,
    Display,
    FrameLoop,
    LiveOptions,
    Loader,
    MemoryDisplay,
    Picture,
    Scene,
)
from app.headset import HeadsetSide
from app.headset_switches import HeadsetSwitches
from app.output_file import check_folder_of, check_output, written_beside
from app.outputs import OutputOptions, Outputs
from app.panel import Panel
from app.placement_file import default_file
from app.posing import neutral_motion
from app.preferences import LookAt, Preferences, Read, read_preferences
from app.recording import check_recording
from app.renderers import Renderers
from app.rig_view import BesideDisplay
from app.settings import DEFAULT_AVATAR, Acting, LiveSettings
from app.sound_file import read_blocks
from app.speech_process import SpeechProcess, SpeechSettings
from app.steering import Steering
from app.streams.sender import Streams
from app.streams.targets import Target
from app.timing import statistics_text
from app.user_folders import avatars_folder, settings_folder
from app.virtual_camera import VirtualCamera
from app.voices import chosen_voice
from app.webcam import camera_name
from avatar.avatar_file import check_avatar_file, load_avatar
from avatar.deform import Deformer
from avatar.errors import AvatarFileError, DeviceError, OutputError, SoundError
from render.camera import orbit_view
from render.choose import open_renderer
from render.gl import unseen_context
from render.renderer import CardPicture, Renderer
from render.window import Window, display_available

log = logging.getLogger(__name__)

WINDOW_SIZE = (1180, 760)
"""Desktop units: the panel and a picture a little higher than wide, on a laptop's screen."""


ENOUGH_CORES = 4
"""With fewer the speech process starts when the avatar is there to be seen: beside its loading, on
two busy cores, the first picture came after 6 s instead of 3."""


def live(settings: LiveSettings) -> None:
    """Show the avatar until the window is closed, Ctrl-C, or the time is over.

    Raises:
        VisavisError: the avatar, the sound or the display cannot be had.
    """
    shows_window = wants_window(settings)
    remembered = Read(Preferences())
    if shows_window:
        settings, remembered = with_preferences(settings, settings_folder())
    avatar_file = avatar_path(settings.avatar)  # what is wrong is told before anything starts
    check_avatar_file(avatar_file)
    voice = chosen_voice(settings.voice, avatar_file)
    if settings.audio is not None:
        check_sound(settings.audio)
    if settings.stats is not None:
        check_output(settings.stats, (".json",))
    if settings.record is not None:
        check_recording(settings.record)
    check_folder_of(settings.save_to / "visavis.mp4")
    if settings.webcam is not None:
        camera_name(settings.webcam)
        if not shows_window:
            raise DeviceError("--webcam wants a window, and there is none: start it on a desktop.")
    speech = SpeechProcess(
        SpeechSettings(
            audio=settings.audio,
            microphone=settings.microphone,
            play_aloud=shows_window,
            voice=voice,
        )
    )
    try:
        if not shows_window or cores() >= ENOUGH_CORES:
            speech.start()  # it loads for some seconds, meanwhile the window opens
        with (
            _outputs(settings, speech) as outputs,
            _steering(settings) as steering,
            _display(settings, shows_window) as (shown, loader, renderers, headset),
            _desk(settings, shown, speech, remembered) as desk,
            _with_rig(shown, settings.rig) as (display, more),
            _streams(settings, more, speech) as streams,
        ):
            options = _options(settings, shows_window)
            if desk is not None:
                options = replace(options, gain=desk.look.gain, direction=desk.look.direction)
            loop = FrameLoop(
                *(display, speech, loader, options),
                renderers=renderers,
                headset=headset,
                outputs=outputs,
                steering=steering,
                streams=streams,
                desk=desk,
            )
            with _ended_by_signals(loop):
                _run(loop)
        recorded = outputs.recording
        if settings.stats is not None:
            statistics = loop.timing.statistics(loop.report, loop.backend)
            statistics["backend_reason"] = loop.backend_reason
            if recorded is not None:
                statistics["recording"] = {
                    "seconds": round(recorded.seconds, 3),
                    "dropped": recorded.dropped,
                }
            statistics["posing"] = statistics["sorting"] = loop.posed_by
            statistics["xr"] = loop.headset_statistics()
            if streams is not None:
                statistics["streams"] = streams.statistics()
            text = statistics_text(statistics)
            with written_beside(settings.stats) as beside:
                beside.write_text(text, encoding="utf-8")
        if settings.record is not None and recorded is not None:
            if recorded.problem:
                raise OutputError(recorded.problem)
            print(settings.record)
        if streams is not None and streams.problems:
            raise DeviceError(streams.problems[0])
    finally:
        speech.close()


@contextmanager
def _with_rig(display: Display, wanted: bool) -> Iterator[tuple[Display, tuple[Target, ...]]]:
    """The display with the rig's head beside the avatar, and the stream that this needs."""
    if not wanted:
        yield display, ()
        return
    beside = BesideDisplay(display)
    try:
        yield beside, (beside.target,)
    finally:
        beside.close()


@contextmanager
def _streams(
    settings: LiveSettings, more: tuple[Target, ...], speech: SpeechProcess
) -> Iterator[Streams | None]:
    """What sends the motion to other programs; None where none is named."""
    targets = (*settings.stream, *more)
    if not targets:
        yield None
        return
    streams = Streams(
        targets, settings.stream_fps, speech.motion_channel, lambda: speech.speaker_delay_s
    )
    try:
        yield streams
    finally:
        streams.close()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(loop: FrameLoop) -> None:
    """Run it, and say in one line what the graphics driver has to say in many.

    Raises:
        VisavisError: as the loop does; or the driver refuses what it did before.
    """
    try:
        loop.run()
    except moderngl.Error as error:
        raise DeviceError(
            f"the graphics driver failed ({' '.join(str(error).split()) or 'no reason given'}). "
            "What was set is kept; start it again, or with --backend cpu."
        ) from error


def wants_window(settings: LiveSettings) -> bool:
    """Whether to open a window; "auto" without a display does without, if the run has an end.

    Raises:
        DeviceError: no display, and nothing that would end an unseen run.
    """
    if settings.display == "none":
        return False
    if settings.display == "window" or display_available():
        return True
    if settings.seconds is None and settings.audio is None and settings.xr != "on":
        raise DeviceError(
            "no display for a window. Start it on a desktop, make a film with visavis render, "
            "or measure without a window: --display none --seconds 20."
        )
    log.warning("no display: running without a window")
    return False


def check_sound(path: Path) -> None:
    """Read the beginning of a sound file.

    Raises:
        SoundError: it is missing, not sound, or empty.
    """
    if next(read_blocks(path), None) is None:
        raise SoundError(f"{path}: holds no sound (0 samples). Give a file with something to hear.")


def load_scene(
    avatar: str, renderer: Renderer | None, *, opening: Callable[[], Renderer] = open_renderer
) -> Scene:
    """Everything that drawing needs. Without a renderer it takes that of `opening` and draws a
    first picture, so that what is compiled at its first use is not compiled in the first frame; a
    renderer that is given is at work in another thread and is not touched.

    Raises:
        VisavisError: the avatar cannot be read or no renderer runs here.
    """
    deformer = Deformer(load_avatar(avatar_path(avatar)))
    if renderer is None:
        renderer = opening()
        renderer.warm_up()
        view = orbit_view(0.0, 0.0, 1.0, width=64, height=64)
        renderer.render_with_alpha(
            deformer.gaussians(neutral_motion(), seen_from=view.position), [view]
        )
    return Scene(avatar, deformer, renderer)


def with_detail(scene: Scene) -> Scene:
    """The same with fewer Gaussians where the head is small on the screen."""
    assert isinstance(scene.deformer, Deformer)
    return replace(scene, deformer=detailed(scene.deformer.avatar))


class WindowDisplay:
    """A window with its panel, as the frame loop sees it."""

    takes_textures = True
    across = 1
    view = (0.0, 0.0, 1.0)

    def __init__(self, window: Window) -> None:
        self.window = self._window = window
        self.panel: Panel | None = Panel(window.interface_scale)
        self.refresh_s = window.refresh_s

    def begin_frame(self) -> bool:
        if self.panel is not None:
            self._window.panel_width = self.panel.width
        return self._window.begin_frame()

    def room(self) -> tuple[int, int]:
        area = self._window.picture_area()
        return area.width, area.height

    def show(self, picture: Picture | CardPicture | None) -> None:
        self._window.wait_for_monitor(True)
        self._window.draw(picture)
        self._window.present()

    def whole(self, picture: Picture) -> Picture:
        return picture

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        self._window.wait_for_monitor(False)
        if texture is None:
            self._window.draw(None)
        else:
            self._window.draw_texture(texture)
        self._window.present()


@contextmanager
def _display(
    settings: LiveSettings, shows_window: bool
) -> Iterator[tuple[Display, Loader, Renderers | None, HeadsetSide | None]]:
    """Where pictures go, who loads what is drawn for it, what a person can have it drawn by, and
    who looks for a headset."""
    with ExitStack() as opened:
        context = renderers = None
        refine = with_detail if settings.detail == "auto" else None
        if shows_window:
            window = opened.enter_context(Window("visavis", *WINDOW_SIZE))
            context = window.context
            log.info("window: %s", window.description)
            display: Display = WindowDisplay(window)
            renderers = Renderers(window.context)
            opened.callback(renderers.close)
            loader = Loader(load_scene, refine=refine)
        else:
            turn_s = UNSEEN_TURN_S if settings.audio is not None else TALK_TURN_S
            display = MemoryDisplay(settings.size.width, settings.size.height, turn_s)
            opening = partial(open_renderer, settings.backend)
            loader = Loader(partial(load_scene, opening=opening), refine=refine)
        opened.callback(loader.close)
        yield display, loader, renderers, headset_of(settings, context, opened)


def with_preferences(settings: LiveSettings, folder: Path) -> tuple[LiveSettings, Read]:
    """What the command line leaves open, as it was left the last time; and all that was."""
    read = read_preferences(folder)
    kept = read.preferences
    if settings.avatar == DEFAULT_AVATAR and kept.avatar:
        try:
            check_avatar_file(avatar_path(kept.avatar))
            settings = replace(settings, avatar=kept.avatar)
        except AvatarFileError as error:
            read = replace(read, problem=read.problem or str(error))
    if settings.microphone is None and kept.microphone:
        settings = replace(settings, microphone=kept.microphone)
    if settings.acting != Acting():
        look = replace(kept.look.directed(settings.acting.direction), look_at=LookAt.AHEAD)
        read = replace(read, preferences=replace(kept, look=look))
    return settings, read


@contextmanager
def _desk(
    settings: LiveSettings, display: Display, speech: SpeechProcess, remembered: Read
) -> Iterator[Desk | None]:
    """The application around the window; what was set in it is kept at its end."""
    if not isinstance(display, WindowDisplay) or display.panel is None:
        yield None
        return
    preferences = replace(remembered.preferences, avatar=settings.avatar)
    desk = Desk(
        *(display.window, speech, preferences),
        settings_folder=settings_folder(),
        avatars_folder=avatars_folder(),
        problem=remembered.problem,
    )
    display.panel.visible = preferences.panel
    try:
        if settings.webcam is not None:
            desk.start_webcam(settings.webcam)
        yield desk
    finally:
        desk.close()


@contextmanager
def _outputs(settings: LiveSettings, speech: SpeechProcess) -> Iterator[Outputs]:
    """What leaves the run besides the window; ended well at the end of the block."""
    backdrop, size = settings.backdrop.rgb, settings.size.even()
    camera = None
    if settings.virtual_camera is not None:
        camera = VirtualCamera(
            settings.virtual_camera,
            size=(size.width, size.height),
            fps=settings.record_fps,
            backdrop=backdrop,
        )
        print(f"visavis: virtual camera {camera.description}", file=sys.stderr)
    options = OutputOptions(folder=settings.save_to, fps=settings.record_fps, backdrop=backdrop)
    outputs = Outputs(options, speech.read_sound, camera)
    try:
        yield outputs
    finally:
        outputs.close()


@contextmanager
def _steering(settings: LiveSettings) -> Iterator[Steering | None]:
    """Other programs that may steer, where that is asked for; else no port is opened."""
    if settings.control is None:
        yield None
        return
    token = new_token()
    link = ControlLink(settings.control, token)
    file = None
    try:
        link.wait_until_ready()
        file = write_control_file(settings.control_file, link, token)
        print(f"visavis: steered at {link.url}, token {token} (also in {file})", file=sys.stderr)
        yield Steering(link)
    finally:
        link.close()
        if file is not None:
            file.unlink(missing_ok=True)


def headset_of(
    settings: LiveSettings, context: moderngl.Context | None, opened: ExitStack
) -> HeadsetSide | None:
    """What looks for a headset. It draws in the window's context; without a window, which is for
    measuring, there is one of its own where a headset is asked for.

    Raises:
        DeviceError: there is no OpenGL for it.
    """
    if settings.xr == "off" or (context is None and settings.xr == "auto"):
        return None
    if context is None:
        context = unseen_context()
        opened.callback(context.release)
        opened.enter_context(context)
    headset = HeadsetSide(context, default_file(), insists=settings.xr == "on")
    headset.switches = HeadsetSwitches(passthrough=settings.passthrough)
    opened.callback(headset.close)
    return headset


def _options(settings: LiveSettings, shows_window: bool) -> LiveOptions:
    names = bundled_avatars()
    if settings.avatar not in names:
        names = [settings.avatar, *names]
    return LiveOptions(
        avatar=settings.avatar,
        avatars=tuple(names),
        sound_file=settings.audio,
        microphone=settings.microphone or "default",
        renderer=settings.backend,
        direction=settings.acting.direction,
        seconds=settings.seconds,
        picture_px=max(settings.size.width, settings.size.height),
        adapts=shows_window,  # a measurement draws what it was asked for
        record=settings.record,
    )


@contextmanager
def _ended_by_signals(loop: FrameLoop) -> Iterator[None]:
    """Within the block Ctrl-C and a terminate signal end the loop after the frame in work.

    The second Ctrl-C interrupts at once.
    """

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
