"""Tries the fit on heads of known pose: `python -m tests.benchmarks.known_poses AVATAR...`.

Give avatars of people that `visavis train landmarks` has not seen. It prints the errors of yaw,
pitch, roll and gaze in degrees, as JSON: on heads of known shape that wear the avatars' looks, and
on the avatars as they are.
"""

import json
from pathlib import Path
from typing import Annotated

import tyro

from app.photo_view import drawer
from avatar.avatar_file import load_avatar
from avatar.portrait.landmarks import MediapipeFaceFinder
from avatar.portrait.pose_check import summary, try_poses


def main(
    avatars: Annotated[tuple[Path, ...], tyro.conf.Positional],
    count: int = 60,
    seed: int = 0,
) -> None:
    """Print the figures of `count` pictures of each kind."""
    heads = {path.stem: load_avatar(path) for path in avatars}
    draw = drawer()
    with MediapipeFaceFinder() as finder:
        figures = {
            name: summary(try_poses(heads, draw, finder, count=count, seed=seed, known_shape=known))
            for name, known in (("heads of known shape", True), ("avatars as they are", False))
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    tyro.cli(main)
