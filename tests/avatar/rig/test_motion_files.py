"""Motion files for other programs: written, and read back by somebody else."""

import csv
import json
import struct
import subprocess
import tracemalloc
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.errors import MotionFileError
from avatar.head.pose import gaze_rotation
from avatar.head.template import load_template
from avatar.rig.live_link import CSV_NAMES
from avatar.rig.metahuman import METAHUMAN_NAMES, from_face
from avatar.rig.motion_files import ENDINGS, FileForm, open_motion_file, read_motion_file
from avatar.rig.spelling import control_names
from avatar.rig.timecode import Timecode
from avatar.types import ARKIT_NAMES, TONGUE_NAMES, MotionFrame
from tests.avatar.rig.faces import motion
from tests.node import npm_module, run_node

START = Timecode(3600 * 10 + 61, 7)


def write(
    path: Path,
    frames: list[MotionFrame],
    fps: float = 25.0,
    form: FileForm | None = None,
    sound: bytes | None = None,
) -> Path:
    writer = open_motion_file(path, fps, form, sound)
    try:
        for frame in frames:
            writer.write(frame)
        writer.finish()
    finally:
        writer.close()
    return path


def controls(frames: list[MotionFrame]) -> np.ndarray:
    return np.concatenate(
        [
            from_face(f.expression[None], f.gaze[None], f.head_rotation[None], f.tongue[None])
            for f in frames
        ]
    )


def arrays(frames: list[MotionFrame], name: str) -> np.ndarray:
    return np.array([getattr(frame, name) for frame in frames])


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 50.0, 60.0])
def test_a_live_link_recording_says_the_same_when_it_is_read(tmp_path, fps):
    frames = motion(70, fps)
    form = FileForm(layout="livelink", start=START)
    track = read_motion_file(write(tmp_path / "m.csv", frames, fps, form), 25.0)
    assert track.fps == fps
    np.testing.assert_allclose(track.time_s, arrays(frames, "time_s"), atol=1e-6)
    np.testing.assert_allclose(track.arkit, arrays(frames, "expression"), atol=1e-6)
    np.testing.assert_allclose(track.gaze, arrays(frames, "gaze"), atol=1e-5)
    np.testing.assert_allclose(track.head_rotation, arrays(frames, "head_rotation"), atol=1e-5)


def test_a_live_link_recording_has_the_apps_columns_and_labels(tmp_path):
    path = write(tmp_path / "m.csv", motion(30), 25.0, FileForm(layout="livelink", start=START))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Timecode", "BlendShapeCount", *CSV_NAMES]
    assert CSV_NAMES[14:18] == ("JawForward", "JawRight", "JawLeft", "JawOpen")  # as the app has it
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert [rows[0]["Timecode"], rows[18]["Timecode"]] == ["10:01:01:07.000", "10:01:02:00.000"]
    frame = motion(30)[4]
    jaw = ARKIT_NAMES.index("jawLeft")
    assert float(rows[4]["JawLeft"]) == pytest.approx(float(frame.expression[jaw]), abs=1e-6)


def test_signs_of_the_head_are_those_of_the_phone(tmp_path):
    (frame,) = motion(1)
    turns = {"HeadYaw": (0, 0.3, 0), "HeadPitch": (0.3, 0, 0), "HeadRoll": (0, 0, 0.3)}
    for name, turn in turns.items():  # to the own left; down; to the own right shoulder
        turned = MotionFrame(
            index=0, time_s=0, latent=frame.latent, expression=frame.expression, gaze=frame.gaze,
            head_rotation=np.array(turn, np.float32), head_translation=frame.head_translation,
        )  # fmt: skip
        path = write(tmp_path / "m.csv", [turned], 25.0, FileForm(layout="livelink"))
        with path.open(newline="") as file:
            (row,) = csv.DictReader(file)
        for other in turns:
            assert float(row[other]) == pytest.approx(0.3 if other == name else 0, abs=1e-6)


