"""Times the loops of the processor renderer: `python -m tests.benchmarks.processor_stages`.

For work on render/cpu_kernels.py; `visavis bench` measures whole frames. The least of many
repetitions is given: other programs on the machine only ever add to it.
"""

import time
from collections.abc import Callable
from typing import Annotated

import numba
import numpy as np
import tyro

from app.commands.bench import head_shaped_cloud
from render import cpu_kernels as kernels
from render.camera import orbit_view
from render.cpu import CpuRenderer


def least_ms(stage: Callable[[], object], repetitions: int) -> float:
    """Milliseconds of the quickest of so many calls."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        stage()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def main(
    gaussians: int = 60_000,
    size: int = 512,
    threads: Annotated[int, tyro.conf.arg(help="cores")] = 2,
    repetitions: int = 50,
) -> None:
    """Print one line for each stage of a frame of a head-shaped cloud."""
    renderer = CpuRenderer(threads=threads)
    cloud = head_shaped_cloud(gaussians)
    view = orbit_view(0.3, 0.0, 1.0, width=size, height=size)
    out = np.empty((1, size, size, 3), np.uint8)
    renderer.render(cloud, [view], out=out)
    # The work memory is filled by the frame above, so each stage can be repeated by itself.
    splats, tiles = renderer._splat_memory, renderer._tile_memory
    columns = -(-size // kernels.TILE_WIDTH)
    background = np.zeros((1, 1, 3), np.float32)
    background.flags.writeable = False
    numba.set_num_threads(renderer.threads)

    def sort() -> int:
        return kernels.sort_by_distance(
            splats.keys,
            splats.seen,
            splats.order,
            splats.spare_order,
            splats.sorted_keys,
            splats.spare_keys,
            splats.counts,
        )

    visible = sort()
    stages: dict[str, Callable[[], object]] = {
        "project, sort and list": lambda: renderer._list_splats(cloud, view),
        "  sort": sort,
        "  list pairs": lambda: kernels.list_pairs(
            splats.tiles,
            splats.order,
            visible,
            columns,
            tiles.starts,
            tiles.bands,
            tiles.cursor,
            tiles.entries,
        ),
        "draw": lambda: kernels.draw_bytes(
            splats.splats,
            tiles.starts,
            tiles.entries,
            background,
            renderer.threads,
            renderer._ticket,
            out[0],
        ),
        "frame": lambda: renderer.render(cloud, [view], out=out),
    }
    print(f"{gaussians} Gaussians, {visible} visible, {size} x {size}, {renderer.threads} threads")
    for name, stage in stages.items():
        print(f"{name:24s} {least_ms(stage, repetitions):7.2f} ms")


if __name__ == "__main__":
    tyro.cli(main)
