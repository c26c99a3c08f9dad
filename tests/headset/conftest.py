"""Tests that wear a headset: Monado's, which is simulated, behind the real OpenXR.

Monado is fetched by `scripts/get_monado.py` and needs its own C library. So tests marked `monado`
run in a pytest of their own on it, one for all of them, and are reported here one by one. Without
Monado they fail and say why: they are never skipped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.commands.live import load_scene
from app.frame_loop import Scene
from tests.headset.monado import INSIDE, Remote, Service, inside_environment, monado_here
from tests.headset.worn import Worn, worn

ROOT = Path(__file__).parents[2]
LIMIT_S = 900.0
"""For all of these tests."""
_results: dict[str, str] = {}
"""What is wrong with each test, by its id; empty where nothing is."""


def _is_for_inside(item: pytest.Item) -> bool:
    return item.get_closest_marker("monado") is not None and not os.environ.get(INSIDE)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_for_inside(item) and isinstance(item, pytest.Function):
            item.fixturenames.clear()  # they are set up where the test really runs


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not _is_for_inside(pyfuncitem):
        return None
    if not _results:
        items = [item for item in pyfuncitem.session.items if _is_for_inside(item)]
        _results.update(_run_inside([f"{item.path}::{item.name}" for item in items]))
    problem = _results.get(f"{pyfuncitem.path}::{pyfuncitem.name}", "it did not run")
    if problem:
        pytest.fail(problem, pytrace=False)
    return True


def _run_inside(tests: list[str]) -> dict[str, str]:
    """Run tests, each named by `file::name`, on Monado's libraries."""
    monado = monado_here()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(
                *monado.launcher,
                sys.executable,
                "-m",
                "pytest",
                "--quiet",
                "-p",
                "no:cacheprovider",
            ),
            *("-p", "no:xdist", f"--junitxml={report}", f"--rootdir={ROOT}"),
            *tests,
        ]
        environment = {**os.environ, **inside_environment(monado)}
        environment.pop("PYTEST_XDIST_WORKER", None)
        try:
            result = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LIMIT_S,
            )
            said = result.stdout
        except subprocess.TimeoutExpired as late:
            said = f"they took longer than {LIMIT_S:.0f} s\n{late.stdout!r}"
        if not report.is_file():
            return dict.fromkeys(tests, said)
        return _read_report(report, said)


def _read_report(report: Path, said: str) -> dict[str, str]:
    problems = {}
    for case in ElementTree.parse(report).iter("testcase"):
        texts = [
            child.text or child.get("message", "") for child in case if child.tag != "system-out"
        ]
        kinds = {child.tag for child in case}
        bad = kinds & {"failure", "error", "skipped"}
        path = ROOT / f"{case.get('classname', '').replace('.', '/')}.py"
        test = f"{path}::{case.get('name')}"
        problems[test] = "\n".join(filter(None, texts)) or said if bad else ""
    return problems


@pytest.fixture(scope="module")
def standing_service() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="xr"))  # short: sockets have names of 108 letters at most
    running = Service(monado_here(), folder)
    try:
        running.start()
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(standing_service: Service) -> Service:
    """Monado's service with its remote-controlled headset, running, for all tests of a file; what
    one of them killed is started again for the next."""
    if not standing_service.is_running:
        standing_service.start()
    return standing_service


@pytest.fixture
def remote(service: Service) -> Iterator[Remote]:
    """The hand that moves its headset and controllers, all at rest where they begin."""
    moved = Remote(service)
    try:
        yield moved
    finally:
        moved.close()


@pytest.fixture(scope="module")
def scene() -> Scene:
    """The bundled avatar, in full."""
    return load_scene("default", None)


class Sessions:
    """At most one session at a time, kept for the next test while it is of the kind wanted."""

    def __init__(self, scene: Scene, service: Service) -> None:
        self._scene, self._service = scene, service
        self._finer = 0.0
        self._worn: Worn | None = None
        self._open = ExitStack()

    def of(self, finer: float) -> Worn:
        """One whose eyes are so much finer than the runtime's own, as at its beginning."""
        if self._worn is None or self._finer != finer:
            self.end()
            self._worn = self._open.enter_context(worn(self._scene, self._service, finer=finer))
            self._finer = finer
        self._worn.begin_anew(self._scene)
        return self._worn

    def end(self) -> None:
        """None is there any more."""
        self._worn = None
        self._open.close()


@pytest.fixture(scope="module")
def sessions(scene: Scene, standing_service: Service) -> Iterator[Sessions]:
    every = Sessions(scene, standing_service)
    try:
        yield every
    finally:
        every.end()


@pytest.fixture
def headset(sessions: Sessions, remote: Remote) -> Worn:
    """The headset as it is worn, with eyes as the runtime wants them."""
    return sessions.of(1.0)
