"""The project's own head, moved by exported curves alone: what a game engine gets.

It is given datagrams of a stream, decodes the 174 controls and the head's pose out of them, and
draws a plain head with nothing else. Beside the avatar one sees what the export keeps.
"""

import contextlib
import socket

import moderngl
import numpy as np

from app.frame_loop import Display, Picture
from app.posing import neutral_motion
from app.streams.targets import LOOPBACK, Target
from avatar.deform import Deformer
from avatar.rig.messages import arrays_of, osc_arrays
from avatar.rig.metahuman import to_arkit
from avatar.rig.plain_avatar import plain_avatar
from avatar.types import MotionFrame
from render.camera import orbit_view
from render.choose import open_renderer
from render.renderer import CardPicture, Image


class RigHead:
    """The plain head and what draws it: the processor, which is there on every machine."""

    def __init__(self) -> None:
        """Raises: VisavisError where the template is missing or no renderer runs here."""
        self._deformer = Deformer(plain_avatar())
        self._renderer = open_renderer("cpu")
        self._motion = neutral_motion()

    def take(self, datagram: bytes) -> None:
        """Move as this datagram of an osc stream says.

        Raises:
            MotionFileError: not such a datagram.
        """
        self._motion = motion_of(datagram)

    def picture(self, width: int, height: int, view: tuple[float, float, float]) -> Image:
        """[H, W, 4] premultiplied. `view`: yaw, pitch (rad) and distance (m) of the camera."""
        camera = orbit_view(*view, width=width, height=height)
        gaussians = self._deformer.gaussians(self._motion, seen_from=camera.position)
        return self._renderer.render_with_alpha(gaussians, [camera])[0]

    def film_picture(
        self,
        motion: MotionFrame,
        size: tuple[int, int],
        view: tuple[float, float, float],
        background: tuple[float, float, float],
    ) -> Image:
        """[H, W, 3] of a frame that went through a datagram; `size` width and height."""
        (datagram,) = osc_arrays(motion, motion.index, motion.time_s)
        self.take(datagram)
        drawn = self.picture(*size, view).astype(np.float32)
        behind = 255 * np.asarray(background, np.float32) * (1 - drawn[..., 3:] / 255)
        return np.round(drawn[..., :3] + behind).clip(0, 255).astype(np.uint8)


class BesideDisplay:
    """A display with the rig's head to the right of the avatar. Takes the place of the display."""

    takes_textures = False
    across = 2
    view = (0.0, 0.0, 1.0)

    def __init__(self, display: Display) -> None:
        """Raises: DeviceError, AssetError where the head or its socket cannot be had."""
        self._display = display
        self._head = RigHead()
        self.panel, self.refresh_s = display.panel, display.refresh_s
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._socket.setblocking(False)
        self._both: Picture = np.zeros((1, 2, 4), np.uint8)

    @property
    def target(self) -> Target:
        """Where the stream that moves the head is to be sent."""
        return Target("osc", LOOPBACK, self._socket.getsockname()[1])

    def begin_frame(self) -> bool:
        return self._display.begin_frame()

    def room(self) -> tuple[int, int]:
        width, height = self._display.room()
        return max(width // 2, 1), height

    def show(self, picture: Picture | CardPicture | None) -> None:
        assert not isinstance(picture, CardPicture)
        if picture is None:
            self._display.show(None)
            return
        newest = self._newest()
        if newest is not None:
            self._head.take(newest)
        height, width = picture.shape[:2]
        if self._both.shape[:2] != (height, 2 * width):
            self._both = np.zeros((height, 2 * width, 4), np.uint8)
        self._both[:, :width] = picture
        self._both[:, width:] = self._head.picture(width, height, self.view)
        self._display.show(self._both)

    def whole(self, picture: Picture) -> Picture:
        assert picture.shape[1] * self.across == self._both.shape[1]
        return self._both

    def show_texture(self, texture: moderngl.Texture | None) -> None:
        """What a headset's wearer sees, without the rig's head."""
        self._display.show_texture(texture)

    def close(self) -> None:
        self._socket.close()

    def _newest(self) -> bytes | None:
        """The last datagram that waits; those before it are old."""
        newest = None
        with contextlib.suppress(OSError):
            while True:
                newest = self._socket.recv(65536)
        return newest


def motion_of(datagram: bytes) -> MotionFrame:
    """The face that an engine sees in a datagram: from its controls, not from its ARKit weights.

    Raises:
        MotionFileError: not a datagram of an osc stream.
    """
    arrays = arrays_of(datagram)
    face = to_arkit(arrays["metahuman"][None])
    zeros = np.zeros(3, np.float32)
    return MotionFrame(
        index=0,
        time_s=0.0,
        latent=np.zeros(0, np.float32),
        expression=face.expression[0],
        gaze=face.gaze[0],
        head_rotation=arrays.get("head/rotation", zeros),
        head_translation=arrays.get("head/translation", zeros),
        tongue=face.tongue[0],
    )