@pytest.mark.parametrize("ending", [".csv", ".json", ".npz"])
def test_our_own_tables_come_back_whole_and_carry_the_174_controls(tmp_path, ending):
    frames = motion(30, 50.0)
    path = write(tmp_path / f"m{ending}", frames, 50.0)
    track = read_motion_file(path, 25.0)
    assert track.fps == 50
    assert np.abs(track.time_s - arrays(frames, "time_s")).max() < 1e-6
    for name, column in (
        ("arkit", "expression"), ("gaze", "gaze"), ("head_rotation", "head_rotation"),
        ("head_translation", "head_translation"), ("tongue", "tongue"),
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(track, name), arrays(frames, column), atol=1e-5)
    expected = controls(frames)
    if ending == ".csv":
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        got = np.array([[float(row[name]) for name in METAHUMAN_NAMES] for row in rows])
    elif ending == ".json":
        stored = json.loads(path.read_text())
        first = stored["names"].index(METAHUMAN_NAMES[0])
        got = np.array([frame["values"][first : first + 174] for frame in stored["frames"]])
    else:
        with np.load(path, allow_pickle=False) as stored:
            got = stored["metahuman"]
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("rig", ["old", "new"])
def test_a_rig_mappers_table_has_each_curve_of_each_frame_and_comes_back(tmp_path, rig):
    frames = motion(12, 30.0)
    path = write(tmp_path / "m.csv", frames, 30.0, FileForm(layout="rigmapper", rig=rig))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["curve_name", "frame_number", "value"]
    assert [row["curve_name"] for row in rows[:174]] == list(control_names("unreal", rig))
    values = np.array([float(row["value"]) for row in rows]).reshape(12, 174)
    np.testing.assert_allclose(values, controls(frames), atol=1e-6)
    track = read_motion_file(path, 30.0)
    assert (track.fps, len(track)) == (30.0, 12)
    np.testing.assert_allclose(track.arkit, arrays(frames, "expression"), atol=2e-4)
    np.testing.assert_allclose(track.gaze, arrays(frames, "gaze"), atol=1e-4)


def test_raw_expressions_are_written_by_their_names(tmp_path):
    form = FileForm(layout="rigmapper", spelling="raw")
    text = write(tmp_path / "m.csv", motion(1), 25.0, form).read_text()
    assert "CTRL_expressions_browDownL,0," in text


def test_usd_opens_the_animation_and_finds_every_weight_joint_and_curve(tmp_path):
    usd = import_module("pxr.Usd")
    skel = import_module("pxr.UsdSkel")
    frames = motion(9, 24.0)
    path = write(tmp_path / "m.usda", frames, 24.0, FileForm(start=START))
    stage = usd.Stage.Open(str(path))
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (24, 8)
    assert stage.GetRootLayer().customLayerData == {"timecode": "10:01:01:07"}
    root = skel.Root(stage.GetDefaultPrim())
    cache = skel.Cache()
    assert cache.Populate(root, usd.PrimDefaultPredicate)
    skeleton = skel.Skeleton(stage.GetPrimAtPath("/Face/Skeleton"))
    query = cache.GetSkelQuery(skeleton).GetAnimQuery()
    assert tuple(query.GetBlendShapeOrder()) == (*ARKIT_NAMES, *TONGUE_NAMES)
    animation = stage.GetPrimAtPath("/Face/Animation")
    assert tuple(animation.GetAttribute("custom:mh_curveNames").Get()) == control_names("unreal")
    curves, expected = animation.GetAttribute("custom:mh_curveValues"), controls(frames)
    for index, frame in enumerate(frames):
        weights = np.array(query.ComputeBlendShapeWeights(index))
        both = np.concatenate([frame.expression, frame.tongue])
        np.testing.assert_allclose(weights, both, atol=1e-5)
        np.testing.assert_allclose(np.array(curves.Get(index)), expected[index], atol=1e-5)
        local = [np.array(matrix).T for matrix in query.ComputeJointLocalTransforms(index)]
        turn = Rotation.from_rotvec(frame.head_rotation).as_matrix()
        np.testing.assert_allclose(local[1][:3, :3], turn, atol=1e-5)
        place = load_template().neck_joint + frame.head_translation
        np.testing.assert_allclose(local[1][:3, 3], place, atol=1e-6)
        np.testing.assert_allclose(local[2][:3, :3], gaze_rotation(frame.gaze), atol=1e-5)


