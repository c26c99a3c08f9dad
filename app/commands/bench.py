"""`visavis bench`: how long a frame takes on this machine, stage by stage."""

import json as json_module
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from app.bundled import avatar_path, bundled_avatars
from app.output_file import check_output, written_beside
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import ARKIT_NAMES, Float, Gaussians
from render.camera import View, orbit_view, viewer
from render.cpu import CpuRenderer
from render.gl import GlRenderer

HEAD_RADII_M = np.array([0.078, 0.115, 0.098])
"""Half-width, half-height and half-depth of an adult head."""
HEAD_CENTRE_M = np.array([0.0, -0.01, -0.08])
EYE_DISTANCE_M = 0.063
"""Between the pupils: what two views, one for each eye of a headset, lie apart."""
WARM_FRAMES = 3
FULL_FRAMES, QUICK_FRAMES = 60, 15
CLOUD_SIZES = (30_000, 60_000, 100_000)


@dataclass(frozen=True, slots=True)
class Scene:
    """Something to draw, frame after frame."""

    name: str
    """"avatar NAME", or "cloud" for splats on the surface of an ellipsoid."""
    count: int
    """Gaussians."""
    pose: Callable[[int, list[View]], Gaussians]
    """The Gaussians of frame i."""
    moves: bool
    """Whether `pose` deforms a head; a cloud keeps still, and its deform time means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the result."""

    scene: Scene
    size: int
    """Width and height, pixels."""
    views: int


def bench(
    quick: Annotated[bool, tyro.conf.arg(help="One typical case, in a few seconds.")] = False,
    json: Annotated[Path | None, tyro.conf.arg(help="Write the same as JSON to this file.")] = None,
    backend: Annotated[
        Literal["cpu", "gl"],
        tyro.conf.arg(help="Which renderer draws: the processor, or the graphics card."),
    ] = "cpu",
) -> None:
    """Measure how long a frame takes on this machine, and print a table.

    With the bundled avatar where there is one, and with clouds of splats in the shape of a head.
    An OutputError tells before measuring where the file cannot be written, a DeviceError where
    there is no OpenGL.
    """
    if json is not None:
        check_output(json, (".json",))
    renderer = CpuRenderer() if backend == "cpu" else GlRenderer()
    warm_up_s = renderer.warm_up()
    results = [_measure(renderer, case, quick) for case in _cases(quick)]
    machine = {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "drawn_by": _drawn_by(renderer),
        "warm_up_s": round(warm_up_s, 3),
    }
    Console().print(_table(results, renderer))
    if json is not None:
        text = json_module.dumps({"machine": machine, "results": results}, indent=2)
        with written_beside(json) as beside:
            beside.write_text(text + "\n", encoding="utf-8")


def head_shaped_cloud(count: int, seed: int = 0) -> Gaussians:
    """`count` flat splats spread over an ellipsoid of a head's size, in avatar space; coloured in
    waves. Splats and overlaps are as many and as large as on a fitted head."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = direction / HEAD_RADII_M
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points = direction * HEAD_RADII_M + normal * rng.normal(size=(count, 1)) * 0.0015
    # The turn that takes z to the normal, after a random spin about z.
    spin = rng.uniform(0, math.pi, count)
    lean = np.stack([1 + normal[:, 2], -normal[:, 1], normal[:, 0], np.zeros(count)], 1)
    lean[normal[:, 2] < -0.9999] = [0, 1, 0, 0]
    lean /= np.linalg.norm(lean, axis=1, keepdims=True)
    cosine, sine = np.cos(spin / 2), np.sin(spin / 2)
    w, x, y, _ = lean.T
    rotations = np.stack([w * cosine, x * cosine + y * sine, y * cosine - x * sine, w * sine], 1)
    width = 0.6 * math.sqrt(_ellipsoid_area(HEAD_RADII_M) / max(count, 1))
    scales = width * np.stack(
        [rng.lognormal(0.15, 0.35, count), rng.lognormal(-0.25, 0.35, count), np.full(count, 0.15)],
        1,
    )
    waves = np.sin(points * [40, 55, 70] + [0, 1, 2])
    colours = np.clip(0.5 + 0.35 * waves + 0.05 * rng.normal(size=(count, 3)), 0, 1)
    return Gaussians(
        means=_single(points + HEAD_CENTRE_M),
        rotations=_single(rotations),
        scales=_single(scales),
        opacities=_single(np.clip(rng.beta(3, 1.5, count), 0.02, 0.995)),
        colours=_single(colours),
    )


def _single(values: np.ndarray) -> Float:
    return np.ascontiguousarray(values, np.float32)


def _ellipsoid_area(radii: np.ndarray) -> float:
    """Knud Thomsen's approximation, good to 1 %."""
    a, b, c = radii**1.6
    return 4 * math.pi * ((a * b + a * c + b * c) / 3) ** (1 / 1.6)


