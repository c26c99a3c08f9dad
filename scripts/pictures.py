"""Makes the README's pictures with the program itself: python scripts/pictures.py"""

import tempfile
from pathlib import Path

import av
import numpy as np
from PIL import Image
from skimage import data

from app.__main__ import main as visavis
from app.bundled import SAMPLE_LINE

DOCS = Path(__file__).resolve().parents[1] / "docs"
SIDE = 320
GREY = "70757d"
VIEWS: tuple[tuple[str, str], ...] = (
    ("0,0,0.9", "jawOpen:0"),
    ("-30,0,0.9", "jawOpen:0"),
    ("30,0,0.9", "jawOpen:0"),
    ("-60,5,0.9", "jawOpen:0"),
    ("0,0,0.9", "jawOpen:0.45,mouthLowerDownLeft:0.3,mouthLowerDownRight:0.3"),
    ("0,0,0.9", "eyeBlinkLeft:1,eyeBlinkRight:1"),
    ("20,0,0.9", "mouthPucker:0.8,mouthFunnel:0.3"),
    ("-20,0,0.9", "mouthSmileLeft:0.6,mouthSmileRight:0.6"),
)
STRIP_TIMES_S = (0.45, 0.7, 1.0, 1.4, 1.9, 2.4, 3.0, 3.6, 4.2, 5.0)


def run(*arguments: str) -> None:
    """One visavis command; its failure ends the script."""
    status = visavis(list(arguments))
    if status:
        raise SystemExit(status)


def portrait_sheet(folder: Path) -> Image.Image:
    """The photograph, then the avatar made of it from several sides and in several poses."""
    tiles = [square(np.asarray(data.astronaut())[:370, 60:430])]
    for index, (view, expression) in enumerate(VIEWS):
        path = folder / f"{index}.png"
        run("still", "-o", str(path), "--size", str(SIDE), "--view", view, "--background", GREY,
            "--expression", expression)  # fmt: skip
        tiles.append(np.asarray(Image.open(path)))
    rows = [np.hstack(tiles[:3]), np.hstack(tiles[3:6]), np.hstack(tiles[6:9])]
    return Image.fromarray(np.vstack(rows))


def square(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def film_strip(folder: Path) -> Image.Image:
    """Frames of the bundled avatar saying the bundled line."""
    film = folder / "line.mp4"
    run("render", "--audio", str(SAMPLE_LINE), "-o", str(film), "--size", str(SIDE),
        "--view", "0,0,0.62", "--background", GREY)  # fmt: skip
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    chosen = [frames[min(round(time * 25), len(frames) - 1)] for time in STRIP_TIMES_S]
    half = len(chosen) // 2
    return Image.fromarray(np.vstack([np.hstack(chosen[:half]), np.hstack(chosen[half:])]))


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portrait_sheet(folder).save(DOCS / "astronaut.jpg", quality=88)
        film_strip(folder).save(DOCS / "strip.jpg", quality=85)


if __name__ == "__main__":
    main()
