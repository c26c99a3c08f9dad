#!/usr/bin/env python3
"""Fetches Monado, a real OpenXR runtime with a simulated headset, into a folder of its own.

    python3 scripts/get_monado.py          about 170 MB to fetch, 20 seconds; prints the folder

Nothing is installed and nobody needs to be root: the packages of Debian 13, with all that they
want, are fetched by apt with lists of its own and unpacked beside each other. Programs run from
there by that Debian's own loader (`ld-linux`), on any Linux of its kind whose kernel is not much
older, with a Debian or Ubuntu whose apt can fetch. Debian 12 has no package of Monado, and its C
library is too old for that of Debian 13, so the application under test runs by that loader too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

RELEASE = "trixie"
ARCHIVE = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    *("monado-service", "libopenxr1-monado"),
    *("mesa-vulkan-drivers", "libgl1-mesa-dri", "libgl1", "libegl1", "libgles2", "libglx-mesa0"),
    *("libx11-6", "libxext6", "libxi6", "libxrandr2", "libxcursor1", "libxinerama1"),
    *("libxxf86vm1", "libportaudio2"),
)
VERSION = "1"
"""Changes with what is fetched, so that an older folder is made anew."""
KIND = "x86_64-linux-gnu"
FETCH_LIMIT_S = 300.0


class NoMonadoError(Exception):
    """It cannot be had here; the text says why and what to do."""


@dataclass(frozen=True)
class Monado:
    """Where its files lie."""

    root: Path

    @property
    def libraries(self) -> Path:
        return self.root / "usr" / "lib" / KIND

    @property
    def launcher(self) -> list[str]:
        """What a command line of a program must begin with to run on these libraries."""
        folders = [self.libraries, *(self.libraries / part for part in ("lapack", "blas"))]
        path = ":".join(map(str, [*folders, self.libraries / "pulseaudio", self.root / "usr/lib"]))
        loader = self.libraries / "ld-linux-x86-64.so.2"
        return [str(loader), "--inhibit-cache", "--library-path", path]

    @property
    def service(self) -> Path:
        return self.root / "usr" / "bin" / "monado-service"

    @property
    def runtime_manifest(self) -> Path:
        return self.root / "openxr_monado.json"

    def driver_environment(self) -> dict[str, str]:
        """What makes OpenGL and Vulkan take the drivers of this folder, which draw in software."""
        return {
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "LIBGL_DRIVERS_PATH": str(self.libraries / "dri"),
            "__EGL_VENDOR_LIBRARY_FILENAMES": str(self.root / "egl.json"),
            "VK_DRIVER_FILES": str(self.root / "lvp.json"),
            "VK_ICD_FILENAMES": str(self.root / "lvp.json"),
        }


def get_monado(folder: Path | None = None) -> Monado:
    """Monado in `folder` (default: the user's cache), fetched where it is not there yet.

    Raises: NoMonadoError.
    """
    if folder is None:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(cache) / "visavis" / f"monado-{RELEASE}-{VERSION}"
    monado = Monado(folder)
    if not monado.runtime_manifest.is_file():
        _check_machine()
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, and renamed at the end: two that fetch at once do not meet.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="monado-") as made:
            root = Path(made) / "root"
            _unpack(_fetch(Path(made)), root)
            _write_manifests(root, folder)
            try:
                root.rename(folder)
            except OSError:
                if not monado.runtime_manifest.is_file():
                    shutil.rmtree(folder)  # what an older, interrupted program left
                    root.rename(folder)
    return monado


def _check_machine() -> None:
    machine = os.uname().machine if hasattr(os, "uname") else sys.platform
    if not sys.platform.startswith("linux") or machine != "x86_64":
        raise NoMonadoError(f"Monado is fetched for Linux on x86_64 only, this is {machine}.")
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise NoMonadoError(f"Monado is fetched by {tool}, which is not here. Use a Debian.")
    if not Path(KEYRING).is_file():
        raise NoMonadoError(f"{KEYRING} is missing: sudo apt-get install debian-archive-keyring")


def _fetch(made: Path) -> list[Path]:
    """Download the packages and all that they want; where they lie."""
    for name in ("state/lists/partial", "cache/archives/partial", "none"):
        (made / name).mkdir(parents=True)
    (made / "status").touch()  # nothing is installed: all is wanted
    (made / "sources.list").write_text(f"deb [signed-by={KEYRING}] {ARCHIVE} {RELEASE} main\n")
    settings = {
        "Dir::State": made / "state",
        "Dir::State::status": made / "status",
        "Dir::Cache": made / "cache",
        "Dir::Etc::SourceList": made / "sources.list",
        "Dir::Etc::SourceParts": made / "none",
        "Dir::Etc::Preferences": made / "none" / "none",
        "Dir::Etc::PreferencesParts": made / "none",
        "APT::Architecture": "amd64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",
    }
    configuration = made / "apt.conf"
    configuration.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    environment = {**os.environ, "APT_CONFIG": str(configuration)}
    _run(["apt-get", "--quiet", "update"], environment)
    _run(["apt-get", "--quiet", "--yes", "--download-only", "install", *PACKAGES], environment)
    return sorted((made / "cache" / "archives").glob("*.deb"))


def _unpack(packages: list[Path], root: Path) -> None:
    root.mkdir()
    (root / "usr" / "lib").mkdir(parents=True)
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(root)], dict(os.environ))
        package.unlink()
    for unused in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var"):
        shutil.rmtree(root / unused, ignore_errors=True)


def _write_manifests(root: Path, final: Path) -> None:
    """Where the libraries are, for loaders that would look for them in the system."""
    libraries = Monado(final).libraries
    egl = (
        f'{{"file_format_version":"1.0.0","ICD":{{"library_path":"{libraries}/libEGL_mesa.so.0"}}}}'
    )
    (root / "egl.json").write_text(egl)
    lavapipe = (root / "usr/share/vulkan/icd.d/lvp_icd.json").read_text()
    absolute = lavapipe.replace("libvulkan_lvp.so", f"{libraries}/libvulkan_lvp.so")
    (root / "lvp.json").write_text(absolute)
    (root / "openxr_monado.json").write_text(
        '{"file_format_version":"1.0.0","runtime":{"name":"Monado",'
        f'"library_path":"{libraries}/libopenxr_monado.so"}}}}'
    )


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise NoMonadoError(f"{command[0]} took longer than {FETCH_LIMIT_S:.0f} s.") from None
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no word"]
        raise NoMonadoError(f"{' '.join(command[:3])} failed: {lines[-1]} Is there a network?")


if __name__ == "__main__":
    try:
        print(get_monado().root)
    except NoMonadoError as problem:
        print(f"get_monado: {problem}", file=sys.stderr)
        sys.exit(1)
