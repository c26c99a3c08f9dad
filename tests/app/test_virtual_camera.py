"""The virtual camera with a stand-in for pyvirtualcam: this machine has no such device."""

import sys
import time
import types

import numpy as np
import pytest

from app import virtual_camera
from app.frame_sink import Shown
from app.virtual_camera import VirtualCamera
from avatar.errors import DeviceError

GREEN = (0.0, 1.0, 0.0)


class StandInCamera:
    """Stands for `pyvirtualcam.Camera`: keeps what it is sent."""

    opened: "list[StandInCamera]" = []  # noqa: RUF012 (the test's own)

    def __init__(self, width: int, height: int, fps: float, *, fmt: str, device: str | None):
        if device == "absent":
            raise RuntimeError("'v4l2loopback' backend: No v4l2 loopback device found!\nTry this.")
        self.device = device or "/dev/video0"
        self.size, self.fps, self.fmt = (width, height), fps, fmt
        self.sent: list[np.ndarray] = []
        self.times: list[float] = []
        self.closed = self.breaks = False
        self.opened.append(self)

    def send(self, picture: np.ndarray) -> None:
        if self.breaks:
            raise RuntimeError("the device was unplugged")
        self.sent.append(picture.copy())
        self.times.append(time.perf_counter())

    def __enter__(self) -> "StandInCamera":
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandInCamera]:
    module = types.ModuleType("pyvirtualcam")
    module.__spec__ = types.SimpleNamespace(name="pyvirtualcam")  # pyright: ignore
    module.Camera = StandInCamera  # pyright: ignore[reportAttributeAccessIssue]
    module.PixelFormat = types.SimpleNamespace(RGB="rgb")  # pyright: ignore
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    StandInCamera.opened.clear()
    return StandInCamera


def opened(name: str = "") -> VirtualCamera:
    return VirtualCamera(name, size=(64, 48), fps=50.0, backdrop=GREEN)


def test_the_newest_picture_is_sent_at_a_constant_rate_over_the_backdrop(stand_in):
    camera = opened()
    (device,) = stand_in.opened
    assert (device.size, device.fps, device.fmt) == ((64, 48), 50.0, "rgb")
    assert "/dev/video0, 64 x 48, 50 fps" in camera.description
    shown = np.zeros((96, 128, 4), np.uint8)  # drawn twice as large
    shown[:, 64:] = (200, 10, 20, 255)
    begin_s = time.perf_counter()
    while (now_s := time.perf_counter()) < begin_s + 1.0:
        if now_s > begin_s + 0.3 and camera.wants(now_s):
            camera.take(Shown(shown, now_s, None))
        time.sleep(0.1)  # ten pictures a second
    camera.close()
    assert device.closed
    assert 40 <= len(device.sent) <= 55
    assert device.sent[0].shape == (48, 64, 3)
    assert device.sent[0].reshape(-1, 3).min(0).tolist() == [0, 255, 0]  # until there is a face
    assert device.sent[-1][20, 10].tolist() == [0, 255, 0]
    assert device.sent[-1][20, 60].tolist() == [200, 10, 20]
    assert not camera.wants(now_s)


def test_only_what_can_be_sent_is_wanted(stand_in):
    camera = opened()
    shown = Shown(np.zeros((48, 64, 4), np.uint8), 0.0, None)
    wanted = 0
    begin_s = time.perf_counter()
    while time.perf_counter() < begin_s + 0.5:
        if camera.wants(0.0):
            camera.take(shown)
            wanted += 1
        time.sleep(0.001)
    camera.close()
    assert 10 < wanted < 35  # of 500


def test_a_lost_device_is_told_and_costs_nothing_else(stand_in):
    camera = opened()
    stand_in.opened[0].breaks = True
    end = time.perf_counter() + 5
    while not camera.problem or camera.wants(0.0):
        assert time.perf_counter() < end
        time.sleep(0.01)
    assert camera.problem == "the virtual camera was lost (the device was unplugged)."
    assert not camera.wants(0.0)
    camera.close()


def test_without_a_device_one_line_says_what_to_do(stand_in):
    with pytest.raises(DeviceError, match="--virtual-camera: no camera 'absent'") as caught:
        opened("absent")
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    if sys.platform.startswith("linux"):
        assert "modprobe v4l2loopback" in text


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(virtual_camera, "PACKAGE", "pyvirtualcam_that_is_not_installed")
    with pytest.raises(
        DeviceError, match=r"is not installed .* -m pip install pyvirtualcam"
    ) as caught:
        opened()
    assert "GPL-2" in str(caught.value)


def test_it_is_not_imported_unless_it_is_asked_for():
    import subprocess

    code = (
        "import sys, app.commands.live; "
        "print([name for name in ('pyvirtualcam', 'aiohttp') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "[]", printed.stderr
