"""`visavis bench` measures real frames and writes what it measured."""

import json

import numpy as np
import pytest

from app.commands import bench as module
from app.commands.bench import bench, head_shaped_cloud
from avatar.errors import OutputError


@pytest.mark.parametrize("bundled", [True, False])
def test_a_quick_run_prints_a_table_and_writes_the_same_as_json(
    bundled, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(module, "QUICK_FRAMES", 2)
    if not bundled:
        monkeypatch.setattr(module, "bundled_avatars", list)
    output = tmp_path / "bench.json"
    bench(quick=True, json=output)
    report = json.loads(output.read_text(encoding="utf-8"))
    [result] = report["results"]
    assert result["backend"] == "cpu"
    assert result["gaussians"] > 10_000
    assert (result["size"], result["views"]) == (512, 1)
    stages = [result["deform_ms"] or 0, result["sort_ms"], result["raster_ms"]]
    assert (result["deform_ms"] is None) == (result["scene"] == "cloud")
    assert min(stages[1:]) > 0
    # Medians of stages need not add up to the median of the whole, but cannot exceed the worst.
    assert max(stages) <= result["total_ms"]["p95"] * 1.01
    assert result["total_ms"]["p50"] <= result["total_ms"]["p95"]
    assert report["machine"]["cores"] >= 1
    assert f"{result['gaussians']}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["bench.json"]


def test_the_graphics_card_is_measured_where_it_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "QUICK_FRAMES", 1)
    monkeypatch.setattr(module, "WARM_FRAMES", 1)
    bench(quick=True, json=tmp_path / "bench.json", backend="gl")
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert report["results"][0]["backend"] == "gl"
    assert report["machine"]["drawn_by"] in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_refused_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CpuRenderer", None)
    with pytest.raises(OutputError, match="there is no folder"):
        bench(quick=True, json=tmp_path / "missing" / "bench.json")


def test_the_full_run_covers_two_eyes_and_three_sizes_of_scene():
    cases = module._cases(quick=False)
    assert {case.views for case in cases} == {1, 2}
    assert {30_000, 60_000, 100_000} <= {case.scene.count for case in cases}
    eyes = module._views(next(case for case in cases if case.views == 2), frame=0)
    apart = eyes[1].world_from_eye()[:3, 3] - eyes[0].world_from_eye()[:3, 3]
    assert apart[0] == pytest.approx(module.EYE_DISTANCE_M, rel=0.01)


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
