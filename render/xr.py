"""A headset in use: an OpenXR session, from its first event to its loss.

All of it belongs to the thread whose OpenGL context was current when it began. A frame is:
`take_events`, and while `is_running`: `begin_turn`, `locate_eyes`, `hands`, drawing, `end_turn`.
"""

import ctypes
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsetError
from render import xr_graphics
from render.eye_painter import FAR_M, NEAR_M
from render.headset import NO_HAND, Extras, Eye, FaceWeights, Hand, Turn
from render.pose import Pose, middle
from render.xr_actions import Actions
from render.xr_face import FaceTracking, face_tracking
from render.xr_hands import EXTENSION as HAND_TRACKING
from render.xr_hands import HandTrackers
from render.xr_passthrough import EXTENSION as PASSTHROUGH
from render.xr_passthrough import Passthrough
from render.xr_runtime import EGL, Runtime, xr, xr_problems
from render.xr_space import Room, pose_of, posef
from render.xr_swapchain import SRGB, Target, formats

log = logging.getLogger(__name__)

STEREO = xr.ViewConfigurationType.PRIMARY_STEREO
EYE_GAZE = "XR_EXT_eye_gaze_interaction"
REFRESH_HZ = (90.0, 80.0, 72.0, 100.0, 120.0, 60.0)
"""Rates in order of choice: 90 is smooth and leaves 11 ms for a frame."""


@dataclass(slots=True)
class News:
    """What the events since the last frame said."""

    ended: str = ""
    """Why the session is over, one line; empty while it goes on."""
    may_return: bool = True
    """Whether to try again: not when the wearer ended it by the headset's own menu."""


