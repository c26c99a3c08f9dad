"""Which renderer a name opens."""

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast, get_args

import moderngl
import numpy as np
import pytest

from app.settings import Backend
from avatar.errors import DeviceError
from render import choose, cuda_driver, cuda_probe, gl_driver
from render.choose import RENDERER_NAMES, fastest_renderer, open_renderer, openable_renderers
from render.cuda_probe import CudaProbe
from render.gl import GlRenderer
from render.gl_driver import Driver
from tests.render.fake_cuda import fake_library
from tests.render.scenes import front_view, random_gaussians


@pytest.fixture(autouse=True)
def _no_nvidia(monkeypatch) -> None:
    """Also where these tests run on a machine that has a card."""
    monkeypatch.setattr(cuda_probe, "_DEVICE_NODES", ())
    cuda_probe.probe_cuda.cache_clear()


@pytest.fixture
def nvidia(monkeypatch, tmp_path) -> Callable[[CudaProbe], None]:
    """Makes this machine one with a (fake) NVIDIA card and driver, of which the probe says that."""

    def pretend(probe: CudaProbe) -> None:
        monkeypatch.setattr(cuda_probe, "has_nvidia_driver", lambda: True)
        monkeypatch.setattr(cuda_probe, "probe_cuda", lambda: probe)
        monkeypatch.setattr(cuda_driver, "driver_library", fake_library)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    return pretend


@pytest.fixture
def machine(monkeypatch) -> Callable[[Driver | None], None]:
    """Makes this machine one with a graphics card and that driver."""

    def pretend(driver: Driver | None) -> None:
        monkeypatch.setattr(gl_driver, "has_card", lambda: True)
        monkeypatch.setattr(gl_driver, "probe_driver", lambda: driver)

    return pretend


def test_without_a_graphics_card_auto_takes_the_processor_and_asks_no_driver(monkeypatch):
    monkeypatch.setattr(gl_driver, "has_card", lambda: False)
    monkeypatch.setattr(gl_driver, "probe_driver", lambda: pytest.fail("asked"))
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert "no graphics card" in renderer.reason


@pytest.mark.parametrize(
    "software",
    [
        "llvmpipe (LLVM 15.0.6, 256 bits)",
        "softpipe",
        "SWR (LLVM 11.0, 256 bits)",
        "Microsoft Basic Render Driver",
        "D3D12 (Microsoft Basic Render Driver)",
        "zink Vulkan 1.3(llvmpipe (LLVM 19.1.7, 256 bits) (LLVMPIPE_VULKAN_DRIVER))",
        "GDI Generic",
        "Apple Software Renderer",
        "Software Rasterizer",
        "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)))",
        "",
    ],
)
def test_a_driver_that_draws_on_the_processor_is_not_taken_for_a_card(machine, software):
    machine(Driver(software, "4.5"))
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert software in renderer.reason


@pytest.mark.parametrize(
    "card",
    [
        "NVIDIA GeForce RTX 4070/PCIe/SSE2",
        "Mesa Intel(R) Iris(R) Xe Graphics (TGL GT2)",
        "AMD Radeon RX 7800 XT (radeonsi, navi32, LLVM 19.1.7, DRM 3.61)",
        "Apple M2",
        "D3D12 (NVIDIA GeForce RTX 3080)",
    ],
)
def test_with_a_graphics_card_auto_takes_it_and_says_why(machine, card):
    machine(Driver(card, "4.6"))
    renderer = open_renderer()
    assert isinstance(renderer, GlRenderer)
    with renderer:
        assert "there is a graphics card" in renderer.reason


def test_a_card_without_a_driver_leaves_the_processor(machine):
    machine(None)
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert "no driver" in renderer.reason


