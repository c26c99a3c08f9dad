"""Shader text: found, joined and checked before the driver sees it; then compiled."""

import re
from dataclasses import dataclass, field
from importlib.resources import files

import moderngl

from avatar.errors import ShaderError

INCLUDE = re.compile(r'^#include "([\w/.]+)"\s*$')


@dataclass(frozen=True, slots=True)
class ShaderText:
    """GLSL ready to compile, and the files behind the numbers in the driver's messages."""

    text: str
    names: tuple[str, ...] = field(default=())
    """File i of `#line ROW i`."""


def shader_text(name: str, **defines: int | float) -> ShaderText:
    """GLSL of `shaders/<name>`, with includes joined and defines set.

    `defines` become `#define` lines under `#version`, so a number that Python and GLSL share is
    written once, in Python. `#line` marks keep the driver's line numbers true to the files.

    Raises:
        ShaderError: the file or an include is missing, or includes form a ring.
    """
    names: list[str] = []
    lines = _joined(name, (), names)
    # lines[0] is the file's own `#line`; the language wants #version before all else.
    version = lines[1] if len(lines) > 1 else ""
    if not version.startswith("#version"):
        raise ShaderError(f"shaders/{name}: first line must be #version, got {version!r}.")
    head = [version, *(f"#define {key} {value}" for key, value in defines.items()), "#line 2 0"]
    return ShaderText("\n".join(head + lines[2:]) + "\n", tuple(names))


def build_program(
    context: moderngl.Context, vertex: str, fragment: str, **defines: int | float
) -> moderngl.Program:
    """Compile and link `shaders/<vertex>` and `shaders/<fragment>`.

    Raises:
        ShaderError: as `shader_text`, or the driver refuses; its log is in the message.
    """
    vertex_text, fragment_text = shader_text(vertex, **defines), shader_text(fragment, **defines)
    try:
        return context.program(vertex_shader=vertex_text.text, fragment_shader=fragment_text.text)
    except moderngl.Error as error:
        report = str(error)
        source = vertex_text if "vertex_shader" in report else fragment_text
        raise ShaderError(_with_file_names(report, source)) from error


def build_compute(
    context: moderngl.Context, name: str, **defines: int | float
) -> moderngl.ComputeShader:
    """Compile and link `shaders/<name>`; wants OpenGL 4.3.

    Raises:
        ShaderError: as `build_program`.
    """
    source = shader_text(name, **defines)
    try:
        return context.compute_shader(source.text)
    except moderngl.Error as error:
        raise ShaderError(_with_file_names(str(error), source)) from error


def set_uniforms(
    program: moderngl.Program | moderngl.ComputeShader, **values: float | tuple[float, ...]
) -> None:
    """Give each uniform its value."""
    for name, value in values.items():
        uniform = program[name]
        assert isinstance(uniform, moderngl.Uniform)
        uniform.value = value


def _joined(name: str, parents: tuple[str, ...], names: list[str]) -> list[str]:
    """The lines of a file and of all that it includes, with `#line` where the file changes."""
    if name in parents:
        raise ShaderError(f"shaders include each other: {' -> '.join([*parents, name])}.")
    path = files("shaders").joinpath(name)
    if not path.is_file():
        wanted_by = f", included by shaders/{parents[-1]}" if parents else ""
        raise ShaderError(f"shaders/{name} is missing{wanted_by}. Reinstall the program.")
    number = len(names)
    names.append(name)
    lines = [f"#line 1 {number}"]
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        include = INCLUDE.match(line)
        if include is None:
            lines.append(line)
            continue
        lines += _joined(include[1], (*parents, name), names)
        lines.append(f"#line {row + 1} {number}")
    return lines


def _with_file_names(report: str, source: ShaderText) -> str:
    """The driver's log on one line, its file numbers replaced by names.

    Mesa writes `0:12(5): error`, NVIDIA `0(12) : error`, Apple and AMD `ERROR: 0:12:`.
    """

    def named(match: re.Match[str]) -> str:
        number, line = int(match[1]), match[2] or match[3]
        if number >= len(source.names):
            return match[0]
        return f"shaders/{source.names[number]} line {line}: "

    text = re.sub(r"\b(\d+)(?::(\d+)(?:\(\d+\))?|\((\d+)\))\s*:\s*", named, report)
    wanted = [line.strip() for line in text.splitlines() if "error" in line.lower()]
    return " ".join(wanted) or " ".join(text.split())
