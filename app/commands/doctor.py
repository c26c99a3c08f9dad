"""`visavis doctor`: what this machine can do, what it cannot, and what to do about it."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from app.bundled import ASSETS, avatar_path
from app.preferences import FILE
from app.settings import DEFAULT_AVATAR, DoctorSettings
from app.user_folders import FILE_DIALOGS, avatars_folder, settings_folder
from avatar.errors import VisavisError

CHECKSUMS = ASSETS / "SHA256SUMS"
"""One line a file, `HASH  PATH`, as `sha256sum` writes; made by scripts/asset_checksums.py."""
PROBE_LIMIT_S = 30.0
"""For what may hang: a sound server or a graphics driver in trouble."""
LEAST_SPACE_GB = 1.0

_MICROPHONES = (
    "import json; from app.microphone import list_microphones; "
    "print(json.dumps([found.name for found in list_microphones()]))"
)
_PORTAUDIO = "from app.microphone import load_portaudio; load_portaudio(); print(1)"
_DISPLAY = "from render.window import display_available; print(int(display_available()))"

_HEADSET = """
from avatar.errors import VisavisError
try:
    from render.xr_runtime import Runtime
    runtime = Runtime()
    runtime.find_headset()
    print("ok", runtime.description)
except VisavisError as error:
    print("none", error)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    """warn: the program works, with less; fail: something that everybody needs is broken."""
    found: str
    advice: str = ""
    """What to do, empty where nothing is to be done."""
    packages: tuple[str, ...] = ()
    """Of Debian and Ubuntu, whose installation mends it."""


def doctor(settings: DoctorSettings) -> None:
    """Print the findings, as a table or as JSON."""
    findings = list(examine())
    if settings.json:
        report = {
            "ok": all(finding.state != "fail" for finding in findings),
            "findings": [asdict(finding) for finding in findings],
        }
        print(json.dumps(report, indent=2))
        return
    table = Table("", "what", "found", box=None, pad_edge=False)
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}
    for finding in findings:
        text = finding.found + (f"\n-> {finding.advice}" if finding.advice else "")
        table.add_row(marks[finding.state], finding.name, text)
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(table)
    console.print(mended_by(findings))


def mended_by(findings: list[Finding]) -> str:
    """The last line: the one command that mends what can be mended by one."""
    packages = sorted({package for finding in findings for package in finding.packages})
    if packages:
        return f"To mend what is missing: sudo apt-get install -y {' '.join(packages)}"
    broken = [finding.name for finding in findings if finding.state == "fail"]
    if broken:
        return f"Broken: {', '.join(broken)}; see the advice above."
    return "Nothing is broken. Start it: visavis"


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which a person would ask."""
    checks: tuple[Callable[[], Finding], ...] = (
        *(_program, _python, _machine, _libraries, _numba, _torch, _assets, _avatar, _speech),
        *(_display, _opengl, _cuda, _renderer, _headset, _microphones, _cameras, _kept, _folder),
    )
    for check in checks:
        yield check()


def _program() -> Finding:
    return Finding("visavis", "ok", f"{_version('visavis')} in {Path(__file__).parents[2]}")


def _python() -> Finding:
    found = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info[:2] in ((3, 11), (3, 12)):
        return Finding("Python", "ok", found)
    return Finding("Python", "warn", found, "Use 3.11 or 3.12: python3 run.py looks for one.")


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return Finding("machine", "ok", f"{platform.platform(terse=True)}, {name}, {cores} cores")


def _libraries() -> Finding:
    names = ("numpy", "numba", "av", "mediapipe", "moderngl", "glfw", "imgui-bundle", "sounddevice")
    missing = [name for name in names if _version(name) == "missing"]
    found = ", ".join(f"{name} {_version(name)}" for name in names)
    if missing:
        return Finding("libraries", "fail", found, "Run: python3 run.py doctor (installs them).")
    return Finding("libraries", "ok", found)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _numba() -> Finding:
    import numba

    return Finding("numba", "ok", f"{numba.__version__}, {numba.get_num_threads()} threads")


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", "fail", str(error), "Run: python3 run.py doctor (repairs it).")
    text = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        text += f", {torch.cuda.get_device_name(0)}"
    else:
        text += ", no NVIDIA card (not needed)"
    return Finding("torch", "ok", text)


def _assets() -> Finding:
    wrong = damaged_assets()
    if wrong:
        return Finding(
            "assets", "fail", "damaged or missing: " + ", ".join(wrong), "Get the checkout again."
        )
    return Finding("assets", "ok", f"{len(listed_assets())} files as shipped (SHA-256)")


def listed_assets() -> dict[str, str]:
    """Path below `assets/` -> SHA-256, as the checksum file has it."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines() if CHECKSUMS.exists() else []
    return {path: digest for digest, path in (line.split(maxsplit=1) for line in lines)}


def damaged_assets() -> list[str]:
    """The files that are not there, or are not what was shipped."""
    wrong = [] if CHECKSUMS.exists() else [CHECKSUMS.name]
    for path, digest in listed_assets().items():
        file = ASSETS / path
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            wrong.append(path)
    return wrong


def _avatar() -> Finding:
    from avatar.avatar_file import load_avatar

    try:
        avatar = load_avatar(avatar_path(DEFAULT_AVATAR))
    except VisavisError as error:
        return Finding("avatar", "fail", str(error), "Get the checkout again.")
    return Finding("avatar", "ok", f"{DEFAULT_AVATAR}: {len(avatar)} Gaussians")


