"""`visavis bench`: how long a frame takes on this machine, stage by stage and renderer by renderer.

A case is a scene at a size for one eye or two. Each is measured on every renderer before the next
one, and all are visited three times, so that a machine whose speed varies treats them alike.
"""

import json as json_module
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from app.bundled import avatar_path, bundled_avatars
from app.output_file import check_output, written_beside
from app.peak_memory import PeakMemory
from app.posing import CardPosing, Deforms, neutral_motion, posed_where_drawn, who_poses
from app.progress import counted
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.errors import DeviceError, VisavisError
from avatar.level_of_detail import thinned
from avatar.types import ARKIT_NAMES, Avatar, Float, Gaussians
from render.camera import PORTRAIT_FIELD_OF_VIEW, View, orbit_view, viewer
from render.choose import RENDERER_NAMES, open_renderer
from render.gl import GlRenderer
from render.renderer import CardHead, Renderer

HEAD_RADII_M = np.array([0.078, 0.115, 0.098])
"""Half-width, half-height and half-depth of an adult head."""
HEAD_CENTRE_M = np.array([0.0, -0.01, -0.08])
EYE_DISTANCE_M = 0.063
"""Between the pupils: what two views, one for each eye of a headset, lie apart."""
WARM_FRAMES = 3
"""Of a visit, not counted; but its last frame always is."""
QUICK_FRAMES, FULL_FRAMES = 15, 20
"""Counted in a visit, if they take no longer than `PATIENCE_S`."""
QUICK_VISITS, FULL_VISITS = 1, 3
PATIENCE_S = 1.0
"""For one visit; a frame that takes longer is a visit by itself."""
COUNTS = (10_000, 30_000, 60_000, 100_000)
SIZES = (256, 512, 1024)
EYES = (1, 2)
HEADSET_PX = (2064, 2208)
"""Of each eye of a Quest 3."""
HEADSET_FIELD_RAD, HEADSET_DISTANCE_M = math.radians(96.0), 0.7
"""Its vertical field, and how far a person stands from whom they talk with."""

PLAIN = "torch"
"""The alternative that renderers are compared with: the same rules in plain torch."""
TEXTURES = "cuda-gl"
"""The CUDA renderer with its pictures left in textures of OpenGL, as a window has them."""
NOT_MEASURED = ("auto", "reference")
"""One is another's name, the other takes minutes for a frame."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Something to draw, frame after frame."""

    name: str
    """"avatar NAME", or "cloud" for splats on the surface of an ellipsoid."""
    count: int
    """Gaussians."""
    pose: Callable[[int, list[View], Renderer], Gaussians | CardHead]
    """The Gaussians of frame i, posed where this renderer has it done."""
    moves: bool
    """Whether `pose` deforms a head; a cloud keeps still, and its deform time means nothing."""
    release: Callable[[], None] = lambda: None
    """Give back what renderers keep of it."""