def read_glb(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    (size,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    entry = document["accessors"][index]
    view = document["bufferViews"][entry["bufferView"]]
    kind = {5126: "<f4", 5123: "<u2", 5121: "u1"}[entry["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry["type"]]
    part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
    return np.frombuffer(part, kind).reshape(entry["count"], width)


def test_a_glb_holds_the_head_its_morph_targets_and_the_motion(tmp_path):
    frames = motion(20, 60.0)
    document, binary = read_glb(write(tmp_path / "m.glb", frames, 60.0, sound=b"\xff\xfb" * 50))
    mesh = document["meshes"][0]
    assert mesh["extras"]["targetNames"] == [*ARKIT_NAMES, *TONGUE_NAMES]
    assert len(mesh["primitives"][0]["targets"]) == 55
    by_path = {
        (channel["target"]["path"], channel["target"]["node"]): document["animations"][0][
            "samplers"
        ][channel["sampler"]]
        for channel in document["animations"][0]["channels"]
    }
    weights = accessor(document, binary, by_path["weights", 2]["output"]).reshape(20, 55)
    np.testing.assert_allclose(weights[:, :52], arrays(frames, "expression"), atol=1e-6)
    times = accessor(document, binary, by_path["weights", 2]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(20) / 60, atol=1e-6)
    turns = accessor(document, binary, by_path["rotation", 1]["output"])
    heads = Rotation.from_quat(turns).as_rotvec()
    np.testing.assert_allclose(heads, arrays(frames, "head_rotation"), atol=1e-6)
    assert (np.sum(turns[1:] * turns[:-1], 1) > 0).all()  # no turn goes the long way
    eyes = accessor(document, binary, by_path["rotation", 3]["output"])
    expected = np.array([gaze_rotation(frame.gaze) for frame in frames])
    np.testing.assert_allclose(Rotation.from_quat(eyes).as_matrix(), expected, atol=1e-6)
    audio = document["extensions"]["KHR_audio_emitter"]["audio"][0]
    view = document["bufferViews"][audio["bufferView"]]
    sound = binary[view["byteOffset"] :][: view["byteLength"]]
    assert (audio["mimeType"], sound) == ("audio/mpeg", b"\xff\xfb" * 50)


def test_a_glbs_morph_target_moves_the_mesh_as_the_template_does(tmp_path):
    document, binary = read_glb(write(tmp_path / "m.glb", motion(2)))
    template, name = load_template(), "jawOpen"
    primitive = document["meshes"][0]["primitives"][0]
    rest = accessor(document, binary, primitive["attributes"]["POSITION"])
    target = primitive["targets"][ARKIT_NAMES.index(name)]["POSITION"]
    sparse = document["accessors"][target]["sparse"]
    views = document["bufferViews"]
    place, values = views[sparse["indices"]["bufferView"]], views[sparse["values"]["bufferView"]]
    index = np.frombuffer(binary, "<u2", sparse["count"], place["byteOffset"])
    moves = np.frombuffer(binary, "<f4", 3 * sparse["count"], values["byteOffset"]).reshape(-1, 3)
    moved = rest.copy()
    moved[index] += moves
    solid = np.isnan(template.eye_angle)
    expected = template.vertices + template.expression_basis[ARKIT_NAMES.index(name)]
    np.testing.assert_allclose(moved, expected[solid], atol=2e-6)


def test_khronos_validator_finds_no_fault_in_a_glb(tmp_path):
    validator = npm_module("gltf-validator")
    path = write(tmp_path / "m.glb", motion(20, 60.0), 60.0, sound=b"\xff\xfb" * 50)
    script = f"""
const validator = require({json.dumps(str(validator))});
const bytes = new Uint8Array(require("fs").readFileSync({json.dumps(str(path))}));
validator.validateBytes(bytes).then((report) => console.log(JSON.stringify(report)));
"""
    report = json.loads(run_node(script))
    assert report["issues"]["numErrors"] == 0, report["issues"]["messages"]
    assert report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["animationCount"] == 1
    assert report["info"]["hasMorphTargets"]


def test_a_bvh_turns_head_and_eyes_as_the_motion_does(tmp_path):
    frames = motion(6, 30.0)
    text = write(tmp_path / "m.bvh", frames, 30.0).read_text()
    hierarchy, _, data = text.partition("MOTION\n")
    assert [line.split()[1] for line in hierarchy.splitlines() if "JOINT" in line] == [
        "Head", "LeftEye", "RightEye",
    ]  # fmt: skip
    lines = data.splitlines()
    assert lines[0] == "Frames: 6"
    assert float(lines[1].removeprefix("Frame Time:")) == pytest.approx(1 / 30, abs=1e-6)
    rows = np.array([[float(word) for word in line.split()] for line in lines[2:]])
    assert rows.shape == (6, 6 + 6 + 3 + 3)
    turns = Rotation.from_euler("ZXY", rows[:, 9:12], degrees=True).as_rotvec()
    np.testing.assert_allclose(turns, arrays(frames, "head_rotation"), atol=1e-5)
    place = 100 * (load_template().neck_joint + arrays(frames, "head_translation"))
    np.testing.assert_allclose(rows[:, 6:9], place, atol=1e-4)
    eyes = Rotation.from_euler("ZXY", rows[:, 12:15], degrees=True).as_matrix()
    np.testing.assert_allclose(eyes, [gaze_rotation(f.gaze) for f in frames], atol=1e-5)


@pytest.mark.parametrize("ending", [".usda", ".glb", ".bvh", ".csv"])
def test_memory_does_not_grow_with_length(tmp_path, ending):
    (frame,) = motion(1)
    load_template()
    writer = open_motion_file(tmp_path / f"m{ending}", 25.0)
    tracemalloc.start()
    try:
        for _ in range(20):
            writer.write(frame)
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            writer.write(frame)
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        writer.close()
    assert late - early < 100_000  # the 300 frames hold 290,000


def test_nothing_but_the_file_is_left(tmp_path):
    for ending in ENDINGS:
        write(tmp_path / f"m{ending}", motion(2))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted(ENDINGS)


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(MotionFileError, match="expected the ending"):
        open_motion_file(tmp_path / "m.fbx", 25.0)


# Tables of others.

LIVE_LINK = "Timecode,BlendShapeCount," + ",".join(CSV_NAMES)


def table(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "phone.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(label: str, value: float = 0.25, count: int = 61) -> str:
    return f"{label},61," + ",".join([f"{value}"] * count)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["hello"], "expected a first line"),
        ([""], "expected a first line"),
        ([LIVE_LINK], "holds no frame"),
        ([LIVE_LINK, row("10:00:00:00", count=60)], "line 2: 62 values, expected 63"),
        ([LIVE_LINK, row("10:00:00:00").replace("0.25", "0,25")], "decimal commas"),
        ([LIVE_LINK, row("half past ten")], "line 2: 'half past ten': expected a timecode"),
        ([LIVE_LINK, row("10:00:00:00", float("nan"))], "line 2: holds something"),
        ([LIVE_LINK, row("10:00:00:00").replace("0.25", "x", 1)], "line 2: 'x' is not a number"),
        ([LIVE_LINK.replace("JawOpen,", "")], "lacks 1 of the 52 columns"),
        ([LIVE_LINK.replace("JawOpen", "JawLeft")], "'JawLeft' is there twice"),
        ([LIVE_LINK, row("10:00:09:00"), row("10:00:01:00")], "line 3: its timecode"),
        (["time_s,jawOpen", "0,1"], "lacks 51 of the 53 columns"),
        (["curve_name,frame_number,value", "hips,0,1"], "names none of the 174"),
        (["curve_name,frame_number,value", "CTRL_C_jaw.ty,1.5,1"], "a whole number"),
        (["curve_name,frame_number,value", "CTRL_C_jaw.ty,-1,1"], "a whole number"),
        (["curve_name,frame_number,value", "CTRL_C_jaw.ty,999999999,1"], "a whole number"),
    ],
)  # fmt: skip
def test_a_table_that_makes_no_sense_is_refused_in_one_line(tmp_path, lines, reason):
    with pytest.raises(MotionFileError, match=reason) as refused:
        read_motion_file(table(tmp_path, *lines), 25.0)
    assert "\n" not in str(refused.value)


def test_what_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "x.csv").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "x.json").write_text('{"names": ["jawOpen"], "fps": 25, "frames": 3}')
    for name in ("x.csv", "x.json", "none.csv", "none.json", "none.npz"):
        with pytest.raises(MotionFileError, match=name) as refused:
            read_motion_file(tmp_path / name, 25.0)
        assert "\n" not in str(refused.value)


