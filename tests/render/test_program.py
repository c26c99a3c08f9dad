from pathlib import Path

import moderngl
import pytest

from avatar.errors import ShaderError
from render import program
from render.program import build_program, shader_text


@pytest.fixture
def shader_folder(tmp_path, monkeypatch) -> Path:
    """Shaders of the test's own in place of the program's."""
    monkeypatch.setattr(program, "files", lambda package: tmp_path)
    return tmp_path


def test_includes_and_defines_are_joined_and_lines_stay_true(shader_folder):
    (shader_folder / "part.glsl").write_text("float half_of(float x) {\n    return x / 2.0;\n}\n")
    (shader_folder / "main.frag").write_text(
        '#version 330 core\n// one\n#include "part.glsl"\nvoid main() {}\n'
    )
    source = shader_text("main.frag", TILE=16)
    lines = source.text.splitlines()
    assert lines[:3] == ["#version 330 core", "#define TILE 16", "#line 2 0"]
    assert lines[3] == "// one"
    assert lines[4] == "#line 1 1"
    assert lines[lines.index("void main() {}") - 1] == "#line 4 0"
    assert source.names == ("main.frag", "part.glsl")


def test_the_programs_own_shaders_can_be_read():
    assert "vec3 backdrop" in shader_text("picture.frag").text


def test_what_is_missing_or_includes_itself_is_named(shader_folder):
    (shader_folder / "ring.glsl").write_text('#version 330\n#include "ring.glsl"\n')
    (shader_folder / "lonely.frag").write_text('#version 330\n#include "gone.glsl"\n')
    (shader_folder / "bare.frag").write_text("void main() {}\n")
    with pytest.raises(ShaderError, match=r"include each other: ring.glsl -> ring.glsl"):
        shader_text("ring.glsl")
    with pytest.raises(ShaderError, match=r"gone.glsl is missing, included by shaders/lonely"):
        shader_text("lonely.frag")
    with pytest.raises(ShaderError, match=r"nope.vert is missing"):
        shader_text("nope.vert")
    with pytest.raises(ShaderError, match=r"first line must be #version"):
        shader_text("bare.frag")


@pytest.fixture
def context(display):
    """OpenGL without a window."""
    context = moderngl.create_standalone_context(require=330)
    yield context
    assert context.error == "GL_NO_ERROR"
    context.release()


def test_the_programs_own_shaders_compile(context):
    build_program(context, "picture.vert", "picture.frag").release()


def test_a_compile_error_names_the_file_and_the_line(context, shader_folder):
    (shader_folder / "part.glsl").write_text("// fine\nfloat wrong() { return missing; }\n")
    (shader_folder / "a.vert").write_text("#version 330\nvoid main() { gl_Position = vec4(0); }\n")
    (shader_folder / "a.frag").write_text(
        '#version 330\n#include "part.glsl"\nout vec4 c;\nvoid main() { c = vec4(wrong()); }\n'
    )
    with pytest.raises(ShaderError, match=r"missing.*shaders/part.glsl line 2: error"):
        build_program(context, "a.vert", "a.frag")
