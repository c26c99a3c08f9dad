"""A .ply may come from any program, or from anyone: Gaussians come back, the rest is named."""

import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatar import gaussian_file as module
from avatar.errors import GaussianFileError
from avatar.gaussian_file import MARK, read_gaussians, write_gaussians
from avatar.types import Gaussians
from render.cpu import CpuRenderer
from render.reference import ReferenceRenderer
from tests.render.scenes import front_view, gaussians_of, random_gaussians

INRIA = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
    *(f"f_rest_{index}" for index in range(45)),
    *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
"""The properties of a file of degree 3 as INRIA's `save_ply` writes it."""
KNOWN = {
    **{"x": 1.0, "y": -2.0, "z": 0.5, "f_dc_0": 0.0, "f_dc_1": 1.0, "f_dc_2": -9.0, "opacity": 0.0},
    **{"scale_0": math.log(0.01), "scale_1": 0.0, "scale_2": math.log(0.5)},
    **{"rot_0": 0.0, "rot_1": 3.0, "rot_2": 0.0, "rot_3": 4.0},
}


def header(
    names: tuple[str, ...] = INRIA,
    count: object = 1,
    order: str = "binary_little_endian",
    kind: str = "float",
    comment: str = "made by hand",
) -> bytes:
    lines = ["ply", f"format {order} 1.0", f"comment {comment}", f"element vertex {count}"]
    lines += [f"property {kind} {name}" for name in names]
    return "\n".join([*lines, "end_header\n"]).encode()


def row(names: tuple[str, ...] = INRIA, code: str = "<f", **changed: float) -> bytes:
    values = KNOWN | changed
    return struct.pack(
        f"{code[0]}{len(names)}{code[1]}", *(values.get(name, 7.0) for name in names)
    )


def written(folder: Path, *parts: bytes) -> Path:
    path = folder / "foreign.ply"
    path.write_bytes(b"".join(parts))
    return path


def refused(path: Path) -> str:
    with pytest.raises(GaussianFileError) as caught:
        read_gaussians(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text


def turns(quaternions: np.ndarray) -> np.ndarray:
    """[N, 4, 4] of unit quaternions: the same for a quaternion and its negative."""
    unit = quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)
    return unit[:, :, None] * unit[:, None, :]


