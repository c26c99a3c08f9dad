"""LivePortrait's graphs as a teacher. Tested with made-up graphs of the same signatures: none of
its weights is here, so nothing is said of its pictures."""

from pathlib import Path

import numpy as np
import pytest

from avatar.errors import VisavisError
from avatar.fit import liveportrait
from avatar.fit.liveportrait import KEYPOINTS, LivePortrait, check_graphs, open_graphs

SIDE = 512


class MadeUp:
    """A graph that answers by a function of its inputs, and notes them."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def run(self, output_names, input_feed):
        assert output_names is None
        self.asked.append(input_feed)
        return self.answer(input_feed)


def motion_of(feed) -> list[np.ndarray]:
    """A head turned by 30 degrees about y, whose first keypoint rises with the picture's mean."""
    bins = [np.full((1, 66), -50.0, np.float32) for _ in range(3)]
    degrees = (0, 30, 0)
    for row, angle in zip(bins, degrees, strict=True):
        near = (angle + 97.5) / 3
        row[0, int(near)] = np.log(1 - near % 1 + 1e-9)
        row[0, int(near) + 1] = np.log(near % 1 + 1e-9)
    expression = np.zeros((1, 3 * KEYPOINTS), np.float32)
    expression[0, 1] = feed["img"].mean()
    keypoints = np.zeros((1, 3 * KEYPOINTS), np.float32)
    keypoints[0, 3:6] = 1, 0, 0
    shift = np.array([[0.1, 0.2, 0.3]], np.float32)
    return [*bins, shift, expression, np.array([[2.0]], np.float32), keypoints]


def graphs(picture=None) -> dict[str, MadeUp]:
    if picture is None:
        picture = np.full((1, 3, SIDE, SIDE), 0.25, np.float32)
    return {
        "appearance_feature_extractor": MadeUp(
            lambda feed: [np.zeros((1, 32, 16, 64, 64), np.float32)]
        ),
        "motion_extractor": MadeUp(motion_of),
        "warping_spade": MadeUp(lambda feed: [picture]),
    }


def grey(tone: float) -> np.ndarray:
    return np.full((300, 300, 3), tone, np.float32)


def test_the_photograph_gets_the_difference_of_two_drawings_and_keeps_its_pose():
    made = graphs()
    picture = LivePortrait(made, grey(0.5)).moved(grey(0.2), grey(0.6))
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.max() == pytest.approx(0.25)
    (asked,) = made["warping_spade"].asked
    source, driving = asked["kp_source"][0], asked["kp_driving"][0]
    # Scale 2, no rotation of an expression, shift of x and y alone.
    np.testing.assert_allclose(source[0], [0.1, 0.2 + 2 * 0.5, 0], atol=1e-5)
    np.testing.assert_allclose(driving - source, [[0, 0.8, 0], *[[0, 0, 0]] * 20], atol=1e-5)
    turned = 2 * np.array([np.cos(np.pi / 6), 0, -np.sin(np.pi / 6)])
    np.testing.assert_allclose(source[1] - (0.1, 0.2, 0), turned, atol=2e-3)


def test_pictures_go_in_as_the_graphs_take_them():
    made = graphs()
    LivePortrait(made, grey(0.5))
    seen = made["appearance_feature_extractor"].asked[0]["img"]
    assert seen.shape == (1, 3, 256, 256)
    assert seen.dtype == np.float32
    assert seen.flags.c_contiguous


def test_other_graphs_are_told_of_in_a_line():
    made = graphs(np.zeros((1, 3, 256, 256), np.float32))
    with pytest.raises(VisavisError, match=r"warping_spade: gave \[1, 3, 256, 256\], expected"):
        LivePortrait(made, grey(0.5)).moved(grey(0.2), grey(0.6))
    made = graphs()
    made["motion_extractor"] = MadeUp(lambda feed: motion_of(feed)[:5])
    with pytest.raises(VisavisError, match="motion_extractor: gave"):
        LivePortrait(made, grey(0.5))
    made["motion_extractor"] = MadeUp(lambda feed: [np.nan * each for each in motion_of(feed)])
    with pytest.raises(VisavisError, match="motion_extractor: gave"):
        LivePortrait(made, grey(0.5))


def test_without_onnxruntime_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(liveportrait, "find_spec", lambda name: None)
    with pytest.raises(VisavisError, match="pip install onnxruntime"):
        check_graphs(tmp_path)


def number(field: int, value: int) -> bytes:
    """A field of Protocol Buffers that holds a whole number."""
    return varint(field << 3) + varint(value)


def piece(field: int, content: bytes | str) -> bytes:
    """One that holds text, or another message."""
    raw = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(raw)) + raw


def varint(value: int) -> bytes:
    higher, seven_bits = divmod(value, 128)
    return bytes([seven_bits | 128]) + varint(higher) if higher else bytes([seven_bits])


def value_info(name: str, shape: list[int]) -> bytes:
    dims = b"".join(piece(1, number(1, size)) for size in shape)
    return piece(1, name) + piece(2, piece(1, number(1, 1) + piece(2, dims)))


def made_up_file(path: Path, inputs: dict[str, list[int]]) -> None:
    """An ONNX graph (onnx.proto: ModelProto) that gives its first input back."""
    first = next(iter(inputs))
    node = piece(1, first) + piece(2, "out") + piece(4, "Identity")
    graph = piece(1, node) + piece(2, "made up")
    graph += b"".join(piece(11, value_info(name, shape)) for name, shape in inputs.items())
    graph += piece(12, value_info("out", inputs[first]))
    path.write_bytes(number(1, 9) + piece(7, graph) + piece(8, piece(1, "") + number(2, 17)))


SIGNATURES = {
    "appearance_feature_extractor": {"img": [1, 3, 256, 256]},
    "motion_extractor": {"img": [1, 3, 256, 256]},
    "warping_spade": {
        "feature_3d": [1, 32, 16, 64, 64],
        "kp_driving": [1, 21, 3],
        "kp_source": [1, 21, 3],
    },
}


def test_a_folder_of_graphs_with_these_signatures_is_opened(tmp_path: Path):
    with pytest.raises(VisavisError, match=r"appearance_feature_extractor\.onnx: no such file"):
        open_graphs(tmp_path)
    for name, inputs in SIGNATURES.items():
        made_up_file(tmp_path / f"{name}.onnx", inputs)
    opened = open_graphs(tmp_path)
    (back,) = opened["motion_extractor"].run(None, {"img": np.ones((1, 3, 256, 256), np.float32)})
    assert back.shape == (1, 3, 256, 256)
    made_up_file(tmp_path / "warping_spade.onnx", {"feature_3d": [1, 32, 8, 64, 64]})
    with pytest.raises(VisavisError, match=r"takes feature_3d \[1, 32, 8, 64, 64\], expected"):
        open_graphs(tmp_path)
    (tmp_path / "warping_spade.onnx").write_bytes(b"nonsense")
    with pytest.raises(VisavisError, match="not a graph that can be run"):
        open_graphs(tmp_path)
