"""A headset that comes and goes: the program stays, and takes it up again."""

import gc
import os
import subprocess
import sys
import threading
import time
from importlib.resources import files
from pathlib import Path

import psutil
import pytest

from app.commands.live import load_scene
from app.frame_loop import Scene
from app.headset_watch import HeadsetWatch
from render import xr_runtime
from tests.headset.monado import Service
from tests.headset.worn import toggle_panel, worn

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.monado
LAYER = "XR_APILAYER_LUNARG_core_validation"


@pytest.fixture(scope="module")
def scene(small_avatar_file: Path) -> Scene:
    return load_scene(str(small_avatar_file), None)


def test_the_validation_layer_reports_nothing(scene, service, remote, tmp_path, monkeypatch, capfd):
    # pyopenxr brings the layer; Debian's own knows no EGL.
    folder = files("xr") / "api_layer" / "linux_x86_64"
    monkeypatch.setenv("XR_API_LAYER_PATH", str(folder))
    monkeypatch.setenv("XR_ENABLE_API_LAYERS", LAYER)
    monkeypatch.setenv("XR_CORE_VALIDATION_EXPORT_TYPE", "text")
    report = tmp_path / "validation.txt"
    monkeypatch.setenv("XR_CORE_VALIDATION_FILE_NAME", str(report))
    remote.left.hand_tracking = remote.right.hand_tracking = True
    remote.send()
    with worn(scene, service) as headset:
        headset.turns(10)
        toggle_panel(headset, remote)  # a layer of its own
        remote.right.squeeze = 1.0  # a haptic tick
        remote.send()
        headset.turns(5)
        assert headset.side.panel_place is not None
        headset.turns(10)
    said = report.read_text()
    assert "Core Validation Layer is initialized" in said
    assert "VALID_ERROR" not in said
    assert "VALID_WARNING" not in said
    assert "VUID" not in capfd.readouterr().err


def test_a_service_that_is_killed_leads_back_to_the_window_and_back_again(scene, service):
    with worn(scene, service) as headset:
        headset.turns(5)
        assert headset.side.problem == ""
        service.kill()
        headset.until(lambda: headset.side.problem != "", "the loss")
        assert "lost" in headset.side.problem
        assert len(headset.side.problem.splitlines()) == 1
        service.start()
        headset.until(lambda: headset.side.problem == "", "the return")
        headset.turns(5)
    assert headset.side.timing.sessions == 2


def announced(monkeypatch: pytest.MonkeyPatch, *events: object) -> None:
    """The runtime's next events are these, and then its own."""
    waiting, poll = list(events), xr_runtime.xr.poll_event
    monkeypatch.setattr(
        xr_runtime.xr, "poll_event", lambda one: waiting.pop(0) if waiting else poll(one)
    )


def test_a_session_that_the_runtime_says_is_lost_is_begun_again(scene, service, monkeypatch):
    xr = xr_runtime.xr
    with worn(scene, service) as headset:
        headset.turns(3)
        announced(monkeypatch, xr.EventDataSessionStateChanged(state=xr.SessionState.LOSS_PENDING))
        headset.until(lambda: headset.side.problem != "", "the loss")
        assert "lost" in headset.side.problem
        headset.turns(3)
    assert headset.side.timing.sessions == 2


def test_a_runtime_that_is_about_to_end_is_left(scene, service, monkeypatch):
    with worn(scene, service) as headset:
        headset.turns(3)
        announced(monkeypatch, xr_runtime.xr.EventDataInstanceLossPending())
        headset.until(lambda: headset.side.problem != "", "the loss")
        assert "about to end" in headset.side.problem


def test_when_the_system_recenters_the_avatar_stands_before_the_wearer_again(
    scene, service, remote, monkeypatch
):
    xr = xr_runtime.xr
    with worn(scene, service) as headset:
        headset.turns(3)
        remote.position = (0.4, 1.5, 0.3)
        remote.send()
        before = headset.turns(4).placement
        kind = headset.side.headset.room.kind  # pyright: ignore[reportOptionalMemberAccess]
        announced(
            monkeypatch,
            xr.EventDataReferenceSpaceChangePending(reference_space_type=kind, change_time=1),
        )
        after = headset.turns(3).placement
    assert before.position == pytest.approx((0.0, 1.6, -1.0), abs=0.01)
    assert after.position == pytest.approx((0.4, 1.5, -0.7), abs=0.01)


def test_a_headset_that_is_connected_later_is_found_by_the_same_runtime(service, monkeypatch):
    xr, instances = xr_runtime.xr, []
    get_system, create = xr.get_system, xr.create_instance
    absent = [True, True]

    def system(*arguments):
        if absent:
            absent.pop()
            raise xr.FormFactorUnavailableError
        return get_system(*arguments)

    def instance(*arguments):
        instances.append(create(*arguments))
        return instances[-1]

    monkeypatch.setattr(xr, "get_system", system)
    monkeypatch.setattr(xr, "create_instance", instance)
    monkeypatch.setattr("app.headset_watch.AGAIN_S", 0.2)
    os.environ.update(service.environment)
    watch, problems, runtime = HeadsetWatch(), set(), None
    try:
        end = time.monotonic() + 20
        while (runtime := watch.found()) is None:
            problems.add(watch.problem)
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        watch.close()
        if runtime is not None:
            runtime.close()
    assert len(instances) == 1  # to make one may start a whole desktop program
    assert any("sees none" in problem for problem in problems)


def test_a_session_that_the_headsets_menu_ends_stays_ended_until_asked_for(scene, service):
    with worn(scene, service) as headset:
        headset.turns(3)
        assert headset.side.headset is not None
        headset.side.headset.request_exit()  # as the runtime's own menu does
        headset.until(lambda: headset.side.problem != "", "the end")
        assert "menu" in headset.side.problem
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert headset.turn() is None
        headset.side.return_now()
        headset.turns(3)


def test_twenty_sessions_leave_nothing_behind(scene, service):
    process = psutil.Process()

    def held() -> tuple[int, int, int]:
        gc.collect()
        return process.num_fds(), threading.active_count(), process.memory_info().rss >> 20

    begin = (0, 0, 0)
    for cycle in range(20):
        with worn(scene, service) as headset:
            headset.turns(2)
        if cycle == 4:  # caches are warm
            begin = held()
    end = held()
    assert end[0] <= begin[0] + 2
    assert end[1] <= begin[1]
    assert end[2] <= begin[2] + 40, f"grew from {begin[2]} to {end[2]} MB in 15 sessions"


def watched(**environment: str) -> str:
    """What a watch says after a moment, in a process of its own."""
    code = (
        "import time; from app.headset_watch import HeadsetWatch; began = time.perf_counter();"
        "watch = HeadsetWatch();\n"
        "while not watch.problem and time.perf_counter() - began < 20: time.sleep(0.01)\n"
        "print(watch.problem); watch.close()"
    )
    result = subprocess.run(
        [*Service.launcher(), sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stdout.splitlines()) == 1, result.stdout
    return result.stdout


def test_without_a_service_it_says_so(tmp_path):
    assert "does not answer" in watched(XDG_RUNTIME_DIR=str(tmp_path))


def test_a_service_that_comes_later_is_found(scene, service):
    service.kill()
    os.environ.update(service.environment)
    watch = HeadsetWatch()
    try:
        end = time.monotonic() + 20
        while not watch.problem:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert watch.found() is None
        service.start()
        while (runtime := watch.found()) is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        runtime.close()
    finally:
        watch.close()
