"""`visavis bench` measures real frames and writes what it measured."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.__main__ import main
from app.bundled import avatar_path
from app.commands import bench as module
from app.commands.bench import Case, bench, head_shaped_cloud, with_count
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import DeviceError, OutputError
from avatar.types import Avatar
from render import cuda_driver
from render.camera import orbit_view
from render.cpu import CpuRenderer
from tests.app.test_command_line import refused, usage_status
from tests.avatar.plain_head import taught
from tests.render.fake_cuda import fake_library


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames, few cases."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)  # one frame a visit
    monkeypatch.setattr(module, "COUNTS", (300, 600))
    monkeypatch.setattr(module, "SIZES", (48,))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("drawn", ["bundled", "small", "cloud"])
def test_a_quick_run_prints_a_table_and_writes_the_same_as_json(
    drawn, tmp_path, capsys, monkeypatch, small_avatar_file
):
    if drawn == "cloud":
        monkeypatch.setattr(module, "bundled_avatars", list)
    output = tmp_path / "bench.json"
    avatar = str(small_avatar_file) if drawn == "small" else DEFAULT_AVATAR
    bench(quick=True, json=output, backends=("cpu",), avatar=avatar)
    report = json.loads(output.read_text(encoding="utf-8"))
    [result] = report["results"]
    assert result["backend"] == "cpu"
    known = {"bundled": f"avatar {DEFAULT_AVATAR}", "small": "avatar small", "cloud": "cloud"}
    assert result["scene"] == known[drawn]
    assert (result["gaussians"] > 10_000) == (drawn != "small")
    assert (result["size"], result["views"]) == (512, 1)
    stages = [result["deform_ms"] or 0, result["sort_ms"], result["raster_ms"]]
    assert (result["deform_ms"] is None) == (result["scene"] == "cloud")
    assert min(stages[1:]) > 0
    # Medians of stages need not add up to the median of the whole, but cannot exceed the worst.
    assert max(stages) <= result["total_ms"]["p95"] * 1.01
    assert result["total_ms"]["p50"] <= result["total_ms"]["p95"]
    frames_per_s = 1000 / result["total_ms"]["p50"]
    assert result["gaussians_per_s"] == pytest.approx(result["gaussians"] * frames_per_s, rel=0.01)
    assert report["machine"]["cores"] >= 1
    assert [backend["name"] for backend in report["machine"]["backends"]] == ["cpu"]
    assert f"{result['gaussians']}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


@pytest.mark.usefixtures("hasty")
def test_a_full_run_measures_every_case_on_every_renderer_and_draws_it(tmp_path, capsys):
    output, plot = tmp_path / "bench.json", tmp_path / "bench.png"
    arguments = ["bench", "--backends", "cpu", "torch", "--json", output, "--plot", plot]
    assert main([str(argument) for argument in arguments]) == 0
    results = json.loads(output.read_text(encoding="utf-8"))["results"]
    measured = [(r["gaussians"], r["views"], r["backend"]) for r in results]
    assert measured == [
        (count, views, backend)
        for count in (300, 600)
        for views in (1, 2)
        for backend in ("cpu", "torch")
    ]
    for result in results:
        assert result["frames"] == module.FULL_VISITS
        assert result["deform_ms"] > 0
        if sys.platform == "linux":
            assert result["peak_mb"] >= 0
    table = capsys.readouterr().out
    assert "x torch" in table
    assert max(map(len, table.splitlines())) <= 80
    with Image.open(plot) as picture:
        assert picture.width > 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.png"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", ["cuda", "cuda-gl"])
def test_a_card_is_measured_with_its_posing_and_what_it_holds(
    name, tmp_path, monkeypatch, small_avatar_file
):
    # On the fake card of the renderer's own tests: what is measured means nothing, but all is told.
    monkeypatch.setattr(cuda_driver, "driver_library", fake_library)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "SIZES", (32,))
    monkeypatch.setattr(module, "COUNTS", (300,))
    bench(backends=(name,), json=tmp_path / "bench.json", avatar=str(small_avatar_file))
    report = json.loads((tmp_path / "bench.json").read_text())
    [machine] = report["machine"]["backends"]
    assert machine["name"] == name
    assert "fake card" in machine["drawn_by"]
    assert "posed and sorted by the card" in machine["drawn_by"]
    assert [result["views"] for result in report["results"]] == [1, 2]
    for result in report["results"]:
        # What the fake's clock says.
        assert result["deform_ms"] == result["sort_ms"] == result["raster_ms"] == 1
        assert result["card_mb"] > 1


@pytest.mark.usefixtures("hasty")
def test_a_headsets_two_eyes_are_measured_where_they_are_asked_for(
    tmp_path, monkeypatch, small_avatar_file
):
    monkeypatch.setattr(module, "HEADSET_PX", (60, 64))
    monkeypatch.setattr(module, "COUNTS", (300,))
    output, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    avatar = str(small_avatar_file)
    bench(headset=True, backends=("cpu",), json=output, plot=picture, avatar=avatar)
    results = json.loads(output.read_text())["results"]
    shapes = [(result["size"], result["height"], result["views"]) for result in results]
    assert shapes == [(48, 48, 1), (48, 48, 2), (60, 64, 2)]
    assert picture.is_file()


def test_a_head_before_a_headset_is_in_both_pictures():
    left, right = module._views(Case(None, 2064, 2, headset=True), 0)
    assert (left.width, left.height) == (2064, 2208)
    eyes = np.linalg.norm(left.position - right.position)
    assert eyes == pytest.approx(module.EYE_DISTANCE_M, rel=0.01)
    for view in (left, right):
        x, y, depth = view.project([0.0, 0.0, -0.06])
        assert 800 < x < 1264
        assert 900 < y < 1308
        assert depth == pytest.approx(module.HEADSET_DISTANCE_M, rel=0.05)


@pytest.mark.usefixtures("hasty")
def test_without_names_all_are_measured_that_run_here(capsys, monkeypatch, small_avatar_file):
    def opened(name: str) -> CpuRenderer:
        if name == "gl":
            raise DeviceError("no OpenGL 3.3 here.")
        return CpuRenderer()

    monkeypatch.setattr(module, "RENDERER_NAMES", ("auto", "cpu", "gl", "reference"))
    monkeypatch.setattr(module, "open_renderer", opened)
    monkeypatch.setattr(module, "COUNTS", (300,))
    bench(avatar=str(small_avatar_file))
    told = capsys.readouterr()
    # On a busy machine it also says how far it is.
    said = [line for line in told.err.splitlines() if not line.startswith("measuring: ")]
    assert said == ["gl: not measured. no OpenGL 3.3 here."]
    assert {line.split()[0] for line in told.out.splitlines()[2:]} == {"cpu", "torch"}
    with pytest.raises(DeviceError, match="no OpenGL"):
        bench(backends=("gl",))


@pytest.mark.usefixtures("hasty")
def test_the_graphics_card_is_measured_where_it_is_asked_for(
    tmp_path, monkeypatch, small_avatar_file
):
    monkeypatch.setattr(module, "COUNTS", (300,))
    avatar = str(small_avatar_file)
    bench(json=tmp_path / "bench.json", backends=("gl", "cpu"), avatar=avatar)
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [result["backend"] for result in report["results"][:2]] == ["gl", "cpu"]
    # The card poses and sorts, and does not tell how long it takes over what.
    stages = [report["results"][0][f"{stage}_ms"] for stage in ("deform", "sort", "raster")]
    assert stages == [None, None, None]
    assert report["results"][0]["total_ms"]["p50"] > 0
    assert "posed and sorted by the card" in report["machine"]["backends"][0]["drawn_by"]


@pytest.mark.usefixtures("hasty")
def test_a_run_that_is_stopped_shows_what_it_had_and_leaves_no_file(tmp_path, capsys, monkeypatch):
    visit = module._visit

    def stopped_at_the_second(renderer, scene, frames, memory, entry):
        if entry.case.views == 2:
            raise KeyboardInterrupt
        visit(renderer, scene, frames, memory, entry)

    monkeypatch.setattr(module, "_visit", stopped_at_the_second)
    assert main(["bench", "--backends", "cpu", "--json", str(tmp_path / "b.json")]) == 130
    told = capsys.readouterr()
    assert told.err == "visavis: stopped.\n"
    assert len(told.out.splitlines()) == 3, "a title, the headings, and the case that was measured"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_is_refused_before_measuring(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "_measure_all", None)
    for option, name in (("json", "missing/b.json"), ("plot", "missing/b.png"), ("plot", "b.gif")):
        with pytest.raises(OutputError):
            bench(quick=True, **{option: tmp_path / name})
    line = refused(capsys, ["bench", "--backends", "abacus"])
    assert "'abacus': expected some of cpu" in line
    assert "torch" in line
    assert usage_status(["bench", "--backend"]) == 2


def test_the_full_run_covers_two_eyes_four_counts_and_three_sizes():
    cases = module._cases(quick=False)
    assert {case.views for case in cases} == {1, 2}
    assert {case.count for case in cases} == {10_000, 30_000, 60_000, 100_000}
    assert {case.size for case in cases} == {256, 512, 1024}
    eyes = module._views(Case(None, 512, 2), frame=0)
    apart = eyes[1].world_from_eye()[:3, 3] - eyes[0].world_from_eye()[:3, 3]
    assert apart[0] == pytest.approx(module.EYE_DISTANCE_M, rel=0.01)


@pytest.mark.parametrize("count", [20_000, 100_000])
def test_an_avatar_of_another_count_covers_as_much(count):
    avatar = load_avatar(avatar_path(DEFAULT_AVATAR))
    view = orbit_view(0, 0, 1, width=128, height=128)
    alphas = [
        CpuRenderer().render_float(Deformer(other).gaussians(), [view])[1]
        for other in (avatar, with_count(avatar, count))
    ]
    assert alphas[1].mean() == pytest.approx(alphas[0].mean(), rel=0.05)


def test_an_avatar_of_its_own_count_is_the_same_in_another_order(small_avatar: Avatar):
    again = with_count(small_avatar, len(small_avatar))
    np.testing.assert_array_equal(np.sort(again.colour, 0), np.sort(small_avatar.colour, 0))
    np.testing.assert_array_equal(again.bound_position, small_avatar.bound_position)


def test_an_avatar_of_another_count_keeps_its_residuals(small_avatar: Avatar):
    learned = taught(small_avatar)
    learned = replace(learned, opacity=np.arange(len(learned)).astype(np.float32))  # who is who
    for count in (1000, 4000):
        other = with_count(learned, count)
        of = other.opacity.astype(int)
        for name in ("face_residual", "pose_residual"):
            part, whole = getattr(other, name), getattr(learned, name)
            assert np.array_equal(part.splats, np.flatnonzero(np.isin(of, whole.splats)))
            rows = np.searchsorted(whole.splats, of[part.splats])
            assert np.array_equal(part.bases, whole.bases[rows])


def test_the_cloud_is_a_closed_surface_of_a_heads_size():
    cloud = head_shaped_cloud(5000, seed=3)
    inside = (cloud.means - module.HEAD_CENTRE_M) / module.HEAD_RADII_M
    assert np.allclose(np.linalg.norm(inside, axis=1), 1, atol=0.12)
    assert np.allclose(np.linalg.norm(cloud.rotations, axis=1), 1, atol=1e-5)
    # Each splat is flat against the surface: its thin third axis is the normal.
    w, x, y, z = cloud.rotations.T
    thin = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
    normal = inside / module.HEAD_RADII_M
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert np.abs((thin * normal).sum(1)).min() > 0.98


def test_the_same_seed_gives_the_same_cloud():
    assert np.array_equal(head_shaped_cloud(100, 1).means, head_shaped_cloud(100, 1).means)
    assert not np.array_equal(head_shaped_cloud(100, 1).means, head_shaped_cloud(100, 2).means)
