"""Measures a session on Monado's simulated headset: `python -m tests.headset.measure [SECONDS]`.

`visavis live` as a person starts it, with the bundled avatar and the sample line, at the runtime's
own eye size: processor time of a frame by stage, missed frames, sound to sight, and the load of the
machine meanwhile. Then the same stages without the program around them: every splat, nothing
adapts, no speech network.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.bundled import SAMPLE_LINE
from app.commands.live import load_scene
from tests.headset.monado import INSIDE, Service, inside_environment, monado_here
from tests.headset.worn import worn

ROOT = Path(__file__).parents[2]
FRAMES = 200


def live(service: Service, folder: Path, seconds: str) -> dict[str, Any]:
    """The `xr` part of `--stats`."""
    stats = folder / "stats.json"
    subprocess.run(
        [
            *(*service.launcher(), sys.executable, "-m", "app", "live", "--xr", "on"),
            *("--display", "none", "--seconds", seconds, "--stats", str(stats)),
            *("--audio", str(SAMPLE_LINE), "--avatar", "default"),
        ],
        cwd=ROOT,
        env={**os.environ, **service.environment},
        check=True,
    )
    return json.loads(stats.read_text())["xr"]


def alone(service: Service) -> dict[str, Any]:
    """The same of the headset's side alone."""
    with worn(load_scene("default", None), service) as headset:
        headset.side.looked_at = None
        end = headset.side.timing
        while end.frames < FRAMES:
            headset.turn()
        return end.statistics()


def table(title: str, told: dict[str, Any]) -> str:
    """A few lines to read."""
    size = "x".join(map(str, told["eye_size"][0]))
    lines = [
        f"{title}: {told['headset']}, {size} an eye, {told['display_hz']} Hz",
        f"  load of the last minute {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        f"  {told['frames']} frames, {told['missed']} missed, scale {told['scale']}, "
        f"splats {told['splat_share']}",
        f"  work by the clock, ms: {told['work_ms']}",
        f"  sound to sight, ms: {told['sound_to_sight_ms']}",
        "  stage: processor time p50 / p95, by the clock p50 / p95, ms",
    ]
    total = 0.0
    for stage, cpu in told["cpu_ms"].items():
        clock = told["stage_ms"][stage]
        if cpu["p50"] is not None:
            lines.append(
                f"    {stage:8} {cpu['p50']} / {cpu['p95']}, {clock['p50']} / {clock['p95']}"
            )
            total += cpu["p50"] if stage != "wait" else 0.0
    return "\n".join([*lines, f"    all but waiting: {total:.1f}"])


def main(seconds: str) -> None:
    with tempfile.TemporaryDirectory(prefix="xr") as name:
        folder = Path(name)
        service = Service(monado_here(), folder)
        service.start()
        try:
            print(table("live", live(service, folder, seconds)))
            print(table("alone", alone(service)))
        finally:
            service.kill()


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "20"
    if os.environ.get(INSIDE):
        main(asked)
    else:
        monado = monado_here()
        command = [*monado.launcher, sys.executable, "-m", "tests.headset.measure", asked]
        environment = {**os.environ, **inside_environment(monado)}
        sys.exit(subprocess.run(command, env=environment).returncode)