@settings(max_examples=20)
@given(count=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_what_is_written_comes_back(count, seed, tmp_path_factory):
    before = random_gaussians(count, seed)
    path = tmp_path_factory.getbasetemp() / "back.ply"
    write_gaussians(before, path)
    held = read_gaussians(path)
    assert (held.ours, held.left_out, held.shaded) == (True, 0, False)
    back = held.gaussians
    np.testing.assert_array_equal(back.means, before.means)
    np.testing.assert_allclose(turns(back.rotations), turns(before.rotations), atol=1e-6)
    np.testing.assert_allclose(back.scales, before.scales, rtol=2e-6)
    np.testing.assert_allclose(back.opacities, before.opacities, atol=2e-6)
    np.testing.assert_allclose(back.colours, before.colours, atol=1e-6)
    for array in (back.means, back.rotations, back.scales, back.opacities, back.colours):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous


def test_scales_of_nothing_and_opacities_of_all_are_written_as_finite_numbers(tmp_path):
    path = tmp_path / "edges.ply"
    write_gaussians(gaussians_of([[0, 0, 0]] * 2, scales=0.0, opacities=[0, 1]), path)
    back = read_gaussians(path).gaussians
    np.testing.assert_allclose(back.scales, 0, atol=1.1e-9)
    np.testing.assert_allclose(back.opacities, [0, 1], atol=2e-6)


def test_our_files_have_the_layout_that_other_programs_read(tmp_path):
    path = tmp_path / "ours.ply"
    one = gaussians_of([[0.1, 0.2, 0.3]], scales=[[1, 2, 3]], opacities=0.8, colours=[1, 0.5, 0])
    write_gaussians(one, path)
    head, _, body = path.read_bytes().partition(b"end_header\n")
    names = [line.split()[2].decode() for line in head.splitlines() if b"property" in line]
    assert names == [name for name in INRIA if not name.startswith("f_rest")]
    values = dict(zip(names, struct.unpack(f"<{len(names)}f", body), strict=True))
    # Half a turn about z: up in avatar space, +y, is -y in the file; the face's +z stays.
    assert [values[axis] for axis in "xyz"] == pytest.approx([-0.1, -0.2, 0.3])
    assert [values[f"rot_{k}"] for k in range(4)] == pytest.approx([0, 0, 0, 1])
    assert [values[f"scale_{k}"] for k in range(3)] == pytest.approx([0, math.log(2), math.log(3)])
    assert values["opacity"] == pytest.approx(math.log(4))
    assert [values[f"f_dc_{k}"] for k in range(3)] == pytest.approx([1.7724539, 0, -1.7724539])
    assert [values[f"n{axis}"] for axis in "xyz"] == [0, 0, 0]


def test_a_head_that_an_editor_saved_again_stands_as_it_did(tmp_path):
    """Its comment is gone, and no header says which way is up."""
    before = random_gaussians(40, 1)
    path = tmp_path / "ours.ply"
    write_gaussians(before, path)
    path.write_bytes(path.read_bytes().replace(MARK.encode(), b"edited elsewhere"))
    held = read_gaussians(path)
    assert not held.ours
    view, reference = front_view(), ReferenceRenderer()
    [upright] = reference.render(before, [view])
    [again] = reference.render(held.gaussians, [view])
    assert np.abs(again.astype(int) - upright).max() <= 1


@pytest.mark.parametrize(
    ("order", "kind", "code"),
    [
        ("binary_little_endian", "float", "<f"),
        ("binary_big_endian", "float32", ">f"),
        ("binary_little_endian", "double", "<d"),
        ("ascii", "float", ""),
    ],
)
def test_a_file_with_known_values_means_what_it_should(tmp_path, order, kind, code):
    text = " ".join(f"{KNOWN.get(name, 7.0):.9g}" for name in INRIA).encode()
    body = row(code=code) if code else text
    held = read_gaussians(written(tmp_path, header(order=order, kind=kind), body))
    assert (held.ours, held.left_out, held.shaded) == (False, 0, True)
    one = held.gaussians
    np.testing.assert_allclose(one.means, [[-1, 2, 0.5]])  # y down in the file
    np.testing.assert_allclose(one.colours, [[0.5, 0.78209479, 0]], rtol=1e-6)  # held to 0
    np.testing.assert_allclose(one.opacities, [0.5])
    np.testing.assert_allclose(one.scales, [[0.01, 1, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(one.rotations, [[-4, 0, 3, 0]])


def test_properties_may_stand_in_any_order_and_faces_may_follow(tmp_path):
    names = tuple(reversed(KNOWN))
    more = b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    head = header(names).replace(b"end_header\n", more).replace(b"\n", b"\r\n")
    held = read_gaussians(written(tmp_path, head, row(names), b"\0" * 13))
    np.testing.assert_allclose(held.gaussians.means, [[-1, 2, 0.5]])


@pytest.mark.parametrize(
    "changed",
    [
        *({"x": math.nan}, {"f_dc_2": math.inf}, {"opacity": math.inf}, {"opacity": math.nan}),
        *({"scale_1": -math.inf}, {"scale_1": 1e30}, {"rot_1": 0.0, "rot_3": 0.0}),
    ],
)
def test_splats_that_cannot_be_drawn_are_left_out_and_counted(changed, tmp_path):
    parts = (header(count=3), row(x=5.0), row(**changed), row(x=6.0))
    held = read_gaussians(written(tmp_path, *parts))
    assert held.left_out == 1
    assert held.gaussians.means[:, 0].tolist() == [-5, -6]
    assert "none of its 1" in refused(written(tmp_path, header(), row(**changed)))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b""], "empty"),
        ([b"solid cube"], "begins with b'soli'"),
        ([b"ply\n"], "no end_header"),
        ([b"ply\n" + b"comment x\n" * 20_000], "no end_header"),
        ([b"ply\nend_header\n"], "expected one line 'format"),
        ([header(order="binary_middle_endian"), row()], "binary_middle_endian"),
        ([header(count=0)], "announces 0"),
        ([header(count=10**9), row()], "announces 1,000,000,000"),
        ([header(count="9" * 5000), row()], "announces"),
        ([header(count=4_000_000), row()], "got 248 bytes in all"),
        ([header(count=4_000_000, order="ascii"), row()], "at least 124 bytes"),
        ([header(count=-1), row()], "element vertex NUMBER"),
        ([header(count="²"), row()], "element vertex NUMBER"),
        ([header(count=2), row(), row()[:-1]], "cut short"),
        ([header(names=INRIA[:9]), row(INRIA[:9])], "lacks opacity, scale_0"),
        ([header(names=(*INRIA, "x")), row()], "each name once"),
        ([header(kind="list uchar float"), row()], "property list"),
        ([header(kind="quaternion"), row()], "property quaternion"),
        ([header(names=(*INRIA, *(f"f{k}" for k in range(300)))), row()], "properties"),
        ([header().replace(b"vertex", b"chunk"), row()], "compressed by SuperSplat"),
        ([header(order="ascii"), b"1 2 3 " * 30], "words, expected 62 numbers"),
        ([header(order="ascii"), b"many " * 62], "expected 62 numbers"),
        ([header(order="ascii"), b"1" * 100_000], "1 words"),
    ],
)
def test_what_is_no_file_of_gaussians_is_refused_in_a_line(parts, reason, tmp_path):
    assert reason in refused(written(tmp_path, *parts))