@dataclass(slots=True)
class Measured:
    """The frames of one case on one renderer, from all visits up to now."""

    backend: str
    scene: str
    count: int
    moves: bool
    case: "Case"
    seconds: list[list[float]] = field(default_factory=list[list[float]])
    """Of each counted frame: deforming, sorting, drawing, all. NaN is not known."""
    peak_mb: float | None = None
    card_mb: float | None = None
    """Held on the graphics card; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Case:
    """What one line of the result is measured on."""

    count: int | None
    """Gaussians; None for as many as the avatar has."""
    size: int
    """Width and height, pixels; of a headset, whose pictures are as high as `HEADSET_PX` says, the
    width alone."""
    views: int
    headset: bool = False

    @property
    def height(self) -> int:
        """Pixels."""
        return HEADSET_PX[1] if self.headset else self.size


def bench(
    quick: Annotated[
        bool,
        tyro.conf.arg(help="One typical case on the renderer that is used, in a few seconds."),
    ] = False,
    backends: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            metavar="NAME ...",
            help="Which to measure: cpu, torch (a plain comparison), ...; all that run here.",
        ),
    ] = (),
    avatar: Annotated[
        str,
        tyro.conf.arg(
            metavar="A",
            help="Which to move: a file, or the name of a bundled one. One with residuals takes "
            "longer to pose.",
        ),
    ] = DEFAULT_AVATAR,
    headset: Annotated[
        bool,
        tyro.conf.arg(
            help="Also two eyes of 2064 x 2208 pixels, from where one talks to a person."
        ),
    ] = False,
    json: Annotated[Path | None, tyro.conf.arg(help="Write the same as JSON to this file.")] = None,
    plot: Annotated[
        Path | None, tyro.conf.arg(metavar="OUT.png", help="Draw milliseconds against Gaussians.")
    ] = None,
) -> None:
    """Measure how long a frame takes on this machine, and print a table.

    With an avatar, thinned or filled up to the number of Gaussians; where none is bundled and none
    asked for, with clouds of splats in the shape of a head. An OutputError tells before measuring
    where a file cannot be written, an AvatarFileError where there is no such avatar, a DeviceError
    where a renderer that was asked for does not run here.
    """
    for path, ending in ((json, ".json"), (plot, ".png")):
        if path is not None:
            check_output(path, (ending,))
    made = _avatar(avatar)
    memory = PeakMemory()
    machine = _machine()
    renderers, machine["backends"] = _open(backends or (("auto",) if quick else None), memory)
    memory.settle()
    measured: dict[tuple[Case, str], Measured] = {}
    try:
        scene = lambda count: _scene(made, Path(avatar).stem, count)  # noqa: E731
        cases = _cases(quick, headset)
        _measure_all(list(renderers.values()), cases, scene, quick, memory, measured)
    finally:
        results = [_result(entry) for entry in measured.values()]
        if results:  # after Ctrl-C too: minutes of work, whole or not
            Console().print(_table(results))
    if json is not None:
        report = {"machine": machine, "results": results}
        with written_beside(json) as beside:
            beside.write_text(json_module.dumps(report, indent=2) + "\n", encoding="utf-8")
    if plot is not None:
        from app.commands.bench_plot import draw_plot

        with written_beside(plot) as beside:
            draw_plot(results, beside)


def _open(
    names: tuple[str, ...] | None, memory: PeakMemory
) -> tuple[dict[str, Renderer], list[dict[str, Any]]]:
    """The renderers of these names, ready to draw, and what opening each took; for None all that
    run here, and those that do not are told on standard error.

    Raises:
        DeviceError: one that was asked for does not exist or does not run here.
    """
    known = (*(name for name in RENDERER_NAMES if name not in NOT_MEASURED), TEXTURES, PLAIN)
    renderers: dict[str, Renderer] = {}
    opened: list[dict[str, Any]] = []
    for name in dict.fromkeys(known if names is None else names):
        if name not in (*known, "auto"):
            raise DeviceError(f"backend {name!r}: expected some of {', '.join(known)}.")
        if name == TEXTURES and names is None and "cuda" not in renderers:
            continue  # it was told already why not
        before_mb = memory.now_mb()
        try:
            renderer = _opened(name)
            warm_up_s = renderer.warm_up()
        except VisavisError as error:
            if names is not None:
                raise
            print(f"{name}: not measured. {error}", file=sys.stderr)
            continue
        renderers[renderer.name] = renderer
        grown = None if before_mb is None else (memory.now_mb() or 0) - before_mb
        opened.append(
            {
                "name": renderer.name,
                "drawn_by": _drawn_by(renderer),
                "warm_up_s": round(warm_up_s, 3),
                "libraries_mb": None if grown is None else round(grown, 1),
            }
        )
    return renderers, opened


def _drawn_by(renderer: Renderer) -> str:
    """The graphics driver, or how many threads."""
    if isinstance(renderer, GlRenderer):
        return f"{renderer.driver.renderer}, posed and sorted by the {who_poses(renderer)}"
    if renderer.name in ("cuda", TEXTURES):
        return f"{renderer.reason}; posed and sorted by the {who_poses(renderer)}"
    if renderer.name == PLAIN and getattr(renderer, "device", "cpu") != "cpu":
        return str(getattr(renderer, "device", ""))
    threads = getattr(renderer, "threads", 1)
    return "1 thread" if threads == 1 else f"{threads} threads"


def _opened(name: str) -> Renderer:
    if name == PLAIN:
        from app.commands.bench_torch import TorchTiles  # loads torch, which only this needs

        return TorchTiles()
    if name == TEXTURES:
        from app.commands.bench_textures import IntoTextures

        return IntoTextures()
    return open_renderer(name)


def _measure_all(
    renderers: list[Renderer],
    cases: list[Case],
    scene_of: Callable[[int | None], Scene],
    quick: bool,
    memory: PeakMemory,
    measured: dict[tuple[Case, str], Measured],
) -> None:
    """Fill `measured`, visit by visit, and show how far it is."""
    visits = QUICK_VISITS if quick else FULL_VISITS
    cases = cases * visits
    scenes: dict[int | None, Scene] = {}
    with counted("measuring", len(cases) * len(renderers)) as progress:
        for case in cases:
            if case.count not in scenes:
                for each in scenes.values():  # one at a time: they take memory
                    each.release()
                scenes.clear()
                scenes[case.count] = scene_of(case.count)
            scene = scenes[case.count]
            for renderer in renderers:
                entry = measured.get((case, renderer.name)) or Measured(
                    renderer.name, scene.name, scene.count, scene.moves, case
                )
                _visit(renderer, scene, QUICK_FRAMES if quick else FULL_FRAMES, memory, entry)
                measured[case, renderer.name] = entry
                progress.advance()


def _machine() -> dict[str, Any]:
    """`load`: how many other programs wanted a core in the minute before."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    """The model's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), platform.processor() or platform.machine())


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