def test_a_spreadsheets_semicolons_and_decimal_commas_are_read(tmp_path):
    lines = [LIVE_LINK, row("10:00:00:00"), row("10:00:00:01")]
    lines = [line.replace(",", ";").replace("0.25", "0,25") for line in lines]
    track = read_motion_file(table(tmp_path, *lines), 25.0)
    assert np.allclose(track.arkit, 0.25)
    assert len(track) == 2


def test_a_phone_that_drops_repeats_and_passes_midnight_is_followed(tmp_path):
    labels = ["23:59:59:58.5", "23:59:59:59", "23:59:59:59", "00:00:00:00", "00:00:00:03"]
    track = read_motion_file(table(tmp_path, LIVE_LINK, *map(row, labels)), 25.0)
    assert track.fps == 60
    expected = np.array([0, 0.5, 0.75, 1.5, 4.5]) / 60
    np.testing.assert_allclose(track.time_s, expected, atol=1e-6)


def test_eyes_of_a_recording_without_look_weights_are_taken_from_their_angles(tmp_path):
    values = dict.fromkeys(CSV_NAMES, 0.0)
    values |= {"LeftEyeYaw": 0.2, "RightEyeYaw": 0.2, "LeftEyePitch": 0.1, "RightEyePitch": 0.1}
    line = "10:00:00:00,61," + ",".join(str(value) for value in values.values())
    track = read_motion_file(table(tmp_path, LIVE_LINK, line), 25.0)
    np.testing.assert_allclose(track.gaze, [[0.2, -0.1]], atol=1e-6)


def test_curves_of_a_rig_mapper_hold_between_their_keys(tmp_path):
    lines = ["curve_name,frame_number,value", "CTRL_C_jaw.ty,3,0.5", "CTRL_C_jaw.ty,6,0.7"]
    track = read_motion_file(table(tmp_path, *lines), 30.0)
    jaw = track.arkit[:, ARKIT_NAMES.index("jawOpen")]
    np.testing.assert_allclose(jaw, [0.5, 0.5, 0.5, 0.7], atol=1e-6)


def test_many_rows_are_read_without_many_times_their_memory(tmp_path):
    count = 6_000
    lines = [LIVE_LINK]
    lines += [row(f"{10 + s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}:{f:02d}")
              for s in range(count // 60 + 1) for f in range(60)][:count]  # fmt: skip
    path = table(tmp_path, *lines)
    tracemalloc.start()
    try:
        track = read_motion_file(path, 25.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(track) == count
    assert peak < 8 * count * 63 * 4


def test_a_node_that_fails_would_be_seen():
    with pytest.raises(subprocess.CalledProcessError):
        run_node("process.exit(3)")
