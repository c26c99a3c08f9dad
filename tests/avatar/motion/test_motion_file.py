"""Motion files say what was written, refuse lies, and take no memory for their length."""

import csv
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import MotionFileError
from avatar.motion.motion_file import POSE_NAMES, Controls, open_motion_writer, read_motion
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, MotionFrame

FPS = 25.0


def frames(count: int) -> list[MotionFrame]:
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.uniform(0, 1, shape).astype(np.float32)  # noqa: E731
    return [
        MotionFrame(
            index=index,
            time_s=index / FPS,
            latent=draw(21),
            expression=draw(52),
            gaze=draw(2) - 0.5,
            head_rotation=draw(3) - 0.5,
            head_translation=(draw(3) - 0.5) * np.float32(0.1),
            tongue=draw(3),
        )
        for index in range(count)
    ]


def write(path: Path, motion: list[MotionFrame], controls: Controls | None = None) -> Path:
    writer = open_motion_writer(path, FPS, controls)
    for frame in motion:
        writer.write(frame)
    writer.finish()
    writer.close()
    return path


def test_an_npz_holds_every_array_of_the_contract(tmp_path: Path) -> None:
    motion = frames(7)
    rig = Controls(names=("a", "b"), of_frame=lambda frame: frame.expression[:2] * np.float32(2))
    path = write(tmp_path / "m.npz", motion, rig)
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    shapes = {name: values.shape for name, values in arrays.items()}
    assert shapes == {
        "time_s": (7,),
        "latent": (7, 21),
        "arkit": (7, 52),
        "arkit_names": (52,),
        "metahuman": (7, 2),
        "metahuman_names": (2,),
        "gaze": (7, 2),
        "head_rotation": (7, 3),
        "head_translation": (7, 3),
        "tongue": (7, 3),
        "tongue_names": (3,),
        "fps": (),
        "timecode": (),
    }
    assert tuple(arrays["arkit_names"]) == ARKIT_NAMES
    np.testing.assert_array_equal(arrays["arkit"], [frame.expression for frame in motion])
    np.testing.assert_array_equal(arrays["metahuman"], 2 * arrays["arkit"][:, :2])
    np.testing.assert_allclose(arrays["time_s"], np.arange(7) / FPS)
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    motion = frames(5)
    track = read_motion(write(tmp_path / "m.npz", motion))
    assert (len(track), track.fps, track.duration_s) == (5, FPS, pytest.approx(5 / FPS))
    for before, after in zip(motion, track.frames(), strict=True):
        assert before.index == after.index
        for name in (
            *("latent", "expression", "gaze"),
            "head_rotation",
            "head_translation",
            "tongue",
        ):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_csv_and_json_name_every_value(tmp_path: Path) -> None:
    motion = frames(3)
    names = [*ARKIT_NAMES, *POSE_NAMES, *TONGUE_NAMES]
    with write(tmp_path / "m.csv", motion).open(newline="") as file:
        rows = list(csv.DictReader(file))
    record = json.loads(write(tmp_path / "m.json", motion).read_text())
    assert list(rows[0]) == ["time_s", *names]
    assert (record["fps"], record["names"]) == (FPS, names)
    for index, frame in enumerate(motion):
        expected = [*frame.expression, *frame.gaze, *frame.head_rotation]
        expected += [*frame.head_translation, *frame.tongue]
        np.testing.assert_allclose([float(rows[index][n]) for n in names], expected, atol=1e-5)
        np.testing.assert_allclose(record["frames"][index]["values"], expected, atol=1e-5)
        assert record["frames"][index]["time_s"] == pytest.approx(frame.time_s)


@pytest.mark.parametrize("ending", [".npz", ".csv", ".json"])
def test_memory_does_not_grow_with_length(tmp_path: Path, ending: str) -> None:
    (frame,) = frames(1)
    writer = open_motion_writer(tmp_path / f"m{ending}", FPS)
    tracemalloc.start()
    try:
        for _ in range(200):
            writer.write(frame)
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(4000):
            writer.write(frame)
        writer.finish()
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        writer.close()
    assert late - early < 200_000  # the 4000 frames hold 1.3 MB


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionFileError, match="expected the ending"):
        open_motion_writer(tmp_path / "m.bvh", FPS)


def arrays_of_a_good_file() -> dict[str, np.ndarray]:
    return {
        "time_s": np.arange(4) / FPS,
        "arkit": np.zeros((4, 52), np.float32),
        "gaze": np.zeros((4, 2), np.float32),
        "fps": np.array(FPS),
    }


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("time_s", None, "lacks time_s"),
        ("arkit", None, "lacks arkit"),
        ("time_s", np.zeros(4), "rising"),
        ("time_s", np.zeros(0), "rising"),
        ("time_s", np.array([0, 1, np.nan, 3]), "not a finite number"),
        ("arkit", np.full((4, 52), np.inf), "not a finite number"),
        ("arkit", np.zeros((4, 51)), "has the shape"),
        ("arkit", np.zeros((3, 52)), "has the shape"),
        ("gaze", np.zeros((4, 3)), "has the shape"),
        ("gaze", np.array(["left"] * 4), "not a finite number"),
        ("arkit_names", np.array(["jawOpen"]), "arkit_names"),
        ("latent", np.zeros(4), "latent has the shape"),
        ("fps", np.array(0.0), "fps is 0"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, name: str, values: np.ndarray | None, reason: str
) -> None:
    arrays = arrays_of_a_good_file()
    if values is None:
        del arrays[name]
    else:
        arrays[name] = values
    path = tmp_path / "m.npz"
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(MotionFileError, match=reason) as caught:
        read_motion(path)
    assert "\n" not in str(caught.value)


def test_only_time_and_expressions_are_needed(tmp_path: Path) -> None:
    arrays = arrays_of_a_good_file()
    path = tmp_path / "m.npz"
    np.savez(path, time_s=arrays["time_s"], arkit=arrays["arkit"])
    track = read_motion(path)
    assert track.head_rotation.shape == (4, 3)
    assert not track.gaze.any()


def test_what_is_no_archive_or_holds_objects_or_lies_about_its_size_is_refused(
    tmp_path: Path,
) -> None:
    text = tmp_path / "text.npz"
    text.write_text("hello")
    short = write(tmp_path / "short.npz", frames(50))
    short.write_bytes(short.read_bytes()[:3000])
    objects = tmp_path / "objects.npz"
    np.savez(objects, **{**arrays_of_a_good_file(), "arkit": np.array([{}], object)})  # pyright: ignore[reportArgumentType]
    huge = tmp_path / "huge.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 52)}
    )
    with zipfile.ZipFile(huge, "w") as archive:
        archive.writestr("time_s.npy", header.getvalue())
    for path in (text, short, objects, huge, tmp_path, tmp_path / "missing.npz"):
        with pytest.raises(MotionFileError, match=path.name) as caught:
            read_motion(path)
        assert "\n" not in str(caught.value)