def _speech() -> Finding:
    try:
        from avatar.speech.generator import MotionGenerator

        generator = MotionGenerator(seed=0)
        prompt = MotionGenerator(seed=0, prompt=True)
    except VisavisError as error:
        return Finding("speech", "fail", str(error), "Get the checkout again.")
    ahead = f"{prompt.look_ahead_s:.2f} s ahead for a microphone, {generator.look_ahead_s:.2f} s"
    return Finding("speech", "ok", f"network loaded, looks {ahead} for files")


def _display() -> Finding:
    shown = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or sys.platform
    if _probe(_DISPLAY) == "1":
        return Finding("display", "ok", shown)
    advice = "No window here; visavis render and visavis make work without one."
    return Finding("display", "warn", "none", advice)


def _opengl() -> Finding:
    from render.gl_driver import probe_driver

    driver = probe_driver()
    if driver is None:
        advice = (
            "The window needs OpenGL 3.3: install the graphics driver (Debian: libgl1-mesa-dri)."
        )
        return Finding("OpenGL", "warn", "no context", advice, _debian("libgl1-mesa-dri"))
    can = "poses and sorts" if driver.computes else "draws only: posing and sorting want OpenGL 4.3"
    return Finding("OpenGL", "ok", f"{driver.renderer} / OpenGL {driver.version}; {can}")


def _cuda() -> Finding:
    from avatar.fit.backends import fitting_on_card
    from render.cuda_probe import has_nvidia_driver, probe_cuda

    probe, fitting = probe_cuda(), fitting_on_card()
    fits = "fits avatars by gsplat"
    if not fitting.works:
        fits = f"avatars are fitted on the processor ({fitting.problem}. {fitting.advice})"
    if probe.card:
        return Finding("CUDA", "ok", f"{probe.card}, draws by the program's own kernels; {fits}")
    if has_nvidia_driver():
        return Finding("CUDA", "warn", f"does not draw; {fits}", probe.problem)
    return Finding("CUDA", "ok", f"{probe.problem} (not needed)")


def _renderer() -> Finding:
    from render.choose import fastest_renderer
    from render.gl_driver import probe_driver

    name, reason = fastest_renderer()
    driver = probe_driver() if name == "gl" else None
    where = "card" if name == "cuda" or (driver and driver.computes) else "processor"
    return Finding("renderer", "ok", f"{name}, {reason}; posing and sorting: {where}")


def _headset() -> Finding:
    state, _, found = (_probe(_HEADSET) or "none no headset: its OpenXR runtime broke").partition(
        " "
    )
    if state == "ok":
        return Finding("headset", "ok", found)
    problem, _, advice = found.removeprefix("no headset: ").partition(". ")
    return Finding("headset", "warn", problem, advice or "The window does without one.")


def _microphones() -> Finding:
    printed = _probe(_MICROPHONES)
    names = json.loads(printed) if printed else []
    if names:
        return Finding("microphones", "ok", ", ".join(names))
    advice = "Connect one, or use --audio FILE. On Debian: libportaudio2, libasound2-plugins."
    wanted = ("libportaudio2", "libasound2-plugins") if _probe(_PORTAUDIO) is None else ()
    return Finding("microphones", "warn", "none", advice, _debian(*wanted))


def _cameras() -> Finding:
    """Looks at names only: to open a camera would switch its light on."""
    if not sys.platform.startswith("linux"):
        return Finding("cameras", "ok", "not looked for; live --webcam opens the first")
    found = sorted(Path("/dev").glob("video*"))
    names = ", ".join(map(str, found)) or "none; only live --webcam wants one"
    return Finding("cameras", "ok", names)


def _kept() -> Finding:
    """Where settings and avatars of this person lie, and whether the settings can be read."""
    folder, own = settings_folder(), avatars_folder()
    count = len(list(own.glob("*.avatar")))
    found = f"settings in {folder}, {count} own avatars in {own}"
    path = folder / FILE
    try:
        tomllib.loads(path.read_text(encoding="utf-8") if path.exists() else "")
    except (OSError, ValueError):
        advice = f"{path} is damaged; the window sets it aside and starts with the usual settings."
        return Finding("yours", "warn", found, advice)
    if sys.platform.startswith("linux") and not any(map(shutil.which, FILE_DIALOGS)):
        advice = "No file dialog: files are dropped onto the window, or their paths typed."
        return Finding("yours", "warn", found, advice, _debian("zenity"))
    return Finding("yours", "ok", found)


def _debian(*packages: str) -> tuple[str, ...]:
    """The packages, where the system is one that has them."""
    return packages if shutil.which("apt-get") else ()


def _folder() -> Finding:
    folder = Path.cwd()
    free_gb = shutil.disk_usage(folder).free / 1e9
    found = f"{folder}, {free_gb:.0f} GB free"
    if not os.access(folder, os.W_OK):
        return Finding("this folder", "warn", found, "May not be written to: give -o a path.")
    if free_gb < LEAST_SPACE_GB:
        return Finding("this folder", "warn", found, "Little space: films may not fit.")
    return Finding("this folder", "ok", found)


def _probe(code: str) -> str | None:
    """The last line that `code` prints in a process of its own, or None where it fails.

    Graphics drivers and sound servers may hang or crash: that must not take the doctor along.
    """
    try:
        result = subprocess.run(
            [sys.executable, "-P", "-c", code],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    lines = result.stdout.strip().splitlines()
    return lines[-1] if result.returncode == 0 and lines else None
