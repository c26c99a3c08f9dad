"""The OpenXR runtime of this machine, and whether a headset is connected to it.

The only thing here that may take long: some runtimes start a service, or a whole desktop program,
when they are asked for the first time. All may be called from any thread, one at a time.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avatar.errors import HeadsetError

# Before the loader is loaded: it would write each failure to the terminal, and we try again often.
os.environ.setdefault("XR_LOADER_DEBUG", "none")


@contextmanager
def libraries_kept_apart() -> Iterator[None]:
    """PyOpenGL, which `xr` brings, lends the system's OpenGL to every library that is loaded later.
    mediapipe has its own, calls the lent one instead, where no context is current, and crashes."""
    lent, ctypes.RTLD_GLOBAL = ctypes.RTLD_GLOBAL, ctypes.RTLD_LOCAL  # pyright: ignore[reportConstantRedefinition]
    try:
        yield
    finally:
        ctypes.RTLD_GLOBAL = lent  # pyright: ignore[reportConstantRedefinition]


try:
    with libraries_kept_apart():
        import xr as _xr
except (ImportError, OSError, AttributeError, NotImplementedError) as _problem:
    raise HeadsetError(
        f"no headset: OpenXR's loader cannot be used here ({_problem}). "
        "Install what run.py lists, or go on in the window."
    ) from _problem

xr: Any = _xr
"""OpenXR for all files that speak it. Its own types are wrong where C has numbers of 64 bits."""

log = logging.getLogger(__name__)

OPENGL = "XR_KHR_opengl_enable"
EGL = "XR_MNDX_egl_enable"
WELCOME = (
    EGL,
    "XR_KHR_composition_layer_depth",
    "XR_KHR_visibility_mask",
    "XR_KHR_convert_timespec_time"
    if sys.platform != "win32"
    else "XR_KHR_win32_convert_performance_counter_time",
    "XR_EXT_local_floor",
    "XR_EXT_hand_tracking",
    "XR_EXT_hand_interaction",
    "XR_EXT_eye_gaze_interaction",
    "XR_FB_display_refresh_rate",
    "XR_FB_passthrough",
    "XR_FB_face_tracking2",
    "XR_HTC_facial_tracking",
)
"""Extensions that are used where the runtime has them. Each is done without where it has not."""
NOT_FOUND = {
    "RuntimeUnavailableError": (
        "no headset: no OpenXR runtime is installed. Install the headset's software (SteamVR, "
        "Meta, Windows Mixed Reality, Monado) and make its OpenXR runtime the active one."
    ),
    "RuntimeFailureError": (
        "no headset: the OpenXR runtime does not answer. Start its service or its software."
    ),
    "FormFactorUnavailableError": "no headset: the OpenXR runtime sees none. Connect it, wake it.",
    "FormFactorUnsupportedError": (
        "no headset: the active OpenXR runtime is for another kind of device. Choose another one."
    ),
}


@contextmanager
def xr_problems(doing: str) -> Iterator[None]:
    """Within the block what OpenXR reports becomes a `HeadsetError` that says what was done.

    Raises: HeadsetError.
    """
    try:
        yield
    except xr.exception.XrException as error:
        name = type(error).__name__
        text = NOT_FOUND.get(name)
        if text is None:
            said = " ".join(str(error).split()) or name
            text = f"the headset was lost, {doing}: {said} ({name}). The window goes on."
        raise HeadsetError(text) from error


class RuntimeLostError(HeadsetError):
    """The runtime itself is gone, not only its headset."""


class Runtime:
    """An instance of OpenXR, and the headset that it has."""

    def __init__(self) -> None:
        """Ask the runtime that this machine has made the active one.

        Raises:
            HeadsetError: there is none, it does not answer, or it does not take OpenGL.
        """
        self._closed = False
        self._system: Any = None
        with xr_problems("asking its runtime"):
            offered = {
                properties.extension_name.decode()
                for properties in xr.enumerate_instance_extension_properties()
            }
            if OPENGL not in offered:
                raise HeadsetError(
                    "no headset: the OpenXR runtime takes no OpenGL. Make another one active."
                )
            self.extensions = frozenset(name for name in (OPENGL, *WELCOME) if name in offered)
            """What is on."""
            self.instance = xr.create_instance(
                xr.InstanceCreateInfo(
                    application_info=xr.ApplicationInfo(
                        "visavis", 1, "visavis", 1, xr.XR_API_VERSION_1_0
                    ),
                    enabled_extension_names=sorted(self.extensions),
                )
            )
            properties = xr.get_instance_properties(self.instance)
        self.name = properties.runtime_name.decode(errors="replace")
        self.version = str(xr.Version(properties.runtime_version))

    def find_headset(self) -> None:
        """See whether a headset is connected now.

        Raises:
            HeadsetError: none is; a `RuntimeLostError` where the runtime is gone.
        """
        wanted = xr.SystemGetInfo(form_factor=xr.FormFactor.HEAD_MOUNTED_DISPLAY)
        try:
            with xr_problems("looking for it"):
                self._system = xr.get_system(self.instance, wanted)
        except HeadsetError as error:
            if isinstance(error.__cause__, xr.FormFactorUnavailableError):
                raise
            raise RuntimeLostError(str(error)) from error
        with xr_problems("looking at it"):
            properties = xr.get_system_properties(self.instance, self._system)
        self.headset_name = properties.system_name.decode(errors="replace")
        self.largest_px = (
            properties.graphics_properties.max_swapchain_image_width,
            properties.graphics_properties.max_swapchain_image_height,
        )
        self.most_layers = properties.graphics_properties.max_layer_count

    @property
    def system(self) -> Any:
        """The headset's id, after `find_headset`."""
        assert self._system is not None, "find_headset comes first"
        return self._system

    @property
    def description(self) -> str:
        """Runtime and headset, for a person to read."""
        return f"{self.headset_name} by {self.name} {self.version}"

    def properties(self, told: Any) -> Any:
        """The headset's word on one extension that is on: `told`, filled in."""
        ask = self.function("xrGetSystemProperties", xr.PFN_xrGetSystemProperties)
        all_of_it = xr.SystemProperties()
        all_of_it.next = ctypes.cast(ctypes.pointer(told), ctypes.c_void_p)
        problem = xr.check_result(
            xr.Result(ask(self.instance, self.system, ctypes.byref(all_of_it)))
        )
        if problem.is_exception():
            raise problem
        return told

    def function(self, name: str, kind: Any) -> Any:
        """A function of an extension that is on."""
        return ctypes.cast(xr.get_instance_proc_addr(self.instance, name), kind)

    def close(self) -> None:
        """Let go of the runtime, whether it lives or not."""
        if self._closed:
            return
        self._closed = True
        try:
            xr.destroy_instance(self.instance)
        except xr.exception.XrException as error:
            log.info("closing a lost runtime: %s", type(error).__name__)