def test_a_card_that_fails_when_it_is_opened_leaves_the_processor(machine, monkeypatch):
    machine(Driver("NVIDIA GeForce", "4.6"))

    def fail(**_: object) -> GlRenderer:
        raise DeviceError("lost the card")

    monkeypatch.setattr(choose, "GlRenderer", fail)
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert "lost the card" in renderer.reason


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no list to look in")
@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], False),
        (["null", "tty0", "dri/by-path/pci-0"], False),
        (["dri/renderD128"], True),
        (["nvidia0", "nvidiactl"], True),
        (["dxg"], True),
    ],
)
def test_a_card_is_looked_for_without_asking_a_driver(tmp_path, monkeypatch, nodes, expected):
    for node in nodes:
        (tmp_path / node).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / node).touch()
    monkeypatch.setattr(gl_driver, "DEVICES", tmp_path)
    assert gl_driver.has_card() == expected


def test_the_driver_of_this_machine_is_asked_quietly_in_a_process_of_its_own(capfd):
    gl_driver.probe_driver.cache_clear()
    driver = gl_driver.probe_driver()
    assert driver is not None
    assert driver.renderer
    assert gl_driver.probe_driver() is driver
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(1)",
        "import os; os.abort()",
        "print('no JSON')",
        "print('{}')",
        "print('[]')",
        "",
        "import time; time.sleep(60)",
    ],
)
def test_a_driver_that_fails_crashes_talks_or_hangs_counts_as_none(
    tmp_path, monkeypatch, capfd, program
):
    script = tmp_path / "driver.py"
    script.write_text(program)
    monkeypatch.setattr(gl_driver, "__file__", str(script))
    monkeypatch.setattr(gl_driver, "PROBE_LIMIT_S", 0.5)
    gl_driver.probe_driver.cache_clear()
    assert gl_driver.probe_driver() is None
    gl_driver.probe_driver.cache_clear()
    assert capfd.readouterr() == ("", "")


def test_with_an_nvidia_card_auto_takes_cuda_before_opengl(nvidia, machine):
    nvidia(CudaProbe("fake card", ""))
    machine(Driver("NVIDIA GeForce RTX 4070/PCIe/SSE2", "4.6"))
    renderer = open_renderer()
    assert renderer.name == "cuda"
    assert "there is an NVIDIA card" in renderer.reason
    assert "fake card" in renderer.reason
    renderer.release()


def test_where_cuda_does_not_work_opengl_draws_and_says_why(nvidia, machine):
    nvidia(CudaProbe("", "NVIDIA's run-time compiler is missing"))
    machine(Driver("NVIDIA GeForce RTX 4070/PCIe/SSE2", "4.6"))
    assert fastest_renderer() == (
        "gl",
        "chosen by itself: there is a graphics card; without CUDA: NVIDIA's run-time compiler is "
        "missing",
    )


def test_a_card_that_fails_cuda_after_all_leaves_opengl_or_the_processor(
    nvidia, machine, monkeypatch
):
    def fail(**_: object) -> None:
        raise DeviceError("lost the card")

    nvidia(CudaProbe("fake card", ""))
    monkeypatch.setattr(choose, "CudaRenderer", fail)
    machine(Driver("NVIDIA GeForce RTX 4070/PCIe/SSE2", "4.6"))
    renderer = open_renderer()
    assert renderer.name == "gl"
    assert "lost the card" in renderer.reason
    renderer.release()
    machine(None)
    renderer = open_renderer()
    assert renderer.name == "cpu"
    assert "lost the card" in renderer.reason


def test_without_a_driver_nothing_of_nvidia_is_asked(monkeypatch):
    monkeypatch.setattr(cuda_probe.subprocess, "run", lambda *_, **__: pytest.fail("asked"))
    assert cuda_probe.probe_cuda() == CudaProbe("", "there is no NVIDIA driver")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for Linux' own nodes")
def test_a_driver_is_looked_for_where_linux_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_probe, "_DEVICE_NODES", (str(tmp_path / "nvidiactl"),))
    assert not cuda_probe.has_nvidia_driver()
    (tmp_path / "nvidiactl").touch()
    assert cuda_probe.has_nvidia_driver()


