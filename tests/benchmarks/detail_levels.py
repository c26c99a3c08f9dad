"""What levels of detail cost a picture and save on the processor:
`python -m tests.benchmarks.detail_levels`.

PSNR against the whole avatar, least and median: three views each of poses that the order of the
splats was not made from. Then milliseconds of a frame on `cpu`, posing included, levels in turn.
"""

import time

import numpy as np
import tyro

from app.bundled import avatar_path
from app.settings import DEFAULT_AVATAR
from avatar.avatar_file import load_avatar
from avatar.deform import Deformer
from avatar.level_of_detail import levels_of_detail
from avatar.types import MotionFrame
from render.camera import View, orbit_view
from render.cpu import CpuRenderer
from tests.app.test_detail import lively

GREY = (0.5, 0.5, 0.5)
HEAD_OF_PICTURE = 0.59
"""Height of a head 1 m away, of the picture's."""


def view_of(head_px: int, yaw: float) -> View:
    side = round(head_px / HEAD_OF_PICTURE)
    return orbit_view(yaw, 0.05, 1.0, width=side, height=side)


def main(
    heights: tuple[int, ...] = (64, 128, 256, 400), poses: int = 5, repetitions: int = 22
) -> None:
    """Print two lines for each height of a head, pixels."""
    started = time.perf_counter()
    levels = levels_of_detail(load_avatar(avatar_path(DEFAULT_AVATAR)))
    seconds = time.perf_counter() - started
    print(f"{[len(level.avatar) for level in levels]} Gaussians, made in {seconds:.1f} s")
    deformers = [Deformer(level.avatar) for level in levels]
    cpu = CpuRenderer()
    cpu.warm_up()

    def drawn(deformer: Deformer, motion: MotionFrame, view: View) -> np.ndarray:
        gaussians = deformer.gaussians(motion, seen_from=view.position)
        return cpu.render(gaussians, [view], GREY).astype(np.float64)

    for head_px in heights:
        decibels = []
        for seed in range(poses):
            for yaw in (0.0, 0.5, -1.0):
                whole, *others = (
                    drawn(each, lively(seed), view_of(head_px, yaw)) for each in deformers
                )
                errors = [max(float(np.mean((other - whole) ** 2)), 1e-9) for other in others]
                decibels.append([10 * np.log10(255**2 / error) for error in errors])
        least, median = np.min(decibels, 0), np.median(decibels, 0)
        shown = "  ".join(f"{a:.0f} / {b:.0f}" for a, b in zip(least, median, strict=True))
        print(f"head {head_px} pixels high: {shown} dB")
        taken = np.zeros((repetitions, len(deformers)))
        for repetition in range(repetitions):
            for index, deformer in enumerate(deformers):
                began = time.perf_counter()
                drawn(deformer, lively(repetition % poses), view_of(head_px, 0.0))
                taken[repetition, index] = time.perf_counter() - began
        print("  " + "  ".join(f"{value:.1f}" for value in 1000 * np.median(taken, 0)) + " ms")


if __name__ == "__main__":
    tyro.cli(main)