def test_places_without_a_file_are_refused(tmp_path):
    assert "no such file" in refused(tmp_path / "gone.ply")
    assert "folder" in refused(tmp_path)
    if hasattr(os, "mkfifo"):
        pipe = tmp_path / "pipe.ply"
        os.mkfifo(pipe)
        refused(pipe)  # and nobody waits for what will never be written


def test_a_million_splats_are_read_in_bounded_memory(tmp_path, monkeypatch):
    count = 1_000_000
    path = tmp_path / "many.ply"
    names = tuple(KNOWN)
    with path.open("wb") as file:
        file.write(header(names, count))
        for _ in range(10):
            file.write(row(names) * (count // 10))
    assert len(read_gaussians(path).gaussians) == count
    monkeypatch.setattr(module, "LARGEST_COUNT", count - 1)
    assert "fewer of them" in refused(path)


@settings(max_examples=80)
@given(
    cut=st.integers(0, 2000),
    flips=st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=8),
    tail=st.binary(max_size=40),
)
@example(cut=2000, flips=[], tail=b"")
def test_damaged_bytes_give_gaussians_or_a_refusal(cut, flips, tail, tmp_path_factory):
    good = header(tuple(KNOWN), 4) + row(tuple(KNOWN)) * 4
    data = bytearray(good[:cut] + tail)
    for place, value in flips:
        data[place % max(len(data), 1) : place % max(len(data), 1) + 1] = bytes([value])
    path = tmp_path_factory.getbasetemp() / "damaged.ply"
    path.write_bytes(data)
    try:
        held = read_gaussians(path)
    except GaussianFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most examples raise, some do not)
        return
    _assert_drawable(held.gaussians)


@settings(max_examples=60)
@given(body=st.binary(min_size=56 * 3, max_size=56 * 3))
def test_any_numbers_can_be_drawn(body, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.ply"
    path.write_bytes(header(tuple(KNOWN), 3) + body)
    try:
        held = read_gaussians(path)
    except GaussianFileError:
        return
    _assert_drawable(held.gaussians)


CPU = CpuRenderer(threads=1)


def _assert_drawable(gaussians: Gaussians) -> None:
    for values in (gaussians.means, gaussians.rotations, gaussians.scales):
        assert np.isfinite(values).all()
    for values in (gaussians.opacities, gaussians.colours):
        assert ((values >= 0) & (values <= 1)).all()
    assert CPU.render(gaussians, [front_view(16, 16)]).shape == (1, 16, 16, 3)
