"""The doctor tells the truth about this machine and about the files that ship."""

import json
import re
from pathlib import Path

import pytest

from app.__main__ import main
from app.bundled import ASSETS
from app.commands import doctor
from avatar.fit import backends
from avatar.fit.backends import CardFitting
from render import cuda_probe
from render.cuda_probe import CudaProbe
from render.gl_driver import Driver


def test_the_report_names_what_was_found_and_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    findings = {finding["name"]: finding for finding in report["findings"]}
    names = {"Python", "machine", "libraries", "torch", "assets", "avatar", "speech"}
    assert names | {"display", "OpenGL", "renderer", "headset", "microphones"} <= set(findings)
    assert str(tmp_path) in findings["this folder"]["found"]
    for finding in findings.values():
        assert finding["state"] in ("ok", "warn", "fail")
        assert bool(finding["advice"]) == (finding["state"] != "ok"), finding
    assert findings["libraries"]["state"] == "ok"
    assert findings["OpenGL"]["state"] == "ok"
    assert "chosen by itself" in findings["renderer"]["found"]
    assert report["ok"] == all(finding["state"] != "fail" for finding in findings.values())


@pytest.mark.parametrize(
    ("driver", "probe", "fitting", "state", "found", "advice"),
    [
        (False, CudaProbe("", "there is no NVIDIA driver"), CardFitting(True), "ok",
         "there is no NVIDIA driver (not needed)", ""),
        (True, CudaProbe("RTX", ""), CardFitting(True), "ok",
         "RTX, draws by the program's own kernels; fits avatars by gsplat", ""),
        (True, CudaProbe("RTX", ""), CardFitting(False, "no gsplat", "Get it."), "ok",
         "RTX, draws by the program's own kernels; avatars are fitted on the processor (no gsplat. "
         "Get it.)", ""),
        (True, CudaProbe("", "no compiler. Get it."), CardFitting(True), "warn",
         "does not draw; fits avatars by gsplat", "no compiler. Get it."),
    ],
)  # fmt: skip
def test_who_draws_and_who_fits_on_an_nvidia_card_and_what_would_change_that(
    monkeypatch: pytest.MonkeyPatch,
    driver: bool,
    probe: CudaProbe,
    fitting: CardFitting,
    state: str,
    found: str,
    advice: str,
) -> None:
    monkeypatch.setattr(cuda_probe, "has_nvidia_driver", lambda: driver)
    monkeypatch.setattr(cuda_probe, "probe_cuda", lambda: probe)
    monkeypatch.setattr(backends, "fitting_on_card", lambda: fitting)
    assert doctor._cuda() == doctor.Finding("CUDA", state, found, advice)  # pyright: ignore[reportArgumentType]


def test_the_shipped_files_are_those_that_the_checksums_name() -> None:
    assert doctor.damaged_assets() == [], "after a change: python3 scripts/asset_checksums.py"
    present = {
        path.relative_to(ASSETS).as_posix()
        for path in ASSETS.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".md")
    }
    assert present - {"SHA256SUMS"} == set(doctor.listed_assets())


def test_a_damaged_and_a_missing_file_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").write_bytes(b"abc")
    (tmp_path / "damaged").write_bytes(b"abd")
    digest = (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", FIPS 180
    )
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("".join(f"{digest}  {name}\n" for name in ("whole", "damaged", "missing")))
    monkeypatch.setattr(doctor, "ASSETS", tmp_path)
    monkeypatch.setattr(doctor, "CHECKSUMS", sums)
    assert doctor.damaged_assets() == ["damaged", "missing"]
    sums.unlink()
    assert doctor.damaged_assets() == ["SHA256SUMS"]


@pytest.mark.parametrize(
    ("version", "opengl", "renderer"),
    [
        ("4.6.0 NVIDIA 570", "poses and sorts", "gl, .*posing and sorting: card"),
        ("4.1 Metal", "draws only", "gl, .*posing and sorting: processor"),
        ("", "no context", "cpu, .*posing and sorting: processor"),
    ],
)
def test_it_tells_whether_the_card_poses_and_sorts(monkeypatch, version, opengl, renderer) -> None:
    monkeypatch.setattr("render.gl_driver.has_card", lambda: True)
    driver = Driver("a card", version) if version else None
    monkeypatch.setattr("render.gl_driver.probe_driver", lambda: driver)
    assert opengl in doctor._opengl().found
    assert re.match(renderer, doctor._renderer().found)


def test_the_last_line_names_the_one_command_that_mends_all() -> None:
    whole = doctor.Finding("numba", "ok", "0.68")
    deaf = doctor.Finding("microphones", "warn", "none", "advice", ("b", "a"))
    blind = doctor.Finding("OpenGL", "warn", "none", "advice", ("c", "a"))
    torn = doctor.Finding("torch", "fail", "broken", "advice")
    assert doctor.mended_by([whole, deaf, blind, torn]).endswith("apt-get install -y a b c")
    assert "torch" in doctor.mended_by([whole, torn])
    assert "Nothing is broken" in doctor.mended_by([whole])


def test_damaged_settings_are_seen(own_folders: Path) -> None:
    folder = own_folders / "XDG_CONFIG_HOME" / "visavis"
    folder.mkdir(parents=True, exist_ok=True)
    damaged = folder / "settings.toml"
    damaged.write_text("no TOML [")
    try:
        findings = {finding.name: finding for finding in doctor.examine()}
    finally:
        damaged.unlink()
    assert findings["yours"].state == "warn"
    assert str(damaged) in findings["yours"].advice
    assert "webcam" in findings["cameras"].found or "/dev/video" in findings["cameras"].found
