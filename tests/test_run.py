"""`run.py`: a second start goes straight to the program, a broken setup is mended or explained."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[1] / "run.py"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in program is a shell script")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with run.py and a project file, not set up."""
    folder = tmp_path / "a checkout"  # with a space in its name
    folder.mkdir()
    (folder / "run.py").write_bytes(SOURCE.read_bytes())
    (folder / "pyproject.toml").write_text("[project]\n")
    return folder


@pytest.fixture
def run(checkout: Path) -> ModuleType:
    """run.py of that folder, as a module."""
    spec = importlib.util.spec_from_file_location("run_in_checkout", checkout / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_old_python_can_read_it_and_say_that_it_is_old() -> None:
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))


def set_up_with(run: ModuleType, program: str) -> None:
    """A finished setup whose `visavis` is a shell script."""
    run.BIN.mkdir(parents=True)
    run.PYTHON.symlink_to(sys.executable)
    run.VISAVIS.write_text(f"#!/bin/sh\n{program}\n")
    run.VISAVIS.chmod(0o755)
    run.write_stamp({"test_packages": True, "test_libraries": True})


@POSIX
def test_a_second_start_runs_the_program_and_passes_its_status_on(
    run: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    set_up_with(run, 'pwd; for word in "$@"; do echo "[$word]"; done; exit 7')
    result = subprocess.run(
        [sys.executable, str(checkout / "run.py"), "render", "-o", "two words"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 7
    assert result.stdout.splitlines() == [str(tmp_path), "[render]", "[-o]", "[two words]"]
    assert result.stderr == ""


@POSIX
def test_a_changed_project_or_a_moved_folder_is_set_up_again(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_with(run, "exit 0")
    made = []
    monkeypatch.setattr(run, "install_debian", lambda *packages: None)
    monkeypatch.setattr(run, "make_environment", lambda python: made.append(python) or True)
    monkeypatch.setattr(run, "has_nvidia_driver", lambda: False)
    assert run.set_up(testing=False)
    assert made == []
    (run.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert run.set_up(testing=False)
    assert made == [[sys.executable]]
    assert run.set_up(testing=False)
    assert len(made) == 1
    monkeypatch.setattr(run, "ROOT", run.ROOT.parent)
    assert run.set_up(testing=False)
    assert len(made) == 2


@POSIX
def test_what_only_tests_use_is_installed_when_they_are_run_first(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_with(run, "exit 0")
    run.write_stamp({"test_packages": True})
    asked = []
    monkeypatch.setattr(run, "pip", lambda arguments: asked.append(arguments[-1]) or True)
    monkeypatch.setattr(run, "missing_debian", lambda packages: ())
    assert run.set_up(testing=False)
    assert asked == []
    assert run.set_up(testing=True)
    assert run.set_up(testing=True)
    assert asked == [".[dev,peers]"]


@POSIX
@pytest.mark.parametrize("works", [True, False])
def test_with_an_nvidia_driver_its_compiler_is_installed_and_missing_it_is_no_failure(
    run: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    works: bool,
) -> None:
    set_up_with(run, "exit 0")
    (run.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    asked = []
    monkeypatch.setattr(run, "install_debian", lambda *packages: None)
    monkeypatch.setattr(run, "make_environment", lambda python: True)
    monkeypatch.setattr(run, "has_nvidia_driver", lambda: True)
    monkeypatch.setattr(run, "pip", lambda arguments: asked.append(arguments[-1]) or works)
    assert run.set_up(testing=False)
    assert asked == [run.NVIDIA_COMPILER]
    told = capsys.readouterr().err
    assert "there is an NVIDIA driver" in told
    assert ("going on without it" in told) == (not works)


@pytest.mark.parametrize("stamp", [None, "", "[]", '{"fingerprint": 3}', "half a st"])
def test_a_damaged_stamp_counts_as_none(run: ModuleType, stamp: str | None) -> None:
    run.VENV.mkdir()
    if stamp is not None:
        run.STAMP.write_text(stamp)
    assert run.read_stamp().get("fingerprint") != run.current_fingerprint()


def test_a_python_that_is_too_old_or_new_is_replaced_by_one_that_is_there(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {sys.executable: (3, 13), "python3.11": (3, 11)}
    monkeypatch.setattr(run, "python_version", lambda command: versions.get(command[0]))
    assert run.suitable_python() == ["python3.11"]
    del versions["python3.11"]
    assert run.suitable_python() is None
    assert "visavis needs Python 3.11 or 3.12" in capsys.readouterr().err


def test_the_version_of_a_python_is_asked_of_it(run: ModuleType) -> None:
    assert run.python_version([sys.executable]) == sys.version_info[:2]
    assert run.python_version(["no-such-python"]) is None
    assert run.python_version([sys.executable, "-c", "print('what')", "--"]) is None


@POSIX
def test_a_broken_environment_is_made_anew(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.BIN.mkdir(parents=True)
    run.PYTHON.symlink_to("/no/python/here")
    (run.VENV / "left over").touch()
    monkeypatch.setattr(run, "pip", lambda arguments, quiet=False: True)
    monkeypatch.setattr(run, "PROBE", "import sys")
    assert run.make_environment([sys.executable])
    assert run.python_version([str(run.PYTHON)]) == sys.version_info[:2]
    assert not (run.VENV / "left over").exists()


def test_what_pip_says_is_shown_plainly(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run.VENV.mkdir()
    monkeypatch.setattr(run, "PYTHON", Path(sys.executable))
    assert not run.pip(["install", "--no-index", "visavis-no-such-library"])
    errors = capfd.readouterr().err
    assert "No matching distribution found for visavis-no-such-library" in errors
    assert "Traceback" not in errors
    assert run.LOG.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Debian only")
def test_without_rights_one_line_says_which_packages_to_install(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "missing_debian", lambda packages: ("libportaudio2", "xvfb"))
    monkeypatch.setattr(run.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(
        run.shutil, "which", lambda name: None if name == "sudo" else f"/usr/bin/{name}"
    )
    run.install_debian(run.RUN_PACKAGES, ())
    lines = capsys.readouterr().err.splitlines()
    command = "sudo apt-get install --yes --no-install-recommends libportaudio2 xvfb"
    assert f"run.py:     {command}" in lines


@POSIX
def test_tests_run_every_step_and_report_the_first_bad_status(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps, told = [], []

    def record(command: list[str], folder: str | None = None) -> int:
        steps.append(command[2])
        told[:] = command[3:]
        return {"ruff": 0, "pyright": 3, "pytest": 5}[command[2]]

    monkeypatch.setattr(run, "run", record)
    assert run.run_tests(["-x"]) == 3
    assert steps == ["ruff", "ruff", "pyright", "pytest"]
    assert told == ["-x"]
    assert "failed: types, tests" in capsys.readouterr().err
    run.run_tests([])
    assert told == ["--numprocesses", "2"]


@POSIX
def test_without_npm_the_tests_go_on_and_it_is_said(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_with(run, "exit 0")
    asked: list[list[str]] = []

    def refuse(command: list[str]) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, stdout=b"npm error network")

    monkeypatch.setattr(run, "quietly", refuse)
    assert not run.node_packages_there()
    run.install_node_packages()
    assert asked[0][-len(run.NODE_PACKAGES) :] == list(run.NODE_PACKAGES)
    told = capsys.readouterr().err
    assert "npm error network" in told
    assert "going on without" in told
    for package in run.NODE_PACKAGES:
        (run.VENV / "node" / "node_modules" / package.rpartition("@")[0]).mkdir(parents=True)
    assert run.node_packages_there()
