"""The OpenGL context that is current, as an OpenXR runtime wants to be told of it.

Windows has WGL; Linux has GLX under X11, and EGL under Wayland and where there is no display at
all (by `XR_MNDX_egl_enable`, which Monado has and most others have not).
"""

import ctypes
import sys
from typing import Any

from avatar.errors import HeadsetError
from render.xr_runtime import xr

EGL_EXTENSION = "XR_MNDX_egl_enable"
_EGL_CONFIG_ID, _EGL_NONE = 0x3028, 0x3038
_GLX_VISUAL_ID, _GLX_FBCONFIG_ID = 0x800B, 0x8013


def is_egl() -> bool:
    """Whether the current context is one of EGL; the extension is wanted then."""
    egl = _egl()
    return egl is not None and bool(egl.eglGetCurrentContext())


def binding() -> Any:
    """The structure that `xr.SessionCreateInfo.next` takes for the context that is current.

    Raises:
        HeadsetError: none is current, or of a kind that OpenXR has no word for.
    """
    if sys.platform == "win32":
        return _wgl_binding()
    if is_egl():
        return _egl_binding()
    if sys.platform.startswith("linux"):
        return _glx_binding()
    raise HeadsetError(
        f"no headset on {sys.platform}: OpenXR with OpenGL is for Windows and Linux."
    )


def _wgl_binding() -> Any:
    opengl = ctypes.WinDLL("opengl32")  # pyright: ignore[reportAttributeAccessIssue] (Windows')
    values = []
    for name in ("wglGetCurrentDC", "wglGetCurrentContext"):
        function = getattr(opengl, name)
        function.restype = ctypes.c_void_p  # a handle is as wide as a pointer, not as an int
        values.append(function())
    if not all(values):
        raise HeadsetError("no headset: no OpenGL context is current. Report this as a fault.")
    return xr.GraphicsBindingOpenGLWin32KHR(h_dc=values[0], h_glrc=values[1])  # pyright: ignore[reportAttributeAccessIssue] (Windows')


def _glx_binding() -> Any:
    glx = _glx()
    display, context = glx.glXGetCurrentDisplay(), glx.glXGetCurrentContext()
    if not context:
        raise HeadsetError("no headset: no OpenGL context is current. Report this as a fault.")
    number, found, visual = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    glx.glXQueryContext(display, context, _GLX_FBCONFIG_ID, ctypes.byref(number))
    wanted = (ctypes.c_int * 3)(_GLX_FBCONFIG_ID, number.value, 0)
    configs = glx.glXChooseFBConfig(display, 0, wanted, ctypes.byref(found))
    if not found.value:
        raise HeadsetError("no headset: X11 does not know the window's own pixel format.")
    glx.glXGetFBConfigAttrib(display, configs[0], _GLX_VISUAL_ID, ctypes.byref(visual))
    made = xr.GraphicsBindingOpenGLXlibKHR()
    fields: dict[str, Any] = dict(xr.GraphicsBindingOpenGLXlibKHR._fields_)
    made.x_display = ctypes.cast(display, fields["x_display"])
    made.visualid = visual.value
    made.glx_fbconfig = ctypes.cast(configs[0], fields["glx_fbconfig"])
    made.glx_drawable = glx.glXGetCurrentDrawable()
    made.glx_context = ctypes.cast(context, fields["glx_context"])
    return made


def _egl_binding() -> Any:
    egl = _egl()
    assert egl is not None
    display, context = egl.eglGetCurrentDisplay(), egl.eglGetCurrentContext()
    number, found, config = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
    egl.eglQueryContext(display, context, _EGL_CONFIG_ID, ctypes.byref(number))
    wanted = (ctypes.c_int * 3)(_EGL_CONFIG_ID, number.value, _EGL_NONE)
    egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(found))
    made = xr.GraphicsBindingEGLMNDX()
    fields: dict[str, Any] = dict(xr.GraphicsBindingEGLMNDX._fields_)
    made.get_proc_address = ctypes.cast(egl.eglGetProcAddress, xr.PFN_xrEglGetProcAddressMNDX)
    # A context that was made without a configuration has none to tell; Monado takes that.
    made.display = ctypes.cast(display, fields["display"])
    made.config = ctypes.cast(config, fields["config"])
    made.context = ctypes.cast(context, fields["context"])
    return made


def _glx() -> ctypes.CDLL:
    """The GLX that the window uses. (PyOpenGL may find another copy of the library, which knows no
    context of this one.)"""
    try:
        glx = ctypes.CDLL("libGLX.so.0")
    except OSError:
        glx = ctypes.CDLL("libGL.so.1")
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "glXGetCurrentDisplay": (pointer, []),
        "glXGetCurrentContext": (pointer, []),
        "glXGetCurrentDrawable": (ctypes.c_ulong, []),
        "glXQueryContext": (integer, [pointer, pointer, integer, pointer]),
        "glXChooseFBConfig": (
            ctypes.POINTER(pointer),
            [pointer, integer, pointer, pointer],
        ),
        "glXGetFBConfigAttrib": (integer, [pointer, pointer, integer, pointer]),
    }
    return _typed(glx, signatures)


def _typed(library: ctypes.CDLL, signatures: dict[str, tuple[Any, list[Any]]]) -> ctypes.CDLL:
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _egl() -> ctypes.CDLL | None:
    """libEGL by plain ctypes: importing `xr` binds PyOpenGL to GLX, and then it has no EGL."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return None
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "eglGetCurrentContext": (pointer, []),
        "eglGetCurrentDisplay": (pointer, []),
        "eglQueryContext": (integer, [pointer, pointer, integer, pointer]),
        "eglChooseConfig": (integer, [pointer, pointer, pointer, integer, pointer]),
    }
    return _typed(egl, signatures)
