"""Whether memory stays flat while OpenGL draws: `python -m tests.benchmarks.gl_memory`.

The bundled avatar, thinned, moves and is drawn small, in three sizes in turn; posed and sorted on
the card where it can. Prints the memory of this process, which in software is the card's too.
"""

import math
import time
from dataclasses import replace

import numpy as np
import psutil
import tyro

from app.bundled import avatar_path
from app.commands.bench import with_count
from app.posing import neutral_motion, posed_where_drawn, who_poses
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.types import ARKIT_NAMES
from render.camera import orbit_view
from render.gl import GlRenderer

JAW = ARKIT_NAMES.index("jawOpen")


def main(frames: int = 10_000, size: int = 48, gaussians: int = 2000) -> None:
    """Print a line every tenth of the way."""
    process, started = psutil.Process(), time.perf_counter()
    with GlRenderer() as renderer:
        avatar = with_count(load_avatar(avatar_path(DEFAULT_AVATAR)), gaussians)
        posed = posed_where_drawn(Deformer(avatar), renderer)
        print(f"{renderer.driver.renderer}, posed and sorted by the {who_poses(renderer)}")
        for frame in range(frames):
            side = size + 16 * (frame // 500 % 3)
            view = orbit_view(0.3 * math.sin(0.01 * frame), 0.0, 1.0, width=side, height=side)
            expression = np.zeros(len(ARKIT_NAMES), np.float32)
            expression[JAW] = 0.3 + 0.3 * math.sin(0.3 * frame)
            motion = replace(neutral_motion(), expression=expression)
            head = posed.gaussians(motion, seen_from=view.position)
            if frame % 2:
                renderer.render(head, [view])  # waits for the card, as a monitor would
            else:
                renderer.render_textures(head, [view])
            if frame % (frames // 10) == frames // 10 - 1:
                taken = process.memory_info().rss / 1e6
                seconds = time.perf_counter() - started
                print(f"frame {frame + 1}: {taken:.1f} MB, {seconds:.0f} s")


if __name__ == "__main__":
    tyro.cli(main)
