"""Tests that wear a headset: Monado's, which is simulated, behind the real OpenXR.

Monado is fetched by `scripts/get_monado.py` and needs its own C library. So tests marked `monado`
run in a pytest of their own on it, one for each file, and are reported here one by one. Without
Monado they fail and say why: they are never skipped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.headset.monado import INSIDE, Remote, Service, inside_environment, monado_here

ROOT = Path(__file__).parents[2]
LIMIT_S = 400.0
"""For all tests of a file."""
_results: dict[Path, dict[str, str]] = {}


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
    if pyfuncitem.path not in _results:
        names = [
            item.name
            for item in pyfuncitem.session.items
            if item.path == pyfuncitem.path and _is_for_inside(item)
        ]
        _results[pyfuncitem.path] = _run_inside(pyfuncitem.path, names)
    problem = _results[pyfuncitem.path].get(pyfuncitem.name, "it did not run")
    if problem:
        pytest.fail(problem, pytrace=False)
    return True


def _run_inside(path: Path, names: list[str]) -> dict[str, str]:
    """Run tests of one file on Monado's libraries: what is wrong with each, empty where nothing."""
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
            *(f"{path}::{name}" for name in names),
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
            said = f"{path.name} took longer than {LIMIT_S:.0f} s\n{late.stdout!r}"
        if not report.is_file():
            return dict.fromkeys(names, said)
        return _read_report(report, said)


def _read_report(report: Path, said: str) -> dict[str, str]:
    problems = {}
    for case in ElementTree.parse(report).iter("testcase"):
        texts = [
            child.text or child.get("message", "") for child in case if child.tag != "system-out"
        ]
        kinds = {child.tag for child in case}
        bad = kinds & {"failure", "error", "skipped"}
        problems[case.get("name", "")] = "\n".join(filter(None, texts)) or said if bad else ""
    return problems


@pytest.fixture
def service() -> Iterator[Service]:
    """Monado's service with its remote-controlled headset, running."""
    folder = Path(tempfile.mkdtemp(prefix="xr"))  # short: sockets have names of 108 letters at most
    running = Service(monado_here(), folder)
    try:
        running.start()
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def remote(service: Service) -> Iterator[Remote]:
    """The hand that moves its headset and controllers."""
    moved = Remote(service)
    try:
        yield moved
    finally:
        moved.close()