def _avatar(name: str) -> Avatar | None:
    """None where there is no bundled avatar and none is asked for."""
    if name == DEFAULT_AVATAR and name not in bundled_avatars():
        return None
    return load_avatar(avatar_path(name))


def _scene(avatar: Avatar | None, name: str, count: int | None) -> Scene:
    if avatar is None:
        gaussians = head_shaped_cloud(count or 60_000)
        return Scene("cloud", len(gaussians), lambda frame, views, by: gaussians, False)
    return _moving(avatar if count is None else with_count(avatar, count), name)


def with_count(avatar: Avatar, count: int, seed: int = 0) -> Avatar:
    """The avatar with so many Gaussians: some of its own, or all and some of them again a little
    aside; larger or smaller, so that they cover as much as before."""
    rng = np.random.default_rng(seed)
    whole, more = divmod(count, len(avatar))
    chosen = np.concatenate(
        [np.tile(np.arange(len(avatar)), whole), rng.permutation(len(avatar))[:more]]
    )
    position = avatar.bound_position[chosen]
    again = np.arange(count) >= len(avatar)
    position[again, :2] += rng.uniform(-0.2, 0.2, (int(again.sum()), 2))
    return replace(
        thinned(avatar, chosen),
        bound_position=_single(position),
        bound_scale=_single(avatar.bound_scale[chosen] * math.sqrt(len(avatar) / count)),
    )


def _moving(avatar: Avatar, name: str) -> Scene:
    """The avatar opening and closing its mouth, looking about, nodding."""
    deformer = Deformer(avatar)
    jaw = ARKIT_NAMES.index("jawOpen")
    poses: dict[int, Deforms] = {}  # by renderer: each keeps its own head

    def pose(frame: int, views: list[View], by: Renderer) -> Gaussians | CardHead:
        swing = math.sin(0.3 * frame)
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[jaw] = 0.3 + 0.3 * swing
        motion = replace(
            neutral_motion(),
            expression=expression,
            gaze=np.array([0.1 * swing, 0.0], np.float32),
            head_rotation=np.array([0.05 * swing, 0.0, 0.0], np.float32),
        )
        if id(by) not in poses:
            poses[id(by)] = posed_where_drawn(deformer, by)
        return poses[id(by)].gaussians(motion, seen_from=viewer(views))

    def release() -> None:
        for each in poses.values():
            if isinstance(each, CardPosing):
                each.release()

    return Scene(f"avatar {name}", len(avatar), pose, True, release)


def _cases(quick: bool, headset: bool = False) -> list[Case]:
    """Those of one scene together."""
    cases = []
    for count in (None,) if quick else COUNTS:
        if quick:
            cases.append(Case(count, 512, 1))
        else:
            cases += [Case(count, size, eyes) for size in SIZES for eyes in EYES]
        if headset:
            cases.append(Case(count, HEADSET_PX[0], 2, headset=True))
    return cases


def _views(case: Case, frame: int) -> list[View]:
    """A camera that swings about the front; two views are the eyes of one viewer."""
    yaw = 0.5 * math.sin(0.1 * frame)
    views = []
    for index in range(case.views):
        aside = (index - (case.views - 1) / 2) * EYE_DISTANCE_M
        distance, field_of_view = 1.0, PORTRAIT_FIELD_OF_VIEW
        if case.headset:
            distance, field_of_view = HEADSET_DISTANCE_M, HEADSET_FIELD_RAD
        views.append(
            orbit_view(
                yaw + math.atan(aside / distance),
                0.0,
                distance,
                width=case.size,
                height=case.height,
                field_of_view=field_of_view,
            )
        )
    return views