def test_the_probe_tells_in_one_line_that_there_is_no_driver(monkeypatch, tmp_path):
    # The real probe, in its own process, on a machine whose driver has gone.
    monkeypatch.setattr(cuda_probe, "has_nvidia_driver", lambda: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if cuda_driver.driver_library() is not None:
        pytest.skip("there is an NVIDIA driver here")
    probe = cuda_probe.probe_cuda()
    assert probe.card == ""
    assert probe.problem.startswith("no NVIDIA driver here (libcuda.so.1 is missing)")
    cuda_probe.probe_cuda.cache_clear()


@pytest.mark.parametrize(
    "program", ["import os; os.abort()", "print('no JSON')", "import time; time.sleep(60)", ""]
)
def test_an_nvidia_driver_that_crashes_talks_or_hangs_counts_as_none(
    tmp_path, monkeypatch, capfd, program
):
    script = tmp_path / "driver.py"
    script.write_text(program)
    monkeypatch.setattr(cuda_probe, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(cuda_probe, "__file__", str(script))
    monkeypatch.setattr(cuda_probe, "PROBE_LIMIT_S", 0.5)
    probe = cuda_probe.probe_cuda()
    assert probe.card == ""
    assert "driver failed" in probe.problem
    cuda_probe.probe_cuda.cache_clear()
    assert capfd.readouterr() == ("", "")


def test_cuda_by_name_without_a_driver_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(cuda_driver, "driver_library", lambda: None)
    with pytest.raises(DeviceError, match="no NVIDIA driver here") as refused:
        open_renderer("cuda")
    assert "\n" not in str(refused.value)


def test_a_window_offers_cuda_where_it_works(nvidia, monkeypatch):
    context = cast("moderngl.Context", SimpleNamespace(version_code=330))
    monkeypatch.setattr(cuda_probe, "probe_cuda", lambda: CudaProbe("", "no"))
    assert openable_renderers(context) == ("auto", "cpu", "gl")
    nvidia(CudaProbe("fake card", ""))
    assert openable_renderers(context) == ("auto", "cpu", "cuda", "gl")


@pytest.mark.parametrize("name", ["cpu", "gl", "cuda", "reference"])
def test_a_name_opens_that_renderer(name, nvidia):
    nvidia(CudaProbe("fake card", ""))
    renderer = open_renderer(name)
    assert renderer.name == name
    assert "by name" in renderer.reason


@pytest.mark.parametrize("name", ["opengl", "CPU", ""])
def test_an_unknown_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(DeviceError, match="auto, cpu, cuda, gl, reference") as refused:
        open_renderer(name)
    assert repr(name) in str(refused.value)


def test_the_command_line_offers_every_name():
    assert get_args(Backend) == RENDERER_NAMES


@pytest.mark.parametrize("name", RENDERER_NAMES)
def test_every_renderer_does_everything_that_the_interface_says(name, nvidia):
    nvidia(CudaProbe("fake card", ""))
    renderer = open_renderer(name, threads=1)
    gaussians, views = random_gaussians(20, seed=1), [front_view(), front_view()]
    assert renderer.warm_up() >= 0
    picture = renderer.render(gaussians, views, (1, 1, 1))
    assert picture.shape == (2, 48, 64, 3)
    assert picture.dtype == np.uint8
    assert renderer.render_with_alpha(gaussians, views).shape == (2, 48, 64, 4)
    out = np.zeros((2, 48, 64, 4), np.uint8)
    assert renderer.render_with_alpha(gaussians, views, out=out) is out
    colour, alpha = renderer.render_float(gaussians, views)
    assert colour.shape == (2, 48, 64, 3)
    assert alpha.shape == (2, 48, 64, 1)
    assert (colour <= alpha + 1e-5).all()  # premultiplied


def test_views_of_different_sizes_in_one_call_are_our_own_mistake():
    with pytest.raises(AssertionError, match="share a size"):
        open_renderer().render(random_gaussians(3, seed=1), [front_view(), front_view(32, 32)])


def test_a_background_of_another_size_is_our_own_mistake():
    with pytest.raises(AssertionError, match="background"):
        open_renderer().render(random_gaussians(3, seed=1), [front_view()], np.zeros((9, 9, 3)))
