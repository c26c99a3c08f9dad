"""The arrows between folders, checked: data flows up, imports point down."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("app", "render", "avatar", "assets", "shaders")
MAY_IMPORT = {
    "avatar": ("avatar", "assets"),
    "render": (
        *("render", "shaders"),
        *("avatar.types", "avatar.errors", "avatar.head_tables", "avatar.read_only"),
    ),
    "app": ("app", "render", "avatar", "assets"),
    "assets": (),
    "shaders": (),
}
ONLY_IN = {
    "avatar.training": ("app/commands/", "avatar/training/"),
    "glfw": ("render/window.py",),
    "mediapipe": ("avatar/portrait/landmarks.py", "avatar/training/landmark_correspondence.py"),
    "multiprocessing": ("app/",),
    "sounddevice": ("app/microphone.py",),
    "threading": ("app/",),
    "xr": ("render/xr_runtime.py",),
    "render.xr_runtime.xr": ("render/xr",),
    "OpenGL": ("render/xr_swapchain.py",),
}
"""A module and the only files, or folders where it ends in a slash, that may import it."""


def imported(path: Path) -> set[str]:
    """Absolute names of all modules and members that a file imports, in functions too."""
    package = path.relative_to(ROOT).parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def broken_rules(folder: str, where: str, names: set[str]) -> list[str]:
    """What a file of `folder` imports and may not."""
    broken = []
    for name in sorted(names):
        ours = name.split(".")[0] in FOLDERS
        if ours and not any(within(name, module) for module in MAY_IMPORT[folder]):
            broken.append(f"{where}: {folder} may not import {name}")
        for module, places in ONLY_IN.items():
            if within(name, module) and not where.startswith(places):
                broken.append(f"{where}: {name} only in {', '.join(places)}")
    return broken


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_down(folder):
    broken = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        broken += broken_rules(folder, where, imported(path))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("folder", "where", "name"),
    [
        ("avatar", "avatar/deform.py", "render.camera.View"),
        ("render", "render/cpu.py", "avatar.deform.Deformer"),
        ("render", "render/cpu.py", "app.settings"),
        ("render", "render/cpu.py", "glfw"),
        ("avatar", "avatar/deform.py", "avatar.training.corpus"),
        ("app", "app/film.py", "avatar.training.corpus"),
        ("app", "app/film.py", "sounddevice"),
        ("render", "render/window.py", "threading.Thread"),
        ("avatar", "avatar/portrait/make.py", "mediapipe"),
        ("app", "app/headset.py", "xr"),
        ("app", "app/headset.py", "render.xr_runtime.xr"),
        ("render", "render/eye_painter.py", "xr.Posef"),
    ],
)
def test_an_arrow_that_points_up_is_seen(folder, where, name):
    assert broken_rules(folder, where, {name})


def test_relative_imports_are_read_as_what_they_mean():
    names = imported(ROOT / "render" / "cpu.py")
    assert "avatar.types.Gaussians" in names
    assert "time" in names