def _avatar_scene(name: str) -> Scene:
    """The avatar opening and closing its mouth, looking about, nodding."""
    avatar = load_avatar(avatar_path(name))
    deformer = Deformer(avatar)
    jaw = ARKIT_NAMES.index("jawOpen")

    def pose(frame: int, views: list[View]) -> Gaussians:
        swing = math.sin(0.3 * frame)
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[jaw] = 0.3 + 0.3 * swing
        return deformer.gaussians(
            expression=expression,
            gaze=np.array([0.1 * swing, 0.0], np.float32),
            head_rotation=np.array([0.05 * swing, 0.0, 0.0], np.float32),
            seen_from=viewer(views),
        )

    return Scene(f"avatar {name}", len(avatar), pose, True)


def _cloud_scene(count: int) -> Scene:
    gaussians = head_shaped_cloud(count)
    return Scene("cloud", count, lambda frame, views: gaussians, False)


def _cases(quick: bool) -> list[Case]:
    scenes = [_avatar_scene(DEFAULT_AVATAR)] if DEFAULT_AVATAR in bundled_avatars() else []
    if quick:
        return [Case((scenes or [_cloud_scene(60_000)])[0], 512, 1)]
    cases = [Case(scene, 512, views) for scene in scenes for views in (1, 2)]
    cases += [Case(_cloud_scene(count), 512, 1) for count in CLOUD_SIZES]
    cases += [Case(_cloud_scene(60_000), 512, 2), Case(_cloud_scene(60_000), 1024, 1)]
    return cases


def _views(case: Case, frame: int) -> list[View]:
    """A camera that swings about the front; two views are the eyes of one viewer."""
    yaw = 0.5 * math.sin(0.1 * frame)
    views = []
    for index in range(case.views):
        aside = (index - (case.views - 1) / 2) * EYE_DISTANCE_M
        views.append(
            orbit_view(yaw + math.atan(aside), 0.0, 1.0, width=case.size, height=case.size)
        )
    return views


def _measure(renderer: CpuRenderer | GlRenderer, case: Case, quick: bool) -> dict[str, Any]:
    """One entry of `results`; milliseconds, medians but for `total_ms`."""
    out = np.empty((case.views, case.size, case.size, 3), np.uint8)
    rows = []
    for frame in range(WARM_FRAMES + (QUICK_FRAMES if quick else FULL_FRAMES)):
        views = _views(case, frame)
        started = time.perf_counter()
        gaussians = case.scene.pose(frame, views)
        posed = time.perf_counter()
        renderer.render(gaussians, views, out=out)
        ended = time.perf_counter()
        times = renderer.last_times
        rows.append([posed - started, times.sort_s, times.raster_s, ended - started])
    deform, sort, raster, total = 1000 * np.array(rows[WARM_FRAMES:]).T
    return {
        "backend": renderer.name,
        "scene": case.scene.name,
        "gaussians": case.scene.count,
        "size": case.size,
        "views": case.views,
        "deform_ms": round(float(np.median(deform)), 2) if case.scene.moves else None,
        "sort_ms": round(float(np.median(sort)), 2),
        "raster_ms": round(float(np.median(raster)), 2),
        "total_ms": {
            "p50": round(float(np.percentile(total, 50)), 2),
            "p95": round(float(np.percentile(total, 95)), 2),
        },
    }


def _drawn_by(renderer: CpuRenderer | GlRenderer) -> str:
    if isinstance(renderer, GlRenderer):
        return renderer.driver.renderer
    return "1 thread" if renderer.threads == 1 else f"{renderer.threads} threads"


def _table(results: list[dict[str, Any]], renderer: CpuRenderer | GlRenderer) -> Table:
    title = f"Milliseconds a frame, {_drawn_by(renderer)}"
    table = Table(title=title, box=None, pad_edge=False)
    for heading in ("backend", "scene"):
        table.add_column(heading, no_wrap=True)
    for heading in ("splats", "size", "views", "deform", "sort", "raster", "p50", "p95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        deform = "-" if result["deform_ms"] is None else f"{result['deform_ms']:.1f}"
        table.add_row(
            result["backend"],
            result["scene"],
            f"{result['gaussians']}",
            f"{result['size']}",
            f"{result['views']}",
            deform,
            *(f"{result[key]:.1f}" for key in ("sort_ms", "raster_ms")),
            *(f"{result['total_ms'][key]:.1f}" for key in ("p50", "p95")),
        )
    return table