class Headset:
    """One session."""

    def __init__(
        self,
        runtime: Runtime,
        context: moderngl.Context,
        *,
        panel_px: tuple[int, int],
        finer: float = 1.0,
    ) -> None:
        """`context` is current and stays the one that is drawn in; `panel_px` is the size of the
        picture of the panel; `finer` multiplies the eyes' sides that the runtime recommends.

        Raises:
            HeadsetError: the runtime does not want this graphics card or this OpenGL, or is gone.
        """
        self._runtime, self._context = runtime, context
        self._instance = runtime.instance
        self._released = False
        self.state = xr.SessionState.UNKNOWN
        self.is_running = False
        self._recentre_at: list[int] = []
        with xr_problems("beginning its session"):
            self._check_graphics()
            binding = xr_graphics.binding()
            self._session = xr.create_session(
                self._instance,
                xr.SessionCreateInfo(
                    system_id=runtime.system,
                    next=ctypes.cast(ctypes.pointer(binding), ctypes.c_void_p),
                ),
            )
            self._binding = binding  # pointed to by the session while it was made
            self._prepare(panel_px, finer)

    def _prepare(self, panel_px: tuple[int, int], finer: float) -> None:
        has = self._runtime.extensions.__contains__
        self.room = Room(self._session, has("XR_EXT_local_floor"))
        has_gaze = has(EYE_GAZE) and bool(
            self._runtime.properties(
                xr.SystemEyeGazeInteractionPropertiesEXT()
            ).supports_eye_gaze_interaction
        )
        self._actions = Actions(
            self._instance,
            self._session,
            has_hand_profile=has("XR_EXT_hand_interaction"),
            has_gaze=has_gaze,
        )
        self._trackers: HandTrackers | None = None
        if has(HAND_TRACKING):
            with suppress(xr.FeatureUnsupportedError):  # the runtime knows them, not the headset
                self._trackers = HandTrackers(self._instance, self._session)
        self._passthrough = self._probe_passthrough()
        self._face: FaceTracking | None = face_tracking(
            self._session, self._runtime.extensions, self._runtime.properties
        )
        self.extras = Extras(self._passthrough.is_offered, has_gaze, self._face is not None)
        """What it has, of what only some have."""
        colour, depth = formats(self._session, has("XR_KHR_composition_layer_depth"))
        self.is_encoded = colour == SRGB
        """Whether its pictures take sRGB-encoded bytes as they are; else linear ones."""
        views = xr.enumerate_view_configuration_views(self._instance, self._runtime.system, STEREO)
        self._targets = [
            Target(
                self._context,
                self._session,
                (
                    min(
                        round(finer * view.recommended_image_rect_width),
                        view.max_image_rect_width,
                        self._runtime.largest_px[0],
                    ),
                    min(
                        round(finer * view.recommended_image_rect_height),
                        view.max_image_rect_height,
                        self._runtime.largest_px[1],
                    ),
                ),
                colour_format=colour,
                depth_format=depth,
            )
            for view in views
        ]
        self._panel = Target(
            self._context, self._session, panel_px, colour_format=colour, depth_format=None
        )
        self.masks = [self._visible_mesh(eye) for eye in range(2)]
        """[T * 3, 2] triangles that each eye can see, on the plane 1 m before it; None: all."""
        self._choose_rate()
        log.info(
            "headset: %s, %s, %s, %s, eyes of %s pixels",
            self._runtime.description,
            f"room {self.room.name}",
            "with depth" if depth is not None else "without depth",
            f"extras: {', '.join(self.extras.names) or 'none'}",
            " and ".join("x".join(map(str, target.size)) for target in self._targets),
        )

    @property
    def description(self) -> str:
        """Runtime and headset, for a person to read."""
        return self._runtime.description

    @property
    def eye_sizes(self) -> list[tuple[int, int]]:
        """Width and height of each eye's picture, pixels, as the runtime recommends them."""
        return [target.size for target in self._targets]

    @property
    def has_panel_layer(self) -> bool:
        """Whether the compositor lays the panel over the eyes' pictures, sharper than they are."""
        return self._runtime.most_layers >= 2

    def take_events(self) -> News:
        """What has happened since the last call; goes along with every change of state.

        Raises:
            HeadsetError: the runtime is gone.
        """
        news = News()
        with xr_problems("listening to it"):
            while True:
                try:
                    event = xr.poll_event(self._instance)
                except xr.EventUnavailable:
                    return news
                self._take(event, news)

    def begin_turn(self) -> Turn:
        """Wait for the headset's next frame and begin it; `end_turn` must follow.

        Raises:
            HeadsetError: session or runtime are lost.
        """
        with xr_problems("waiting for its frame"):
            state = xr.wait_frame(self._session)
            now_s = time.perf_counter()
            xr.begin_frame(self._session)
            display_time, period_s = (
                state.predicted_display_time,
                state.predicted_display_period / 1e9,
            )
            return Turn(
                display_s=self._seconds(display_time, now_s, period_s),
                period_s=period_s,
                display_time=display_time,
                is_seen=bool(state.should_render),
            )

    def locate_eyes(self, turn: Turn) -> tuple[Eye, Eye] | None:
        """Where the eyes will be at the turn's moment, by what is known now; None while tracking
        is lost. May be asked again: the nearer the moment, the truer."""
        with xr_problems("locating its eyes"):
            state, views = xr.locate_views(
                self._session, xr.ViewLocateInfo(STEREO, turn.display_time, self.room.space)
            )
            wanted = xr.ViewStateFlags.ORIENTATION_VALID_BIT | xr.ViewStateFlags.POSITION_VALID_BIT
            if (xr.ViewStateFlags(state.view_state_flags) & wanted) != wanted:
                return None
            left, right = (
                Eye(
                    pose_of(view.pose),
                    (
                        view.fov.angle_left,
                        view.fov.angle_right,
                        view.fov.angle_down,
                        view.fov.angle_up,
                    ),
                )
                for view in views[:2]
            )
            return left, right

    def hands(self, turn: Turn, eyes: tuple[Eye, Eye]) -> tuple[Hand, Hand]:
        """Both hands at the turn's moment; none while another program has the wearer's hands."""
        if self.state is not xr.SessionState.FOCUSED:
            return NO_HAND, NO_HAND
        with xr_problems("reading its hands"):
            held = self._actions.read(self.room, turn.display_time)
            if self._trackers is None or all(hand.is_tracked for hand in held):
                return held
            head = middle(eyes[0].pose, eyes[1].pose)
            bare = self._trackers.read(self.room, turn.display_time, head)
            left, right = (
                one if one.is_tracked else other for one, other in zip(held, bare, strict=True)
            )
            return left, right

    def gaze(self, turn: Turn) -> Pose | None:
        """Where the wearer looks from, and along its -z, after `hands`; None where nobody knows."""
        if not self.extras.eye_gaze or self.state is not xr.SessionState.FOCUSED:
            return None
        with xr_problems("reading where its wearer looks"):
            return self._actions.gaze(self.room, turn.display_time)

    def face(self, turn: Turn) -> FaceWeights | None:
        """The wearer's own face; None where it is not seen."""
        if self._face is None:
            return None
        with xr_problems("reading its wearer's face"):
            return self._face.read(turn.display_time)

    @property
    def shows_own_room(self) -> bool:
        """Whether pictures are to leave the room out: the wearer sees their own."""
        return self._passthrough.is_on

    def show_own_room(self, wanted: bool) -> None:
        """Passthrough on or off, where it is offered."""
        with xr_problems("switching its passthrough"):
            self._passthrough.switch(wanted)

    def tick(self, side: int, strength: float = 0.4) -> None:
        """A short pulse in a hand: 0 left, 1 right."""
        if self.state is xr.SessionState.FOCUSED:
            with xr_problems("moving its controllers"):
                self._actions.tick(side, strength)

    @contextmanager
    def eye_picture(self, eye: int) -> Iterator[moderngl.Framebuffer]:
        """Within the block the framebuffer is what the eye will see; OpenGL's own orientation."""
        with xr_problems("drawing for it"), self._targets[eye].drawn() as framebuffer:
            yield framebuffer

    @contextmanager
    def panel_picture(self) -> Iterator[moderngl.Framebuffer]:
        """As `eye_picture`, for the panel; premultiplied."""
        with xr_problems("drawing its panel"), self._panel.drawn() as framebuffer:
            yield framebuffer

    def end_turn(
        self,
        turn: Turn,
        eyes: Sequence[Eye] | None = None,
        panel: tuple[Pose, tuple[float, float]] | None = None,
    ) -> None:
        """Hand the pictures over. `eyes`: those that were drawn for, None where nothing was drawn;
        `panel`: where its middle is in the room, and its size in metres."""
        with xr_problems("handing it a frame"):
            kept, layers = [], []
            if eyes is not None:
                layers += self._passthrough.layers()
                layers.append(self._projection(eyes, kept))
                if panel is not None:
                    layers.append(self._quad(*panel))
            base = ctypes.POINTER(xr.CompositionLayerBaseHeader)
            xr.end_frame(
                self._session,
                xr.FrameEndInfo(
                    display_time=turn.display_time,
                    environment_blend_mode=self._passthrough.blend,
                    layers=[ctypes.cast(ctypes.pointer(layer), base) for layer in layers],
                ),
            )

    def request_exit(self) -> None:
        """Ask the runtime to end the session in order; events tell when it has."""
        with xr_problems("leaving it"):
            if self.is_running:
                xr.request_exit_session(self._session)

    def release(self, *, is_lost: bool = False) -> None:
        """Give everything back. `is_lost`: the runtime is gone and is not asked."""
        if self._released:
            return
        self._released = True
        for target in (*self._targets, self._panel):
            target.release()
        if is_lost:
            return  # the instance, closed next, takes its handles along
        try:
            self._passthrough.release()
            for trackers in (self._trackers, self._face):
                if trackers is not None:
                    trackers.release()
            self._actions.release()
            self.room.release()
            for target in (*self._targets, self._panel):
                target.destroy()
            xr.destroy_session(self._session)
        except xr.exception.XrException as error:
            log.info("giving a session back: %s", type(error).__name__)

    def _check_graphics(self) -> None:
        needs = xr.GraphicsRequirementsOpenGLKHR()
        ask = self._runtime.function(
            "xrGetOpenGLGraphicsRequirementsKHR", xr.PFN_xrGetOpenGLGraphicsRequirementsKHR
        )
        result = xr.check_result(
            xr.Result(ask(self._instance, self._runtime.system, ctypes.byref(needs)))
        )
        if result.is_exception():
            raise result
        least = xr.Version(needs.min_api_version_supported)
        have = self._context.version_code
        if least.major * 100 + least.minor * 10 > have:
            raise HeadsetError(
                f"no headset: its runtime wants OpenGL {least.major}.{least.minor}, the window has "
                f"{have // 100}.{have // 10 % 10}. Install a newer graphics driver."
            )
        if xr_graphics.is_egl() and EGL not in self._runtime.extensions:
            raise HeadsetError(
                "no headset: its runtime takes OpenGL from X11 only, and this window is one of "
                "Wayland or has no display. Start the program in an X11 session."
            )

    def _probe_passthrough(self) -> Passthrough:
        modes = xr.enumerate_environment_blend_modes(self._instance, self._runtime.system, STEREO)
        has_layer = PASSTHROUGH in self._runtime.extensions and bool(
            self._runtime.properties(xr.SystemPassthroughPropertiesFB()).supports_passthrough
        )
        return Passthrough(self._session, list(modes), has_layer=has_layer)

    def _choose_rate(self) -> None:
        if "XR_FB_display_refresh_rate" not in self._runtime.extensions:
            return
        offered = [float(rate) for rate in xr.enumerate_display_refresh_rates_fb(self._session)]
        rate = chosen_rate(offered)
        if rate is not None:
            xr.request_display_refresh_rate_fb(self._session, rate)

    def _visible_mesh(self, eye: int) -> NDArray[np.float32] | None:
        if "XR_KHR_visibility_mask" not in self._runtime.extensions:
            return None
        ask = self._runtime.function("xrGetVisibilityMaskKHR", xr.PFN_xrGetVisibilityMaskKHR)
        mask = xr.VisibilityMaskKHR()
        kind = xr.VisibilityMaskTypeKHR.VISIBLE_TRIANGLE_MESH.value

        def fill() -> None:
            result = ask(self._session, STEREO.value, eye, kind, ctypes.byref(mask))
            problem = xr.check_result(xr.Result(result))
            if problem.is_exception():
                raise problem

        fill()  # how many
        if not mask.index_count_output:
            return None
        vertices = (xr.Vector2f * mask.vertex_count_output)()
        indices = (ctypes.c_uint32 * mask.index_count_output)()
        mask.vertex_capacity_input, mask.index_capacity_input = len(vertices), len(indices)
        mask.vertices = ctypes.cast(vertices, ctypes.POINTER(xr.Vector2f))
        mask.indices = ctypes.cast(indices, ctypes.POINTER(ctypes.c_uint32))
        fill()
        corners = np.frombuffer(vertices, np.float32).reshape(-1, 2)
        return np.ascontiguousarray(corners[np.frombuffer(indices, np.uint32)])

    def _take(self, event: Any, news: News) -> None:
        kinds = xr.StructureType
        kind = kinds(event.type)
        if kind == kinds.EVENT_DATA_SESSION_STATE_CHANGED:
            changed = _as(event, xr.EventDataSessionStateChanged)
            self._go_to(xr.SessionState(changed.state), news)
        elif kind == kinds.EVENT_DATA_INSTANCE_LOSS_PENDING:
            news.ended = "the headset's runtime is about to end. The window goes on."
        elif kind == kinds.EVENT_DATA_REFERENCE_SPACE_CHANGE_PENDING:
            changed = _as(event, xr.EventDataReferenceSpaceChangePending)
            if xr.ReferenceSpaceType(changed.reference_space_type) is self.room.kind:
                self._recentre_at.append(int(changed.change_time))
        elif kind == kinds.EVENT_DATA_INTERACTION_PROFILE_CHANGED:
            self._actions.profile_changed()
        elif kind == kinds.EVENT_DATA_VISIBILITY_MASK_CHANGED_KHR:
            self.masks = [self._visible_mesh(eye) for eye in range(2)]
        elif kind == kinds.EVENT_DATA_EVENTS_LOST:
            log.warning("the headset's runtime lost events")

    def _go_to(self, state: Any, news: News) -> None:
        self.state = state
        log.info("headset: %s", state.name)
        if state == xr.SessionState.READY:
            xr.begin_session(self._session, xr.SessionBeginInfo(STEREO))
            self.is_running = True
        elif state == xr.SessionState.STOPPING:
            self.is_running = False
            xr.end_session(self._session)
        elif state == xr.SessionState.EXITING:
            news.ended = "the headset's own menu ended the session. The window goes on."
            news.may_return = False
        elif state == xr.SessionState.LOSS_PENDING:
            news.ended = "the headset was lost. The window goes on, and looks for it."

    def recentred_by(self, turn: Turn) -> bool:
        """Whether the system moved the room between the last turn and this one."""
        due = [moment for moment in self._recentre_at if moment <= turn.display_time]
        self._recentre_at = [moment for moment in self._recentre_at if moment > turn.display_time]
        return bool(due)

    def _projection(self, eyes: Sequence[Eye], kept: list[Any]) -> Any:
        # Real objects: those of a ctypes array skip __init__ and say no type.
        views = (xr.CompositionLayerProjectionView * 2)(
            xr.CompositionLayerProjectionView(), xr.CompositionLayerProjectionView()
        )
        for view, eye, target in zip(views, eyes, self._targets, strict=True):
            left, right, down, up = eye.angles
            view.pose = posef(eye.pose)
            view.fov = xr.Fovf(angle_left=left, angle_right=right, angle_up=up, angle_down=down)
            view.sub_image = target.colour.sub_image()
            if target.depth is not None:
                depth = xr.CompositionLayerDepthInfoKHR(
                    sub_image=target.depth.sub_image(),
                    min_depth=0.0,
                    max_depth=1.0,
                    near_z=NEAR_M,
                    far_z=FAR_M,
                )
                kept.append(depth)
                view.next = ctypes.cast(ctypes.pointer(depth), ctypes.c_void_p)
        kept.append(views)
        flags = xr.CompositionLayerFlags
        return xr.CompositionLayerProjection(
            layer_flags=flags.BLEND_TEXTURE_SOURCE_ALPHA_BIT if self.shows_own_room else flags.NONE,
            space=self.room.space,
            view_count=2,
            views=views,
        )

    def _quad(self, pose: Pose, size: tuple[float, float]) -> Any:
        return xr.CompositionLayerQuad(
            layer_flags=xr.CompositionLayerFlags.BLEND_TEXTURE_SOURCE_ALPHA_BIT,
            space=self.room.space,
            sub_image=self._panel.colour.sub_image(),
            pose=posef(pose),
            size=xr.Extent2Df(*size),
        )

    def _seconds(self, display_time: int, now_s: float, period_s: float) -> float:
        """`display_time` on the clock of `time.perf_counter`."""
        extensions = self._runtime.extensions
        if sys.platform == "win32":
            if "XR_KHR_win32_convert_performance_counter_time" not in extensions:
                return now_s + period_s
            ticks, frequency = ctypes.c_int64(), ctypes.c_int64()
            convert = self._runtime.function(
                "xrConvertTimeToWin32PerformanceCounterKHR",
                ctypes.CFUNCTYPE(ctypes.c_int, xr.Instance, ctypes.c_int64, ctypes.c_void_p),
            )
            convert(self._instance, display_time, ctypes.byref(ticks))
            ctypes.WinDLL("kernel32").QueryPerformanceFrequency(ctypes.byref(frequency))  # pyright: ignore[reportAttributeAccessIssue] (Windows')
            return ticks.value / frequency.value
        if "XR_KHR_convert_timespec_time" not in extensions:
            return now_s + period_s
        convert = self._runtime.function(
            "xrConvertTimeToTimespecTimeKHR", xr.PFN_xrConvertTimeToTimespecTimeKHR
        )
        moment = xr.timespec()
        convert(self._instance, display_time, ctypes.byref(moment))
        return moment.tv_sec + moment.tv_nsec / 1e9


def chosen_rate(offered: Sequence[float]) -> float | None:
    """The rate to ask for, Hz; None: leave it as it is."""
    for rate in REFRESH_HZ:
        for one in offered:
            if abs(one - rate) < 0.5:
                return one
    return None


def _as(event: Any, kind: Any) -> Any:
    return ctypes.cast(ctypes.byref(event), ctypes.POINTER(kind)).contents
