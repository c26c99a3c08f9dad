"""Finds faces in pictures, on the system's own libraries: the tracker does not run on Monado's.

`python -m tests.headset.track A.png B.png` prints the landmarks [faces, 478, 2] of each, as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.headset.monado import inside_environment, monado_here

ROOT = Path(__file__).parents[2]


def landmarks(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
    """For each picture [H, W, 3] the landmarks [faces, 478, 2] of its faces, pixels."""
    environment = dict(os.environ)
    for name in inside_environment(monado_here()):
        environment.pop(name, None)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(pictures))]
        for path, picture in zip(paths, pictures, strict=True):
            Image.fromarray(picture).save(path)
        result = subprocess.run(
            [sys.executable, "-m", "tests.headset.track", *map(str, paths)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout.strip().splitlines()[-1])
    return [np.array(faces).reshape(-1, 478, 2) for faces in found]


if __name__ == "__main__":
    from avatar.portrait.landmarks import MediapipeFaceFinder

    finder = MediapipeFaceFinder()
    results = []
    for name in sys.argv[1:]:
        image = np.asarray(Image.open(name), np.float32) / np.float32(255)
        results.append([face.landmarks[:, :2].tolist() for face in finder.faces(image)])
    print(json.dumps(results))
