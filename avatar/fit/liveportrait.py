"""LivePortrait (Guo et al. 2024, arXiv 2407.03168) as a teacher: a network that moves a photograph.

Its weights do not come with this program. A user names a folder with the three ONNX graphs as
FasterLivePortrait exports them; onnxruntime runs them. It is driven by drawings of the avatar: what
the network sees an expression do to the drawing's implicit keypoints, it does to the photograph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from avatar.errors import VisavisError
from avatar.portrait.arrays import Array
from avatar.types import Float

SEEN_SIDE, DRAWN_SIDE = 256, 512
"""Pixels of the pictures that go in, and that come out."""
KEYPOINTS = 21
_BINS = 66
_GRAPHS: dict[str, dict[str, tuple[int, ...]]] = {
    "appearance_feature_extractor": {"img": (1, 3, SEEN_SIDE, SEEN_SIDE)},
    "motion_extractor": {"img": (1, 3, SEEN_SIDE, SEEN_SIDE)},
    "warping_spade": {
        "feature_3d": (1, 32, 16, 64, 64),
        "kp_driving": (1, KEYPOINTS, 3),
        "kp_source": (1, KEYPOINTS, 3),
    },
}
"""Graphs by file name, with their inputs."""
_MOTION = ("pitch", "yaw", "roll", "t", "exp", "scale", "kp")
_MOTION_SIZES = (_BINS, _BINS, _BINS, 3, 3 * KEYPOINTS, 1, 3 * KEYPOINTS)


class Graph(Protocol):
    """What is asked of an `onnxruntime.InferenceSession`."""

    def run(self, output_names: None, input_feed: Mapping[str, Any]) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeypointMotion:
    """How the network sees a head: canonical keypoints, and what became of them."""

    keypoints: Array
    """[21, 3]"""
    rotation: Array
    """[3, 3] keypoints are rows before it."""
    expression: Array
    """[21, 3]"""
    scale: float
    shift: Array
    """[3]"""

    def placed(self, expression: Array) -> Array:
        """[1, 21, 3] with this head's pose and some `expression` (LivePortrait, eq. 2)."""
        moved = self.scale * (self.keypoints @ self.rotation + expression)
        moved[:, :2] += self.shift[:2]
        return moved[None].astype(np.float32)


class LivePortrait:
    """One photograph, moved. Not for two threads at once."""

    def __init__(self, graphs: Mapping[str, Graph], photograph: Float) -> None:
        """`photograph` [S, S, 3] 0..1, cut to the head with some room around it."""
        self._graphs = graphs
        seen = _as_input(photograph)
        (self._appearance,) = graphs["appearance_feature_extractor"].run(None, {"img": seen})
        self._source = self._motion(seen)

    def moved(self, rest: Float, drawing: Float) -> Float:
        """[512, 512, 3] the photograph, its face changed as a `drawing` differs from one at `rest`,
        both [S, S, 3] from the photograph's own camera; its head stays as it is."""
        change = self._motion(_as_input(drawing)).expression
        change = change - self._motion(_as_input(rest)).expression
        source = self._source
        feeds = {
            "feature_3d": self._appearance,
            "kp_driving": source.placed(source.expression + change),
            "kp_source": source.placed(source.expression),
        }
        (picture,) = self._graphs["warping_spade"].run(None, feeds)
        shape = (1, 3, DRAWN_SIDE, DRAWN_SIDE)
        if np.shape(picture) != shape or not np.isfinite(picture).all():
            raise VisavisError(
                f"warping_spade: gave {list(np.shape(picture))}, expected finite {list(shape)}. "
                "Use the graphs that FasterLivePortrait exports."
            )
        return np.clip(np.moveaxis(picture[0], 0, -1), 0, 1).astype(np.float32)

    def _motion(self, seen: Float) -> KeypointMotion:
        values = self._graphs["motion_extractor"].run(None, {"img": seen})
        sizes = tuple(int(np.size(value)) for value in values)
        if sizes != _MOTION_SIZES or not all(np.isfinite(value).all() for value in values):
            raise VisavisError(
                f"motion_extractor: gave {list(sizes)} numbers, expected {list(_MOTION_SIZES)} for "
                f"{', '.join(_MOTION)}. Use the graphs that FasterLivePortrait exports."
            )
        pitch, yaw, roll, shift, expression, scale, keypoints = (
            np.asarray(value, np.float64).ravel() for value in values
        )
        return KeypointMotion(
            keypoints=keypoints.reshape(KEYPOINTS, 3),
            rotation=_rotation(*(_degrees(bins) for bins in (pitch, yaw, roll))),
            expression=expression.reshape(KEYPOINTS, 3),
            scale=float(scale[0]),
            shift=shift,
        )


def check_graphs(folder: Path) -> None:
    """Find out before the work whether there are graphs and something that runs them.

    Raises:
        VisavisError: onnxruntime is not installed, or a graph is missing.
    """
    if find_spec("onnxruntime") is None:
        raise VisavisError(
            "--teacher liveportrait: needs onnxruntime, which is not installed. Install it with: "
            "pip install onnxruntime"
        )
    for name in _GRAPHS:
        if not (folder / f"{name}.onnx").is_file():
            raise VisavisError(
                f"{folder / name}.onnx: no such file. Expected {', '.join(_GRAPHS)} (.onnx) in the "
                "folder."
            )


def open_graphs(folder: Path) -> dict[str, Graph]:
    """The three graphs in a user's folder that `check_graphs` found good.

    Raises:
        VisavisError: a graph is damaged or another one.
    """
    check_graphs(folder)
    import onnxruntime  # pyright: ignore[reportMissingImports]

    graphs: dict[str, Graph] = {}
    for name, inputs in _GRAPHS.items():
        path = folder / f"{name}.onnx"
        try:
            graph = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exceptions have no common base
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise VisavisError(f"{path}: not a graph that can be run ({detail:.120}).") from error
        got = {given.name: tuple(given.shape) for given in graph.get_inputs()}
        if got != inputs:
            raise VisavisError(
                f"{path}: takes {_said(got)}, expected {_said(inputs)}. Use the graph that "
                "FasterLivePortrait exports."
            )
        graphs[name] = graph
    return graphs


def _said(inputs: Mapping[str, tuple[object, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in inputs.items())


def _as_input(picture: Float) -> Float:
    """[1, 3, 256, 256] 0..1."""
    side = (SEEN_SIDE, SEEN_SIDE)
    small = np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.float32)
    return np.ascontiguousarray(np.moveaxis(small, -1, 0)[None])


def _degrees(bins: Array) -> float:
    """An angle from the 66 logarithms of its likelihood, three degrees apart."""
    likely = np.exp(bins - bins.max())
    return float(3 * (likely / likely.sum()) @ np.arange(_BINS) - 97.5)


def _rotation(pitch: float, yaw: float, roll: float) -> Array:
    """[3, 3] for keypoints as rows: about x, then y, then z, transposed."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.radians([pitch, yaw, roll])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).T