def _visit(
    renderer: Renderer, scene: Scene, frames: int, memory: PeakMemory, entry: Measured
) -> None:
    """Add some frames to `entry`. A renderer that does not tell its stages has NaN for them."""
    case = entry.case
    out = np.empty((case.views, case.height, case.size, 3), np.uint8)
    rows: list[list[float]] = []
    memory.restart()
    begun = time.perf_counter()
    for frame in range(WARM_FRAMES + frames):
        views = _views(case, frame)
        started = time.perf_counter()
        gaussians = scene.pose(frame, views, renderer)
        # A card is only told what to do; if it does not tell itself how long that took, it shows
        # in the whole frame alone.
        deform_s = time.perf_counter() - started if isinstance(gaussians, Gaussians) else math.nan
        renderer.render(gaussians, views, out=out)
        ended = time.perf_counter()
        if math.isnan(deform_s):
            deform_s = getattr(renderer, "last_pose_s", math.nan)
        times = getattr(renderer, "last_times", None)
        stages = [math.nan] * 2 if times is None else [times.sort_s, times.raster_s]
        rows.append([deform_s, *stages, ended - started])
        if ended - begun > PATIENCE_S:
            break
    entry.seconds += rows[min(WARM_FRAMES, len(rows) - 1) :]
    peak_mb = memory.peak_mb()
    card_bytes = getattr(renderer, "card_bytes", None)
    if card_bytes is not None:
        entry.card_mb = max(card_bytes / 1e6, entry.card_mb or 0.0)
    entry.peak_mb = None if peak_mb is None else max(peak_mb, entry.peak_mb or 0.0)


def _result(entry: Measured) -> dict[str, Any]:
    """One entry of `results`; milliseconds, medians but for `total_ms`."""
    deform, sort, raster, total = 1000 * np.array(entry.seconds).T
    p50, p95 = np.percentile(total, [50, 95])
    return {
        "backend": entry.backend,
        "scene": entry.scene,
        "gaussians": entry.count,
        "size": entry.case.size,
        "height": entry.case.height,
        "views": entry.case.views,
        "frames": len(entry.seconds),
        "deform_ms": _median(deform) if entry.moves else None,
        "sort_ms": _median(sort),
        "raster_ms": _median(raster),
        "total_ms": {"p50": round(float(p50), 2), "p95": round(float(p95), 2)},
        "gaussians_per_s": round(1000 * entry.count / float(p50)),
        "card_mb": None if entry.card_mb is None else round(entry.card_mb, 1),
        "peak_mb": None if entry.peak_mb is None else round(entry.peak_mb, 1),
    }


def _median(milliseconds: np.ndarray) -> float | None:
    median = float(np.median(milliseconds))
    return None if math.isnan(median) else round(median, 2)


def _table(results: list[dict[str, Any]]) -> Table:
    """Renderer by renderer; the last column is how many times as fast as the plain alternative."""
    plain = {_case_of(result): result for result in results if result["backend"] == PLAIN}
    table = Table(title="Milliseconds a frame", box=None, pad_edge=False, collapse_padding=True)
    table.add_column("backend", no_wrap=True)
    headings = ("splats", "size", "eyes", "deform", "sort", "raster", "p50", "p95", "M/s", "MB")
    for heading in (*headings, *([f"x {PLAIN}"] if plain else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in sorted(results, key=lambda result: result["backend"]):  # stable: cases in order
        stages = (result[key] for key in ("deform_ms", "sort_ms", "raster_ms"))
        total = result["total_ms"]
        peak_mb = result["peak_mb"]
        row = [
            result["backend"],
            f"{result['gaussians']}",
            _shape(result),
            f"{result['views']}",
            *("-" if stage is None else f"{stage:.1f}" for stage in stages),
            *(f"{total[key]:.1f}" for key in ("p50", "p95")),
            f"{result['gaussians_per_s'] / 1e6:.2f}",
            "-" if peak_mb is None else f"{peak_mb:.0f}",
        ]
        if plain:
            # None yet where the run was stopped between the two.
            other = plain.get(_case_of(result))
            row.append(f"{other['total_ms']['p50'] / total['p50']:.1f}" if other else "-")
        table.add_row(*row)
    return table


def _shape(result: dict[str, Any]) -> str:
    """Pixels, one number for a square."""
    width, height = result["size"], result["height"]
    return f"{width}" if width == height else f"{width}x{height}"


def _case_of(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[key] for key in ("scene", "gaussians", "size", "height", "views"))
